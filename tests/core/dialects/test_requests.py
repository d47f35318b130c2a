"""The text of requests: nothing that a model reads escapes, and nothing that must stay is offered."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.body.written import VALUES
from tokenman_core.body.parse import parse
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.dialects.walk import answer_slots, find_slots
from tokenman_core.slots import BASE64, INNER, NUMBER, Key, Path

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()
SEALED = base64.b64encode(bytes(range(120))).decode()
TEXT = base64.b64encode("words of a text é".encode()).decode()

ANTHROPIC: dict[str, Any] = {
    "model": "claude-opus-4-5",
    "max_tokens": 10,
    "system": [{"type": "text", "text": "be nice", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "tools": [
        {
            "name": "Bash",
            "description": "runs",
            "input_schema": {"type": "object", "properties": {"cmd": {"type": "string", "description": "what"}}},
            "input_examples": [{"cmd": "ls"}],
        },
        {"type": "web_search_20250305", "name": "web_search", "user_location": {"type": "approximate", "city": "Ulm"}},
    ],
    "mcp_servers": [{"type": "url", "url": "https://m.test/x", "name": "m", "authorization_token": "tok en"}],
    "tool_choice": {"type": "tool", "name": "Bash"},
    "metadata": {"user_id": "user-17"},
    "stop_sequences": ["END"],
    "messages": [
        {"role": "user", "content": "hello"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": SEALED},
                {"type": "thinking", "thinking": "unsigned", "signature": ""},
                {"type": "redacted_thinking", "data": "ZW5j"},
                {"type": "text", "text": "let me", "citations": [{"type": "char_location", "cited_text": "cited"}]},
                {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"cmd": "ls", "env": {"a b@c": ["x"]}}},
                {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "q"}},
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "srv_1",
                    "content": [
                        {
                            "type": "web_search_result",
                            "url": "https://u.test",
                            "title": "t",
                            "encrypted_content": SEALED,
                        }
                    ],
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "as string", "is_error": False},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [
                        {"type": "text", "text": "as block"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                        {
                            "type": "search_result",
                            "source": "src",
                            "title": "ti",
                            "content": [{"type": "text", "text": "in"}],
                        },
                    ],
                },
                {
                    "type": "document",
                    "title": "doc",
                    "context": "ctx",
                    "source": {"type": "text", "media_type": "text/plain", "data": "plain"},
                },
                {"type": "document", "source": {"type": "base64", "media_type": "text/plain", "data": TEXT}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PNG}},
                {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "part"}]}},
                {"type": "image", "source": {"type": "url", "url": "https://i.test/a.png"}},
                {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
                {"type": "from_tomorrow", "words": {"deep": ["new"]}},
            ],
        },
    ],
}

OPENAI: dict[str, Any] = {
    "model": "gpt-5",
    "user": "someone",
    "response_format": {"type": "json_schema", "json_schema": {"name": "N", "schema": {"type": "object"}}},
    "tools": [
        {
            "type": "function",
            "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
        }
    ],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "prediction": {"type": "content", "content": "predicted"},
    "stop": "STOP",
    "messages": [
        {"role": "developer", "content": "rules"},
        {
            "role": "user",
            "name": "Ada",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PNG, "detail": "high"}},
                {"type": "image_url", "image_url": {"url": "https://i.test/b.png"}},
                {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
                {"type": "file", "file": {"filename": "n.txt", "file_data": "data:text/plain;base64," + TEXT}},
                {"type": "file", "file": {"filename": "n.pdf", "file_data": "data:application/pdf;base64," + PNG}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "refusal": "no",
            "reasoning_content": "hm",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"path":"p","n":1,"l":["q"]}'},
                },
                {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": '{"broken'}},
                {"id": "call_3", "type": "custom", "custom": {"name": "h", "input": "free"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "out"},
        {"role": "tool", "tool_call_id": "call_3", "content": [{"type": "text", "text": "out3"}]},
        {"role": "assistant", "function_call": {"name": "old", "arguments": '{"a":"b"}'}},
        {"role": "function", "name": "old", "content": "oldout"},
    ],
}

RESPONSES: dict[str, Any] = {
    "model": "gpt-5-codex",
    "instructions": "be codex",
    "prompt_cache_key": "key of cache",
    "tools": [
        {
            "type": "mcp",
            "server_label": "m",
            "server_url": "https://m.test",
            "authorization": "tok en",
            "headers": {"x": "y z"},
        }
    ],
    "text": {"format": {"type": "text"}, "verbosity": "low"},
    "prompt": {"id": "pmpt_1", "variables": {"type": "v"}},
    "input": [
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "do it"},
                {"type": "input_image", "image_url": "data:image/png;base64," + PNG},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "thought"}],
            "encrypted_content": SEALED,
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_9",
            "name": "shell",
            "arguments": '{"command":["ls","-l"]}',
            "status": "completed",
        },
        {"type": "function_call_output", "call_id": "call_9", "output": "total 0"},
        {"type": "local_shell_call", "call_id": "call_10", "action": {"type": "exec", "command": ["cat"]}},
        {"type": "local_shell_call_output", "call_id": "call_10", "output": '{"stdout":"x"}'},
        {"type": "custom_tool_call", "call_id": "call_11", "name": "apply_patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "call_11", "output": [{"type": "input_text", "text": "done"}]},
    ],
}


def rows(value: Any) -> list[tuple[str, str, str, int]]:
    return [(slot.text, slot.kind, slot.tool, slot.message) for slot in find_slots(value)]


def test_the_text_of_an_anthropic_request() -> None:
    assert rows(ANTHROPIC) == [
        ("be nice", "system", "", -1),
        ("runs", "other", "", -1),
        ("what", "other", "", -1),
        ("ls", "other", "", -1),
        ("Ulm", "other", "", -1),
        ("user-17", "other", "", -1),
        ("END", "other", "", -1),
        ("hello", "user", "", 0),
        ("unsigned", "thinking", "", 1),
        ("let me", "assistant", "", 1),
        ("cited", "assistant", "", 1),
        ("ls", "tool_input", "Bash", 1),
        ("a b@c", "tool_input", "Bash", 1),
        ("x", "tool_input", "Bash", 1),
        ("q", "tool_input", "web_search", 1),
        ("https://u.test", "tool_result", "web_search", 1),
        ("t", "tool_result", "web_search", 1),
        ("as string", "tool_result", "Bash", 2),
        ("as block", "tool_result", "Bash", 2),
        ("src", "tool_result", "Bash", 2),
        ("ti", "tool_result", "Bash", 2),
        ("in", "tool_result", "Bash", 2),
        ("doc", "user", "", 2),
        ("ctx", "user", "", 2),
        ("plain", "user", "", 2),
        ("words of a text é", "user", "", 2),
        ("part", "user", "", 2),
        ("https://i.test/a.png", "user", "", 2),
        ("new", "user", "", 2),
    ]
    assert find_slots(ANTHROPIC).unreadable == {"image": 1, "document": 1}


def test_the_text_of_a_chat_request() -> None:
    assert rows(OPENAI) == [
        ("someone", "other", "", -1),
        ("N", "other", "", -1),
        ("d", "other", "", -1),
        ("predicted", "assistant", "", -1),
        ("STOP", "other", "", -1),
        ("rules", "system", "", 0),
        ("Ada", "user", "", 1),
        ("see", "user", "", 1),
        ("https://i.test/b.png", "user", "", 1),
        ("n.txt", "user", "", 1),
        ("words of a text é", "user", "", 1),
        ("n.pdf", "user", "", 1),
        ("no", "assistant", "", 2),
        ("hm", "assistant", "", 2),
        ("p", "tool_input", "f", 2),
        ("q", "tool_input", "f", 2),
        ('{"broken', "tool_input", "g", 2),
        ("free", "tool_input", "h", 2),
        ("out", "tool_result", "f", 3),
        ("out3", "tool_result", "h", 4),
        ("b", "tool_input", "old", 5),
        ("oldout", "tool_result", "old", 6),
    ]
    assert find_slots(OPENAI).unreadable == {"image": 1, "audio": 1, "document": 1}


def test_the_text_of_a_responses_request() -> None:
    assert rows(RESPONSES) == [
        ("be codex", "system", "", -1),
        ("key of cache", "other", "", -1),
        ("v", "user", "", -1),
        ("do it", "user", "", 0),
        ("thought", "thinking", "", 1),
        ("ls", "tool_input", "shell", 2),
        ("-l", "tool_input", "shell", 2),
        ("total 0", "tool_result", "shell", 3),
        ("exec", "tool_input", "local_shell", 4),
        ("cat", "tool_input", "local_shell", 4),
        ('{"stdout":"x"}', "tool_result", "local_shell", 5),
        ("*** Begin", "tool_input", "apply_patch", 6),
        ("done", "tool_result", "apply_patch", 7),
    ]


@pytest.mark.parametrize("body", [ANTHROPIC, OPENAI, RESPONSES])
def test_slots_come_in_the_order_of_the_bytes(body: dict[str, Any]) -> None:
    text = json.dumps(body, ensure_ascii=False)
    at = 0
    for slot in find_slots(body):
        if INNER in slot.path or BASE64 in slot.path:
            continue
        at = text.index(json.dumps(slot.text, ensure_ascii=False), at) + 1


MARK = "ma rk@x.test"


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, str):
        yield path
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))


def planted(value: Any, path: Path) -> Any:
    """`value` with the mark behind the string at `path`."""
    if not path:
        return value + MARK
    copy = value.copy()
    copy[path[0]] = planted(value[path[0]], path[1:])
    return copy


def left_alone(value: Any, path: Path) -> bool:
    """What is left alone: names of tools, what a signature covers, credentials meant for the provider."""
    if "tools" in path and path[-1] == "name":
        return True
    if {"tools", "mcp_servers"} & set(path) and {
        "authorization",
        "authorization_token",
        "headers",
        "server_url",
        "url",
    } & set(path):
        return True
    if path[:1] in (("mcp_servers",), ("tool_choice",)) and path[-1] == "name":
        return True
    for step in path[:-1]:
        value = value[step]
    if not isinstance(value, dict) or value.get("type") not in ("thinking", "redacted_thinking"):
        return False
    return path[-1] == "type" or (path[-1] == "thinking" and bool(value["signature"]))


CASES = [(body, path) for body in (ANTHROPIC, OPENAI, RESPONSES) for path in leaves(body) if not left_alone(body, path)]


def test_a_value_planted_in_any_string_of_a_request_is_in_a_slot() -> None:
    assert len(CASES) > 120
    for body, path in CASES:
        slots = find_slots(planted(body, path)).slots
        assert any(MARK in slot.text for slot in slots), path


@pytest.mark.parametrize("body", [ANTHROPIC, OPENAI, RESPONSES])
def test_what_is_left_alone_is_never_offered(body: dict[str, Any]) -> None:
    alone = [path for path in leaves(body) if left_alone(body, path) and path[-1] not in ("type", "signature", "data")]
    assert alone
    for path in alone:
        assert not any(MARK in slot.text for slot in find_slots(planted(body, path))), path


@given(VALUES, st.data())
def test_no_string_of_an_unknown_request_escapes(value: Any, data: st.DataObject) -> None:
    value = {"unknown": value, "list": [value, "last"]}
    path = data.draw(st.sampled_from(list(leaves(value))))
    assert any(MARK in slot.text for slot in find_slots(planted(value, path)))


@given(st.recursive(st.just("x"), lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3)), st.data())
def test_no_key_that_is_data_escapes(value: Any, data: st.DataObject) -> None:
    def with_key(value: Any) -> Any:
        if isinstance(value, dict) and value and data.draw(st.booleans()):
            key = data.draw(st.sampled_from(list(value)))
            return {**value, key: with_key(value[key])}
        return {MARK: "v"}

    for wrapped in ({"unknown": with_key(value)}, {"type": "tool_use", "name": "t", "input": with_key(value)}):
        assert any(slot.text == MARK and slot.path[-1] == Key(MARK) for slot in find_slots(wrapped))


@pytest.mark.parametrize("key", ["a@b.c", "Ada Lovelace", "4111111111111111", "sk-ant-Api03-abc9defghijk", "Jürgen"])
def test_keys_that_look_like_data_are_slots(key: str) -> None:
    assert [slot.text for slot in find_slots({"metadata": {key: 1}})] == [key]


@pytest.mark.parametrize("key", ["path", "file_path", "x1", "ephemeral_5m_input_tokens", "$schema", "maxOutputTokens"])
def test_keys_that_are_names_are_not(key: str) -> None:
    assert find_slots({"metadata": {key: 1}}).slots == []


SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "t it",
    "properties": {
        "jane@x.test": {"type": "string", "description": "d 1", "pattern": "p@x.test", "enum": ["e@x.test"]},
        "description": {"type": "array", "items": {"$ref": "#/$defs/d"}, "default": ["f@x.test"]},
        "format": {"anyOf": [{"type": "string", "const": "c@x.test"}, {"type": "null", "format": "f o@x"}]},
    },
    "required": ["jane@x.test"],
    "propertyOrdering": ["jane@x.test"],
    "$defs": {"o@x.test": {"type": "object", "examples": [{"k": "g@x.test"}], "x-note": "n@x.test"}},
}
SAID = ["t it", "d 1", "e@x.test", "#/$defs/d", "f@x.test", "c@x.test", "f o@x", "g@x.test", "n@x.test"]


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [{"name": "a@b c", "input_schema": SCHEMA}]},
        {"tools": [{"type": "function", "function": {"name": "a@b c", "parameters": SCHEMA}}]},
        {"tools": [{"functionDeclarations": [{"name": "a@b c", "parametersJsonSchema": SCHEMA}]}]},
        {"tools": [{"functionDeclarations": [{"name": "a@b c", "response": SCHEMA}]}]},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
        {"text": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"generationConfig": {"responseSchema": SCHEMA}},
    ],
)
def test_what_a_schema_says_is_text_and_the_names_that_it_defines_are_not(body: dict[str, Any]) -> None:
    assert [slot.text for slot in find_slots(body)] == SAID


@pytest.mark.parametrize("key", ["response", "parameters", "schema", "responseSchema"])
def test_a_tools_result_is_no_schema_whatever_it_is_called(key: str) -> None:
    said = [slot.text for slot in find_slots({"contents": [{"role": "user", "parts": [{"x": {key: SCHEMA}}]}]})]
    assert said.count("jane@x.test") == 3
    assert set(said) > set(SAID) | {"p@x.test"}


def test_what_a_tool_of_geminis_says_has_no_word_of_the_protocols() -> None:
    """Its answer is free-form: a list of tools, a schema or an id in it is the program's own."""
    said = {"tools": [{"name": "x a@b.c", "url": "u"}], "properties": {"a@b.c": {"pattern": "p"}}, "id": "call_1"}
    for key in ("functionResponse", "function_response"):
        body = {"contents": [{"role": "user", "parts": [{key: {"name": "f", "response": said}}]}]}
        texts = [(slot.text, slot.kind, slot.tool) for slot in find_slots(body) if slot.text != "f"]
        assert texts == [(each, "tool_result", "f") for each in ("x a@b.c", "u", "a@b.c", "p", "call_1")]


