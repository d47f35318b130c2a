"""Values found so far, looked for again by exact match in later texts of the request, in every form they may take.

A text is searched in steps. Of each value its anchor is looked for first: letters and digits that stand in every form of it, one
behind another, in the text's own letters and digits alone. Most texts hold none beyond those of the values that were found in
them anyway, and are done. Only what is left is looked for in all forms: in the text as it stands, over the breaks of its lines, in
what it shows when it is decoded, and in the base64 and hexadecimal in it.
"""

import itertools
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from tokenman_core.redaction.detectors.coded import decoded
from tokenman_core.redaction.detectors.seams import unwrapped
from tokenman_core.redaction.detectors.view import View, decode, needed
from tokenman_core.redaction.entities import Finding
from tokenman_core.redaction.needles import PIECE, Needles, starts
from tokenman_core.redaction.spellings import ANYWHERE, MARKS, looked_for, plainly

LONGEST_ANCHOR = 32  # characters
_LEAST_ANCHOR = 2
_LEAST_DISTINCT = 4  # characters: a rule of stars, or of zeros, stands everywhere
_LEAST_WRAPPED = 12  # characters of a value that is looked for over the breaks of lines, of which so many differ:
_LEAST_WRAPPED_DISTINCT = 6
_EXPANDED = 24  # up to here values are looked for one by one,
_SHORT_TEXT = 2048  # and in a text of so many characters always
_STEP = 16  # values looked for between two pauses
_TAKEN_UP = 64  # and taken up
_WIDEST = 10  # characters that one of a value may take where it is written with escapes
_LONGER = 64  # characters by which a form may be longer than its value, before it is escaped
_FEW = 16
_LEAST_RUN = 4
# Printed ASCII that no reader decodes: where such a value is written otherwise, a reader sees all its letters and digits.
_PLAIN = re.compile(r"(?:[\0 !-$'-<>-\[\]-~]++|=(?!40|3D))++")  # NUL: between two of them
_RUN = re.compile(r"[a-z0-9]+(?:[._~-]+[a-z0-9]+)*")
# What is written otherwise in some form, with all that may belong to it: escapes, references, breaks of lines.
_ESCAPES = re.compile(r"\\+[A-Za-z0-9{}]*|[%&][#A-Za-z0-9]*;?|=[0-9A-F]{0,2}|\s+[>|#*;+/!\s-]*|[^\x00-\x7f]+")
_SMALL = bytes(range(256)).lower()
_NO_ANCHOR = bytes(byte for byte in range(256) if byte > 127 or not chr(byte).isalnum())
_NO_ANCHOR_OR_END = _NO_ANCHOR.replace(b"\0", b"")
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_ESCAPE_BEGINS = frozenset("%&\\=")
_HEAD = 4  # characters, as many as any value that is looked for has
_BORDERED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")

Standing = Sequence[Finding]
"""Where values stand in a text that were found by other means, in order of place, disjoint."""


class _Value:
    """A value to look for. Its anchor stands `times` over in the value itself."""

    __slots__ = ("_forms", "entity", "text", "times")

    def __init__(self, entity: str, text: str, times: int) -> None:
        self.entity, self.text, self.times = entity, text, times
        self._forms: list[str] | None = None

    @property
    def forms(self) -> list[str]:
        """Made when they are first needed: most values never stand in a text again."""
        if self._forms is None:
            self._forms = plainly(self.text, self.entity) if looked_for(self.text) else []
        return self._forms


type _Entry = tuple[str, str, str]
"""Entity, text, and the text's letters and digits as anchors are looked for in them."""


