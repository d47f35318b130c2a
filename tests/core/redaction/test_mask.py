"""What masking does to the slots of a request: left to right, the same every time, with memory as without."""

import asyncio
import base64
import gc
import html
import itertools
import json
import random
import time
from collections.abc import Coroutine, Sequence
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenman_core.config.models import Redaction as Settings
from tokenman_core.redaction import Mapping, Masked, Memo, Redactor, Restorer, masking
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Re2Gate
from tokenman_core.redaction.entities import PLACEHOLDER, Finding, Findings, Text
from tokenman_core.redaction.json_source import TextSource
from tokenman_core.redaction.needles import PIECE
from tokenman_core.redaction.spellings import forms, looked_for
from tokenman_core.slots import Slot, SlotKind

from .conftest import InProcess

KEY = b"k" * 32
FINDER = InProcess(Detector(Re2Gate()))


def slots(*texts: str, kind: SlotKind = "user") -> list[Slot]:
    return [Slot(("messages", place, "content"), kind, text) for place, text in enumerate(texts)]


async def mask(texts: list[str], memo: Memo | None = None, **changed: object) -> tuple[list[str], Mapping, Masked]:
    redactor = Redactor(Settings.model_validate(changed), KEY, FINDER, memo)
    mapping = redactor.mapping()
    here = slots(*texts)
    masked = await redactor.mask(here, mapping)
    return [slot.text for slot in here], mapping, masked


def restored(texts: list[str], mapping: Mapping) -> list[str]:
    here = slots(*texts, kind="assistant")
    Restorer(mapping, "always").whole(here)
    return [slot.text for slot in here]


async def test_a_value_becomes_a_placeholder_and_comes_back() -> None:
    texts, mapping, masked = await mask(["Mail alice@example.com!"])
    assert PLACEHOLDER.fullmatch(texts[0].removeprefix("Mail ").removesuffix("!"))
    assert masked.masked == {"EMAIL_ADDRESS": 1}
    assert restored(texts, mapping) == ["Mail alice@example.com!"]


async def test_the_same_value_has_the_same_placeholder_in_every_exchange_under_one_key() -> None:
    first, _, masked = await mask(["alice@example.com", "and alice@example.com"])
    second, _, _ = await mask(["x alice@example.com"])
    assert first[1] == "and " + first[0]
    assert second == ["x " + first[0]]
    assert masked.masked == {"EMAIL_ADDRESS": 1}
    other = Mapping(b"other").placeholder("EMAIL_ADDRESS", "alice@example.com")[0]
    assert other != first[0]


async def test_a_value_found_by_its_context_is_masked_in_later_slots_and_not_in_earlier_ones() -> None:
    texts, mapping, _ = await mask(["try Zebra-77 now", "the password is Zebra-77", "run: login Zebra-77;", "Zebra-77"])
    placeholder = texts[3]
    assert PLACEHOLDER.fullmatch(placeholder)
    assert texts[:3] == ["try Zebra-77 now", f"the password is {placeholder}", f"run: login {placeholder};"]
    assert restored(texts, mapping)[3] == "Zebra-77"


async def test_a_value_found_by_its_context_is_masked_all_over_its_own_slot() -> None:
    texts, mapping, masked = await mask(["Zebra-77? the password is Zebra-77. So type Zebra-77!"])
    assert "Zebra" not in texts[0]
    assert masked.masked == {"PASSWORD": 1}
    assert restored(texts, mapping) == ["Zebra-77? the password is Zebra-77. So type Zebra-77!"]


@pytest.mark.parametrize(
    "written",
    ['{"a": "p\\"w\\\\x9!"}', "p%22w%5Cx9%21", '"{\\"a\\": \\"p\\\\\\"w\\\\\\\\x9!\\"}"'],
    ids=["in JSON", "percent-encoded", "in JSON in JSON"],
)
async def test_a_known_value_is_masked_in_every_form_it_may_take(written: str) -> None:
    texts, mapping, _ = await mask(["the password is 'p\"w\\x9!'.", f"later {written} end"])
    value = 'p"w\\x9!'
    assert texts[0].startswith("the password is '[PASSWORD_")
    for form in forms(value):
        assert form not in texts[1]
    assert restored(texts, mapping)[1] == f"later {written} end"