@pytest.mark.parametrize(
    "response", [{"name": "Ada Lovelace"}, {"properties": "a b"}, {"type": "a b", "required": "c d"}]
)
def test_an_object_that_only_has_the_name_of_a_schema_is_read_as_any_other(response: dict[str, Any]) -> None:
    assert [slot.text for slot in find_slots({"schema": response})] == list(response.values())


def test_a_batch_holds_whole_requests() -> None:
    batch = {"requests": [{"custom_id": "a", "params": ANTHROPIC}, {"custom_id": "b", "params": ANTHROPIC}]}
    assert rows(batch) == rows(ANTHROPIC) * 2


GITHUB = "ghp_" + "0aB1cD2eF3" * 3 + "gH4iJ5"
ID_KEYS = [
    "id",
    "custom_id",
    "customer_id",
    "api_key_id",
    "userId",
    "status",
    "format",
    "model",
    "role",
    "signature",
    "type",
]


@pytest.mark.parametrize("key", ID_KEYS)
@pytest.mark.parametrize(
    "value",
    [
        GITHUB,
        "536-22-8765",
        "4539148803436467",
        "+14155550123",
        "192.168.1.10",
        "AKIAIOSFODNN7EXAMPLE",
        "jane.doe@x.test",
        "x@y.z a",
    ],
)
def test_a_value_under_a_protocols_key_is_offered(key: str, value: str) -> None:
    assert [slot.text for slot in find_slots({"note": {key: value}})] == [value]
    assert [slot.text for slot in find_slots({"messages": [{"content": [{key: value}]}]})] == [value]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", "toolu_01A09q90qw90lq917835lq9"),
        ("tool_use_id", "toolu_bdrk_01A09q90qw90lq917835lq9"),
        ("call_id", "call_aB3dE5fG7hI9kL1mN3pQ5rS7"),
        ("tool_call_id", "chatcmpl-tool-0123456789abcdef0123456789abcdef"),
        ("id", "call_3f2b8c1e-1111-2222-3333-444455556666"),
        ("item_id", "rs_68af0123456789abcdef0123456789abcdef0123456789"),
        ("file_id", "file-abcDEF123456ghiJKL789"),
        ("id", "3f2b8c1e-1111-2222-3333-444455556666"),
        ("previous_response_id", "resp_0123456789abcdef"),
        ("model", "claude-sonnet-4-5-20250929"),
        ("model", "anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("model", "meta-llama/Llama-3.1-70B-Instruct-Turbo"),
        ("model", "gpt-4o-2024-08-06"),
        ("type", "web_search_20250305"),
        ("media_type", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("custom_id", "request-17"),
        ("signature", SEALED),
        ("thoughtSignature", SEALED),
    ],
)
def test_words_and_ids_of_the_protocol_are_not_offered(key: str, value: str) -> None:
    assert find_slots({"note": {key: value}}).slots == []


