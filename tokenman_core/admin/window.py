"""The window of time that a question is about, as people write it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from tokenman_core.admin.answers import Wrong
from tokenman_core.config.values import parse_duration

USUAL = "24h"
GOOD = "good values: today, 24h, 7d, 2026-11-24, 2026-11-24T12:00:00Z, all"


def moment(field: str, text: str, now: datetime) -> datetime | None:
    """`24h` before `now`, `today` (its first moment, UTC), a date, an ISO 8601 time; None for `all`. Raises Wrong."""
    if text == "all":
        return None
    if text == "today":
        return now.replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        return now - timedelta(seconds=parse_duration(text))
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
        if "-" in text[:5]:  # the rest of ISO 8601, week dates and digits alone, is rather a mistake
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: a moment that in UTC is after the year 9999
        pass
    raise Wrong(field, f"is no time; {GOOD}")


def span(given: Mapping[str, str], now: float) -> tuple[datetime | None, datetime | None]:
    """`since` (`USUAL`, unless given) and `until`; None: without a bound. `now` in seconds since the epoch. Raises Wrong."""
    moment_now = datetime.fromtimestamp(now, UTC)
    since = moment("since", given.get("since", USUAL), moment_now)
    until = moment("until", given["until"], moment_now) if "until" in given else None
    if since and until and until <= since:
        raise Wrong("until", "must be later than since")
    return since, until
