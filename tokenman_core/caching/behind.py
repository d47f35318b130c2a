"""What stands behind the memory of kept answers: the file, what is written to it and read from it, and the rounds that purge it."""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tokenman_core.caching.cipher import Checksum, Cipher
from tokenman_core.caching.disk import Disk, Labels, Later, Mark, is_damage, mark_of, remove_file
from tokenman_core.caching.entry import Damaged, Entry
from tokenman_core.caching.memory import Limits, Memory
from tokenman_core.caching.packed import Packing, Row
from tokenman_core.clock import Clock
from tokenman_core.database import Trouble, trouble_of
from tokenman_core.errors import trace
from tokenman_core.secret import derive

log = logging.getLogger("tokenman.cache")

ROUND_S = 60.0
"""Between two rounds that purge what is too old, or too much."""

AGAIN_S = 5.0
"""Between two tries to have a file that could not be had."""

IDLE_S = 1.0  # so often it is looked at what other processes forgot
_ROUND_AGAIN_S = 10.0
_SET_BACK_S = (
    60.0  # clocks of machines differ by less; what was stored later than that after now, the clock was set back since
)
_BATCH, _BATCH_BYTES = 20, 1024**2  # who asks for an answer meanwhile waits for no more to be written
_MOST_ASKED = 1000
_MOST_DUE = 100

_FORBIDDEN = "it may not be read or written: make data_dir and cache.db writable for this user"
_OTHER = "see its folder, disk and rights"
_WORDS: Mapping[Trouble, str] = {
    "locked": "another process keeps it locked: end it, or close the tool that has cache.db open",
    "forbidden": _FORBIDDEN,
    "full": "the disk is full: make room, or lower cache.size",
    "not opened": _FORBIDDEN,
    "disk": "the disk does not take or give its data: see to the disk",
}


class NotForgotten(Exception):
    """What was to be forgotten is no longer given, but still stands in the file, which could not be changed or removed now.

    It goes as soon as it can be; the message says what to do.
    """


@dataclass(frozen=True)
class Bounds:
    """`ttl` in seconds."""

    limits: Limits
    ttl: float

    def stale(self, entry: Entry, now: float) -> bool:
        """Whether it may not be given; one that comes from after now was stored before the clock was set back."""
        age = now - entry.stored
        return self.limits.none or max(age, 0.0) >= self.ttl or age < -_SET_BACK_S


