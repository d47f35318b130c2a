"""Many short strings looked for in a text at once, also while more of them come."""

import itertools
import sys
from collections.abc import Iterable, Iterator

import ahocorasick

PIECE = 8 * 1024  # characters searched between two pauses
_ONE_BY_ONE = 64  # up to here `str.find` for each is cheaper than an automaton for all
_LARGEST = 1024  # in one automaton: building it cannot pause
_STEP = 128  # added to one between two pauses
_LONG = 1024  # characters
_COUNTED = 256  # places of one string in a piece
MANY = sys.maxsize
"""How often something stands in a text that stands there too often to be counted."""


class Needles:
    """Searches go in steps, with None where one may pause.

    An automaton cannot grow. So the newest strings are searched one by one, and the others by a few automata, each at least
    twice as large as the next: building them costs little in sum, and they stay few.
    """

    def __init__(self) -> None:
        self._recent: list[str] = []
        self._long: list[str] = []  # never in an automaton, for pieces of a text overlap by the longest of them
        self._automata: list[tuple[list[str], ahocorasick.Automaton]] = []
        self._longest = 0

    def __bool__(self) -> bool:
        return bool(self._recent or self._automata or self._long)

    def add(self, *needles: str) -> None:
        """Some that were not added before."""
        short = [needle for needle in needles if len(needle) <= _LONG]
        if len(short) < len(needles):
            self._long += [needle for needle in needles if len(needle) > _LONG]
        self._recent += short
        self._longest = max(self._longest, *map(len, short), 0)

    def settle(self) -> Iterator[None]:
        """To be done to the end after adding, before the next search."""
        if len(self._recent) <= _ONE_BY_ONE:
            return
        words, self._recent = self._recent, []
        while self._automata and len(self._automata[-1][0]) < min(2 * len(words), _LARGEST):
            words = self._automata.pop()[0] + words
        for low in range(0, len(words), _LARGEST):
            automaton = ahocorasick.Automaton()
            part = words[low : low + _LARGEST]
            for number, word in enumerate(part):
                automaton.add_word(word, word)
                if number % _STEP == 0:
                    yield None
            automaton.make_automaton()
            self._automata.append((part, automaton))
            yield None

    def count(self, pieces: Iterable[tuple[int, str]]) -> Iterator[tuple[str, int] | None]:
        """Needles that stand in a text, and in how many places, which may overlap.

        A piece of it begins with so many characters of the one before: as many as the longest needle has, less one. `MANY` are too
        many to be counted.
        """
        for before, piece in pieces:
            for needle in (*self._recent, *self._long):
                if needle in piece:
                    ends = [at + len(needle) for at in itertools.islice(starts(piece, needle), _COUNTED)]
                    yield needle, sum(end > before for end in ends) if len(ends) < _COUNTED else MANY
            for _, automaton in self._automata:
                for last, needle in automaton.iter(piece):
                    if last >= before:
                        yield needle, 1
            yield None

    def places(self, text: str) -> Iterator[tuple[int, str] | None]:
        """Where needles stand in a text: of each in rising order, a place more than once where pieces overlap."""
        # In pieces that overlap, each by itself: going on with `set` (pyahocorasick 2.3) corrupts memory.
        for _, automaton in self._automata:
            for low in range(0, len(text), PIECE):
                begin = max(0, low - self._longest)
                for last, needle in automaton.iter(text[begin : low + PIECE]):
                    yield begin + last + 1 - len(needle), needle
                yield None
        for needle in (*self._long, *self._recent):
            for at in starts(text, needle):
                yield at, needle
            yield None


def starts(text: str, needle: str) -> Iterator[int]:
    """All places of one string in a text; they may overlap."""
    at = text.find(needle)
    while at >= 0:
        yield at
        at = text.find(needle, at + 1)
