"""Values found so far, looked for again by exact match in later texts of the request, in every form they may take."""

import base64
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote, unquote

from tokenman_core.redaction.detectors.coded import decoded
from tokenman_core.redaction.detectors.likely import is_placeholder
from tokenman_core.redaction.detectors.seams import unwrapped
from tokenman_core.redaction.detectors.view import decode, fold, needed
from tokenman_core.redaction.entities import Finding
from tokenman_core.redaction.needles import PIECE, Needles

SHORTEST = 4  # characters; a shorter value says too little to be looked for by itself
ANYWHERE = 8  # from this length on a value is found inside longer words too
_MARKS = ".,:;!?"
_SAME_IN_JSON = re.compile(r'[^"\\\x00-\x1f\x7f-\U0010ffff]+')
_SAME_IN_URL = re.compile(r"[A-Za-z0-9_.~-]+")
_URL_SAFE = str.maketrans("+/", "-_")
_LONGEST_CODED = 512  # bytes; of longer values no part is looked for in base64
_LEAST_DISTINCT = 4  # characters: a rule of stars, or of zeros, stands everywhere
_LEAST_WRAPPED = 12  # characters of a value that is looked for over the breaks of lines, of which so many differ:
_LEAST_WRAPPED_DISTINCT = 6
_EXPANDED = 24  # up to here the forms of values are looked for one by one
_STEP = 16  # values taken up between two pauses
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
LONGEST_ANCHOR = 32  # characters
_LONGER = 64  # characters by which a form may be longer than its value, before it is escaped
_FEW = 16
_ONE_RUN = re.compile(rf"[A-Za-z0-9_~-]{{4,{LONGEST_ANCHOR}}}")
_ANCHOR = re.compile(r"[a-z0-9._~-]+")
# What is written otherwise in some form, with all that may belong to it: escapes, references, breaks of lines.
_ESCAPES = re.compile(r"\\+[A-Za-z0-9{}]*|[%&][#A-Za-z0-9]*;?|=[0-9A-F]{0,2}|\s+[>|#*;+/!\s-]*|[^\x00-\x7f]+")
_SPELLED = re.compile(r"[\\%&=]")
_UPPER = bytes(range(256)).upper()
_NOT_ALNUM = bytes(byte for byte in range(128) if not chr(byte).isalnum())
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


def forms(value: str, entity: str = "") -> tuple[str, ...]:
    """The value and the other ways to write it, each once; what `view.decode` sees through is not among them."""
    return tuple(dict.fromkeys((*_plainly(value, entity), *coded(value))))


def _plainly(value: str, entity: str) -> list[str]:
    """As text: with escapes and without, with other separators."""
    same = [value, *_escaped(value)]
    # What says less than the value is only looked for if it still says enough.
    shorter = [*_unescaped(value), *_regrouped(value, entity)]
    if not value.isascii():
        shorter.append(fold(value))
        same.append(value.encode("utf-8", "surrogatepass").decode("latin-1"))  # as bytes are read, decoded or not
    if value[-1] in _MARKS:
        shorter.append(
            value.rstrip(_MARKS)
        )  # whether a mark at the end is the value's or the sentence's cannot be told
    return list(dict.fromkeys([*same, *(each for each in shorter if looked_for(each))]))


def coded(value: str) -> list[str]:
    """In hexadecimal and in base64, if it is long enough to be told there."""
    data = value.encode("utf-8", "surrogatepass")
    if not ANYWHERE <= len(data) <= _LONGEST_CODED:
        return []
    digits = data.hex()
    return [digits, *([digits.upper()] if not digits.isdigit() else []), *_in_base64(data)]


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


def _in_base64(data: bytes) -> Iterator[str]:
    """In base64 that may hold more before it and behind it, by how many bytes of three stand before it; in both alphabets."""
    for offset in range(3):
        coded = base64.b64encode(bytes(offset) + data).rstrip(b"=").decode("ascii")
        core = coded[offset + (offset > 0) : len(coded) - int((offset + len(data)) % 3 != 0)]
        yield core
        if "+" in core or "/" in core:
            yield core.translate(_URL_SAFE)


class _Value:
    """A value to look for. `anchor` stands in every form of it, however it is written, `times` over; "" if nothing does."""

    __slots__ = ("_forms", "anchor", "entity", "searched", "text", "times")

    def __init__(self, entity: str, text: str) -> None:
        self.entity, self.text = entity, text
        self.anchor, self.times = "", 1
        self.searched = False  # by its forms, in every text
        self._forms: list[str] | None = None

    @property
    def forms(self) -> list[str]:
        """Made when they are first needed: most values never stand in a text again."""
        if self._forms is None:
            self._forms = _plainly(self.text, self.entity) if looked_for(self.text) else []
        return self._forms


