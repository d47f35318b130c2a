"""Bytes as they are: an upstream that keeps what it received, and a client that sends what it is told."""

import re
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

import h2.connection
import h2.events

from tests.e2e.harness import Proxy

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)


class Recorder:
    """A plain HTTP/1.1 server on loopback. `connections` holds, for each, all bytes that came; `answer` is always the same.

    It reads requests by their framing alone, as a simple server does: what a smuggler hides is a request of its own here.
    """

    def __init__(self, answer: bytes = OK, tls: ssl.SSLContext | None = None) -> None:
        self.connections: list[bytearray] = []
        self.requests: list[bytes] = []
        self._changed = threading.Condition()
        recorder = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                connection = tls.wrap_socket(self.request, server_side=True) if tls else self.request
                kept = bytearray()
                recorder.connections.append(kept)
                rest = b""
                while data := connection.recv(65536):
                    kept += data
                    rest += data
                    while size := whole(rest):
                        recorder.note(rest[:size])
                        rest = rest[size:]
                        connection.sendall(answer)

            def finish(self) -> None:
                recorder.note(None)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                """A client that breaks off is no news here."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def seen(self) -> bytes:
        return b"\n".join(bytes(one) for one in self.connections)

    def note(self, request: bytes | None) -> None:
        with self._changed:
            if request is not None:
                self.requests.append(request)
            self._changed.notify_all()

    def wait(self, count: int, seconds: float = 15.0) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: len(self.requests) >= count, seconds)

    def clear(self) -> None:
        self.connections.clear()
        self.requests.clear()


def whole(data: bytes) -> int:
    """How long the first message in `data` is, 0 while it is not whole."""
    head, blank, rest = data.partition(b"\r\n\r\n")
    if not blank:
        return 0
    start = len(head) + 4
    if CHUNKED.search(head):
        end = re.search(rb"(?:^|\r\n)0\r\n(?:[^\r\n]+\r\n)*\r\n", rest)
        return start + end.end() if end else 0
    length = LENGTH.search(head)
    size = int(length[1]) if length else 0
    return start + size if len(rest) >= size else 0


def dial(proxy: Proxy, seconds: float = 10.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=seconds)


def until_closed(connection: socket.socket) -> bytes:
    """All that comes until the other side closes; a reset is a close. Raises TimeoutError."""
    got = b""
    try:
        while data := connection.recv(65536):
            got += data
    except (ConnectionError, ssl.SSLError):
        pass
    return got


def answer(connection: socket.socket) -> bytes:
    """One message, whole. What comes after it in the same packet is lost: for several at once see `answers`."""
    return answers(connection, 1)[0]


def answers(connection: socket.socket, count: int) -> list[bytes]:
    """That many messages, each whole; fewer, and what came of the last, if the other side closes."""
    got = b""
    found: list[bytes] = []
    while len(found) < count:
        if size := whole(got):
            found.append(got[:size])
            got = got[size:]
        elif data := connection.recv(65536):
            got += data
        else:
            return [*found, got]
    return found


def send(proxy: Proxy, data: bytes, seconds: float = 10.0) -> bytes:
    """What comes back for these bytes until the proxy closes; nothing more is sent, but nothing is closed either."""
    with dial(proxy, seconds) as connection:
        try:
            connection.sendall(data)
        except ConnectionError:  # it has answered and closed before it read all
            pass
        return until_closed(connection)


def head(data: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers of an answer."""
    lines = data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines[1:])
    return int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in fields}


def connect(connection: socket.socket, place: str) -> bytes:
    """Asks for a tunnel; the answer's head."""
    connection.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
    return answer(connection)


@contextmanager
def tunnel(proxy: Proxy, place: str = "api.anthropic.com:443") -> Iterator[socket.socket]:
    with dial(proxy) as connection:
        got = connect(connection, place)
        assert got.startswith(b"HTTP/1.1 200"), got
        yield connection


@contextmanager
def opened(
    proxy: Proxy, place: str = "api.anthropic.com:443", name: str = "api.anthropic.com"
) -> Iterator[ssl.SSLSocket]:
    """A tunnel whose TLS the proxy opens: verified by its authority alone."""
    with tunnel(proxy, place) as connection, proxy.trust().wrap_socket(connection, server_hostname=name) as inner:
        yield inner


