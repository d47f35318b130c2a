"""What the admin application shows: the parts of a running proxy, as whoever starts it has put them together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tokenman_core.admin.keys import Codes, Keys
from tokenman_core.admin.readiness import Readiness
from tokenman_core.budget.books import State
from tokenman_core.caching.answers import Figures
from tokenman_core.clients import Clients
from tokenman_core.clock import Clock
from tokenman_core.config.load import Loaded
from tokenman_core.failover import breaker
from tokenman_core.ledger.reader import LedgerReader
from tokenman_core.ratelimit.pace import Limit
from tokenman_core.telemetry.feed import Feed
from tokenman_core.telemetry.health import Health
from tokenman_core.telemetry.metrics import Metrics
from tokenman_core.telemetry.tally import Tallies


class Breakers(Protocol):
    """The breakers of the providers, by name."""

    @property
    def states(self) -> Mapping[str, breaker.State]: ...

    def hold(self, provider: str) -> None:
        """Opens one until `release`. Raises KeyError."""

    def release(self, provider: str) -> None:
        """Closes one, whoever opened it. Raises KeyError."""


class Budgets(Protocol):
    """The budgets in force."""

    async def everything(self) -> list[State]:
        """As they stand now. Raises Unavailable."""


class NoBudgets:
    async def everything(self) -> list[State]:
        return []


class Paces(Protocol):
    """What providers say of their own rate limits."""

    def of(self, provider: str, most: int = 20) -> list[tuple[str, Limit, float, float]]:
        """The latest first: model, limit, what is left of it, seconds until all is."""


class NoPaces:
    def of(self, provider: str, most: int = 20) -> list[tuple[str, Limit, float, float]]:
        return []


class Cache(Protocol):
    """The answers that are kept, and the calls that have one made."""

    @property
    def under_way(self) -> int:
        """Calls whose answer others may share, now."""

    @property
    def purge_age_seconds(self) -> float | None:
        """Since what is too old, or too much, was last removed; None: nothing is open."""

    def figures(self) -> Figures:
        """How it stands."""

    async def forget(self, model: str | None = None, project: str | None = None) -> int:
        """Removes what was kept of a model, of a project ("": of none), of both, or all. Returns how many. Raises NotForgotten."""


class NoCache:
    under_way = 0
    purge_age_seconds: float | None = None

    def figures(self) -> Figures:
        return Figures(
            entries=0, bytes=0, memory_entries=0, memory_bytes=0, waiting=0, evicted=0, damaged=0, unwritten=0,
            trouble=None, path="", encrypted=False, round=None,
        )  # fmt: skip

    async def forget(self, model: str | None = None, project: str | None = None) -> int:
        return 0


class Reloads(Protocol):
    """How the configuration was read again."""

    def as_json(self) -> Mapping[str, Any] | None:
        """The last time; None: never."""


class NoReloads:
    """Of a proxy that reads it once."""

    def as_json(self) -> None:
        return None


@dataclass(frozen=True)
class Parts:
    """`actions`: for each entity that redaction knows, its action and the setting that says so."""

    loaded: Loaded
    ledger: LedgerReader
    metrics: Metrics
    feed: Feed
    tallies: Tallies
    health: Health
    readiness: Readiness
    breakers: Breakers
    codes: Codes
    keys: Keys
    clock: Clock
    started: float  # seconds since the epoch
    actions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    reloads: Reloads = field(default_factory=NoReloads)
    budgets: Budgets = field(default_factory=NoBudgets)
    clients: Clients | None = None
    paces: Paces = field(default_factory=NoPaces)
    cache: Cache = field(default_factory=NoCache)
