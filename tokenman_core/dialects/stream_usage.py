"""Has streams of Chat Completions tell what they used, and lets the program see its stream as if nobody had asked.

OpenAI tells the usage of a stream only if `stream_options.include_usage` is true: in one more chunk, whose `choices` are
empty, and with a null under `usage` in all others (https://platform.openai.com/docs/api-reference/chat/create).
"""

import json
import re
from typing import Any

from tokenman_core.body import literals
from tokenman_core.body.splice import means
from tokenman_core.dialects import walk
from tokenman_core.sse import Event

OPERATIONS = frozenset({"chat", "completions"})

_MEMBER = b'"include_usage":true'
_USAGE = re.compile(rb'"usage"\s*:\s*')
_COMMA = re.compile(rb"\s*,")
_SCAN = json.JSONDecoder(strict=False).raw_decode
# What OpenAI's chunk that tells the usage holds besides it. Others may put into theirs what the program did ask for (citations).
_OF_ITS_OWN = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint", "obfuscation"}
)
_MOST_PLACES = 8  # of the word in one chunk: providers put it once


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
    return made if means(made, intended) else None


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


def without(event: Event) -> Event | None:
    """The event as it would have come unasked: without its null, or None for the chunk that tells the usage and nothing else."""
    raw = event.raw
    at = raw.find(b'"usage"')
    if at < 0:
        return event
    value = walk.load(event.data or b"")
    if type(value) is not dict or "usage" not in value:
        return event
    if value["usage"] is not None and (type(value["usage"]) is not dict or value.get("choices")):
        return event  # told beside a choice: this provider would have told it unasked
    if value["usage"] is not None and all(key in _OF_ITS_OWN or item is None for key, item in value.items()):
        return None
    only = raw.find(b'"usage"', at + 1) < 0  # then it is this one, at the top
    rest = {} if only else {key: item for key, item in value.items() if key != "usage"}
    for _ in range(_MOST_PLACES):
        if (cut := _cut(raw, at, value["usage"])) is not None:
            made = Event(cut, event.kind)
            if only or walk.load(made.data or b"") == rest:
                return made
        at = raw.find(b'"usage"', at + 1)
        if at < 0:
            break
    return event


def _cut(raw: bytes, at: int, usage: Any) -> bytes | None:
    """Without the member that stands at `at`, and without the comma before or behind it; None if its value is another."""
    match = _USAGE.match(raw, at)
    if match is None:
        return None
    end = _end(raw, match.end(), usage)
    if end is None:
        return None
    before = raw[:at].rstrip()
    if before.endswith(b","):
        return before[:-1] + raw[end:]
    comma = _COMMA.match(raw, end)
    return raw[:at] + raw[comma.end() :] if comma else None


def _end(raw: bytes, start: int, usage: Any) -> int | None:
    """Where the value that stands at `start` ends; None if it is not `usage`."""
    if usage is None:
        return start + 4 if raw.startswith(b"null", start) else None
    try:
        # A character a byte, so that places are those of the bytes; of its texts only the names of its members count.
        found, end = _SCAN(raw[start:].decode("latin-1"))
    except (ValueError, RecursionError):
        return None
    return start + end if type(found) is dict and found.keys() == usage.keys() else None
