"""Of budgets: whether their counts can be read, and what calls hold of them, since when."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from addons.cli.doctor.finding import Finding, Patient, fail, ok, warn
from addons.cli.figures import so_many
from tokenman_core.budget.books import LEASE_S
from tokenman_core.budget.rules import dollars
from tokenman_core.ledger.row import clean, plain
from tokenman_core.state import path_of

_SHOWN = 20  # counters


def held(patient: Patient) -> Iterator[Finding]:
    path = path_of(patient.settings)
    if not path.exists():
        yield ok("nothing has been counted yet")
        return
    now = time.time()
    try:
        found = _look(path, now)
    except sqlite3.Error as error:
        yield fail(
            f"{path} cannot be read: {type(error).__name__}; calls under a budget that blocks are refused",
            "see its disk and rights; if it is damaged, move it away: the counts are made anew from the ledger",
        )
        return
    if not found:
        yield ok("nothing is held by running calls")
    for counter, amount, calls, since, until in found[:_SHOWN]:
        name, window, *whose = clean(counter).split("/")[1:]
        of = f" of {'/'.join(whose)}" if any(whose) else ""
        text = f"{name}, {window}{of}: {plain(dollars(amount))} USD held by {so_many(calls, 'call')}"
        text += f", the oldest for {max(0.0, now - since):.0f} s"
        if patient.client is None:
            yield warn(f"{text}, and no tokenman runs here", f"it is free again within {max(0.0, until - now):.0f} s")
        else:
            yield ok(text)
    if len(found) > _SHOWN:
        yield ok(f"and {len(found) - _SHOWN} more counters of which something is held, for {LEASE_S:.0f} s at a time")


def _look(path: Path, now: float) -> list[tuple[str, int, int, float, float]]:
    """Counter, amount, calls, since, until; of what is held now. Raises sqlite3.Error."""
    connection = sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True, timeout=5)
    try:
        columns = {name for _, name, *_ in connection.execute("pragma table_info(holds)")}
        if "since" not in columns:  # written by an older version, and opened by none since: what it held has ended
            return []
        return connection.execute(
            "select counter, sum(amount), count(*), min(since), max(until) from holds"
            " where until > ? and counter like 'budget/%' group by counter order by 2 desc",
            (now,),
        ).fetchall()
    finally:
        connection.close()
