"""Values found so far, looked for again by exact match in later texts of the request, in every form they may take."""

import base64
import itertools
import json
import re
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote, unquote

import ahocorasick

from tokenman_core.redaction.detectors.likely import is_placeholder
from tokenman_core.redaction.detectors.view import decode, fold, needed
from tokenman_core.redaction.entities import Finding

SHORTEST = 4  # characters; a shorter value says too little to be looked for by itself
ANYWHERE = 8  # from this length on a value is found inside longer words too
_ONE_BY_ONE = 24  # up to here `str.find` for each is cheaper than an automaton for all
_MARKS = ".,:;!?"
_SAME_IN_JSON = re.compile(r'[^"\\\x00-\x1f\x7f-\U0010ffff]+')
_SAME_IN_URL = re.compile(r"[A-Za-z0-9_.~-]+")
_PIECE = 16 * 1024  # characters searched for all values between two pauses
_LONG = 1024  # characters
_LARGEST = 1024  # values in one automaton: building it cannot pause
_URL_SAFE = str.maketrans("+/", "-_")
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
_RUN = re.compile(r"[A-Za-z0-9+/_-]{10,}")
_NAME = re.compile(r"(?:[A-Z]?[a-z]{2,}+|[A-Z]{2,}+|[0-9]++|[_/+-]++|[A-Z]?[a-z](?![A-Za-z0-9]))++")
_DIGITS = re.compile(r"[0-9a-f]{16}|[0-9A-F]{16}")
_STEP = 128  # values taken up between two pauses
_LONGEST_CODED = 512  # bytes; of longer values no part is looked for in base64
_WIDEST = 10  # characters that one of a value may take where it is written with escapes
_HEX_LETTER = re.compile(r"%(?:[A-F]|[0-9][A-F])")
_HEX_PAIR = re.compile(r"%[0-9A-F]{2}")
_WRAP = re.compile(r"[ \t]*\r?\n(?:[ \t]*(?:[>|#*;+]{1,3}|//[/!]?|--))*[ \t]*")
_SEPARATORS = re.compile(r"[^A-Za-z0-9]+")
# By kind of value: how many characters stand in its groups, and what stands between them.
_FOURS = (4,) * 9
_GROUPS: dict[str, tuple[tuple[tuple[int, ...], ...], str]] = {
    "CREDIT_CARD": ((_FOURS, (4, 6, 5)), " -."),
    "IBAN_CODE": ((_FOURS,), " -"),
    "US_SSN": (((3, 2, 4),), "- "),
    "PHONE_NUMBER": ((), ""),
}
_BORDERED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_COMMON = frozenset(
    {
        "admin", "test", "demo", "root", "user", "guest", "local", "login", "public", "default", "changeme",
        "letmein", "welcome", "hello", "world", "database", "localhost", "1234", "12345", "123456", "1111", "0000",
        "2024", "2025", "2026",
    }
)  # fmt: skip


def looked_for(value: str) -> bool:
    """Whether a value is looked for in later texts.

    Not if it has fewer than 4 characters, if it is a word that stands everywhere (`admin`, `test`), or a number of fewer than 6
    digits: masking those by exact match would tear up text that has nothing to do with the value.
    """
    bare = value.strip()
    return (
        len(bare) >= SHORTEST
        and bare.lower() not in _COMMON
        and not is_placeholder(bare)
        and not (bare.isdigit() and len(bare) < 6)
    )


class Form(NamedTuple):
    """One way to write a value. In base64 the characters at its ends may hold bits of a neighbour too: `before` and `behind`."""

    text: str
    before: int = 0
    behind: int = 0


def forms(value: str, entity: str = "") -> tuple[str, ...]:
    """The value and the other ways to write it, each once, as `written`."""
    return tuple(form.text for form in written(value, entity))


def written(value: str, entity: str = "") -> list[Form]:
    """The value and the other ways to write it, each once; what `view.decode` sees through is not among them."""
    return [*map(Form, _plainly(value, entity)), *coded(value)]


def _plainly(value: str, entity: str) -> list[str]:
    """As text: with escapes and without, with other separators."""
    same = [value, *_escaped(value)]
    # What says less than the value is only looked for if it still says enough.
    shorter = [*_unescaped(value), *_regrouped(value, entity)]
    if not value.isascii():
        shorter.append(fold(value))
    if value[-1] in _MARKS:
        shorter.append(
            value.rstrip(_MARKS)
        )  # whether a mark at the end is the value's or the sentence's cannot be told
    return list(dict.fromkeys([*same, *(each for each in shorter if looked_for(each))]))


