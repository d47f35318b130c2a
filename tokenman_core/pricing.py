"""What a call costs: the providers' price lists, the user's own prices over them, and what is said where neither knows.

Money is `Decimal`, prices are USD for a million tokens.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tokenman_core.config.models import Pricing
from tokenman_core.price_lists import SHIPPED, Lists, noon
from tokenman_core.providers import Provider
from tokenman_core.usage import MOST_TOKENS, Basis, Bill, Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo

EXACT = Decimal("1e-12")
_MILLION = Decimal(10**6)
_ZERO = Decimal(0)
_LONGEST = 200  # characters of a model's name: what is longer is none, and must not be remembered

# Listed without any price, and free of charge: Gemma on the Gemini API (https://ai.google.dev/gemini-api/docs/pricing), OpenAI's
# moderation (https://platform.openai.com/docs/guides/moderation), what OpenRouter calls free.
_FREE = re.compile(r"gemma-|moderation\Z|.*:free\Z")


# What of `Usage.parts` has which price on the lists, for how many (a million tokens, a thousand calls, an hour of 3,600 seconds),
# and, of tokens, which of the rates of text they are counted at as well.
# Every call has one of `requests`.
_PARTS: Mapping[str, tuple[str, int, str]] = {
    "input_audio_tokens": ("input_audio_mtok", 10**6, "input"),
    "input_image_tokens": ("input_image_mtok", 10**6, "input"),
    "input_video_tokens": ("input_video_mtok", 10**6, "input"),
    "cache_audio_read_tokens": ("cache_audio_read_mtok", 10**6, "cache_read"),
    "cache_image_read_tokens": ("cache_image_read_mtok", 10**6, "cache_read"),
    "output_audio_tokens": ("output_audio_mtok", 10**6, "output"),
    "output_image_tokens": ("output_image_mtok", 10**6, "output"),
    "output_video_tokens": ("output_video_mtok", 10**6, "output"),
    "web_searches": ("web_searches_kcount", 10**3, ""),
    "storage_searches": ("storage_searches_kcount", 10**3, ""),
    "containers": ("", 1, ""),
    "images": ("", 1, ""),
    "requests": ("requests_kcount", 10**3, ""),
    "input_characters": ("input_mchars", 10**6, ""),
    "audio_seconds": ("audio_hours", 3600, ""),
}
CONTAINER = Decimal("0.03")
"""USD for a session of OpenAI's code interpreter with 1 GB, the usual one (https://platform.openai.com/docs/pricing)."""

_UNLISTED: Mapping[str, Mapping[str, Decimal]] = {"openai": {"containers": CONTAINER}}  # what no list has
_CACHED = {"input_audio_tokens": "cache_audio_read_tokens", "input_image_tokens": "cache_image_read_tokens"}


