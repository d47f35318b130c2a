"""Budgets against a store in memory and on disk: what may be spent is never passed, and what was spent is never lost."""

import asyncio
import logging
import random
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenman_core.budget.books import LEASE_S, Alert, Books, Granted, Lasting, Lost, Quote, Short, Uncounted, told
from tokenman_core.budget.rules import Rule, dollars, units
from tokenman_core.scopes import Reach, Subject
from tokenman_core.state import Count, Sqlite, Store, Unavailable

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()
ADA, BOB = Subject(client="ada", project="x", model="m"), Subject(client="bob", project="y", model="m")
QUOTE = Quote(least=100, per_token=1, output=1000)


class At:
    """`ahead`: by how much the clock of the day was set."""

    def __init__(self, now: float = NOON) -> None:
        self.moment, self.ahead = now, 0.0

    def now(self) -> float:
        return self.moment + self.ahead

    def monotonic(self) -> float:
        return self.moment


class Asked:
    """The store, on this thread; `down` has it unavailable, `fails` the next questions."""

    def __init__(self, store: Store) -> None:
        self.store, self.down, self.fails = store, False, 0

    async def __call__[T](self, question: Callable[[Store], T], *, brief: bool = False) -> T:
        await asyncio.sleep(0)
        self.fails -= 1
        if self.down or self.fails >= 0:
            raise Unavailable
        return question(self.store)


class World:
    def __init__(self, path: Any) -> None:
        self.clock, self.alerts = At(), list[Alert]()
        self.ask = Asked(Sqlite(path))
        self.lasting = Lasting()

    def books(self, *rules: Rule, **more: Any) -> Books:
        return Books(rules, UTC, self.clock, self.ask, self.alerts.append, self.lasting, **more)  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "state.db")
    yield made
    made.ask.store.close()


def day(limit: int, **more: Any) -> Rule:
    return Rule("daily", limit, "day", **more)


async def spent(books: Books, subject: Subject = ADA) -> Count:
    (only,) = await books.standing([subject])
    return only.count


async def test_the_worst_case_is_held_and_what_it_cost_is_booked(world):
    books = world.books(day(10_000))
    assert await books.reserve("a:1", ADA, QUOTE) == Granted(1000)
    assert await spent(books) == Count(0, 1100)
    assert await books.settle("a:1", 250) == 0
    assert await spent(books) == Count(250, 0)
    assert await books.settle("a:1", 250) == 0  # a second time changes nothing
    assert await spent(books) == Count(250, 0)


async def test_a_failure_frees_what_was_held(world):
    books = world.books(day(1100))
    await books.reserve("a:1", ADA, QUOTE)
    await books.release("a:1")
    await books.release("a:1")
    assert await books.reserve("a:2", ADA, QUOTE) == Granted(1000)


async def test_what_is_left_lowers_the_output_and_less_than_the_least_is_refused(world):
    books = world.books(day(1_000))
    assert await books.reserve("a:1", ADA, QUOTE) == Granted(900, capped=True)
    await books.settle("a:1", 600)
    assert await books.reserve("a:2", ADA, QUOTE) == Granted(300, capped=True)
    await books.settle("a:2", 45)
    assert await books.reserve("a:3", ADA, QUOTE) == Short(books.rules[0], True, 12 * 3600, NOON + 12 * 3600)
    assert await books.reserve("a:4", ADA, QUOTE._replace(output=50)) == Granted(50)  # it wanted no more
    assert await spent(books) == Count(645, 150)


async def test_money_that_others_hold_is_another_refusal_than_money_that_is_gone(world):
    books = world.books(day(1_200))
    await books.reserve("a:1", ADA, QUOTE)
    answer = await books.reserve("b:1", BOB, QUOTE)
    assert isinstance(answer, Short)
    assert not answer.spent
    assert answer.retry_after < 10


async def test_every_budget_must_hold_it_and_the_tightest_is_named(world):
    wide = day(100_000)
    tight = Rule("per client", 1_500, "month", Reach("client"))
    books = world.books(wide, tight)
    await books.reserve("a:1", ADA, QUOTE)
    answer = await books.reserve("a:2", ADA, QUOTE)
    assert answer == Granted(300, capped=True)
    refused = await books.reserve("a:3", ADA, QUOTE)
    assert isinstance(refused, Short)
    assert refused.rule is tight
    assert await books.reserve("b:1", BOB, QUOTE) == Granted(1000)
    assert [each.count.held for each in await books.standing([ADA])] == [1100 + 400 + 1100, 1500]


