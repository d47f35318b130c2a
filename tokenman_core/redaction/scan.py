"""What redaction would mask in a text of any length, and where: the engine of the proxy, asked for places."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Final

from tokenman_core.config.models import Redaction as Settings
from tokenman_core.config.redacting import Action, Rule
from tokenman_core.redaction.entities import PLACEHOLDER
from tokenman_core.redaction.mask import Redactor
from tokenman_core.redaction.placeholders import Mapping
from tokenman_core.slots import Slot

PIECE: Final = 256 * 1024  # characters that are judged at once: what is held in memory does not grow with the file
OVERLAP: Final = (
    64 * 1024
)  # and so many are judged twice: no value is longer than half of that (a private key has 32 KiB)


@dataclass(frozen=True)
class Spot:
    """Characters `start` to `end` (exclusive) would leave as `placeholder`, which tells nobody what the value is."""

    start: int
    end: int
    entity: str
    placeholder: str


def redacting(settings: Settings) -> Settings:
    """The settings with every action that is not off made `redact`: what is found is the same, and where it stood can be told."""

    def action(said: Action) -> Action:
        return said if said == "off" else "redact"

    def rule(said: Action | Rule) -> Action | Rule:
        return (
            action(said)
            if isinstance(said, str)
            else said.model_copy(update={"action": said.action and action(said.action)})
        )

    entities = {entity: rule(said) for entity, said in settings.entities.items()}
    return settings.model_copy(
        update={"mode": action(settings.mode), "secrets": action(settings.secrets), "entities": entities}
    )


async def spots(redactor: Redactor, text: str) -> AsyncIterator[tuple[int, list[Spot]]]:
    """For each piece of the text: up to which character it is judged now, and what was found since the last one.

    A value that was found is found again in all that follows, as in a conversation. `redactor` must redact whatever it finds.
    Raises what the detection raises.
    """
    mapping = redactor.mapping()
    try:
        settled = 0  # what begins before here has been told
        for low, high, until in _pieces(len(text)):
            piece = text[low:high]
            slot = Slot((), "user", piece)
            await redactor.mask([slot], mapping)
            found = [Spot(low + start, low + end, *rest) for start, end, *rest in _places(piece, slot.text, mapping)]
            yield until, [spot for spot in found if settled <= spot.start < until]
            settled = until
    finally:
        mapping.forget()


def _pieces(length: int) -> Iterator[tuple[int, int, int]]:
    """Where each piece begins and ends, and up to where it has the last word: the middle of what it shares with the next."""
    low = 0
    while low + PIECE < length:
        yield low, low + PIECE, low + PIECE - OVERLAP // 2
        low += PIECE - OVERLAP
    yield low, length, max(length, 1)


def _places(before: str, after: str, mapping: Mapping) -> Iterator[tuple[int, int, str, str]]:
    """Where in the text before masking each placeholder's value stood that the text after it has."""
    shift = 0
    for match in PLACEHOLDER.finditer(after):
        value = mapping.value(match[0])
        start = match.start() + shift
        if value is None or not before.startswith(value.text, start):
            continue  # it stood in the text as it is
        end = start + len(value.text)
        yield start, end, value.entity, match[0]
        shift = end - match.end()
