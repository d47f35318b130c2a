"""Numbers of people that a program wrote as floats: masked in JSON, and in text where a word tells what they are."""

import json
from typing import Any

import pytest

from tests.core.redaction.conftest import InProcess
from tokenman_core.body.read import read_body
from tokenman_core.config.models import Redaction as Settings
from tokenman_core.dialects.anthropic import Anthropic
from tokenman_core.dialects.walk import find_slots
from tokenman_core.redaction import Redactor, Restorer
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Re2Gate
from tokenman_core.redaction.detectors.view import whole_numbers
from tokenman_core.slots import Slot

REDACTOR = Redactor(Settings(), b"k" * 32, InProcess(Detector(Re2Gate())))
DIALECT = Anthropic()
CARD, AMEX, LONG, SSN = "4111111111111111", "378282246310005", "4000000000000000006", "457555462"

# As JSON has it, the digits that it means, and the key that it stands under.
WRITTEN = [
    ("4111111111111111.0", CARD, "card"),
    ("4111111111111111.000", CARD, "anything"),
    ("4.111111111111111e15", CARD, "card"),
    ("4.111111111111111E+15", CARD, "card"),
    ("0.4111111111111111e16", CARD, "card"),
    ("41111111111111110e-1", CARD, "card"),
    ("378282246310005.0", AMEX, "card"),
    ("3.78282246310005e14", AMEX, "card"),
    ("4000000000000000006.0", LONG, "card"),  # no float holds all of these digits
    ("4.000000000000000006e18", LONG, "card"),
    ("457555462.0", SSN, "ssn"),
    ("4.57555462e8", SSN, "ssn"),
    ("6502530000.0", "6502530000", "phone"),
]


def bodies(number: str, key: str) -> list[str]:
    """Where a number may stand in a request: a tool's input, what it answered, free-form data, a table, JSON in a string."""
    call = f'{{"type":"tool_use","id":"toolu_01","name":"f","input":{{"a":[1.5,-2e3],"{key}":{number}}}}}'
    argument = json.dumps(f'{{"{key}": {number}, "x": 0.5}}')
    return [
        f'{{"model":"m","temperature":0.5,"messages":[{{"role":"assistant","content":[{call}]}}]}}',
        f'{{"model":"m","metadata":{{"{key}":[{number}]}},"messages":[]}}',
        f'{{"model":"m","rows":[["name","{key}"],["Bob",{number}]],"messages":[]}}',
        f'{{"model":"m","messages":[{{"role":"assistant","tool_calls":[{{"id":"call_1","function":{{"name":"f","arguments":{argument}}}}}]}}]}}',
    ]


async def masked(body: str) -> tuple[str, Restorer]:
    read = read_body(body.encode(), "application/json", DIALECT, DIALECT.operation("POST", "/v1/messages"))
    mapping = REDACTOR.mapping()
    await REDACTOR.mask(read.slots, mapping)
    return read.render().decode(), Restorer(mapping, "same_host")


def whole(value: Any) -> list[str]:
    """All strings in a JSON value."""
    if isinstance(value, str):
        return [value]
    return (
        [text for each in (value.values() if isinstance(value, dict) else value) for text in whole(each)]
        if isinstance(value, (dict, list))
        else []
    )


async def test_a_float_in_json_is_masked_like_the_integer_that_it_is() -> None:
    for number, digits, key in WRITTEN:
        for body, as_integer in zip(bodies(number, key), bodies(digits, key), strict=True):
            sent, restorer = await masked(body)
            assert number not in sent, body
            assert (
                sent == (await masked(as_integer))[0]
            )  # the same placeholder, a string, and every other byte as it was
            texts = [slot for slot in find_slots(json.loads(sent)) if "[" in slot.text]
            assert len(texts) == 1, sent
            slot = Slot(("input", key), "tool_input", texts[0].text, "Write")
            restorer.whole([slot])
            assert slot.text == digits