class Known:
    """The values that later texts are searched for."""

    def __init__(self, values: Iterable[tuple[str, str]] = ()) -> None:
        """`values`: by entity and text."""
        self._added = [*values]  # not yet taken up: a request that is all known never searches
        self._anchors = Needles()
        self._values: dict[str, list[_Entry]] = {}  # by anchor
        self._likely: dict[_Entry, _Value] = {}  # made of those whose anchors stood in some text: few
        self.always: list[_Value] = []  # without one: looked for in every text, one by one
        self._forms = Needles()  # or all in one go, where they are many
        self._entities: dict[str, tuple[str, ...]] = {}  # by form, of those
        self._taken_up: list[tuple[str, str]] = []
        self._led: dict[str, list[tuple[str, str]]] = {}  # of the first so many of these:
        self._led_of = 0
        self.longest = 0

    def __bool__(self) -> bool:
        return bool(self._added or self._values or self.unanchored)

    @property
    def unanchored(self) -> bool:
        """Whether there are values that every text must be searched for."""
        return bool(self.always or self._forms)

    def add(self, entity: str, value: str) -> None:
        self._added.append((entity, value))

    def extend(self, values: Iterable[tuple[str, str]]) -> None:
        """Some more, by entity and text."""
        self._added += values

    def find(self, text: str, standing: Standing = ()) -> Iterator[Finding | None]:
        """Every place of a known value in a text, in every way in which it may be written there; None now and then.

        Of a value that stands in the text no more often than `standing` says, those places need not be among them. Of values
        that many texts are searched for at the same time, the first search must be one of an empty text, to its end.
        """
        yield from find((self,), text, standing)

    def take_up(self) -> Iterator[None]:
        """Choose the anchors of what was added since."""
        if not self._added:
            return
        self.longest = max(self.longest, _LONGER + max([len(text) for _, text in self._added]))
        values = self._values
        for low in range(0, len(self._added), _TAKEN_UP):
            added = self._added[low : low + _TAKEN_UP]
            new: list[str] = []
            for (entity, text), (bare, plain) in zip(added, self._bares([text for _, text in added]), strict=True):
                if plain and len(text) >= ANYWHERE and len(set(text)) >= _LEAST_DISTINCT:
                    anchor = bare[:LONGEST_ANCHOR]
                else:
                    anchor = self._anchor(text)
                if len(anchor) < _LEAST_ANCHOR:
                    self.always.append(_Value(entity, text, 0))
                elif anchor in values:
                    values[anchor].append((entity, text, bare))
                else:
                    values[anchor] = [(entity, text, bare)]
                    new.append(anchor)
            self._anchors.add(*new)
            yield None
        self._taken_up += self._added
        self._added = []
        yield from self._anchors.settle()
        if len(self.always) > _EXPANDED:
            yield from self._take_together()

    def led(self) -> dict[str, list[tuple[str, str]]]:
        """The values that begin with a digit of hexadecimal, by how they begin."""
        for entity, text in self._taken_up[self._led_of :]:
            if text[:1] in _HEX_DIGITS:
                self._led.setdefault(text[:_HEAD], []).append((entity, text))
        self._led_of = len(self._taken_up)
        return self._led

    def _anchor(self, text: str) -> str:
        """The anchor of a value that is written otherwise in some form; "" if nothing stands in every form."""
        return min(_runs(text), key=lambda run: (len(self._values.get(run, ())), -len(run)), default="")

    @staticmethod
    def _bares(texts: Sequence[str]) -> Iterable[tuple[str, bool]]:
        """Of each text its letters and digits as in `_bare`, and whether it is plain: of all in one go, where that can be."""
        joined = "\0".join(texts)
        bares = _encoded(joined).translate(_SMALL, _NO_ANCHOR_OR_END).decode("ascii").split("\0")
        if len(bares) == len(texts) and _PLAIN.fullmatch(joined) is not None:
            return zip(bares, itertools.repeat(True))
        return [(_bare(_encoded(text)), "\0" not in text and _PLAIN.fullmatch(text) is not None) for text in texts]

    def _take_together(self) -> Iterator[None]:
        """Of many values without an anchor: from now on their forms are looked for in every text, all in one go."""
        for number, value in enumerate(self.always):
            for form in value.forms:
                entities = self._entities.get(form, ())
                if not entities:
                    self._forms.add(form)
                if value.entity not in entities:
                    self._entities[form] = (*entities, value.entity)
            if number % _STEP == 0:
                yield None
        self.always.clear()
        yield from self._forms.settle()

    def likely(self, pieces: Iterable[tuple[int, str]], credit: Counter[tuple[str, str]]) -> Iterator[_Value | None]:
        """The values whose anchors stand in the pieces of a text more often than those have them that are known to stand there.

        `pieces`: see `Needles.count`. `credit`: how often which value is known to stand in it.
        """
        if not self._anchors:
            return
        counts: Counter[str] = Counter()
        for found in self._anchors.count(pieces):
            if found is None:
                yield None
            else:
                counts[found[0]] += found[1]
        for anchor, count in counts.items():
            for entry in self._values[anchor]:
                value = self._likely.get(entry)
                if value is None:
                    entity, text, bare = entry
                    times = 1 if len(anchor) == len(bare) else sum(1 for _ in starts(bare, anchor))
                    value = self._likely[entry] = _Value(entity, text, times)
                if count > value.times * credit[value.entity, value.text]:
                    yield value

    def places(self, text: str) -> Iterator[Finding | None]:
        """Every place of those values that are looked for in all texts in one go."""
        if not self._forms:
            return
        yield from _all_forms(self._forms, self._entities, text)


