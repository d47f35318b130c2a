"""OpenAI's Responses API, whole and as events: https://platform.openai.com/docs/api-reference/responses-streaming.

A stream ends with the whole response, so folding it is taking that one.
"""

from collections.abc import Callable, Iterator
from typing import Any

from tokenman_core.caching.shapes.choices import cut
from tokenman_core.caching.shapes.wanted import Wanted
from tokenman_core.caching.shapes.written import a_list, a_text, an_object, event, pieces, read, same, sure, told, write

_ENDS = {"completed": "response.completed", "incomplete": "response.incomplete"}
# What a response has when it is over, and not before.
_LATE = ("usage", "completed_at", "incomplete_details")

Told = Iterator[dict[str, Any]]
"""Events, each without its number."""


def fold(body: bytes, _: Wanted) -> bytes:
    """The response that a stream ended with, if that has every item that the stream told."""
    done: list[Any] = []
    last: dict[str, Any] = {}
    found, _done = told(body)  # servers that took the API over may end with that
    for name, value in found:
        kind = a_text(value.get("type"))
        sure(not last and name in ("", kind) and kind.startswith("response.") and kind != "response.failed")
        sure(not value.get("error"))
        if kind == "response.output_item.done":
            sure(same(value.get("output_index"), len(done)))
            done.append(_identity(value.get("item")))
        if kind in _ENDS.values():
            last = an_object(value.get("response"))
            sure(_ENDS.get(a_text(last.get("status"))) == kind)
    sure(last.get("object") == "response" and not last.get("error"))
    sure([_identity(item) for item in a_list(last.get("output"))] == done)
    return write(last)


def _identity(item: Any) -> tuple[Any, ...]:
    """By which an item is known again; what is sealed in it may be sealed twice."""
    return tuple(an_object(item).get(name) for name in ("type", "id", "call_id"))


def unfold(body: bytes, _: Wanted) -> bytes:
    """The events of a response."""
    response = an_object(read(body))
    status = response.get("status")
    sure(response.get("object") == "response" and not response.get("error") and type(status) is str)
    sure(status in _ENDS)
    late = {name: None for name in _LATE if name in response}
    begun = {**response, "status": "in_progress", "output": [], **late}
    events = _told(begun, response, _ENDS[str(status)])
    numbered = ({"type": one.pop("type"), "sequence_number": at, **one} for at, one in enumerate(events))
    return b"".join(event(one, one["type"]) for one in numbered)


def _told(begun: dict[str, Any], response: dict[str, Any], end: str) -> Told:
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(a_list(response.get("output"))):
        kind = a_text(an_object(item).get("type"))
        sure(kind in _ITEMS)
        empty, inner = _ITEMS[kind]
        started = {**item, **{name: value for name, value in empty.items() if item.get(name) is not None}}
        yield {"type": "response.output_item.added", "output_index": index, "item": started}
        if inner is not None:
            yield from inner(item, {"item_id": a_text(item.get("id")), "output_index": index})
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": end, "response": response}


def _message(item: dict[str, Any], where: dict[str, Any]) -> Told:
    for index, part in enumerate(a_list(item.get("content"))):
        at = {**where, "content_index": index}
        kind = a_text(an_object(part).get("type"))
        sure(kind in ("output_text", "refusal"))
        yield from _part("response.content_part", at, part, _output_text if kind == "output_text" else _refusal)


def _part(kind: str, where: dict[str, Any], part: dict[str, Any], inner: Callable[..., Told]) -> Told:
    """One part of an item: it is added empty, told, and done."""
    empty: dict[str, Any] = {name: [] for name in ("annotations", "logprobs") if part.get(name)}
    text = "refusal" if part["type"] == "refusal" else "text"
    yield {"type": f"{kind}.added", **where, "part": {**part, text: "", **empty}}
    yield from inner(part, where)
    yield {"type": f"{kind}.done", **where, "part": part}


