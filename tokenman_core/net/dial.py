"""A new connection to a provider: looked up, judged, dialled, through a parent proxy where one is named, and TLS opened."""

import asyncio
import logging
import socket
import ssl
from collections import deque
from collections.abc import Sequence

from tokenman_core.net.guard import Forbidden, Guard
from tokenman_core.net.h1 import H1, Via
from tokenman_core.net.h2 import H2
from tokenman_core.net.proxies import Proxies, Proxy
from tokenman_core.net.tunnel import ask
from tokenman_core.net.wire import Keeper, Origin, UpstreamError

log = logging.getLogger("tokenman.net")

STAGGER_S = 0.25  # RFC 8305 §5: how long one address may be silent before the next is tried beside it
MOST_ADDRESSES = 16
# A peer that has vanished without a word is noticed in a minute, not in the quarter of an hour that TCP would take.
_OPTIONS = (
    ("SO_KEEPALIVE", socket.SOL_SOCKET, 1), ("TCP_NODELAY", socket.IPPROTO_TCP, 1),
    ("TCP_KEEPIDLE", socket.IPPROTO_TCP, 30), ("TCP_KEEPALIVE", socket.IPPROTO_TCP, 30),
    ("TCP_KEEPINTVL", socket.IPPROTO_TCP, 10), ("TCP_KEEPCNT", socket.IPPROTO_TCP, 3),
    ("TCP_USER_TIMEOUT", socket.IPPROTO_TCP, 60_000),  # ms, RFC 5482: also while sent bytes wait for their receipt
)  # fmt: skip


class Dialler:
    """Makes connections to one origin."""

    def __init__(self, origin: Origin, tls: ssl.SSLContext, guard: Guard, proxies: Proxies, keep_s: float) -> None:
        self._scheme, self._host, self._port = origin
        self._tls, self._guard, self._proxies, self._keep_s = tls, guard, proxies, keep_s

    async def __call__(self, keeper: Keeper) -> H1 | H2:
        """Raises UpstreamError: connect, protocol, or refused by the guard."""
        try:
            return await self._dial(keeper)
        except (OSError, ValueError) as e:  # ValueError: a host that cannot be a name in TLS
            raise UpstreamError("connect", _said(e)) from e

    async def reach(self) -> None:
        """Opens a connection and closes it, with nothing said on it to the provider. Raises UpstreamError, OSError."""
        sock, _ = await self._socket()
        sock.close()

    async def _dial(self, keeper: Keeper) -> H1 | H2:
        tls = self._tls if self._scheme == "https" else None
        sock, via = await self._socket()
        opening = _Opening(keeper, via, self._keep_s)
        try:
            name = self._host if tls else None
            await asyncio.get_running_loop().create_connection(
                lambda: opening, sock=sock, ssl=tls, server_hostname=name
            )
        except BaseException:  # a cancelled dial, too, must leave no socket
            if opening.connection:  # asyncio would wait for the peer's farewell
                opening.connection.transport.abort()
            raise
        assert opening.connection
        return opening.connection

    async def _socket(self) -> tuple[socket.socket, Via | None]:
        """Connected to the provider, or to a parent proxy that leads there."""
        if not (found := await self._proxy()):
            return await race(await self._guard.resolve(self._host, self._port), self._port), None
        proxy, addresses = found
        sock = await race(addresses, proxy.port)
        if self._scheme != "https":
            return sock, Via(proxy.headers)
        await ask(sock, proxy, self._host, self._port)
        return sock, None

    async def _proxy(self) -> tuple[Proxy, Sequence[str]] | None:
        """The parent proxy. Our own environment names it, so it may be inside; only ourselves it may not be."""
        if not (proxy := self._proxies.of(self._scheme, self._host, self._port)):
            return None
        try:
            addresses = await self._guard.resolve_permitted(proxy.host, proxy.port)
        except Forbidden:
            log.warning("the proxy that the environment names is TokenMan itself: it is not used")
            return None
        self._guard.judge_literal(self._host, self._port)
        return proxy, addresses


class _Opening(asyncio.Protocol):
    """Stands in until TLS has said which protocol is spoken."""

    def __init__(self, keeper: Keeper, via: Via | None, keep_s: float) -> None:
        self._keeper, self._via, self._keep_s = keeper, via, keep_s
        self.connection: H1 | H2 | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        tls = transport.get_extra_info("ssl_object")
        speaks_h2 = tls is not None and tls.selected_alpn_protocol() == "h2"
        self.connection = (
            H2(transport, self._keeper, self._keep_s) if speaks_h2 else H1(transport, self._keeper, self._via)
        )
        transport.set_protocol(self.connection)


async def race(addresses: Sequence[str], port: int) -> socket.socket:
    """The first of the addresses that answers (RFC 8305 in short). Raises OSError, the first one's, if none does."""
    left = deque(addresses[:MOST_ADDRESSES])
    running: set[asyncio.Task[socket.socket]] = set()
    error: OSError | None = None
    try:
        while left or running:
            if left:
                running.add(asyncio.create_task(_connect(left.popleft(), port)))
            done, running = await asyncio.wait(
                running, timeout=STAGGER_S if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            won: list[socket.socket] = []
            for task in done:
                if (failed := task.exception()) is None:
                    won.append(task.result())
                elif isinstance(failed, OSError):
                    error = error or failed
                else:
                    raise failed
            for late in won[1:]:
                late.close()
            if won:
                return won[0]
    finally:
        for task in running:
            task.add_done_callback(_discard)
            task.cancel()
    raise error or OSError("the name has no address")


async def _connect(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        for name, level, value in _OPTIONS:
            if (option := getattr(socket, name, None)) is not None:
                sock.setsockopt(level, option, value)
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:  # a cancelled dial, too, must leave no socket
        sock.close()
        raise
    return sock


def _discard(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _said(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the provider's certificate is not accepted: {error.verify_message}"
    return f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"
