"""The answers that are held in memory: the ones used last, and those that still wait to be written to disk."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tokenman_core.caching.entry import Entry

MOST_HOT = 64 * 1024**2
"""Bytes of the answers used last; less where the whole cache may have less."""

SHARE = 8
"""An answer that takes more than this part of it does not push out all the others: it is only on disk."""

MOST_WAITING = 1000
MOST_WAITING_BYTES = 32 * 1024**2
"""Of what waits to be written. What finds no room is only in memory."""

_MOST_USED = 10_000  # of which it waits to be written that they were used
_STEP = 64  # answers that are looked at or dropped between two looks of others


@dataclass(frozen=True)
class Limits:
    """`size` in bytes. With either 0 nothing is kept."""

    entries: int
    size: int

    @property
    def none(self) -> bool:
        return self.entries <= 0 or self.size <= 0


def weight(entry: Entry) -> int:
    """Bytes that an answer takes in memory, with what is around it: rather too many than too few (CPython 3.12 to 3.14)."""
    headers = sum(len(name) + len(value) + 170 for name, value in entry.headers)
    return len(entry.body) + headers + 150 * len(entry.pieces) + 150 * len(entry.usage.parts) + 2500


class Memory:
    """Of any thread; nobody waits here for longer than some answers take to be moved."""

    def __init__(self, limits: Limits) -> None:
        self._lock = threading.Lock()
        self._hot: OrderedDict[bytes, Entry] = OrderedDict()
        self._hot_bytes = 0
        self._waiting: OrderedDict[bytes, Entry] = OrderedDict()
        self._waiting_bytes = 0
        self._used: OrderedDict[bytes, None] = OrderedDict()
        self._limits = limits
        self.dropped = 0
        """Answers that could not be written, since too much waited."""

    def __len__(self) -> int:
        return len(self._hot)

    @property
    def size(self) -> int:
        """Bytes of those used last, with what is around them."""
        return self._hot_bytes

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def limits(self) -> Limits:
        return self._limits

    def get(self, key: bytes) -> Entry | None:
        with self._lock:
            if (entry := self._hot.get(key)) is not None:
                self._hot.move_to_end(key)
            elif (entry := self._waiting.get(key)) is None:
                return None
            self._use(key)
            return entry

    def keep(self, key: bytes, entry: Entry) -> None:
        """In the place of what was under this key; it waits to be written."""
        with self._lock:
            if self._limits.none:
                return
            self._unhot(key)
            self._heat(key, entry)
            self._unwait(key)
            size = weight(entry)
            if len(self._waiting) >= MOST_WAITING or self._waiting_bytes + size > MOST_WAITING_BYTES:
                self.dropped += 1
                return
            self._waiting[key] = entry
            self._waiting_bytes += size

    def warm(self, key: bytes, entry: Entry) -> None:
        """What was found on disk; nothing if something newer is here."""
        with self._lock:
            self._use(key)
            if not self._limits.none and key not in self._hot and key not in self._waiting:
                self._heat(key, entry)

    def drop(self, keys: Iterable[bytes]) -> None:
        """What the disk evicted; what is here anew and waits stays."""
        for key in keys:
            with self._lock:
                if key not in self._waiting:
                    self._unhot(key)

    def batch(self, most: int, most_bytes: int) -> Sequence[tuple[bytes, Entry]]:
        """Those that wait longest, one at least if any waits. They wait on until `written`."""
        with self._lock:
            taken: list[tuple[bytes, Entry]] = []
            size = 0
            for key, entry in self._waiting.items():
                size += weight(entry)
                if taken and (len(taken) == most or size > most_bytes):
                    break
                taken.append((key, entry))
            return taken

    def written(self, batch: Iterable[tuple[bytes, Entry]]) -> None:
        with self._lock:
            for key, entry in batch:
                if self._waiting.get(key) is entry:  # another one may have come meanwhile
                    self._unwait(key)

    def used(self) -> Sequence[bytes]:
        """The keys that were asked for with success since the last time, the latest last."""
        with self._lock:
            used, self._used = list(self._used), OrderedDict()
            return used

    def limit(self, limits: Limits) -> None:
        """Holds for what comes; what is too much goes with the next `trim`."""
        with self._lock:
            self._limits = limits

    def trim(self) -> None:
        """Lets go of what is beyond the limits."""
        while True:
            with self._lock:
                self._shrink()
                if self._limits.none and self._waiting:
                    self._waiting.clear()
                    self._waiting_bytes = 0
                if not self._over():
                    return

    def forget(self, matches: Callable[[Entry], bool]) -> set[bytes]:
        """Removes what matches, of what was here when it was asked. Returns the keys."""
        with self._lock:
            there = [*self._hot.items(), *self._waiting.items()]
        gone = [(key, entry) for key, entry in there if matches(entry)]
        for at in range(0, len(gone), _STEP):
            with self._lock:
                for key, entry in gone[at : at + _STEP]:
                    if self._hot.get(key) is entry:
                        self._unhot(key)
                    if self._waiting.get(key) is entry:
                        self._unwait(key)
        return {key for key, _ in gone}

    # -- under the lock --

    def _use(self, key: bytes) -> None:
        self._used[key] = None
        self._used.move_to_end(key)
        if len(self._used) > _MOST_USED:
            self._used.popitem(last=False)

    def _heat(self, key: bytes, entry: Entry) -> None:
        size = weight(entry)
        if size <= self._room() // SHARE:
            self._hot[key] = entry
            self._hot_bytes += size
            self._shrink()

    def _room(self) -> int:
        return min(self._limits.size, MOST_HOT)

    def _over(self) -> bool:
        return bool(self._hot) and (len(self._hot) > self._limits.entries or self._hot_bytes > self._room())

    def _shrink(self) -> None:
        for _ in range(_STEP):
            if not self._over():
                return
            _, entry = self._hot.popitem(last=False)
            self._hot_bytes -= weight(entry)

    def _unhot(self, key: bytes) -> None:
        if (entry := self._hot.pop(key, None)) is not None:
            self._hot_bytes -= weight(entry)

    def _unwait(self, key: bytes) -> None:
        if (entry := self._waiting.pop(key, None)) is not None:
            self._waiting_bytes -= weight(entry)