@dataclass(frozen=True)
class Rates:
    """USD for a million tokens of each kind; `parts`: USD for one, by the names of `Usage.parts`, where a list has a price."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    reasoning: Decimal
    parts: Mapping[str, Decimal] = field(default_factory=dict)

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
        more = self._parts(usage, {"input": usage.input - read, "cache_read": read, "output": usage.output})
        return (total / _MILLION + more + self.parts.get("requests", _ZERO)).quantize(EXACT)

    def cache_saved(self, usage: Usage) -> Decimal:
        """What reads from the provider's cache cost less than input, less what writes to it cost more. Exact to 1e-12 USD."""
        uncached = replace(usage, cache_read=0, cache_write_5m=0, cache_write_1h=0, parts={})
        return self.cost(uncached) - self.cost(replace(usage, parts={}))

    def _parts(self, usage: Usage, left: dict[str, int]) -> Decimal:
        """What the parts cost, tokens what they cost more than text does. `left`: how many of each kind may be no text."""
        total = _ZERO
        for name, count in usage.parts.items():
            of = _PARTS[name][2]
            if of:
                count -= usage.parts.get(_CACHED.get(name, ""), 0)
                count = max(0, min(count, left[of]))
                left[of] -= count
            if (rate := self.parts.get(name)) is not None:
                total += count * (rate - getattr(self, of) / _MILLION if of else rate)
        return total

    def lacks(self, usage: Usage) -> bool:
        """Whether something was used that is no token, and for which there is no price here."""
        return any(not _PARTS[name][2] and name not in self.parts for name in usage.parts)

    def told(self) -> Iterator[tuple[Decimal, str]]:
        """Each price as its list has it, and for what."""
        yield from (
            (self.input, "for a million tokens of input"),
            (self.cache_read, "read from the provider's cache"),
            (self.cache_write_5m, "written to it for 5 minutes"),
            (self.cache_write_1h, "written to it for an hour"),
            (self.output, "of output"),
            (self.reasoning, "of reasoning"),
        )
        for name, rate in self.parts.items():
            per = _PARTS[name][1]
            yield rate * per, f"for {per:,} {name.replace('_', ' ')}"

    def dearer(self, other: "Rates") -> "Rates":
        """Of each kind the higher price."""
        parts = {
            name: max(self.parts.get(name, _ZERO), other.parts.get(name, _ZERO))
            for name in self.parts.keys() | other.parts.keys()
        }
        return Rates(
            max(self.input, other.input), max(self.output, other.output), max(self.cache_read, other.cache_read),
            max(self.cache_write_5m, other.cache_write_5m), max(self.cache_write_1h, other.cache_write_1h),
            max(self.reasoning, other.reasoning), parts,
        )  # fmt: skip

    def less(self, discount: Decimal) -> "Rates":
        """With a part of every price taken off."""
        rest = 1 - discount
        parts = {name: rate * rest for name, rate in self.parts.items()}
        return Rates(
            self.input * rest, self.output * rest, self.cache_read * rest, self.cache_write_5m * rest,
            self.cache_write_1h * rest, self.reasoning * rest, parts,
        )  # fmt: skip


_NOTHING = Rates(_ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO)


class Prices:
    """Prices by provider and model, as the settings say. Its first question loads the lists (half a second)."""

    def __init__(self, settings: Pricing, lists: Lists = SHIPPED) -> None:
        self._settings, self._lists = settings, lists
        self._dearest = lru_cache(64)(self._dearest_of)

    @property
    def ready(self) -> bool:
        """Whether the lists are loaded."""
        return self._lists.ready

    def warm(self) -> None:
        """Loads the lists, for a thread to do before they are needed."""
        self._lists.warm()

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
        cost, saved = (rates.cost(usage), rates.cache_saved(usage)) if rates else (None, _ZERO)
        return Bill(usage, cost, basis, estimated, subscription, saved)

    def rates(
        self,
        provider: Provider,
        model: str,
        at: datetime,
        usage: Usage | None = None,
        terms: Mapping[str, str] | None = None,
    ) -> tuple[Rates | None, Basis]:
        """What a model costs at a provider in a call with such a usage, as far as it is known; with none, a short one."""
        names = [model] if 0 < len(model) <= _LONGEST else []
        return self._rates(usage or Usage(), provider, names, at, terms or {})

    def _rates(
        self, usage: Usage, provider: Provider, models: Sequence[str], at: datetime, terms: Mapping[str, str]
    ) -> tuple[Rates | None, Basis]:
        address = f"{provider.scheme}://{provider.host}{provider.base_path}"
        for name in models:
            if override := self._override(name):
                return self._filled(override, usage, address, provider, name, at), "override"
        for name in models:
            model = self._lists.model(address, provider.name, provider.dialect.name, name)
            if model is None:
                continue
            if rates := _listed(model, at, terms, usage):
                rates, basis = self._whole(rates, usage, address, provider, name, at)
                return (rates.less(self._settings.discounts.get(provider.name, _ZERO)) if rates else None), basis
            # Priced by the minute or by the image, so that no count of tokens tells what it costs.
            return (_NOTHING, "free") if _FREE.match(model.id) else (None, "unknown")
        if self._settings.unknown_model == "ceiling":
            for name in models or [""]:
                for family in self._lists.families(address, provider.name, name):
                    if dearest := self._dearest(family.id, at.date()):
                        return (None, "unknown") if dearest.lacks(usage) else (dearest, "ceiling")
        return None, "unknown"

    def _whole(
        self, rates: Rates, usage: Usage, address: str, provider: Provider, name: str, at: datetime
    ) -> tuple[Rates | None, Basis]:
        filled = self._filled(rates, usage, address, provider, name, at)
        return (None, "unknown") if filled.lacks(usage) else (filled, "list" if filled is rates else "ceiling")

    def _filled(self, rates: Rates, usage: Usage, address: str, provider: Provider, name: str, at: datetime) -> Rates:
        """With the dearest price of its provider for what is priced by the call and not here, as a search: it is not free."""
        if rates.lacks(usage):
            for family in self._lists.families(address, provider.name, name):
                if dearest := self._dearest(family.id, at.date()):
                    rates = replace(rates, parts={**dearest.parts, **rates.parts})
        return rates

    def _dearest_of(self, family: str, day: date) -> Rates | None:
        """For each kind of token the highest price on a provider's list on a day, long contexts included."""
        models = next((each.models for each in self._lists.all if each.id == family), [])
        listed = [rates for model in models if (rates := _listed(model, noon(day), {}, Usage(MOST_TOKENS)))]
        if not listed:
            return None

        def top(rate: Callable[[Rates], Decimal]) -> Decimal:
            return max(map(rate, listed))

        parts = {part: top(lambda rates, part=part: rates.parts.get(part, _ZERO)) for part in _PARTS}  # type: ignore[misc]
        return Rates(
            top(lambda it: it.input), top(lambda it: it.output), top(lambda it: it.cache_read), top(lambda it: it.cache_write_5m),
            top(lambda it: it.cache_write_1h), top(lambda it: it.reasoning),
            {**{part: rate for part, rate in parts.items() if rate}, **_UNLISTED.get(family, {})},
        )  # fmt: skip

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


