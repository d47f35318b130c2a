"""Judges what the record calls a call by (its project, session and model) by what was masked in the call's own body."""

import asyncio

from tokenman_core.redaction.entities import PLACEHOLDER
from tokenman_core.redaction.mask import Redactor
from tokenman_core.redaction.placeholders import Mapping
from tokenman_core.redaction.policy import Policy
from tokenman_core.redaction.spellings import ANYWHERE, SHORTEST, looked_for
from tokenman_core.slots import Slot

_STEP = 256  # values between two pauses


async def judged(
    redactor: Redactor, said: dict[str, str], mapping: Mapping, policy: Policy | None = None
) -> dict[str, str]:
    """The texts of `said` as they may be kept and shown; none at all if one holds a value that blocks. `policy`: as in `mask`.

    A label is no part of the request: `mapping`, which holds the values of its body, stays as it is. Raises what the
    detection raises.
    """
    aside = mapping.aside()
    try:
        slots = [Slot((name,), "other", text) for name, text in said.items() if text]
        masked = await redactor.mask(slots, aside, policy)
        if masked.blocked:
            return {}
        labels = said | {slot.key: slot.text for slot in slots}
        left = {slot.key: _bare(PLACEHOLDER.sub(" ", slot.text)) for slot in slots}
        for number, value in enumerate(mapping.values(), 1):
            if number % _STEP == 0:
                await asyncio.sleep(0)
            if not looked_for(value.text):
                continue
            bare = _bare(value.text)
            for name, text in left.items():
                if _is_of(text, bare):
                    labels[name] = aside.placeholder(value.entity, value.text)[0]
        return labels
    finally:
        aside.forget()


def _bare(text: str) -> str:
    """Letters and digits alone, case aside: people leave out of a label what stands between them."""
    return "".join(filter(str.isalnum, text.casefold()))


def _is_of(label: str, value: str) -> bool:
    """Whether a label says the value, or it is a part of the digits that the value is (a number without its country)."""
    if len(value) < ANYWHERE:
        return len(value) >= SHORTEST and label == value
    return value in label or (len(label) >= ANYWHERE and label.isdigit() and label in value)