async def test_a_budget_is_about_the_calls_that_match(world):
    books = world.books(day(10, reach=Reach("global", {"project": "x*"})))
    assert isinstance(await books.reserve("a:1", ADA, QUOTE), Short)
    assert await books.reserve("b:1", BOB, QUOTE) == Granted(1000)
    assert await books.settle("b:1", 50) == 0


async def test_a_warning_never_blocks(world):
    books = world.books(day(10, on_exceed="warn", alerts=(Decimal(1),)))
    assert await books.reserve("a:1", ADA, QUOTE) == Granted(1000)
    await books.settle("a:1", 500)
    assert [each.share for each in world.alerts] == [1]


async def test_each_share_is_told_once_in_a_window(world):
    books = world.books(day(10_000, alerts=(Decimal("0.5"), Decimal("0.8"), Decimal(1))))
    for number in range(20):
        await books.reserve(f"a:{number}", ADA, QUOTE)
        await books.settle(f"a:{number}", 500)
    assert [(each.share, each.spent) for each in world.alerts] == [
        (Decimal("0.5"), 5_000), (Decimal("0.8"), 8_000), (1, 10_000),
    ]  # fmt: skip
    world.clock.moment += 86_400
    await books.reserve("b:1", ADA, QUOTE)
    await books.settle("b:1", 900)
    assert len(world.alerts) == 3
    assert "daily: 50% spent in 2026-11-28" in told(world.alerts[0])


async def test_what_a_call_cost_beyond_its_bound_is_booked_and_told(world):
    books = world.books(day(10_000))
    await books.reserve("a:1", ADA, QUOTE)
    assert await books.settle("a:1", 5_000) == 3_900
    assert await spent(books) == Count(5_000, 0)
    assert [each.overrun for each in world.alerts] == [3_900]
    assert "more than its bound" in told(world.alerts[0])


async def test_a_cost_that_nobody_knows_is_booked_as_all_that_was_held(world):
    books = world.books(day(10_000))
    await books.reserve("a:1", ADA, QUOTE)
    await books.settle("a:1", None)
    assert await spent(books) == Count(1100, 0)


async def test_a_new_window_begins_with_nothing_and_a_call_counts_where_it_began(world):
    books = world.books(day(1_100))
    await books.reserve("a:1", ADA, QUOTE)
    world.clock.moment = NOON + 12 * 3600
    assert await books.reserve("b:1", ADA, QUOTE) == Granted(1000)
    await books.settle("a:1", 700)
    assert await spent(books) == Count(0, 1100)
    world.clock.moment = NOON
    assert (await spent(books)).spent == 700


async def test_a_process_that_dies_frees_what_it_held_and_loses_nothing_that_was_settled(world):
    books = world.books(day(1_500))
    await books.reserve("a:1", ADA, QUOTE)
    await books.settle("a:1", 200)
    await books.reserve("a:2", ADA, QUOTE)
    other = Books(books.rules, UTC, world.clock, world.ask, world.alerts.append, Lasting())
    assert isinstance(await other.reserve("b:1", ADA, QUOTE), Short)
    world.clock.moment += LEASE_S + 1
    assert await other.reserve("b:2", ADA, QUOTE) == Granted(1000)
    assert await spent(other) == Count(200, 1100)


async def test_a_call_that_runs_for_hours_keeps_what_it_holds(world):
    books = world.books(Rule("all", 1_500, "total"))
    await books.reserve("a:1", ADA, QUOTE)
    for _ in range(50):
        world.clock.moment += LEASE_S / 2
        await books.keep()
    assert await spent(books) == Count(0, 1100)


@pytest.mark.parametrize("jump", [3_600.0, -3_600.0, 20 * 3600.0])
async def test_what_is_held_stays_held_when_the_clock_is_set(world, jump):
    books = world.books(Rule("all", 1_300, "total"))
    await books.reserve("a:1", ADA, QUOTE)
    world.clock.ahead = jump
    for number in range(300):  # often enough that what has expired is looked for
        assert isinstance(await books.reserve(f"b:{number}", BOB, QUOTE), Short)
    assert await spent(books) == Count(0, 1100)
    await books.settle("a:1", 700)
    assert await spent(books) == Count(700, 0)


async def test_a_name_that_no_text_may_hold_is_no_trouble_for_the_store(world):
    books = world.books(Rule("models", 2_000, "day", Reach("model")))
    half = Subject(model="m\ud800")
    assert await books.reserve("a:1", half, QUOTE) == Granted(1000)
    assert await spent(books, half) == Count(0, 1100)


