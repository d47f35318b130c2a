"""Looks at the beginning of an answer before the client gets any of it, so that one which fails can be followed by another try.

A whole answer is read to its end; of an event stream as much as shows that the model speaks: providers answer 200 and say in
the first event that they are overloaded.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from tokenman_core import headers as h
from tokenman_core.capture import Capture
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.failover.of_model import MOST_READ, of_model
from tokenman_core.failover.policy import status_of
from tokenman_core.json_array import ArrayParser, stream_parser
from tokenman_core.net import UpstreamError
from tokenman_core.net.coding import CodingError, Decoder, decode
from tokenman_core.outward import TEXTUAL, Pieces, steps, upstream_refusal
from tokenman_core.sse import SseError, SseParser
from tokenman_core.verdicts import Failure, Head, Part, Refuse

MOST_HELD = 256 << 10  # bytes of a stream that says nothing, packed or not; behind them it is taken for an answer
MOST_OF_AN_ERROR = 1 << 20  # bytes of what a provider says of a failure; more is not kept while another try is made
AN_ERROR_S = 2.0  # for all that a provider says of a failure: what is known of it stands in the head
AFTER_AN_ERROR_S = 0.5  # a stream is over with the error that it begins with, whether the provider closes it or not


class Peeked:
    """`failure` None: it is an answer, or a refusal of ours. `parts` gives it from its beginning, once."""

    def __init__(self, failure: Failure | None, held: Iterable[Part | Refuse], rest: Pieces | None = None) -> None:
        self.failure, self._held, self._rest = failure, deque(held), rest

    async def parts(self) -> Pieces:
        while self._held:
            yield self._held.popleft()  # whoever takes it may keep it: a large answer is not to be there twice
        if self._rest is not None:
            async for part in self._rest:
                yield part

    @property
    def kept(self) -> list[Part | Refuse]:
        """What can be given of it once its source is closed."""
        if self._rest is None:
            return list(self._held)
        return [upstream_refusal(UpstreamError("reset", "what it said is too long to be kept"))]


async def peek(source: Pieces, exchange: Exchange, attempt: Attempt, cap: int, first_token: float) -> Peeked:
    """`source` stays the caller's to close. `cap`: bytes of a whole answer, 0 for no cap; `first_token`: seconds, 0 for ever."""
    first = await anext(source)
    if isinstance(first, Refuse):
        return Peeked(attempt.failure, [first])
    assert isinstance(first, Head)
    if exchange.sent.method == "HEAD":
        return Peeked(_by_status(first), [first], source)
    kind = (h.first(first.headers, b"content-type") or b"").lower()
    if first.status < 400 and (parser := stream_parser(exchange, first)) is not None:
        if exchange.operation.generates and exchange.operation.name != "other":
            return await _stream(source, exchange, first, first_token, parser)
        return Peeked(None, [first], source)  # nobody knows what it says before it says something
    if first.status >= 400 or not kind or any(word in kind for word in TEXTUAL):
        return await _whole(source, exchange, first, cap)
    return Peeked(None, [first], source)


def _by_status(head: Head) -> Failure | None:
    return Failure("status", f"status {head.status}", head.status, head.headers) if head.status >= 400 else None


async def _whole(source: Pieces, exchange: Exchange, head: Head, cap: int) -> Peeked:
    failed = _by_status(head)
    # One piece, which grows in its place: many, and then one of them all, would take three times as much as they hold.
    body, behind = bytearray(), list[Part | Refuse]()

    def held() -> list[Part | Refuse]:
        given: list[Part | Refuse] = [head, bytes(body), *behind]
        body.clear()
        return given

    # What came of an answer that breaks off is due; how much it was is all that is known of it.
    came = exchange.captured = Capture(1, stream=False)
    try:
        _check(cap, int(declared) if (declared := h.first(head.headers, b"content-length") or b"").isdigit() else 0)
        async with asyncio.timeout(AN_ERROR_S if failed else None):
            async for part in source:
                if not isinstance(part, bytes):
                    behind.append(part)
                    continue
                body += part
                came.add(part)
                _check(cap, came.seen)
                if failed and came.seen > MOST_OF_AN_ERROR:
                    return Peeked(failed, held(), source)
    except TimeoutError:
        given = held()
        return Peeked(_of_model(failed, head, given), _cut(head, given))
    except UpstreamError as e:
        # Of a failure it is known that it is one, whatever becomes of what is said of it.
        return Peeked(failed or Failure(e.kind, str(e), head.status), [upstream_refusal(e)])
    given = held()
    return Peeked(_of_model(failed, head, given), given)


