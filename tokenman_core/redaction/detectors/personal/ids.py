"""National ids, tax numbers, passports and the like: by a form of their own, or by a word that stands near."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, NamedTuple

from tokenman_core.kinds import BY_NAME
from tokenman_core.redaction.detectors import words
from tokenman_core.redaction.detectors.personal.checks import Check, resolve
from tokenman_core.redaction.detectors.personal.table import ROWS, Row
from tokenman_core.redaction.detectors.words import Spotted
from tokenman_core.redaction.entities import Finding

_LONGEST = 32  # characters that an id may have
_BEHIND_UNCHECKED = 12  # characters between a value that nothing checks and the word behind it
_START = r"(?<![0-9A-Za-z])(?<![0-9][./:-])"
_END = r"(?![0-9A-Za-z])(?![./:-][0-9])"
# A part of an amount (`1,234,567`), for all that anybody knows; with other than three digits it is the next column of a table.
_UNCHECKED_START, _UNCHECKED_END = r"(?!(?<=[0-9],)[0-9]{3}(?![0-9]))", r"(?!,[0-9]{3}(?![0-9]))"
_ALONE_START = r"(?<![0-9A-Za-z_$^&~\\@#+-])(?<![0-9][./:-])(?<![A-Za-z][./-])"
_ALONE_END = r"(?![0-9A-Za-z_-])(?![./:][0-9])"
# Of a form that has blanks within it, digits behind a blank may be a part; of others they are the next column of a table.
_BLANK_START, _BLANK_END = r"(?<![0-9] )", r"(?! [0-9])"
_ANOTHER = re.compile(r"[0-9]{4}|\n[ \t]*\n|[.!?] [A-Z]")  # between a word and a value that nothing checks
_NEXT_ROW = re.compile(r"\r?\n[+-]?[0-9]{1,12},")  # from the last column's name to its value, also in a diff
_BLANK_LINE = re.compile(r"\n[ \t]*\r?\n")
_APART = re.compile(r"[\n;|]|, ")
_LISTED = re.compile(
    r"(?:[ \t]*(?:,|;|/|&|\+)[ \t]*(?:and[ \t]+|or[ \t]+)?|[ \t]+(?:and|or|und|et|y|e|en|og|och)[ \t]+)$"
)

CHECKED_SCORE: Final = 1.0
SHAPE_SCORE: Final = 0.85
WORD_SCORE: Final = 0.7


class _Kind(NamedTuple):
    order: int
    row: Row
    shapes: tuple[re.Pattern[str], ...]
    alone: tuple[re.Pattern[str], ...]
    check: Check
    checked: bool


class _Claim(NamedTuple):
    """A value that a kind claims; the least wins its place."""

    rank: tuple[bool, int, int, int]
    start: int
    end: int
    entity: str
    score: float


class Ids:
    """Finds the ids of `table`. Loads presidio and python-stdnum."""

    def __init__(self) -> None:
        self._kinds = {row.entity: _compile(order, row) for order, row in enumerate(ROWS)}

    def find(self, plain: str, conditions: frozenset[str], spotted: Spotted) -> Iterator[Finding]:
        """`plain`: the text with everything beyond ASCII as blanks. Findings in no order; none overlaps another."""
        claims: list[_Claim] = []
        for kind in self._kinds.values():
            if kind.alone and "id:" + kind.row.entity in conditions:
                claims.extend(self._alone(kind, plain, spotted))
        if "id-words" in conditions:
            for topic, places in spotted.hits.items():
                if (known := self._kinds.get(topic)) is not None:
                    claims.extend(_told(known, plain, places, spotted.text))
        for topic in spotted.key_topics:
            if (known := self._kinds.get(topic)) is not None:
                claims.extend(_keyed(known, plain))
        taken: list[tuple[int, int]] = []  # in order of place; none overlaps another
        for claim in sorted(claims):
            at = bisect_left(taken, (claim.start, claim.end))
            if (at == 0 or taken[at - 1][1] <= claim.start) and (at == len(taken) or claim.end <= taken[at][0]):
                taken.insert(at, (claim.start, claim.end))
                yield Finding(claim.start, claim.end, claim.entity, claim.score)

    def _alone(self, kind: _Kind, plain: str, spotted: Spotted) -> Iterator[_Claim]:
        for pattern in kind.alone:
            for match in pattern.finditer(plain):
                if len(set(match[0])) < 4 or words.nobodys(plain, match.start()) or not kind.check(match[0]):
                    continue
                score = CHECKED_SCORE if kind.checked else SHAPE_SCORE
                yield _Claim((not kind.checked, 0, 0, kind.order), *match.span(), kind.row.entity, score)


def _compile(order: int, row: Row) -> _Kind:
    checked = BY_NAME[row.entity].checked
    start, end = (_START, _END) if checked else (_UNCHECKED_START + _START, _END + _UNCHECKED_END)
    return _Kind(
        order,
        row,
        tuple(re.compile(start + f"(?:{shape})" + end, re.IGNORECASE) for shape in row.shapes),
        tuple(re.compile(_alone(shape)) for shape in row.alone),
        resolve(row.check),
        checked,
    )


def _alone(shape: str) -> str:
    """A shape that needs no word near it, between its borders."""
    if " " in shape:
        return _ALONE_START + _BLANK_START + f"(?:{shape})" + _ALONE_END + _BLANK_END
    return _ALONE_START + f"(?:{shape})" + _ALONE_END


def _keyed(kind: _Kind, plain: str) -> Iterator[_Claim]:
    """A text that is an id as a whole, by the object key it stands under."""
    low = len(plain) - len(plain.lstrip())
    for pattern in kind.shapes:
        match = pattern.fullmatch(plain, low, len(plain.rstrip()))
        if match is not None and kind.check(match[0]):
            yield _Claim((not kind.checked, 0, 0, kind.order), *match.span(), kind.row.entity, WORD_SCORE)


def _told(kind: _Kind, plain: str, places: list[tuple[int, int]], text: str) -> Iterator[_Claim]:
    """What the kind's words announce: the value behind a word, those listed with it, or the value just before it."""
    seen = 0
    for start, end in places:
        # Words in a row announce one value: look only from the last of them.
        for claim in _after(kind, plain, max(end, seen), end, end - start):
            seen = max(seen, claim.end)
            yield claim
        if not words.is_label(text, end):
            yield from _before(kind, plain, start, end - start)


