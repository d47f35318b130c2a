"""Placeholders and the mapping of one exchange: which placeholder stands for which value, for as long as the call lasts."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from tokenman_core.redaction.forms import Forms
from tokenman_core.redaction.held import MOST_PAIRS, Pair
from tokenman_core.redaction.json_source import read
from tokenman_core.redaction.keyed import Keyed
from tokenman_core.redaction.memo import Act

_DIGITS = 12
_STOOD = 64  # texts remembered for each value as evidence of what it stood with
_SEARCHED = (
    32 * 1024 * 1024
)  # characters of them that one exchange searches for hosts; what is not found by then did not stand
_INDEXED = 128  # placeholders that are put at hand between two pauses
_MANY = 256  # placeholders: the forms of so many are not kept for the next call
_IN_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


@dataclass(slots=True, eq=False)
class Value:
    """A value of the request. `stood` are the request's texts that it stood in: where it may go back to (see egress).

    `depth`: in how many JSON strings of a text it stood, escaped for that. `whole`: of a part of a value that two texts hold
    together, all of it; by itself it says nothing, and is not looked for.
    """

    entity: str
    text: str = field(repr=False)
    restorable: bool
    stood: list[str] = field(default_factory=list, repr=False)
    whole: str = field(default="", repr=False)
    depth: int = 0

    def standing(self, depth: int) -> tuple[str, int]:
        """The value for a place in so many JSON strings, and how often it is yet to be escaped for it."""
        if depth < self.depth:
            return read(self.text, self.depth - depth), 0
        return self.text, depth - self.depth


class Mapping:
    """Of one exchange, in memory only. The same value has the same placeholder in every exchange under the same key."""

    def __init__(self, key: bytes | Keyed) -> None:
        self._keyed = key if isinstance(key, Keyed) else Keyed(key)
        self._values: dict[str, Value] = {}
        self._placeholders: dict[tuple[str, str, int], str] = {}  # of all of them but these:
        self._not_indexed: list[str] = []
        self._restorable: list[str] = []
        self._forms: Forms | None = None
        self._lower: dict[str, str] = {}
        self._hosts: dict[tuple[str, str], tuple[int, ...]] = {}
        self._left = _SEARCHED
        self.parts = False  # whether it holds parts of values, which other texts hold the rest of
        self._inherited: dict[str, Value] = {}  # not met in this request so far

    def __len__(self) -> int:
        return len(self._values)

    @property
    def restorable(self) -> bool:
        """Whether there is anything that could be put back."""
        return bool(self._restorable)

    @property
    def forms(self) -> Forms:
        """The restorable placeholders, in all forms in which they may come back."""
        if self._forms is None:
            many = len(self._restorable) > _MANY
            self._forms = Forms(self._restorable) if many else _forms_of(tuple(self._restorable))
        return self._forms

    def aside(self) -> "Mapping":
        """Another mapping that knows these values by these placeholders; what is added to it, the exchange never sees."""
        other = Mapping(self._keyed)
        for name, each in self._values.items():
            other._add(name, each.entity, each.text, False, "", each.depth)
        return other

    def __contains__(self, placeholder: str) -> bool:
        return placeholder in self._values

    def inherit(self, pairs: Iterable[Pair]) -> None:
        """Take up values of calls that this one goes on with. They stood with nothing in this request: see egress."""
        for each in pairs:
            if each.placeholder not in self._values:
                value = self._add(each.placeholder, each.entity, each.text, True, each.whole, each.depth)
                self._inherited[each.placeholder] = value

    def pairs(self, most: int = MOST_PAIRS) -> list[Pair]:
        """What may be put back, for calls that go on with this one; the newest last, of more than `most` those."""
        known = ((name, self._values[name]) for name in self._restorable[-most:])
        return [Pair(name, each.entity, each.text, each.whole, each.depth) for name, each in known]

    def met(self) -> Counter[str]:
        """Of the values that were inherited, how many of each entity stand in this request, and were not told before."""
        met = [name for name, each in self._inherited.items() if each.stood]
        return Counter(self._inherited.pop(name).entity for name in met)

    def values(self) -> list[Value]:
        """In the order in which they were found."""
        return list(self._values.values())

    def placeholder(
        self, entity: str, text: str, restorable: bool = True, whole: str = "", depth: int = 0
    ) -> tuple[str, bool]:
        """The placeholder of a value, and whether the value is new in this exchange. `whole` and `depth`: see Value."""
        known = self._index().get((entity, text, depth))
        if known is not None:
            return known, False
        message = f"{entity}\0{text}".encode("utf-8", "surrogatepass") + b"\0in JSON %d" % depth * (depth > 0)
        turn = 0
        while True:
            tail = b"" if not turn else b"\0%d" % turn
            placeholder = f"[{entity}_{self._keyed.hexdigest(message + tail)[:_DIGITS]}]"
            if placeholder not in self._values:
                break
            turn += 1  # another value of this exchange has it: 48 bits are many, not all
        self._add(placeholder, entity, text, restorable, whole, depth)
        return placeholder, True

    def again(
        self, text: str, since: int, acts: Iterable[Act], wholes: Iterable[str], stood: str | None
    ) -> tuple[list[str], list[tuple[str, str]]]:
        """A text from character `since` to the end of its last act, in pieces, with the placeholders that are remembered of its
        values; and those of the values that are the first of their kind, by entity and text, whole.

        The same as `placeholder` without hashing anything. `wholes`: see Value, one for each act. `stood`: see stood_in.
        """
        values = self._values
        pieces: list[str] = []
        first: list[tuple[str, str]] = []
        for (start, end, entity, action, placeholder, depth, is_first), whole in zip(acts, wholes, strict=False):
            here = text[start:end]
            whole = whole if whole != here else ""
            value = values.get(placeholder)
            if value is None:
                value = self._add(placeholder, entity, here, action == "redact", whole, depth)
            elif value.text != here or value.entity != entity or value.depth != depth:
                # another value of this exchange has it
                placeholder, _ = self.placeholder(entity, here, action == "redact", whole, depth)
                value = values[placeholder]
            if stood is not None:
                texts = value.stood
                if not texts or (texts[-1] is not stood and len(texts) < _STOOD):
                    texts.append(stood)
            pieces += text[since:start], placeholder
            since = end
            if is_first:
                first.append((entity, whole or here))
        return pieces, first

    def _add(self, placeholder: str, entity: str, text: str, restorable: bool, whole: str, depth: int) -> Value:
        value = self._values[placeholder] = Value(entity, text, restorable, [], whole, depth)
        self._not_indexed.append(placeholder)
        self.parts = self.parts or bool(whole)
        if restorable:
            self._restorable.append(placeholder)
            self._forms = None
        return value

    def settle(self) -> Iterator[None]:
        """Have the placeholders at hand by what they stand for; a request that is all remembered asks for none.

        In steps; `placeholder` does the rest in one.
        """
        for number, placeholder in enumerate(self._not_indexed, 1):
            value = self._values[placeholder]
            self._placeholders[value.entity, value.text, value.depth] = placeholder
            if number % _INDEXED == 0:
                yield
        self._not_indexed.clear()

    def _index(self) -> dict[tuple[str, str, int], str]:
        for _ in self.settle():
            pass
        return self._placeholders

    def stood_in(self, placeholder: str, text: str) -> None:
        """Remember a text of the request that held the value: what else stands in it is where the value may go."""
        _stands(self._values[placeholder].stood, text)

    def value(self, placeholder: str) -> Value | None:
        """What a placeholder stands for; None if this exchange did not make it or it must not be put back."""
        value = self._values.get(placeholder)
        return value if value is not None and value.restorable else None

    def stood_with(self, value: Value, host: str) -> bool:
        """Whether some text of the request held the value and this very host (in lower case).

        Its own domain did not stand with a mail address.
        """
        if not host:
            return False
        own: list[int] = []  # where in the value itself it stands
        if value.entity == "EMAIL_ADDRESS":
            lower = value.text.lower()
            own = [at for at in range(len(lower)) if lower.startswith(host, at)] if host in lower else []
        for text in value.stood:
            for place in self._places(text, host):
                if not any(place >= at and text.startswith(value.text, place - at) for at in own):
                    return True
        return False

    def stood_beside(self, value: Value, other: Value) -> bool:
        """Whether some text of the request held both values."""
        return value is other or any(
            text is stood or other.text in text for text in value.stood for stood in other.stood
        )

    def _places(self, text: str, host: str) -> tuple[int, ...]:
        """Where a host stands in a text of the request, as a name of its own."""
        places = self._hosts.get((text, host))
        if places is None:
            if self._left < len(text):
                return ()
            self._left -= len(text)
            lower = self._lower.get(text)
            if lower is None:
                lower = text.lower()
                if len(lower) != len(text):
                    lower = "".join(low if len(low := char.lower()) == 1 else char for char in text)
                self._lower[text] = lower
            places = self._hosts[text, host] = tuple(_find_name(lower, host))
        return places

    def forget(self) -> None:
        """Drop every value."""
        self._lower.clear()
        self._hosts.clear()
        self._placeholders.clear()
        self._values.clear()
        self._not_indexed.clear()
        self._restorable.clear()
        self._inherited.clear()
        self._forms = None


@lru_cache(maxsize=128)
def _forms_of(placeholders: tuple[str, ...]) -> Forms:
    """The same for all calls of a conversation; placeholders are keyed hashes, and tell nothing of their values."""
    return Forms(placeholders)


def _stands(stood: list[str], text: str) -> None:
    if len(stood) < _STOOD and (not stood or stood[-1] is not text):
        stood.append(text)


def _find_name(lower: str, host: str) -> Iterator[int]:
    at = lower.find(host)
    while at >= 0:
        end = at + len(host)
        before, after, next_ = lower[at - 1 : at], lower[end : end + 1], lower[end + 1 : end + 2]
        if (
            before not in _IN_NAME
            and before != "."
            and after not in _IN_NAME
            and (after != "." or next_ not in _IN_NAME)
        ):
            yield at
        at = lower.find(host, at + 1)
