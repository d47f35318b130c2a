"""The cache against calls that look alike and are not: other plans, other headers, answers that nobody may have again."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from addons.caching import Note
from tests.addons.cached import BODY, STREAM, House, said
from tests.core.scripted import JSON, SSE, call
from tokenman_core.caching.flights import STREAM_WAITS_S, WAITS_S
from tokenman_core.caching.rules import Rules
from tokenman_core.exchange import Attempt, Caller, Exchange
from tokenman_core.net import UpstreamError
from tokenman_core.verdicts import Candidate, Reroute

TWO_WAYS: Any = (
    {"match": {"project": "x"}, "try": ["a", "b"]},
    {"match": {"project": "y"}, "try": ["a"]},
)


class Holds:
    """Has the first attempt of all wait until `go`; the first call that waits is followed meanwhile."""

    def __init__(self) -> None:
        self.go, self.held = asyncio.Event(), asyncio.Event()

    async def llm_attempt(self, exchange: Exchange, attempt: Attempt) -> None:
        if not self.held.is_set():
            self.held.set()
            await self.go.wait()


async def together(
    it: House, holds: Holds, first: dict[str, Any], *others: dict[str, Any]
) -> list[tuple[str, str, Any]]:
    """The first call has begun when the others come; what became of each."""
    leader = asyncio.create_task(it.ask(**first))
    await holds.held.wait()
    followers = [asyncio.create_task(it.ask(**other)) for other in others]
    for _ in range(60):
        await asyncio.sleep(0)
    holds.go.set()
    return [await leader, *[await each for each in followers]]


def ended(reason: str) -> Any:
    status, headers, (body,) = said("half")
    return status, headers, [body.replace(b'"end_turn"', b'"%s"' % reason.encode())]


async def test_an_answer_from_the_second_place_of_a_plan_is_none_for_a_plan_without_it(
    house: Callable[..., House],
) -> None:
    holds = Holds()
    it = house({"a": [UpstreamError("connect", "down"), said("from a")], "b": [said("from b")]}, holds, routes=TWO_WAYS)
    first, other = await together(it, holds, {"project": "x"}, {"project": "y"})
    assert first[:2] == ("miss", "from b")
    assert other[:2] == ("miss", "from a"), "b is no place of its route"


@pytest.mark.parametrize("why", ["max_tokens", "refusal", "pause_turn"])
async def test_a_whole_answer_that_is_not_kept_is_given_to_nobody_else(house: Callable[..., House], why: str) -> None:
    holds = Holds()
    it = house({"a": [ended(why), said("whole")]}, holds)
    first, other = await together(it, holds, {}, {})
    assert first[:2] == ("miss", "half")
    assert other[:2] == ("miss", "whole")


async def test_an_error_that_says_it_is_none_is_given_to_nobody_else(house: Callable[..., House]) -> None:
    holds = Holds()
    error = b'{"type":"error","error":{"type":"overloaded_error","message":"no"}}'
    it = house({"a": [(200, JSON, [error]), said("well")]}, holds)
    _, other = await together(it, holds, {}, {})
    assert other[:2] == ("miss", "well")


class Leads:
    """A script behind the cache that has some calls answered elsewhere."""

    async def llm_request(self, exchange: Exchange) -> Reroute | None:
        note: Note = exchange.notes["caching"]
        return Reroute((Candidate("b", "claude-sonnet-4-5"),)) if note.leads else None


async def test_a_call_that_a_script_behind_the_cache_leads_elsewhere_is_followed_by_nobody(
    house: Callable[..., House],
) -> None:
    holds = Holds()
    it = house({"a": [said("from a")], "b": [said("from b")]}, holds, behind=(Leads(),))
    first, other = await together(it, holds, {}, {})
    assert first[:2] == ("miss", "from b")
    assert other[:2] == ("miss", "from a")


async def test_a_fresh_answer_is_fresh_while_another_call_asks_the_same(house: Callable[..., House]) -> None:
    holds = Holds()
    it = house({"a": [said("one"), said("two")]}, holds)
    first, other = await together(it, holds, {}, {"headers": ((b"x-tokenman-cache", b"no-cache"),)})
    assert {first[1], other[1]} == {"one", "two"}
    assert other[0] == "miss"


async def test_what_a_follower_is_told(house: Callable[..., House]) -> None:
    holds = Holds()
    it = house({"a": [said("x")]}, holds)
    _, (how, text, made) = await together(it, holds, {}, {})
    assert (how, text) == ("coalesced", "x")
    told = dict(made.answer_headers)
    assert told[b"x-tokenman-provider"] == b"a"
    assert told[b"x-tokenman-cost-usd"] == b"0"


NAMED = (
    ({"headers": ((b"x-features", b"new"),)}, "what the caller's headers ask of b, b is not told where a was called"),
)


@pytest.mark.parametrize(("asked", "why"), NAMED)
async def test_who_is_called_itself_is_asked_another_question_than_who_steps_in(
    house: Callable[..., House], asked: dict[str, Any], why: str
) -> None:
    only_b: Any = ({"try": ["b"]},)
    it = house({"b": [said("led"), said("called")]}, routes=only_b, rules=Rules("all"))
    assert (await it.ask(**asked))[:2] == ("miss", "led")
    assert (await it.ask(**asked, named="b"))[:2] == ("miss", "called"), why
    assert b"x-features" not in dict(it.world.upstream.requests[0].headers)
    assert b"x-features" in dict(it.world.upstream.requests[1].headers)


async def test_a_header_that_is_not_passed_on_is_none(house: Callable[..., House]) -> None:
    it = house({"a": [said("with"), said("without")]})
    beta = (b"anthropic-beta", b"big")
    assert (await it.ask(headers=(beta,)))[:2] == ("miss", "with")
    assert (await it.ask(headers=(beta, (b"connection", b"anthropic-beta"))))[:2] == ("miss", "without")
    assert (await it.ask(headers=((b"connection", b"keep-alive"), beta)))[:2] == ("hit", "with")


async def test_nobody_waits_for_a_call_whose_look_at_the_providers_cache_fails(
    house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    it = house({"a": [said("x")]})

    def fails(*_: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(it.lasting.detective, "ended", fails)
    _, _, made = await it.ask()
    assert len(it.lasting.flights) == 0
    assert made.shared is not None
    assert (await it.ask())[0] == "hit"


@pytest.mark.parametrize(("shared", "told"), [(False, b"org-of-ada"), (True, None)])
async def test_whose_account_it_was_is_told_to_no_other_caller(
    house: Callable[..., House], shared: bool, told: bytes | None
) -> None:
    status, headers, pieces = said("x")
    headers = (*headers, (b"anthropic-organization-id", b"org-of-ada"))
    it = house({"a": [(status, headers, pieces)]}, rules=Rules("all", shared=shared))
    await it.ask(caller=Caller("ada", login="key"))
    made = call(BODY, caller=Caller("bob" if shared else "ada", login="key"))
    head, _ = await it.world.carry(made)
    assert made.cache == "hit"
    assert dict(head.headers).get(b"anthropic-organization-id") == told


async def test_who_follows_is_told_a_saving_and_who_went_alone_is_not(house: Callable[..., House]) -> None:
    holds = Holds()
    it = house({"a": [said("x"), said("y")]}, holds)
    (_, _, first), (how, _, other) = await together(it, holds, {}, {})
    assert how == "coalesced"
    assert first.attempts[0].bill is not None
    assert other.saved == first.attempts[0].bill.cost == Decimal("0.00084")
    holds = Holds()
    it = house({"a": [ended("max_tokens"), said("y")]}, holds)
    (_, _, first), (how, _, other) = await together(it, holds, {}, {})
    assert how == "miss"
    assert other.saved == 0, "it was paid for"


async def test_what_a_subscription_pays_for_saves_no_money(house: Callable[..., House]) -> None:
    it = house({"a": [said("x")]})
    login = Caller("who", login="oauth")
    _, _, first = await it.ask(caller=login)
    how, _, second = await it.ask(caller=login)
    assert first.attempts[0].bill is not None
    assert first.attempts[0].bill.notional
    assert (how, second.saved) == ("hit", 0)


async def test_an_answer_that_calls_a_tool_is_given_to_nobody_once_that_is_switched_off(tmp_path: Path) -> None:
    called = said("x")[2][0].replace(
        b'{"type":"text","text":"x"}', b'{"type":"tool_use","id":"t1","name":"now","input":{}}'
    )
    answers = {"a": [(200, JSON, [called.replace(b"end_turn", b"tool_use")])]}
    before = House(tmp_path, answers, rules=Rules("all", tool_calls=True))
    assert [(await before.ask())[0] for _ in range(2)] == ["miss", "hit"]
    after = House(tmp_path, answers, rules=Rules("all"), lasting=before.lasting)
    assert [(await after.ask())[0] for _ in range(2)] == ["miss", "miss"]


async def test_what_a_call_wishes_may_stand_in_two_headers(house: Callable[..., House]) -> None:
    it = house({"a": [said("x"), said("y")]})
    await it.ask()
    for first, second in ((b"no-cache", b"no-store"), (b"", b"No-Store")):
        headers = [(b"x-tokenman-cache", first), (b"X-TokenMan-Cache", second)]
        assert (await it.ask(headers=headers))[0] == "bypass"
    assert (await it.ask())[:2] == ("hit", "x")


@pytest.mark.parametrize(("stream", "most"), [(False, WAITS_S), (True, STREAM_WAITS_S)], ids=["plain", "stream"])
async def test_for_another_process_a_stream_is_waited_for_less(
    house: Callable[..., House], stream: bool, most: float
) -> None:
    it = house({"a": [(200, SSE, [STREAM]) if stream else said("x")]}, rules=Rules("all"))
    first, waits = it.lasting.flights.first, []

    async def noted(key: bytes, find: Any, most: float) -> Any:
        waits.append(most)
        return await first(key, find, most)

    it.lasting.flights.first = noted  # type: ignore[method-assign, assignment]
    await it.ask(BODY.replace(b"{", b'{"stream":true,', 1) if stream else BODY)
    assert waits == [most]


class Slow:
    """Books slowly, so that others come when an answer is complete and not kept yet."""

    def __init__(self) -> None:
        self.go, self.held = asyncio.Event(), asyncio.Event()

    async def llm_attempt_done(self, exchange: Exchange, attempt: Attempt) -> None:
        self.held.set()
        await self.go.wait()


async def test_who_comes_while_an_answer_is_put_away_is_told_its_age(house: Callable[..., House]) -> None:
    slow = Slow()
    it = house({"a": [said("x")]}, behind=(slow,))
    first = asyncio.create_task(it.ask())
    await slow.held.wait()
    it.clock.advance(3)
    late = asyncio.create_task(it.ask())
    for _ in range(60):
        await asyncio.sleep(0)
    slow.go.set()
    how, text, made = await late
    assert (how, text) == ("hit", "x")
    assert dict(made.answer_headers)[b"age"] == b"3"
    await first


async def test_an_answer_that_is_put_away_for_longer_than_it_may_be_given_is_given_to_nobody(
    house: Callable[..., House],
) -> None:
    slow = Slow()
    it = house({"a": [said("x"), said("y"), said("z")]}, behind=(slow,))
    first = asyncio.create_task(it.ask())
    await slow.held.wait()
    it.clock.advance(299)
    soon = asyncio.create_task(it.ask())
    for _ in range(60):
        await asyncio.sleep(0)
    it.clock.advance(1)
    slow.held.clear()
    late = asyncio.create_task(it.ask())
    await slow.held.wait()
    same = asyncio.create_task(it.ask())
    for _ in range(60):
        await asyncio.sleep(0)
    slow.go.set()
    assert [(await one)[:2] for one in (soon, late, same)] == [("hit", "x"), ("miss", "y"), ("hit", "y")]
    assert len(it.asked) == 2
    await first


async def test_who_follows_is_not_told_the_usage_that_nobody_asked_for(tmp_path: Path) -> None:
    holds = Holds()
    body = b'{"model":"gpt-5-mini","stream":true,"temperature":0,"messages":[{"role":"user","content":"hello"}]}'
    chunk = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-5-mini","choices":[%s]%s}\n\n'
    events = (
        chunk % (b'{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}', b"")
        + chunk % (b'{"index":0,"delta":{},"finish_reason":"stop"}', b"")
        + chunk % (b"", b',"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}')
        + b"data: [DONE]\n\n"
    )
    it = House(tmp_path, {"a": [(200, SSE, [events])]}, holds, dialect="openai")
    asked = {"body": body, "path": "/v1/chat/completions", "dialect": "openai"}
    (_, _, first), (how, _, other) = await together(it, holds, asked, asked)
    it.world.meter.close()
    assert how == "coalesced"
    assert first.attempts[0].asked_usage
    assert other.unasked
    assert (await it.ask(**asked))[0] == "hit"


class AddsBehind:
    """A script behind the cache that says what time it is to a call that is made."""

    async def llm_request(self, exchange: Exchange) -> None:
        assert exchange.body is not None
        exchange.body.slots[0].text += " It is noon."


async def test_what_a_script_behind_the_cache_has_asked_is_no_answer_to_what_was_asked_before_it(
    house: Callable[..., House],
) -> None:
    holds = Holds()
    it = house({"a": [said("noon"), said("later")]}, holds, behind=(AddsBehind(),))
    first, other = await together(it, holds, {}, {})
    assert (first[:2], other[:2]) == (("miss", "noon"), ("miss", "later"))
    assert (await it.ask())[0] == "miss"