@pytest.mark.parametrize("value", ["o'neil&co@example.com", "p\"w\\x9!<b>&'", "Zebra-77?>~\u00ff9"])
async def test_a_known_value_is_masked_in_html_and_in_base64(value: str) -> None:
    encoded = base64.b64encode(value.encode()).decode()
    here = [
        html.escape(value), html.escape(value, quote=False), html.escape(value).replace("&#x27;", "&#39;").replace("@", "&#64;"),
        value.replace("&", "&#38;").replace("@", "&commat;"), "".join(f"&#x{ord(each):x};" for each in value),
        encoded, encoded.rstrip("="), base64.urlsafe_b64encode(value.encode()).decode(), f"key_{encoded}", f"x:{encoded}/..",
    ]  # fmt: skip
    redactor = Redactor(Settings(), KEY, Fixed(value))
    mapping = redactor.mapping()
    slots_ = slots(value, *(f"&lt;b&gt; {each} &amp; so on" for each in here))
    await redactor.mask(slots_, mapping)
    assert PLACEHOLDER.fullmatch(slots_[0].text)
    for slot, each in zip(slots_[1:], here, strict=True):
        assert len(PLACEHOLDER.findall(slot.text)) == 1, each
        assert slot.text.startswith("&lt;b&gt; ")
        assert slot.text.endswith(" &amp; so on")
        assert each.rstrip("=") not in slot.text or each.endswith("/..")
    assert restored([slot.text for slot in slots_], mapping)[1:] == [f"&lt;b&gt; {each} &amp; so on" for each in here]


async def test_a_value_that_holds_a_percent_sign_is_masked_where_it_stands_decoded() -> None:
    texts, _, _ = await mask(["the password is Ze%62ra%2D77x", "login Zebra-77x"])
    assert texts[0].startswith("the password is [PASSWORD_")
    assert texts[1].startswith("login [PASSWORD_")


async def test_of_many_values_each_is_found_in_every_form() -> None:
    values = [f"user{number}@example.com" for number in range(1500)]
    later = " ".join(
        f"{quote(each, safe='')} {each.replace('@', '&#64;')} {base64.b64encode(each.encode()).decode()}"
        for each in values
    )
    texts, mapping, _ = await mask([" ".join(values), later])
    assert len(PLACEHOLDER.findall(texts[1])) == 4500
    assert restored(texts, mapping)[1] == later


class Fixed:
    """Finds a few values, each once in a text."""

    def __init__(self, *values: str) -> None:
        self.values = values

    async def find(self, texts: Sequence[Text]) -> list[Findings]:
        return [
            tuple(Finding(at, at + len(value), "PASSWORD") for value in self.values if (at := text.find(value)) >= 0)
            for text, _ in texts
        ]


async def longest_step(work: Coroutine[None, None, object]) -> float:
    """The longest time, in seconds of CPU, for which the event loop ran nothing else."""
    task = asyncio.ensure_future(work)
    gc.collect()
    gc.disable()  # what else lives in this process is not of interest
    try:
        longest, last = 0.0, time.process_time()
        while not task.done():
            await asyncio.sleep(0)
            now = time.process_time()
            longest, last = max(longest, now - last), now
    finally:
        gc.enable()
    await task
    return longest


async def test_a_text_full_of_values_does_not_hold_the_loop() -> None:
    values = [f"user{number}@example.com" for number in range(10_000)]
    text = " ".join(values)
    ends = list(itertools.accumulate(len(value) + 1 for value in values))
    found = tuple(
        Finding(end - 1 - len(value), end - 1, "EMAIL_ADDRESS") for end, value in zip(ends, values, strict=True)
    )

    class Prepared:
        async def find(self, texts: Sequence[Text]) -> list[Findings]:
            return [found if each.text is text else () for each in texts]

    redactor = Redactor(Settings(), KEY, Prepared(), Memo(max_bytes=0))
    here = slots(text, "and more")
    took = time.process_time()
    longest = await longest_step(redactor.mask(here, redactor.mapping()))
    took = time.process_time() - took
    assert len(PLACEHOLDER.findall(here[0].text)) == 10_000
    assert longest < took / 8  # in one piece each half of the work would be more


