"""Completions, whole and as chunks: https://platform.openai.com/docs/api-reference/completions."""

from collections.abc import Iterator
from typing import Any

from tokenman_core.caching.shapes import choices
from tokenman_core.caching.shapes.choices import Ending, Kind, Texts, cut
from tokenman_core.caching.shapes.wanted import Wanted
from tokenman_core.caching.shapes.written import a_list, a_text, an_object, sure


class _Choice:
    def __init__(self) -> None:
        self._text, self._ending = Texts(), Ending()

    def add(self, chunk: dict[str, Any]) -> None:
        text = a_text(chunk.get("text"))
        self._ending.add(chunk, "text", says=bool(text))
        self._text.add("text", text)

    def made(self) -> dict[str, Any]:
        return {**self._text.made(), **self._ending.made()}


def _told(choice: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Probabilities go with the text that they are of: every column of theirs has an entry a token."""
    text = a_text(choice.get("text"))
    said = choice.get("logprobs")
    columns = {name: a_list(column) for name, column in an_object(said or {}).items() if column is not None}
    tokens = [a_text(token) for token in a_list(columns.get("tokens"))] if said is not None else None
    sure(all(len(column) == len(tokens or ()) for column in columns.values()))
    index, null = choice["index"], {"logprobs": None} if "logprobs" in choice else {}
    for piece, part in cut(text, tokens):
        probable = {"logprobs": {**said, **{name: column[part] for name, column in columns.items()}}} if said else null
        yield {"text": piece, "index": index, **probable, "finish_reason": None}
    yield {**choice, "text": "", **(null if tokens else {})}


_KIND = Kind("text_completion", "text_completion", _Choice, _told)


def fold(body: bytes, _: Wanted) -> bytes:
    """The completion that a stream told."""
    return choices.fold(body, _KIND)


def unfold(body: bytes, wanted: Wanted) -> bytes:
    """The chunks of a completion."""
    return choices.unfold(body, wanted, _KIND)