def test_a_credential_in_place_of_a_tools_name_is_offered() -> None:
    body = {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": GITHUB, "input": {}}]}]}
    assert [slot.text for slot in find_slots(body)] == [GITHUB]


def test_only_the_sealed_data_of_hidden_thinking_is_left_alone() -> None:
    def body(**extra: str) -> Any:
        return {
            "messages": [{"role": "assistant", "content": [{"type": "redacted_thinking", "data": "ZW5j", **extra}]}]
        }

    assert find_slots(body()).slots == []
    assert [slot.text for slot in find_slots(body(note="a@b c"))] == ["a@b c"]
    assert [slot.text for slot in find_slots(body(data="a@b c"))] == ["a@b c"]
    signed = {"type": "thinking", "thinking": "hm", "signature": SEALED, "note": "a@b c"}
    assert [slot.text for slot in find_slots({"messages": [{"role": "assistant", "content": [signed]}]})] == ["a@b c"]


CARD = 4539148803436467


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"messages": [{"role": "user", "content": CARD}]}, ("messages", 0, "content", NUMBER)),
        ({"whatever": {"deep": [1, CARD]}}, ("whatever", "deep", 1, NUMBER)),
        ({"type": "tool_use", "name": "t", "input": {"n": CARD}}, ("input", "n", NUMBER)),
        ({"type": "tool_use", "name": "t", "input": {"created": CARD}}, ("input", "created", NUMBER)),
        ({"metadata": {"seed": CARD}}, ("metadata", "seed", NUMBER)),
        (
            {"tool_calls": [{"function": {"name": "p", "arguments": '{"n": 4539148803436467}'}}]},
            ("tool_calls", 0, "function", "arguments", INNER, "n", NUMBER),
        ),
        ({"input": [CARD]}, ("input", 0, NUMBER)),
    ],
)
def test_a_number_of_nine_to_nineteen_digits_is_a_slot(body: Any, path: Path) -> None:
    assert [(slot.path, slot.text) for slot in find_slots(body)] == [(path, str(CARD))]


