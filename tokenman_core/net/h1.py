"""HTTP/1.1 to a provider, parsed by httptools: one call at a time on a connection that is kept."""

import asyncio
import ssl
from dataclasses import dataclass

import httptools

from tokenman_core.headers import first
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


class _Answer:
    """What the parser has read of one answer. Its methods are the parser's callbacks.

    `head_request`: the answer to HEAD ends with its head, whatever length that states (RFC 9112 §6.3), which llhttp is not told.
    """

    def __init__(self, *, head_request: bool) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._head_request = head_request
        self.head: Head | None = None
        self.trailers: Headers = ()
        self.pieces: list[bytes] = []
        self.ended = self.kept = False  # the last byte was read; another call may follow it on its connection
        self.excess = False  # bytes came behind it
        self._fields: list[tuple[bytes, bytes]] = []
        self._until_close = False
        self._quiet = (
            0  # bytes since the last that belonged to a body: of heads, trailers and what chunks are framed by
        )

    def feed(self, data: bytes) -> None:
        """Raises UpstreamError("protocol")."""
        if self.ended:
            self.excess = True
            return
        self._quiet += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as e:
            cause = e.__context__  # what a callback raises is wrapped
            if self.ended:  # the answer itself is whole
                self.excess = not (isinstance(cause, _Whole) and data.endswith(b"\r\n\r\n"))
                return
            if isinstance(cause, UpstreamError):
                raise cause from None
            raise UpstreamError("protocol", f"the answer is not HTTP ({e})") from e
        if self._quiet > MAX_HEAD and not self.ended:
            raise _too_large()

    def eof(self) -> bool:
        """The connection was closed. Whether the answer is whole with that (RFC 9112 §6.3)."""
        self.ended = self.ended or self._until_close
        return self.ended

    # -- callbacks --

    def on_message_begin(self) -> None:
        if self.ended:
            self.excess = True
        self._fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.ended:
            self._fields.append((name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self.ended or (100 <= status < 200 and status != 101):
            return
        if self._parser.get_http_version() not in ("1.1", "1.0") or status < 200:
            raise UpstreamError("protocol", "the provider's answer has no head")
        headers, self._fields = tuple(self._fields), []
        _bounded(headers)
        coding = first(headers, b"transfer-encoding")
        if coding is not None and coding.lower() != b"chunked":
            raise UpstreamError("protocol", "the answer is in a transfer coding that cannot be read")
        self.head = Head(status, headers)
        self._quiet = 0
        if self._head_request:
            named = b",".join(value for name, value in headers if name.lower() == b"connection")
            closes = b"close" in {each.strip() for each in named.lower().split(b",")}
            self.ended, self.kept = True, self._parser.get_http_version() == "1.1" and not closes
            raise _Whole
        bodiless = status in (204, 304)
        self._until_close = not bodiless and coding is None and first(headers, b"content-length") is None

    def on_body(self, data: bytes) -> None:
        if not self.ended:
            self.pieces.append(data)
            self._quiet = 0

    def on_message_complete(self) -> None:
        if self.ended or self.head is None:
            return
        self.trailers = tuple(self._fields)
        _bounded(self.trailers)
        self.ended, self.kept = True, self._parser.should_keep_alive()


class _Whole(Exception):
    """Ends the parser's work behind the head of an answer to HEAD."""


class H1(Connection):
    """Bytes that arrive while it is parked belong to no call (a farewell 408, say): it is closed then."""

    def __init__(self, transport: asyncio.Transport, keeper: Keeper, via: Via | None = None) -> None:
        super().__init__(transport, keeper)
        self._via = via
        self._answer: _Answer | None = None  # of the call that has it
        self._sent = self._heard = self._eof = False
        self._written = False  # all of the request was given to the transport
        self._held = 0
        self._since = 0.0  # when the call set out on it
        self._failure: UpstreamError | None = None  # comes after the bytes that were read before it
        self._waiter = Waiter()

    @property
    def trailers(self) -> Headers:
        assert self._answer
        return self._answer.trailers

    @property
    def usable(self) -> bool:
        return not (self.closed or self._eof or self._heard)

    def take(self) -> "H1":
        self.keep_until(0)
        self._answer = _Answer(head_request=False)
        self._sent = self._heard = self._written = False
        return self

    async def head(self, request: Request) -> Head:
        if not self.usable:
            raise self.broken
        self._sent, self._since = True, asyncio.get_running_loop().time()
        answer = self._answer = _Answer(head_request=request.method == b"HEAD")
        await self._send(request, answer)
        while answer.head is None:
            await self._more(0)
        if answer.head.status == 408 and self.served:
            # RFC 9110 §15.5.9: the provider gave up waiting for a request just as this one was sent.
            raise UpstreamError("reset", "the provider had timed the kept connection out", untouched=True)
        return answer.head

    async def chunk(self, idle: float = 0) -> bytes:
        answer = self._answer
        assert answer
        while not answer.pieces:
            if answer.ended and self._failure is None:
                return b""
            await self._more(idle)
        pieces, answer.pieces = answer.pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def release(self, complete: bool) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if not self._sent and self.usable:
            self.keeper.ready(self)
            return
        # A provider may answer before it has read all of the request: what is unsent would be read as the next one.
        sent = self._written and not self.transport.get_write_buffer_size()
        if not (complete and sent and answer.kept) or answer.excess or self._eof or self.closed:
            self.close()
            return
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

    async def _send(self, request: Request, answer: _Answer) -> None:
        """An answer that comes before the upload's end ends the upload."""
        target, headers = request.path, h1_headers(request)
        if self._via:
            target = b"http://" + address(request.host, request.port, 80) + target
            headers += self._via.headers
        lines = [b"%s %s HTTP/1.1\r\n" % (request.method, target)]  # framing.check has looked at every byte of it
        lines += [b"%s: %s\r\n" % pair for pair in headers]
        body = request.body
        self.transport.write(b"%s\r\n%s" % (b"".join(lines), body[:PIECE]))  # head and small bodies in one send
        for at in range(PIECE, len(body), PIECE):
            await asyncio.sleep(0)  # a large body must not hold the event loop
            while self.blocked and answer.head is None and self._failure is None:
                await self._waiter.wait(0)
            if answer.head is not None:
                return
            self._broken_off()
            self.transport.write(body[at : at + PIECE])
        self._written = True

    async def _more(self, idle: float) -> None:
        """Returns when something was read. Raises UpstreamError where there will be nothing, TimeoutError after `idle` seconds."""
        self._broken_off()
        self._held = 0
        self.transport.resume_reading()
        await self._waiter.wait(idle)

    def _broken_off(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self.closed:  # a reset, not an end: it must not complete a body of open length
            raise self._reset()

    def _reset(self) -> UpstreamError:
        late = asyncio.get_running_loop().time() - self._since > AT_ONCE_S
        if stale := self.served > 0 and not self._heard and not late:
            self.keeper.stale()
        return UpstreamError("reset", self.why, stale=stale, worked=late)

    def received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            self.close()
            return
        self._heard = True
        if self._failure is None:
            try:
                answer.feed(data)
            except UpstreamError as e:
                self._failure = e
        self._held += len(data)
        if self._held >= HOLD:
            self.transport.pause_reading()
        self.woken()

    def eof_received(self) -> bool:
        self._eof = True
        answer = self._answer
        if answer is None:
            self.close()
        elif _truncated(self.transport):
            self.why = "the provider ended TLS without saying so"
        else:
            if not answer.eof() and self._failure is None:
                self._failure = self._reset()
            self.woken()
        return False

    def woken(self) -> None:
        self._waiter.wake()
        if self.closed:
            self._waiter.rest()


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
    if sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD:
        raise _too_large()


def _too_large() -> UpstreamError:
    return UpstreamError("protocol", f"the head of the answer is over {MAX_HEAD} bytes")
