"""Breakers of providers and of their models: whose fault counts against whom, what outlives a change, and what is bounded."""

import asyncio
from typing import Any

import pytest

from tests.core.failover.member import Try
from tokenman_core.clock import ManualClock
from tokenman_core.failover import breakers as module
from tokenman_core.failover.breaker import Rules
from tokenman_core.failover.breakers import Breakers

RULES = Rules(failures=2, min_calls=0, reset=60.0)


def made(**models: bool) -> tuple[ManualClock, Breakers]:
    clock = ManualClock()
    return clock, Breakers(RULES, models or {"p": True, "q": True}, clock)


def state(breakers: Breakers, name: str) -> str:
    return breakers.states[name]


async def go(breakers: Breakers, outcome: Any, model: str = "m", provider: str = "p") -> float | None:
    one = Try(outcome == "success")
    wait = await breakers.ask(one, provider, model)
    breakers.told(one, outcome)
    return wait


async def test_a_model_that_is_overloaded_rests_alone() -> None:
    _, breakers = made()
    for _ in range(2):
        assert await go(breakers, "failure_of_model", "big") is None
    assert await go(breakers, "success", "big") == 60.0
    assert await go(breakers, "success", "small") is None
    assert breakers.states == {"p": "open", "q": "closed"}  # the worst is told
    assert breakers.turns_away("p", "big")
    assert not breakers.turns_away("p", "small")


async def test_where_the_setting_says_so_the_provider_rests_with_it() -> None:
    _, breakers = made(p=False)
    for _ in range(2):
        await go(breakers, "failure_of_model", "big")
    assert await go(breakers, "success", "small") == 60.0


async def test_a_call_without_a_model_counts_against_the_provider() -> None:
    _, breakers = made()
    for _ in range(2):
        await go(breakers, "failure_of_model", "")
    assert await go(breakers, "success", "small") == 60.0


async def test_what_is_the_providers_fault_is_so_for_all_models() -> None:
    _, breakers = made()
    await go(breakers, "failure", "big")
    await go(breakers, "failure", "small")
    assert await go(breakers, "success", "other") == 60.0


async def test_an_overloaded_model_shows_that_the_provider_is_there_and_ends_no_row_of_its_failures() -> None:
    clock, breakers = made()
    await go(breakers, "failure")
    await go(breakers, "failure_of_model")
    await go(breakers, "failure", "other")
    assert await go(breakers, "success", "other") == 60.0
    clock.advance(60)
    assert await go(breakers, "failure_of_model") is None  # a probe
    assert await go(breakers, "success", "other") is None


async def test_a_model_is_probed_by_its_own_calls_and_comes_back() -> None:
    clock, breakers = made()
    for _ in range(2):
        await go(breakers, "failure_of_model", "big")
    clock.advance(60)
    probe = Try()
    assert await breakers.ask(probe, "p", "big") is None
    assert await breakers.ask(Try(), "p", "big") == 0.0
    assert state(breakers, "p") == "half_open"
    breakers.told(probe, "success")
    assert state(breakers, "p") == "closed"


@pytest.mark.parametrize(("outcome", "left"), [("failure_of_model", 60.0), ("failure", 60.0), ("neutral", None)])
async def test_a_probe_of_a_model_that_does_not_succeed(outcome: Any, left: float | None) -> None:
    clock, breakers = made()
    for _ in range(2):
        await go(breakers, "failure_of_model", "big")
    clock.advance(60)
    await go(breakers, outcome, "big")
    assert await go(breakers, "neutral", "big") == left


async def test_who_is_turned_away_by_the_model_takes_no_probe_of_the_provider() -> None:
    clock, breakers = made()
    for _ in range(2):
        await go(breakers, "failure_of_model", "big")
    clock.advance(30)
    for _ in range(2):
        await go(breakers, "failure", "small")
    clock.advance(31)  # the model is due, and was so before the provider
    for _ in range(2):
        await go(breakers, "failure_of_model", "big")  # turned away by the provider
    clock.advance(30)
    assert await go(breakers, "failure_of_model", "big") is None
    assert await go(breakers, "success", "big") == 60.0
    assert await go(breakers, "success", "small") is None


