"""Values that run over a seam: the break of a line (with what stands before the next one), or the end of one text and the next.

The pieces on both sides are joined and judged again. What is found over a seam counts only where it is no accident: a column of
numbers is no card, and a word behind an address is not the rest of it.
"""

import itertools
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from tokenman_core.redaction.detectors.view import View
from tokenman_core.redaction.entities import SECRETS, Finding, Findings

# Blanks, a backslash that says that the line goes on, the end of the line (or how JSON writes it), and what may stand before the
# next one: indentation, the marks of quotations, of comments, of lists and of patches.
_BREAK = re.compile(
    r"[ \t]{0,8}(?:\\?\r?\n|(?:\\{1,8}r)?\\{1,8}n)"
    r"(?:[ \t]{0,64}+(?:[>|#*;+]{1,3}|//[/!]?|--|-(?=[ \t]))){0,4}[ \t]{0,64}+"
)
_LINE = re.compile(r"\n|\\n")
_BEFORE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.@+/=%-")
_AT_END = frozenset(" \t\r\\r")  # behind the text of a line; `r`: of a written-out `\\r`
_TOKEN = re.compile(r"[A-Za-z0-9_.@+/=%~-]+")
_NUMBER_BEFORE = re.compile(r"[A-Za-z]{0,2}[0-9][A-Za-z0-9 -]*\Z")
_LEAST_KEY = 12
_KEY = re.compile(rf"(?<![A-Za-z0-9_.+/=-])(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_.+/=-]{{{_LEAST_KEY},}}\Z")
_REACH = 256  # characters on both sides of a seam that are judged with it
_LONGEST = 8192  # characters of a value that goes on over many lines
_LINES = 128

_NUMBERS = frozenset({"CREDIT_CARD", "IBAN_CODE"})  # check digits tell whether the pieces belong together
_GROUPED = frozenset(
    {"US_SSN", "PHONE_NUMBER", "IP_ADDRESS"}
)  # written in groups, which nothing but their marks holds together
_WRAPPED = _NUMBERS | _GROUPED | frozenset(SECRETS) | {"EMAIL_ADDRESS"}
_WORD = re.compile(r"[A-Za-z]?[a-z]*[.,:;!?]*|[A-Z]+[.,:;!?]*|[A-Z]+(?:_[A-Z]+)+")
_STAMP = re.compile(r"(?:19|20)[0-9]{2}[-/][01][0-9][-/][0-3][0-9]|[0-2][0-9]:[0-5][0-9]:[0-5][0-9]")
_COLUMN = re.compile(r"[ \t]*[0-9][0-9 .,-]*[ \t]*\Z")

Look = Callable[[str], Iterable[Finding]]


