"""Providers that fail as they are told: each request takes the next script of a list, and the last one repeats.

A script is written once and played over HTTP/1.1 and HTTP/2, plain or under TLS; what a version has of its own (bytes on the
wire, frames) is asked for by `raw`. All of them live on one event loop in a thread.
"""

import asyncio
import resource
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import GoAwayFrame, HeadersFrame

Version = Literal["1.1", "2"]
ADDRESS = "127.0.0.2"
"""Loopback too, and not where other tests look for free ports: hundreds of listeners would take them away."""
Fields = tuple[tuple[str, str], ...]


DESCRIPTORS = 8192
"""Enough for all of them and their connections, where 1024 may be the custom."""


@dataclass
class Seen:
    """A request as it arrived. `left` is when its client gave up before the answer was complete, by `time.monotonic`."""

    at: float
    connection: int
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    left: float = 0.0

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


class Wire:
    """The provider's end of one request. `seen` is the request, `number` counts those of its upstream from 0."""

    seen: Seen
    number: int

    async def head(self, status: int, fields: Fields = (), length: int | None = None) -> None:
        """`length` is what is told of the body's; None: it is not told."""
        raise NotImplementedError

    async def data(self, data: bytes) -> None:
        raise NotImplementedError

    async def end(self, *, close: bool = False) -> None:
        """`close`: in good order, and nothing more is taken on this connection."""
        raise NotImplementedError

    async def raw(self, data: bytes) -> None:
        raise NotImplementedError

    async def half_a_head(self) -> None:
        raise NotImplementedError

    def reset(self) -> None:
        """The connection; with HTTP/2 the stream alone."""
        raise NotImplementedError

    def drop(self) -> None:
        """The connection, by a TCP reset."""
        raise NotImplementedError

    def cut(self) -> None:
        """The connection, by a FIN: TLS is told nothing of it."""
        raise NotImplementedError

    async def stall(self) -> None:
        """Until the client leaves."""
        raise NotImplementedError


Script = Callable[[Wire], Awaitable[None]]


@dataclass(frozen=True)
class AtConnect:
    """What becomes of a connection before there is a request on it: it is a script that takes a connection."""

    how: Literal["drop", "garbage", "silence"]


def _reset(writer: asyncio.StreamWriter) -> None:
    """A real RST: `abort` alone sends a FIN where nothing is unread."""
    sock = writer.get_extra_info("socket")
    if sock is not None:  # it is None once the other side has gone
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


def _cut(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_WR)


class _H1(Wire):
    def __init__(self, seen: Seen, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen, self.number, self._reader, self._writer = seen, number, reader, writer
        self.chunked = False
        self.goes_on = False  # the connection is good for another request

    async def head(self, status: int, fields: Fields = (), length: int | None = None) -> None:
        self.chunked = length is None and not any(name.lower() == "connection" for name, _ in fields)
        framing = "Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {length}"
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in fields)]
        if self.chunked or length is not None:
            lines.append(framing)
        await self.raw("\r\n".join([*lines, "", ""]).encode())

    async def data(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data)

    async def end(self, *, close: bool = False) -> None:
        if self.chunked:
            await self.raw(b"0\r\n\r\n")
        self.goes_on = not close

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def half_a_head(self) -> None:
        await self.raw(b"HTTP/1.1 200 OK\r\nContent-Type: applic")

    def reset(self) -> None:
        _reset(self._writer)

    def drop(self) -> None:
        _reset(self._writer)

    def cut(self) -> None:
        _cut(self._writer)

    async def stall(self) -> None:
        while await self._reader.read(65536):
            pass
        self.seen.left = time.monotonic()


