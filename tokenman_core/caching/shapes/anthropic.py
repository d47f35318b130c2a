"""The Messages API, whole and as events: https://docs.anthropic.com/en/docs/build-with-claude/streaming."""

from collections.abc import Callable, Iterator
from typing import Any

from tokenman_core.caching.shapes.wanted import Wanted
from tokenman_core.caching.shapes.written import (
    a_list,
    a_text,
    an_object,
    event,
    pieces,
    read,
    same,
    sure,
    told,
    write,
)

# What comes with `message_delta` of a message's own members, beside its usage; it is null in `message_start`.
_LATE = ("stop_reason", "stop_sequence", "stop_details", "container")
_BESIDE = ("context_management",)  # a beta's, beside the delta
# Of the usage, what is told again with `message_delta`, as the totals that they are then.
_TOTALS = (
    "input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens", "server_tool_use",
    "output_tokens_details", "iterations",
)  # fmt: skip
_LATE_TOTALS = _TOTALS[4:]  # which are not known before

_CALLS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
# Blocks that come whole in their `content_block_start`.
_WHOLE = frozenset({
    "redacted_thinking", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result",
    "bash_code_execution_tool_result", "text_editor_code_execution_tool_result", "tool_search_tool_result",
    "mcp_tool_result", "container_upload",
})  # fmt: skip


def unfold(body: bytes, _: Wanted) -> bytes:
    """The events of a message."""
    message = an_object(read(body))
    sure(message.get("type") == "message" and type(message.get("stop_reason")) is str)
    usage = an_object(message.get("usage"))
    output = usage.get("output_tokens")
    sure(type(output) is int)
    early = min(output or 0, 1)  # there is one when `message_start` goes out
    start = {
        **message,
        **{name: None for name in (*_LATE, *_BESIDE) if name in message},
        "content": [],
        "usage": {**usage, **{name: None for name in _LATE_TOTALS if name in usage}, "output_tokens": early},
    }
    made = [_event({"type": "message_start", "message": start})]
    for index, block in enumerate(a_list(message.get("content"))):
        empty, deltas = _emptied(an_object(block))
        made.append(_event({"type": "content_block_start", "index": index, "content_block": empty}))
        if index == 0:
            made.append(_event({"type": "ping"}))
        for delta in deltas:
            made.append(_event({"type": "content_block_delta", "index": index, "delta": delta}))
        made.append(_event({"type": "content_block_stop", "index": index}))
    late = {name: message[name] for name in _LATE if name in message}
    totals = {name: usage[name] for name in _TOTALS if usage.get(name) is not None}
    beside = {name: message[name] for name in _BESIDE if name in message}
    made.append(_event({"type": "message_delta", "delta": late, "usage": totals, **beside}))
    made.append(_event({"type": "message_stop"}))
    return b"".join(made)


def _event(value: dict[str, Any]) -> bytes:
    return event(value, value["type"])


def _emptied(block: dict[str, Any]) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """A block as it begins, and its deltas."""
    kind = a_text(block.get("type"))
    if kind == "text":
        given = block.get("citations")
        cited = a_list(given) if given is not None else []
        empty = {**block, "text": ""}
        return ({**empty, "citations": []} if cited else empty), _text(a_text(block.get("text")), cited)
    if kind == "thinking":
        signed = {"signature": ""} if "signature" in block else {}
        signature = a_text(block.get("signature", ""))
        return {**block, "thinking": "", **signed}, _thought(a_text(block.get("thinking")), signature)
    if kind in _CALLS:
        return {**block, "input": {}}, _call(an_object(block.get("input")))
    sure(kind in _WHOLE)
    return block, iter(())


def _text(text: str, citations: list[Any]) -> Iterator[dict[str, Any]]:
    for piece in pieces(text):
        yield {"type": "text_delta", "text": piece}
    for citation in citations:
        yield {"type": "citations_delta", "citation": an_object(citation)}


def _thought(text: str, signature: str) -> Iterator[dict[str, Any]]:
    for piece in pieces(text):
        yield {"type": "thinking_delta", "thinking": piece}
    if signature:
        yield {"type": "signature_delta", "signature": signature}


