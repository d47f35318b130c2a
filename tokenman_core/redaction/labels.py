"""Judges what the record calls a call by (its project, session and model) by what was masked in the call's own body."""

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from typing import Final

from tokenman_core.redaction.allowed import Permitted
from tokenman_core.redaction.entities import PLACEHOLDER
from tokenman_core.redaction.mask import Redactor
from tokenman_core.redaction.placeholders import Mapping
from tokenman_core.redaction.policy import Policy
from tokenman_core.redaction.spellings import ANYWHERE, SHORTEST, looked_for
from tokenman_core.slots import Slot

_STEP: Final = 256  # values between two pauses
_REMEMBERED: Final = 4096  # calls' labels
_LONGEST: Final = 1024  # characters of those of one call: a program may write what it likes for a model's name


class Labels:
    """The judge, who remembers what he said of the labels of calls with the same values: most of a session's calls have those."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._key = secrets.token_bytes(32)
        self._judged: OrderedDict[bytes, dict[str, str]] = OrderedDict()

    async def judged(
        self, said: dict[str, str], mapping: Mapping, policy: Policy | None = None, known: bytes = b""
    ) -> dict[str, str]:
        """The texts of `said` as they may be kept and shown; none at all if one holds a value that blocks. `policy`: as in `mask`.
        `known`: the name of the values in the mapping, "" if they have none (see `Masked`).

        A label is no part of the request: `mapping`, which holds the values of its body, stays as it is. Raises what the
        detection raises.
        """
        permitted = self._redactor.permitted()
        if not known or sum(map(len, said.values())) > _LONGEST:
            return await self._judge(said, mapping, policy, permitted)
        # Values are let through in the meantime, or no longer: those of the mapping were judged before.
        name = hashlib.blake2b(
            repr((known, permitted.version, said)).encode("utf-8", "surrogatepass"), key=self._key, digest_size=16
        ).digest()
        if (labels := self._judged.get(name)) is not None:
            self._judged.move_to_end(name)
            return dict(labels)
        labels = await self._judge(said, mapping, policy, permitted)
        self._judged[name] = dict(labels)
        if len(self._judged) > _REMEMBERED:
            self._judged.popitem(last=False)
        return labels

    async def _judge(
        self, said: dict[str, str], mapping: Mapping, policy: Policy | None, permitted: Permitted
    ) -> dict[str, str]:
        aside = mapping.aside()
        try:
            slots = [Slot((name,), "other", text) for name, text in said.items() if text]
            masked = await self._redactor.mask(slots, aside, policy, permitted)
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
