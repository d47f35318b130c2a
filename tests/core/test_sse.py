"""Event streams: the same events and the same bytes however they are cut."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenman_core.dialects.walk import find_slots
from tokenman_core.slots import Slot
from tokenman_core.sse import Event, SseError, SseParser, json_lines

LINES = st.sampled_from(
    ["data: x", "data:y", "data", "data:  z", "event: delta", ": comment", "retry: 10", "id: 1", "é😀", "datax: 1", ""]
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from(["\n", "\n", "\r\n", "\r"])), max_size=14).map(
    lambda lines: "".join(line + end for line, end in lines).encode()
)


def events(stream: bytes, *cuts: int) -> list[Event]:
    parser = SseParser()
    found: list[Event] = []
    edges = [0, *sorted(cuts), len(stream)]
    for start, end in itertools.pairwise(edges):
        found += parser.feed(stream[start:end])
    return found + parser.finish()


@given(STREAMS)
def test_a_stream_cut_at_every_byte_gives_the_same_events(stream: bytes) -> None:
    whole = [event.raw for event in events(stream)]
    assert b"".join(whole) == stream
    for cut in range(len(stream)):
        assert [event.raw for event in events(stream, cut)] == whole
    assert [event.raw for event in events(stream, *range(len(stream)))] == whole


def reference(stream: bytes) -> list[tuple[str, str]]:
    """(name, data) of every event that has data, by the letter of the WHATWG algorithm; the unfinished rest counts too."""
    text = stream.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    found: list[tuple[str, str]] = []
    name, data = "", list[str]()
    for line in [*text.split("\n"), ""]:
        if not line:
            if data:
                found.append((name, "\n".join(data)))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
    return found


@given(STREAMS, st.booleans())
def test_names_and_data_are_what_the_standard_says(stream: bytes, marked: bool) -> None:
    stream = b"\xef\xbb\xbf" + stream if marked else stream
    read = [(event.name, event.data.decode()) for event in events(stream) if event.data is not None]
    assert read == reference(stream)


def test_an_event_is_given_as_soon_as_its_blank_line_is_there() -> None:
    parser = SseParser()
    assert [event.data for event in parser.feed(b"data: 1\n\ndata: 2\n")] == [b"1"]
    assert [event.data for event in parser.feed(b"\n")] == [b"2"]
    assert [event.data for event in parser.feed(b"data: 3\r\n\r\n")] == [b"3"]
    assert parser.finish() == []


def test_a_lone_return_waits_for_the_newline_that_may_belong_to_it() -> None:
    parser = SseParser()
    assert parser.feed(b"data: 1\r\r") == []
    assert [event.raw for event in parser.feed(b"\ndata: 2")] == [b"data: 1\r\r\n"]
    assert [event.raw for event in parser.finish()] == [b"data: 2"]


def slotted(raw: bytes) -> Event:
    event = events(raw)[0]
    assert event.data is not None
    event.value = json.loads(event.data)
    event.slots = find_slots(event.value).slots
    return event


@pytest.mark.parametrize(
    ("raw", "made"),
    [
        (b'data: {"a":"x"}\n\n', b'data: {"a":"y"}\n\n'),
        (b'data:{"a": "x" }\r\n\r\n', b'data:{"a": "y" }\r\n\r\n'),
        (
            b': hi\nretry: 1\nevent: e\nid: 7\ndata: {"a":"x"}\nzz: "x"\n\n',
            b': hi\nretry: 1\nevent: e\nid: 7\ndata: {"a":"y"}\nzz: "x"\n\n',
        ),
        (
            b'data: {"n":12345678901234567890123,\r\ndata:  "a":\r\n: c\r\ndata:"x"}\r\n\r\n',
            b'data: {"n":12345678901234567890123,\r\ndata:  "a":\r\n: c\r\ndata:"y"}\r\n\r\n',
        ),
        (b'\xef\xbb\xbfdata: {"a":"x"}\n\n', b'\xef\xbb\xbfdata: {"a":"y"}\n\n'),
        (b'data: {"a":"x"}\r\r', b'data: {"a":"y"}\r\r'),
        (b'data: {"a":"x"}', b'data: {"a":"y"}'),
    ],
)
def test_only_the_changed_string_of_the_data_changes(raw: bytes, made: bytes) -> None:
    event = slotted(raw)
    assert event.render() is event.raw
    assert event.raw == raw
    event.slots[0].text = "y"
    assert event.render() == made


def test_a_plain_body_is_one_event() -> None:
    event = Event(b'{"a": "x"}', "whole")
    assert event.data == event.raw == event.render()
    assert event.name == ""
    assert Event(b"", "end").data is None
    assert Event(b"", "end").render() == b""


@pytest.mark.parametrize(
    ("raw", "text", "made"),
    [
        (b"id: 1\r\ndata: a [P] b\r\n\r\n", "a v\nw b", b"id: 1\r\ndata: a v\r\ndata: w b\r\n\r\n"),
        (b"data: [P]\n: c\ndata:x\nid:2\n\n", "v\r\nw\rz\nx", b"data: v\n: c\ndata:w\ndata:z\ndata:x\nid:2\n\n"),
        (b"data: [P]\ndata: x\n\n", "v", b"data: v\n\n"),
        (b"data\ndata: [P]\n\n", "v\nw", b"data: v\ndata: w\n\n"),
    ],
)
def test_plain_text_in_an_event_may_take_more_lines_or_fewer(raw: bytes, text: str, made: bytes) -> None:
    event = Event(raw)
    data = event.data
    assert data is not None
    event.form, event.value, event.slots = "text", "utf-8", [Slot((), "assistant", data.decode())]
    assert event.render() is raw
    event.slots[0].text = text
    assert event.render() == made


def test_json_lines_are_two_objects_at_least() -> None:
    assert json_lines(b'{"a":1}\r\n \n\n {"b":2}') == [(b'{"a":1}', {"a": 1}), (b' {"b":2}', {"b": 2})]
    for data in (b'{"a":1}\n', b'{"a":1}\nx', b"[1]\n[2]", b""):
        assert json_lines(data) is None


def test_too_large_an_event_is_an_error_after_those_before_it() -> None:
    parser = SseParser(max_event=20)
    assert [event.data for event in parser.feed(b"data: 1\n\ndata: " + b"x" * 30)] == [b"1"]
    with pytest.raises(SseError):
        parser.feed(b"x")
    with pytest.raises(SseError):
        parser.finish()
    for chunk in (b"data: " + b"x" * 30, b"data: " + b"x" * 30 + b"\n\n"):
        with pytest.raises(SseError):
            SseParser(max_event=20).feed(chunk)
    exact = b"data: " + b"x" * 12 + b"\n\n"
    assert len(SseParser(max_event=20).feed(exact)) == 1


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_no_byte_is_looked_at_twice(end: bytes) -> None:
    parser = SseParser()
    looked: list[int] = []
    search = parser._next_end

    def counting(start: int) -> int | None:
        looked.append(len(parser._buffer) - max(parser._seen, start))
        return search(start)

    parser._next_end = counting  # type: ignore[method-assign]
    stream = b"data: " + b"x" * 5000 + end + end
    for index in range(len(stream)):
        parser.feed(stream[index : index + 1])
    assert sum(looked) <= 5 * len(stream)
