"""Calls to providers over connections that all clients share.

    async with upstream.call(Request(...), Deadlines()) as answer:
        answer.status, answer.headers
        async for chunk in answer: ...
        answer.trailers

Leaving the block early drops the call: an HTTP/1.1 connection is closed, an HTTP/2 stream is reset and its neighbours go on.
A chunk is what has arrived since the last one, so a slow consumer gets fewer and larger ones, up to `READ_AHEAD` bytes.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection, Coroutine
from typing import Any

from tokenman_core.begun import Begun
from tokenman_core.headers import first
from tokenman_core.net.dial import Dialler
from tokenman_core.net.framing import check
from tokenman_core.net.guard import Guard
from tokenman_core.net.proxies import Proxies
from tokenman_core.net.roots import client_context
from tokenman_core.net.site import Site
from tokenman_core.net.wire import Channel, Deadlines, Origin, Request, UpstreamError
from tokenman_core.verdicts import Head, Headers

MAX_CONNECTIONS = 100  # to one origin; callers beyond it wait, under their connect deadline


class Answer:
    """An answer whose head is here. `headers` are as they came. Its body is iterated over once, as it comes."""

    def __init__(self, call: "Call", head: Head) -> None:
        self._call = call
        self.status, self.headers = head.status, head.headers
        self.trailers: Headers = ()  # known when the body has ended

    def header(self, name: bytes) -> bytes | None:
        """The first value; `name` in lower case."""
        return first(self.headers, name)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if chunk := await self._call.chunk():
            return chunk
        self.trailers = self._call.trailers
        raise StopAsyncIteration


class Call:
    """The block in which a call lives. Entering and iterating raise UpstreamError."""

    def __init__(
        self, upstream: "Upstream", request: Request, deadlines: Deadlines, max_body: int, connections: int
    ) -> None:
        self._upstream, self._request, self._deadlines, self._max = upstream, request, deadlines, max_body
        self._connections = connections
        self._ends: float | None = None
        self._channel: Channel | None = None
        self._taken = 0
        self._complete = False

    async def __aenter__(self) -> Answer:
        request, deadlines = self._request, self._deadlines
        check(request)
        if deadlines.total:
            self._ends = asyncio.get_running_loop().time() + deadlines.total
        step = self._upstream.channel(request.origin, deadlines.connect, self._connections)
        try:
            channel = self._channel = await self._within("connect", deadlines.connect, step)
        except UpstreamError as e:
            if e.kind == "timeout" and self._upstream.is_full(
                request.origin
            ):  # our own bound, no fault of the provider's
                raise UpstreamError("full", "all connections were taken", e.deadline) from e
            raise
        try:
            head = await self._within("first_byte", deadlines.first_byte, channel.head(request))
            self._check_declared(head)
        except BaseException:  # a caller that leaves, too, must give the connection back
            channel.release(False)
            raise
        return Answer(self, head)

    async def __aexit__(self, *_: object) -> None:
        assert self._channel
        self._channel.release(self._complete)

    @property
    def trailers(self) -> Headers:
        assert self._channel
        return self._channel.trailers

    async def chunk(self) -> bytes:
        """The next piece of the body; empty at its end."""
        channel, name, idle = self._channel, "idle", self._deadlines.idle
        assert channel
        if self._ends is not None:
            left = max(self._ends - asyncio.get_running_loop().time(), 1e-9)
            if not idle or left < idle:
                name, idle = "total", left
        try:
            chunk = await channel.chunk(idle)
        except TimeoutError as e:
            channel.distrust()
            raise UpstreamError("timeout", f"deadline '{name}' passed", name) from e
        self._complete = not chunk
        self._taken += len(chunk)
        if self._max and self._taken > self._max:
            raise UpstreamError("cap", f"the answer is over {self._max} bytes")
        return chunk

    def _check_declared(self, head: Head) -> None:
        if not self._max or self._request.method == b"HEAD" or head.status in (204, 304):
            return
        declared = first(head.headers, b"content-length")
        if declared is not None and declared.isdigit() and int(declared[:20]) > self._max:
            raise UpstreamError("cap", f"the answer says that it is over {self._max} bytes")

    async def _within[T](self, name: str, seconds: float, step: Coroutine[Any, Any, T]) -> T:
        """One step under its deadline and under what is left of the total."""
        begun = Begun(step)
        if begun.done:
            return begun.result
        ends = asyncio.get_running_loop().time() + seconds if seconds else None
        if self._ends is not None and (ends is None or self._ends < ends):
            name, ends = "total", self._ends
        try:
            async with asyncio.timeout_at(ends):
                return await begun
        except TimeoutError as e:
            if self._channel:
                self._channel.distrust()
            raise UpstreamError("timeout", f"deadline '{name}' passed", name) from e


class Upstream:
    """The pool of all origins.

    `tls` is the client context for https, by default with the system's trust; what it offers by ALPN is set here.
    `keep` idle HTTP/1.1 connections per origin are kept, and any idle connection for `keep_s` seconds.
    """

    def __init__(
        self, tls: ssl.SSLContext | None = None, *, guard: Guard | None = None, proxies: Proxies | None = None,
        keep: int = 20, keep_s: float = 60.0, max_connections: int = MAX_CONNECTIONS, h2: bool = True,
    ) -> None:  # fmt: skip
        self._tls = tls or client_context()
        self._tls.set_alpn_protocols(["h2", "http/1.1"] if h2 else ["http/1.1"])
        self._guard, self._proxies = guard or Guard(), proxies or Proxies()
        self._keep, self._keep_s, self._max = keep, keep_s, max_connections
        self._sites: dict[Origin, Site] = {}

    def call(self, request: Request, deadlines: Deadlines, max_body: int = 0, connections: int = 0) -> Call:
        """`max_body`: bytes of the answer's body as they come, 0 for no bound; beyond it UpstreamError("cap").

        `connections`: how many there may be to its origin from now on, whoever asked before; 0 for `max_connections`.
        """
        return Call(self, request, deadlines, max_body, connections or self._max)

    @property
    def connections(self) -> int:
        """How many are open, idle ones too."""
        return sum(len(site.open) for site in self._sites.values())

    def is_full(self, origin: Origin) -> bool:
        """Whether it has as many connections as it may, and all are taken."""
        return origin in self._sites and self._sites[origin].full

    def keep_only(self, origins: Collection[Origin]) -> None:
        """Connections to all others are closed once they are idle."""
        for origin, site in self._sites.items():
            site.keep(origin in origins)

    async def reach(self, origin: Origin) -> None:
        """Opens a connection of its own and closes it. Raises UpstreamError or OSError where none can be had."""
        await self._dialler(origin).reach()

    def _dialler(self, origin: Origin) -> Dialler:
        return Dialler(origin, self._tls, self._guard, self._proxies, self._keep_s)

    async def aclose(self) -> None:
        """Drops all calls and connections."""
        sites, self._sites = self._sites, {}
        for site in sites.values():
            await site.aclose()
        await asyncio.sleep(0)

    async def channel(self, origin: Origin, seconds: float, connections: int) -> Channel:
        """A place for one call, within about `seconds`, 0: no bound. Raises UpstreamError."""
        site = self._sites.get(origin)
        if site is None:
            self._sites = {key: kept for key, kept in self._sites.items() if not kept.empty}
            scheme = origin[0]
            site = self._sites[origin] = Site(
                self._dialler(origin),
                may_share=scheme == "https",
                keep=self._keep,
                keep_s=self._keep_s,
            )
        site.limit = connections
        return await site.channel(seconds)
