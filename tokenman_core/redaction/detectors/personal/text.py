"""What several kinds need: the look of a text without letters beyond ASCII, and whether a number stands in a word."""

import re
from collections.abc import Iterator
from typing import Any

from tokenman_core.redaction.detectors.presidio import PatternRecognizer

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_GLUE = ("#", "$", "^", "&", "~", "\\", "@")  # before a number they make it something else
_WINDOW = 2  # characters on both sides of a candidate, so that a recogniser's own borders hold


def plain(text: str) -> str:
    """The text with a blank for each character beyond ASCII: a number may touch those."""
    return text if text.isascii() else _NOT_ASCII.sub(" ", text)


class Recognizer:
    """One of presidio's recognisers that consists of patterns, asked without the explanations that it makes of each match.

    Those take a hundred microseconds a value. A recogniser that is more than its patterns is asked as it is.
    """

    def __init__(self, recognizer: Any) -> None:
        recognizer.analyze("0", recognizer.supported_entities, None)  # has it compile its patterns
        self._recognizer = recognizer
        self._whole = type(recognizer).analyze is not PatternRecognizer.analyze
        self._patterns = [(pattern.compiled_regex, pattern.score) for pattern in recognizer.patterns]

    def results(self, text: str) -> Iterator[tuple[int, int, float]]:
        """Start, end and score of what it sees; what overlaps is not merged."""
        if self._whole:
            for result in self._recognizer.analyze(text, self._recognizer.supported_entities, None):
                yield result.start, result.end, result.score
            return
        for pattern, score in self._patterns:
            for match in pattern.finditer(text):
                value = match[0]
                if not value or self._recognizer.invalidate_result(value):
                    continue
                valid = self._recognizer.validate_result(value)
                if valid is not False:
                    yield *match.span(), 1.0 if valid else score


def ask(recognizer: Recognizer, plain: str, start: int, end: int, score: float) -> Iterator[tuple[int, int]]:
    """The spans that one of presidio's recognisers sees in a window around a candidate, at or over a score."""
    low = max(0, start - _WINDOW)
    for first, last, sure in recognizer.results(plain[low : end + _WINDOW]):
        if sure >= score:
            yield low + first, low + last


def says(recognizer: Recognizer, plain: str, start: int, end: int, score: float) -> bool:
    """Whether the recogniser sees anything in such a window."""
    return any(True for _ in ask(recognizer, plain, start, end, score))


def begins_in_a_word(plain: str, start: int) -> bool:
    """Whether a number that begins here is the rest of an id, a path or a decimal."""
    behind = plain[max(0, start - 2) : start]
    return behind[-1:] in _GLUE or (behind[-1:] in ("-", "/", ".") and behind[:1].isalnum())


def ends_in_a_word(plain: str, end: int) -> bool:
    """Whether a number that ends here goes on as an id, a hexadecimal or a date with time."""
    ahead = plain[end : end + 2]
    if ahead[:1] == "_":
        return ahead[1:].isalnum() or ahead[1:] == "_"  # else it ends what Markdown stresses
    return ahead[:1].isalpha() or (ahead[:1] in ("-", "T", ":") and ahead[1:].isalnum())


def stands_in_a_word(plain: str, start: int, end: int) -> bool:
    """Nobody's number."""
    return begins_in_a_word(plain, start) or ends_in_a_word(plain, end)
