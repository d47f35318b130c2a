"""The breaker's table, row by row, and what follows from it over time."""

from collections.abc import Callable

import pytest

from tokenman_core.clock import ManualClock
from tokenman_core.failover.breaker import EVENTS, STATES, TABLE, Breaker, Event, Rules, State, Ticket

RULES = Rules(failures=3, ratio=0.5, min_calls=0, window=60, reset=30, probes=2)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def ticket(breaker: Breaker) -> Ticket:
    given = breaker.ask()
    assert isinstance(given, Ticket), given
    return given


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.failure(ticket(breaker))


def opened(clock: ManualClock, rules: Rules = RULES) -> Breaker:
    breaker = Breaker(rules, clock)
    fail(breaker, rules.failures)
    assert breaker.state == "open"
    return breaker


def probing(clock: ManualClock, rules: Rules = RULES) -> tuple[Breaker, Ticket]:
    breaker = opened(clock, rules)
    clock.advance(rules.reset)
    return breaker, ticket(breaker)


def in_state(state: State, clock: ManualClock) -> tuple[Breaker, Ticket]:
    """With a ticket of that state."""
    if state == "half_open":
        return probing(clock)
    breaker = Breaker(RULES, clock) if state == "closed" else opened(clock)
    return breaker, Ticket(breaker._age)


TELL: dict[Event, Callable[[Breaker, Ticket], object]] = {
    "ask": lambda breaker, _: breaker.ask(),
    "success": Breaker.success,
    "failure": Breaker.failure,
    "reply": Breaker.reply,
    "neutral": Breaker.neutral,
    "hold": lambda breaker, _: breaker.hold(),
    "release": lambda breaker, _: breaker.release(),
}

AFTER: dict[tuple[State, Event], State] = {
    ("closed", "ask"): "closed", ("closed", "success"): "closed", ("closed", "failure"): "closed",
    ("closed", "reply"): "closed", ("open", "reply"): "open", ("half_open", "reply"): "closed",
    ("closed", "neutral"): "closed", ("closed", "hold"): "open", ("closed", "release"): "closed",
    ("open", "ask"): "open", ("open", "success"): "open", ("open", "failure"): "open", ("open", "neutral"): "open",
    ("open", "hold"): "open", ("open", "release"): "closed",
    ("half_open", "ask"): "half_open", ("half_open", "success"): "closed", ("half_open", "failure"): "open",
    ("half_open", "neutral"): "half_open", ("half_open", "hold"): "open", ("half_open", "release"): "closed",
}  # fmt: skip


def test_every_pair_of_state_and_event_is_a_row() -> None:
    assert set(TABLE) == {(state, event) for state in STATES for event in EVENTS} == set(AFTER)


@pytest.mark.parametrize(("state", "event"), sorted(AFTER))
def test_each_row_leads_where_it_should(state: State, event: Event, clock: ManualClock) -> None:
    breaker, given = in_state(state, clock)
    TELL[event](breaker, given)
    assert breaker.state == AFTER[state, event]


def test_it_opens_after_so_many_failures_in_a_row_and_says_how_long(clock: ManualClock) -> None:
    breaker = opened(clock)
    assert breaker.ask() == 30
    clock.advance(29)
    assert breaker.ask() == 1


def test_a_success_between_them_begins_the_row_anew(clock: ManualClock) -> None:
    breaker = Breaker(RULES, clock)
    fail(breaker, 2)
    breaker.success(ticket(breaker))
    fail(breaker, 2)
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open"


def test_what_says_nothing_of_the_provider_changes_no_row(clock: ManualClock) -> None:
    breaker = Breaker(RULES, clock)
    fail(breaker, 2)
    breaker.neutral(ticket(breaker))
    fail(breaker)
    assert breaker.state == "open"


def test_it_opens_by_the_share_of_enough_calls_and_not_before(clock: ManualClock) -> None:
    breaker = Breaker(Rules(failures=100, ratio=0.5, min_calls=10, window=60), clock)
    for number in range(9):
        (breaker.failure if number % 2 == 0 else breaker.success)(ticket(breaker))
        clock.advance(1)
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open"


def test_what_is_older_than_the_window_counts_no_more(clock: ManualClock) -> None:
    breaker = Breaker(Rules(failures=100, ratio=0.5, min_calls=10, window=60), clock)
    for _ in range(9):
        fail(breaker)
    clock.advance(66)
    fail(breaker)
    assert breaker.state == "closed"


def test_a_window_takes_the_same_room_for_any_traffic(clock: ManualClock) -> None:
    breaker = Breaker(Rules(failures=10**9, min_calls=10**9), clock)
    for _ in range(5000):
        fail(breaker)
        clock.advance(0.1)
    assert len(breaker._slices) <= 13


def test_exactly_so_many_probes_are_in_flight(clock: ManualClock) -> None:
    breaker, first = probing(clock)
    ticket(breaker)
    assert breaker.ask() == 0
    breaker.neutral(first)
    ticket(breaker)
    assert breaker.ask() == 0


def test_a_probe_that_fails_begins_the_wait_anew(clock: ManualClock) -> None:
    breaker, first = probing(clock)
    clock.advance(5)
    breaker.failure(first)
    assert breaker.ask() == 30


def test_attempts_from_before_a_change_count_no_more(clock: ManualClock) -> None:
    breaker = Breaker(RULES, clock)
    early = [ticket(breaker) for _ in range(10)]
    fail(breaker, 3)
    clock.advance(30)
    probe = ticket(breaker)
    breaker.failure(early[0])
    assert breaker.state == "half_open"
    breaker.success(early[1])
    assert breaker.state == "half_open"
    breaker.success(probe)
    assert breaker.state == "closed"
    for late in early[2:]:
        breaker.failure(late)
    assert breaker.state == "closed"


def test_what_a_hand_opened_only_a_hand_closes(clock: ManualClock) -> None:
    breaker = Breaker(RULES, clock)
    breaker.hold()
    clock.advance(10_000)
    assert breaker.ask() == RULES.reset
    breaker.release()
    assert not breaker.held
    fail(breaker, 3)
    clock.advance(30)
    ticket(breaker)


def test_it_rests_until_a_probe_is_due_or_as_long_as_a_hand_holds_it(clock: ManualClock) -> None:
    breaker = Breaker(RULES, clock)
    assert not breaker.rests
    breaker = opened(clock)
    assert breaker.rests
    clock.advance(RULES.reset)
    assert not breaker.rests
    assert breaker.state == "open"
    breaker.hold()
    clock.advance(RULES.reset * 10)
    assert breaker.rests
