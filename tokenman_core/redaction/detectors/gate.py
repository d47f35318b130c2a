"""One pass over a text that tells which checks it needs at all, and where: most text passes without any.

Two implementations answer alike and are tested by one table: Hyperscan where there is a wheel for the platform, else
Aho-Corasick on the rules' keywords and RE2 on the rules found. Both read UTF-8 bytes.
"""

import functools
import importlib.util
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from tokenman_core.redaction.detectors import coded, context, seams, view
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
_OFTEN = ("email", "digits", "ipv4", "ipv6")  # conditions that many texts hold

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


# Where in _EXPRESSIONS they stand: numbers that mean nothing without a word (`conditions.NEEDS`), conditions that few texts hold,
# and rules whose keywords tell nothing (`.`, `-`); of those the ones that begin anywhere and count from there stay by themselves,
# for their states multiply.
_NUMBERS = {each.id: at for at, each in enumerate(CONDITIONS, len(RULES)) if each.id in conditions.NEEDS.values()}
_SELDOM = [at for at, each in enumerate(CONDITIONS, len(RULES)) if each.id not in (*_OFTEN, *_NUMBERS)]
_COUNTING = [at for at, rule in enumerate(SHAPES) if rule.id in ("ngrok", "discord-bot")]
_VAGUE = [at for at, rule in enumerate(SHAPES) if min(map(len, rule.keywords)) <= 2 and at not in _COUNTING]


def _re2_expressions(expressions: Sequence[bytes]) -> list[Any]:
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes as they are: heads hold no letters beyond ASCII
    options.log_errors = False
    return [re2.compile(expression, options) for expression in expressions]


@functools.cache
def _heads() -> list[Any]:
    """All expressions for RE2; both gates need them, and making them takes hundredths of a second."""
    return _re2_expressions(_EXPRESSIONS)


def _any_of(places: Sequence[int]) -> Any:
    """One expression for some, which says whether any of them matches: RE2 takes no longer for it than for one."""
    (one,) = _re2_expressions([b"|".join(b"(?:" + _EXPRESSIONS[at] + b")" for at in places)])
    return one


_FAR = "[^\\r\\n]{"  # anything up to some length: for each of many words before it the automaton would have to count


def _for_hyperscan(index: int) -> bytes:
    """A rule by context without what may stand far behind its words: RE2 looks for that where they are found."""
    if len(SHAPES) <= index < len(RULES) and RULES[index].head.startswith("(?:") and _FAR in RULES[index].head:
        before = RULES[index].head.partition(_FAR)[0]
        if before.count("(") == before.count(")"):
            return (("(?i)" if RULES[index].caseless else "") + before).encode()
    return _EXPRESSIONS[index]


def _in_hyperscan() -> list[int]:
    """What Hyperscan looks for: all but the numbers that mean nothing without a word, which stand in most texts."""
    return [at for at in range(len(_EXPRESSIONS)) if at not in _NUMBERS.values()]


@functools.cache
def compile_database() -> bytes | None:
    """What a HyperscanGate is made from; None where the platform has no Hyperscan.

    It takes most of a second, without the interpreter's lock: call it on a thread, and hand what it makes to other processes. It
    fits the machine that it was made on, and is made once.
    """
    if importlib.util.find_spec("hyperscan") is None:
        return None
    import hyperscan

    places = _in_hyperscan()
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[_for_hyperscan(at) for at in places],
        ids=places,
        elements=len(places),
        flags=[hyperscan.HS_FLAG_SOM_LEFTMOST if at < len(SHAPES) else hyperscan.HS_FLAG_SINGLEMATCH for at in places],
    )
    return bytes(hyperscan.dumpb(database))


