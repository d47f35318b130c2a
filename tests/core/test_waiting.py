"""A program that is kept on the line, with the clock in the test's hand."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Attempt, Exchange, Sent
from tokenman_core.net import UpstreamError
from tokenman_core.verdicts import Candidate, Head, Headers, Part, Parts, Refuse
from tokenman_core.waiting import COMMENT, EVERY_S, may_begin, may_wait, patiently

STREAM = Head(200, ((b"content-type", b"text/event-stream"), (b"request-id", b"theirs")))
PATHS = {
    "anthropic": "/v1/messages",
    "openai": "/v1/chat/completions",
    "gemini": "/v1beta/models/m:streamGenerateContent",
}


def exchange(dialect: str = "anthropic", *, stream: bool = True, tried: bool = True) -> Exchange:
    wire = DIALECTS[dialect]
    sent = Sent("POST", PATHS[dialect], "", (), "")
    made = Exchange("req_1", sent, wire, wire.operation("POST", sent.path), (Candidate(dialect, "m"),))
    made.stream = stream
    if tried:
        made.attempts.append(Attempt(1, made.plan[0]))
    return made


class Answer:
    """Parts that come when they are let out; what became of whoever makes them."""

    def __init__(self, *parts: Part | Exception) -> None:
        self._parts, self.go, self.ended = parts, asyncio.Event(), ""

    async def parts(self) -> Parts:
        try:
            await self.go.wait()
            for part in self._parts:
                if isinstance(part, Exception):
                    raise part
                yield part
            self.ended = "whole"
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise


class Ticks:
    """Time passes a tick at each wait, and with the last of them the answer comes."""

    def __init__(self, answer: Answer, ticks: int) -> None:
        self._answer, self._left, self.waited = answer, ticks, list[float]()

    async def __call__(self, first: asyncio.Future[Part], seconds: float) -> None:
        self.waited.append(seconds)
        if self._left:
            self._left -= 1
            await asyncio.sleep(0)
            return
        self._answer.go.set()
        await asyncio.wait({first})


async def told(call: Exchange, answer: Answer, ticks: int) -> list[Part]:
    async with aclosing(answer.parts()) as parts, aclosing(patiently(parts, call, Ticks(answer, ticks))) as out:
        return [part async for part in out]


async def test_what_comes_in_time_passes_as_it_is() -> None:
    call = exchange()
    assert await told(call, Answer(STREAM, b"data: 1\n\n"), 0) == [STREAM, b"data: 1\n\n"]
    assert not call.begun


async def test_who_waits_gets_a_head_and_a_comment_at_each_tick_and_then_the_events() -> None:
    call, answer = exchange(), Answer(STREAM, b"data: 1\n\n", b"data: 2\n\n")
    head, *rest = await told(call, answer, 3)
    assert isinstance(head, Head)
    fields = dict(head.headers)
    assert (head.status, fields[b"content-type"]) == (200, b"text/event-stream; charset=utf-8")
    assert (fields[b"x-tokenman-request-id"], fields[b"x-tokenman-provider"]) == (b"req_1", b"anthropic")
    assert rest == [COMMENT, COMMENT, COMMENT, b"data: 1\n\n", b"data: 2\n\n"]
    assert answer.ended == "whole"
    assert call.begun


async def test_each_wait_is_as_long_as_the_first() -> None:
    answer = Answer(STREAM)
    ticks = Ticks(answer, 2)
    async with aclosing(answer.parts()) as parts, aclosing(patiently(parts, exchange(), ticks)) as out:
        assert [part async for part in out][1:] == [COMMENT, COMMENT]
    assert ticks.waited == [EVERY_S] * 3


@pytest.mark.parametrize(
    "call",
    [lambda: exchange(stream=False), lambda: exchange(tried=False), lambda: exchange("gemini")],
    ids=["no-stream", "still-judged", "client-that-reads-comments"],
)
async def test_nothing_goes_out_early_where_its_client_could_not_bear_it(call) -> None:  # type: ignore[no-untyped-def]
    made, refusal = call(), Head(503, ((b"content-type", b"application/json"),))
    assert await told(made, Answer(refusal, b"{}"), 5) == [refusal, b"{}"]
    assert not made.begun


@pytest.mark.parametrize(("status", "kind"), [(429, "rate_limit_error"), (529, "api_error"), (400, "api_error")])
async def test_an_answer_that_is_no_stream_ends_it_with_an_error_event_and_is_read_to_its_end(
    status: int, kind: str
) -> None:
    call = exchange()
    answer = Answer(Head(status, ((b"content-type", b"application/json"),)), b'{"error": {}}')
    *before, event = await told(call, answer, 1)
    assert before[1:] == [COMMENT]
    assert isinstance(event, bytes)
    name, data = event.decode().strip().split("\n")
    assert name == "event: error"
    found = json.loads(data.removeprefix("data: "))
    assert found["type"] == "error"
    assert found["error"]["type"] == kind
    assert f"status {status}" in found["error"]["message"]
    assert call.status == status
    assert answer.ended == "whole"


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
async def test_a_refusal_of_ours_is_told_by_its_own_words(dialect: str) -> None:
    call = exchange(dialect)
    call.refusal = Refuse(504, "timeout", "The provider did not answer in time.")
    *_, event = await told(call, Answer(Head(504), b"{}"), 1)
    assert isinstance(event, bytes)
    assert b"event: error" in event
    assert b"The provider did not answer in time." in event
    assert call.status == 504


async def test_a_whole_answer_to_a_stream_is_no_stream() -> None:
    *_, event = await told(exchange(), Answer(Head(200, ((b"content-type", b"application/json"),)), b"{}"), 1)
    assert isinstance(event, bytes)
    assert b"no stream" in event


async def test_an_answer_that_breaks_behind_its_head_still_ends_with_the_event() -> None:
    broken = Answer(Head(500), UpstreamError("reset", "broke off"))
    *_, event = await told(exchange(), broken, 1)
    assert isinstance(event, bytes)
    assert b"event: error" in event


async def test_what_fails_before_any_head_fails() -> None:
    for ticks in (0, 1):
        with pytest.raises(RuntimeError):
            await told(exchange(), Answer(RuntimeError("a stage")), ticks)


async def test_a_program_that_leaves_while_it_waits_ends_the_attempt() -> None:
    answer, waiting = Answer(STREAM), asyncio.Event()

    async def wait(first: asyncio.Future[Part], seconds: float) -> None:
        if waiting.is_set():
            await asyncio.wait({first})
        waiting.set()

    async def read() -> None:
        async with aclosing(answer.parts()) as parts, aclosing(patiently(parts, exchange(), wait)) as out:
            async for _ in out:
                pass

    task = asyncio.ensure_future(read())
    await waiting.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert answer.ended == "cancelled"
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_who_closes_between_two_comments_ends_the_attempt_too() -> None:
    answer = Answer(STREAM)
    async with aclosing(answer.parts()) as parts:
        out: AsyncIterator[Part] = patiently(parts, exchange(), Ticks(answer, 9))
        assert isinstance(await anext(out), Head)
        assert await anext(out) == COMMENT
        await out.aclose()  # type: ignore[attr-defined]
    assert answer.ended == "cancelled"


@pytest.mark.parametrize(
    ("dialect", "raw", "headers", "may"),
    [
        ("anthropic", b'{"stream": true}', (), True),
        ("openai", b'{"a":1,"stream":true}', (), True),
        ("openai", b"\x28\xb5\x2f\xfd", ((b"Content-Encoding", b"zstd"),), True),
        ("anthropic", b'{"messages": []}', (), False),
        ("gemini", b'{"stream": true}', (), False),
    ],
)
def test_who_asks_for_no_stream_is_not_watched(dialect: str, raw: bytes, headers: Headers, may: bool) -> None:
    """Wherever a head might go out early, it is watched."""
    made = exchange(dialect)
    made.sent, made.raw = replace(made.sent, headers=headers), raw
    assert may_wait(made) is may
    assert may or not may_begin(made) or b'"stream"' not in raw


async def test_who_follows_somebody_elses_call_is_kept_on_the_line_too():
    class Follows:
        unheard = False

        def parts(self, start: Any) -> Any:
            return start()

        async def heard(self) -> None:
            pass

    made = exchange(tried=False)
    assert not may_begin(made)
    made.shared = Follows()
    assert may_begin(made)
