"""What a call used, as its provider says, and what is booked for it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

MOST_TOKENS = 10**9
"""No call uses more: what a provider says beyond it is nonsense, and money must fit where it is kept."""

_MOST_CALLS = 10**6  # searches and seconds of a call: dear enough that a billion of them would not fit


@dataclass(frozen=True)
class Usage:
    """Tokens. `input` counts all that was read, cached or not; the cache fields say which part of it was cheaper or dearer.

    A write whose lifetime the provider does not tell (OpenAI's) counts as `cache_write_5m`, the usual one. `parts` is what has
    prices of its own beside those, by the words of genai-prices: tokens of another kind than text, which the counts above hold too
    (`input_audio_tokens`), and what is no token (`web_searches`, `audio_seconds`).
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0  # a part of output
    parts: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write_5m + other.cache_write_5m,
            self.cache_write_1h + other.cache_write_1h,
            self.reasoning + other.reasoning,
            dict(Counter(self.parts) + Counter(other.parts)),
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
    a subscription paid for. `cache_saved`: what the provider's own cache took off it, in USD: reads against the price of input,
    less what writes cost above it. Below 0 where what was written was not read again. `said`: what the provider says, where the
    call cannot have used that; `usage` is then what it can have used at most.
    """

    usage: Usage
    cost: Decimal | None
    basis: Basis
    estimated: bool = False
    notional: bool = False
    cache_saved: Decimal = Decimal(0)
    said: Usage | None = None

    @property
    def raw(self) -> Usage:
        """The usage as the provider says it, whatever is booked."""
        return self.usage if self.said is None else self.said

    @classmethod
    def together(cls, bills: "Sequence[Bill]") -> "Bill | None":
        """The sum, marked as its least certain part; None for no bills."""
        if len(bills) < 2:
            return bills[0] if bills else None
        usage, raw, cost, saved = Usage(), Usage(), Decimal(0), Decimal(0)
        for bill in bills:
            usage += bill.usage
            raw += bill.raw
            cost += bill.cost or 0
            saved += bill.cache_saved
        known = all(bill.cost is not None for bill in bills)
        basis = max((bill.basis for bill in bills), key=_UNCERTAIN.index)
        return cls(
            usage,
            cost if known else None,
            basis,
            any(b.estimated for b in bills),
            any(b.notional for b in bills),
            saved,
            raw if any(b.said is not None for b in bills) else None,
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
        parts=_parts({"web_searches": _tokens(_inner(said, "server_tool_use"), "web_search_requests")}),
    )


def openai_usage(said: Mapping[str, Any]) -> Usage:
    """From a `usage` of Chat Completions (`prompt_tokens`, …) or of Responses (`input_tokens`, …): cached ones are included.

    Others that speak this API say what was cached in words of their own: DeepSeek `prompt_cache_hit_tokens`
    (https://api-docs.deepseek.com/guides/kv_cache), Moonshot `cached_tokens`. xAI's `completion_tokens` leaves out what
    was thought, which its `total_tokens` has (https://docs.x.ai/docs/guides/reasoning). Transcriptions say `input_token_details`,
    or the seconds that they heard (https://platform.openai.com/docs/api-reference/audio/json-object).
    """
    read = (
        _inner(said, "prompt_tokens_details")
        or _inner(said, "input_tokens_details")
        or _inner(said, "input_token_details")
    )
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
        parts=_parts({
            "input_audio_tokens": _tokens(read, "audio_tokens"),
            "input_image_tokens": _tokens(read, "image_tokens"),
            "output_audio_tokens": _tokens(wrote, "audio_tokens"),
            "output_image_tokens": _tokens(wrote, "image_tokens"),
            "audio_seconds": _tokens(said, "seconds") if said.get("type") == "duration" else 0,
        }),
    )  # fmt: skip


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
        parts=_parts({
            f"{side}_{kind}{tail}": count
            for name, side, tail in _DETAILS
            for kind, count in _modalities(said.get(name)).items()
        }),
    )  # fmt: skip


def interactions_usage(said: Mapping[str, Any]) -> Usage:
    """From a `usage` of Google's Interactions API: thoughts and what tools brought are no part of output and input.

    (https://ai.google.dev/api/interactions-api.)
    """
    thoughts = _tokens(said, "total_thought_tokens")
    tools = (one for one in _list(said.get("grounding_tool_count")) if type(one) is dict)
    searches = sum(_tokens(one, "count") for one in tools if one.get("type") == "google_search")
    return Usage(
        input=_tokens(said, "total_input_tokens") + _tokens(said, "total_tool_use_tokens"),
        output=_tokens(said, "total_output_tokens") + thoughts,
        cache_read=_tokens(said, "total_cached_tokens"),
        reasoning=thoughts,
        parts=_parts({
            **{
                f"{side}_{kind}{tail}": count
                for name, side, tail in _BY_MODALITY
                for kind, count in _modalities(said.get(name), "tokens").items()
            },
            "web_searches": searches,
        }),
    )  # fmt: skip


_BY_MODALITY = (
    ("input_tokens_by_modality", "input", "_tokens"),
    ("output_tokens_by_modality", "output", "_tokens"),
    ("cached_tokens_by_modality", "cache", "_read_tokens"),
)
_DETAILS = (
    ("promptTokensDetails", "input", "_tokens"),
    ("candidatesTokensDetails", "output", "_tokens"),
    ("cacheTokensDetails", "cache", "_read_tokens"),
)


def _modalities(said: Any, counted: str = "tokenCount") -> dict[str, int]:
    """Tokens by what they are tokens of, text left out: Gemini's `[{"modality": "AUDIO", "tokenCount": 12}]`."""
    counts: Counter[str] = Counter()
    for one in said if type(said) is list else ():
        if type(one) is dict and (kind := str(one.get("modality")).lower()) in ("audio", "image", "video"):
            counts[kind] += _tokens(one, counted)
    return counts


def _parts(counts: Mapping[str, int]) -> Mapping[str, int]:
    return {
        name: min(count, MOST_TOKENS if name.endswith("_tokens") else _MOST_CALLS)
        for name, count in counts.items()
        if count
    }


def with_tools(usage: Usage, calls: Mapping[str, int]) -> Usage:
    """The usage with what the provider's own tools were called for, where it does not tell that itself."""
    return replace(usage, parts={**calls, **usage.parts}) if calls else usage


def openai_tools(output: Any) -> Mapping[str, int]:
    """What of a response's `output` costs by the call: searches of the web and of files, and images, which its usage leaves out.

    Opening a page that a search has found costs nothing more (https://platform.openai.com/docs/pricing).
    """
    items: Iterable[Any] = output if type(output) is list else ()
    called = Counter(
        _OPENAI_TOOLS[item["type"]]
        for item in items
        if type(item) is dict and type(item.get("type")) is str and item["type"] in _OPENAI_TOOLS and _searched(item)
    )
    return dict(called)


_OPENAI_TOOLS = {
    "web_search_call": "web_searches",
    "file_search_call": "storage_searches",
    "image_generation_call": "images",
}


def openai_containers(output: Any) -> frozenset[str]:
    """The machines on which the code of a response's `output` ran, by their ids: they cost by the session."""
    items: Iterable[Any] = output if type(output) is list else ()
    named = (
        item.get("container_id") for item in items if type(item) is dict and item.get("type") == "code_interpreter_call"
    )
    return frozenset(name for name in named if type(name) is str and len(name) <= _LONGEST_ID)


_LONGEST_ID = 200


def _searched(item: Mapping[str, Any]) -> bool:
    return bool(_inner(item, "action").get("type", "search") == "search")


def gemini_tools(candidates: Any, model: str) -> Mapping[str, int]:
    """What grounding with Google Search costs: up to Gemini 2 a prompt that was grounded, since Gemini 3 every query.

    (https://ai.google.dev/gemini-api/docs/google-search#pricing.)
    """
    queries = [
        query
        for one in (candidates if type(candidates) is list else ())
        if type(one) is dict
        for query in _list(_inner(one, "groundingMetadata").get("webSearchQueries"))
    ]
    if not queries:
        return {}
    return {"web_searches": 1 if re.match(r"(?:models/)?gemini-[12]", model) else len(queries)}


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []


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
