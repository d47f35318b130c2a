"""The Messages API in its other shape: block by block, and nothing that is not known."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.caching.shapes import sdk
from tests.core.caching.shapes.made import COUNTS, OBJECTS, SOME, TEXTS, extras, objects
from tests.core.caching.shapes.said import Said
from tests.core.caching.shapes.telling import exact, reading, stream_of, streamed, told, whole
from tests.core.dialects.streams import ANTHROPIC_EVENTS, running

CITATION = {"type": "char_location", "cited_text": "é", "document_index": 0, "start_char_index": 0, "end_char_index": 1}
SEARCH = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [{"type": "web_search_result", "url": "https://a.example", "title": "t", "encrypted_content": "c2Vh"}],
}

BLOCKS = st.one_of(
    objects({"type": "text", "text": TEXTS}, {"citations": st.none() | st.lists(st.just(CITATION), max_size=3), **extras("later")}),
    objects({"type": "thinking", "thinking": TEXTS}, {"signature": st.sampled_from(["", "c2ln" * 9])}),
    objects({"type": "redacted_thinking", "data": TEXTS}),
    objects(
        {"type": st.sampled_from(["tool_use", "server_tool_use", "mcp_tool_use"]), "id": SOME, "name": SOME, "input": OBJECTS},
        extras("caller"),
    ),
    st.just(SEARCH),
    objects({"type": "code_execution_tool_result", "tool_use_id": SOME, "content": OBJECTS}),
)  # fmt: skip
USAGES = objects(
    {"input_tokens": COUNTS, "output_tokens": COUNTS},
    {
        "cache_creation_input_tokens": COUNTS | st.none(),
        "cache_read_input_tokens": COUNTS,
        "cache_creation": objects({"ephemeral_5m_input_tokens": COUNTS}),
        "server_tool_use": st.none() | objects({"web_search_requests": COUNTS}),
        "output_tokens_details": st.none() | objects({"thinking_tokens": COUNTS}),
        "service_tier": "standard",
        "inference_geo": "us",
    },
)
MESSAGES = objects(
    {"id": SOME, "type": "message", "role": "assistant", "model": SOME, "content": st.lists(BLOCKS, max_size=4),
     "stop_reason": st.sampled_from(["end_turn", "max_tokens", "tool_use", "stop_sequence"]),
     "stop_sequence": st.none() | SOME, "usage": USAGES},
    {"container": st.none() | objects({"id": SOME, "expires_at": "2026-01-01T00:00:00Z"}),
     "stop_details": st.none() | objects({"type": "refusal"}),
     "context_management": st.none() | objects({"applied_edits": st.just([])}), **extras("diagnostics", "invented")},
)  # fmt: skip


@given(MESSAGES, st.booleans())
def test_any_message_survives_the_way_there_and_back(message: dict[str, Any], ascii_only: bool) -> None:
    stream = streamed("anthropic", "messages", json.dumps(message, ensure_ascii=ascii_only).encode())
    assert stream is not None
    assert exact(told(whole("anthropic", "messages", stream.body))) == exact(message)


@given(MESSAGES)
def test_the_reader_finds_the_texts_and_the_inputs_of_the_blocks(message: dict[str, Any]) -> None:
    stream = streamed("anthropic", "messages", message)
    assert stream
    reader, events = reading("anthropic", "messages", stream.body, True)
    plain, _ = reading("anthropic", "messages", json.dumps(message).encode(), False)
    assert (reader.finished, reader.failed, reader.usage, reader.model) == (True, None, plain.usage, plain.model)
    texts = running(events)
    for index, block in enumerate(message["content"]):
        if block["type"] in ("text", "thinking"):
            assert texts.get(str(index), "") == block[block["type"]]
        elif "input" in block:
            assert exact(json.loads(texts[str(index)])) == exact(block["input"])


MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [
        {"type": "thinking", "thinking": "", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "c2VhbGVk"},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
        SEARCH,
        {"type": "text", "text": "As it says", "citations": [CITATION, CITATION]},
        {"type": "text", "text": ".", "citations": []},
        {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "stop_details": None,
    "container": {"id": "container_1", "expires_at": "2026-01-01T00:00:00Z"},
    "usage": {
        "input_tokens": 3, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 20,
        "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6}, "output_tokens": 99,
        "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0}, "service_tier": "standard",
    },
}  # fmt: skip


def test_the_official_package_puts_the_same_message_together_that_it_reads_plain() -> None:
    plain = sdk.message(Said(json.dumps(MESSAGE).encode(), sdk.JSON))
    message, events = sdk.message_stream(Said.shown(streamed("anthropic", "messages", MESSAGE)))
    assert _bare(message) == _bare(plain)
    assert _bare(message) == _bare(MESSAGE)
    assert (events[0], events[-2:]) == ("message_start", ["message_delta", "message_stop"])


def _bare(value: Any) -> Any:
    """Without the nulls and the parsed output that the package's own types add."""
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if item is not None and key != "parsed_output"}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def test_the_events_are_those_of_the_provider() -> None:
    """As documented at https://docs.anthropic.com/en/docs/build-with-claude/streaming."""
    message = {**MESSAGE, "content": [MESSAGE["content"][0], MESSAGE["content"][4], MESSAGE["content"][6]]}
    stream = streamed("anthropic", "messages", message)
    assert stream
    blocks = [block for block in stream.body.split(b"\n\n") if block]
    events = [json.loads(block.partition(b"\ndata: ")[2]) for block in blocks]
    assert [block.split(b"\n")[0].decode() for block in blocks] == [f"event: {one['type']}" for one in events]
    usage = message["usage"]
    early = {**usage, "output_tokens": 1, "server_tool_use": None}
    late = {"stop_reason": None, "stop_sequence": None, "stop_details": None, "container": None}
    text = {"type": "text", "text": "", "citations": []}
    tool = message["content"][2]

    def start(index: int, block: Any) -> Any:
        return {"type": "content_block_start", "index": index, "content_block": block}

    def delta(index: int, kind: str, name: str, value: Any) -> Any:
        return {"type": "content_block_delta", "index": index, "delta": {"type": kind, name: value}}

    def stop(index: int) -> Any:
        return {"type": "content_block_stop", "index": index}

    ending = {"stop_reason": "tool_use", "stop_sequence": None, "stop_details": None, "container": message["container"]}
    totals = {name: usage[name] for name in usage if name not in ("cache_creation", "service_tier")}
    assert events == [
        {"type": "message_start", "message": {**message, **late, "content": [], "usage": early}},
        start(0, {"type": "thinking", "thinking": "", "signature": ""}),
        {"type": "ping"},
        delta(0, "signature_delta", "signature", "c2ln"),
        stop(0),
        start(1, text),
        delta(1, "text_delta", "text", "As it says"),
        delta(1, "citations_delta", "citation", CITATION),
        delta(1, "citations_delta", "citation", CITATION),
        stop(1),
        start(2, tool),
        delta(2, "input_json_delta", "partial_json", ""),
        delta(2, "input_json_delta", "partial_json", "{}"),
        stop(2),
        {"type": "message_delta", "delta": ending, "usage": totals},
        {"type": "message_stop"},
    ]


