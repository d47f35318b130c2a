"""The side that faces the client: mitmproxy's HTTP/1 and HTTP/2 servers, with bounds on what a stranger can make grow."""

import asyncio
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h2.errors
import h2.events
import h11
from hyperframe.frame import GoAwayFrame
from mitmproxy import http

from addons.proxy import deadlines
from addons.proxy.http1_answer import LINGER_S, Ending
from addons.proxy.http1_head import BadHead, Chunks, read_head
from addons.proxy.internals import (
    Context,
    ErrorCode,
    Http1Server,
    Http2Server,
    HttpEvent,
    ReceiveBuffer,
    ReceiveHttp,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseHeaders,
    ResponseTrailers,
    commands,
    events,
    make_body_reader,
)
from tokenman_core.net.frames import FrameError, Frames

if TYPE_CHECKING:
    from addons.proxy.door import Door, Refusal

Commands = Generator[commands.Command, Any]

MAX_PIPELINED = 1 << 20  # bytes that a client may send while its call is answered


UNREAD_S = 5.0
"""How long what comes behind a last answer is read and thrown away. Closed with something unread, the connection would be reset,
and the answer lost."""


@dataclass
class RawAnswer(HttpEvent):
    """Bytes of an answer, framed already. `ending`: more is to come, or what becomes of the connection behind it. "shut": nothing
    that comes on it is read any more."""

    data: bytes
    ending: Ending


# What the stock server must know of an answer at its end: whether the connection is kept. Not 200, which after a CONNECT
# would make it a tunnel.
_KEPT = http.Response.make(400, b"")
_CLOSED = http.Response.make(400, b"", {"connection": "close"})


class Http1Front(Http1Server):
    """Its own reading of a request, where stock code answers some that are malformed, and hands them on to be answered again."""

    def __init__(self, context: Context, door: "Door[Any]") -> None:
        super().__init__(context)
        self._door = door
        self._in_head = self._lingers = False
        self._answered = False  # the client has some of an answer to the request that is read

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        if not isinstance(event, events.DataReceived):
            yield from super().read_headers(event)
            return
        if self.buf and not self._in_head:
            self._in_head = True
            deadlines.arm(self.context.client, self._door.header_timeout)
        size = len(self.buf)
        lines = self.buf.maybe_extract_lines()
        if lines == [] and (size := len(self.buf)):  # RFC 9112 §2.2: some send one line end too many behind a body
            lines = self.buf.maybe_extract_lines()
        if not lines:
            if len(self.buf) > self._door.head_cap:
                yield from self._refuse(self._door.head_too_large().last)
            return
        self._in_head = False
        try:
            self.request, length = read_head([bytes(line) for line in lines], size - len(self.buf))
        except BadHead as bad:
            yield from self._refuse(self._door.malformed(bad.message, bad.status))
            return
        self.body_reader = Chunks() if length is None else make_body_reader(length)
        self.state = self.read_body
        yield ReceiveHttp(RequestHeaders(self.stream_id, self.request, length == 0))
        yield from self.read_body(event)

    def read_body(self, event: events.Event) -> Commands:
        received = isinstance(event, events.DataReceived)
        while self.state == self.read_body:
            try:
                part = self.body_reader(self.buf) if received else self.body_reader.read_eof()
            except h11.ProtocolError as e:
                yield from self._garbled(str(e), left=not received)
                return
            match part:
                case None:
                    return
                case h11.Data():
                    yield ReceiveHttp(RequestData(self.stream_id, bytes(part.data)))
                case h11.EndOfMessage():  # trailers are dropped, as RFC 9110 §6.5.1 allows
                    assert self.request
                    if self.request.data.method.upper() != b"CONNECT":
                        yield ReceiveHttp(RequestEndOfMessage(self.stream_id))
                    yield from self.mark_done(request=True)
                    return

    def _garbled(self, why: str, *, left: bool) -> Commands:
        """The body is not framed as it should be, or the client left within it."""
        code = ErrorCode.CLIENT_DISCONNECTED if left else ErrorCode.GENERIC_CLIENT_ERROR
        if left:
            yield commands.CloseConnection(self.conn)
        yield ReceiveHttp(RequestProtocolError(self.stream_id, f"HTTP/1 protocol error: {why}", code=code))
        if left or self.state != self.read_body:  # whose call it is has answered
            return
        if self._answered:
            yield from self._shut()
        else:
            yield from self._refuse(self._door.malformed("The request's body is not framed as its headers say."))

    def _refuse(self, refusal: "Refusal") -> Commands:
        """The last answer on this connection."""
        yield commands.SendData(self.conn, refusal.http1)
        yield from self._shut()

    def _shut(self) -> Commands:
        self.state = self.spent
        self.buf = ReceiveBuffer()
        if self.context.client.tls:  # which has no half that could be closed alone
            deadlines.arm(self.context.client, LINGER_S)
        else:
            deadlines.arm(self.context.client, UNREAD_S)
            yield commands.CloseTcpConnection(self.conn, half_close=True)

    def spent(self, event: events.Event) -> Commands:
        """Nothing that comes is read any more."""
        self.buf = ReceiveBuffer()
        if isinstance(event, events.ConnectionClosed):
            yield commands.CloseConnection(self.conn)

    def send(self, event: HttpEvent) -> Commands:
        if self.state == self.spent:
            return  # what was under way when it turned out to be malformed
        if isinstance(event, RawAnswer) or (isinstance(event, ResponseHeaders) and event.response.status_code >= 200):
            self._answered = True
        if isinstance(event, RawAnswer):
            yield from self._send_raw(event)
            return
        if isinstance(event, ResponseTrailers):
            return  # stock code raises; RFC 9110 §6.5.1 lets us drop what the client did not ask for
        yield from super().send(event)

    def _send_raw(self, event: RawAnswer) -> Commands:
        if event.data:
            yield commands.SendData(self.conn, event.data)
        if event.ending == "cut":
            yield commands.CloseConnection(self.conn)
        elif event.ending == "shut":
            yield from self._shut()
        elif event.ending != "none":
            self.response = _CLOSED if event.ending == "close" else _KEPT
            self._lingers = event.ending == "linger"
            yield from self.mark_done(response=True)

    def wait(self, event: events.Event) -> Commands:
        if len(self.buf) > MAX_PIPELINED:
            deadlines.drop(self.context.client)
            return
        yield from super().wait(event)

    def mark_done(self, *, request: bool = False, response: bool = False) -> Commands:
        if self.request_done + request and self.response_done + response:
            keep = self._door.keepalive_timeout
            deadlines.arm(self.context.client, min(LINGER_S, keep or LINGER_S) if self._lingers else keep)
            self._answered = False
        yield from super().mark_done(request=request, response=response)


