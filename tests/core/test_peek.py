"""How much of an answer is looked at before the client gets any of it."""

import gzip
import tracemalloc
from typing import Any

import brotli
import pytest

from tests.core.scripted import (
    GZIP,
    JSON,
    PING,
    SAID,
    SSE,
    STALL,
    START,
    STREAM,
    STREAMED,
    WORD,
    World,
    call,
    error_event,
    pieces,
)
from tokenman_core import peek as module
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.peek import Peeked, peek
from tokenman_core.verdicts import Candidate, Head, Refuse, Trailers


class Source:
    """Pieces of an answer, and how many of them were taken."""

    def __init__(self, *parts: Any) -> None:
        self.taken = 0
        self.parts = self._given(parts)

    async def _given(self, parts: Any) -> Any:
        async for part in pieces(*parts):
            self.taken += 1
            yield part


async def look(source: Source, made: Exchange | None = None, cap: int = 0, first_token: float = 0) -> Peeked:
    made = made or call()
    return await peek(source.parts, made, Attempt(1, Candidate("a", "m")), cap, first_token)


async def given(seen: Peeked) -> list[Any]:
    return [part async for part in seen.parts()]


async def test_a_stream_is_held_until_the_model_speaks_and_no_longer() -> None:
    source = Source(Head(200, SSE), b": hi\n\n", PING, START, WORD[:30], WORD[30:], STALL)
    seen = await look(source)
    assert (seen.failure, source.taken) == (None, 6)


async def test_of_a_stream_that_says_nothing_no_more_is_held_than_a_bound() -> None:
    source = Source(Head(200, SSE), *[b": %s\n\n" % (b"x" * 60_000)] * 20)
    seen = await look(source)
    assert seen.failure is None
    assert source.taken == 2 + module.MOST_HELD // 60_000
    assert len(await given(seen)) == 21


async def test_a_packed_stream_is_judged_by_what_is_in_it_and_given_as_it_came() -> None:
    packed = gzip.compress(PING + error_event("overloaded_error"))
    seen = await look(Source(Head(200, GZIP), packed[:15], packed[15:], Trailers(())))
    assert seen.failure is not None
    assert (seen.failure.status, seen.failure.kind) == (529, "status")
    assert await given(seen) == [Head(200, GZIP), packed[:15], packed[15:], Trailers(())]


@pytest.mark.parametrize("coding", [b"gzip", b"snappy"])
async def test_what_cannot_be_unpacked_is_nobodys_failure_here(coding: bytes) -> None:
    head = Head(200, (*SSE, (b"content-encoding", coding)))
    seen = await look(Source(head, b"nonsense", b"more"))
    assert (seen.failure, await given(seen)) == (None, [head, b"nonsense", b"more"])


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("overloaded_error", 529),
        ("api_error", 500),
        ("rate_limit_error", 429),
        ("unheard_of", 400),
        ("server_is_overloaded", 503),
        ("slow_down", 503),
        ("overloaded", 529),
        ("engine_overloaded", 503),
        ("service_unavailable", 503),
        ("service_unavailable_error", 503),
    ],
)
async def test_an_error_in_the_first_event_stands_for_a_status(kind: str, status: int) -> None:
    seen = await look(Source(Head(200, (*SSE, (b"retry-after", b"7"))), error_event(kind)))
    assert seen.failure is not None
    assert (seen.failure.status, dict(seen.failure.headers)[b"retry-after"]) == (status, b"7")


