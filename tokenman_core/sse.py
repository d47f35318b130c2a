"""Server-sent events (WHATWG HTML §9.2), read from bytes cut anywhere and written back with every byte as it was."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from tokenman_core.slots import Slot

if TYPE_CHECKING:
    from tokenman_core.body.json_body import JsonBody

EventKind = Literal["sse", "whole", "end"]


class Event:
    """One event of an answer: a server-sent one, a whole plain body ("whole"), or the end of the answer ("end").

    `raw` is every byte, comments and terminator included. `slots` are its text pieces (set by the dialect's reader) and
    `closes` names the channels that end with this event or before it: held text of theirs must go out first.
    """

    __slots__ = ("closes", "document", "kind", "raw", "slots")

    def __init__(self, raw: bytes, kind: EventKind = "sse") -> None:
        self.raw = raw
        self.kind: EventKind = kind
        self.slots: Sequence[Slot] = ()
        self.closes: frozenset[str] = frozenset()
        self.document: JsonBody | None = None  # the parsed data, once a reader has read it

    # to be completed: name, data, render()
