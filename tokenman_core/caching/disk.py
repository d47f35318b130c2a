"""The file of kept answers: a table that all processes on the data folder share, and where nothing is left of what was removed."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenman_core.caching.entry import Damaged
from tokenman_core.caching.packed import FORM, MOST_BYTES, Row
from tokenman_core.database import Database, code_of, version

STEPS = (
    (
        """create table answers (
            key blob primary key not null,
            model blob not null,
            project blob not null,
            stored real not null,
            used integer not null,
            size integer not null,
            form integer not null,
            seal blob not null,
            sealed blob not null
        )""",
        "create index answers_by_use on answers (used, size)",
        "create index answers_by_time on answers (stored)",
        """create table forgotten (
            n integer primary key autoincrement,
            model blob,
            project blob
        )""",
        "create table file (id blob not null)",
        "insert into file (id) values (randomblob(16))",
    ),
)

Labels = tuple[bytes | None, bytes | None]
"""Model and project of what is forgotten, as `Row` has them; None: any."""

EVERYTHING: Labels = (None, None)

_AT_ONCE = 200  # rows that one step removes: other processes come in between
_AT_ONCE_BYTES = 8 * 1024**2
_FORGOTTEN = 100  # of which other processes can still be told; who missed more forgets all
_TOP = 2**60  # no file has seen so many uses
_KEPT_FREE = 8  # empty pages are given back, but for this part of the file
_PAGES_AT_ONCE = 4096
_SETTINGS = (
    "auto_vacuum = incremental",
    "secure_delete = on",
    "temp_store = memory",
    "cell_size_check = on",
    "journal_size_limit = 4194304",
)
_DAMAGE = frozenset({
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_TOOBIG,
    # What stands here is our own and well tried: a table or column that is not there, a null that cannot be, is no fault of it.
    sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_CONSTRAINT,
})  # fmt: skip


_PAGE = 4096  # bytes, SQLite's own choice (https://www.sqlite.org/fileformat2.html §1.3.2)
_COLUMNS, _INDEXES = 110, 150  # bytes of a row beside its sealed ones, and of its places in three indexes


def room(sealed: int) -> int:
    """Bytes of the file that a row of so many sealed bytes takes: as many as fit share a page, and its rest is no use."""
    row = sealed + _COLUMNS
    return _INDEXES + (_PAGE // (_PAGE // row) if row <= _PAGE else row + _PAGE // 3)


class Later(Exception):
    """A later version of this program made the file, in another way: it is not ours to remove."""


class Disk:
    """An open file; made where there is none. `seal` is the mark of what closes rows here; those of another are not found.

    Of one thread. Raises sqlite3.Error, OSError, Damaged, Later, and ConfigError for a folder that cannot be had.
    """

    def __init__(self, path: Path, seal: bytes) -> None:
        self._database = Database(path, STEPS, _SETTINGS)
        self._connection = self._database.connection
        self._seal = seal
        self._unheard: list[Labels] = []
        self.entries = self.size = self.evicted = 0
        try:
            self.mark = mark_of(path)
            self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES + 1024**2)
            self._connection.text_factory = bytes
            self.checkpoint()  # of a process that was killed
            self.heard = self._number("select coalesce(max(n), 0) from forgotten")
            self._seen = self._version()
            self.id = self._id()
            self.count()
        except BaseException as error:  # whatever it was, nobody would close it
            try:
                if code_of(error) == sqlite3.SQLITE_ERROR and version(self._connection) > len(STEPS):
                    raise Later from None
            finally:
                self._connection.close()
            raise

    def close(self) -> None:
        """What waits in the log beside the file is put into it. Raises sqlite3.Error; closed it is all the same."""
        try:
            self.checkpoint()
        finally:
            self._connection.close()

    @property
    def replaced(self) -> bool:
        """Whether another file, or none, now stands where this one was opened."""
        return self._database.replaced

    # -- rows --

    def read(self, key: bytes) -> Row | None:
        """A row that another seal closed is removed, unless a later version wrote it."""
        found = self._connection.execute(
            "select key, model, project, stored, form, seal, sealed from answers where key = ?", (key,)
        ).fetchone()
        if found is None:
            return None
        named, model, project, stored, form, seal, sealed = found
        if type(form) is int and form > FORM:
            return None
        if seal != self._seal or form != FORM:
            self.remove(key)
            return None
        if not all(type(each) is bytes for each in (named, model, project, sealed)) or type(stored) is not float:
            raise Damaged
        return Row(named, model, project, stored, sealed)

    def write(self, rows: Sequence[Row]) -> bool:
        """All of them, as the ones used last; False: others forgot something meanwhile (see `news`), and nothing is written."""
        with _Whole(self._connection):
            if self._listen():
                return False
            top = self._top()
            for at, row in enumerate(rows, top + 1):
                self._take_out(self._connection.execute("select rowid, size from answers where key = ?", (row.key,)))
                size = room(len(row.sealed))
                self._connection.execute(
                    "insert into answers (key, model, project, stored, used, size, form, seal, sealed)"
                    " values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (row.key, row.model, row.project, row.stored, at, size, FORM, self._seal, row.sealed),
                )
                self.entries, self.size = self.entries + 1, self.size + size
        return True

    def touch(self, keys: Sequence[bytes]) -> None:
        """They were used, the last one last."""
        if keys:
            with _Whole(self._connection):
                self._connection.executemany(
                    "update answers set used = ? where key = ?", list(enumerate(keys, self._top() + 1))
                )

    def remove(self, key: bytes) -> None:
        with _Whole(self._connection):
            self._take_out(self._connection.execute("select rowid, size from answers where key = ?", (key,)))

    # -- what goes --

    def keys(self) -> set[bytes]:
        return {key for (key,) in self._connection.execute("select key from answers")}

    def forget(self, what: Labels) -> set[bytes]:
        """Removes all rows that match, and leaves word for the other processes; `checkpoint` comes next. Returns their keys."""
        with _Whole(self._connection):
            self._listen()
            self._connection.execute("insert into forgotten (model, project) values (?, ?)", what)
            self.heard = self._number("select max(n) from forgotten")
            self._connection.execute("delete from forgotten where n <= ?", (self.heard - _FORGOTTEN,))
        found = self._connection.execute(
            "select rowid, size, key from answers where model = coalesce(?, model) and project = coalesce(?, project)",
            what,
        ).fetchall()
        self._remove([(row, size) for row, size, _ in found])
        while self.give_back(all_of_it=True):
            pass
        return {key for _, _, key in found}

    def hear_since(self, heard: int) -> None:
        """The next `news` are from then on: the `heard` of the time when this file was open before."""
        self.heard, self._seen = heard, -1

    def news(self) -> Sequence[Labels]:
        """What other processes forgot since the last time."""
        if (seen := self._version()) != self._seen:
            self._seen = seen
            self._listen()
            self.count()
        news, self._unheard = self._unheard, []
        return news

    def expire(self, before: float, after: float) -> bool:
        """Removes some rows stored until `before` or later than `after`; True: there is more to do."""
        return self._remove_some(
            "select rowid, size from answers where stored <= ? or stored > ? limit ?", (before, after, _AT_ONCE)
        )

    def purify(self) -> bool:
        """Removes some rows that another seal closed; True: there is more to do. Those of later versions stay."""
        return self._remove_some(
            "select rowid, size from answers where form < ?1 or (form = ?1 and seal != ?2) limit ?3",
            (FORM, self._seal, _AT_ONCE),
        )

    def shrink(self, entries: int, size: int) -> Sequence[bytes]:
        """Evicts some of those that were used longest ago, if there is too much; returns the keys of what went."""
        many, much = self.entries - entries, self.size - size
        if many <= 0 and much <= 0:
            return ()
        gone: list[tuple[int, int, bytes]] = []
        for row in self._connection.execute("select rowid, size, key from answers order by used limit ?", (_AT_ONCE,)):
            if len(gone) >= many and much <= 0:
                break
            gone.append(row)
            much -= row[1]
        self._remove([(row, weight) for row, weight, _ in gone])
        self.evicted += len(gone)
        if not gone:  # what was counted is not there
            self.count()
        return [key for _, _, key in gone]

    def give_back(self, *, all_of_it: bool = False) -> bool:
        """Gives some empty pages back to the disk, if there are many; True: there is more to do."""
        free = self._number("pragma freelist_count")
        if not free or not (all_of_it or free > self._number("pragma page_count") // _KEPT_FREE):
            return False
        self._connection.execute(f"pragma incremental_vacuum({_PAGES_AT_ONCE})").fetchall()
        return self._number("pragma freelist_count") < free

    def checkpoint(self) -> bool:
        """Empties the log beside the file, which still has what was removed; False: somebody reads from it just now."""
        busy, _, _ = self._connection.execute("pragma wal_checkpoint(truncate)").fetchone()
        return not busy

    def count(self) -> None:
        """Counts anew: other processes write too."""
        self.entries = self._number("select count(*) from answers")
        self.size = self._number("select coalesce(sum(size), 0) from answers")

    # -- within --

    def _remove_some(self, select: str, values: Sequence[object]) -> bool:
        found = self._connection.execute(select, values).fetchall()
        self._remove(found)
        return len(found) == _AT_ONCE

    def _remove(self, rows: Sequence[tuple[int, int]]) -> None:
        """Rows and their sizes; in steps, so that the log beside the file stays short."""
        for some in _steps(rows):
            with _Whole(self._connection):
                for row in some:
                    self._take_out(self._connection.execute("select rowid, size from answers where rowid = ?", (row,)))

    def _take_out(self, found: sqlite3.Cursor) -> None:
        for row, size in found.fetchall():
            if type(size) is not int:
                raise Damaged
            self._connection.execute("delete from answers where rowid = ?", (row,))
            self.entries, self.size = self.entries - 1, self.size - size

    def _listen(self) -> bool:
        found = self._connection.execute(
            "select n, model, project from forgotten where n > ? order by n", (self.heard,)
        ).fetchall()
        if found:
            missed = found[0][0] != self.heard + 1
            self._unheard += [EVERYTHING] if missed else [(model, project) for _, model, project in found]
            self.heard = found[-1][0]
        return bool(self._unheard)

    def _id(self) -> bytes:
        found = self._connection.execute("select id from file").fetchall()
        if len(found) != 1 or type(found[0][0]) is not bytes:
            raise Damaged
        return found[0][0]

    def _top(self) -> int:
        top = self._number("select coalesce(max(used), 0) from answers")
        if not 0 <= top < _TOP:
            raise Damaged
        return top

    def _version(self) -> int:
        return self._number("pragma data_version")

    def _number(self, question: str) -> int:
        (found,) = self._connection.execute(question).fetchone()
        if type(found) is not int:
            raise Damaged
        return found


def _steps(rows: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    step: list[int] = []
    size = 0
    for row, weight in rows:
        step.append(row)
        size += weight
        if len(step) == _AT_ONCE or size >= _AT_ONCE_BYTES:
            yield step
            step, size = [], 0
    if step:
        yield step


class _Whole:
    """A transaction that nobody else writes in, done whole or not at all."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("begin immediate")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._connection.execute("commit")
        elif self._connection.in_transaction:
            self._connection.execute("rollback")


def is_damage(error: BaseException) -> bool:
    """Whether the file itself is at fault, so that a new one would do."""
    odd = isinstance(error, Damaged | TypeError | OverflowError)  # the latter: a column is not what was put there
    return odd or code_of(error) in _DAMAGE


Mark = tuple[int, int]
"""Which file it is, whatever it is called."""


def mark_of(path: Path) -> Mark | None:
    """None where there is none. Raises OSError."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def is_open(path: Path) -> bool:
    """Whether anybody has the file open, another process too: nobody else may leave the log of a file that is in use."""
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        connection.execute("pragma journal_mode = delete")
    except sqlite3.Error as error:  # what is no file of ours is in nobody's use
        return code_of(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    finally:
        connection.close()
    return False


def remove_file(path: Path, mark: Mark | None = None) -> None:
    """Removes the file and what lies beside it; if `mark` is given only that one: another process may have made a new one.

    Raises OSError.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if mark is None or mark_of(path) == mark:
            for end in ("", "-wal", "-shm"):  # in this order: without its log a file is damaged
                path.with_name(path.name + end).unlink(missing_ok=True)
    finally:
        os.close(folder)
