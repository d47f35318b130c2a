"""The exchange's end of one governed call: the answer goes out through it piece by piece, and the client's leaving comes in.

Pieces travel the road of mitmproxy's own replies to a hook, so that tunnels, TLS and HTTP framing stay mitmproxy's: each is a
reply to the `request` hook that does not end it.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from mitmproxy import http

from addons.proxy.http1_answer import End, Piece
from addons.proxy.internals import ConnectionHandler, HttpRequestHook, events

MAX_BUFFERED = 64 << 10  # bytes in a client's socket buffer, and
PORTION = 256 << 10  # bytes that go out at once: each is copied on its way, and a whole answer may be large
MAX_QUEUED = 256 << 10  # bytes that wait for an HTTP/2 client's window, before the exchange has to wait too
CLIENT_STALL_S = 60.0  # a client that takes nothing for so long is dropped; no provider's deadline runs meanwhile


@dataclass
class Pieces(events.CommandCompleted):
    """A reply to the request hook that does not complete it."""

    command: HttpRequestHook
    reply: tuple[Piece, ...]


class Stream(Protocol):
    """What the outlet must know of the HTTP stream behind it."""

    def queued_bytes(self) -> int: ...

    @property
    def handler(self) -> ConnectionHandler | None: ...

    @property
    def client(self) -> Any: ...


class Outlet:
    def __init__(self, stream: Stream, flow: http.HTTPFlow, call: Any) -> None:
        self.flow, self.call = flow, call
        self.hook = HttpRequestHook(flow)
        # Detached: `Layer.handle_event` pauses a layer only for `is True`, while `HttpLayer.event_to_child` and
        # `ConnectionHandler.hook_task` test for truth and still route the reply. A paused stream would not see its client leave.
        self.hook.blocking = stream  # type: ignore[assignment]
        self._stream = stream
        self._task: asyncio.Task[Any] | None = None
        self._room: asyncio.Future[None] | None = None
        self.aborted = False

    def begin(self) -> None:
        """From here on, a client that leaves cancels the calling task. Raises CancelledError if it left already."""
        self._task = asyncio.current_task()
        if self.aborted:
            raise asyncio.CancelledError

    async def send(self, *pieces: Piece) -> None:
        """Returns when the client has taken enough for more to be worth making."""
        for some in _portions(pieces):
            await self._send(some)

    async def _send(self, pieces: tuple[Piece, ...]) -> None:
        handler = self._stream.handler
        if handler is None:
            raise asyncio.CancelledError("the client has left")
        await handler.server_event(Pieces(self.hook, pieces))
        transport = handler.transports.get(self._stream.client)
        writer = transport.writer if transport else None
        if writer is None or (_buffered(writer) <= MAX_BUFFERED and self._stream.queued_bytes() <= MAX_QUEUED):
            return
        try:
            async with asyncio.timeout(CLIENT_STALL_S):
                with suppress(OSError):  # the layer hears of it too, and cancels this task
                    await writer.drain()
                while self._stream.queued_bytes() > MAX_QUEUED:
                    self._room = asyncio.get_running_loop().create_future()
                    await self._room
        except TimeoutError:
            await handler.server_event(Pieces(self.hook, (End(broken=True),)))
            if self._stream.client.alpn != b"h2" and isinstance(writer, asyncio.StreamWriter):
                writer.transport.abort()  # `close` would wait for the reader that never reads
            raise asyncio.CancelledError("the client takes nothing") from None

    def wake(self) -> None:
        """There may be room again."""
        if self._room and not self._room.done():
            self._room.set_result(None)

    def abort(self) -> None:
        self.aborted = True
        if self._task:
            self._task.cancel()


def _portions(pieces: tuple[Piece, ...]) -> Iterator[tuple[Piece, ...]]:
    """The same in their order; what is small goes together."""
    some: tuple[Piece, ...] = ()
    for piece in pieces:
        if isinstance(piece, bytes) and len(piece) > PORTION:
            for at in range(0, len(piece), PORTION):
                yield (*some, piece[at : at + PORTION])
                some = ()
        else:
            some = (*some, piece)
    if some:
        yield some


def _buffered(writer: object) -> int:
    # mitmproxy's own streams (local, wireguard) have no transport: of them we always ask.
    return writer.transport.get_write_buffer_size() if isinstance(writer, asyncio.StreamWriter) else MAX_BUFFERED + 1
