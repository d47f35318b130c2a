"""The attempts of one call, every failure by a table: what is sent how often, what is waited, what the client gets in the end."""

import asyncio
import gzip
import json
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from tests.core.scripted import (
    BODY,
    GOOD,
    GOOD_STREAM,
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
    Notes,
    World,
    call,
    error_event,
    provider,
)  # fmt: skip
from tokenman_core.exchange import Exchange
from tokenman_core.failover.policy import Rules
from tokenman_core.net import UpstreamError
from tokenman_core.record import record_of
from tokenman_core.verdicts import Headers, Refuse, Skip

NO = b'{"type":"error","error":{"type":"x","message":"no"}}'
HEADERS: Headers = (*JSON, (b"request-id", b"theirs"), (b"anthropic-ratelimit-requests-remaining", b"0"))


@dataclass(frozen=True)
class Row:
    """One way to fail. `alone`: how often it is tried where nobody else is left, `first`: where somebody is, who is then
    asked (`onward`). `kind` is that of our own error at the end; None: what the provider said passes as it came.
    """

    name: str
    answer: Any
    alone: int
    first: int
    onward: bool
    status: int
    kind: bytes | None
    failure: str
    wait: float | None = None


def said(status: int, *headers: tuple[bytes, bytes]) -> Any:
    return status, (*HEADERS, *headers), [NO[:9], NO[9:]]


def again(name: str, answer: Any, status: int, failure: str = "status", wait: float | None = None) -> Row:
    return Row(name, answer, 3, 3, True, status, None, failure, wait)


IDLE = UpstreamError("timeout", "no", "idle")
OVERLOADED, API_ERROR = error_event("overloaded_error"), error_event("api_error")
ROWS = [
    Row("connect", UpstreamError("connect", "no"), 3, 1, True, 502, b"upstream", "connect"),
    Row("reset before a head", UpstreamError("reset", "no"), 3, 1, True, 502, b"upstream", "reset"),
    Row("reset in a whole body", (200, JSON, [SAID[:20], UpstreamError("reset", "no")]), 3, 1, True, 502, b"upstream", "reset"),
    Row("reset in an error's body", (503, JSON, [NO[:5], UpstreamError("reset", "")]), 3, 3, True, 502, b"upstream", "status"),
    Row("no head in time", UpstreamError("timeout", "no", "first_byte"), 1, 1, True, 504, b"timeout", "timeout"),
    Row("a body that stalls", (200, JSON, [SAID[:9], IDLE]), 1, 1, True, 504, b"timeout", "timeout"),
    Row("no HTTP", UpstreamError("protocol", "no"), 1, 1, True, 502, b"upstream", "protocol"),
    Row("a redirect that leaves", (307, ((b"location", b"https://evil.example/"),), []), 1, 1, True, 502, b"upstream", "protocol"),
    Row("an address that may not be dialled", UpstreamError("refused", "no"), 1, 1, True, 502, b"upstream", "refused"),
    Row("over a cap", UpstreamError("cap", "no"), 1, 1, False, 502, b"response_cap", "cap"),
    Row("over the cap", (200, JSON, [b"x" * 3000] * 2), 1, 1, False, 502, b"response_cap", "cap"),
    Row("over the cap, as it says", (200, (*JSON, (b"content-length", b"9999")), [SAID]), 1, 1, False, 502, b"response_cap", "cap"),
    *(again(f"{status}", said(status), status) for status in (429, 502, 503, 504, 529)),
    *(Row(f"{status}", said(status), 1, 1, True, status, None, "status") for status in (500, 501, 507)),
    *(Row(f"{status}", said(status), 1, 1, False, status, None, "status") for status in (400, 401, 403, 404, 413, 422)),
    again("429, soon", said(429, (b"Retry-After", b"7")), 429, wait=7.0),
    again("503, soon", said(503, (b"retry-after-ms", b"900")), 503, wait=0.9),
    Row("429, much later", said(429, (b"Retry-After", b"31")), 1, 1, True, 429, None, "status"),
    Row("503, never", said(503, (b"x-should-retry", b"false")), 1, 1, True, 503, None, "status"),
    again("a stream that is overloaded", (200, SSE, [OVERLOADED]), 200),
    again("a stream that is overloaded after pings", (200, SSE, [b": hi\n\n", PING, OVERLOADED[:20], OVERLOADED[20:]]), 200),
    again("a packed stream that is overloaded", (200, GZIP, [gzip.compress(PING + OVERLOADED)]), 200),
    again("an overloaded stream that is not closed", (200, SSE, [OVERLOADED, STALL]), 200),
    again("an overloaded stream that is cut", (200, SSE, [OVERLOADED, UpstreamError("reset", "")]), 200),
    Row("a stream that failed", (200, SSE, [API_ERROR]), 1, 1, True, 200, None, "status"),
    Row("a stream that was asked wrong", (200, SSE, [error_event("invalid_request_error")]), 1, 1, False, 200, None, "status"),
    Row("a stream of nothing", (200, SSE, []), 3, 3, True, 502, b"upstream", "truncated"),
    Row("a stream of pings", (200, SSE, [PING, PING[:7]]), 3, 3, True, 502, b"upstream", "truncated"),
    Row("a stream cut at its head", (200, SSE, [PING, UpstreamError("reset", "no")]), 3, 1, True, 502, b"upstream", "reset"),
    Row("a stream that goes idle at its head", (200, SSE, [PING, IDLE]), 1, 1, True, 504, b"timeout", "timeout"),
    Row("no first token", (200, SSE, [PING, STALL]), 1, 1, True, 504, b"timeout", "timeout"),
]  # fmt: skip
CAP = 5000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenman_core.peek.AFTER_AN_ERROR_S", 0.02)


