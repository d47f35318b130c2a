"""Judges a whole answer as the provider gave it: whether it may be given again. What is refused, cut, odd or failed never is."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tokenman_core.dialects import walk
from tokenman_core.dialects.base import AnswerReader, Dialect, Operation
from tokenman_core.dialects.reader import text_of
from tokenman_core.sse import Event, SseError, SseParser

ERROR = "it is an error"
CUT = "it is not finished"
LIMIT = "it was cut at a limit of tokens"
REFUSED = "it is a refusal"
FILTERED = "it was filtered"
PAUSED = "its turn goes on"
EXPIRES = "it names what the provider keeps for a time"
CALLS = "it calls a tool"
EMPTY = "it says nothing"
ODD = "it is not as the API has it"

OK = ""

_Ends = Mapping[str, str]
"""Why the model stopped, in the API's words, and what becomes of such an answer. What no row has is odd."""

# https://docs.anthropic.com/en/api/handling-stop-reasons; of Text Completions too.
_ANTHROPIC_ENDS: _Ends = {
    "end_turn": OK, "stop_sequence": OK, "tool_use": CALLS, "max_tokens": LIMIT, "model_context_window_exceeded": LIMIT,
    "refusal": REFUSED, "pause_turn": PAUSED,
}  # fmt: skip
# https://platform.openai.com/docs/api-reference/chat/object: choices[].finish_reason.
_OPENAI_ENDS: _Ends = {
    "stop": OK, "tool_calls": CALLS, "function_call": CALLS, "length": LIMIT, "content_filter": FILTERED,
}  # fmt: skip
# https://ai.google.dev/api/generate-content#FinishReason.
_GEMINI_ENDS: _Ends = {
    "STOP": OK, "MAX_TOKENS": LIMIT,
    **dict.fromkeys(
        ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT",
         "IMAGE_RECITATION"), FILTERED),
}  # fmt: skip
# https://platform.openai.com/docs/api-reference/responses/object: status; why it is incomplete: incomplete_details.reason.
_STATUSES: _Ends = {
    "completed": OK, "failed": ERROR, "cancelled": CUT, "in_progress": CUT, "queued": CUT, "incomplete": CUT,
}  # fmt: skip
_INCOMPLETE: _Ends = {"max_output_tokens": LIMIT, "content_filter": FILTERED}

_ANTHROPIC_EVENTS = frozenset({"ping", "message_delta", "message_stop", "error"})
_THOUGHTS = frozenset({"thinking", "redacted_thinking"})
# Items of a response that are about tools and do not end with `_call` or `_call_output`.
_TOOL_ITEMS = frozenset({
    "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "tool_search_output", "program", "program_output",
})  # fmt: skip
# What a part of Gemini's may hold besides what it is (https://ai.google.dev/api/caching#Part), and what it may be.
_PART_SIDE = frozenset({"thought", "thoughtSignature", "partMetadata", "mediaResolution", "videoMetadata"})
_PART_TOOLS = frozenset({
    "functionCall", "functionResponse", "executableCode", "codeExecutionResult", "toolCall", "toolResponse",
})  # fmt: skip


class _Found:
    """What has been seen of an answer. The first reason against it stands."""

    def __init__(self) -> None:
        self.reason = OK
        self.calls = False
        self.says = False
        self.done = False  # [DONE] was seen

    def stop(self, reason: str) -> None:
        self.reason = self.reason or reason

    def end(self, said: Any, ends: _Ends) -> None:
        """Why the model says that it stopped."""
        if not said:
            self.stop(CUT)
            return
        reason = ends.get(said, ODD) if type(said) is str else ODD
        if reason == CALLS:
            self.calls = True
        else:
            self.stop(reason)

    def text(self, value: Any) -> None:
        self.says = self.says or bool(value)


def unkept(
    dialect: Dialect,
    operation: Operation,
    status: int,
    content_type: bytes,
    body: bytes,
    stream: bool,
    *,
    tool_calls: bool,
) -> tuple[str | None, AnswerReader]:
    """Why an answer may not be given again, in a few words, or None; and the dialect's reader, which has read its usage.

    `body` is all that came, decoded; `stream`: as events. `tool_calls`: answers that call tools may be kept, the provider's own
    tools and what they gave among them. What the model thought does not matter, nor do its signatures.
    """
    reader, found = dialect.reader(operation), _Found()
    values = _events(reader, body, found) if stream else _whole(reader, body, found)
    if status != 200:
        return f"its status is {status}", reader
    if reader.failed is not None:
        return ERROR, reader
    judge = _JUDGES.get((dialect.name, operation.name))
    if judge is None or (b"event-stream" if stream else b"json") not in content_type.lower():
        return ODD, reader
    if not values:
        found.stop(CUT)
    if not found.reason:
        judge(values, stream, found)
    if not reader.finished:
        found.stop(CUT)
    if found.calls and not tool_calls:
        found.stop(CALLS)
    if not found.says and not found.calls:
        found.stop(EMPTY)
    return found.reason or None, reader


