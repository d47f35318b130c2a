"""The cache as a stage of whole calls: whose answer is kept under whose key, and what is never given to another question."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from tests.addons.cached import BODY, BOTH, STREAM, House, said
from tests.core.scripted import JSON, SSE
from tokenman_core.caching.rules import Rules
from tokenman_core.exchange import Attempt, Caller, Exchange
from tokenman_core.net import UpstreamError
from tokenman_core.verdicts import Candidate, Reroute


async def test_an_answer_is_kept_for_the_provider_that_gave_it(house: Callable[..., House]) -> None:
    it = house({"a": [UpstreamError("connect", "down"), said("from a")], "b": [said("from b")]}, routes=BOTH)
    assert (await it.ask())[:2] == ("miss", "from b")
    assert (await it.ask())[:2] == ("miss", "from a"), "what b said is not what a would have"
    assert (await it.ask())[:2] == ("hit", "from a")
    assert it.asked == ["a", "b", "a"]


async def test_what_b_said_answers_who_is_led_there(house: Callable[..., House]) -> None:
    it = house({"a": [UpstreamError("connect", "down")], "b": [said("from b")]}, routes=BOTH)
    await it.ask()

    class Turns:
        async def llm_request(self, exchange: Exchange) -> Reroute:
            return Reroute((Candidate("b", "claude-sonnet-4-5"),))

    other = House(it.lasting.kept.answers._behind.path.parent, {"b": [said("again")]}, Turns(), routes=BOTH)
    other.stage._kept = it.lasting.kept
    assert (await other.ask())[:2] == ("hit", "from b")
    other.world.meter.close()


@dataclass
class Caps:
    """As a budget that is nearly spent: the call may write less."""

    on: bool = True

    async def llm_attempt(self, exchange: Exchange, attempt: Attempt) -> None:
        if self.on:
            assert exchange.body is not None
            exchange.body.replace({**exchange.body.value, "max_tokens": 300})
            exchange.reseal()


async def test_what_answers_a_call_that_may_write_less_is_not_given_to_one_that_may_write_more(
    house: Callable[..., House],
) -> None:
    caps = Caps()
    it = house({"a": [said("short"), said("long")]}, caps)
    assert (await it.ask())[:2] == ("miss", "short")
    caps.on = False
    assert (await it.ask())[:2] == ("miss", "long")
    assert (await it.ask())[:2] == ("hit", "long")


async def test_a_call_that_may_write_less_is_followed_by_nobody(house: Callable[..., House]) -> None:
    caps = Caps()
    it = house({"a": [said("short"), said("long")]}, caps)
    first = asyncio.create_task(it.ask())
    await asyncio.sleep(0)
    other = await it.ask()
    caps.on = False
    assert (await first)[0] == "miss"
    assert other[0] == "miss"
    assert len(it.asked) == 2


@dataclass
class Adds:
    """A user's script that says what day it is."""

    day: str = "Monday"

    async def llm_request(self, exchange: Exchange) -> None:
        assert exchange.body is not None
        exchange.body.slots[0].text += f" Today is {self.day}."


async def test_what_stages_put_into_a_call_is_part_of_the_question(house: Callable[..., House]) -> None:
    adds = Adds()
    it = house({"a": [said("mon"), said("tue")]}, adds)
    assert (await it.ask())[:2] == ("miss", "mon")
    assert (await it.ask())[:2] == ("hit", "mon")
    adds.day = "Tuesday"
    assert (await it.ask())[:2] == ("miss", "tue")


async def test_a_hit_is_no_attempt_and_saves_what_the_first_one_cost(house: Callable[..., House]) -> None:
    it = house({"a": [said("x")]})
    _, _, first = await it.ask()
    _, _, second = await it.ask()
    assert first.attempts[0].bill is not None
    assert second.saved == first.attempts[0].bill.cost == Decimal("0.00084")
    assert not second.attempts
    it.clock.advance(200)
    it.clock.advance(101)
    assert (await it.ask())[0] == "miss", "five minutes are over"


@pytest.mark.parametrize("wish", [b"no-store", b"No-Store", b"no-cache, no-store"])
async def test_who_wants_nothing_kept_has_nothing_kept(house: Callable[..., House], wish: bytes) -> None:
    it = house({"a": [said("x")]})
    assert (await it.ask(headers=((b"x-tokenman-cache", wish),)))[0] == "bypass"
    assert (await it.ask())[0] == "miss"


async def test_who_wants_a_fresh_answer_replaces_the_one_that_is_kept(house: Callable[..., House]) -> None:
    it = house({"a": [said("old"), said("new")]})
    assert (await it.ask())[1] == "old"
    assert (await it.ask(headers=((b"x-tokenman-cache", b"no-cache"),)))[:2] == ("miss", "new")
    assert (await it.ask())[:2] == ("hit", "new")