async def test_what_is_no_whole_number_of_some_length_stays_a_number() -> None:
    for number in (
        "4111111111111111.5",
        "4111111111111111.2",
        "378282246310005.01",
        "0.4111111111111111",
        "4.111111111111111e-15",
        "12345678.0",
        "1e300",
        "4.1e99",
        "1.5",
        "1e19",
    ):
        for body in bodies(number, "card"):
            assert (await masked(body))[0] == body


# A text, and what of it must not go out.
TEXTS = [
    ("card 4111111111111111.0", CARD),
    ("card: 4.111111111111111e15", "4.111111111111111e15"),
    ("my card is 4.111111111111111E+15, ok?", "4.111111111111111E+15"),
    ("card 4000000000000000006.0", LONG),
    ('{"card": 4111111111111111.0, "x": 1}', CARD),
    ('{"cards": [4.111111111111111e15]}', "4.111111111111111e15"),
    ("name,card,city\nBob,4111111111111111.0,Rome\nAl,378282246310005.0,Ulm\n", CARD),
    ("name,card,city\nBob,4111111111111111.0,Rome\nAl,3.78282246310005e14,Ulm\n", "3.78282246310005e14"),
    ("name;card\nBob;4,111111111111111E+15\n", "4,111111111111111E+15"),
    ("| name | card |\n|---|---|\n| Bob | 4111111111111111.0 |", CARD),
    ("ssn 457555462.0", SSN),
    ("ssn 4.57555462e8", "4.57555462e8"),
    ("name,ssn\nBob,4.57555462e8\n", "4.57555462e8"),
    ("passport,name\n312345678.0,Bob", "312345678"),
    ("phone 6.50253e9 or 6502530000.0", "6502530000"),
    ("routing number 121000358.0", "121000358"),
    ("card 4111111111111111.0d", CARD),
    ("new Card(4111111111111111.0M)", CARD),
    ("card 4.111111111111111e+015", "4.111111111111111e+015"),
    ("ssn 4.57555462e+008", "4.57555462e+008"),
    ("card 4.111111111111111D15", "4.111111111111111D15"),
    ("card 4.111111111111111 × 10^15", "4.111111111111111"),
    ("card = 4.111111111111111*10**15", "4.111111111111111"),
    ("card = 4_111_111_111_111_111", "4_111_111_111_111_111"),
    ("ssn 457_555_462.0", "457_555_462"),
]


async def test_a_float_beside_a_word_in_text_is_masked_and_comes_back() -> None:
    for text, value in TEXTS:
        mapping = REDACTOR.mapping()
        slot = Slot((), "user", text)
        await REDACTOR.mask([slot], mapping)
        assert value not in slot.text, text
        Restorer(mapping, "same_host").whole([slot])
        assert slot.text == text


async def test_a_float_that_no_word_tells_of_is_left_alone_in_text() -> None:
    for text in (
        "flux 4.111111111111111e15 W",
        "x = 4111111111111111.0",
        "t=1700000000.0",
        "1.7e9 s",
        "card, 3.5e9 rows of 1e15",
        "ssn of 457_555_462 people",
        "the card has 4_111_111_111_111_112 bytes",
        "4_111_111_111_111_111.0 m",
    ):
        slot = Slot((), "user", text)
        await REDACTOR.mask([slot], REDACTOR.mapping())
        assert slot.text == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a 4111111111111111.0 b", "a 4111111111111111 b"),
        ("4.1234567e7,", "41234567,"),
        ("x1234567.0 1234567.01 12345678.0.1 1.2.1234567.0", None),
        ("12e4", None),
        ("1234567e-1", None),
        ("1e-99 1e99", None),
    ],
)  # fmt: skip
def test_whole_numbers_show_their_digits(text: str, shown: str | None) -> None:
    seen = whole_numbers(text)
    assert (seen and seen.text) == shown