class Known:
    """The values that later texts are searched for. Texts are searched in steps: `find` yields None where it may pause.

    A text is first searched for the anchors of all values, a few letters and digits of each, in small letters (of numbers that
    are written in groups: all of them, without what stands between). Only of values whose anchor stands there forms are made
    and looked for.
    """

    def __init__(self) -> None:
        self._added: list[tuple[str, str]] = []  # not yet taken up: a request that is all known never searches
        self._count = self._open = 0  # and of how many anchors are looked for
        self._plain, self._bare = Needles(), Needles()
        self._values: dict[bool, dict[str, list[_Value]]] = {False: {}, True: {}}  # by whether it is written in groups
        self._always: list[_Value] = []  # nothing of them stands in every form
        self._entities: dict[str, tuple[str, ...]] = {}  # by form, of what is always looked for
        self._forms = Needles()
        self.longest = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def add(self, entity: str, value: str) -> None:
        self._added.append((entity, value))
        self._count += 1

    def find(self, text: str, standing: Mapping[tuple[str, str], int] | None = None) -> Iterator[Finding | None]:
        """Every place of a known value in a text, in every way in which it may be written there; None now and then.

        `standing`: what has been found in the text, by entity and value, how often; if that is all there is, it is not looked
        for again. Of values that many texts are searched for at the same time, the first search must be one of an empty text,
        to its end.
        """
        yield from find((self,), text, standing or {})

    def prepare(self) -> Iterator[None]:
        """Look for the forms of all values from now on, so that no search changes anything."""
        anchored = (value for each in self._values.values() for them in each.values() for value in them)
        yield from self._search_always(
            [value for value in itertools.chain(self._always, anchored) if not value.searched]
        )

    def search(self, text: str, standing: Mapping[tuple[str, str], int]) -> Iterator[Finding | None]:
        """Every place of a value in a text as it stands; only once all have been taken up."""
        candidates = [value for value in self._always if not value.searched]
        for bare, needles in ((False, self._plain), (True, self._bare)):
            if not self._open or not needles:
                continue
            counts: Counter[str] = Counter()
            for anchor in needles.all(_pieces(text, bare)):
                if anchor is None:
                    yield None
                else:
                    counts[anchor] += 1
            for anchor, count in counts.items():
                for value in self._values[bare][anchor]:
                    if not value.searched and count > standing.get((value.entity, value.text), 0) * value.times:
                        candidates.append(value)
        if len(candidates) > _EXPANDED:
            yield from self._search_always(candidates)
            candidates = []
        for value in candidates:
            for form in value.forms:
                at = text.find(form)
                while at >= 0:
                    alone = _stands_alone(text, at, form)
                    if alone:
                        yield Finding(at, at + len(form), value.entity)
                    at = text.find(form, at + (len(form) if alone else 1))
            yield None
        if self._forms:
            ends: dict[str, int] = {}  # of the last place of each: places of one value do not overlap
            for found in self._forms.places(text):
                if found is None:
                    yield None
                    continue
                at, form = found
                if at >= ends.get(form, 0) and _stands_alone(text, at, form):
                    ends[form] = at + len(form)
                    for entity in self._entities[form]:
                        yield Finding(at, at + len(form), entity)

    def _search_always(self, values: list[_Value]) -> Iterator[None]:
        """Of many values at once: from now on their forms are looked for in every text, all in one go."""
        for number, value in enumerate(values):
            self._open -= 1
            value.searched = True
            for form in value.forms:
                entities = self._entities.get(form, ())
                if not entities:
                    self._forms.add(form)
                if value.entity not in entities:
                    self._entities[form] = (*entities, value.entity)
            if number % _STEP == 0:
                yield None
        yield from self._forms.settle()

    def take_up(self) -> Iterator[None]:
        """Choose the anchors of what was added since."""
        for number, (entity, text) in enumerate(self._added):
            value = _Value(entity, text)
            self._open += 1
            self.longest = max(self.longest, len(text) + _LONGER)
            bare = entity in _GROUPS
            values = self._values[bare]
            if bare:
                anchor = "" if _SPELLED.search(text) else _SEPARATORS.sub("", fold(text)).upper()[:LONGEST_ANCHOR]
                if len(anchor) < SHORTEST:
                    anchor = ""
            elif _ONE_RUN.fullmatch(text):
                anchor = text.lower()
            else:
                anchor = min(_runs(text), key=lambda run: (len(values.get(run, ())), -len(run)), default="")
                value.times = text.lower().count(anchor) if anchor else 1
            value.anchor = anchor
            if not anchor:
                self._always.append(value)
            elif anchor in values:
                values[anchor].append(value)
            else:
                values[anchor] = [value]
                (self._bare if bare else self._plain).add(anchor)
            if number % _STEP == 0:
                yield None
        self._added.clear()
        yield from self._plain.settle()
        yield from self._bare.settle()