def test_a_whole_number_that_is_written_as_a_float_is_the_same_slot() -> None:
    for written in ("4539148803436467.0", "4.539148803436467e15", "45391488034364670E-1"):
        found = find_slots(parse(b'{"x": %s}' % written.encode()))
        assert [(slot.path, slot.text) for slot in found] == [(("x", NUMBER), str(CARD))]
    assert not find_slots(parse(b'{"x": [4539148803436467.2, 4e300, 45391488034.25]}')).slots


@pytest.mark.parametrize("number", [10**8, -(10**8), 10**19 - 1])
def test_the_bounds_of_numbers_that_are_slots(number: int) -> None:
    assert [slot.text for slot in find_slots({"x": number})] == [str(number)]


@pytest.mark.parametrize(
    "body",
    [
        {"x": 10**8 - 1},
        {"x": 10**19},
        {"x": 4539148803436.5},
        {"x": True},
        {"seed": CARD},
        {"created": CARD, "created_at": CARD},
        {"max_tokens": CARD, "thinking": {"budget_tokens": CARD}, "maxOutputTokens": CARD},
    ],
)
def test_other_numbers_and_those_of_the_protocol_are_no_slots(body: Any) -> None:
    assert find_slots(body).slots == []


def test_the_numbers_of_an_answer_are_no_slots() -> None:
    assert answer_slots({"created": CARD, "x": CARD, "id": GITHUB}) == []
    assert [slot.text for slot in answer_slots({"id": "[EMAIL_ADDRESS_0123456789ab]"})] == [
        "[EMAIL_ADDRESS_0123456789ab]"
    ]


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ({"input": [1, "jane@x.test"]}, ["jane@x.test"]),
        ({"input": [[1], "jane@x.test"]}, ["jane@x.test"]),
        ({"input": [[1], [2, "jane@x.test"]]}, ["jane@x.test"]),
        ({"input": [[[1, "jane@x.test"]]]}, ["jane@x.test"]),
        ({"prompt": [1, {"text": "jane@x.test"}]}, ["jane@x.test"]),
    ],
)
def test_text_among_token_numbers_is_text(body: dict[str, Any], texts: list[str]) -> None:
    found = find_slots(body)
    assert [slot.text for slot in found] == texts
    assert not found.unreadable


