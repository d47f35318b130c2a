"""The answers that may be given again: in memory at once, on disk behind, and gone when they are too old, too many or unwanted."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tokenman_core import background
from tokenman_core.caching.behind import IDLE_S, Behind, Bounds, NotForgotten
from tokenman_core.caching.cipher import Cipher
from tokenman_core.caching.entry import Entry
from tokenman_core.caching.memory import Limits, Memory
from tokenman_core.clock import Clock
from tokenman_core.errors import trace

__all__ = ["FILE", "Answers", "Figures", "Limits", "NotForgotten"]

log = logging.getLogger("tokenman.cache")

FILE = "cache.db"
ANSWER_S = 1.0  # who asks waits no longer for the disk: a provider is not much slower
_FORGET_S = 60.0  # a gigabyte is overwritten in less
_OPEN_S = 2.0  # the start waits no longer for the file
_CLOSE_S = 5.0  # for what waits at the end


@dataclass(frozen=True)
class Figures:
    """How it stands. `entries` and `bytes` are what the file holds and takes, 0 while it cannot be had; `waiting` is yet to be
    written. `evicted`: for the limits. `damaged`: rows, or whole files, that could not be read. `unwritten`: answers that did not
    come to disk. `trouble`: why there is only memory, and what to do; None: there is a file. `round`: when the last round of
    purging ended, by the monotonic clock; None: none has yet.
    """

    entries: int
    bytes: int
    memory_entries: int
    memory_bytes: int
    waiting: int
    evicted: int
    damaged: int
    unwritten: int
    trouble: str | None
    path: str
    encrypted: bool
    round: float | None


class Answers:
    """`start` before the first call, `aclose` at the end; without them it is memory only, and hears of no other process.

    `ttl` in seconds. `cipher`: see `cipher_for`; None: the file is not encrypted. `key`: 32 bytes, derived from the installation's
    secret. Keys of answers are 32 bytes that tell nothing of the call.
    """

    def __init__(
        self, path: Path, limits: Limits, ttl: float, clock: Clock, cipher: Cipher | None, *, key: bytes
    ) -> None:
        self._clock = clock
        self._memory = Memory(limits)
        self._behind = Behind(path, self._memory, Bounds(limits, ttl), clock, cipher, key)
        self._wake, self._closing, self._opened = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="cache", daemon=True)
        self._alive: background.Task | None = None
        self._late = 0  # questions that the disk has not answered in time, and has yet to hear
        self._alone = asyncio.Lock()  # who has the file while the thread does not run

    async def start(self) -> None:
        """Returns when the file was opened, or could not be: `trouble` then says why, and it is tried again and again."""
        self._alive = background.began("cache_writer", IDLE_S)
        async with self._alone:
            self._thread.start()
        await asyncio.to_thread(self._opened.wait, _OPEN_S)

    def configure(self, limits: Limits, ttl: float) -> None:
        """From now on: what is older than the new `ttl` is not given, and what is too much goes in a round that begins now."""
        self._behind.bounds = Bounds(limits, ttl)
        self._memory.limit(limits)
        self._behind.hurry()
        self._wake.set()

    def hot(self, key: bytes) -> Entry | None:
        """From memory, without any waiting."""
        entry = self._memory.get(key)
        return None if entry is None or self.stale(entry) else entry

    def stale(self, entry: Entry) -> bool:
        """Whether it may not be given now."""
        return self._behind.bounds.stale(entry, self._clock.now())

    async def find(self, key: bytes) -> Entry | None:
        """From memory, else from disk, whence it is hot. None too if the disk does not answer within a second; until it does,
        nobody else waits for it.
        """
        if (entry := self.hot(key)) is not None:
            return entry
        if self._late:
            return None
        try:
            return await self._ask(lambda: self._behind.look(key), ANSWER_S)
        except _Unanswered:
            return None

    def keep(self, key: bytes, entry: Entry) -> None:
        """Puts an answer in the place of what was under this key. It can be found at once, and comes to disk soon."""
        self._memory.keep(key, entry)
        self._wake.set()

    async def forget(self, model: str | None = None, project: str | None = None) -> int:
        """Removes what was kept of a model, of a project ("": of none), of both, or all; returns how many answers.

        Then nothing of them stands in the file or beside it, unless a foreign program reads it just now. Also before `start` and
        after `aclose`. Raises NotForgotten.
        """
        if not self._thread.is_alive():
            async with self._alone:
                return await asyncio.to_thread(self._behind.forget_alone, model, project)
        try:
            return await self._ask(lambda: self._behind.forget(model, project), _FORGET_S)
        except _Unanswered:
            raise NotForgotten("the disk of the cache does not answer; see to it, and ask again") from None

    async def written(self) -> None:
        """Returns when what was kept before is on disk, if it can be put there."""

        def write() -> None:
            while self._behind.write():
                pass

        with suppress(_Unanswered):
            await self._ask(write, _FORGET_S)

    def figures(self) -> Figures:
        entries, size, evicted = self._behind.counts
        return Figures(
            entries,
            size,
            len(self._memory),
            self._memory.size,
            self._memory.waiting,
            evicted,
            self._behind.damaged,
            self._behind.unwritten + self._memory.dropped,
            self._behind.trouble,
            str(self._behind.path),
            self._behind.encrypted,
            self._behind.round,
        )

    async def aclose(self) -> None:
        """Writes what waits, within five seconds, and closes the file. Twice is as good as once."""
        if self._alive is not None:
            self._alive.over()
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _CLOSE_S + 1)

    async def _ask[T](self, question: Callable[[], T], wait: float) -> T:
        """What `question` returns or raises, which is called on the thread. Raises _Unanswered."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        late = [0]  # 1: whoever asked has gone without an answer

        def answered(result: T | None, error: Exception | None) -> None:
            if answer.done():
                self._late -= late[0]
                return
            if error is None:
                answer.set_result(result)  # type: ignore[arg-type]  # there is one then
            else:
                answer.set_exception(error)

        def call() -> None:
            result, error = None, None
            try:
                result = question()
            except Exception as e:  # whatever it is, it is theirs who asked
                error = e
            with suppress(RuntimeError):  # the loop has ended, and nobody waits
                loop.call_soon_threadsafe(answered, result, error)

        if not self._thread.is_alive() or not self._behind.ask(call):
            raise _Unanswered
        self._wake.set()
        try:
            async with asyncio.timeout(wait):
                return await answer
        except TimeoutError:
            self._late, late[0] = self._late + 1, 1
            raise _Unanswered from None

    def _run(self) -> None:
        closing = False
        while not closing:
            self._wake.clear()
            closing = self._closing.is_set()  # before the step, which answers what was asked until then
            pause = self._step()
            if self._alive is not None:
                self._alive.ran()
            self._opened.set()
            if pause and not closing:
                self._wake.wait(pause)
        deadline = time.monotonic() + _CLOSE_S
        while self._behind.write() and time.monotonic() < deadline:
            pass
        self._behind.close()

    def _step(self) -> float:
        try:
            return self._behind.step()
        except (
            Exception
        ) as error:  # nothing is known to come here; a thread that died in silence would let the file grow
            log.error("the cache's thread failed: %s", trace(error))
            return IDLE_S


class _Unanswered(Exception):
    """There is no thread, or it has too much to do."""