class _H2(Wire):
    """`gone` is set when the stream was given up, `moved` whenever something came on the connection."""

    def __init__(
        self,
        seen: Seen,
        number: int,
        conn: h2.connection.H2Connection,
        stream: int,
        writer: asyncio.StreamWriter,
        gone: asyncio.Event,
        moved: asyncio.Event,
    ) -> None:
        self.seen, self.number, self._conn, self._stream, self._writer = seen, number, conn, stream, writer
        self._gone, self._moved = gone, moved

    def _flush(self) -> None:
        if not self._writer.is_closing():
            self._writer.write(self._conn.data_to_send())

    async def head(self, status: int, fields: Fields = (), length: int | None = None) -> None:
        told = () if length is None else (("content-length", str(length)),)
        mine = ((name.lower(), value) for name, value in fields if name.lower() != "connection")
        self._conn.send_headers(self._stream, [(":status", str(status)), *mine, *told])
        self._flush()

    async def data(self, data: bytes) -> None:
        for at in range(0, len(data), 16384):
            while self._conn.local_flow_control_window(self._stream) < len(data[at : at + 16384]):
                self._moved.clear()
                await self._moved.wait()
            self._conn.send_data(self._stream, data[at : at + 16384])
            self._flush()
        await self._writer.drain()

    async def end(self, *, close: bool = False) -> None:
        self._conn.end_stream(self._stream)
        self._flush()
        if close:
            await self.raw(GoAwayFrame(0, last_stream_id=self._stream).serialize())

    async def raw(self, data: bytes) -> None:
        self._flush()
        self._writer.write(data)
        await self._writer.drain()

    async def half_a_head(self) -> None:
        block = self._conn.encoder.encode([(":status", "200"), ("content-type", "application/json")])
        frame = HeadersFrame(self._stream, block, flags=["END_HEADERS"]).serialize()
        await self.raw(frame[: len(frame) // 2])

    def reset(self) -> None:
        self._conn.reset_stream(self._stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
        self._flush()

    def drop(self) -> None:
        _reset(self._writer)

    def cut(self) -> None:
        _cut(self._writer)

    async def stall(self) -> None:
        await self._gone.wait()
        self.seen.left = time.monotonic()


@dataclass
class Upstream:
    """One provider. `requests` are those that arrived, `turned_away` the connections that a script took, `stray` bytes outside
    of any request. `open` connections are there now.
    """

    scripts: Sequence[Script | AtConnect]
    version: Version = "1.1"
    tls: ssl.SSLContext | None = None
    requests: list[Seen] = field(default_factory=list)
    turned_away: int = 0
    accepted: int = 0
    open: int = 0
    stray: bytes = b""
    port: int = 0
    errors: list[BaseException] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{ADDRESS}:{self.port}"

    @property
    def hits(self) -> int:
        return len(self.requests) + self.turned_away

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, ADDRESS, 0, limit=1 << 22)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self.hang_up()

    async def hang_up(self) -> None:
        """Closes the connections that are there, and takes new ones."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _script(self) -> Script | AtConnect:
        return self.scripts[min(self.hits, len(self.scripts) - 1)]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        self.open += 1
        try:
            if isinstance(first := self._script(), AtConnect):
                self.turned_away += 1
                await self._turn_away(first, reader, writer)
                return
            if self.tls is not None:
                await writer.start_tls(self.tls)
            await (self._serve2 if self.version == "2" else self._serve1)(reader, writer, self.accepted)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, h2.exceptions.ProtocolError):
            pass
        except Exception as e:  # a script that is wrong must not pass for one that fails as it should
            self._note(e, writer)
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()

    def _note(self, error: Exception, writer: asyncio.StreamWriter) -> None:
        if not writer.is_closing():  # on a connection that is lost, whatever asyncio may say is no fault of a script's
            self.errors.append(error)

    @staticmethod
    async def _turn_away(how: AtConnect, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match how.how:
            case "drop":
                _reset(writer)
            case "garbage":
                writer.write(b"\x00\x01\x02 this is no handshake \xff\xfe\r\n\r\n")
                await writer.drain()
                await reader.read(65536)
            case "silence":
                while await reader.read(65536):
                    pass

    def _next(self, seen: Seen) -> tuple[Script, int]:
        script, number = self._script(), self.hits
        self.requests.append(seen)
        if isinstance(script, AtConnect):  # on a connection that was there before: as good as one

            async def dropped(wire: Wire) -> None:
                wire.drop()

            return dropped, number
        return script, number

    # -- HTTP/1.1 --

    async def _serve1(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as e:
                self.stray += e.partial
                return
            line, *lines = head[:-4].decode("latin-1").split("\r\n")
            fields = [(name, value.strip()) for name, _, value in (one.partition(":") for one in lines)]
            size = next((int(value) for name, value in fields if name.lower() == "content-length"), 0)
            body = await reader.readexactly(size)
            seen = Seen(time.monotonic(), connection, line.split(" ")[1], fields, body)
            script, number = self._next(seen)
            wire = _H1(seen, number, reader, writer)
            await script(wire)
            if not wire.goes_on:
                return

    # -- HTTP/2 --

    async def _serve2(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> None:
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        conn.initiate_connection()
        writer.write(conn.data_to_send())
        moved = asyncio.Event()
        heads: dict[int, list[tuple[str, str]]] = {}
        bodies: dict[int, bytes] = {}
        answers: dict[int, tuple[asyncio.Task[None], asyncio.Event, Seen]] = {}
        try:
            while data := await reader.read(65536):
                for event in conn.receive_data(data):
                    match event:
                        case h2.events.RequestReceived(stream_id=int(stream)):
                            heads[stream] = [(str(name), str(value)) for name, value in event.headers or []]
                            bodies[stream] = b""
                        case h2.events.DataReceived(stream_id=int(stream)):
                            bodies[stream] += event.data or b""
                            conn.acknowledge_received_data(event.flow_controlled_length or 0, stream)
                        case h2.events.StreamEnded(stream_id=int(stream)):
                            path = dict(heads[stream]).get(":path", "")
                            seen = Seen(time.monotonic(), connection, path, heads[stream], bodies[stream])
                            script, number = self._next(seen)
                            gone = asyncio.Event()
                            wire = _H2(seen, number, conn, stream, writer, gone, moved)
                            answers[stream] = (asyncio.ensure_future(self._play(script, wire, writer)), gone, seen)
                        case h2.events.StreamReset(stream_id=int(stream)) if stream in answers:
                            answers[stream][1].set()
                        case _:
                            pass
                moved.set()
                if writer.is_closing():
                    return
                writer.write(conn.data_to_send())
                await writer.drain()
        finally:
            for task, gone, seen in answers.values():
                gone.set()
                if not task.done():
                    seen.left = seen.left or time.monotonic()
            await asyncio.sleep(0)
            for task, _, _ in answers.values():
                task.cancel()
            await asyncio.gather(*(task for task, _, _ in answers.values()), return_exceptions=True)

    async def _play(self, script: Script, wire: Wire, writer: asyncio.StreamWriter) -> None:
        try:
            await script(wire)
        except (OSError, asyncio.CancelledError, h2.exceptions.ProtocolError):
            pass
        except Exception as e:  # as above
            self._note(e, writer)


class Upstreams:
    """Where they live. `with Upstreams() as them: them.add(Upstream([...]))`. `served` are processes that do not outlive them,
    whatever becomes of a test.
    """

    def __init__(self) -> None:
        self.served: list[subprocess.Popen[bytes]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="upstreams", daemon=True)
        self._all: list[Upstream] = []
        self._dead: list[socket.socket] = []

    def __enter__(self) -> Self:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS:  # processes that are started from here inherit it
            most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.served:
            process.kill()  # of one that has ended and was waited for it is nothing
            process.wait()
        self._run(self._close(list(self._all)))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        for sock in self._dead:
            sock.close()

    def add(self, *upstreams: Upstream) -> None:
        async def listen() -> None:
            for upstream in upstreams:
                await upstream.listen()

        self._run(listen())
        self._all += upstreams

    def close(self, *upstreams: Upstream) -> None:
        self._run(self._close(upstreams))

    def hang_up(self) -> None:
        async def all_of_them() -> None:
            await asyncio.gather(*(upstream.hang_up() for upstream in self._all))

        self._run(all_of_them())

    def nobody(self) -> str:
        """A base URL where every connection is refused, until the end: the port is taken and does not listen."""
        sock = socket.socket()
        sock.bind((ADDRESS, 0))
        self._dead.append(sock)
        return f"http://{ADDRESS}:{sock.getsockname()[1]}"

    @staticmethod
    async def _close(upstreams: Sequence[Upstream]) -> None:
        await asyncio.gather(*(upstream.close() for upstream in upstreams))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)
