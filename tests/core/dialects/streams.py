"""Streams as providers send them, and a way to read one."""

import json
from typing import Any

from tokenman_core.dialects.base import AnswerReader
from tokenman_core.sse import Event, SseParser


def event(value: Any, named: bool = True, end: str = "\n") -> bytes:
    name = f"event: {value['type']}{end}" if named else ""
    return f"{name}data: {json.dumps(value)}{end}{end}".encode()


def read(reader: AnswerReader, stream: bytes) -> list[Event]:
    parser = SseParser()
    events = [*parser.feed(stream), *parser.finish(), Event(b"", "end")]
    for one in events:
        reader.read(one)
    return events


def note(reader: AnswerReader, stream: bytes) -> None:
    parser = SseParser()
    for one in [*parser.feed(stream), *parser.finish(), Event(b"", "end")]:
        reader.note(one)


def state(reader: AnswerReader) -> tuple[Any, ...]:
    return reader.usage, reader.model, reader.finished, reader.failed, reader.spoke, reader.terms


def running(events: list[Event]) -> dict[str, str]:
    """The text of each channel, joined."""
    texts: dict[str, str] = {}
    for one in events:
        for slot in one.slots:
            if slot.channel:
                texts[slot.channel] = texts.get(slot.channel, "") + slot.text
    return texts


def complete(events: list[Event]) -> list[str]:
    return [slot.text for one in events for slot in one.slots if not slot.channel]


def closed(events: list[Event]) -> list[tuple[int, set[str]]]:
    return [(index, set(one.closes)) for index, one in enumerate(events) if one.closes]


# Anthropic: https://docs.anthropic.com/en/docs/build-with-claude/streaming
CREATED = {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6}
ANTHROPIC_USAGE = {
    "input_tokens": 3,
    "cache_creation_input_tokens": 10,
    "cache_read_input_tokens": 20,
    "cache_creation": CREATED,
    "output_tokens": 99,
    "service_tier": "standard",
}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_sequence": None}
ANTHROPIC_EVENTS: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {**MESSAGE, "content": [], "stop_reason": None, "usage": {**ANTHROPIC_USAGE, "output_tokens": 1}},
    },
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hi [EM"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "AIL]"}},
    {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "cited"}},
    },
    {"type": "content_block_stop", "index": 1},
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}},
    },
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ""}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"cmd":'}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '"ls"}'}},
    {"type": "content_block_stop", "index": 2},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 99, "cache_read_input_tokens": None, "input_tokens": 0},
    },
    {"type": "message_stop"},
]
ANTHROPIC_MESSAGE: dict[str, Any] = {
    **MESSAGE,
    "stop_reason": "tool_use",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "text", "text": "Hi [EMAIL]", "citations": [{"type": "char_location", "cited_text": "cited"}]},
        {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"cmd": "ls"}},
    ],
    "usage": ANTHROPIC_USAGE,
}


def anthropic_stream(end: str = "\n") -> bytes:
    return b"".join(event(value, end=end) for value in ANTHROPIC_EVENTS)


# OpenAI: https://platform.openai.com/docs/api-reference/chat-streaming
CHUNK = {
    "id": "chatcmpl-1",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "gpt-x",
    "system_fingerprint": "fp",
}
CHAT_USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 40,
    "total_tokens": 70,
    "prompt_tokens_details": {"cached_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


def chunk(delta: dict[str, Any], index: int = 0, reason: str | None = None) -> dict[str, Any]:
    return {
        **CHUNK,
        "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}],
        "usage": None,
    }


def call(index: int, arguments: str, name: str = "") -> dict[str, Any]:
    head: dict[str, Any] = {"id": f"call_{index}", "type": "function"} if name else {}
    function = {"name": name, "arguments": arguments} if name else {"arguments": arguments}
    return {"tool_calls": [{"index": index, **head, "function": function}]}


CHAT_EVENTS: list[dict[str, Any]] = [
    chunk({"role": "assistant", "content": "", "refusal": None}),
    chunk({"reasoning_content": "hm"}),
    chunk({"content": "Hi [EM"}),
    chunk({"content": "other"}, index=1),
    chunk({"content": "AIL]"}),
    chunk(call(0, "", "f")),
    chunk(call(0, '{"path":')),
    chunk(call(1, "", "g")),
    chunk(call(0, '"x"}')),
    chunk(call(1, "{}")),
    chunk({"refusal": "no"}, index=1),
    chunk({}, reason="tool_calls"),
    chunk({}, index=1, reason="stop"),
    {**CHUNK, "choices": [], "usage": CHAT_USAGE},
]
CHAT_ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-x",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hi [EMAIL]",
                "refusal": None,
                "reasoning_content": "hm",
                "tool_calls": [
                    {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": '{"path":"x"}'}},
                    {"id": "call_1", "type": "function", "function": {"name": "g", "arguments": '{"cut'}},
                ],
            },
            "finish_reason": "tool_calls",
        }
    ],
    "usage": CHAT_USAGE,
}


def chat_stream(end: str = "\n") -> bytes:
    return b"".join(event(value, named=False, end=end) for value in CHAT_EVENTS) + f"data: [DONE]{end}{end}".encode()


# https://platform.openai.com/docs/api-reference/responses-streaming
RESPONSE = {"id": "resp_1", "object": "response", "model": "gpt-x", "status": "in_progress", "output": []}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "shell", "status": "completed"}
OUTPUT_TEXT = {"item_id": "msg_1", "output_index": 1, "content_index": 0}
RESPONSE_USAGE = {
    "input_tokens": 30,
    "input_tokens_details": {"cached_tokens": 20},
    "output_tokens": 40,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 70,
}
RESPONSE_DONE: dict[str, Any] = {
    **RESPONSE,
    "status": "completed",
    "output": [
        {**CALL, "arguments": '{"command":["ls"]}'},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hi [EMAIL]", "annotations": []}],
        },
    ],
    "usage": RESPONSE_USAGE,
}
RESPONSE_EVENTS: list[dict[str, Any]] = [
    {"type": "response.created", "response": RESPONSE},
    {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": {**CALL, "arguments": "", "status": "in_progress"},
    },
    {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "output_index": 0, "delta": '{"command":'},
    {"type": "response.function_call_arguments.delta", "item_id": "fc_?", "output_index": 0, "delta": '["ls"]}'},
    {
        "type": "response.function_call_arguments.done",
        "item_id": "fc_1",
        "output_index": 0,
        "arguments": '{"command":["ls"]}',
    },
    {"type": "response.output_item.done", "output_index": 0, "item": {**CALL, "arguments": '{"command":["ls"]}'}},
    {
        "type": "response.output_item.added",
        "output_index": 1,
        "item": {"type": "message", "role": "assistant", "content": []},
    },
    {"type": "response.output_text.delta", **OUTPUT_TEXT, "delta": "Hi [EM", "logprobs": [], "obfuscation": "xx"},
    {"type": "response.output_text.delta", **OUTPUT_TEXT, "delta": "AIL]", "logprobs": [], "obfuscation": "xx"},
    {"type": "response.output_text.done", **OUTPUT_TEXT, "text": "Hi [EMAIL]", "logprobs": []},
    {"type": "response.output_item.done", "output_index": 1, "item": RESPONSE_DONE["output"][1]},
    {"type": "response.completed", "response": RESPONSE_DONE},
]
for number, value in enumerate(RESPONSE_EVENTS):
    value["sequence_number"] = number


def responses_stream(end: str = "\n") -> bytes:
    return b"".join(event(value, end=end) for value in RESPONSE_EVENTS)
