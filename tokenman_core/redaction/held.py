"""What a provider holds of earlier calls (responses, batches, files, …) has placeholders that no later request brings along.

So the values behind them are remembered here for a while, under the caller and the id that the provider gave: in memory only, and
for nobody who does not name that id as the same caller. What has been forgotten stays a placeholder.
"""

import hashlib
import re
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeGuard

from tokenman_core.clock import Clock

_LONGEST_ID: Final = 512  # characters; what is longer is no id
_ENTRY, _PAIR, _NAME = 300, 200, 300  # bytes beside the texts
_MOST_NAMES: Final = 1024  # of variables and files under one id
_MOST_FILES: Final = 32  # that one call names


@dataclass(frozen=True, slots=True)
class Bounds:
    """`ttl_s`: since a call named an id last, or gave it. `most`: ids. `most_bytes`: an estimate of the memory that all take.

    `pairs`: values of one id; more would hold the event loop when they are taken up again. `largest`: bytes of the values of one
    id: nobody is to fill the store with one call.
    """

    ttl_s: float
    most: int
    most_bytes: int
    pairs: int
    largest: int


MOST_PAIRS: Final = 2_000
TALK: Final = Bounds(3600.0, 10_000, 64 * 1024 * 1024, MOST_PAIRS, 1024 * 1024)
"""Of what goes on turn by turn: responses, conversations."""
STORED: Final = Bounds(48 * 3600.0, 2_000, 64 * 1024 * 1024, 10_000, 4 * 1024 * 1024)
"""Of what is laid down, and asked for later: files, and batches, which take up to a day."""

# `/responses/ID`, `/responses/ID/input_items`, `/conversations/ID/items`, `/chat/completions/ID`, `/messages/batches/ID/results`,
# `/files/ID/content`, `/download/v1beta/files/ID:download`.
_IN_PATH: Final = re.compile(
    r"/(?:(responses|conversations|completions|interactions)|batches|files|uploads|cachedContents)/+([^/:]+)"
)
_NOT_IDS: Final = frozenset({"compact", "input_tokens"})
# What a POST there gives is held by the provider: always, unless the body says not to, or only if it says so. And for how long.
_GIVES: Final[tuple[tuple[re.Pattern[str], Callable[[Any], bool], bool], ...]] = (
    (re.compile(r"/responses(?:/+compact)?/*$"), lambda store: store is not False, False),
    (re.compile(r"/interactions/*$"), lambda store: store is not False, False),
    (re.compile(r"/chat/completions$"), lambda store: store is True, False),
    (re.compile(r"/conversations/*$"), lambda store: True, False),
    (re.compile(r"/(?:batches|files|uploads|cachedContents)/*$"), lambda store: True, True),
    (re.compile(r":(?:batchGenerateContent|asyncBatchEmbedContent)$"), lambda store: True, True),
)
_LISTS: Final = re.compile(r"/batches/*$")
# In a body: a file, or a part of a prompt, that was laid down before. Where it stands is for each API to say.
_NAMES: Final = frozenset(
    [
        *(f"{kind}file_{what}" for kind in ("", "input_", "training_", "validation_") for what in ("id", "uri")),
        *(f"{kind}file{what}" for kind in ("", "input_", "training_", "validation_") for what in ("Id", "Uri")),
        "cached_content", "cachedContent",
    ]
)  # fmt: skip
_NAMED: Final = re.compile(rb'"(?:%s)"\s*:\s*"(?:[^"\\]{0,256}/)?([^"\\/]{1,512})"' % "|".join(sorted(_NAMES)).encode())
# In an answer: what came of a batch, or of the parts of a file.
_RESULTS: Final = ("output_file_id", "error_file_id", "responsesFile", "file", "dest", "response", "output", "metadata")


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


Named = tuple[str, str, str]
"""What a variable or a file holds: see `taint.Name`."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a call has to do with what the provider holds. `named`: ids that it goes on with, or asks for.

    `grows`: those of them that hold this call too from now on. `gives`: its answer has an id under which it is held. `lists`: its
    answer tells what came of calls before. `stored`: what it gives, or asks for, is kept as long as what is laid down.
    """

    named: tuple[str, ...] = ()
    grows: tuple[str, ...] = ()
    gives: bool = False
    lists: bool = False
    stored: bool = False

    @property
    def follows(self) -> bool:
        """Whether the answer may hold what an earlier call is known by."""
        return self.lists or bool(self.named)


