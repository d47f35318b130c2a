"""Counters with reservations: what is spent and what is held of a limit, so that no burst of calls can pass it.

A reservation is a lease with amounts on some counters, all of them or none. It ends in one of three ways: settled (what was
really spent is booked, once), released, or expired with nobody to renew it, when its process died. What has ended leaves a mark,
so that a late question about it changes nothing. Amounts are integers; what they count, who asks knows.
"""

import functools
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from operator import itemgetter
from typing import Literal, NamedTuple, Protocol

MOST = 2**62
"""What is spent on a counter is no more."""

MOST_HELD = 2**52
"""A reservation holds no more, so that the sum of as many as there may be fits where it is kept."""

ENDED_S = 86_400.0
"""So long is it known that a reservation has ended, and one that has expired can still be renewed: the clock may have been set."""


class Hold(NamedTuple):
    """`amount` to be held on a counter; spent and held together may not pass `limit` (None: it is counted, and not limited).

    `until`: when the counter itself may be forgotten, in seconds since the epoch, as at the end of its window. `sure`: so much of
    the amount is spent in any case once the hold's process dies, as far as anybody can tell.
    """

    counter: str
    amount: int
    limit: int | None
    until: float
    sure: int = 0


class Booking(NamedTuple):
    """`amount` that was spent on a counter."""

    counter: str
    amount: int
    until: float


class Count(NamedTuple):
    spent: int = 0
    held: int = 0


class Lapsed(NamedTuple):
    """A reservation that nobody renewed: what it held on each of its counters, what was booked of that, since when it was held,
    what was said about it when it was asked for, and which counters these are.
    """

    lease: str
    amount: int
    booked: int
    since: float
    about: str
    counters: tuple[str, ...] = ()


Reserved = Literal["held", "short", "ended"]
"""`short`: a counter cannot hold its amount; `ended`: this reservation was settled or released before."""


class Counts(Protocol):
    """Each method is one step that others see whole or not at all. Moments are seconds since the epoch."""

    @property
    def fresh(self) -> bool:
        """Whether the counters began with nothing, because there was no file, and `seed` was not called yet."""

    def seed(self, bookings: Sequence[Booking]) -> bool:
        """Adds what was spent before the file was made. False: it was done before, and nothing is added twice."""

    def reserve(
        self, lease: str, holds: Sequence[Hold], *, until: float, now: float, about: str = ""
    ) -> tuple[Reserved, Mapping[str, Count]]:
        """Holds all or nothing; if a counter is short, with all of them as they are, else with none.

        A lease that is there already gets the new amounts. `about`: a note that is kept for as long as it holds something.
        """

    def settle(self, lease: str, bookings: Sequence[Booking], *, now: float) -> Mapping[str, int] | None:
        """Ends a reservation with what was spent, and what is spent of each counter then; None: it had ended, and nothing is
        booked twice.

        One that has expired is booked all the same: it was spent. If a part was booked when it lapsed, the rest is.
        """

    def lapse(self, *, before: float, now: float, but: Collection[str] = ()) -> Sequence[Lapsed]:
        """Ends the reservations that expire before a moment and of which something is surely spent, and books that."""

    def release(self, lease: str, *, now: float) -> None:
        """Ends a reservation of which nothing was spent."""

    def unhold(self, lease: str) -> None:
        """Takes back what a reservation holds, as if it had not been asked for: it may be asked for again."""

    def hold_on(self, leases: Collection[str], until: float) -> None:
        """Reservations that are there run until then."""

    def counts(self, counters: Iterable[str], *, now: float) -> Mapping[str, Count]:
        """Of each, as it is now."""

    def under(self, prefix: str, *, most: int, now: float) -> Mapping[str, Count]:
        """Those whose names begin so, of which the most is spent or held first."""

    def held(self, *, now: float) -> Sequence[tuple[str, str, int, float, float]]:
        """What is held: lease, counter, amount, since, until."""

    def put_back(self, counter: str, *, now: float) -> None:
        """Sets a counter to nothing spent. What is held of it stays held."""


STEP = (
    """create table counts (
        counter text primary key,
        spent integer not null,
        until real not null
    ) without rowid""",
    """create table holds (
        lease text not null,
        counter text not null,
        amount integer not null,
        until real not null,
        primary key (lease, counter)
    ) without rowid""",
    "create index holds_by_counter on holds (counter, until, amount)",
    """create table ended (
        lease text primary key,
        until real not null
    ) without rowid""",
)
"""The tables, as a step of the state file's schema."""

