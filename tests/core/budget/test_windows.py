from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenman_core.budget.windows import Window, window, zone

BERLIN, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("span", "now", "where", "name", "begins", "ends"),
    [
        ("hour", "2026-11-28T21:30:00Z", UTC, "2026-11-28T21:00Z", "2026-11-28T21:00:00Z", "2026-11-28T22:00:00Z"),
        ("hour", "2026-11-28T21:40:00Z", KOLKATA, "2026-11-28T21:30Z", "2026-11-28T21:30:00Z", "2026-11-28T22:30:00Z"),
        ("day", "2026-11-28T23:59:59Z", UTC, "2026-11-28", "2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z"),
        ("day", "2026-11-28T23:30:00Z", BERLIN, "2026-11-29", "2026-11-28T23:00:00Z", "2026-11-29T23:00:00Z"),
        ("day", "2026-03-29T12:00:00Z", BERLIN, "2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        ("day", "2026-10-25T12:00:00Z", BERLIN, "2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
        ("week", "2026-11-29T12:00:00Z", UTC, "2026-W48", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
        ("week", "2027-01-01T12:00:00Z", UTC, "2026-W53", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"),
        ("month", "2026-12-31T23:30:00Z", BERLIN, "2027-01", "2026-12-31T23:00:00Z", "2027-01-31T23:00:00Z"),
        ("month", "2028-02-29T00:00:00Z", UTC, "2028-02", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
    ],
)  # fmt: skip
def test_windows_follow_the_calendar_of_the_time_zone(span, now, where, name, begins, ends):
    assert window(span, at(now), where) == Window(name, at(begins), at(ends))


def test_the_hour_that_comes_twice_is_two_windows():
    one, two = (window("hour", at(f"2026-10-25T0{hour}:30:00Z"), BERLIN) for hour in (0, 1))
    assert one.name != two.name
    assert one.ends == two.begins


@given(
    st.sampled_from(["hour", "day", "week", "month", "total"]),
    st.floats(0, 4e9),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "Africa/Casablanca"]),
)
def test_a_moment_is_in_its_window_and_windows_meet(span, now, name):
    found = window(span, now, zone(name))
    assert found.begins <= now < found.ends
    if span != "total":
        following = window(span, found.ends, zone(name))
        assert following.begins == found.ends
        assert following.name != found.name


@pytest.mark.parametrize(
    "name",
    ["Europe/Berlin", "America/New_York", "Asia/Beirut", "Africa/Cairo", "America/Havana", "America/Sao_Paulo", "Pacific/Apia",
     "Australia/Lord_Howe", "Antarctica/Troll", "Asia/Gaza"],
)  # fmt: skip
@pytest.mark.parametrize("span", ["day", "week", "month"])
def test_no_moment_of_twenty_years_is_left_out_or_counted_twice(name, span):
    """Also where clocks are changed at midnight, so that a day begins at one o'clock or an hour before its end comes twice."""
    where, found = zone(name), window(span, at("2010-01-10T12:00:00Z"), zone(name))
    while found.begins < at("2030-01-01T00:00:00Z"):
        following = window(span, found.ends, where)
        assert following.begins == found.ends, following
        assert following.name > found.name
        last = window(span, found.ends - 0.001, where)
        assert last == found
        found = following
