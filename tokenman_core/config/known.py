"""The providers that are known without any configuration, and the kinds of value that redaction knows by name."""

from typing import Any

from tokenman_core import kinds

PROVIDERS: dict[str, dict[str, Any]] = {
    "anthropic": {
        "base_url": "https://api.anthropic.com",
        "dialect": "anthropic",
        "models": ["claude-*"],
        "hosts": ["api.anthropic.com"],
    },
    "openai": {
        "base_url": "https://api.openai.com",
        "dialect": "openai",
        "models": ["gpt-*", "chatgpt-*", "codex-*", "o[0-9]*", "text-embedding-*", "ft:*"],
        "hosts": ["api.openai.com"],
    },
    "codex": {
        # The ChatGPT login of the Codex programs; their keys go to `openai`.
        "base_url": "https://chatgpt.com/backend-api/codex",
        "dialect": "openai",
        "models": ["gpt-*", "codex-*"],
        "hosts": ["chatgpt.com"],
    },
    "gemini": {
        "base_url": "https://generativelanguage.googleapis.com",
        "dialect": "gemini",
        "models": ["gemini-*", "gemma-*"],
        "hosts": ["generativelanguage.googleapis.com"],
    },
    "gemini-code-assist": {
        # The Google login of the Gemini CLI; its keys go to `gemini`.
        "base_url": "https://cloudcode-pa.googleapis.com",
        "dialect": "gemini",
        "models": ["gemini-*"],
        "hosts": ["cloudcode-pa.googleapis.com"],
    },
}

ENTITIES: frozenset[str] = frozenset(kind.name for kind in kinds.KINDS)
"""What this version detects."""

ENTITIES_LATER: frozenset[str] = frozenset({"NRP", "DATE_TIME", "URL"})
"""Names that presidio gives to other kinds: no typing mistakes, and accepted where they are switched off."""