async def test_many_short_texts_do_not_hold_the_loop() -> None:
    redactor = Redactor(Settings(), KEY, Fixed("Zebra-77"))
    here = slots("the password is Zebra-77", *(f"text {number} of many" for number in range(20_000)))
    await redactor.mask(here, redactor.mapping())  # from now on nothing but the walk over the texts is left
    again = slots(*(slot.original for slot in here))
    took = time.process_time()
    longest = await longest_step(redactor.mask(again, redactor.mapping()))
    took = time.process_time() - took
    assert again[0].text.startswith("the password is [PASSWORD_")
    assert longest < took / 30  # the second of its two walks in one piece would be more than a tenth


def test_a_form_that_says_too_little_is_not_looked_for() -> None:
    assert [value for value in ("abc", "admin", "12345", "password", "${X}", "test") if looked_for(value)] == []
    assert [value for value in ("hunter2", "1234567", "swordfish", "ab c1") if not looked_for(value)] == []


async def test_a_mark_at_the_end_may_be_the_sentences() -> None:
    texts, _, _ = await mask(["the password is Zebra-77!", "login Zebra-77"])
    assert "Zebra" not in "".join(texts)


async def test_a_short_known_value_is_not_masked_inside_a_longer_word() -> None:
    texts, _, _ = await mask(["the password is kite9", "kite9s fly, kite9.", "superkite9"])
    assert texts[1].startswith("kite9s fly, [PASSWORD_")
    assert texts[2] == "superkite9"


async def test_a_long_known_value_is_masked_inside_a_longer_word() -> None:
    texts, _, _ = await mask(["the password is kite9kite9", "prefixkite9kite9suffix"])
    assert "kite9" not in texts[1]


async def test_many_known_values_are_all_found_again() -> None:
    values = [f"user{number}@example.com" for number in range(300)]
    texts, mapping, masked = await mask([*values, " ".join(value.upper() + " " + value for value in values)])
    assert masked.masked["EMAIL_ADDRESS"] == 600  # upper case is another value
    passwords = [f"kite{number}wing" for number in range(120)]
    texts, mapping, _ = await mask([*(f"the password is {each}" for each in passwords), "-".join(passwords)])
    assert not any(each in texts[-1] for each in passwords)
    assert restored(texts, mapping)[-1] == "-".join(passwords)


async def test_a_known_value_is_found_wherever_it_stands_in_a_long_text() -> None:
    values = [f"kite{number}wing" for number in range(40)]  # more than are searched one by one
    said = [f"the password is {each}" for each in values]
    for before in range(PIECE - 14, PIECE + 2):
        texts, _, _ = await mask([*said, "." * before + values[7] + "é" * 20_000 + values[39]])
        assert "kite" not in texts[-1]
        assert len(PLACEHOLDER.findall(texts[-1])) == 2


async def test_masking_twice_is_masking_once() -> None:
    texts = [
        "alice@example.com the password is hunter2xx",
        'password = "hunter2xx" 4111 1111 1111 1111',
        "postgres://u:hunter2xx@h/x",
    ]
    once, _, _ = await mask(texts)
    twice, _, masked = await mask(once)
    assert twice == once
    assert not masked.masked


async def test_a_placeholder_of_no_one_is_left_alone_and_never_restored() -> None:
    texts, mapping, _ = await mask(["see [EMAIL_ADDRESS_0123456789ab] and alice@example.com"])
    assert "[EMAIL_ADDRESS_0123456789ab]" in texts[0]
    assert restored(texts, mapping) == ["see [EMAIL_ADDRESS_0123456789ab] and alice@example.com"]


