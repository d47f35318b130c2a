"""The Anthropic Messages API: https://docs.anthropic.com/en/api/messages and …/messages-streaming."""

import re
from typing import Any

from tokenman_core.dialects.base import AnswerReader, Operation
from tokenman_core.dialects.common import JsonDialect, Row
from tokenman_core.dialects.reader import Reader, remember, text_of
from tokenman_core.dialects.shapes import STATUSES, anthropic_error, dump
from tokenman_core.errors import ErrorKind
from tokenman_core.slots import Slot, SlotKind
from tokenman_core.sse import Event
from tokenman_core.usage import Usage, anthropic_usage, whole

_OPERATIONS: tuple[Row, ...] = (
    ("", re.compile(r"/messages/count_tokens$"), Operation("count_tokens", free=True)),
    ("POST", re.compile(r"/messages/batches$"), Operation("batches", generates=True)),
    ("POST", re.compile(r"/messages/batches/[^/]+/cancel$"), Operation("batches", free=True)),
    ("POST", re.compile(r"/messages$"), Operation("messages", generates=True)),
    ("POST", re.compile(r"/complete$"), Operation("complete", generates=True)),
    # Some route by what a path begins with, whatever stands behind it.
    ("POST", re.compile(r"/(messages|complete|chat|completions|responses)/"), Operation("other", generates=True)),
    ("", re.compile(r"/messages/batches(/|$)"), Operation("batches", free=True)),
    ("", re.compile(r"/v1/models(/|$)"), Operation("models", free=True)),
    ("", re.compile(r"/v1/files(/|$)"), Operation("files", free=True)),
    ("", re.compile(r"/v1/(oauth|skills|organizations)(/|$)"), Operation("other", free=True)),
    # Of agents that run there, by the hour (https://platform.claude.com/docs/en/about-claude/pricing).
    ("POST", re.compile(r"/v1/(sessions|environments)(/|$)"), Operation("other", generates=True, elsewhere=True)),
    # What Claude Code tells of itself. Whatever else is posted a model may answer: many gateways serve all APIs.
    ("", re.compile(r"^/api/(claude_\w+|eval|event_logging|hello|oauth|organizations?)(/|$)"), Operation("other")),
    ("POST", re.compile(r"."), Operation("other", generates=True)),
)

_USAGE = (
    "input_tokens",
    "output_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cache_creation",
    "output_tokens_details",
    "server_tool_use",
)

_MOST_ROUNDS = 1_000  # of a call

_DELTAS: dict[str, tuple[str, SlotKind]] = {
    "text_delta": ("text", "assistant"),
    "input_json_delta": ("partial_json", "tool_input"),
    "thinking_delta": ("thinking", "thinking"),
}


def _others(rounds: list[Any], own: str) -> dict[str, Usage]:
    """What a call's counts leave out, by model: summaries (https://platform.claude.com/docs/en/build-with-claude/compaction), and
    advice, which has the prices of another one (https://platform.claude.com/docs/en/agents-and-tools/tool-use/advisor-tool).
    """
    found: dict[str, Usage] = {}
    for each in rounds[:_MOST_ROUNDS]:
        kind = each.get("type") if type(each) is dict else None
        if kind in ("compaction", "advisor_message"):
            model = own if kind == "compaction" else text_of(each, "model") or ""
            found[model] = found.get(model, Usage()) + anthropic_usage(each)
    return found


