"""What a call costs: the providers' price lists, the user's own prices over them, and what is said where neither knows.

The lists are those of genai-prices (https://github.com/pydantic/genai-prices), as they were when it was released: nothing is
fetched. Money is `Decimal`, prices are USD for a million tokens.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tokenman_core.config.models import Pricing
from tokenman_core.providers import Provider
from tokenman_core.usage import MOST_TOKENS, Basis, Bill, Usage

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot
    from genai_prices.types import ModelInfo
    from genai_prices.types import Provider as PriceList

EXACT = Decimal("1e-12")
_MILLION = Decimal(10**6)
_LONGEST = 200  # characters of a model's name: what is longer is none, and must not be remembered

# Whose prices hold for a provider of ours, by its name. Other names may be those of a list (`deepseek`, `groq`).
_BY_NAME = {
    "anthropic": "anthropic",
    "openai": "openai",
    "codex": "openai",
    "gemini": "google",
    "gemini-code-assist": "google",
}
_BY_DIALECT = {"anthropic": "anthropic", "openai": "openai", "gemini": "google"}
# Listed without any price, and free of charge: Gemma on the Gemini API (https://ai.google.dev/gemini-api/docs/pricing), OpenAI's
# moderation (https://platform.openai.com/docs/guides/moderation), what OpenRouter calls free.
_FREE = re.compile(r"gemma-|moderation\Z|.*:free\Z")


@dataclass(frozen=True)
class Rates:
    """USD for a million tokens of each kind."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    reasoning: Decimal

    def cost(self, usage: Usage) -> Decimal:
        """Exact to 1e-12 USD. Parts that are larger than their whole are taken for all of it."""
        read = min(usage.cache_read, usage.input)
        long = min(usage.cache_write_1h, usage.input - read)
        short = min(usage.cache_write_5m, usage.input - read - long)
        thought = min(usage.reasoning, usage.output)
        total = (
            (usage.input - read - short - long) * self.input
            + read * self.cache_read
            + short * self.cache_write_5m
            + long * self.cache_write_1h
            + (usage.output - thought) * self.output
            + thought * self.reasoning
        )
        return (total / _MILLION).quantize(EXACT)


_NOTHING = Rates(*[Decimal(0)] * 6)


class Prices:
    """Prices by provider and model, as the settings say. Its first question loads the lists (half a second)."""

    def __init__(self, settings: Pricing) -> None:
        self._settings = settings

    @staticmethod
    def warm() -> None:
        """Loads the lists, for a thread to do before they are needed."""
        _lists()

    def bill(
        self,
        usage: Usage,
        provider: Provider,
        models: Sequence[str],
        at: datetime,
        *,
        terms: Mapping[str, str] | None = None,
        subscription: bool = False,
        estimated: bool = False,
    ) -> Bill:
        """What is booked for `usage` at `provider`.

        `models`: names of the model, the most trusted first; the first that has a price gives it. `at`: prices have dates.
        `terms`: words of the provider's that change its prices, as genai-prices has them (`service_tier`, `speed`,
        `processing`). `subscription`: the caller's own login pays for it, by the month.
        """
        if subscription and self._settings.subscriptions == "free":
            return Bill(usage, Decimal(0), "free", estimated)
        rates, basis = self._rates(
            usage, provider, [name for name in models if 0 < len(name) <= _LONGEST], at, terms or {}
        )
        return Bill(usage, rates.cost(usage) if rates else None, basis, estimated, notional=subscription)

    def _rates(
        self, usage: Usage, provider: Provider, models: Sequence[str], at: datetime, terms: Mapping[str, str]
    ) -> tuple[Rates | None, Basis]:
        for name in models:
            if override := self._override(name):
                return override, "override"
        address = f"{provider.scheme}://{provider.host}{provider.base_path}"
        for name in models:
            model = _model(address, provider.name, provider.dialect.name, name)
            if model is None:
                continue
            if rates := _listed(model, at, terms, usage.input):
                return rates, "list"
            # Priced by the minute or by the image, so that no count of tokens tells what it costs.
            return (_NOTHING, "free") if _FREE.match(model.id) else (None, "unknown")
        if self._settings.unknown_model == "ceiling":
            for name in models or [""]:
                for family in _families(address, provider.name, name):
                    if dearest := _dearest(family.id, at.date()):
                        return dearest, "ceiling"
        return None, "unknown"

    def _override(self, model: str) -> Rates | None:
        """The user's own price: of that very name, else of the first pattern that fits."""
        overrides = self._settings.overrides
        found = overrides.get(model) or next((it for name, it in overrides.items() if fnmatchcase(model, name)), None)
        if found is None:
            return None
        write = _or(found.cache_write_mtok, found.input_mtok)
        return Rates(
            found.input_mtok, found.output_mtok, _or(found.cache_read_mtok, found.input_mtok), write,
            _or(found.cache_write_1h_mtok, write), found.output_mtok,
        )  # fmt: skip


