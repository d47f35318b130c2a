r"""The forms in which a model gives placeholders back, told from all other text by the digits, however a stream is cut.

Models rewrite what they copy. A placeholder is still known when its case was changed; when a bracket or both were dropped;
when brackets or underscores were escaped (`\[`, `\u005b`, `&#91;`, `%5B`), written in full width, or turned into blanks, hyphens
or nothing; when it was split by line breaks or invisible characters, or stands in a longer word. What makes that safe: all twelve
digits must be those of one placeholder of this exchange, and behind its own name (in brackets no name will do too). Any other
text is left alone.

Told by the first character that fits no placeholder of this exchange, so that of a stream no more is held back than what may
become one: at most `MOST_HELD` characters.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import lru_cache
from html import escape as html_escape
from html import unescape as html_unescape
from typing import Final, Literal, NamedTuple
from urllib.parse import quote

from tokenman_core.redaction.json_source import escaped

LONGEST: Final = 256
"""Characters from the beginning of a form to its last digit: what is drawn out further is none."""

EDGE: Final = 8
"""Characters before a text by which is told whether a word begins with it."""

_DIGITS: Final = 12
_BLANKS_BEHIND: Final = 4  # between the digits and a closing bracket
_LEAST_NAME: Final = 3  # letters of a name that is known without a bracket
# Fewer letters and digits than any placeholder has, and behind them what none goes on with.
_SHORT: Final = rf"[A-Za-z0-9]{{0,{_DIGITS - 1}}}[!-$'-*,./:-@\[\]^`{{-~]"
_LEAST_WORD: Final = 2  # letters, all capital, before a blank in a form without a bracket: `I` and `A` are words

_OPENING: Final = frozenset("[\uff3b\u3010\u3014")
_CLOSING: Final = frozenset("]\uff3d\u3011\u3015")
# Underscore, hyphens and dashes, and what is not seen: soft hyphen, zero-width characters, the byte order mark.
_JOINING: Final = frozenset("_-\uff3f\u2010\u2011\u2012\u2013\u00ad\u200b\u200c\u200d\u2060\ufeff")
_BLANK: Final = frozenset(" \t\r\n\u00a0\u202f\u3000")

# One character as it is written: plain, behind backslashes, percent-encoded, or as a character reference of HTML; the last two
# up to three times over.
_ATOM: Final = re.compile(
    r"\\{1,8}(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[^\\])"
    r"|%(?:25){0,2}[0-9a-fA-F]{2}"
    r"|&(?:amp;){0,2}(?:#[0-9]{1,5}|#[xX][0-9a-fA-F]{1,4}|[A-Za-z]{2,8});"
    r"|.",
    re.DOTALL,
)
# The same, cut by the end of the text.
_CUT: Final = re.compile(
    r"(?:\\{1,8}(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?"
    r"|%(?:25){0,2}[0-9a-fA-F]?"
    r"|&(?:amp;){0,2}(?:#[0-9]{0,5}|#[xX][0-9a-fA-F]{0,4}|[A-Za-z]{0,8}))\Z"
)
_RUN: Final = re.compile(r"[A-Za-z0-9]{1,64}")
_LONGEST_ATOM: Final = 24
MOST_HELD: Final = LONGEST + (_BLANKS_BEHIND + 1) * _LONGEST_ATOM
"""Characters of the longest text that may yet become a form."""

_WRITTEN: Final = "\\%&"  # what a character that is not written plainly begins with
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_BACKSLASHED: Final = {"n": "\n", "r": "\n", "t": "\t"}

Kind = Literal["open", "close", "join", "blank", "key", "other"]


class Form(NamedTuple):
    """A placeholder as it stands in a text: characters `start` to `end` (exclusive).

    `percent`, `html` and `depth` say how often what it stands in was percent-encoded, written for HTML, and put into a JSON
    string. `stray` says that it ends in a closing bracket whose opening one is not its own.
    """

    start: int
    end: int
    placeholder: str
    percent: int = 0
    html: int = 0
    depth: int = 0
    stray: bool = False

    def written(self, value: str, depth: int) -> str:
        """A value as it must be written in place of this form, in text that stands in `depth` JSON strings."""
        for _ in range(self.html):
            value = html_escape(value)
        for _ in range(self.percent):
            value = quote(value, safe="", errors="surrogatepass")
        return escaped(value, max(depth, self.depth))


class Atom(NamedTuple):
    """One character of a form, or all letters and digits in a row. `backslashes` stand before it that its own spelling has not."""

    kind: Kind
    char: str
    backslashes: int = 0
    percent: int = 0
    html: int = 0
    depth: int = 0


class Forms:
    """The placeholders of one exchange that may be put back, in all their forms."""

    def __init__(self, placeholders: Iterable[str]) -> None:
        self._exact = frozenset(placeholders)
        self._named: dict[str, str] = {}
        self._bare: dict[str, str] = {}
        twice: set[str] = set()
        for placeholder in sorted(self._exact):
            name, digits = placeholder[1 : -_DIGITS - 1], placeholder[-_DIGITS - 1 : -1]
            for key, table in ((_folded(name) + digits, self._named), (digits, self._bare)):
                twice |= {key} & table.keys()
                table[key] = placeholder
        for key in twice:  # it cannot be told which of two is meant
            self._named.pop(key, None)
            self._bare.pop(key, None)
        self._own = sorted(self._exact)
        self._names = sorted(self._named)
        self._numbers = sorted(self._bare)
        heads = {key[:_LEAST_NAME] for key in self._names if len(key) >= _DIGITS + _LEAST_NAME}
        self.gates: Final = _gate(tuple(sorted(heads)), "".join(sorted({key[0] for key in self._names})))

    def gate(self, text: str, at: int = 0) -> int:
        """Where in `text`, from `at` on, a form may begin; -1 if nowhere."""
        match = self.gates.search(text, at)
        return match.start() if match is not None else -1

    def read(self, text: str, at: int, final: bool = True) -> Form | Literal["open"] | None:
        """The form that begins at a place of the gate; "open" if what comes behind the text decides; None if there is none.

        With `final` nothing comes behind the text.
        """
        if text[at] == "[" and (own := text[at : text.find("]", at, at + LONGEST) + 1]) in self._exact:
            return Form(at, at + len(own), own)
        if not final and text[at] == "[" and len(text) - at < LONGEST and _begins(self._own, text[at:]):
            return "open"
        return _Reading(self, text, at, final).result()

    def all(self, text: str) -> Iterator[Form]:
        """All forms in a text that is complete, from left to right."""
        at = 0
        while (at := self.gate(text, at)) >= 0:
            form = self.read(text, at)
            if isinstance(form, Form):
                yield form
                at = form.end
            else:
                at += 1

    def count(self, text: str) -> int:
        """How many forms a complete text holds."""
        return sum(1 for _ in self.all(text))

    def canonical(self, text: str) -> str:
        """A text with every placeholder in it in its own form."""
        out: list[str] = []
        at = 0
        for form in self.all(text):
            out += text[at : form.start], form.placeholder
            at = form.end
        out.append(text[at:])
        return "".join(out)

    def take(self, key: str, run: str, bracket: bool) -> tuple[int, str | None]:
        """How many letters and digits of `run` belong to a placeholder behind `key`, and which one they complete.

        All of them while it is not complete, none if no placeholder goes on like that. In brackets the digits alone will do.
        """
        for keys, table in (
            ((self._names, self._named), (self._numbers, self._bare)) if bracket else ((self._names, self._named),)
        ):
            whole = key + run
            place = bisect_left(keys, whole)
            if place < len(keys) and keys[place].startswith(whole):
                return len(run), table.get(whole)
            if place and whole.startswith(before := keys[place - 1]) and len(before) > len(key):
                return len(before) - len(key), table[before]
        return 0, None


class _Reading:
    """One attempt to read a form at one place."""

    def __init__(self, forms: Forms, text: str, at: int, final: bool) -> None:
        self._forms, self._text, self._at, self._final = forms, text, at, final
        self._next = at
        self._percent = self._html = self._depth = 0

    def result(self) -> Form | Literal["open"] | None:
        """As `Forms.read`."""
        opening = self._atom()
        if opening is None:
            return self._undecided()
        bracket = opening.kind == "open"
        if bracket:
            self._take(opening)
        elif self._text[self._at] in _WRITTEN:
            return None  # no bracket, however it is written
        else:
            self._next = self._at
        key, small = "", False
        while self._next - self._at < LONGEST:
            atom = self._atom()
            if atom is None:
                return self._undecided()
            if atom.kind == "key":
                taken, placeholder = self._forms.take(key, atom.char.lower(), bracket)
                if not taken:
                    return None
                self._next -= len(atom.char) - taken
                said = atom.char[:taken]
                key += said.lower()
                small = small or said != said.upper()
                if placeholder is not None:
                    return self._end(placeholder, opening if bracket else None, key)
            elif atom.kind == "blank":
                if not bracket and (small or len(key) < _LEAST_WORD):
                    return None
            elif atom.kind != "join" or not (key or bracket):
                return None
            self._take(atom)
        return None

    def _end(self, placeholder: str, opening: Atom | None, key: str) -> Form | Literal["open"] | None:
        """Behind the last digit: a closing bracket belongs to the form, and a further digit shows that it is none."""
        end = self._next
        atom = self._atom()
        if opening is not None:
            for _ in range(_BLANKS_BEHIND):
                if atom is None or atom.kind != "blank":
                    break
                atom = self._atom()
        if atom is None and not self._final:
            return "open"
        closed = atom is not None and atom.kind == "close"
        if not closed and (len(key) == _DIGITS or self._goes_on(end)):
            return None  # digits alone are known between brackets only
        start = self._at
        if atom is not None and closed and (opening is not None or not atom.backslashes):
            end = self._next
            self._take(atom)
        if opening is not None and opening.backslashes and not (atom is not None and closed and atom.backslashes):
            start += opening.backslashes  # of a path, or of a line of its own; a bracket alone is not escaped
        stray = closed and opening is None and end == self._next
        return Form(start, end, placeholder, self._percent, self._html, self._depth, stray)

    def _goes_on(self, end: int) -> bool:
        return self._text[end : end + 1] in _HEX

    def _undecided(self) -> Literal["open"] | None:
        return None if self._final else "open"

    def _take(self, atom: Atom) -> None:
        self._percent = max(self._percent, atom.percent)
        self._html = max(self._html, atom.html)
        self._depth = max(self._depth, atom.depth)

    def _atom(self) -> Atom | None:
        """The next character; None at the end of the text, and where that may cut one."""
        text, at = self._text, self._next
        if at >= len(text):
            return None
        char = text[at]
        if (run := _RUN.match(text, at)) is not None:
            self._next = run.end()
            return Atom("key", run[0])
        if char not in _WRITTEN:
            self._next = at + 1
            return _atom(char) if char != "+" else Atom("blank", " ", percent=1)
        if not self._final and len(text) - at <= _LONGEST_ATOM and _CUT.match(text, at):
            return None
        match = _ATOM.match(text, at)
        if match is None:
            return None
        self._next = match.end()
        return _atom(match[0])


@lru_cache(1024)
def _atom(written: str) -> Atom:
    """What one character, as it is written, is to a placeholder."""
    if len(written) == 1:
        return Atom(_kind(written), _narrow(written))
    if written[0] == "%":
        char = chr(int(written[-2:], 16))
        return Atom(_kind(char), char, percent=1 + written.count("25", 0, -2))
    if written[0] == "&":
        times = written.count("amp;")
        char = html_unescape("&" + written[1 + 4 * times :])
        return Atom(_kind(char) if len(char) == 1 else "other", char, html=1 + times)
    char = written.lstrip("\\")
    count = len(written) - len(char)
    if len(char) == 1:
        if char in _BACKSLASHED:
            return Atom("blank", _BACKSLASHED[char])
        # A letter is not escaped; what stands behind the backslash is something else.
        return Atom("other" if char.isalnum() else _kind(char), char, count)
    # `\u005b`, in a JSON string `\\u005b`, and so on: each doubles the backslashes. Others escape the bracket itself.
    own = count & -count
    char = chr(int(char[1:], 16))
    return Atom(_kind(char), _narrow(char), count - own, depth=own.bit_length())


def _kind(char: str) -> Kind:
    if char in _OPENING:
        return "open"
    if char in _CLOSING:
        return "close"
    if char in _JOINING:
        return "join"
    if char in _BLANK:
        return "blank"
    narrow = _narrow(char)
    return "key" if narrow.isascii() and narrow.isalnum() else "other"


def _narrow(char: str) -> str:
    """A letter or digit of full width in the common one."""
    return chr(ord(char) - 0xFEE0) if "\uff01" <= char <= "\uff5e" else char


def _folded(name: str) -> str:
    return "".join(filter(str.isalnum, name)).lower()


def _begins(keys: list[str], start: str) -> bool:
    place = bisect_left(keys, start)
    return place < len(keys) and keys[place].startswith(start)


@lru_cache(256)
def _gate(heads: tuple[str, ...], initials: str) -> re.Pattern[str]:
    """Where a form may begin: at a bracket however it is written, or at a word that begins with one of `heads`.

    `heads` are the first three letters of names that are known without a bracket, `initials` the first ones of all names.

    A word begins behind anything but a letter or digit, with a capital letter also behind a small one or a digit, and behind
    an escape. Every branch begins with one character, so that the search skips all text that has none of them.
    """
    overlooked = r"\\%&+" + re.escape("".join(sorted(_JOINING | _BLANK)))
    wide = r"\uff10-\uff5a"
    # Behind a bracket stands what a name begins with, a digit, or what may be overlooked; a subscript (`[0]`, `[name]`) is none.
    inside = rf"(?:(?!{_SHORT})[{initials}{initials.upper()}0-9a-fA-F{wide}{overlooked}]|\Z)"
    branches = [
        *(re.escape(each) + inside for each in sorted(_OPENING)),
        r"\\(?<!\\\\)\\{0,7}(?:[\[\uff3b\u3010\u3014]|[ux](?:[0356fF]|\Z)|\Z)",
        r"%(?:[25]|\Z)",
        r"&(?:[#al]|\Z)",
    ]
    escape = "(?<=%[0-9A-Fa-f]{{2}}{0})|" + r"(?<=\\[bfnrt]{0})|(?<=\\u[0-9A-Fa-f]{{4}}{0})|(?<=\\x[0-9A-Fa-f]{{2}}{0})"
    for first in sorted({head[0] for head in heads}):
        behind: list[str] = []
        for second in sorted({head[1] for head in heads if head[0] == first}):
            thirds = "".join(sorted({head[2] for head in heads if head[:2] == first + second}))
            behind.append(rf"[{second}{second.upper()}](?:[{thirds}{thirds.upper()}{wide}{overlooked}]|\Z)")
        after = rf"(?:{'|'.join(behind)}|\Z)"
        for letter, no_border in ((first.upper(), "A-Z"), (first, "A-Za-z0-9")):
            branches.append(rf"{letter}(?:(?<![{no_border}]{letter})|{escape.format(letter)}){after}")
    return re.compile("|".join(branches))
