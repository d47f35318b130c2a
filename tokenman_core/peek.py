"""Looks at the beginning of an answer before the client gets any of it, so that one which fails can be followed by another try.

A whole answer is read to its end; of an event stream as much as shows that the model speaks: providers answer 200 and say in
the first event that they are overloaded.
"""

import asyncio
from dataclasses import dataclass

from tokenman_core import headers as h
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.failover.policy import STATUSES_OF_ERRORS
from tokenman_core.net import UpstreamError
from tokenman_core.net.coding import CodingError, Decoder
from tokenman_core.outward import TEXTUAL, Pieces, upstream_refusal
from tokenman_core.sse import SseError, SseParser
from tokenman_core.verdicts import Failure, Head, Part, Refuse

MOST_HELD = 256 << 10  # bytes of a stream that says nothing; behind them it is taken for an answer


@dataclass
class Peeked:
    """`failure` None: it is an answer. `parts` gives it from its beginning, whether it failed or not."""

    failure: Failure | None
    held: list[Part | Refuse]
    rest: Pieces | None = None

    async def parts(self) -> Pieces:
        for part in self.held:
            yield part
        if self.rest is not None:
            async for part in self.rest:
                yield part


async def peek(source: Pieces, exchange: Exchange, attempt: Attempt, cap: int, first_token: float) -> Peeked:
    """`source` stays the caller's to close. `cap` bytes of a whole answer are read (0: all), `first_token` seconds are waited."""
    first = await anext(source)
    if isinstance(first, Refuse):
        return Peeked(attempt.failure, [first])
    assert isinstance(first, Head)
    if exchange.sent.method == "HEAD":
        return Peeked(_by_status(first), [first], source)
    kind = (h.first(first.headers, b"content-type") or b"").lower()
    if first.status < 400 and kind.startswith(b"text/event-stream"):
        return await _stream(source, exchange, first, first_token)
    if first.status >= 400 or not kind or any(word in kind for word in TEXTUAL):
        return await _whole(source, first, cap)
    return Peeked(None, [first], source)


def _by_status(head: Head) -> Failure | None:
    return Failure("status", f"status {head.status}", head.status, head.headers) if head.status >= 400 else None


async def _whole(source: Pieces, head: Head, cap: int) -> Peeked:
    held: list[Part | Refuse] = [head]
    size = 0
    try:
        async for part in source:
            held.append(part)
            size += len(part) if isinstance(part, bytes) else 0
            if cap and size > cap:
                return Peeked(_by_status(head), held, source)
    except UpstreamError as e:
        if head.status >= 400:  # what it said of the failure is cut, but that it failed is known
            return Peeked(_by_status(head), [upstream_refusal(e)])
        return Peeked(Failure(e.kind, str(e)), [upstream_refusal(e)])
    return Peeked(_by_status(head), held)


async def _stream(source: Pieces, exchange: Exchange, head: Head, first_token: float) -> Peeked:
    held: list[Part | Refuse] = [head]
    reader, parser, size = exchange.dialect.reader(exchange.operation), SseParser(), 0
    coding = (h.first(head.headers, b"content-encoding") or b"identity").strip().lower()
    try:
        decoder = Decoder(coding.decode("latin-1"), 0) if coding != b"identity" else None
        async with asyncio.timeout(first_token or None):
            async for part in source:
                held.append(part)
                if not isinstance(part, bytes):
                    continue
                size += len(part)
                for event in parser.feed(decoder.feed(part) if decoder else part):
                    reader.note(event)
                if reader.failed is not None:
                    return Peeked(_said(reader.failed, head), held, source)
                if reader.spoke or size > MOST_HELD:
                    return Peeked(None, held, source)
    except TimeoutError:
        late = UpstreamError("timeout", "no token came in time", "first_token")
        return Peeked(Failure("timeout", str(late)), [upstream_refusal(late)])
    except UpstreamError as e:
        return Peeked(Failure(e.kind, str(e)), [upstream_refusal(e)])
    except (CodingError, SseError):
        return Peeked(None, held, source)  # how it cannot be read is told where it is read
    if not exchange.operation.generates:
        return Peeked(None, held)
    cut = UpstreamError("reset", "the stream ended before it said anything")
    return Peeked(Failure("truncated", str(cut)), [upstream_refusal(cut)])


def _said(error: str, head: Head) -> Failure:
    """What the first event of a stream says went wrong. A name that is not known is the caller's fault, as far as we can tell."""
    return Failure(
        "status", f"an error in the first event: {error[:80]}", STATUSES_OF_ERRORS.get(error, 400), head.headers
    )
