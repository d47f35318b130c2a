"""JSON is read and written without a change, and streams without a loss."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.caching.shapes.made import VALUES
from tests.core.caching.shapes.provider import APIS, SCENARIOS
from tests.core.caching.shapes.telling import PLAIN, exact
from tokenman_core.caching.shapes import shown
from tokenman_core.caching.shapes.written import Unsure, event, pieces, read, same, together, told, write


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_what_is_read_and_written_is_the_same(value: Any, ascii_only: bool, indent: int | None) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert exact(json.loads(write(read(data)))) == exact(value)


@pytest.mark.parametrize(
    "number",
    ["0", "-1", "9007199254740993", "12345678901234567890123", "-123456789012345678901234567890", "1.5", "-0.1", "1e2", "1E2",
     "2.50", "1.0", "0.30000000000000004", "-5.5122365e-07", "1e-7", "123456789.125", "5e-324", "1.7976931348623157e308", "-0.0"],
)  # fmt: skip
def test_numbers_that_stay_what_they_are_are_taken(number: str) -> None:
    for data in (f'{{"a":{number}}}', f"[ {number} ]", f'{{"a":\n{number}}}'):
        assert exact(json.loads(write(read(data.encode())))) == exact(json.loads(data))


@pytest.mark.parametrize(
    "number",
    ["0.1234567890123456789", "1e400", "-1e400", "1E+400", "9007199254740993.0", "12345678901234567890123.0", "1e-400", "4e-324",
     "-0", "0.1000000000000000055511151231257827", "01", "+1", ".5", "NaN", "Infinity"],
)  # fmt: skip
def test_numbers_that_would_be_others_are_not(number: str) -> None:
    for data in (f'{{"a":{number}}}', f"[{number}]", f"[1,{number}]", f"[ {number} ]", f'{{"a":\n{number}}}'):
        with pytest.raises(Unsure):
            read(data.encode())


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b'{"a":1,"a":2}', b'{"a":{"b":1,"b":1}}', b"\xef\xbb\xbf{}", b'"\xff"', b'"\\ud800"', b'{"a"',
     b"[" * 200 + b"]" * 200],
)  # fmt: skip
def test_what_two_might_read_differently_is_not_taken(data: bytes) -> None:
    with pytest.raises(Unsure):
        read(data)


@given(st.text(max_size=5000))
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    found = list(pieces(text))
    assert "".join(found) == text
    assert all(found)
    assert len(found) <= 129


def test_texts_are_cut_behind_blanks() -> None:
    found = list(pieces("all work and no play makes a dull model " * 50))
    assert all(piece.endswith(" ") for piece in found)
    assert len(found) > 20


def test_a_text_without_blanks_is_cut_all_the_same() -> None:
    assert [len(piece) for piece in pieces("x" * 100)] == [24, 24, 24, 24, 4]
    assert [len(piece) for piece in pieces("x" * 64_000)] == [1000] * 64


def test_an_event_is_one_line_whatever_its_text_is() -> None:
    assert event({"a": "x\r\n\n  \x1e"}, "n") == b'event: n\ndata: {"a":"x\\r\\n\\n  \\u001e"}\n\n'
    assert event({}) == b"data: {}\n\n"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_streams_are_read_the_same_by_the_short_way_and_the_long_way(end: bytes) -> None:
    short = b'event: a\ndata: {"a":1}\n\ndata: {"b":2}\n\n'.replace(b"\n", end)
    assert told(short) == ([("a", {"a": 1}), ("", {"b": 2})], False)
    for long in (b": x\n\n".replace(b"\n", end) + short, short.replace(b"data: ", b"data:"), b"\xef\xbb\xbf" + short):
        assert told(long) == told(short)
    split = b'event: a\ndata: {"a":\ndata: 1}\n\ndata: {"b":2}\n\ndata: [DONE]\n\n'.replace(b"\n", end)
    assert told(split) == (told(short)[0], True)


@pytest.mark.parametrize(
    "body",
    [
        b'data: {"a":1}\n',
        b'data: {"a":1}',
        b'data: {"a":1}\n\ndata: [DONE]\n\ndata: {"a":1}\n\n',
        b'data: {"a":[{}\n\ndata: {}]}\n\n',
        b'data: {},{"a":[{}\n\ndata: {}]}\n\n',
        b'data: {},{},{"a":[{}\n\ndata: {}]}\n\n',
        b"data: {},{}\n\n",
        b"data: 1\n\n",
        b"data: null\n\ndata: {}\n\n",
        b"data: \n\n",
        b'{"a":1}',
        b"data: " + b"x" * (11 << 20) + b"\r\r",
    ],
)
def test_a_stream_that_cannot_be_read_is_not_known(body: bytes) -> None:
    with pytest.raises(Unsure):
        told(body)


def test_of_two_things_that_are_said_under_one_name_neither_is_taken() -> None:
    known: dict[str, Any] = {}
    for value in (None, "a", "a", None):
        together(known, "x", value)
    together(known, "y", {"a": [1]})
    together(known, "y", {"a": [1]})
    assert known == {"x": "a", "y": {"a": [1]}}
    for name, value in (("x", "b"), ("x", ["a"]), ("y", {"a": [True]}), ("y", {"a": [1.0]}), ("y", {"a": []})):
        with pytest.raises(Unsure):
            together(known, name, value)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [(1, 1, True), (1, True, False), (1, 1.0, False), (0, False, False), ("a", "a", True), (None, None, True), ([1], [1], True),
     ([1], [True], False), ({"a": 10**30}, {"a": 10**30}, True), ({"a": 10**30}, {"a": 10**30 + 1}, False)],
)  # fmt: skip
def test_values_are_the_same_where_they_are_written_alike(one: Any, other: Any, equal: bool) -> None:
    assert same(one, other) is equal


NAMES = st.sampled_from(
    [
        "type",
        "index",
        "delta",
        "content",
        "message",
        "usage",
        "choices",
        "candidates",
        "output",
        "role",
        "item",
        "parts",
        "id",
    ]
)
STRANGE = VALUES | st.dictionaries(NAMES, VALUES, max_size=3)


@given(
    st.sampled_from(sorted(APIS)), st.sampled_from(sorted(SCENARIOS)), st.sampled_from(["plain", "events"]), st.data()
)
def test_an_answer_of_which_anything_is_another_is_told_or_not_told_and_nothing_is_raised(
    name: str, scenario: str, form: str, data: st.DataObject
) -> None:
    api = APIS[name]
    body = api.said(SCENARIOS[scenario] if scenario != "big" else "hello", form).body
    values = [json.loads(body)] if form == "plain" else [value for _, value in told(body)[0]]
    at = data.draw(st.integers(0, len(values) - 1))
    _change(values[at], data)
    if form == "plain":
        shown(api.dialect, api.operation, False, write(values[0]), b"application/json", api.wanted)
        return
    order = data.draw(st.sampled_from(["as it is", "twice", "gone", "swapped"]))
    if order == "twice":
        values.insert(at, values[at])
    elif order == "gone":
        del values[at]
    elif order == "swapped":
        values[at], values[at - 1] = values[at - 1], values[at]
    tail = b"data: [DONE]\n\n" if name == "chat" else b""
    shown(api.dialect, api.operation, True, b"".join(map(event, values)) + tail, b"text/event-stream", PLAIN)


def _change(value: Any, data: st.DataObject) -> None:
    """Puts something else in some place of it."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        inner = value[key]
        if isinstance(inner, (dict, list)) and inner and data.draw(st.booleans()):
            value = inner
            continue
        value[key] = data.draw(STRANGE)
        return
