"""Counts and histograms as plain numbers: one thread adds to them for next to nothing, and a copy of them is shown."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

Labels = tuple[str, ...]


@dataclass
class Count:
    """Only ever grows; `name` without `_total`. Money is added as `Decimal`, so that no digit of it is lost."""

    name: str
    help: str
    labels: Labels
    values: defaultdict[Labels, int | Decimal] = field(default_factory=lambda: defaultdict(int))

    def copy(self) -> "Count":
        return Count(self.name, self.help, self.labels, self.values.copy())


@dataclass
class Histogram:
    """Seconds. `buckets` holds for each bound how many were at most that and over the one before; the last is beyond all."""

    name: str
    help: str
    labels: Labels
    bounds: Sequence[float]
    buckets: dict[Labels, list[int]] = field(default_factory=dict)
    sums: dict[Labels, float] = field(default_factory=dict)

    def observe(self, labels: Labels, seconds: float) -> None:
        buckets = self.buckets.get(labels)
        if buckets is None:
            buckets = self.buckets[labels] = [0] * (len(self.bounds) + 1)
            self.sums[labels] = 0.0
        buckets[bisect_left(self.bounds, seconds)] += 1
        self.sums[labels] += seconds

    def copy(self) -> "Histogram":
        buckets = {labels: counts.copy() for labels, counts in self.buckets.items()}
        return Histogram(self.name, self.help, self.labels, self.bounds, buckets, self.sums.copy())


@dataclass(frozen=True)
class Gauge:
    """What is at this moment."""

    name: str
    help: str
    labels: Labels
    values: Mapping[Labels, float]


Series = Count | Histogram | Gauge