def _listed(model: "ModelInfo", at: datetime, terms: Mapping[str, str], usage: Usage) -> Rates | None:
    """The rates of a listed model; None if it is priced neither by input tokens nor by anything that was used."""
    price = model.get_prices(at, dict(terms) or None)

    def rate(name: str) -> Decimal | None:
        """Of a call with such an input: beyond a tier's start all of its tokens have the tier's price."""
        value: Any = getattr(price, name, None)
        if value is None or isinstance(value, Decimal):
            return value
        tier = next((each for each in reversed(value.tiers) if usage.input > each.start), None)
        found: Decimal = tier.price if tier else value.base
        return found

    parts = {part: listed / per for part, (name, per, _) in _PARTS.items() if (listed := rate(name)) is not None}
    given = rate("input_mtok")
    if given is None:
        priced = usage.parts and not (usage.input or usage.output) and set(usage.parts) <= set(parts)
        return replace(_NOTHING, parts=parts) if priced else None
    answered = _or(rate("output_mtok"), Decimal(0))  # embeddings have none
    write = _or(rate("cache_write_5m_mtok"), _or(rate("cache_write_mtok"), given))
    # Where a list lacks it: Anthropic's writes for an hour are at twice the price of input
    # (https://platform.claude.com/docs/en/build-with-claude/prompt-caching#pricing).
    long = _or(rate("cache_write_1h_mtok"), 2 * given if "claude" in model.id and write != given else write)
    rates = Rates(
        given,
        answered,
        _or(rate("cache_read_mtok"), given),
        write,
        long,
        _or(rate("output_reasoning_mtok"), answered),
        parts,
    )
    return rates.less(1 - _FACTORS[where]) if (where := terms.get("inference_geo")) in _FACTORS else rates


# Claude where its inference must stay in one country (https://platform.claude.com/docs/en/build-with-claude/data-residency#pricing).
_FACTORS: Mapping[str | None, Decimal] = {"us": Decimal("1.1")}


def _or[T](value: T | None, other: T) -> T:
    return other if value is None else value
