"""One pass over a text that tells which checks it needs at all, and where: most text passes without any.

Two implementations answer alike and are tested by one table: Hyperscan where there is a wheel for the platform, else
Aho-Corasick on the rules' keywords and RE2 on the rules found. Both read UTF-8 bytes.
"""

import functools
import importlib.util
import re
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from tokenman_core.redaction.detectors import context, seams, view
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
    """`inline`: how many characters it scans in well under 1 ms, so that it may do so on the event loop."""

    inline: int

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


_FAR = "[^\\r\\n]{"  # anything up to some length: for each of many words before it the automaton would have to count


def _for_hyperscan(index: int) -> bytes:
    """A rule by context without what may stand far behind its words: RE2 looks for that where they are found."""
    if len(SHAPES) <= index < len(RULES) and RULES[index].head.startswith("(?:") and _FAR in RULES[index].head:
        before = RULES[index].head.partition(_FAR)[0]
        if before.count("(") == before.count(")"):
            return (("(?i)" if RULES[index].caseless else "") + before).encode()
    return _EXPRESSIONS[index]


@functools.cache
def compile_database() -> bytes | None:
    """What a HyperscanGate is made from; None where the platform has no Hyperscan.

    It takes most of a second, without the interpreter's lock: call it on a thread, and hand what it makes to other processes. It
    fits the machine that it was made on, and is made once.
    """
    if importlib.util.find_spec("hyperscan") is None:
        return None
    import hyperscan

    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[_for_hyperscan(index) for index in range(len(_EXPRESSIONS))],
        ids=list(range(len(_EXPRESSIONS))),
        elements=len(_EXPRESSIONS),
        flags=[
            hyperscan.HS_FLAG_SOM_LEFTMOST if id < len(SHAPES) else hyperscan.HS_FLAG_SINGLEMATCH
            for id in range(len(_EXPRESSIONS))
        ],
    )
    return bytes(hyperscan.dumpb(database))


class HyperscanGate:
    """All heads as one automaton, made by `compile_database`; some 15 µs/KB.

    It tells the places of shapes; of heads that vary in length (the rules by context) only that they occur, for tracking
    their starts makes the automaton too large: RE2 finds the places then.
    """

    inline = 16 * 1024

    def __init__(self, database: bytes) -> None:
        import hyperscan

        self._database = hyperscan.loadb(database, hyperscan.HS_MODE_BLOCK)
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
        return Hits(conditions.hold({_IDS[id - len(RULES)] for id in once if id >= len(RULES)}), sorted(found))


class Re2Gate:
    """Aho-Corasick finds which heads have a keyword in the text; RE2 runs only those. Linear in the text, some 80 µs/KB.

    It is there in hundredths of a second, so it also stands in while Hyperscan's database is being made.
    """

    inline = 8 * 1024

    def __init__(self) -> None:
        import ahocorasick

        self._heads = _re2_expressions(_EXPRESSIONS)
        # Most texts hold none of the conditions without a keyword: one expression for all of them says so.
        bare = [(index, each) for index, each in enumerate(CONDITIONS, len(RULES)) if not each.keyword]
        self._bare = [index for index, _ in bare]
        (self._any,) = _re2_expressions([b"|".join(b"(?:" + each.head.encode() + b")" for _, each in bare)])
        self._words = ahocorasick.Automaton()
        heads_of: dict[str, list[int]] = {}
        for index, keywords in enumerate(
            (
                *([word.encode() for word in rule.keywords] for rule in RULES),
                *([each.keyword.encode()] if each.keyword else [] for each in CONDITIONS),
                *(each.keywords for each in WORDS),
            )
        ):
            for keyword in keywords:
                heads_of.setdefault(keyword.decode("latin-1"), []).append(index)
        for word, indices in heads_of.items():
            self._words.add_word(word, indices)
        self._words.make_automaton()

    def scan(self, data: bytes) -> Hits:
        indices: set[int] = set()
        for _, heads in self._words.iter(data.lower().decode("latin-1")):
            indices.update(heads)
        if self._any.search(data):
            indices.update(self._bare)
        found: set[tuple[int, int]] = set()
        hold: set[str] = set()
        for index in indices:
            head = self._heads[index]
            if index < len(RULES):
                found.update((index, match.start()) for match in head.finditer(data))
            elif (id := _IDS[index - len(RULES)]) not in hold and head.search(data):
                hold.add(id)
        return Hits(conditions.hold(hold), sorted(found))


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
        or any(True for _ in seams.broken_lines(text))
        or (custom is not None and custom.trips(data))
        or (names and _MAY_BE_A_NAME.search(data) is not None)
    )


def gates() -> list[Gate]:
    """All gates that this platform has, the fastest first."""
    database = compile_database()
    return [Re2Gate()] if database is None else [HyperscanGate(database), Re2Gate()]


def make_gate() -> Gate:
    """The fastest gate that this platform has. It may take most of a second."""
    database = compile_database()
    return Re2Gate() if database is None else HyperscanGate(database)
