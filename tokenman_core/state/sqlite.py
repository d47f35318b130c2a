"""The store of one machine: a SQLite file in the data folder, which all processes on it open."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from tokenman_core.database import Database
from tokenman_core.state import counts, schema
from tokenman_core.state.counts import SqliteCounts
from tokenman_core.state.rates import SqliteRates
from tokenman_core.state.store import NOTHING, Entry, Leased

_VALUE = 4096  # bytes; more is no state of this kind
_PURGE_S = 60.0  # between two looks for rows that nobody asks for any more: all are looked at
_SPARE = 500  # of what is remembered that may be there on top before the oldest are looked for


class Sqlite:
    """A `Store`. Makes the folder and the file (only their owner reads them) where there are none.

    Of one thread at a time. Raises sqlite3.Error, OSError, and ConfigError for a folder that cannot be had.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, schema.STEPS, ("wal_autocheckpoint = 0",), first=counts.FIRST, any_thread=True)
        self._connection = self._database.connection
        self._seen, self._purged = -1, 0.0
        self.counts = SqliteCounts(self._connection, self._whole)
        self.rates = SqliteRates(self._connection, self._whole)

    def close(self) -> None:
        self._connection.close()

    @property
    def replaced(self) -> bool:
        """Whether another file, or none, now stands where this one was opened: nobody would see what is written here."""
        return self._database.replaced

    def patience(self, seconds: float) -> None:
        """So long a question waits for others who write, from now on."""
        self._connection.execute(f"pragma busy_timeout = {int(seconds * 1000)}")

    def tidy(self, now: float) -> None:
        """What questions leave behind them: rows that nobody asks for any more, and pages that belong into the file itself.

        The disk is waited for here, and nowhere else: the first to write after a checkpoint would have to, so that is done, too.
        """
        if abs(now - self._purged) > _PURGE_S:
            self._purged = now
            with self._whole():
                self.counts.purge(now)
                self.rates.purge(now)
        self._connection.execute("pragma wal_checkpoint(passive)")
        self.put("tidied", "", b"", until=now + 1.0, over=None, now=now)

    @property
    def changed(self) -> bool:
        seen, self._seen = self._seen, self._one("pragma data_version")
        return seen != self._seen

    def entries(self, kind: str, now: float) -> Mapping[str, Entry]:
        rows = self._connection.execute(
            "select name, version, value from entries where kind = ? and until > ?", (kind, now)
        )
        return {name: Entry(version, value) for name, version, value in rows}

    def put(self, kind: str, name: str, value: bytes, *, until: float, over: int | None, now: float) -> Entry:
        if len(value) > _VALUE:
            raise ValueError(f"a value of {len(value)} bytes")
        with self._whole():
            there = self._entry(kind, name, now)
            if over is not None and there.version not in (0, over):  # one that has ended is in nobody's way
                return there
            version = max(there.version, over or 0) + 1
            self._connection.execute(
                "insert into entries (kind, name, version, value, until) values (?, ?, ?, ?, ?) on conflict do update"
                " set version = excluded.version, value = excluded.value, until = excluded.until",
                (kind, name, version, value, until),
            )
            self._connection.execute("delete from leases where kind = ? and name = ?", (kind, name))
            self._connection.execute("delete from entries where until <= ?", (now,))
            return Entry(version, value)

    def lease(
        self, kind: str, name: str, lease: str, *, most: int, over: int, until: float, now: float
    ) -> tuple[Leased, Entry]:
        with self._whole():
            there = self._entry(kind, name, now)
            if there.version != over:
                return "moved", there
            self._connection.execute("delete from leases where until <= ?", (now,))
            taken = self._one("select count(*) from leases where kind = ? and name = ?", kind, name)
            if taken >= most:
                return "taken", there
            self._connection.execute(
                "insert into leases (lease, kind, name, until) values (?, ?, ?, ?)", (lease, kind, name, until)
            )
            return "leased", there

    def renew(self, leases: Collection[str], until: float) -> None:
        with self._whole():
            self._connection.executemany("update leases set until = ? where lease = ?", [(until, it) for it in leases])

    def free(self, lease: str) -> None:
        self._connection.execute("delete from leases where lease = ?", (lease,))

    def remember(self, kind: str, values: Mapping[bytes, bytes], *, until: float, most: int, now: float) -> None:
        with self._whole():
            self._connection.executemany(
                "insert or replace into remembered (kind, key, value, until) values (?, ?, ?, ?)",
                [(kind, key, value, until) for key, value in values.items()],
            )
            if self._one("select count(*) from remembered where kind = ?", kind) > most + _SPARE:
                self._connection.execute(
                    "delete from remembered where kind = ? and n <="
                    " (select n from remembered where kind = ? order by n desc limit 1 offset ?)",
                    (kind, kind, most),
                )
                self._connection.execute("delete from remembered where until <= ?", (now,))

    def remembered(self, kind: str, after: int, now: float) -> tuple[Mapping[bytes, bytes], int]:
        rows = self._connection.execute(
            "select n, key, value from remembered where kind = ? and n > ? and until > ? order by n", (kind, after, now)
        ).fetchall()
        return {key: value for _, key, value in rows}, rows[-1][0] if rows else after

    def _entry(self, kind: str, name: str, now: float) -> Entry:
        row = self._connection.execute(
            "select version, value from entries where kind = ? and name = ? and until > ?", (kind, name, now)
        ).fetchone()
        return NOTHING if row is None else Entry(*row)

    def _one(self, query: str, *values: object) -> int:
        found: int = self._connection.execute(query, values).fetchone()[0]
        return found

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """All of it or nothing, and nobody else meanwhile."""
        self._connection.execute("begin immediate")
        try:
            yield
            self._connection.execute("commit")
        except BaseException:  # whatever it was, the lock must not stay
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            raise