def coded(value: str) -> list[Form]:
    """In hexadecimal and in base64, if it is long enough to be told there."""
    data = value.encode("utf-8", "surrogatepass")
    if not ANYWHERE <= len(data) <= _LONGEST_CODED:
        return []
    digits = data.hex()
    return [Form(digits), *([Form(digits.upper())] if not digits.isdigit() else []), *_in_base64(data)]


def _escaped(value: str) -> Iterator[str]:
    """As JSON writes it, as JSON in JSON does, and as URLs do."""
    if not _SAME_IN_JSON.fullmatch(value):
        once = json.dumps(value, ensure_ascii=False)[1:-1]
        yield from (once, json.dumps(value)[1:-1], json.dumps(once, ensure_ascii=False)[1:-1])
    if not _SAME_IN_URL.fullmatch(value):
        for safe in ("", "/") if "/" in value else ("",):
            yield (quoted := quote(value, safe=safe, errors="surrogatepass"))
            if _HEX_LETTER.search(quoted):
                yield _HEX_PAIR.sub(lambda match: match[0].lower(), quoted)


def _unescaped(value: str) -> Iterator[str]:
    """As it is read where it was written with escapes."""
    if "\\" in value:
        try:
            yield str(json.loads(f'"{value}"', strict=False))
        except ValueError:
            pass
    if "%" in value:
        yield unquote(value, errors="surrogatepass")
    if "\n" in value:
        yield _WRAP.sub("", value)
    if needed(value, value.encode("utf-8", "surrogatepass")):
        yield decode(value).text


def _regrouped(value: str, entity: str) -> Iterator[str]:
    """With other separators, or in other letters, where both mean the same."""
    if entity == "EMAIL_ADDRESS":
        yield from (value.lower(), value.upper())
    elif entity in _GROUPS:
        sizes, separators = _GROUPS[entity]
        bare = _SEPARATORS.sub("", fold(value)).upper()
        plus = "+" if entity == "PHONE_NUMBER" and value.startswith("+") else ""
        yield from (plus + bare, bare)
        for size in sizes:
            ends = [*itertools.accumulate(size)]
            cut = [
                bare[low:high]
                for low, high in itertools.pairwise((0, *(end for end in ends if end < len(bare)), len(bare)))
            ]
            yield from (separator.join(cut) for separator in separators)


def _in_base64(data: bytes) -> Iterator[Form]:
    """In base64 that may hold more before it and behind it, by how many bytes of three stand before it; in both alphabets."""
    for offset in range(3):
        coded = base64.b64encode(bytes(offset) + data).rstrip(b"=").decode("ascii")
        behind = int((offset + len(data)) % 3 != 0)
        core = coded[offset + (offset > 0) : len(coded) - behind]
        yield Form(core, int(offset > 0), behind)
        if "+" in core or "/" in core:
            yield Form(core.translate(_URL_SAFE), int(offset > 0), behind)


def _holds_codes(text: str) -> bool:
    """Whether a text holds what may be base64 or hexadecimal: a run of letters and digits that is no name made of words."""
    return any(_NAME.fullmatch(match[0]) is None or _DIGITS.search(match[0]) for match in _RUN.finditer(text))


