"""Runs the admin application beside the proxy, in the event loop that is already there."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Generator
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

GRACE_S = 1  # for answers that are on their way when it stops
_MOST_CONNECTIONS = 100
_KEEPALIVE_S = 5
WAIT_S = 10.0  # for a head, and as long for a body


class Server:
    """A running admin server. `address` is where it listens, with the port that it really has."""

    def __init__(self, server: uvicorn.Server, task: asyncio.Task[None], address: tuple[str, int]) -> None:
        self._server = server
        self._task = task
        self.address = address

    async def stop(self) -> None:
        """Takes no more connections, lets answers end, closes. Twice is as good as once."""
        self._server.should_exit = True
        await asyncio.shield(self._task)


async def serve(app: ASGIApp, host: str, port: int) -> Server:
    """Listens at `host`:`port` (0: any free port) when it returns. Raises OSError that names the address."""
    listener = bind(host, port)
    config = uvicorn.Config(
        app,
        http=_Bounded,
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS + 1,  # it refuses from this number on, the one that asks included
        timeout_keep_alive=_KEEPALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Quiet(config)
    task = asyncio.create_task(server.serve([listener]), name="admin server")
    address: tuple[str, int] = listener.getsockname()[:2]
    await server.up.wait()
    return Server(server, task, address)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError whose text names host and port; one that is in use is told from one that is not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_MOST_CONNECTIONS)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise OSError(error.errno, f"cannot listen on {where}: {error.strerror or error}") from error
    return listener


class _Bounded(H11Protocol):
    """A connection that has to say what it wants: within a time, and at once where others wait for its place.

    Those that asked and are being answered, such as the leases of `tokenman run`, keep theirs.
    """

    _waiting: tuple[Any, asyncio.TimerHandle] | None = None  # for what, and until when

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()
        if len(self.connections) > _MOST_CONNECTIONS:
            held = [one for one in self.connections if isinstance(one, _Bounded) and one is not self and one._waiting]
            if held:
                min(held, key=lambda one: one._waiting[1].when() if one._waiting else 0.0)._drop()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._settle()

    def _look(self) -> None:
        """A byte now and then wins no time; the next part of a request has its own."""
        state = self.conn.their_state
        if state not in (h11.IDLE, h11.SEND_BODY) or self.transport.is_closing():
            self._settle()
        elif self._waiting is None or self._waiting[0] is not state:
            self._settle()
            self._waiting = (state, self.loop.call_later(WAIT_S, self._drop))

    def _settle(self) -> None:
        if self._waiting is not None:
            self._waiting[1].cancel()
            self._waiting = None

    def _drop(self) -> None:
        self._settle()
        self.connections.discard(self)
        self.transport.abort()


class _Quiet(uvicorn.Server):
    """Signals belong to the proxy."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()