def check_end(row: Row, head: Any, body: bytes, provider: bytes, tries: int) -> None:
    told = dict(head.headers)
    assert head.status == row.status
    assert told[b"x-tokenman-attempts"] == b"%d" % tries
    assert (told[b"x-tokenman-provider"], told[b"x-tokenman-request-id"]) == (provider, b"req_1")
    if row.kind is not None:
        assert told[b"x-tokenman-error"] == row.kind
        assert NO not in body
        return
    assert b"x-tokenman-error" not in told
    _, headers, came = row.answer
    assert body == b"".join(piece for piece in came if type(piece) is bytes)
    assert {pair for pair in headers if pair[0] != b"content-length"} <= set(head.headers)


def check_stages(world: World, attempts: int) -> None:
    """Each attempt passes the stages and is settled, before the next one begins; the call is over once."""
    expected: list[Any] = []
    for number in range(1, attempts + 1):
        expected += [("attempt", number), ("done", number)]
    assert world.notes.told == [*expected, "call done"]


def waits_of(row: Row, tries: int) -> list[float]:
    """With a chance that always says a half."""
    return [row.wait if row.wait is not None else 0.25 * 2**number for number in range(tries - 1)]


@pytest.mark.parametrize("body", [BODY, STREAMED], ids=["whole", "streamed"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_who_fails_alone_is_tried_so_often_and_has_the_last_word(row: Row, body: bytes) -> None:
    world, made = World({"a": [row.answer]}, routes=(), cap=CAP), call(body)
    head, came = await world.carry(made)
    assert [request.body for request in world.upstream.requests] == [body] * row.alone
    assert len(set(world.upstream.requests)) == 1
    assert world.waits == waits_of(row, row.alone)
    check_end(row, head, came, b"a", row.alone)
    check_stages(world, row.alone)
    assert [attempt.failure.kind for attempt in made.attempts if attempt.failure] == [row.failure] * row.alone
    assert not any(attempt.answered for attempt in made.attempts)


@pytest.mark.parametrize("body", [BODY, STREAMED], ids=["whole", "streamed"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_where_two_fail_the_last_answer_is_the_answer(row: Row, body: bytes) -> None:
    world, made = World({"a": [row.answer], "b": [row.answer]}, cap=CAP), call(body)
    head, came = await world.carry(made)
    second = row.alone if row.onward else 0
    assert world.upstream.hosts == ["a.example"] * row.first + ["b.example"] * second
    assert {request.body for request in world.upstream.requests} == {body}
    assert world.waits == waits_of(row, row.first) + waits_of(row, second)
    check_end(row, head, came, b"b" if second else b"a", row.first + second)
    check_stages(world, row.first + second)


@pytest.mark.parametrize("fails", [1, 2])
@pytest.mark.parametrize(("body", "good", "whole"), [(BODY, GOOD, SAID), (STREAMED, GOOD_STREAM, STREAM)])
@pytest.mark.parametrize("row", [row for row in ROWS if row.alone > 1], ids=lambda row: row.name)
async def test_the_client_sees_nothing_of_a_failure_that_passed(
    row: Row, body: bytes, good: Any, whole: bytes, fails: int
) -> None:
    world, made = World({"a": [*[row.answer] * fails, good]}, routes=(), cap=CAP), call(body)
    head, came = await world.carry(made)
    assert (head.status, came) == (200, whole)
    assert dict(head.headers)[b"x-tokenman-attempts"] == b"%d" % (fails + 1)
    assert [request.body for request in world.upstream.requests] == [body] * (fails + 1)
    check_stages(world, fails + 1)
    assert [attempt.answered for attempt in made.attempts] == [False] * fails + [True]
    assert [attempt.waited for attempt in made.attempts] == [0.0, *waits_of(row, fails + 1)]
    assert made.attempts[-1].failure is None
    assert made.attempts[-1].bill is not None
    assert (made.attempts[-1].bill.usage.input, made.attempts[-1].bill.usage.output) == (3, 5)


@pytest.mark.parametrize(("body", "good", "whole"), [(BODY, GOOD, SAID), (STREAMED, GOOD_STREAM, STREAM)])
@pytest.mark.parametrize("row", [row for row in ROWS if row.onward], ids=lambda row: row.name)
async def test_the_second_provider_serves_when_the_first_has_failed(
    row: Row, body: bytes, good: Any, whole: bytes
) -> None:
    world = World({"a": [row.answer], "b": [good]}, cap=CAP)
    head, came = await world.carry(call(body, (b"x-api-key", b"of a")))
    assert (head.status, came) == (200, whole)
    assert dict(head.headers)[b"x-tokenman-provider"] == b"b"
    assert world.upstream.hosts == ["a.example"] * row.first + ["b.example"]
    keys = [dict(request.headers)[b"x-api-key"] for request in world.upstream.requests]
    assert keys == [b"of a"] * row.first + [b"sk-b"]


# -- a stream that spoke --


@pytest.mark.parametrize(
    "ending", [[], [UpstreamError("reset", "")], [UpstreamError("timeout", "", "idle")], [OVERLOADED]]
)
async def test_a_stream_that_spoke_is_never_tried_again(ending: list[Any]) -> None:
    world, made = World({"a": [(200, SSE, [START + WORD, *ending])], "b": [GOOD_STREAM]}), call(STREAMED)
    head, came = await world.carry(made)
    assert (head.status, came.startswith(START)) == (200, True)
    assert came.rstrip(b"\n").rpartition(b"\n\n")[2].startswith(b"event: error")
    assert world.upstream.hosts == ["a.example"]
    check_stages(world, 1)


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("packed", [False, True])
async def test_a_stream_is_given_from_its_first_byte_however_it_is_cut(size: int, packed: bool) -> None:
    data = gzip.compress(PING + STREAM) if packed else PING + STREAM
    cut = [data[at : at + size] for at in range(0, len(data), size)]
    _, came = await World({"a": [(200, GZIP if packed else SSE, cut)]}, routes=()).carry(call(STREAMED))
    assert came == data


async def test_the_first_event_goes_out_before_the_second_has_come() -> None:
    world, made = World({"a": [(200, SSE, [START, WORD, STALL])]}, routes=()), call(STREAMED)
    async with aclosing(world.conductor.answer(made)) as parts:
        await anext(parts)
        assert [await anext(parts), await anext(parts)] == [START, WORD]
    await world.finish(made)
    check_stages(world, 1)


async def test_events_that_nobody_can_judge_pass_as_they_come() -> None:
    made = call(STREAMED, path="/v1/strange")
    world = World({"a": [(200, SSE, [b"data: hello\n\n", STALL])]}, routes=())
    async with aclosing(world.conductor.answer(made)) as parts:
        await anext(parts)
        assert await anext(parts) == b"data: hello\n\n"
    await world.finish(made)


# -- what may not be done twice --

FILE: Any = {"body": b'{"a":1}', "path": "/v1/files"}
CHAT: Any = {"dialect": "openai", "path": "/v1/responses"}
ONCE = [
    FILE,
    {"body": b'{"requests":[]}', "path": "/v1/messages/batches"},
    {"body": b'{"model":"m"}', "path": "/v1/strange"},
    {"body": b"", "path": "/v1/models/m", "method": "DELETE"},
    {"body": b'{"model":"m","input":"x","background":true}', **CHAT},
    {"body": b'{"model":"m","input":"x","conversation":"conv_1"}', **CHAT},
]
STALE = UpstreamError("reset", "gone", stale=True)
AFTER_IT_BEGAN = [
    UpstreamError("reset", ""), STALE, UpstreamError("timeout", "", "first_byte"),
    said(503), said(500), (200, JSON, [b"{", UpstreamError("reset", "")]),
]  # fmt: skip


@pytest.mark.parametrize("asked", ONCE, ids=lambda asked: asked["path"])
@pytest.mark.parametrize("answer", AFTER_IT_BEGAN)
async def test_what_may_not_be_done_twice_is_sent_once(asked: Any, answer: Any) -> None:
    world = World({"a": [answer], "b": [answer]})
    await world.carry(call(**asked))
    assert len(world.upstream.requests) == 1


@pytest.mark.parametrize(
    "answer", [UpstreamError("connect", ""), said(429), UpstreamError("reset", "", untouched=True)]
)
async def test_what_was_not_begun_is_sent_again(answer: Any) -> None:
    world = World({"a": [answer, GOOD]})
    head, _ = await world.carry(call(**FILE))
    assert (head.status, len(world.upstream.requests)) == (200, 2)


PICTURE: Any = {"body": b'{"model":"m","prompt":"x"}', "path": "/v1/images/generations", "dialect": "openai"}
OPENAI = [provider("a", "openai"), provider("b", "openai", key="sk-b")]


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (UpstreamError("timeout", "", "first_byte"), 1), (UpstreamError("reset", ""), 1), (STALE, 1),
        ((200, JSON, [b"{", UpstreamError("reset", "")]), 1), (UpstreamError("protocol", ""), 1),
        (UpstreamError("connect", ""), 2), (UpstreamError("reset", "", untouched=True), 2), (said(429), 4), (said(503), 4),
        (said(500), 2),
    ],
)  # fmt: skip
async def test_a_picture_is_asked_for_again_only_where_none_can_have_been_made(answer: Any, sent: int) -> None:
    """It would be billed though nobody had waited for it. A status says that there is none."""
    world = World({"a": [answer], "b": [(200, JSON, [b"{}"])]}, providers=OPENAI)
    await world.carry(call(**PICTURE))
    assert len(world.upstream.requests) == sent


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_only_reads_is_tried_again(method: str) -> None:
    world = World({"a": [said(503), (200, (*JSON, (b"content-length", b"9")), [])]})
    head, _ = await world.carry(call(b"", path="/v1/models", method=method))
    assert (head.status, len(world.upstream.requests)) == (200, 2)


@pytest.mark.parametrize(
    ("error", "asked"),
    [(STALE, {"body": b"", "path": "/v1/models", "method": "GET"}), (UpstreamError("reset", "", untouched=True), {})],
)
async def test_a_stale_connection_is_no_attempt_where_nothing_can_be_done_twice(error: Any, asked: Any) -> None:
    world, made = World({"a": [error, GOOD]}, routes=()), call(**asked)
    head, _ = await world.carry(made)
    assert (head.status, world.waits, len(world.upstream.requests)) == (200, [], 2)
    assert dict(head.headers)[b"x-tokenman-attempts"] == b"1"
    assert made.attempts[0].failure is None


async def test_a_question_to_a_model_over_a_stale_connection_is_an_attempt_and_the_next_is_made_at_once() -> None:
    """At the same provider, though another one is left: its connection was old, nothing is known against itself."""
    world, made = World({"a": [STALE, GOOD]}), call()
    head, _ = await world.carry(made)
    assert (head.status, world.waits, world.upstream.hosts) == (200, [0.0], ["a.example"] * 2)
    assert dict(head.headers)[b"x-tokenman-attempts"] == b"2"
    assert [one.outcome for one in record_of(made, 0.0).tried] == ["stale", "ok"]


async def test_where_nothing_is_repeated_a_stale_connection_is_the_end() -> None:
    world = World({"a": [STALE, GOOD]}, routes=(), rules=Rules(attempts=1))
    head, _ = await world.carry(call())
    assert (head.status, len(world.upstream.requests)) == (502, 1)


@pytest.mark.parametrize(
    ("error", "owed"),
    [
        (UpstreamError("timeout", "", "first_byte"), True),
        (UpstreamError("reset", "", worked=True), True),
        (UpstreamError("reset", ""), False),
        (UpstreamError("timeout", "", "connect"), False),
    ],
)
async def test_what_a_provider_has_worked_on_is_owed_though_it_said_nothing(error: UpstreamError, owed: bool) -> None:
    made = call()
    await World({"a": [error], "b": [GOOD]}).carry(made)
    assert [attempt.bill is not None for attempt in made.attempts] == [owed, True]


@pytest.mark.parametrize("coding", [b"", b"gzip"])
async def test_a_failure_whose_body_drips_is_judged_by_its_head(monkeypatch: pytest.MonkeyPatch, coding: bytes) -> None:
    monkeypatch.setattr("tokenman_core.peek.AN_ERROR_S", 0.02)
    drips = (
        429,
        (*HEADERS, (b"content-length", b"9"), *([(b"content-encoding", coding)] if coding else [])),
        [NO[:5], STALL],
    )
    world = World({"a": [drips], "b": [GOOD]})
    assert (await world.carry(call()))[1] == SAID
    head, came = await World({"a": [drips]}, routes=(), rules=Rules(attempts=1)).carry(call())
    assert (head.status, came) == (429, b"" if coding else NO[:5])
    assert dict(head.headers)[b"content-length"] == b"%d" % len(came)
    assert set(HEADERS) <= set(head.headers)


class Adds:
    async def llm_attempt(self, exchange: Exchange, attempt: Any) -> None:
        assert exchange.body is not None
        for slot in exchange.body.slots:
            slot.text += " ADDED"


async def test_what_a_stage_adds_to_an_attempt_is_added_once() -> None:
    world = World({"a": [said(503)]}, Adds(), routes=())
    await world.carry(call())
    assert [request.body for request in world.upstream.requests] == [BODY.replace(b"hello", b"hello ADDED")] * 3


class Swaps:
    """Puts another body in place at each attempt, and says which attempt it was."""

    async def llm_attempt(self, exchange: Exchange, attempt: Any) -> None:
        assert exchange.body is not None
        exchange.body.replace({**exchange.body.value, "top_k": attempt.number})
        exchange.body.slots[0].text += " ADDED"


@pytest.mark.parametrize("before", [False, True])
async def test_a_body_that_a_stage_replaced_for_one_attempt_is_put_back_for_the_next(before: bool) -> None:
    """To the very bytes that were judged, or to what a stage had put there when the request was judged."""

    class Replaces:
        async def llm_request(self, exchange: Exchange) -> None:
            assert exchange.body is not None
            if before:
                exchange.body.replace({**exchange.body.value, "temperature": 0})

    class Once(Swaps):
        async def llm_attempt(self, exchange: Exchange, attempt: Any) -> None:
            if attempt.number < 3:
                await super().llm_attempt(exchange, attempt)

    world = World({"a": [said(503)]}, Replaces(), Once(), routes=())
    made = call()
    await world.carry(made)
    first, second, third = (json.loads(request.body) for request in world.upstream.requests)
    assert (first["top_k"], second["top_k"]) == (1, 2)
    assert {one["messages"][0]["content"] for one in (first, second)} == {"hello ADDED"}
    assert third == json.loads(BODY) | ({"temperature": 0} if before else {})
    assert before or world.upstream.requests[2].body == BODY
    assert made.intact


@pytest.mark.parametrize("count", [b"1", b" 2 "])
async def test_a_clients_own_retry_is_tried_once_at_each_provider(count: bytes) -> None:
    world = World({"a": [said(503)], "b": [said(503)]})
    await world.carry(call(BODY, (b"x-stainless-retry-count", count)))
    assert world.upstream.hosts == ["a.example", "b.example"]
    assert {dict(request.headers)[b"x-stainless-retry-count"] for request in world.upstream.requests} == {count}


@pytest.mark.parametrize("count", [b"0", b"", b"x", b"-1"])
async def test_a_clients_first_try_is_none_of_its_retries(count: bytes) -> None:
    world = World({"a": [said(503)]}, routes=())
    await world.carry(call(BODY, (b"x-stainless-retry-count", count)))
    assert len(world.upstream.requests) == 3


# -- bounds --


async def test_waits_are_bounded_together_across_providers() -> None:
    slow = said(503, (b"retry-after", b"20"))
    world = World({"a": [slow], "b": [slow]}, rules=Rules(attempts=9, max_wait=50))
    await world.carry(call())
    assert world.waits == [20.0, 20.0]
    assert world.upstream.hosts == ["a.example"] * 3 + ["b.example"]


async def test_one_attempt_is_one_attempt() -> None:
    world = World({"a": [said(503)]}, rules=Rules(attempts=1), routes=())
    head, _ = await world.carry(call())
    assert (head.status, len(world.upstream.requests)) == (503, 1)


async def test_an_outage_is_not_multiplied() -> None:
    world = World({"a": [said(503)]}, routes=(), rules=Rules(base_delay=0))
    for _ in range(100):
        made = call()
        _ = [part async for part in world.conductor.answer(made)]
    assert 100 + 25 < len(world.upstream.requests) <= 100 + 10 + 100 * 0.2
    world.meter.close()


class Endless(list[Any]):
    """A body without end, which counts what was taken of it."""

    def __iter__(self) -> Any:
        while True:
            self.append(1)
            yield b"x" * (64 << 10)


async def test_of_an_error_without_end_no_more_is_held_than_a_cap() -> None:
    endless = Endless()
    world = World({"a": [(503, JSON, endless)], "b": [GOOD]})
    head, came = await world.carry(call())
    assert (head.status, came) == (200, SAID)
    assert len(endless) <= 3 * 18  # three tries, a megabyte of each


async def test_an_error_that_is_too_long_to_keep_is_told_in_our_words_where_nobody_serves_after_it() -> None:
    world = World({"a": [(500, JSON, [b"x" * (2 << 20)])], "b": [GOOD]}, Notes({2: Skip("no")}))
    head, came = await world.carry(call())
    assert (head.status, dict(head.headers)[b"x-tokenman-error"]) == (502, b"upstream")
    assert len(came) < 1000


async def test_a_long_error_that_is_the_last_answer_passes_whole() -> None:
    head, came = await World({"a": [(400, JSON, [b"x" * (1 << 20)] * 2)]}, routes=()).carry(call())
    assert (head.status, len(came)) == (400, 2 << 20)


# -- stages --


async def test_a_later_attempt_that_a_stage_refuses_leaves_the_providers_answer() -> None:
    refuses = Notes({2: Refuse(429, "budget", "spent")})
    world, made = World({"a": [said(503)]}, refuses, routes=()), call()
    head, came = await world.carry(made)
    assert (head.status, came) == (503, NO)
    assert dict(head.headers)[b"x-tokenman-attempts"] == b"1"
    check_stages(world, 2)
    assert [tried.outcome for tried in record_of(made, 1.0).tried] == ["server_error", "not_sent"]


async def test_a_first_attempt_that_a_stage_refuses_is_that_refusal() -> None:
    world = World({"a": [GOOD]}, Notes({1: Refuse(429, "budget", "spent")}))
    head, _ = await world.carry(call())
    assert (head.status, dict(head.headers)[b"x-tokenman-error"]) == (429, b"budget")
    assert not world.upstream.requests
    check_stages(world, 1)


async def test_where_the_rest_is_skipped_the_last_answer_is_the_answer() -> None:
    world, made = World({"a": [said(500)], "b": [GOOD]}, Notes({2: Skip("rest", "breaker", 9.0)})), call()
    head, came = await world.carry(made)
    assert (head.status, came) == (500, NO)
    assert dict(head.headers)[b"x-tokenman-provider"] == b"a"
    assert record_of(made, 1.0).provider == "a"


async def test_where_all_is_skipped_the_client_is_told_when_to_come_back() -> None:
    skips = Notes({1: Skip("wait"), 2: Skip("rest", "breaker", 9.0)})
    head, _ = await World({}, skips).carry(call())
    told = dict(head.headers)
    assert (head.status, told[b"x-tokenman-error"], told[b"retry-after"]) == (503, b"breaker", b"9")
    assert told[b"x-tokenman-attempts"] == b"0"
    head, _ = await World({}, Notes({1: Skip("wait"), 2: Skip("wait")})).carry(call())
    assert (head.status, dict(head.headers)[b"x-tokenman-error"]) == (503, b"upstream")


# -- whoever leaves --


async def left_at(world: World, made: Exchange, moment: asyncio.Event) -> None:
    """A client that leaves at a moment."""

    async def taken() -> None:
        async with aclosing(world.conductor.answer(made)) as parts:
            async for _ in parts:
                pass

    task = asyncio.create_task(taken())
    await moment.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await world.finish(made)


async def test_who_leaves_during_a_wait_ends_it_at_once_and_nothing_more_is_sent() -> None:
    moment = asyncio.Event()

    async def sleep(seconds: float) -> None:
        moment.set()
        await asyncio.Event().wait()

    world, made = World({"a": [said(503)]}, routes=(), sleep=sleep), call()
    await left_at(world, made, moment)
    assert len(world.upstream.requests) == 1
    check_stages(world, 1)


@pytest.mark.parametrize(
    "answer", [STALL, (200, JSON, [SAID[:9], STALL]), (200, SSE, [PING, STALL]), (503, JSON, [STALL])]
)
async def test_who_leaves_during_an_attempt_closes_and_settles_it_once(answer: Any) -> None:
    world, made = World({"a": [answer], "b": [GOOD]}), call()
    await left_at(world, made, world.upstream.asked)
    assert len(world.upstream.requests) == 1
    check_stages(world, 1)


@pytest.mark.parametrize(
    "first", [(200, JSON, [b"x" * 4000, UpstreamError("reset", "")]), UpstreamError("reset", "", stale=True)]
)
async def test_what_an_earlier_try_left_behind_is_not_told_of_the_one_that_was_left(first: Any) -> None:
    world, made, moment = World({"a": [first, STALL], "b": [STALL]}), call(), asyncio.Event()
    world.upstream.asked = Second(moment)
    await left_at(world, made, moment)
    attempt = made.attempts[-1]
    assert (len(world.upstream.requests), attempt.failure) == (2, None)
    assert attempt.bill is not None
    assert attempt.bill.usage.output == 0


class Second(asyncio.Event):
    """Sets another event when it is set for the second time."""

    def __init__(self, then: asyncio.Event) -> None:
        super().__init__()
        self._then = then

    def set(self) -> None:
        if self.is_set():
            self._then.set()
        super().set()


# -- what is booked, and measured --


@pytest.mark.parametrize(
    ("answer", "booked"),
    [
        (said(503), False),
        (UpstreamError("reset", ""), False),
        ((200, SSE, [OVERLOADED]), False),
        ((200, JSON, [SAID[:40], UpstreamError("reset", "")]), True),  # it worked, and will send a bill
        ((200, SSE, [PING, UpstreamError("reset", "")]), True),
    ],
)
async def test_an_attempt_that_failed_is_booked_if_its_provider_had_begun_to_answer(answer: Any, booked: bool) -> None:
    world, made = World({"a": [answer], "b": [GOOD]}), call()
    await world.carry(made)
    bill = made.attempts[0].bill
    assert (bill is not None) is booked
    assert bill is None or (bill.estimated and bill.usage.input > 0)
    assert made.attempts[-1].bill is not None
    assert not made.attempts[-1].bill.estimated


async def test_waits_are_no_overhead_and_the_first_attempt_is_when_it_was_sent() -> None:
    world, made = World({"a": [said(503), said(503), GOOD]}, routes=()), call()
    made.times.complete = world.clock.monotonic()
    await world.carry(made)
    record = record_of(made, world.clock.monotonic())
    assert (record.overhead, record.duration) == (0.0, sum(world.waits))
    assert record.ttft == sum(world.waits)
    assert [(tried.outcome, tried.wait) for tried in record.tried] == [
        ("server_error", 0.0), ("server_error", 0.25), ("ok", 0.5),
    ]  # fmt: skip


@pytest.mark.parametrize("answer", [(204, (), []), (200, ((b"content-type", b"audio/mpeg"),), [b"a", b"b"])])
async def test_answers_of_no_text_pass_after_a_failure(answer: Any) -> None:
    head, came = await World({"a": [said(503), answer]}, routes=()).carry(call())
    assert (head.status, came) == (answer[0], b"".join(answer[2]))


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (b'{"message":"busy","type":"server_error","code":null}', 1),  # a 500
        (b'{"message":"busy","type":"server_error","code":503}', 3),
        (b'{"message":"busy","code":502}', 3),
        (b'{"message":"slow","type":"requests","code":"rate_limit_exceeded"}', 3),
        (b'{"message":"what?","type":"invalid_request_error"}', 1),
    ],
)
async def test_a_chat_stream_that_begins_with_an_error_is_judged_by_its_name(error: bytes, tries: int) -> None:
    stream = b'data: {"error":%s}\n\n' % error
    world = World({"c": [(200, SSE, [stream])]}, routes=(), providers=[provider("c", "openai")])
    made = call(STREAMED, dialect="openai", path="/v1/chat/completions", named="c")
    _, came = await world.carry(made)
    assert (came, len(world.upstream.requests)) == (stream, tries)


