"""Tells from what a provider says of a failure whether one model cannot serve, rather than the provider.

A model that is overloaded says nothing of the others: Gemini's own advice is to switch to another model then
(https://ai.google.dev/gemini-api/docs/troubleshooting), Claude Code's to name one for when the model is overloaded
(https://docs.claude.com/en/docs/claude-code/cli-reference, `--fallback-model`).
"""

import re

MOST_READ = 64 << 10  # bytes of what a provider says; errors have some hundreds

OVERLOADED = 529
"""Anthropic's status for `overloaded_error` (https://docs.claude.com/en/api/errors). Its models are overloaded one by one."""

_SAID = re.compile(
    # "The model is overloaded. Please try again later." · "This model is currently experiencing high demand." (Gemini)
    # "That model is currently overloaded with other requests." · "The engine is currently overloaded" (OpenAI)
    # "model … is currently loading" (Hugging Face) · "… is currently over capacity" (Groq)
    rb"\b(?:model|engine)\b[^.\"\\]{0,120}?\b(?:overloaded|over capacity|high demand|currently unavailable"
    rb"|(?:currently|still) loading|not ready)\b|MODEL_CAPACITY_EXHAUSTED|\bengine_overloaded\b|\boverloaded_error\b",
    re.IGNORECASE,
)


def of_model(status: int, said: bytes) -> bool:
    """`said`: the body of the failure, or the event that told of it, as far as it could be read."""
    return status == OVERLOADED or (status >= 500 and _SAID.search(said[:MOST_READ]) is not None)