PREFACE = 24  # bytes before a client's first frame, RFC 9113 §3.4
MOST_IDLE = 2000  # frames at once that carry nothing of a call: pings, settings, windows, priorities, unknown ones, empty data, and
IDLE_S = 20.0  # seconds after which there may be as many again
WINDOWS = 3  # frames that a client may send for what it gets: of the stream, of the connection, and one more
PIECE = 16 << 10  # bytes that go out in one frame, as a rule
MOST_RESETS = 200  # streams that a client may give up at once; twice what it may have open, and
RESETS_S = 30.0  # seconds after which it may do so again


class Http2Front(Http2Server):
    """Headers that never end (CONTINUATION floods) are bounded by the h2 library: 64 frames, 64 KiB of decoded headers."""

    def __init__(self, context: Context, door: "Door[Any]") -> None:
        super().__init__(context)
        self._door = door
        self._resets, self._idle = Allowance(MOST_RESETS, RESETS_S), Allowance(MOST_IDLE, IDLE_S)
        self._frames = Frames(self.h2_conn.max_inbound_frame_size, PREFACE)
        self.h2_conn._frame_dispatch_table[GoAwayFrame] = _patiently

    def _handle_event(self, event: events.Event) -> Commands:
        """Frames that ask for work and bring no call, without end, are answered by the end of the connection (CVE-2019-9511 to
        -9518)."""
        if isinstance(event, events.DataReceived):
            try:
                idle = self._frames.feed(event.data)
            except FrameError as e:
                yield from self.protocol_error(str(e), h2.errors.ErrorCodes.FRAME_SIZE_ERROR)
                return
            if idle and not self._idle.take(asyncio.get_running_loop().time(), idle):
                yield from self.protocol_error("too many idle frames", h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
                return
        elif isinstance(event, ResponseData):
            self._idle.give(WINDOWS * (1 + len(event.data) // PIECE))
        yield from super()._handle_event(event)

    def handle_h2_event(self, event: h2.events.Event) -> Generator[commands.Command, Any, bool]:
        """A stream that is given up takes no room in the count of streams, though its call may be on its way to a provider
        already: begun and reset without end, they would cost much and never reach a limit (CVE-2023-44487)."""
        if isinstance(event, h2.events.StreamReset) and not self._resets.take(asyncio.get_running_loop().time()):
            yield from self.protocol_error("too many streams were given up", h2.errors.ErrorCodes.ENHANCE_YOUR_CALM)
            return True
        ended = event.stream_id if isinstance(event, h2.events.StreamEnded) else None
        state = self.streams.get(ended) if ended is not None else None
        done: bool = yield from super().handle_h2_event(event)
        if ended is not None and state is not None:
            # mitmproxy forgets a stream at its end if it is closed by then. Where its reset came in the same read it is, and
            # the call would go on without anybody to answer.
            self.streams.setdefault(ended, state)
        return done


class Allowance:
    """So many of something at once; all of it comes back evenly within `seconds`."""

    def __init__(self, most: float, seconds: float) -> None:
        self._most, self._per_s = most, most / seconds
        self._left, self._at = most, 0.0

    def take(self, now: float, count: int = 1) -> bool:
        """Whether there were so many left. `now` in seconds, by a clock that only goes on."""
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < count:
            return False
        self._left -= count
        return True

    def give(self, count: int) -> None:
        """So many more, up to the most."""
        self._left = min(self._most, self._left + count)


def _patiently(frame: GoAwayFrame) -> tuple[list[Any], list[h2.events.Event]]:
    """h2 takes any GOAWAY for the end of all streams. RFC 9113 §6.8: a client that says so without an error begins no new one,
    and waits for those that run; then it goes, or is idle.
    """
    if not frame.error_code:
        return [], []
    event = h2.events.ConnectionTerminated()
    event.error_code, event.last_stream_id = frame.error_code, frame.last_stream_id
    return [], [event]
