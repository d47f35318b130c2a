"""Counts the tokens of a request's texts: each block once, and corrected by what providers say of earlier requests."""

from collections import OrderedDict
from collections.abc import Sequence

from tokenman_core import tokens

AT_ONCE = 2_000  # characters of fresh text that are counted on the event loop: well under a millisecond
_MOST = 50_000  # blocks remembered, of about 150 bytes each
_MODELS = 1_000  # whose correction is remembered
_SHORT = 32  # bytes; what is shorter is counted as a token for each two, which is hardly ever too few

# By dialect: how many tokens a provider counts for one of o200k's, before anything is known of a model. Claude's tokeniser makes
# more of the same text, that of its models since Opus 4.7 up to 1.35 times as much again
# (https://platform.claude.com/docs/en/about-claude/models/whats-new-claude-4-7).
_PRIOR = {"anthropic": 1.6, "openai": 1.1, "gemini": 1.2}
_OTHERS = 1.4
_LEAST, _MOST_OF = 0.8, 3.0  # what a provider says is believed within these bounds
_MARGIN = 1.03  # above the last that was seen
_FALL = 0.03  # of the way down at each call whose correction is smaller
_TELLING = 200  # tokens; of a shorter request the frame around the text is the most


Name = int
"""Of a text: Python's own hash of it, which is keyed by a secret of the process, fast, and kept with the text.

That is 64 bits: of as many texts as are remembered, two have one name in one of ten billion processes, and all that would come of
it is that one is counted as the other. No text is remembered.
"""


class Counter:
    """Of all calls of a process."""

    def __init__(self) -> None:
        self._known: OrderedDict[Name, int] = OrderedDict()
        self._factors: OrderedDict[tuple[str, str], float] = OrderedDict()
        self.ready = False  # whether the tokeniser is loaded, which takes a third of a second

    def known(self, texts: Sequence[str]) -> tuple[int, list[tuple[Name, str]]]:
        """The tokens of those that were counted before, and the others, each once and by a name: for `count`."""
        long = [text for text in texts if len(text) > _SHORT or len(text.encode("utf-8", "surrogatepass")) > _SHORT]
        total = 0
        if len(long) < len(texts):
            short = [text.encode("utf-8", "surrogatepass") for text in texts if len(text) <= _SHORT]
            total = sum([-(-len(text) // 2) for text in short if len(text) <= _SHORT])
        names = list(map(hash, long))
        counts = list(map(self._known.get, names))
        fresh = list[tuple[Name, str]]()
        if None in counts:
            fresh = [(name, text) for name, text, count in zip(names, long, counts, strict=True) if count is None]
        return total + sum(filter(None, counts)), fresh

    def count(self, fresh: Sequence[tuple[Name, str]]) -> int:
        """The tokens of texts that were not counted yet, as `tokens.estimate`, which may raise. Other threads may ask meanwhile."""
        total = 0
        for name, text in fresh:
            count = self._known.get(name)
            if count is None:
                count = self._known[name] = tokens.estimate([text])
            total += count
        self.ready = True
        while len(self._known) > _MOST:
            self._known.popitem(last=False)
        return total

    def factor(self, dialect: str, model: str) -> float:
        """By how much a count is to be multiplied, so that it is hardly ever too low for this model."""
        return self._factors.get((dialect, model), _PRIOR.get(dialect, _OTHERS))

    def learn(self, dialect: str, model: str, counted: int, said: int) -> None:
        """A provider said so many tokens for a request of which `counted` were counted here."""
        if counted < _TELLING or said <= 0:
            return
        seen = min(max(said / counted * _MARGIN, _LEAST), _MOST_OF)
        before = self.factor(dialect, model)
        self._factors[dialect, model] = seen if seen > before else before - (before - seen) * _FALL
        while len(self._factors) > _MODELS:
            self._factors.popitem(last=False)
