"""Puts together what the admin port shows of a running bundle: its parts, its gauges, and the checks of its readiness."""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from addons import caching
from addons.proxy.bundle import Bundle
from tokenman_core import background
from tokenman_core.admin.parts import Parts, Reloads
from tokenman_core.admin.readiness import Ask, Check, Reach, Readiness
from tokenman_core.caching.answers import Figures
from tokenman_core.caching.kept import Kept
from tokenman_core.clock import Clock, SystemClock
from tokenman_core.config.conflicts import kinds_of_own
from tokenman_core.config.load import Loaded
from tokenman_core.failover.breaker import State
from tokenman_core.ledger.ledger import path_of
from tokenman_core.ledger.reader import LedgerReader
from tokenman_core.redaction import ENTITIES, Detection
from tokenman_core.redaction.policy import Policy
from tokenman_core.telemetry.metrics import OWN_BOUNDS, Metrics
from tokenman_core.telemetry.series import Count, Gauge, Histogram

Origin = tuple[str, str, int]

BREAKER_STATES: Mapping[State, int] = {"closed": 0, "half_open": 1, "open": 2}


class Shown:
    """What is shown now. `parts` are made anew when the configuration changes; what was found out of a provider stays known."""

    def __init__(self, bundle: Bundle, reloads: Reloads) -> None:
        self._bundle, self._reloads = bundle, reloads
        self._reaches: dict[tuple[str, Origin], Reach] = {}
        self._clock = SystemClock()
        self._started = self._clock.now()
        _watch(bundle, lambda: list(self._reaches.values()))

    def parts(self, loaded: Loaded) -> Parts:
        bundle, settings = self._bundle, loaded.settings
        policy = Policy(settings.redaction)
        self._reaches = {
            key: self._reaches.get(key) or _reach(bundle, *key, self._clock)
            for it in bundle.policies.providers.by_name.values()
            for key in [(it.name, (it.scheme, it.host, it.port))]
        }
        return Parts(
            loaded,
            LedgerReader(path_of(settings)),
            bundle.metrics,
            bundle.feed,
            bundle.tallies,
            bundle.health,
            Readiness([*_inner(bundle), *self._reaches.values()], background.standings),
            bundle.breakers,
            bundle.codes,
            bundle.keys,
            self._clock,
            self._started,
            {
                entity: (policy.action(entity), policy.setting(entity))
                for entity in (*ENTITIES, *sorted(kinds_of_own(settings)))
            },
            self._reloads,
            bundle.policies.books,
            clients=bundle.lasting.clients,
            paces=bundle.lasting.paces,
            cache=_Cache(bundle.lasting.cache),
        )


@dataclass(frozen=True)
class _Cache:
    """The answers that are kept now: a change of the configuration may have others take their place."""

    lasting: caching.Lasting

    @property
    def under_way(self) -> int:
        return len(self.lasting.flights)

    @property
    def purge_age_seconds(self) -> float | None:
        return self.lasting.kept.purge_age_seconds

    def figures(self) -> Figures:
        return self.lasting.kept.answers.figures()

    async def forget(self, model: str | None = None, project: str | None = None) -> int:
        return await self.lasting.kept.forget(model, project)


def _inner(bundle: Bundle) -> list[Check]:
    def stages() -> str | None:
        found = bundle.policies.stages()
        if found is None:
            return "a script could not be loaded, so no call is sent; the log says which"
        if not {id(stage) for stage in bundle.policies.ours()} <= {id(link.stage) for link in found.links}:
            return "a stage of TokenMan's own is not in the chain; start anew"
        return None

    def detection() -> str | None:
        return None if bundle.detection.is_ready else "the detection of personal data is starting; wait a moment"

    def shutdown() -> str | None:
        return "it is shutting down" if bundle.exchanges.closing else None

    return [
        Ask("ledger", lambda: bundle.ledger.trouble, "calls are recorded"),
        Ask("stages", stages, "the chain is loaded"),
        Ask("detection", detection, "a worker is ready"),
        Ask("state", lambda: bundle.state.trouble, "what processes share can be kept"),
        Ask("tasks", background.trouble, "all tasks in the background run"),
        Ask("shutdown", shutdown, "calls are taken"),
    ]