class Joined(NamedTuple):
    """Pieces of texts as one. `seams` are the places in it where two meet; piece `i` stood at `places[i]` of text `sources[i]`."""

    text: str
    seams: tuple[int, ...]
    sources: tuple[int, ...]
    places: tuple[int, ...]

    def cut(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """A span of the whole as spans of its pieces: number of the text, start, end."""
        for piece, source in enumerate(self.sources):
            low = self.seams[piece - 1] if piece else 0
            high = self.seams[piece] if piece < len(self.seams) else len(self.text)
            if start < high and end > low:
                at = self.places[piece] - low
                yield source, max(start, low) + at, min(end, high) + at


def over(joined: Joined, alone: Findings, found: Iterable[Finding], *, lines: bool) -> Iterator[Finding]:
    """Those of `found` in the whole that run over a seam and belong to both sides; `alone` are what its pieces hold by themselves.

    `lines`: the seams are breaks of lines, where more stands side by side by accident than at the end of a text. At the end of
    a text what announces a secret may stand alone, too.
    """
    known = set(alone)
    for finding in found:
        if not lines and finding.entity in SECRETS and finding.start in joined.seams and finding not in known:
            yield finding
            continue
        first = bisect_right(joined.seams, finding.start)
        seams = joined.seams[first : bisect_right(joined.seams, finding.end - 1)]
        if seams and (not lines or finding.entity in _WRAPPED) and _belongs(joined.text, finding, seams, alone, lines):
            yield finding


def _belongs(text: str, finding: Finding, seams: tuple[int, ...], alone: Findings, lines: bool) -> bool:
    entity = finding.entity
    if entity in _NUMBERS:
        return not lines or not _is_column(text, finding, seams)
    ends = [each for each in alone if each.end in seams and each.start >= finding.start]
    begins = [each for each in alone if each.start in seams and each.end <= finding.end]
    if entity in _GROUPED and lines:
        # A mark that says that more must come, or a number that is none before the break.
        marked = all(text[seam - 1] in "-." or text[seam] in "-." for seam in seams)
        return not (ends or begins) and (marked or text[finding.start] == "+")
    if entity == "PRIVATE_KEY":
        return True
    if entity in SECRETS:
        if lines and _STAMP.match(text, seams[0]):
            return False  # the next line of a log
        rest = text[seams[0] : finding.end]
        if begins and begins[0].entity in SECRETS:
            return False
        return not ends or (len(rest) >= 4 and _WORD.fullmatch(rest) is None)
    if ends:
        return False  # it was whole before the seam
    if begins and lines:
        return text[seams[0] - 1] in "_+-"
    return not lines or text[seams[0]] != "@"  # a decorator, or a name that is called


def _is_column(text: str, finding: Finding, seams: tuple[int, ...]) -> bool:
    """Whether each line holds nothing but digits, so that any few lines of many may pass the check."""
    edges = (finding.start, *seams, finding.end)
    pieces = [text[low:high] for low, high in itertools.pairwise(edges)]
    return len({len(piece.strip()) for piece in pieces}) == 1 and all(" " not in piece.strip() for piece in pieces)


def broken_lines(text: str) -> Iterator[Joined]:
    """The places of a text where a value may go on in the next line, each with its surroundings and without the break."""
    done = 0
    for line in _LINE.finditer(text):
        if line.start() >= done and (joined := _at_break(text, line.start())) is not None:
            done = joined.places[-1]
            yield joined


def _at_break(text: str, at: int) -> Joined | None:
    """What stands around the line's end at `at`, if something of it may be the half of a value."""
    end = at
    while end and text[end - 1] in _AT_END and at - end < 8:
        if text[end - 1] == "r":
            if text[end - 2] != "\\":
                break
            end -= 1
        end -= 1
    if end <= 0 or text[end - 1] not in _BEFORE:
        return None
    floor = max(0, end - _REACH)
    low = max(text.rfind(" ", floor, end) + 1, text.rfind("\n", floor, end) + 1, floor)
    left = text[low:end]
    if (gap := _BREAK.match(text, end)) is None:
        return None
    start = gap.end()
    first = text[start : start + 1]
    if first not in _BEFORE:
        return None
    if len(left) >= _LEAST_KEY and _KEY.search(left):
        return _join(text, end, start, many=True)
    if "@" in left or "@" in text[start : start + _REACH].split(None, 1)[0]:
        return _join(text, end, start, many=False)
    if first.isdigit() or (text[end - 1].isdigit() and first.isupper()):
        number = _NUMBER_BEFORE.search(text, max(0, end - 40), end)
        if number is not None and sum(map(str.isdigit, number[0])) >= 2:
            return _join(text, end, start, many=False)
    return None


def _join(text: str, end: int, start: int, many: bool) -> Joined:
    """What stands in a line before `end`, from `start` on, and in further lines: one, or as many as hold nothing else."""
    low = max(text.rfind("\n", 0, end) + 1, end - _REACH)
    pieces, places = [text[low:end]], [low]
    size = end - low
    for _ in range(_LINES if many else 2):
        gap = _BREAK.search(text, start, start + _REACH)
        stop = gap.start() if gap else min(len(text), start + _REACH)
        pieces.append(text[start:stop])
        places.append(start)
        size += stop - start
        if gap is None or size > _LONGEST or text[gap.end() : gap.end() + 1] not in _BEFORE:
            break
        if many and _TOKEN.fullmatch(pieces[-1]) is None:
            break
        start = gap.end()
    return Joined(
        "".join(pieces), tuple(itertools.accumulate(map(len, pieces[:-1]))), (0,) * len(pieces), tuple(places)
    )


def unwrapped(text: str) -> View | None:
    """A text without the breaks of its lines, where what stands on both sides may be one value; None if there is none."""
    parts: list[str] = []
    seen, starts, ends = [], [], []
    last = size = 0
    for line in _LINE.finditer(text):
        end = line.start()
        while end > last and text[end - 1] in _AT_END and line.start() - end < 8:
            if text[end - 1] == "r" and text[end - 2 : end - 1] != "\\":
                break
            end -= 1
        if end <= last or text[end - 1] not in _BEFORE:
            continue
        gap = _BREAK.match(text, end)
        if gap is None or gap.end() <= line.start() or text[gap.end() : gap.end() + 1] not in _BEFORE:
            continue
        parts.append(text[last:end])
        seen.append(size)
        starts.append(last)
        ends.append(end)
        size += end - last
        last = gap.end()
    if not parts:
        return None
    return View("".join((*parts, text[last:])), [*seen, size], [*starts, last], [*ends, len(text)])


def wrapped(text: str, alone: Findings, look: Look) -> Iterator[Finding]:
    """The values of a text that are wrapped over lines. `alone`: what was found in it as it stands; `look` judges a text."""
    for joined in broken_lines(text):
        inside = [each for each in alone if each.start < joined.places[-1] + _REACH and each.end > joined.places[0]]
        for finding in over(joined, moved(joined, [inside] * len(joined.places)), look(joined.text), lines=True):
            spans = list(joined.cut(finding.start, finding.end))
            yield Finding(spans[0][1], spans[-1][2], finding.entity, finding.score)


def moved(joined: Joined, findings: Sequence[Iterable[Finding]]) -> Findings:
    """The findings of the texts that the pieces are of, by piece, where they stand in the whole."""
    made: list[Finding] = []
    for piece, (place, found) in enumerate(zip(joined.places, findings, strict=True)):
        low = joined.seams[piece - 1] if piece else 0
        high = joined.seams[piece] if piece < len(joined.seams) else len(joined.text)
        for each in found:
            start, end = each.start - place + low, each.end - place + low
            if low <= start < end <= high:
                made.append(Finding(start, end, each.entity, each.score))
    return tuple(made)
