"""What a tool answers in JSON is judged as one text, with all that stands around a value; what it calls for, field by field.

Both must find the same, at whatever depth: in a document that a string of another document holds, a value stands escaped twice.
"""

import json
import re
from typing import Any

import pytest

from tests.core.redaction.conftest import InProcess
from tokenman_core.config.models import Redaction as Settings
from tokenman_core.dialects.walk import find_slots
from tokenman_core.redaction import Redactor, Restorer
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Re2Gate, trips
from tokenman_core.slots import Key, Slot

FINDER = InProcess(Detector(Re2Gate()))
HEX = "f3a9c1d27b5e48d0a6c2e91b7d4f8a35"
OTHER_HEX = "0b7e2d91c4a85f3660d1e9b2a7c3f845"

# A document, and the values in it that must not leave.
CASES: list[tuple[Any, list[str]]] = [
    ({"password": "hunter2-x9"}, ["hunter2-x9"]),
    ({"password": 'p"w\\9x-z'}, ['p"w\\9x-z']),
    ({"password": "pässwört-9ü"}, ["pässwört-9ü"]),
    ({"passwords": ["hunter2-x9", "zebra-77x"]}, ["hunter2-x9", "zebra-77x"]),
    ({"user": {"password": {"value": "hunter2-x9"}}}, ["hunter2-x9"]),
    ({"password": {"stringValue": "hunter2-x9"}}, ["hunter2-x9"]),
    ({"secret_key": "hunter22"}, ["hunter22"]),
    ({"api_key": HEX}, [HEX]),
    ({"apiKey": HEX}, [HEX]),
    ({"tokens": [HEX, OTHER_HEX]}, [HEX, OTHER_HEX]),
    ({"name": "DB_PASSWORD", "value": "hunter2-x9"}, ["hunter2-x9"]),
    ({"env": [{"key": "API_TOKEN", "value": HEX}]}, [HEX]),
    ({"headers": [{"name": "X-Api-Key", "value": HEX}]}, [HEX]),
    ({"headers": {"Authorization": f"Bearer {HEX}"}}, [HEX]),
    ({"env": ["DB_PASSWORD=hunter2-x9"]}, ["hunter2-x9"]),
    ({"log": "line 1\npassword: hunter2-x9\nline 3"}, ["hunter2-x9"]),
    ({"url": "https://u:Tr0ub4dor3@h.example/"}, ["Tr0ub4dor3"]),
    ({"jane.doe@example.com": {"id": 1}}, ["jane.doe@example.com"]),
    ({"users": {"jane.doe@example.com": ["admin"]}}, ["jane.doe@example.com"]),
    ({"ssn": "219099999"}, ["219099999"]),
    ({"ssn": 219099999}, ["219099999"]),
    ({"card": 4539148803436467}, ["4539148803436467"]),
    ({"phone": "6502530000"}, ["6502530000"]),
    ({"phone": 6502530000}, ["6502530000"]),
    ({"phone": {"value": "6502530000"}}, ["6502530000"]),
    ({"dob": "1985-05-03"}, ["1985-05-03"]),
    ({"passport_number": "312345678"}, ["312345678"]),
    ({"driver_license": "D1234567"}, ["D1234567"]),
    ({"account_number": "1234567890"}, ["1234567890"]),
    ({"routing_number": "121000358"}, ["121000358"]),
    ({"nhs": "9434765870"}, ["9434765870"]),
    ({"server": {"ip": "1.2.3.4"}}, ["1.2.3.4"]),
]
IDS = [json.dumps(document)[:48] for document, _ in CASES]


def dumps(document: Any, form: str) -> str:
    match form:
        case "compact":
            return json.dumps(document, separators=(",", ":"))
        case "indented":
            return json.dumps(document, indent=2, ensure_ascii=False)
        case _:
            return json.dumps(document)


def result(text: str) -> list[Slot]:
    block = {"type": "tool_result", "tool_use_id": "toolu_01", "content": text}
    return find_slots({"messages": [{"role": "user", "content": [block]}]}).slots


