"""The tables of the state file, as steps that each add to what was there, so that old and new code share one file."""

import sqlite3
from collections.abc import Sequence

from tokenman_core.state import counts, rates

# As in the ledger: a step may create a table or an index, or add a column that has a default, and no more.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        # `until` in seconds since the epoch, in all tables.
        """create table entries (
            kind text not null,
            name text not null,
            version integer not null,
            value blob not null,
            until real not null,
            primary key (kind, name)
        ) without rowid""",
        """create table leases (
            lease text primary key,
            kind text not null,
            name text not null,
            until real not null
        ) without rowid""",
        "create index leases_by_name on leases (kind, name)",
        # Many and small. `n` grows with each that is written, so that others find what is new.
        """create table remembered (
            n integer primary key autoincrement,
            kind text not null,
            key blob not null,
            value blob not null,
            until real not null
        )""",
        "create unique index remembered_by_key on remembered (kind, key)",
    ),
    counts.STEP,
    rates.STEP,
    rates.LATER_STEP,
    counts.LATER_STEP,
)


def version(connection: sqlite3.Connection) -> int:
    found: int = connection.execute("pragma user_version").fetchone()[0]
    return found


def migrate(connection: sqlite3.Connection, steps: Sequence[Sequence[str]] = STEPS) -> None:
    """Takes the steps that the file lacks, all or none; of two processes at once one does it. Raises sqlite3.Error."""
    if version(connection) >= len(steps):
        return
    connection.execute("begin immediate")
    try:
        for step in steps[version(connection) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"pragma user_version = {max(version(connection), len(steps))}")
        connection.execute("commit")
    except BaseException:  # whatever it was: all steps or none
        connection.execute("rollback")
        raise
