"""Counters with reservations against a plain model, over crashes, jumps of the clock, and several processes."""

import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tokenman_core.database import migrate
from tokenman_core.state import Booking, Count, Hold, Sqlite
from tokenman_core.state.counts import ENDED_S, MOST, MOST_HELD
from tokenman_core.state.schema import STEPS

FOREVER = 1e12
LIMITS = {"a": 100, "b": 250, "c": None}
amounts = st.integers(0, 120)
leases = st.sampled_from([f"call{number}:1" for number in range(6)])
counters = st.lists(st.sampled_from(sorted(LIMITS)), min_size=1, max_size=3, unique=True)


class Machine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "state.db"
        self.store = Sqlite(self.path)
        self.now = 1000.0
        self.spent = dict.fromkeys(LIMITS, 0)
        self.holds: dict[str, tuple[dict[str, int], float]] = {}
        self.ended: set[str] = set()
        self.sure: dict[str, int] = {}  # by lease
        self.booked: dict[str, int] = {}  # by lease that lapsed

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def held(self, counter: str) -> int:
        return sum(holds.get(counter, 0) for holds, until in self.holds.values() if until > self.now)

    @rule(
        lease=leases, names=counters, amount=amounts, span=st.sampled_from([10.0, 100.0]), sure=st.sampled_from([0, 3])
    )
    def reserve(self, lease: str, names: list[str], amount: int, span: float, sure: int) -> None:
        until = self.now + span
        asked = [Hold(name, amount, LIMITS[name], FOREVER, sure) for name in names]
        answer, counts = self.store.counts.reserve(lease, asked, until=until, now=self.now)
        if lease in self.ended:
            assert (answer, counts) == ("ended", {})
            return
        self.holds.pop(lease, None)  # it is asked anew, so its old amounts count no more
        fits = all(
            LIMITS[name] is None or self.spent[name] + self.held(name) + amount <= LIMITS[name] for name in names
        )
        assert answer == ("held" if fits else "short")
        assert counts == ({} if fits else {name: Count(self.spent[name], self.held(name)) for name in names})
        if fits:
            self.holds[lease] = (dict.fromkeys(names, amount), until)
            self.sure[lease] = sure

    @rule(lease=leases, names=counters, amount=amounts)
    def settle(self, lease: str, names: list[str], amount: int) -> None:
        after = self.store.counts.settle(lease, [Booking(name, amount, FOREVER) for name in names], now=self.now)
        before = self.booked.pop(lease, 0)
        if lease in self.ended and not before:
            assert after is None
            return
        self.holds.pop(lease, None)
        self.ended.add(lease)
        for name in names:
            self.spent[name] += amount - before
        assert after == {name: self.spent[name] for name in names}

    @rule(lease=leases)
    def release(self, lease: str) -> None:
        self.store.counts.release(lease, now=self.now)
        self.holds.pop(lease, None)
        self.ended.add(lease)

    @rule(lease=leases)
    def renew(self, lease: str) -> None:
        self.store.counts.hold_on([lease], self.now + 50)
        if lease in self.holds:
            self.holds[lease] = (self.holds[lease][0], self.now + 50)

    @rule(but=st.sets(leases, max_size=2))
    def give_up_those_that_died(self, but: set[str]) -> None:
        dead = {
            lease
            for lease, (_, until) in self.holds.items()
            if until <= self.now and self.sure[lease] and lease not in but
        }
        found = self.store.counts.lapse(before=self.now, now=self.now, but=but)
        assert {it.lease for it in found} == dead
        for lease in dead:
            amounts, _ = self.holds.pop(lease)
            self.ended.add(lease)
            self.booked[lease] = self.sure[lease]
            for name in amounts:
                self.spent[name] += self.sure[lease]

    @rule(seconds=st.sampled_from([1.0, 20.0, 200.0, -15.0]))
    def the_clock_goes_on_or_is_set_back(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def the_process_dies_and_another_begins(self) -> None:
        self.store.close()
        self.store = Sqlite(self.path)

    @rule(name=st.sampled_from(sorted(LIMITS)))
    def put_back(self, name: str) -> None:
        self.store.counts.put_back(name, now=self.now)
        self.spent[name] = 0

    @invariant()
    def every_counter_is_as_in_the_model(self) -> None:
        if not hasattr(self, "store"):
            return
        counts = self.store.counts.counts(LIMITS, now=self.now)
        assert counts == {name: Count(self.spent[name], self.held(name)) for name in LIMITS}


Machine.TestCase.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
test_counters_are_what_a_plain_model_says = Machine.TestCase


@pytest.fixture
def store(tmp_path):
    made = Sqlite(tmp_path / "state.db")
    yield made
    made.close()


def test_what_expired_is_free_again_and_is_booked_all_the_same_when_it_is_settled_late(store):
    hold = [Hold("day", 10, 10, FOREVER)]
    assert store.counts.reserve("one", hold, until=50, now=0)[0] == "held"
    assert store.counts.reserve("two", hold, until=150, now=49)[0] == "short"
    assert store.counts.reserve("two", hold, until=150, now=51)[0] == "held"
    assert store.counts.settle("one", [Booking("day", 9, FOREVER)], now=60) == {"day": 9}
    assert store.counts.settle("one", [Booking("day", 9, FOREVER)], now=61) is None
    assert store.counts.reserve("one", hold, until=99, now=62)[0] == "ended"


def test_one_counter_that_is_short_holds_back_all(store):
    holds = [Hold("wide", 5, 100, FOREVER), Hold("tight", 5, 4, FOREVER)]
    answer, counts = store.counts.reserve("one", holds, until=50, now=0)
    assert (answer, counts) == ("short", {"wide": Count(), "tight": Count()})
    assert store.counts.held(now=0) == []


def test_what_is_held_can_be_listed(store):
    store.counts.reserve("one:1", [Hold("day", 5, None, FOREVER)], until=50, now=0)
    assert store.counts.held(now=10) == [("one:1", "day", 5, 0.0, 50.0)]
    assert store.counts.held(now=50) == []


def test_counters_are_listed_by_how_their_names_begin(store):
    store.counts.settle(
        "x", [Booking("a/1", 5, FOREVER), Booking("a/2", 9, FOREVER), Booking("b/1", 7, FOREVER)], now=0
    )
    store.counts.reserve("y", [Hold("a/1", 8, None, FOREVER), Hold("a/%", 1, None, FOREVER)], until=50, now=0)
    assert list(store.counts.under("a/", most=10, now=0).items()) == [
        ("a/1", Count(5, 8)), ("a/2", Count(9, 0)), ("a/%", Count(0, 1)),
    ]  # fmt: skip
    assert list(store.counts.under("a/", most=1, now=60)) == ["a/2"]
    assert store.counts.under("c", most=1, now=0) == {}


def test_the_largest_amounts_fit(store):
    for number in range(100):
        store.counts.reserve(f"{number}", [Hold("all", 10**30, None, FOREVER)], until=50, now=0)
        store.counts.settle(f"b{number}", [Booking("spent", 10**30, FOREVER)], now=0)
    assert store.counts.counts(["all", "spent"], now=0) == {"all": Count(0, 100 * MOST_HELD), "spent": Count(MOST, 0)}


def test_the_file_keeps_only_what_can_still_be_asked_for(store, tmp_path):
    for number in range(600):
        now = number * 1000.0
        store.counts.reserve(f"{number}", [Hold(f"window{number}", 1, 5, now + 500)], until=now + 10, now=now)
        store.counts.settle(f"{number}", [Booking(f"window{number}", 1, now + 500)], now=now)
        if number % 256 == 255:
            store.tidy(now)
    rows = {
        table: store._connection.execute(f"select count(*) from {table}").fetchone()[0]
        for table in ("holds", "counts", "ended")
    }
    assert rows["holds"] == 0
    assert rows["counts"] <= 257
    assert rows["ended"] <= 257 + ENDED_S / 1000


SPENDER = """
import sys, random, time
from pathlib import Path
from tokenman_core.state import Booking, Hold, Sqlite
path, name, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store, dice, told = Sqlite(path), random.Random(seed), 0
for number in range(60):
    lease = f"{name}-{number}"
    amount = dice.randint(1, 9)
    answer, _ = store.counts.reserve(lease, [Hold("day", amount, 400, 1e12)], until=1e11, now=1e9)
    counts = store.counts.counts(["day"], now=1e9)["day"]
    assert counts.spent + counts.held <= 400, counts
    if answer != "held":
        continue
    if dice.random() < 0.2:
        store.counts.release(lease, now=1e9)
    else:
        spent = dice.randint(0, amount)
        assert store.counts.settle(lease, [Booking("day", spent, 1e12)], now=1e9) is not None
        told += spent
print(told)
"""


def test_several_processes_never_pass_the_limit_and_lose_nothing(tmp_path):
    path = tmp_path / "state.db"
    Sqlite(path).close()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SPENDER, path, f"p{number}", str(number)], stdout=subprocess.PIPE, text=True
        )
        for number in range(4)
    ]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0] * 4
    store = Sqlite(path)
    assert store.counts.counts(["day"], now=1e9)["day"] == Count(sum(map(int, said)), 0)
    store.close()


