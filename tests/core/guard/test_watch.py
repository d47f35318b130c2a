from decimal import Decimal
from typing import Any

import pytest

from tests.core.guard.test_trail import KEY, chat
from tokenman_core.clock import ManualClock
from tokenman_core.guard import watch
from tokenman_core.guard.trail import steps
from tokenman_core.guard.watch import Rules, Watch

FIVE = Rules(repeats=5, errors=5)


class World:
    def __init__(self) -> None:
        self.clock, self.told = ManualClock(1_795_000_000.0), list[dict[str, Any]]()
        self.watch = Watch(KEY, self.clock, lambda it: self.told.append(dict(it)))
        self.mine, self.other = self.watch.session("ada", "s1"), self.watch.session("ada", "s2")

    def said(self, rules: Rules, session: bytes, request: bytes = b"", trail: Any = ()) -> tuple[str, str, bool] | None:
        finding = self.watch.judge(rules, session, request, trail)
        return finding and (finding.kind, finding.found, finding.over)


@pytest.fixture
def world() -> World:
    return World()


def trail(count: int, answer: str = "x") -> Any:
    return steps(chat(*[("read", {}, answer)] * count), KEY, 100)


def test_at_the_limit_there_is_a_warning_and_beyond_it_more(world):
    found = [world.said(FIVE, world.mine, trail=trail(count)) for count in range(3, 8)]
    assert found == [None, None, ("repeats", "5", False), ("repeats", "6", True), ("repeats", "7", True)]
    assert world.said(Rules(errors=5), world.mine, trail=trail(6)) is None
    assert world.said(Rules(errors=5), world.mine, trail=trail(6, "Error: x")) == ("errors", "6", True)


def test_the_very_same_request_is_counted_by_session(world):
    found = [world.said(FIVE, world.mine, b"a") for _ in range(6)]
    assert found == [None] * 4 + [("repeats", "5", False), ("repeats", "6", True)]
    assert world.said(FIVE, world.other, b"a") is None
    assert world.said(FIVE, world.mine, b"b") is None
    assert world.said(FIVE, world.mine, b"") is None
    world.clock.advance(601)
    assert world.said(FIVE, world.mine, b"a") is None


def test_who_spends_faster_than_the_rate_is_warned_then_held_back_until_a_minute_has_passed(world):
    rules = Rules(usd_per_minute=Decimal("0.5"))
    world.watch.spent(world.mine, Decimal("0.5"))
    assert world.said(rules, world.mine) is None
    world.clock.advance(10)
    world.watch.spent(world.mine, Decimal("0.25"))
    assert world.said(rules, world.mine) == ("usd_per_minute", "0.75", False)
    assert world.said(rules, world.other) is None
    world.clock.advance(5)
    over = world.watch.judge(rules, world.mine, b"", ())
    assert over is not None
    assert over.over
    assert over.wait == pytest.approx(45, abs=1)
    world.clock.advance(46)
    assert world.said(rules, world.mine) is None
    world.watch.spent(world.mine, Decimal("0.5"))
    assert world.said(rules, world.mine) == ("usd_per_minute", "0.75", False)


def test_calls_of_one_second_are_kept_as_one(world):
    for _ in range(500):
        world.watch.spent(world.mine, Decimal("0.001"))
    assert world.said(Rules(usd_per_minute=Decimal("0.4999")), world.mine) == ("usd_per_minute", "0.500", False)
    assert len(world.watch._sessions[world.mine].spent) == 1


def test_what_is_off_is_not_looked_for(world):
    world.watch.spent(world.mine, Decimal(1000))
    assert not Rules().wanted
    assert [world.said(Rules(), world.mine, b"a", trail(50)) for _ in range(50)] == [None] * 50


def test_trouble_is_told_once_in_ten_minutes_and_holds_nothing_of_the_call(world, caplog):
    for _ in range(3):
        finding = world.watch.judge(FIVE, world.mine, b"", trail(6, "my secret"))
        assert finding is not None
        world.watch.tell(world.mine, finding, True, {"client": "ada"})
    assert world.told == [{"rule": "repeats", "found": "6", "limit": "5", "refused": True, "client": "ada"}]
    assert [record.message for record in caplog.records] == [
        "guard.repeats: the last tool call was made 6 times in a row, with the same answer (guard.repeats: 5); the call is refused"
    ]
    world.clock.advance(601)
    world.watch.tell(world.mine, finding, True, {})
    world.watch.tell(world.mine, finding, False, {})
    assert len(world.told) == 3


def test_memory_is_bounded_by_number_and_by_time(world, monkeypatch):
    monkeypatch.setattr(watch, "MOST_SESSIONS", 10)
    for number in range(50):
        session = world.watch.session("ada", str(number))
        for request in range(50):
            world.said(FIVE, session, b"%d" % request)
    assert len(world.watch._sessions) == 10
    assert all(len(it.requests) == 16 for it in world.watch._sessions.values())
    world.clock.advance(3601)
    world.said(FIVE, world.mine)
    assert len(world.watch._sessions) == 1