async def test_a_gemini_stream_that_begins_with_an_error_is_judged_by_its_status() -> None:
    stream = b'data: {"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}\n\n'
    world = World({"g": [(200, SSE, [stream])]}, routes=(), providers=[provider("g", "gemini")])
    made = call(b'{"contents":[]}', dialect="gemini", path="/v1beta/models/m:streamGenerateContent", named="g")
    _, came = await world.carry(made)
    assert (came, len(world.upstream.requests)) == (stream, 3)


# -- what is recorded of an error that a provider told in its stream --


def chat_error(code: str) -> bytes:
    return b'data: {"error":{"message":"no","type":"x","code":"%s"}}\n\n' % code.encode()


@pytest.mark.parametrize("spoke", [False, True])
@pytest.mark.parametrize(
    ("error", "recorded"),
    [
        ("overloaded_error", ("broken", "upstream", 200)),
        ("api_error", ("broken", "upstream", 200)),
        ("timeout_error", ("broken", "timeout", 200)),
        ("rate_limit_error", ("answered", None, 429)),
    ],
)
async def test_an_error_event_that_is_the_last_word_is_recorded_for_what_it_stands_for(
    spoke: bool, error: str, recorded: Any
) -> None:
    """As an answer with that status would be: what a model could not do failed, what a caller may not have was turned down."""
    words = [START, WORD] if spoke else []
    world = World({"a": [(200, SSE, [PING, *words, error_event(error)])]}, routes=(), rules=Rules(attempts=1))
    made = call(STREAMED, status=200)  # as the head that went out first had it
    head, body = await world.carry(made)
    assert (head.status, body) == (200, b"".join([PING, *words, error_event(error)]))
    record = record_of(made, 0.0)
    assert (record.outcome, record.error, record.status) == recorded
    told = "broken" if spoke else "server_error"
    assert record.tried[0].outcome == (told if recorded[1] else "ok" if spoke else "rate_limited")


@pytest.mark.parametrize(("spoke", "recorded"), [(False, ("answered", 400)), (True, ("broken", 200))])
async def test_an_error_of_no_name_is_the_callers_doing_before_the_answer_and_the_providers_behind_it(
    spoke: bool, recorded: Any
) -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
    words = [chunk] if spoke else []
    world = World(
        {"a": [(200, SSE, [*words, chat_error("strange")])]},
        routes=(),
        providers=[provider("a", "openai", stream_usage=False)],
    )
    made = call(STREAMED, path="/v1/chat/completions", dialect="openai", status=200)
    await world.carry(made)
    record = record_of(made, 0.0)
    assert (record.outcome, record.status) == recorded
