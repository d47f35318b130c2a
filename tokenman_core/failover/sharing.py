"""Tells other processes on the same data folder which breakers are open, learns it from them, and from before a restart.

What is shared is that one is open, since when, and whether by hand; and, exactly, how many probes are under way. Each process
counts the failures that it sees itself. Where the store cannot be asked, each goes on alone.
"""

import asyncio
import json
import logging
import secrets
from contextlib import suppress
from typing import Any, Literal

from tokenman_core import background
from tokenman_core.clock import Clock
from tokenman_core.errors import trace
from tokenman_core.failover.breakers import Breakers, Entry
from tokenman_core.state import Entry as Kept
from tokenman_core.state import State, Store, Unavailable

log = logging.getLogger("tokenman.failover")

KIND = "breaker"
EVERY_S = 0.4  # between two looks, so that what one opens holds for the others within a second
LEASE_S = 15.0  # a process that dies with a probe under way holds it no longer
_RENEW_S = LEASE_S / 3
_TAKEN_S = 0.2  # so long nobody is asked again who said that all probes are under way
DAY_S = 86_400.0
_BY_HAND_S = 3650 * DAY_S


class Sharing:
    """A `Shared`. `start` before the first call, `aclose` at the end."""

    def __init__(self, state: State, breakers: Breakers, clock: Clock) -> None:
        self._state, self._breakers, self._clock = state, breakers, clock
        self._known: dict[str, int] = {}  # name -> version
        self._to_tell: dict[str, None] = {}
        self._leases: set[str] = set()
        self._taken: dict[str, float] = {}
        self._renewed = 0.0
        self._of: frozenset[str] | None = None  # the providers that were read for
        self._wake, self._turn = asyncio.Event(), asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.step()
        self._breakers.shared = self
        self._alive = background.began("breakers", EVERY_S)
        self._task = self._alive.of(asyncio.create_task(self._run()))

    async def aclose(self) -> None:
        """What the others do not know yet is told."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.step()
            for lease in list(self._leases):
                await self._end(lease)

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._wake.wait()
            self._wake.clear()
            self._alive.ran()
            try:
                await self.step()
            except Exception as e:  # the breakers of this process work without; the next step may do better
                log.error("breakers are not shared: %s", trace(e))

    async def step(self) -> None:
        """Tells and learns. Does nothing while the store cannot be asked."""
        with suppress(Unavailable):
            async with self._turn:
                await self._tell()
                await self._learn()
            await self._renew()

    # -- what is told --

    def changed(self, name: str) -> None:
        self._to_tell[name] = None
        self._wake.set()

    async def _tell(self) -> None:
        while self._to_tell:
            name = next(iter(self._to_tell))
            del self._to_tell[name]  # what changes while it is told is told again
            entry = self._breakers.entry(name)
            if entry is not None:
                try:
                    await self._put(entry)
                except BaseException:  # whatever it was, the others do not know it yet
                    self._to_tell[name] = None
                    raise

    async def _put(self, entry: Entry) -> None:
        breaker, age = entry.breaker, entry.breaker.age
        if breaker.state == "half_open":
            return  # that, the leases tell
        now = self._clock.now()
        since = now - (self._clock.monotonic() - breaker.opened)
        value = _written(breaker.state == "open", breaker.held, since)
        until = now + (_BY_HAND_S if breaker.held else DAY_S + breaker.rules.reset)
        over = None if entry.by_hand else self._known.get(entry.name, 0)
        there = await self._state.ask(lambda store: store.put(KIND, entry.name, value, until=until, over=over, now=now))
        self._known[entry.name] = there.version
        if breaker.age != age:
            return  # it has changed meanwhile, and that is told next
        if there.value == value:
            entry.by_hand = False
        else:  # somebody else was first, and knew more
            self._adopt(entry, there)

    # -- what is learned --

    async def _learn(self) -> None:
        of, now = self._breakers.providers, self._clock.now()
        anew = of != self._of
        self._of = None  # until it is known that nothing was missed

        def read(store: Store) -> Any:
            return store.entries(KIND, now) if store.changed or anew else None

        found = await self._state.ask(read)
        self._of = of
        for name, kept in (found or {}).items():
            if self._known.get(name) == kept.version or name in self._to_tell:
                continue
            if name.partition("/")[0] not in of:
                continue
            state = _read(kept)
            if (entry := self._breakers.entry(name, make=state["open"])) is not None:
                self._adopt(entry, kept)
            self._known[name] = kept.version
        self._known = {name: version for name, version in self._known.items() if name.partition("/")[0] in of}

    def _adopt(self, entry: Entry, kept: Kept) -> None:
        self._known[entry.name] = kept.version
        said, before = _read(kept), entry.breaker.state
        ago = min(
            max(0.0, self._clock.now() - said["since"]), DAY_S
        )  # a clock that was turned back makes no rest longer
        entry.breaker.adopt(opened=said["open"], held=said["held"], ago=ago)
        if entry.breaker.state != before:
            log.warning("the breaker of %s was %s and is %s now, as another process or the last start left it",
                        entry.name.partition("/")[0], before, entry.breaker.state)  # fmt: skip

    # -- probes --

    async def lease(self, name: str) -> str | Literal[False] | None:
        if self._clock.monotonic() < self._taken.get(name, 0.0):
            return False
        with suppress(Unavailable):
            if self._to_tell:
                async with self._turn:
                    await self._tell()
            lease, now, over = secrets.token_hex(12), self._clock.now(), self._known.get(name, 0)
            most = self._breakers.probes
            got, there = await self._state.ask(
                lambda store: store.lease(KIND, name, lease, most=most, over=over, until=now + LEASE_S, now=now)
            )
            if got == "leased":
                self._leases.add(lease)
                return lease
            if got == "moved":
                if there.version and (entry := self._breakers.entry(name)) is not None:
                    self._adopt(entry, there)
                    return False
                return None  # it was forgotten there: nobody else probes
            if len(self._taken) > 1000:
                self._taken.clear()
            self._taken[name] = self._clock.monotonic() + _TAKEN_S
            return False
        return None

    def over(self, lease: str) -> None:
        self._leases.discard(lease)

    def free(self, lease: str) -> None:
        if lease in self._leases:
            self._leases.discard(lease)
            task = asyncio.ensure_future(self._end(lease))
            _running.add(task)
            task.add_done_callback(_running.discard)

    async def _end(self, lease: str) -> None:
        with suppress(Unavailable):
            await self._state.ask(lambda store: store.free(lease))

    async def _renew(self) -> None:
        moment = self._clock.monotonic()
        if self._leases and moment - self._renewed >= _RENEW_S:
            self._renewed = moment
            leases, until = frozenset(self._leases), self._clock.now() + LEASE_S
            await self._state.ask(lambda store: store.renew(leases, until))


_running: set[asyncio.Task[None]] = set()  # a task that nobody holds may be collected before it ends


def _written(opened: bool, held: bool, since: float) -> bytes:
    return json.dumps({"open": opened, "held": held, "since": since if opened else 0}).encode()


def _read(kept: Kept) -> dict[str, Any]:
    """Whatever stands there: another version may have written it."""
    try:
        said = json.loads(kept.value)
        return {"open": said["open"] is True, "held": said["held"] is True, "since": float(said["since"])}
    except (ValueError, TypeError, KeyError):
        return {"open": False, "held": False, "since": 0.0}
