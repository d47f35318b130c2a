"""The providers that are known without any configuration."""

from typing import Any

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
}
