"""The breaker and the passing over, through whole calls."""

import asyncio
import gzip
from contextlib import aclosing
from typing import Any

import pytest

from addons import failover as module
from addons.failover import Failover
from tests.core.scripted import GOOD, JSON, PING, SSE, STALL, START, STREAMED, WORD, World, call, error_event, provider
from tokenman_core.clock import ManualClock
from tokenman_core.exchange import Attempt, Caller
from tokenman_core.failover import breaker
from tokenman_core.failover.breakers import Breakers
from tokenman_core.failover.policy import Rules
from tokenman_core.net import UpstreamError
from tokenman_core.providers import Providers
from tokenman_core.sse import Event
from tokenman_core.verdicts import Candidate, Failure

DOWN: Any = (503, JSON, [b"{}"])
ALONE: Any = ()
BOTH: Any = ({"try": ["a", "b"]},)
_made: list[World] = []


def calls(
    answers: Any, *stages: object, routes: Any = ALONE, attempts: int = 1, **rules: Any
) -> tuple[World, Failover]:
    clock, providers = ManualClock(), (provider("a"), provider("b", key="sk-b"))
    breakers = Breakers(breaker.Rules(**{"min_calls": 0, **rules}), {"a": True, "b": True}, clock)
    stage = Failover(breakers, 30.0, Providers(providers), clock)
    world = World(
        answers, *stages, stage, rules=Rules(attempts=attempts), routes=routes, providers=providers, clock=clock
    )
    _made.append(world)
    return world, stage


def state(stage: Failover, name: str) -> str:
    return stage.breakers.states[name]


async def ask(world: World, times: int = 1, **asked: Any) -> Any:
    """The head of the last answer."""
    head: Any = None
    for _ in range(times):
        made = call(**asked)
        head, *_ = [part async for part in world.conductor.answer(made)]
        await world.conductor.settle(made)
    return head


@pytest.fixture(autouse=True)
def ended() -> Any:
    yield
    while _made:
        _made.pop().meter.close()


@pytest.mark.parametrize(
    "failure",
    [
        DOWN, (500, JSON, []), (529, JSON, []), UpstreamError("connect", ""), UpstreamError("reset", ""),
        UpstreamError("timeout", "", "first_byte"), UpstreamError("protocol", ""), (200, SSE, [error_event("overloaded_error")]),
        (200, SSE, [PING]), (200, SSE, [START + WORD, UpstreamError("reset", "")]), (200, SSE, [START + WORD]),
        (307, ((b"location", b"https://evil.example/"),), []),
    ],
)  # fmt: skip
async def test_five_failures_in_a_row_open_it_and_the_next_call_is_answered_at_once(failure: Any) -> None:
    world, stage = calls({"a": [failure]})
    await ask(world, 5, body=STREAMED)
    assert stage.breakers.states == {"a": "open", "b": "closed"}
    world.clock.advance(20)
    head = await ask(world, body=STREAMED)
    told = dict(head.headers)
    assert (head.status, told[b"x-tokenman-error"], told[b"retry-after"]) == (503, b"breaker", b"40")
    assert b"x-should-retry" not in told
    assert len(world.upstream.requests) == 5


@pytest.mark.parametrize(
    "answer",
    [
        (400, JSON, []), (401, JSON, []), (404, JSON, []), (429, JSON, []), (200, SSE, [error_event("rate_limit_error")]),
        (200, SSE, [error_event("invalid_request_error")]), UpstreamError("refused", ""), UpstreamError("cap", ""), GOOD,
    ],
)  # fmt: skip
async def test_what_is_not_the_providers_fault_does_not_count(answer: Any) -> None:
    world, stage = calls({"a": [answer]}, failures=2)
    await ask(world, 6)
    assert state(stage, "a") == "closed"
    assert len(world.upstream.requests) == 6


SAID = b'{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}'


SAID_IN_A_STREAM: Any = (200, SSE, [error_event("api_error").replace(b'"no"', b'"the model is overloaded"')])


