"""A text as a reader would see it: without characters of no width, with escapes, references and look-alikes of ASCII decoded."""

import html
import json
import re
import sys
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from itertools import chain
from typing import Final

_NO_WIDTH = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_BLANKS = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_DASHES = "\u2010-\u2015\u2212\ufe58\ufe63\uff0d"


_WHERE = (
    (0x80, 0x3100), (0xA600, 0xAC00), (0xFE00, 0x10000), (0x10400, 0x12000), (0x16A00, 0x16C00), (0x1D400, 0x1D800),
    (0x1E100, 0x1E960), (0x1FBF0, 0x1FBFA),
)  # fmt: skip
"""Of Unicode, where such characters stand: looking at all of it would take two seconds."""


def _look_alikes() -> dict[str, str]:
    """Digits of all scripts, and what Unicode takes for another form of one character of ASCII (full-width, mathematical, small).

    Without ordinal indicators and raised, lowered or circled digits, which mean something else.
    """
    made: dict[str, str] = {}
    for code in chain(*(range(low, high) for low, high in _WHERE)):
        char = chr(code)
        category = unicodedata.category(char)
        if category == "Nd":
            made[char] = str(unicodedata.digit(char))
        elif category[0] in "LPS" and char not in "\u00aa\u00ba":
            folded = unicodedata.normalize("NFKC", char)
            if len(folded) == 1 and "!" <= folded <= "~":
                made[char] = folded
    return made


def _members(pattern: str) -> list[str]:
    """The characters of a character class of the form above."""
    found: list[str] = []
    for match in re.finditer(r"(.)(?:-(.))?", pattern, re.DOTALL):
        found += map(chr, range(ord(match[1]), ord(match[2] or match[1]) + 1))
    return found


def _class(chars: dict[str, str]) -> str:
    """A character class of all keys, by ranges."""
    codes = sorted(map(ord, chars))
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"{chr(low)}-{chr(high)}" if low < high else chr(low) for low, high in ranges)


_FOLDED: Final = _look_alikes() | dict.fromkeys(_members(_BLANKS), " ") | dict.fromkeys(_members(_DASHES), "-")
_SHOWN_OTHERWISE = f"[{_class(_FOLDED)}{_NO_WIDTH}]"

# What colours a terminal's text, as it is and as programs write it out: nothing that a reader sees.
_COLOUR = r"(?:\x1b|\\{1,16}+(?:u001[bB]|x1[bB]|033|e))\[[0-9;:]{0,24}[mK]"

_MAY_BE_SPECIAL = re.compile(r"[%&\\=\x1b]|[^\x00-\x7f]")
_SPECIAL = re.compile(
    rf"{_COLOUR}|"
    r"%(?:25){0,3}(?:[0-7][0-9A-Fa-f]|[c-fC-F][0-9A-Fa-f](?:%(?:25){0,3}[89abAB][0-9A-Fa-f]){1,3})"
    r"|&(?:amp;){0,3}(?:\#0{0,8}[0-9]{1,7};?|\#[xX]0{0,8}[0-9a-fA-F]{1,6};?|[A-Za-z]{2,24}[0-9]{0,2};)"
    r"|\\{1,16}+(?:u[dD][89abAB][0-9a-fA-F]{2}\\{1,16}+u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|u\{[0-9a-fA-F]{1,6}\}|U000[0-9a-fA-F]{5}"
    r"|x[2-7][0-9a-fA-F]|[/nrt]|(?<=[A-Za-z0-9]\\)[_.@+-](?=[A-Za-z0-9]))"
    r"|=(?:40(?=[A-Za-z][A-Za-z0-9-]{0,62}\.[A-Za-z]{2})|\r?\n)"
    rf"|{_SHOWN_OTHERWISE}"
)
_RUN = 16
_LONG_RUN = re.compile(rf"[A-Za-z0-9+/_-]{{{_RUN - 1}}}[A-Za-z0-9+/_=-]\Z")
_FULL_LINE = (72, 76)
_ASSIGNS = re.compile(r"[ \t]*[A-Za-z_][\w.-]{0,64}[ \t]*[=:]")
_QUOTED_PRINTABLE = re.compile(r"=[2-7][0-9A-F]")
# What says that something is hidden, by the byte that it begins with: to look for one byte takes next to nothing.
_HINTS: Final = {
    b"%": re.compile(rb"%(?:25){0,3}[2-7c-fC-F][0-9A-Fa-f]"),
    b"&": re.compile(rb"&(?:amp;){0,3}(?:#[0-9xX]|[A-Za-z]{2,24}[0-9]{0,2};)"),
    b"\\": re.compile(
        rb"\\(?:[uU][0-9a-fA-FdD{]|x[2-7]|[/nrt]|(?<=[A-Za-z0-9]\\)[_.@+-][A-Za-z0-9]|(?:x1[bB]|033|e)\[[0-9;:]{0,24}[mK])"
    ),
    b"=": re.compile(rb"=(?:40[A-Za-z]|3D|\r?\n)"),
    b"\x1b": re.compile(rb"\x1b\[[0-9;:]{0,24}[mK]"),
}
_BEYOND_ASCII = re.compile(_SHOWN_OTHERWISE)