def turn(method: str, path: str, value: Any, raw: bytes = b"") -> Turn:
    """Of a request with this parsed body, if it has one; `raw`: the body as it came."""
    found = next((each for each in _IN_PATH.finditer(path) if each[2] not in _NOT_IDS), None)
    asked = [found[2]] if found is not None else []
    body = value if type(value) is dict else {}
    conversation = body.get("conversation")
    if type(conversation) is dict:
        conversation = conversation.get("id")
    grows = [each for each in (*asked, conversation) if _is_id(each)]
    before = (body.get("previous_response_id"), body.get("previous_interaction_id"))
    named = [*grows, *(each for each in before if _is_id(each)), *_files(value, raw)]
    store = body.get("store")
    gives = [
        stored for where, held, stored in _GIVES if method == "POST" and where.search(path) is not None and held(store)
    ]
    return Turn(
        tuple(dict.fromkeys(named)),
        tuple(grows),
        bool(gives),
        method == "GET" and _LISTS.search(path) is not None,
        any(gives) or (found is not None and found[1] is None),
    )


def _files(value: Any, raw: bytes) -> list[str]:
    """The ids of files and the like that a body names; of what is no JSON, by how JSON within it would look."""
    if value is None:
        found = [each[1].decode("utf-8", "replace") for each in _NAMED.finditer(raw)]
    else:
        found = [id for each in _file_names(value) if (id := each[-_LONGEST_ID - 256 :].rpartition("/")[2])]
    return [*dict.fromkeys(id for id in found if _is_id(id))][:_MOST_FILES]


def _file_names(value: Any) -> Iterator[str]:
    """In the order in which they stand, of objects on the same level."""
    level = [value]
    while level:
        deeper: list[Any] = []
        for item in level:
            if type(item) is list:
                deeper.extend(item)
            elif type(item) is dict:
                if not _NAMES.isdisjoint(item):
                    yield from (each for key, each in item.items() if key in _NAMES and type(each) is str)
                deeper.extend(item.values())
        level = deeper


def given(value: Any) -> str:
    """The id that an answer, or an event of one, gives for all of it; "" for none."""
    if type(value) is not dict:
        return ""
    response, file = value.get("response"), value.get("file")
    if (
        type(response) is dict
    ):  # of an event, whose own id is another; or of Gemini's long-running calls, which have a name
        return _named(response) or _named({"name": value.get("name")})
    return _named(value) or (_named(file) if type(file) is dict else "")


def _named(value: dict[str, Any]) -> str:
    """Of an object its id, or Gemini's name of it (`batches/ID`) without what it is."""
    found = value.get("id")
    if not _is_id(found):
        found = value.get("name")
        found = found.rpartition("/")[2] if type(found) is str and "/" in found else ""
    return found if _is_id(found) else ""


def linked(value: Any) -> Iterator[tuple[str, list[str]]]:
    """The ids in an answer, each with those of the files that hold what came of it."""
    if type(value) is not dict:
        return
    listed = next((each for key in ("data", "operations", "batches") if type(each := value.get(key)) is list), [])
    for each in (value, *listed):
        if type(each) is dict and (id := _named(each)) and (results := [*_results(each, 3)]):
            yield id, results


def _results(value: dict[str, Any], depth: int) -> Iterator[str]:
    for key in _RESULTS:
        item = value.get(key)
        if type(item) is str and key in ("output_file_id", "error_file_id", "responsesFile"):
            item = item.rpartition("/")[2]
            if _is_id(item):
                yield item
        elif type(item) is dict and depth:
            if key in ("file", "dest") and (id := _named(item)):
                yield id
            yield from _results(item, depth - 1)


def _is_id(value: Any) -> TypeGuard[str]:
    return type(value) is str and 0 < len(value) <= _LONGEST_ID


@dataclass(frozen=True, slots=True)
class _Entry:
    pairs: tuple[Pair, ...] = field(repr=False)
    until: float
    size: int
    names: tuple[Named, ...] = ()


