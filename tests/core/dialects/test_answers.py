"""Readers of answers: which text is a piece of what, what ends it, and what was used."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.body.written import VALUES
from tests.core.dialects import streams
from tests.core.dialects.streams import closed, complete, event, note, read, running, state
from tokenman_core.dialects.base import AnswerReader, Operation
from tokenman_core.dialects.reader import MAX_CHANNELS
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.redaction import Mapping, Restorer
from tokenman_core.slots import INNER
from tokenman_core.sse import Event
from tokenman_core.usage import Usage


def reader(dialect: str, path: str) -> AnswerReader:
    return DIALECTS[dialect].reader(DIALECTS[dialect].operation("POST", path))


MESSAGES = ("anthropic", "/v1/messages")
CHAT = ("openai", "/v1/chat/completions")
RESPONSES = ("openai", "/backend-api/codex/responses")
ALL: list[tuple[tuple[str, str], Any, Any]] = [
    (MESSAGES, streams.anthropic_stream, streams.ANTHROPIC_MESSAGE),
    (CHAT, streams.chat_stream, streams.CHAT_ANSWER),
    (RESPONSES, streams.responses_stream, streams.RESPONSE_DONE),
    (("generic", "/anything"), streams.chat_stream, streams.CHAT_ANSWER),
]


@pytest.mark.parametrize(("where", "stream", "whole"), ALL)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_stream_and_a_plain_answer_tell_the_same_usage(
    where: tuple[str, str], stream: Any, whole: Any, end: str
) -> None:
    streamed, plain = reader(*where), reader(*where)
    read(streamed, stream(end))
    plain.read(Event(json.dumps(whole).encode(), "whole"))
    assert streamed.usage is not None
    assert state(streamed) == state(plain)
    assert streamed.finished
    assert streamed.failed is None


@pytest.mark.parametrize(("where", "stream", "whole"), ALL)
def test_noting_learns_what_reading_learns(where: tuple[str, str], stream: Any, whole: Any) -> None:
    noting, reading = reader(*where), reader(*where)
    note(noting, stream())
    read(reading, stream())
    assert state(noting) == state(reading)
    noting, reading = reader(*where), reader(*where)
    noting.note(Event(json.dumps(whole).encode(), "whole"))
    reading.read(Event(json.dumps(whole).encode(), "whole"))
    assert state(noting) == state(reading)


@pytest.mark.parametrize(("where", "stream", "whole"), ALL)
def test_reading_changes_no_byte(where: tuple[str, str], stream: Any, whole: Any) -> None:
    assert b"".join(one.render() for one in read(reader(*where), stream())) == stream()
    body = Event(json.dumps(whole).encode(), "whole")
    reader(*where).read(body)
    assert body.render() is body.raw


@pytest.mark.parametrize(("where", "stream", "whole"), ALL)
def test_any_slot_of_an_answer_can_be_changed_alone(where: tuple[str, str], stream: Any, whole: Any) -> None:
    body = Event(json.dumps(whole).encode(), "whole")
    reader(*where).read(body)
    for one in [*read(reader(*where), stream()), body]:
        for slot in one.slots:
            slot.text = "ré\n\"d'" + slot.text
            made = one.render()
            assert made != one.raw
            if one.kind == "sse":
                assert made.count(b"\n") == one.raw.count(b"\n")
            again = Event(made, one.kind)
            again.value = json.loads(again.data or b"")
            value: Any = again.value
            for step in slot.path:
                value = json.loads(value) if step is INNER else value[step]
            assert value == slot.text
            slot.text = slot.original


def test_the_pieces_of_an_anthropic_stream() -> None:
    events = read(reader(*MESSAGES), streams.anthropic_stream())
    assert running(events) == {"0": "hm", "1": "Hi [EMAIL]", "2": '{"cmd":"ls"}'}
    assert complete(events) == ["cited"]
    assert closed(events) == [(5, {"0"}), (10, {"1"}), (15, {"2"})]
    pieces = {slot.channel: slot for one in events for slot in one.slots if slot.channel}
    assert [(s.kind, s.tool, s.partial_json, s.signed) for s in pieces.values()] == [
        ("thinking", "", False, True),
        ("assistant", "", False, False),
        ("tool_input", "Bash", True, False),
    ]


def test_the_text_of_a_plain_anthropic_answer_says_what_is_signed() -> None:
    body = Event(json.dumps(streams.ANTHROPIC_MESSAGE).encode(), "whole")
    reader(*MESSAGES).read(body)
    assert [(s.text, s.kind, s.tool, s.signed) for s in body.slots] == [
        ("hm", "thinking", "", True),
        ("Hi [EMAIL]", "assistant", "", False),
        ("cited", "assistant", "", False),
        ("ls", "tool_input", "Bash", False),
    ]


def test_anthropic_usage_counts_what_was_cached() -> None:
    for where, stream, _ in ALL[:1]:
        one = reader(*where)
        read(one, stream())
        assert one.usage == Usage(33, 99, cache_read=20, cache_write_5m=4, cache_write_1h=6)
        assert one.model == "claude-x"


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"input_tokens": 5, "output_tokens": 2}, Usage(5, 2)),
        ({"input_tokens": 5, "cache_creation_input_tokens": 7}, Usage(12, 0, cache_write_5m=7)),
        (
            {"cache_creation_input_tokens": 7, "cache_creation": {"ephemeral_1h_input_tokens": 7}},
            Usage(7, cache_write_1h=7),
        ),
        ({"input_tokens": 5, "output_tokens": 0}, Usage(5)),
        ({"input_tokens": -5, "output_tokens": True, "cache_read_input_tokens": "9", "cache_creation": []}, Usage()),
    ],
)
def test_anthropic_usage_vectors(said: dict[str, Any], usage: Usage) -> None:
    one = reader(*MESSAGES)
    one.read(Event(json.dumps({"type": "message", "usage": said}).encode(), "whole"))
    assert one.usage == usage


def test_counting_tokens_uses_none() -> None:
    one = reader("anthropic", "/v1/messages/count_tokens")
    one.read(Event(b'{"input_tokens":5}', "whole"))
    assert (one.usage, one.finished) == (None, True)


def test_blocks_and_deltas_that_are_unknown_are_read_too() -> None:
    events = read(
        reader(*MESSAGES),
        event({"type": "content_block_start", "index": 3, "content_block": {"type": "new", "words": "w"}})
        + event(
            {
                "type": "content_block_delta",
                "index": 3,
                "delta": {"type": "new_delta", "content": "pie", "x": {"y": "z"}},
            }
        )
        + event({"type": "content_block_delta", "index": 3, "delta": {"type": "new_delta", "content": "ce"}})
        + event({"type": "content_block_stop", "index": 3})
        + event({"type": "content_block_start", "index": 30, "content_block": {"type": "text", "text": "at once"}})
        + event({"type": "new_event", "words": ["v"]})
        + event({"type": "content_block_stop", "index": 3}),
    )
    assert running(events) == {"3.content": "piece", "30": "at once"}
    assert complete(events) == ["w", "z", "v"]
    assert closed(events) == [(3, {"3.content"}), (7, {"30"})]


@pytest.mark.parametrize(
    ("where", "stream", "kind"),
    [
        (
            MESSAGES,
            event({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
            "overloaded_error",
        ),
        (
            CHAT,
            event({"error": {"message": "busy", "type": "server_error", "code": None}}, named=False),
            "server_error",
        ),
        (CHAT, event({"error": {"message": "busy", "code": "slow"}}, named=False), "slow"),
        (RESPONSES, event({"type": "error", "code": "slow", "message": "busy", "param": None}), "slow"),
        (
            RESPONSES,
            event({"type": "response.failed", "response": {"error": {"code": "slow", "message": "busy"}}}),
            "slow",
        ),
    ],
)
def test_an_error_in_a_stream_is_a_failure_and_its_words_are_text(
    where: tuple[str, str], stream: bytes, kind: str
) -> None:
    one = reader(*where)
    events = read(one, stream)
    assert (one.failed, one.finished) == (kind, False)
    assert "busy" in complete(events)
    noting = reader(*where)
    note(noting, b"data: {}\n\n" + stream)
    assert (noting.failed, noting.finished) == (kind, False)


@pytest.mark.parametrize("where", [MESSAGES, CHAT, RESPONSES])
def test_an_error_as_a_body_is_a_failure(where: tuple[str, str]) -> None:
    dialect = DIALECTS[where[0]]
    body = Event(dialect.error(429, "rate_limit", "slow down", "req_1"), "whole")
    one = reader(*where)
    one.read(body)
    assert one.failed in ("rate_limit_error", "rate_limit")
    assert not one.finished
    assert "slow down (tokenman why req_1)" in [slot.text for slot in body.slots]


@pytest.mark.parametrize("where", [MESSAGES, CHAT, RESPONSES])
def test_comments_and_pings_are_no_words(where: tuple[str, str]) -> None:
    one = reader(*where)
    stream = b': keep-alive\n\nevent: ping\ndata: {"type": "ping"}\n\n'
    if where == RESPONSES:
        stream += event(streams.RESPONSE_EVENTS[0])
    read(one, stream)
    note(one, stream)
    assert not one.spoke
    one.note(Event(b": keep-alive\n\n"))
    assert not one.spoke


@pytest.mark.parametrize(("where", "stream", "_whole"), ALL)
def test_a_stream_that_is_cut_off_is_not_finished(where: tuple[str, str], stream: Any, _whole: Any) -> None:
    events = stream().split(b"\n\n")
    one = reader(*where)
    last = read(one, b"\n\n".join(events[:3]) + b"\n\n")[-1]
    assert (one.finished, one.spoke) == (False, True)
    assert last.kind == "end"


@pytest.mark.parametrize(
    ("where", "events"),
    [
        (
            ("openai", "/v1/images/generations"),
            [
                {"type": "image_generation.partial_image", "b64_json": "QUJD", "partial_image_index": 0},
                {
                    "type": "image_generation.completed",
                    "b64_json": "QUJD",
                    "usage": {"input_tokens": 5, "output_tokens": 9},
                },
            ],
        ),
        (
            ("openai", "/v1/images/edits"),
            [
                {"type": "image_edit.partial_image", "b64_json": "QUJD", "partial_image_index": 0},
                {"type": "image_edit.completed", "b64_json": "QUJD"},
            ],
        ),
        (
            ("openai", "/v1/audio/transcriptions"),
            [{"type": "transcript.text.delta", "delta": "hi"}, {"type": "transcript.text.done", "text": "hi"}],
        ),
        (
            ("openai", "/v1/audio/speech"),
            [{"type": "speech.audio.delta", "audio": "QUJD"}, {"type": "speech.audio.done", "usage": {}}],
        ),
        (
            ("anthropic", "/v1/complete"),
            [
                {"type": "completion", "completion": "hi", "stop_reason": None},
                {"type": "completion", "completion": "", "stop_reason": "stop_sequence"},
            ],
        ),
        (
            ("gemini", "/v1beta/models/m:streamGenerateContent"),
            [{"usageMetadata": {}}, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}],
        ),
    ],
    ids=lambda it: it[1] if type(it) is tuple else "",
)
def test_each_way_to_say_that_a_stream_is_whole_is_known(where: tuple[str, str], events: list[dict[str, Any]]) -> None:
    for through in (read, note):
        one = reader(*where)
        through(one, event(events[0], named="type" in events[0]))
        assert not one.finished
        through(one, event(events[1], named="type" in events[1]))
        assert one.finished


def test_of_several_choices_each_has_an_end_of_its_own() -> None:
    """What ends without one, and without [DONE], is told to be cut."""

    def chat(*choices: tuple[int, str, str | None]) -> bytes:
        chunk = {
            "choices": [{"index": at, "delta": {"content": text}, "finish_reason": end} for at, text, end in choices]
        }
        return b"data: " + json.dumps(chunk).encode() + b"\n\n"

    def gemini(*choices: tuple[int, str, str | None]) -> bytes:
        made = [{"index": at, "content": {"parts": [{"text": text}]}, "finishReason": end} for at, text, end in choices]
        return b"data: " + json.dumps({"candidates": made, "usageMetadata": {}}).encode() + b"\n\n"

    ways = [(CHAT, chat), (("openai", "/v1/completions"), chat), (("generic", "/v1/x"), chat)]
    ways.append((("gemini", "/v1beta/models/m:streamGenerateContent"), gemini))
    for where, chunk in ways:
        for through in (read, note):
            for parts, whole in (
                ([[(0, "a", None)], [(1, "b", None)], [(0, "", "stop")]], False),
                ([[(0, "a", None)], [(0, "", "stop")], [(1, "b", None)]], False),
                ([[(0, "a", None), (1, "b", "stop")]], False),
                ([[(0, "a", None)], [(1, "b", None)], [(0, "", "stop"), (1, "", "stop")]], True),
                ([[(0, "a", None)], [(0, "", "stop")], [(1, "b", None)], [(1, "", "length")]], True),
                ([[(0, "a", "stop")], [(0, "", None)]], True),  # Azure tells of filters behind the end
            ):
                one = reader(*where)
                through(one, b"".join(chunk(*part) for part in parts))
                assert one.finished is whole, (where, parts)
                assert one.promised  # whatever was asked for
                through(one, b"data: [DONE]\n\n")
                assert one.finished


def test_the_end_closes_what_is_open() -> None:
    events = read(reader(*CHAT), event(streams.chunk({"content": "x"}), named=False))
    assert closed(events) == [(1, {"0.content"})]


def test_the_pieces_of_a_chat_stream() -> None:
    events = read(reader(*CHAT), streams.chat_stream())
    assert running(events) == {
        "0.content": "Hi [EMAIL]",
        "0.reasoning_content": "hm",
        "1.content": "other",
        "1.refusal": "no",
        "0.tool.0": '{"path":"x"}',
        "0.tool.1": "{}",
    }
    assert complete(events) == []
    assert closed(events) == [
        (11, {"0.content", "0.reasoning_content", "0.tool.0", "0.tool.1"}),
        (12, {"1.content", "1.refusal"}),
    ]
    tools = {slot.channel: (slot.kind, slot.tool, slot.partial_json) for one in events for slot in one.slots}
    assert tools["0.tool.0"] == ("tool_input", "f", True)
    assert tools["0.tool.1"] == ("tool_input", "g", True)
    assert tools["0.content"] == ("assistant", "", False)
    assert tools["0.reasoning_content"] == ("thinking", "", False)


def test_the_text_of_a_plain_chat_answer() -> None:
    body = Event(json.dumps(streams.CHAT_ANSWER).encode(), "whole")
    reader(*CHAT).read(body)
    assert [(s.text, s.kind, s.tool, s.partial_json) for s in body.slots] == [
        ("Hi [EMAIL]", "assistant", "", False),
        ("hm", "assistant", "", False),
        ("x", "tool_input", "f", False),
        ('{"cut', "tool_input", "g", True),
    ]


def test_openai_usage_is_the_same_in_both_apis() -> None:
    for where, stream, _ in ALL[1:3]:
        one = reader(*where)
        read(one, stream())
        assert one.usage == Usage(30, 40, cache_read=20, reasoning=5)


def test_old_function_calls_custom_tools_and_completions_are_pieces_too() -> None:
    custom = {"tool_calls": [{"index": 2, "type": "custom", "custom": {"name": "h", "input": "in"}}]}
    events = read(
        reader(*CHAT),
        event(streams.chunk({"function_call": {"name": "old", "arguments": "{"}}), named=False)
        + event(streams.chunk({"function_call": {"arguments": "}"}}), named=False)
        + event(streams.chunk(custom), named=False)
        + event({"choices": [{"index": 0, "text": "completed"}]}, named=False),
    )
    assert running(events) == {"0.function": "{}", "0.tool.2": "in", "0.text": "completed"}
    assert [(s.tool, s.partial_json) for one in events for s in one.slots] == [
        ("old", True),
        ("old", True),
        ("h", False),
        ("", False),
    ]


def test_the_pieces_of_a_responses_stream() -> None:
    events = read(reader(*RESPONSES), streams.responses_stream())
    assert running(events) == {
        "response.function_call_arguments@0": '{"command":["ls"]}',
        "response.output_text@1.0": "Hi [EMAIL]",
    }
    assert closed(events) == [(4, {"response.function_call_arguments@0"}), (9, {"response.output_text@1.0"})]
    assert complete(events) == ["ls", "ls", "Hi [EMAIL]", "Hi [EMAIL]", "ls", "Hi [EMAIL]"]
    calls = [slot for one in events for slot in one.slots if slot.kind == "tool_input"]
    assert {slot.tool for slot in calls} == {"shell"}
    assert [slot.partial_json for slot in calls] == [True, True, False, False, False]


def test_an_item_that_is_done_closes_all_that_is_in_it() -> None:
    def delta(**where: Any) -> bytes:
        return event({"type": "response.output_text.delta", "delta": "x", **where})

    events = read(
        reader(*RESPONSES),
        delta(output_index=1, content_index=0)
        + delta(output_index=1, content_index=1)
        + delta(output_index=10, content_index=0)
        + delta(item_id="i")
        + event({"type": "response.output_item.done", "output_index": 1})
        + event({"type": "response.completed", "response": {}}),
    )
    assert closed(events) == [
        (4, {"response.output_text@1.0", "response.output_text@1.1"}),
        (5, {"response.output_text@10.0", "response.output_text@i"}),
    ]


def test_gemini_usage_and_end_are_read() -> None:
    one = reader("gemini", "/v1beta/models/g:streamGenerateContent")
    said = {"promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 5, "thoughtsTokenCount": 2}
    value = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}
    events = read(one, event({**value, "usageMetadata": said, "modelVersion": "gemini-x"}, named=False))
    assert [slot.text for slot in events[0].slots if slot.channel] == ["Hi"]
    assert (one.usage, one.finished) == (Usage(10, 7, cache_read=4, reasoning=2), True)
    assert one.model == "gemini-x"


def test_gemini_usage_is_read_where_code_assist_nests_it() -> None:
    one = reader("gemini", "/v1internal:streamGenerateContent")
    said = {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 2}
    text = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}}], "usageMetadata": {}}
    end = {"candidates": [{"content": {}, "finishReason": "STOP"}], "usageMetadata": said, "modelVersion": "gemini-x"}
    note(one, event({"response": text, "traceId": "t"}, named=False))
    assert not one.finished
    note(one, event({"response": end, "traceId": "t"}, named=False))
    assert (one.usage, one.finished, one.model) == (Usage(10, 7, reasoning=2), True, "gemini-x")


def test_gemini_usage_is_read_from_a_list_of_chunks() -> None:
    one = reader("gemini", "/v1beta/models/g:streamGenerateContent")
    chunks = [
        {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}], "usageMetadata": {"promptTokenCount": 10}},
        {
            "candidates": [{"finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5},
        },
    ]
    whole = Event(json.dumps(chunks).encode(), "whole")
    one.read(whole)
    assert [slot.text for slot in whole.slots if "Hi" in slot.text] == ["Hi"]
    assert (one.usage, one.finished) == (Usage(10, 5), True)


def test_a_gemini_stream_may_end_without_usage() -> None:
    one = reader("gemini", "/v1beta/models/g:streamGenerateContent")
    note(one, event({"candidates": [{"content": {}}]}, named=False))
    note(one, event({"candidates": [{"finishReason": "STOP"}]}, named=False))
    assert (one.usage, one.finished) == (None, True)


@pytest.mark.parametrize(
    ("where", "value", "terms"),
    [
        (CHAT, {"choices": [], "service_tier": "flex", "usage": {"prompt_tokens": 1}}, {"service_tier": "flex"}),
        (RESPONSES, {"output": [], "service_tier": "priority"}, {"service_tier": "priority"}),
        (MESSAGES, {"type": "message", "usage": {"speed": "fast", "service_tier": "standard"}}, {"speed": "fast"}),
        (MESSAGES, {"type": "message", "usage": {"service_tier": "batch"}}, {"processing": "batch"}),
        (MESSAGES, {"type": "message", "usage": {"input_tokens": 1}}, {}),
    ],
)
def test_what_changes_the_price_is_read(where: tuple[str, str], value: Any, terms: dict[str, str]) -> None:
    plain, streamed = reader(*where), reader(*where)
    plain.read(Event(json.dumps(value).encode(), "whole"))
    started = {"type": "message_start", "message": value}
    responded = {"type": "response.completed", "response": value}
    note(streamed, event({MESSAGES: started, RESPONSES: responded}.get(where, value), named=where != CHAT))
    assert plain.terms == streamed.terms == terms


def test_what_claude_thought_is_a_part_of_its_output() -> None:
    one = reader(*MESSAGES)
    start = {"usage": {"input_tokens": 5, "output_tokens": 1}}
    end = {"output_tokens": 90, "output_tokens_details": {"thinking_tokens": 60}}
    note(one, event({"type": "message_start", "message": start}))
    note(one, event({"type": "message_delta", "delta": {}, "usage": end}))
    assert one.usage == Usage(5, 90, reasoning=60)


def test_embeddings_tell_what_they_read() -> None:
    one = reader("openai", "/v1/embeddings")
    one.read(Event(b'{"data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":8,"total_tokens":8}}', "whole"))
    assert (one.usage, one.finished) == (Usage(input=8), True)


@pytest.mark.parametrize(("where", "stream", "_whole"), ALL)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_piece_is_read_as_more_text_of_its_channel(
    where: tuple[str, str], stream: Any, _whole: Any, end: str
) -> None:
    one = reader(*where)
    texts: dict[str, str] = {}
    for raw in [block + (end * 2).encode() for block in stream(end).split((end * 2).encode()) if block]:
        original = Event(raw)
        one.read(original)
        for slot in original.slots:
            if not slot.channel:
                continue
            piece = one.piece(slot.channel, '\n"é')
            assert piece is not None
            assert piece.name == original.name
            assert piece.raw.endswith((end * 2).encode())
            again = reader(*where)
            again.read(piece)
            assert [(s.channel, s.text, s.kind, s.partial_json) for s in again_slots(piece)] == [
                (slot.channel, '\n"é', slot.kind, slot.partial_json)
            ]
            texts[slot.channel] = slot.text
    assert texts
    assert one.piece("no such channel", "x") is None


def again_slots(event: Event) -> list[Any]:
    return [slot for slot in event.slots if slot.channel]


def test_a_piece_repeats_no_log_probabilities() -> None:
    one = reader(*RESPONSES)
    delta = {"type": "response.output_text.delta", **streams.OUTPUT_TEXT, "delta": "x", "obfuscation": "xx"}
    one.read(Event(event({**delta, "logprobs": [{"token": "x", "logprob": 0}]})))
    piece = one.piece("response.output_text@1.0", "y")
    assert piece is not None
    said = json.loads(piece.data or b"")
    assert (said["logprobs"], said["delta"], "obfuscation" in said) == ([], "y", False)


def test_a_closing_channel_takes_a_last_piece_and_is_then_forgotten() -> None:
    one = reader(*MESSAGES)
    one.read(Event(event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}})))
    one.read(Event(event({"type": "content_block_stop", "index": 0})))
    last = one.piece("0", "b")
    assert last is not None
    assert last.name == "content_block_delta"
    one.read(Event(event({"type": "ping"})))
    assert one.piece("0", "c") is None


@given(VALUES, st.sampled_from(ALL))
def test_no_strange_event_raises(value: Any, case: Any) -> None:
    strange = json.dumps(value).encode()
    for kind in ("delta", "item", "choices", "message", "error", "usage", "response", "content_block"):
        for typed in ("content_block_delta", "message_start", "response.x.done", "response.output_item.added", value):
            one = {"type": typed, kind: value, "index": value, "output_index": 1}
            for raw in (
                json.dumps(one).encode(),
                json.dumps({**one, "choices": [{"delta": {kind: value}, "index": value}]}).encode(),
            ):
                for reading in (reader(*case[0]), reader(*case[0])):
                    reading.read(Event(b"data: " + raw + b"\n\n"))
                    reading.note(Event(b"data: " + raw + b"\n\n"))
                    reading.read(Event(raw, "whole"))
    one_reader = reader(*case[0])
    one_reader.read(Event(b"data: " + strange + b"\n\n"))
    one_reader.read(Event(strange, "whole"))
    one_reader.read(Event(b"data: {broken\n\n"))
    one_reader.read(Event(b"\xff", "whole"))


@pytest.mark.parametrize("where", [MESSAGES, CHAT, RESPONSES])
def test_an_answer_nested_without_end_passes_as_it_came(where: tuple[str, str]) -> None:
    deep = b'{"type":"x","a":' + b"[" * 1000 + b'"t"' + b"]" * 1000 + b"}"
    for one in (Event(deep, "whole"), Event(b"data: " + deep + b"\n\n")):
        reader(*where).read(one)
        assert one.render() is one.raw


PLACEHOLDER = "[EMAIL_ADDRESS_0123456789ab]"
DIALECT_PATHS = (MESSAGES, CHAT, RESPONSES, ("generic", "/anything"), ("gemini", "/v1beta/models/m:generateContent"))


def restored(data: bytes, where: tuple[str, str], value: str = 'j"x') -> bytes:
    """A whole answer with its placeholders put back, as redaction does it."""
    mapping = Mapping(b"k")
    placeholder, _ = mapping.placeholder("EMAIL_ADDRESS", value, restorable=True)
    body = Event(data.replace(b"$", placeholder.encode()), "whole")
    reader(*where).read(body)
    Restorer(mapping, "same_host").whole(body.slots)
    return body.render()


@pytest.mark.parametrize("where", DIALECT_PATHS)
@pytest.mark.parametrize(
    ("data", "made"),
    [
        (b"hello $ you", b'hello j"x you'),
        (b"<b>$</b>\n", b'<b>j"x</b>\n'),
        (b"$", b'j"x'),
        (b"caf\xe9 $", b'caf\xe9 j"x'),
        (b'{"a":"$"}\n\r\n  {"b":["$"],"n":1.0}\n', b'{"a":"j\\"x"}\n\r\n  {"b":["j\\"x"],"n":1.0}\n'),
        (b'\xef\xbb\xbf{"text":"$"}', b'\xef\xbb\xbf{"text":"j\\"x"}'),
        (b'{"text":"caf\xe9 $"}', b'{"text":"caf\xe9 j\\"x"}'),
        (b'{"n":NaN,"text":"$"}', b'{"n":NaN,"text":"j\\"x"}'),
        (b'[ {"n":NaN,"text":"$"}]', b'[ {"n":NaN,"text":"j\\"x"}]'),
        (b'["$"]', b'["j\\"x"]'),
    ],
)
def test_an_answer_that_is_no_json_object_is_restored_too(where: tuple[str, str], data: bytes, made: bytes) -> None:
    assert restored(data, where) == made
    body = Event(data, "whole")
    reader(*where).read(body)
    assert body.render() is data


def test_what_an_encoding_cannot_say_stays_a_placeholder() -> None:
    assert restored(b"caf\xe9 $", MESSAGES, "\u0142").startswith(b"caf\xe9 [EMAIL_ADDRESS_")


def test_binary_answers_have_no_slots() -> None:
    body = Event(bytes(range(256)) * 4, "whole")
    reader(*MESSAGES).read(body)
    assert not body.slots


@pytest.mark.parametrize("where", DIALECT_PATHS)
def test_a_tool_call_in_json_lines_is_told_as_one(where: tuple[str, str]) -> None:
    line = {"result": {"content": [{"type": "tool_use", "id": "t", "name": "Bash", "input": {"cmd": PLACEHOLDER}}]}}
    body = Event(json.dumps(line).encode() + b"\n" + json.dumps(line).encode(), "whole")
    reader(*where).read(body)
    assert [(s.path[0], s.tool, s.kind) for s in body.slots if s.text == PLACEHOLDER] == [
        (0, "Bash", "tool_input"),
        (1, "Bash", "tool_input"),
    ]


@pytest.mark.parametrize("where", DIALECT_PATHS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_plain_text_in_events_is_a_running_text(where: tuple[str, str], end: str) -> None:
    answers = reader(*where)
    half = PLACEHOLDER[:9], PLACEHOLDER[9:]
    events = read(answers, "".join(f"data: {text}{end}{end}" for text in ("a " + half[0], half[1], "1")).encode())
    assert running(events) == {"data@": "a " + PLACEHOLDER + "1"}
    piece = answers.piece("data@", "x\ny")
    assert piece is not None
    assert piece.raw == f"data: x{end}data: y{end}{end}".encode()
    assert events[-1].kind == "end"
    assert events[-1].closes == {"data@"}


@pytest.mark.parametrize("where", DIALECT_PATHS)
def test_broken_json_in_an_event_is_complete_in_itself(where: tuple[str, str]) -> None:
    answers = reader(*where)
    one, _end = read(answers, b'data: {"a":NaN,"b":"[EMAIL_ADDRESS_0123456789ab]"}\n\n')
    assert [(slot.channel, slot.partial_json) for slot in one.slots] == [("", True)]


def test_a_provider_cannot_open_channels_without_end() -> None:
    one = DIALECTS["openai"].reader(Operation("responses"))
    for index in range(MAX_CHANNELS + 5):
        last = Event(event({"type": "response.output_text.delta", "output_index": index, "delta": "x"}))
        one.read(last)
    assert [slot.channel for slot in last.slots] == [""]
    assert one.piece("response.output_text@0", "x") is not None
