"""What both HTTP versions share: the shape of a call to a provider, how it fails, and a connection that no client owns."""

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from tokenman_core.verdicts import Head, Headers

Origin = tuple[str, str, int]  # scheme, host, port
FailureKind = Literal["connect", "timeout", "reset", "protocol", "cap", "refused", "full"]

READ_AHEAD = 256 << 10  # bytes that a provider may send and nobody has taken yet, for each call
READ_SIZE = 64 << 10  # bytes taken from a socket at once
PIECE = 64 << 10  # bytes of an upload between two turns of the event loop
AT_ONCE_S = 0.5  # a kept connection that the provider had closed shows it within a round trip, however busy we are
MAX_HEAD = 64 << 10  # bytes of an answer's head, of its trailers too


@dataclass(frozen=True)
class Request:
    """Header bytes, their order and case go out as they are; framing and hop-by-hop headers are the connection's own."""

    method: bytes
    scheme: str
    host: str  # a name or an address, without brackets
    port: int
    path: bytes
    headers: Headers = ()
    body: bytes = b""

    @property
    def origin(self) -> Origin:
        return self.scheme, self.host.lower(), self.port


@dataclass(frozen=True)
class Deadlines:
    """Seconds, 0 for none. They run only while we wait for the provider: a slow client is never taken for a slow provider."""

    connect: float = 10  # until there is a connection: name, TCP, TLS, or a free one
    first_byte: float = 600  # from then on until the head of the answer, the upload included
    idle: float = 120  # between two pieces of the body
    total: float = 0  # the whole call; looked at whenever we wait
    first_token: float = 0  # from the head of a stream until its first real event; kept by who reads it


class UpstreamError(Exception):
    """A call failed. The message may name hosts and addresses: it is for logs, not for clients.

    `deadline` names the one that passed. `untouched`: the provider has not begun with the call, for sure (RFC 9110 §9.2.2):
    anybody may send it again. `stale`: a connection that had served before and was idle then broke at once, without a byte of
    an answer. It had been closed in the meantime, most likely; that the call was read before cannot be ruled out. `worked`:
    it had the call for longer than that, so that it has begun with it.
    """

    def __init__(
        self, kind: FailureKind, message: str, deadline: str = "", stale: bool = False, untouched: bool = False,
        worked: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.kind: FailureKind = kind
        self.deadline, self.stale, self.untouched, self.worked = deadline, stale, untouched, worked


class Channel(Protocol):
    """One request and its answer on some connection."""

    @property
    def trailers(self) -> Headers:
        """Known when the body has ended."""

    @property
    def usable(self) -> bool:
        """Whether a request may be sent on it still."""

    async def head(self, request: Request) -> Head:
        """Sends the request; the head of its answer, no 1xx. Raises UpstreamError."""

    async def chunk(self, idle: float = 0) -> bytes:
        """The next piece of the body; empty at its end.

        Raises UpstreamError, and TimeoutError where nothing came for `idle` seconds (0: waits for ever).
        """

    def release(self, complete: bool) -> None:
        """Keeps the connection if the answer is complete or nothing was sent, else drops the call."""

    def distrust(self) -> None:
        """A deadline passed in silence: no new call may get this connection."""


class Keeper(Protocol):
    """Who holds the connections to an origin."""

    def ready(self, connection: Any) -> None:
        """It can take a call, or one more."""

    def gone(self, connection: Any) -> None:
        """It takes no new call; said again once its socket is closed."""

    def stale(self) -> None:
        """One that was kept had been closed by the provider: so may be the others that wait."""


class Connection(asyncio.BufferedProtocol, ABC):
    """A socket to a provider and one coroutine's wait on it. Reads are small, so that they can be stopped in time."""

    def __init__(self, transport: asyncio.Transport, keeper: Keeper) -> None:
        self.transport, self.keeper = transport, keeper
        self.closed = False  # the socket is
        self.blocked = False  # it takes no more bytes for now
        self.served = 0
        self.why = "the provider closed the connection"
        self._expiry: asyncio.TimerHandle | None = None
        self._buffer = memoryview(bytearray(READ_SIZE))  # a view, since asyncio's TLS writes into slices of it

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.received(bytes(self._buffer[:nbytes]))

    @abstractmethod
    def received(self, data: bytes) -> None:
        """Bytes of the provider's."""

    @abstractmethod
    def woken(self) -> None:
        """Something changed: data, room to write, or the end."""

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.blocked = False
        self.woken()

    def connection_lost(self, exc: Exception | None) -> None:
        self.keep_until(0)
        if exc:
            self.why = f"the connection broke ({type(exc).__name__})"
        self.closed = True
        self.blocked = False
        self.keeper.gone(self)
        self.woken()

    def keep_until(self, seconds: float) -> None:
        """Close it then, unless it is asked otherwise before; 0: keep it."""
        if self._expiry:
            self._expiry.cancel()
        self._expiry = asyncio.get_running_loop().call_later(seconds, self.close) if seconds else None

    def close(self) -> None:
        self.keeper.gone(
            self
        )  # now: `connection_lost` comes a turn later, and a caller could be given this one meanwhile
        self.transport.abort()


class Waiter:
    """One coroutine that waits for something to happen, for a time.

    Its timer is set anew only when it rings too early: most waits end long before their deadline, and none of them pays for it.
    """

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None
        self._ends = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, seconds: float = 0) -> None:
        """Raises TimeoutError after so many seconds, 0 for none."""
        loop = asyncio.get_running_loop()
        future = self._future = loop.create_future()
        self._ends = loop.time() + seconds if seconds else 0.0
        if seconds and (self._timer is None or self._timer.when() > self._ends):
            self._ring_at(loop, self._ends)
        try:
            await future
        finally:
            self._future = None

    def wake(self) -> None:
        if self._future and not self._future.done():
            self._future.set_result(None)

    def rest(self) -> None:
        """Nobody will wait for a while."""
        if self._timer:
            self._timer.cancel()
        self._timer = None

    def _ring_at(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        self.rest()
        self._timer = loop.call_at(when, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._future is None or self._future.done() or not self._ends:
            return
        if self._ends > loop.time():
            self._ring_at(loop, self._ends)
        else:
            self._future.set_exception(TimeoutError())
