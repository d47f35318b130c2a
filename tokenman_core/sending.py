"""Sends one attempt of a call: one try at one provider, redirects within it included."""

import logging

from tokenman_core import headers as h
from tokenman_core.clock import Clock
from tokenman_core.errors import BodyError
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.net import Upstream, UpstreamError
from tokenman_core.outbound import inside, request_of
from tokenman_core.outward import Pieces, upstream_refusal
from tokenman_core.providers import Providers
from tokenman_core.stages import FAILED, StageFailed
from tokenman_core.verdicts import Failure, Head, Refuse, Trailers

log = logging.getLogger("tokenman.call")

MAX_REDIRECTS = 3
SAFE_METHODS = (
    "GET",
    "HEAD",
)  # RFC 9110 §9.2.1: they ask for nothing to be done, so nobody counts how often they are sent

_REPEATABLE = frozenset(
    {
        "messages", "complete", "chat", "responses", "completions", "embeddings", "generate", "count_tokens",
        "moderations", "images", "audio",
    }
)  # fmt: skip
"""Operations that a POST may ask for twice: they change nothing where they are answered. A file or a batch would be made twice."""


_BY_THE_PIECE = frozenset({"images"})
"""What is made and billed whether anybody waits for it or not, and dearer than a text. It is sent again only where the
provider itself says, by a status, that it made none."""


def repeatable(exchange: Exchange, failure: Failure) -> bool:
    """Whether the call may be sent again after a failure by which its provider may have begun with it."""
    if exchange.operation.name in _BY_THE_PIECE and failure.kind != "status":
        return False
    if exchange.sent.method in SAFE_METHODS:
        return True
    value = exchange.body.value if exchange.body is not None else None
    if type(value) is dict and (value.get("background") is True or value.get("conversation")):
        return False  # a job that would run twice, unseen; a conversation that would hold the turn twice
    return exchange.sent.method == "POST" and exchange.operation.name in _REPEATABLE


class Sender:
    def __init__(self, providers: Providers, upstream: Upstream, clock: Clock) -> None:
        self.providers, self._upstream, self._clock = providers, upstream, clock

    async def attempt(self, exchange: Exchange, attempt: Attempt) -> Pieces:
        """The answer as it comes. Where there is none, a Refuse, with the reason in `attempt.failure` if it was the provider's.

        Raises UpstreamError once the answer has begun.
        """
        provider = self.providers.by_name[attempt.candidate.provider]
        named = self.providers.by_name.get(exchange.named)
        try:
            request = await request_of(exchange, attempt, provider, named)
        except BodyError as e:  # two keys of an object that masking would make one
            yield Refuse(400, "parse", str(e))
            return
        except StageFailed as e:
            log.error("%s", e)
            yield FAILED
            return
        started = again = False
        redirects = 0
        attempt.sent = True
        if exchange.times.sent is None:
            exchange.times.sent = self._clock.monotonic()
        while True:
            try:
                async with self._upstream.call(request, provider.deadlines, connections=provider.connections) as answer:
                    attempt.status, attempt.said = answer.status, answer.headers
                    location = answer.header(b"location")
                    if 300 <= answer.status < 400 and answer.status != 304 and location is not None:
                        if (
                            target := inside(request, location.decode("latin-1"), answer.status, provider)
                        ) and redirects < MAX_REDIRECTS:
                            redirects += 1
                            request = await request_of(exchange, attempt, provider, named, target)
                            continue
                        attempt.failure = Failure("protocol", "a redirect that leaves it", answer.status)
                        yield Refuse(502, "upstream", "The provider answered with a redirect that leaves it.")
                        return
                    started = True
                    yield Head(answer.status, answer.headers)
                    async for chunk in answer:
                        yield chunk
                    if fields := h.to_client(answer.trailers, None):
                        yield Trailers(fields)
                    return
            except UpstreamError as e:
                attempt.failure = Failure(e.kind, str(e), attempt.status)
                attempt.worked = not started and (e.worked or e.deadline == "first_byte")
                if started:
                    raise
                if not again and (e.untouched or (e.stale and exchange.sent.method in SAFE_METHODS)):
                    again, attempt.failure = True, None  # says nothing of the provider
                    continue
                if e.stale:  # a POST that it may have read: to send it again is another attempt
                    attempt.failure = Failure("stale", str(e))
                # What a protocol error quotes may be a header of the request.
                why = f"{e.kind}: {e}" if e.kind != "protocol" else e.kind
                log.warning("provider %s: %s", provider.name, why)
                yield upstream_refusal(e)
                return
