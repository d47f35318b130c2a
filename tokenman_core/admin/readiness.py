"""Whether this instance can do its work: one named check each for the ledger, the stages, the detection and the providers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from tokenman_core.background import Standing
from tokenman_core.clock import Clock
from tokenman_core.telemetry.health import Health

FRESH_S = 10.0  # so long what is known of a provider is taken for what is
PROBE_S = 3.0


@dataclass(frozen=True)
class Status:
    """`message` is for people, holds no error's own text, and says what to do where something failed."""

    status: Literal["ok", "failed", "unknown"]
    message: str

    def as_json(self) -> dict[str, str]:
        return {"status": self.status, "message": self.message}


class Check(Protocol):
    """`outside`: it is about a provider, whose outage is the same for every machine."""

    @property
    def name(self) -> str: ...

    @property
    def outside(self) -> bool: ...

    async def __call__(self) -> Status:
        """How it is now. Quick, or remembered."""


@dataclass(frozen=True)
class Ask:
    """A check of something inside. `trouble` tells what is wrong and what to do, None for nothing; `fine` is said then."""

    name: str
    trouble: Callable[[], str | None]
    fine: str
    outside: bool = False

    async def __call__(self) -> Status:
        trouble = self.trouble()
        return Status("ok", self.fine) if trouble is None else Status("failed", trouble)


RESTS = Status("failed", "its breaker is open, so it gets no calls; it is probed when breaker.reset has passed")


class Reach:
    """Whether a provider is there: by a call of the last ten seconds, else by a connection, one in ten seconds at the most.
    One whose breaker is open gets no calls, so it is as good as gone.

    `rests` tells whether the breaker is open, and not due for a probe. `connect` opens a connection and closes it; it raises
    whatever it likes if there is none. It sends nothing, so it costs nothing.
    """

    outside = True

    def __init__(
        self,
        provider: str,
        health: Health,
        connect: Callable[[], Awaitable[None]],
        clock: Clock,
        rests: Callable[[], bool] = lambda: False,
    ) -> None:
        self.name = f"provider:{provider}"
        self._rests = rests
        self._provider, self._health, self._connect, self._clock = provider, health, connect, clock
        self._probed: Status | None = None
        self._at = 0.0
        self._turn = asyncio.Lock()

    @property
    def last(self) -> Status | None:
        """By its breaker, else by the last call or connection, whichever came later; None: there was none."""
        if self._rests():
            return RESTS
        seen = self._health.of(self._provider)
        if self._probed is not None and self._at >= seen.at:
            return self._probed
        if not seen.at:
            return None
        if seen.failed:
            return Status("failed", f"the last call there failed ({seen.failed.replace('_', ' ')})")
        return Status("ok", "the last call there was answered")

    async def __call__(self) -> Status:
        if self._rests():
            return RESTS
        async with self._turn:  # who asks meanwhile waits for the same answer
            age = self._clock.now() - max(self._at, self._health.of(self._provider).at)
            last = self.last
            return last if last is not None and 0 <= age < FRESH_S else await self._probe()

    async def _probe(self) -> Status:
        try:
            async with asyncio.timeout(PROBE_S):
                await self._connect()
            self._probed = Status("ok", "a connection can be opened")
        except Exception:  # whatever it is, the provider was not reached; the text could tell of the network inside
            remedy = "see the machine's way to the internet, and the provider's base_url"
            self._probed = Status("failed", f"no connection can be opened; {remedy}")
        self._at = self._clock.now()
        return self._probed


@dataclass(frozen=True)
class Verdict:
    ready: bool
    checks: dict[str, Status]
    tasks: Mapping[str, Standing] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        checks = {name: status.as_json() for name, status in self.checks.items()}
        tasks = {
            name: {
                "status": "failed" if it.trouble else "ok", "message": it.trouble or "runs",
                "age_s": round(it.age, 1), "every_s": it.every,
            }
            for name, it in self.tasks.items()
        }  # fmt: skip
        return {"status": "ready" if self.ready else "unready", "checks": checks, "tasks": tasks}


class Readiness:
    """All checks. One that fails makes the whole unready; of the providers all have to. `tasks`: those in the background, for
    which a check of its own stands.
    """

    def __init__(self, checks: Iterable[Check] = (), tasks: Callable[[], Mapping[str, Standing]] = dict) -> None:
        self.checks, self._tasks = tuple(checks), tasks

    async def judge(self, *, outside: bool = True) -> Verdict:
        """`outside`: the providers are looked at, too."""
        wanted = [check for check in self.checks if outside or not check.outside]
        found = await asyncio.gather(*(check() for check in wanted))
        inner = [status for check, status in zip(wanted, found, strict=True) if not check.outside]
        outer = [status for check, status in zip(wanted, found, strict=True) if check.outside]
        ready = all(each.status != "failed" for each in inner)
        if outer and all(each.status == "failed" for each in outer):
            ready = False
        return Verdict(ready, {check.name: status for check, status in zip(wanted, found, strict=True)}, self._tasks())
