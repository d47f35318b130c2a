"""How the budgets stand, those of clients too, from the data folder: no proxy has to run."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from addons.cli import figures
from addons.proxy.own_limits import OwnLimits
from addons.spending import budget_rule
from tokenman_core import crashed, forecast
from tokenman_core.budget.books import Books, State
from tokenman_core.budget.rules import dollars
from tokenman_core.budget.windows import zone
from tokenman_core.clients import Clients
from tokenman_core.clock import Clock
from tokenman_core.config.models import Settings
from tokenman_core.errors import ConfigError
from tokenman_core.forecast import Forecast
from tokenman_core.ledger import LedgerReader
from tokenman_core.ledger.row import clean, iso, plain
from tokenman_core.state import Sqlite, Store, Unavailable, path_of

Standing = tuple[State, Forecast | None, Decimal]
"""The last: what of it was booked of calls that ended with their process (USD)."""

MOST_LINES = 20


def standing(settings: Settings, reader: LedgerReader, clock: Clock) -> list[Standing]:
    """Each counter of each budget in its window of now. Raises Unavailable if they cannot be read, and LedgerError."""
    rules = [budget_rule(it) for it in settings.budgets]
    own = OwnLimits(Clients(settings.data_dir, b""), rules).budgets  # no key is looked at
    if not rules and not own():
        return []
    path = path_of(settings)
    if not path.exists():  # nothing was ever counted, and reading makes no file
        return []
    store = _opened(path)

    async def ask[T](question: Callable[[Store], T], *, brief: bool = False) -> T:
        return question(store)

    try:
        states = asyncio.run(Books(rules, zone(settings.timezone), clock, ask, lambda _: None, own=own).everything())
    except Exception as error:  # whatever the file is, the rest of the report can be told
        raise Unavailable(str(type(error).__name__)) from error
    finally:
        store.close()
    now = clock.now()
    counts_all = settings.pricing.subscriptions == "count"
    days = forecast.days_of(reader.totals("day", forecast.since(now)), counts_all)
    lost = crashed.since(states, reader)
    return [
        (state, forecast.of_budget(state, now, days), crashed.part(state, lost, counts_subscriptions=counts_all))
        for state in states
    ]


def _opened(path: Path) -> Sqlite:
    try:
        return Sqlite(path)
    except (ConfigError, OSError, sqlite3.Error) as error:
        raise Unavailable(str(error)) from error


def as_json(state: State, ahead: Forecast | None, lost: Decimal) -> dict[str, Any]:
    """As `GET /api/budgets` has it, without what only the configuration says."""
    endless = state.rule.span == "total"
    return {
        "name": state.rule.name,
        "scope": state.rule.reach.scope,
        "counted_by": clean(state.counted_by) or None,
        "window": state.rule.span,
        "ends": None if endless else iso(_moment(state.window.ends)),
        "limit_usd": plain(dollars(state.rule.limit)),
        "spent_usd": plain(dollars(state.count.spent)),
        "crashed_usd": plain(lost),
        "held_usd": plain(dollars(state.count.held)),
        "forecast_usd": plain(ahead.usd) if ahead else None,
        "forecast_by": ahead.method if ahead else None,
        "full_at": iso(_moment(ahead.full_at)) if ahead and ahead.full_at is not None else None,
    }


def lines(found: list[Standing]) -> Iterator[str]:
    """A line a counter, those first that are nearest to their limit."""
    ordered = sorted(found, key=lambda each: -each[0].count.spent / each[0].rule.limit)
    for each in ordered[:MOST_LINES]:
        yield _line(*each)
    if len(ordered) > MOST_LINES:
        yield f"{len(ordered) - MOST_LINES} more counters of budgets: tokenman report --json has them all."


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _line(state: State, ahead: Forecast | None, lost: Decimal) -> str:
    rule = state.rule
    whose = "" if rule.reach.scope == "global" else f" of {rule.reach.scope} {clean(state.counted_by) or '(none)'}"
    told = f"budget {rule.name}{whose}: {figures.money(dollars(state.count.spent))} of {figures.money(dollars(rule.limit))} spent"
    if state.count.held:
        told += f", {figures.money(dollars(state.count.held))} held"
    if rule.span != "total":
        told += f" this {rule.span}"
    if lost:
        told += f" ({figures.money(lost)} of it by calls that ended with their process; what they wrote is not known)"
    if ahead is None:
        return told
    how = "as fast as until now" if ahead.method == "linear" else "as on the same weekdays before"
    told += f"; by its end {figures.money(ahead.usd)}, {how}"
    if ahead.full_at is not None:
        told += f", and full at {_moment(ahead.full_at):%Y-%m-%d %H:%M} UTC"
    return told
