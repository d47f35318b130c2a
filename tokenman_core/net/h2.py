"""HTTP/2 to a provider, parsed by h2: many calls at once on one connection.

A stream's window is refilled when its consumer takes bytes, and the connection's window is far larger: a slow consumer stops
its own stream and no other.
"""

from asyncio import Transport
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from tokenman_core.net.wire import HOP_BY_HOP, MAX_HEAD, READ_AHEAD, Connection, Request, UpstreamError, Waiter
from tokenman_core.verdicts import Head, Headers

CONNECTION_WINDOW = 64 << 20
BEFORE_SETTINGS = 10  # streams that we dare to open before the peer has said how many it takes
MOST_STREAMS = 1000
LAST_ID = (1 << 31) - MOST_STREAMS  # RFC 9113 §5.1.1: ids are not used again, so a connection has an end


class _PatientH2(h2.connection.H2Connection):
    """h2 takes any GOAWAY for the end. RFC 9113 §6.8: streams up to `last_stream_id` may finish."""

    def _receive_goaway_frame(self, frame: Any) -> tuple[list[Any], list[h2.events.Event]]:
        event = h2.events.ConnectionTerminated()
        event.error_code, event.last_stream_id = frame.error_code, frame.last_stream_id
        return [], [event]


class H2(Connection):
    def __init__(self, transport: Transport, lost: "Callable[[H2], None]") -> None:
        super().__init__(transport, lost)
        config = h2.config.H2Configuration(
            client_side=True, header_encoding=None, normalize_inbound_headers=False,
            validate_outbound_headers=False, normalize_outbound_headers=False,
        )  # fmt: skip
        self.conn = _PatientH2(config)
        codes = h2.settings.SettingCodes
        values = {codes.ENABLE_PUSH: 0, codes.INITIAL_WINDOW_SIZE: READ_AHEAD, codes.MAX_HEADER_LIST_SIZE: MAX_HEAD}
        self.conn.local_settings = h2.settings.Settings(client=True, initial_values=values)
        self.streams: dict[int, H2Stream] = {}
        self.retired = False
        self._settled = False
        self._reserved = 0
        self.conn.initiate_connection()
        self.conn.increment_flow_control_window(CONNECTION_WINDOW)
        self.flush()

    @property
    def has_room(self) -> bool:
        limit = (
            min(self.conn.remote_settings.max_concurrent_streams, MOST_STREAMS) if self._settled else BEFORE_SETTINGS
        )
        usable = not self.retired and not self.closed and self.conn.highest_outbound_stream_id < LAST_ID
        return usable and len(self.streams) + self._reserved < limit

    def open_stream(self) -> "H2Stream":
        self._reserved += 1  # its id is taken when the request is sent; until then it holds a place
        return H2Stream(self, reused=self.served > 0)

    def begin(self, stream: "H2Stream") -> int:
        self._reserved -= 1
        self.served += 1
        stream_id = self.conn.get_next_available_stream_id()
        self.streams[stream_id] = stream
        return stream_id

    def end(self, stream: "H2Stream") -> None:
        if stream.id is None:
            self._reserved -= 1
        else:
            self.streams.pop(stream.id, None)
        if self.retired and not self.streams:
            self.close()
        else:
            self.on_room()

    on_room: Callable[[], None] = staticmethod(lambda: None)  # the pool's: somebody may wait for a free stream

    def retire(self) -> None:
        self.retired = True
        self._lost(self)
        if not self.streams and not self._reserved:
            self.close()

    def flush(self) -> None:
        if data := self.conn.data_to_send():
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        try:
            events = self.conn.receive_data(data)
        except (
            h2.exceptions.ProtocolError,
            ValueError,
            IndexError,
        ) as e:  # the latter two were seen from h2 on fuzzed frames
            self.why = f"HTTP/2 protocol error: {type(e).__name__}"
            self.flush()
            self.close()
            return
        for event in events:
            self._handle(event)
        self.flush()

    def _handle(self, event: h2.events.Event) -> None:
        stream = self.streams.get(getattr(event, "stream_id", None) or 0)
        match event:
            case h2.events.DataReceived():
                if stream:
                    stream.received(event.data or b"", event.flow_controlled_length or 0)
                else:  # given up: only the connection's window is to be refilled
                    self.conn.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            case h2.events.ResponseReceived() if stream:
                headers = tuple((bytes(k), bytes(v)) for k, v in event.headers or ())
                status = int(next(v for k, v in headers if k == b":status"))
                stream.response = Head(status, tuple(pair for pair in headers if not pair[0].startswith(b":")))
                stream.waiter.wake()
            case h2.events.TrailersReceived() if stream:
                stream.trailers = tuple((bytes(k), bytes(v)) for k, v in event.headers or ())
            case h2.events.StreamEnded() if stream:
                stream.ended = True
                stream.waiter.wake()
            case h2.events.StreamReset() if stream:
                # RFC 9113 §8.1: NO_ERROR after a whole answer only means that the rest of the request is not wanted.
                if not (stream.ended and event.error_code == h2.errors.ErrorCodes.NO_ERROR):
                    stream.fail("the provider reset the stream")
            case h2.events.ConnectionTerminated():
                for stream_id, other in list(self.streams.items()):
                    if stream_id > (event.last_stream_id or 0) or event.error_code:
                        other.fail("the provider is closing the connection")
                self.retire()
            case h2.events.RemoteSettingsChanged() | h2.events.WindowUpdated():
                self._settled = self._settled or isinstance(event, h2.events.RemoteSettingsChanged)
                for other in self.streams.values():
                    other.waiter.wake()
                self.on_room()
            case _:
                pass

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.retired = True
        super().connection_lost(exc)
        for stream in list(self.streams.values()):
            stream.fail(self.why)