def _whole(reader: AnswerReader, body: bytes, found: _Found) -> list[dict[str, Any]]:
    """A plain body is one value; Gemini's streams that are none of events are a list of them."""
    reader.note(Event(body, "whole"))
    value = walk.load(body)
    values = value if type(value) is list else [value]
    if not values or not all(type(one) is dict for one in values):
        found.stop(ODD)
    return values


def _events(reader: AnswerReader, body: bytes, found: _Found) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = []
    parser = SseParser()
    try:
        for event in [*parser.feed(body), *parser.finish()]:
            reader.note(event)
            data = event.data
            if not data:
                continue
            if found.done or event.kind != "sse":  # something behind the end, or no stream at all
                found.stop(ODD)
            elif data == b"[DONE]":
                found.done = True
            elif type(value := walk.load(data)) is dict:
                values.append(value)
            else:
                found.stop(ODD)
    except SseError:
        found.stop(ODD)
    return values


# -- one an API --


def _messages(values: list[dict[str, Any]], stream: bool, found: _Found) -> None:
    if not stream:
        message = values[0]
        if len(values) > 1 or message.get("type") != "message":
            found.stop(ODD)
        for block in _listed(message.get("content"), found):
            _block(block, found)
        _held(message, found)
        found.end(message.get("stop_reason"), _ANTHROPIC_ENDS)
        return
    running: set[int] = set()
    begun, stop = 0, None
    for value in values:
        kind, index = text_of(value, "type") or "", value.get("index")
        index = index if type(index) is int else -1
        if kind == "message_start":
            begun += 1
            _held(_object(value, "message"), found)
        elif kind == "content_block_start" and index >= 0:
            running.add(index)
            _block(value.get("content_block"), found)
        elif kind == "content_block_delta" and index in running:
            found.text(_object(value, "delta").get("text"))
        elif kind == "content_block_stop" and index in running:
            running.discard(index)
        elif kind not in _ANTHROPIC_EVENTS:
            found.stop(ODD)
        if kind == "message_delta":
            delta = _object(value, "delta")
            stop = delta.get("stop_reason") or stop
            _held(delta, found)
    found.end(stop, _ANTHROPIC_ENDS)
    if begun != 1 or running:
        found.stop(ODD)


def _held(message: dict[str, Any], found: _Found) -> None:
    if message.get("container"):
        found.stop(EXPIRES)


def _block(block: Any, found: _Found) -> None:
    kind = text_of(block, "type") or ""
    if kind == "text":
        found.text(block.get("text"))
    elif kind.endswith(("tool_use", "tool_result")):
        found.calls = True
    elif kind == "container_upload":
        found.stop(EXPIRES)
    elif (
        kind not in _THOUGHTS
    ):  # a change of the model within the answer, a summary of the conversation, what comes yet
        found.stop(ODD)


def _complete(values: list[dict[str, Any]], stream: bool, found: _Found) -> None:
    stop = None
    for value in values:
        kind = value.get("type")
        if kind == "completion":
            found.text(value.get("completion"))
            stop = value.get("stop_reason") or stop
        elif kind != "ping":
            found.stop(ODD)
    found.end(stop, _ANTHROPIC_ENDS)


def _chat(values: list[dict[str, Any]], stream: bool, found: _Found) -> None:
    def part(choice: dict[str, Any]) -> None:
        message = _object(choice, "delta" if stream else "message")
        found.text(message.get("content"))
        if message.get("refusal"):
            found.stop(REFUSED)
        if message.get("audio"):
            found.stop(EXPIRES)
        if any(
            message.get(name) for name in ("tool_calls", "function_call", "annotations")
        ):  # the last: pages that were found
            found.calls = True

    _choices(values, stream, found, part)


def _completions(values: list[dict[str, Any]], stream: bool, found: _Found) -> None:
    _choices(values, stream, found, lambda choice: found.text(choice.get("text")))


def _choices(values: list[dict[str, Any]], stream: bool, found: _Found, part: Callable[[dict[str, Any]], None]) -> None:
    """Each choice, whole or in pieces, must have its end."""
    ends: dict[int, Any] = {}
    if not stream and len(values) > 1:
        found.stop(ODD)
    for value in values:
        if value.get("citations") or value.get("search_results"):  # of providers that search without being asked to
            found.calls = True
        if "choices" not in value and value.get("usage"):  # some tell it in a chunk of its own
            continue
        for number, choice in enumerate(_listed(value.get("choices"), found)):
            if type(choice) is not dict:
                found.stop(ODD)
                continue
            if choice.get("error"):  # of gateways whose own provider failed
                found.stop(ERROR)
            index = choice.get("index")
            index = index if type(index) is int else number
            ends[index] = choice.get("finish_reason") or ends.get(index)
            part(choice)
    if not ends:
        found.stop(ODD)
    for end in ends.values():
        found.end(end, _OPENAI_ENDS)
    if stream and not found.done:  # what it used may be told between the last end and this
        found.stop(CUT)


