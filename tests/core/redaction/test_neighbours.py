"""A value that is cut over two texts of one message is masked in both, and comes back as it stood."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenman_core.config.models import Redaction as Settings
from tokenman_core.dialects.walk import find_slots
from tokenman_core.redaction import Mapping, Memo, Redactor, Restorer
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Re2Gate
from tokenman_core.redaction.entities import PLACEHOLDER
from tokenman_core.slots import Slot

from .conftest import InProcess

FINDER = InProcess(Detector(Re2Gate()))
KEY = "sk-ant-api03-" + "aB3dE5fG7hJ9kL2mN4pQ6rS8tU1vW0xY" * 3
PEM = (
    "-----BEGIN PRIVATE KEY-----\n" + ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" * 2 + "\n") * 20 + "-----END PRIVATE KEY-----"
)


def message(*texts: str, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text} for text in texts]}


async def masked(
    *messages: dict[str, Any], memo: Memo | None = None, settled: bool = True, **changed: object
) -> tuple[list[str], Mapping, dict[str, int]]:
    """`settled`: masked again, nothing changes. It may where a value stands in an earlier text than the one that tells of it."""
    redactor = Redactor(Settings.model_validate(changed), b"k" * 32, FINDER, memo)
    slots = find_slots({"messages": [*messages]}).slots
    mapping = redactor.mapping()
    said = await redactor.mask(slots, mapping)
    texts = [slot.text for slot in slots]
    if settled:
        again = await redactor.mask(slots, mapping)
        assert ([slot.text for slot in slots], again.masked) == (texts, {})
    return texts, mapping, dict(said.masked)


def restored(texts: list[str], mapping: Mapping) -> list[str]:
    slots = [Slot((place,), "assistant", text) for place, text in enumerate(texts)]
    Restorer(mapping, "always").whole(slots)
    return [slot.text for slot in slots]


CUT = [
    ("EMAIL_ADDRESS", "write to jane.doe@exam", "ple.com please", "jane.doe@example.com"),
    ("EMAIL_ADDRESS", "write to jane.doe", "@example.com please", "jane.doe@example.com"),
    ("EMAIL_ADDRESS", "write to jane.d7", "oe@example.com please", "jane.d7oe@example.com"),
    ("EMAIL_ADDRESS", "write to jane.doe@example.", "com please", "jane.doe@example.com"),
    ("EMAIL_ADDRESS", "write to jane.d", "oe@example.com please", "jane.doe@example.com"),
    ("IP_ADDRESS", "at 10.20.", "30.40 now", "10.20.30.40"),
    ("IP_ADDRESS", "at 10.20", ".30.40 now", "10.20.30.40"),
    ("IP_ADDRESS", "at 10.2", "0.30.40 now", "10.20.30.40"),
    ("IP_ADDRESS", "at 2001:db8:", "85a3::8a2e:370:7334 now", "2001:db8:85a3::8a2e:370:7334"),
    ("MAC_ADDRESS", "at 3c:22:fb:", "9a:71:0e now", "3c:22:fb:9a:71:0e"),
    ("US_SSN", "ssn 219-0", "9-9999 now", "219-09-9999"),
    ("CREDIT_CARD", "card 4111 1111 ", "1111 1111 ok", "4111 1111 1111 1111"),
    ("CREDIT_CARD", "card 4111", " 1111 1111 1111 ok", "4111 1111 1111 1111"),
    ("CREDIT_CARD", "card 411111111111", "1111 ok", "4111111111111111"),
    ("IBAN_CODE", "to DE89 3704 ", "0044 0532 0130 00 now", "DE89 3704 0044 0532 0130 00"),
    ("PHONE_NUMBER", "call +1 415 555", " 2671 now", "+1 415 555 2671"),
    ("API_KEY", "use " + KEY[:40], KEY[40:] + " now", KEY),
    ("API_KEY", "use ghp_aB3dE5fG7hI9kL1m", "N3pQ5rS7tU9vW1xY3zA5 now", "ghp_aB3dE5fG7hI9kL1mN3pQ5rS7tU9vW1xY3zA5"),
    ("PRIVATE_KEY", "pem " + PEM[:900], PEM[900:] + "\nend", PEM),
]


@pytest.mark.parametrize(("entity", "left", "right", "whole"), CUT)
async def test_a_value_over_two_texts_is_masked_in_both_and_comes_back(
    entity: str, left: str, right: str, whole: str
) -> None:
    texts, mapping, said = await masked(message(left, right), message("later: " + whole))
    assert restored(texts, mapping) == [left, right, "later: " + whole]
    first, second = (PLACEHOLDER.findall(text) for text in texts[:2])
    assert (len(first), len(second)) == (1, 1), texts
    assert first[0].startswith(f"[{entity}_")
    assert texts[0].endswith(first[0])
    assert texts[1].startswith(second[0])
    assert PLACEHOLDER.fullmatch(texts[2].removeprefix("later: "))
    assert said == {entity: 1}


async def test_a_value_over_three_texts_is_masked_in_all() -> None:
    texts, mapping, said = await masked(message("card 4111 ", "1111 1111", " 1111 ok"))
    assert [len(PLACEHOLDER.findall(text)) for text in texts] == [1, 1, 1]
    assert restored(texts, mapping) == ["card 4111 ", "1111 1111", " 1111 ok"]
    assert said == {"CREDIT_CARD": 1}


@pytest.mark.parametrize(
    "left", ["the password is", "My PASSWORD IS", "das Passwort ist", "the password was", "set the password to"]
)
@pytest.mark.parametrize("right", ["Zebra-77 and more", "Zebra-77", "`Zebra-77` it is"])
async def test_a_word_that_announces_a_secret_may_end_the_text_before_without_a_blank(left: str, right: str) -> None:
    texts, mapping, said = await masked(message("hello", left, right), message("Zebra-77"), settled=False)
    assert texts[:2] == ["hello", left]
    assert "Zebra" not in "".join(texts)
    assert said == {"PASSWORD": 1}
    assert restored(texts, mapping) == ["hello", left, right, "Zebra-77"]


async def test_a_text_that_ends_with_such_a_word_may_also_be_cut_in_it() -> None:
    """As a part of a value that goes on."""
    texts, mapping, _ = await masked(message("log in as to", "m.smith@example.com"), settled=False)
    assert "smith" not in "".join(texts)
    assert restored(texts, mapping) == ["log in as to", "m.smith@example.com"]


async def test_what_announces_a_secret_may_stand_in_the_text_before() -> None:
    texts, mapping, _ = await masked(message("the password is ", "Zebra-77 and more"), message("Zebra-77"))
    assert texts[0] == "the password is "
    assert texts[1].startswith("[PASSWORD_")
    assert PLACEHOLDER.fullmatch(texts[2])
    assert restored(texts, mapping) == ["the password is ", "Zebra-77 and more", "Zebra-77"]


async def test_a_part_is_not_looked_for_by_itself() -> None:
    texts, _, _ = await masked(message("write to jane.doe@exam", "ple.com please"), message("jane.doe@exam ple.com"))
    assert texts[2] == "jane.doe@exam ple.com"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("write to jane.doe@example.com", "Next"),
        ("version 4111 1111", "file 1111 1111"),
        (KEY, "export"),
        (KEY, "AKIAIOSFODNN7EXAMPL2"),
        ("jane.doe@exam\n", "ple.com"),
        ("1234567 ", "12"),
    ],
)
async def test_what_only_stands_side_by_side_is_judged_alone(left: str, right: str) -> None:
    together, _, _ = await masked(message(left, right))
    assert together == [(await masked(message(each)))[0][0] for each in (left, right)]


async def test_texts_of_two_messages_are_not_joined() -> None:
    texts, _, _ = await masked(message("jane.doe@exam"), message("ple.com"))
    assert texts == ["jane.doe@exam", "ple.com"]
    body = {"role": "user", "content": [{"type": "text", "text": "jane.doe@exam", "title": "ple.com"}]}
    assert (await masked(body))[0] == ["jane.doe@exam", "ple.com"]


async def test_a_value_that_may_pass_passes_over_an_edge_too() -> None:
    texts, _, _ = await masked(message("jane.doe@exam", "ple.com"), allow=["*@example.com"])
    assert texts == ["jane.doe@exam", "ple.com"]


async def test_memory_knows_what_stood_beside_a_text() -> None:
    memo = Memo()
    for _ in range(2):
        assert (await masked(message("jane.doe@exam", "nothing"), memo=memo))[0] == ["jane.doe@exam", "nothing"]
        assert "jane" not in (await masked(message("jane.doe@exam", "ple.com"), memo=memo))[0][0]
        assert (await masked(message("a", "jane.doe@exam"), memo=memo))[0][1] == "jane.doe@exam"


async def test_many_texts_in_a_row_are_judged_in_time_that_grows_with_them() -> None:
    asked = len(FINDER.asked)
    await masked(message(*(f"a{number}@" for number in range(2000))))
    assert sum(len(each.text) for each in FINDER.asked[asked:]) < 8 * sum(len(f"a{number}@") for number in range(2000))


PIECES = st.sampled_from(
    [
        "jane.doe@exam", "ple.com", "write to ", "4111 1111 ", "1111 1111", " ok", "the password is ", "Zebra-77", "Zebra", "-77",
        "sk-ant-api03-aB3dE5fG7h", "J9kL2mN4pQ6rS8", "[EMAIL_ADDRESS_0123456789ab]", "\n", "@", "bob@corp.example", "Zebra&#45;77",
    ]
)  # fmt: skip
BLOCKS = st.lists(st.lists(PIECES, min_size=1, max_size=3).map("".join), min_size=1, max_size=4)
SHARED = Memo()


@settings(max_examples=60, deadline=None)
@given(st.lists(BLOCKS, min_size=1, max_size=4))
async def test_every_turn_is_a_prefix_of_the_next_and_memory_changes_nothing(turns: list[list[str]]) -> None:
    seen: list[str] = []
    for count in range(1, len(turns) + 1):
        messages = [message(*blocks) for blocks in turns[:count]]
        cold, mapping, counted = await masked(*messages, settled=False)
        warm, _, counted_warm = await masked(*messages, memo=SHARED, settled=False)
        assert (cold, counted) == (warm, counted_warm)
        assert cold[: len(seen)] == seen
        assert restored(cold, mapping) == [text for blocks in turns[:count] for text in blocks]
        seen = cold


@pytest.mark.parametrize("kinds", [{"PHONE_NUMBER": "log"}, {"US_SSN": "block"}, {"PHONE_NUMBER": "hash"}])
async def test_what_a_value_is_taken_for_by_the_text_behind_it_is_a_part_of_what_is_remembered(
    kinds: dict[str, str],
) -> None:
    memo = Memo()
    redactor = Redactor(Settings.model_validate({"entities": kinds}), b"k" * 32, FINDER, memo)
    for said in ("is my phone", "is my ssn", "is my phone"):
        body = {"messages": [message("it is 219099", f"999 {said}")]}
        warm, cold = find_slots(body).slots, find_slots(body).slots
        result = await redactor.mask(warm, redactor.mapping())
        fresh = Redactor(redactor.settings, b"k" * 32, FINDER)
        assert result == await fresh.mask(cold, fresh.mapping())
        assert [slot.text for slot in warm] == [slot.text for slot in cold]
