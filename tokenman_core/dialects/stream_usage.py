"""Has streams of Chat Completions tell what they used, and lets the program see its stream as if nobody had asked.

OpenAI tells the usage of a stream only if `stream_options.include_usage` is true: in one more chunk, whose `choices` are
empty, and with a null under `usage` in all others (https://platform.openai.com/docs/api-reference/chat/create).
"""

import itertools
import json
import re
from typing import Any

import orjson

from tokenman_core.body import literals
from tokenman_core.dialects import walk
from tokenman_core.sse import Event

OPERATIONS = frozenset({"chat", "completions"})

_MEMBER = b'"include_usage":true'
_NULL = re.compile(rb',\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,')
_MOST_PLACES = 8  # of such a null in one chunk: providers put it once


def ask(data: bytes, value: Any) -> bytes | None:
    """The request `data`, whose parsed value is `value`, with the question in it and every other byte as it is.

    Behind the last member, so that nothing before it moves: what a provider keeps of a conversation is its beginning.
    None if the program asks itself, streams nothing, or wrote what cannot be spliced: then the request stays as it is.
    """
    if type(value) is not dict or value.get("stream") is not True:
        return None
    options = value.get("stream_options")
    if options is not None and (type(options) is not dict or options.get("include_usage") not in (None, False)):
        return None
    try:
        made = _spliced(data, value, options)
    except (ValueError, IndexError):
        return None
    intended = {**value, "stream_options": {**(options or {}), "include_usage": True}}
    return made if _means(made, intended) else None


def _spliced(data: bytes, value: dict[str, Any], options: dict[str, Any] | None) -> bytes:
    if "stream_options" not in value:
        return _with_member(data, 0, len(data.rstrip()), b'"stream_options":{' + _MEMBER + b"}")
    if options is not None and "include_usage" in options:
        start, end = literals.locate(data, {"stream_options": {"include_usage": 0}}, {})[0]
        return data[:start] + b"true" + data[end:]
    start, end = literals.locate(data, {"stream_options": 0}, {})[0]
    if options is None:
        return data[:start] + b"{" + _MEMBER + b"}" + data[end:]
    return _with_member(data, start, end, _MEMBER)


def _with_member(data: bytes, start: int, end: int, member: bytes) -> bytes:
    """One member more at the end of the object that stands from `start` to `end`."""
    head = data[start : end - 1].rstrip()
    comma = b"" if head.endswith(b"{") else b","
    return data[:start] + head + comma + member + data[start + len(head) :]


def _means(data: bytes, intended: Any) -> bool:
    try:
        # orjson makes floats of wide integers, which then differ from the exact ones: only then json is asked.
        return bool(orjson.loads(data) == intended or json.loads(data) == intended)
    except ValueError:
        return False


def without(event: Event) -> Event | None:
    """The event as it would have come unasked: without its null, or None for the chunk that tells the usage."""
    raw = event.raw
    if b'"usage"' not in raw:
        return event
    value = walk.load(event.data or b"")
    if type(value) is not dict or "usage" not in value:
        return event
    if type(value["usage"]) is dict and not value.get("choices"):
        return None
    if value["usage"] is not None:
        return event  # told beside a choice: this provider would have told it unasked
    rest = {key: item for key, item in value.items() if key != "usage"}
    for match in itertools.islice(_NULL.finditer(raw), _MOST_PLACES):
        made = Event(raw[: match.start()] + raw[match.end() :], event.kind)
        if walk.load(made.data or b"") == rest:
            return made
    return event
