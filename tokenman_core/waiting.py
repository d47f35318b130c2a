"""Keeps a program on the line while its stream has no beginning yet: an early head, and comments that its client skips."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tokenman_core import headers as h
from tokenman_core.errors import ErrorKind
from tokenman_core.exchange import Exchange
from tokenman_core.net import UpstreamError
from tokenman_core.outward import marks
from tokenman_core.verdicts import Head, Part, Parts

EVERY_S = 10.0
"""Seconds of silence before the head goes out, and between two comments. Once it is out, a failure can only be an error event
and no status, so it goes late; but before the shortest silence that proxies and load balancers on the way put up with (30 s
is common), with room for two."""

COMMENT = b": tokenman is waiting\n\n"
"""A line that begins with a colon is skipped (HTML Living Standard, 9.2.6)."""

SKIP_COMMENTS = frozenset({"anthropic", "openai"})
"""Dialects whose own clients do so. Google's takes an event that does not begin with `data:` for broken."""

KINDS: dict[int, ErrorKind] = {429: "rate_limit", 504: "timeout"}
"""What an answer's status is called in an error event; everything else is `upstream`."""

Wait = Callable[[asyncio.Future[Part], float], Awaitable[None]]


async def in_time(first: asyncio.Future[Part], seconds: float) -> None:
    """Returns when it is done, or after so many seconds."""
    await asyncio.wait({first}, timeout=seconds)


async def patiently(parts: Parts, exchange: Exchange, wait: Wait = in_time) -> Parts:
    """The same parts; or, where their head is long in coming, one of our own with comments, and the events after it.

    What then turns out to be no stream is told by an error event. `parts` stays the caller's to close.
    """
    first = asyncio.ensure_future(_first(parts))
    try:
        await wait(first, EVERY_S)
        while not first.done():
            if exchange.begun or may_begin(exchange):
                if not exchange.begun:
                    exchange.begun = True
                    yield _head(exchange)
                yield COMMENT
            await wait(first, EVERY_S)
    finally:
        if not first.done():  # the program left
            first.cancel()
            await asyncio.wait({first})
        if not first.cancelled():
            first.exception()  # asked for, or asyncio would complain that nobody did
    head = first.result()
    if not exchange.begun:
        yield head
    elif isinstance(head, Head) and not _is_stream(head):
        with suppress(UpstreamError):  # that it failed is told in any case
            async for _ in parts:
                pass  # to its end, so that it is booked
        exchange.status = head.status
        yield _failed(head, exchange)
        return
    async for part in parts:
        yield part


def may_wait(exchange: Exchange) -> bool:
    """Whether `patiently` could have anything to do for a call whose body is not read yet. No stream is asked for without the
    word; what is packed does not show it.
    """
    packed = exchange.sent.header(b"content-encoding") is not None
    return exchange.dialect.name in SKIP_COMMENTS and (packed or b'"stream"' in exchange.raw)


async def _first(parts: Parts) -> Part:
    return await anext(parts)


def may_begin(exchange: Exchange) -> bool:
    """Whether a head may go out before the answer's own: of a stream that was judged and is being tried."""
    streams = exchange.stream and exchange.operation.generates
    tried = bool(exchange.attempts) or exchange.shared is not None  # or it follows one that is
    return streams and tried and exchange.dialect.name in SKIP_COMMENTS


def _head(exchange: Exchange) -> Head:
    fields = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))
    return Head(200, (*fields, *marks(exchange)))


def _is_stream(head: Head) -> bool:
    kind = h.first(head.headers, b"content-type") or b""
    return head.status < 300 and kind.lower().startswith(b"text/event-stream")


def _failed(head: Head, exchange: Exchange) -> bytes:
    refusal = exchange.refusal
    if refusal is not None:
        return exchange.dialect.error_event(refusal.kind, refusal.message, exchange.id)
    message = f"The provider answered with status {head.status}."
    if head.status < 300:
        message = "The provider's answer is no stream."
    return exchange.dialect.error_event(KINDS.get(head.status, "upstream"), message, exchange.id)
