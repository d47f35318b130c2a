"""The chain: order, fail modes, deadlines, and that each stage is told the end exactly once."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from tokenman_core.clock import SystemClock
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.slots import Slot
from tokenman_core.sse import Event
from tokenman_core.stages import FAILED, Link, StageFailed, Stages
from tokenman_core.verdicts import Answer, Candidate, Refuse, Reroute, Skip


def exchange(*texts: str) -> Exchange:
    body: Any = SimpleNamespace(slots=[Slot(("messages", n), "user", text) for n, text in enumerate(texts)])
    made = Exchange("req_1", None, None, None, (Candidate("p", "m"),))  # type: ignore[arg-type]
    made.body = body
    body.edition = 0
    return made


def stages(*made: object) -> Stages:
    return Stages([Link.of(stage, type(stage).__name__) for stage in made], SystemClock())


class Recorder:
    """A stage that writes down what is called, and answers what it was told to."""

    def __init__(self, log: list[str], name: str, **answers: Any) -> None:
        self.log, self.label, self.answers = log, name, answers

    async def llm_request(self, exchange: Exchange) -> Any:
        self.log.append(f"{self.label} request")
        return self.answers.get("request")

    async def llm_attempt(self, exchange: Exchange, attempt: Attempt) -> Any:
        self.log.append(f"{self.label} attempt")
        return self.answers.get("attempt")

    async def llm_attempt_done(self, exchange: Exchange, attempt: Attempt) -> None:
        self.log.append(f"{self.label} attempt_done")

    def llm_event(self, exchange: Exchange, event: Event) -> Any:
        self.log.append(f"{self.label} event")
        return self.answers.get("event")

    async def llm_response(self, exchange: Exchange) -> None:
        self.log.append(f"{self.label} response")

    async def llm_done(self, exchange: Exchange) -> None:
        self.log.append(f"{self.label} done")


async def test_stages_run_in_order_on_the_way_in_and_in_reverse_on_the_way_back() -> None:
    log: list[str] = []
    chain, call = stages(Recorder(log, "a"), Recorder(log, "b")), exchange("x")
    attempt, entered = Attempt(1, Candidate("p", "m")), list[Link]()
    assert await chain.request(call) is None
    assert await chain.attempt(call, attempt, entered) is None
    await chain.attempt_done(call, attempt, entered)
    chain.event(call, chain.listeners(call), Event(b"e"))
    await chain.response(call)
    await chain.done(call)
    forward = ["a request", "b request", "a attempt", "b attempt"]
    back = ["b attempt_done", "a attempt_done", "b event", "a event", "b response", "a response", "b done", "a done"]
    assert log == forward + back


async def test_done_is_called_exactly_once_for_each_stage_that_was_entered_and_for_no_other() -> None:
    log: list[str] = []
    refusal = Refuse(429, "budget", "spent")
    chain = stages(Recorder(log, "a"), Recorder(log, "b", request=refusal), Recorder(log, "c"))
    call = exchange("x")
    assert await chain.request(call) == refusal
    await chain.done(call)
    await chain.done(call)
    assert log == ["a request", "b request", "b done", "a done"]


async def test_a_stage_that_answers_does_not_see_its_own_answer_on_the_way_back() -> None:
    async def parts() -> Any:
        yield b""

    log: list[str] = []
    chain, call = (
        stages(Recorder(log, "a"), Recorder(log, "b", request=Answer(parts())), Recorder(log, "c")),
        exchange("x"),
    )
    assert isinstance(await chain.request(call), Answer)
    chain.event(call, chain.listeners(call), Event(b"e"))
    await chain.done(call)
    assert log == ["a request", "b request", "a event", "b done", "a done"]


async def test_a_reroute_replaces_the_plan_and_the_chain_goes_on() -> None:
    log: list[str] = []
    plan = (Candidate("other", "small"),)
    chain, call = stages(Recorder(log, "a", request=Reroute(plan)), Recorder(log, "b")), exchange("x")
    assert await chain.request(call) is None
    assert call.plan == plan
    assert log == ["a request", "b request"]


async def test_a_skipped_attempt_is_settled_by_the_stages_that_saw_it() -> None:
    log: list[str] = []
    chain, call = (
        stages(Recorder(log, "a"), Recorder(log, "b", attempt=Skip("breaker")), Recorder(log, "c")),
        exchange("x"),
    )
    attempt, entered = Attempt(1, Candidate("p", "m")), list[Link]()
    assert await chain.attempt(call, attempt, entered) == Skip("breaker")
    await chain.attempt_done(call, attempt, entered)
    assert log == ["a attempt", "b attempt", "b attempt_done", "a attempt_done"]


class Raises:
    async def llm_request(self, exchange: Exchange) -> None:
        raise RuntimeError("value-in-a-message")

    def llm_event(self, exchange: Exchange, event: Event) -> None:
        raise RuntimeError("value-in-a-message")


class Hangs:
    deadline_s = 0.02

    async def llm_request(self, exchange: Exchange) -> None:
        await asyncio.Event().wait()


class ReturnsNonsense:
    async def llm_request(self, exchange: Exchange) -> str:
        return "fine"

    def llm_event(self, exchange: Exchange, event: Event) -> Any:
        return b"bytes are no event"


class IsNotAsync:
    def llm_request(self, exchange: Exchange) -> None:
        return None


@pytest.mark.parametrize("bad", [Raises, Hangs, ReturnsNonsense, IsNotAsync])
async def test_a_bad_stage_refuses_the_call_unless_it_declares_that_it_fails_open(
    bad: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert await stages(bad()).request(exchange("x")) == FAILED
    lenient = type("Lenient", (bad,), {"fails": "open"})()
    assert await stages(lenient).request(exchange("x")) is None
    assert bad.__name__ in caplog.text
    assert "value-in-a-message" not in caplog.text


async def test_the_log_names_the_place_where_a_stage_raised_and_the_answer_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    refusal = await stages(Raises()).request(exchange("x"))
    assert "stage Raises failed in request" in caplog.text
    line = Raises.llm_request.__code__.co_firstlineno + 1
    assert f"RuntimeError at test_stages.py:{line} llm_request" in caplog.text
    assert isinstance(refusal, Refuse)
    assert "log" in refusal.message
    assert "request id" in refusal.message
    assert "reword your last message" in refusal.message


@pytest.mark.parametrize("bad", [Raises, ReturnsNonsense])
def test_a_bad_listener_breaks_the_answer_unless_it_fails_open(bad: Any) -> None:
    call, event = exchange("x"), Event(b"e")
    link = Link.of(bad(), "bad")
    with pytest.raises(StageFailed):
        stages(bad()).event(call, [link], event)
    lenient = Link.of(type("Lenient", (bad,), {"fails": "open"})(), "lenient")
    assert stages().event(call, [lenient], event) == [event]


def test_an_event_may_become_none_or_many_and_each_goes_on_to_the_next_stage() -> None:
    log: list[str] = []
    first, second = Event(b"1"), Event(b"2")
    splits, sees = Recorder(log, "splits", event=[first, second]), Recorder(log, "sees")
    links = [Link.of(splits, "splits"), Link.of(sees, "sees")]
    assert stages().event(exchange("x"), links, Event(b"e")) == [first, second]
    assert log == ["splits event", "sees event", "sees event"]
    assert stages().event(exchange("x"), [Link.of(Recorder(log, "drops", event=[]), "drops")], Event(b"e")) == []


def test_a_stage_that_declares_an_unknown_fail_mode_is_not_taken() -> None:
    with pytest.raises(ValueError, match="fails must be"):
        Link.of(SimpleNamespace(fails="sometimes"), "odd")


class Guard:
    """Masks, and counts how often it was asked again."""

    def __init__(self) -> None:
        self.again = 0

    async def llm_request(self, exchange: Exchange) -> None:
        self.mask(exchange)

    async def llm_recheck(self, exchange: Exchange) -> None:
        self.again += 1
        self.mask(exchange)

    def mask(self, exchange: Exchange) -> None:
        assert exchange.body
        for slot in exchange.body.slots:
            slot.text = slot.text.replace("secret", "[PASSWORD_1]")


class PutsBack:
    async def llm_request(self, exchange: Exchange) -> None:
        assert exchange.body
        exchange.body.slots[0].text = "the secret"


async def test_a_value_that_a_stage_puts_back_behind_the_guard_is_masked_again() -> None:
    guard, call = Guard(), exchange("the secret")
    await stages(guard, PutsBack()).request(call)
    assert call.body
    assert call.body.slots[0].text == "the [PASSWORD_1]"
    assert guard.again == 1


async def test_the_guard_is_not_asked_again_where_nothing_changed() -> None:
    guard = Guard()
    await stages(guard, Recorder([], "a")).request(exchange("the secret"))
    assert guard.again == 0


async def test_a_value_that_is_put_back_at_an_attempt_is_masked_again() -> None:
    class PutsBackLate:
        async def llm_attempt(self, exchange: Exchange, attempt: Attempt) -> None:
            assert exchange.body
            exchange.body.slots[0].text = "a secret"

    guard, call = Guard(), exchange("x")
    chain = stages(guard, PutsBackLate())
    await chain.request(call)
    await chain.attempt(call, Attempt(1, Candidate("p", "m")), [])
    assert call.body
    assert call.body.slots[0].text == "a [PASSWORD_1]"


class Blocks:
    async def llm_request(self, exchange: Exchange) -> None:
        time.sleep(0.06)  # noqa: ASYNC251 (the fault that is to be seen)

    def llm_event(self, exchange: Exchange, event: Event) -> None:
        time.sleep(0.06)


async def test_a_stage_that_holds_the_loop_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    stages().event(exchange("x"), [Link.of(Blocks(), "Blocks")], Event(b"e"))
    assert "stage Blocks held the event loop" in caplog.text
    caplog.clear()
    await stages(Blocks()).request(exchange("x"))
    assert "stage Blocks held the event loop" in caplog.text


async def test_a_stage_that_only_waits_is_not(caplog: pytest.LogCaptureFixture) -> None:
    class Waits:
        async def llm_request(self, exchange: Exchange) -> None:
            await asyncio.sleep(0.06)

    await stages(Waits()).request(exchange("x"))
    assert not caplog.text


async def test_each_phase_of_each_stage_is_timed() -> None:
    log: list[str] = []
    call = exchange("x")
    await stages(Recorder(log, "a")).request(call)
    assert call.stage_seconds[("Recorder", "request")] > 0
