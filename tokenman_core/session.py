"""Tells which session a call belongs to, so that the calls of one conversation can be counted together."""

import hashlib
from collections.abc import Callable
from typing import Any

from tokenman_core.exchange import Exchange

_READ = 4096  # characters of a text; conversations that differ, differ before
_HEADER = b"session_id"  # Codex


class Sessions:
    """`key` (any length): what is told of a session is a keyed hash, 16 hex digits, unless the caller named it by header."""

    def __init__(self, key: bytes) -> None:
        self._key = key[:64]

    def of(self, exchange: Exchange) -> str:
        """By `x-tokenman-session`, else by the program's own mark, else by caller, system text and first text of the user."""
        if exchange.session:
            return exchange.session
        value = exchange.body.value if exchange.body is not None else None
        marks = [mark for read in _MARKS if (mark := read(exchange, value))]
        if not exchange.operation.generates and not marks:
            return ""
        return self._hash(exchange.caller.credential, *(marks[:1] or _beginning(exchange)))

    def _hash(self, *parts: str) -> str:
        digest = hashlib.blake2b(digest_size=8, key=self._key)
        for part in parts:
            data = part.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(data) + data)
        return digest.hexdigest()


def _beginning(exchange: Exchange) -> tuple[str, str]:
    """The first system text and the first text of the user; the rest of a conversation changes from call to call."""
    slots = exchange.body.slots if exchange.body is not None else []
    first: dict[str, str] = {}
    for slot in slots:
        first.setdefault(slot.kind, slot.original[:_READ])
        if "user" in first and "system" in first:  # which of them a body has first is the program's own affair
            break
    return first.get("system", ""), first.get("user", "") or first.get("other", "")


def _user_id(exchange: Exchange, value: Any) -> str:
    """Anthropic's `metadata.user_id`, which Claude Code fills with account and session."""
    metadata = value.get("metadata") if type(value) is dict else None
    return _text(metadata, "user_id")


def _cache_key(exchange: Exchange, value: Any) -> str:
    """OpenAI's `prompt_cache_key`: one a conversation."""
    return _text(value, "prompt_cache_key")


def _header(exchange: Exchange, value: Any) -> str:
    return (exchange.sent.header(_HEADER) or b"").decode("latin-1")[:_READ]


def _text(value: Any, key: str) -> str:
    found = value.get(key) if type(value) is dict else None
    return found[:_READ] if type(found) is str else ""


_MARKS: tuple[Callable[[Exchange, Any], str], ...] = (_user_id, _cache_key, _header)