async def test_a_value_beside_a_placeholder_is_still_masked() -> None:
    texts, _, _ = await mask(["password=Sup3rSecret9[EMAIL_ADDRESS_0123456789ab]"])
    assert "Sup3rSecret9" not in texts[0]
    texts, mapping, _ = await mask(["postgres://u:pw9x[EMAIL_ADDRESS_0123456789ab]@host/x"])
    assert "[EMAIL_ADDRESS_0123456789ab]" in texts[0]
    assert "pw9x" not in texts[0]
    assert restored(texts, mapping) == ["postgres://u:pw9x[EMAIL_ADDRESS_0123456789ab]@host/x"]


async def test_two_values_never_share_a_placeholder(monkeypatch: pytest.MonkeyPatch) -> None:
    import hmac

    real = hmac.digest
    monkeypatch.setattr(
        hmac, "digest", lambda key, message, name: b"\0" * 32 if b"\0" not in message[-2:] else real(key, message, name)
    )
    mapping = Mapping(KEY)
    one, two = mapping.placeholder("PASSWORD", "first")[0], mapping.placeholder("PASSWORD", "second")[0]
    assert one != two
    assert (mapping.value(one).text, mapping.value(two).text) == ("first", "second")  # type: ignore[union-attr]


async def test_off_touches_nothing() -> None:
    assert (await mask(["alice@example.com sk-ant-api03-aB3dE5fG7hJ9kL2mN4pQ"], mode="off"))[0][0].startswith(
        "alice@example.com sk-ant"
    )


async def test_what_is_masked_is_not_told_as_logged() -> None:
    _, _, masked = await mask(["alice@example.com, the password is hunter2xx"], entities={"EMAIL_ADDRESS": "log"})
    assert (dict(masked.logged), dict(masked.masked)) == ({"EMAIL_ADDRESS": 1}, {"PASSWORD": 1})


async def test_a_document_of_json_is_read_once_for_all_values_in_it_and_in_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed: list[int] = []

    class Counting(TextSource):
        def feed(self, text: str) -> None:
            fed.append(len(text))
            super().feed(text)

    monkeypatch.setattr(masking, "TextSource", Counting)
    text = json.dumps({"a": "\n" * 1000 + "".join(f'password = "ki\\te-{n:04d}-Wx"\n' for n in range(200))})
    texts, mapping, masked = await mask([text])
    assert masked.masked["PASSWORD"] == 200
    assert {value.depth for value in mapping.values()} == {1}
    assert restored(texts, mapping) == [text]
    assert sum(fed) <= len(text)
    assert max(fed) <= 1024


async def test_log_counts_and_touches_nothing() -> None:
    texts, _, masked = await mask(["alice@example.com"], mode="log")
    assert (texts, masked.logged, masked.masked) == (["alice@example.com"], {"EMAIL_ADDRESS": 1}, {})


async def test_hash_masks_for_good() -> None:
    texts, mapping, masked = await mask(["alice@example.com"], mode="hash")
    assert PLACEHOLDER.fullmatch(texts[0])
    assert masked.masked == {"EMAIL_ADDRESS": 1}
    assert restored(texts, mapping) == texts
    assert not mapping.restorable


async def test_block_names_the_entity_and_stops() -> None:
    assert (await mask(["alice@example.com"], mode="block"))[2].blocked == "EMAIL_ADDRESS"
    assert (await mask(["the password is hunter2"], mode="block"))[2].blocked == "PASSWORD"
    assert (await mask(["nothing here"], mode="block"))[2].blocked == ""


async def test_an_entity_may_be_treated_unlike_the_others() -> None:
    texts, _, masked = await mask(["alice@example.com +1 415 555 2671"], entities={"PHONE_NUMBER": "off"})
    assert texts[0].endswith("+1 415 555 2671")
    assert masked.masked == {"EMAIL_ADDRESS": 1}
    assert (await mask(["4111 1111 1111 1111"], entities={"CREDIT_CARD": "block"}))[2].blocked == "CREDIT_CARD"
    texts, _, _ = await mask(["the password is hunter2, mail a@example.com"], secrets="log")
    assert texts[0].startswith("the password is hunter2, mail [EMAIL_ADDRESS_")


