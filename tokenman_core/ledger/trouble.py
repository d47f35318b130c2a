"""Why the ledger cannot be written, in words that say what to do; and what is done about a file that is damaged."""

import errno
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from tokenman_core.database import code_of
from tokenman_core.errors import ConfigError

_LOCKED = "another process keeps the ledger locked: end it, or close the tool that has ledger.db open"
_FORBIDDEN = "the ledger may not be written: make data_dir and ledger.db writable for this user"
_FULL = "the disk is full: make room, or shorten ledger.retention"
_CANNOT_OPEN = "the ledger cannot be opened: see that data_dir is a folder that this user can write to"
_DISK = "the disk does not take or give the ledger's data: see to the disk and its space"
_BROKEN = "the ledger's file is damaged: move ledger.db away, a new one is then begun"

_OF_SQLITE = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: _FORBIDDEN,
    sqlite3.SQLITE_PERM: _FORBIDDEN,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_CANTOPEN: _CANNOT_OPEN,
    sqlite3.SQLITE_IOERR: _DISK,
    sqlite3.SQLITE_CORRUPT: _BROKEN,
    sqlite3.SQLITE_NOTADB: _BROKEN,
}
_OF_SYSTEM = {
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EIO: _DISK,
}
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_MOST_ASIDE = 5  # damaged files kept: a disk that damages each new one must not be filled with them


def in_words(error: BaseException) -> str:
    """Holds neither a path nor anything of a row."""
    if isinstance(error, sqlite3.Error) and (words := _OF_SQLITE.get(code_of(error))):
        return words
    if isinstance(error, OSError):
        return _OF_SYSTEM.get(error.errno or 0, _CANNOT_OPEN)
    if isinstance(error, ConfigError):
        return _CANNOT_OPEN
    return f"the ledger cannot be used ({type(error).__name__}); the log says more"


def is_outside(error: BaseException) -> bool:
    """Whether the machine is the cause, so that the same rows may be written later; else a row itself cannot be written."""
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.InterfaceError):
        return False
    return isinstance(error, sqlite3.Error | OSError | ConfigError)


def is_damage(error: BaseException) -> bool:
    return isinstance(error, sqlite3.DatabaseError) and code_of(error) in _DAMAGED


def move_aside(path: Path, now: float) -> Path | None:
    """Renames a damaged file, with those beside it, to `ledger.db.damaged-DATE`; None if too many lie there. Raises OSError."""
    if len(list(path.parent.glob(f"{path.name}.damaged-*Z"))) >= _MOST_ASIDE:
        return None
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    path.rename(aside)
    for end in ("-wal", "-shm"):
        beside = path.with_name(path.name + end)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + end))
    return aside
