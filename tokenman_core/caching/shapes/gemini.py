"""Google's Gemini API, whole and in chunks, and Code Assist, which wraps each of them in `response`.

A chunk is an answer of its own that holds a piece of the text (https://ai.google.dev/api/generate-content); chunks come as
events, or as the elements of an array.
"""

import itertools
from collections.abc import Iterator
from typing import Any

from tokenman_core.caching.shapes.wanted import Wanted
from tokenman_core.caching.shapes.written import (
    Unsure,
    a_list,
    a_text,
    an_object,
    pieces,
    read,
    same,
    sure,
    together,
    told,
    write,
)

_EVERYWHERE = ("modelVersion", "responseId", "createTime")  # in each chunk; all else once, in the first
_WRAPPER = "response"
# What a part may be. A call whose arguments come in pieces (`willContinue`) is told in another way than it would be whole.
_PARTS = frozenset({
    "text", "thought", "thoughtSignature", "inlineData", "fileData", "functionCall", "functionResponse", "executableCode",
    "codeExecutionResult",
})  # fmt: skip
_PARTIAL = frozenset({"willContinue", "partialArgs"})


def reframe(body: bytes, wanted: Wanted) -> bytes:
    """The same chunks, as an array or as events."""
    return _framed(_chunks(body), wanted)


def _chunks(body: bytes) -> list[dict[str, Any]]:
    array = body.lstrip().startswith(b"[")
    found = a_list(read(body)) if array else [value for _, value in told(body)[0]]
    sure(bool(found) and all(not an_object(one).get("error") for one in found))
    return found


def _framed(chunks: list[dict[str, Any]], wanted: Wanted) -> bytes:
    if wanted.array:
        return b"[" + b",\r\n".join(map(write, chunks)) + b"]\n"
    return b"".join(b"data: " + write(chunk) + b"\r\n\r\n" for chunk in chunks)