@pytest.mark.parametrize(
    "failure",
    [
        (503, JSON, [SAID]), (503, (*JSON, (b"content-encoding", b"gzip")), [gzip.compress(SAID)]), (529, JSON, []),
        (200, SSE, [error_event("overloaded_error")]), SAID_IN_A_STREAM,
    ],
    ids=["said", "packed", "529", "in a stream", "said in a stream"],
)  # fmt: skip
async def test_a_model_that_is_overloaded_rests_alone(failure: Any) -> None:
    world, _ = calls({"a": [failure, failure, GOOD]}, failures=2)
    big, small = (b'{"model":"%s","stream":true,"messages":[]}' % name for name in (b"big", b"small"))
    await ask(world, 2, body=big)
    assert dict((await ask(world, body=big)).headers)[b"x-tokenman-error"] == b"breaker"
    assert (await ask(world, body=small)).status == 200
    assert len(world.upstream.requests) == 3


async def test_what_says_nothing_of_the_provider_ends_no_row_of_failures() -> None:
    world, stage = calls({"a": [DOWN, (429, JSON, []), DOWN]}, failures=2)
    await ask(world, 3)
    assert state(stage, "a") == "open"


async def test_an_answer_ends_a_row_of_failures() -> None:
    world, stage = calls({"a": [DOWN, GOOD] * 9}, failures=2)
    await ask(world, 18)
    assert state(stage, "a") == "closed"


async def test_each_try_counts() -> None:
    world, stage = calls({"a": [DOWN]}, attempts=3)
    await ask(world, 2)
    assert state(stage, "a") == "open"
    assert len(world.upstream.requests) == 5  # the sixth was not made


async def test_a_stage_of_ours_that_fails_in_a_stream_is_not_the_providers_fault() -> None:
    class Breaks:
        def llm_event(self, exchange: Any, event: Event) -> None:
            raise RuntimeError

    world, stage = calls({"a": [(200, SSE, [START + WORD, START])]}, Breaks(), failures=1)
    await ask(world, body=STREAMED)
    assert state(stage, "a") == "closed"


async def test_the_second_provider_serves_while_the_first_rests() -> None:
    world, stage = calls({"a": [DOWN], "b": [GOOD]}, routes=BOTH, failures=2)
    assert (await ask(world, 5)).status == 200
    assert world.upstream.hosts == ["a.example", "b.example"] * 2 + ["b.example"] * 3
    assert stage.breakers.states == {"a": "open", "b": "closed"}


# -- half-open --


async def begun(world: World, answer: Any) -> tuple[Any, asyncio.Task[Any]]:
    """A call that is under way."""
    world.upstream._answers["a.example"] = [answer]
    world.upstream.asked.clear()
    made = call(STREAMED)

    async def taken() -> None:
        async with aclosing(world.conductor.answer(made)) as parts:
            async for _ in parts:
                pass

    task = asyncio.create_task(taken())
    await world.upstream.asked.wait()
    await asyncio.sleep(0)
    return made, task


