"""Reads answers of OpenAI's Chat Completions and Completions, plain and streamed."""

import re
from typing import Any

from tokenman_core.dialects.reader import MAX_CHANNELS, Reader, remember, text_of
from tokenman_core.slots import Path, Slot, SlotKind
from tokenman_core.sse import Event
from tokenman_core.usage import openai_usage

_THOUGHTS = frozenset({"reasoning", "reasoning_content"})  # of providers that show them; no signature covers them
# Events that only say that the connection is alive, or that the question has arrived.
_SILENT = frozenset({"ping", "keepalive", "response.created", "response.queued", "response.in_progress"})
_OTHER_CHOICE = re.compile(rb'"index":[ ]?[1-9]')
_NO_TEXT = frozenset({"role", "logprobs"})  # log probabilities cut the text that is restored elsewhere into tokens


class ChatReader(Reader):
    """A channel is the index of a choice and a field of its delta (`0.content`), of a tool call its index too (`0.tool.1`)."""

    markers: tuple[bytes, ...] = (
        b'"usage": {',
        b'"usage":{',
        b'"finish_reason":"',
        b'"finish_reason": "',
        b'"error"',
        b"[DONE]",
    )

    def __init__(self) -> None:
        super().__init__()
        self._tools: dict[str, str] = {}  # channel -> name of the tool
        self._begun, self._ended = set[int](), set[int]()  # choices: of several, each has an end of its own

    def _tells(self, raw: bytes) -> bool:
        return super()._tells(raw) or _OTHER_CHOICE.search(raw) is not None

    def _learn(self, value: dict[str, Any]) -> None:
        if text_of(value, "type") not in _SILENT:
            self.spoke = True
            self.worded = self.worded or _worded(value)
        if type(value.get("model")) is str:
            self.model = value["model"]
        if tier := text_of(value, "service_tier"):
            self.terms["service_tier"] = tier
        error = value.get("error")
        if error:
            code = error.get("code") if type(error) is dict else None  # a status, where it is a number
            named = str(code) if type(code) is int else text_of(error, "code", "type", "status", "message")
            self.failed = named or "error"
        said = value.get("usage")
        if "usage" in value and text_of(value, "object") == "response":
            self.id = text_of(value, "id")
        if type(said) is dict:
            self.usage = openai_usage(said)
        choices = value.get("choices")
        if type(choices) is list and choices:
            self._learn_ends(choices, "finish_reason")

    def _learn_ends(self, choices: list[Any], name: str) -> None:
        """`name`: under which a choice says that it has ended."""
        for at, choice in enumerate(choices[:MAX_CHANNELS]):
            if type(choice) is dict:
                index = choice.get("index")
                index = index if type(index) is int else at
                if len(self._begun) < MAX_CHANNELS:
                    self._begun.add(index)
                self.promised = self.promised or name in choice
                if choice.get(name) and index in self._begun:
                    self._ended.add(index)
        if self._ended:
            self.finished = self._begun <= self._ended

    def _sse(self, event: Event, value: dict[str, Any], slots: list[Slot]) -> None:
        for key, item in value.items():
            if key == "choices" and type(item) is list:
                for at, choice in enumerate(item):
                    if type(choice) is dict:
                        self._choice(event, value, choice, ("choices", at), slots)
            elif type(item) in (dict, list):
                self._complete(item, (key,), "assistant", slots)
        if value.get("error"):
            self._close(event, self._open)

    def _choice(
        self, event: Event, chunk: dict[str, Any], choice: dict[str, Any], path: Path, slots: list[Slot]
    ) -> None:
        index = choice.get("index")
        index = index if type(index) is int else path[1]
        for key, item in choice.items():
            here = (*path, key)
            if key == "delta" and type(item) is dict:
                self._delta(event, chunk, index, item, here, slots)
            elif key == "text" and type(item) is str:
                self._piece(event, chunk, index, f"{index}.text", "assistant", item, here, ("text",), slots)
            elif key != "logprobs" and type(item) in (dict, list):
                self._complete(item, here, "assistant", slots)
        if choice.get("finish_reason"):
            self._close_within(event, f"{index}.")

    def _delta(
        self, event: Event, chunk: dict[str, Any], index: Any, delta: dict[str, Any], path: Path, slots: list[Slot]
    ) -> None:
        for key, item in delta.items():
            here = (*path, key)
            if type(item) is str and key not in _NO_TEXT:
                kind: SlotKind = "thinking" if key in _THOUGHTS else "assistant"
                self._piece(event, chunk, index, f"{index}.{key}", kind, item, here, ("delta", key), slots)
            elif key == "tool_calls" and type(item) is list:
                for at, call in enumerate(item):
                    self._call(event, chunk, index, call, (*here, at), slots)
            elif key == "function_call" and type(item) is dict:
                self._function(event, chunk, index, item, here, f"{index}.function", ("delta", key, "arguments"), slots)
            elif type(item) in (dict, list) and key not in _NO_TEXT:
                self._complete(item, here, "assistant", slots)

    def _call(self, event: Event, chunk: dict[str, Any], index: Any, call: Any, path: Path, slots: list[Slot]) -> None:
        if type(call) is not dict:
            return
        number = call["index"] if type(call.get("index")) is int else path[-1]
        for key, item in call.items():
            if key in ("function", "custom") and type(item) is dict:
                template = ("delta", "tool_calls", number, key, "arguments" if key == "function" else "input")
                self._function(event, chunk, index, item, (*path, key), f"{index}.tool.{number}", template, slots)
            elif type(item) in (dict, list):
                self._complete(item, (*path, key), "tool_input", slots)

    def _function(
        self,
        event: Event,
        chunk: dict[str, Any],
        index: Any,
        call: dict[str, Any],
        path: Path,
        channel: str,
        template: tuple[Any, ...],
        slots: list[Slot],
    ) -> None:
        """One fragment of a call: its first has the name, all have a part of the arguments (or of a custom tool's input)."""
        if name := text_of(call, "name"):
            remember(self._tools, channel, name)
        for key, item in call.items():
            if key in ("arguments", "input") and type(item) is str:
                self._piece(event, chunk, index, channel, "tool_input", item, (*path, key), template, slots)
            elif type(item) in (dict, list):
                self._complete(item, (*path, key), "tool_input", slots)

    def _piece(
        self,
        event: Event,
        chunk: dict[str, Any],
        index: Any,
        channel: str,
        kind: SlotKind,
        text: str,
        path: Path,
        template: tuple[Any, ...],
        slots: list[Slot],
    ) -> None:
        tool = self._tools.get(channel, "") if kind == "tool_input" else ""
        head = {key: item for key, item in chunk.items() if key not in ("choices", "usage", "obfuscation")}

        def make(text: str) -> dict[str, Any]:
            return {**head, "choices": [{"index": index, **_nested(template, text), "finish_reason": None}]}

        slot = Slot(path, kind, text, tool, channel, partial_json=path[-1] == "arguments")
        self._running(slot, event, make, slots)


def _worded(chunk: dict[str, Any]) -> bool:
    """Whether it is no chunk of Chat Completions, or one that says more than who speaks (its first has an empty text)."""
    choices = chunk.get("choices")
    if type(choices) is not list:
        return True
    for choice in choices:
        delta = choice.get("delta") if type(choice) is dict else None
        if type(delta) is not dict or choice.get("finish_reason"):
            return True
        if any(item and key != "role" for key, item in delta.items()):
            return True
    return False


def _nested(template: tuple[Any, ...], text: str) -> dict[str, Any]:
    """`("delta", "tool_calls", 1, "function", "arguments")` as JSON around a text; a number is an entry that names its index."""
    value: Any = text
    steps = list(template)
    while steps:
        step = steps.pop()
        value = {step: value} if type(step) is str else [{"index": step, **value}]
    return {**value}