# A whole stream, and what it is when one thing of it is another.
EVENTS = [one for one in ANTHROPIC_EVENTS if one["type"] != "message_delta"]
DELTA = {**ANTHROPIC_EVENTS[-2], "usage": {"output_tokens": 99}}
EVENTS.insert(-1, DELTA)


def test_the_arguments_of_the_cases_are_told_where_they_are_good() -> None:
    made = told(whole("anthropic", "messages", stream_of(*given('{"a":1,"b":0.25}'))))
    assert made["content"][2]["input"] == {"a": 1, "b": 0.25}


def test_the_stream_that_the_cases_change_is_told_whole() -> None:
    made = told(whole("anthropic", "messages", stream_of(*EVENTS)))
    assert [block["type"] for block in made["content"]] == ["thinking", "text", "tool_use"]
    assert made["content"][2]["input"] == {"cmd": "ls"}
    assert made["content"][1]["citations"] == [{"type": "char_location", "cited_text": "cited"}]
    assert made["usage"]["output_tokens"] == 99
    assert made["stop_reason"] == "tool_use"


@pytest.mark.parametrize("line", [": keep alive\n\n", 'event: ping\ndata: {"type": "ping"}\n\n', "\n\n", "id: 3\n\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_comments_and_pings_and_ends_of_lines_change_nothing(line: str, end: str) -> None:
    stream = stream_of(*EVENTS)
    between = line.encode()
    full = (between + stream.replace(b"\n\n", b"\n\n" + between, 3)).replace(b"\n", end.encode())
    assert exact(told(whole("anthropic", "messages", full))) == exact(told(whole("anthropic", "messages", stream)))


def change(at: int, **members: Any) -> list[Any]:
    return [*EVENTS[:at], {**EVENTS[at], **members}, *EVENTS[at + 1 :]]


def put(at: int, *events: Any) -> list[Any]:
    return [*EVENTS[:at], *events, *EVENTS[at:]]


def delta(index: int, **members: Any) -> Any:
    return {"type": "content_block_delta", "index": index, "delta": members}


def given(arguments: str) -> list[Any]:
    return [*EVENTS[:12], delta(2, type="input_json_delta", partial_json=arguments), *EVENTS[15:]]


START = EVENTS[0]["message"]
STRANGE_STREAMS: dict[str, list[Any]] = {
    "an event that nobody has heard of": put(2, {"type": "message_thought", "x": 1}),
    "an error": put(9, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    "a member beside an event's own": change(7, later=1),
    "a block that nobody has heard of": change(2, content_block={"type": "dance", "steps": 3}),
    "a fallback to another model": change(2, content_block={"type": "fallback", "from": {}, "to": {"model": "x"}}),
    "a delta that nobody has heard of": put(4, delta(0, type="dance_delta", step=1)),
    "a delta of another block's": put(8, delta(1, type="thinking_delta", thinking="x")),
    "a delta with more in it": put(8, delta(1, type="text_delta", text="x", later=1)),
    "a delta of what is not open": put(6, delta(0, type="thinking_delta", thinking="x")),
    "a delta of a block before": put(8, delta(0, type="thinking_delta", thinking="x")),
    "a delta of a block to come": put(8, delta(2, type="text_delta", text="x")),
    "a delta that is no text": put(8, delta(1, type="text_delta", text=None)),
    "a second signature": put(5, delta(0, type="signature_delta", signature="eA==")),
    "a block that does not end": EVENTS[:5] + EVENTS[6:],
    "a block that skips a number": change(6, index=2),
    "a number in another form": change(6, index=True),
    "a block that begins twice": put(6, EVENTS[6]),
    "blocks that are mixed": [*EVENTS[:5], EVENTS[6], EVENTS[5], *EVENTS[7:]],
    "a text that begins as none": change(6, content_block={"type": "text", "text": None}),
    "arguments that are no JSON": put(15, delta(2, type="input_json_delta", partial_json=",")),
    "arguments that say a key twice": given('{"a":1,"a":2}'),
    "arguments that are no object": given("[1]"),
    "arguments of a number that would change": given('{"a":0.12345678901234567890}'),
    "arguments told twice": change(11, content_block={**EVENTS[11]["content_block"], "input": {"a": 1}}),
    "no start": EVENTS[1:],
    "a second start": put(1, EVENTS[0]),
    "a start with content": change(0, message={**START, "content": [{"type": "text", "text": "x"}]}),
    "a start without usage": change(0, message={**START, "usage": None}),
    "a start of something else": change(0, message={**START, "type": "completion"}),
    "no end": EVENTS[:-1],
    "no reason to stop": EVENTS[:-2] + EVENTS[-1:],
    "a reason that is none": change(len(EVENTS) - 2, delta={"stop_reason": None}),
    "an end with a member that nobody has heard of": change(len(EVENTS) - 2, delta={**DELTA["delta"], "mood": "good"}),
    "an end with a member beside it that nobody has heard of": change(len(EVENTS) - 2, mood="good"),
    "an end before a block": [*EVENTS[:11], DELTA, *EVENTS[11:]],
    "an end that takes back": [*EVENTS[:-1], {**DELTA, "delta": {"stop_reason": None}}, EVENTS[-1]],
    "less tokens than before": change(len(EVENTS) - 2, usage={"output_tokens": 99, "input_tokens": 2}),
    "tokens that are no number": change(len(EVENTS) - 2, usage={"output_tokens": "99"}),
    "another tier than before": change(len(EVENTS) - 2, usage={"output_tokens": 99, "service_tier": "priority"}),
    "something behind the end": [*EVENTS, EVENTS[1], {"type": "message_stop"}],
    "nothing": [],
}  # fmt: skip


@pytest.mark.parametrize("events", STRANGE_STREAMS.values(), ids=STRANGE_STREAMS)
def test_a_stream_that_is_not_known_for_certain_is_not_told_whole(events: list[Any]) -> None:
    assert whole("anthropic", "messages", stream_of(*events)) is None


@pytest.mark.parametrize(
    "body",
    [
        stream_of(*EVENTS)[:-1],
        stream_of(*EVENTS)[:-40],
        stream_of(*EVENTS) + b"data: [DONE]\n\n",
        stream_of(*EVENTS).replace(b"event: content_block_stop", b"event: content_block_halt", 1),
        stream_of(*EVENTS).replace(b'"index": 1', b'"index": 1, "index": 1', 1),
        stream_of(*EVENTS).replace(b'"output_tokens": 99', b'"output_tokens": 99.00000000000000001'),
        b"data: [1]\n\n",
        b'{"type": "message"}',
        b"\xff\xfe",
        b"",
    ],
)
def test_bytes_that_are_no_whole_stream_are_not_told_whole(body: bytes) -> None:
    assert whole("anthropic", "messages", body) is None


def test_totals_may_be_told_more_than_once_and_grow() -> None:
    first = {**DELTA, "delta": {"stop_reason": None}, "usage": {"output_tokens": 50, "cache_read_input_tokens": None}}
    last = {**DELTA, "usage": {"output_tokens": 99, "input_tokens": 7, "server_tool_use": {"web_search_requests": 2}}}
    made = told(whole("anthropic", "messages", stream_of(*EVENTS[:-2], first, last, EVENTS[-1])))
    usage = START["usage"]
    assert made["usage"] == {
        **usage,
        "output_tokens": 99,
        "input_tokens": 7,
        "server_tool_use": {"web_search_requests": 2},
    }


CONTENT = MESSAGE["content"]
STRANGE_MESSAGES: dict[str, Any] = {
    "an error": {"type": "error", "error": {"type": "api_error", "message": "x"}},
    "another type": {**MESSAGE, "type": "completion"},
    "no reason to stop": {**MESSAGE, "stop_reason": None},
    "no usage": {key: item for key, item in MESSAGE.items() if key != "usage"},
    "tokens that are no number": {**MESSAGE, "usage": {**MESSAGE["usage"], "output_tokens": None}},
    "content that is no list": {**MESSAGE, "content": "x"},
    "a block that is none": {**MESSAGE, "content": ["x"]},
    "a block that nobody has heard of": {**MESSAGE, "content": [{"type": "dance"}]},
    "a block whose type is none": {**MESSAGE, "content": [{"type": ["text"]}]},
    "a compaction": {**MESSAGE, "content": [{"type": "compaction", "content": "x"}]},
    "a text that is none": {**MESSAGE, "content": [{"type": "text", "text": None}]},
    "a thought that is none": {**MESSAGE, "content": [{"type": "thinking", "thinking": "x", "signature": 3}]},
    "citations that are none": {**MESSAGE, "content": [{"type": "text", "text": "x", "citations": {"a": 1}}]},
    "a citation that is none": {**MESSAGE, "content": [{"type": "text", "text": "x", "citations": ["x"]}]},
    "an input that is no object": {**MESSAGE, "content": [{**CONTENT[6], "input": "x"}]},
    "a list": [MESSAGE],
}


@pytest.mark.parametrize("message", STRANGE_MESSAGES.values(), ids=STRANGE_MESSAGES)
def test_a_message_that_is_not_known_for_certain_is_not_told_as_a_stream(message: Any) -> None:
    assert streamed("anthropic", "messages", message) is None


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(MESSAGE).encode()[:-1],
        json.dumps(MESSAGE).replace('"id": "msg_1"', '"id": "msg_1", "id": "msg_1"').encode(),
        json.dumps(MESSAGE).replace('"q"', "1.00000000000000000000001").encode(),
        json.dumps(MESSAGE).replace('"q"', "1e999").encode(),
        json.dumps(MESSAGE).replace('"q"', "-0").encode(),
        json.dumps(MESSAGE).replace('"q"', "NaN").encode(),
        json.dumps(MESSAGE).replace('"q"', '"\\ud800"').encode(),
        json.dumps(MESSAGE).replace('"q"', "[" * 120 + "]" * 120).encode(),
        b"\xef\xbb\xbf" + json.dumps(MESSAGE).encode(),
    ],
)  # fmt: skip
def test_bytes_that_would_be_others_are_not_told_as_a_stream(body: bytes) -> None:
    assert streamed("anthropic", "messages", body) is None