async def test_allowed_values_stay() -> None:
    texts, _, _ = await mask(["alice@example.com bob@corp.org"], allow=["*@Example.com"])
    assert texts[0].startswith("alice@example.com [EMAIL")


async def test_masking_again_masks_what_was_put_back_anywhere() -> None:
    redactor = Redactor(Settings(), KEY, FINDER)
    mapping = redactor.mapping()
    here = slots("first", "the password is Zebra-77")
    await redactor.mask(here, mapping)
    masked = here[1].text
    here[0].text = "first Zebra-77"
    again = await redactor.mask(here, mapping)
    assert (here[0].text, here[1].text) == ("first " + masked.removeprefix("the password is "), masked)
    assert not again.masked


async def test_a_lone_surrogate_is_a_text_like_any_other() -> None:
    texts, mapping, _ = await mask(["\ud800 alice@example.com \udfff", "the password is hun\ud800ter2 ok"])
    assert restored(texts, mapping) == ["\ud800 alice@example.com \udfff", "the password is hun\ud800ter2 ok"]
    assert "alice" not in texts[0]


async def test_over_a_conversation_every_turn_is_a_prefix_of_the_next() -> None:
    rng = random.Random(7)
    turns: list[str] = []
    seen: list[str] = []
    memo = Memo()
    for turn in range(30):
        turns.append(
            rng.choice(
                [
                    f"mail user{turn}@example.com",
                    f"the password is Kite{turn}wing!",
                    f"use Kite{turn - 1}wing! and user{turn - 2}@example.com",
                    json.dumps({"password": f"Kite{turn - 3}wing!"}),
                    "nothing",
                ]
            )
        )
        texts, mapping, _ = await mask(turns, memo)
        assert texts[: len(seen)] == seen
        assert restored(texts, mapping) == turns
        seen = texts
    assert len(PLACEHOLDER.findall(" ".join(seen))) >= 20


async def test_a_known_text_is_not_judged_again() -> None:
    memo = Memo()
    await mask(["alice@example.com", "hello"], memo)
    FINDER.asked.clear()
    texts, _, _ = await mask(["alice@example.com", "hello", "more bob@example.com"], memo)
    assert [text for text, _ in FINDER.asked] == ["more bob@example.com"]
    assert texts[0].startswith("[EMAIL")


async def test_the_memory_knows_under_which_key_a_text_stood() -> None:
    memo = Memo()
    redactor = Redactor(Settings(), KEY, FINDER, memo)
    text, password = Slot(("input", "content"), "user", "hunter2"), Slot(("input", "password"), "user", "hunter2")
    await redactor.mask([text], redactor.mapping())
    await redactor.mask([password], redactor.mapping())
    assert text.text == "hunter2"
    assert password.text.startswith("[PASSWORD_")


async def test_the_memory_knows_which_values_were_found_before_a_text() -> None:
    memo = Memo()
    assert (await mask(["mail a@example.com", "Zebra-77"], memo))[0][1] == "Zebra-77"
    assert (await mask(["the password is Zebra-77", "Zebra-77"], memo))[0][1].startswith("[PASSWORD_")
    assert (await mask(["mail a@example.com", "Zebra-77"], memo))[0][1] == "Zebra-77"


async def test_the_memory_knows_the_policy_under_which_values_were_found() -> None:
    memo = Memo()
    conversation = ["the password is Zebra-77", "Zebra-77"]
    assert (await mask(conversation, memo, entities={"PASSWORD": "off"}))[0] == conversation
    assert (await mask(conversation, memo))[0][1].startswith("[PASSWORD_")


