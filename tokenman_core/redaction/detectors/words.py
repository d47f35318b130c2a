"""Words that stand near a value and say what it is, or that it is nobody's: found in one pass over a text, in many languages."""

import functools
import re
import unicodedata
from bisect import bisect_left, bisect_right
from typing import Any, Final, NamedTuple

from tokenman_core.kinds import KINDS, NATIONAL

REACH: Final = 60  # characters before a value that may explain it
BEHIND: Final = 24  # and after it
_LONG = 5  # letters from which on a word may go on (`Telefonnummer`, `passports`)
_LONGEST_VALUE = 64  # characters of a text that its object key explains as a whole

VERSION: Final = "version"
CALL: Final = "call"  # tells a phone only right before it: programs call too
_IDS: Final = frozenset(kind.name for kind in NATIONAL)
_EXTRA: Final = {
    VERSION: (
        "version", "release", "v.", "ver", "section", "chapter", "build", "upgrade", "§", "firmware", "driver", "revision",
        "rev", "package", "assembly", "clause", "figure", "table", "oid",
    ),
    CALL: ("call", "calls", "called"),
}  # fmt: skip

_NOBODYS: Final = re.compile(
    "(?:version|row|line|size|seed|timestamp|epoch|order|invoice|port|offset|bytes|byte|count|total|id|uuid|sha|commit|hash|build|ticket|"
    "issue|pid|duration|elapsed|time|length|width|height|isbn|sku|serial|tracking|part|model|amount|price|usd|eur|ref|reference|max|"
    "min|limit|user_id|userid|uid|gid|inode|index|revision|article|doi|pmid|arxiv|checksum|mtime|ctime|created|updated|expires|exp|"
    "iat|nbf)s?$",
    re.IGNORECASE,
)
_OTHER: Final = frozenset(
    {"id", "ref", "reference", "uid", "part", "serial", "exp", "expires", "created", "total", "driver"}
)
"""What of those may also stand between an id's word and the id (`passport ref`, `tax id`)."""

_PARTS = re.compile(r"_|(?<=[a-z])(?=[A-Z])")
_IN_WORD = r"A-Za-z_À-ɏ\u0400-\u04ff\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af"
_LAST_WORD = re.compile(
    rf"(?<![{_IN_WORD}])([{_IN_WORD}]+)[^A-Za-z\n]{{0,6}}$"
)  # tried once a word, not at each of its letters
_AMOUNT = re.compile(
    r"[0-9][ \t]?(?:usd|eur|bytes?)[^A-Za-z\n]{0,6}$", re.IGNORECASE
)  # belongs to the number before it
_ONE_WORD = re.compile(r"[^\W\d]*[^A-Za-z\n]{0,6}$")
_LABEL = re.compile(r"[^\S\n]{0,2}[:=#]|[^\S\n]+(?:no|number|nr)\b", re.IGNORECASE)


def _table() -> dict[int, str]:
    """Small letters without accents, one character for one; `-`, `_` and tabs as blanks."""
    table: dict[int, str] = {}
    for code in (*range(0x80), *range(0xA0, 0x530), *range(0x1E00, 0x2000)):
        char = chr(code).lower()
        base = unicodedata.normalize("NFD", char)[:1] or char
        folded = base if len(base) == 1 else chr(code)
        if folded != chr(code):
            table[code] = folded
    for char in "-_\t\u2010\u2011":
        table[ord(char)] = " "
    table[ord("’")] = "'"
    return table


_FOLD: Final = _table()
_FOLD_ASCII: Final = bytes(map(ord, bytes(range(0x80)).decode("ascii").translate(_FOLD))) + bytes(range(0x80, 0x100))


def fold(text: str) -> str:
    """The text in small letters without accents, each character in its place."""
    # Of text that has no other letters the bytes are translated in a tenth of the time.
    return text.encode("ascii").translate(_FOLD_ASCII).decode("ascii") if text.isascii() else text.translate(_FOLD)


class _Word(NamedTuple):
    """`open`: it may go on with further letters. `script`: written without blanks, so that it has no borders."""

    length: int
    topics: tuple[str, ...]
    open: bool
    script: bool


@functools.cache
def _automaton() -> Any:
    import ahocorasick

    topics: dict[str, list[str]] = {}
    for topic, words in (*((kind.name, kind.words) for kind in KINDS), *_EXTRA.items()):
        for word in words:
            folded = fold(word)
            for form in {folded, folded.replace(" ", "")}:
                if topic not in topics.setdefault(form, []):
                    topics[form].append(topic)
    automaton = ahocorasick.Automaton()
    for form, its in topics.items():
        script = ord(form[0]) > 0x0DFF
        automaton.add_word(form, _Word(len(form), tuple(its), len(form) >= _LONG or not form[-1].isalpha(), script))
    automaton.make_automaton()
    return automaton