def _unwrapped(value: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The answer itself, and what stands around it."""
    if _WRAPPER not in value:
        return value, {}
    return an_object(value[_WRAPPER]), value


def fold(body: bytes, _: Wanted) -> bytes:
    """The answer that chunks told."""
    top: dict[str, Any] = {}
    around: dict[str, Any] = {}
    usage: dict[str, Any] = {}
    candidates: dict[int, _Candidate] = {}
    chunks = [_unwrapped(value) for value in _chunks(body)]
    sure(len({bool(wrapper) for _, wrapper in chunks}) == 1)
    for chunk, wrapper in chunks:
        for name, value in wrapper.items():
            if name != _WRAPPER:
                together(around, name, value)
        for name, value in chunk.items():
            if name == "candidates":
                for at, candidate in enumerate(a_list(value)):
                    index = _index(candidate, at)
                    candidates.setdefault(index, _Candidate()).add(candidate)
            elif name == "usageMetadata":
                sure(set(usage) <= set(an_object(value)))
                usage = value  # of what was used till then
            else:
                together(top, name, value)
    blocked = bool(an_object(top.get("promptFeedback") or {}).get("blockReason"))
    sure(bool(usage) and (bool(candidates) or blocked) and sorted(candidates) == list(range(len(candidates))))
    made = [candidates[index].made() for index in range(len(candidates))]
    whole = {**({"candidates": made} if made else {}), "usageMetadata": usage, **top}
    return write({_WRAPPER: whole, **around} if chunks[0][1] else whole)


def _index(candidate: Any, at: int) -> int:
    index = an_object(candidate).get("index", at)
    if type(index) is not int:
        raise Unsure
    return index


class _Candidate:
    """One candidate as far as its chunks have told it."""

    def __init__(self) -> None:
        self._members: dict[str, Any] = {}
        self._content: dict[str, Any] = {}
        self._parts: list[dict[str, Any]] = []
        self._texts: list[str] = []  # of the last part, where it may go on
        self._empty: dict[str, Any] | None = None

    def add(self, candidate: dict[str, Any]) -> None:
        for name, value in candidate.items():
            if name != "content":
                together(self._members, name, value)
                continue
            self._members.setdefault(name, self._content)
            for inner, item in an_object(value).items():
                if inner == "parts":
                    self._content.setdefault(inner, self._parts)
                    for part in a_list(item):
                        self._part(an_object(part))
                else:
                    sure(inner == "role")
                    together(self._content, inner, item)

    def _part(self, part: dict[str, Any]) -> None:
        """Texts of one kind that follow each other are one text; an empty one is none, unless there is no other part."""
        sure(_is_known(part))
        if not _is_text(part):
            self._end_text()
            self._parts.append(part)
        elif part["text"] == "":
            self._empty = self._empty or part
        else:
            if not (self._texts and _goes_on(self._parts[-1], part)):
                self._end_text()
                self._parts.append(part)
            self._texts.append(part["text"])

    def _end_text(self) -> None:
        if self._texts:
            self._parts[-1] = {**self._parts[-1], "text": "".join(self._texts)}
            self._texts = []

    def made(self) -> dict[str, Any]:
        sure(type(self._members.get("finishReason")) is str)
        self._end_text()
        if not self._parts and self._empty:
            self._parts.append(self._empty)
        return self._members


def _is_known(part: dict[str, Any]) -> bool:
    return set(part) <= _PARTS and not _PARTIAL & set(an_object(part.get("functionCall", {})))


def _is_text(part: dict[str, Any]) -> bool:
    """Whether a part is text and nothing more: one that is signed is a part of its own."""
    return set(part) <= {"text", "thought"} and type(part.get("text")) is str


def _goes_on(part: dict[str, Any], other: dict[str, Any]) -> bool:
    return _is_text(part) and same({**part, "text": ""}, {**other, "text": ""})


def unfold(body: bytes, wanted: Wanted) -> bytes:
    """The chunks of an answer."""
    whole, wrapper = _unwrapped(an_object(read(body)))
    sure(not whole.get("error") and not wrapper.get("error") and ("candidates" in whole or "promptFeedback" in whole))
    once = {name: value for name, value in whole.items() if name not in (*_EVERYWHERE, "candidates", "usageMetadata")}
    everywhere = {name: whole[name] for name in _EVERYWHERE if name in whole}
    usage = {"usageMetadata": an_object(whole["usageMetadata"])} if "usageMetadata" in whole else {}
    early = {name: _early(value) for name, value in usage.items()}
    parts = list(_told(whole))
    chunks = []
    for at, piece in enumerate(parts):
        said = usage if at == len(parts) - 1 else early
        chunk = {**piece, **(once if at == 0 else {}), **said, **everywhere}
        chunks.append({**wrapper, _WRAPPER: chunk} if wrapper else chunk)
    return _framed(chunks, wanted)


def _early(usage: dict[str, Any]) -> dict[str, Any]:
    """What was used before the first word."""
    counted = {"candidatesTokenCount": 0, "totalTokenCount": usage.get("promptTokenCount")}
    early = {name: counted.get(name, value) for name, value in usage.items() if name != "candidatesTokensDetails"}
    return {name: value for name, value in early.items() if value is not None}


def _told(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The candidates of each chunk; one chunk that has none where there are none."""
    if "candidates" not in whole:
        yield {}
        return
    candidates = a_list(whole["candidates"])
    sure(bool(candidates))
    for at, candidate in enumerate(candidates):
        sure(_index(candidate, at) == at and (at == 0 or "index" in candidate))
        sure(type(candidate.get("finishReason")) is str)
        for piece in _pieces_of(candidate):
            yield {"candidates": [piece]}


def _pieces_of(candidate: dict[str, Any]) -> Iterator[dict[str, Any]]:
    content = candidate.get("content")
    parts = [] if content is None else a_list(an_object(content).get("parts", []))
    if content is None or not parts:
        yield candidate
        return
    sure(set(content) <= {"parts", "role"} and _tellable(parts))
    small = [piece for part in parts for piece in _pieces(part)]
    index = {"index": candidate["index"]} if "index" in candidate else {}
    for piece in small[:-1]:
        yield {"content": {**content, "parts": [piece]}, **index}
    yield {**candidate, "content": {**content, "parts": small[-1:]}}


def _tellable(parts: list[Any]) -> bool:
    """Whether a reader of the pieces finds the same parts: two texts of one kind would be one to him, and an empty one none."""
    sure(all(_is_known(an_object(part)) for part in parts))
    texts = [part for part in parts if _is_text(part)]
    one = len(parts) == 1
    pairs = itertools.pairwise(parts)
    return all(one or part["text"] for part in texts) and not any(_is_text(b) and _goes_on(a, b) for a, b in pairs)


def _pieces(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not _is_text(part) or not part["text"]:
        yield part
        return
    for piece in pieces(a_text(part["text"])):
        yield {**part, "text": piece}