def call(document: Any) -> list[Slot]:
    block = {"type": "tool_use", "id": "toolu_01", "name": "f", "input": document}
    return find_slots({"messages": [{"role": "assistant", "content": [block]}]}).slots


async def masked(slots: list[Slot]) -> tuple[str, str]:
    """All texts after masking, and after that restored as they would be in an answer."""
    redactor = Redactor(Settings(), b"k" * 32, FINDER)
    mapping = redactor.mapping()
    await redactor.mask(slots, mapping)
    text = "\n".join(slot.text for slot in slots)
    answer = Slot((), "assistant", text)
    Restorer(mapping, "always").whole([answer])
    return text, answer.text


def nested(document: Any, depth: int) -> Any:
    """The document in a string of a document, and so on, as a tool says what another tool said."""
    for level in range(depth):
        document = {"stdout": json.dumps(document), "level": level}
    return document


def forms(value: str, depth: int) -> set[str]:
    """How a value may be written in so many strings of JSON, one in another."""
    written = {value}
    for _ in range(depth + 1):
        written |= {json.dumps(each, ensure_ascii=ascii)[1:-1] for each in written for ascii in (True, False)}
    return written


@pytest.mark.parametrize("form", ["plain", "compact", "indented"])
@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize(("document", "values"), CASES, ids=IDS)
async def test_a_value_in_a_result_is_found_at_any_depth(
    document: Any, values: list[str], depth: int, form: str
) -> None:
    source = dumps(nested(document, depth), form)
    text, back = await masked(result(source))
    assert trips(Re2Gate(), source)
    assert not [value for value in values if any(each in text for each in forms(value, depth))], text
    assert back == source
    json.loads(text if depth else quoted(text))


def quoted(text: str) -> str:
    """A document in which numbers were masked, with the placeholders that stand for them in quotes."""
    return re.sub(r"(?<=[:\s])(\[[A-Z_]+_[0-9a-f]{12}\])(?=\s*[,}\n])", r'"\1"', text)


@pytest.mark.parametrize(("document", "values"), CASES, ids=IDS)
async def test_a_value_in_a_call_is_found_in_its_field(document: Any, values: list[str]) -> None:
    slots = call(document)
    names = [slot.path[-1] for slot in slots if isinstance(slot.path[-1], Key)]
    text, _ = await masked(slots)
    assert not [value for value in values if value in text], text
    assert all("@" in name.name for name in names if isinstance(name, Key))  # others are names that programs chose


@pytest.mark.parametrize("source", [
    '{"mail": "jane.doe\\u0040example.com"}',
    '{"mail": "jane.doe\\u0040example.com", "again": "jane.doe@example.com"}',
    '{"a": "{\\"mail\\": \\"jane.doe\\\\u0040example.com\\"}"}',
    '{"page": "https:\\/\\/x.example\\/jane.doe@example.com"}',
    '{"jane.doe\\u0040example.com": 1}',
])  # fmt: skip
async def test_escapes_hide_nothing_in_a_result(source: str) -> None:
    text, back = await masked(result(source))
    assert "jane" not in text
    assert back == source


@pytest.mark.parametrize("document", [
    {"password": "required", "type": "string"} | {"password": "${DB_PASSWORD}"},
    {"passwords": ["minLength", "required"]},
    {"tokens": ["hello", "world", "token_1"]},
    {"tokens": 12345678},
    {"max_tokens": [1024, 2048]},
    {"name": "PORT", "value": "8080"},
    {"key": "next_token", "value": "string"},
    {"name": "public_key", "value": HEX},
    {"path": "C:\\\\Users\\\\ada\\\\x.txt"},
    {"stdout": json.dumps({"path": "C:\\Users\\ada\\x.txt", "quote": 'say "hi"'})},
    {"default": "hunter2-x9"},
])  # fmt: skip
@pytest.mark.parametrize("way", ["result", "call"])
async def test_documents_without_a_value_go_as_they_are(document: Any, way: str) -> None:
    slots = result(json.dumps(document)) if way == "result" else call(document)
    before = [slot.text for slot in slots]
    await masked(slots)
    assert [slot.text for slot in slots] == before