class Spotted:
    """Where in a text the words of each kind stand; looked for when first asked, once. `key`: the object key it stands under.

    `told`: no number is taken for anyone's by its digits alone, a word must tell what it is.
    """

    def __init__(self, text: str, key: str = "", *, told: bool = False) -> None:
        self.text = text
        self.told = told
        self.key = key if len(text) <= _LONGEST_VALUE else ""

    @functools.cached_property
    def folded(self) -> str:
        return fold(self.text)

    @functools.cached_property
    def hits(self) -> dict[str, list[tuple[int, int]]]:
        """For each kind the places of its words, in order of their ends."""
        return _spot(self.text, self.folded)

    @property
    def asked(self) -> bool:
        """Whether words have been looked for: what needs one may stand there."""
        return "hits" in self.__dict__

    @functools.cached_property
    def key_topics(self) -> frozenset[str]:
        """The kinds of which the object key speaks."""
        return key_topics(self.key)

    @functools.cached_property
    def _ends(self) -> dict[str, list[int]]:
        return {topic: [end for _, end in places] for topic, places in self.hits.items()}

    def near(self, topic: str, start: int, end: int) -> bool:
        """Whether a word of the kind stands shortly before a value, or right behind it on the same line, or is its key."""
        return self.distance(topic, start, end) is not None

    def distance(self, topic: str, start: int, end: int) -> int | None:
        """How far the nearest such word is; None if there is none within reach."""
        if topic in self.key_topics:
            return 0
        places = self.hits.get(topic)
        if not places:
            return None
        ends = self._ends[topic]
        last = bisect_right(ends, start) - 1
        if last >= 0 and start - ends[last] <= REACH:
            return start - ends[last]
        at = bisect_left(ends, end + 1)
        if (
            at < len(places)
            and 0 <= (gap := places[at][0] - end) <= BEHIND
            and "\n" not in self.text[end : places[at][0]]
        ):
            return gap
        return None

    def is_id(self, start: int) -> bool:
        """Whether the value is called a national id of some kind."""
        return any(self.names(topic, start) for topic in (*self.hits, *self.key_topics) if topic in _IDS)

    def names(self, topic: str, start: int) -> bool:
        """Whether the value is called so: the last word before it, or its key, begins with such a word."""
        if topic in self.key_topics:
            return True
        ends = self._ends.get(topic) if topic in self.hits else None
        if not ends:
            return False
        last = bisect_right(ends, start) - 1
        return last >= 0 and start - ends[last] <= 32 and _ONE_WORD.match(self.text, ends[last], start) is not None


def _spot(text: str, folded: str) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    size = len(text)
    for last, word in _automaton().iter(folded):
        end = last + 1
        start = end - word.length
        if not word.script:
            if start and folded[start - 1].isalpha() and not _begins_part(text, start):
                continue
            if not word.open and end < size and folded[end].isalpha() and not _ends_part(text, folded, end):
                continue
        for topic in word.topics:
            found.setdefault(topic, []).append((start, end))
    return found


def _begins_part(text: str, start: int) -> bool:
    """`homePhone`, or a word right behind one of a script without blanks."""
    return (text[start].isupper() and text[start - 1].islower()) or ord(text[start - 1]) > 0x0DFF


def _ends_part(text: str, folded: str, end: int) -> bool:
    """`ssnValue`, `IDs`, or before a script without blanks."""
    if text[end].isupper() and text[end - 1].islower():
        return True
    if ord(text[end]) > 0x0DFF:
        return True
    return folded[end] == "s" and not folded[end + 1 : end + 2].isalpha()


@functools.lru_cache(maxsize=1024)
def key_topics(key: str) -> frozenset[str]:
    """The kinds of which an object key speaks; keys that say that the value is something else speak of none."""
    if not key or len(key) > 80:
        return frozenset()
    return frozenset(topic for topic in _spot(key, fold(key)) if topic not in _EXTRA)


def is_label(text: str, end: int) -> bool:
    """Whether the word that ends here names what comes after it, so that it says nothing of what stands before."""
    return _LABEL.match(text, end) is not None


def _last_words(text: str, start: int, unless: str) -> list[str]:
    """The word just before a place, and the parts of it if it is a name in a program."""
    match = _LAST_WORD.search(text[max(0, start - 32) : start])
    if match is None or (unless and unless in match[0]) or _AMOUNT.search(text[max(0, start - 40) : start]):
        return []
    return [*_PARTS.split(match[1]), match[1]]


def nobodys(text: str, start: int, unless: str = "") -> bool:
    """Whether the last word before a number says that it is no one's (a row, a size, a version).

    `unless`: what may stand between them so that it does not (`"rows": [[` names all of a table).
    """
    return any(_NOBODYS.match(word) for word in _last_words(text, start, unless))


def says_otherwise(text: str, low: int, start: int) -> bool:
    """Whether a word between `low` and a number says that it is no one's, and not the kind of number it is."""
    match = _LAST_WORD.search(text[max(low, start - 32) : start])
    if match is None:
        return False
    return any(_NOBODYS.match(part) and part.lower() not in _OTHER for part in (*_PARTS.split(match[1]), match[1]))