class H2Stream:
    def __init__(self, connection: H2, reused: bool) -> None:
        self._connection, self.reused = connection, reused
        self.id: int | None = None
        self.response: Head | None = None
        self.trailers: Headers = ()
        self.ended = False
        self.waiter = Waiter()
        self._error = ""
        self._pieces: deque[bytes] = deque()
        self._unacknowledged = 0
        self._released = False

    async def head(self, request: Request) -> Head:
        connection = self._connection
        if connection.retired or connection.closed:
            raise UpstreamError("reset", connection.why, reused=self.reused)
        authority = next((v for k, v in request.headers if k.lower() == b"host"), request.host.encode())
        fields = [(b":method", request.method), (b":scheme", request.scheme.encode()), (b":authority", authority)]
        fields.append((b":path", request.path))
        dropped = HOP_BY_HOP | {b"host", b"content-length"}
        fields += [(name, v) for k, v in request.headers if (name := k.lower()) not in dropped]
        if request.framed:
            fields.append((b"content-length", b"%d" % len(request.body)))
        self.id = connection.begin(self)
        try:
            connection.conn.send_headers(self.id, fields, end_stream=not request.body)
            await self._send(request.body)
        except h2.exceptions.ProtocolError as e:
            raise UpstreamError("protocol", type(e).__name__, reused=self.reused) from e
        while not self.response:
            self._check()
            await self.waiter.wait()
        return self.response

    async def _send(self, body: bytes) -> None:
        """Uploads as the windows allow; a provider that answers early need not read the rest."""
        conn, at = self._connection.conn, 0
        assert self.id is not None
        while at < len(body) and not self.response:
            self._check()
            room = min(conn.local_flow_control_window(self.id), conn.max_outbound_frame_size)
            if room > 0:
                piece = body[at : at + room]
                at += len(piece)
                conn.send_data(self.id, piece, end_stream=at == len(body))
            else:
                self._connection.flush()
                await self.waiter.wait()
        self._connection.flush()

    async def chunk(self) -> bytes:
        while not self._pieces and not self.ended:
            self._check()
            await self.waiter.wait()
        if not self._pieces:
            return b""
        taken = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._acknowledge()
        return taken

    def received(self, data: bytes, length: int) -> None:
        self._unacknowledged += length
        if data:
            self._pieces.append(data)
            self.waiter.wake()

    def _acknowledge(self) -> None:
        # Only now: the stream's window is what keeps a provider from running ahead of a slow consumer.
        count, self._unacknowledged = self._unacknowledged, 0
        if count and self.id is not None and not self._connection.closed:
            with suppress(h2.exceptions.ProtocolError):  # it was reset in the same moment
                self._connection.conn.acknowledge_received_data(count, self.id)
            self._connection.flush()

    def release(self, complete: bool) -> None:
        if self._released:
            return
        self._released = True
        connection = self._connection
        if self.id is not None and not connection.closed:
            self._acknowledge()
            if not (complete and self.ended) and not self._error:
                with suppress(h2.exceptions.ProtocolError):  # it ended in the same moment
                    connection.conn.reset_stream(self.id, h2.errors.ErrorCodes.CANCEL)
                connection.flush()
        connection.end(self)

    def distrust(self) -> None:
        self._connection.retire()

    def fail(self, why: str) -> None:
        self._error = why
        self.waiter.wake()

    def _check(self) -> None:
        if self._error:
            raise UpstreamError("reset", self._error, reused=self.reused)