async def test_a_failure_can_be_given_when_its_source_is_closed_and_only_as_a_whole() -> None:
    source = Source(Head(503, JSON), b"busy")
    assert (await look(source)).kept == [Head(503, JSON), b"busy"]
    too_long = Source(Head(503, JSON), *[b"x" * (module.MOST_OF_AN_ERROR // 2)] * 4)
    seen = await look(too_long)
    assert too_long.taken == 4
    assert [type(part) for part in seen.kept] == [Refuse]
    head, held, rest = await given(seen)
    assert (head, len(held) + len(rest)) == (Head(503, JSON), 2 * module.MOST_OF_AN_ERROR)


CHAT: Any = {"path": "/v1/chat/completions", "dialect": "openai"}
CHAT_SAID = b'{"choices":[{"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}'


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("stream", "asked"),
    [
        (START + WORD.rstrip(b"\n"), {}),
        ((START + WORD).replace(b"\n", b"\r"), {}),
        (STREAM.rstrip(b"\n"), {}),
        (SAID, {}),
        (b"\n" + SAID, {}),
        (b"data: [DONE]\n\n", CHAT),
        (b"data: [DONE]", CHAT),
        (CHAT_SAID, CHAT),
    ],
)
async def test_a_stream_is_no_cut_one_for_want_of_its_last_blank_line(stream: bytes, asked: Any, packed: bool) -> None:
    data = gzip.compress(stream) if packed else stream
    head = Head(200, GZIP if packed else SSE)
    seen = await look(Source(head, data), call(**asked))
    assert (seen.failure, await given(seen)) == (None, [head, data])


async def test_json_under_the_type_of_a_stream_is_an_answer() -> None:
    made = call(STREAMED)
    head, came = await World({"a": [(200, SSE, [SAID])]}, routes=()).carry(made)
    assert (head.status, came, made.outcome) == (200, SAID, "answered")


@pytest.mark.parametrize(
    "stream", [error_event("overloaded_error").rstrip(b"\n"), b'{"type":"error","error":{"type":"overloaded_error"}}']
)
async def test_an_error_is_one_without_its_blank_line_too(stream: bytes) -> None:
    seen = await look(Source(Head(200, SSE), stream))
    assert seen.failure is not None
    assert (seen.failure.status, await given(seen)) == (529, [Head(200, SSE), stream])


@pytest.mark.parametrize("filling", [b": %s\n\n" % (b"x" * 5000), b"\n"], ids=["comments", "blank lines"])
async def test_of_what_swells_no_more_is_unpacked_than_the_bound(filling: bytes) -> None:
    packed = brotli.compress(filling * ((20 << 20) // len(filling)), quality=1)
    source = Source(Head(200, (*SSE, (b"content-encoding", b"br"))), packed, STALL)
    tracemalloc.start()
    seen = await look(source)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (seen.failure, source.taken) == (None, 2)
    assert peak < 4 << 20


async def test_a_part_that_was_given_is_held_no_more() -> None:
    seen = await look(Source(Head(200, JSON), b"a", b"b", Trailers(())))
    parts = seen.parts()
    assert [await anext(parts), await anext(parts)] == [Head(200, JSON), b"ab"]
    assert seen.kept == [Trailers(())]


@pytest.mark.parametrize(
    ("made", "head"),
    [
        (call(b"", method="HEAD"), Head(200, JSON)),
        (call(), Head(200, ((b"content-type", b"image/png"),))),
        (call(path="/v1/strange"), Head(200, SSE)),
        (call(b"", method="GET", path="/v1/models"), Head(200, SSE)),
    ],
)
async def test_what_nobody_can_judge_is_not_held(made: Exchange, head: Head) -> None:
    source = Source(head, STALL)
    seen = await look(source, made)
    assert (seen.failure, source.taken) == (None, 1)


ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
CREATED = b'data: {"type":"response.created","response":{"status":"in_progress"}}\n\n'
RESPONSES: Any = {"path": "/v1/responses", "dialect": "openai"}


@pytest.mark.parametrize(
    ("begun", "asked", "said"),
    [
        (START, {}, WORD),
        (ROLE, CHAT, b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'),
        (ROLE, CHAT, b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c"}]}}]}\n\n'),
        (CREATED, RESPONSES, b'data: {"type":"response.output_text.delta","delta":"Hi"}\n\n'),
    ],
)
async def test_who_only_says_that_he_begins_has_not_spoken_yet(begun: bytes, asked: Any, said: bytes) -> None:
    seen = await look(Source(Head(200, SSE), begun, PING, error_event("overloaded_error")), call(**asked))
    assert seen.failure is not None
    assert seen.failure.kind == "status"
    seen = await look(Source(Head(200, SSE), begun, PING, STALL), call(**asked), first_token=0.01)
    assert seen.failure is not None
    assert seen.failure.kind == "timeout"
    source = Source(Head(200, SSE), begun, said, STALL)
    assert (await look(source, call(**asked))).failure is None
    assert source.taken == 3


async def test_without_a_deadline_a_first_token_is_waited_for() -> None:
    seen = await look(Source(Head(200, SSE), PING, STREAM), first_token=0)
    assert seen.failure is None
    seen = await look(Source(Head(200, SSE), PING, STALL), first_token=0.01)
    assert seen.failure is not None
    assert seen.failure.kind == "timeout"
