"""Every JSON call that no other dialect knows: all strings are text, whatever the endpoint, plain and streamed.

Its reader knows two ways of streaming that many endpoints share: events with a string `delta` (OpenAI's Responses API, which
Codex uses, https://platform.openai.com/docs/api-reference/responses-streaming), and chunks with `choices`.
"""

from collections.abc import Mapping
from typing import Any

from tokenman_core.dialects.base import AnswerReader, Operation
from tokenman_core.dialects.chat_reader import ChatReader
from tokenman_core.dialects.common import JsonDialect
from tokenman_core.dialects.reader import remember, text_of
from tokenman_core.dialects.shapes import STATUSES, dump, openai_error
from tokenman_core.errors import ErrorKind
from tokenman_core.slots import Slot, SlotKind
from tokenman_core.sse import Event
from tokenman_core.usage import (
    anthropic_usage,
    gemini_tools,
    gemini_usage,
    interactions_usage,
    openai_containers,
    openai_tools,
    with_tools,
)

# Where a running text of the Responses API stands. The item's id comes last: some gateways give it anew in every event.
_COORDINATES = ("output_index", "content_index", "summary_index", "index")
# By which a stream says that it is whole. Images, sound and transcripts have no [DONE] behind it
# (https://platform.openai.com/docs/api-reference/images-streaming, …/audio/speech-audio-done-event).
_ENDINGS = frozenset({
    "response.completed", "response.incomplete", "response.failed", "response.cancelled", "error",
    "image_generation.completed", "image_edit.completed", "transcript.text.done", "speech.audio.done",
})  # fmt: skip
_INTERACTED = frozenset(
    {"interaction.complete", "interaction.completed"}
)  # https://ai.google.dev/gemini-api/docs/streaming
_FAILURES = frozenset({"response.failed", "error"})


