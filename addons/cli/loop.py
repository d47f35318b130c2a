"""The event loop of the proxy: the look-up of a name, which nothing can end, does not keep the process from ending."""

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any

_MOST = 64  # at once on threads of their own; more than that wait for each other, as elsewhere


class Loop(asyncio.SelectorEventLoop):
    _looking = 0  # counted by the loop's own thread

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        if self._looking >= _MOST:
            return await super().getaddrinfo(host, port, family=family, type=type, proto=proto, flags=flags)
        found: asyncio.Future[Any] = self.create_future()

        def answered(result: Any, error: Exception | None) -> None:
            self._looking -= 1
            if found.done():
                return  # who asked has left
            if error is None:
                found.set_result(result)
            else:
                found.set_exception(error)

        def look() -> None:
            result, error = None, None
            try:
                result = socket.getaddrinfo(host, port, family, type, proto, flags)
            except Exception as e:  # whatever it is, it is theirs who asked
                error = e
            with suppress(RuntimeError):  # the loop has ended, and nobody waits
                self.call_soon_threadsafe(answered, result, error)

        self._looking += 1
        threading.Thread(target=look, name="look-up", daemon=True).start()
        return await found
