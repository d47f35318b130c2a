"""One pass over a text that tells which checks it needs at all, and where: most text passes without any.

Two implementations answer alike and are tested by one table: Hyperscan where there is a wheel for the platform, else
Aho-Corasick on the rules' keywords and RE2 on the rules found. Both read UTF-8 bytes.
"""

import functools
import hashlib
import importlib.util
import platform
import re
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
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

    def sees(self, data: bytes) -> bool:
        """Whether `scan` would tell anything; it stops at the first thing."""
        ...


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


_SHORTENED = frozenset(at for at in range(len(SHAPES), len(RULES)) if _for_hyperscan(at) != _EXPRESSIONS[at])

# What begins with any digit or letter costs time at each of them, and all the more where much of it stands in one automaton. So
# there are several: the first looks for whatever has a literal, and for two coarse conditions, each of which holds in one piece
# of code of five. Only then the automaton is asked that knows the expressions none of which matches without the condition.
_DIGITS = rb"[0-9](?:[ ().\-/_]{0,3}[0-9]){5}"
_RUN = rb"[A-Za-z0-9_-]{24}"
_HAVE_DIGITS = frozenset({"telegram", "digits"})  # and the ids but for the next ones
_HAVE_FEWER = frozenset({"id:IN_GSTIN", "id:IN_PAN", "id:IT_FISCAL_CODE", "id:US_MBI"})
_HAVE_RUNS = frozenset(
    {"asana", "bitwarden", "crypto", "discord-bot", "facebook-app", "fal", "mailgun-hex", "ngrok", "okta", "sentry-dsn",
     "vault-old", "zhipu"}
)  # fmt: skip


class _Behind(NamedTuple):
    """`members`: places in _EXPRESSIONS of what cannot match where `head` does not."""

    head: bytes
    members: tuple[int, ...]


def _behind() -> tuple[_Behind, ...]:
    names = [*(rule.id for rule in RULES), *_IDS]
    with_digits = [
        at for at, id in enumerate(names) if id in _HAVE_DIGITS or (id.startswith("id:") and id not in _HAVE_FEWER)
    ]
    return (
        _Behind(_DIGITS, tuple(with_digits)),
        _Behind(_RUN, tuple(at for at, id in enumerate(names) if id in _HAVE_RUNS)),
    )


BEHIND: tuple[_Behind, ...] = _behind()


def _automata() -> list[list[int]]:
    """What each automaton looks for: the first, those behind a coarse condition, and each number that words announce."""
    later = {*_NUMBERS.values(), *(at for group in BEHIND for at in group.members)}
    first = [at for at in range(len(_EXPRESSIONS)) if at not in later]
    coarse = range(len(_EXPRESSIONS), len(_EXPRESSIONS) + len(BEHIND))
    return [[*first, *coarse], *(list(group.members) for group in BEHIND), *([at] for at in _NUMBERS.values())]


def _flag(at: int) -> int:
    """Of a shape all places, of a rule by context all ends; of anything else that it is there."""
    import hyperscan

    if at < len(SHAPES):
        return int(hyperscan.HS_FLAG_SOM_LEFTMOST)
    return 0 if at < len(RULES) else int(hyperscan.HS_FLAG_SINGLEMATCH)


class _Sources(NamedTuple):
    """What one automaton is compiled from; `places`: in _EXPRESSIONS, or behind them a coarse condition of BEHIND."""

    expressions: list[bytes]
    places: list[int]
    flags: list[int]


def _sources() -> list[_Sources]:
    return [
        _Sources(
            [_for_hyperscan(at) if at < len(_EXPRESSIONS) else BEHIND[at - len(_EXPRESSIONS)].head for at in places],
            places,
            [_flag(at) for at in places],
        )
        for places in _automata()
    ]


def fingerprint() -> bytes | None:
    """A digest of all that `compile_database` makes a database from; None where the platform has no Hyperscan."""
    if importlib.util.find_spec("hyperscan") is None:
        return None
    import hyperscan

    version = getattr(hyperscan, "__version__", "")  # its stubs do not know it
    made_from = (version, sys.platform, platform.machine(), hyperscan.HS_MODE_BLOCK, _sources())
    return hashlib.sha256(repr(made_from).encode()).digest()


@functools.cache
def compile_database() -> bytes | None:
    """What a HyperscanGate is made from; None where the platform has no Hyperscan.

    It takes most of a second, without the interpreter's lock: call it on a thread, and hand what it makes to other processes. It
    fits the machine that it was made on, and is made once.
    """
    if importlib.util.find_spec("hyperscan") is None:
        return None
    import hyperscan

    parts: list[bytes] = []
    for expressions, places, flags in _sources():
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        database.compile(expressions=expressions, ids=places, elements=len(places), flags=flags)
        made = bytes(hyperscan.dumpb(database))
        parts += [_LENGTH.pack(len(made)), made]
    return b"".join(parts)