def _after(kind: _Kind, plain: str, low: int, word_end: int, length: int) -> Iterator[_Claim]:
    reach = word_end + kind.row.reach
    high = min(len(plain), reach + _LONGEST)
    if (gap := _BLANK_LINE.search(plain, low, high)) is not None:
        high = gap.start()
    for pattern in kind.shapes:
        last = word_end
        for match in pattern.finditer(plain, low, high):
            if match.start() > reach and _LISTED.search(plain, last, match.start()) is None:
                break
            if match.end() == high < len(plain) and plain[high].isalnum():
                break
            listed = last > word_end and _LISTED.fullmatch(plain, last, match.start()) is not None
            told = listed or _NEXT_ROW.fullmatch(plain, word_end, match.start()) is not None
            if not kind.checked and not told and (last > word_end or _ANOTHER.search(plain, word_end, match.start())):
                break
            if words.says_otherwise(plain, word_end, match.start()) or not _is_one(kind, match[0]):
                continue
            yield _claim(kind, match, match.start() - word_end, length)
            last = match.end()


def _before(kind: _Kind, plain: str, word_start: int, length: int) -> Iterator[_Claim]:
    gap = words.BEHIND if kind.checked else _BEHIND_UNCHECKED
    low = max(0, word_start - gap - _LONGEST)
    for pattern in kind.shapes:
        for match in pattern.finditer(plain, low, word_start):
            between = plain[match.end() : word_start]
            if len(between) > gap or _APART.search(between) or (low and match.start() == low):
                continue
            if not words.nobodys(plain, match.start()) and _is_one(kind, match[0]):
                yield _claim(kind, match, len(between) + 1, length)


def _claim(kind: _Kind, match: re.Match[str], distance: int, length: int) -> _Claim:
    """`distance` from the word, and `length` of it: of two words at one place the longer says more."""
    score = CHECKED_SCORE if kind.checked else WORD_SCORE
    return _Claim((not kind.checked, distance, -length, kind.order), *match.span(), kind.row.entity, score)


def _is_one(kind: _Kind, value: str) -> bool:
    return len(set(value)) > 2 and kind.check(value)