async def test_who_leaves_while_others_are_asked_takes_nothing_with_him() -> None:
    class Slow:
        def changed(self, name: str) -> None: ...
        def free(self, lease: str) -> None: ...
        def over(self, lease: str) -> None: ...

        async def lease(self, name: str) -> str:
            await asyncio.Event().wait()
            return "never"

    clock, breakers = made()
    for _ in range(2):
        await go(breakers, "failure")
    clock.advance(60)
    breakers.shared = Slow()
    asking = asyncio.create_task(breakers.ask(Try(), "p", "m"))
    await asyncio.sleep(0)
    assert await breakers.ask(Try(), "p", "m") == 0.0
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    breakers.shared = None
    assert await go(breakers, "success") is None


async def test_a_provider_rests_where_nothing_was_answered_since_a_model_of_it_does() -> None:
    clock, breakers = made()
    await go(breakers, "success", "small")
    clock.advance(1)
    for _ in range(2):
        await go(breakers, "failure_of_model", "big")
    assert breakers.rests("p")
    clock.advance(1)
    await go(breakers, "success", "small")
    assert not breakers.rests("p")
    with pytest.raises(KeyError):
        breakers.rests("nobody")


async def test_by_hand_a_provider_is_held_and_taken_back_with_all_its_models() -> None:
    clock, breakers = made()
    for _ in range(2):
        await go(breakers, "failure_of_model", "big")
    breakers.hold("p")
    clock.advance(1000)
    assert await go(breakers, "success", "small") == 60.0
    assert breakers.idle("p")
    breakers.release("p")
    assert await go(breakers, "success", "big") is None
    for step in (breakers.hold, breakers.release):
        with pytest.raises(KeyError):
            step("nobody")


async def test_names_that_callers_make_up_have_no_breakers_and_overloaded_ones_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_MODELS", 3)
    _, breakers = made()
    for number in range(50):
        await go(breakers, "reply", f"made-up-{number}")
    assert len(breakers._entries["p"]) == 1
    for number in range(50):
        await go(breakers, "failure_of_model", f"big-{number}")  # one each: closed ones make room
    assert len(breakers._entries["p"]) == 4
    for number in range(4):
        for _ in range(2):
            await go(breakers, "failure_of_model", f"bigger-{number}")
    assert len(breakers._entries["p"]) == 4
    assert await go(breakers, "success", "small") == 60.0  # so many models: it is the provider
    assert not breakers._running


async def test_other_rules_and_providers_leave_what_is_known_of_those_that_stay() -> None:
    clock, breakers = made()
    for _ in range(2):
        await go(breakers, "failure")
        await go(breakers, "failure_of_model", "big", "q")
    running = Try()
    assert await breakers.ask(running, "q", "small") is None
    breakers.configure(Rules(failures=1, min_calls=0, reset=10.0), {"p": True, "q": False, "new": True})
    assert breakers.states == {"p": "open", "q": "closed", "new": "closed"}  # q's models count with it from now on
    clock.advance(10)
    assert await go(breakers, "success") is None
    await go(breakers, "failure", provider="new")
    assert await go(breakers, "failure", provider="new") == 10.0
    breakers.told(running, "failure")
    assert state(breakers, "q") == "open"
    breakers.configure(RULES, {"p": True})
    assert breakers.states == {"p": "closed"}
    assert await go(breakers, "success", provider="q") is None  # a call of before that still runs
    breakers.configure(RULES, {"p": True, "q": True})
    assert state(breakers, "q") == "closed"


async def test_of_a_provider_that_is_gone_the_last_calls_ask_nothing() -> None:
    _, breakers = made()
    breakers.hold("p")
    assert breakers.idle("p")
    breakers.configure(RULES, {"q": True})
    assert not breakers.idle("p")
    assert not breakers.turns_away("p", "m")
    assert await go(breakers, "failure") is None


async def test_a_probe_of_a_model_whose_stream_has_begun_has_told() -> None:
    clock, breakers = made()
    for _ in range(2):
        await go(breakers, "failure_of_model", "big")
    clock.advance(60)
    probe = Try()
    assert await breakers.ask(probe, "p", "big") is None
    probe.answered = True
    assert await go(breakers, "neutral", "big") is None
    assert state(breakers, "p") == "closed"
    breakers.told(probe, "failure")  # it broke off later
    assert state(breakers, "p") == "closed"
