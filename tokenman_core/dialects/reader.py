"""What the readers of all wire formats share: open channels, templates for pieces, and the state that stages look at."""

from collections.abc import Callable
from typing import Any

from tokenman_core.dialects import walk
from tokenman_core.dialects.shapes import dump
from tokenman_core.slots import Path, Slot, SlotKind
from tokenman_core.sse import Event
from tokenman_core.usage import Usage

MAX_CHANNELS = 4096
"""More running texts than that at once are read as complete pieces: a provider must not make memory grow."""

Make = Callable[[str], dict[str, Any]]
"""From a text, the JSON of an event that carries it on some channel."""


class Reader:
    """Base of the readers; implements `dialects.base.AnswerReader` but for what an event means (`_sse`, `_whole`, `_learn`)."""

    markers: tuple[bytes, ...] = ()  # only events with one of these tell of usage, end or failure

    def __init__(self, *, free: bool = False) -> None:
        self.usage: Usage | None = None
        self.model: str | None = None
        self.finished = False
        self.failed: str | None = None
        self.spoke = False
        self._free = free  # what it says of usage costs nothing, so it is not recorded
        self._open: dict[str, tuple[Make, Event]] = {}
        self._closing: frozenset[str] = frozenset()

    def read(self, event: Event) -> None:
        for channel in self._closing:
            self._open.pop(channel, None)
        self._closing = frozenset()
        if event.kind == "end":
            self._close(event, self._open)
            return
        data = event.data
        if not data:
            return
        if data == b"[DONE]":
            self.finished = True
            self._close(event, self._open)
            return
        value = walk.load(data)
        if type(value) is not dict:
            self._strange(event, value)
            return
        event.value = value
        slots: list[Slot] = []
        self._learn(value)
        try:
            if event.kind == "whole":
                self.spoke = True
                self.finished = self.failed is None
                self._whole(value, slots)
            else:
                self._sse(event, value, slots)
        except RecursionError:
            slots = []  # nested deeper than any answer is: it passes as it came, with its placeholders
        event.slots = slots

    def note(self, event: Event) -> None:
        if event.kind == "end":
            return
        raw = event.raw
        if self.spoke and event.kind == "sse" and not any(marker in raw for marker in self.markers):
            return
        data = event.data
        if not data:
            return
        if data == b"[DONE]":
            self.finished = True
            return
        value = walk.load(data)
        if type(value) is not dict:
            return
        self._learn(value)
        if event.kind == "whole":
            self.spoke = True
            self.finished = self.failed is None

    def piece(self, channel: str, text: str) -> Event | None:
        known = self._open.get(channel)
        if known is None:
            return None
        make, template = known
        end = b"\r\n" if b"\r\n" in template.raw else b"\n"
        value = make(text)
        # Where events are named at all, they are named after their type; the template's own may be that of a first piece.
        name = value.get("type", template.name) if template.name else ""
        head = b"event: " + name.encode("utf-8") + end if name else b""
        return Event(head + b"data: " + dump(value) + end + end)

    # What a format adds.

    def _learn(self, value: dict[str, Any]) -> None:
        """Usage, model, end and failure, from one event's value."""
        raise NotImplementedError

    def _sse(self, event: Event, value: dict[str, Any], slots: list[Slot]) -> None:
        """The text pieces of one streamed event, and what it closes."""
        raise NotImplementedError

    def _whole(self, value: dict[str, Any], slots: list[Slot]) -> None:
        """The text pieces of a plain answer: each is complete."""
        slots += walk.answer_slots(value)

    # Tools for them.

    def _strange(self, event: Event, value: Any) -> None:
        """Data that is no object: a list or a string has text to restore, anything else has nothing that is known."""
        if type(value) in (list, str):
            event.value = value
            event.slots = walk.answer_slots(value)
        if event.kind == "whole":
            self.spoke = True
            self.finished = True

    def _complete(self, value: Any, path: Path, kind: SlotKind, slots: list[Slot], tool: str = "") -> None:
        """Every string under `path` that is not left alone, complete in itself."""
        slots += walk.answer_slots(value, path, kind, tool)

    def _running(self, slot: Slot, event: Event, make: Make, slots: list[Slot]) -> None:
        """One piece of the running text `slot.channel`."""
        if slot.channel not in self._open and len(self._open) >= MAX_CHANNELS:
            slot.channel = ""
        else:
            self._open[slot.channel] = (make, event)
        slots.append(slot)

    def _close(self, event: Event, channels: Any) -> None:
        """The channels that are open among those named end with this event."""
        self._closing |= frozenset(channel for channel in channels if channel in self._open)
        event.closes = self._closing

    def _close_within(self, event: Event, prefix: str) -> None:
        self._close(event, [channel for channel in self._open if channel.startswith(prefix)])


def remember[K](names: dict[K, str], key: K, name: str) -> None:
    """Notes a name that the provider gave, within the bound on what one answer may make us remember."""
    if key in names or len(names) < MAX_CHANNELS:
        names[key] = name


def text_of(value: Any, *keys: str) -> str | None:
    """The first string under one of the keys of an object, None if there is none."""
    if type(value) is dict:
        for key in keys:
            if type(value.get(key)) is str:
                return str(value[key])
    return None
