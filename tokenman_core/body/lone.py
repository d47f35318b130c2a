"""Lone surrogates (`"\\ud800"`), which JSON may hold (RFC 8259 §8.2) and UTF-8 cannot, are hidden while a body is judged.

Each escape becomes one of a private character that stands nowhere else in the document, of the same length, and becomes itself
again in what goes out. Programs make them that cut texts at a number of UTF-16 units, and models that say half a character.
"""

import re
from dataclasses import dataclass
from typing import Any

import orjson

from tokenman_core.errors import BodyError

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
# By how much a stand-in's number is higher, and how stand-ins look in a document.
_BLOCKS = {
    0x1000: re.compile(rb"\\(?:u([eE][89a-fA-F][0-9a-fA-F]{2})|[^u])|(\xee[\xa0-\xbf][\x80-\xbf])", re.DOTALL),
    0x0800: re.compile(rb"\\(?:u([eE][0-7][0-9a-fA-F]{2})|[^u])|(\xee[\x80-\x9f][\x80-\xbf])", re.DOTALL),
    0x1800: re.compile(rb"\\(?:u([fF][0-7][0-9a-fA-F]{2})|[^u])|(\xef[\x80-\x9f][\x80-\xbf])", re.DOTALL),
}


@dataclass(frozen=True)
class Hidden:
    """`data`: the document with `count` stand-ins; each is `above` its surrogate."""

    data: bytes
    above: int
    count: int

    def show(self, made: bytes) -> bytes:
        """What was made of the document, with the surrogates. Raises BodyError where something put in looks like a stand-in."""
        count = 0

        def shown(match: re.Match[bytes]) -> bytes:
            nonlocal count
            escape, raw = match[1], match[2]
            if escape is None and raw is None:
                return match[0]
            count += 1
            return _escape(int(escape, 16) if escape else ord(raw.decode()), -self.above, escape or b"")

        found = _BLOCKS[self.above].sub(shown, made)
        if count > self.count:
            raise BodyError("parse", "the body holds lone surrogates, and private characters beside them")
        return found


def hide(data: bytes) -> Hidden | None:
    """None: there are no lone surrogates, or no characters that could stand for them."""
    if b"\\u" not in data:
        return None
    for above, there in _BLOCKS.items():
        if any(match[1] or match[2] for match in there.finditer(data)):
            continue
        count = 0

        def hidden(match: re.Match[bytes], above: int = above) -> bytes:
            nonlocal count
            if match[1] is None:
                return match[0]
            count += 1
            return _escape(int(match[1], 16), above, match[1])

        made = _ESCAPE.sub(hidden, data)
        return Hidden(made, above, count) if count else None
    return None


def _escape(code: int, by: int, like: bytes) -> bytes:
    return (b"\\u%04X" if like.isupper() else b"\\u%04x") % (code + by)


def load(data: bytes) -> tuple[Any, Hidden | None]:
    """The value of a JSON document, and where it has lone surrogates, how they were hidden. Raises orjson.JSONDecodeError."""
    try:
        return orjson.loads(data), None
    except orjson.JSONDecodeError:
        hidden = hide(data)
        if hidden is None:
            raise
        return orjson.loads(hidden.data), hidden
