"""Gives an answer that is already there: in the shape that is asked for, at once or as fast as it once came."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from tokenman_core import headers as h
from tokenman_core.caching.entry import Entry
from tokenman_core.caching.rules import Pace
from tokenman_core.caching.shapes import Shown, Wanted, shown
from tokenman_core.exchange import Exchange
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
    if pace == "original" and it.same and entry.pieces:
        async for piece in _as_it_came(it.body, entry.pieces, sleep):
            yield piece
        return
    for at in range(0, len(it.body), AT_ONCE):
        if at:
            await asyncio.sleep(0)
        yield it.body[at : at + AT_ONCE]


async def _as_it_came(body: bytes, pieces: Sequence[tuple[float, int]], sleep: Sleep) -> AsyncGenerator[bytes]:
    at = waited = 0.0
    start = 0
    for at, size in pieces:
        if at > waited:
            await sleep(at - waited)
            waited = at
        if piece := body[start : start + size]:
            yield piece
        start += size
    if rest := body[start:]:
        yield rest


def _without_type(headers: Headers) -> Headers:
    return tuple(pair for pair in headers if pair[0].lower() != b"content-type")