def _call(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for piece in ("", *pieces(write(given).decode("utf-8"))):
        yield {"type": "input_json_delta", "partial_json": piece}


def fold(body: bytes, _: Wanted) -> bytes:
    """The message that a stream told."""
    message = _Told()
    found, done = told(body)
    for name, value in found:
        kind = a_text(value.get("type"))
        sure(name in ("", kind) and kind in _STEPS)
        _STEPS[kind](message, value)
    sure(message.ended and not done)
    return write(message.message)


class _Told:
    """A message as far as its events have told it."""

    def __init__(self) -> None:
        self.message: dict[str, Any] = {}
        self.block: dict[str, Any] | None = None  # the one that is open
        self.written: list[str] = []  # its text, or the JSON of its input, in pieces
        self.late = False  # its blocks are behind it
        self.ended = False

    def start(self, event: dict[str, Any]) -> None:
        sure(not self.message and set(event) == {"type", "message"})
        message = self.message = an_object(event["message"])
        sure(message.get("type") == "message" and message.get("content") == [])
        an_object(message.get("usage"))

    def block_start(self, event: dict[str, Any]) -> None:
        content = self._content()
        sure(self.block is None and not self.late and _is_of(event, "content_block", len(content)))
        self.block = block = an_object(event["content_block"])
        kind = a_text(block.get("type"))
        sure(kind in _FIELDS or kind in _WHOLE)
        if kind in _FIELDS:
            sure(type(block.get(_FIELDS[kind])) is (dict if kind in _CALLS else str))
        self.written = [block[kind]] if kind in ("text", "thinking") else []
        content.append(block)

    def block_delta(self, event: dict[str, Any]) -> None:
        content, block = self._content(), an_object(self.block)
        sure(_is_of(event, "delta", len(content) - 1))
        delta = an_object(event["delta"])
        kind = a_text(delta.get("type"))
        sure(kind in _DELTAS)
        blocks, name = _DELTAS[kind]
        sure(block["type"] in blocks and set(delta) == {"type", name})
        if kind == "citations_delta":
            block["citations"] = [*a_list(block.get("citations") or []), an_object(delta[name])]
        elif kind == "signature_delta":
            sure(not block.get("signature"))
            block["signature"] = a_text(delta[name])
        else:
            self.written.append(a_text(delta[name]))

    def block_stop(self, event: dict[str, Any]) -> None:
        content, block = self._content(), an_object(self.block)
        sure(_is_of(event, "", len(content) - 1))
        kind, text = block["type"], "".join(self.written)
        if kind not in _CALLS:
            block.update({_FIELDS[kind]: text} if kind in _FIELDS else {})
        elif text:
            sure(not block["input"])  # it would be told twice
            block["input"] = an_object(read(text.encode("utf-8")))
        self.block = None

    def end(self, event: dict[str, Any]) -> None:
        """What is known when all blocks have been told. There may be several such events; totals only grow."""
        self._content()
        sure(self.block is None and set(event) <= {"type", "delta", "usage", *_BESIDE})
        delta = an_object(event.get("delta"))
        sure(set(delta) <= set(_LATE))
        self.late = True
        for name, value in (*delta.items(), *((name, event[name]) for name in _BESIDE if name in event)):
            sure(value is not None or self.message.get(name) is None)
            self.message[name] = value
        self._total(an_object(event.get("usage", {})))

    def stop(self, event: dict[str, Any]) -> None:
        self._content()
        sure(self.late and type(self.message.get("stop_reason")) is str and set(event) == {"type"})
        self.ended = True

    def _content(self) -> list[Any]:
        """Of a message that has begun, and has not ended."""
        sure(bool(self.message) and not self.ended)
        return a_list(self.message["content"])

    def _total(self, totals: dict[str, Any]) -> None:
        usage = self.message["usage"]
        for name, count in totals.items():
            known = usage.get(name)
            if count is None:
                continue  # nothing new of it
            if known is not None:
                grown = type(count) is int and type(known) is int and count >= known
                sure(grown or (type(count) is type(known) and type(count) in (dict, list)) or same(known, count))
            usage[name] = count


def _is_of(event: dict[str, Any], name: str, index: int) -> bool:
    """Whether an event is about the block `index`: they come one behind the other."""
    return same(event.get("index"), index) and set(event) == {"type", "index", name} - {""}


_FIELDS = {"text": "text", "thinking": "thinking", **dict.fromkeys(_CALLS, "input")}
"""Where a block's deltas end up."""

_DELTAS = {
    "text_delta": ({"text"}, "text"),
    "citations_delta": ({"text"}, "citation"),
    "thinking_delta": ({"thinking"}, "thinking"),
    "signature_delta": ({"thinking"}, "signature"),
    "input_json_delta": (_CALLS, "partial_json"),
}
"""Which blocks a delta belongs to, and where it has what it tells."""

_STEPS: dict[str, Callable[[_Told, dict[str, Any]], None]] = {
    "ping": lambda _, __: None,
    "message_start": _Told.start,
    "content_block_start": _Told.block_start,
    "content_block_delta": _Told.block_delta,
    "content_block_stop": _Told.block_stop,
    "message_delta": _Told.end,
    "message_stop": _Told.stop,
}
