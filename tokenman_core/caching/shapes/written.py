"""JSON read so that nothing of it changes, and written again: documents, events, and texts in pieces."""

import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tokenman_core.body.parse import parse
from tokenman_core.dialects.shapes import dump
from tokenman_core.errors import BodyError
from tokenman_core.sse import Event, SseError, SseParser

JSON = b"application/json"
EVENTS = b"text/event-stream; charset=utf-8"

# What may be a number that is no integer, or a zero with a sign. Texts match too, and are then read more slowly.
_INEXACT = re.compile(rb"[0-9][.eE]|-0(?![0-9])")
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
        if _INEXACT.search(data):
            json.loads(data, parse_float=_exact, parse_int=_signed)
    except (BodyError, ValueError, ArithmeticError, RecursionError):
        raise Unsure from None
    return value


def _exact(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or Decimal(repr(number)) != Decimal(text) or (not number and text.startswith("-")):
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


def events(body: bytes) -> list[Event]:
    """The server-sent events of a whole stream that have data. Raises Unsure for a stream that ends within one."""
    parser = SseParser()
    try:
        found = parser.feed(body)
        rest = parser.finish()
    except SseError:
        raise Unsure from None
    sure(not any(event.data is not None or event.kind == "whole" for event in rest))
    return [event for event in found if event.data is not None]


def event(value: Any, name: str = "") -> bytes:
    """One server-sent event, as the providers write it: JSON on one line."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + dump(value) + b"\n\n"


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
    if known.get(name) is None:
        known[name] = value
    else:
        sure(value is None or same(known[name], value))


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are written alike: 1, 1.0 and true are not."""
    return dump(one) == dump(other)
