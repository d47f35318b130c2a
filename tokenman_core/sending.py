"""Makes the bytes of one attempt from the governed call, and sends them: one try at one provider, redirects within it included."""

import asyncio
import logging
from functools import partial
from urllib.parse import urljoin, urlsplit

from tokenman_core import headers as h
from tokenman_core.body.base import Body
from tokenman_core.clock import Clock
from tokenman_core.dialects import stream_usage
from tokenman_core.errors import BodyError
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.net import Request, Upstream, UpstreamError
from tokenman_core.outward import Pieces, upstream_refusal
from tokenman_core.providers import Provider, Providers
from tokenman_core.stages import FAILED, StageFailed
from tokenman_core.verdicts import Failure, Head, Headers, Refuse, Trailers

log = logging.getLogger("tokenman.call")

OFF_LOOP = 128 << 10  # bodies above are read and written in a thread: the loop is never held for more than a millisecond
MAX_REDIRECTS = 3


class Sender:
    def __init__(self, providers: Providers, upstream: Upstream, clock: Clock) -> None:
        self.providers, self._upstream, self._clock = providers, upstream, clock

    async def attempt(self, exchange: Exchange, attempt: Attempt) -> Pieces:
        """The answer as it comes. Where there is none, a Refuse, and the reason in `attempt.failure` if it was the provider's.

        Raises UpstreamError once the answer has begun.
        """
        provider = self.providers.by_name[attempt.candidate.provider]
        try:
            request = await self._request(exchange, attempt, provider)
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
                async with self._upstream.call(request, provider.deadlines) as answer:
                    attempt.status = answer.status
                    location = answer.header(b"location")
                    if 300 <= answer.status < 400 and answer.status != 304 and location is not None:
                        if (
                            target := _inside(request, location.decode("latin-1"), answer.status)
                        ) and redirects < MAX_REDIRECTS:
                            redirects += 1
                            request = await self._request(exchange, attempt, provider, target)
                            continue
                        yield Refuse(502, "upstream", "The provider answered with a redirect that leaves it.")
                        return
                    started = True
                    yield Head(answer.status, answer.headers)
                    async for chunk in answer:
                        yield chunk
                    if answer.trailers:
                        yield Trailers(answer.trailers)
                    return
            except UpstreamError as e:
                attempt.failure = Failure(e.kind, str(e), attempt.status)
                if started:
                    raise
                if e.reused and e.kind == "reset" and not again:
                    again = True  # says nothing of the provider: a kept connection went stale
                    continue
                # What a protocol error quotes may be a header of the request.
                why = f"{e.kind}: {e}" if e.kind != "protocol" else e.kind
                log.warning("provider %s: %s", provider.name, why)
                yield upstream_refusal(e)
                return

    async def _request(
        self, exchange: Exchange, attempt: Attempt, provider: Provider, target: str | None = None
    ) -> Request:
        """The bytes of one attempt, made anew from the governed call each time."""
        sent = exchange.sent
        if exchange.body is None or not exchange.intact:
            raise StageFailed("a stage changed more of the request than its texts")
        dropped: set[bytes] = set()
        asks = _may_ask(exchange, provider)
        body = exchange.raw
        if exchange.body.changed or asks:
            render = partial(_rendered, exchange.body, asks)
            made, attempt.asked_usage = await asyncio.to_thread(render) if len(body) > OFF_LOOP else render()
            if exchange.body.changed or attempt.asked_usage:
                body = made
                dropped.add(b"content-encoding")
                dropped.update((b"content-md5", b"digest", b"content-digest"))  # they speak of bytes that are no more
        headers = h.to_provider(sent.headers, sent.header(b"connection"), dropped)
        if provider.key is not None:
            headers = _with_key(headers, provider)
        if target is None:
            path, query = exchange.target.render() if exchange.target else (sent.path, sent.query)
            target = provider.target(path) + (f"?{query}" if query else "")
        headers = ((b"Host", provider.authority.encode()), *headers)
        return Request(
            sent.method.encode(), provider.scheme, provider.host, provider.port, target.encode("latin-1"), headers, body
        )


def _may_ask(exchange: Exchange, provider: Provider) -> bool:
    """Whether the provider is asked what a stream used. What the program asks itself is seen when the body is made."""
    named = exchange.operation.name in stream_usage.OPERATIONS
    return named and exchange.stream and provider.stream_usage and provider.dialect is exchange.dialect


def _rendered(body: Body, asks: bool) -> tuple[bytes, bool]:
    """The bytes of a request, and whether its usage is asked for in them."""
    data = body.render()
    made = stream_usage.ask(data, body.value) if asks else None
    return (data, False) if made is None else (made, True)


def _inside(request: Request, location: str, status: int) -> str | None:
    """The target of a redirect that stays with this provider and may be repeated as it is, else None."""
    base = f"{request.scheme}://{request.host}:{request.port}"
    there = urlsplit(urljoin(base + request.path.decode("latin-1"), location))
    port = there.port or {"http": 80, "https": 443}.get(there.scheme)
    if (there.scheme, there.hostname, port) != (request.scheme, request.host, request.port):
        return None
    if status not in (307, 308) and request.method not in (b"GET", b"HEAD"):
        return None
    return (there.path or "/") + (f"?{there.query}" if there.query else "")


KEY_HEADER = {"anthropic": b"x-api-key", "gemini": b"x-goog-api-key"}


def _with_key(headers: Headers, provider: Provider) -> Headers:
    """The provider's configured key in place of whatever the caller sent."""
    assert provider.key is not None
    gone = h.CREDENTIALS - {b"cookie"}
    kept = tuple((k, v) for k, v in headers if k.lower() not in gone)
    name = KEY_HEADER.get(provider.dialect.name)
    key = provider.key.encode()
    return (*kept, (name, key) if name else (b"authorization", b"Bearer " + key))
