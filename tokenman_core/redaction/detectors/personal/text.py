"""What several kinds need: the look of a text without letters beyond ASCII, and whether a number stands in a word."""

import re
from collections.abc import Iterator
from typing import Any

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_GLUE = ("#", "$", "^", "&", "~", "\\", "@")  # before a number they make it something else
_WINDOW = 2  # characters on both sides of a candidate, so that a recogniser's own borders hold


def plain(text: str) -> str:
    """The text with a blank for each character beyond ASCII: a number may touch those."""
    return text if text.isascii() else _NOT_ASCII.sub(" ", text)


def ask(recognizer: Any, plain: str, start: int, end: int, score: float) -> Iterator[tuple[int, int]]:
    """The spans that one of presidio's recognisers sees in a window around a candidate, at or over a score."""
    low = max(0, start - _WINDOW)
    for result in recognizer.analyze(plain[low : end + _WINDOW], recognizer.supported_entities, None):
        if result.score >= score:
            yield low + result.start, low + result.end


def says(recognizer: Any, plain: str, start: int, end: int, score: float) -> bool:
    """Whether the recogniser sees anything in such a window."""
    return any(True for _ in ask(recognizer, plain, start, end, score))


def begins_in_a_word(plain: str, start: int) -> bool:
    """Whether a number that begins here is the rest of an id, a path or a decimal."""
    behind = plain[max(0, start - 2) : start]
    return behind[-1:] in _GLUE or (behind[-1:] in ("-", "/", ".") and behind[:1].isalnum())


def ends_in_a_word(plain: str, end: int) -> bool:
    """Whether a number that ends here goes on as an id, a hexadecimal or a date with time."""
    ahead = plain[end : end + 2]
    return ahead[:1].isalpha() or ahead[:1] == "_" or (ahead[:1] in ("-", "T", ":") and ahead[1:].isalnum())


def stands_in_a_word(plain: str, start: int, end: int) -> bool:
    """Nobody's number."""
    return begins_in_a_word(plain, start) or ends_in_a_word(plain, end)
