"""Sums of calls, as the report and the API tell them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from tokenman_core.ledger.row import dollars, plain


@dataclass(frozen=True)
class Sums:
    """Of some calls. Money in USD, exact. `cost` is of the calls whose price is known; the `unpriced` ones are not in it.

    `notional` is the part of `cost` that is the list price of what subscriptions paid for. `estimated` is how many calls have
    tokens that were counted here, `ceiling` how many have a guessed price. `refused` are calls that their provider answered with
    4xx, which are no `errors`. `input` counts cached tokens too. `hits` are answers from the cache. `saved` is what was not asked
    of a provider, `cache_saved` what the providers' own caches took off `cost`. `repeated` calls came while there was no cache of
    answers, and one would have had theirs, the `exact` ones of them also one of mode deterministic; with what they cost.
    """

    calls: int = 0
    errors: int = 0
    aborted: int = 0
    hits: int = 0
    masked: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    unpriced: int = 0
    estimated: int = 0
    refused: int = 0
    ceiling: int = 0
    cost: Decimal = Decimal(0)
    notional: Decimal = Decimal(0)
    saved: Decimal = Decimal(0)
    cache_saved: Decimal = Decimal(0)
    repeated: int = 0
    repeated_cost: Decimal = Decimal(0)
    exact: int = 0
    exact_cost: Decimal = Decimal(0)

    @classmethod
    def of_file(cls, numbers: Mapping[str, int]) -> "Sums":
        """`numbers` as the ledger has them: money in 1e-12 USD."""
        return cls(**{it.name: _MONEY.get(it.name, int)(numbers[it.name]) for it in fields(cls)})

    @property
    def read_ratio(self) -> float | None:
        """Which part of the input came from the providers' own caches; None: there was none."""
        return round(self.cache_read / self.input, 4) if self.input else None

    @property
    def hit_ratio(self) -> float | None:
        """Which part of the calls the cache of answers answered; None: there were none."""
        return round(self.hits / self.calls, 4) if self.calls else None

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(**{it.name: getattr(self, it.name) + getattr(other, it.name) for it in fields(self)})

    @classmethod
    def together(cls, parts: "Iterable[Sums]") -> "Sums":
        return sum(parts, cls())

    def as_json(self) -> dict[str, Any]:
        return {
            "calls": self.calls,
            "errors": self.errors,
            "refused_calls": self.refused,
            "aborted": self.aborted,
            "cache_hits": self.hits,
            "masked": self.masked,
            "input_tokens": self.input,
            "output_tokens": self.output,
            "cache_read_tokens": self.cache_read,
            "cache_write_tokens": self.cache_write_5m + self.cache_write_1h,
            "reasoning_tokens": self.reasoning,
            "cost_usd": plain(self.cost),
            "notional_usd": plain(self.notional),
            "saved_usd": plain(self.saved),
            "unpriced_calls": self.unpriced,
            "estimated_calls": self.estimated,
            "ceiling_calls": self.ceiling,
            "prompt_cache_saved_usd": plain(self.cache_saved),
            "prompt_cache_read_ratio": self.read_ratio,
            "cache_hit_ratio": self.hit_ratio,
            "repeated_calls": self.repeated,
            "repeated_usd": plain(self.repeated_cost),
            "repeated_deterministic_calls": self.exact,
            "repeated_deterministic_usd": plain(self.exact_cost),
        }


@dataclass(frozen=True)
class Redactions:
    """(entity, action, how many values), in the order of the alphabet; the same by day, the latest first, and by project."""

    counts: tuple[tuple[str, str, int], ...] = ()
    days: tuple[tuple[str, str, str, int], ...] = ()
    projects: tuple[tuple[str, str, str, int], ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "masked": sum(number for _, action, number in self.counts if action != "log"),
            "items": [{"entity": entity, "action": action, "count": number} for entity, action, number in self.counts],
            "by_day": [dict(zip(("day", "entity", "action", "count"), each, strict=True)) for each in self.days],
            "by_project": [
                dict(zip(("project", "entity", "action", "count"), each, strict=True)) for each in self.projects
            ],
        }


@dataclass(frozen=True)
class Break:
    """So often a provider's own cache did not have what it had before, for this cause; with what that cost in tokens and USD."""

    cause: str
    count: int
    tokens: int
    usd: Decimal

    def as_json(self) -> dict[str, Any]:
        return {
            "cause": self.cause,
            "count": self.count,
            "lost_tokens": self.tokens,
            "lost_usd": plain(self.usd),
        }


_MONEY: Mapping[str, Any] = dict.fromkeys(
    ("cost", "notional", "saved", "cache_saved", "repeated_cost", "exact_cost"), dollars
)


@dataclass(frozen=True)
class Totals:
    """Sums by name, the dearest first (days and hours: the latest first), and all of them together.

    `begins` is set where the window began earlier than what is kept call by call: whole days are told from there on.
    """

    by: str
    groups: tuple[tuple[str, Sums], ...] = ()
    total: Sums = field(default_factory=Sums)
    begins: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "by": self.by,
            "items": [{self.by: name, **sums.as_json()} for name, sums in self.groups],
            "total": self.total.as_json(),
        }
