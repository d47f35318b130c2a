from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from tokenman_core.budget.books import State
from tokenman_core.budget.rules import Rule, units
from tokenman_core.budget.windows import Span, window
from tokenman_core.forecast import Forecast, forecast, of_budget, since
from tokenman_core.scopes import Reach
from tokenman_core.state import Count

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)  # a Wednesday


def at(days: float = 0.0) -> float:
    return (NOON + timedelta(days=days)).timestamp()


def days(weeks: int, of: dict[int, str]) -> dict[date, Decimal]:
    """Each day of so many weeks before, what its weekday costs (Monday is 0), days that cost nothing left out."""
    every = [NOON.date() - timedelta(days=back) for back in range(1, 7 * weeks + 1)]
    return {day: Decimal(of[day.weekday()]) for day in every if day.weekday() in of}


def state(spent: str, limit: str = "10", span: Span = "day", **reach: object) -> State:
    rule = Rule("b", units(Decimal(limit)), span, Reach(**reach))  # type: ignore[arg-type]
    return State(rule, window(span, at(), UTC), "", Count(units(Decimal(spent)), 0))


def told(found: Forecast | None) -> tuple[str, str] | None:
    return None if found is None else (f"{found.usd.normalize():f}", found.method)


def test_with_no_days_to_go_by_it_is_a_line():
    assert told(of_budget(state("3"), at(), None)) == ("6", "linear")
    assert told(of_budget(state("3", span="week"), at(), {})) == ("8.4", "linear")


def test_seven_days_of_the_same_weekday_say_what_the_rest_of_a_day_costs():
    assert told(of_budget(state("3"), at(), days(9, {2: "8", 3: "100"}))) == ("7", "weekdays")


def test_days_without_calls_count_as_such_and_those_before_the_first_do_not():
    spent = {NOON.date() - timedelta(weeks=week): Decimal(12) for week in (1, 4)}
    assert told(of_budget(state("3"), at(), spent)) == ("6", "weekdays")  # 12, 0, 0, 12: 6 a day


def test_too_few_such_days_leave_it_a_line():
    assert told(of_budget(state("3"), at(), days(2, {2: "8"}))) == ("6", "linear")
    assert told(of_budget(state("3"), at(), days(3, {2: "8"}))) == ("7", "weekdays")


def test_a_week_ends_with_the_days_that_it_still_has():
    found = of_budget(state("20", span="week"), at(), days(7, {0: "50", 2: "8", 3: "6", 4: "4", 5: "1"}))
    assert told(found) == ("35", "weekdays")  # half a Wednesday, and Thursday to Sunday


def test_a_budget_that_is_not_about_all_calls_goes_by_the_line():
    known = days(7, {2: "8"})
    assert told(of_budget(state("3", scope="project"), at(), known)) == ("6", "linear")
    assert told(of_budget(state("3", match={"model": "x"}), at(), known)) == ("6", "linear")


def test_when_the_limit_is_reached_is_told_where_it_will_be():
    found = of_budget(state("3", "4.5"), at(), None)
    assert found is not None
    assert found.full_at == pytest.approx(at(0.25))
    assert of_budget(state("3", "6.01"), at(), None).full_at is None  # type: ignore[union-attr]
    assert of_budget(state("7", "6"), at(), None).full_at == at()  # type: ignore[union-attr]
    assert of_budget(state("0", "6"), at(), None).full_at is None  # type: ignore[union-attr]


def test_nothing_is_told_at_the_beginning_of_a_window_and_of_one_without_end():
    assert of_budget(state("3", span="total"), at(), None) is None
    begins = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
    assert forecast(Decimal(1), Decimal(9), begins, begins + 86_400, begins + 60) is None
    assert forecast(Decimal(1), Decimal(9), begins, begins + 86_400, begins - 1) is None


def test_days_are_asked_for_from_the_oldest_that_counts():
    assert since(at()) == datetime(2026, 10, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("span", "now", "spent", "usd"),
    [
        ("day", "2026-10-25T11:30:00+00:00", "2.7", "5"),  # 25 hours, of which 13.5 are over
        ("day", "2026-03-29T11:30:00+00:00", "1.25", "2.3"),  # 23, of which 12.5
        ("month", "2026-10-31T22:59:00+00:00", "44699", "44700"),  # 31 days and an hour, but for a minute; as many USD as minutes
        ("month", "2028-02-29T12:00:00+01:00", "28.5", "29"),
        ("hour", "2026-10-25T01:30:00+00:00", "1", "2"),  # the second of two hours that have one name
    ],
)  # fmt: skip
def test_a_window_is_as_long_as_the_clocks_of_its_place_make_it(span, now, spent, usd):
    moment = datetime.fromisoformat(now).timestamp()
    rule = Rule("b", units(Decimal(10**5)), span)
    found = State(rule, window(span, moment, ZoneInfo("Europe/Berlin")), "", Count(units(Decimal(spent)), 0))
    assert told(of_budget(found, moment, None)) == (usd, "linear")


def test_the_last_minute_of_a_month_goes_by_the_part_of_a_day_that_it_still_has():
    moment = datetime(2026, 11, 30, 22, 30, tzinfo=UTC).timestamp()  # the month ends at 23:00 in Berlin
    rule = Rule("b", units(Decimal(10)), "month")
    found = State(rule, window("month", moment, ZoneInfo("Europe/Berlin")), "", Count(units(Decimal(6)), 0))
    mondays = {date(2026, 11, 30) - timedelta(weeks=week): Decimal(48) for week in range(1, 5)}
    assert told(of_budget(found, moment, mondays)) == ("7", "weekdays")
