from datetime import UTC, datetime, timedelta

import pytest

from tokenman_core.admin.answers import Wrong
from tokenman_core.admin.window import moment

NOW = datetime(2026, 11, 24, 15, 30, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", None),
        ("today", datetime(2026, 11, 24, tzinfo=UTC)),
        ("24h", NOW - timedelta(hours=24)),
        ("7d", NOW - timedelta(days=7)),
        ("30", NOW - timedelta(seconds=30)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T10:00", datetime(2026, 11, 1, 10, tzinfo=UTC)),
        ("2026-11-01T10:00:00.5Z", datetime(2026, 11, 1, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-01T10:00:00+02:00", datetime(2026, 11, 1, 8, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_people_write_them(text, expected):
    assert moment("since", text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    ["yesterday", "-5", "7 days", "2026-13-01", "1e9d", "20261101T10", "12:00", "nan", "9999-12-31T23:59:59-23:00"],
)
def test_what_is_no_time_is_refused_by_its_name_with_good_values(text):
    with pytest.raises(Wrong, match=r"^since: is no time; good values: today, 24h"):
        moment("since", text, NOW)


def test_a_hundred_years_ago_is_a_time():
    assert moment("since", "36500d", NOW) is not None
