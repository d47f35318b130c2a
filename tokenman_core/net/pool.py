"""Calls to providers over connections that all clients share.

    async with upstream.call(Request(...), Deadlines()) as answer:
        answer.status, answer.headers
        async for chunk in answer: ...
        answer.trailers

Leaving the block early drops the call: an HTTP/1.1 connection is closed, an HTTP/2 stream is reset and its neighbours go on.
A chunk is what has arrived since the last one, so a slow consumer gets fewer and larger ones.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from tokenman_core.net.guard import Guard
from tokenman_core.net.h1 import H1
from tokenman_core.net.h2 import H2
from tokenman_core.net.proxies import Proxies, Proxy
from tokenman_core.net.roots import client_context
from tokenman_core.net.tunnel import open_tunnel
from tokenman_core.net.wire import Channel, Origin, Request, UpstreamError
from tokenman_core.verdicts import Head, Headers

DIAL_S = 60.0  # callers have their own deadline; this only ends a dial that all of them have left
MAX_H1 = 100  # connections to one origin; callers beyond it wait, under their connect deadline


@dataclass(frozen=True)
class Deadlines:
    """Seconds, 0 for none. They run only while we wait for the provider: a slow client is never taken for a slow provider."""

    connect: float = 10.0  # name, TCP, TLS
    first_byte: float = 600.0  # request sent to head of the answer
    idle: float = 120.0  # between two pieces of the body
    total: float = 0.0  # the whole call, checked whenever we wait


class Answer:
    """An answer whose head is here. Its body is iterated over once."""

    def __init__(self, call: "Call", head: Head) -> None:
        self._call = call
        self.status, self.headers = head.status, head.headers
        self.trailers: Headers = ()

    def header(self, name: bytes) -> bytes | None:
        """The first value; `name` in lower case."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._call.chunk()
        if chunk:
            return chunk
        self.trailers = self._call.trailers
        raise StopAsyncIteration


class Call:
    def __init__(self, upstream: "Upstream", request: Request, deadlines: Deadlines, max_body: int) -> None:
        self._upstream, self._request, self._deadlines, self._max = upstream, request, deadlines, max_body
        now = asyncio.get_running_loop().time()
        self._ends = now + deadlines.total if deadlines.total else None
        self._channel: Channel | None = None
        self._taken = 0
        self._complete = False

    async def __aenter__(self) -> Answer:
        self._request.check()
        step = self._upstream.channel(self._request.origin)
        channel = self._channel = await self._within("connect", self._deadlines.connect, step)
        try:
            head = await self._within("first_byte", self._deadlines.first_byte, channel.head(self._request))
        except BaseException as e:
            if isinstance(e, UpstreamError) and e.kind == "timeout":
                channel.distrust()
            channel.release(False)
            raise
        answer = Answer(self, head)
        declared = answer.header(b"content-length")
        if self._max and declared is not None and declared.isdigit() and int(declared) > self._max:
            channel.release(False)
            raise UpstreamError("cap", "the answer says that it is larger than allowed")
        return answer

    async def __aexit__(self, *_: object) -> None:
        assert self._channel
        self._channel.release(self._complete)

    @property
    def trailers(self) -> Headers:
        assert self._channel
        return self._channel.trailers

    async def chunk(self) -> bytes:
        assert self._channel
        chunk = await self._within("idle", self._deadlines.idle, self._channel.chunk())
        self._complete = not chunk
        self._taken += len(chunk)
        if self._max and self._taken > self._max:
            raise UpstreamError("cap", "the answer is larger than allowed")
        return chunk

    async def _within[T](self, name: str, seconds: float, step: Coroutine[Any, Any, T]) -> T:
        """One step under its deadline and under what is left of the total."""
        ends = asyncio.get_running_loop().time() + seconds if seconds else None
        if self._ends is not None and (ends is None or self._ends < ends):
            name, ends = "total", self._ends
        try:
            async with asyncio.timeout_at(ends):
                return await step
        except TimeoutError as e:
            reused = self._channel.reused if self._channel else False
            raise UpstreamError("timeout", f"deadline '{name}' passed", deadline=name, reused=reused) from e


class _Opening(asyncio.Protocol):
    """Stands in until TLS has said which protocol is spoken."""

    def __init__(self, lost: Callable[[H1 | H2], None], park: Callable[[H1], None]) -> None:
        self._lost, self._park = lost, park
        self.connection: H1 | H2 | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        tls = transport.get_extra_info("ssl_object")
        speaks_h2 = tls is not None and tls.selected_alpn_protocol() == "h2"
        self.connection = H2(transport, self._lost) if speaks_h2 else H1(transport, self._lost, self._park)
        transport.set_protocol(self.connection)


class _Pool:
    """The connections of one origin."""

    def __init__(self) -> None:
        self.idle: list[H1] = []
        self.shared: list[H2] = []
        self.dial: asyncio.Task[H1 | H2] | None = None  # the last one begun
        self.plain = False  # known to speak HTTP/1.1 only: its callers dial side by side
        self.h1 = 0  # connections and dials of HTTP/1.1
        self.waiting: deque[asyncio.Future[None]] = deque()

    def tell(self) -> None:
        """A connection or a place for one has become free."""
        while self.waiting:
            future = self.waiting.popleft()
            if not future.done():
                future.set_result(None)
                return


