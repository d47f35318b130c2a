"""Sums since the start, of all calls and of each `tokenman run`: what a status line and the line behind a program say."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from tokenman_core.errors import ErrorKind
from tokenman_core.record import Record

_MOST_RUNS = 1000  # a mark comes with a call, so a stranger could make them grow; the longest unused goes first


@dataclass(frozen=True)
class Tally:
    """`errors` are calls that ended in one, `aborted` those that their program left. Money in USD.

    `asked` are the calls that asked a model; `refused` those that their provider answered with 4xx, by status, which are no
    errors. `input` and `output` are tokens. `cost` is known cost; `unpriced` counts the calls that had a bill without a price,
    `ceiling` those whose price was guessed.
    """

    calls: int = 0
    errors: int = 0
    aborted: int = 0
    masked: int = 0
    input: int = 0
    output: int = 0
    cost: Decimal = Decimal(0)
    saved: Decimal = Decimal(0)
    unpriced: int = 0
    asked: int = 0
    refused: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    ceiling: int = 0

    def plus(self, record: Record) -> "Tally":
        bill, usage = record.bill, record.usage
        return Tally(
            self.calls + 1,
            self.errors + (record.error is not None),
            self.aborted + (record.outcome == "aborted"),
            self.masked + record.masked,
            self.input + usage.input,
            self.output + usage.output,
            self.cost + (bill.cost or 0 if bill else 0),
            self.saved + record.saved,
            self.unpriced + (bill is not None and bill.cost is None),
            self.asked + record.generates,
            {**self.refused, record.status: self.refused.get(record.status, 0) + 1}
            if record.turned_down
            else self.refused,
            self.ceiling + (bill is not None and bill.basis == "ceiling"),
        )


class Tallies:
    """An `Observer`. `away` counts what was refused before it was known to be a call: it is in no tally."""

    def __init__(self, active: Callable[[], int] = lambda: 0) -> None:
        """`active` tells how many calls run now."""
        self._active = active
        self._runs: OrderedDict[str, Tally] = OrderedDict()
        self.total = Tally()
        self.away = 0

    @property
    def active(self) -> int:
        return self._active()

    def of_run(self, mark: str) -> Tally:
        """Of the calls that bore the mark of one `tokenman run`; zero for a mark that none bore."""
        return self._runs.get(mark, Tally())

    def ended(self, record: Record) -> None:
        self.total = self.total.plus(record)
        if record.run:
            self._runs[record.run] = self.of_run(record.run).plus(record)
            self._runs.move_to_end(record.run)
            if len(self._runs) > _MOST_RUNS:
                self._runs.popitem(last=False)

    def turned_away(self, kind: ErrorKind) -> None:
        self.away += 1
