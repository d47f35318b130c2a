"""Values that the settings name are masked wherever they stand, also where detection finds nothing."""

import base64
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import pytest

from tokenman_core.config.models import Redaction as Settings
from tokenman_core.redaction import Finding, Memo, Redactor, Text
from tokenman_core.redaction.entities import Findings
from tokenman_core.slots import Slot


class Nothing:
    """Finds what it is told, in every text."""

    def __init__(self, *found: Finding) -> None:
        self.found = found

    async def find(self, texts: Sequence[Text]) -> list[Findings]:
        return [self.found for _ in texts]


async def masked(*texts: str, finder: Nothing | None = None, memo: Memo | None = None, **settings: Any) -> list[str]:
    redactor = Redactor(Settings.model_validate(settings), b"k" * 32, finder or Nothing(), memo)
    slots = [Slot(("messages", place, "content"), "user", text) for place, text in enumerate(texts)]
    await redactor.mask(slots, redactor.mapping())
    return [slot.text for slot in slots]


VALUE = "Project Aurora/7"


@pytest.mark.parametrize(
    "written",
    [
        VALUE,
        VALUE.upper(),
        quote(VALUE, safe=""),
        base64.b64encode(VALUE.encode()).decode().rstrip("="),
        VALUE.replace("/", "&#47;"),
    ],
)
@pytest.mark.parametrize("mode", ["redact", "hash", "off"])
async def test_a_named_value_is_masked_in_every_form_though_nothing_was_detected(written: str, mode: str) -> None:
    (text,) = await masked(f"see {written} now", deny=[VALUE], mode=mode)
    assert text.startswith("see [CUSTOM_")
    assert "Aurora" not in text


async def test_a_named_value_is_masked_in_one_that_is_left_alone() -> None:
    finder = Nothing(Finding(0, 24, "EMAIL_ADDRESS"))
    text = "acme-corp@mail.example.com"[:24]
    (left,) = await masked(text, finder=finder, entities={"EMAIL_ADDRESS": "off"})
    (found,) = await masked(text, finder=finder, entities={"EMAIL_ADDRESS": "off"}, deny=["acme-corp"])
    assert left == text
    assert found.startswith("[CUSTOM_")
    assert found.endswith(text[9:])


async def test_memory_of_one_list_is_not_used_for_another() -> None:
    memo = Memo()
    assert await masked("about Aurora", memo=memo) == ["about Aurora"]
    assert (await masked("about Aurora", memo=memo, deny=["Aurora"]))[0].startswith("about [CUSTOM_")
    assert await masked("about Aurora", memo=memo) == ["about Aurora"]


async def test_a_long_text_is_looked_through_aside_and_wholly() -> None:
    (text,) = await masked("x" * 50_000 + " Aurora", deny=["Aurora"])
    assert "Aurora" not in text