def h2_socket(proxy: Proxy, host: str = "api.anthropic.com") -> ssl.SSLSocket:
    """A tunnel in which HTTP/2 was agreed on; nothing was said yet."""
    connection = dial(proxy)
    assert connect(connection, f"{host}:443").startswith(b"HTTP/1.1 200")
    context = proxy.trust(only_h2=True)
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(connection, server_hostname=host)


class H2Client:
    """Several calls on one HTTP/2 connection through a tunnel; each can be reset alone."""

    def __init__(self, proxy: Proxy, host: str = "api.anthropic.com") -> None:
        self._tls = h2_socket(proxy, host)
        self._h2 = h2.connection.H2Connection()
        self._h2.initiate_connection()
        self._host = host
        self.heads: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, bytes] = {}
        self.trailers: dict[int, dict[str, str]] = {}
        self.ended: dict[int, str] = {}  # stream -> "end" or "reset"
        self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tls.close()

    def _flush(self) -> None:
        self._tls.sendall(self._h2.data_to_send())

    def post(
        self,
        path: str,
        body: bytes,
        headers: dict[str, str],
        trailers: dict[str, str] | None = None,
        length: bool = False,
    ) -> int:
        """Begins a call; its stream's number. Without `length` it has no content-length, as HTTP/2 allows."""
        stream: int = self._h2.get_next_available_stream_id()
        fields = {":method": "POST", ":path": path, ":scheme": "https", ":authority": self._host} | headers
        if length:
            fields["content-length"] = str(len(body))
        self._h2.send_headers(stream, list(fields.items()))
        self._h2.send_data(stream, body, end_stream=not trailers)
        if trailers:
            self._h2.send_headers(stream, list(trailers.items()), end_stream=True)
        self.bodies[stream] = b""
        self._flush()
        return stream

    def begin(self, path: str, part: bytes, headers: dict[str, str]) -> int:
        """Begins a call whose body goes on, and sends no more of it; its stream's number."""
        stream: int = self._h2.get_next_available_stream_id()
        fields = {":method": "POST", ":path": path, ":scheme": "https", ":authority": self._host} | headers
        self._h2.send_headers(stream, list(fields.items()))
        self._h2.send_data(stream, part)
        self.bodies[stream] = b""
        self._flush()
        return stream

    @property
    def tls(self) -> ssl.SSLSocket:
        return self._tls

    def get(self, path: str, headers: dict[str, str], method: str = "GET") -> int:
        """Begins a call without a body; its stream's number."""
        stream: int = self._h2.get_next_available_stream_id()
        fields = {":method": method, ":path": path, ":scheme": "https", ":authority": self._host} | headers
        self._h2.send_headers(stream, list(fields.items()), end_stream=True)
        self.bodies[stream] = b""
        self._flush()
        return stream

    def send(self, data: bytes) -> None:
        """Bytes that h2 knows nothing of."""
        self._tls.sendall(data)

    def reset(self, stream: int) -> None:
        self._h2.reset_stream(stream)
        self._flush()

    def until(self, done: Callable[[], bool]) -> None:
        """Reads until the condition holds. Raises TimeoutError, ConnectionError."""
        while not done():
            data = self._tls.recv(65536)
            if not data:
                raise ConnectionError("the connection ended")
            for event in self._h2.receive_data(data):
                match event:
                    case h2.events.ResponseReceived(stream_id=int(stream), headers=list(fields)):
                        self.heads[stream] = {str(k, "latin-1"): str(v, "latin-1") for k, v in fields}
                    case h2.events.DataReceived(
                        stream_id=int(stream), data=bytes(piece), flow_controlled_length=int(size)
                    ):
                        self.bodies[stream] += piece
                        self._h2.acknowledge_received_data(size, stream)
                    case h2.events.TrailersReceived(stream_id=int(stream), headers=list(fields)):
                        self.trailers[stream] = {str(k, "latin-1"): str(v, "latin-1") for k, v in fields}
                    case h2.events.StreamEnded(stream_id=int(stream)):
                        self.ended[stream] = "end"
                    case h2.events.StreamReset(stream_id=int(stream)):
                        self.ended[stream] = "reset"
            self._flush()
