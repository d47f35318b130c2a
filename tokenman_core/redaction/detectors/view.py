"""A text as a reader would see it: without zero-width characters, with full-width forms, %XX, \\uXXXX and \\/ decoded."""

import re
import unicodedata
from typing import NamedTuple

_SPECIAL = re.compile(
    r"[\u200b-\u200f\u2060-\u2064\ufeff\u00ad\u202a-\u202e\u180e]+"  # of no width
    r"|[\uff01-\uff5e\u2010-\u2015\u00a0\u2000-\u200a\u3000\U0001d7ce-\U0001d7ff]"  # full-width forms, dashes, blanks, digits
    r"|(?:%[0-7][0-9A-Fa-f])"
    r"|\\+u00[0-7][0-9A-Fa-f]|\\+/|\\+[nrt]|\\u200[b-f]|\\ufeff"
)
_ASCII_HINT = re.compile(rb"%[2-7][0-9A-Fa-f]|\\u00[0-7]|\\[/nrt]|\\u200[b-f]|\\ufeff")


class View(NamedTuple):
    """`text[i]` came from the original characters `starts[i]` to `ends[i]`."""

    text: str
    starts: list[int]
    ends: list[int]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """A span of the view as a span of the original text."""
        return self.starts[start], self.ends[end - 1]


def needed(text: str, data: bytes) -> bool:
    """Whether a second look may show anything that the first did not. `data`: the text's UTF-8."""
    return _ASCII_HINT.search(data) is not None or (not text.isascii() and _SPECIAL.search(text) is not None)


def _decoded(piece: str) -> str:
    if piece[0] == "%":
        char = chr(int(piece[1:], 16))
        return char if char.isprintable() else piece
    if piece[0] == "\\":
        if piece[-1] == "/":
            return "/"
        if piece[-1] in "nrt":
            return " "
        code = int(piece[-4:], 16)
        return chr(code) if code >= 0x20 and code < 0x7F else "" if code >= 0x80 else " "
    if piece[0] in "\u2010\u2011\u2012\u2013\u2014\u2015":
        return "-"
    folded = unicodedata.normalize("NFKC", piece[0])
    return folded if len(folded) == 1 and folded.isascii() else ""


def decode(text: str) -> View:
    """The text as a reader would see it, with a table back to the original's places."""
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    last = 0
    for match in _SPECIAL.finditer(text):
        start, end = match.span()
        parts.append(text[last:start])
        starts.extend(range(last, start))
        ends.extend(range(last + 1, start + 1))
        char = _decoded(match[0])
        parts.append(char)
        starts.extend([start] * len(char))
        ends.extend([end] * len(char))
        last = end
    parts.append(text[last:])
    starts.extend(range(last, len(text)))
    ends.extend(range(last + 1, len(text) + 1))
    return View("".join(parts), starts, ends)