async def left(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def opened(**rules: Any) -> tuple[World, Failover]:
    world, stage = calls({"a": [DOWN]}, failures=1, **rules)
    await ask(world)
    world.clock.advance(60)
    return world, stage


@pytest.mark.parametrize("probes", [1, 3])
async def test_after_the_reset_exactly_so_many_probes_are_in_flight(probes: int) -> None:
    world, stage = await opened(probes=probes)
    tasks = [(await begun(world, STALL))[1] for _ in range(probes)]
    assert state(stage, "a") == "half_open"
    for _ in range(3):
        head = await ask(world)
        assert (head.status, dict(head.headers)[b"retry-after"]) == (503, b"1")
    assert len(world.upstream.requests) == 1 + probes
    await left(tasks.pop())  # a client that leaves says nothing, and gives its place back
    assert state(stage, "a") == "half_open"
    world.upstream._answers["a.example"] = [GOOD]
    assert (await ask(world)).status == 200
    assert state(stage, "a") == "closed"
    for task in tasks:
        await left(task)


async def test_a_probe_that_fails_opens_it_again_for_the_whole_time() -> None:
    world, stage = await opened()
    assert (await ask(world)).status == 503
    assert state(stage, "a") == "open"
    world.clock.advance(59)
    assert dict((await ask(world)).headers)[b"retry-after"] == b"1"
    assert len(world.upstream.requests) == 2


async def test_the_first_token_of_a_long_stream_closes_it() -> None:
    world, stage = await opened()
    _, task = await begun(world, (200, SSE, [START + WORD, STALL]))
    assert state(stage, "a") == "closed"
    world.upstream.open = 0  # the stream goes on beside the next call
    world.upstream._answers["a.example"] = [GOOD]
    assert (await ask(world)).status == 200
    world.upstream.open = 1
    await left(task)


async def test_what_comes_before_the_first_token_proves_nothing() -> None:
    world, stage = await opened()
    _, task = await begun(world, (200, SSE, [PING, STALL]))
    assert state(stage, "a") == "half_open"
    await left(task)
    assert state(stage, "a") == "half_open"


async def test_streams_that_run_do_not_hide_that_new_calls_fail() -> None:
    world, stage = calls({"a": [GOOD]}, failures=3)
    _, task = await begun(world, (200, SSE, [START + WORD, STALL]))
    world.upstream.open = 0
    world.upstream._answers["a.example"] = [DOWN]
    await ask(world, 3)
    assert state(stage, "a") == "open"
    world.upstream.open = 1
    await left(task)


async def test_clients_that_leave_do_not_open_it() -> None:
    world, stage = calls({"a": [GOOD]}, failures=2)
    for answer in (STALL, (200, SSE, [PING, STALL]), (200, SSE, [START + WORD, STALL])) * 3:
        _, task = await begun(world, answer)
        await left(task)
    assert state(stage, "a") == "closed"
    assert not stage.breakers._running


@pytest.mark.parametrize(
    "answer", [GOOD, (429, JSON, []), (401, JSON, []), (200, SSE, [error_event("rate_limit_error")])]
)
async def test_any_answer_of_a_probe_shows_that_it_is_back(answer: Any) -> None:
    world, stage = await opened()
    world.upstream._answers["a.example"] = [answer]
    await ask(world, body=STREAMED)
    assert state(stage, "a") == "closed"


@pytest.mark.parametrize(
    "answer", [UpstreamError("cap", ""), UpstreamError("full", ""), UpstreamError("reset", "", stale=True)]
)
async def test_bounds_of_our_own_say_nothing_of_a_probe(answer: Any) -> None:
    world, stage = await opened()
    world.upstream._answers["a.example"] = [answer]
    await ask(world)
    assert state(stage, "a") == "half_open"


LIST: Any = {"body": b"", "method": "GET", "path": "/v1/models"}


async def test_what_asks_no_model_neither_counts_nor_probes_and_is_turned_away_by_an_open_one() -> None:
    world, stage = calls({"a": [DOWN, (200, JSON, [b"{}"]), DOWN, GOOD, DOWN]}, failures=2)
    for asked in ({}, LIST, {}):  # the healthy list ends no row
        await ask(world, **asked)
    assert state(stage, "a") == "open"
    assert (await ask(world, **LIST)).status == 503
    assert len(world.upstream.requests) == 3
    world.clock.advance(60)
    assert (await ask(world, **LIST)).status == 200
    assert state(stage, "a") == "open"  # it was no probe
    world, stage = calls({"a": [DOWN]}, failures=2)
    await ask(world, 5, **LIST)
    assert state(stage, "a") == "closed"


async def test_a_hand_opens_and_closes_it() -> None:
    world, stage = calls({"a": [GOOD]})
    stage.breakers.hold("a")
    world.clock.advance(1000)
    assert (await ask(world)).status == 503
    stage.breakers.release("a")
    assert (await ask(world)).status == 200
    with pytest.raises(KeyError):
        stage.breakers.hold("nobody")


# -- who told to wait long --


def limited(seconds: int) -> Any:
    return 429, (*JSON, (b"retry-after", b"%d" % seconds)), [b"{}"]


@pytest.mark.parametrize(("seconds", "passed_over"), [(31, True), (3600, True), (30, False)])
async def test_a_provider_that_told_to_wait_long_is_passed_over_until_then(seconds: int, passed_over: bool) -> None:
    world, _ = calls({"a": [limited(seconds)], "b": [GOOD]}, routes=BOTH)
    await ask(world, 2)
    assert world.upstream.hosts == ["a.example", "b.example", *([] if passed_over else ["a.example"]), "b.example"]
    world.clock.advance(seconds)
    await ask(world)
    assert world.upstream.hosts[-2:] == ["a.example", "b.example"]


async def test_nobody_is_passed_over_for_longer_than_an_hour() -> None:
    world, _ = calls({"a": [limited(999_999_999), GOOD], "b": [GOOD]}, routes=BOTH)
    await ask(world, 2)
    world.clock.advance(3601)
    await ask(world)
    assert world.upstream.hosts == ["a.example", "b.example", "b.example", "a.example"]


async def test_one_users_limit_and_one_models_is_nobody_elses() -> None:
    world, _ = calls({"a": [limited(3600), GOOD], "b": [GOOD]}, routes=BOTH)
    await ask(world, caller=Caller("ada"))
    await ask(world, caller=Caller("bob"))
    assert world.upstream.hosts[-1] == "a.example"
    await ask(world, caller=Caller("ada"), body=b'{"model":"another","messages":[]}')
    assert world.upstream.hosts[-1] == "a.example"
    await ask(world, caller=Caller("ada"))
    assert world.upstream.hosts[-1] == "b.example"


async def test_the_limit_of_a_configured_key_is_everybodys() -> None:
    routes = ({"try": ["b", "a"]},)
    world, _ = calls({"b": [limited(3600), GOOD], "a": [GOOD]}, routes=routes)
    await ask(world, caller=Caller("ada"))
    await ask(world, caller=Caller("bob"))
    assert world.upstream.hosts == ["b.example", "a.example", "a.example"]


async def test_a_key_that_takes_the_place_of_a_limited_one_has_limits_of_its_own() -> None:
    passed_over, clock = module.PassedOver(ManualClock()), ManualClock()
    stages = [
        Failover(
            Breakers(breaker.Rules(), {"b": True}, clock), 30.0, Providers([provider("b", key=key)]), clock, passed_over
        )
        for key in ("sk-old", "sk-new")
    ]
    made, here = call(named="b"), Candidate("b", "m")
    made.plan = (here, Candidate("a", "m"))
    attempt = Attempt(1, here, failure=Failure("status", "", 429, ((b"retry-after", b"900"),)))
    await stages[0].llm_attempt_done(made, attempt)
    assert [stage.may(here, made) for stage in stages] == [False, True]


async def test_where_nobody_else_is_left_it_is_asked_all_the_same() -> None:
    world, _ = calls({"a": [limited(3600), GOOD]})
    await ask(world)
    assert (await ask(world)).status == 200
    world, _ = calls({"a": [DOWN], "b": [limited(3600)]}, routes=BOTH)
    await ask(world, 2)
    assert world.upstream.hosts == ["a.example", "b.example"] * 2


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PASSED_OVER", 5)
    world, stage = calls({"a": [limited(3600)], "b": [GOOD]}, routes=BOTH)
    for number in range(20):
        await ask(world, caller=Caller(f"c{number}"), body=b'{"model":"%s"}' % (b"m" * 10_000))
    assert len(stage._passed_over._until) == 5
    assert max(len(model) for _, _, model in stage._passed_over._until) <= 200
    assert not stage.breakers._running
