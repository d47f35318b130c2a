"""A JSON body: its text slots, and its bytes with only the changed strings replaced."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from tokenman_core.body.insert import Insertion, insert
from tokenman_core.body.lone import hide
from tokenman_core.body.parse import parse
from tokenman_core.body.splice import splice, write
from tokenman_core.errors import BodyError
from tokenman_core.slots import Found, Slot

FindSlots = Callable[[Any], Found]


class JsonBody:
    """Implements `body.base.Body`. `value` is the governed value: the slots' edits are in it.

    Raises BodyError("parse") when made from what cannot be judged, and from `render` and `value` if a renamed key would
    hide another one.
    """

    def __init__(self, data: bytes, find_slots: FindSlots) -> None:
        self._came, self._find, self._hidden = data, find_slots, None
        try:
            value = parse(data)
        except BodyError:
            self._hidden = hide(data)
            if self._hidden is None:
                raise
            data = self._hidden.data
            value = parse(data)
        self._sent = data
        # What was replaced, in order.
        self._earlier: list[tuple[bytes, Any, tuple[Slot, ...], Counter[str], tuple[Insertion, ...]]] = []
        self._take(data, value)

    def _take(self, data: bytes, value: Any) -> None:
        self._data = data
        self._value = value
        found = self._find(value)
        self._slots = tuple(found.slots)
        self.unreadable: Counter[str] = found.unreadable
        self._added: tuple[Insertion, ...] = ()
        self._made: tuple[list[str], bytes, Any] | None = None  # for which texts, what was made of them last

    @property
    def slots(self) -> list[Slot]:
        """As they were found; a list of the caller's own, so that none can be taken out."""
        return list(self._slots)

    @property
    def value(self) -> Any:
        """The parsed JSON with all edits made."""
        return self._governed()[1]

    @property
    def changed(self) -> bool:
        """Whether a slot or the whole value is another than came."""
        return self._data is not self._sent or bool(self._added) or any(slot.changed for slot in self._slots)

    @property
    def edition(self) -> int:
        """How often the whole was replaced."""
        return len(self._earlier)

    def replace(self, value: Any) -> None:
        """Takes another value, written in the style of the body that came; its slots are found anew."""
        data = write(value, self._sent)
        self._earlier.append((self._data, self._value, self._slots, self.unreadable, self._added))
        self._take(data, value)

    def insert(self, insertion: Insertion) -> None:
        """The member is put in behind what the slots change; it is no slot itself."""
        insert(*self._governed(), insertion)  # it is known now whether there is such a place
        self._added = (*self._added, insertion)
        self._made = None

    def revert(self, edition: int) -> None:
        """As it was before it was replaced for the time after `edition`. Its slots are those of then, with their texts."""
        self._data, self._value, self._slots, self.unreadable, self._added = self._earlier[edition]
        self._made = None
        del self._earlier[edition:]

    def render(self) -> bytes:
        """The bytes that came with only the changed strings replaced."""
        made = self._governed()[0]
        if self._hidden is None:
            return made
        return self._came if made is self._sent else self._hidden.show(made)

    def _governed(self) -> tuple[bytes, Any]:
        # Most are as they came, the very same; the others are looked at.
        edited = [slot for slot in self._slots if slot.text is not slot.original and slot.changed]
        if not self._added and not edited:
            return self._data, self._value
        texts = [slot.text for slot in self._slots]
        if self._made is None or self._made[0] != texts:
            data, value = splice(self._data, self._value, self._slots)
            for insertion in self._added:
                data, value = insert(data, value, insertion)
            self._made = (texts, data, value)
        return self._made[1], self._made[2]
