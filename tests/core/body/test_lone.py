"""Lone surrogates pass as they came, wherever they stand, and what stands beside them is changed as ever."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.body.test_json_body import change, every_string, put
from tokenman_core.body.json_body import JsonBody
from tokenman_core.body.jsonl_body import JsonlBody
from tokenman_core.body.lone import hide
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.errors import BodyError
from tokenman_core.sse import Event

PIECES = st.sampled_from(
    ["\ud800", "\udbff", "\udc00", "\udfff", "\ud83d\ude00", "\ude00\ud83d", "secret", "\ue000", "\ue800", "\uefff",
     "\uf000", "\\", "\\ud800", '"', "a", "é", "\n", "/", ""]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=6).map("".join)
VALUES: st.SearchStrategy[Any] = st.recursive(
    TEXTS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


def private(text: str) -> bool:
    """Whether all places are taken that a stand-in could have."""
    return all(any(low <= ord(each) < low + 0x800 for each in text) for low in (0xE000, 0xE800, 0xF000))


@given(VALUES, st.booleans())
def test_any_body_with_lone_surrogates_passes_and_is_changed_around_them(value: Any, upper: bool) -> None:
    text = json.dumps(value)
    if upper:
        text = text.replace("\\ud", "\\uD")
    source = text.encode()
    value = json.loads(source)  # two halves side by side are one character
    if hide(source) is None:
        return
    body = JsonBody(source, every_string)
    assert body.render() is source
    intended = value
    for slot, path in zip(body.slots, [slot.path for slot in JsonBody(source, every_string).slots], strict=True):
        now = slot.text.replace("secret", "[S_1]")
        if now != slot.text:
            real = value
            steps = [_real(step, source) for step in path]
            for step in steps:
                real = real[step]
            intended = put(intended, tuple(steps), real.replace("secret", "[S_1]"))
    made = change(body, "secret", "[S_1]")
    assert json.loads(made) == intended
    if intended == value:
        assert made == source


def _real(step: Any, source: bytes) -> Any:
    hidden = hide(source)
    assert hidden is not None
    return json.loads(hidden.show(json.dumps(step).encode())) if isinstance(step, str) else step


def test_every_other_byte_stays() -> None:
    source = b'{ "a\\ud800" : "x \\ud83d \\\\ud800 \\ud83d\\ude00 secret\\udc00", "b":["\\uDFFF"] , "n" : 1.0 }'
    assert change(JsonBody(source, every_string), "secret", "[S_1]") == source.replace(b"secret", b"[S_1]")
    lines = source + b"\n" + b'{"c": "secret"}\n'
    assert change(JsonlBody(lines, every_string), "secret", "[S_1]") == lines.replace(b"secret", b"[S_1]")  # type: ignore[arg-type]


def test_what_is_no_json_is_none_with_them_either() -> None:
    for source in (
        b'{"a": "\\ud800"',
        b'{"a": \\ud800}',
        b'{"a": "\\ud80"}',
        b'["\\ud800", NaN]',
        b'{"a\\ud800": 1, "a\\ud800": 2}',
    ):
        with pytest.raises(BodyError):
            JsonBody(source, every_string)
    with pytest.raises(BodyError):  # each number that a stand-in could have is taken
        JsonBody(json.dumps(["\ud800", "\ue000", "\ue800", "\uf000"]).encode(), every_string)
    body = JsonBody(b'["\\ud800", "secret"]', every_string)
    with pytest.raises(BodyError):
        change(body, "secret", "\ue800")


def test_answers_are_read_and_restored_around_them() -> None:
    chunk = (
        b'data: {"choices": [{"index": 0, "delta": {"content": "\\ud83d [A_1]\\ude00"}, '
        b'"finish_reason": "stop"}], "k\\uD800": 1}\n\n'
    )
    for where, made, kind in (
        (("openai", "/v1/chat/completions"), chunk, "sse"),
        (("generic", "/v1/x"), chunk, "sse"),
        (("openai", "/v1/chat/completions"), chunk[6:], "whole"),
        (
            ("anthropic", "/v1/messages"),
            b'{"type":"message","content":[{"type":"text","text":"[A_1] \\ud83d"}]}',
            "whole",
        ),
        (("openai", "/v1/files/f/content"), b'{"a": "[A_1]"}\n{"b": "\\ud83d [A_1]"}\n', "whole"),
    ):
        dialect = DIALECTS[where[0]]
        event = Event(made, kind)  # type: ignore[arg-type]
        reader, noting = (dialect.reader(dialect.operation("POST", where[1])) for _ in range(2))
        reader.read(event)
        noting.note(event)
        assert event.render() is made
        for slot in event.slots:
            slot.text = slot.text.replace("[A_1]", 'Z"')
        assert any(slot.changed for slot in event.slots)
        assert event.render() == made.replace(b"[A_1]", b'Z\\"')
        if kind == "sse":
            assert reader.finished
            assert noting.finished
