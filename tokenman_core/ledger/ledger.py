"""Takes calls as they end, on the event loop, and has a thread of its own write them."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tokenman_core import background
from tokenman_core.clock import Clock, SystemClock
from tokenman_core.config.models import Settings
from tokenman_core.errors import ErrorKind
from tokenman_core.ledger.store import Store
from tokenman_core.ledger.writer import PROBE_S, PURGE, Writer

if TYPE_CHECKING:
    from tokenman_core.record import Record

_GATHER_S = 0.05  # rows gather this long, so that a burst is one transaction
_CLOSE_S = 5.0  # for what waits at the end
_OPEN_S = 2.0  # the start waits no longer for the file


class Ledger:
    """An `Observer`. `on_error` is called on the event loop, with the request id, once for each row that could not be written
    at first (it may have been later), and with "ledger_purge" when a purge failed; `written`, on the ledger's thread, with the
    request id of each that is in the file, or never will be.
    """

    def __init__(
        self,
        path: Path,
        retention: float,
        on_error: Callable[[str], None],
        clock: Clock,
        opens: Callable[[Path], Store] = Store,
        written: Callable[[str], None] = lambda id: None,
    ) -> None:
        self._writer = Writer(path, retention, clock, self._tell, opens, written)
        self._on_error = on_error
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake, self._closing, self._opened = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._tasks: tuple[background.Task, ...] = ()

    async def start(self) -> None:
        """Returns when the file was opened, or could not be: `trouble` then says why, and it is tried again and again."""
        self._loop = asyncio.get_running_loop()
        self._tasks = (
            background.began("ledger_writer", PROBE_S),
            background.began(PURGE, self._writer.purge_every, lambda: self._writer.purge_age),
        )
        self._thread.start()
        await asyncio.to_thread(self._opened.wait, _OPEN_S)

    def ended(self, record: "Record") -> None:
        self._writer.put(record)
        self._wake.set()

    def turned_away(self, kind: ErrorKind) -> None:
        """A request that was no call has no row."""

    @property
    def trouble(self) -> str | None:
        """Why rows are not written now, and what to do about it; None: they are."""
        return self._writer.trouble

    @property
    def dropped(self) -> int:
        """Rows that are lost: too many waited, or the end came before they could be written."""
        return self._writer.dropped

    @property
    def purge_age_seconds(self) -> float:
        """Seconds since rows beyond `ledger.retention` were last looked for with success; an hour is usual."""
        return self._writer.purge_age

    async def aclose(self) -> None:
        """Writes what waits, within five seconds, and closes the file. Twice is as good as once."""
        for task in self._tasks:
            task.over()
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _CLOSE_S + 1)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.clear()
            pause = self._writer.step()
            self._tasks[0].ran()
            self._opened.set()
            if pause > 0 and self._wake.wait(pause):
                self._closing.wait(_GATHER_S)
        deadline = time.monotonic() + _CLOSE_S
        while self._writer.waiting and time.monotonic() < deadline:
            self._writer.hurry()
            self._writer.step()
            if self._writer.trouble is not None:
                time.sleep(_GATHER_S)
        self._writer.close()

    def _tell(self, name: str) -> None:
        """From whatever thread, onto the loop."""
        with suppress(RuntimeError):  # the loop has ended, and nobody counts any more
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._on_error, name)


def path_of(settings: Settings) -> Path:
    """Where the ledger of an installation is."""
    return settings.data_dir / "ledger.db"


def open_ledger(
    settings: Settings, on_error: Callable[[str], None], written: Callable[[str], None] = lambda id: None
) -> Ledger:
    """The ledger in `data_dir`, which is not touched before `start`. `on_error` and `written` as in `Ledger`."""
    return Ledger(path_of(settings), settings.ledger.retention, on_error, SystemClock(), written=written)
