"""A body of JSON lines: every line is a JSON body of its own."""

import re
from collections import Counter
from typing import Any

from tokenman_core.body.insert import Insertion
from tokenman_core.body.json_body import FindSlots, JsonBody
from tokenman_core.errors import BodyError
from tokenman_core.slots import Slot

_LINE = re.compile(rb"[^\r\n]+")


class JsonlBody:
    """Implements `body.base.Body`; `value` is None. Raises BodyError("parse") naming the line that cannot be judged."""

    def __init__(self, data: bytes, find_slots: FindSlots) -> None:
        self._data = data
        self._lines: list[tuple[int, int, JsonBody]] = []
        self.slots: list[Slot] = []
        self.unreadable: Counter[str] = Counter()
        for match in _LINE.finditer(data):
            if match.group().isspace():
                continue
            try:
                line = JsonBody(match.group(), find_slots)
            except BodyError as error:
                number = len(re.findall(rb"\r\n|\r|\n", data[: match.start()])) + 1
                raise BodyError(error.kind, f"line {number} of the JSON lines: {error}") from None
            self._lines.append((*match.span(), line))
            self.slots += line.slots
            self.unreadable += line.unreadable

    @property
    def value(self) -> Any:
        """None: lines have no single value."""
        return None

    @property
    def changed(self) -> bool:
        """Whether any line changed."""
        return any(line.changed for _, _, line in self._lines)

    edition = 0  # the whole is never replaced

    def replace(self, value: Any) -> None:
        """Raises TypeError: lines have no single value."""
        raise TypeError("JSON lines have no single value that can be replaced")

    def insert(self, insertion: Insertion) -> None:
        """Raises LookupError: here is no one JSON value."""
        raise LookupError("there is no such place")

    def revert(self, edition: int) -> None:
        """There is no earlier edition."""

    def render(self) -> bytes:
        """The bytes that came with only the changed lines spliced."""
        pieces: list[bytes] = []
        copied = 0
        for start, end, line in self._lines:
            if line.changed:
                pieces += self._data[copied:start], line.render()
                copied = end
        if not copied:
            return self._data
        pieces.append(self._data[copied:])
        return b"".join(pieces)
