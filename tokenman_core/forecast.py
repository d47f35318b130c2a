"""What a budget's window will have cost at its end, by what it has cost so far and by what such days have cost before."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from tokenman_core.budget.books import State
from tokenman_core.budget.rules import dollars
from tokenman_core.ledger.sums import Totals

Method = Literal["linear", "weekdays"]

WEEKS = 7
"""So many days of a weekday tell what the next one will cost."""

_FEWEST = 3  # fewer say nothing
_EARLY = 0.02  # of a window; before it a line through what was spent leads anywhere
_CENT = Decimal("0.000001")
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Forecast:
    """`usd` at the window's end. `linear`: as fast as until now. `weekdays`: what is left of it costs as on the last seven days of
    the same weekday. `full_at`: when the limit will be reached (seconds since the epoch), None: not in this window.
    """

    usd: Decimal
    method: Method
    full_at: float | None = None


def since(now: float) -> datetime:
    """From when on days are needed: the first of the oldest weekday that counts."""
    return datetime.combine(_day(now) - timedelta(weeks=WEEKS), datetime.min.time(), UTC)


def forecast(
    spent: Decimal, limit: Decimal, begins: float, ends: float, now: float, days: Mapping[date, Decimal] | None = None
) -> Forecast | None:
    """None where nothing can be told yet. `days`: what days (UTC) have cost, without those on which nothing was."""
    if not begins <= now < ends:
        return None
    left = _as_weekdays(now, ends, days) if days else None
    if left is not None:
        usd, method = spent + left, "weekdays"
    elif now - begins >= _EARLY * (ends - begins):
        usd, method = spent * Decimal(ends - begins) / Decimal(now - begins), "linear"
    else:
        return None
    full = None
    if usd >= limit:  # between now and the end as on a line
        share = (limit - spent) / (usd - spent) if usd > spent else Decimal(0)
        full = now + float(max(share, Decimal(0))) * (ends - now)
    return Forecast(usd.quantize(_CENT), method, full)  # type: ignore[arg-type]


def _as_weekdays(now: float, ends: float, days: Mapping[date, Decimal]) -> Decimal | None:
    """What the rest of the window costs. None where the record is too young for one of its weekdays."""
    first, today = min(days), _day(now)
    total, day = Decimal(0), today
    while (begin := _moment(day)) < ends:
        before = [today - timedelta(days=(today - day).days % 7) - timedelta(weeks=week) for week in range(WEEKS + 1)]
        known = [each for each in before if first <= each < today][:WEEKS]
        if len(known) < _FEWEST:
            return None
        share = (min(ends, begin + 86_400) - max(now, begin)) / 86_400
        total += sum((days.get(each, Decimal(0)) for each in known), Decimal(0)) / len(known) * Decimal(share)
        day += _DAY
    return total


def _day(moment: float) -> date:
    return datetime.fromtimestamp(moment, UTC).date()


def _moment(day: date) -> float:
    return datetime.combine(day, datetime.min.time(), UTC).timestamp()


def of_budget(state: State, now: float, days: Mapping[date, Decimal] | None) -> Forecast | None:
    """Of a budget as it stands. What days have cost says something only of budgets that are about all calls."""
    rule = state.rule
    if rule.span == "total":
        return None
    of_all = rule.reach.scope == "global" and not rule.reach.match and rule.span != "hour"
    return forecast(
        dollars(state.count.spent), dollars(rule.limit), state.window.begins, state.window.ends, now, days if of_all else None
    )  # fmt: skip


def days_of(totals: Totals, counts_subscriptions: bool) -> dict[date, Decimal]:
    """What budgets counted of each day, from sums by day."""
    return {
        date.fromisoformat(day): sums.cost - (Decimal(0) if counts_subscriptions else sums.notional)
        for day, sums in totals.groups
    }