def test_what_has_expired_can_still_be_renewed_for_the_clock_may_have_been_set(store):
    store.counts.reserve("one:1", [Hold("day", 5, None, FOREVER)], until=50, now=0)
    store.tidy(3600)
    assert store.counts.counts(["day"], now=3600)["day"] == Count(0, 0)
    store.counts.hold_on(["one:1"], 3720)
    assert store.counts.counts(["day"], now=3600)["day"] == Count(0, 5)
    store.tidy(200_000)
    store.counts.hold_on(["one:1"], 1e6)
    assert store.counts.counts(["day"], now=200_000)["day"] == Count(0, 0)


def test_what_died_days_ago_is_still_given_up_with_what_is_sure_but_for_those_that_are_named(store):
    for lease in ("one", "two"):
        store.counts.reserve(lease, [Hold("day", 9, None, FOREVER, 4)], until=50, now=0, about="it")
    store.counts.reserve("free", [Hold("day", 9, None, FOREVER)], until=50, now=0)
    later = 3 * ENDED_S
    store.tidy(later)
    (found,) = store.counts.lapse(before=later, now=later, but=["two"])
    assert (found.lease, found.amount, found.booked, found.about) == ("one", 9, 4, "it")
    assert store.counts.counts(["day"], now=later) == {"day": Count(4, 0)}
    assert [it.lease for it in store.counts.lapse(before=later, now=later)] == ["two"]
    assert store.counts.lapse(before=later, now=later) == []


