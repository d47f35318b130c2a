"""What every kind of request body offers to the stages, whatever its format."""

from collections import Counter
from typing import Any, Protocol

from tokenman_core.body.insert import Insertion
from tokenman_core.slots import Slot


class Body(Protocol):
    """Slots are edited by setting `slot.text`. Everything else stays as the program sent it."""

    @property
    def slots(self) -> list[Slot]:
        """In document order. The list is not to be changed."""

    @property
    def unreadable(self) -> Counter[str]:
        """Media that nobody reads, by type ("image", "audio", "document", "file"), counted."""

    @property
    def value(self) -> Any:
        """The parsed JSON, for reading only; None if the body is none. Edits in place are not seen: use `replace`."""

    @property
    def changed(self) -> bool:
        """Whether `render` gives other bytes than came."""

    @property
    def edition(self) -> int:
        """How often `replace` was called."""

    def replace(self, value: Any) -> None:
        """Put another JSON value in place of the whole body; slots are found anew."""

    def insert(self, insertion: Insertion) -> None:
        """Put a new member into the JSON; slots stay as they are. Raises LookupError where there is no such place."""

    def revert(self, edition: int) -> None:
        """Put the whole back as it was in an earlier edition, with the slots that it had."""

    def render(self) -> bytes:
        """The bytes of the governed body: the very bytes that came if nothing changed, decoded otherwise."""