@pytest.mark.parametrize(
    "body", [{"prompt": [1, 2]}, {"prompt": [[1, 2], [3]]}, {"input": [1, 2], "model": "m"}, {"input": [[1], [2]]}]
)
def test_text_that_is_sent_as_token_numbers_is_counted(body: dict[str, Any]) -> None:
    assert find_slots(body).unreadable == {"tokens": 1}


LINES = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(112)).decode()


@pytest.mark.parametrize(
    ("text", "media"),
    [
        ("data:image/png;base64," + PNG, "image"),
        ("data:application/octet-stream;base64," + PNG, "file"),
        ("data:audio/wav;base64,UklGRg==", "audio"),
        ("data:video/mp4;codecs=x;base64,AAAA", "video"),
        (PNG, "image"),
        ("data:image/png;base64,mail a@b", None),  # no base64, so it is text
        ("data:text/plain,mail a@b", None),
        ("\r\n".join([LINES[:76], LINES[76:152], LINES[152:]]), "image"),
        ("\n".join([LINES[:64], LINES[64:128], LINES[128:140]]) + "\n", "image"),
        ("data:image/png;base64,iVBO jane doe", None),
        (PNG[:40], None),
    ],
)
def test_media_are_told_by_what_they_are(text: str, media: str | None) -> None:
    found = find_slots({"text": text})
    assert dict(found.unreadable) == ({media: 1} if media else {})
    assert [slot.text for slot in found] == ([] if media else [text])