LATER_STEP = ("alter table holds add column since real not null default 0",)

SURE_STEP = (
    "alter table holds add column sure integer not null default 0",
    "alter table holds add column ends real not null default 0",  # of the counter
    "alter table holds add column about text not null default ''",
    "alter table ended add column booked integer not null default 0",  # when it lapsed
)

FIRST = ("insert into entries (kind, name, version, value, until) values ('counts', 'fresh', 1, x'', 9e15)",)
"""Of a new file: its counters know nothing of what was spent before."""

_COUNT = (
    "select (select spent from counts where counter = ?1),"
    " (select sum(amount) from holds where counter = ?1 and until > ?2)"
)


@functools.cache
def _holding(counters: int) -> str:
    """One statement, and so one transaction, for the usual case: a lease that is new, and room on so many counters.

    It is given the lease, now, until when and the note, and of each counter its name, the amount, how much of that is sure, when
    the counter ends, and the most that may be spent and held of it. The last has the note.
    """
    firsts = range(5, 5 + 5 * counters, 5)
    rows = " union all ".join(
        f"select ?1, ?{at}, ?{at + 1}, ?{at + 2}, ?{at + 3}, ?2, ?3, {'?4' if at == firsts[-1] else "''"}"
        for at in firsts
    )
    room = "".join(
        f" and (?{at + 4} is null or ?{at + 1} + coalesce((select spent from counts where counter = ?{at}), 0)"
        f" + coalesce((select sum(amount) from holds where counter = ?{at} and until > ?2), 0) <= ?{at + 4})"
        for at in firsts
    )
    return (
        f"insert into holds (lease, counter, amount, sure, ends, since, until, about) select * from ({rows})"
        " where not exists (select 1 from ended where lease = ?1) and not exists (select 1 from holds where lease = ?1)"
        + room
    )


