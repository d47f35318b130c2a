"""Identical calls that run at the same time share one call to the provider, which goes on for the others if its first asker leaves.

A flight is such a call: its answer goes into a buffer as it comes, and whoever follows it reads there at his own pace.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from tokenman_core.caching.entry import Entry
from tokenman_core.clock import Clock
from tokenman_core.net import UpstreamError
from tokenman_core.outward import Pieces
from tokenman_core.state import AskStore, Unavailable
from tokenman_core.verdicts import Head, Part, Refuse

AHEAD = 256 << 10  # bytes that a provider may be ahead of whoever reads fastest
LEASE_S = 10.0  # a process that dies with a flight under way keeps others from their own for no longer
RENEW_S = LEASE_S / 4
_FIRST_LOOKS_S, _LOOK_S = (0.02, 0.05, 0.1, 0.2), 0.5  # between looks for what another process is having made
WAITS_S = 600.0  # for another process: then the clients have gone, or a clock was set back and no lease ends
STREAM_WAITS_S = 15.0  # whoever wants a stream waits no longer for one that he will get at its end only
_UNASKED_S = 5.0  # so long a store that could not be asked is not asked again
MOST = 10_000  # flights at once; beyond them calls go alone
KIND = "flight"
ALONE = "alone"  # the lease of who cannot, or need not, ask


class Leases(Protocol):
    """Who of several processes has an answer made. `take` returns a lease, "" where somebody else has one."""

    async def take(self, key: bytes) -> str: ...

    def free(self, lease: str) -> None: ...


class Alone:
    """Of a process that shares with no other."""

    async def take(self, key: bytes) -> str:
        return ALONE

    def free(self, lease: str) -> None:
        pass


@dataclass(eq=False)
class Flight:
    """One call to a provider. `most`: bytes up to which its answer can be followed from the beginning, and kept.

    `fit`: whether what comes answers what was asked, known once the attempt has begun; if not, only its first asker gets it.
    """

    key: bytes
    like: object  # what must be equal besides the key to follow it: the shape that is asked for, the plan
    most: int
    clock: Clock
    fit: Callable[[], bool] = lambda: True
    parts: list[Part | Refuse] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)  # when each came
    error: Exception | None = None
    started: bool = False
    ended: bool = False
    whole: bool = True  # everything that came is still here
    private: bool = False
    lease: str = ""
    provider: str = ""  # who answers
    first: bool = True  # it is who the key is of, and no other place of the plan
    asked_usage: bool = False  # its stream tells what was used, and nobody of those who follow asked
    cost: Decimal = Decimal(0)  # USD, as booked; 0 while it is not known
    entry: Entry | None = None  # what it is worth keeping of it, once it has ended
    settled: asyncio.Event = field(default_factory=asyncio.Event)  # it is booked, and kept if it will be
    _sizes: list[int] = field(default_factory=lambda: [0])  # bytes before each part that is here, and of all
    _dropped: int = 0  # parts that are here no more
    _places: dict[int, int] = field(default_factory=dict)  # follower -> the part that he reads next
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None
    _number: int = 0

    @property
    def open(self) -> bool:
        """Whether somebody may still join it. Once it has ended it is known whether it is an answer to others."""
        if self.ended:
            return self.entry is not None and not self.private
        return self.whole and not self.private and self.error is None and not self._failed

    @property
    def _failed(self) -> bool:
        first = self.parts[0] if self.parts and not self._dropped else None
        return isinstance(first, Refuse) or (isinstance(first, Head) and first.status != 200)

    @property
    def size(self) -> int:
        """Bytes that came."""
        return self._sizes[-1]

    def start(self, source: Callable[[], Pieces]) -> None:
        """`source` is run in a task of its own, under the context of whoever starts it."""
        self.started = True
        self._task = asyncio.create_task(self._run(source))

    async def _run(self, source: Callable[[], Pieces]) -> None:
        try:
            async with aclosing(source()) as parts:
                async for part in parts:
                    self._add(part)
                    while self._far_ahead():
                        self._room.clear()
                        await self._room.wait()
        except asyncio.CancelledError:
            self.error = UpstreamError("reset", "nobody waits for it any more")
            raise
        except Exception as e:  # whoever follows is told, as if he had asked himself
            self.error = e
        finally:
            self.ended = True
            self._tell()

    def _add(self, part: Part | Refuse) -> None:
        if not self.parts and not self._dropped:
            self.private = not self.fit()
        self.parts.append(part)
        self.moments.append(self.clock.monotonic())
        self._sizes.append(self._sizes[-1] + (len(part) if isinstance(part, bytes) else 0))
        if self.size > self.most:
            self.whole = False
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _far_ahead(self) -> bool:
        """While all of it is kept, who reads fastest sets the pace; then who reads slowest, or it would all have to stay."""
        if not self._places:
            return False
        self._drop()
        place = (max if self.whole else min)(self._places.values())
        return self.size - self._sizes[place - self._dropped] > AHEAD

    def _drop(self) -> None:
        if self.whole:
            return
        read = min(self._places.values()) - self._dropped
        del self.parts[:read], self.moments[:read], self._sizes[:read]
        self._dropped += read

    async def follow(self) -> Pieces:
        """All of it, from its beginning. Raises whatever its source did. When nobody follows it any more, it ends."""
        self._number += 1
        me, self._places[self._number] = self._number, 0
        try:
            while True:
                if (place := self._places[me]) < self._dropped + len(self.parts):
                    part = self.parts[place - self._dropped]
                    self._places[me] = place + 1
                    self._room.set()
                    yield part
                elif self.ended:
                    if self.error is not None:
                        raise self.error
                    return
                else:
                    await self._news.wait()
        finally:
            del self._places[me]
            self._room.set()
            if not self._places:
                self.cancel()

    def cancel(self) -> None:
        """Ends it, unless it has ended."""
        if self._task is None:
            self.ended, self.error = True, self.error or UpstreamError("reset", "it was never begun")
            self._tell()
        elif not self.ended:
            self._task.cancel()

    async def over(self) -> None:
        """Returns when it has ended, however that came."""
        if self._task is not None:
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                self._task.exception()


class Flights:
    """Those that are under way, and those that have ended and whose answer is being put away."""

    def __init__(
        self, clock: Clock, leases: Leases | None = None, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._leases = leases or Alone()
        self._flights: dict[bytes, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def of(self, key: bytes) -> Flight | None:
        """The one that answers such calls, if somebody may join it."""
        flight = self._flights.get(key)
        return flight if flight is not None and flight.open else None

    def begin(self, key: bytes, like: object, most: int, fit: Callable[[], bool]) -> Flight:
        """A new one, which others find from now on unless there is one already. `start` sets it off, `end` forgets it."""
        flight = Flight(key, like, most, self._clock, fit)
        there = self.of(key)
        if len(self._flights) < MOST and (there is None or there.ended):
            self._flights[key] = flight
        return flight

    def end(self, flight: Flight) -> None:
        """It is settled, and nobody finds it any more. One that was never begun is given up."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        if not flight.started:
            flight.cancel()
        flight.settled.set()
        self._leases.free(flight.lease)

    async def first[T](
        self, key: bytes, find: Callable[[], Awaitable[T | None]] | None, most: float = WAITS_S
    ) -> tuple[str, T | None]:
        """A lease to have an answer made, "" for none; or what `find` finds once another process had one made.

        Waits while another process is at it, `most` seconds, for that began earlier; not at all where nothing may be found (None).
        If nothing can be found then, whoever waited for it has one made for himself.
        """
        if find is None:
            return await self._leases.take(key), None
        waited, looks = 0.0, iter(_FIRST_LOOKS_S)
        while waited < most:
            if lease := await self._leases.take(key):
                if not waited:
                    return lease, None
                self._leases.free(lease)  # else the next one who waited would wait once more
                return "", await find()
            seconds = next(looks, _LOOK_S)
            await self._sleep(seconds)
            waited += seconds
            if (found := await find()) is not None:
                return "", found
        return "", None