WORDS = st.sampled_from(
    [
        "alice@example.com", "the password is Zebra-77", "Zebra-77",
        "4111 1111 1111 1111", "+1 415 555 2671", '{"password": "p\\"x9!kk"}', 'p"x9!kk',
        "sk-ant-api03-aB3dE5fG7hJ9kL2mN4pQ6rS8", "[EMAIL_ADDRESS_0123456789ab]",
        "[EMAIL_ADDRESS_", "]", "Zebra%2D77", "\\", '"', "\n", "値", "\ud800", "[",
        "postgres://u:Zebra-77@db.example.com/x", "\u200b", "password=", "bob@corp.example",
    ]
)  # fmt: skip
TEXTS = st.lists(
    st.one_of(
        st.lists(WORDS, max_size=5).map(" ".join), st.lists(WORDS, max_size=4).map("".join), st.text(max_size=20)
    ),
    max_size=6,
)
SHARED = Memo()


@settings(max_examples=120, deadline=None)
@given(TEXTS)
async def test_restoring_what_was_masked_gives_the_text_again(texts: list[str]) -> None:
    masked, mapping, _ = await mask(texts)
    assert restored(masked, mapping) == texts


@settings(max_examples=120, deadline=None)
@given(TEXTS)
async def test_memory_changes_nothing(texts: list[str]) -> None:
    with_memory = await mask(texts, SHARED)
    without = await mask(texts, Memo(max_bytes=0))
    assert with_memory[0] == without[0]
    assert with_memory[2] == without[2]


@settings(max_examples=120, deadline=None)
@given(st.lists(st.lists(WORDS, max_size=6).map(" ".join), max_size=5))  # glued to a word, a number is not one's
async def test_masking_any_texts_twice_is_masking_them_once(texts: list[str]) -> None:
    once, _, _ = await mask(texts)
    assert (await mask(once))[0] == once


@settings(max_examples=60, deadline=None)
@given(TEXTS)
async def test_what_follows_does_not_change_what_came_before(texts: list[str]) -> None:
    whole, _, _ = await mask(texts)
    for end in range(len(texts)):
        assert (await mask(texts[:end]))[0] == whole[:end]


GROWN = Memo()
BROKEN = st.sampled_from(
    ["alice@exam", "ple.com and so on", "the password is", "Zebra-77", "4111 1111 1111", "1111", "x", "kite."]
)


async def grown(
    texts: list[str], memo: Memo, messages: int
) -> tuple[list[str], Masked, list[tuple[str, str, str, list[str]]]]:
    redactor = Redactor(Settings(), KEY, FINDER, memo)
    mapping = redactor.mapping()
    here = [
        Slot(
            ("messages", place // messages, "content", place % messages, "text"),
            "user",
            text,
            message=place // messages,
        )
        for place, text in enumerate(texts)
    ]
    masked = await redactor.mask(here, mapping)
    return [slot.text for slot in here], masked, [(it.entity, it.text, it.whole, it.stood) for it in mapping.values()]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(BROKEN, WORDS), max_size=6), st.integers(1, 6))
async def test_a_conversation_that_grows_is_masked_as_if_none_of_it_was_remembered(
    texts: list[str], messages: int
) -> None:
    for end in range(len(texts) + 1):
        assert await grown(texts[:end], GROWN, messages) == await grown(texts[:end], Memo(max_bytes=0), messages)


@pytest.mark.parametrize(
    ("innocent", "telling"),
    [
        ({"path": ("env", 0, "value"), "named": "COLOR"}, {"path": ("env", 0, "value"), "named": "DB_PASSWORD"}),
        ({"path": ("color", "value")}, {"path": ("password", "value")}),
        ({"path": ("color", 0)}, {"path": ("password", 0)}),
        ({"path": ("color", "default")}, {"path": ("password", "values", 3)}),
    ],
)  # fmt: skip
async def test_what_was_judged_under_one_name_is_judged_again_under_another(
    innocent: dict[str, Any], telling: dict[str, Any]
) -> None:
    redactor = Redactor(Settings(), KEY, FINDER)
    for said, masked in ((innocent, False), (telling, True), (innocent, False)):
        here = [Slot(kind="tool_input", text="kiteflyer9!", **said)]
        await redactor.mask(here, redactor.mapping())
        assert (here[0].text != "kiteflyer9!") is masked
