"""Splicing: exactly the changed strings change, whatever the body looks like."""

import base64
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.body.written import STRINGS, VALUES, documents
from tokenman_core.body.json_body import JsonBody
from tokenman_core.body.parse import parse
from tokenman_core.dialects.walk import find_slots
from tokenman_core.errors import BodyError
from tokenman_core.slots import BASE64, INNER, NUMBER, Found, Key, Path, Slot

STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def every_string(value: Any) -> Found:
    def walk(value: Any, path: Path) -> Iterator[Slot]:
        if isinstance(value, str):
            yield Slot(path, "other", value)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from walk(item, (*path, index))
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from walk(item, (*path, key))

    return Found(list(walk(value, ())), Counter())


def put(value: Any, path: Path, text: str) -> Any:
    """What re-serialising would mean."""
    if path in ((), (NUMBER,)):
        return text
    copy = value.copy()
    copy[path[0]] = put(value[path[0]], path[1:], text)
    return copy


def change(body: JsonBody, old: str, new: str) -> bytes:
    for slot in body.slots:
        slot.text = slot.text.replace(old, new)
    return body.render()


@given(st.data())
def test_any_body_with_any_strings_changed_means_what_reserialising_means_and_keeps_every_other_byte(
    data: st.DataObject,
) -> None:
    value = data.draw(VALUES)
    source = data.draw(documents(value)).encode()
    body = JsonBody(source, every_string)
    assert body.render() is source
    intended = parse(source)
    for slot in body.slots:
        if data.draw(st.booleans()):
            slot.text = data.draw(st.one_of(STRINGS, st.just("[EMAIL_ADDRESS_0123456789ab]")))
            intended = put(intended, slot.path, slot.text)
    made = body.render()
    assert parse(made) == intended == body.value
    assert body.changed == any(slot.changed for slot in body.slots)
    assert STRING.sub(b"", made) == STRING.sub(b"", source)
    # The strings that did not change are the same bytes, keys too, in the same places.
    changed = sum(slot.changed for slot in body.slots)
    pairs = list(zip(STRING.findall(made), STRING.findall(source), strict=True))
    assert sum(a != b for a, b in pairs) <= changed


def test_an_untouched_body_is_the_very_same_object() -> None:
    source = b' { "a" : "x\\u0041\\/" , "n": 123456789012345678901234567890 } '
    body = JsonBody(source, every_string)
    body.slots[0].text = body.slots[0].text + ""
    assert body.render() is source
    assert not body.changed


def test_setting_a_slot_back_gives_the_same_object_again() -> None:
    source = b'{"a":"x"}'
    body = JsonBody(source, every_string)
    body.slots[0].text = "y"
    assert body.render() == b'{"a":"y"}'
    body.slots[0].text = "z"
    assert body.render() == b'{"a":"z"}'
    body.slots[0].text = "x"
    assert body.render() is source


@pytest.mark.parametrize(
    ("source", "made"),
    [
        # The same text stands elsewhere: as a key, as a string that is no slot, twice, as a part of the structure.
        (b'{"a@b":"x","k":"a@b"}', b'{"a@b":"x","k":"M"}'),
        (b'{"id":"a@b","k":["a@b", "a@b"]}', b'{"id":"M","k":["M", "M"]}'),
        (b'{"k":"\\u0061@b"}', b'{"k":"M"}'),
        (b'{"n":123456789012345678901234567890,"k":"a@b"}', b'{"n":123456789012345678901234567890,"k":"M"}'),
        (b'{"f":1.0e0,"k" : "a@b" }', b'{"f":1.0e0,"k" : "M" }'),
        ('{"k":"a@b é"}'.encode(), '{"k":"M é"}'.encode()),
        (b'{"k":"a@b \\u00e9"}', b'{"k":"M \\u00e9"}'),
        (b'{"k":"a@b \\/ \\u003cx\\u003e"}', b'{"k":"M \\/ \\u003cx\\u003e"}'),
        (b'"a@b"', b'"M"'),
        (b'{"l":"\\u00e9","m":"\xc3\xa9","k":"a@b"}', b'{"l":"\\u00e9","m":"\xc3\xa9","k":"M"}'),
    ],
)
def test_only_the_literal_changes_and_keeps_its_style(source: bytes, made: bytes) -> None:
    assert change(JsonBody(source, every_string), "a@b", "M") == made