class Known:
    """The values that later texts are searched for. Texts are searched in steps: `find` yields None where it may pause.

    Values come all the time, and an automaton cannot grow. So the newest are searched one by one, and the others by a few
    automata, each at least twice as large as the next: building them costs little in sum, and they stay few.
    """

    def __init__(self) -> None:
        self._added: list[tuple[str, str]] = []  # not yet taken up: a request that is all known never searches
        self._entities: dict[str, str] = {}
        self._uncoded: list[tuple[str, str]] = []  # looked for as text, and not yet in hexadecimal and base64
        self._recent: list[str] = []
        self._long: list[str] = []  # never in an automaton, for pieces of a text overlap by the longest of them
        self._automata: list[tuple[list[str], ahocorasick.Automaton]] = []
        self._edges: dict[str, tuple[int, int]] = {}  # of forms in base64: see Form
        self._longest = 0

    def __bool__(self) -> bool:
        return bool(self._added or self._entities)

    def add(self, entity: str, value: str) -> None:
        self._added.append((entity, value))

    def find(self, text: str) -> Iterator[Finding | None]:
        """Every place of a known value in a text, in every way in which it may be written there; None now and then.

        Of values that many texts are searched for at the same time, the first search must be one of an empty text, to its end.
        """
        if not self:
            return
        codes = not text
        for low in range(0, len(text), _PIECE):
            codes = codes or _holds_codes(text[low : low + _PIECE + _LONGEST_CODED])
            yield None
        yield from self._take_up(codes)
        yield from self._search(text)
        # What only shows when the text is decoded. Piece by piece, each with what the longest form needs of the one before it.
        for low in range(0, len(text), _PIECE):
            start = max(0, low - min(self._longest * _WIDEST, _PIECE))
            piece = text[start : low + _PIECE]
            if needed(piece, piece.encode("utf-8", "surrogatepass")):
                view = decode(piece)
                yield None
                for place in self._search(view.text):
                    if place is not None:
                        first, last = view.original(place.start, place.end)
                        place = Finding(start + first, start + last, place.entity)
                    yield place
            yield None

    def _search(self, text: str) -> Iterator[Finding | None]:
        # In pieces that overlap, each by itself: going on with `set` (pyahocorasick 2.3) corrupts memory.
        overlap = min(self._longest, _LONG)
        for _, automaton in self._automata:
            ends: dict[str, int] = {}  # of the last place of each: places of one value do not overlap
            for low in range(0, len(text), _PIECE):
                begin = max(0, low - overlap)
                for last, form in automaton.iter(text[begin : low + _PIECE]):
                    start = begin + last + 1 - len(form)
                    if start >= ends.get(form, 0) and self._stands_alone(text, start, form):
                        ends[form] = start + len(form)
                        yield self._found(text, start, form)
                yield None
        for form in itertools.chain(self._long, self._recent):
            at = text.find(form)
            while at >= 0:
                alone = self._stands_alone(text, at, form)
                if alone:
                    yield self._found(text, at, form)
                at = text.find(form, at + (len(form) if alone else 1))
            yield None

    def _note(self, form: Form, entity: str) -> None:
        text = form.text
        if text not in self._entities:
            self._entities[text] = entity
            (self._recent if len(text) <= _LONG else self._long).append(text)
            self._longest = max(self._longest, len(text))
            if form.before or form.behind:
                self._edges[text] = (form.before, form.behind)

    def _take_up(self, codes: bool) -> Iterator[None]:
        for entity, value in self._added:
            if not looked_for(value):
                continue
            for text in _plainly(value, entity):
                self._note(Form(text), entity)
            self._uncoded.append((entity, value))
            yield None
        self._added.clear()
        if codes:
            for entity, value in self._uncoded:
                for form in coded(value):
                    self._note(form, entity)
                yield None
            self._uncoded.clear()
        if len(self._recent) <= _ONE_BY_ONE:
            return
        words, self._recent = self._recent, []
        while self._automata and len(self._automata[-1][0]) < min(2 * len(words), _LARGEST):
            words = self._automata.pop()[0] + words
        for low in range(0, len(words), _LARGEST):
            automaton = ahocorasick.Automaton()
            part = words[low : low + _LARGEST]
            for number, word in enumerate(part):
                automaton.add_word(word, word)
                if number % _STEP == 0:
                    yield None
            automaton.make_automaton()
            self._automata.append((part, automaton))
            yield None

    def _found(self, text: str, start: int, form: str) -> Finding:
        end = start + len(form)
        before, behind = self._edges.get(form, (0, 0))
        if before and text[max(0, start - 1) : start] in _BASE64:
            start -= 1
        if behind and text[end : end + 1] in _BASE64:
            end += 1
        return Finding(start, end, self._entities[form])

    @staticmethod
    def _stands_alone(text: str, start: int, form: str) -> bool:
        """A short value must not be part of a longer word, and a number not of a longer number."""
        end = start + len(form)
        if len(form) >= ANYWHERE:
            return not form.isdigit() or not (
                text[max(0, start - 1) : start].isdigit() or text[end : end + 1].isdigit()
            )
        return not (
            (form[0] in _BORDERED and start > 0 and text[start - 1] in _BORDERED)
            or (form[-1] in _BORDERED and end < len(text) and text[end] in _BORDERED)
        )
