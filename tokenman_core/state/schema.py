"""The tables of the state file, as steps that each add to what was there, so that old and new code share one file."""

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
    counts.SURE_STEP,
)