class SqliteCounts:
    """`Counts` on a connection that others write on too. `whole` is a transaction that waits for nobody inside."""

    def __init__(self, connection: sqlite3.Connection, whole: Callable[[], AbstractContextManager[None]]) -> None:
        self._cursor, self._whole = (
            connection.cursor(),
            whole,
        )  # one for all: to make one takes as long as a brief statement
        self._fresh = True  # until it is known to be none

    @property
    def fresh(self) -> bool:
        if self._fresh:
            found = self._cursor.execute("select 1 from entries where kind = 'counts' and name = 'fresh'").fetchone()
            self._fresh = found is not None
        return self._fresh

    def seed(self, bookings: Sequence[Booking]) -> bool:
        with self._whole():
            if not self.fresh:
                return False
            for each in bookings:
                self._add(each.counter, each.amount, each.until)
            self._cursor.execute("delete from entries where kind = 'counts' and name = 'fresh'")
            return True

    def reserve(
        self, lease: str, holds: Sequence[Hold], *, until: float, now: float, about: str = ""
    ) -> tuple[Reserved, Mapping[str, Count]]:
        holds = sorted(
            holds, key=itemgetter(0)
        )  # the last by name has the note, where others look for it who expect one in each
        if self._held_at_once(lease, holds, until, now, about):
            return "held", {}
        with self._whole():
            if self._ended(lease):
                return "ended", {}
            self._cursor.execute("delete from holds where lease = ?", (lease,))
            counts = {hold.counter: self._count(hold.counter, now) for hold in holds}
            if any(_passes(hold, counts[hold.counter]) for hold in holds):
                return "short", counts
            self._cursor.executemany(
                "insert into holds (lease, counter, amount, sure, ends, since, until, about) values (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        lease,
                        each.counter,
                        min(each.amount, MOST_HELD),
                        min(each.sure, MOST_HELD),
                        each.until,
                        now,
                        until,
                        about if each is holds[-1] else "",
                    )
                    for each in holds
                ],
            )
            return "held", {}

    def _held_at_once(self, lease: str, holds: Sequence[Hold], until: float, now: float, about: str) -> bool:
        """False: nothing was done, and it has to be looked why."""
        if not holds:
            return False
        asked: list[object] = [lease, now, until, about]
        for counter, amount, limit, ends, sure in holds:
            if amount > MOST_HELD:
                return False
            asked += counter, amount, sure, ends, limit
        return self._cursor.execute(_holding(len(holds)), asked).rowcount > 0

    def settle(self, lease: str, bookings: Sequence[Booking], *, now: float) -> Mapping[str, int] | None:
        with self._whole():
            booked = 0
            if not self._end(lease, now):
                booked = self._booked(lease)
                if not booked:
                    return None
            return {each.counter: self._add(each.counter, each.amount - booked, each.until) for each in bookings}

    def lapse(self, *, before: float, now: float, but: Collection[str] = ()) -> Sequence[Lapsed]:
        with self._whole():
            rows = self._cursor.execute(
                "select lease, counter, amount, sure, ends, since, about from holds where until <= ? and sure > 0",
                (before,),
            ).fetchall()
            found: dict[str, Lapsed] = {}
            for lease, counter, amount, sure, ends, since, about in rows:
                if lease not in but:
                    self._add(counter, sure, ends)
                    so_far = found.get(lease, Lapsed(lease, amount, sure, since, about))
                    counters = (*so_far.counters, counter)
                    found[lease] = so_far._replace(about=so_far.about or about, counters=counters)
            for each in found.values():
                self._end(each.lease, now)
                self._cursor.execute("update ended set booked = ? where lease = ?", (each.booked, each.lease))
            return list(found.values())

    def release(self, lease: str, *, now: float) -> None:
        with self._whole():
            self._end(lease, now)

    def unhold(self, lease: str) -> None:
        self._cursor.execute("delete from holds where lease = ?", (lease,))

    def hold_on(self, leases: Collection[str], until: float) -> None:
        with self._whole():
            self._cursor.executemany("update holds set until = ? where lease = ?", [(until, it) for it in leases])

    def counts(self, counters: Iterable[str], *, now: float) -> Mapping[str, Count]:
        return {counter: self._count(counter, now) for counter in counters}

    def under(self, prefix: str, *, most: int, now: float) -> Mapping[str, Count]:
        end = prefix + "\U0010ffff"
        names = self._cursor.execute(
            "select counter from (select counter, spent as amount from counts where counter >= ?1 and counter < ?2"
            " union all select counter, amount from holds where counter >= ?1 and counter < ?2 and until > ?3)"
            " group by counter order by sum(amount) desc, counter limit ?4",
            (prefix, end, now, most),
        ).fetchall()
        return self.counts([name for (name,) in names], now=now)

    def held(self, *, now: float) -> Sequence[tuple[str, str, int, float, float]]:
        return self._cursor.execute(
            "select lease, counter, amount, since, until from holds where until > ? order by lease, counter", (now,)
        ).fetchall()

    def put_back(self, counter: str, *, now: float) -> None:
        self._cursor.execute("delete from counts where counter = ?", (counter,))

    def _count(self, counter: str, now: float) -> Count:
        spent, held = self._cursor.execute(_COUNT, (counter, now)).fetchone()
        return Count(spent or 0, held or 0)

    def _add(self, counter: str, amount: int, until: float) -> int:
        """What is spent of it then."""
        spent: int = self._cursor.execute(
            "insert into counts (counter, spent, until) values (?, ?, ?) on conflict do update"
            f" set spent = min({MOST}, counts.spent + excluded.spent), until = max(counts.until, excluded.until)"
            " returning spent",
            (counter, min(amount, MOST), until),
        ).fetchone()[0]
        return spent

    def _booked(self, lease: str) -> int:
        """What was booked when it lapsed, asked for once."""
        found = self._cursor.execute("select booked from ended where lease = ?", (lease,)).fetchone()
        if found is None or not found[0]:
            return 0
        self._cursor.execute("update ended set booked = 0 where lease = ?", (lease,))
        return int(found[0])

    def _ended(self, lease: str) -> bool:
        return self._cursor.execute("select 1 from ended where lease = ?", (lease,)).fetchone() is not None

    def _end(self, lease: str, now: float) -> bool:
        """Whether it had not ended before."""
        self._cursor.execute("delete from holds where lease = ?", (lease,))
        ended = self._cursor.execute("insert or ignore into ended (lease, until) values (?, ?)", (lease, now + ENDED_S))
        return ended.rowcount == 1

    def purge(self, now: float) -> None:
        """Forgets what nobody asks for any more, so that the file does not grow with every call."""
        self._cursor.execute("delete from holds where until <= ? and sure = 0", (now - ENDED_S,))
        for table in ("counts", "ended"):
            self._cursor.execute(f"delete from {table} where until <= ?", (now,))


def _passes(hold: Hold, count: Count) -> bool:
    return hold.limit is not None and count.spent + count.held + hold.amount > hold.limit
