"""Which answers may be given again: as the providers give them, whole and streamed, and all the ways in which they are not."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from anthropic.types.beta import BetaMessage
from google.genai.types import GenerateContentResponse
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from addons.demo.provider import chat_api, code_assist, gemini_api, messages_api, responses_api
from addons.demo.provider.gemini_api import Call
from addons.demo.provider.script import Script, ToolCall
from addons.demo.provider.wire import Reply
from tests.core.caching.questions import CALLS
from tokenman_core.caching import keepable
from tokenman_core.caching.keepable import CALLS as CALLS_TOOL
from tokenman_core.caching.keepable import CUT, EMPTY, ERROR, EXPIRES, FILTERED, LIMIT, ODD, PAUSED, REFUSED
from tokenman_core.dialects.base import AnswerReader
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.usage import Usage

JSON, SSE = b"application/json; charset=utf-8", b"text/event-stream; charset=utf-8"


def judged(
    kind: str,
    body: bytes,
    stream: bool,
    *,
    status: int = 200,
    tool_calls: bool = False,
    content_type: bytes | None = None,
) -> tuple[str | None, AnswerReader]:
    name, path, _ = CALLS[kind]
    dialect = DIALECTS[name]
    operation = dialect.operation("POST", path)
    said = content_type or (SSE if stream else JSON)
    return keepable.unkept(dialect, operation, status, said, body, stream, tool_calls=tool_calls)


def whole(kind: str, value: Any, **more: Any) -> str | None:
    return judged(kind, json.dumps(value).encode(), False, **more)[0]


def streamed(kind: str, *values: Any, done: bool | None = None, **more: Any) -> str | None:
    """Events with these data; those of Chat and Completions end with [DONE]."""
    events = [b"data: " + json.dumps(value).encode() + b"\n\n" for value in values]
    if done or (done is None and kind in ("chat", "completions")):
        events.append(b"data: [DONE]\n\n")
    return judged(kind, b"".join(events), True, **more)[0]


# -- as the fake provider says it --

SAYS = Script(text="Grüße, [EMAIL_ADDRESS_0123456789ab]!\n" * 3)
THINKS = Script(text="Yes.", thinking="The user asks for an answer.")
CALLS_ONE = Script(text="Let me look.", tools=(ToolCall("read_file", {"path": "a.txt"}),))
CALLS_ONLY = Script(tools=(ToolCall("read_file", {}), ToolCall("shell", {"command": "ls"})))


def _reply(kind: str, script: Script, stream: bool) -> Reply:
    value = {**CALLS[kind.removesuffix(" array")][2], "stream": stream}
    match kind:
        case "messages":
            return messages_api.messages(value, script, 1)
        case "chat":
            return chat_api.chat(value, script, 1)
        case "responses":
            return responses_api.responses(value, script, 1)
        case "code assist":
            return code_assist.answer(Call(_verb(stream), "", True), value, script, 1)
    return gemini_api.answer(Call(_verb(stream), "m", not kind.endswith("array")), value, script, 1)


def _verb(stream: bool) -> str:
    return "streamGenerateContent" if stream else "generateContent"


SPOKEN = [
    ("messages", True), ("messages", False), ("chat", True), ("chat", False), ("responses", True), ("responses", False),
    ("generate", True), ("generate", False), ("generate array", True), ("code assist", True), ("code assist", False),
]  # fmt: skip


def pieces_of(kind: str, script: Script, stream: bool) -> list[bytes]:
    reply = _reply(kind, script, stream)
    assert reply.status == 200
    return [step for step in reply.steps if isinstance(step, bytes)]


def spoken(kind: str, script: Script, stream: bool, **more: Any) -> tuple[str | None, AnswerReader]:
    return cut(kind, b"".join(pieces_of(kind, script, stream)), stream, **more)


def cut(kind: str, body: bytes, stream: bool, **more: Any) -> tuple[str | None, AnswerReader]:
    return judged(kind.removesuffix(" array"), body, stream and not kind.endswith("array"), **more)


@pytest.mark.parametrize(("kind", "stream"), SPOKEN)
@pytest.mark.parametrize("script", [SAYS, THINKS], ids=["says", "thinks"])
def test_what_a_model_says_is_kept(kind: str, stream: bool, script: Script) -> None:
    reason, reader = spoken(kind, script, stream)
    assert reason is None
    assert reader.usage is not None
    assert reader.usage.output > 0
    assert reader.usage == spoken(kind, script, not stream)[1].usage
    assert spoken(kind, script, stream, tool_calls=True)[0] is None


@pytest.mark.parametrize(("kind", "stream"), SPOKEN)
@pytest.mark.parametrize("script", [CALLS_ONE, CALLS_ONLY], ids=["beside a text", "alone"])
def test_calls_of_tools_are_kept_only_where_that_is_allowed(kind: str, stream: bool, script: Script) -> None:
    reason, reader = spoken(kind, script, stream)
    assert reason == CALLS_TOOL
    assert reader.usage is not None
    assert spoken(kind, script, stream, tool_calls=True)[0] is None


@pytest.mark.parametrize(("kind", "stream"), SPOKEN)
@pytest.mark.parametrize("script", [THINKS, CALLS_ONE], ids=["thinks", "calls"])
def test_no_beginning_of_an_answer_is_kept(kind: str, stream: bool, script: Script) -> None:
    pieces = pieces_of(kind, script, stream)
    body = b"".join(pieces)
    ends, at = set[int](), 0
    for piece in pieces:
        ends.add(at)
        at += len(piece)
    every = (
        range(len(body))
        if len(body) < 4000
        else sorted({*ends, *range(0, len(body), 37), *range(len(body) - 200, len(body))})
    )
    for length in every:
        if not body[length:].strip():
            break  # only line ends are missing
        assert cut(kind, body[:length], stream, tool_calls=True)[0] is not None, body[length - 60 : length]
    assert cut(kind, body, stream, tool_calls=True)[0] is None


@pytest.mark.parametrize(("kind", "stream"), [each for each in SPOKEN if each[1] and not each[0].endswith("array")])
def test_no_answer_with_an_error_among_its_events_is_kept(kind: str, stream: bool) -> None:
    pieces = pieces_of(kind, THINKS, stream)
    wrong = DIALECTS[CALLS[kind][0]].error_event("upstream", "The provider broke off.", "req_1")
    for at in range(len(pieces) + 1):
        if pieces[at - 1 : at] == [b"data: [DONE]\n\n"]:
            continue
        assert cut(kind, b"".join([*pieces[:at], wrong, *pieces[at:]]), stream)[0] == ERROR
    assert cut(kind, b"".join(pieces), stream)[0] is None


@pytest.mark.parametrize(("kind", "stream"), SPOKEN)
def test_no_event_may_be_missing_that_ends_something(kind: str, stream: bool) -> None:
    """Of what stands in the middle of a text nobody can tell."""
    pieces = pieces_of(kind, SAYS, stream)
    for at, piece in enumerate(pieces):
        if any(
            mark in piece
            for mark in (b"_stop", b'"stop"', b'"STOP"', b"[DONE]", b"message_start", b"response.completed")
        ):
            assert cut(kind, b"".join([*pieces[:at], *pieces[at + 1 :]]), stream)[0] is not None, piece


@pytest.mark.parametrize("status", [201, 202, 204, 206, 301, 400, 401, 404, 429, 500, 503, 529])
def test_only_200_is_kept(status: int) -> None:
    reason, reader = spoken("messages", SAYS, False, status=status)
    assert reason == f"its status is {status}"
    assert reader.usage is not None


@pytest.mark.parametrize("kind", ["messages", "chat", "responses", "generate"])
def test_the_shape_must_be_the_one_that_its_type_says(kind: str) -> None:
    for stream in (True, False):
        body = b"".join(pieces_of(kind, SAYS, stream))
        assert judged(kind, body, stream, content_type=JSON if stream else SSE)[0] == ODD
        assert judged(kind, body, stream, content_type=b"text/html")[0] == ODD
        assert (
            judged(kind, body, stream, content_type=b"Text/Event-Stream" if stream else b"application/JSON")[0] is None
        )
        assert judged(kind, body, not stream)[0] is not None


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "body",
    [b"", b"\n\n", b"<html>Bad gateway</html>", b"null", b"[]", b"[1]", b'"text"', b"{}", b"[{}]", b'{"a":1}{"b":2}', b"\xff\xfe{",
     b": a comment\n\n", b"data: {}\n\n", b"data: text\n\n", b"data: [DONE]\n\n", b"data: [DONE]\n\ndata: {}\n\n", b"[" * 100_000],
)  # fmt: skip
def test_what_is_no_answer_at_all_is_not_kept(kind: str, stream: bool, body: bytes) -> None:
    assert judged(kind, body, stream, tool_calls=True)[0] is not None


def test_something_behind_the_end_is_odd() -> None:
    body = b"".join(pieces_of("chat", SAYS, True))
    assert judged("chat", body + b": bye\n\n", True)[0] is None
    assert judged("chat", body + b'data: {"choices":[]}\n\n', True)[0] == ODD
    assert judged("chat", body + b"data: [DONE]\n\n", True)[0] == ODD


def test_what_no_dialect_knows_is_not_kept() -> None:
    for name, path in (
        ("generic", "/v1/chat/completions"),
        ("openai", "/v1/images/generations"),
        ("anthropic", "/v1/x"),
    ):
        dialect = DIALECTS[name]
        operation = dialect.operation("POST", path)
        body = b"".join(pieces_of("chat", SAYS, False))
        assert keepable.unkept(dialect, operation, 200, JSON, body, False, tool_calls=True)[0] == ODD


# -- Anthropic --


def message(*content: Any, stop: Any = "end_turn", **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 5}
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": list(content),
            "stop_reason": stop, "stop_sequence": None, "usage": usage, **more}  # fmt: skip


TEXT = {"type": "text", "text": "Hi"}
MESSAGES: list[tuple[dict[str, Any], str | None]] = [
    (message(TEXT), None),
    (message(TEXT, stop="stop_sequence", stop_sequence="END"), None),
    (message({"type": "thinking", "thinking": "Hm", "signature": "c2ln"}, TEXT), None),
    (message({"type": "redacted_thinking", "data": "c2ln"}, TEXT), None),
    (message({**TEXT, "citations": [{"type": "char_location", "cited_text": "x", "document_index": 0, "document_title": None,
                                     "start_char_index": 0, "end_char_index": 1}]}), None),
    (message(TEXT, container=None, context_management=None), None),
    (message(TEXT, {"type": "tool_use", "id": "t", "name": "n", "input": {}}, stop="tool_use"), CALLS_TOOL),
    (message({"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}}, TEXT), CALLS_TOOL),
    (message({"type": "web_search_tool_result", "tool_use_id": "t", "content": []}, TEXT), CALLS_TOOL),
    (message({"type": "mcp_tool_use", "id": "t", "name": "n", "server_name": "s", "input": {}}, TEXT), CALLS_TOOL),
    (message({"type": "mcp_tool_result", "tool_use_id": "t", "is_error": False, "content": "x"}, TEXT), CALLS_TOOL),
    (message({"type": "bash_code_execution_tool_result", "tool_use_id": "t",
              "content": {"type": "bash_code_execution_tool_result_error", "error_code": "unavailable"}}, TEXT), CALLS_TOOL),
    (message(TEXT, stop="max_tokens"), LIMIT),
    (message(TEXT, stop="model_context_window_exceeded"), LIMIT),
    (message(TEXT, stop="refusal"), REFUSED),
    (message(stop="refusal"), REFUSED),
    (message(TEXT, stop="pause_turn"), PAUSED),
    (message(TEXT, stop="compaction"), ODD),
    (message(TEXT, container={"id": "container_1", "expires_at": "2026-01-01T00:00:00Z", "skills": None}), EXPIRES),
    (message(TEXT, {"type": "container_upload", "file_id": "file_1"}), EXPIRES),
    (message({"type": "compaction", "content": "summary"}, TEXT), ODD),
    (message(), EMPTY),
    (message({"type": "text", "text": ""}), EMPTY),
    (message({"type": "thinking", "thinking": "Hm", "signature": "c2ln"}), EMPTY),
]  # fmt: skip
STRANGE_MESSAGES: list[tuple[Any, str]] = [
    (message(TEXT, stop=None), CUT),
    (message(TEXT, stop="invented"), ODD),
    (message(TEXT, stop=["end_turn"]), ODD),
    (message({"type": "invented_block"}, TEXT), ODD),
    (message({"type": ["text"]}, TEXT), ODD),
    (message("text", TEXT), ODD),
    (message(TEXT, content="Hi"), ODD),
    (message(TEXT, type="messages"), ODD),
    ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, ERROR),
    ([message(TEXT)] * 2, ODD),
]


@pytest.mark.parametrize(("value", "reason"), [*MESSAGES, *STRANGE_MESSAGES])
def test_messages(value: Any, reason: str | None) -> None:
    assert whole("messages", value) == reason
    assert whole("messages", value, tool_calls=True) == (None if reason == CALLS_TOOL else reason)


@pytest.mark.parametrize(("value", "reason"), MESSAGES)
def test_messages_streamed(value: dict[str, Any], reason: str | None) -> None:
    assert streamed("messages", *events_of(value)) == reason
    assert streamed("messages", *events_of(value), tool_calls=True) == (None if reason == CALLS_TOOL else reason)


def events_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """As the API streams a message: blocks begin empty, their texts come in deltas."""
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**value, "content": [], "stop_reason": None, "container": None}},
        {"type": "ping"},
    ]
    for index, block in enumerate(value["content"]):
        said = block.get("text")
        start = {**block, "text": ""} if said is not None else block
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        if said:
            delta = {"type": "text_delta", "text": said}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    delta = {name: value.get(name) for name in ("stop_reason", "stop_sequence", "container")}
    return [*events, {"type": "message_delta", "delta": delta, "usage": value["usage"]}, {"type": "message_stop"}]


GOOD_EVENTS = events_of(message(TEXT))


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        (GOOD_EVENTS[1:], ODD),  # no beginning
        ([GOOD_EVENTS[0], *GOOD_EVENTS], ODD),  # two
        ([*GOOD_EVENTS[:-1]], CUT),  # no end
        ([*GOOD_EVENTS[:-2], GOOD_EVENTS[-1]], CUT),  # it does not say why it stopped
        ([*GOOD_EVENTS[:4], *GOOD_EVENTS[5:]], ODD),  # a block without an end
        ([*GOOD_EVENTS[:2], *GOOD_EVENTS[3:]], ODD),  # a block without a beginning
        ([*GOOD_EVENTS[:2], {"type": "invented"}, *GOOD_EVENTS[2:]], ODD),
        ([*GOOD_EVENTS[:2], {"type": ["x"], "index": ["y"]}, *GOOD_EVENTS[2:]], ODD),
        ([*GOOD_EVENTS[:3], {"type": "content_block_delta", "index": [], "delta": {}}, *GOOD_EVENTS[3:]], ODD),
        ([GOOD_EVENTS[0], GOOD_EVENTS[-2], GOOD_EVENTS[-1]], EMPTY),
    ],
)
def test_events_of_messages_that_do_not_fit(events: list[Any], reason: str) -> None:
    assert streamed("messages", *events, tool_calls=True) == reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"type": "completion", "completion": " Hi", "stop_reason": "stop_sequence"}, None),
        ({"type": "completion", "completion": " Hi", "stop_reason": "max_tokens"}, LIMIT),
        ({"type": "completion", "completion": " Hi", "stop_reason": None}, CUT),
        ({"type": "completion", "completion": "", "stop_reason": "stop_sequence"}, EMPTY),
        ({"completion": " Hi", "stop_reason": "stop_sequence"}, ODD),
    ],
)
def test_text_completions(value: dict[str, Any], reason: str | None) -> None:
    assert whole("complete", value) == reason
    first = {"type": "completion", "completion": value["completion"], "stop_reason": None}
    assert streamed("complete", first, {"type": "ping"}, {**value, "completion": ""}) == reason


# -- Chat Completions --


def choice(content: Any = "Hi", finish: Any = "stop", index: Any = 0, **more: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": content, "refusal": None, **more}
    return {"index": index, "message": said, "logprobs": None, "finish_reason": finish}


def completion(*choices: Any, **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-5-mini", "choices": list(choices),
            "usage": usage, **more}  # fmt: skip


TOOL_CALL = {"id": "c", "type": "function", "function": {"name": "n", "arguments": "{}"}}
CITED = {
    "type": "url_citation",
    "url_citation": {"start_index": 0, "end_index": 1, "title": "t", "url": "https://example.com"},
}
CHATS: list[tuple[dict[str, Any], str | None]] = [
    (completion(choice()), None),
    (completion(choice(), choice(index=1)), None),
    (completion(choice(annotations=[], tool_calls=None, function_call=None, audio=None)), None),
    (completion(choice(None, "tool_calls", tool_calls=[TOOL_CALL])), CALLS_TOOL),
    (completion(choice("Hi", "stop", tool_calls=[TOOL_CALL])), CALLS_TOOL),
    (completion(choice(None, "function_call", function_call={"name": "n", "arguments": "{}"})), CALLS_TOOL),
    (completion(choice(annotations=[CITED])), CALLS_TOOL),
    (completion(choice(), citations=["https://example.com"]), CALLS_TOOL),
    (completion(choice(finish="length")), LIMIT),
    (completion(choice(), choice(finish="length", index=1)), LIMIT),
    (completion(choice(finish="content_filter")), FILTERED),
    (completion(choice(None, refusal="I cannot help with that.")), REFUSED),
    (completion(choice("", audio={"id": "audio_1", "data": "aGk=", "expires_at": 1, "transcript": "Hi"})), EXPIRES),
    (completion(choice(None)), EMPTY),
    (completion(choice("")), EMPTY),
    (completion(choice(None, reasoning_content="Hm")), EMPTY),
]
STRANGE_CHATS: list[tuple[Any, str]] = [
    (completion(choice(finish=None)), CUT),
    (completion(choice(), choice(finish=None, index=1)), CUT),
    (completion(choice(finish="insufficient_system_resource")), ODD),
    (completion(choice(finish=7)), ODD),
    (completion(), ODD),
    (completion("Hi"), ODD),
    (completion(choices={}), ODD),
    ({**completion(), "choices": [{**choice(), "error": {"code": 502, "message": "no"}}]}, ERROR),
    ({**completion(choice()), "error": {"code": 502, "message": "no"}}, ERROR),
    ({"error": {"message": "no", "type": "server_error", "param": None, "code": None}}, ERROR),
    ([completion(choice())] * 2, ODD),
]


@pytest.mark.parametrize(("value", "reason"), [*CHATS, *STRANGE_CHATS])
def test_chat(value: Any, reason: str | None) -> None:
    assert whole("chat", value) == reason
    assert whole("chat", value, tool_calls=True) == (None if reason == CALLS_TOOL else reason)


@pytest.mark.parametrize(("value", "reason"), [*CHATS, *STRANGE_CHATS[:4]])
def test_chat_streamed(value: dict[str, Any], reason: str | None) -> None:
    assert streamed("chat", *chunks_of(value)) == reason
    assert streamed("chat", *chunks_of(value), tool_calls=True) == (None if reason == CALLS_TOOL else reason)


def chunks_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """As the API streams it: the role, then what is said, then the end of each choice, then the usage."""
    chunks = []
    for one in value["choices"]:
        said = {name: each for name, each in one["message"].items() if name != "role"}
        for delta, finish in (({"role": "assistant", "content": ""}, None), (said, None), ({}, one["finish_reason"])):
            chunks.append(
                {**value, "choices": [{"index": one["index"], "delta": delta, "finish_reason": finish}], "usage": None}
            )
    return [*chunks, {**value, "choices": []}]


def test_a_stream_of_chat_ends_with_done() -> None:
    chunks = chunks_of(completion(choice()))
    assert streamed("chat", *chunks) is None
    assert streamed("chat", *chunks, done=False) == CUT
    bare = {"usage": {"prompt_tokens": 3, "completion_tokens": 5}}
    assert streamed("chat", *chunks[:-1], bare) is None
    assert streamed("chat", *chunks[:-1], {"id": "x"}) == ODD


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ([{"index": 0, "text": "Hi", "finish_reason": "stop"}], None),
        ([{"index": 0, "text": "Hi", "finish_reason": "length"}], LIMIT),
        ([{"index": 0, "text": "", "finish_reason": "stop"}], EMPTY),
        ([{"index": 0, "text": "Hi", "finish_reason": None}], CUT),
        (
            [
                {"index": 0, "text": "Hi", "finish_reason": "stop"},
                {"index": 1, "text": "", "finish_reason": "content_filter"},
            ],
            FILTERED,
        ),
        ([], ODD),
    ],
)
def test_completions(choices: list[Any], reason: str | None) -> None:
    value = {
        "id": "cmpl-1",
        "object": "text_completion",
        "choices": choices,
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
    assert whole("completions", value) == reason
    assert streamed("completions", value) == reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ([{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}], None),
        ([{"object": "embedding", "index": 0, "embedding": "AACAPw=="}], None),
        ([{"object": "embedding", "index": 0, "embedding": []}], EMPTY),
        ([{"object": "embedding", "index": 0, "embedding": [0.1]}, {"index": 1}], EMPTY),
        ([], EMPTY),
        (None, ODD),
    ],
)
def test_embeddings(data: Any, reason: str | None) -> None:
    value = {"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 2, "total_tokens": 2}}
    assert whole("embeddings", value) == reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"embedding": {"values": [0.1]}}, None),
        ({"embeddings": [{"values": [0.1]}, {"values": [0.2]}]}, None),
        ({"embedding": {"values": []}}, EMPTY),
        ({"embeddings": [{"values": [0.1]}, {}]}, EMPTY),
        ({"embeddings": []}, EMPTY),
        ({}, ODD),
        ({"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}, ERROR),
    ],
)
def test_embeddings_of_gemini(value: Any, reason: str | None) -> None:
    assert whole("embed", value) == reason


# -- Responses --

PART = {"type": "output_text", "text": "Hi", "annotations": []}


def item(kind: str = "message", **more: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": [PART]} if kind == "message" else {}
    return {"id": "msg_1", "type": kind, "status": "completed", **said, **more}


def response(*output: Any, status: Any = "completed", **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}, "output_tokens": 5,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 8}  # fmt: skip
    return {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "error": None, "incomplete_details": None,
            "model": "gpt-5-mini", "output": list(output), "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
            "usage": usage, **more}  # fmt: skip


RESPONSES: list[tuple[dict[str, Any], str | None]] = [
    (response(item()), None),
    (response(item("reasoning", summary=[], encrypted_content="c2ln"), item()), None),
    (response(item("function_call", call_id="c", name="n", arguments="{}")), CALLS_TOOL),
    (response(item(), item("custom_tool_call", call_id="c", name="n", input="x")), CALLS_TOOL),
    (response(item("web_search_call", action={"type": "search", "query": "x"}), item()), CALLS_TOOL),
    (response(item("file_search_call", queries=[]), item()), CALLS_TOOL),
    (response(item("computer_call", call_id="c", pending_safety_checks=[])), CALLS_TOOL),
    (response(item("image_generation_call", result="aGk=")), CALLS_TOOL),
    (response(item("mcp_list_tools", server_label="s", tools=[]), item()), CALLS_TOOL),
    (
        response(item("mcp_call", server_label="s", name="n", arguments="{}", error=None, output="x"), item()),
        CALLS_TOOL,
    ),
    (response(item("mcp_approval_request", server_label="s", name="n", arguments="{}")), CALLS_TOOL),
    (response(item("code_interpreter_call", code="1", container_id="cntr_1", outputs=None), item()), EXPIRES),
    (response(item(content=[{"type": "refusal", "refusal": "I cannot."}])), REFUSED),
    (response(item(), status="incomplete", incomplete_details={"reason": "max_output_tokens"}), LIMIT),
    (
        response(item(status="incomplete"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        LIMIT,
    ),
    (response(status="incomplete", incomplete_details={"reason": "content_filter"}), FILTERED),
    (response(item(), status="cancelled"), CUT),
    (response(status="in_progress"), CUT),
    (response(status="queued", background=True), CUT),
    (response(), EMPTY),
    (response(item("reasoning", summary=[])), EMPTY),
]
STRANGE_RESPONSES: list[tuple[Any, str]] = [
    (response(status="failed", error={"code": "server_error", "message": "no"}), ERROR),
    (response(item(), error={"code": "server_error", "message": "no"}), ERROR),
    (response(item(), status=None), CUT),
    (response(item(), status="invented"), ODD),
    (response(item(), status=["completed"]), ODD),
    (response(item(), output={}), ODD),
    (response(item("invented")), ODD),
    (response("Hi"), ODD),
    (response(item(type=["message"])), ODD),
    (response(item(content=[{"type": "invented"}])), ODD),
    (response(item(content="Hi")), ODD),
    (response(item(status="in_progress")), CUT),
    (response(item("image_generation_call", status="failed", result=None)), CUT),
    (response(item("mcp_call", server_label="s", name="n", arguments="{}", error={"type": "http_error"})), ERROR),
    ([response(item())] * 2, ODD),
]


@pytest.mark.parametrize(("value", "reason"), [*RESPONSES, *STRANGE_RESPONSES])
def test_responses(value: Any, reason: str | None) -> None:
    assert whole("responses", value) == reason
    assert whole("responses", value, tool_calls=True) == (None if reason == CALLS_TOOL else reason)


def ended(value: dict[str, Any]) -> dict[str, Any]:
    name = value["status"] if value["status"] in ("completed", "incomplete", "failed") else "completed"
    return {"type": f"response.{name}", "response": value}


@pytest.mark.parametrize(("value", "reason"), RESPONSES)
@pytest.mark.parametrize("bare", [False, True])
def test_responses_streamed(value: dict[str, Any], reason: str | None, bare: bool) -> None:
    """`bare`: the items do not come again with the end."""
    items = [
        {"type": "response.output_item.done", "output_index": at, "item": one} for at, one in enumerate(value["output"])
    ]
    last = ended({**value, "output": []} if bare else value)
    events = [{"type": "response.created", "response": response(status="in_progress")}, *items, last]
    assert streamed("responses", *events) == reason
    assert streamed("responses", *events, tool_calls=True) == (None if reason == CALLS_TOOL else reason)


GOOD_END = ended(response(item()))


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([GOOD_END], None),
        ([{"type": "keepalive"}, {"type": "response.invented_yesterday"}, GOOD_END], None),
        ([{"type": "response.refusal.delta", "delta": "I"}, GOOD_END], REFUSED),
        ([{"type": "response.refusal.done", "refusal": "I cannot."}, GOOD_END], REFUSED),
        ([{"type": "error", "code": "server_error", "message": "no", "param": None}, GOOD_END], ERROR),
        ([ended(response(status="failed", error={"code": "server_error", "message": "no"}))], ERROR),
        ([GOOD_END, GOOD_END], ODD),
        ([{"type": "invented"}, GOOD_END], ODD),
        ([{"type": ["x"]}, GOOD_END], ODD),
        ([{"type": "response.output_item.done", "item": "Hi"}, GOOD_END], ODD),
        ([{"type": "response.created", "response": response(status="in_progress")}], CUT),
        ([{"type": "response.completed", "response": None}], CUT),
    ],
)
def test_events_of_responses(events: list[Any], reason: str | None) -> None:
    assert streamed("responses", *events, tool_calls=True) == reason


# -- Gemini --


def candidate(*parts: Any, finish: Any = "STOP", **more: Any) -> dict[str, Any]:
    return {"content": {"parts": list(parts), "role": "model"}, "finishReason": finish, "index": 0, **more}


def document(*candidates: Any, **more: Any) -> dict[str, Any]:
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 5, "totalTokenCount": 8}
    return {"candidates": list(candidates), "usageMetadata": usage, "modelVersion": "gemini-2.5-flash", **more}


SAID = {"text": "Hi"}
RATED = {"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH"}
DOCUMENTS: list[tuple[dict[str, Any], str | None]] = [
    (document(candidate(SAID)), None),
    (document(candidate(SAID), candidate(SAID, index=1)), None),
    (document(candidate({"text": "Hm", "thought": True}, {**SAID, "thoughtSignature": "c2ln"})), None),
    (document(candidate({"inlineData": {"mimeType": "image/png", "data": "aGk="}})), None),
    (document(candidate(SAID, safetyRatings=[{**RATED, "blocked": False}], citationMetadata={"citations": []})), None),
    (document(candidate({"functionCall": {"name": "n", "args": {}}, "thoughtSignature": "c2ln"})), CALLS_TOOL),
    (document(candidate({"executableCode": {"language": "PYTHON", "code": "1"}}, SAID)), CALLS_TOOL),
    (document(candidate({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}, SAID)), CALLS_TOOL),
    (document(candidate(SAID, groundingMetadata={"webSearchQueries": ["x"]})), CALLS_TOOL),
    (document(candidate(SAID, urlContextMetadata={"urlMetadata": [{"retrievedUrl": "https://example.com"}]})), CALLS_TOOL),
    (document(candidate(SAID, finish="MAX_TOKENS")), LIMIT),
    *((document(candidate(SAID, finish=each)), FILTERED)
      for each in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY")),
    *((document(candidate(SAID, finish=each)), ODD)
      for each in ("LANGUAGE", "OTHER", "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "FINISH_REASON_UNSPECIFIED")),
    (document(candidate(SAID, safetyRatings=[{**RATED, "blocked": True}])), FILTERED),
    (document(promptFeedback={"blockReason": "SAFETY"}), FILTERED),
    (document(candidate(SAID, finish=None)), CUT),
    (document(candidate(SAID), candidate(SAID, finish=None, index=1)), CUT),
    (document(candidate()), EMPTY),
    (document(candidate({"text": ""})), EMPTY),
    (document(candidate({"text": "Hm", "thought": True})), EMPTY),
    (document({"finishReason": "STOP", "index": 0}), EMPTY),
    (document(candidate({"fileData": {"mimeType": "image/png", "fileUri": "files/1"}})), ODD),
]  # fmt: skip
STRANGE_DOCUMENTS: list[tuple[Any, str]] = [
    (document(), ODD),
    (document(candidate(SAID, finish=["STOP"])), ODD),
    (document("Hi"), ODD),
    (document(candidate("Hi")), ODD),
    (document(candidate({"invented": 1}, SAID)), ODD),
    ({"candidates": {}}, ODD),
    ({"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}, ERROR),
]


def wrapped(value: Any) -> Any:
    return {"response": value, "traceId": "t"}


@pytest.mark.parametrize(("value", "reason"), [*DOCUMENTS, *STRANGE_DOCUMENTS])
def test_gemini(value: Any, reason: str | None) -> None:
    first = {**value, "candidates": [candidate({"text": ""}, finish=None)]}
    ways: list[Callable[..., str | None]] = [
        lambda **more: whole("generate", value, **more),
        lambda **more: whole("generate", [value], **more),
        lambda **more: streamed("generate", value, **more),
        lambda **more: whole("generate", [first, value], **more),
        lambda **more: streamed("generate", first, value, **more),
        lambda **more: whole("code assist", wrapped(value), **more),
        lambda **more: streamed("code assist", wrapped(first), wrapped(value), **more),
    ]
    if (value, reason) in STRANGE_DOCUMENTS:
        ways = ways[:2]
    for way in ways:
        assert way() == reason
        assert way(tool_calls=True) == (None if reason == CALLS_TOOL else reason)


def test_a_stream_of_gemini_with_an_error_in_it() -> None:
    wrong = {"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}
    good = document(candidate(SAID))
    for values in ([wrong, good], [good, wrong]):
        assert streamed("generate", *values) == ERROR
        assert whole("generate", values) == ERROR


# -- all of them --


@pytest.mark.parametrize(
    ("table", "check"),
    [
        (MESSAGES, BetaMessage.model_validate),
        (CHATS, ChatCompletion.model_validate),
        (RESPONSES, Response.model_validate),
        (DOCUMENTS, GenerateContentResponse.model_validate),
    ],
    ids=["messages", "chat", "responses", "gemini"],
)
def test_the_official_packages_know_the_answers_of_these_tables(table: list[Any], check: Callable[[Any], Any]) -> None:
    known = 0
    for value, _ in table:
        try:
            check(value)
            known += 1
        except ValueError:
            pass  # another provider's form, or parts of an item that do not matter here are left out
    assert known >= len(table) * 0.6


def test_the_usage_is_read_of_what_is_not_kept_too() -> None:
    for kind, value in (("chat", completion(choice(finish="length"))), ("messages", message(TEXT, stop="refusal"))):
        reason, reader = judged(kind, json.dumps(value).encode(), False)
        assert reason is not None
        assert reader.usage == Usage(input=3, output=5)


ODDITIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
GOOD: dict[str, list[Any]] = {
    "messages": [message(TEXT, {"type": "tool_use", "id": "t", "name": "n", "input": {}}), *GOOD_EVENTS],
    "chat": [completion(choice(annotations=[CITED], tool_calls=[TOOL_CALL])), *chunks_of(completion(choice()))],
    "responses": [response(item(), item("reasoning", summary=[])), GOOD_END],
    "generate": [document(candidate(SAID, groundingMetadata={}, safetyRatings=[RATED]))],
    "code assist": [wrapped(document(candidate(SAID)))],
    "embeddings": [{"data": [{"embedding": [0.1]}]}],
    "embed": [{"embeddings": [{"values": [0.1]}]}],
    "complete": [{"type": "completion", "completion": "x", "stop_reason": "stop_sequence"}],
    "completions": [{"choices": [{"text": "x", "index": 0, "finish_reason": "stop"}]}],
}


@given(kind=st.sampled_from(sorted(GOOD)), stream=st.booleans(), data=st.data())
def test_nothing_that_an_answer_holds_makes_it_fail(kind: str, stream: bool, data: st.DataObject) -> None:
    values = json.loads(json.dumps(GOOD[kind]))
    for _ in range(data.draw(st.integers(1, 3))):
        spot: Any = values
        while True:
            steps = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
            if not steps:
                break
            step = data.draw(st.sampled_from(steps))
            if isinstance(spot[step], (dict, list)) and data.draw(st.booleans()):
                spot = spot[step]
                continue
            spot[step] = data.draw(ODDITIES)
            break
    reason = streamed(kind, *values) if stream else whole(kind, values[0])
    assert reason is None or reason
