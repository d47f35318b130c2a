"""New members of a JSON text: what stands there keeps its bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenman_core.body.insert import Insertion, insert
from tokenman_core.body.json_body import JsonBody
from tokenman_core.dialects.walk import find_slots

NEW = {"type": "text", "text": "ü"}


@pytest.mark.parametrize(
    ("data", "insertion", "expected"),
    [
        ('{"a":[1,2]}', Insertion(("a",), 2, NEW), '{"a":[1,2,{"type":"text","text":"ü"}]}'),
        ('{"a": [1,  2 ] , "b": 1.10}', Insertion(("a",), 2, 3), '{"a": [1,  2, 3 ] , "b": 1.10}'),
        ('{"a":[1,2]}', Insertion(("a",), 0, 3), '{"a":[3,1,2]}'),
        ('{"a":[1,2]}', Insertion(("a",), 1, 3), '{"a":[1,3,2]}'),
        ('{"a":[ ]}', Insertion(("a",), 0, 3), '{"a":[3 ]}'),
        ('{"a":1e5}\n', Insertion((), "b", "x"), '{"a":1e5,"b":"x"}\n'),
        ('{"a": {"b": []}}', Insertion(("a",), "c", NEW), '{"a": {"b": [], "c": {"type": "text", "text": "ü"}}}'),
        ('{"a": "\\u00fc"}', Insertion((), "b", "ü"), '{"a": "\\u00fc", "b": "\\u00fc"}'),
        ('{"a":[{"b":["]"]}]}', Insertion(("a", 0, "b"), 1, 1), '{"a":[{"b":["]",1]}]}'),
    ],
)
def test_a_member_is_put_in_and_nothing_else_changes(data: str, insertion: Insertion, expected: str) -> None:
    made, value = insert(data.encode(), json.loads(data), insertion)
    assert made.decode() == expected
    assert value == json.loads(expected)


@pytest.mark.parametrize(
    "insertion",
    [
        Insertion((), "a", 1),
        Insertion(("a",), 3, 1),
        Insertion(("a",), -1, 1),
        Insertion(("b",), 0, 1),
        Insertion(("a",), "x", 1),
    ],
    ids=str,
)
def test_where_there_is_no_such_place_it_is_told(insertion: Insertion) -> None:
    with pytest.raises(LookupError):
        insert(b'{"a":[1,2]}', {"a": [1, 2]}, insertion)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(JSON, JSON, st.data(), st.sampled_from([(",", ":"), (", ", ": ")]), st.booleans())
def test_any_member_anywhere(
    value: object, new: object, data: st.DataObject, separators: tuple[str, str], ascii: bool
) -> None:
    whole = {"x": value, "list": [value]}
    text = json.dumps(whole, separators=separators, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    path: list[str | int] = []
    here: object = whole
    while isinstance(here, dict | list) and here and data.draw(st.booleans()):
        step = data.draw(st.sampled_from(list(here) if isinstance(here, dict) else list(range(len(here)))))
        inner = here[step]
        if not isinstance(inner, dict | list):
            break
        path.append(step)
        here = inner
    assert isinstance(here, dict | list)
    at = data.draw(st.integers(0, len(here))) if isinstance(here, list) else "a key of its own"
    made, intended = insert(text, whole, Insertion(tuple(path), at, new))
    assert json.loads(made) == intended
    put = json.loads(made)
    for step in path:
        put = put[step]
    assert put.pop(at) == new
    assert json.loads(text) == whole


def test_a_body_takes_a_member_beside_changed_slots_and_gives_it_back_with_an_earlier_edition() -> None:
    body = JsonBody(b'{"system":[{"type":"text","text":"be kind"}],"messages":[]}', find_slots)
    assert not body.changed
    alone = JsonBody(body.render(), find_slots)
    alone.insert(Insertion((), "x", 1))
    assert (alone.changed, alone.render()[-7:]) == (True, b'[],"x":1}'[-7:])
    body.insert(Insertion(("system",), 1, NEW))
    body.slots[0].text = "be brief"
    expected = '{"system":[{"type":"text","text":"be brief"},{"type":"text","text":"ü"}],"messages":[]}'
    assert (body.changed, body.render().decode()) == (True, expected)
    assert body.value == json.loads(expected)
    assert [slot.text for slot in body.slots] == ["be brief"]
    edition = body.edition
    body.replace({"messages": []})
    assert body.render() == b'{"messages":[]}'
    body.revert(edition)
    assert body.render().decode() == expected


def test_a_member_that_has_no_place_leaves_the_body_as_it_was() -> None:
    body = JsonBody(b'{"a": "x"}', find_slots)
    with pytest.raises(LookupError):
        body.insert(Insertion(("b",), 0, 1))
    assert (body.changed, body.render()) == (False, b'{"a": "x"}')