class GenericReader(ChatReader):
    """A channel is an event's type without its last word, and where the text stands: `response.output_text@0.0`."""

    markers = (
        *ChatReader.markers,
        b'.completed"',
        b'"interaction.complete"',
        b'"transcript.text.done"',
        b'"speech.audio.done"',
        b'"response.incomplete"',
        b'"response.failed"',
        b'"usageMetadata"',
        b'"finishReason"',
        b'"blockReason"',
        b'"message_stop"',
    )

    def __init__(self) -> None:
        super().__init__()
        self._items: dict[str, str] = {}  # where an output item stands -> name of the tool it calls
        self._searches: Mapping[str, int] = {}  # a stream tells of them before its last usage

    def _learn(self, value: dict[str, Any]) -> None:
        kind = text_of(value, "type") or ""
        super()._learn(value)
        response = value.get("response")
        if type(response) is dict:  # of the Responses API, and of Google's Code Assist
            super()._learn({**response, "type": kind})
            self._learn_usage(response)
        interaction = value.get("interaction")
        if type(interaction) is dict:  # of Google's Interactions API
            super()._learn({**interaction, "type": text_of(value, "event_type")})
            self._learn_usage(interaction)
            self.finished = self.finished or text_of(value, "event_type") in _INTERACTED
        if kind in _FAILURES and self.failed is None:
            self.failed = text_of(value, "code", "message") or "error"
        if kind in _ENDINGS or kind == "message_stop":
            self.finished = self.finished or kind not in _FAILURES
        self._learn_usage(value)

    def _learn_usage(self, value: dict[str, Any]) -> None:
        if version := text_of(value, "modelVersion"):
            self.model = version
        candidates = value.get("candidates")
        if type(candidates) is list and candidates:
            self._learn_ends(candidates, "finishReason")
        if text_of(value.get("promptFeedback"), "blockReason"):  # of a question that gets no answer that is all
            self.finished = True
        said = value.get("usage")
        if type(said) is dict and ("cache_read_input_tokens" in said or "cache_creation_input_tokens" in said):
            self.usage = anthropic_usage(said)
        if type(said) is dict and "total_input_tokens" in said:
            self.usage = interactions_usage(said)
        if self.usage is not None and type(output := value.get("output")) is list:
            self.usage = with_tools(self.usage, openai_tools(output))
            self.containers = openai_containers(output)
        said = value.get("usageMetadata")
        if type(said) is dict:
            self._searches = gemini_tools(candidates, self.model or "") or self._searches
            self.usage = with_tools(gemini_usage(said), self._searches)

    def _sse(self, event: Event, value: dict[str, Any], slots: list[Slot]) -> None:
        kind = text_of(value, "type") or event.name
        delta = value.get("delta")
        if type(value.get("choices")) is list:
            super()._sse(event, value, slots)
        elif type(delta) is str:
            self._running_delta(event, value, kind, delta, slots)
        else:
            tool = self._items.get(_where(value).partition(".")[0], "")
            self._finished_part(event, value, kind)
            self._complete(value, (), _speaker(kind), slots, tool)

    def _running_delta(self, event: Event, value: dict[str, Any], kind: str, delta: str, slots: list[Slot]) -> None:
        where = _where(value)
        channel = f"{kind.removesuffix('.delta')}@{where}"
        speaker = _speaker(kind)
        tool = self._items.get(where.partition(".")[0], "") if speaker == "tool_input" else ""
        head = {key: item for key, item in value.items() if key not in ("logprobs", "obfuscation")}
        if type(value.get("logprobs")) is list:
            head["logprobs"] = []

        def make(text: str) -> dict[str, Any]:
            return {**head, "delta": text}

        partial = speaker == "tool_input" and "arguments" in kind
        self._running(Slot(("delta",), speaker, delta, tool, channel, partial), event, make, slots)

    def _finished_part(self, event: Event, value: dict[str, Any], kind: str) -> None:
        """Tool names from new items, and the channels that an event's type ends."""
        item = value.get("item")
        if kind.endswith("output_item.added") and type(item) is dict:
            name = text_of(item, "name") or (text_of(item, "type") or "").removesuffix("_call")
            remember(self._items, _where(value), name)
        if kind in _ENDINGS or self.failed is not None:
            self._close(event, self._open)
        elif kind.endswith("output_item.done"):
            where = _where(value)
            self._items.pop(where, None)
            self._close(event, [name for name in self._open if _inside(name, where)])
        elif kind.endswith(".done"):
            self._close(event, (f"{kind.removesuffix('.done')}@{_where(value)}",))


def _where(value: dict[str, Any]) -> str:
    numbers = [str(value[key]) for key in _COORDINATES if type(value.get(key)) is int]
    return ".".join(numbers) or text_of(value, "item_id", "id") or ""


def _inside(channel: str, where: str) -> bool:
    position = channel.partition("@")[2]
    return position == where or position.startswith(where + ".")


def _speaker(kind: str) -> SlotKind:
    if "reasoning" in kind or "thinking" in kind:
        return "thinking"
    return "tool_input" if "_call" in kind and "output_text" not in kind else "assistant"


class Generic(JsonDialect):
    """Slots of everything; errors in OpenAI's form, which most providers share."""

    name = "generic"

    def _asked(self, method: str, path: str) -> Operation:
        """A model may answer whatever is posted, so it may cost."""
        return Operation("other", generates=method == "POST")

    def reader(self, operation: Operation) -> AnswerReader:
        """A reader that knows the ways of streaming that many endpoints share."""
        return GenericReader()

    def error(self, status: int, kind: ErrorKind, message: str, request_id: str) -> bytes:
        """A body in OpenAI's form."""
        return dump(openai_error(status, kind, message, request_id))

    def error_event(self, kind: ErrorKind, message: str, request_id: str) -> bytes:
        """An event without a name."""
        return b"data: " + dump(openai_error(STATUSES[kind], kind, message, request_id)) + b"\n\n"
