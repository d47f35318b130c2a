"""Texts that stand side by side in one message, where a value may begin in one and end in the next."""

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tokenman_core.redaction.detectors.seams import Joined
from tokenman_core.slots import BASE64, NUMBER, Key, Path, Slot

REACH = 1024  # characters of a text on each side of a seam that are judged with what stands behind it
_KEY_REACH = 8192  # and so many of a private key
_STEP = 64  # texts between two pauses
_MOST = 16  # short texts in a row that are judged as one

_PARTS = frozenset({"content", "parts", "system"})
_VALUE = re.compile(r"[A-Za-z0-9_.@+/=%~-]*[A-Za-z0-9_@+/=%-]\.?\Z")
_VALUE_GOES_ON = re.compile(r"[A-Za-z0-9_.@+/=%~-]+")
_NUMBER = re.compile(r"[0-9][ .()\-/]{0,3}\Z")
_NUMBER_GOES_ON = re.compile(r"[ .()\-/]{0,3}[A-Z]{0,4}[0-9]")
_WORDS = r"\b(?:is|was|ist|es|est|are|to)"
_ANNOUNCES = re.compile(rf"(?:[:=]|{_WORDS})[ \t\"'`]{{0,4}}\Z", re.IGNORECASE)
_ANNOUNCING_WORD = re.compile(rf"{_WORDS}\Z", re.IGNORECASE)
_LONGEST_WORD = 4  # with what stands before it
_DIGIT_OR_AT = re.compile(r"[0-9@]")
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY")


class Half(NamedTuple):
    """Characters `start` to `end` of one text are a part of the value `whole`, which other texts hold the rest of.

    `entity` and `score`: what it is taken for; what stands behind it in those texts may have decided that.
    """

    start: int
    end: int
    whole: str
    entity: str
    score: float


def beside(slots: Sequence[Slot]) -> Iterator[Joined | None]:
    """The edges of neighbouring texts over which a value may run, joined. Sources are places in `slots`. None now and then."""
    at = 0
    while at + 1 < len(slots):
        if at % _STEP == 0:
            yield None
        if slots[at].message != slots[at + 1].message or not _meet(slots[at], slots[at + 1]):
            at += 1
            continue
        run = [at, at + 1]
        while (
            len(slots[run[-1]].text) <= REACH
            and len(run) < _MOST
            and run[-1] + 1 < len(slots)
            and _meet(slots[run[-1]], slots[run[-1] + 1])
        ):
            run.append(run[-1] + 1)
        yield _joined(slots, run)
        if any(_ANNOUNCING_WORD.search(slots[each].text[-_LONGEST_WORD:]) for each in run[:-1]):
            yield _joined(slots, run, " ")
        at = run[-1]


def _joined(slots: Sequence[Slot], run: list[int], blank: str = "") -> Joined:
    """`blank`: what stands behind a text that ends with a word which announces a value, as between two words."""
    first, last = slots[run[0]].text, slots[run[-1]].text
    reach = _KEY_REACH if _KEY_BEGINS.search(first, max(0, len(first) - _KEY_REACH)) else REACH
    start = max(0, len(first) - reach)
    texts = [first[start:], *(slots[each].text for each in run[1:-1]), last[:reach]]
    if blank:
        texts[:-1] = [text + blank * bool(_ANNOUNCING_WORD.search(text[-_LONGEST_WORD:])) for text in texts[:-1]]
    return Joined(
        "".join(texts),
        tuple(itertools.accumulate(map(len, texts[:-1]))),
        tuple(run),
        (start, *itertools.repeat(0, len(run) - 1)),
    )


def _meet(left: Slot, right: Slot) -> bool:
    """Whether two texts stand side by side, and what one ends with may go on in the other."""
    if left.message != right.message or left.kind != right.kind or left.tool != right.tool:
        return False
    return (
        bool(left.text and right.text)
        and _adjacent(left.path, right.path, left.message)
        and _may_join(left.text, right.text)
    )


def _adjacent(left: Path, right: Path, message: int) -> bool:
    """Whether two paths differ in one step alone, by one: neighbouring items of one list."""
    if len(left) != len(right) or not left or left[-1] in (NUMBER, BASE64) or isinstance(left[-1], Key):
        return False
    steps = [place for place, step in enumerate(left) if step != right[place]]
    if len(steps) != 1:
        return False
    one, other = left[steps[0]], right[steps[0]]
    if not isinstance(one, int) or not isinstance(other, int) or other - one != 1:
        return False
    # Outside of a conversation it is not known whether more texts will follow: only of the parts of one it is.
    return message >= 0 or (steps[0] > 0 and left[steps[0] - 1] in _PARTS)


def _may_join(left: str, right: str) -> bool:
    end = left[-64:]
    if _NUMBER.search(end) and _NUMBER_GOES_ON.match(right):
        return True
    if _ANNOUNCES.search(end) and not right[0].isspace():
        return True
    before, behind = _VALUE.search(end), _VALUE_GOES_ON.match(right)
    if before is not None and behind is not None and _DIGIT_OR_AT.search(before[0] + behind[0]):
        return True
    return "PRIVATE KEY" in left and "-----END" not in left[left.rfind("-----BEGIN") :]
