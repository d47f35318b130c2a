"""Gives an answer that is already there: in the shape that is asked for, at once or as fast as it once came."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from tokenman_core import headers as h
from tokenman_core.caching.entry import Entry
from tokenman_core.caching.rules import Pace
from tokenman_core.caching.shapes import Shown, Wanted, shown
from tokenman_core.exchange import Exchange
from tokenman_core.sse import SseParser
from tokenman_core.verdicts import Head, Headers, Part

AT_ONCE = 64 << 10  # bytes of a stream between two turns of the loop

Sleep = Callable[[float], Awaitable[None]]


def in_shape(entry: Entry, exchange: Exchange, wanted: Wanted) -> Shown | None:
    """None: it cannot be told so without loss."""
    kind = h.first(entry.headers, b"content-type") or b""
    return shown(exchange.dialect.name, exchange.operation.name, entry.stream, entry.body, kind, wanted)


async def replayed(entry: Entry, it: Shown, pace: Pace, sleep: Sleep = asyncio.sleep) -> AsyncGenerator[Part]:
    """The answer again. `sleep` is asked for the time between pieces of a stream that is given as it came."""
    yield Head(entry.status, (*_without_type(entry.headers), (b"content-type", it.content_type)))
    if not it.stream:
        if pace == "original":
            await sleep(entry.seconds)
        yield it.body
        return
    if pace == "original" and entry.seconds:
        async for piece in _as_it_came(it.body, entry.pieces or ((entry.seconds, 1),), sleep):
            yield piece
        return
    for at in range(0, len(it.body), AT_ONCE):
        if at:
            await asyncio.sleep(0)
        yield it.body[at : at + AT_ONCE]


async def _as_it_came(body: bytes, pieces: Sequence[tuple[float, int]], sleep: Sleep) -> AsyncGenerator[bytes]:
    """Event by event, each when that much of the original had come. In another shape it is more bytes, or fewer."""
    parser = SseParser()
    events = [event.raw for event in (*parser.feed(body), *parser.finish())]
    scale = sum(size for _, size in pieces) / len(body)
    came, left = 0.0, deque(pieces)
    given, waited = 0, 0.0
    for event in events:
        given += len(event)
        moment = waited
        while left and came < given * scale:
            moment, size = left.popleft()
            came += size
        if moment > waited:
            await sleep(moment - waited)
            waited = moment
        yield event


def _without_type(headers: Headers) -> Headers:
    return tuple(pair for pair in headers if pair[0].lower() != b"content-type")
