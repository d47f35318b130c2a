"""Rows of the ledger by what they are: which are asked for, and what of the file makes a `Row`."""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tokenman_core.exchange import Redacted, Spot
from tokenman_core.ledger.row import Row, dollars
from tokenman_core.ledger.store import (
    EPOCH,
    ESTIMATED,
    EXACT,
    NOTIONAL,
    OTHER_MODEL,
    OVERRUN,
    REPEATED,
    STREAM,
    TRUNCATED,
)
from tokenman_core.record import Tried
from tokenman_core.usage import Usage

LONGEST_WORD = 100
_MOST_STARS = 5  # in a pattern: SQLite tries the ways to match them one by one
_HEX = re.compile(r"[0-9a-f]{1,24}")
_CURSOR = re.compile(r"(\d{1,18})-(\d{1,18})")
_STATUS = re.compile(r"[1-5](\d\d|xx)")
_NAMED = (
    "provider", "model", "dialect", "operation", "project", "client", "session", "login", "outcome", "error", "detail",
    "cache", "basis",
)  # fmt: skip


@dataclass(frozen=True)
class Filter:
    """Which calls. "" is any. `model` may hold `*` and `?`; `status` is `429`, `4xx` or `error`; `q` is the
    beginning of an id, or a part of the name of a model, a project or a client.
    """

    model: str = ""
    project: str = ""
    client: str = ""
    provider: str = ""
    session: str = ""
    status: str = ""
    q: str = ""


ANY = Filter()


@dataclass(frozen=True)
class Page:
    """Rows, the newest first; `next` is what `before` has to be for those that follow, None at the end."""

    rows: tuple[Row, ...] = ()
    next: str | None = None


def conditions(wanted: Filter, before: str | None) -> tuple[str, list[object]]:
    """What stands behind `where`, and its parameters. Raises ValueError that names the field and a good value."""
    parts, values = ["1"], list[object]()
    for name in ("model", "project", "client", "provider", "session", "status", "q"):
        if len(getattr(wanted, name)) > LONGEST_WORD:
            raise ValueError(f"{name}: is longer than {LONGEST_WORD} characters, which no such name is")
    for name in ("project", "client", "provider", "session"):
        if text := getattr(wanted, name):
            parts.append(f"{name} = (select n from names where text = ?)")
            values.append(text)
    if wanted.model:
        if wanted.model.count("*") > _MOST_STARS:
            raise ValueError(f"model: has more than {_MOST_STARS} stars; good value: claude-*")
        parts.append("model in (select n from names where text glob ?)")
        values.append(wanted.model.replace("[", "[[]"))
    if wanted.status == "error":
        parts.append("(error <> 0 or status >= 400)")
    elif wanted.status:
        if not _STATUS.fullmatch(wanted.status):
            raise ValueError("status: is none; good values: 200, 429, 5xx, error")
        low = int(wanted.status.replace("x", "0"))
        parts.append("status between ? and ?")
        values += [low, low + 99 if wanted.status.endswith("xx") else low]
    if wanted.q:
        named = "in (select n from names where instr(lower(text), lower(?)))"
        parts.append(f"(model {named} or project {named} or client {named} or id between ? and ?)")
        values += [wanted.q, wanted.q, wanted.q, *id_range(wanted.q)]
    if before is not None:
        found = _CURSOR.fullmatch(before)
        if not found:
            raise ValueError("before: is no cursor; take what an earlier answer has as next")
        parts.append("(time, seq) < (?, ?)")
        values += [int(found[1]), int(found[2])]
    return " and ".join(parts), values


def id_range(text: str) -> tuple[bytes, bytes]:
    """The first and the last id that begin like this; for what no id begins like, a range with nothing in it."""
    digits = text.strip().lower().removeprefix("req_")
    if not _HEX.fullmatch(digits):
        return b"\x01", b"\x00"
    return bytes.fromhex(digits.ljust(24, "0")), bytes.fromhex(digits.ljust(24, "f"))


def cursor(call: sqlite3.Row) -> str:
    return f"{call['time']}-{call['seq']}"


