"""Reads the ledger, while it is written or when nothing runs: pages of calls, one call, and sums that agree with them."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Literal

from tokenman_core import database
from tokenman_core.ledger import pages, trouble
from tokenman_core.ledger.pages import Filter, Page, moment
from tokenman_core.ledger.row import Row, dollars
from tokenman_core.ledger.span import EVER, Span, split
from tokenman_core.ledger.spent import Spent, crashed, spent
from tokenman_core.ledger.store import DAY_US, ESTIMATED, EXACT, NOTIONAL, OTHER, REPEATED, SUMS, micro
from tokenman_core.ledger.sums import Break, Redactions, Sums, Totals
from tokenman_core.record import cause_of

By = Literal["model", "project", "client", "provider", "day", "hour", "session"]

MOST_ROWS = 1000
MOST_GROUPS = 1000
_BUSY_S = 2.0
_HOUR_US = 3_600_000_000
_TIMES = {"day": DAY_US, "hour": _HOUR_US}
_MONEY = ("cost", "notional", "saved", "cache_saved", "repeated_cost", "exact_cost")
_EPOCH_DAY = date(1970, 1, 1)
_HALF = 1_000_000  # money is summed in two halves: a whole sum could leave the 64 bits, where SQLite gives up

_OF_CALLS = {
    "calls": "1",
    "errors": "error <> 0",
    "aborted": "outcome in (select n from names where text = 'aborted')",
    "hits": "cache in (select n from names where text in ('hit', 'coalesced'))",
    "cost": "coalesce(cost, 0)",
    "notional": f"iif(flags & {NOTIONAL}, coalesce(cost, 0), 0)",
    "unpriced": "cost is null",
    "estimated": f"flags & {ESTIMATED} <> 0",
    "refused": "status between 400 and 499 and outcome in (select n from names where text = 'answered')",
    "ceiling": "basis in (select n from names where text = 'ceiling')",
    "repeated": f"flags & {REPEATED} <> 0",
    "repeated_cost": f"iif(flags & {REPEATED}, coalesce(cost, 0), 0)",
    "exact": f"flags & {EXACT} <> 0",
    "exact_cost": f"iif(flags & {EXACT}, coalesce(cost, 0), 0)",
}
"""How a call's part of a sum is found where the column is not named like it."""


class LedgerError(Exception):
    """The ledger cannot be read. The message says why and what to do, and holds no path."""