_LENGTH = struct.Struct("!I")


def _load(packed: bytes) -> Iterator[Any]:
    """The automata that `compile_database` has packed."""
    import hyperscan

    at = 0
    while at < len(packed):
        (size,) = _LENGTH.unpack_from(packed, at)
        at += _LENGTH.size + size
        database = hyperscan.loadb(packed[at - size : at], hyperscan.HS_MODE_BLOCK)
        database.scratch = hyperscan.Scratch(database)
        yield database


def _longest(at: int) -> int:
    """Bytes that a match may have at most."""
    parser = importlib.import_module("re._parser")  # no other part of the interpreter says it
    return int(parser.parse(_EXPRESSIONS[at].decode("latin-1")).getwidth()[1])


Hit = Callable[[int, int, int, int, Any], bool | None]
"""Told by Hyperscan of a match: its place in _EXPRESSIONS, start, end. True: look no further."""


class HyperscanGate:
    """All heads as a few automata, made by `compile_database`; some 8 µs/KB of code.

    They tell the places of shapes; of heads that vary in length (the rules by context) only where they end, for tracking
    their starts makes an automaton too large: RE2 finds the places then, near those ends.
    """

    inline = 16 * 1024

    def __init__(self, database: bytes) -> None:
        self._first, *others = _load(database)
        self._behind = others[: len(BEHIND)]
        self._numbers = dict(zip(_NUMBERS, others[len(BEHIND) :], strict=True))
        self._heads = _heads()
        self._reach = {at: _longest(at) for at in range(len(SHAPES), len(RULES))}
        self._lock = threading.Lock()  # one scratch space each, one scan at a time

    def _run(self, data: bytes, hit: Hit, coarse: list[int], holds: set[str]) -> None:
        """Tell `hit` of whatever is there, but of a number only where a word announces it.

        `coarse` and `holds` are what it makes of the coarse conditions (their numbers) and of all others (their ids).
        """
        with self._lock:
            self._first.scan(data, match_event_handler=hit)
            for group in coarse:
                self._behind[group].scan(data, match_event_handler=hit)
            for number in {conditions.NEEDS[id] for id in holds & conditions.NEEDS.keys()}:
                self._numbers[number].scan(data, match_event_handler=hit)

    def _places(self, at: int, ends: Iterable[int], data: bytes) -> Iterator[int]:
        """Where the head of a rule by context begins, of which a match, or what Hyperscan looks for of it, ends so."""
        reach, head = self._reach[at], self._heads[at]
        low = high = -1
        for end in sorted(ends):
            if end - reach > high:
                if high >= 0:
                    yield from _begins(head, data, low, high)
                low = max(0, end - reach)
            high = min(len(data), end + reach)
        yield from _begins(head, data, low, high)

    def scan(self, data: bytes) -> Hits:
        found: set[tuple[int, int]] = set()
        ends: dict[int, list[int]] = {}
        coarse: list[int] = []
        holds: set[str] = set()

        def hit(at: int, start: int, end: int, flags: int, context: Any) -> None:
            if at < len(SHAPES):
                found.add((at, start))
            elif at < len(RULES):
                ends.setdefault(at, []).append(end)
            elif at < len(_EXPRESSIONS):
                holds.add(_IDS[at - len(RULES)])
            else:
                coarse.append(at - len(_EXPRESSIONS))

        self._run(data, hit, coarse, holds)
        for at, its in ends.items():
            found.update((at, place) for place in self._places(at, its, data))
        return Hits(conditions.hold(holds) if holds else frozenset(), sorted(found))

    def sees(self, data: bytes) -> bool:
        import hyperscan

        ends: dict[int, list[int]] = {}
        coarse: list[int] = []
        holds: set[str] = set()

        def hit(at: int, start: int, end: int, flags: int, context: Any) -> bool | None:
            if at >= len(_EXPRESSIONS):
                coarse.append(at - len(_EXPRESSIONS))
                return None
            if at in _SHORTENED:
                ends.setdefault(at, []).append(end)
                return None
            if at < len(RULES):
                return True
            holds.add(id := _IDS[at - len(RULES)])
            return id not in conditions.NEEDS and id not in _NUMBERS

        try:
            self._run(data, hit, coarse, holds)
        except hyperscan.ScanTerminated:
            return True
        return bool(conditions.hold(holds)) or any(
            True for at, its in ends.items() for _ in self._places(at, its, data)
        )


def _begins(head: Any, data: bytes, low: int, high: int) -> Iterator[int]:
    """Where the matches of an expression of RE2 begin that stand in a part of the data."""
    for match in head.finditer(data, low, high):
        yield match.start()


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

    def sees(self, data: bytes) -> bool:
        return bool(self.scan(data))


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
        or gate.sees(data)
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
