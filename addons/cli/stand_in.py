"""What is done when the proxy of a `tokenman run` dies under its program: its port is kept, so that no stranger gets the calls."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable

from addons.cli.instance_client import Client, Held, InstanceError, Stranger
from tokenman_core.config.values import Address

AGAIN_S = 0.02  # between two tries for the port
GIVE_UP_S = 3.0  # for a port that nobody answers at and that cannot be had
KILL_S = 5.0  # between the request to end and the end
_HEAD_S = 5.0
_MOST_HEAD = 64 << 10  # bytes
_DRAIN_S = 1.0  # of what a client still sends: an answer to a connection that is reset may be lost

_BODY = json.dumps(
    {
        "type": "error",
        "error": {"type": "shutdown", "message": "TokenMan has ended. Start this program anew: tokenman run -- …"},
    }
).encode()
_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"x-tokenman-error: shutdown\r\nx-should-retry: false\r\nconnection: close\r\n\r\n" % len(_BODY)
) + _BODY


class Watch:
    """Over one program, from a thread of its own, until `close`."""

    def __init__(self, held: Held, client: Client, mark: str, name: str, say: Callable[[str], None]) -> None:
        self._held, self._client, self._mark, self._name, self._say = held, client, mark, name, say
        self._address = client.running.proxy
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, pid: int) -> None:
        """`pid` is the program's."""
        self._thread = threading.Thread(target=self._watch, args=(pid,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """The program has ended: its number is nobody's, or somebody else's."""
        self._over.set()

    def _watch(self, pid: int) -> None:
        with contextlib.suppress(InstanceError):  # it has just ended, which is seen in the next line
            self._client.post(f"/api/runs/{self._mark}", {"pid": pid})  # for as long as it lives, the proxy stays
        self._held.ended.wait()
        if self._over.is_set():
            return
        self._say(f"the proxy has ended under {self._name}: its calls are refused from now on; end it and run it anew")
        listener = self._bind()
        if isinstance(listener, str):
            self._say(f"{self._address} {listener}: {self._name} is ended, before its calls go there")
            self._end(pid)
        elif listener is not None:
            asyncio.run(self._refuse(listener))

    def _bind(self) -> socket.socket | str | None:
        """The port; None if the program ended before; else who has it. A proxy that takes its time to end is waited for."""
        until = time.monotonic() + GIVE_UP_S
        while not self._over.is_set():
            with contextlib.suppress(OSError):
                return _listener(self._address)
            try:
                self._client.prove_proxy()
                until = time.monotonic() + GIVE_UP_S
            except Stranger:
                return "is another program's now"
            except InstanceError:
                if time.monotonic() > until:
                    return "cannot be had"
            self._over.wait(AGAIN_S)
        return None

    def _end(self, pid: int) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._over.is_set():
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)  # one that is stopped would not end
            self._over.wait(KILL_S)

    async def _refuse(self, listener: socket.socket) -> None:
        server = await asyncio.start_server(_answer, sock=listener, limit=_MOST_HEAD)
        async with server:
            await asyncio.to_thread(self._over.wait)


def _listener(address: Address) -> socket.socket:
    """Shared with the other runs of this user that had the same proxy. Raises OSError."""
    made = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((address.host, address.port))
        made.listen()
    except OSError:
        made.close()
        raise
    return made


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
        async with asyncio.timeout(_HEAD_S):
            await reader.readuntil(b"\r\n\r\n")
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            writer.write(_ANSWER)
            writer.write_eof()
            while await reader.read(_MOST_HEAD):
                pass
    writer.close()
