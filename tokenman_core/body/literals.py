"""JSON string literals as bytes: written in the style of the one they replace, and found exactly where a path leads."""

import json
import re
from typing import Any

import orjson

from tokenman_core.slots import NUMBER

STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_TOKEN = re.compile(rb'[\[\]{}]|"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SPACE = re.compile(rb"[ \t\n\r]*+")
_ATOM = re.compile(rb"[^ \t\n\r,\]}]++")
_ESCAPED_BEYOND_ASCII = re.compile(rb"\\u(?!00[0-7])")
# Escapes that JSON does not need and some writers use (PHP and Java: the slash; Go: what means something in HTML).
_OPTIONAL_ESCAPES = (
    (b"\\/", b"/"),
    (b"\\u003c", b"<"),
    (b"\\u003e", b">"),
    (b"\\u0026", b"&"),
)


def raw(text: str) -> bytes:
    """The literal as most writers put it: UTF-8, with the shortest escapes."""
    return orjson.dumps(text)


def ascii_only(text: str) -> bytes:
    """The literal as Python's json puts it by default."""
    return json.dumps(text).encode("ascii")


def write(text: str, like: bytes) -> bytes:
    """The literal of `text` with the same kinds of escapes as the literal `like` has."""
    if b"\\" not in like:
        return raw(text)
    literal = ascii_only(text) if like.isascii() and has_escapes_beyond_ascii(like) else raw(text)
    for escape, plain in _OPTIONAL_ESCAPES:
        if escape in like:
            literal = literal.replace(plain, escape)
    return literal


def has_escapes_beyond_ascii(source: bytes) -> bool:
    """Whether a JSON text writes characters beyond ASCII as escapes."""
    return _ESCAPED_BEYOND_ASCII.search(source) is not None


# A tree of wanted places: by step, another tree, or the number under which the place is reported.
Wanted = dict[Any, Any]


def locate(data: bytes, wanted: Wanted | int, key_of: dict[str, Any]) -> dict[int, tuple[int, int]]:
    """Where the wanted literals stand in a valid JSON text: number of the place -> (start, end), a string's quotes included.

    `key_of` gives for an object's key the step that means the key itself.
    """
    found: dict[int, tuple[int, int]] = {}
    _Scan(data, key_of, found).value(_space(data, 0), wanted)
    return found


class _Scan:
    def __init__(self, data: bytes, key_of: dict[str, Any], found: dict[int, tuple[int, int]]) -> None:
        self.data = data
        self.key_of = key_of
        self.found = found

    def value(self, at: int, wanted: Wanted | int | None) -> int:
        """The position behind the value that begins at `at`."""
        if wanted is None:
            return self.skip(at)
        if isinstance(wanted, int):
            end = self.skip(at)
            self.found[wanted] = (at, end)
            return end
        if NUMBER in wanted:
            return self.value(at, wanted[NUMBER])
        opening = self.data[at]
        if opening == 0x7B:  # {
            return self.object(at, wanted)
        if opening == 0x5B:  # [
            return self.array(at, wanted)
        return self.skip(at)

    def object(self, at: int, wanted: Wanted) -> int:
        data = self.data
        at = _space(data, at + 1)
        while data[at] == 0x22:  # "
            end = self.skip(at)
            key = orjson.loads(data[at:end])
            renamed = wanted.get(self.key_of.get(key))
            if renamed is not None:
                self.found[renamed] = (at, end)
            at = _space(data, _space(data, end) + 1)
            at = _space(data, self.value(at, wanted.get(key)))
            if data[at] == 0x2C:  # ,
                at = _space(data, at + 1)
        return at + 1

    def array(self, at: int, wanted: Wanted) -> int:
        data = self.data
        at = _space(data, at + 1)
        index = 0
        while data[at] != 0x5D:  # ]
            at = _space(data, self.value(at, wanted.get(index)))
            index += 1
            if data[at] == 0x2C:  # ,
                at = _space(data, at + 1)
        return at + 1

    def skip(self, at: int) -> int:
        data = self.data
        opening = data[at]
        if opening == 0x22:  # "
            return _end(STRING.match(data, at))
        if opening not in b"[{":
            return _end(_ATOM.match(data, at))
        depth = 0
        for token in _TOKEN.finditer(data, at):
            first = data[token.start()]
            if first in b"[{":
                depth += 1
            elif first in b"]}":
                depth -= 1
                if not depth:
                    return token.end()
        raise ValueError("not JSON")


def _space(data: bytes, at: int) -> int:
    return _end(_SPACE.match(data, at))


def _end(match: re.Match[bytes] | None) -> int:
    if match is None:
        raise ValueError("not JSON")
    return match.end()