class _Shelf:
    """What is kept within the same bounds. The longest not used go first."""

    def __init__(self, clock: Clock, bounds: Bounds) -> None:
        self._clock, self._bounds = clock, bounds
        self.entries: OrderedDict[bytes, _Entry] = OrderedDict()  # in the order of their ends
        self.size = 0

    def keep(self, mark: bytes, pairs: Iterable[Pair]) -> None:
        self.tidy()
        bounds = self._bounds
        until = self._clock.monotonic() + bounds.ttl_s
        before, pairs = self.entries.get(mark), tuple(pairs)
        if (
            before is not None and before.pairs == pairs
        ):  # as where somebody asks again and again what came of his batches
            self.entries[mark] = replace(before, until=until)
            self.entries.move_to_end(mark)
            return
        both = {each.placeholder: each for each in (*(before.pairs if before else ()), *pairs)}
        kept, size = list[Pair](), _ENTRY
        for each in reversed(both.values()):
            if len(kept) >= bounds.pairs or size + each.size > bounds.largest:
                break
            kept.append(each)
            size += each.size
        if not kept:
            return
        names = before.names if before is not None else ()
        size += _size_of(names)
        if before is not None:
            self._drop(mark)
        self.entries[mark] = _Entry(tuple(reversed(kept)), until, size, names)
        self.size += size
        self._bound()

    def keep_names(self, mark: bytes, names: Iterable[Named]) -> None:
        """What holds the values under an id; nothing, if there are none."""
        before = self.entries.get(mark)
        if before is None:
            return
        both = {each[:2]: each for each in (*before.names, *names)}
        kept = tuple(both.values())[-_MOST_NAMES:]
        more = _size_of(kept) - _size_of(before.names)
        self.entries[mark] = replace(before, names=kept, size=before.size + more)
        self.size += more
        self._bound()

    def _bound(self) -> None:
        bounds = self._bounds
        while len(self.entries) > bounds.most or self.size > bounds.most_bytes:
            self._drop(next(iter(self.entries)))

    def tidy(self) -> None:
        now = self._clock.monotonic()
        while self.entries and (first := next(iter(self.entries))) and self.entries[first].until <= now:
            self._drop(first)

    def _drop(self, mark: bytes) -> None:
        self.size -= self.entries.pop(mark).size


def _size_of(names: Iterable[Named]) -> int:
    """An estimate of the memory taken, in bytes."""
    return sum(_NAME + len(name) + len(held) for _, name, held in names)


class Held:
    """Of all callers; outlives a change of the configuration. `key` (up to 64 bytes): ids and callers are kept as its hashes.

    `talk` and `stored`: the bounds of what goes on turn by turn, and of what is laid down.
    """

    def __init__(self, key: bytes, clock: Clock, *, talk: Bounds = TALK, stored: Bounds = STORED) -> None:
        self._key = key[:64]
        self._lock = threading.Lock()  # a large answer is read on a thread
        self._talk, self._stored = _Shelf(clock, talk), _Shelf(clock, stored)

    def __len__(self) -> int:
        return len(self._talk.entries) + len(self._stored.entries)

    @property
    def size(self) -> int:
        """An estimate of the memory taken, in bytes."""
        return self._talk.size + self._stored.size

    @property
    def has_stored(self) -> bool:
        """Whether anything that was laid down is known: else no body need be searched for what it names of that."""
        return bool(self._stored.entries)

    def keep(self, caller: Sequence[str], id: str, pairs: Iterable[Pair], *, stored: bool = False) -> None:
        """Add to what stands behind the placeholders that the provider holds under an id, the newest last."""
        with self._lock:
            (self._stored if stored else self._talk).keep(self._mark(caller, id), pairs)

    def of(self, caller: Sequence[str], ids: Iterable[str], most: int = MOST_PAIRS) -> list[Pair]:
        """What is known of these ids, given to this caller: each placeholder once, of more than `most` the last."""
        marks = [self._mark(caller, id) for id in ids]
        with self._lock:
            for shelf in (self._stored, self._talk):
                shelf.tidy()
            shelves = (self._stored.entries, self._talk.entries)
            entries = [entry for entries in shelves for mark in marks if (entry := entries.get(mark)) is not None]
        if len(entries) == 1:
            return [*entries[0].pairs[-most:]]
        found = {each.placeholder: each for entry in entries for each in entry.pairs}
        return [*found.values()][-most:]

    def keep_names(self, caller: Sequence[str], id: str, names: Iterable[Named], *, stored: bool = False) -> None:
        """Add which variables and files hold the values that are kept under an id."""
        with self._lock:
            (self._stored if stored else self._talk).keep_names(self._mark(caller, id), names)

    def names_of(self, caller: Sequence[str], ids: Iterable[str]) -> list[Named]:
        """What was kept of these ids by `keep_names`, given to this caller."""
        marks = [self._mark(caller, id) for id in ids]
        with self._lock:
            for shelf in (self._stored, self._talk):
                shelf.tidy()
            shelves = (self._stored.entries, self._talk.entries)
            return [each for entries in shelves for mark in marks if mark in entries for each in entries[mark].names]

    def _mark(self, caller: Sequence[str], id: str) -> bytes:
        digest = hashlib.blake2b(digest_size=16, key=self._key)
        for part in (*caller, id):
            data = part.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(data) + data)
        return digest.digest()
