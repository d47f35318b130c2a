"""Telephone numbers: candidates are held to the plans of `phonenumbers` one by one; its matcher takes 94% of presidio's time."""

import re

from tokenman_core.redaction.detectors import words
from tokenman_core.redaction.detectors.personal import plans
from tokenman_core.redaction.detectors.personal.text import ends_in_a_word
from tokenman_core.redaction.detectors.words import Spotted

_DATE = re.compile(
    r"^(?:19|20)\d\d ?- ?(?:19|20)\d\d$|(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])[-/.](?:0?[1-9]|[12]\d|3[01])[-/.](?:19|20)\d\d"
)
# How numbers of North America are written, invented ones (area or exchange 555) included.
AMERICAN = re.compile(
    r"(?<![0-9])(?:\+?1[ .-]?)?(?:\([2-9]\d\d\)[ .-]?\d{3}[ .-]|[2-9]\d\d(?:-\d{3}[ -]|\.\d{3}\.))\d{4}(?![0-9])"
)
# Ten digits, as phones have, that are the limits of integers or what somebody types who needs just any.
_LIMITS = frozenset(str(2**bits + more) for bits in (31, 32) for more in (-1, 0)) | {
    "0123456789",
    "1234567890",
    "9876543210",
}
_NEXT_WORDS = re.compile(r" [0-9] [A-Za-z]")
_NO_AREA = re.compile(r"\+1[^0-9]{0,3}[01]")  # no area of North America begins so
_SHORTEST, _LONGEST = 8, 15  # digits of an international number (ITU-T E.164)
_GROUPS = re.compile(r"\d+")


def _is_national(candidate: str) -> bool:
    return not ("." in candidate and "-" in candidate) and plans.is_national(candidate)


def leading(plain: str, start: int, end: int) -> int:
    """Where the longest valid number with its country's code ends that a chain of digits begins with; 0 if there is none.

    A single digit that belongs to the next word (`+30 691 245 6986 8 times`) is no part of it.
    """
    if not plain.startswith(("+", "(+"), start):
        return 0
    ends = [match.end() for match in _GROUPS.finditer(plain, start, end)]
    if len(ends) > 1 and (_NEXT_WORDS.match(plain, ends[-1] - 2) or ends_in_a_word(plain, ends[-1])):
        del ends[-1]
    for last in reversed(ends):
        candidate = plain[start:last]
        least = _SHORTEST - (" " in candidate)  # of islands with numbers of four digits
        if least <= sum(map(str.isdigit, candidate)) <= _LONGEST and plans.is_valid(candidate):
            return last if not ends_in_a_word(plain, last) else 0
    return 0


def score(text: str, start: int, end: int, spotted: Spotted) -> float:
    """How sure it is that the chain of digits at `start` to `end` is someone's number: by a `+`, its form, or a word near it.

    0 if it is none.
    """
    candidate = text[start:end]
    digits = sum(map(str.isdigit, candidate))
    if not 7 <= digits <= _LONGEST or candidate in _LIMITS or _DATE.search(candidate) or words.nobodys(text, start):
        return 0
    if candidate[0] == "+":
        return 1.0 if digits >= _SHORTEST and plans.is_possible(candidate) and not _NO_AREA.match(candidate) else 0
    if len(set(candidate)) == 1:
        return 0
    separated = any(char in " -.()/" for char in candidate)
    explained = spotted.near("PHONE_NUMBER", start, end) or spotted.names(words.CALL, start)
    if candidate.startswith("00") and plans.is_possible(candidate[2:]):
        return 0.9 if explained or (separated and digits >= 11 and plans.is_valid(candidate[2:])) else 0
    if explained and (digits >= 9 or separated or spotted.names("PHONE_NUMBER", start)):
        epoch = not separated and digits in (10, 13) and candidate[0] == "1"
        return 0.85 if not epoch or spotted.names("PHONE_NUMBER", start) else 0
    if not separated or (candidate.count(".") == 1 and not any(char in " -()/" for char in candidate)):
        return 0
    if AMERICAN.fullmatch(candidate) is None and not _is_national(candidate):
        return 0
    return 0 if spotted.is_id(start) else 0.75
