"""The keys of a request's body by which it is judged, and whether it has one that a server may take for one of them.

Servers in Go and .NET read keys whatever their case (https://pkg.go.dev/encoding/json#Unmarshal), and of two they take the last
one; so what is judged would not be what is done.
"""

from typing import Any, Final

_JUDGED: Final = frozenset({
    "model", "models", "fallbacks", "messages", "system", "prompt", "input", "instructions", "contents", "content", "request",
    "requests", "batch", "inputConfig", "input_config", "generateContentRequest", "generate_content_request",
    "generationConfig", "generation_config", "cachedContent", "cached_content", "systemInstruction", "system_instruction",
    "max_tokens", "max_completion_tokens", "max_output_tokens", "max_tokens_to_sample", "maxOutputTokens", "n", "best_of",
    "candidateCount", "candidate_count", "stream", "stream_options", "tools", "thinking", "background", "service_tier",
    "conversation", "previous_response_id",
})  # fmt: skip
_FOLDED: Final = frozenset(key.casefold() for key in _JUDGED)  # as Go does it: ſ is an s, and the sign of Kelvin a k


def mistakable(value: Any, *, alone: bool) -> str:
    """The first of the body's own keys that is one of these but for its case; "" if there is none.

    `alone`: also one that stands there without the key itself. What no dialect knows may have its own names (`Model`).
    """
    if type(value) is not dict:
        return ""
    odd = [key for key in value if key not in _JUDGED and key.casefold() in _FOLDED]
    if odd and not alone:
        folded = [key.casefold() for key in value]
        odd = [key for key in odd if folded.count(key.casefold()) > 1]
    return odd[0] if odd else ""