@pytest.mark.parametrize(
    ("text", "media"),
    [
        ("/9j/" + "A" * 100 + "\n" + GITHUB, "image"),
        ("/9j/" + "A" * 60 + " jane doe", "image"),
        ("UklGR" + "A" * 100 + " AIzaSy" + "x" * 33, "image"),
        (PNG + " a@b", "image"),
    ],
)
def test_what_stands_beside_media_is_read_and_the_media_are_counted(text: str, media: str) -> None:
    found = find_slots({"text": text})
    assert [slot.text for slot in found] == [text]
    assert dict(found.unreadable) == {media: 1}


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_text_in_any_encoding_that_says_it_is_media_is_text(codec: str) -> None:
    text = "write to jane.doe@corp.example, please, " * 20
    data = base64.b64encode(text.encode(codec)).decode()
    for kind in ("image/png", "audio/wav", "application/pdf"):
        for body in (
            {"source": {"type": "base64", "media_type": kind, "data": data}},
            {"inlineData": {"mimeType": kind, "data": data}},
            {"text": f"data:{kind};base64,{data}"},
        ):
            found = find_slots(body)
            assert [slot.text.removeprefix("\ufeff") for slot in found] == [text]
            assert not found.unreadable
    found = find_slots({"input_audio": {"format": "wav", "data": data}})
    assert [slot.text.removeprefix("\ufeff") for slot in found] == [text]


