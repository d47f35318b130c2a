"""What a provider holds of earlier calls (responses, conversations, batches) has placeholders that no later request brings along.

So the values behind them are remembered here for a while, under the caller and the id that the provider gave: in memory only, and
for nobody who does not name that id as the same caller. What has been forgotten stays a placeholder.
"""

import hashlib
import re
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeGuard

from tokenman_core.clock import Clock

TTL_S: Final = 3600.0  # since a call named it last, or gave it
MOST: Final = 10_000  # ids
MOST_BYTES: Final = 64 * 1024 * 1024  # an estimate of the memory taken
MOST_PAIRS: Final = 2_000  # values of one id: more would hold the event loop when they are taken up again
LARGEST: Final = 1024 * 1024  # bytes of the values of one id: nobody is to fill the store with one call
_LONGEST_ID: Final = 512  # characters; what is longer is no id
_ENTRY, _PAIR = 300, 200  # bytes beside the texts

# `/responses/ID`, `/responses/ID/input_items`, `/conversations/ID/items`, `/chat/completions/ID`, `/messages/batches/ID/results`.
_IN_PATH: Final = re.compile(r"/(responses|conversations|completions|batches)/+([^/]+)")
_NOT_IDS: Final = frozenset({"compact", "input_tokens"})
# What a POST there gives is held by the provider: always, unless the body says not to, or only if it says so.
_GIVES: Final[tuple[tuple[re.Pattern[str], Callable[[Any], bool]], ...]] = (
    (re.compile(r"/responses(?:/+compact)?/*$"), lambda store: store is not False),
    (re.compile(r"/chat/completions$"), lambda store: store is True),
    (re.compile(r"/(?:conversations|messages/batches)/*$"), lambda store: True),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A placeholder and what it stands for. `whole` and `depth`: see `placeholders.Value`."""

    placeholder: str
    entity: str
    text: str = field(repr=False)
    whole: str = field(default="", repr=False)
    depth: int = 0

    @property
    def size(self) -> int:
        """An estimate of the memory taken, in bytes."""
        return _PAIR + sys.getsizeof(self.text) + sys.getsizeof(self.whole)


@dataclass(frozen=True, slots=True)
class Turn:
    """What a call has to do with what the provider holds. `named`: ids that it goes on with, or asks for.

    `grows`: those of them that hold this call too from now on. `gives`: its answer has an id under which it is held.
    """

    named: tuple[str, ...] = ()
    grows: tuple[str, ...] = ()
    gives: bool = False


def turn(method: str, path: str, value: Any) -> Turn:
    """Of a request with this parsed body, if it has one."""
    asked = [found[2] for found in _IN_PATH.finditer(path) if found[2] not in _NOT_IDS][:1]
    body = value if type(value) is dict else {}
    conversation = body.get("conversation")
    if type(conversation) is dict:
        conversation = conversation.get("id")
    grows = [each for each in (*asked, conversation) if _is_id(each)]
    before = body.get("previous_response_id")
    named = [*grows, *(each for each in (before,) if _is_id(each))]
    store = body.get("store")
    gives = method == "POST" and any(where.search(path) and held(store) for where, held in _GIVES)
    return Turn(tuple(named), tuple(grows), gives)


def given(value: Any) -> str:
    """The id that an answer, or an event of one, gives for all of it; "" for none."""
    if type(value) is not dict:
        return ""
    response = value.get("response")
    found: Any = response.get("id") if type(response) is dict else value.get("id")
    return found if _is_id(found) else ""


def _is_id(value: Any) -> TypeGuard[str]:
    return type(value) is str and 0 < len(value) <= _LONGEST_ID


@dataclass(frozen=True, slots=True)
class _Entry:
    pairs: tuple[Pair, ...] = field(repr=False)
    until: float
    size: int


class Held:
    """Of all callers; outlives a change of the configuration. `key` (up to 64 bytes): ids and callers are kept as its hashes.

    The longest not used go when there are more than `most` ids, or their values take more than `most_bytes`.
    """

    def __init__(
        self, key: bytes, clock: Clock, *, ttl_s: float = TTL_S, most: int = MOST, most_bytes: int = MOST_BYTES
    ) -> None:
        self._key, self._clock = key[:64], clock
        self._ttl_s, self._most, self._most_bytes = ttl_s, most, most_bytes
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()  # in the order of their ends
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """An estimate of the memory taken, in bytes."""
        return self._bytes

    def keep(self, caller: Sequence[str], id: str, pairs: Iterable[Pair]) -> None:
        """Add to what stands behind the placeholders that the provider holds under an id, the newest last."""
        self._tidy()
        mark = self._mark(caller, id)
        before = self._entries.get(mark)
        both = {each.placeholder: each for each in (*(before.pairs if before else ()), *pairs)}
        kept, size = list[Pair](), _ENTRY
        for each in reversed(both.values()):
            if len(kept) >= MOST_PAIRS or size + each.size > LARGEST:
                break
            kept.append(each)
            size += each.size
        if not kept:
            return
        if before is not None:
            self._drop(mark)
        self._entries[mark] = _Entry(tuple(reversed(kept)), self._clock.monotonic() + self._ttl_s, size)
        self._bytes += size
        while len(self._entries) > self._most or self._bytes > self._most_bytes:
            self._drop(next(iter(self._entries)))

    def of(self, caller: Sequence[str], ids: Iterable[str]) -> list[Pair]:
        """What is known of these ids, given to this caller: each placeholder once."""
        self._tidy()
        found: dict[str, Pair] = {}
        for id in ids:
            entry = self._entries.get(self._mark(caller, id))
            if entry is not None:
                found |= {each.placeholder: each for each in entry.pairs}
        return [*found.values()][-MOST_PAIRS:]

    def _tidy(self) -> None:
        now = self._clock.monotonic()
        while self._entries and (first := next(iter(self._entries))) and self._entries[first].until <= now:
            self._drop(first)

    def _drop(self, mark: bytes) -> None:
        self._bytes -= self._entries.pop(mark).size

    def _mark(self, caller: Sequence[str], id: str) -> bytes:
        digest = hashlib.blake2b(digest_size=16, key=self._key)
        for part in (*caller, id):
            data = part.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(data) + data)
        return digest.digest()
