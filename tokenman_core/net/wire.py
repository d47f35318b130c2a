"""What both HTTP versions share: the shape of a call to a provider, how it fails, and a connection that no client owns."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tokenman_core.verdicts import Head, Headers

Origin = tuple[str, str, int]  # scheme, host, port
FailureKind = Literal["connect", "timeout", "reset", "protocol", "cap", "refused"]

READ_AHEAD = 256 << 10  # what a provider may send that nobody has taken yet, for each call
MAX_HEAD = 64 << 10  # of an answer
# RFC 9113 §8.2.2: these speak about one connection.
HOP_BY_HOP = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te"})
FRAMING = frozenset({b"content-length", b"transfer-encoding"})

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
_BAD_VALUE = re.compile(rb"[\x00\r\n]")  # RFC 9110 §5.5
_BAD_TARGET = re.compile(rb"[\x00-\x20\x7f]")


@dataclass(frozen=True)
class Request:
    """Header bytes, their order and case go out as they are; framing and hop-by-hop headers are the connection's own."""

    method: bytes
    scheme: str
    host: str
    port: int
    path: bytes
    headers: Headers
    body: bytes = b""

    @property
    def origin(self) -> Origin:
        return self.scheme, self.host, self.port

    @property
    def framed(self) -> bool:
        """Whether it says how long its body is: all do that have one, or might (RFC 9110 §8.6)."""
        return bool(self.body) or self.method not in (b"GET", b"HEAD", b"DELETE", b"OPTIONS")

    def check(self) -> None:
        """Raises UpstreamError where a byte would end a line early, and so begin another header or request."""
        bad_header = any(not _TOKEN.fullmatch(k) or _BAD_VALUE.search(v) for k, v in self.headers)
        if bad_header or not _TOKEN.fullmatch(self.method) or not self.path or _BAD_TARGET.search(self.path):
            raise UpstreamError("protocol", "the request holds bytes that no header or target may hold")


class UpstreamError(Exception):
    """A call failed. `deadline` names the one that passed; `reused` says that the connection had served before."""

    def __init__(self, kind: FailureKind, message: str, *, deadline: str = "", reused: bool = False) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.deadline, self.reused = deadline, reused


class Channel(Protocol):
    """One request and its answer on some connection."""

    reused: bool
    trailers: Headers

    async def head(self, request: Request) -> Head:
        """Sends the request; the final head of the answer, no 1xx."""

    async def chunk(self) -> bytes:
        """The next piece of the body; empty at its end."""

    def release(self, complete: bool) -> None:
        """Keeps the connection if the answer is complete, else drops the call."""

    def distrust(self) -> None:
        """A deadline passed in silence: no new call may get this connection."""


class Connection(asyncio.Protocol):
    """`lost` is called as soon as the connection takes no new call, and again when its socket is closed."""

    def __init__(self, transport: asyncio.Transport, lost: Callable[[Any], None]) -> None:
        self.transport, self._lost = transport, lost
        self.closed = False
        self.served = 0
        self.why = "the provider closed the connection"

    def connection_lost(self, exc: Exception | None) -> None:
        if exc:
            self.why = type(exc).__name__
        self.closed = True
        self._lost(self)

    def close(self) -> None:
        self._lost(self)  # now: `connection_lost` comes a turn later, and in between a caller could be given this one
        self.transport.abort()


class Waiter:
    """One coroutine that waits for something to come in."""

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        self._future = asyncio.get_running_loop().create_future()
        try:
            await self._future
        finally:
            self._future = None

    def wake(self) -> None:
        if self._future and not self._future.done():
            self._future.set_result(None)
