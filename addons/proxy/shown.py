"""Puts together what the admin port shows of a running bundle: its parts, its gauges, and the checks of its readiness."""

import functools
from collections.abc import Mapping

from addons.proxy.bundle import Bundle
from tokenman_core.admin.keys import Keys, admin_token
from tokenman_core.admin.parts import Parts
from tokenman_core.admin.readiness import Ask, Check, Reach, Readiness
from tokenman_core.clock import Clock, SystemClock
from tokenman_core.config.load import Loaded
from tokenman_core.failover.breaker import State
from tokenman_core.ledger.ledger import path_of
from tokenman_core.ledger.reader import LedgerReader
from tokenman_core.redaction import ENTITIES
from tokenman_core.redaction.policy import Policy
from tokenman_core.telemetry.metrics import Metrics
from tokenman_core.telemetry.series import Count, Gauge

BREAKER_STATES: Mapping[State, int] = {"closed": 0, "half_open": 1, "open": 2}


def parts_of(bundle: Bundle, loaded: Loaded) -> Parts:
    """Raises ConfigError if there is no admin token and none can be made."""
    clock = SystemClock()
    settings = loaded.settings
    policy = Policy(settings.redaction)
    reaches = _reaches(bundle, clock)
    _watch(bundle, bundle.metrics, reaches)
    return Parts(
        loaded,
        LedgerReader(path_of(settings)),
        bundle.metrics,
        bundle.feed,
        bundle.tallies,
        bundle.health,
        Readiness([*_inner(bundle), *reaches]),
        bundle.failover,
        bundle.codes,
        Keys(admin_token(settings), bundle.codes, clock),
        clock,
        clock.now(),
        {entity: (policy.action(entity), policy.setting(entity)) for entity in ENTITIES},
    )


def _inner(bundle: Bundle) -> list[Check]:
    def stages() -> str | None:
        found = bundle.stages()
        if found is None:
            return "a script could not be loaded, so no call is sent; the log says which"
        if not {id(stage) for stage in bundle.ours} <= {id(link.stage) for link in found.links}:
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
        Ask("shutdown", shutdown, "calls are taken"),
    ]


def _reaches(bundle: Bundle, clock: Clock) -> list[Reach]:
    return [
        Reach(
            it.name,
            bundle.health,
            functools.partial(bundle.upstream.reach, (it.scheme, it.host, it.port)),
            clock,
            functools.partial(bundle.failover.rests, it.name),
        )
        for it in bundle.providers.by_name.values()
    ]


def _watch(bundle: Bundle, metrics: Metrics, reaches: list[Reach]) -> None:
    def up() -> dict[tuple[str, ...], float]:
        found = {reach.name.partition(":")[2]: reach.last for reach in reaches}
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
            "tokenman_background_task_age_seconds", "Since a task last did its work with success.", ("task",),
            {("ledger_purge",): bundle.ledger.purge_age_seconds},
        )
    )  # fmt: skip
    metrics.watch(
        lambda: Gauge(
            "tokenman_breaker_state", "0: closed, 1: half-open, 2: open.", ("provider",),
            {(name,): BREAKER_STATES[state] for name, state in bundle.failover.states.items()},
        )
    )  # fmt: skip
    dropped = Count("tokenman_ledger_dropped_rows", "Calls whose row was lost.", ())

    def lost() -> Count:
        dropped.values[()] = bundle.ledger.dropped
        return dropped

    metrics.watch(lost)
