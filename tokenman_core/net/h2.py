"""HTTP/2 to a provider, parsed by h2: many calls at once on one connection.

A stream's window is refilled when its consumer takes bytes, the connection's window covers all streams that we open: a slow
consumer stops its own stream and no other.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import h2.stream

from tokenman_core.net.frames import Frames
from tokenman_core.net.framing import h2_fields
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

CONNECTION_WINDOW = 64 << 20
MOST_STREAMS = CONNECTION_WINDOW // READ_AHEAD
BEFORE_SETTINGS = 10  # streams that we dare to open before the peer has said how many it takes
MOST_UNREAD = (
    1 << 20
)  # bytes of ours that a peer may leave unread; uploads stop long before, so these are answers to its frames
LAST_ID = (1 << 31) - 2 * MOST_STREAMS  # RFC 9113 §5.1.1: ids are not used again, so a connection has an end


class _Stream(h2.stream.H2Stream):
    """h2 holds a 304 to its content-length. RFC 9110 §8.6: that is the length which a 200 would have had."""

    def _initialize_content_length(self, headers: Any) -> None:
        given = list(headers)
        if (b":status", b"304") not in given:
            super()._initialize_content_length(given)


class _PatientH2(h2.connection.H2Connection):
    """h2 takes any GOAWAY for the end. RFC 9113 §6.8: streams up to `last_stream_id` may finish."""

    def _begin_new_stream(self, stream_id: int, allowed_ids: Any) -> h2.stream.H2Stream:
        stream = super()._begin_new_stream(stream_id, allowed_ids)
        stream.__class__ = _Stream
        return stream

    def _receive_goaway_frame(self, frame: Any) -> tuple[list[Any], list[h2.events.Event]]:
        event = h2.events.ConnectionTerminated()
        event.error_code, event.last_stream_id = frame.error_code, frame.last_stream_id
        return [], [event]


class H2(Connection):
    def __init__(self, transport: asyncio.Transport, keeper: Keeper, keep_s: float) -> None:
        super().__init__(transport, keeper)
        self._keep_s = keep_s
        config = h2.config.H2Configuration(
            client_side=True, header_encoding=None, normalize_inbound_headers=False,
            validate_outbound_headers=False, normalize_outbound_headers=False,
        )  # fmt: skip
        self.conn = _PatientH2(config)
        codes = h2.settings.SettingCodes
        values = {codes.ENABLE_PUSH: 0, codes.INITIAL_WINDOW_SIZE: READ_AHEAD, codes.MAX_HEADER_LIST_SIZE: MAX_HEAD}
        self.conn.local_settings = h2.settings.Settings(client=True, initial_values=values)
        self._frames = Frames(self.conn.max_inbound_frame_size)
        self.streams: dict[int, H2Stream] = {}
        self.retired = False  # it takes no new stream, those that run may finish
        self.settled = False  # the peer has said how many streams it takes
        self.malformed = False
        self._reserved = 0
        self._since, self._kept = 0.0, False  # when it was idle last, and whether it had served until then
        self.conn.initiate_connection()
        self.conn.increment_flow_control_window(CONNECTION_WINDOW - (1 << 16) + 1)
        self.flush()

    @property
    def has_room(self) -> bool:
        limit = min(self.conn.remote_settings.max_concurrent_streams, MOST_STREAMS) if self.settled else BEFORE_SETTINGS
        return self.usable and len(self.streams) + self._reserved < limit and self.conn.outbound_flow_control_window > 0

    def open_stream(self) -> "H2Stream":
        self.keep_until(0)
        self._reserved += 1  # its id is taken when the request is sent; until then it holds a place
        return H2Stream(self)

    def begin(self, stream: "H2Stream") -> int:
        self._reserved -= 1
        if not self.streams:
            self._since, self._kept = asyncio.get_running_loop().time(), self.served > 0
        self.served += 1
        stream_id = self.conn.get_next_available_stream_id()
        self.streams[stream_id] = stream
        if stream_id >= LAST_ID:
            self.retire()
        return stream_id

    def end(self, stream: "H2Stream") -> None:
        if stream.id is None:
            self._reserved -= 1
        else:
            self.streams.pop(stream.id, None)
        if self.closed:
            return
        if not self.streams and not self._reserved:
            if self.retired:
                self.close()
                return
            self.keep_until(self._keep_s)
        if self.has_room:
            self.keeper.ready(self)

    @property
    def busy(self) -> bool:
        """Whether calls run on it, or are about to."""
        return bool(self.streams or self._reserved)

    @property
    def stale(self) -> bool:
        """Whether what has broken it now broke it while it was idle."""
        return self._kept and asyncio.get_running_loop().time() - self._since <= AT_ONCE_S

    def retire(self) -> None:
        if not self.retired:
            self.retired = True
            self.keeper.gone(self)
        if not self.streams and not self._reserved:
            self.close()

    def close(self) -> None:
        self.retired = True
        super().close()

    def flush(self) -> None:
        if (data := self.conn.data_to_send()) and not self.closed:
            self.transport.write(data)

    def received(self, data: bytes) -> None:
        try:
            self._frames.feed(data)
            for event in self.conn.receive_data(data):
                self._handle(event)
        except (
            Exception
        ) as e:  # h2 raises more than its own errors on wild frames, and asyncio would take any for a reset
            self._nonsense(f"the answer is not HTTP/2 ({type(e).__name__})")
            return
        self.flush()
        if not self.closed and self.transport.get_write_buffer_size() > MOST_UNREAD:
            self._nonsense("the provider asks for answers that it does not read")

    def _nonsense(self, why: str) -> None:
        self.why, self.malformed = why, True
        self.flush()
        self.close()
        self.woken()

    @property
    def usable(self) -> bool:
        return not self.retired and not self.closed

    @property
    def broken(self) -> UpstreamError:
        """Why a call that had not set out on it cannot any more."""
        return UpstreamError("protocol" if self.malformed else "reset", self.why, untouched=True)

    def _handle(self, event: h2.events.Event) -> None:
        stream = self.streams.get(getattr(event, "stream_id", None) or 0)
        match event:
            case h2.events.DataReceived() if stream:
                stream.received(event.data or b"", event.flow_controlled_length or 0)
            case h2.events.DataReceived():  # given up: only the connection's window is to be refilled
                self.conn.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            case h2.events.ResponseReceived() if stream:
                stream.response = _head(_plain(event.headers))
                stream.waiter.wake()
            case h2.events.TrailersReceived() if stream:
                stream.trailers = _plain(event.headers)
            case h2.events.StreamEnded() if stream:
                stream.ended = True
                stream.waiter.wake()
            case h2.events.StreamReset() if stream:
                stream.reset(h2.errors.ErrorCodes(event.error_code) if event.error_code in _CODES else None)
            case h2.events.ConnectionTerminated():
                for stream_id, other in list(self.streams.items()):
                    if stream_id > (event.last_stream_id or 0):
                        other.fail("the provider is closing the connection", untouched=True)
                self.why = "the provider closed the connection"
                self.retire()
            case h2.events.RemoteSettingsChanged():
                self.settled = True
                self.woken()
                self.keeper.ready(self)
            case h2.events.WindowUpdated():
                self.woken()

    def eof_received(self) -> bool:
        self.retire()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.retired = True
        super().connection_lost(exc)

    def woken(self) -> None:
        for stream in self.streams.values():
            stream.waiter.wake()


_CODES = frozenset(int(code) for code in h2.errors.ErrorCodes)


def _plain(headers: Any) -> Headers:
    return tuple((bytes(name), bytes(value)) for name, value in headers or ())


def _head(headers: Headers) -> Head:
    """Raises ValueError for a status that is none (RFC 9110 §15: three digits; a 1xx is no answer)."""
    status = next((v for k, v in headers if k == b":status"), b"")
    if len(status) != 3 or not status.isdigit() or status < b"200":
        raise ValueError("no status")
    return Head(int(status), tuple(pair for pair in headers if not pair[0].startswith(b":")))


class H2Stream:
    def __init__(self, connection: H2) -> None:
        self._connection = connection
        self._since = 0.0  # when the call set out on it
        self.id: int | None = None
        self.response: Head | None = None
        self.trailers: Headers = ()
        self.ended = False
        self.waiter = Waiter()
        self._error: UpstreamError | None = None
        self._pieces: deque[bytes] = deque()
        self._unacknowledged = 0
        self._released = False

    @property
    def usable(self) -> bool:
        return self._connection.usable

    async def head(self, request: Request) -> Head:
        if not self.usable:
            raise self._connection.broken
        self.id, self._since = self._connection.begin(self), asyncio.get_running_loop().time()
        try:
            self._connection.conn.send_headers(self.id, h2_fields(request), end_stream=not request.body)
            await self._send(request.body)
        except h2.exceptions.TooManyStreamsError as e:  # it takes fewer than it took a moment ago
            raise UpstreamError("reset", "the provider takes no more streams", untouched=True) from e
        except h2.exceptions.ProtocolError as e:
            raise UpstreamError("protocol", f"the request cannot be sent ({type(e).__name__})") from e
        while not self.response:
            self._check()
            await self.waiter.wait()
        return self.response

    async def _send(self, body: bytes) -> None:
        """Uploads as windows and socket allow. A provider that answers early need not read the rest."""
        connection, at, flushed = self._connection, 0, 0
        assert self.id is not None
        while at < len(body) and not self.response:
            self._check()
            room = min(connection.conn.local_flow_control_window(self.id), connection.conn.max_outbound_frame_size)
            if room > 0 and not connection.blocked:
                piece = body[at : at + room]
                at += len(piece)
                connection.conn.send_data(self.id, piece, end_stream=at == len(body))
                if at - flushed >= PIECE:
                    flushed = at
                    connection.flush()
                    await asyncio.sleep(0)  # a large body must not hold the event loop
            else:
                connection.flush()
                await self.waiter.wait()
        connection.flush()

    async def chunk(self, idle: float = 0) -> bytes:
        while not self._pieces and not self.ended:
            self._check()
            await self.waiter.wait(idle)
        if not self._pieces:
            return b""
        taken = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        # Only now: the stream's window is what keeps a provider from running ahead of a slow consumer.
        count, self._unacknowledged = self._unacknowledged, 0
        self._acknowledge(count)
        self._connection.flush()
        return taken

    def received(self, data: bytes, length: int) -> None:
        self._acknowledge(length - len(data))  # padding is nobody's to take
        if data:
            self._unacknowledged += len(data)
            self._pieces.append(data)
            self.waiter.wake()

    def _acknowledge(self, count: int) -> None:
        if count and self.id is not None and not self._connection.closed:
            with suppress(h2.exceptions.ProtocolError):  # the stream was reset in the same moment
                self._connection.conn.acknowledge_received_data(count, self.id)

    def release(self, complete: bool) -> None:
        if self._released:
            return
        self._released = True
        self.waiter.rest()
        connection = self._connection
        if self.id is not None and not connection.closed:
            self._acknowledge(self._unacknowledged)
            with suppress(h2.exceptions.ProtocolError):  # both sides have ended it
                connection.conn.reset_stream(self.id, h2.errors.ErrorCodes.CANCEL)
            connection.flush()
        connection.end(self)

    def distrust(self) -> None:
        # A connection whose other end has vanished looks just like a provider that thinks. New calls go elsewhere.
        self._connection.retire()

    def reset(self, code: h2.errors.ErrorCodes | None) -> None:
        # After a whole answer it only means that the rest of the request is not wanted (RFC 9113 §8.1), and nobody looks.
        name = code.name if code is not None else "unknown code"
        # RFC 9113 §8.7: refused means that nothing was done. Any other reset was said of this very request, however long the
        # connection had served: it is no sign of a stale one.
        self.fail(f"the provider reset the stream ({name})", untouched=code is h2.errors.ErrorCodes.REFUSED_STREAM)

    def fail(self, why: str, untouched: bool) -> None:
        self._error = UpstreamError("reset", why, untouched=untouched, worked=self._worked and not untouched)
        self.waiter.wake()

    def _check(self) -> None:
        if self._error:
            raise self._error
        connection = self._connection
        if connection.malformed:
            raise UpstreamError("protocol", connection.why)
        if connection.closed:
            stale = connection.stale and self.response is None
            raise UpstreamError("reset", connection.why, stale=stale, worked=self._worked)

    @property
    def _worked(self) -> bool:
        return asyncio.get_running_loop().time() - self._since > AT_ONCE_S
