"""Values found so far, looked for again by exact match in later texts of the request, in every form they may take."""

import base64
import html
import json
import re
from bisect import bisect_left
from collections.abc import Iterator
from itertools import chain
from urllib.parse import quote, unquote

import ahocorasick

from tokenman_core.redaction.detectors.likely import is_placeholder
from tokenman_core.redaction.entities import Finding

SHORTEST = 4  # characters; a shorter value says too little to be looked for by itself
ANYWHERE = 8  # from this length on a value is found inside longer words too
_ONE_BY_ONE = 24  # up to here `str.find` for each is cheaper than an automaton for all
_MARKS = ".,:;!?"
_SAME_IN_JSON = re.compile(r'[^"\\\x00-\x1f\x7f-\U0010ffff]+')
_SAME_IN_URL = re.compile(r"[A-Za-z0-9_.~-]+")
_PIECE = 16 * 1024  # characters searched for all values between two pauses
_LARGEST = 1024  # values in one automaton: building it cannot pause
_RUN_END = re.compile(r"[^A-Za-z0-9+/_-]")
_URL_SAFE = str.maketrans("+/", "-_")
_STEP = 128  # values taken up between two pauses
_HTML = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,8});")
_ENCODED = re.compile(r"[A-Za-z0-9+/]{11,}")  # base64 of at least ANYWHERE bytes, and the same in the other alphabet
_ENCODED_FOR_URL = re.compile(r"[A-Za-z0-9_-]{11,}")
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


def forms(value: str) -> tuple[str, ...]:
    """The value and the other ways to write it, each once: in JSON, twice in JSON, percent-encoded, decoded."""
    written = [value]
    shorter: list[str] = []
    if not _SAME_IN_JSON.fullmatch(value):
        escaped = json.dumps(value, ensure_ascii=False)[1:-1]
        written += escaped, json.dumps(value)[1:-1], json.dumps(escaped, ensure_ascii=False)[1:-1]
        if "\\" in value:
            shorter.append(_unescaped(value))
    if not _SAME_IN_URL.fullmatch(value):
        written.append(quote(value, safe="", errors="surrogatepass"))
        if "/" in value:
            written.append(quote(value, errors="surrogatepass"))
        if "%" in value:
            shorter.append(unquote(value, errors="surrogatepass"))
    if value[-1] in _MARKS:
        shorter.append(
            value.rstrip(_MARKS)
        )  # whether a mark at the end is the value's or the sentence's cannot be told
    return tuple(dict.fromkeys([*written, *(form for form in shorter if looked_for(form))]))


def _unescaped(value: str) -> str:
    try:
        return str(json.loads(f'"{value}"', strict=False))
    except ValueError:
        return value


def _from_base64(encoded: str) -> str:
    """What unpadded base64 of either alphabet holds; "" if no text."""
    try:
        return base64.urlsafe_b64decode(encoded.translate(_URL_SAFE) + "=" * (-len(encoded) % 4)).decode(
            "utf-8", "surrogatepass"
        )
    except ValueError:
        return ""


class Known:
    """The values that later texts are searched for. Texts are searched in steps: `find` yields None where it may pause.

    Values come all the time, and an automaton cannot grow. So the newest are searched one by one, and the others by a few
    automata, each at least twice as large as the next: building them costs little in sum, and they stay few.
    """

    def __init__(self) -> None:
        self._added: list[tuple[str, str]] = []  # not yet taken up: a request that is all known never searches
        self._entities: dict[str, str] = {}
        self._recent: list[str] = []
        self._automata: list[tuple[list[str], ahocorasick.Automaton]] = []
        self._encoded: set[int] = set()  # how many characters the values have in base64

    def __bool__(self) -> bool:
        return bool(self._added or self._entities)

    def add(self, entity: str, value: str) -> None:
        self._added.append((entity, value))

    def find(self, text: str) -> Iterator[Finding | None]:
        """Every place of a known value in a text, in HTML and in base64 too; None now and then."""
        yield from self._take_up()
        yield from self._search(text)
        if "&" in text and _HTML.search(text):
            yield from self._in_html(text)
        if self._encoded:
            yield from self._in_base64(text)

    def _in_base64(self, text: str) -> Iterator[Finding | None]:
        at = 0
        while at < len(text):
            run = _RUN_END.search(text, at + _PIECE)
            end = run.start() if run else len(text)
            for match in chain(_ENCODED.finditer(text, at, end), _ENCODED_FOR_URL.finditer(text, at, end)):
                if len(match[0]) in self._encoded and (entity := self._entities.get(_from_base64(match[0]))):
                    yield Finding(*match.span(), entity)
            yield None
            at = end

    def _in_html(self, text: str) -> Iterator[Finding | None]:
        """The places of values that are written with character references (`&amp;`, `&#64;`)."""
        pieces: list[str] = []
        seen: list[int] = []  # where each reference stands in the text as a reader sees it,
        shifts = [0]  # and how much longer the text is up to there
        last = length = 0
        for match in _HTML.finditer(text):
            pieces += text[last : match.start()], html.unescape(match[0])
            length += match.start() - last
            seen.append(length)
            length += len(pieces[-1])
            last = match.end()
            shifts.append(last - length)
            if len(seen) % _STEP == 0:
                yield None
        for place in self._search("".join((*pieces, text[last:]))):
            if place is None:
                yield None
                continue
            low, high = bisect_left(seen, place.start), bisect_left(seen, place.end)
            if low < high:
                yield Finding(place.start + shifts[low], place.end + shifts[high], place.entity)

    def _search(self, text: str) -> Iterator[Finding | None]:
        for _, automaton in self._automata:
            ends: dict[str, int] = {}  # of the last place of each: places of one value do not overlap
            search = automaton.iter("")
            for low in range(0, len(text), _PIECE):
                search.set(text[low : low + _PIECE])
                for last, form in search:
                    start = last + 1 - len(form)
                    if start >= ends.get(form, 0) and self._stands_alone(text, start, form):
                        ends[form] = last + 1
                        yield Finding(start, last + 1, self._entities[form])
                yield None
        for form in self._recent:
            at = text.find(form)
            while at >= 0:
                alone = self._stands_alone(text, at, form)
                if alone:
                    yield Finding(at, at + len(form), self._entities[form])
                at = text.find(form, at + (len(form) if alone else 1))
            yield None

    def _take_up(self) -> Iterator[None]:
        for entity, value in self._added:
            if not looked_for(value):
                continue
            if (size := len(value.encode("utf-8", "surrogatepass"))) >= ANYWHERE:
                self._encoded.add((size * 4 + 2) // 3)
            for form in forms(value):
                if form not in self._entities:
                    self._entities[form] = entity
                    self._recent.append(form)
            yield None
        self._added.clear()
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

    @staticmethod
    def _stands_alone(text: str, start: int, form: str) -> bool:
        """A short value must not be part of a longer word."""
        if len(form) >= ANYWHERE:
            return True
        end = start + len(form)
        return not (
            (form[0] in _BORDERED and start > 0 and text[start - 1] in _BORDERED)
            or (form[-1] in _BORDERED and end < len(text) and text[end] in _BORDERED)
        )
