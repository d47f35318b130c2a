"""What budgets count of calls that ended with their process: by window, by whose they are, and by who pays."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.core.ledger.calls import NOON, bill, call
from tokenman_core import crashed
from tokenman_core.budget.books import State
from tokenman_core.budget.rules import Rule, units
from tokenman_core.budget.windows import Span, window
from tokenman_core.ledger import LedgerReader, row_of
from tokenman_core.ledger.store import Store
from tokenman_core.scopes import Reach
from tokenman_core.state import Count


def state(span: Span, counted_by: str = "", **reach: object) -> State:
    rule = Rule("b", units(Decimal(10)), span, Reach(**reach))  # type: ignore[arg-type]
    return State(rule, window(span, NOON.timestamp(), UTC), counted_by, Count(0, 0))


@pytest.fixture
def reader(tmp_path):
    store = Store(tmp_path / "ledger.db")
    long_ago, earlier = datetime(2020, 1, 1, tzinfo=UTC), NOON - timedelta(days=3)
    store.add([
        row_of(call(1, time=NOON, bill=bill("0.25"), outcome="crashed")),
        row_of(call(2, time=earlier, bill=bill("0.5"), outcome="crashed", project="web")),
        row_of(call(3, time=long_ago, bill=bill("1"), outcome="crashed")),
        row_of(call(4, time=NOON, bill=bill("2"))),
        row_of(call(5, time=NOON, bill=bill(None), outcome="crashed")),
    ])  # fmt: skip
    store.close()
    return LedgerReader(tmp_path / "ledger.db")


@pytest.mark.parametrize(
    ("found", "usd"),
    [
        (state("day"), "0.25"), (state("month"), "0.75"), (state("total"), "1.75"),
        (state("total", "web", scope="project"), "0.5"), (state("total", "shop", scope="project"), "1.25"),
        (state("total", match={"project": "w*"}), "0.5"), (state("total", "other", scope="model"), "0"),
    ],
    ids=range(7),
)  # fmt: skip
def test_each_window_has_its_own_and_each_counter_those_that_it_counts(reader, found, usd):
    others = [state("hour"), state("total"), found]
    calls = crashed.since(others, reader)
    assert crashed.part(found, calls, counts_subscriptions=False) == Decimal(usd)


def test_only_those_of_the_oldest_window_are_asked_for(reader):
    assert len(crashed.since([state("day")], reader)) == 1
    assert crashed.since([], reader) == ()