def _of_model(failed: Failure | None, head: Head, held: Iterable[Part | Refuse]) -> Failure | None:
    """The failure, marked where it is said to be one of the model."""
    if failed is None or failed.status is None or failed.status < 500:
        return failed
    said = b"".join(part for part in held if isinstance(part, bytes))[:MOST_READ]
    coding = (h.first(head.headers, b"content-encoding") or b"identity").strip().lower()
    if coding != b"identity":
        try:
            said = decode(coding.decode("latin-1"), said, MOST_READ)
        except CodingError:
            said = b""
    return replace(failed, of_model=of_model(failed.status, said))


def _cut(head: Head, held: list[Part | Refuse]) -> list[Part | Refuse]:
    """What came of an error until it was waited for no longer. Half of what is packed can be read by nobody."""
    if h.first(head.headers, b"content-encoding") is None:
        return held
    return [Head(head.status, tuple(pair for pair in head.headers if pair[0].lower() != b"content-encoding"))]


def _check(cap: int, size: int) -> None:
    if cap and size > cap:
        raise UpstreamError("cap", "the answer is over limits.response_body")


async def _stream(
    source: Pieces, exchange: Exchange, head: Head, first_token: float, parser: SseParser | ArrayParser
) -> Peeked:
    held: list[Part | Refuse] = [head]
    reader = exchange.dialect.reader(exchange.operation)
    came = shown = 0  # bytes, and what they are when they are unpacked
    coding = (h.first(head.headers, b"content-encoding") or b"identity").strip().lower()
    try:
        decoder = Decoder(coding.decode("latin-1"), 0) if coding != b"identity" else None
        async with asyncio.timeout(first_token or None):
            async for part in source:
                held.append(part)
                if not isinstance(part, bytes):
                    continue
                came += len(part)
                for number, plain in enumerate(steps(part, decoder)):
                    if number:
                        await asyncio.sleep(0)
                    shown += len(plain)
                    for event in parser.feed(plain):
                        reader.note(event)
                    if reader.failed is not None or reader.worded or shown > MOST_HELD:
                        break
                if reader.failed is not None:
                    break
                if reader.worded or reader.finished or max(came, shown) > MOST_HELD:
                    return Peeked(None, held, source)
        if reader.failed is None:
            for event in parser.finish():  # the last one may lack its blank line
                reader.note(event)
    except TimeoutError:
        late = UpstreamError("timeout", "no token came in time", "first_token")
        return Peeked(Failure("timeout", str(late), head.status), [upstream_refusal(late)])
    except UpstreamError as e:
        return Peeked(Failure(e.kind, str(e), head.status), [upstream_refusal(e)])
    except (CodingError, SseError):
        return Peeked(None, held, source)  # how it cannot be read is told where it is read
    if reader.failed is not None:
        await _end(source, held)
        return Peeked(_of_model(_said(reader.failed, head), head, held), held)
    if reader.worded or reader.finished:
        return Peeked(None, held)
    cut = UpstreamError("reset", "the stream ended before it said anything")
    return Peeked(Failure("truncated", str(cut), head.status), [upstream_refusal(cut)])


async def _end(source: Pieces, held: list[Part | Refuse]) -> None:
    """Takes what is left of a stream that began with an error: little, as a rule, and its connection can be used again."""
    size = 0
    with suppress(TimeoutError, UpstreamError):
        async with asyncio.timeout(AFTER_AN_ERROR_S):
            async for part in source:
                held.append(part)
                size += len(part) if isinstance(part, bytes) else 0
                if size > MOST_HELD:
                    return


def _said(error: str, head: Head) -> Failure:
    """What the first event of a stream says went wrong. A name that is not known is the caller's fault, as far as we can tell."""
    return Failure("status", f"an error in the first event: {error[:80]}", status_of(error, 400), head.headers)
