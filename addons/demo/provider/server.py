"""The fake provider as a server: it listens, answers by script, and remembers every request that it received."""

import asyncio
import json
import ssl
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from addons.demo.provider.h1_server import H1Connection
from addons.demo.provider.h2_server import H2Connection
from addons.demo.provider.routes import Routes
from addons.demo.provider.wire import Received, Reply, json_reply

_STRAY_CAP = 1000  # notes of bytes outside of any request


class FakeProvider:
    """`async with FakeProvider() as provider`, or `provider = FakeProvider().start_in_thread()` … `provider.stop()`.

    Loopback only. With `tls` it speaks HTTPS, and HTTP/2 where the context offers `h2` by ALPN. `received` holds the
    last `keep` requests in the order of their heads; `strays` the bytes that arrived outside of any request, which is
    how smuggling would look. With `control` a second, plain port answers `GET /received` and `DELETE /received` in JSON for
    other processes; `journal` is a file that gets a line of JSON for each request once it is over.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
        control: bool | int = False,
        journal: Path | None = None,
        keep: int = 10_000,
    ) -> None:
        self.received: deque[Received] = deque(maxlen=keep)
        self.strays: deque[tuple[int, bytes]] = deque(maxlen=_STRAY_CAP)
        self.connections = 0  # accepted so far
        self.open = 0
        self.port, self.control_port = port, 0
        self._tls, self._control, self._journal = tls, control, journal
        self._routes = Routes()
        self._count = 0
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """Where it listens. By name under TLS, because certificates are made for names."""
        return f"https://localhost:{self.port}" if self._tls else f"http://127.0.0.1:{self.port}"

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.control_port}"

    async def __aenter__(self) -> Self:
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self._tls)
        self._servers.append(server)
        self.port = server.sockets[0].getsockname()[1]
        if self._control:
            port = 0 if self._control is True else self._control
            control = await asyncio.start_server(self._accept_control, "127.0.0.1", port)
            self._servers.append(control)
            self.control_port = control.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._servers.clear()

    def start_in_thread(self) -> Self:
        """For programs without an event loop of their own; ends with `stop`."""
        started = threading.Event()
        failure: list[BaseException] = []

        async def serve() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            async with self:
                started.set()
                await self._stop.wait()

        def run() -> None:
            try:
                asyncio.run(serve())
            except BaseException as error:  # a failed start is raised where it was asked for
                failure.append(error)
            finally:
                started.set()

        self._thread = threading.Thread(target=run, name="fake-provider", daemon=True)
        self._thread.start()
        started.wait()
        if failure:
            raise failure[0]
        return self

    def stop(self) -> None:
        if self._thread and self._loop and self._stop and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def wait(self, condition: Callable[[Self], bool], seconds: float = 5.0) -> bool:
        """Blocks the calling thread until the condition holds; false if it did not in time."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), seconds)

    def clear(self) -> None:
        self.received.clear()
        self.strays.clear()

    # What the connections report.

    def _new(self, version: str, connection: int, method: str, target: str) -> Received:
        self._count += 1
        return Received(self._count, connection, version, method, target, [])

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chosen = writer.get_extra_info("ssl_object")
        self.connections += 1
        kind = H2Connection if chosen and chosen.selected_alpn_protocol() == "h2" else H1Connection
        await self._run(kind(reader, writer, self.connections, self._routes, _Journal(self)), writer)

    async def _accept_control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._run(H1Connection(reader, writer, 0, self._answer_control, _Nothing()), writer)

    async def _run(self, connection: H1Connection | H2Connection, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.open += 1
        try:
            await connection.serve()
        except (OSError, asyncio.CancelledError):
            pass  # the client is gone, or the server stops: nobody is left to be told
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()
            self._notify()

    async def _answer_control(self, received: Received) -> Reply:
        if received.path != "/received":
            return json_reply(404, {"error": "There is only /received."})
        document = self.as_dict()
        if received.method == "DELETE":
            self.clear()
        return json_reply(200, document)

    def as_dict(self) -> dict[str, Any]:
        """What `GET /received` says."""
        strays = [[connection, data.decode("latin-1")] for connection, data in self.strays]
        return {"received": [one.as_dict() for one in self.received], "strays": strays}


class _Nothing:
    """The control port's own requests are not remembered."""

    def received(self, version: str, connection: int, method: str, target: str) -> Received:
        return Received(0, connection, version, method, target, [])

    def complete(self, received: Received) -> None:
        pass

    def over(self, received: Received, client_left: bool) -> None:
        pass

    def stray(self, connection: int, data: bytes) -> None:
        pass


class _Journal:
    """Where the connections of a provider report what they received."""

    def __init__(self, provider: FakeProvider) -> None:
        self._provider = provider

    def received(self, version: str, connection: int, method: str, target: str) -> Received:
        one = self._provider._new(version, connection, method, target)
        self._provider.received.append(one)
        return one

    def complete(self, received: Received) -> None:
        self._provider._notify()

    def over(self, received: Received, client_left: bool) -> None:
        received.client_left, received.answered = client_left, not client_left
        if path := self._provider._journal:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(received.as_dict()) + "\n")
        self._provider._notify()

    def stray(self, connection: int, data: bytes) -> None:
        self._provider.strays.append((connection, data))
        self._provider._notify()
