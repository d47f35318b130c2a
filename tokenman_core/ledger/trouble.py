"""Why the ledger cannot be written, in words that say what to do; and what is done about a file that is damaged."""

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from tokenman_core.database import Trouble, trouble_of
from tokenman_core.errors import ConfigError

_CANNOT_OPEN = "the ledger cannot be opened: see that data_dir is a folder that this user can write to"
_WORDS: Mapping[Trouble, str] = {
    "locked": "another process keeps the ledger locked: end it, or close the tool that has ledger.db open",
    "forbidden": "the ledger may not be written: make data_dir and ledger.db writable for this user",
    "full": "the disk is full: make room, or shorten ledger.retention",
    "not opened": _CANNOT_OPEN,
    "disk": "the disk does not take or give the ledger's data: see to the disk and its space",
    "damaged": "the ledger's file is damaged: move ledger.db away, a new one is then begun",
}
_MOST_ASIDE = 5  # damaged files kept: a disk that damages each new one must not be filled with them


def in_words(error: BaseException) -> str:
    """Holds neither a path nor anything of a row."""
    if (trouble := trouble_of(error)) is not None:
        return _WORDS[trouble]
    if isinstance(error, OSError | ConfigError):
        return _CANNOT_OPEN
    return f"the ledger cannot be used ({type(error).__name__}); the log says more"


def is_outside(error: BaseException) -> bool:
    """Whether the machine is the cause, so that the same rows may be written later; else a row itself cannot be written."""
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.InterfaceError):
        return False
    return isinstance(error, sqlite3.Error | OSError | ConfigError)


def is_damage(error: BaseException) -> bool:
    return trouble_of(error) == "damaged"


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
