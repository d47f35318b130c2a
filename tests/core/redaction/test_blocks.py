"""Long conversations, known by the names of many texts at a time: what is done about them is what would be done without memory."""

import random
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import pytest

from tokenman_core.config.models import Redaction as Settings
from tokenman_core.redaction import Mapping, Masked, Memo, Redactor, Text, breath
from tokenman_core.redaction.allowed import NOTHING
from tokenman_core.redaction.blocks import SIZE, blocks, grows
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Re2Gate
from tokenman_core.redaction.entities import Findings
from tokenman_core.redaction.so_far import SoFar
from tokenman_core.slots import Key, Slot, SlotKind

from .conftest import InProcess

KEY = b"k" * 32
FINDER = InProcess(Detector(Re2Gate()))
TEXTS = [
    "nothing here", "Zebra-77 alone says nothing", "the password is Zebra-77", "mail alice@example.com now", "for(i=0;i<9;i++);",
    "the password is Kite-8812, not Zebra-77", "card 4111 1111 1111 1111", "bob@example.com", "SSN 219-09-9999", "Kite-8812", "",
    "line\\nZebra-\\n77", "base64 WmVicmEtNzcgaXMgaXQ=", "to 203.0.113.9", "a" * 3000, "my card is 4111 1111", " 1111 1111 it is",
]  # fmt: skip


def said(slot: Slot) -> Slot:
    """The same slot as a new call has it."""
    return Slot(slot.path, slot.kind, slot.original, slot.tool, message=slot.message, named=slot.named)


def message(dice: random.Random, number: int) -> list[Slot]:
    kind: SlotKind = dice.choice(("user", "assistant", "tool_result", "tool_input"))
    names: Sequence[Any] = dice.choice((("text",), ("text",), ("password",), ("value",), (Key("Zebra-77"),)))
    return [
        Slot(
            ("messages", number, "content", part, *names), kind, dice.choice(TEXTS), message=number,
            named=dice.choice(("", "", "DB_PASSWORD", "COLOR")) if names == ("value",) else "",
        )
        for part in range(dice.choice((1, 1, 2, 3)))
    ]  # fmt: skip