def test_a_short_value_under_a_key_of_a_persons_id_is_text() -> None:
    for key in (
        "nino_id", "pan_id", "nie_id", "drivers_license_id", "ninoId", "driverLicenseId", "user_nino_id", "passport_id", "nhs_id",
        "tax_id", "ssn_ids", "panIds", "dni_id", "PAN_id", "passportNumberId", "card_id",
    ):  # fmt: skip
        assert [slot.text for slot in find_slots({key: "X1234567L"})] == ["X1234567L"], key
    for key in ("client_id", "request_id", "tool_use_id", "span_id", "company_id", "model_id", "node_id", "id"):
        assert find_slots({key: "X1234567L"}).slots == [], key


@pytest.mark.parametrize("kind", ["image/png", "audio/wav", "video/mp4", "application/pdf"])
def test_text_that_says_it_is_something_else_is_text(kind: str) -> None:
    def found(data: bytes) -> list[str]:
        url = f"data:{kind};base64," + base64.b64encode(data).decode()
        return [slot.text for slot in find_slots({"text": url})]

    assert found(b"write to jane.doe@corp.example, please, " * 20) == ["write to jane.doe@corp.example, please, " * 20]
    assert found(b"%PDF-1.7\n1 0 obj << /Author (jane.doe@corp.example) >> " * 20) == []
    assert found(b"GIF89a\x01\0\x01\0" + b"jane.doe@corp.example " * 20) == []
    assert found(b"\x00\x01\x02" + b"jane.doe@corp.example " * 20) == []


@pytest.mark.parametrize("kind", ["application/vnd.ms-excel", "application/octet-stream", "", "text/csv"])
@pytest.mark.parametrize("codec", ["latin-1", "utf-16", "utf-16-le", "utf-8"])
def test_base64_of_a_text_in_any_encoding_is_text(kind: str, codec: str) -> None:
    coded = base64.b64encode("Müller; jane@x.test".encode(codec)).decode()
    found = find_slots({"file": {"filename": "f", "file_data": f"data:{kind};base64,{coded}"}})
    assert [slot.text.removeprefix("\ufeff") for slot in found] == ["f", "Müller; jane@x.test"]
    assert not found.unreadable


@pytest.mark.parametrize("kind", ["text/plain", "image/svg+xml", "application/json", "", "application/octet-stream"])
def test_base64_of_a_text_is_text(kind: str) -> None:
    found = find_slots({"url": f"data:{kind};base64,{TEXT}"})
    assert [(slot.text, slot.path) for slot in found] == [("words of a text é", ("url", BASE64))]


def test_every_dialect_finds_the_same_text() -> None:
    for dialect in DIALECTS.values():
        operation = dialect.operation("POST", "/v1/messages")
        for body in (ANTHROPIC, OPENAI, RESPONSES):
            assert [s.text for s in dialect.request_slots(operation, body)] == [s.text for s in find_slots(body)]