@pytest.mark.parametrize(("refuses", "expected"), [(True, Uncounted), (False, Granted)])
async def test_without_the_store_calls_are_refused_unless_the_rule_says_otherwise(world, refuses, expected):
    books = world.books(day(10_000, refuses_without_store=refuses))
    world.ask.down = True
    assert isinstance(await books.reserve("a:1", ADA, QUOTE), expected)
    await books.settle("a:1", 40)
    world.ask.down = False
    await books.keep()
    assert await spent(books) == Count(0 if refuses else 40, 0)


async def test_what_cannot_be_booked_is_booked_later_and_once(world, caplog):
    books = world.books(day(10_000, alerts=(Decimal("0.05"),)))
    await books.reserve("a:1", ADA, QUOTE)
    world.ask.down = True
    with caplog.at_level(logging.ERROR):
        await books.settle("a:1", 700)
    assert "tried again" in caplog.text
    await books.keep()
    world.ask.down = False
    await books.keep()
    await books.keep()
    assert await spent(books) == Count(700, 0)
    assert len(world.alerts) == 1


async def test_a_reservation_that_its_caller_leaves_while_it_is_made_is_released(world):
    books = world.books(day(10_000))
    task = asyncio.create_task(books.reserve("a:1", ADA, QUOTE))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await books.release("a:1")
    assert await spent(books) == Count(0, 0)
    with pytest.raises(RuntimeError):
        await books.reserve("a:1", ADA, QUOTE)


async def test_every_counter_of_every_budget_can_be_listed(world):
    unused = Rule("unused", 5, "total", Reach("global", {"project": "no"}))
    books = world.books(day(10_000), Rule("per client", 2_000, "month", Reach("client")), unused)
    await books.reserve("a:1", ADA, QUOTE)
    await books.settle("a:1", 500)
    await books.reserve("b:1", BOB, QUOTE)
    states = await books.everything()
    assert [(each.rule.name, each.counted_by, each.count) for each in states] == [
        ("daily", "", Count(500, 1100)),
        ("per client", "bob", Count(0, 1100)),
        ("per client", "ada", Count(500, 0)),
        ("unused", "", Count()),
    ]
    assert books.ratios() == {"daily": 0.05, "per client": 0.25, "unused": 0.0}
    other = Books(books.rules, UTC, world.clock, world.ask, world.alerts.append)
    assert other.ratios()["daily"] == 0.0
    await other.look()
    assert other.ratios() == books.ratios()
    world.clock.moment += 86_400
    assert "daily" not in books.ratios() or books.ratios()["daily"] == 0.0
    world.ask.down = True
    await other.look()


async def test_a_changed_limit_holds_for_what_was_spent_before(world):
    books = world.books(day(10_000))
    await books.reserve("a:1", ADA, QUOTE)
    running = world.books(day(2_000))
    await books.settle("a:1", 900)
    assert await spent(running) == Count(900, 0)
    assert await running.reserve("a:2", ADA, QUOTE) == Granted(1000)
    await running.release("a:2")
    assert isinstance(await world.books(day(1_000)).reserve("a:3", ADA, QUOTE), Short)


async def test_whether_a_call_fits_is_told_without_holding_it(world):
    books = world.books(day(1_000), Rule("wide", 100_000, "day"))
    assert await books.fits(ADA, QUOTE, books.rules) is books.rules[0]
    assert await books.fits(ADA, QUOTE, books.rules[1:]) is None
    assert await spent(world.books(day(1_000))) == Count()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(2_000, 20_000))