class Upstream:
    """The pool of all origins. `tls` is the client context for https, by default with the system's trust."""

    def __init__(
        self, tls: ssl.SSLContext | None = None, *, guard: Guard | None = None, proxies: Proxies | None = None,
        h2: bool = True, keep: int = 20, keep_s: float = 60.0, max_h1: int = MAX_H1,
    ) -> None:  # fmt: skip
        self._tls = tls or client_context()
        self._tls.set_alpn_protocols(["h2", "http/1.1"] if h2 else ["http/1.1"])
        self._guard, self._proxies = guard or Guard(), proxies or Proxies()
        self._keep, self._keep_s, self._max_h1 = keep, keep_s, max_h1
        self._pools: dict[Origin, _Pool] = {}
        self._tasks: set[asyncio.Task[H1 | H2]] = set()
        self._open: set[H1 | H2] = set()

    def call(self, request: Request, deadlines: Deadlines, max_body: int = 0) -> Call:
        """`max_body`: bytes of the answer's body, 0 for no bound; beyond it UpstreamError of kind "cap"."""
        return Call(self, request, deadlines, max_body)

    @property
    def connections(self) -> int:
        return len(self._open)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        for connection in list(self._open):
            connection.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def channel(self, origin: Origin) -> Channel:
        pool = self._pools.setdefault(origin, _Pool())
        while True:
            for shared in pool.shared:
                if shared.has_room:
                    return shared.open_stream()
            if pool.idle:
                return pool.idle.pop().take()
            if pool.shared and not pool.plain and any(not one.retired for one in pool.shared):
                await self._turn(pool)  # the provider takes no more streams now
                continue
            if pool.plain and pool.h1 >= self._max_h1:
                await self._turn(pool)
                continue
            if pool.plain or pool.dial is None:
                connection = await asyncio.shield(self._start_dial(origin, pool))
            else:
                connection = await asyncio.shield(pool.dial)  # may turn out to be one that all can share
            if isinstance(connection, H2):
                if connection.has_room:
                    return connection.open_stream()
            elif connection in pool.idle:
                pool.idle.remove(connection)
                return connection.take(reused=False)

    @staticmethod
    async def _turn(pool: _Pool) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        pool.waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                pool.tell()  # the turn was ours already: it goes to the next
            raise

    def _start_dial(self, origin: Origin, pool: _Pool) -> asyncio.Task[H1 | H2]:
        # A task of its own: a caller that leaves must not break the dial for those who wait for the same one.
        pool.h1 += 1
        task = pool.dial = asyncio.create_task(self._dial(origin, pool))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, even if all callers have left
        return task

    async def _dial(self, origin: Origin, pool: _Pool) -> H1 | H2:
        opening = _Opening(lambda connection: self._lost(pool, connection), lambda h1: self._park(pool, h1))
        connection: H1 | H2 | None = None
        try:
            async with asyncio.timeout(DIAL_S):
                await self._connect(origin, opening)
            connection = opening.connection
        except (OSError, TimeoutError, ssl.SSLError) as e:
            raise UpstreamError("connect", type(e).__name__) from e
        finally:
            if pool.dial is asyncio.current_task():
                pool.dial = None
            if not isinstance(connection, H1):
                pool.h1 -= 1
                pool.tell()
        assert connection
        self._open.add(connection)
        if isinstance(connection, H2):
            connection.on_room = pool.tell
            pool.shared.append(connection)
        else:
            pool.plain = True
            self._park(pool, connection)
        return connection

    async def _connect(self, origin: Origin, opening: _Opening) -> None:
        scheme, host, port = origin
        loop = asyncio.get_running_loop()
        tls = self._tls if scheme == "https" else None
        name = host if tls else None
        if proxy := self._proxies.of(scheme, host, port):
            self._guard.judge_literal(host, port)
            sock = await open_tunnel(await self._proxy_addresses(proxy), proxy, host, port)
            await loop.create_connection(lambda: opening, sock=sock, ssl=tls, server_hostname=name)
            return
        error: OSError | None = None
        for address in await self._guard.resolve(host, port):
            try:
                await loop.create_connection(lambda: opening, address, port, ssl=tls, server_hostname=name)
                return
            except ssl.CertificateError:
                raise  # of the provider, not of this address
            except OSError as e:
                error = e
        raise error or OSError("no address")

    async def _proxy_addresses(self, proxy: Proxy) -> list[str]:
        """A parent proxy is often inside; our own environment names it. Only ourselves it may not be."""
        return await self._guard.resolve_permitted(proxy.host, proxy.port)

    def _park(self, pool: _Pool, connection: H1) -> None:
        pool.idle.append(connection)
        connection.close_in(self._keep_s)
        if len(pool.idle) > self._keep:
            pool.idle[0].close()  # the oldest; takes itself off the list
        pool.tell()

    def _lost(self, pool: _Pool, connection: H1 | H2) -> None:
        """It takes no new call. It stays in `_open` until its socket is closed."""
        if connection.closed and connection in self._open:
            self._open.discard(connection)
            if isinstance(connection, H1):
                pool.h1 -= 1
        if isinstance(connection, H1):
            with contextlib.suppress(ValueError):
                pool.idle.remove(connection)
        else:
            with contextlib.suppress(ValueError):
                pool.shared.remove(connection)
        pool.tell()