@pytest.mark.parametrize("again", [False, True])
def test_one_of_a_reservations_rows_has_its_note_the_last_by_name_where_older_processes_look(store, tmp_path, again):
    holds = [Hold(counter, 9, 100, FOREVER, 4) for counter in ("b", "c", "a")]
    for _ in range(1 + again):  # the second time it is there already
        assert store.counts.reserve("one", holds, until=50, now=0, about="it") == ("held", {})
    other = sqlite3.connect(tmp_path / "state.db")
    rows = other.execute("select counter, about from holds order by counter").fetchall()
    other.close()
    assert rows == [("a", ""), ("b", ""), ("c", "it")]
    (found,) = store.counts.lapse(before=50, now=51)
    assert (found.lease, found.about) == ("one", "it")


def test_a_note_that_an_older_process_wrote_with_another_row_is_found(store, tmp_path):
    store.counts.reserve("one", [Hold(counter, 9, None, FOREVER, 4) for counter in "ab"], until=50, now=0, about="it")
    other = sqlite3.connect(tmp_path / "state.db")
    with other:
        other.execute("update holds set about = case counter when 'a' then 'it' else '' end")
    other.close()
    assert [found.about for found in store.counts.lapse(before=50, now=51)] == ["it"]


def test_only_a_file_that_is_new_knows_nothing_of_what_was_spent(tmp_path):
    old = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    migrate(old, STEPS[:-1])
    old.close()
    for name, fresh in (("old.db", False), ("new.db", True), ("new.db", True)):
        store = Sqlite(tmp_path / name)
        assert store.counts.fresh is fresh
        store.close()


def test_the_log_of_the_file_does_not_grow_while_it_is_tidied(store, tmp_path):
    sizes = []
    for turn in range(4):
        for number in range(200):
            store.counts.release(f"{turn}-{number}", now=0)
        store.tidy(turn)
        sizes.append((tmp_path / "state.db-wal").stat().st_size)
    assert sizes[-1] < sizes[0] * 1.5
