"""What the settings of budgets and rate limits are made of: whom they are about, how much, and what happens beyond it."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from tokenman_core.config.section import Section
from tokenman_core.config.values import Word
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


def _usd(value: Any) -> Decimal:
    good = wrong('is no amount of USD; good values: 10, 2.5, "0.50"')
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise good
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        raise good from None
    if not (amount.is_finite() and 0 < amount <= _MOST_USD):
        raise good
    return amount


Usd = Annotated[
    Decimal,
    BeforeValidator(_usd),
    PlainSerializer(str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": _MOST_USD},
                {"type": "string", "pattern": r"^\d+(\.\d+)?$"},
            ],
            "examples": [10, "2.50"],
        }
    ),
]
"""An amount of USD, exact."""


def _share(value: Any) -> Decimal:
    good = wrong("is no share of a limit; good values: 0.5, 0.8, 1.0")
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise good
    try:
        share = Decimal(str(value))
    except ArithmeticError:
        raise good from None
    if not (share.is_finite() and 0 < share <= 10):
        raise good
    return share


Share = Annotated[
    Decimal,
    BeforeValidator(_share),
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