class HyperscanGate:
    """All heads as one automaton, made by `compile_database`; some 15 µs/KB of code.

    It tells the places of shapes; of heads that vary in length (the rules by context) only that they occur, for tracking
    their starts makes the automaton too large: RE2 finds the places then.
    """

    inline = 16 * 1024

    def __init__(self, database: bytes) -> None:
        import hyperscan

        self._database = hyperscan.loadb(database, hyperscan.HS_MODE_BLOCK)
        self._database.scratch = hyperscan.Scratch(self._database)
        self._heads = _heads()
        self._lock = threading.Lock()  # one scratch space, one scan at a time

    def scan(self, data: bytes) -> Hits:
        found: set[tuple[int, int]] = set()
        once: list[int] = []

        def hit(at: int, start: int, end: int, flags: int, context: Any) -> None:
            if at < len(SHAPES):
                found.add((at, start))
            else:
                once.append(at)

        with self._lock:
            self._database.scan(data, match_event_handler=hit)
        for at in once:
            if at < len(RULES):
                found.update((at, match.start()) for match in self._heads[at].finditer(data))
        holds = {_IDS[at - len(RULES)] for at in once if at >= len(RULES)}
        for number in {conditions.NEEDS[id] for id in holds & conditions.NEEDS.keys()}:
            if self._heads[_NUMBERS[number]].search(data):
                holds.add(number)
        return Hits(conditions.hold(holds), sorted(found))


class Re2Gate:
    """Aho-Corasick finds which heads have a keyword in the text; RE2 runs only those. Linear in the text, some 70 µs/KB of code.

    It is there in hundredths of a second, so it also stands in while Hyperscan's database is being made.
    """

    inline = 4 * 1024

    def __init__(self) -> None:
        import ahocorasick

        self._heads = _heads()
        # Of heads without a telling literal one expression says first that none of them matches, as in most texts.
        self._seldom, self._vague = _any_of(_SELDOM), _any_of(_VAGUE)
        self._counting = [(at, [keyword.encode() for keyword in SHAPES[at].keywords]) for at in _COUNTING]
        self._often = [at for at in range(len(RULES), len(RULES) + len(CONDITIONS)) if at not in _SELDOM]
        self._words = ahocorasick.Automaton()
        places_of: dict[str, list[int]] = {}
        for at, rule in enumerate(RULES):
            if at not in (*_VAGUE, *_COUNTING):
                for keyword in rule.keywords:
                    places_of.setdefault(keyword.encode().decode("latin-1"), []).append(at)
        for at, word in enumerate(WORDS, len(RULES) + len(CONDITIONS)):
            for form in word.keywords:
                places_of.setdefault(form.decode("latin-1"), []).append(at)
        for keyword, places in places_of.items():
            self._words.add_word(keyword, tuple(places))
        self._words.make_automaton()

    def scan(self, data: bytes) -> Hits:
        lists = {places for _, places in self._words.iter(data.lower().decode("latin-1"))}
        asked = {at for places in lists for at in places}
        if self._vague.search(data):
            asked.update(_VAGUE)
        asked.update(at for at, keywords in self._counting if any(keyword in data for keyword in keywords))
        found: set[tuple[int, int]] = set()
        for at in asked:
            if at < len(SHAPES):
                found.update((at, start) for start in _starts(self._heads[at], data))
            elif at < len(RULES):
                found.update((at, match.start()) for match in self._heads[at].finditer(data))
        looked_for = [*self._often, *_SELDOM] if self._seldom.search(data) else self._often
        holds = {_IDS[at - len(RULES)] for at in looked_for if self._heads[at].search(data)}
        for at in (each for each in asked if each >= len(RULES)):
            id = _IDS[at - len(RULES)]
            if id not in holds and conditions.NEEDS[id] in holds and self._heads[at].search(data):
                holds.add(id)
        return Hits(conditions.hold(holds), sorted(found))


def _starts(head: Any, data: bytes) -> Iterator[int]:
    """Where a shape begins, also inside of an earlier one (`sk-ant-sk-ant-…`); of those with one end the first."""
    at, end = 0, -1
    while (match := head.search(data, at)) is not None:
        if match.end() != end:
            yield match.start()
        at, end = match.start() + 1, match.end()


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
        or any(True for _ in coded.readable(text))
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
