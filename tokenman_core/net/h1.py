"""HTTP/1.1 to a provider, parsed by h11: one call at a time on a connection that is kept."""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Any

import h11

from tokenman_core.net.framing import address, h1_headers
from tokenman_core.net.wire import (
    AT_ONCE_S,
    MAX_HEAD,
    PIECE,
    READ_AHEAD,
    Connection,
    Keeper,
    Request,
    UpstreamError,
    Waiter,
)
from tokenman_core.verdicts import Head, Headers

HOLD = READ_AHEAD // 2  # reading stops here; one read more may be on its way


@dataclass(frozen=True)
class Via:
    """A proxy that is told the whole address in each request (RFC 9112 §3.2.2), and what it wants to know of us."""

    headers: Headers = ()


class H1(Connection):
    """Bytes that arrive while it is parked belong to no call (a farewell 408, say): it is closed then."""

    def __init__(self, transport: asyncio.Transport, keeper: Keeper, via: Via | None = None) -> None:
        super().__init__(transport, keeper)
        self._via = via
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
        self._busy = self._sent = self._heard = self._ended = self._eof = False
        self._dry = False  # h11 has said that it needs data, and none has come since
        self._held = 0
        self._since = 0.0  # when the call set out on it
        self._failure: UpstreamError | None = None  # comes after the bytes that were read before it
        self._waiter = Waiter()
        self.trailers: Headers = ()

    @property
    def usable(self) -> bool:
        return not (self.closed or self._eof or self._heard)

    def take(self) -> "H1":
        self.keep_until(0)
        self._busy, self._sent, self._heard, self._ended, self.trailers = True, False, False, False, ()
        return self

    async def head(self, request: Request) -> Head:
        if not self.usable:
            raise self.broken
        self._sent, self._since = True, asyncio.get_running_loop().time()
        event = await self._send(request)
        while not isinstance(event, h11.Response):
            if not isinstance(event, h11.InformationalResponse):
                raise UpstreamError("protocol", "the provider's answer has no head")
            event = await self._event()
        headers = tuple(event.headers.raw_items())
        _bounded(headers)
        if event.status_code == 408 and self.served:
            # RFC 9110 §15.5.9: the provider gave up waiting for a request just as this one was sent.
            raise UpstreamError("reset", "the provider had timed the kept connection out", untouched=True)
        return Head(event.status_code, headers)

    async def chunk(self) -> bytes:
        if self._failure:
            raise self._failure
        if self._ended:
            return b""
        pieces: list[bytes] = []
        event = await self._event()
        while event is not h11.NEED_DATA:
            if isinstance(event, h11.EndOfMessage):
                self.trailers = tuple(event.headers.raw_items())
                _bounded(self.trailers)
                self._ended = True
                break
            if not isinstance(event, h11.Data):
                raise self._reset()
            pieces.append(event.data)
            try:
                event = self._next()
            except UpstreamError as e:
                self._failure = e
                break
        return b"".join(pieces)

    def release(self, complete: bool) -> None:
        if not self._busy:
            return
        self._busy = False
        if not self._sent and self.usable:
            self.keeper.ready(self)
            return
        # A provider may answer before it has read all of the request: what is unsent would be read as the next one.
        sent = self._h11.our_state is h11.DONE and not self.transport.get_write_buffer_size()
        whole = complete and sent and self._h11.their_state is h11.DONE and not self._h11.trailing_data[0]
        if not whole or self._eof or self.closed:
            self.close()
            return
        self._h11.start_next_cycle()
        self.served += 1
        self._heard, self._held = False, 0
        self.transport.resume_reading()
        self.keeper.ready(self)

    def distrust(self) -> None:
        """It ends with its call."""

    @property
    def broken(self) -> UpstreamError:
        """Why a call that had not set out on it cannot any more. Of a new one its provider may want no calls."""
        return UpstreamError("reset", self.why, untouched=self.served > 0)

    async def _send(self, request: Request) -> Any:
        """The request; what is read of the answer first. An answer that comes before the upload's end ends the upload."""
        target, headers = request.path, h1_headers(request)
        if self._via:
            target = b"http://" + address(request.host, request.port, 80) + target
            headers += self._via.headers
        body = request.body
        try:
            out = self._h11.send(h11.Request(method=request.method, target=target, headers=list(headers))) or b""
            for at in range(0, len(body), PIECE):
                out += self._h11.send(h11.Data(data=body[at : at + PIECE])) or b""
                if at + PIECE < len(body):
                    self.transport.write(out)
                    out = b""
                    if (event := await self._early()) is not None:
                        return event
            self.transport.write(out + (self._h11.send(h11.EndOfMessage()) or b""))  # head and small bodies in one send
        except h11.LocalProtocolError as e:
            raise UpstreamError("protocol", f"the request cannot be sent ({e})") from e
        return await self._event()

    async def _early(self) -> h11.Response | None:
        """Waits until more can be sent, and looks whether the answer is there already."""
        await asyncio.sleep(0)  # a large body must not hold the event loop
        while True:
            while not self._dry and (event := self._next()) is not h11.NEED_DATA:
                if isinstance(event, h11.Response):
                    return event
                if not isinstance(event, h11.InformationalResponse):
                    raise self._reset()
            if self.closed:
                raise self._reset()
            if not self.blocked:
                return None
            await self._waiter.wait()

    async def _event(self) -> Any:
        while self._dry or (event := self._next()) is h11.NEED_DATA:
            if self.closed:  # a reset, not an end: it must not complete a body of open length
                raise self._reset()
            self._held = 0
            self.transport.resume_reading()
            await self._waiter.wait()
        if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
            raise self._reset()
        return event

    def _next(self) -> Any:
        try:
            event = self._h11.next_event()
        except h11.RemoteProtocolError as e:
            if self._eof:
                raise self._reset() from e
            raise UpstreamError("protocol", f"the answer is not HTTP ({e})") from e
        self._dry = event is h11.NEED_DATA
        return event

    def _reset(self) -> UpstreamError:
        late = asyncio.get_running_loop().time() - self._since > AT_ONCE_S
        if stale := self.served > 0 and not self._heard and not late:
            self.keeper.stale()
        return UpstreamError("reset", self.why, stale=stale, worked=late)

    def received(self, data: bytes) -> None:
        if not self._busy:
            self.close()
            return
        self._heard = True
        self._h11.receive_data(data)
        self._held += len(data)
        if self._held >= HOLD:
            self.transport.pause_reading()
        self.woken()

    def eof_received(self) -> bool:
        self._eof = True
        if not self._busy:
            self.close()
        elif _truncated(self.transport):
            self.why = "the provider ended TLS without saying so"
        else:
            self._h11.receive_data(b"")
            self.woken()
        return False

    def woken(self) -> None:
        self._dry = False
        self._waiter.wake()


def _truncated(transport: asyncio.Transport) -> bool:
    """Whether TLS ended without close_notify (RFC 8446 §6.1): anybody on the way can do that. asyncio does not tell."""
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return False
    try:
        return bool(tls.read(1))
    except ssl.SSLError:
        return True


def _bounded(headers: Headers) -> None:
    # h11 bounds a head only while it is incomplete.
    if sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD:
        raise UpstreamError("protocol", f"the head of the answer is over {MAX_HEAD} bytes")