def _lists() -> "DataSnapshot":
    from genai_prices.data_snapshot import get_snapshot  # half a second, so not before it is needed

    return get_snapshot()


@lru_cache(1024)
def _model(address: str, name: str, dialect: str, model: str) -> "ModelInfo | None":
    """As it stands on the first list that has it; at last on that of those who made the API."""
    lists = _lists().providers
    last = [each for each in lists if each.id == _BY_DIALECT.get(dialect)]
    for family in (*_families(address, name, model), *last):
        if found := family.find_model(model, all_providers=lists):
            return found
    return None


@lru_cache(1024)
def _families(address: str, name: str, model: str) -> "tuple[PriceList, ...]":
    """The lists that surely hold for a provider: told by its address, by its name, by the model's name."""
    lists = _lists().providers
    found = [each for each in lists if re.match(each.api_pattern, address)]
    found += [each for each in lists if each.id == _BY_NAME.get(name, name)]
    if model:
        found += [each for each in lists if each.model_match and each.model_match.is_match(model.lower())]
    return tuple(found)


def _listed(model: "ModelInfo", at: datetime, terms: Mapping[str, str], size: int) -> Rates | None:
    """The rates of a listed model; None if it is not priced by input tokens at all (by the minute, by the image)."""
    price = model.get_prices(at, dict(terms) or None)

    def rate(name: str) -> Decimal | None:
        """Of a call whose input has `size` tokens: beyond a tier's start all of its tokens have the tier's price."""
        value: Any = getattr(price, name)
        if value is None or isinstance(value, Decimal):
            return value
        tier = next((each for each in reversed(value.tiers) if size > each.start), None)
        found: Decimal = tier.price if tier else value.base
        return found

    given = rate("input_mtok")
    if given is None:
        return None
    answered = _or(rate("output_mtok"), Decimal(0))  # embeddings have none
    write = _or(rate("cache_write_5m_mtok"), _or(rate("cache_write_mtok"), given))
    # Where a list lacks it: Anthropic's writes for an hour are at twice the price of input
    # (https://platform.claude.com/docs/en/build-with-claude/prompt-caching#pricing).
    long = _or(rate("cache_write_1h_mtok"), 2 * given if "claude" in model.id and write != given else write)
    return Rates(
        given, answered, _or(rate("cache_read_mtok"), given), write, long, _or(rate("output_reasoning_mtok"), answered)
    )


@lru_cache(64)
def _dearest(family: str, day: date) -> Rates | None:
    """For each kind of token the highest price on a provider's list on a day, long contexts included."""
    noon = datetime.combine(day, time(12), UTC)
    models = next((each.models for each in _lists().providers if each.id == family), [])
    listed = [rates for model in models if (rates := _listed(model, noon, {}, MOST_TOKENS))]
    if not listed:
        return None
    return Rates(*(max(getattr(rates, each.name) for rates in listed) for each in fields(Rates)))


def _or[T](value: T | None, other: T) -> T:
    return other if value is None else value