class View:
    """What a text shows. `original` tells of a part of it from which characters of the text it came."""

    __slots__ = ("_ends", "_seen", "_starts", "text")

    def __init__(self, text: str, seen: list[int], starts: list[int], ends: list[int]) -> None:
        """From place `seen[i]` of `text` on stands what came from the characters `starts[i]` to `ends[i]`: as many, or one."""
        self.text = text
        self._seen, self._starts, self._ends = seen, starts, ends

    def original(self, start: int, end: int) -> tuple[int, int]:
        """A span of the view, of at least one character, as a span of the original text."""
        first, last = bisect_right(self._seen, start) - 1, bisect_right(self._seen, end - 1) - 1
        return self._place(first, start)[0], self._place(last, end - 1)[1]

    def keeps(self, start: int, end: int) -> bool:
        """Whether a span of the original text, of more than one character, stands in the view as it is."""
        piece = bisect_right(self._starts, start) - 1
        behind = self._seen[piece + 1] if piece + 1 < len(self._seen) else len(self.text)
        return end <= self._ends[piece] and behind - self._seen[piece] == self._ends[piece] - self._starts[piece]

    def _place(self, piece: int, at: int) -> tuple[int, int]:
        """The characters that show the one at `at`, which stands in a piece."""
        start, end = self._starts[piece], self._ends[piece]
        behind = self._seen[piece + 1] if piece + 1 < len(self._seen) else len(self.text)
        if behind - self._seen[piece] == end - start:
            start += at - self._seen[piece]
            return start, start + 1
        return start, end


def needed(text: str, data: bytes) -> bool:
    """Whether a second look may show anything that the first did not. `data`: the text's UTF-8."""
    return any(byte in data and hint.search(data) is not None for byte, hint in _HINTS.items()) or (
        not text.isascii() and _BEYOND_ASCII.search(text) is not None
    )


def fold(text: str) -> str:
    """A text with look-alikes of ASCII as ASCII and without characters of no width; escapes stay."""
    return text if text.isascii() else _BEYOND_ASCII.sub(lambda match: _FOLDED.get(match[0], ""), text)


def _char(code: int, piece: str) -> str:
    """A character by its number, as a reader sees it; what is none stays as it was written."""
    if code in (9, 10, 13):
        return " "
    if code < 0x20 or code == 0x7F or 0xD800 <= code < 0xE000 or code > sys.maxunicode:
        return piece
    return fold(chr(code))


def _decoded(piece: str) -> str:
    first = piece[0]
    if "[" in piece:
        return ""
    if first == "%":
        return _percent(piece)
    if first == "&":
        return _referred(piece)
    if first == "=":
        return "" if piece[-1] == "\n" else chr(int(piece[1:], 16))
    if first != "\\":
        return _FOLDED.get(first, "")
    escape = piece.lstrip("\\")
    if escape[0] == "u" and escape.count("\\"):
        high, low = int(escape[1:5], 16), int(escape[-4:], 16)
        return _char(0x10000 + ((high & 0x3FF) << 10 | low & 0x3FF), piece) if high < 0xDC00 else piece
    if escape[0] in "uUx":
        return _char(int(escape[1:].strip("{}"), 16), piece)
    return " " if escape[0] in "nrt" else escape[0]


def _percent(piece: str) -> str:
    """What percent-encoded UTF-8 shows, encoded once more or not; what is none stays as it was written."""
    try:
        char = bytes(int(each[-2:], 16) for each in piece.split("%")[1:]).decode("utf-8")
    except UnicodeDecodeError:
        return piece
    return _char(ord(char), piece) if len(char) == 1 else piece


def _referred(piece: str) -> str:
    """What a character reference of HTML shows, escaped once more or not; what is none stays as it was written."""
    name = piece[1:]
    while name.startswith("amp;") and len(name) > 4:
        name = name[4:]
    shown = html.unescape("&" + (name if name.endswith(";") else name + ";"))
    return fold(shown) if len(shown) == 1 else piece


_TWICE = ('\\\\\\"', "\\\\\\\\")  # a quote or a backslash of a string that stands in a string of a JSON document
_ONE_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')


def unescaped(text: str) -> View | None:
    """A text without one level of the escapes of JSON, where there are two or more; None elsewhere.

    What is quoted in a document that another one holds as a string then ends at its own quote, whatever stands in it.
    """
    if not any(each in text for each in _TWICE):
        return None
    return _shown(text, ((*match.span(), json.loads(f'"{match[0]}"')) for match in _ONE_ESCAPE.finditer(text)))


