"""What the settings of the guard against loops and runaways are made of."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from tokenman_core.config.section import Section
from tokenman_core.config.values import Word, exact, exact_schema
from tokenman_core.config.wrong import wrong

_MOST_USD = 100_000


def _times(value: int) -> int:
    if value == 1:
        raise wrong("would stop whatever is done twice; good values: 0 (off), 5, 20")
    return value


Times = Annotated[int, Field(ge=0, le=1000), AfterValidator(_times)]
"""How often in a row; 0: not looked for."""


Speed = Annotated[
    Decimal,
    BeforeValidator(exact("is no amount of USD a minute; good values: 0 (off), 0.5, 2", _MOST_USD, zero=True)),
    PlainSerializer(str),
    exact_schema(_MOST_USD, (0.5, 2), zero=True),
]
"""USD a minute, exact; 0: not looked for."""


class Guard(Section):
    """Of one session. `repeats`: the same tool call with the same answer, or the very same request. `errors`: the same error of the
    same tool. At the limit there is a warning; beyond it, `then`.
    """

    repeats: Times = 0
    errors: Times = 0
    usd_per_minute: Speed = Decimal(0)
    then: Annotated[Literal["warn", "block"], Word] = "block"
