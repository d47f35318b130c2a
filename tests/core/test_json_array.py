"""Streams that are one JSON array: each element goes out when it is whole, and however the stream ends, it ends as JSON."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_conductor import Masks, Upstream, carry, conducting, exchange
from tokenman_core.clock import ManualClock
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Exchange
from tokenman_core.json_array import ArrayParser, Element
from tokenman_core.net import UpstreamError
from tokenman_core.sse import SseError
from tokenman_core.stages import Link, Stages

HEADERS = ((b"content-type", b"application/json; charset=UTF-8"),)
PATH = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
USED = {"promptTokenCount": 3, "candidatesTokenCount": 2}


def chunk(text: str, finish: str | None = None) -> bytes:
    said = {"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}
    value = {"candidates": [said | ({"finishReason": finish} if finish else {})], "usageMetadata": USED}
    return json.dumps(value, indent=2).encode()


FIRST, SECOND, LAST = chunk('a ["{ [A_1]'), chunk("b \\"), chunk("", "STOP")
WHOLE = b"[" + FIRST + b"\n,\r\n" + SECOND + b",\n" + LAST + b"\n]\n"


def call() -> Exchange:
    made = exchange(b'{"contents": [{"parts": [{"text": "secret"}]}]}')
    made.dialect = DIALECTS["gemini"]
    made.sent = replace(made.sent, path=PATH, query="")
    made.operation = made.dialect.operation("POST", PATH)
    return made


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.text(max_size=5) | st.integers(),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=3), one, max_size=3),
)


@given(st.lists(VALUES), st.integers(1, 9), st.booleans())
def test_an_array_is_cut_into_its_elements_and_no_byte_is_lost(values: list[Any], size: int, indented: bool) -> None:
    data = json.dumps(values, indent=2 if indented else None, ensure_ascii=False).encode() + b" \n"
    parser = ArrayParser()
    events = [event for at in range(0, len(data), size) for event in parser.feed(data[at : at + size])]
    events += parser.finish()
    assert parser.closed
    assert b"".join(event.raw for event in events) + parser.tail == data
    assert [json.loads(event.data or b"") for event in events] == [one for one in values if type(one) in (list, dict)]


def test_what_is_no_array_is_one_event_and_what_is_too_large_is_refused() -> None:
    parser = ArrayParser()
    assert parser.feed(b' {"error": ') + parser.feed(b'{"code": 400}}') == []
    (only,) = parser.finish()
    assert (only.kind, only.raw) == ("whole", b' {"error": {"code": 400}}')
    for large in (b'[{"a": "' + b"x" * 200, b"{" + b"x" * 200, b"[" * 200):
        with pytest.raises(SseError):
            ArrayParser(100).feed(large)


@pytest.mark.parametrize("stages", [[], [Masks()]])
async def test_a_whole_stream_passes_as_it_came_with_its_values(stages: list[object]) -> None:
    wanted = WHOLE.replace(b"[A_1]", b"secret") if stages else WHOLE
    for size in (1, 7, len(WHOLE)):
        it = call()
        pieces = [WHOLE[at : at + size] for at in range(0, len(WHOLE), size)]
        head, body, parts = await carry(Upstream((200, HEADERS, pieces)), it, *stages)
        assert body == wanted
        assert dict(head.headers)[b"content-type"] == HEADERS[0][1]
        assert b"content-length" not in dict(head.headers)
        assert it.outcome == "answered"
        assert it.attempts[0].usage is not None
        assert (it.attempts[0].usage.input, it.attempts[0].usage.output) == (3, 2)
        if size == 1:  # one part an element, and the end
            assert [bytes(part).strip(b"[\r\n, ")[:1] for part in parts[1:]] == [b"{", b"{", b"{", b"]"]


async def test_each_element_is_given_before_the_next_one_is_asked_for() -> None:
    seen: list[bytes] = []
    before: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        for piece in (b"[" + FIRST, b"," + SECOND[:9], SECOND[9:], b"," + LAST, b"]"):
            yield piece
            before.append(b"".join(seen))

    conductor, meter = conducting(
        Stages([Link.of(Masks(), "Masks")], ManualClock()), Upstream((200, HEADERS, pieces()))
    )
    it = call()
    async for part in conductor.answer(it):
        if isinstance(part, bytes):
            seen.append(part)
    first, second, last = (one.replace(b"[A_1]", b"secret") for one in (b"[" + FIRST, b"," + SECOND, b"," + LAST))
    assert before == [first, first, first + second, first + second + last, first + second + last]
    assert b"".join(seen) == first + second + last + b"]"
    await conductor.settle(it)
    meter.close()


@pytest.mark.parametrize("stages", [[], [Masks()]])
async def test_a_stream_that_is_cut_ends_with_an_error_in_an_array_that_is_whole(stages: list[object]) -> None:
    for came in (
        [b"[" + FIRST],
        [b"[" + FIRST + b"," + SECOND[:20]],
        [b"[" + FIRST + b"]"],  # no end of its own
        [b"[" + FIRST + b"," + LAST],  # no end of the array
        [b"[" + FIRST, UpstreamError("reset", "cut")],
        [b"[" + FIRST + b", ", UpstreamError("timeout", "idle", deadline="idle")],
    ):
        it = call()
        _, body, _ = await carry(Upstream((200, HEADERS, came)), it, *stages)
        said = json.loads(body)
        assert said[0] == json.loads(FIRST.replace(b"[A_1]", b"secret") if stages else FIRST)
        assert list(said[-1]) == ["error"], came
        assert said[-1]["error"]["status"] in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL")
        assert it.outcome == "broken"


async def test_an_error_of_the_providers_passes_and_is_no_break_of_ours() -> None:
    error = b'{"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}'
    for data in (b"[" + FIRST + b",\n" + error + b"]", b"[" + FIRST + b",\n[" + error + b"]]"):
        it = call()
        _, body, _ = await carry(Upstream((200, HEADERS, [data])), it)
        assert body == data
        assert it.outcome == "broken"
    it = call()
    _, body, _ = await carry(Upstream((200, HEADERS, [b"[" + FIRST + b",\n[" + error + b"]"])), it)
    assert json.loads(body)[-1] == [json.loads(error)]
    it = call()
    _, body, _ = await carry(Upstream((200, HEADERS, [b"[" + error + b"]"])), it)
    assert json.loads(body)


def test_a_text_that_was_held_back_is_an_element_of_its_own() -> None:
    reader = DIALECTS["gemini"].reader(call().operation)
    element = Element(b"[", FIRST)
    reader.read(element)
    (slot,) = element.slots
    made = reader.piece(slot.channel, "rest é")
    assert made is not None
    (value,) = json.loads(b"[" + made.raw.removeprefix(b",") + b"]")
    assert value["candidates"][0]["content"]["parts"] == [{"text": "rest é"}]
