"""What a budget says, and what it makes of amounts of money: whole numbers, so that sums are exact."""

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Literal

from tokenman_core.budget.windows import Span
from tokenman_core.scopes import Reach

UNIT = Decimal("1e-12")
"""USD, the smallest amount that is booked (as in the ledger)."""

OnExceed = Literal["block", "warn", "downgrade"]


@dataclass(frozen=True)
class Rule:
    """So many units may be spent in each window by the calls within reach.

    `alerts`: shares of the limit that are told once in a window. `refuses_without_store`: when the count cannot be kept.
    `lets_unbounded`: also calls whose cost has no bound beforehand (batches, a search tool without `max_uses`).
    """

    name: str
    limit: int
    span: Span
    reach: Reach = field(default_factory=Reach)
    on_exceed: OnExceed = "block"
    downgrade_to: str = ""
    alerts: tuple[Decimal, ...] = ()
    refuses_without_store: bool = True
    lets_unbounded: bool = False

    @property
    def blocks(self) -> bool:
        return self.on_exceed != "warn"


def units(usd: Decimal) -> int:
    """Rounded up: what is left over is never given away."""
    return int((usd / UNIT).to_integral_value(ROUND_CEILING))


def dollars(amount: int) -> Decimal:
    return amount * UNIT
