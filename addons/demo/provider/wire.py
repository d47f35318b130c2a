"""What passes between the fake provider's servers and its endpoints: what was received, and what is answered."""

import asyncio
import gzip
import json
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import brotli
import zstandard

BODY_CAP = 256 * 1024 * 1024  # bytes kept of one request; a fake has no reason to hold more

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Reset:
    """Reset the connection (HTTP/2: the stream), whatever is missing."""


@dataclass(frozen=True)
class Cut:
    """End the connection in good order before the body is complete (HTTP/2: reset the stream with NO_ERROR)."""


@dataclass(frozen=True)
class Stall:
    """Nothing more, until the client leaves."""


Step = bytes | Pause | Reset | Cut | Stall


@dataclass(frozen=True)
class Reply:
    """An answer. `head_steps` happen before its head is sent; with `framed` its length is told, else it is chunked."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    steps: tuple[Step, ...] = ()
    head_steps: tuple[Step, ...] = ()
    framed: bool = True

    @property
    def length(self) -> int:
        return sum(len(step) for step in self.steps if isinstance(step, bytes))


@dataclass(eq=False)
class Received:
    """One request as it arrived. `client_left` says that its client was gone before the answer was complete."""

    number: int
    connection: int
    http_version: str  # "1.1" or "2"
    method: str
    target: str  # path and query
    headers: Pairs
    body: bytes = b""  # as it came, in its coding
    client_left: bool = False
    answered: bool = False
    status: int = 0
    _decoded: bytes | None = field(default=None, repr=False)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """The first value of a header, `name` in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def decoded(self) -> bytes:
        """The body without its coding; raises `ValueError` where it is none."""
        if self._decoded is None:
            self._decoded = decode(self.body, self.header("content-encoding") or "")
        return self._decoded

    @property
    def json(self) -> Any:
        return json.loads(self.decoded)

    def as_dict(self) -> dict[str, Any]:
        """For the journal and the control port. Bytes are read as Latin-1, which loses none of them."""
        return {
            "number": self.number,
            "connection": self.connection,
            "http_version": self.http_version,
            "method": self.method,
            "target": self.target,
            "headers": self.headers,
            "body": self.body.decode("latin-1"),
            "status": self.status,
            "client_left": self.client_left,
            "answered": self.answered,
        }


Endpoint = Callable[[Received], Awaitable[Reply]]


def decode(body: bytes, coding: str) -> bytes:
    """Takes off the codings that `Content-Encoding` names (RFC 9110 §8.4); `ValueError` for others and for bad data."""
    for name in reversed([part.strip().lower() for part in coding.split(",") if part.strip()]):
        try:
            body = _DECODERS[name](body)
        except KeyError:
            raise ValueError(f"unknown coding {name}") from None
        except (zlib.error, EOFError, OSError, brotli.error, zstandard.ZstdError) as error:
            raise ValueError(f"bad {name}") from error
    return body


def _inflate(body: bytes) -> bytes:
    try:
        return zlib.decompress(body)
    except zlib.error:
        return zlib.decompress(body, -zlib.MAX_WBITS)  # many send it without the zlib header


def _unzstd(body: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(body)


_DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.decompress,
    "x-gzip": gzip.decompress,
    "deflate": _inflate,
    "br": lambda body: bytes(brotli.decompress(body)),
    "zstd": _unzstd,
}


def compressed(steps: tuple[Step, ...], coding: str) -> tuple[Step, ...]:
    """The same answer in a coding, flushed after each piece so that a stream stays one."""
    feed, flush, end = _COMPRESSORS[coding]()
    out: list[Step] = [feed(step) + flush() if isinstance(step, bytes) else step for step in steps]
    return (*out, end())


_Compressor = tuple[Callable[[bytes], bytes], Callable[[], bytes], Callable[[], bytes]]


def _zlib(bits: int) -> _Compressor:
    packer = zlib.compressobj(wbits=bits)
    return packer.compress, lambda: packer.flush(zlib.Z_SYNC_FLUSH), packer.flush


def _brotli() -> _Compressor:
    packer = brotli.Compressor(quality=4)
    return packer.process, packer.flush, packer.finish


def _zstd() -> _Compressor:
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress, lambda: packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK), packer.flush


_COMPRESSORS: dict[str, Callable[[], _Compressor]] = {
    "gzip": lambda: _zlib(zlib.MAX_WBITS | 16),
    "deflate": lambda: _zlib(zlib.MAX_WBITS),
    "br": _brotli,
    "zstd": _zstd,
}
CODINGS = tuple(_COMPRESSORS)


def json_reply(status: int, value: object, headers: Pairs | None = None) -> Reply:
    body = json.dumps(value, ensure_ascii=False).encode()
    return Reply(status, (("content-type", "application/json"), *(headers or [])), (body,))


def reset(writer: asyncio.StreamWriter) -> None:
    """A real RST: `abort` alone sends a FIN where nothing is unread."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