def _responses(values: list[dict[str, Any]], stream: bool, found: _Found) -> None:
    if not stream:
        if len(values) > 1:
            found.stop(ODD)
        _response(values[0], found)
        return
    ended = [value for value in values if value.get("type") in ("response.completed", "response.incomplete")]
    if len(ended) != 1:
        found.stop(ODD if ended else CUT)
    for value in ended:
        _response(_object(value, "response"), found)
    for value in values:
        kind = text_of(value, "type") or ""
        if kind.startswith("response.refusal."):
            found.stop(REFUSED)
        elif kind == "response.output_item.done":  # some servers leave them out of the last event
            _item(value.get("item"), found)
        elif not kind.startswith("response.") and kind not in ("ping", "keepalive"):
            found.stop(ODD)


def _response(response: dict[str, Any], found: _Found) -> None:
    why = _object(response, "incomplete_details").get("reason")
    if type(why) is str:
        found.stop(_INCOMPLETE.get(why, CUT))
    found.end(response.get("status"), _STATUSES)
    if response.get("error"):
        found.stop(ERROR)
    for item in _listed(response.get("output"), found):
        _item(item, found)


def _item(item: Any, found: _Found) -> None:
    kind = text_of(item, "type")
    if kind is None:
        found.stop(ODD)
        return
    if item.get("status") not in (None, "completed"):
        found.stop(CUT)
    if item.get("error"):
        found.stop(ERROR)
    if item.get("container_id"):
        found.stop(EXPIRES)
    if kind == "message":
        for part in _listed(item.get("content"), found):
            said = text_of(part, "type")
            if said == "output_text":
                found.text(part.get("text"))
            else:
                found.stop(REFUSED if said == "refusal" else ODD)
    elif kind.endswith(("_call", "_call_output")) or kind in _TOOL_ITEMS:
        found.calls = True
    elif kind != "reasoning":
        found.stop(ODD)


def _generate(values: list[dict[str, Any]], stream: bool, found: _Found) -> None:
    ends: dict[int, Any] = {}
    for value in values:
        answer = _object(value, "response") or value  # Code Assist wraps it
        if _object(answer, "promptFeedback").get("blockReason"):
            found.stop(FILTERED)
        for number, candidate in enumerate(_listed(answer.get("candidates", []), found)):
            if type(candidate) is not dict:
                found.stop(ODD)
                continue
            index = candidate.get("index")
            index = index if type(index) is int else number
            ends[index] = candidate.get("finishReason") or ends.get(index)
            _candidate(candidate, found)
    if not ends:
        found.stop(ODD)
    for end in ends.values():
        found.end(end, _GEMINI_ENDS)


def _candidate(candidate: dict[str, Any], found: _Found) -> None:
    if any(type(one) is dict and one.get("blocked") for one in _some(candidate.get("safetyRatings"))):
        found.stop(FILTERED)
    if candidate.get("groundingMetadata") or candidate.get("urlContextMetadata"):  # it searched, or read pages
        found.calls = True
    for part in _listed(_object(candidate, "content").get("parts", []), found):
        what = part.keys() - _PART_SIDE if type(part) is dict else {""}
        if what & _PART_TOOLS:
            found.calls = True
        elif what <= {"text", "inlineData"}:
            found.text(part.get("thought") is not True and (part.get("text") or part.get("inlineData")))
        else:
            found.stop(ODD)


def _embeddings(values: list[dict[str, Any]], stream: bool, found: _Found) -> None:
    given = _listed(values[0].get("data"), found)
    found.says = bool(given) and all(type(one) is dict and one.get("embedding") for one in given)


def _gemini_embeddings(values: list[dict[str, Any]], stream: bool, found: _Found) -> None:
    one = values[0].get("embedding")
    given = [one] if one is not None else _listed(values[0].get("embeddings"), found)
    found.says = bool(given) and all(type(one) is dict and one.get("values") for one in given)


def _listed(value: Any, found: _Found) -> list[Any]:
    if type(value) is not list:
        found.stop(ODD)
        return []
    return value


def _some(value: Any) -> Iterable[Any]:
    return value if type(value) is list else ()


def _object(value: dict[str, Any], name: str) -> dict[str, Any]:
    inner = value.get(name)
    return inner if type(inner) is dict else {}


_JUDGES: Mapping[tuple[str, str], Callable[[list[dict[str, Any]], bool, _Found], None]] = {
    ("anthropic", "messages"): _messages,
    ("anthropic", "complete"): _complete,
    ("openai", "chat"): _chat,
    ("openai", "completions"): _completions,
    ("openai", "responses"): _responses,
    ("openai", "embeddings"): _embeddings,
    ("gemini", "generate"): _generate,
    ("gemini", "embeddings"): _gemini_embeddings,
}