async def test_a_crowd_at_once_never_passes_a_limit(tmp_path_factory, seed, limit):
    world = World(tmp_path_factory.mktemp("state") / "state.db")
    dice = random.Random(seed)
    rules = [day(limit), Rule("per client", limit // 2, "day", Reach("client"))]
    booked = 0

    async def call(number: int) -> None:
        nonlocal booked
        books, lease = world.books(*rules), f"{number}:1"
        subject = dice.choice([ADA, BOB])
        quote = Quote(dice.randint(0, 300), dice.randint(0, 3), dice.randint(1, 900))
        answer = await books.reserve(lease, subject, quote)
        for state in await books.standing([ADA, BOB]):
            assert state.count.spent + state.count.held <= state.rule.limit
        if not isinstance(answer, Granted):
            return
        await asyncio.sleep(0)
        if dice.random() < 0.2:
            await books.release(lease)
            return
        cost = dice.randint(0, quote.total(answer.output))
        booked += cost
        await books.settle(lease, cost)

    await asyncio.gather(*(call(number) for number in range(40)))
    states = await world.books(rules[0]).standing([ADA])
    assert states[0].count == Count(booked, 0)
    assert not world.lasting.open
    world.ask.store.close()


def test_money_becomes_whole_units_rounded_up():
    assert units(Decimal("0.0000000000011")) == 2
    assert dollars(units(Decimal("12.34"))) == Decimal("12.34")
    assert sqlite3.sqlite_version_info >= (3, 35)  # upserts that name the table's own column


async def test_a_clients_own_budget_holds_for_it_alone_and_beside_all_others(world):
    own = {"ada": [Rule("client:ada", 1300, "day", reach=Reach("global", {"client": "ada"}))]}
    books = Books([day(10_000)], UTC, world.clock, world.ask, world.alerts.append, world.lasting, lambda: own)
    assert await books.reserve("1", ADA, QUOTE) == Granted(1000)
    second = await books.reserve("2", ADA, QUOTE)
    assert isinstance(second, Short)
    assert second.rule.name == "client:ada"
    assert await books.reserve("3", BOB, QUOTE) == Granted(1000)
    await books.settle("1", 700)
    assert {state.rule.name: state.count.spent for state in await books.everything()} == {
        "daily": 700,
        "client:ada": 700,
    }
    own.clear()
    assert await books.reserve("4", ADA, QUOTE) == Granted(1000)


async def test_a_budget_that_a_client_was_given_by_name_counts_its_calls_once(world):
    """Whether it is about them already or not."""
    team = Rule("team", 10_000, "day", reach=Reach("project", {"project": "y"}))
    own = {name: [replace(team, reach=Reach("project", {"client": name}))] for name in ("ada", "bob")}
    books = Books([team], UTC, world.clock, world.ask, world.alerts.append, world.lasting, lambda: own)
    for lease, subject in (
        ("1", ADA),
        ("2", BOB),
        ("3", Subject(client="eve", project="y")),
        ("4", Subject(project="x")),
    ):
        assert isinstance(await books.reserve(lease, subject, QUOTE), Granted)
        await books.settle(lease, 100)
    assert {state.counted_by: state.count.spent for state in await books.everything()} == {"x": 100, "y": 200}


# -- what a crash leaves behind --


async def test_what_a_call_had_read_is_booked_when_its_process_has_died_and_the_rest_is_free(world, caplog):
    lost = list[Lost]()
    books = world.books(day(10_000), Rule("month", 50_000, "month"), lost=lost.append)
    await books.reserve("a:1", ADA, QUOTE, "who it was")
    world.lasting.open.clear()  # it dies
    world.clock.moment += LEASE_S - 1
    await books.keep()
    assert (await books.standing([ADA]))[0].count == Count(0, 1100)
    world.clock.moment += 2
    await books.keep()
    await books.keep()
    assert [state.count for state in await books.standing([ADA])] == [Count(100, 0)] * 2
    assert lost == [Lost("a:1", 100, 1000, NOON, "who it was")]
    assert "1 calls ran when their process ended" in caplog.text


async def test_a_process_that_is_alone_waits_for_no_lease_and_leaves_its_own_calls_alone(world):
    lost = list[Lost]()
    books = world.books(day(10_000), lost=lost.append)
    await books.reserve("dead:1", ADA, QUOTE)
    world.lasting.open.clear()
    await books.reserve("ours:1", ADA, QUOTE)
    await books.look()
    assert lost == []
    await books.look(alone=True)
    assert [it.lease for it in lost] == ["dead:1"]
    assert await spent(books) == Count(100, 1100)


async def test_a_share_that_is_passed_by_what_dead_calls_had_read_is_told_too(world):
    shares = (Decimal("0.2"), Decimal("0.5"), Decimal("0.9"))
    books = world.books(
        day(1_200, alerts=shares), Rule("each", 10_000, "day", Reach("client"), alerts=(Decimal("0.01"),))
    )
    await books.reserve("a:1", ADA, QUOTE)
    await books.settle("a:1", 400)
    for number in range(2):
        await books.reserve(f"dead:{number}", ADA, QUOTE._replace(output=256, least=130))
    assert [(it.rule.name, it.share) for it in world.alerts] == [("daily", Decimal("0.2")), ("each", Decimal("0.01"))]
    world.lasting.open.clear()
    await books.look(alone=True)
    await books.look(alone=True)
    assert await spent_of(books, "daily") == 660
    assert [(it.rule.name, it.share, it.spent) for it in world.alerts[2:]] == [("daily", Decimal("0.5"), 660)]


async def spent_of(books: Books, name: str) -> int:
    return next(it.count.spent for it in await books.everything() if it.rule.name == name)


@pytest.mark.parametrize(("cost", "sum"), [(700, 700), (40, 40), (None, 1100)])
async def test_a_call_that_was_given_up_and_ends_after_all_is_booked_by_what_it_cost(world, cost, sum):
    books = world.books(day(10_000))
    await books.reserve("a:1", ADA, QUOTE)
    running = world.lasting.open.copy()
    world.lasting.open.clear()
    world.clock.moment += LEASE_S + 1
    await books.keep()
    world.lasting.open.update(running)
    await books.settle("a:1", cost)
    assert await spent(books) == Count(sum, 0)


async def test_what_running_calls_hold_is_renewed_before_it_is_looked_who_died(world):
    books = world.books(day(10_000))
    await books.reserve("a:1", ADA, QUOTE)
    world.clock.moment += 10 * LEASE_S  # the machine slept
    world.ask.fails = 1
    await books.keep()
    assert await spent(books) == Count(0, 0)
    await books.keep()
    assert await spent(books) == Count(0, 1100)


class Past:
    """What the ledger has: (moment, subject, units)."""

    def __init__(self, *calls: tuple[float, Subject, int]) -> None:
        self.calls, self.asked, self.down = calls, 0, False

    async def __call__(self, since: float) -> list[tuple[Subject, int]]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable
        return [(subject, amount) for moment, subject, amount in self.calls if moment >= since]


RULES = (
    day(10_000),
    Rule("each", 10_000, "month", Reach("client")),
    Rule("of y", 10_000, "day", Reach(match={"project": "y"})),
)
PAST = (NOON - 3600, ADA, 300), (NOON - 7200, BOB, 50), (NOON - 2 * 86_400, ADA, 1000), (NOON - 60 * 86_400, BOB, 9999)


async def test_a_store_that_is_new_is_told_what_the_ledger_has_before_anything_is_counted(world, caplog):
    past = Past(*PAST)
    books = world.books(*RULES, past=past)
    answers = await asyncio.gather(*(books.reserve(f"{number}:1", ADA, QUOTE) for number in range(3)))
    assert answers == [Granted(1000)] * 3
    assert past.asked == 2  # once for each span
    found = {(state.rule.name, state.counted_by): state.count for state in await books.standing([ADA, BOB])}
    assert found == {
        ("daily", ""): Count(350, 3300),
        ("each", "ada"): Count(1300, 3300),
        ("each", "bob"): Count(50, 0),
        ("of y", ""): Count(50, 0),
    }
    assert "made anew from the ledger" in caplog.text
    again = world.books(*RULES, past=past)
    await again.settle("0:1", 5)
    assert past.asked == 2
    assert await spent(world.books(day(10_000))) == Count(355, 2200)


async def test_a_budget_that_the_past_used_up_lets_nothing_pass_in_a_new_store(world):
    books = world.books(day(300), past=Past(*PAST))
    answer = await books.reserve("a:1", ADA, QUOTE)
    assert isinstance(answer, Short)
    assert answer.spent


@pytest.mark.parametrize("refuses", [True, False])
async def test_while_the_past_cannot_be_read_the_count_cannot_be_kept(world, refuses):
    past = Past(*PAST)
    past.down = True
    books = world.books(day(10_000, refuses_without_store=refuses), past=past)
    answer = await books.reserve("a:1", ADA, QUOTE)
    assert isinstance(answer, Uncounted if refuses else Granted)
    past.down = False
    assert await books.reserve("b:1", ADA, QUOTE) == Granted(1000)
    assert await spent(books) == Count(350, 1100)


async def test_a_store_that_is_there_is_not_told_again(tmp_path):
    one = World(tmp_path / "state.db")
    await one.books(day(10_000), past=Past(*PAST)).look()
    one.ask.store.close()
    two, past = World(tmp_path / "state.db"), Past(*PAST)
    books = two.books(day(10_000), past=past)
    assert await spent(books) == Count(350, 0)
    assert past.asked == 0
    two.ask.store.close()
