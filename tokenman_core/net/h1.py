"""HTTP/1.1 to a provider, parsed by h11: one call at a time on a connection that is kept."""

import asyncio
from collections.abc import Callable
from typing import Any

import h11

from tokenman_core.net.wire import FRAMING, MAX_HEAD, READ_AHEAD, Connection, Request, UpstreamError, Waiter
from tokenman_core.verdicts import Head, Headers

MAX_CHUNK = 64 << 10


class H1(Connection):
    """Bytes that arrive while it is parked belong to no call (a farewell 408, say): it is closed then."""

    def __init__(
        self, transport: asyncio.Transport, lost: "Callable[[H1], None]", park: "Callable[[H1], None]"
    ) -> None:
        super().__init__(transport, lost)
        self._park = park
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._busy = self._ended = self._eof = False
        self._dry = False  # h11 has said that it needs data, and none has come since
        self._undigested = 0
        self._waiter = Waiter()
        self._expiry: asyncio.TimerHandle | None = None
        self.reused = False
        self.trailers: Headers = ()

    def take(self, reused: bool = True) -> "H1":
        if self._expiry:
            self._expiry.cancel()
        self._busy, self._ended, self.reused, self.trailers = True, False, reused, ()
        return self

    def close_in(self, seconds: float) -> None:
        self._expiry = asyncio.get_running_loop().call_later(seconds, self.close)

    async def head(self, request: Request) -> Head:
        headers = [(k, v) for k, v in request.headers if k.lower() not in FRAMING]
        if request.framed:
            headers.append((b"content-length", b"%d" % len(request.body)))
        if self.closed or self._eof:
            raise UpstreamError("reset", self.why, reused=self.reused)
        try:
            out = self._h11.send(h11.Request(method=request.method, target=request.path, headers=headers)) or b""
            if request.body:
                out += self._h11.send(h11.Data(data=request.body)) or b""
            self.transport.write(out + (self._h11.send(h11.EndOfMessage()) or b""))  # one send: head and body together
        except h11.LocalProtocolError as e:
            raise UpstreamError("protocol", str(e)) from e
        while isinstance(event := await self._event(), h11.InformationalResponse):
            if event.status_code == 101:
                raise UpstreamError("protocol", "the provider switched protocols unasked", reused=self.reused)
        if not isinstance(event, h11.Response):
            raise UpstreamError("protocol", "the provider's answer has no head", reused=self.reused)
        return Head(event.status_code, tuple(event.headers.raw_items()))

    async def chunk(self) -> bytes:
        taken = bytearray()
        while not self._ended and len(taken) < MAX_CHUNK:
            event = self._next() if taken else await self._event()
            if isinstance(event, h11.Data):
                taken += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._ended = True
                self.trailers = tuple(event.headers.raw_items())
            else:  # all that has arrived is taken
                break
        return bytes(taken)

    def release(self, complete: bool) -> None:
        if not self._busy:
            return
        self._busy = False
        done = self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE
        if not complete or not done or self._eof or self.closed or self._h11.trailing_data[0]:
            self.close()
            return
        self.served += 1
        self._h11.start_next_cycle()
        self._park(self)

    def distrust(self) -> None:
        self.close()

    def _next(self) -> Any:
        try:
            event = self._h11.next_event()
        except h11.RemoteProtocolError as e:
            raise UpstreamError("reset" if self._eof else "protocol", str(e), reused=self.reused) from e
        self._dry = event is h11.NEED_DATA
        return event

    async def _event(self) -> Any:
        while self._dry or (event := self._next()) is h11.NEED_DATA:
            if self.closed and not self._eof:  # a reset, not an end: it must not complete a body of open length
                raise UpstreamError("reset", self.why, reused=self.reused)
            self._undigested = 0
            if not self.closed:
                self.transport.resume_reading()
            await self._waiter.wait()
        if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            raise UpstreamError("reset", self.why, reused=self.reused)
        return event

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            self.close()
            return
        self._h11.receive_data(data)
        self._undigested += len(data)
        if self._undigested > READ_AHEAD:
            self.transport.pause_reading()
        self._arrived()

    def eof_received(self) -> bool:
        self._eof = True
        if not self._busy:
            self.close()
        else:
            self._h11.receive_data(b"")
            self._arrived()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._expiry:
            self._expiry.cancel()
        self._arrived()

    def _arrived(self) -> None:
        self._dry = False
        self._waiter.wake()
