"""What of a budget was booked of calls that ended with their process: nobody knows what those wrote."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from tokenman_core.budget.books import State
from tokenman_core.budget.rules import dollars
from tokenman_core.ledger import LedgerReader
from tokenman_core.ledger.spent import Spent
from tokenman_core.scopes import Subject

Crashed = Sequence[tuple[float, Spent]]
"""Calls that ended so, each with when it began (seconds since the epoch)."""


def since(states: Sequence[State], reader: LedgerReader) -> Crashed:
    """Those of the oldest of the windows and of all later ones. Raises LedgerError."""
    begins = min((state.window.begins for state in states), default=None)
    return () if begins is None else reader.crashed(datetime.fromtimestamp(begins, UTC))


def part(state: State, crashed: Crashed, *, counts_subscriptions: bool) -> Decimal:
    """USD of them that a budget counts in its window of now."""
    reach, total = state.rule.reach, 0
    for began, it in crashed:
        subject = Subject(it.client, it.project, it.provider, it.model, it.session)
        within = state.window.begins <= began < state.window.ends
        if within and reach.takes_in(subject) and reach.counted_by(subject) == state.counted_by:
            total += it.cost - (0 if counts_subscriptions else it.notional)
    return dollars(total)
