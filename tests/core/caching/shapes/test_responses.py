"""The Responses API in its other shape: every kind of item that is known, and nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.caching.shapes import sdk
from tests.core.caching.shapes.made import COUNTS, OBJECTS, SOME, TEXTS, VALUES, extras, objects
from tests.core.caching.shapes.said import Said
from tests.core.caching.shapes.telling import exact, reading, stream_of, streamed, told, whole
from tests.core.dialects.streams import RESPONSE_USAGE, running

TOKEN = objects({"token": TEXTS, "logprob": st.floats(-9, 0), "bytes": st.just([]), "top_logprobs": st.just([])})
TOLD = {"annotations": st.lists(OBJECTS, max_size=2)}
PARTS = st.one_of(
    objects(
        {"type": "output_text", "text": TEXTS} | TOLD, {"logprobs": st.lists(TOKEN, max_size=3), **extras("later")}
    ),
    objects({"type": "refusal", "refusal": TEXTS}),
)
STATUS = {"status": st.sampled_from(["completed", "incomplete"])}
SUMMARIES = st.lists(objects({"type": "summary_text", "text": TEXTS}), max_size=2)
THOUGHTS = st.lists(objects({"type": "reasoning_text", "text": TEXTS}), max_size=2)
MAYBE = st.none() | TEXTS
LISTS = st.lists(OBJECTS, max_size=2)


def items(kind: str, needed: dict[str, Any], more: dict[str, Any] | None = None) -> st.SearchStrategy[Any]:
    return objects({"id": SOME, "type": kind, **needed}, more or {})


CALLED = {"call_id": SOME, "name": SOME}
DONE = {"status": "completed"}
ITEMS = st.one_of(
    items("message", {"role": "assistant", "content": st.lists(PARTS, max_size=3)}, STATUS | extras("phase")),
    items("reasoning", {"summary": SUMMARIES}, {"content": st.none() | THOUGHTS, "encrypted_content": MAYBE}),
    items("function_call", CALLED | {"arguments": TEXTS}, STATUS | extras("namespace")),
    items("custom_tool_call", CALLED | {"input": TEXTS}, STATUS),
    items("web_search_call", DONE | {"action": OBJECTS}),
    items("file_search_call", DONE | {"queries": st.lists(TEXTS), "results": st.none() | LISTS}),
    items("code_interpreter_call", DONE | {"code": MAYBE, "outputs": st.none() | LISTS, "container_id": SOME}),
    items("image_generation_call", DONE | {"result": TEXTS}),
    items("mcp_call", {"server_label": SOME, "name": SOME, "arguments": TEXTS, "output": MAYBE, "error": MAYBE}),
    items("mcp_list_tools", {"server_label": SOME, "tools": LISTS}, {"error": MAYBE}),
    *(
        items(kind, {}, extras("action", "arguments") | STATUS)
        for kind in (
            "mcp_approval_request",
            "computer_call",
            "local_shell_call",
            "tool_search_call",
            "tool_search_output",
        )
    ),
    items("compaction", {"encrypted_content": SOME}),
)
USAGES = objects({"input_tokens": COUNTS, "output_tokens": COUNTS, "total_tokens": COUNTS})
RESPONSES = objects(
    {
        "id": SOME,
        "object": "response",
        "created_at": COUNTS,
        "error": st.none(),
        "incomplete_details": st.none() | OBJECTS,
        "model": SOME,
        "output": st.lists(ITEMS, max_size=4),
    }
    | STATUS,
    {
        "usage": st.none() | USAGES,
        "completed_at": COUNTS,
        **extras("instructions", "tools", "metadata", "temperature"),
    },
)


@given(RESPONSES)
def test_any_response_survives_the_way_there_and_back(response: dict[str, Any]) -> None:
    stream = streamed("openai", "responses", response)
    assert stream is not None
    assert exact(told(whole("openai", "responses", stream.body))) == exact(response)


@given(RESPONSES)
def test_the_reader_finds_the_texts_and_closes_them(response: dict[str, Any]) -> None:
    stream = streamed("openai", "responses", response)
    assert stream
    reader, events = reading("openai", "responses", stream.body, True)
    plain, _ = reading("openai", "responses", json.dumps(response).encode(), False)
    assert (reader.finished, reader.failed, reader.usage, reader.model) == (True, None, plain.usage, plain.model)
    texts = running(events)
    for index, item in enumerate(response["output"]):
        for at, part in enumerate(item.get("content") or []) if item["type"] == "message" else ():
            name = {"output_text": "text", "refusal": "refusal"}[part["type"]]
            assert texts.get(f"response.{part['type']}@{index}.{at}", "") == part[name]
        if item["type"] == "function_call":
            assert texts.get(f"response.function_call_arguments@{index}", "") == item["arguments"]
    opened = {slot.channel for event in events for slot in event.slots if slot.channel}
    assert opened == {channel for event in events for channel in event.closes}


@given(RESPONSES)
def test_the_numbers_of_the_events_go_up_one_by_one(response: dict[str, Any]) -> None:
    stream = streamed("openai", "responses", response)
    assert stream
    events = events_of(stream.body)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    added = [event["output_index"] for event in events if event["type"] == "response.output_item.added"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert added == list(range(len(response["output"])))
    assert exact(done) == exact(response["output"])


def events_of(body: bytes) -> list[Any]:
    return [json.loads(block.partition(b"\ndata: ")[2]) for block in body.split(b"\n\n") if block]


def item(kind: str, **members: Any) -> Any:
    return {"id": f"{kind}_1", "type": kind, "status": "completed", **members}


CITED = {"type": "url_citation", "url": "https://a.example", "title": "t", "start_index": 0, "end_index": 2}
ANSWER = {"type": "output_text", "text": "It is so.", "annotations": [CITED], "logprobs": []}
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "completed_at": 2,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": "Be brief.",
    "model": "gpt-x",
    "output": [
        {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "c2VhbGVk"},
        item("web_search_call", action={"type": "search", "query": "q"}),
        item("file_search_call", queries=["q"], results=None),
        item("code_interpreter_call", code="1 + 1", outputs=None, container_id="cntr_1"),
        item("image_generation_call", result="iVBORw0KGgo="),
        item("mcp_call", server_label="s", name="f", arguments='{"a":1}', output="x", error=None),
        item("custom_tool_call", call_id="call_2", name="patch", input="*** a"),
        item("function_call", call_id="call_1", name="shell", arguments='{"command":["ls"]}'),
        item("message", role="assistant", content=[ANSWER, {"type": "refusal", "refusal": "No more."}]),
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": RESPONSE_USAGE,
}  # fmt: skip


def test_the_official_package_puts_the_same_response_together_that_it_reads_plain() -> None:
    plain = sdk.response(Said(json.dumps(RESPONSE).encode(), sdk.JSON))
    made, kinds = sdk.response_stream(Said.shown(streamed("openai", "responses", RESPONSE)))
    assert _bare(made) == _bare(plain)
    assert kinds == [
        "response.created",
        "response.in_progress",
        *_of(
            "reasoning_summary_part.added", "reasoning_summary_text.delta", "reasoning_summary_text.done",
            "reasoning_summary_part.done",
        ),
        *_of("web_search_call.in_progress", "web_search_call.searching", "web_search_call.completed"),
        *_of("file_search_call.in_progress", "file_search_call.searching", "file_search_call.completed"),
        *_of(
            "code_interpreter_call.in_progress", "code_interpreter_call_code.delta", "code_interpreter_call_code.done",
            "code_interpreter_call.interpreting", "code_interpreter_call.completed",
        ),
        *_of("image_generation_call.in_progress", "image_generation_call.generating", "image_generation_call.completed"),
        *_of("mcp_call.in_progress", "mcp_call_arguments.delta", "mcp_call_arguments.done", "mcp_call.completed"),
        *_of("custom_tool_call_input.delta", "custom_tool_call_input.done"),
        *_of("function_call_arguments.delta", "function_call_arguments.done"),
        *_of(
            "content_part.added", "output_text.delta", "output_text.annotation.added", "output_text.done", "content_part.done",
            "content_part.added", "refusal.delta", "refusal.done", "content_part.done",
        ),
        "response.completed",
    ]  # fmt: skip


def _of(*inner: str) -> list[str]:
    return [f"response.{kind}" for kind in ("output_item.added", *inner, "output_item.done")]


def _bare(value: Any) -> Any:
    """Without what the package's own types add."""
    if isinstance(value, dict):
        return {key: _bare(item) for key, item in value.items() if item is not None and not key.startswith("parsed")}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def test_a_response_begins_empty_and_ends_whole() -> None:
    stream = streamed("openai", "responses", RESPONSE)
    assert stream
    created, running_now, *events = events_of(stream.body)
    empty = {"status": "in_progress", "output": [], "usage": None, "completed_at": None}
    assert created == {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, **empty}}
    assert running_now == {**created, "type": "response.in_progress", "sequence_number": 1}
    assert events[-1] == {"type": "response.completed", "sequence_number": len(events) + 1, "response": RESPONSE}
    added = [event["item"] for event in events if event["type"] == "response.output_item.added"]
    assert added[0] == {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": None}
    assert added[-2] == {**RESPONSE["output"][-2], "status": "in_progress", "arguments": ""}
    assert added[-1] == {**RESPONSE["output"][-1], "status": "in_progress", "content": []}
    parts = [event["part"] for event in events if event["type"] == "response.content_part.added"]
    assert parts == [{**ANSWER, "text": "", "annotations": []}, {"type": "refusal", "refusal": ""}]


def test_what_is_null_in_the_end_is_null_from_the_beginning() -> None:
    stream = streamed("openai", "responses", {**RESPONSE, "output": [{**RESPONSE["output"][0], "content": None}]})
    assert stream
    assert events_of(stream.body)[2]["item"]["content"] is None


def test_an_answer_that_was_cut_short_ends_as_one() -> None:
    response = {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    stream = streamed("openai", "responses", response)
    assert stream
    assert events_of(stream.body)[-1]["type"] == "response.incomplete"
    assert told(whole("openai", "responses", stream.body)) == response


EVENTS: list[Any] = [
    {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": []}},
    {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": {**RESPONSE["output"][0], "encrypted_content": "eA=="},
    },
    {"type": "response.some_new_item.delta", "output_index": 0, "delta": "x"},
    {
        "type": "response.output_item.done",
        "output_index": 0,
        "item": {**RESPONSE["output"][0], "encrypted_content": "eQ=="},
    },
    {"type": "response.output_item.done", "output_index": 1, "item": RESPONSE["output"][7]},
    {"type": "response.completed", "response": {**RESPONSE, "output": [RESPONSE["output"][0], RESPONSE["output"][7]]}},
]


@pytest.mark.parametrize("tail", [b"", b"data: [DONE]\n\n"])
def test_the_response_at_the_end_is_the_answer_whatever_was_told_before(tail: bytes) -> None:
    assert told(whole("openai", "responses", stream_of(*EVENTS) + tail)) == EVENTS[-1]["response"]


def end(**members: Any) -> list[Any]:
    return [*EVENTS[:-1], {**EVENTS[-1], "response": {**EVENTS[-1]["response"], **members}}]


STRANGE_STREAMS: dict[str, list[Any]] = {
    "an error": [*EVENTS[:-1], {"type": "error", "code": "server_error", "message": "x"}, EVENTS[-1]],
    "a failure": [*EVENTS[:-1], {"type": "response.failed", "response": {**RESPONSE, "status": "failed"}}],
    "an event that is none of a response": [*EVENTS[:-1], {"type": "codex.rate_limits"}, EVENTS[-1]],
    "an error beside an event": [{**EVENTS[0], "error": {"message": "x"}}, *EVENTS[1:]],
    "no end": EVENTS[:-1],
    "something behind the end": [*EVENTS, EVENTS[2]],
    "an end of another status": end(status="failed"),
    "an end with a status in another form": end(status=["completed"]),
    "a number in another form": [*EVENTS[:4], {**EVENTS[4], "output_index": True}, EVENTS[5]],
    "an end that is another": [*EVENTS[:-1], {**EVENTS[-1], "type": "response.incomplete"}],
    "an end with an error": end(error={"code": "x", "message": "x"}),
    "an end without its items": end(output=[]),
    "an end without items at all": end(output=None),
    "an end with an item that was not told": end(output=RESPONSE["output"][:3]),
    "an end with the items in another order": end(output=EVENTS[-1]["response"]["output"][::-1]),
    "an end that is no response": end(object="realtime.response"),
    "items that skip a number": [*EVENTS[:4], {**EVENTS[4], "output_index": 2}, EVENTS[5]],
    "an item that is none": [*EVENTS[:4], {**EVENTS[4], "item": None}, EVENTS[5]],
    "an event without a type": [*EVENTS[:1], {"type": 3}, *EVENTS[1:]],
    "nothing": [],
}  # fmt: skip


@pytest.mark.parametrize("events", STRANGE_STREAMS.values(), ids=STRANGE_STREAMS)
def test_a_stream_that_is_not_known_for_certain_is_not_told_whole(events: list[Any]) -> None:
    assert whole("openai", "responses", stream_of(*events)) is None


def having(*items: Any, **members: Any) -> Any:
    return {**RESPONSE, "output": list(items), **members}


MESSAGE = RESPONSE["output"][-1]
STRANGE_RESPONSES: dict[str, Any] = {
    "an error": {"error": {"message": "x"}},
    "an error in it": {**RESPONSE, "error": {"code": "x", "message": "x"}},
    "one that failed": {**RESPONSE, "status": "failed"},
    "one that still runs": {**RESPONSE, "status": "in_progress"},
    "one that waits": {**RESPONSE, "status": "queued"},
    "one without a status": {**RESPONSE, "status": None},
    "a status in another form": {**RESPONSE, "status": ["completed"]},
    "a compaction of a conversation": {**RESPONSE, "object": "response.compaction"},
    "items that are none": {**RESPONSE, "output": None},
    "an item that is none": having("x"),
    "an item that nobody has heard of": having(item("dance")),
    "commands of a shell": having(item("shell_call", action={"commands": ["ls"]})),
    "a message without an id": having({**MESSAGE, "id": None}),
    "a message that is text": having({**MESSAGE, "content": "x"}),
    "a part that nobody has heard of": having({**MESSAGE, "content": [{"type": "dance"}]}),
    "a text that is none": having({**MESSAGE, "content": [{**ANSWER, "text": None}]}),
    "something cited that is none": having({**MESSAGE, "content": [{**ANSWER, "annotations": ["x"]}]}),
    "probabilities that are none": having({**MESSAGE, "content": [{**ANSWER, "logprobs": ["x"]}]}),
    "a thought in another form": having({**RESPONSE["output"][0], "summary": [{"type": "dance", "text": "x"}]}),
    "thoughts in another form": having({**RESPONSE["output"][0], "content": [{"type": "dance", "text": "x"}]}),
    "arguments that are no text": having({**RESPONSE["output"][7], "arguments": {"a": 1}}),
    "a search that failed": having({**RESPONSE["output"][1], "status": "failed"}),
    "a run that failed": having({**RESPONSE["output"][3], "status": "failed"}),
}


@pytest.mark.parametrize("response", STRANGE_RESPONSES.values(), ids=STRANGE_RESPONSES)
def test_a_response_that_is_not_known_for_certain_is_not_told_as_a_stream(response: Any) -> None:
    assert streamed("openai", "responses", response) is None


@given(st.lists(VALUES, max_size=2), st.sampled_from(sorted({one["type"] for one in RESPONSE["output"]})), OBJECTS)
def test_whatever_comes_is_told_or_not_told_and_nothing_is_raised(items: list[Any], kind: str, strange: Any) -> None:
    streamed("openai", "responses", having(*items))
    streamed("openai", "responses", having({**strange, "type": kind, "id": "x"}))
