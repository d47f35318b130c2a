"""Files of SQLite that several processes open: only their owner reads them, and steps bring them up to date."""

import errno
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from tokenman_core.secret import private_folder

BUSY_S = 0.5  # another process writes for milliseconds; who holds the file for longer is a trouble worth telling

Steps = Sequence[Sequence[str]]
"""A step may create a table or an index, or add a column that has a default, and no more: old and new code share one file."""

Trouble = Literal["locked", "forbidden", "full", "not opened", "disk", "damaged"]
"""What is wrong with a file, whoever says so. Each file has words of its own for it, that say what to do."""

_OF_SQLITE: Mapping[int, Trouble] = {
    sqlite3.SQLITE_BUSY: "locked",
    sqlite3.SQLITE_LOCKED: "locked",
    sqlite3.SQLITE_READONLY: "forbidden",
    sqlite3.SQLITE_PERM: "forbidden",
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_CANTOPEN: "not opened",
    sqlite3.SQLITE_IOERR: "disk",
    sqlite3.SQLITE_CORRUPT: "damaged",
    sqlite3.SQLITE_NOTADB: "damaged",
}
_OF_SYSTEM: Mapping[int, Trouble] = {
    errno.EACCES: "forbidden",
    errno.EPERM: "forbidden",
    errno.EROFS: "forbidden",
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EIO: "disk",
}


class Database:
    """An open file; the folder and the file are made where there are none. `settings` are pragmas; `first` are statements for
    a file that is new.

    Raises sqlite3.Error, OSError, and ConfigError for a folder that cannot be had.
    """

    def __init__(
        self,
        path: Path,
        steps: Steps,
        settings: Sequence[str] = (),
        *,
        first: Sequence[str] = (),
        any_thread: bool = False,
    ) -> None:
        private_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            self._file = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        self._name = str(path)  # a path would be put together again for each look
        self.connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=not any_thread)
        try:
            for setting in (*settings, "journal_mode = wal", "synchronous = normal"):
                self.connection.execute(f"pragma {setting}")
            migrate(self.connection, steps, first)
        except BaseException:  # whatever it was, nobody would close it
            self.connection.close()
            raise

    @property
    def replaced(self) -> bool:
        """Whether another file, or none, now stands where this one was opened: what is written here nobody would see."""
        try:
            found = os.stat(self._name)
        except OSError:
            return True
        return (found.st_dev, found.st_ino) != (self._file.st_dev, self._file.st_ino)


def code_of(error: BaseException) -> int:
    """SQLite's own of an error, without the upper bits, which say more of the same; 0 for what is not its."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def trouble_of(error: BaseException) -> Trouble | None:
    """None: it is of another kind."""
    if isinstance(error, sqlite3.Error):
        return _OF_SQLITE.get(code_of(error))
    return _OF_SYSTEM.get(error.errno or 0) if isinstance(error, OSError) else None


def version(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("pragma user_version").fetchone()[0]
    return found


def migrate(connection: sqlite3.Connection, steps: Steps, first: Sequence[str] = ()) -> None:
    """Takes the steps that the file lacks, all or none; of two processes at once one does it. Raises sqlite3.Error."""
    if version(connection) >= len(steps):
        return
    connection.execute("begin immediate")
    try:
        had = version(connection)
        for step in (*steps[had:], *([first] if not had else [])):
            for statement in step:
                connection.execute(statement)
        connection.execute(f"pragma user_version = {max(version(connection), len(steps))}")
        connection.execute("commit")
    except BaseException:  # whatever it was: all steps or none
        connection.execute("rollback")
        raise
