"""A user's own recognisers: RE2 patterns, with words of context that make a find surer."""

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import re2

from tokenman_core.redaction.detectors.options import Custom
from tokenman_core.redaction.detectors.words import BEHIND, REACH
from tokenman_core.redaction.entities import Finding

SURER: Final = 0.2  # what a word of context adds to a score
_NOT_FIRST = bytes(range(0x80, 0xC0))  # the bytes of UTF-8 that begin no character


class BadPattern(ValueError):
    """A pattern that RE2 does not take, or that matches the empty text. The message says which recogniser and why."""


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options


def _compiled(custom: Custom) -> Any:
    try:
        pattern = re2.compile(custom.pattern, _options())
    except re2.error as error:
        said = error.args[0] if error.args else error
        why = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise BadPattern(f"the pattern of {custom.name} is not one that RE2 takes: {why}") from None
    if pattern.search(b"") is not None:
        raise BadPattern(f"the pattern of {custom.name} matches the empty text")
    return pattern


@functools.lru_cache(maxsize=256)
def _words(context: tuple[str, ...]) -> re.Pattern[str] | None:
    """A word of the list, with its inflections: it begins where no letter precedes."""
    listed = [re.escape(word.strip()) for word in context if word.strip()]
    return re.compile(r"(?<![^\W\d_])(?:" + "|".join(listed) + ")", re.IGNORECASE) if listed else None


class Patterns:
    """The patterns of some recognisers. Raises BadPattern. Each costs a pass of some 5 µs/KB over every fresh text.

    They are not one `re2.Set`: that one gives up, finding nothing, where its automaton grows too large.
    """

    def __init__(self, recognizers: Sequence[Custom]) -> None:
        self._recognizers = [(custom, _compiled(custom), _words(custom.context)) for custom in recognizers]

    def __len__(self) -> int:
        return len(self._recognizers)

    def trips(self, data: bytes) -> bool:
        """Whether any pattern matches somewhere in a text's UTF-8."""
        return any(pattern.search(data) is not None for _, pattern, _ in self._recognizers)

    def find(self, text: str, data: bytes, key: str = "") -> Iterator[Finding]:
        """The finds in a text whose UTF-8 is `data` and which stands under the object key `key`."""
        for custom, pattern, words in self._recognizers:
            byte = end = 0
            for match in pattern.finditer(data):
                if match.start() == match.end():
                    continue
                start = end + characters(data[byte : match.start()])
                end = start + characters(data[match.start() : match.end()])
                byte = match.end()
                yield Finding(start, end, custom.name, _score(custom, words, text, start, end, key))


def characters(data: bytes) -> int:
    """How many characters a piece of UTF-8 has."""
    return len(data.translate(None, _NOT_FIRST))


def _score(custom: Custom, words: re.Pattern[str] | None, text: str, start: int, end: int, key: str) -> float:
    if words is None:
        return custom.score
    around = (text[max(0, start - REACH) : start], text[end : end + BEHIND].split("\n")[0], key)
    if any(words.search(each) for each in around):
        return min(1.0, round(custom.score + SURER, 3))
    return custom.score / 2
