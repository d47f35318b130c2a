"""Rates: how fast something may be taken, kept as one moment for each name (GCRA, the generic cell rate algorithm).

What is kept is when all that was taken will have been earned again. A limit that changes therefore gives nothing back that was
taken under the old one, and takes nothing away.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Ask:
    """`cost` units under a name, of which one is earned in `period` seconds and `burst` can be saved up."""

    name: str
    cost: float
    period: float
    burst: float


@dataclass(frozen=True)
class Left:
    """After the question: how many units are left, in how many seconds there would be enough (0: there are), and all again."""

    units: float
    wait: float
    full: float


class Rates(Protocol):
    """Each method is one step that others see whole or not at all. Moments are seconds since the epoch."""

    def take(self, asks: Sequence[Ask], *, now: float) -> tuple[bool, Sequence[Left]]:
        """Takes from all or from none. Who asks for more than can be saved up gets it when all is saved up."""

    def give(self, name: str, seconds: float, *, now: float) -> None:
        """Gives back what was taken and not used (in seconds of earning), or takes more where it is negative."""


STEP = (
    """create table rates (
        name text primary key,
        earned real not null
    ) without rowid""",
)

LATER_STEP = ("alter table rates add column at real not null default 0",)  # when it was taken, by the taker's clock

_SET_BACK_S = 60.0  # clocks of machines differ by less; beyond it the clock was set back


class SqliteRates:
    """`Rates` on a connection that others write on too."""

    def __init__(self, connection: sqlite3.Connection, whole: Callable[[], AbstractContextManager[None]]) -> None:
        self._connection, self._whole = connection, whole

    def take(self, asks: Sequence[Ask], *, now: float) -> tuple[bool, Sequence[Left]]:
        with self._whole():
            earned = [max(now, self._earned(ask.name, now)) for ask in asks]
            wanted = [at + min(ask.cost, ask.burst) * ask.period for at, ask in zip(earned, asks, strict=True)]
            limits = [now + ask.burst * ask.period for ask in asks]
            # A hair's breadth: sums of floating point must not refuse what is due.
            allowed = all(at <= limit + 1e-9 for at, limit in zip(wanted, limits, strict=True))
            if allowed:
                self._connection.executemany(
                    "insert into rates (name, earned, at) values (?, ?, ?)"
                    " on conflict do update set earned = excluded.earned, at = excluded.at",
                    [(ask.name, at, now) for ask, at in zip(asks, wanted, strict=True)],
                )
            return allowed, [
                Left(max(0.0, (limit - at) / ask.period), max(0.0, want - limit), max(0.0, at - now))
                for ask, at, want, limit in zip(asks, wanted if allowed else earned, wanted, limits, strict=True)
            ]

    def give(self, name: str, seconds: float, *, now: float) -> None:
        with self._whole():
            earned = max(now, self._earned(name, now)) - seconds
            self._connection.execute(
                "insert into rates (name, earned, at) values (?, ?, ?)"
                " on conflict do update set earned = excluded.earned, at = excluded.at",
                (name, earned, now),
            )

    def _earned(self, name: str, now: float) -> float:
        """By the clock as it is now: if it was set back, nobody is to wait until it has caught up."""
        row = self._connection.execute("select earned, at from rates where name = ?", (name,)).fetchone()
        if row is None:
            return 0.0
        earned, at = row
        if at - now > _SET_BACK_S:
            earned -= at - now
            self._connection.execute("update rates set earned = ?, at = ? where name = ?", (earned, now, name))
        return float(earned)

    def purge(self, now: float) -> None:
        """Forgets what is earned again, which is as if it had never been taken."""
        self._connection.execute("delete from rates where earned <= ?", (now,))
