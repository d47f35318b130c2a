"""Bodies of plain text, of form fields, of nothing, and of real media."""

import re
from collections import Counter
from typing import Any
from urllib.parse import quote_plus, unquote_to_bytes

from tokenman_core.body.base import Body
from tokenman_core.body.carried import carried
from tokenman_core.body.insert import Insertion
from tokenman_core.slots import Slot

_FIELD = re.compile(rb"[^&]+")


class _Whole:
    """What bodies have in common that are no JSON: `replace` puts a text in place of all."""

    slots: list[Slot]
    unreadable: Counter[str]

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.slots = []
        self.unreadable = Counter()

    @property
    def value(self) -> Any:
        return None

    @property
    def changed(self) -> bool:
        return any(slot.changed for slot in self.slots)

    edition = 0  # the whole is never replaced

    def replace(self, value: Any) -> None:
        raise TypeError("only a JSON body has a value that can be replaced")

    def insert(self, insertion: Insertion) -> None:
        """Raises LookupError: here is no one JSON value."""
        raise LookupError("there is no such place")

    def revert(self, edition: int) -> None:
        """There is no earlier edition."""


class BinaryBody(_Whole):
    """Bytes that nobody reads: media, counted under their type, or nothing at all."""

    def __init__(self, data: bytes, media: str = "") -> None:
        super().__init__(data)
        if media:
            self.unreadable[media] += 1

    def render(self) -> bytes:
        """The very bytes that came."""
        return self._data


class TextBody(_Whole):
    """Text in UTF-8, one slot."""

    def __init__(self, data: bytes, text: str) -> None:
        super().__init__(data)
        self.slots = [Slot((), "other", text)]
        self.unreadable.update(carried(text))

    def render(self) -> bytes:
        """The bytes that came, or the changed text in UTF-8."""
        return self.slots[0].text.encode("utf-8") if self.changed else self._data


class RecodedBody(_Whole):
    """A text in another encoding than plain UTF-8, read by the body `inner`; what changed is written in the encoding it had.

    `mark` is the byte order mark, which `inner` does not see. A new text that the encoding lacks makes all of it UTF-8.
    """

    def __init__(self, data: bytes, inner: Body, codec: str, mark: bytes) -> None:
        super().__init__(data)
        self._inner, self._codec, self._mark = inner, codec, mark
        self.slots = inner.slots
        self.unreadable = inner.unreadable

    @property
    def changed(self) -> bool:
        """Whether the text changed."""
        return self._inner.changed

    def render(self) -> bytes:
        """The bytes that came, or the changed text in the encoding they had."""
        if not self.changed:
            return self._data
        made = self._inner.render()
        try:
            return self._mark + made.decode("utf-8").encode(self._codec)
        except UnicodeEncodeError:
            return made


class FormBody(_Whole):
    """`application/x-www-form-urlencoded`: names and values are slots, decoded; a changed one is written in UTF-8."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._spans: list[tuple[int, int]] = []
        for index, field in enumerate(_FIELD.finditer(data)):
            name, equals, _value = field.group().partition(b"=")
            middle = field.start() + len(name)
            self._add(field.start(), middle, (index,))
            if equals:
                self._add(middle + 1, field.end(), (index, _decoded(name)))

    def _add(self, start: int, end: int, path: tuple[str | int, ...]) -> None:
        if start < end:
            self._spans.append((start, end))
            text = _decoded(self._data[start:end])
            self.slots.append(Slot(path, "other", text))
            self.unreadable.update(carried(text))

    def render(self) -> bytes:
        """The bytes that came with only the changed names and values replaced."""
        pieces: list[bytes] = []
        copied = 0
        for (start, end), slot in zip(self._spans, self.slots, strict=True):
            if slot.changed:
                pieces += self._data[copied:start], quote_plus(slot.text).encode("ascii")
                copied = end
        if not copied:
            return self._data
        pieces.append(self._data[copied:])
        return b"".join(pieces)


def _decoded(source: bytes) -> str:
    data = unquote_to_bytes(source.replace(b"+", b" "))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("iso8859-1")
