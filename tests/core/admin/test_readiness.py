import asyncio

import pytest

from tests.core.ledger.calls import call
from tokenman_core.admin.readiness import Ask, Reach, Readiness, Status
from tokenman_core.clock import ManualClock
from tokenman_core.record import Tried
from tokenman_core.telemetry.health import Health


class Line:
    """To a provider; counts how often it was opened."""

    def __init__(self, *, there=True):
        self.there, self.opened, self.slow = there, 0, None

    async def __call__(self):
        self.opened += 1
        if self.slow is not None:
            await self.slow.wait()
        if not self.there:
            raise OSError("[Errno 111] Connect call failed ('10.1.2.3', 443)")


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def health(clock):
    return Health(clock)


@pytest.fixture
def reach(clock, health):
    def make(line, provider="anthropic"):
        return Reach(provider, health, line, clock)

    return make


def inner(trouble=None, name="ledger"):
    return Ask(name, lambda: trouble, "fine")


# -- providers --


async def test_without_calls_a_provider_is_tried_once_in_ten_seconds(reach, clock):
    check = reach(line := Line())
    assert check.last is None
    for _ in range(5):
        assert await check() == Status("ok", "a connection can be opened")
    assert line.opened == 1
    clock.advance(9.9)
    await check()
    assert line.opened == 1
    clock.advance(0.1)
    line.there = False
    assert (await check()).status == "failed"
    assert line.opened == 2
    clock.advance(3600)
    assert check.last.status == "failed"


async def test_a_failure_is_remembered_as_long_and_shows_no_address(reach, clock):
    check = reach(line := Line(there=False))
    found = await check()
    assert found.status == "failed"
    assert "10.1.2.3" not in found.message
    assert "Errno" not in found.message
    line.there = True
    assert (await check()).status == "failed"
    clock.advance(10)
    assert (await check()).status == "ok"


async def test_those_who_ask_at_once_share_one_connection(reach):
    check = reach(line := Line())
    line.slow = asyncio.Event()
    asking = [asyncio.ensure_future(check()) for _ in range(5)]
    await asyncio.sleep(0)
    line.slow.set()
    assert {each.status for each in await asyncio.gather(*asking)} == {"ok"}
    assert line.opened == 1


async def test_a_clock_that_is_set_back_makes_nothing_last_for_ever(reach, clock):
    check = reach(line := Line(there=False))
    await check()
    line.there = True
    clock.advance(-86400)
    assert (await check()).status == "ok"


async def test_a_call_of_the_last_seconds_tells_more_than_a_connection(reach, health, clock):
    check = reach(line := Line())
    health.ended(call(tried=(Tried("anthropic", "server_error"),)))
    assert await check() == Status("failed", "the last call there failed (server error)")
    health.ended(call(tried=(Tried("anthropic", "ok"),)))
    assert await check() == Status("ok", "the last call there was answered")
    assert line.opened == 0
    clock.advance(10)
    assert check.last == Status("ok", "the last call there was answered")
    assert await check() == Status("ok", "a connection can be opened")
    assert line.opened == 1


async def test_a_provider_that_does_not_answer_holds_nobody_up(reach, monkeypatch):
    monkeypatch.setattr("tokenman_core.admin.readiness.PROBE_S", 0.01)
    check = reach(line := Line())
    line.slow = asyncio.Event()
    assert (await check()).status == "failed"


async def test_a_provider_whose_breaker_is_open_is_not_asked_and_counts_as_gone(health, clock):
    resting = True
    check = Reach("anthropic", health, line := Line(), clock, lambda: resting)
    health.ended(call(tried=(Tried("anthropic", "ok"),)))
    assert (await check()).status == "failed"
    assert check.last is not None
    assert "breaker" in check.last.message
    assert line.opened == 0
    resting = False
    assert (await check()).status == "ok"


# -- all of it --


async def test_all_is_well_when_every_check_is(reach):
    verdict = await Readiness([inner(), reach(Line())]).judge()
    assert verdict.as_json() == {
        "status": "ready",
        "checks": {
            "ledger": {"status": "ok", "message": "fine"},
            "provider:anthropic": {"status": "ok", "message": "a connection can be opened"},
        },
        "tasks": {},
    }


async def test_one_trouble_inside_makes_it_unready(reach):
    verdict = await Readiness([inner(), inner("the disk is full: make room", "stages"), reach(Line())]).judge()
    assert not verdict.ready
    assert verdict.as_json()["status"] == "unready"
    assert verdict.checks["stages"] == Status("failed", "the disk is full: make room")


async def test_of_the_providers_all_have_to_be_gone(reach):
    lines = [Line(there=False), Line(there=True)]
    checks = [reach(line, name) for line, name in zip(lines, ("anthropic", "openai"), strict=True)]
    assert (await Readiness([inner(), *checks]).judge()).ready
    lines[1].there = False
    checks = [reach(line, name) for line, name in zip(lines, ("anthropic", "openai"), strict=True)]
    assert not (await Readiness([inner(), *checks]).judge()).ready


async def test_a_balancer_is_not_told_of_the_providers_and_none_is_asked(reach):
    line = Line(there=False)
    verdict = await Readiness([inner(), reach(line)]).judge(outside=False)
    assert verdict.ready
    assert list(verdict.checks) == ["ledger"]
    assert line.opened == 0