class LedgerReader:
    """Every method opens the file anew, sees one state of it, and may be called on any thread; one that is not there yet is
    an empty one. Raises LedgerError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def page(self, wanted: Filter = pages.ANY, limit: int = 100, before: str | None = None) -> Page:
        """At most `limit` (up to 1,000) calls, the newest first, that follow the cursor `before`. Raises ValueError too."""
        where, values = pages.conditions(wanted, before)
        limit = max(1, min(MOST_ROWS, limit))
        with self._open() as connection:
            if connection is None:
                return Page()
            calls = connection.execute(
                f"select * from calls where {where} order by time desc, seq desc limit ?", (*values, limit + 1)
            ).fetchall()
            shown = calls[:limit]
            more = pages.cursor(shown[-1]) if len(calls) > limit else None
            return Page(pages.rows_of(connection, shown), more)

    def row(self, name: str) -> Row | None:
        """The call with that id; None: there is none, or it has been purged."""
        found = self.begin_with(name) if len(name) == len("req_") + 24 else ()
        return found[0] if found else None

    def begin_with(self, text: str, most: int = 10) -> tuple[Row, ...]:
        """Calls whose id begins with `text`, with or without its `req_`; in the order of their ids."""
        with self._open() as connection:
            if connection is None:
                return ()
            calls = connection.execute(
                "select * from calls where id between ? and ? order by id limit ?", (*pages.id_range(text), most)
            ).fetchall()
            rows = pages.rows_of(connection, calls)
            spots = [pages.spots_of(connection, call["seq"]) for call in calls]
            return tuple(replace(row, spots=each) for row, each in zip(rows, spots, strict=True))

    def totals(
        self, by: By, since: datetime | None = None, until: datetime | None = None, *, provider: str = ""
    ) -> Totals:
        """Sums of the calls that began in the window (None: without end), in groups.

        Whole days (UTC) are read from their sums, the rest from the calls, which agree to the last digit. Hours and sessions
        are read from calls alone, so those of purged calls are not in them. `provider`: of its calls alone.
        """
        with self._open() as connection:
            if connection is None:
                return Totals(by)
            span = self._span(connection, since, until, whole_days=by not in ("hour", "session"))
            found: dict[str, Counter[str]] = {}
            for row in self._sums(connection, by, span, provider):
                found.setdefault(_name(by, row["name"]), Counter()).update(_joined(row))
        groups = {name: Sums.of_file(numbers) for name, numbers in found.items()}
        begins = None if span.begins is None else moment(span.begins)
        return Totals(by, _ordered(by, groups), Sums.together(groups.values()), begins)

    def redactions(self, since: datetime | None = None, until: datetime | None = None) -> Redactions:
        """How many values of each entity met each action in the window, which is read like that of `totals`."""
        with self._open() as connection:
            if connection is None:
                return Redactions()
            span = self._span(connection, since, until, whole_days=True)
            counts: Counter[tuple[str, str]] = Counter()
            days: Counter[tuple[str, str, str]] = Counter()
            projects: Counter[tuple[str, str, str]] = Counter()
            whole = (span.first, span.last)
            for day, entity, action, number in connection.execute(
                "select day, entity, action, count from redaction_days where day >= ? and day < ?", whole
            ):
                counts[entity, action] += number
                days[_name("day", day), entity, action] += number
            if pages.there(connection, "redaction_project_days"):
                for project, entity, action, number in connection.execute(
                    "select project, entity, action, sum(count) from redaction_project_days"
                    " where day >= ? and day < ? group by 1, 2, 3",
                    whole,
                ):
                    projects[project, entity, action] += number
            for edge in span.edges:
                calls = connection.execute(
                    "select * from calls where time >= ? and time < ? and redactions is not null", edge
                )
                while some := calls.fetchmany(MOST_ROWS):
                    for row in pages.rows_of(connection, some):
                        for each in row.redactions:
                            counts[each.entity, each.action] += each.count
                            days[row.time.date().isoformat(), each.entity, each.action] += each.count
                            projects[row.project, each.entity, each.action] += each.count
        return Redactions(
            tuple((*key, number) for key, number in sorted(counts.items())),
            tuple((*key, number) for key, number in sorted(days.items(), reverse=True)[:MOST_GROUPS]),
            tuple((*key, number) for key, number in sorted(projects.most_common(MOST_GROUPS))),
        )

    def breaks(self, since: datetime | None = None, until: datetime | None = None) -> tuple[Break, ...]:
        """Why the providers' own caches did not have what they had before, in the window, the dearest cause first.

        The window is read like that of `totals`.
        """
        found: dict[str, Counter[str]] = {}
        with self._open() as connection:
            if connection is None or not pages.there(connection, "cache_break_days"):
                return ()
            span = self._span(connection, since, until, whole_days=True)
            of_days = (
                "select cause, count, tokens, cost / {0}, cost % {0} from cache_break_days where day >= ? and day < ?"
            )
            of_calls = (
                "select text, count(*), sum(cache_lost), sum(cache_lost_cost / {0}), sum(cache_lost_cost % {0})"
                " from calls join names on n = cache_break where cache_break <> 0 and time >= ? and time < ? group by text"
            )
            for query, window in ((of_days, (span.first, span.last)), *((of_calls, edge) for edge in span.edges)):
                for words, count, tokens, cost, rest in connection.execute(query.format(_HALF), window):
                    lost = {"count": count, "tokens": tokens, "cost": cost * _HALF + rest}
                    found.setdefault(cause_of(words), Counter()).update(lost)
        breaks = [Break(cause, it["count"], it["tokens"], dollars(it["cost"])) for cause, it in found.items()]
        return tuple(sorted(breaks, key=lambda it: (-it.usd, -it.tokens, -it.count, it.cause)))

    def spent(self, since: datetime) -> list[Spent]:
        """What the calls that began since then have cost, by all that budgets count by."""
        with self._open() as connection:
            if connection is None:
                return []
            found = connection.execute("select value from facts where name = 'horizon'").fetchone()
            return spent(connection, micro(since), found[0] if found else 0)

    def crashed(self, since: datetime) -> list[tuple[float, Spent]]:
        """The same of each call that ended with its process, with when it began (seconds since the epoch)."""
        with self._open() as connection:
            return [] if connection is None else crashed(connection, micro(since))

    # -- inside --

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection | None]:
        """A transaction that sees one state; None where nothing was recorded yet."""
        try:
            self._path.stat()
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            raise LedgerError(trouble.in_words(error)) from error
        try:
            address = self._path.absolute().as_uri() + "?mode=ro"
            with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_S, isolation_level=None)) as connection:
                connection.row_factory = sqlite3.Row
                connection.execute("begin")
                yield connection if database.version(connection) else None
        except sqlite3.Error as error:
            raise LedgerError(trouble.in_words(error)) from error

    @staticmethod
    def _span(
        connection: sqlite3.Connection, since: datetime | None, until: datetime | None, *, whole_days: bool
    ) -> Span:
        start = micro(since) if since else 0
        end = micro(until) if until else EVER
        found = connection.execute("select value from facts where name = 'horizon'").fetchone()
        horizon = found[0] if found else 0
        if not whole_days:
            return Span(0, 0, ((start, end),), horizon if start < horizon else None)
        return split(start, end, horizon)

    @staticmethod
    def _sums(connection: sqlite3.Connection, by: By, span: Span, provider: str) -> Iterable[sqlite3.Row]:
        of = (provider,) if provider else ()
        if span.first < span.last:
            # A file that no newer version has opened for writing yet lacks columns.
            there = {column["name"] for column in connection.execute("pragma table_info(days)")}
            sums = _added(lambda it: it if it in there else "0")
            yield from connection.execute(
                f"select {by} as name, {sums} from days where day >= ? and day < ?"
                f"{' and provider = ?' if provider else ''} group by 1",
                (span.first, span.last, *of),
            )
        known = {column["name"] for column in connection.execute("pragma table_info(calls)")} | _OF_CALLS.keys()
        length = _TIMES.get(by)
        group = f"time / {length}" if length else f"(select text from names where n = {by})"
        for edge in span.edges:
            yield from connection.execute(
                f"select {group} as name, {_added(lambda it: _OF_CALLS.get(it, it) if it in known else '0')} from calls"
                f" where time >= ? and time < ?{' and provider = (select n from names where text = ?)' if provider else ''}"
                f" group by {'1' if length else by}",
                (*edge, *of),
            )


def _added(expression: Callable[[str], str]) -> str:
    columns = []
    for name in SUMS:
        one = expression(name)
        if name in _MONEY:
            columns += [f"sum({one} / {_HALF}) as {name}", f"sum({one} % {_HALF}) as {name}_rest"]
        else:
            columns.append(f"sum({one}) as {name}")
    return ", ".join(columns)


def _joined(row: sqlite3.Row) -> dict[str, int]:
    return {name: row[name] * _HALF + row[f"{name}_rest"] if name in _MONEY else row[name] for name in SUMS}


def _name(by: By, name: str | int | None) -> str:
    if by == "day":
        return (_EPOCH_DAY + timedelta(days=int(name or 0))).isoformat()
    if by == "hour":
        return f"{moment(int(name or 0) * _HOUR_US):%Y-%m-%dT%H:00:00Z}"
    return str(name or "")


def _ordered(by: By, groups: dict[str, Sums]) -> tuple[tuple[str, Sums], ...]:
    if by in _TIMES:
        return tuple(sorted(groups.items(), reverse=True))
    found = sorted(groups.items(), key=lambda it: (-it[1].cost, -it[1].calls, it[0]))
    if len(found) <= MOST_GROUPS:
        return tuple(found)
    kept = dict(found[: MOST_GROUPS - 1])
    rest = Sums.together(sums for _, sums in found[MOST_GROUPS - 1 :])
    kept[OTHER] = kept.get(OTHER, Sums()) + rest
    return tuple(kept.items())