@pytest.mark.parametrize("mode", ["off", "deterministic", "all"])
async def test_the_mode_of_a_route_wins(house: Callable[..., House], mode: Any) -> None:
    it = house({"a": [said("x")]}, routes=({"match": {"model": "claude-*"}, "try": ["a"], "cache": mode},))
    warm = BODY.replace(b'"temperature":0', b'"temperature":1')
    found = [(await it.ask(body))[0] for body in (BODY, BODY, warm, warm)]
    assert found == {
        "off": ["bypass"] * 4,
        "deterministic": ["miss", "hit", "bypass", "bypass"],
        "all": ["miss", "hit", "miss", "hit"],
    }[mode]  # fmt: skip


async def test_while_it_is_off_it_is_noted_what_it_would_have_answered(house: Callable[..., House]) -> None:
    it = house({"a": [(500, JSON, [b"{}"]), said("x")]}, rules=Rules("off"))
    warm = BODY.replace(b'"temperature":0', b'"temperature":1')
    found = [(await it.ask(body))[2].repeats for body in (BODY, BODY, BODY, warm, warm)]
    assert found == ["", "", "deterministic", "", "all"], "an error would not have been kept"
    _, _, other = await it.ask(caller=Caller("somebody else"))
    assert other.repeats == ""
    nameless = [Caller(address=each) for each in ("192.0.2.1", "192.0.2.2", "192.0.2.2")]
    assert [(await it.ask(caller=each))[2].repeats for each in nameless] == ["", "", "deterministic"]
    it.clock.advance(301)
    assert (await it.ask())[2].repeats == ""


@pytest.mark.parametrize("broken", ["key_of", "bypassed", "in_shape", "wanted_of"])
async def test_a_cache_that_fails_is_none(
    house: Callable[..., House], monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    it = house({"a": [said("x")]})
    await it.ask()

    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a fault")

    monkeypatch.setattr(f"addons.caching.{broken}", fails)
    _, text, made = await it.ask()
    assert text == "x"
    assert len(it.asked) == 2
    assert len(it.lasting.flights) == 0
    assert made.outcome == "answered"


async def test_an_answer_that_cannot_be_judged_is_given_and_not_kept(
    house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a fault")

    monkeypatch.setattr("addons.caching.unkept", fails)
    it = house({"a": [said("x")]})
    assert (await it.ask())[:2] == ("miss", "x")
    assert (await it.ask())[:2] == ("miss", "x")


async def test_a_stream_is_given_again_as_a_stream(house: Callable[..., House]) -> None:
    it = house({"a": [(200, SSE, [STREAM[:200], STREAM[200:]])]})
    streamed = BODY.replace(b'"temperature"', b'"stream":true,"temperature"')
    assert [(await it.ask(streamed))[:2] for _ in range(2)] == [("miss", ""), ("hit", "")]
    assert (await it.ask())[:2] == ("hit", "Hi")
    assert it.asked == ["a"]


async def test_of_calls_that_run_while_answers_are_forgotten_none_is_kept(house: Callable[..., House]) -> None:
    hold = asyncio.Event()

    class Slow:
        async def llm_attempt(self, exchange: Exchange, attempt: Attempt) -> None:
            await hold.wait()

    it = house({"a": [said("before"), said("after")]}, Slow())
    first = asyncio.create_task(it.ask())
    for _ in range(20):
        await asyncio.sleep(0)
    await it.lasting.kept.forget()
    hold.set()
    assert (await first)[:2] == ("miss", "before")
    assert (await it.ask())[:2] == ("miss", "after")
    assert (await it.ask())[:2] == ("hit", "after")


TOOLS = BODY.replace(
    b'"temperature"', b'"stream":true,"tools":[{"name":"now","input_schema":{"type":"object"}}],"temperature"'
)


@pytest.mark.parametrize("tool_calls", [False, True])
async def test_a_stream_that_may_call_a_tool_is_followed_only_where_such_answers_are_given_again(
    house: Callable[..., House], tool_calls: bool
) -> None:
    it = house({"a": [(200, SSE, [STREAM])]}, rules=Rules("all", tool_calls=tool_calls))
    first, other = asyncio.create_task(it.ask(TOOLS)), asyncio.create_task(it.ask(TOOLS))
    assert {(await first)[0], (await other)[0]} == ({"miss", "coalesced"} if tool_calls else {"miss"})
    plain = TOOLS.replace(b'"stream":true,', b"")
    assert (await it.ask(plain))[0] == "hit", "it called none, so it is kept"


async def test_who_asks_the_disk_while_an_answer_is_being_kept_gets_it(
    house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = house({"a": [said("x")]})
    answers, asked = it.lasting.kept.answers, asyncio.Event()

    async def slowly(key: bytes) -> None:
        await asked.wait()

    with monkeypatch.context() as patched:
        patched.setattr(answers, "find", slowly)
        late = asyncio.create_task(it.ask())
        for _ in range(5):
            await asyncio.sleep(0)
    assert (await it.ask())[:2] == ("miss", "x")
    asked.set()
    assert (await late)[:2] == ("hit", "x")
    assert it.asked == ["a"]