def _reach(bundle: Bundle, name: str, origin: Origin, clock: Clock) -> Reach:
    reach = functools.partial(bundle.lasting.upstream.reach, origin)
    return Reach(name, bundle.health, reach, clock, functools.partial(bundle.breakers.rests, name))


def _watch(bundle: Bundle, reaches: Callable[[], list[Reach]]) -> None:
    metrics = bundle.metrics

    def up() -> dict[tuple[str, ...], float]:
        found = {reach.name.partition(":")[2]: reach.last for reach in reaches()}
        return {(name,): float(status.status == "ok") for name, status in found.items() if status is not None}

    metrics.watch(
        lambda: Gauge("tokenman_active_requests", "Calls that run now.", (), {(): bundle.tallies.active}),
    )
    metrics.watch(
        lambda: Gauge(
            "tokenman_provider_up",
            "1: its last call was answered, or it can be reached; 0: neither, or its breaker is open.",
            ("provider",),
            up(),
        )
    )
    metrics.watch(
        lambda: Gauge(
            "tokenman_background_task_age_seconds", "Since a task last came round, a purge with success.", ("task",),
            {(name,): it.age for name, it in background.standings().items()},
        )
    )  # fmt: skip
    metrics.watch(
        lambda: Gauge(
            "tokenman_breaker_state", "0: closed, 1: half-open, 2: open, of the provider or of a model of it.", ("provider",),
            {(name,): BREAKER_STATES[state] for name, state in bundle.breakers.states.items()},
        )
    )  # fmt: skip
    metrics.watch(
        lambda: Gauge(
            "tokenman_budget_spent_ratio", "Of a budget's limit, in its window of now; of a scope, where it is most.", ("budget",),
            {(name,): ratio for name, ratio in bundle.policies.books.ratios().items()},
        )
    )  # fmt: skip
    dropped = Count("tokenman_ledger_dropped_rows", "Calls whose row was lost.", ())

    def lost() -> Count:
        dropped.values[()] = bundle.ledger.dropped
        return dropped

    metrics.watch(lost)
    _watch_cache(metrics, bundle.lasting.cache.kept)
    _watch_detection(metrics, bundle.detection)


def _watch_cache(metrics: Metrics, kept: Kept) -> None:
    metrics.watch(
        lambda: Gauge(
            "tokenman_cache_entries", "Answers that are kept on disk.", (), {(): float(kept.answers.figures().entries)}
        )
    )
    metrics.watch(
        lambda: Gauge(
            "tokenman_cache_bytes", "What kept answers take on disk.", (), {(): float(kept.answers.figures().bytes)}
        )
    )


def _watch_detection(metrics: Metrics, detection: Detection) -> None:
    """What the detection workers do, and how long texts wait for them."""
    waits = Histogram("tokenman_detection_wait_seconds", "What texts waited for a worker.", (), OWN_BOUNDS)
    detection.on_wait = functools.partial(waits.observe, ())
    restarts = Count(
        "tokenman_detection_restarts", "Workers that took the place of one that died, hung or outgrew.", ("reason",)
    )
    refused = Count(
        "tokenman_detection_refused", "Texts that no worker could judge, whose calls were refused.", ("reason",)
    )

    def counted(count: Count, kept: Iterable[tuple[str, int]]) -> Count:
        count.values.update({(reason,): number for reason, number in kept})
        return count.copy()

    metrics.watch(waits.copy)
    metrics.watch(lambda: counted(restarts, detection.restarts.items()))
    metrics.watch(lambda: counted(refused, detection.refused.items()))
    metrics.watch(
        lambda: Gauge("tokenman_detection_queue", "Texts that wait for a worker.", (), {(): float(detection.queued)})
    )
    metrics.watch(
        lambda: Gauge(
            "tokenman_detection_workers", "Workers that have their detectors loaded.", (), {(): float(detection.up)}
        )
    )
