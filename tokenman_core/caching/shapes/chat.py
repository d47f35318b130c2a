"""Chat Completions, whole and as chunks: https://platform.openai.com/docs/api-reference/chat-streaming."""

from collections.abc import Iterator
from typing import Any

from tokenman_core.caching.shapes import choices
from tokenman_core.caching.shapes.choices import Ending, Kind, Texts, cut
from tokenman_core.caching.shapes.wanted import Wanted
from tokenman_core.caching.shapes.written import Unsure, a_list, a_text, an_object, pieces, sure, together

_THOUGHTS = ("reasoning_content", "reasoning")  # of other providers than OpenAI
_TEXTS = ("content", "refusal", *_THOUGHTS)
_KNOWN = frozenset({"role", *_TEXTS, "tool_calls", "function_call", "annotations"})
_CALLED = {"function": "arguments", "custom": "input"}
"""Where a call has its name and what it is given, and under which key that is."""


class _Choice:
    def __init__(self) -> None:
        self._texts, self._ending = Texts(), Ending()
        self._message: dict[str, Any] = {}  # what does not come in pieces; places of what does are kept with a null
        self._calls: list[_Call] = []
        self._function: _Called | None = None

    def add(self, chunk: dict[str, Any]) -> None:
        delta = an_object(chunk.get("delta"))
        self._ending.add(chunk, "delta", says=any(value for name, value in delta.items() if name != "role"))
        for name, value in delta.items():
            if name in _TEXTS:
                self._message.setdefault(name, None)
                self._texts.add(name, value)
            elif name == "tool_calls" and value:
                self._message.setdefault(name, None)
                for call in a_list(value):
                    self._called(an_object(call))
            elif name == "function_call" and value:
                self._message.setdefault(name, None)
                self._function = self._function or _Called("arguments")
                self._function.add(an_object(value))
            else:
                sure(name in ("role", "annotations") or not value)
                together(self._message, name, value)

    def _called(self, call: dict[str, Any]) -> None:
        index = call.get("index")
        if type(index) is not int or not 0 <= index <= len(self._calls):
            raise Unsure
        if index == len(self._calls):
            self._calls.append(_Call())
        self._calls[index].add(call)

    def made(self) -> dict[str, Any]:
        message = {**self._message, **self._texts.made()}
        if self._calls:
            message["tool_calls"] = [call.made() for call in self._calls]
        if self._function:
            message["function_call"] = self._function.made()
        if "refusal" in message:  # as OpenAI writes it, whose streams do not tell that there are none
            message.setdefault("annotations", [])
        ending = self._ending.made()
        return {"index": ending["index"], "message": message, **ending}


class _Call:
    """One call of a tool."""

    def __init__(self) -> None:
        self._members: dict[str, Any] = {}
        self._called: dict[str, _Called] = {}

    def add(self, call: dict[str, Any]) -> None:
        for name, value in call.items():
            if name in _CALLED and value is not None:
                self._members.setdefault(name, None)
                self._called.setdefault(name, _Called(_CALLED[name])).add(an_object(value))
            elif name != "index":
                together(self._members, name, value)

    def made(self) -> dict[str, Any]:
        return {**self._members, **{name: called.made() for name, called in self._called.items()}}


class _Called:
    """The name of what is called, and what it is given, which comes in pieces."""

    def __init__(self, given: str) -> None:
        self._given = given
        self._members: dict[str, Any] = {}
        self._texts = Texts()

    def add(self, called: dict[str, Any]) -> None:
        for name, value in called.items():
            if name == self._given:
                self._members.setdefault(name, None)
                self._texts.add(name, value)
            else:
                together(self._members, name, value)

    def made(self) -> dict[str, Any]:
        return {**self._members, **self._texts.made()}


def _told(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Who speaks; thoughts, text, refusal; calls; what is cited; and the end, with whatever else is said of the choice."""
    message = an_object(choice.get("message"))
    null = {"logprobs": None} if "logprobs" in choice else {}

    def piece(delta: dict[str, Any], probable: dict[str, Any] = null) -> dict[str, Any]:
        return {"index": choice["index"], "delta": delta, **probable, "finish_reason": None}

    calls, function, cited = (message.get(name) or [] for name in ("tool_calls", "function_call", "annotations"))
    sure(all(name in _KNOWN or not value for name, value in message.items()))
    yield piece({name: begun for name, value in message.items() for begun in _begun(name, value, message)})
    tokens = _tokens(choice.get("logprobs"))
    silent = {name: None if column else column for name, column in (choice.get("logprobs") or {}).items()}
    for name in (*_THOUGHTS, "content", "refusal"):
        column = tokens.get(name)
        sure(not column or message.get(name) is not None)
        words = None if column is None else [a_text(an_object(token).get("token")) for token in column]
        for text, part in cut(a_text(message.get(name) or ""), words):
            yield piece({name: text}, null if column is None else {"logprobs": {**silent, name: column[part]}})
    for number, call in enumerate(a_list(calls)):
        for delta in _called(number, an_object(call)):
            yield piece({"tool_calls": [delta]})
    if function:
        for delta in _given(an_object(function), "arguments"):
            yield piece({"function_call": delta})
    if cited:
        yield piece({"annotations": a_list(cited)})
    ending = {name: value for name, value in choice.items() if name not in ("message", "index")}
    yield {"index": choice["index"], "delta": {}, **ending, **(null if any(tokens.values()) else {})}


def _begun(name: str, value: Any, message: dict[str, Any]) -> Iterator[Any]:
    """How a member stands in the first delta: the role, and what is empty from the beginning. None, or one."""
    if name == "role":
        yield value
    elif name == "content":
        yield None if value is None else ""
    elif name == "annotations" and value == [] and "refusal" in message:
        return  # OpenAI's streams do not tell that there are none
    elif not value:
        yield value
    elif name == "refusal":
        yield None


def _tokens(probable: Any) -> dict[str, list[Any]]:
    """The probabilities of a choice, by the text that they are of."""
    if probable is None:
        return {}
    sure(set(an_object(probable)) <= {"content", "refusal"})
    return {name: a_list(column) for name, column in probable.items() if column is not None}


def _called(number: int, call: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A call of a tool: its first piece has all but what it is given."""
    kinds = [name for name in _CALLED if name in call]
    sure(len(kinds) == 1 and "index" not in call)
    kind = kinds[0]
    first, *rest = _given(an_object(call[kind]), _CALLED[kind])
    yield {"index": number, **call, kind: first}
    for delta in rest:
        yield {"index": number, kind: delta}


def _given(called: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    given = a_text(called.get(name))
    yield {**called, name: ""}
    for piece in pieces(given):
        yield {name: piece}


_KIND = Kind("chat.completion", "chat.completion.chunk", _Choice, _told)


def fold(body: bytes, _: Wanted) -> bytes:
    """The completion that a stream told."""
    return choices.fold(body, _KIND)


def unfold(body: bytes, wanted: Wanted) -> bytes:
    """The chunks of a completion."""
    return choices.unfold(body, wanted, _KIND)
