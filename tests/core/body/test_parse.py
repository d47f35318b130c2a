"""Strict parsing: no false negatives among duplicate keys, exact integers, and clear refusals."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.body.written import VALUES, documents
from tokenman_core.body.parse import MAX_DEPTH, parse
from tokenman_core.errors import BodyError


class Twice(Exception):
    pass


def reference(text: str) -> Any:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(items)) != len(items):
            raise Twice
        return dict(items)

    return json.loads(text, object_pairs_hook=pairs)


@given(st.data())
def test_a_key_that_stands_twice_is_refused_and_nothing_else_is(data: st.DataObject) -> None:
    text = data.draw(documents(data.draw(VALUES), doubled=True))
    try:
        expected = reference(text)
    except Twice:
        with pytest.raises(BodyError, match="stands twice"):
            parse(text.encode())
    else:
        assert parse(text.encode()) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        '{"a" :1,"a"\n:2}',
        '{"a":1,"\\u0061":2}',
        '{"x\\\\":1,"x\\\\":2}',
        '{"x\\\\" :1,"x\\\\" :2}',
        '{"x\\"":1,"x\\"":2}',
        '{"x\\\\\\"":1,"x\\\\\\"":2}',
        '{"":1,"":2}',
        '[{"a":{"b":1,"b":1}}]',
        '{"a":"\\":\\":","b":1,"b":2}',
    ],
)
def test_duplicates_hide_behind_no_spelling(text: str) -> None:
    with pytest.raises(BodyError, match="stands twice"):
        parse(text.encode())


@pytest.mark.parametrize(
    "text", ['{"a":": \\":\\" :"}', '{"a":"{\\\\\\"b\\\\\\":1}"}', '{"a":" : ","b":[":"," :"]}', '{"x\\\\":1,"x":2}']
)
def test_colons_inside_of_strings_are_no_keys(text: str) -> None:
    assert parse(text.encode()) == json.loads(text)


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, 2**64, 2**64 + 1, -(2**63) - 1, 10**40 + 1])
def test_integers_are_exact(number: int) -> None:
    value = parse(b'{"n":%d,"f":1.5}' % number)
    assert value == {"n": number, "f": 1.5}
    assert type(value["n"]) is int


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'\xef\xbb\xbf{"a":1}', "byte order mark"),
        ('{"a":1}'.encode("utf-16"), "UTF-16"),
        ('{"a":1}'.encode("utf-16-le"), "UTF-16"),
        ('{"a":1}'.encode("utf-16-be"), "UTF-16"),
        ('{"a":1}'.encode("utf-32"), "UTF-32"),
        ('{"a":1}'.encode("utf-32-be"), "UTF-32"),
        (b'{"secret":"\xff"}', "not valid UTF-8"),
        (b'{"secret":"\xed\xa0\x80"}', "not valid UTF-8"),
        (b'{"secret":"\\ud800"}', "not valid JSON"),
        (b'{"secret":NaN}', "not valid JSON"),
        (b'{"secret":Infinity}', "not valid JSON"),
        (b'{"secret":1e999}', "not valid JSON"),
        (b'{"secret":1e30,"x":1e999}', "not valid JSON"),
        (b'{"secret":' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"secret":1} {"secret":1}', "not valid JSON"),
        (b'{"secret":1,}', "not valid JSON"),
        (b"", "not valid JSON"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "nested deeper"),
        (b'{"secret":' * 100_000, "not valid JSON"),
    ],
)
def test_what_cannot_be_judged_is_refused_without_a_word_of_the_body(data: bytes, said: str) -> None:
    with pytest.raises(BodyError, match=said) as caught:
        parse(data)
    assert caught.value.kind == "parse"
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_deepest_nesting_is_read() -> None:
    assert parse(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
