"""The ledger's file as the one who writes it sees it: rows with their sums in one transaction, and the purge in small ones."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tokenman_core.database import Database
from tokenman_core.ledger import schema
from tokenman_core.ledger.names import Names
from tokenman_core.ledger.row import Row, pico
from tokenman_core.record import cause_of

STREAM, ESTIMATED, NOTIONAL, TRUNCATED, OVERRUN, REPEATED, EXACT, OTHER_MODEL = 1, 2, 4, 8, 16, 32, 64, 128
"""The bits of `flags`. `REPEATED`: a cache would have had its answer; `EXACT`: also one of mode deterministic."""

DAY_US = 86_400_000_000
MOST_CAUSES = 100  # of breaks, that a day's sums are kept for: there are fewer
MOST_A_DAY = 500  # combinations of names that a day's sums are kept for; what comes on top is summed under OTHER
OTHER = "other"
SPOTS_OF = 20_000  # calls, the latest, of which it is kept where something was found: at most some 30 MB

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PURGED_AT_ONCE = 500
_MOST_SUM = 9 * 10**18  # SQLite would go on in floating point beyond 2^63

_CALL = (
    "id", "time", "provider", "model", "dialect", "operation", "project", "client", "session", "login", "outcome",
    "status", "error", "detail", "flags", "attempts", "cache", "input", "output", "cache_read", "cache_write_5m",
    "cache_write_1h", "reasoning", "cost", "basis", "saved", "masked", "redactions", "duration", "ttft", "overhead",
    "tried", "cache_saved", "parts", "cache_break", "cache_lost", "cache_lost_cost",
    "unrestored",
)  # fmt: skip
_INSERT = f"insert or ignore into calls ({', '.join(_CALL)}) values ({', '.join('?' * len(_CALL))})"

KEYS = ("provider", "model", "project", "client")
SUMS = (
    "calls", "errors", "aborted", "hits", "masked", "input", "output", "cache_read", "cache_write_5m", "cache_write_1h",
    "reasoning", "cost", "notional", "saved", "unpriced", "estimated", "refused", "ceiling", "cache_saved",
    "repeated", "repeated_cost", "exact", "exact_cost",
)  # fmt: skip
_ADD = (
    f"insert into days (day, {', '.join((*KEYS, *SUMS))}) values ({', '.join('?' * (1 + len(KEYS) + len(SUMS)))})"
    f" on conflict do update set {', '.join(f'{it} = min({_MOST_SUM}, {it} + excluded.{it})' for it in SUMS)}"
)
_ADD_SPOTS = "insert or replace into spots (call, found) values (?, ?)"
_ADD_PROJECT = (
    "insert into redaction_project_days (day, project, entity, action, count) values (?, ?, ?, ?, ?)"
    " on conflict do update set count = count + excluded.count"
)
_ADD_REDACTION = (
    "insert into redaction_days (day, entity, action, count) values (?, ?, ?, ?)"
    " on conflict do update set count = count + excluded.count"
)
_ADD_BREAK = (
    "insert into cache_break_days (day, cause, count, tokens, cost) values (?, ?, ?, ?, ?) on conflict do update"
    f" set count = count + excluded.count, tokens = min({_MOST_SUM}, tokens + excluded.tokens),"
    f" cost = min({_MOST_SUM}, cost + excluded.cost)"
)

Key = tuple[int, str, str, str, str]  # day, provider, model, project, client


class Store:
    """An open ledger. Makes the folder and the file (only their owner reads them) where there are none.

    Of one thread. Raises sqlite3.Error, OSError, and ConfigError for a folder that cannot be had.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, schema.STEPS, ("auto_vacuum = incremental",))
        self._connection = self._database.connection
        self._names = Names(self._connection)
        self._names_seen = 0

    def close(self) -> None:
        """What waits in the log beside the file is put into it. Raises sqlite3.Error; closed it is all the same."""
        try:
            self._connection.execute("pragma wal_checkpoint(truncate)")
        finally:
            self._connection.close()

    @property
    def replaced(self) -> bool:
        """Whether another file, or none, now stands where this one was opened: rows written here would be lost."""
        return self._database.replaced

    def probe(self) -> None:
        """Whether it could be written now. Raises sqlite3.Error."""
        self._connection.execute("begin immediate")
        self._connection.execute("commit")

    def add(self, rows: Iterable[Row]) -> None:
        """All of the rows and their part of the sums, or nothing. A call that is already there is left as it is."""
        self._connection.execute("begin immediate")
        try:
            self._add(rows)
            self._connection.execute("commit")
        except BaseException:  # whatever it was: all of the rows or none
            self._names.forget()
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            raise

    def purge(self, before: int) -> bool:
        """Removes some rows from before that moment (microseconds since the epoch); True: there is more to do."""
        self._connection.execute("begin immediate")
        try:
            gone = self._connection.execute(
                "delete from calls where seq in (select seq from calls where time < ? order by time limit ?)",
                (before, _PURGED_AT_ONCE),
            ).rowcount
            if gone:
                self._connection.execute(
                    "insert into facts (name, value) values ('horizon', ?)"
                    " on conflict do update set value = max(value, excluded.value)",
                    (before,),
                )
            more = gone == _PURGED_AT_ONCE
            if not more:
                after = self._names.purge(before // DAY_US, self._names_seen)
                self._names_seen = after or 0
                more = after is not None
                self._forget_spots()
            self._connection.execute("commit")
        except BaseException:  # whatever it was, the lock must not stay
            if self._connection.in_transaction:
                self._connection.execute("rollback")
            raise
        if not more:
            self._give_back()
        return more

    def _forget_spots(self) -> None:
        self._connection.execute("delete from spots where call not in (select seq from calls)")
        self._connection.execute("delete from spots where call <= (select max(seq) from calls) - ?", (SPOTS_OF,))

    def _give_back(self) -> None:
        """Pages that the purge emptied go back to the disk, but for what new rows will soon fill."""
        pages = self._connection.execute("pragma page_count").fetchone()[0]
        free = self._connection.execute("pragma freelist_count").fetchone()[0]
        if free > pages // 4:
            self._connection.execute(f"pragma incremental_vacuum({min(free // 2, 1000)})").fetchall()

    def _add(self, rows: Iterable[Row]) -> None:
        sums: dict[Key, Counter[str]] = {}
        redactions: Counter[tuple[int, str, str]] = Counter()
        of_projects: dict[Key, Counter[tuple[str, str]]] = {}
        breaks: dict[tuple[int, str], Counter[str]] = {}
        for row in rows:
            time = micro(row.time)
            day = time // DAY_US
            written = self._connection.execute(_INSERT, self._values(row, time, day))
            if written.rowcount != 1:
                continue
            if row.spots:
                self._connection.execute(_ADD_SPOTS, (written.lastrowid, self._spots(row, day)))
            if row.cache_break:
                lost = {"count": 1, "tokens": row.cache_lost, "cost": pico(row.cache_lost_usd)}
                breaks.setdefault((day, cause_of(row.cache_break)), Counter()).update(lost)
            key = (day, row.provider, row.model, row.project, row.client)
            sums.setdefault(key, Counter()).update(sums_of(row))
            for each in row.redactions:
                redactions[day, each.entity, each.action] += each.count
                of_projects.setdefault(key, Counter())[each.entity, each.action] += each.count
        for key, added in sums.items():
            kept = self._kept(key)
            self._connection.execute(_ADD, (*kept, *(max(-_MOST_SUM, min(_MOST_SUM, added[name])) for name in SUMS)))
            for (entity, action), number in of_projects.get(key, {}).items():
                self._connection.execute(_ADD_PROJECT, (key[0], kept[3], entity, action, number))
        for (day, entity, action), number in redactions.items():
            self._connection.execute(_ADD_REDACTION, (day, entity, action, number))
        for (day, cause), lost in breaks.items():
            numbers = (lost["count"], *(min(_MOST_SUM, lost[name]) for name in ("tokens", "cost")))
            self._connection.execute(_ADD_BREAK, (day, self._cause(day, cause), *numbers))

    def _values(self, row: Row, time: int, day: int) -> Sequence[object]:
        def number(text: str) -> int:
            return self._names.number(text, day)

        usage = row.usage
        flags = STREAM * row.stream | ESTIMATED * row.estimated | NOTIONAL * row.notional
        flags |= TRUNCATED * row.truncated | OVERRUN * row.overrun | OTHER_MODEL * row.other_model
        flags |= REPEATED * bool(row.repeats) | EXACT * (row.repeats == "deterministic")
        redactions = ",".join(
            f"{number(f'{each.entity} {each.action} {each.setting}')}:{each.count}" for each in row.redactions
        )
        tried = ",".join(
            f"{number(f'{each.provider} {each.model} {each.outcome}')}:{round(each.wait * 1000)}" for each in row.tried
        )
        return (
            bytes.fromhex(row.id.removeprefix("req_")), time, number(row.provider), number(row.model), number(row.dialect),
            number(row.operation), number(row.project), number(row.client), number(row.session), number(row.login),
            number(row.outcome), row.status, number(row.error), number(row.detail), flags, row.attempts, number(row.cache),
            usage.input, usage.output, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h, usage.reasoning,
            None if row.cost is None else pico(row.cost), number(row.basis), pico(row.saved), row.masked,
            redactions or None, _micro(row.duration), None if row.ttft is None else _micro(row.ttft), _micro(row.overhead),
            tried or None, pico(row.cache_saved),
            ",".join(f"{number(name)}:{count}" for name, count in usage.parts.items()) or None,
            number(row.cache_break), row.cache_lost, pico(row.cache_lost_usd), row.unrestored,
        )  # fmt: skip

    def _spots(self, row: Row, day: int) -> str:
        return "\n".join(
            f"{self._names.number(f'{each.entity} {each.action}', day)}:{each.times}:{each.hash}:{each.place}"
            for each in row.spots
        )

    def _cause(self, day: int, cause: str) -> str:
        """The cause itself while its day has room."""
        of_day = "select count(*), coalesce(max(cause = ?), 0) from cache_break_days where day = ?"
        count, there = self._connection.execute(of_day, (cause, day)).fetchone()
        return cause if there or count < MOST_CAUSES else OTHER

    def _kept(self, key: Key) -> Key:
        """The key itself while its day has room, so that no caller can make the sums grow without end."""
        day = key[0]
        there = self._connection.execute(
            "select 1 from days where (day, provider, model, project, client) = (?, ?, ?, ?, ?)", key
        ).fetchone()
        if (
            there
            or self._connection.execute("select count(*) from days where day = ?", (day,)).fetchone()[0] < MOST_A_DAY
        ):
            return key
        return (day, key[1], OTHER, OTHER, OTHER)


def sums_of(row: Row) -> dict[str, int]:
    """What one call adds to the sums of its day; money in 1e-12 USD."""
    usage = row.usage
    cost = pico(row.cost) if row.cost is not None else 0
    return {
        "calls": 1,
        "errors": int(bool(row.error)),
        "aborted": int(row.outcome == "aborted"),
        "hits": int(row.cache in ("hit", "coalesced")),
        "masked": row.masked,
        "input": usage.input,
        "output": usage.output,
        "cache_read": usage.cache_read,
        "cache_write_5m": usage.cache_write_5m,
        "cache_write_1h": usage.cache_write_1h,
        "reasoning": usage.reasoning,
        "cost": cost,
        "notional": cost if row.notional else 0,
        "saved": pico(row.saved),
        "unpriced": int(row.cost is None),
        "estimated": int(row.estimated),
        "refused": int(row.outcome == "answered" and 400 <= row.status < 500),
        "ceiling": int(row.basis == "ceiling"),
        "cache_saved": pico(row.cache_saved),
        "repeated": int(bool(row.repeats)),
        "repeated_cost": cost if row.repeats else 0,
        "exact": int(row.repeats == "deterministic"),
        "exact_cost": cost if row.repeats == "deterministic" else 0,
    }


def micro(moment: datetime) -> int:
    """Microseconds since the epoch."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def _micro(seconds: float) -> int:
    return max(0, round(seconds * 1_000_000))