class Behind:
    """One thread calls `step` again and again, and at the end `close`; `ask` and `bounds` are anybody's. Nothing here raises, but
    `forget`. `key` is derived from the installation's secret.
    """

    def __init__(
        self, path: Path, memory: Memory, bounds: Bounds, clock: Clock, cipher: Cipher | None, key: bytes
    ) -> None:
        self.path, self.bounds = path, bounds
        self._memory, self._clock = memory, clock
        self._seal = cipher or Checksum(derive(key, "checksum"))
        self._packing = Packing(self._seal, key)
        self._asked: deque[Callable[[], None]] = deque()
        self._disk: Disk | None = None
        self._again = self._round_at = self._removed_at = float("-inf")
        self._hurried = False
        self._file: bytes | None = None  # the id of the one that was open last, unless it was removed here
        self._heard = 0
        self._pure = False  # rows of other seals were looked for
        self._due: list[tuple[str | None, str | None]] = []  # what the file must yet forget, before it is read
        self._evicted = 0  # from files that are closed
        self.trouble: str | None = None
        self.damaged = self.unwritten = 0
        self.round: float | None = None

    # -- of any thread --

    @property
    def encrypted(self) -> bool:
        return self._seal.encrypted

    @property
    def counts(self) -> tuple[int, int, int]:
        """Answers in the file, the bytes that they take, and how many were evicted."""
        disk = self._disk
        return (0, 0, self._evicted) if disk is None else (disk.entries, disk.size, self._evicted + disk.evicted)

    def ask(self, question: Callable[[], None]) -> bool:
        """Has the thread call it; False: too many wait."""
        if len(self._asked) >= _MOST_ASKED:
            return False
        self._asked.append(question)
        return True

    def hurry(self) -> None:
        """The next step begins a round."""
        self._hurried = True

    # -- of the thread --

    def step(self) -> float:
        """Does a little of what is due. Seconds until there is more to do, if nothing comes in before."""
        for _ in range(len(self._asked)):
            self._asked.popleft()()
        self._try(self._hear)
        more = self.write()
        return 0.0 if self._purge() or more or self._asked else IDLE_S

    def look(self, key: bytes) -> Entry | None:
        """What is kept under that key."""
        now = self._clock.now()
        held = self._memory.get(key)
        if held is not None:
            if not self.bounds.stale(held, now):
                return held
            self._memory.drop([key])  # another process may have written a later one
        found = self._try(lambda disk: self._read(disk, key))
        if found is None or self.bounds.stale(found, now):
            return None
        self._memory.warm(key, found)
        return found

    def write(self) -> bool:
        """Writes some of what waits; True: there may be more."""
        if not self._memory.waiting or self._ready() is None:
            return False
        batch = self._memory.batch(_BATCH, _BATCH_BYTES)
        rows = [row for key, entry in batch if (row := self._row(key, entry)) is not None]
        if not self._try(lambda disk: disk.write(rows)):
            return (
                self._disk is not None
            )  # then others forgot something, and what was to be written may be a part of it
        self._memory.written(batch)
        self._try(self._evict)
        return self._memory.waiting > 0

    def forget(self, model: str | None, project: str | None) -> int:
        """Removes all answers of a model, of a project, of a model in a project, or all. Returns how many. Raises NotForgotten."""
        keys = self._memory.forget(lambda entry: _matches(entry, model, project))
        self._again = float("-inf")  # it is tried now, however short ago it could not be had
        if model is None and project is None:
            found = self._try(lambda disk: disk.keys())
            gone = self._remove()
        else:
            found = self._try(lambda disk: self._forget(disk, model, project))
            gone = found is not None or self._remove()
        if not gone:
            self._due = [*self._due, (model, project)] if len(self._due) < _MOST_DUE else [(None, None)]
            raise NotForgotten(f"{self.path} still holds what was to be forgotten; {_OTHER}")
        return len(keys | (found or set()))

    def forget_alone(self, model: str | None, project: str | None) -> int:
        """As `forget`, on whatever thread while there is none of our own; no file is made where there is none."""
        try:
            if not self.path.exists():
                return len(self._memory.forget(lambda entry: _matches(entry, model, project)))
            return self.forget(model, project)
        finally:
            self._drop()

    def _forget(self, disk: Disk, model: str | None, project: str | None) -> set[bytes]:
        keys = disk.forget(self._labels(model, project))
        if not disk.checkpoint():
            self._round_at = self._clock.monotonic() + IDLE_S  # which tries it again
        return keys

    def close(self) -> None:
        """After the last step; what waits still is not kept."""
        self._try(lambda disk: disk.touch(self._memory.used()))
        self._drop()

    # -- rows --

    def _read(self, disk: Disk, key: bytes) -> Entry | None:
        if self.bounds.limits.none:
            return None
        try:
            row = disk.read(key)
            return None if row is None else self._packing.entry(row)
        except Damaged:
            self.damaged += 1
            disk.remove(key)
            log.warning("a cached answer in %s is damaged: it was removed", self.path)
            return None

    def _row(self, key: bytes, entry: Entry) -> Row | None:
        if self.bounds.stale(entry, self._clock.now()):
            return None
        try:
            return self._packing.row(key, entry)
        except Exception as error:  # an odd answer must not be in the way of the others
            self.unwritten += 1
            log.warning("an answer cannot be kept on disk: %s", trace(error))
            return None

    def _evict(self, disk: Disk) -> bool:
        limits = self.bounds.limits
        if disk.entries <= limits.entries and disk.size <= limits.size:
            return False
        disk.touch(self._memory.used())
        gone = disk.shrink(limits.entries, limits.size)
        self._memory.drop(gone)
        return bool(gone)

    def _hear(self, disk: Disk) -> None:
        """What other processes forgot is forgotten here."""
        for what in disk.news():
            self._memory.forget(partial(self._labelled, what))

    def _labels(self, model: str | None, project: str | None) -> Labels:
        return (
            None if model is None else self._packing.model(model),
            None if project is None else self._packing.project(project),
        )

    def _labelled(self, what: Labels, entry: Entry) -> bool:
        found = self._labels(entry.model, entry.project)
        return all(wanted is None or wanted == label for wanted, label in zip(what, found, strict=True))

    # -- rounds --

    def _purge(self) -> bool:
        now = self._clock.monotonic()
        if now < self._round_at and not self._hurried:
            return False
        self._hurried = False  # before the bounds are read, which may change again
        moment = self._clock.now()
        self._memory.trim()
        self._memory.forget(lambda entry: self.bounds.stale(entry, moment))
        more = self._try(self._sweep) if self._ready() is not None else False
        if more is None:
            self._round_at = now + _ROUND_AGAIN_S
        elif not more:
            self.round, self._round_at = now, now + ROUND_S
        return bool(more)

    def _sweep(self, disk: Disk) -> bool:
        """One step of a round; True: there is more to do."""
        now = self._clock.now()
        if disk.expire(now - self.bounds.ttl, now + _SET_BACK_S):
            return True
        if not self._pure:
            self._pure = not disk.purify()
            return True
        disk.touch(self._memory.used())
        if self._evict(disk) or disk.give_back():
            return True
        disk.checkpoint()
        disk.count()
        return False

    # -- the file --

    def _try[T](self, work: Callable[[Disk], T]) -> T | None:
        disk = self._ready()
        if disk is None:
            return None
        try:
            return work(disk)
        except Exception as error:  # whatever it is: calls go on without the file
            self._fail(error, disk.mark)
            return None

    def _ready(self) -> Disk | None:
        if self._disk is not None and self._disk.replaced:
            log.warning("%s was removed or replaced while it was in use; it is opened anew", self.path)
            self._memory.forget(lambda entry: True)  # by somebody who wanted it to be forgotten
            self._file = None
            self._drop()
            self._again = float("-inf")
        if self._disk is None and self._clock.monotonic() >= self._again:
            self._open()
        return self._disk

    def _open(self) -> None:
        self._again = self._clock.monotonic() + AGAIN_S
        mark = None
        try:
            mark = mark_of(self.path)
            disk = Disk(self.path, self._seal.mark)
            try:
                while self._due:
                    self._forget(disk, *self._due[0])
                    self._due.pop(0)
            except BaseException:  # whatever it was: nothing of it may be given
                disk.close()
                raise
        except Exception as error:  # whatever is wrong with it, calls go on without
            self._fail(error, mark)
            return
        if self.trouble is not None:
            log.warning("%s can be used again", self.path)
        self.trouble, self._disk, self._pure = None, disk, False
        if disk.id == self._file:
            disk.hear_since(self._heard)
        elif self._file is not None:  # while it could not be had, somebody removed the other one
            self._memory.forget(lambda entry: True)
        self._file = disk.id
        self.hurry()

    def _fail(self, error: Exception, mark: Mark | None) -> None:
        now = self._clock.monotonic()
        self._drop()
        self._again = now + AGAIN_S
        if is_damage(error) and mark is not None and self._removed(mark):
            log.error("%s is damaged: it was removed, and is begun anew (%s)", self.path, trace(error))
            self.damaged += 1
            if now - self._removed_at >= AGAIN_S:  # a disk that damages each new one is not asked at once
                self._again = now
            self._removed_at = now
            return
        said = f"{self.path} cannot be used ({_why(error)}), so answers are cached in memory only"
        if self.trouble is None:
            log.error("%s: %s", said, trace(error))
        self.trouble = said

    def _remove(self) -> bool:
        """Begins anew, whoever else has the file open; False: it is still there."""
        self._drop()
        self._again = float("-inf")
        return self._removed(None)

    def _removed(self, mark: Mark | None) -> bool:
        try:
            remove_file(self.path, mark)
        except FileNotFoundError:
            return True  # nor is the folder there
        except OSError as error:
            log.error("%s cannot be removed: %s", self.path, trace(error))
            return False
        self._file = None
        return True

    def _drop(self) -> None:
        disk, self._disk = self._disk, None
        if disk is not None:
            self._evicted += disk.evicted
            self._heard = disk.heard
            with suppress(Exception):  # it may be dropped because it does not work
                disk.close()


def _matches(entry: Entry, model: str | None, project: str | None) -> bool:
    return (model is None or entry.model == model) and (project is None or entry.project == project)


def _why(error: BaseException) -> str:
    if isinstance(error, Later):
        return "a later version of tokenman made it: use that one, or remove it"
    trouble = trouble_of(error)
    return _OTHER if trouble is None else _WORDS.get(trouble, _OTHER)
