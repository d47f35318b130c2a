import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenman_core.state import Ask, Sqlite


@pytest.fixture
def store(tmp_path):
    made = Sqlite(tmp_path / "state.db")
    yield made
    made.close()


def a_minute(name: str, count: float, cost: float = 1) -> Ask:
    return Ask(name, cost, 60 / count, count)


def taken(store: Sqlite, ask: Ask, now: float, times: int) -> int:
    return sum(store.rates.take([ask], now=now)[0] for _ in range(times))


def test_as_many_as_are_saved_up_may_be_taken_at_once_and_then_as_they_are_earned(store):
    assert taken(store, a_minute("a", 60), 1000.0, 100) == 60
    allowed, (left,) = store.rates.take([a_minute("a", 60)], now=1000.0)
    assert (allowed, left.units, left.wait, left.full) == (False, 0, 1.0, 60.0)
    assert taken(store, a_minute("a", 60), 1010.0, 100) == 10
    assert taken(store, a_minute("a", 60), 9999.0, 100) == 60


def test_all_or_none_and_each_says_what_is_left(store):
    tight, wide = a_minute("tight", 2), a_minute("wide", 10)
    assert [store.rates.take([tight, wide], now=0.0)[0] for _ in range(3)] == [True, True, False]
    allowed, (left,) = store.rates.take([wide], now=0.0)
    assert allowed
    assert left.units == pytest.approx(7)


def test_a_changed_limit_gives_nothing_back_that_was_taken(store):
    assert taken(store, a_minute("a", 60), 0.0, 60) == 60
    assert taken(store, a_minute("a", 600), 0.0, 100) == 0
    assert taken(store, a_minute("a", 30), 0.0, 100) == 0
    assert taken(store, a_minute("a", 600), 30.0, 1000) == 300


def test_what_was_not_used_is_given_back_and_what_was_used_beyond_is_taken(store):
    tokens = a_minute("t", 1000, 1000)
    assert store.rates.take([tokens], now=0.0)[0]
    store.rates.give("t", 900 * tokens.period, now=0.0)
    assert store.rates.take([a_minute("t", 1000, 900)], now=0.0)[0]
    store.rates.give("t", -500 * tokens.period, now=0.0)
    allowed, (left,) = store.rates.take([a_minute("t", 1000, 1)], now=0.0)
    assert not allowed
    assert left.wait == pytest.approx(30.06)
    store.rates.give("new", -10.0, now=5.0)
    assert store.rates.take([a_minute("new", 6)], now=5.0)[1][0].units == pytest.approx(4)


def test_more_than_can_be_saved_up_is_had_when_all_is(store):
    huge = a_minute("t", 1000, 5000)
    assert store.rates.take([huge], now=0.0)[0]
    assert not store.rates.take([a_minute("t", 1000, 1)], now=0.0)[0]
    assert not store.rates.take([huge], now=30.0)[0]
    assert store.rates.take([huge], now=61.0)[0]


def test_it_is_known_after_a_crash_and_to_other_processes(tmp_path):
    one, two = Sqlite(tmp_path / "state.db"), Sqlite(tmp_path / "state.db")
    assert taken(one, a_minute("a", 60), 0.0, 40) == 40
    assert taken(two, a_minute("a", 60), 0.0, 40) == 20
    one.close()
    again = Sqlite(tmp_path / "state.db")
    assert taken(again, a_minute("a", 60), 0.0, 40) == 0
    again.close()
    two.close()


def test_names_that_nobody_uses_are_forgotten(store):
    for number in range(100):
        store.rates.take([a_minute(f"n{number}", 60)], now=float(number * 10))
    store.tidy(990.0)
    assert store._connection.execute("select count(*) from rates").fetchone()[0] == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 50), st.integers(0, 2**32))
def test_in_no_window_is_more_taken_than_saved_and_earned(tmp_path_factory, count, seed):
    store, dice = Sqlite(tmp_path_factory.mktemp("s") / "state.db"), random.Random(seed)
    now, moments = 0.0, list[float]()
    for _ in range(150):
        now += dice.choice([0.0, 0.0, 0.1, 2.0, 30.0])
        if store.rates.take([a_minute("a", count)], now=now)[0]:
            moments.append(now)
    for start in moments:
        within = [at for at in moments if start <= at < start + 60]
        assert len(within) <= 2 * count + 1
        longest = [at for at in moments if start <= at < start + 600]
        assert len(longest) <= count + count * 10 + 1
    store.close()


def test_a_clock_that_was_set_back_has_nobody_wait_until_it_has_caught_up(store):
    assert taken(store, a_minute("a", 60), 1_000_000.0, 100) == 60
    assert taken(store, a_minute("a", 60), 500_000.0, 100) == 0
    assert taken(store, a_minute("a", 60), 500_010.0, 100) == 10
    store.rates.give("a", 5.0, now=100_000.0)
    assert taken(store, a_minute("a", 60), 100_000.0, 100) == 5


def test_clocks_that_differ_by_seconds_earn_nothing_twice(store):
    assert taken(store, a_minute("a", 60), 1000.0, 100) == 60
    assert sum(taken(store, a_minute("a", 60), now, 5) for now in (970.0, 1000.0) * 20) == 0
