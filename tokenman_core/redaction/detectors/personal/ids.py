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
        self._alone = {"id:" + name: kind for name, kind in self._kinds.items() if kind.alone}

    def find(self, plain: str, conditions: frozenset[str], spotted: Spotted) -> Iterator[Finding]:
        """`plain`: the text with everything beyond ASCII as blanks. Findings in no order; none overlaps another."""
        claims: list[_Claim] = []
        for condition in conditions:
            if (kind := self._alone.get(condition)) is not None:
                claims.extend(_by_form(kind, plain))
        if "id-words" in conditions:
            for topic, places in spotted.hits.items():
                if (known := self._kinds.get(topic)) is not None:
                    claims.extend(_Told(known, plain, spotted.text).claims(places))
        for topic in spotted.key_topics:
            if (known := self._kinds.get(topic)) is not None:
                claims.extend(_keyed(known, plain))
        taken: list[tuple[int, int]] = []  # in order of place; none overlaps another
        for claim in sorted(claims):
            at = bisect_left(taken, (claim.start, claim.end))
            if (at == 0 or taken[at - 1][1] <= claim.start) and (at == len(taken) or claim.end <= taken[at][0]):
                taken.insert(at, (claim.start, claim.end))
                yield Finding(claim.start, claim.end, claim.entity, claim.score)


def _by_form(kind: _Kind, plain: str) -> Iterator[_Claim]:
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


class _Told:
    """What the words of a kind announce in a text. Of each value the check is asked once, however many words are near it."""

    def __init__(self, kind: _Kind, plain: str, text: str) -> None:
        self._kind, self._plain, self._text = kind, plain, text
        self._checked: dict[str, bool] = {}

    def claims(self, places: list[tuple[int, int]]) -> Iterator[_Claim]:
        """The value behind a word, those listed with it, or the value just before it; `places`: of the words."""
        seen = 0
        for start, end in places:
            # Words in a row announce one value: look only from the last of them.
            for claim in self._after(max(end, seen), end, end - start):
                seen = max(seen, claim.end)
                yield claim
            if not words.is_label(self._text, end):
                yield from self._before(start, end - start)

    def _is_one(self, value: str) -> bool:
        known = self._checked.get(value)
        if known is None:
            known = self._checked[value] = len(set(value)) > 2 and self._kind.check(value)
        return known

    def _after(self, low: int, word_end: int, length: int) -> Iterator[_Claim]:
        kind, plain = self._kind, self._plain
        reach = word_end + kind.row.reach
        high = min(len(plain), reach + _LONGEST)
        if (gap := _BLANK_LINE.search(plain, low, high)) is not None:
            high = gap.start()
        for pattern in kind.shapes:
            last = word_end
            for match in pattern.finditer(plain, low, high):
                start, end = match.span()
                if start > reach and _LISTED.search(plain, last, start) is None:
                    break
                if end == high < len(plain) and plain[high].isalnum():
                    break
                if not kind.checked:
                    listed = last > word_end and _LISTED.fullmatch(plain, last, start) is not None
                    told = listed or _NEXT_ROW.fullmatch(plain, word_end, start) is not None
                    if not told and (last > word_end or _ANOTHER.search(plain, word_end, start)):
                        break
                if not self._is_one(match[0]) or words.says_otherwise(plain, word_end, start):
                    continue
                yield _claim(kind, match, start - word_end, length)
                last = end

    def _before(self, word_start: int, length: int) -> Iterator[_Claim]:
        kind, plain = self._kind, self._plain
        gap = words.BEHIND if kind.checked else _BEHIND_UNCHECKED
        low = max(0, word_start - gap - _LONGEST)
        for pattern in kind.shapes:
            for match in pattern.finditer(plain, low, word_start):
                between = plain[match.end() : word_start]
                if len(between) > gap or not self._is_one(match[0]):
                    continue
                if _APART.search(between) or (low and match.start() == low) or words.nobodys(plain, match.start()):
                    continue
                yield _claim(kind, match, len(between) + 1, length)


def _claim(kind: _Kind, match: re.Match[str], distance: int, length: int) -> _Claim:
    """`distance` from the word, and `length` of it: of two words at one place the longer says more."""
    score = CHECKED_SCORE if kind.checked else WORD_SCORE
    return _Claim((not kind.checked, distance, -length, kind.order), *match.span(), kind.row.entity, score)
