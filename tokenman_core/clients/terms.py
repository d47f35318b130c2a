"""What may be said of a client when it is made, held to the configuration, and when a key is needed at all."""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from tokenman_core.clients.record import Client, Unfit
from tokenman_core.config.models import Settings
from tokenman_core.config.spending import Usd, parse_rate
from tokenman_core.config.values import parse_duration

Span = Literal["hour", "day", "week", "month", "total"]
_OWN = re.compile(r"([0-9.]+)\s*/\s*(hour|day|week|month|total)")
_USD: TypeAdapter[Decimal] = TypeAdapter(Usd)


def keys_needed(settings: Settings) -> bool:
    """`access.clients`, where auto means: once a provider's key is configured, or the proxy listens beyond loopback."""
    said = settings.access.clients
    keyed = any(it.key is not None for it in settings.providers.values())
    return said == "required" or (said == "auto" and (keyed or not settings.listen.loopback))


def spend_of(budget: str) -> tuple[Decimal, Span] | None:
    """The amount in USD and the window of a client's own budget; None for the name of a configured one. Raises Unfit."""
    found = _OWN.fullmatch(budget.strip())
    if found is None:
        return None
    try:
        return _USD.validate_python(found[1]), found[2]  # type: ignore[return-value]  # the pattern has no other
    except ValidationError:
        raise Unfit("budget", "is no amount of USD; good values: 10/day, 2.50/hour, 100/month") from None


def terms(
    settings: Settings,
    name: str,
    now: float,
    *,
    project: str = "",
    models: Sequence[str] = (),
    providers: Sequence[str] = (),
    budget: str = "",
    rate: str = "",
    expires: Any = None,
) -> Client:
    """A client as it is to be kept, without its key. `now`: seconds since the epoch. `expires`: a duration from now.

    Raises Unfit, which says what would do.
    """
    if unknown := [each for each in providers if not any(fnmatchcase(one, each) for one in settings.providers)]:
        raise Unfit(
            "providers", f"{unknown[0]!r} is none that is configured; there are {', '.join(settings.providers)}"
        )
    if budget and spend_of(budget) is None and budget not in [each.name for each in settings.budgets]:
        there = ", ".join(each.name for each in settings.budgets) or "none"
        raise Unfit(
            "budget", f"is neither an amount like 10/day nor a budget of the configuration, of which there are: {there}"
        )
    said = _read("rate", parse_rate, rate) if rate else None
    lasts = None if expires is None else _read("expires", lambda it: parse_duration(it, "30d, 12h, 90m"), expires)
    if lasts == 0:
        raise Unfit("expires", "must be later than now; good values: 30d, 12h")
    return Client(
        name, "0" * 64, now, project, tuple(models), tuple(providers), budget.strip(), str(said or ""),
        None if lasts is None else now + lasts,
    )  # fmt: skip


def _read[Value](what: str, parse: Callable[[Any], Value], said: Any) -> Value:
    try:
        return parse(said)
    except PydanticCustomError as error:
        raise Unfit(what, error.message()) from None