class Conversation:
    """Messages, and what stands behind them in the body: some system texts and many of tools."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.messages = [message(dice, number) for number in range(dice.randrange(1, 40))]
        self.behind = [Slot(("system", part, "text"), "system", dice.choice(TEXTS)) for part in range(3)]
        self.behind += [
            Slot(("tools", part, "description"), "other", dice.choice(TEXTS)) for part in range(dice.choice((2, 40)))
        ]

    def changes(self) -> None:
        dice, at = self.dice, self.dice.randrange(len(self.messages))
        match dice.randrange(6):
            case 0:
                self.messages[at] = message(dice, at)
            case 1:
                self.messages = self.messages[: at + 1]
            case 2:
                pass
            case _:
                for _ in range(dice.randrange(1, 4)):
                    self.messages.append(message(dice, len(self.messages)))

    def slots(self) -> list[Slot]:
        return [said(slot) for slots in (*self.messages, self.behind) for slot in slots]


async def done(redactor: Redactor, slots: list[Slot]) -> tuple[Any, ...]:
    mapping = redactor.mapping()
    masked = await redactor.mask(slots, mapping)
    values = [
        (each.entity, each.text, each.restorable, each.whole, each.depth, each.stood) for each in mapping.values()
    ]
    return [slot.text for slot in slots], values, masked


@pytest.mark.parametrize(
    "settings", [{}, {"deny": ["nothing"]}, {"entities": {"IP_ADDRESS": "log", "CREDIT_CARD": "hash"}}]
)
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("bytes_", [32 * 1024 * 1024, 20_000])
async def test_what_is_done_about_a_conversation_is_the_same_with_memory_as_without(
    settings: dict[str, Any], seed: int, bytes_: int
) -> None:
    dice = random.Random(seed)
    memo = Memo(bytes_)
    redactor = Redactor(Settings.model_validate(settings), KEY, FINDER, memo)
    conversation = Conversation(dice)
    for _ in range(8):
        texts, values, masked = await done(redactor, conversation.slots())
        fresh = Redactor(Settings.model_validate(settings), KEY, FINDER, Memo())
        assert (texts, values) == (await done(fresh, conversation.slots()))[:2]
        again: Masked = (await done(fresh, conversation.slots()))[2]
        assert (masked.masked, masked.logged, masked.spots, masked.paths) == (
            again.masked, again.logged, again.spots, again.paths,
        )  # fmt: skip
        conversation.changes()


async def test_a_conversation_that_goes_on_is_known_by_few_names(monkeypatch: pytest.MonkeyPatch) -> None:
    memo = Memo()
    redactor = Redactor(Settings(), KEY, FINDER, memo)
    named: list[str] = []
    name = memo.name

    def counted(text: str, key: str, options: bytes = b"") -> bytes:
        named.append(text)
        return name(text, key, options)

    monkeypatch.setattr(memo, "name", counted)

    def call(messages: int) -> list[Slot]:
        said = [Slot(("messages", at, "content"), "user", f"message {at}", message=at) for at in range(messages)]
        return said + [Slot(("tools", at, "description"), "other", f"tool {at}") for at in range(40)]

    await redactor.mask(call(50), redactor.mapping())
    FINDER.asked.clear()
    named.clear()
    await redactor.mask(call(51), redactor.mapping())
    assert FINDER.asked == [Text("message 50", "content")]
    assert named == ["message 48", "message 49", "message 50"]


async def test_one_text_more_or_less_or_other_or_elsewhere_is_another_block() -> None:
    memo = Memo()

    def block(*texts: str, key: str = "content", options: bytes = b"") -> bytes:
        return memo.block_name([Slot((key,), "user", text) for text in texts], options)

    names = [
        block("ab", "c"), block("a", "bc"), block("ab", "c", ""), block("abc"), block("c", "ab"), block("ab", "c", key="conten"),
        block("tab", "c", key="conten"), block("ab", "c", options=b"o" * 16), block("äb", "c"), block("ab\ud800", "c"),
    ]  # fmt: skip
    assert len({*names}) == len(names)
    assert block("ab", "c") == names[0]
    assert block("a" * 200_000, "b") == b""  # what is too long to be named in one go has a name for each text


async def test_a_block_that_is_known_is_known_under_the_same_values_alone() -> None:
    redactor = Redactor(Settings(), KEY, FINDER)
    said = ["the password is Zebra-77", *["Zebra-77 says nothing"] * 40]
    for texts, masked in ((said, True), (["nothing", *said[1:]], False), (said, True)):
        slots = [Slot(("messages", at, "content"), "user", text, message=at) for at, text in enumerate(texts)]
        await redactor.mask(slots, redactor.mapping())
        assert ("Zebra" not in slots[-1].text) is masked


async def test_a_value_that_blocks_does_so_again_in_the_midst_of_a_block() -> None:
    redactor = Redactor(Settings.model_validate({"entities": {"CREDIT_CARD": "block"}}), KEY, FINDER)
    for _ in range(3):
        slots = [
            Slot(
                ("messages", at, "content"),
                "user",
                "4111 1111 1111 1111" if at == 20 else f"a{at}@example.com",
                message=at,
            )
            for at in range(60)
        ]
        masked = await redactor.mask(slots, redactor.mapping())
        assert (masked.blocked, masked.place) == ("CREDIT_CARD", "messages[20].content")
        assert "example" not in slots[19].text


class Counting:
    """A detection that is asked; it finds nothing."""

    def __init__(self) -> None:
        self.rounds: list[int] = []

    async def find(self, texts: Sequence[Text]) -> list[Findings]:
        self.rounds.append(len(texts))
        return [()] * len(texts)


async def test_all_that_is_new_is_asked_about_in_one_question() -> None:
    detection = Counting()
    redactor = Redactor(Settings(), KEY, detection)
    slots = [Slot(("messages", at, "content"), "user", f"message {at}", message=at) for at in range(100)]
    await redactor.mask(slots, redactor.mapping())
    assert detection.rounds == [100]
    for at in (3, 40, 99):
        slots[at] = Slot(("messages", at, "content"), "user", f"another {at}", message=at)
    await redactor.mask(slots, redactor.mapping())
    assert detection.rounds == [100, 3]


@pytest.mark.parametrize("seed", range(20))
def test_blocks_hold_each_place_once_in_order_and_one_part_of_the_request_each(seed: int) -> None:
    slots = Conversation(random.Random(seed)).slots()
    found = [*blocks(slots)]
    assert [place for block in found for place in block] == [*range(len(slots))]
    assert all(0 < len(block) <= SIZE for block in found)
    for block in found:
        assert len({slots[place].path[0] for place in block}) == 1
    assert not [block for block in found if grows(slots, block) and slots[block.start].path[0] != "messages"]
    assert [*blocks([])] == []


def test_the_mapping_of_an_exchange_with_memory_knows_its_values_by_what_they_are() -> None:
    mapping = Mapping(KEY)
    placeholder, new = mapping.placeholder("PASSWORD", "Zebra-77")
    assert new
    assert mapping.placeholder("PASSWORD", "Zebra-77") == (placeholder, False)
    assert mapping.aside().placeholder("PASSWORD", "Zebra-77") == (placeholder, False)
    mapping.forget()
    assert mapping.placeholder("PASSWORD", "Zebra-77") == (placeholder, True)


async def test_the_values_of_a_long_conversation_are_taken_up_in_steps_once_something_new_is_judged() -> None:
    redactor = Redactor(Settings(), KEY, FINDER)
    known = [f"mail a{at}@example.com" for at in range(600)]

    def call(*texts: str) -> list[Slot]:
        return [Slot(("messages", at, "content"), "user", text, message=at) for at, text in enumerate(texts)]

    await redactor.mask(call(*known), redactor.mapping())
    mapping = redactor.mapping()
    await redactor.mask(call(*known), mapping)
    assert sum(1 for _ in mapping.settle()) > 3
    assert sum(1 for _ in mapping.settle()) == 0  # nobody had asked, now all are at hand
    so_far = SoFar(redactor.policies.base, NOTHING, b"")
    so_far.add(("EMAIL_ADDRESS", text) for text in known)
    assert so_far.searches
    assert sum(1 for _ in so_far.settle()) > 1
    assert len(so_far.values) == 600
    assert so_far.known
    slots = call(*known, "a599 at example, a17@example.com and " + quote("a17@example.com"))
    await redactor.mask(slots, mapping)
    assert "a17" not in slots[-1].text


@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("new", [None, 0, 1599])
async def test_the_clock_is_looked_at_between_any_few_names(
    monkeypatch: pytest.MonkeyPatch, new: int | None, edges: bool
) -> None:
    """With a pause at each look: between two of them no more than a block is named."""
    memo = Memo()
    redactor = Redactor(Settings(), KEY, Counting(), memo)
    texts = [f"part {at} is" for at in range(1600)]

    def call() -> list[Slot]:
        if edges:
            return [Slot(("messages", 0, "content", at), "user", text, message=0) for at, text in enumerate(texts)]
        return [Slot(("messages", at, "content"), "user", text, message=at) for at, text in enumerate(texts)]

    await redactor.mask(call(), redactor.mapping())
    monkeypatch.setattr(breath, "LONGEST_S", -1.0)
    name, block_name, named = memo.name, memo.block_name, [0]

    def one(text: str, key: str, options: bytes = b"") -> bytes:
        named[-1] += 1
        return name(text, key, options)

    def many(slots: Sequence[Slot], options: bytes) -> bytes:
        named[-1] += SIZE
        return block_name(slots, options)

    monkeypatch.setattr(memo, "name", one)
    monkeypatch.setattr(memo, "block_name", many)
    if new is not None:
        texts[new] = "another one is"
    for _ in redactor.mask(call(), redactor.mapping()).__await__():
        named.append(0)
    assert sum(named) >= len(texts)
    assert max(named) <= 2 * SIZE + 1