def rows_of(connection: sqlite3.Connection, calls: Sequence[sqlite3.Row]) -> tuple[Row, ...]:
    """Rows with their names, in the same order."""
    numbers = {call[name] for call in calls for name in _NAMED}
    numbers |= {number for call in calls for number, _ in _pairs(call["redactions"])}
    numbers |= {_number(call, "cache_break") for call in calls}
    numbers |= {number for call in calls for name in _LATER for number, _ in _pairs(_later(call, name))}
    names: dict[int, str] = {}
    wanted = sorted(numbers)
    for start in range(0, len(wanted), 500):
        some = wanted[start : start + 500]
        names |= connection.execute(f"select n, text from names where n in ({', '.join('?' * len(some))})", some)
    return tuple(_row(call, names) for call in calls)


def _row(call: sqlite3.Row, names: Mapping[int, str]) -> Row:
    text: dict[str, Any] = {name: names.get(call[name], "") for name in _NAMED}
    return Row(
        **text,
        id="req_" + call["id"].hex(),
        time=moment(call["time"]),
        status=call["status"],
        stream=bool(call["flags"] & STREAM),
        attempts=call["attempts"],
        usage=Usage(
            call["input"], call["output"], call["cache_read"], call["cache_write_5m"], call["cache_write_1h"], call["reasoning"],
            {names.get(number, ""): count for number, count in _pairs(_later(call, "parts"))},
        ),
        cost=None if call["cost"] is None else dollars(call["cost"]),
        estimated=bool(call["flags"] & ESTIMATED),
        notional=bool(call["flags"] & NOTIONAL),
        truncated=bool(call["flags"] & TRUNCATED),
        overrun=bool(call["flags"] & OVERRUN),
        saved=dollars(call["saved"]),
        redactions=tuple(_redacted(names.get(number, ""), count) for number, count in _pairs(call["redactions"])),
        duration=call["duration"] / 1e6,
        ttft=None if call["ttft"] is None else call["ttft"] / 1e6,
        overhead=call["overhead"] / 1e6,
        cache_saved=dollars(_number(call, "cache_saved")),
        repeats="deterministic" if call["flags"] & EXACT else "all" if call["flags"] & REPEATED else "",
        cache_break=names.get(_number(call, "cache_break"), ""),
        cache_lost=_number(call, "cache_lost"),
        cache_lost_usd=dollars(_number(call, "cache_lost_cost")),
        unrestored=_number(call, "unrestored"),
        other_model=bool(call["flags"] & OTHER_MODEL),
        tried=tuple(_tried(names.get(number, ""), wait) for number, wait in _pairs(_later(call, "tried"))),
    )  # fmt: skip


def _redacted(name: str, count: int) -> Redacted:
    entity, _, rest = name.partition(" ")
    action, _, setting = rest.partition(" ")
    return Redacted(entity, action, setting, count)


def spots_of(connection: sqlite3.Connection, seq: int) -> tuple[Spot, ...]:
    """Where what was found in a call stood; nothing if that is not kept any more."""
    if not there(connection, "spots"):
        return ()
    found = connection.execute("select found from spots where call = ?", (seq,)).fetchone()
    spots = []
    for line in found[0].split("\n") if found else ():
        number, times, hash, place = line.split(":", 3)
        name = connection.execute("select text from names where n = ?", (int(number),)).fetchone()
        entity, _, action = (name[0] if name else "").partition(" ")
        spots.append(Spot(place, entity, action, hash, int(times)))
    return tuple(spots)


def there(connection: sqlite3.Connection, table: str) -> bool:
    """Whether a file has a table: one that no newer version has opened for writing yet lacks some."""
    return connection.execute("select 1 from sqlite_master where name = ?", (table,)).fetchone() is not None


def _tried(name: str, wait: int) -> Tried:
    provider, model, outcome = ["", "", *name.rsplit(" ", 2)][-3:]
    return Tried(provider, outcome, model, wait / 1000)


_LATER = ("tried", "parts")


def _later(call: sqlite3.Row, name: str) -> str | None:
    """A file that no newer version has opened for writing yet has no such column."""
    found: str | None = call[name] if name in call.keys() else None  # noqa: SIM118, a Row is no mapping
    return found


def _number(call: sqlite3.Row, name: str) -> int:
    """The same of a column of numbers."""
    return int(call[name]) if name in call.keys() else 0  # noqa: SIM118, a Row is no mapping


def _pairs(text: str | None) -> list[tuple[int, int]]:
    return [
        (int(number), int(count)) for number, count in (part.split(":") for part in (text or "").split(",") if part)
    ]


def moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
