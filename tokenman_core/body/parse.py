"""Reads JSON so strictly that no text can hide from it: what two parsers might read differently is refused."""

import json
import re
from typing import Any, Self

import orjson

from tokenman_core.errors import BodyError

MAX_DEPTH = 100
"""Deeper nesting is refused: no provider's request comes near, and it keeps every walk within Python's stack."""

EXACT = 2.0**43
"""From here on a float does not tell a number's third decimal, and from 2**53 on not all its digits; orjson also makes floats of
integers beyond 64 bits, which are larger still."""

_KEY_END = re.compile(rb'"(?<!\\")[ \t\n\r]*+:')  # a quote behind no backslash
_SPACED_KEY_END = re.compile(rb'\\\\"[ \t\n\r]++:')
_MOST_BACKSLASHES = 8  # even, so that the last count is added: too high a sum is only slower
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


class Written(float):
    """A number that a float is too coarse for, with the digits that the document has of it."""

    def __new__(cls, source: str) -> Self:
        made = super().__new__(cls, source)
        made.source = source
        return made

    source: str


def parse(data: bytes) -> Any:
    """The value of a JSON document in UTF-8. Integers are exact, whatever their size; other large numbers are `Written`.

    Raises BodyError("parse") for what is no JSON (NaN and lone surrogates included), for a byte order mark, another
    encoding, a key that stands twice in one object, and nesting deeper than MAX_DEPTH.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BodyError("parse", _reason(data, error)) from None
    keys, wide = _survey(value)
    if wide:
        return _parse_slowly(data)
    if _colons(data) > keys:
        _parse_slowly(data)
    return value


def _survey(value: Any) -> tuple[int, bool]:
    """How many keys all objects have together, and whether a number is too large for a float to be exact."""
    keys, wide = 0, False
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise BodyError("parse", f"the JSON body is nested deeper than {MAX_DEPTH} levels")
        deeper: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                keys += len(item)
                deeper.extend(item.values())
            elif kind is list:
                deeper.extend(item)
            elif kind is float and not -EXACT < item < EXACT:
                wide = True
        level = deeper
    return keys, wide


def _colons(data: bytes) -> int:
    """At least as many as there are keys in the text: more than that were parsed means that one may stand twice.

    A key ends with a quote behind an even number of backslashes, then space, then a colon; quotes behind an odd number
    stand inside a string (JSON in a string is full of them). Values that begin with a colon count too: that is the error
    on the safe side, and so is every guess below.
    """
    count = len(_KEY_END.findall(data))
    if b'\\\\"' in data:
        count += len(_SPACED_KEY_END.findall(data))
        for backslashes in range(2, _MOST_BACKSLASHES + 1):
            here = data.count(b"\\" * backslashes + b'":')
            if not here:
                break
            count += -here if backslashes % 2 else here
    return count


def _parse_slowly(data: bytes) -> Any:
    """What orjson has read already, so it is JSON with finite numbers; but an integer may have more digits than Python takes."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_float=_number)
    except (ValueError, RecursionError):
        raise BodyError("parse", "the body is not valid JSON") from None


def _number(source: str) -> float:
    value = float(source)
    return value if -EXACT < value < EXACT else Written(source)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise BodyError("parse", "a key stands twice in one object of the JSON body: send each key once")
    return made


def _reason(data: bytes, error: orjson.JSONDecodeError) -> str:
    if data.startswith(_BOMS) or 0 in data[:4]:
        return "the JSON body must be plain UTF-8: without a byte order mark, not UTF-16 or UTF-32"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "the JSON body is not valid UTF-8"
    return f"the body is not valid JSON (line {error.lineno}, column {error.colno})"