def find(knowns: Sequence[Known], text: str, standing: Standing) -> Iterator[Finding | None]:
    """As `Known.find`, of several at once."""
    knowns = [each for each in knowns if each]
    for known in knowns:
        yield from known.take_up()
    if not knowns or not text:
        return
    credit: Counter[tuple[str, str]] = Counter()
    for number, (start, end, entity, _) in enumerate(standing):
        credit[entity, text[start:end]] += 1
        if number % _STEP == _STEP - 1:
            yield None
    likely: dict[int, _Value] = {}
    yield from _likely(knowns, _pieces(text), credit, likely)
    yield from _search(knowns, text, likely.values())
    written = "\\n" in text
    if written or "\n" in text:
        if written:
            # Without the breaks of lines that are written out; where they stand before a value, it may begin otherwise.
            sure = Counter({each: count for each, count in credit.items() if each[1][0] not in "nrNR"})
            yield from _likely(knowns, _pieces(text, breaks=False), sure, likely)
        if likely or any(known.unanchored for known in knowns):
            yield from _over_lines(knowns, text, [*likely.values()])
    yield from _in_codes(knowns, text)
    yield from _shown(knowns, text, standing)
    if "%" in text:
        yield from _astray(knowns, text)


def _likely(
    knowns: Sequence[Known],
    pieces: Iterable[tuple[int, str]],
    credit: Counter[tuple[str, str]],
    likely: dict[int, _Value],
) -> Iterator[None]:
    """Put into `likely` what may stand in a text."""
    pieces = list(pieces) if len(knowns) > 1 else pieces
    for known in knowns:
        for value in known.likely(pieces, credit):
            if value is None:
                yield None
            else:
                likely[id(value)] = value


def _search(knowns: Sequence[Known], text: str, values: Iterable[_Value]) -> Iterator[Finding | None]:
    """Every place in a text, as it stands, of some values and of those that have no anchor."""
    values = list(itertools.chain(values, *(known.always for known in knowns)))
    if len(values) > _EXPANDED and len(text) > _SHORT_TEXT:
        yield from _search_together(text, values)
        values = []
    for number, value in enumerate(values):
        for form in value.forms:
            at = text.find(form)
            while at >= 0:
                alone = _stands_alone(text, at, form)
                if alone:
                    yield Finding(at, at + len(form), value.entity)
                at = text.find(form, at + (len(form) if alone else 1))
        if number % _STEP == 0 or len(text) > PIECE:
            yield None
    for known in knowns:
        yield from known.places(text)


def _search_together(text: str, values: Sequence[_Value]) -> Iterator[Finding | None]:
    """The same of many values in a long text, all in one go."""
    needles = Needles()
    entities: dict[str, tuple[str, ...]] = {}
    for number, value in enumerate(values):
        for form in value.forms:
            if form not in entities:
                needles.add(form)
                entities[form] = (value.entity,)
            elif value.entity not in entities[form]:
                entities[form] = (*entities[form], value.entity)
        if number % _STEP == 0:
            yield None
    yield from needles.settle()
    yield from _all_forms(needles, entities, text)


def _all_forms(needles: Needles, entities: dict[str, tuple[str, ...]], text: str) -> Iterator[Finding | None]:
    ends: dict[str, int] = {}  # of the last place of each: places of one value do not overlap
    for found in needles.places(text):
        if found is None:
            yield None
            continue
        at, form = found
        if at >= ends.get(form, 0) and _stands_alone(text, at, form):
            ends[form] = at + len(form)
            for entity in entities[form]:
                yield Finding(at, at + len(form), entity)


def _shown(knowns: Sequence[Known], text: str, standing: Standing) -> Iterator[Finding | None]:
    """What only shows when the text is decoded: piece by piece, each with what the longest form needs of the one before it."""
    reach = min(max(known.longest for known in knowns) * _WIDEST, PIECE)
    for low in range(0, len(text), PIECE):
        start = max(0, low - reach)
        piece = text[start : low + PIECE]
        if needed(piece, _encoded(piece)):
            view = decode(piece)
            yield None
            likely: dict[int, _Value] = {}
            yield from _likely(knowns, _pieces(view.text), _kept(view, text, standing, start, low + PIECE), likely)
            places = itertools.chain(
                _search(knowns, view.text, likely.values())
                if likely or any(known.unanchored for known in knowns)
                else (),
                _in_codes(knowns, view.text),
            )
            for place in places:
                if place is not None:
                    first, last = view.original(place.start, place.end)
                    place = Finding(start + first, start + last, place.entity)
                yield place
        yield None


