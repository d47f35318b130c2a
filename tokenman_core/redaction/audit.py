"""What is told of the values that were found, without telling them: by their places, and by keyed hashes."""

from collections import deque
from itertools import islice
from typing import Final

from tokenman_core.config.redacting import Action
from tokenman_core.exchange import Spot
from tokenman_core.redaction.breath import Breath
from tokenman_core.redaction.keyed import Keyed
from tokenman_core.redaction.memo import Acts
from tokenman_core.redaction.places import MOST, place_of
from tokenman_core.slots import Slot

_STEP: Final = 16  # values between two looks at the clock
_REMEMBERED: Final = 4096  # values whose hashes are kept


class Hashed:
    """The keyed hashes by which values are told; of those that have a placeholder they are remembered under that."""

    def __init__(self, key: bytes) -> None:
        self._key = Keyed(key)
        self._hashes: dict[str, str] = {}

    def hash(self, value: str, placeholder: str) -> str:
        hash = self._hashes.get(placeholder) if placeholder else None
        if hash is None:
            hash = self._key.hexdigest(value.encode("utf-8", "surrogatepass"))[:16]
            if placeholder:
                if len(self._hashes) >= _REMEMBERED:
                    self._hashes.clear()
                self._hashes[placeholder] = hash
        return hash


class Spots:
    """Where what was found, the last places of all; values are here for as long as the masking lasts."""

    def __init__(self) -> None:
        self._last: deque[tuple[Slot, str, Acts]] = deque(maxlen=MOST)

    def add(self, slot: Slot, acts: Acts) -> None:
        """What is to be done about a slot, which holds its text as it was."""
        self._last.append((slot, slot.text, acts))

    async def told(self, hashed: Hashed, breath: Breath) -> tuple[Spot, ...]:
        """In the order of the request; a value by its keyed hash."""
        spots: list[Spot] = []
        for slot, text, acts in reversed(self._last):
            place = place_of(slot.path)
            if not acts.told:
                found: dict[tuple[str, Action, str, str], int] = {}
                for number, (start, end, entity, action, placeholder, _, _) in enumerate(acts.acts):
                    said = (entity, action, text[start:end], placeholder)
                    found[said] = found.get(said, 0) + 1
                    if number % _STEP == _STEP - 1 and breath.due:
                        await breath.take()
                acts.told[:] = [
                    Spot(place, entity, action, hashed.hash(value, placeholder), count)
                    for (entity, action, value, placeholder), count in islice(reversed(found.items()), MOST)
                ]
            here = acts.told[0].place == place  # else the same text stood elsewhere when that was first told
            spots += acts.told if here else [each._replace(place=place) for each in acts.told]
            if len(spots) >= MOST:
                break
        return tuple(spots[:MOST][::-1])