class AnthropicReader(Reader):
    """Reads answers of the Messages API. A channel is the index of a content block."""

    markers = (b'"message_start"', b'"message_delta"', b'"message_stop"', b'"error"', b'"completion"')

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, Any] = {}  # usage, gathered: later events repeat only what has grown
        self._blocks: dict[int, str] = {}  # index of a block that is a tool's call -> name of the tool

    def _learn(self, value: dict[str, Any]) -> None:
        kind = value.get("type")
        if kind == "ping":
            return
        self.spoke = True
        self.worded = self.worded or kind != "message_start"
        if kind == "error":
            self.failed = text_of(value.get("error"), "type", "message") or "error"
        elif kind == "message_stop" or (
            kind == "completion" and value.get("stop_reason")
        ):  # the latter of Text Completions
            self.finished = True
        message = value.get("message") if kind == "message_start" else value
        if type(message) is not dict:
            return
        if type(message.get("model")) is str:
            self.model = message["model"]
        said = message.get("usage")
        if type(said) is dict:
            for name in _USAGE:
                self._gather(name, said.get(name))
            self.usage = anthropic_usage(self._said)
            if type(rounds := said.get("iterations")) is list:
                self.others = _others(rounds, self.model or "")
            self._learn_terms(said)

    def _learn_terms(self, said: dict[str, Any]) -> None:
        if speed := text_of(said, "speed"):
            self.terms["speed"] = speed
        if text_of(said, "service_tier") == "batch":
            self.terms["processing"] = "batch"
        if where := text_of(said, "inference_geo"):
            self.terms["inference_geo"] = where

    def _gather(self, name: str, count: Any) -> None:
        """Counts are cumulative, and an event that leaves one out may say 0."""
        known, number = self._said.get(name), whole(count)
        if type(count) is dict:
            self._said[name] = count
        elif number is not None and (type(known) is not int or number > known):
            self._said[name] = number

    def _sse(self, event: Event, value: dict[str, Any], slots: list[Slot]) -> None:
        kind, index = value.get("type"), value.get("index")
        if kind == "content_block_delta" and type(index) is int and type(value.get("delta")) is dict:
            self._delta(event, value["delta"], index, slots)
        elif kind == "content_block_start" and type(index) is int:
            self._start(event, value.get("content_block"), index, slots)
        elif kind == "content_block_stop" and type(index) is int:
            self._blocks.pop(index, None)
            self._close_within(event, f"{index}")
        else:
            if kind in ("message_stop", "error"):
                self._close(event, self._open)
            self._complete(value, (), "assistant", slots)

    def _start(self, event: Event, block: Any, index: int, slots: list[Slot]) -> None:
        kind = text_of(block, "type") or ""
        if kind.endswith("_use"):
            remember(self._blocks, index, text_of(block, "name") or "")
        elif kind == "text" and set(block) <= {"type", "text", "citations"} and text_of(block, "text"):
            self._piece(
                event, "text_delta", "text", "assistant", block["text"], index, slots, ("content_block", "text")
            )
            return
        self._complete(block, ("content_block",), "assistant", slots)

    def _delta(self, event: Event, delta: dict[str, Any], index: int, slots: list[Slot]) -> None:
        kind = text_of(delta, "type") or ""
        known = _DELTAS.get(kind)
        if known is not None and type(delta.get(known[0])) is str:
            self._piece(event, kind, known[0], known[1], delta[known[0]], index, slots, ("delta", known[0]))
        elif kind == "signature_delta":
            return
        elif kind == "citations_delta":
            self._complete(delta, ("delta",), "assistant", slots)
        else:
            for field, text in delta.items():
                if field != "type" and type(text) is str:
                    self._piece(event, kind, field, "assistant", text, index, slots, ("delta", field))
                elif type(text) in (dict, list):
                    self._complete(text, ("delta", field), "assistant", slots)

    def _piece(
        self,
        event: Event,
        kind: str,
        field: str,
        speaker: SlotKind,
        text: str,
        index: int,
        slots: list[Slot],
        path: tuple[str, ...],
    ) -> None:
        channel = f"{index}" if kind in _DELTAS else f"{index}.{field}"
        tool = self._blocks.get(index, "") if speaker == "tool_input" else ""
        slot = Slot(path, speaker, text, tool, channel, speaker == "tool_input", signed=speaker == "thinking")

        def make(text: str) -> dict[str, Any]:
            return {"type": "content_block_delta", "index": index, "delta": {"type": kind, field: text}}

        self._running(slot, event, make, slots)

    def _close_within(self, event: Event, prefix: str) -> None:
        self._close(event, [name for name in self._open if name == prefix or name.startswith(prefix + ".")])


class Anthropic(JsonDialect):
    """The Messages API, its batches and files; Claude Code and Anthropic's own clients speak it."""

    name = "anthropic"

    operations = _OPERATIONS

    def reader(self, operation: Operation) -> AnswerReader:
        """A reader that knows the API's events."""
        return AnthropicReader()

    def error(self, status: int, kind: ErrorKind, message: str, request_id: str) -> bytes:
        """A body of the type `error`."""
        return dump(anthropic_error(status, kind, message, request_id))

    def error_event(self, kind: ErrorKind, message: str, request_id: str) -> bytes:
        """An event of the name `error`."""
        value = anthropic_error(STATUSES[kind], kind, message, request_id)
        return b"event: error\ndata: " + dump(value) + b"\n\n"
