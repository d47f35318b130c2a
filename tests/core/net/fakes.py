"""Scripted providers on loopback: HTTP/1.1 by raw bytes, HTTP/2 by h2, plain and TLS, with certificates made at run time."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hyperframe.frame import GoAwayFrame


@dataclass
class Seen:
    """A request as it arrived, and the number of the connection it came on."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    connection: int

    def header(self, name: bytes) -> bytes | None:
        return next((v for k, v in self.headers if k.lower() == name), None)


def ok(body: bytes = b"ok", *, extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (extra, len(body), body)


class Link:
    """The provider's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader, self.writer, self.number = reader, writer, number
        self.gone = asyncio.Event()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """A real RST: without the option `abort` sends a FIN where nothing is unread."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def cut(self) -> None:
        """A FIN below TLS: no close_notify."""
        self.writer.get_extra_info("socket").shutdown(socket.SHUT_WR)

    async def read_request(self) -> Seen:
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        headers = [(k, v.strip()) for k, _, v in (line.partition(b":") for line in lines)]
        seen = Seen(first, headers, b"", self.number)
        assert seen.header(b"transfer-encoding") is None
        seen.body = await self.reader.readexactly(int(seen.header(b"content-length") or 0))
        return seen


Script = Callable[[Link, Seen], Awaitable[None]]


class Fake:
    """A provider. `script` answers each HTTP/1.1 request, or `greet` takes over the bare connection."""

    def __init__(
        self, script: Script | None = None, *, greet: Callable[[Link], Awaitable[None]] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        self._script, self._greet, self.tls = script, greet, tls
        self.requests: list[Seen] = []
        self.links: list[Link] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"

    async def __aenter__(self) -> "Fake":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in self.links:
            link.writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer, len(self.links))
        self.links.append(link)
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, h2.exceptions.ProtocolError, asyncio.CancelledError):
            await (self._greet(link) if self._greet else self._serve(link))
        link.gone.set()
        self._tasks.discard(task)
        writer.close()

    async def _serve(self, link: Link) -> None:
        assert self._script
        while True:
            seen = await link.read_request()
            self.requests.append(seen)
            await self._script(link, seen)


# -- HTTP/2 --


@dataclass
class Stream:
    """One call as the provider sees it. A script awaits on it and answers."""

    fake: "Fake2"
    link: Link
    conn: h2.connection.H2Connection
    id: int
    headers: list[tuple[bytes, bytes]]
    body: bytearray = field(default_factory=bytearray)
    reset_with: int | None = None
    sent: int = 0

    def header(self, name: bytes) -> bytes | None:
        return next((v for k, v in self.headers if k == name), None)

    def flush(self) -> None:
        self.link.writer.write(self.conn.data_to_send())

    def head(self, status: int = 200, *headers: tuple[str, str], end: bool = False) -> None:
        self.conn.send_headers(self.id, [(":status", str(status)), *headers], end_stream=end)
        self.flush()

    async def data(self, data: bytes, *, end: bool = False) -> None:
        at = 0
        while at < len(data):
            while (room := min(self.conn.local_flow_control_window(self.id), 16384)) == 0:
                self.fake.moved.clear()
                await self.fake.moved.wait()
            piece = data[at : at + room]
            at += len(piece)
            self.conn.send_data(self.id, piece, end_stream=end and at == len(data))
            self.sent += len(piece)
            self.flush()
        await self.link.writer.drain()

    def end(self, *trailers: tuple[str, str]) -> None:
        if trailers:
            self.conn.send_headers(self.id, list(trailers), end_stream=True)
        else:
            self.conn.end_stream(self.id)
        self.flush()

    def reset(self, code: h2.errors.ErrorCodes) -> None:
        self.conn.reset_stream(self.id, code)
        self.flush()

    def goaway(self, last: int) -> None:
        self.link.writer.write(self.conn.data_to_send() + GoAwayFrame(0, last_stream_id=last).serialize())

    async def answer(self, body: bytes = b"ok") -> None:
        self.head(200, ("content-length", str(len(body))))
        await self.data(body, end=True)


Script2 = Callable[[Stream], Awaitable[None]]


class Fake2(Fake):
    """An HTTP/2 provider: `script` runs once a request is complete, or at its head with `early`.

    `window` False: it never lets go on with an upload; `wide`: it takes 16 MiB at once. `leaving`: its first connection
    begins with a GOAWAY.
    """

    def __init__(
        self, script: Script2, tls: ssl.SSLContext, *, most_streams: int = 100, early: bool = False, window: bool = True,
        wide: bool = False, leaving: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(greet=self._serve2, tls=tls)
        self._script2, self._most, self._early, self._window = script, most_streams, early, window
        self._wide, self._leaving = wide, leaving
        self.streams: list[Stream] = []
        self.moved = asyncio.Event()

    async def _serve2(self, link: Link) -> None:
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        codes = h2.settings.SettingCodes
        values = {codes.MAX_CONCURRENT_STREAMS: self._most} | (
            {codes.INITIAL_WINDOW_SIZE: 1 << 24} if self._wide else {}
        )
        conn.local_settings = h2.settings.Settings(client=False, initial_values=values)
        conn.initiate_connection()
        if self._wide:
            conn.increment_flow_control_window(1 << 24)
        link.writer.write(conn.data_to_send())
        if self._leaving and not link.number:
            link.writer.write(GoAwayFrame(0, last_stream_id=0).serialize())
        open_streams: dict[int, Stream] = {}
        answers: dict[int, asyncio.Task[None]] = {}
        try:
            while data := await link.reader.read(65536):
                for event in conn.receive_data(data):
                    match event:
                        case h2.events.RequestReceived():
                            stream = Stream(self, link, conn, event.stream_id, list(event.headers))
                            open_streams[event.stream_id] = stream
                            self.streams.append(stream)
                            if self._early:
                                answers[event.stream_id] = asyncio.create_task(self._script2(stream))
                        case h2.events.DataReceived():
                            open_streams[event.stream_id].body += event.data
                            if self._window:
                                conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                        case h2.events.StreamEnded() if not self._early:
                            answers[event.stream_id] = asyncio.create_task(self._script2(open_streams[event.stream_id]))
                        case h2.events.StreamReset():
                            open_streams[event.stream_id].reset_with = event.error_code
                            if task := answers.get(event.stream_id):
                                task.cancel()
                        case _:
                            pass
                self.moved.set()
                link.writer.write(conn.data_to_send())
                await link.writer.drain()
        finally:
            for task in answers.values():
                task.cancel()
            await asyncio.gather(*answers.values(), return_exceptions=True)


# -- certificates --


class Authority:
    """A CA for tests: contexts for servers that it signed and for clients that trust it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake provider CA")])
        self._cert = (
            _builder(name, name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = folder / "ca.pem"
        self.pem.write_bytes(self._cert.public_bytes(serialization.Encoding.PEM))

    def server(self, *alpn: str, name: str = "localhost") -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        if name == "localhost":
            names += [x509.IPAddress(ipaddress.ip_address(f"127.0.0.{last}")) for last in (1, 2)]
        leaf = (
            _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), self._cert.subject, key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = self._folder / f"{name}-{len(alpn)}.pem"
        encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
        pem.write_bytes(private + leaf.public_bytes(encoding))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        context.set_alpn_protocols(list(alpn))
        return context

    def client(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cafile=str(self.pem))
        return context


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
