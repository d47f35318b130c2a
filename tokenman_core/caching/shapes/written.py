"""JSON read so that nothing of it changes, and written again: documents, events, and texts in pieces."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import orjson

from tokenman_core.body.parse import parse
from tokenman_core.dialects.shapes import dump
from tokenman_core.errors import BodyError
from tokenman_core.sse import SseError, SseParser

JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"

# What may be a number that is no integer, or a zero with a sign; in texts too, which are then only read more slowly. Each begins
# with one character, which is found fast.
_INEXACT = (
    re.compile(rb"\.(?<=[0-9]\.)[0-9]"),
    re.compile(rb"e(?<=[0-9]e)[0-9+-]"),
    re.compile(rb"E(?<=[0-9]E)[0-9+-]"),
    re.compile(rb"-0(?![0-9])"),
)
_PLAIN = frozenset({str, int, bool})
_MARK = 7_350_942_018_645_327
_BETWEEN = b",%d," % _MARK
_LEAST = 24  # characters of a piece of a text
_MOST = 64  # pieces of a text, about


class Unsure(Exception):
    """What is not known for certain: then the answer is not told in another shape."""


def sure(known: bool) -> None:
    """Raises Unsure if it is not."""
    if not known:
        raise Unsure


def read(data: bytes) -> Any:
    """The value of a JSON document. Raises Unsure for what cannot be written again as it was: see `parse`, and inexact numbers."""
    try:
        value = parse(data)
        if any(pattern.search(data) for pattern in _INEXACT):
            json.loads(data, parse_float=_exact, parse_int=_signed)
    except (BodyError, ValueError, ArithmeticError, RecursionError):
        raise Unsure from None
    return value


def _exact(text: str) -> float:
    number = float(text)
    if Decimal(repr(number)) != Decimal(text):
        raise ValueError
    return number


def _signed(text: str) -> int:
    if text == "-0":
        raise ValueError
    return 0


def an_object(value: Any) -> dict[str, Any]:
    """The value, known to be an object; Unsure if it is none."""
    if type(value) is not dict:
        raise Unsure
    return value


def a_list(value: Any) -> list[Any]:
    """The value, known to be a list; Unsure if it is none."""
    if type(value) is not list:
        raise Unsure
    return value


def a_text(value: Any) -> str:
    """The value, known to be a string; Unsure if it is none."""
    if type(value) is not str:
        raise Unsure
    return value


def told(body: bytes) -> tuple[list[tuple[str, dict[str, Any]]], bool]:
    """(name, value) of each event of a whole stream that has data, and whether `[DONE]` ended it.

    Raises Unsure for a stream that ends within an event, for what is behind its end, and for data that is no object.
    """
    events = _events(body)
    done = bool(events) and events[-1][1] == b"[DONE]"
    if done:
        events.pop()
    if not events:
        return [], done
    # All at once, which is far cheaper. What is between two of them shows that none of them ends within another.
    values = a_list(read(b"[" + _BETWEEN.join([data for _, data in events]) + b"]"))
    sure(len(values) == 2 * len(events) - 1 and values[1::2] == [_MARK] * (len(events) - 1))
    return [(name, an_object(value)) for (name, _), value in zip(events, values[::2], strict=True)], done


def _events(body: bytes) -> list[tuple[str, bytes]]:
    """(name, data) of each event that has data."""
    found = _simple(body)
    if found is not None:
        return found
    parser = SseParser()
    try:
        events = parser.feed(body)
        rest = parser.finish()
    except SseError:
        raise Unsure from None
    sure(not any(event.data is not None for event in rest))
    return [(event.name, data) for event in events if (data := event.data) is not None]


def _simple(body: bytes) -> list[tuple[str, bytes]] | None:
    """The events of a stream in which each has one line of data, and perhaps a name before it, as most have; None of another."""
    line = b"\r\n" if body.endswith(b"\r\n") else b"\n"
    *blocks, rest = body.split(line + line)
    found: list[tuple[str, bytes]] = []
    for block in blocks:
        name = b""
        data = block
        if block.startswith(b"event: "):
            name, _, data = block[7:].partition(line)
        if not data.startswith(b"data: ") or b"\n" in data or b"\r" in data or b"\r" in name or b"\n" in name:
            return None
        found.append((name.decode("utf-8", "replace"), data[6:]))
    return None if rest else found


def event(value: Any, name: str = "") -> bytes:
    """One server-sent event, as the providers write it: JSON on one line."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + write(value) + b"\n\n"


def width(text: str) -> int:
    """How many characters of a text are a piece of it."""
    return max(_LEAST, -(-len(text) // _MOST))


def pieces(text: str) -> Iterator[str]:
    """A text in pieces that joined are the text, cut behind a blank where one is near; none of an empty text."""
    wide = width(text)
    at = 0
    while at < len(text):
        end = at + wide
        if end < len(text):
            blank = max(text.rfind(" ", at, end), text.rfind("\n", at, end)) + 1
            end = blank if blank > at + wide // 2 else end
        yield text[at:end]
        at = end


def together(known: dict[str, Any], name: str, value: Any) -> None:
    """Notes what several chunks say under one name: all the same, or nothing. Raises Unsure where they say different things."""
    before = known.get(name)
    if before is None:
        known[name] = value
    elif value is not None and not (before == value and type(value) is str) and not same(before, value):
        raise Unsure


def write(value: Any) -> bytes:
    """JSON in UTF-8 without needless spaces. Integers stay exact: orjson takes none that it would have to change."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return dump(value)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are written alike: 1, 1.0 and true are not."""
    if type(one) is not type(other):
        return False
    return bool(one == other) if type(one) in _PLAIN else write(one) == write(other)
