"""What a provider says that a call used."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Usage:
    """Tokens. `input` counts all that was read, cached or not; the cache fields say which part of it was cheaper or dearer."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0  # a part of output


def anthropic_usage(said: Mapping[str, Any]) -> Usage:
    """From a `usage` of the Messages API, where `input_tokens` leaves out what was read from or written to the cache.

    Writes are told apart by `cache_creation.ephemeral_{5m,1h}_input_tokens`; what the sum
    `cache_creation_input_tokens` has beyond them was written for five minutes, the default.
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
    )


def openai_usage(said: Mapping[str, Any]) -> Usage:
    """From a `usage` of Chat Completions (`prompt_tokens`, …) or of Responses (`input_tokens`, …): cached ones are included."""
    read = _inner(said, "prompt_tokens_details") or _inner(said, "input_tokens_details")
    wrote = _inner(said, "completion_tokens_details") or _inner(said, "output_tokens_details")
    return Usage(
        input=_tokens(said, "prompt_tokens") or _tokens(said, "input_tokens"),
        output=_tokens(said, "completion_tokens") or _tokens(said, "output_tokens"),
        cache_read=_tokens(read, "cached_tokens"),
        reasoning=_tokens(wrote, "reasoning_tokens"),
    )


def gemini_usage(said: Mapping[str, Any]) -> Usage:
    """From a `usageMetadata`: thoughts are billed as output and not part of `candidatesTokenCount`."""
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


def _tokens(said: Mapping[str, Any], name: str) -> int:
    """A count, 0 for whatever is none."""
    count = said.get(name)
    return count if type(count) is int and count > 0 else 0