def _astray(knowns: Sequence[Known], text: str) -> Iterator[Finding | None]:
    """Behind a `%` that encodes nothing, or one with a digit: what the value begins with reads as if it belonged to those."""
    led = [heads for known in knowns if (heads := known.led())]
    if not led:
        return
    begin = {head[:2] for heads in led for head in heads}
    for number, match in enumerate(_PERCENT.finditer(text), 1):
        if number % _STEP == 0:
            yield None
        for at in (match.start() + 1, match.start() + 2):
            if text[at : at + 2] not in begin and text[at + 1 : at + 2] not in _ESCAPE_BEGINS:
                continue
            head = decode(text[at : at + _HEAD * _WIDEST]).text[:_HEAD]
            for entity, value in itertools.chain.from_iterable(heads.get(head, ()) for heads in led):
                behind = decode(text[at : at + len(value) * _WIDEST])
                if not behind.text.startswith(value) or not looked_for(value):
                    continue
                if _stands_alone(text[at - 1] + behind.text, 1, value):
                    _, end = behind.original(0, len(value))
                    yield Finding(at, at + end, entity)


def _kept(view: View, text: str, standing: Standing, low: int, high: int) -> Counter[tuple[str, str]]:
    """Of what stands in the characters `low` to `high` of a text, what stands in their view as it is, and how often."""
    kept: Counter[tuple[str, str]] = Counter()
    for number in range(bisect_left(standing, low, key=attrgetter("start")), len(standing)):
        start, end, entity, _ = standing[number]
        if end > high:
            break
        if view.keeps(start - low, end - low):
            kept[entity, text[start:end]] += 1
    return kept


def _over_lines(knowns: Sequence[Known], text: str, values: Sequence[_Value]) -> Iterator[Finding | None]:
    """Values that are wrapped: they stand there without the breaks of lines, and over one."""
    reach = min(max(known.longest for known in knowns) + _LONGER, PIECE)
    for low in range(0, len(text), PIECE):
        start = max(0, low - reach)
        view = unwrapped(text[start : low + PIECE])
        yield None
        if view is None:
            continue
        for place in _search(knowns, view.text, values):
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
        likely: dict[int, _Value] = {}
        yield from _likely(knowns, [(0, _bare(coded.data))], Counter(), likely)
        if not likely and not any(known.unanchored for known in knowns):
            continue
        for place in _search(knowns, coded.text, likely.values()):
            if place is None:
                yield None
            elif place.end - place.start >= ANYWHERE and (span := coded.original(place.start, place.end)) is not None:
                yield Finding(*span, place.entity)


def _runs(text: str) -> list[str]:
    """Of a value that is written otherwise in some form, pieces that no escape touches, as anchors."""
    found = [_bare(run.encode("ascii")) for run in _RUN.findall(_ESCAPES.sub(" ", text).lower().rstrip(MARKS))]
    runs = [run for run in found[:_FEW] if len(run) >= _LEAST_RUN] or found[:_FEW]
    return [
        part
        for run in runs
        for part in ((run,) if len(run) <= LONGEST_ANCHOR else (run[:LONGEST_ANCHOR], run[-LONGEST_ANCHOR:]))
    ]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _bare(data: bytes) -> str:
    """The letters and digits of ASCII in a text, in small letters: what anchors are looked for in."""
    return data.translate(_SMALL, _NO_ANCHOR).decode("ascii")


def _pieces(text: str, *, breaks: bool = True) -> Iterator[tuple[int, str]]:
    """A text as anchors are looked for in it, see `Needles.count`; if not `breaks`, without those of lines that are written out."""
    before = ""
    low = 0
    while low < len(text):
        high = low + PIECE
        while text[high - 1 : high] == "\\":
            high += 1
        piece = text[low:high]
        if not breaks:
            piece = piece.replace("\\n", "").replace("\\r", "")
        whole = before + _bare(_encoded(piece))
        yield len(before), whole
        before = whole[-LONGEST_ANCHOR + 1 :]
        low = high


def _stands_alone(text: str, start: int, form: str) -> bool:
    """A short value must not be part of a longer word, and a number not of a longer number."""
    end = start + len(form)
    if len(form) >= ANYWHERE and len(set(form)) >= _LEAST_DISTINCT:
        return not form.isdigit() or not (text[max(0, start - 1) : start].isdigit() or text[end : end + 1].isdigit())
    return not (
        (form[0] in _BORDERED and start > 0 and text[start - 1] in _BORDERED)
        or (form[-1] in _BORDERED and end < len(text) and text[end] in _BORDERED)
    )
