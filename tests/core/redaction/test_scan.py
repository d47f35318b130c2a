import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenman_core.config.models import Redaction as Settings
from tokenman_core.redaction import Finding, Redactor, Text, scan
from tokenman_core.redaction.entities import Findings
from tokenman_core.redaction.scan import Spot, redacting, spots

VALUE = "planted-7f3a@example.org"


class Finds:
    """Finds one value wherever it stands, and counts the characters it is asked about."""

    def __init__(self, value: str = VALUE) -> None:
        self.value, self.asked = value, 0

    async def find(self, texts: Sequence[Text]) -> list[Findings]:
        self.asked += sum(len(text) for text, *_ in texts)
        return [tuple(self._of(text)) for text, *_ in texts]

    def _of(self, text: str) -> list[Finding]:
        places, at = [], text.find(self.value)
        while at >= 0:
            places.append(Finding(at, at + len(self.value), "EMAIL_ADDRESS"))
            at = text.find(self.value, at + 1)
        return places


async def every(text: str, finder: object = None, settings: Settings | None = None) -> list[Spot]:
    redactor = Redactor(redacting(settings or Settings()), b"key", finder or Finds())  # type: ignore[arg-type]
    return [spot async for _, found in spots(redactor, text) for spot in found]


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(scan, "PIECE", 1000)
    monkeypatch.setattr(scan, "OVERLAP", 200)


async def test_a_spot_is_where_the_value_stands_and_its_placeholder_says_nothing_of_it():
    text = f"mail {VALUE}, again {VALUE}."
    first, second = await every(text)
    assert [text[each.start : each.end] for each in (first, second)] == [VALUE, VALUE]
    assert first.placeholder == second.placeholder
    assert first.placeholder.startswith("[EMAIL_ADDRESS_")


async def test_a_placeholder_that_stands_in_the_text_is_no_spot():
    text = f"as [EMAIL_ADDRESS_0123456789ab] and {VALUE}"
    (spot,) = await every(text)
    assert text[spot.start : spot.end] == VALUE


async def test_a_text_that_holds_the_very_placeholder_of_its_value_is_told_right():
    (spot,) = await every(VALUE)
    text = f"{spot.placeholder} {spot.placeholder} {VALUE} {spot.placeholder}"
    (again,) = await every(text)
    assert text[again.start : again.end] == VALUE


@given(st.lists(st.integers(0, 4000), max_size=12), st.integers(0, 5000))
async def test_pieces_bring_what_the_whole_would(places, length):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "PIECE", 1000)
        patch.setattr(scan, "OVERLAP", 200)
        text = "x" * length
        for at in sorted(places):
            text = text[:at] + f" {VALUE} " + text[at:]
        expected = [each[:2] for each in Finds()._of(text)]
        assert [(each.start, each.end) for each in await every(text)] == expected


async def test_no_more_than_a_piece_is_judged_at_once(small):
    class Bounded(Finds):
        async def find(self, texts):
            assert all(len(text) <= 1000 for text, *_ in texts)
            return await super().find(texts)

    await every("".join(random.Random(1).choices("ab \n", k=20_000)), Bounded())


async def test_a_value_is_known_in_later_pieces(small):
    finder = Finds("the password is Zebra-77-quiet")

    async def only_there(texts):
        return [
            (Finding(at + 16, at + 30, "PASSWORD"),) if (at := text.find(finder.value)) >= 0 else ()
            for text, *_ in texts
        ]

    finder.find = only_there
    text = finder.value + "." * 3000 + " Zebra-77-quiet "
    found = await every(text, finder)
    assert [text[each.start : each.end] for each in found] == ["Zebra-77-quiet"] * 2


@pytest.mark.parametrize("mode", ["redact", "block", "hash", "log"])
async def test_whatever_is_done_with_a_value_it_has_a_spot(mode):
    assert len(await every(VALUE, settings=Settings(mode=mode))) == 1


@pytest.mark.parametrize("settings", [Settings(mode="off"), Settings(entities={"EMAIL_ADDRESS": "off"})])
async def test_what_is_off_has_none(settings):
    assert await every(VALUE, settings=settings) == []
