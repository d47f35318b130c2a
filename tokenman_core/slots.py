"""A text slot: one string in a body that a model will read, or that a model wrote."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

SlotKind = Literal["system", "user", "assistant", "thinking", "tool_input", "tool_result", "other"]


class Inner:
    """In a slot's path: what comes behind it lies inside the JSON document that the string here holds.

    `("messages", 1, "tool_calls", 0, "function", "arguments", INNER, "path")` is the string `path` of the JSON that the
    string `arguments` contains.
    """

    def __repr__(self) -> str:
        return "INNER"


class Base64:
    """In a slot's path, last: the slot is the text that the base64 string here (bare, or a `data:` URL) encodes."""

    def __repr__(self) -> str:
        return "BASE64"


class Number:
    """In a slot's path, last: the slot is the whole number here, as its digits, whether it is written as an integer or
    as a float (`4.1e15`); a changed one is written as a string."""

    def __repr__(self) -> str:
        return "NUMBER"


class Key:
    """In a slot's path, last: the slot is the object's key itself (`name`), not its value. Only free-form objects have such."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Key({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other.name == self.name

    def __hash__(self) -> int:
        return hash(("Key", self.name))


INNER = Inner()
BASE64 = Base64()
NUMBER = Number()
_HOLDERS = frozenset(
    {"value", "values", "default", "stringValue", "S"}
)  # of a value: the key above them says what it is
PathStep = str | int | Inner | Base64 | Number | Key
Path = tuple[PathStep, ...]


@dataclass(slots=True, eq=False)
class Slot:
    """Stages read and set `text`; nothing else. Slots come in document order, which is the order of the conversation.

    Of an answer, `channel` names the running text that this piece belongs to (one content block, one tool call's
    arguments, …): pieces of one channel, joined, are one text. `tool` is the name of the tool whose input or result this is,
    "" if it is none or unknown. `partial_json` says that the channel's text is the source of a JSON document in the making
    (streamed tool arguments): a value that is put into it must be escaped for the place where it stands. `signed` says that
    a signature covers the text (Anthropic's thinking): it may be read, and must not be changed.
    """

    path: Path
    kind: SlotKind
    text: str
    tool: str = ""
    channel: str = ""
    partial_json: bool = False
    message: int = -1  # which message of the conversation; adjacent slots of one message may hold one split value
    signed: bool = False
    named: str = ""  # what a member beside this one says that it is (`{"name": "DB_PASSWORD", "value": …}`)
    original: str = field(init=False)

    def __post_init__(self) -> None:
        self.original = self.text

    @property
    def changed(self) -> bool:
        """Whether a stage set another text."""
        return self.text is not self.original and self.text != self.original

    @property
    def key(self) -> str:
        """The name of the nearest object key that says anything: context for a detector ("password": "…")."""
        if self.named:
            return self.named
        last = self.path[-1] if self.path else ""
        if type(last) is str and last not in _HOLDERS and not last.isdigit():
            return last
        nearest = ""
        for step in reversed(self.path):
            if isinstance(step, Key):
                return step.name
            if isinstance(step, str):
                if step not in _HOLDERS and not step.isdigit():
                    return step
                nearest = nearest or step
        return nearest


@dataclass(frozen=True, slots=True)
class Found:
    """What a search of a body brought: its text slots in document order, and what nobody reads, counted by type of media."""

    slots: list[Slot]
    unreadable: Counter[str]

    def __iter__(self) -> Iterator[Slot]:
        return iter(self.slots)
