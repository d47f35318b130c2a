"""What the settings of budgets and rate limits are made of: whom they are about, how much, and what happens beyond it."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from tokenman_core.config.section import Section
from tokenman_core.config.values import Duration, Word, exact, exact_schema
from tokenman_core.config.wrong import wrong

_MOST_USD = 4_000_000  # what fits into the counters
_NAME = r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}$"

ScopeName = Literal["global", "client", "project", "provider", "model", "session"]
Pattern = Annotated[str, Field(min_length=1)]


class Matches(Section):
    """Which calls are meant: patterns with `*` and `?`, all of which must fit."""

    client: Pattern | None = None
    project: Pattern | None = None
    provider: Pattern | None = None
    model: Pattern | None = None
    session: Pattern | None = None

    @property
    def patterns(self) -> dict[str, str]:
        """Those that are given, by name."""
        return {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}


Usd = Annotated[
    Decimal,
    BeforeValidator(exact('is no amount of USD; good values: 10, 2.5, "0.50"', _MOST_USD, zero=False)),
    PlainSerializer(str),
    exact_schema(_MOST_USD, (10, "2.50"), zero=False),
]
"""An amount of USD, exact."""


Share = Annotated[
    Decimal,
    BeforeValidator(exact("is no share of a limit; good values: 0.5, 0.8, 1.0", 10, zero=False)),
    PlainSerializer(float),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 10}),
]


class Budget(Section):
    """So much may be spent in each window of the calendar (`timezone`) by the calls that match, counted by scope.

    `unbounded`: calls of which nothing says beforehand what they may cost. `on_store_error`: when the count cannot be kept.
    """

    name: str = Field(pattern=_NAME, examples=["daily"])
    limit_usd: Usd = Field(examples=[10])
    window: Annotated[Literal["hour", "day", "week", "month", "total"], Word] = "month"
    scope: Annotated[ScopeName, Word] = "global"
    match: Matches = Field(default_factory=dict, examples=[{"project": "web"}])  # type: ignore[assignment]
    on_exceed: Annotated[Literal["block", "warn", "downgrade"], Word] = "block"
    downgrade_to: Annotated[str, Field(min_length=1)] | None = Field(default=None, examples=["claude-haiku-4-5"])
    alerts: tuple[Share, ...] = Field(default=(), examples=[[0.5, 0.8, 1.0]])
    unbounded: Annotated[Literal["refuse", "allow"], Word] = "refuse"
    on_store_error: Annotated[Literal["refuse", "allow"], Word] = "refuse"

    @model_validator(mode="after")
    def _whole(self) -> "Budget":
        if self.on_exceed == "downgrade" and self.downgrade_to is None:
            raise wrong("says downgrade and not to what; a good value: downgrade_to: claude-haiku-4-5")
        if self.on_exceed != "downgrade" and self.downgrade_to is not None:
            raise wrong("names downgrade_to without on_exceed: downgrade; set both or none")
        return self


_RATE = re.compile(r"\s*([0-9]{1,12})\s*/\s*([0-9]{0,6})\s*([a-z]+)\s*")
_UNITS = {
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("m", "min", "minute"), 60.0),
    **dict.fromkeys(("h", "hour"), 3600.0),
    **dict.fromkeys(("d", "day"), 86400.0),
}


class Speed(NamedTuple):
    """So many in so many seconds."""

    number: int
    seconds: float

    def __str__(self) -> str:
        unit = next((name for name in ("s", "min", "h", "d") if _UNITS[name] == self.seconds), f"{self.seconds:g}s")
        return f"{self.number}/{unit}"


def parse_rate(value: Any) -> Speed:
    """`60/min`, `5/10s`, `1000/h`, `100000/day`."""
    good = wrong("is no rate; good values: 60/min, 5/10s, 1000/h, 100000/day")
    if isinstance(value, Speed):
        return value
    match = _RATE.fullmatch(value.lower()) if isinstance(value, str) else None
    if match is None or match[3] not in _UNITS:
        raise good
    seconds = int(match[2] or 1) * _UNITS[match[3]]
    if not (int(match[1]) and 0 < seconds <= 31 * 86400):
        raise good
    return Speed(int(match[1]), seconds)


RateText = Annotated[
    Speed,
    BeforeValidator(parse_rate),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": _RATE.pattern, "examples": ["60/min", "100000/day"]}),
]


class RateLimit(Section):
    """So many calls and tokens in a time, and so many calls at once, for the calls that match, counted by scope.

    `wait`: so long a call may wait for its turn before it is refused.
    """

    name: str = Field(pattern=_NAME, examples=["per-client"])
    scope: Annotated[ScopeName, Word] = "global"
    match: Matches = Field(default_factory=dict, examples=[{"model": "claude-*"}])  # type: ignore[assignment]
    requests: RateText | None = None
    tokens: RateText | None = None
    concurrent: int | None = Field(default=None, ge=1, le=100_000, examples=[20])
    wait: Duration = 0.0

    @model_validator(mode="after")
    def _something(self) -> "RateLimit":
        if self.requests is None and self.tokens is None and self.concurrent is None:
            raise wrong("limits nothing; a good value: requests: 60/min")
        return self
