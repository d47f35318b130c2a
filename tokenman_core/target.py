"""The path and the query of a request: what a value in them is, is no less a value for standing in an address."""

import re
from collections import Counter
from typing import Any
from urllib.parse import quote, unquote

from tokenman_core.body.base import Body
from tokenman_core.body.insert import Insertion
from tokenman_core.headers import SECRET_QUERY
from tokenman_core.slots import Slot

_PIECE = re.compile(r"[^/?&=]+")
_TELLING = re.compile(r"[0-9@%]")  # no value that detection knows has none of these, so /v1/messages costs nothing
_NAMED = re.compile(r"[?&]([^?&=]*)=\Z")
_SHORTEST = 7


class Target:
    """Its pieces that may hold a value are slots, percent-decoded; one that changes is encoded again, all others stay."""

    def __init__(self, path: str, query: str) -> None:
        self._text = f"{path}?{query}" if query else path
        self.slots: list[Slot] = []
        self._spans: list[tuple[int, int]] = []
        for piece in _PIECE.finditer(self._text):
            source = piece.group()
            name = (
                self._text[: piece.start()].rpartition("&")[2].rpartition("?")[2] if piece.start() > len(path) else ""
            )
            if len(source) < _SHORTEST or not _TELLING.search(source) or name.rstrip("=").lower() in SECRET_QUERY:
                continue
            # A plus is a blank in a query's form encoding only, and an e-mail address may hold one: it is left as it is.
            self.slots.append(Slot((name or "path", piece.start()), "other", unquote(source)))
            self._spans.append(piece.span())

    def render(self) -> tuple[str, str]:
        """Path and query."""
        made, copied = "", 0
        for (start, end), slot in zip(self._spans, self.slots, strict=True):
            if slot.changed:
                made += self._text[copied:start] + quote(slot.text, safe="")
                copied = end
        path, _, query = (made + self._text[copied:]).partition("?")
        return path, query


class Addressed:
    """A body together with the request's target: a `Body` whose first slots are the target's."""

    def __init__(self, target: Target, body: Body) -> None:
        self.target, self._body = target, body

    @property
    def slots(self) -> list[Slot]:
        return [*self.target.slots, *self._body.slots]

    @property
    def unreadable(self) -> Counter[str]:
        return self._body.unreadable

    @property
    def value(self) -> Any:
        return self._body.value

    @property
    def changed(self) -> bool:
        return self._body.changed

    @property
    def edition(self) -> int:
        return self._body.edition

    def replace(self, value: Any) -> None:
        self._body.replace(value)

    def insert(self, insertion: Insertion) -> None:
        self._body.insert(insertion)

    def revert(self, edition: int) -> None:
        self._body.revert(edition)

    def render(self) -> bytes:
        return self._body.render()
