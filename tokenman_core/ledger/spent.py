"""What calls have cost since a moment, by all that budgets count by: from it their counts can be made anew."""

import sqlite3
from dataclasses import dataclass

from tokenman_core.ledger.store import DAY_US, NOTIONAL

_HALF = 1_000_000  # money is summed in two halves: a whole sum could leave the 64 bits, where SQLite gives up
_MOST_CRASHED = 10_000
_NAMES = ("provider", "model", "project", "client", "session")


@dataclass(frozen=True)
class Spent:
    """`cost` in 1e-12 USD, of which `notional` is the list price of what subscriptions paid for. Names as in the ledger."""

    provider: str
    model: str
    project: str
    client: str
    session: str
    cost: int
    notional: int


def spent(connection: sqlite3.Connection, since: int, horizon: int) -> list[Spent]:
    """`since` in microseconds since the epoch. Calls from before `horizon` are known by the sums of their days alone: without
    sessions, and those of the whole day in which `since` is.
    """
    single, found = since, list[Spent]()
    if since < horizon:
        last = -(-horizon // DAY_US)
        single = last * DAY_US
        sums = connection.execute(
            "select provider, model, project, client, cost, notional from days where day >= ? and day < ?",
            (since // DAY_US, last),
        )
        found += [
            Spent(provider, model, project, client, "", cost, notional)
            for provider, model, project, client, cost, notional in sums
        ]
    said = ", ".join(f"coalesce((select text from names where n = {name}), '')" for name in _NAMES)
    calls = connection.execute(
        f"select {said}, flags & {NOTIONAL} <> 0, sum(cost / {_HALF}), sum(cost % {_HALF}) from calls"
        f" where time >= ? and cost > 0 group by {', '.join(_NAMES)}, flags & {NOTIONAL}",
        (single,),
    )
    for provider, model, project, client, session, notional, whole, rest in calls:
        cost = whole * _HALF + rest
        found.append(Spent(provider, model, project, client, session, cost, cost if notional else 0))
    return found


def crashed(connection: sqlite3.Connection, since: int) -> list[tuple[float, Spent]]:
    """Calls that ended with their process, as far as calls are kept one by one, each with when it began (seconds since the
    epoch); the latest of very many.
    """
    said = ", ".join(f"coalesce((select text from names where n = {name}), '')" for name in _NAMES)
    of = connection.execute("select n from names where text = 'crashed'").fetchone()
    if of is None:
        return []
    calls = connection.execute(
        f"select time, {said}, cost, iif(flags & {NOTIONAL}, cost, 0) from calls"
        " where time >= ? and cost > 0 and outcome = ? order by time desc limit ?",
        (since, of[0], _MOST_CRASHED),
    )
    return [(time / 1e6, Spent(*names)) for time, *names in calls]