def test_a_string_that_is_no_slot_is_never_taken_for_one_that_is() -> None:
    source = b'{"skip":"a@b","text":"a@b","also":["a@b"]}'

    def only_text(value: Any) -> Found:
        found = every_string(value)
        return Found([slot for slot in found.slots if slot.path == ("text",)], found.unreadable)

    assert change(JsonBody(source, only_text), "a@b", "M") == b'{"skip":"a@b","text":"M","also":["a@b"]}'


def test_arguments_in_a_string_are_spliced_inside() -> None:
    inner = '{ "path" : "\\u0061@b","n":12345678901234567890123 , "deep":"{\\"x\\":\\"a@b\\"}"}'
    source = json.dumps({"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": inner}}]}).encode()
    body = JsonBody(source, find_slots)
    assert [slot.path[-2:] for slot in body.slots] == [(INNER, "path"), (INNER, "deep")]
    made = parse(change(body, "a@b", "M"))
    assert made["tool_calls"][0]["function"]["arguments"] == inner.replace("\\u0061@b", "M").replace("a@b", "M")


@given(VALUES, st.data())
def test_any_arguments_with_any_strings_changed_mean_what_reserialising_means(value: Any, data: st.DataObject) -> None:
    arguments = data.draw(documents({"v": value}))
    source = json.dumps({"arguments": arguments}).encode()
    body = JsonBody(source, find_slots)
    intended = parse(arguments.encode())
    for slot in body.slots:
        if isinstance(slot.path[-1], Key) or BASE64 in slot.path or not data.draw(st.booleans()):
            continue
        slot.text = data.draw(STRINGS)
        intended = put(intended, slot.path[2:], slot.text)
    assert parse(parse(body.render())["arguments"].encode()) == intended


def test_base64_of_a_text_is_a_slot_and_written_back_in_its_form() -> None:
    def coded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    source = {
        "source": {"type": "base64", "media_type": "text/plain", "data": coded("mail a@b é")},
        "file": {"file_data": "data:text/csv;charset=utf-8;base64," + coded("1,a@b")},
        "image": {"type": "base64", "media_type": "image/png", "data": coded("\x89PNG")},
    }
    body = JsonBody(json.dumps(source).encode(), find_slots)
    assert [(slot.text, slot.path[-1]) for slot in body.slots] == [("mail a@b é", BASE64), ("1,a@b", BASE64)]
    assert body.unreadable == {"image": 1}
    source["source"]["data"] = coded("mail [EMAIL] é")
    source["file"]["file_data"] = "data:text/csv;charset=utf-8;base64," + coded("1,[EMAIL]")
    assert change(body, "a@b", "[EMAIL]") == json.dumps(source).encode()


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ('{"t":"4539148803436467", "n": 4539148803436467 , "m":7}', '{"t":"4539148803436467", "n": "[C]" , "m":7}'),
        ('{"t":"n: 4539148803436467","n":[1,4539148803436467]}', '{"t":"n: 4539148803436467","n":[1,"[C]"]}'),
        ('{"f":4539148803436467.5,"n":4539148803436467}', '{"f":4539148803436467.5,"n":"[C]"}'),
        ('{"m":1234567890123,"n":4539148803436467}', '{"m":1234567890123,"n":"[C]"}'),
        (
            '{"arguments":"{\\"card\\": 4539148803436467, \\"a\\":1.0}"}',
            '{"arguments":"{\\"card\\": \\"[C]\\", \\"a\\":1.0}"}',
        ),
    ],
)
def test_a_number_that_is_changed_becomes_a_string_in_its_place(source: str, made: str) -> None:
    body = JsonBody(source.encode(), find_slots)
    assert body.render() == source.encode()
    for slot in body.slots:
        if slot.path[-1] is NUMBER and slot.text.startswith("4539"):
            slot.text = "[C]"
    assert body.render() == made.encode()
    assert body.value == json.loads(made)


def test_a_key_of_a_free_form_object_is_renamed_in_place() -> None:
    source = b'{"metadata":{"x":"a@b","a@b" : {"a@b":"y"},"z":1}}'
    body = JsonBody(source, find_slots)
    assert [slot.path[-1] for slot in body.slots] == ["x", Key("a@b"), Key("a@b"), "a@b"]
    assert change(body, "a@b", "M") == b'{"metadata":{"x":"M","M" : {"M":"y"},"z":1}}'


def test_a_key_that_is_written_with_escapes_is_found_and_renamed() -> None:
    source = b'{"metadata" : {"\\u0061@b" : 1.0, "n" : {"\\u0061@b":2 }}}'
    body = JsonBody(source, find_slots)
    assert change(body, "a@b", "M") == b'{"metadata" : {"M" : 1.0, "n" : {"M":2 }}}'