class StoreLeases:
    """Leases in the store that the processes of a machine share. A store that cannot be asked holds nobody up."""

    def __init__(self, ask: AskStore, clock: Clock) -> None:
        self._ask, self._clock = ask, clock
        self._running: dict[str, bytes] = {}  # by lease, the key that it is for
        self._keys: set[bytes] = set()
        self._again = float("-inf")  # until then the store is left alone
        self._tasks: set[asyncio.Task[None]] = set()  # a task that nobody holds may be collected before it ends

    async def take(self, key: bytes) -> str:
        # Whoever may not follow a call of this process does not wait for it either.
        if key in self._keys or self._clock.monotonic() < self._again:
            return ALONE
        lease, now = secrets.token_hex(8), self._clock.now()
        self._running[lease] = key
        self._keys.add(key)
        try:
            said, _ = await self._ask(
                lambda store: store.lease(KIND, key.hex(), lease, most=1, over=0, until=now + LEASE_S, now=now)
            )
        except Unavailable:
            self._forget(lease)
            self._again = self._clock.monotonic() + _UNASKED_S  # it may have taken seconds to say so
            return ALONE
        except BaseException:  # the client left: it may yet be granted, and would be renewed for ever
            self.free(lease)
            raise
        if said == "leased":
            return lease
        self._forget(lease)
        return ""

    def free(self, lease: str) -> None:
        if self._forget(lease):
            task = asyncio.create_task(self._free(lease))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _forget(self, lease: str) -> bool:
        key = self._running.pop(lease, None)
        if key is not None:
            self._keys.discard(key)
        return key is not None

    async def _free(self, lease: str) -> None:
        with suppress(Unavailable):  # then it ends by itself
            await self._ask(lambda store: store.free(lease))

    async def keep(self) -> None:
        """To be called every `RENEW_S`. Never raises."""
        running, until = frozenset(self._running), self._clock.now() + LEASE_S
        if running:
            with suppress(Unavailable):
                await self._ask(lambda store: store.renew(running, until))
