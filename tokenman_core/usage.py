"""What a call used, as its provider says, and what is booked for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

MOST_TOKENS = 10**9
"""No call uses more: what a provider says beyond it is nonsense, and money must fit where it is kept."""


@dataclass(frozen=True)
class Usage:
    """Tokens. `input` counts all that was read, cached or not; the cache fields say which part of it was cheaper or dearer.

    A write whose lifetime the provider does not tell (OpenAI's) counts as `cache_write_5m`, the usual one.
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0  # a part of output

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write_5m + other.cache_write_5m,
            self.cache_write_1h + other.cache_write_1h,
            self.reasoning + other.reasoning,
        )

    @property
    def cache_write(self) -> int:
        return self.cache_write_5m + self.cache_write_1h


Basis = Literal["list", "override", "ceiling", "unknown", "free"]
"""Where a price comes from. `ceiling`: the dearest of its provider, since the model is not listed. `unknown`: there is none."""


@dataclass(frozen=True)
class Bill:
    """What is booked. `estimated`: at least a part of `usage` was counted here, not said by the provider.

    `cost` in USD, exact to 1e-12; None: no price is known, which is not the same as 0. `notional`: it is the list price of what
    a subscription paid for.
    """

    usage: Usage
    cost: Decimal | None
    basis: Basis
    estimated: bool = False
    notional: bool = False

    @classmethod
    def together(cls, bills: "Sequence[Bill]") -> "Bill | None":
        """The sum, marked as its least certain part; None for no bills."""
        if len(bills) < 2:
            return bills[0] if bills else None
        usage, cost = Usage(), Decimal(0)
        for bill in bills:
            usage += bill.usage
            cost += bill.cost or 0
        known = all(bill.cost is not None for bill in bills)
        basis = max((bill.basis for bill in bills), key=_UNCERTAIN.index)
        return cls(
            usage, cost if known else None, basis, any(b.estimated for b in bills), any(b.notional for b in bills)
        )


_UNCERTAIN: tuple[Basis, ...] = ("free", "list", "override", "ceiling", "unknown")


def money(amount: Decimal) -> str:
    """USD as people and programs read it: all its digits, no exponent, no zeros behind the last one that counts."""
    text = format(amount, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def anthropic_usage(said: Mapping[str, Any]) -> Usage:
    """From a `usage` of the Messages API, where `input_tokens` leaves out what was read from or written to the cache.

    Writes are told apart by `cache_creation.ephemeral_{5m,1h}_input_tokens`; what the sum
    `cache_creation_input_tokens` has beyond them was written for five minutes, the default
    (https://platform.claude.com/docs/en/build-with-claude/prompt-caching).
    """
    read = _tokens(said, "cache_read_input_tokens")
    by_age = _inner(said, "cache_creation")
    long = _tokens(by_age, "ephemeral_1h_input_tokens")
    short = max(_tokens(by_age, "ephemeral_5m_input_tokens"), _tokens(said, "cache_creation_input_tokens") - long, 0)
    return Usage(
        input=_tokens(said, "input_tokens") + read + short + long,
        output=_tokens(said, "output_tokens"),
        cache_read=read,
        cache_write_5m=short,
        cache_write_1h=long,
        reasoning=_tokens(_inner(said, "output_tokens_details"), "thinking_tokens"),
    )


def openai_usage(said: Mapping[str, Any]) -> Usage:
    """From a `usage` of Chat Completions (`prompt_tokens`, …) or of Responses (`input_tokens`, …): cached ones are included.

    Others that speak this API say what was cached in words of their own: DeepSeek `prompt_cache_hit_tokens`
    (https://api-docs.deepseek.com/guides/kv_cache), Moonshot `cached_tokens`. xAI's `completion_tokens` leaves out what
    was thought, which its `total_tokens` has (https://docs.x.ai/docs/guides/reasoning).
    """
    read = _inner(said, "prompt_tokens_details") or _inner(said, "input_tokens_details")
    wrote = _inner(said, "completion_tokens_details") or _inner(said, "output_tokens_details")
    given = _tokens(said, "prompt_tokens") or _tokens(said, "input_tokens")
    answered = _tokens(said, "completion_tokens") or _tokens(said, "output_tokens")
    thought = _tokens(wrote, "reasoning_tokens")
    if thought and _tokens(said, "total_tokens") == given + answered + thought:
        answered += thought
    cached = (
        _tokens(read, "cached_tokens") or _tokens(said, "prompt_cache_hit_tokens") or _tokens(said, "cached_tokens")
    )
    return Usage(
        input=given,
        output=answered,
        cache_read=cached,
        cache_write_5m=_tokens(read, "cache_write_tokens"),
        reasoning=thought,
    )


def gemini_usage(said: Mapping[str, Any]) -> Usage:
    """From a `usageMetadata`: thoughts are billed as output and not part of `candidatesTokenCount`.

    (https://ai.google.dev/api/generate-content#UsageMetadata.)
    """
    thoughts = _tokens(said, "thoughtsTokenCount")
    return Usage(
        input=_tokens(said, "promptTokenCount") + _tokens(said, "toolUsePromptTokenCount"),
        output=_tokens(said, "candidatesTokenCount") + thoughts,
        cache_read=_tokens(said, "cachedContentTokenCount"),
        reasoning=thoughts,
    )


def _inner(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = said.get(name)
    return inner if isinstance(inner, dict) else {}


def whole(count: Any) -> int | None:
    """A count of tokens, None for what is none. Some servers write theirs as `120.0`."""
    if type(count) is float and count.is_integer():
        count = int(count)
    return min(count, MOST_TOKENS) if type(count) is int else None


def _tokens(said: Mapping[str, Any], name: str) -> int:
    """A count, 0 for whatever is none."""
    return max(0, whole(said.get(name)) or 0)
