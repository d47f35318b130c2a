"""The way to a store that never holds up the event loop: a thread of its own asks it, and opens it again when it failed."""

import asyncio
import logging
import queue
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from tokenman_core.clock import Clock
from tokenman_core.config.models import Settings
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


class Unavailable(Exception):
    """The store could not be asked now. Nothing was changed, or it is not known."""


class Opened(Store, Protocol):
    @property
    def replaced(self) -> bool:
        """Whether another file stands in its place."""


class AskStore(Protocol):
    """The part of a `State` that a policy needs: its `ask`."""

    def __call__[T](self, question: Callable[[Store], T]) -> Awaitable[T]: ...


class State:
    """`start` before the first question, `aclose` at the end. Questions before and after are answered with `Unavailable`."""

    def __init__(self, opens: Callable[[], Opened], where: str, clock: Clock) -> None:
        self._opens, self._where, self._clock = opens, where, clock
        self._asked: queue.Queue[Callable[[Store | None], None] | None] = queue.Queue(_MOST)
        self._opened = threading.Event()
        self._thread = threading.Thread(target=self._run, name="state", daemon=True)
        self._trouble: str | None = None

    async def start(self) -> None:
        """Returns when the store was opened, or could not be: `trouble` then says why, and it is tried again and again."""
        self._thread.start()
        await asyncio.to_thread(self._opened.wait, _OPEN_S)

    @property
    def trouble(self) -> str | None:
        """Why it cannot be asked now, and what to do about it; None: it can."""
        return self._trouble

    async def ask[T](self, question: Callable[[Store], T]) -> T:
        """What `question` returns, which is called on the store's thread. Raises Unavailable."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def answered(result: T | None, error: Exception | None) -> None:
            if answer.done():
                return
            if error is None:
                answer.set_result(result)  # type: ignore[arg-type]  # there is one then
            else:
                answer.set_exception(error)

        def step(store: Store | None) -> None:
            result, error = None, None
            try:
                if store is None:
                    raise Unavailable
                result = question(store)
            except Unavailable as e:
                error = e
            except BaseException:  # whatever the database says: who asked goes on without, and the thread opens it anew
                error = Unavailable()
                raise
            finally:
                with suppress(RuntimeError):  # the loop has ended, and nobody waits
                    loop.call_soon_threadsafe(answered, result, error)

        if not self._thread.is_alive():
            raise Unavailable
        try:
            self._asked.put_nowait(step)
        except queue.Full:
            raise Unavailable from None
        try:
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            raise Unavailable from None

    async def aclose(self) -> None:
        """What was asked before is answered, within three seconds. Twice is as good as once."""
        if self._thread.is_alive():
            with suppress(queue.Full):
                self._asked.put_nowait(None)
            await asyncio.to_thread(self._thread.join, _CLOSE_S)

    # -- on the thread --

    def _run(self) -> None:
        store: Opened | None = None
        again = float("-inf")
        while True:
            if store is None and self._clock.monotonic() >= again:
                store = self._open()
                again = self._clock.monotonic() + AGAIN_S
            self._opened.set()
            step = self._asked.get()
            if step is None:
                break
            if store is not None and _replaced(store):
                _close(store)
                store = self._open()
            try:
                step(store)
            except BaseException as e:  # whatever it was, a store that failed is opened anew
                self._fail(e)
                _close(store)
                store, again = None, self._clock.monotonic() + AGAIN_S
        _close(store)

    def _open(self) -> Opened | None:
        try:
            store = self._opens()
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
