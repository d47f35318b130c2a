"""The spans of the calendar that budgets are for: when the one of a moment began, when it ends, and what it is called."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

Span = Literal["hour", "day", "week", "month", "total"]

FOREVER = 253402300799.0
"""The end of the year 9999, in seconds since the epoch: when the window of `total` ends."""


@dataclass(frozen=True)
class Window:
    """Moments in seconds since the epoch. `name` is another one for each window of a span: `2026-11-28`, `2026-W48`."""

    name: str
    begins: float
    ends: float


def zone(name: str) -> tzinfo:
    """The time zone of a setting that was found good."""
    return UTC if name == "UTC" else ZoneInfo(name)


def window(span: Span, now: float, where: tzinfo) -> Window:
    """The window that `now` is in. Weeks begin on Monday (ISO 8601); a day has 23 or 25 hours where the clocks are changed."""
    if span == "total":
        return Window("total", 0.0, FOREVER)
    local = datetime.fromtimestamp(now, UTC).astimezone(where)
    if span == "hour":
        # By the instant, not the face of the clock: the hour that comes twice in autumn is two hours.
        begins = now - (local.minute * 60 + local.second + local.microsecond / 1e6)
        start = datetime.fromtimestamp(round(begins), UTC)
        return Window(start.strftime("%Y-%m-%dT%H:%MZ"), start.timestamp(), start.timestamp() + 3600)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0)
    match span:
        case "day":
            name, first, last = f"{day:%Y-%m-%d}", day, day + timedelta(days=1)
        case "week":
            first = day - timedelta(days=day.weekday())
            name, last = "{}-W{:02}".format(*first.isocalendar()[:2]), first + timedelta(days=7)
        case "month":
            first = day.replace(day=1)
            name, last = f"{first:%Y-%m}", (first + timedelta(days=31)).replace(day=1)
    return Window(name, first.replace(tzinfo=where).timestamp(), last.replace(tzinfo=where).timestamp())