# Whole numbers that a program wrote as floats; of one with an exponent the decimal sign may be a comma, as some countries have it.
# Languages mark their type (`41.0f`, `41.0M`) and the thousands (`4_100_000`), C's runtime on Windows writes `e+008`,
# Fortran `4.1D15`, and people multiply (`4.1*10^15`).
_FLOAT = re.compile(
    r"(?P<before>[0-9](?<![0-9A-Za-z_.].)[0-9]{0,18})"
    r"(?:(?P<nothing>\.0{1,20}[fFdDlLmM]?)|(?P<groups>(?:_[0-9]{3}){2,6})(?P<zeros>\.0{1,20})?"
    r"|(?:[.,](?P<behind>[0-9]{1,25})(?:[dD]| ?[xX\u00d7*\u00b7] ?10(?:\^|\*\*))|(?:[.,](?P<more>[0-9]{1,25}))?[eE])"
    r"\+?(?P<power>-?0{0,4}[0-9]{1,2}))(?![0-9A-Za-z_.])"
)
_MAY_BE_FLOAT = re.compile(r"[0-9](?:[eEdD][+-]?[0-9]|[0-9]{6}\.0|_[0-9]{3}_[0-9]{3}|(?:\^|\*\*)[0-9])")
_LEAST_DIGITS, _MOST_DIGITS, _CARD = 7, 19, 13


def whole_numbers(text: str) -> View | None:
    """A text with the mere digits of whole numbers that are written as floats (`41.0`, `4.1e1`); None if there are none."""
    if _MAY_BE_FLOAT.search(text) is None:
        return None
    found = list(filter(None, map(_digits, _FLOAT.finditer(text))))
    return _shown(text, found) if found else None


def _digits(match: re.Match[str]) -> tuple[int, int, str] | None:
    """What is shown instead of a float or of a part of it; None of one that is no whole number, or a short or long one."""
    if match["nothing"]:
        return (*match.span("nothing"), "") if len(match["before"]) >= _LEAST_DIGITS else None
    if match["groups"]:
        digits = match["before"] + match["groups"].replace("_", "")
        least = _LEAST_DIGITS if match["zeros"] else _CARD
        return (*match.span(), digits) if len(match["before"]) <= 3 and least <= len(digits) <= _MOST_DIGITS else None
    behind = match["behind"] or match["more"] or ""
    power = int(match["power"]) - len(behind)  # of ten, by which all digits are multiplied
    written = match["before"] + behind
    digits = written + "0" * power if power >= 0 else written[:power]
    whole = power >= 0 or not written[power:].strip("0")
    digits = digits.lstrip("0")
    return (*match.span(), digits) if whole and _LEAST_DIGITS <= len(digits) <= _MOST_DIGITS else None


def decode(text: str) -> View:
    """The text as a reader would see it. Two readings in one: what a program decodes, and what an eye does not tell apart."""
    found = [match.span() for at in _MAY_BE_SPECIAL.finditer(text) if (match := _SPECIAL.match(text, at.start()))]
    if "=3D" in text or "=\n" in text or "=\r\n" in text:
        # Elsewhere an equals sign before two digits is an assignment.
        found = [each for each in found if text[each[0]] != "=" or not _pads(text, *each)]
        found = sorted({*found, *(match.span() for match in _QUOTED_PRINTABLE.finditer(text))})
    return _shown(text, ((start, end, _decoded(text[start:end])) for start, end in found))


def _pads(text: str, start: int, end: int) -> bool:
    """Whether an equals sign at the end of a line ends base64, and does not say that the line goes on (RFC 2045, 6.7).

    There it is the last of at most 76 characters, and of hardly fewer where what stands before it has no end.
    """
    line = text.rfind("\n", 0, start) + 1
    return (
        text[end - 1] == "\n"
        and _LONG_RUN.search(text, max(line, start - _RUN), start) is not None
        and (not _FULL_LINE[0] <= start + 1 - line <= _FULL_LINE[1] or _ASSIGNS.match(text, end) is not None)
    )


def _shown(text: str, instead: Iterable[tuple[int, int, str]]) -> View:
    """A text in which something else is shown, or nothing, instead of some spans; they come in order of their starts."""
    parts: list[str] = []
    seen, starts, ends = [0], [0], [0]
    last = length = 0
    for start, end, char in instead:
        if start < last or char == text[start:end]:
            continue
        if start > last:
            parts.append(text[last:start])
            seen.append(length)
            starts.append(last)
            ends.append(start)
            length += start - last
        if char:
            parts.append(char)
            seen.append(length)
            starts.append(start)
            ends.append(end)
            length += len(char)
        last = end
    if last < len(text):
        parts.append(text[last:])
        seen.append(length)
        starts.append(last)
        ends.append(len(text))
    return View("".join(parts), seen, starts, ends)
