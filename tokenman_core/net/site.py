"""The connections to one origin, and the callers that wait for one."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from tokenman_core.net.h1 import H1
from tokenman_core.net.h2 import H2
from tokenman_core.net.wire import Channel, Keeper, UpstreamError

Dial = Callable[[Keeper], Awaitable[H1 | H2]]


class Site:
    """Callers are served in the order in which they came.

    Until an origin has said that it speaks HTTP/1.1 only, one dial serves all who wait, for what it brings may be shared.
    After that there is a dial for each of them, up to `limit` connections.
    """

    def __init__(self, dial: Dial, *, may_share: bool, keep: int, keep_s: float) -> None:
        self._dial, self._may_share, self._keep, self._keep_s = dial, may_share, keep, keep_s
        self.limit = 1
        self.idle: list[H1] = []
        self.shared: list[H2] = []
        self.open: set[H1 | H2] = set()
        self._dials: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[asyncio.Future[Channel], float]] = deque()
        self._callers = 0
        self._forsaken = False

    async def channel(self, seconds: float) -> Channel:
        """A place for one call. `seconds` bounds a dial that is made for it, 0: no bound. Raises UpstreamError."""
        self._callers += 1
        try:
            return await self._channel(seconds)
        finally:
            self._callers -= 1

    async def _channel(self, seconds: float) -> Channel:
        while True:
            if not self._waiting and (channel := self._free()):
                return channel
            future: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()
            self._waiting.append(place := (future, seconds))
            self._match()
            try:
                channel = await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled() and not future.exception():
                    future.result().release(False)  # it came in the very moment in which the caller left
                raise
            finally:
                if place in self._waiting:
                    self._waiting.remove(place)
                if not self._waiting:
                    self._give_up()
            if channel.usable:
                return channel
            channel.release(False)  # it was closed between being handed over and being taken

    def _free(self) -> Channel | None:
        for shared in self.shared:
            if shared.has_room:
                return shared.open_stream()
        return self.idle.pop().take() if self.idle else None

    def _match(self) -> None:
        """Hands out what is free, and dials for the rest."""
        while self._waiting:
            if self._waiting[0][0].done():
                self._waiting.popleft()
            elif channel := self._free():
                self._waiting.popleft()[0].set_result(channel)
            else:
                break
        for _ in range(self._wanted()):
            seconds = [seconds for _, seconds in self._waiting]
            task = asyncio.create_task(self._make(0 if 0 in seconds else max(seconds)))
            self._dials.add(task)

    def _wanted(self) -> int:
        more = len(self._waiting) - len(self._dials)
        if self._may_share:
            soon = self._dials or any(not (shared.settled or shared.retired) for shared in self.shared)
            more = 0 if soon else min(more, 1)
        return max(0, min(more, self.limit - len(self.open) - len(self._dials)))

    async def _make(self, seconds: float) -> None:
        # A task of its own: a caller that leaves must not break the dial for those who wait for the same one.
        failed: UpstreamError | None = None
        try:
            async with asyncio.timeout(seconds or None):
                connection = await self._dial(self)
        except UpstreamError as e:
            failed = e
        except TimeoutError:
            failed = UpstreamError("timeout", "there was no connection in time", "connect")
        except Exception as e:  # whatever it was, those who wait must learn that nothing will come
            failed = UpstreamError("connect", f"the connection could not be made ({type(e).__name__})")
        else:
            # It ended in the meantime: nobody is to dial on and on, for the next one would end so too.
            failed = None if connection.usable else connection.broken
        finally:
            self._dials.discard(asyncio.current_task())
        if failed:
            self._fail(failed)
        else:
            self.open.add(connection)
            self._may_share = isinstance(connection, H2)
            if isinstance(connection, H2):
                self.shared.append(connection)
                connection.keep_until(self._keep_s)
                self._match()
            else:
                self.ready(connection)

    def _fail(self, error: UpstreamError) -> None:
        """Tells whom the dial was for: the one who has waited longest, or all if nothing else can serve them."""
        hopeless = not self._dials and not self.open
        for _ in range(len(self._waiting) if hopeless else 1):
            if self._waiting and not (future := self._waiting.popleft()[0]).done():
                future.set_exception(UpstreamError(error.kind, str(error), error.deadline, untouched=error.untouched))
        self._match()

    def _give_up(self) -> None:
        # Now: who comes before they have ended must not wait for what they bring.
        dials, self._dials = self._dials, set()
        for task in dials:
            task.cancel()

    def ready(self, connection: H1 | H2) -> None:
        if isinstance(connection, H1) and connection not in self.idle:
            self.idle.append(connection)
            connection.keep_until(self._keep_s)
        self._match()
        if len(self.idle) > self._keep:
            self.idle[0].close()  # the oldest; takes itself off the list
        if self._forsaken:
            self._drop_if_idle(connection)

    def keep(self, keep: bool) -> None:
        """False: nobody names this origin any more; what is idle is closed now, and the rest when it becomes so."""
        self._forsaken = not keep
        if self._forsaken:
            for connection in self.open.copy():
                self._drop_if_idle(connection)

    def _drop_if_idle(self, connection: H1 | H2) -> None:
        if connection in self.idle or (isinstance(connection, H2) and not connection.busy):
            connection.close()  # takes itself off its list

    def gone(self, connection: H1 | H2) -> None:
        if isinstance(connection, H2):
            if connection in self.shared:
                self.shared.remove(connection)
        elif connection in self.idle:
            self.idle.remove(connection)
        if connection.closed:
            self.open.discard(connection)
        self._match()

    def stale(self) -> None:
        for connection in list(self.idle):  # each takes itself off the list
            connection.close()

    @property
    def full(self) -> bool:
        return len(self.open) >= self.limit and not self.idle and not any(shared.has_room for shared in self.shared)

    @property
    def empty(self) -> bool:
        return not (self.open or self._dials or self._callers)

    async def aclose(self) -> None:
        error = UpstreamError("connect", "TokenMan is shutting down")
        dials = list(self._dials)
        self._give_up()
        while self._waiting:
            if not (future := self._waiting.popleft()[0]).done():
                future.set_exception(error)
        for connection in list(self.open):
            connection.close()
        await asyncio.gather(*dials, return_exceptions=True)