@pytest.mark.parametrize(
    ("data", "url_safe", "padded", "text", "made"),
    [
        (b"a@b ~~~?", False, True, "a@b ~~~?", b"M ~~~?"),
        (b"a@b ~~~?", True, True, "a@b ~~~?", b"M ~~~?"),
        (b"a@b ??>", True, False, "a@b ??>", b"M ??>"),
        ("a@b é".encode("latin-1"), False, True, "a@b é", "M é".encode("latin-1")),
        ("a@b é".encode("utf-16"), False, True, "\ufeffa@b é", "M é".encode("utf-16")),
        ("\ufeffa@b é".encode("utf-16-be"), False, True, "\ufeffa@b é", "\ufeffM é".encode("utf-16-be")),
    ],
)
def test_base64_keeps_its_alphabet_its_padding_and_its_texts_encoding(
    data: bytes, url_safe: bool, padded: bool, text: str, made: bytes
) -> None:
    def coded(data: bytes) -> str:
        encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
        return encode(data).decode() if padded else encode(data).decode().rstrip("=")

    def document(data: bytes) -> bytes:
        return json.dumps({"source": {"type": "base64", "media_type": "text/plain", "data": coded(data)}}).encode()

    body = JsonBody(document(data), find_slots)
    assert [slot.text for slot in body.slots] == [text]
    assert change(body, "a@b", "M") == document(made)


def test_a_new_text_that_the_old_encoding_lacks_is_utf_8() -> None:
    source = {"url": "data:text/plain;base64," + base64.b64encode(b"\xe9").decode()}
    body = JsonBody(json.dumps(source).encode(), find_slots)
    body.slots[0].text = "éł"
    assert json.loads(body.render())["url"] == "data:text/plain;base64," + base64.b64encode("éł".encode()).decode()


def test_keys_and_base64_in_arguments_are_reached() -> None:
    coded = "data:text/plain;base64," + base64.b64encode(b"a@b").decode()
    source = json.dumps({"arguments": json.dumps({"a@b": {"f": coded}}), "name": "t"}).encode()
    body = JsonBody(source, find_slots)
    assert [slot.path[1:] for slot in body.slots] == [(INNER, Key("a@b")), (INNER, "a@b", "f", BASE64)]
    made = json.loads(json.loads(change(body, "a@b", "M"))["arguments"])
    assert made == {"M": {"f": "data:text/plain;base64," + base64.b64encode(b"M").decode()}}


def test_keys_that_would_become_the_same_are_refused() -> None:
    body = JsonBody(b'{"metadata":{"a@b":1,"c@d":2}}', find_slots)
    for slot in body.slots:
        slot.text = "M"
    with pytest.raises(BodyError, match="the same by masking"):
        body.render()


def test_another_value_is_written_in_the_style_of_the_old_one_and_read_anew() -> None:
    body = JsonBody(b'{"a": "x \\u00e9", "n": 123456789012345678901}', every_string)
    body.replace({"a": "é", "n": 123456789012345678901, "b": ["y"]})
    assert body.changed
    assert [slot.text for slot in body.slots] == ["é", "y"]
    body.slots[1].text = "z"
    assert body.render() == b'{"a": "\\u00e9", "n": 123456789012345678901, "b": ["z"]}'
    assert body.value == {"a": "é", "n": 123456789012345678901, "b": ["z"]}


def test_an_earlier_edition_can_be_put_back_with_its_slots() -> None:
    body = JsonBody(b'{"a": "x"}', every_string)
    body.slots[0].text = "y"
    body.replace({"b": "z"})
    body.replace({"c": "z"})
    assert body.edition == 2
    body.revert(1)
    assert (body.edition, body.render()) == (1, b'{"b": "z"}')
    body.revert(0)
    assert (body.edition, body.render(), body.value) == (0, b'{"a": "y"}', {"a": "y"})
    body.slots[0].text = "x"
    assert not body.changed


def test_the_value_has_the_edits_so_that_nobody_puts_the_originals_back() -> None:
    body = JsonBody(b'{"a":"secret","b":"c"}', every_string)
    body.slots[0].text = "M"
    assert body.value == {"a": "M", "b": "c"}
    body.replace({**body.value, "d": 1})
    assert body.render() == b'{"a":"M","b":"c","d":1}'
