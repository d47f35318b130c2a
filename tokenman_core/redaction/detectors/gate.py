"""One pass over a text that tells which checks it needs at all, and where: most text passes without any.

Two implementations answer alike and are tested by one table: Hyperscan where there is a wheel for the platform, else
Aho-Corasick on the rules' keywords and RE2 on the rules found. Both read UTF-8 bytes.
"""

import importlib.util
import re
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from tokenman_core.redaction.detectors import context, view
from tokenman_core.redaction.detectors.context import CONTEXT_RULES
from tokenman_core.redaction.detectors.custom import Patterns
from tokenman_core.redaction.detectors.personal import conditions
from tokenman_core.redaction.detectors.rules import SHAPES, Rule
from tokenman_core.redaction.detectors.words import key_topics

RULES: tuple[Rule, ...] = SHAPES + CONTEXT_RULES


class Condition(NamedTuple):
    """What a text must hold for one of the checks of personal data to be worth running. `keyword`: as in Rule."""

    id: str
    keyword: str
    head: str


CONDITIONS: tuple[Condition, ...] = tuple(Condition(*each) for each in conditions.heads())
WORDS: tuple[conditions.Word, ...] = tuple(conditions.words())
_IDS = [*(each.id for each in CONDITIONS), *(each.id for each in WORDS)]


_MAY_BE_A_NAME = re.compile(rb"[A-Z\x80-\xff]")


class Hits(NamedTuple):
    """`conditions`: ids of those that hold. `rules`: (index into RULES, byte offset of a head's start), sorted."""

    conditions: frozenset[str]
    rules: Sequence[tuple[int, int]]

    def __bool__(self) -> bool:
        return bool(self.conditions or self.rules)


class Gate(Protocol):
    def scan(self, data: bytes) -> Hits: ...


_EXPRESSIONS: tuple[bytes, ...] = (
    *((("(?i)" if rule.caseless else "") + rule.head).encode() for rule in RULES),
    *(condition.head.encode() for condition in CONDITIONS),
    *(word.head.encode() for word in WORDS),
)


def _re2_expressions(expressions: Sequence[bytes]) -> list[Any]:
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes as they are: heads hold no letters beyond ASCII
    options.log_errors = False
    return [re2.compile(expression, options) for expression in expressions]


class HyperscanGate:
    """All heads as one automaton.

    It tells the places of shapes; of heads that vary in length (the rules by context) only that they occur, for tracking
    their starts makes the automaton too large: RE2 finds the places then.
    """

    def __init__(self) -> None:
        import hyperscan

        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=list(_EXPRESSIONS),
            ids=list(range(len(_EXPRESSIONS))),
            elements=len(_EXPRESSIONS),
            flags=[
                hyperscan.HS_FLAG_SOM_LEFTMOST if id < len(SHAPES) else hyperscan.HS_FLAG_SINGLEMATCH
                for id in range(len(_EXPRESSIONS))
            ],
        )
        self._database.scratch = hyperscan.Scratch(self._database)
        self._heads = _re2_expressions(_EXPRESSIONS[: len(RULES)])
        self._lock = threading.Lock()  # one scratch space, one scan at a time

    def scan(self, data: bytes) -> Hits:
        found: set[tuple[int, int]] = set()
        once: list[int] = []

        def hit(id: int, start: int, end: int, flags: int, context: Any) -> None:
            if id < len(SHAPES):
                found.add((id, start))
            else:
                once.append(id)

        with self._lock:
            self._database.scan(data, match_event_handler=hit)
        for id in once:
            if id < len(RULES):
                found.update((id, match.start()) for match in self._heads[id].finditer(data))
        return Hits(frozenset(_IDS[id - len(RULES)] for id in once if id >= len(RULES)), sorted(found))


class Re2Gate:
    """Aho-Corasick finds which rules have a keyword in the text; RE2 runs only their heads. Linear in the text."""

    def __init__(self) -> None:
        import ahocorasick

        self._heads = _re2_expressions(_EXPRESSIONS)
        self._words = ahocorasick.Automaton()
        heads_of: dict[str, list[int]] = {}
        for index, rule in enumerate(RULES):
            for word in rule.keywords:
                heads_of.setdefault(word, []).append(index)
        for index, each in enumerate(WORDS, len(RULES) + len(CONDITIONS)):
            for keyword in each.keywords:
                heads_of.setdefault(keyword.decode("latin-1"), []).append(index)
        for word, indices in heads_of.items():
            self._words.add_word(word, tuple(indices))
        self._words.make_automaton()

    def scan(self, data: bytes) -> Hits:
        indices = {index for _, heads in self._words.iter(data.lower().decode("latin-1")) for index in heads}
        found = {
            (index, match.start())
            for index in indices
            if index < len(RULES)
            for match in self._heads[index].finditer(data)
        }
        hold = {
            condition.id
            for index, condition in enumerate(CONDITIONS, len(RULES))
            if condition.keyword.encode() in data and self._heads[index].search(data)
        }
        for index in indices:
            if index >= len(RULES) and (id := _IDS[index - len(RULES)]) not in hold and self._heads[index].search(data):
                hold.add(id)
        return Hits(frozenset(hold), sorted(found))


def trips(gate: Gate, text: str, key: str = "", custom: Patterns | None = None, names: bool = False) -> bool:
    """Whether a text under an object key needs the detectors at all; most do not. Cheap: some 10 µs/KB.

    `custom`: the user's own recognisers. `names`: whether names of people and places are looked for: every text needs it then
    that has a capital letter or one beyond ASCII.
    """
    data = text.encode("utf-8", "surrogatepass")
    return (
        context.tells(key)
        or bool(key_topics(key))
        or bool(gate.scan(data))
        or view.needed(text, data)
        or (custom is not None and custom.trips(data))
        or (names and _MAY_BE_A_NAME.search(data) is not None)
    )


def gates() -> list[Gate]:
    """All gates that this platform has, the fastest first."""
    return [HyperscanGate(), Re2Gate()] if importlib.util.find_spec("hyperscan") is not None else [Re2Gate()]


def make_gate() -> Gate:
    """The fastest gate that this platform has. Compiling it takes a tenth of a second: do it at start, off the event loop."""
    return HyperscanGate() if importlib.util.find_spec("hyperscan") is not None else Re2Gate()