def _output_text(part: dict[str, Any], where: dict[str, Any]) -> Told:
    given = a_list(part.get("logprobs") or [])
    words = [a_text(an_object(token).get("token")) for token in given] if given else None
    text = a_text(part.get("text"))
    for piece, tokens in cut(text, words):
        yield {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": given[tokens]}
    for index, cited in enumerate(a_list(part.get("annotations") or [])):
        number = {"annotation_index": index, "annotation": an_object(cited)}
        yield {"type": "response.output_text.annotation.added", **where, **number}
    yield {"type": "response.output_text.done", **where, "text": text, "logprobs": given}


def _refusal(part: dict[str, Any], where: dict[str, Any]) -> Told:
    return _running("response.refusal", where, "refusal", part.get("refusal"))


def _reasoning(item: dict[str, Any], where: dict[str, Any]) -> Told:
    for index, part in enumerate(a_list(item.get("summary"))):
        sure(an_object(part).get("type") == "summary_text")
        yield from _part("response.reasoning_summary_part", {**where, "summary_index": index}, part, _summary)
    for index, part in enumerate(a_list(item.get("content") or [])):
        sure(an_object(part).get("type") == "reasoning_text")
        yield from _part("response.content_part", {**where, "content_index": index}, part, _thought)


def _summary(part: dict[str, Any], where: dict[str, Any]) -> Told:
    return _running("response.reasoning_summary_text", where, "text", part.get("text"))


def _thought(part: dict[str, Any], where: dict[str, Any]) -> Told:
    return _running("response.reasoning_text", where, "text", part.get("text"))


def _running(kind: str, where: dict[str, Any], name: str, text: Any) -> Told:
    """A text in pieces, and then as a whole under its name."""
    for piece in pieces(a_text(text)):
        yield {"type": f"{kind}.delta", **where, "delta": piece}
    yield {"type": f"{kind}.done", **where, name: text}


def _written(kind: str, name: str) -> Callable[..., Told]:
    """An item that is told by the text that it is called with."""
    return lambda item, where: _running(kind, where, name, item.get(name))


def _steps(kind: str, *steps: str) -> Callable[..., Told]:
    """An item of which only its steps are told."""

    def told(item: dict[str, Any], where: dict[str, Any]) -> Told:
        sure(item.get("status", "completed") == "completed")
        for step in steps:
            yield {"type": f"response.{kind}.{step}", **where}

    return told


def _code(item: dict[str, Any], where: dict[str, Any]) -> Told:
    kind = "response.code_interpreter_call"
    sure(item.get("status", "completed") == "completed")
    yield {"type": f"{kind}.in_progress", **where}
    if item.get("code") is not None:
        yield from _running(f"{kind}_code", where, "code", item["code"])
    yield {"type": f"{kind}.interpreting", **where}
    yield {"type": f"{kind}.completed", **where}


def _mcp_call(item: dict[str, Any], where: dict[str, Any]) -> Told:
    yield {"type": "response.mcp_call.in_progress", **where}
    yield from _running("response.mcp_call_arguments", where, "arguments", item.get("arguments"))
    yield {"type": f"response.mcp_call.{'failed' if item.get('error') else 'completed'}", **where}


def _mcp_list(item: dict[str, Any], where: dict[str, Any]) -> Told:
    yield {"type": "response.mcp_list_tools.in_progress", **where}
    yield {"type": f"response.mcp_list_tools.{'failed' if item.get('error') else 'completed'}", **where}


_RUNS = {"status": "in_progress"}
_SEARCHES = ("in_progress", "searching", "completed")
_ITEMS: dict[str, tuple[dict[str, Any], Callable[..., Told] | None]] = {
    "message": (_RUNS | {"content": []}, _message),
    "reasoning": (_RUNS | {"summary": [], "content": [], "encrypted_content": None}, _reasoning),
    "function_call": (
        _RUNS | {"arguments": ""},
        _written("response.function_call_arguments", "arguments"),
    ),
    "custom_tool_call": (_RUNS | {"input": ""}, _written("response.custom_tool_call_input", "input")),
    "web_search_call": (_RUNS, _steps("web_search_call", *_SEARCHES)),
    "file_search_call": (_RUNS | {"queries": [], "results": None}, _steps("file_search_call", *_SEARCHES)),
    "code_interpreter_call": (_RUNS | {"code": "", "outputs": None}, _code),
    "image_generation_call": (
        _RUNS | {"result": None},
        _steps("image_generation_call", "in_progress", "generating", "completed"),
    ),
    "mcp_call": (_RUNS | {"arguments": "", "output": None, "error": None}, _mcp_call),
    "mcp_list_tools": ({"tools": [], "error": None}, _mcp_list),
    "mcp_approval_request": ({}, None),
    "computer_call": (_RUNS, None),
    "local_shell_call": (_RUNS, None),
    "tool_search_call": (_RUNS, None),
    "tool_search_output": (_RUNS, None),
    "compaction": ({}, None),
}
"""By the type of an item: what it begins with in place of what it has in the end, and the events in between."""