def find(knowns: Sequence[Known], text: str, standing: Mapping[tuple[str, str], int]) -> Iterator[Finding | None]:
    """As `Known.find`, of several at once."""
    knowns = [each for each in knowns if each]
    if not knowns:
        return
    for known in knowns:
        yield from known.take_up()
        if not text:
            yield from known.prepare()
    for known in knowns:
        yield from known.search(text, standing)
    yield from _in_codes(knowns, text)
    if "\n" in text or "\\n" in text:
        yield from _over_lines(knowns, text, min(max(known.longest for known in knowns) + _LONGER, PIECE))
    # What only shows when the text is decoded. Piece by piece, each with what the longest form needs of the one before it.
    reach = min(max(known.longest for known in knowns) * _WIDEST, PIECE)
    for low in range(0, len(text), PIECE):
        start = max(0, low - reach)
        piece = text[start : low + PIECE]
        if needed(piece, piece.encode("utf-8", "surrogatepass")):
            view = decode(piece)
            yield None
            shown = itertools.chain(*(known.search(view.text, {}) for known in knowns), _in_codes(knowns, view.text))
            for place in shown:
                if place is not None:
                    first, last = view.original(place.start, place.end)
                    place = Finding(start + first, start + last, place.entity)
                yield place
        yield None


def _over_lines(knowns: Sequence[Known], text: str, reach: int) -> Iterator[Finding | None]:
    """Values that are wrapped: they stand there without the breaks of lines, and over one."""
    for low in range(0, len(text), PIECE):
        start = max(0, low - reach)
        view = unwrapped(text[start : low + PIECE])
        yield None
        if view is None:
            continue
        for place in itertools.chain(*(known.search(view.text, {}) for known in knowns)):
            if place is None:
                yield None
                continue
            first, last = view.original(place.start, place.end)
            value = view.text[place.start : place.end]
            if last - first > len(value) >= _LEAST_WRAPPED and len(set(value)) >= _LEAST_WRAPPED_DISTINCT:
                yield Finding(start + first, start + last, place.entity)


def _in_codes(knowns: Sequence[Known], text: str) -> Iterator[Finding | None]:
    """In what base64 and hexadecimal in the text hold."""
    for coded in decoded(text):
        if coded is None:
            yield None
            continue
        for place in itertools.chain(*(known.search(coded.text, {}) for known in knowns)):
            if place is None:
                yield None
            elif place.end - place.start >= ANYWHERE and (span := coded.original(place.start, place.end)) is not None:
                yield Finding(*span, place.entity)


def _runs(text: str) -> list[str]:
    """What of a value stands in all its forms as it is, but for the case: pieces of it that no escape touches."""
    if _ESCAPES.search(text):
        text = _ESCAPES.sub(" ", text)
    found = _ANCHOR.findall(text.lower().rstrip(_MARKS))
    runs = [run for run in found[:_FEW] if len(run) >= SHORTEST] or found[:_FEW]
    return [
        part
        for run in runs
        for part in ((run,) if len(run) <= LONGEST_ANCHOR else (run[:LONGEST_ANCHOR], run[-LONGEST_ANCHOR:]))
    ]


def _pieces(text: str, bare: bool) -> Iterator[str]:
    """A text as anchors are looked for in it, piece by piece."""
    if not bare:
        for low in range(0, len(text), PIECE):
            yield text[max(0, low - LONGEST_ANCHOR) : low + PIECE].lower()
        return
    end = b""
    for low in range(0, len(text), PIECE):
        piece = end + text[low : low + PIECE].encode("ascii", "ignore").translate(_UPPER, _NOT_ALNUM)
        yield piece.decode("ascii")
        end = piece[-LONGEST_ANCHOR:]


def _stands_alone(text: str, start: int, form: str) -> bool:
    """A short value must not be part of a longer word, and a number not of a longer number."""
    end = start + len(form)
    if len(form) >= ANYWHERE and len(set(form)) >= _LEAST_DISTINCT:
        return not form.isdigit() or not (text[max(0, start - 1) : start].isdigit() or text[end : end + 1].isdigit())
    return not (
        (form[0] in _BORDERED and start > 0 and text[start - 1] in _BORDERED)
        or (form[-1] in _BORDERED and end < len(text) and text[end] in _BORDERED)
    )
