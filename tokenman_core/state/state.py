"""The way to a store that never holds up the event loop: a thread of its own asks it, and opens it again when it failed.

The brief questions of every call are asked where they come up, as long as nothing has to be waited for: the way to the thread and
back costs three times as much as the question. A store that somebody else is writing, that fails, or that was slow the last time
is asked on the thread, which alone waits for locks and for the disk.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Protocol

from tokenman_core import background
from tokenman_core.clock import Clock
from tokenman_core.config.models import Settings
from tokenman_core.database import BUSY_S
from tokenman_core.errors import trace
from tokenman_core.state.sqlite import Sqlite
from tokenman_core.state.store import Store

log = logging.getLogger("tokenman.state")

FILE = "state.db"
ANSWER_S = 2.0  # who asks waits no longer; a store that is busy gives up before
AGAIN_S = 2.0  # between two tries to open a store that failed
_OPEN_S = 2.0  # the start waits no longer for the file
_CLOSE_S = 3.0
_MOST = 1000  # questions that wait
_SLOW_S = 0.02  # a brief question takes less than a hundredth of that, if the disk is not busy
_ASIDE_S = 1.0  # so long all are asked on the thread
_TIDY_EVERY = 1000  # questions; each leaves some pages of 4 KiB in the log of the file
_TIDY_S = 60.0  # and this often where there are fewer


class Unavailable(Exception):
    """The store could not be asked now. Nothing was changed, or it is not known."""


class Opened(Store, Protocol):
    """Of one thread at a time."""

    @property
    def replaced(self) -> bool:
        """Whether another file stands in its place."""

    def patience(self, seconds: float) -> None:
        """So long a question waits for others who write, from now on."""

    def tidy(self, now: float) -> None:
        """To be called now and then; may wait for the disk."""


class AskStore(Protocol):
    """The part of a `State` that a policy needs: its `ask`."""

    def __call__[T](self, question: Callable[[Store], T], *, brief: bool = False) -> Awaitable[T]: ...


class _Question[T]:
    """One that is asked on the thread. `answer`: of the loop that it was made on."""

    def __init__(self, question: Callable[[Store], T]) -> None:
        self._question = question
        self.loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[T] = self.loop.create_future()
        self._found: tuple[T] | None = None

    def ask(self, store: Store) -> None:
        with suppress(Unavailable):
            self._found = (self._question(store),)

    def give(self) -> None:
        """What was found; nothing: it could not be asked, whatever the database said."""
        if self.answer.done():
            return
        if self._found is None:
            self.answer.set_exception(Unavailable())
        else:
            self.answer.set_result(self._found[0])


class State:
    """`start` before the first question, `aclose` at the end. Questions before and after are answered with `Unavailable`."""

    def __init__(self, opens: Callable[[], Opened], where: str, clock: Clock) -> None:
        self._opens, self._where, self._clock = opens, where, clock
        self._asked: queue.Queue[_Question[Any] | Literal["tidy"] | None] = queue.Queue(_MOST)
        self._opened = threading.Event()
        self._thread = threading.Thread(target=self._run, name="state", daemon=True)
        self._alive: background.Task | None = None
        self._trouble: str | None = None
        self._store: Opened | None = None  # changed by the thread, with the lock held
        self._lock = threading.Lock()  # held by who asks it
        self._waiting = 0  # questions on their way to the thread or back
        self._aside_until = float("-inf")
        self._untidy, self._tidied = 0, clock.monotonic()

    async def start(self) -> None:
        """Returns when the store was opened, or could not be: `trouble` then says why, and it is tried again and again."""
        self._alive = background.began("state_store", background.IDLE_S)
        self._thread.start()
        await asyncio.to_thread(self._opened.wait, _OPEN_S)

    @property
    def trouble(self) -> str | None:
        """Why it cannot be asked now, and what to do about it; None: it can."""
        return self._trouble

    async def ask[T](self, question: Callable[[Store], T], *, brief: bool = False) -> T:
        """What `question` returns, which is called on the store's thread; a brief one, of a step or two, here if it can be.

        A question that failed here is asked once more there, so it must be one that changes all or nothing. Raises Unavailable.
        """
        if brief and not self._waiting:  # none overtakes another
            answer = self._at_once(question)
            if answer is not None:
                return answer[0]
        return await self._on_the_thread(question)

    def _at_once[T](self, question: Callable[[Store], T]) -> tuple[T] | None:
        """None: it may have to be waited for."""
        began = self._clock.monotonic()
        if began < self._aside_until or not self._lock.acquire(blocking=False):
            return None
        try:
            if self._store is None or self._store.replaced:
                return None
            return (question(self._store),)
        except Exception:  # whatever it is: the thread asks again, and tells what is wrong
            return None
        finally:
            self._lock.release()
            now = self._clock.monotonic()
            if now - began > _SLOW_S:
                self._aside_until = now + _ASIDE_S
            self._untidy += 1
            if self._untidy >= _TIDY_EVERY or now - self._tidied > _TIDY_S:
                self._untidy, self._tidied = 0, now
                with suppress(queue.Full):
                    self._asked.put_nowait("tidy")

    async def _on_the_thread[T](self, question: Callable[[Store], T]) -> T:
        if not self._thread.is_alive():
            raise Unavailable
        asked = _Question(question)
        try:
            self._asked.put_nowait(asked)
        except queue.Full:
            raise Unavailable from None
        self._waiting += 1
        try:
            async with asyncio.timeout(ANSWER_S):
                return await asked.answer
        except TimeoutError:
            raise Unavailable from None

    def _answered(self, asked: "_Question[Any]") -> None:
        self._waiting -= 1
        asked.give()

    async def aclose(self) -> None:
        """What was asked before is answered, within three seconds. Twice is as good as once."""
        if self._alive is not None:
            self._alive.over()
        if self._thread.is_alive():
            with suppress(queue.Full):
                self._asked.put_nowait(None)
            await asyncio.to_thread(self._thread.join, _CLOSE_S)

    # -- on the thread --

    def _run(self) -> None:
        again = float("-inf")
        while True:
            if self._store is None and self._clock.monotonic() >= again:
                with self._lock:
                    self._store = self._open()
                again = self._clock.monotonic() + AGAIN_S
            self._opened.set()
            if self._alive is not None:
                self._alive.ran()
            try:
                asked = self._asked.get(timeout=background.IDLE_S)
            except queue.Empty:
                continue
            if asked is None:
                break
            with self._lock:
                if self._store is not None and _replaced(self._store):
                    _close(self._store)
                    self._store = self._open()
                if self._store is not None:
                    try:
                        self._patiently(self._store, asked)
                    except BaseException as e:  # whatever it was, a store that failed is opened anew
                        self._fail(e)
                        _close(self._store)
                        self._store, again = None, self._clock.monotonic() + AGAIN_S
            if asked != "tidy":  # and once the lock is free: who has an answer asks on
                with suppress(RuntimeError):  # the loop has ended, and nobody waits
                    asked.loop.call_soon_threadsafe(self._answered, asked)
        with self._lock:
            _close(self._store)
            self._store = None

    def _patiently(self, store: Opened, asked: "_Question[Any] | Literal['tidy']") -> None:
        """Here it may be waited for others who write."""
        store.patience(BUSY_S)
        if asked == "tidy":
            try:
                store.tidy(self._clock.now())
            except Exception as e:  # whatever it was, it is tried again, and who asks finds what is wrong
                log.warning("%s could not be tidied up: %s", self._where, trace(e))
        else:
            asked.ask(store)
        store.patience(0)

    def _open(self) -> Opened | None:
        try:
            store = self._opens()
            store.patience(0)
        except Exception as e:  # whatever is wrong with it, calls go on without
            self._fail(e)
            return None
        if self._trouble is not None:
            log.warning("%s can be used again", self._where)
        self._trouble = None
        return store

    def _fail(self, error: BaseException) -> None:
        said = f"{self._where} cannot be used ({type(error).__name__}), so breakers are this process's own; see its disk and rights"
        if self._trouble is None:
            log.error("%s: %s", said, trace(error))
        self._trouble = said


def _replaced(store: Opened) -> bool:
    return store.replaced


def _close(store: Opened | None) -> None:
    if store is not None:
        with suppress(Exception):  # it is given up
            store.close()


def path_of(settings: Settings) -> Path:
    """Where the shared state of an installation is."""
    return settings.data_dir / FILE


def open_state(settings: Settings, clock: Clock) -> State:
    """The state in `data_dir`, which is not touched before `start`."""
    path = path_of(settings)
    return State(lambda: Sqlite(path), str(path), clock)
