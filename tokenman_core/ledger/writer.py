"""What waits to be written and when it is tried: rows, retries, and the purge of what is older than the retention."""

import logging
import sqlite3
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tokenman_core.clock import Clock
from tokenman_core.errors import trace
from tokenman_core.ledger import trouble
from tokenman_core.ledger.row import row_of
from tokenman_core.ledger.store import Store

if TYPE_CHECKING:
    from tokenman_core.record import Record

log = logging.getLogger("tokenman.ledger")

MOST_WAITING = 10_000
_BATCH = 500
_FIRST_RETRY_S, _LAST_RETRY_S = 0.2, 5.0
PROBE_S = 5.0  # an idle ledger is looked at this often, so that readiness tells of a lock before a call does
PURGE_S, _PURGE_RETRY_S = 3600.0, 60.0
PURGE_PAUSE_S = 0.02  # between two steps: other writers, and whoever waits for the processor, come in between
_SAY_S = 5.0  # one line of the log for all failures within so many seconds
_NAMED = 20  # request ids in such a line

PURGE = "ledger_purge"
"""The purge's name where liveness and failures are told."""


class Writer:
    """Rows from any thread go in by `put`; one thread calls `step` again and again. `tell` is called once for each row that
    could not be written at first, with its request id, and with the purge's name when that failed; `written` once for each that
    is in the file, or never will be.
    """

    def __init__(
        self,
        path: Path,
        retention: float,
        clock: Clock,
        tell: Callable[[str], None],
        opens: Callable[[Path], Store] = Store,
        written: Callable[[str], None] = lambda id: None,
    ) -> None:
        self._path, self._retention, self._clock, self._tell, self._opens = path, retention, clock, tell, opens
        self._written = written
        self._waiting: deque[Record] = deque()  # on the right by `put`, from the left by `step`, each of one thread
        self._told = 0  # so many from the left have been told of
        self._store: Store | None = None
        self._turned_down = 0  # counted by `put`
        self._lost = 0  # counted by `step`
        self._closed = False
        self.trouble: str | None = None
        # A tenth of a short retention late at most; hourly for one of days.
        self.purge_every = min(PURGE_S, max(PROBE_S, retention / 10)) if retention else PURGE_S
        now = clock.monotonic()
        self._retry_at = self._probe_at = self._say_at = self._purge_at = self._purged_at = now
        self._wait = _FIRST_RETRY_S
        self._unsaid: deque[str] = deque(maxlen=_NAMED)  # failed rows, until the next line of the log

    @property
    def dropped(self) -> int:
        """Rows that are lost."""
        return self._turned_down + self._lost

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def purge_age(self) -> float:
        """Seconds since the purge last did all that was due."""
        return self._clock.monotonic() - self._purged_at

    def put(self, record: "Record") -> None:
        """A row that finds too many waiting, or the file closed, is lost; it is counted and told of."""
        if not self._closed and len(self._waiting) < MOST_WAITING:
            self._waiting.append(record)
            return
        self._turned_down += 1
        self._tell(record.id)
        if self._closed:
            log.error("a call ended after the ledger was closed; request %s", record.id)
        else:
            self._unsaid.append(record.id)

    def step(self) -> float:
        """Does what is due. Seconds until there is more to do, if nothing comes in before. Never raises."""
        now = self._clock.monotonic()
        if self.trouble is not None:
            self._tell_waiting()
            if now < self._retry_at:
                self._say()
                return self._retry_at - now
        try:
            self._write(now)
            if self.trouble is not None:
                log.warning("%s is written again; %s", self._path, self._state())
                self.trouble, self._wait = None, _FIRST_RETRY_S
            self._say()
        except Exception as error:  # whatever it is: traffic goes on, the rows wait, and it is told
            self._fail(error)
            return self._wait
        return 0.0 if self._waiting else self._purge()

    def hurry(self) -> None:
        """The next step tries, however short ago the last one failed."""
        self._retry_at = self._clock.monotonic()

    def close(self) -> None:
        """After the last step. What still waits is lost, which is said."""
        self._closed = True
        if self._waiting:
            self._lost += len(self._waiting)
            names = ", ".join(record.id for record in list(self._waiting)[:_NAMED])
            log.error("%d calls are not in the ledger: %s; requests %s", len(self._waiting), self.trouble, names)
        self._drop_store()

    # -- rows --

    def _write(self, now: float) -> None:
        store = self._opened()
        batch = [self._waiting[i] for i in range(min(len(self._waiting), _BATCH))]
        if batch:
            self._add(store, batch)
        elif now >= self._probe_at:
            store.probe()
        self._probe_at = now + PROBE_S

    def _opened(self) -> Store:
        if self._store is not None and self._store.replaced:
            log.warning("%s was removed or replaced while it was in use; it is opened anew", self._path)
            self._drop_store()
        if self._store is None:
            self._store = self._opens(self._path)
        return self._store

    def _add(self, store: Store, batch: "list[Record]") -> None:
        try:
            store.add([row_of(record) for record in batch])
        except Exception as error:  # of one of the rows: the others must not wait for it for ever
            if trouble.is_outside(error):
                raise
            self._add_singly(store, batch)
        else:
            self._done(len(batch))

    def _add_singly(self, store: Store, batch: "list[Record]") -> None:
        for record in batch:
            try:
                store.add([row_of(record)])
            except Exception as error:  # see `_add`
                if trouble.is_outside(error):
                    raise
                self._lost += 1
                if not self._told:
                    self._tell(record.id)
                log.error("a call cannot be recorded: %s; request %s", trace(error), record.id)
            self._done(1)

    def _done(self, rows: int) -> None:
        for _ in range(rows):
            self._written(self._waiting.popleft().id)
        self._told = max(0, self._told - rows)

    # -- failures --

    def _fail(self, error: Exception) -> None:
        # A damaged file that another process has replaced meanwhile is no longer there: the new one is left alone.
        damaged = trouble.is_damage(error) and not (self._store is not None and self._store.replaced)
        self._drop_store()
        self.trouble = trouble.in_words(error)
        if damaged and self._moved_aside():
            self._wait = _FIRST_RETRY_S
        self._retry_at = self._clock.monotonic() + self._wait
        self._wait = min(self._wait * 2, _LAST_RETRY_S)
        self._tell_waiting()
        self._say(error)

    def _moved_aside(self) -> bool:
        try:
            aside = trouble.move_aside(self._path, self._clock.now())
        except OSError:
            return False
        if aside is not None:
            log.error("%s is damaged: it was moved to %s, and a new ledger is begun", self._path, aside.name)
        return aside is not None

    def _tell_waiting(self) -> None:
        while self._told < len(self._waiting):
            name = self._waiting[self._told].id
            self._told += 1
            self._unsaid.append(name)
            self._tell(name)

    def _say(self, error: Exception | None = None) -> None:
        now = self._clock.monotonic()
        if now < self._say_at or not (self._unsaid or error):
            return
        self._say_at = now + _SAY_S
        why = self.trouble or "calls end faster than they can be written"
        log.error("%s: %s%s; %s", self._path, why, f" ({trace(error)})" if error else "", self._state())

    def _state(self) -> str:
        names = [self._unsaid.popleft() for _ in range(len(self._unsaid))]
        return f"{len(self._waiting)} calls wait, {self.dropped} are lost; requests {', '.join(names) or 'none'}"

    def _drop_store(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            try:
                store.close()
            except sqlite3.Error:
                return  # it is being dropped because it does not work

    # -- what is too old --

    def _purge(self) -> float:
        now = self._clock.monotonic()
        if now < self._purge_at:
            return min(self._purge_at - now, PROBE_S)
        try:
            if self._store is not None and self._retention:
                before = int((self._clock.now() - self._retention) * 1_000_000)
                if self._store.purge(before):
                    return PURGE_PAUSE_S
        except Exception as error:  # the next tick tries again; a task that died in silence would let the file grow
            log.error("the purge of the ledger failed: %s (%s)", trouble.in_words(error), trace(error))
            self._tell(PURGE)
        else:
            self._purged_at = now
            self._purge_at = now + self.purge_every
            return PROBE_S
        self._purge_at = now + _PURGE_RETRY_S
        return PROBE_S
