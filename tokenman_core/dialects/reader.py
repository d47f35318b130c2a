"""What the readers of all wire formats share: open channels, templates for pieces, and the state that stages look at."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from tokenman_core.body.encoded import codec_of
from tokenman_core.body.lone import hide
from tokenman_core.dialects import walk
from tokenman_core.slots import Path, Slot, SlotKind
from tokenman_core.sse import Event, json_lines
from tokenman_core.usage import Usage

_JSON_LIKE = re.compile(r'[\s\ufeff]*+(?:\{|\[\s*+[{"])')

MAX_CHANNELS = 4096
"""More running texts than that at once are read as complete pieces: a provider must not make memory grow."""

Make = Callable[[str], dict[str, Any] | str]
"""From a text, the JSON of an event that carries it on some channel; a string is the data itself."""


class Reader(ABC):
    """Base of the readers; implements `dialects.base.AnswerReader` but for what an event means (`_sse`, `_whole`, `_learn`)."""

    markers: tuple[bytes, ...] = ()  # only events with one of these tell of usage, end or failure

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.model: str | None = None
        self.id: str | None = None
        self.terms: dict[str, str] = {}
        self.containers: frozenset[str] = frozenset()
        self.others: Mapping[str, Usage] = {}
        self.finished = self.promised = False
        self.failed: str | None = None
        self.spoke = self.worded = False
        self._open: dict[str, tuple[Make, Event]] = {}
        self._closing: frozenset[str] = frozenset()

    def read(self, event: Event) -> None:
        """As `AnswerReader.read`."""
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
        value, event.hidden = walk.loaded(data)
        if event.hidden is not None:
            data = event.hidden.data
        try:
            if type(value) is dict:
                self._object(event, value)
            else:
                self._strange(event, data, value)
        except RecursionError:
            event.slots = ()  # nested deeper than any answer is: it passes as it came, with its placeholders

    def _object(self, event: Event, value: dict[str, Any]) -> None:
        event.value = value
        slots: list[Slot] = []
        self._learn(value)
        if event.kind == "whole":
            self.spoke = self.worded = True
            self.finished = self.failed is None
            self._whole(value, slots)
        else:
            self._sse(event, value, slots)
        event.slots = slots

    def note(self, event: Event) -> None:
        """As `AnswerReader.note`."""
        if event.kind == "end":
            return
        raw = event.raw
        if self.worded and event.kind == "sse" and not self._tells(raw):
            return
        data = event.data
        if not data:
            return
        if data == b"[DONE]":
            self.finished = True
            return
        value = walk.load(data)
        for item in value if type(value) is list else (value,):
            if type(item) is dict:
                self._learn(item)
        if event.kind == "whole":
            self.spoke = self.worded = True
            self.finished = self.failed is None

    def piece(self, channel: str, text: str) -> Event | None:
        """As `AnswerReader.piece`."""
        known = self._open.get(channel)
        if known is None:
            return None
        make, template = known
        return template.another(make(text))

    # What a format adds.

    def _tells(self, raw: bytes) -> bool:
        """Whether an event, behind the first words, may tell of usage, end or failure."""
        return any(marker in raw for marker in self.markers)

    @abstractmethod
    def _learn(self, value: dict[str, Any]) -> None:
        """Usage, model, end and failure, from one event's value."""

    @abstractmethod
    def _sse(self, event: Event, value: dict[str, Any], slots: list[Slot]) -> None:
        """The text pieces of one streamed event, and what it closes."""

    def _whole(self, value: dict[str, Any], slots: list[Slot]) -> None:
        """The text pieces of a plain answer: each is complete."""
        slots += walk.answer_slots(value)

    # Tools for them.

    def _strange(self, event: Event, data: bytes, value: Any) -> None:
        """Data that is no object: a list, a string, JSON lines or any text may hold what is to be restored."""
        for item in (
            value if type(value) is list else ()
        ):  # Gemini's streams are lists of chunks where no events were asked for
            if type(item) is dict:
                self._learn(item)
        if event.kind == "whole":
            self.spoke = self.worded = True
            self.finished = self.failed is None
        if type(value) in (list, str):
            event.value = value
            event.slots = walk.answer_slots(value)
        else:
            self._no_json(event, data)

    def _no_json(self, event: Event, data: bytes) -> None:
        lines = json_lines(data) if event.kind == "whole" else None
        if event.kind == "whole" and lines is None and (hidden := hide(data)) is not None:
            lines = json_lines(hidden.data)
            event.hidden = hidden if lines is not None else None
        if lines is not None:
            event.form, event.value = "lines", lines
            event.slots = [slot for at, (_, line) in enumerate(lines) for slot in walk.answer_slots(line, (at,))]
            return
        codec = codec_of(data)
        if codec is None or (event.kind == "sse" and codec != "utf-8"):
            return  # bytes that are no text pass as they came
        event.form, event.value = "text", codec
        text = data.decode(codec)
        # What a program may yet take for JSON is restored as what stands in JSON must be.
        slot = Slot((), "assistant", text, partial_json=_JSON_LIKE.match(text) is not None)
        if event.kind == "whole" or slot.partial_json:
            event.slots = [slot]
            return
        slot.channel = _text_channel(event)
        slots: list[Slot] = []
        self._running(slot, event, str, slots)
        event.slots = slots

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


def _text_channel(event: Event) -> str:
    """The running text of events whose data is plain text: those of one name are one text."""
    return f"data@{event.name}"


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
