"""The running texts of Gemini's streams: which piece belongs to which, where each ends, and what a piece looks like."""

import json
from typing import Any

import pytest

from tokenman_core.dialects.base import AnswerReader
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.sse import Event

GEMINI, ASSIST = "/v1beta/models/g:streamGenerateContent", "/v1internal:streamGenerateContent"
CALL = {"functionCall": {"name": "f", "args": {"a": "in a call"}}, "thoughtSignature": "c2ln"}


def reader(path: str) -> AnswerReader:
    return DIALECTS["gemini"].reader(DIALECTS["gemini"].operation("POST", path))


def chunk(*parts: Any, finish: str = "", index: int | None = 0, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}}
    candidate |= {"finishReason": finish} if finish else {}
    candidate |= {"index": index} if index is not None else {}
    return {"candidates": [candidate], "modelVersion": "g", "responseId": "r", **more}


def text(said: str) -> dict[str, Any]:
    return {"text": said}


def thought(said: str) -> dict[str, Any]:
    return {"text": said, "thought": True}


def seen(path: str, *chunks: Any) -> tuple[AnswerReader, list[Event]]:
    one = reader(path)
    events = [
        Event(b"data: " + json.dumps(it if path == GEMINI else {"response": it, "traceId": "t"}).encode() + b"\r\n\r\n")
        for it in chunks
    ]
    for event in events:
        one.read(event)
    return one, events


@pytest.mark.parametrize("path", [GEMINI, ASSIST])
def test_pieces_of_a_text_have_one_channel_and_a_call_is_complete(path: str) -> None:
    _, events = seen(
        path, chunk(thought("hm")), chunk(text("a"), text("b")), chunk(CALL), chunk(text(""), finish="STOP")
    )
    told = [(slot.channel, slot.kind, slot.text) for event in events for slot in event.slots]
    assert [one for one in told if one[2] not in ("model", "g", "r", "t", "STOP", "")] == [
        ("0.thought", "thinking", "hm"),
        ("0.text", "assistant", "a"),
        ("0.text", "assistant", "b"),
        ("", "tool_input", "in a call"),
    ]
    assert [slot.tool for slot in events[2].slots if slot.kind == "tool_input"] == ["f"]


@pytest.mark.parametrize("path", [GEMINI, ASSIST])
def test_a_text_ends_where_another_begins(path: str) -> None:
    _, events = seen(
        path,
        chunk(thought("hm")),
        chunk(text("a")),
        chunk(text("b")),
        chunk(text("c"), CALL),
        chunk(text("d")),
        chunk(text("e"), finish="STOP"),
    )
    assert [set(event.closes) for event in events] == [set(), {"0.thought"}, set(), {"0.text"}, set(), {"0.text"}]


def test_candidates_are_told_apart_and_end_by_themselves() -> None:
    first, second = chunk(text("a"), index=0), chunk(text("b"), index=1)
    both = {"candidates": [first["candidates"][0], second["candidates"][0]]}
    _, events = seen(GEMINI, both, chunk(finish="STOP", index=1), chunk(text("c"), index=None))
    assert [slot.channel for slot in events[0].slots if slot.text in "ab"] == ["0.text", "1.text"]
    assert [set(event.closes) for event in events] == [set(), {"1.text"}, set()]
    assert [slot.channel for slot in events[2].slots if slot.text == "c"] == ["0.text"]


@pytest.mark.parametrize("path", [GEMINI, ASSIST])
@pytest.mark.parametrize("part", [text("a"), thought("a")])
def test_a_piece_is_read_as_more_text_of_its_channel(path: str, part: Any) -> None:
    one, events = seen(path, chunk(part, usageMetadata={"promptTokenCount": 3}))
    channel = next(slot.channel for slot in events[0].slots if slot.text == "a")
    piece = one.piece(channel, 'é"\n')
    assert piece is not None
    assert piece.raw.endswith(b"\r\n\r\n")
    assert b"usageMetadata" not in piece.raw  # it has been told
    again = reader(path)
    again.read(piece)
    assert [(slot.channel, slot.text) for slot in piece.slots if slot.channel] == [(channel, 'é"\n')]


def test_an_error_ends_all_texts() -> None:
    _, events = seen(GEMINI, chunk(text("a")), {"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}})
    assert events[1].closes == {"0.text"}


@pytest.mark.parametrize(
    "value",
    [
        {"candidates": 1},
        {"candidates": [1, None]},
        {"candidates": [{"content": 1}]},
        {"candidates": [{"content": {"parts": {"text": "x"}}}]},
        {"candidates": [{"content": {"parts": ["x", None, {"text": 3}]}}]},
        {"response": [{"candidates": []}]},
        {"response": {"candidates": {"content": {}}}},
    ],
)
def test_what_has_no_form_of_googles_is_read_all_the_same(value: Any) -> None:
    event = Event(b"data: " + json.dumps(value).encode() + b"\n\n")
    reader(GEMINI).read(event)
    assert not event.closes
