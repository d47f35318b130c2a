"""What Chat Completions and Completions share as streams: chunks that each hold a piece of some choices, and [DONE].

https://platform.openai.com/docs/api-reference/chat-streaming, …/completions.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tokenman_core.caching.shapes.wanted import Wanted
from tokenman_core.caching.shapes.written import (
    Unsure,
    a_list,
    a_text,
    an_object,
    event,
    pieces,
    read,
    sure,
    together,
    told,
    width,
    write,
)

_DONE = b"data: [DONE]\n\n"
_EVERYWHERE = (
    "id",
    "created",
    "model",
    "service_tier",
    "system_fingerprint",
)  # in each chunk; all else once, in the first
_OWN = frozenset({"object", "choices", "usage", "obfuscation"})  # of a chunk, not of what it is a part of


class Choice(Protocol):
    """One choice as far as its chunks have told it."""

    def add(self, chunk: dict[str, Any]) -> None:
        """What a chunk says of it. Raises Unsure."""

    def made(self) -> dict[str, Any]:
        """The whole choice. Raises Unsure if it has not ended."""


@dataclass(frozen=True)
class Kind:
    """`told`: the pieces of a whole choice, in order. Raises Unsure."""

    whole: str  # `object` of the document
    chunk: str  # and of a chunk
    choice: Callable[[], Choice]
    told: Callable[[dict[str, Any]], Iterator[dict[str, Any]]]


def fold(body: bytes, kind: Kind) -> bytes:
    """The document that a stream told. One that does not tell what it used makes none: a document does."""
    top: dict[str, Any] = {}
    choices: dict[int, Choice] = {}
    usage: dict[str, Any] | None = None
    found, done = told(body)
    for event_name, value in found:
        sure(not event_name and value.get("object") == kind.chunk and not value.get("error"))
        for name, item in value.items():
            if name not in _OWN:
                together(top, name, item)
        if value.get("usage") is not None:
            usage = an_object(value["usage"])  # the last one counts: those before it say what was used till then
        for piece in a_list(value.get("choices")):
            choices.setdefault(_index(piece), kind.choice()).add(piece)
    sure(done and usage is not None and "id" in top and sorted(choices) == list(range(len(choices))) and bool(choices))
    made = [choices[index].made() for index in range(len(choices))]
    first = {name: top.pop(name) for name in ("created", "model") if name in top}
    return write({"id": top.pop("id", None), "object": kind.whole, **first, "choices": made, "usage": usage, **top})


def _index(piece: Any) -> int:
    index = an_object(piece).get("index")
    if type(index) is not int:
        raise Unsure
    return index


def unfold(body: bytes, wanted: Wanted, kind: Kind) -> bytes:
    """The chunks of a document, with what it used as the last of them if that is asked for."""
    value = an_object(read(body))
    sure(value.get("object") == kind.whole and not value.get("error") and "obfuscation" not in value)
    sure("id" in value)
    everywhere = {name: value[name] for name in _EVERYWHERE if name in value}
    head = {"id": value["id"], "object": kind.chunk, **everywhere}
    once = {name: item for name, item in value.items() if name not in _OWN and name not in _EVERYWHERE}
    each = [_of(index, choice, kind) for index, choice in enumerate(a_list(value.get("choices")))]
    sure(bool(each))
    usage = an_object(value.get("usage")) if wanted.usage else None
    null = {"usage": None} if wanted.usage else {}
    made = []
    for piece in _in_turn(each):
        made.append(event({**head, **once, "choices": [piece], **null}))
        once = {}
    if usage is not None:
        made.append(event({**head, "choices": [], "usage": usage}))
    return b"".join((*made, _DONE))


def _of(index: int, choice: Any, kind: Kind) -> Iterator[dict[str, Any]]:
    sure(_index(choice) == index and type(choice.get("finish_reason")) is str)
    return kind.told(choice)


def _in_turn(told: Sequence[Iterator[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """All choices begin before the first goes on, so that a reader that counts them meets them in order."""
    yield from [next(one) for one in told]
    for one in told:
        yield from one


class Texts:
    """Texts that come in pieces, by name. A null before them, or instead of them, is none."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str] | None] = {}

    def add(self, name: str, piece: Any) -> None:
        if piece is None:
            self._texts.setdefault(name, None)
        else:
            known = self._texts.get(name)
            if known is None:
                known = self._texts[name] = []
            known.append(a_text(piece))

    def made(self) -> dict[str, str | None]:
        return {name: None if text is None else "".join(text) for name, text in self._texts.items()}


class Ending:
    """What is told of a choice beside its text: why it ended, the probabilities of its tokens, and more."""

    def __init__(self) -> None:
        self.members: dict[str, Any] = {}

    def add(self, chunk: dict[str, Any], text: str, *, says: bool) -> None:
        """`text`: where the chunk's own piece stands; `says`: it is not empty, so the choice must not have ended before."""
        sure(not (self.members.get("finish_reason") and says))
        for name, value in chunk.items():
            if name == "logprobs":
                self._probabilities(value)
            elif name != text:
                together(self.members, name, value)

    def made(self) -> dict[str, Any]:
        sure(type(self.members.get("finish_reason")) is str)
        return self.members

    def _probabilities(self, value: Any) -> None:
        known = self.members.setdefault("logprobs", None)
        if value is None:
            return
        if known is None:
            known = self.members["logprobs"] = {}
        for name, column in an_object(value).items():
            if known.get(name) is None:
                known[name] = column if column is None else a_list(column)
            elif column is not None:
                known[name].extend(a_list(column))


def cut(text: str, tokens: Sequence[str] | None) -> Iterator[tuple[str, slice]]:
    """A text in pieces, with the tokens of each; in one where its tokens are not known to be its parts. None: it has no tokens."""
    if tokens is None:
        yield from ((piece, slice(0, 0)) for piece in pieces(text))
        return
    if "".join(tokens) != text:
        yield text, slice(0, len(tokens))
        return
    least = width(text)
    start = 0
    piece: list[str] = []
    size = 0
    for at, token in enumerate(tokens):
        piece.append(token)
        size += len(token)
        if size >= least or at == len(tokens) - 1:
            yield "".join(piece), slice(start, at + 1)
            start, piece, size = at + 1, [], 0
