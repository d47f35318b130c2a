"""Streams that are one JSON array, an element at a time: what Gemini answers with where no events were asked for."""

import re
from typing import Any

from tokenman_core import headers as h
from tokenman_core.dialects.shapes import dump
from tokenman_core.exchange import Exchange
from tokenman_core.sse import MAX_EVENT_BYTES, Event, SseError, SseParser
from tokenman_core.verdicts import Head

_MARK = re.compile(rb'["\[\]{}]')
_IN_STRING = re.compile(rb'["\\]')
_BLANK = b" \t\r\n"


class Element(Event):
    """One element, behind all that stands before it in the array: the bracket, a comma, blanks."""

    __slots__ = ("_before", "_data")

    def __init__(self, before: bytes, data: bytes) -> None:
        super().__init__(before + data)
        self._before, self._data = before, data

    @property
    def name(self) -> str:
        """They have none."""
        return ""

    @property
    def data(self) -> bytes:
        """The element itself."""
        return self._data

    def framed(self, made: bytes) -> bytes:
        """As `Event.framed`."""
        return self._before + made

    def another(self, value: dict[str, Any] | str) -> Event:
        """As `Event.another`."""
        made = dump(value)
        return Element(b",\r\n", made if self.hidden is None else self.hidden.show(made))


class ArrayParser:
    """Cuts an array into its elements that are objects or lists, each as soon as it is whole; no byte is looked at twice.

    What is behind the last one is `tail`, which goes out at the very end. What is no array becomes one whole event at its end.
    `feed` and `finish` raise SseError for an element of more than `max_event` bytes.
    """

    def __init__(self, max_event: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event
        self._buffer = bytearray()
        self._at = 0  # so far into the buffer all has been looked at
        self._from = 0  # where the element begins that is open
        self._depth = 0
        self._string = False
        self._array: bool | None = None  # whether it is one; None: nothing but blanks has come
        self._given = False  # an element was
        self.closed = False  # its end was seen
        self.tail = b""

    def feed(self, chunk: bytes) -> list[Event]:
        """The elements that this chunk completes, in order."""
        self._buffer += chunk
        if self._array is None and (begun := self._buffer.lstrip(_BLANK)):
            self._array = begun[0] == 0x5B
        events: list[Event] = []
        if self._array and not self.closed:
            self._scan(events)
        if len(self._buffer) > self._max:
            self._buffer.clear()
            raise SseError(f"an element of the stream is larger than {self._max} bytes")
        return events

    def finish(self) -> list[Event]:
        """What is no array, as one event."""
        rest, self._buffer = bytes(self._buffer), bytearray()
        if self._array is False:
            self.closed = True
            return [Event(rest, "whole")]
        self.tail = rest if self.closed else b""
        return []

    def last(self, error: bytes) -> bytes:
        """An element that tells of an error, and the end of the array."""
        return (b",\r\n" if self._given else b"[") + error + b"]"

    def _scan(self, events: list[Event]) -> None:
        buffer, at = self._buffer, self._at
        while (found := (_IN_STRING if self._string else _MARK).search(buffer, at)) is not None:
            mark, at = buffer[found.start()], found.end()
            if mark == 0x5C:  # a backslash, and what it escapes
                if at == len(buffer):
                    at -= 1
                    break
                at += 1
            elif mark == 0x22:
                self._string = not self._string
            elif mark in b"[{":
                if self._depth == 1:
                    self._from = at - 1
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 1:
                    events.append(Element(bytes(buffer[: self._from]), bytes(buffer[self._from : at])))
                    self._given = True
                    del buffer[:at]
                    at = 0
                elif not self._depth:
                    self.closed = True
                    break
        else:
            at = len(buffer)
        self._at = at


def stream_parser(exchange: Exchange, head: Head) -> SseParser | ArrayParser | None:
    """What cuts the answer into its events; None: it is no stream."""
    kind = (h.first(head.headers, b"content-type") or b"").lower()
    if kind.startswith(b"text/event-stream"):
        return SseParser()
    array = exchange.stream and exchange.dialect.name == "gemini" and exchange.operation.generates
    return ArrayParser() if array and head.status == 200 and b"json" in kind else None
