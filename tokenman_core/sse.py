"""Server-sent events (WHATWG HTML §9.2), read from bytes cut anywhere and written back with every byte as it was."""

import itertools
import re
from collections.abc import Sequence
from typing import Any, Literal

import orjson

from tokenman_core.body.lone import Hidden
from tokenman_core.body.splice import splice, splice_lines
from tokenman_core.dialects.shapes import dump
from tokenman_core.errors import BodyError
from tokenman_core.slots import Slot

EventKind = Literal["sse", "whole", "end"]
Form = Literal["json", "lines", "text"]

MAX_EVENT_BYTES = 10 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_LINE = re.compile(rb"([^\r\n]*+)(\r\n|\n|\r|\Z)")
# Two line ends, one behind the other; atomic, so that CR LF is never taken for two.
_BLANK = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_MANY = 64  # blank lines one behind the other: nobody sends so many, and each for itself would cost as much as an event
_FLOOD = re.compile(rb"(?>\r\n|\n|\r){%d,}+" % _MANY)
_JSON = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*+[{\[]")  # no field of an event begins like this
_LINE_END = re.compile(rb"\r\n|\n|\r")
_FULL_LINE = re.compile(rb"(?=[ \t]*+[^ \t\r\n])[^\r\n]+")
_DATA_FIELD = re.compile(rb"data(?:: ?|\Z)")  # without a colon the line is a field too, an empty one


class SseError(Exception):
    """A stream that cannot be read: one event is larger than the bound."""


class Event:
    """One event of an answer: a server-sent one, a whole plain body ("whole"), or the end of the answer ("end").

    `raw` is every byte, comments and terminator included. `slots` are its text pieces (set by the dialect's reader) and
    `closes` names the channels that end with this event or before it: held text of theirs must go out first. `form` says
    what the data is, and `value` what the slots' paths lead through, both set together with them: of "json" the parsed
    data, of "lines" (JSON lines, of a whole body only) the pairs of `json_lines`, of "text" the codec of the only slot.
    `hidden`: the data as it was parsed, where it holds lone surrogates.
    """

    __slots__ = ("closes", "form", "hidden", "kind", "raw", "slots", "value")

    def __init__(self, raw: bytes, kind: EventKind = "sse") -> None:
        self.raw = raw
        self.kind: EventKind = kind
        self.slots: Sequence[Slot] = ()
        self.closes: frozenset[str] = frozenset()
        self.form: Form = "json"
        self.value: Any = None
        self.hidden: Hidden | None = None

    @property
    def name(self) -> str:
        """What the event's last `event:` line says, "" if it has none."""
        if self.kind != "sse" or b"event:" not in self.raw:
            return ""
        names = [line[6:].removeprefix(b" ") for line, _ in _lines(self.raw) if line.startswith(b"event:")]
        return names[-1].decode("utf-8", "replace") if names else ""

    @property
    def data(self) -> bytes | None:
        """The data lines, joined by newlines; of a plain body all of it; None if there are none (a comment, the end)."""
        if self.kind != "sse":
            return self.raw if self.kind == "whole" else None
        raw = self.raw
        start = raw.find(b"data")
        if start < 0:
            return None
        if b"\r" not in raw and b"\ndata" not in raw[start:] and (start == 0 or raw[start - 1] == 0x0A):
            # By far the most events: one data line, ended by a newline.
            end = raw.find(b"\n", start)
            line = raw[start:end] if end >= 0 else raw[start:]
            field = _DATA_FIELD.match(line)
            return line[field.end() :] if field else None
        lines = [line[match.end() :] for line, _ in _lines(raw) if (match := _DATA_FIELD.match(line))]
        return b"\n".join(lines) if lines else None

    def render(self) -> bytes:
        """`raw` if no slot changed; else `raw` with those strings of its data replaced, and every other byte kept."""
        if not any(slot.changed for slot in self.slots):
            return self.raw
        data = self.data
        if data is None:
            return self.raw
        try:
            made = self._made(data) if self.hidden is None else self.hidden.show(self._made(self.hidden.data))
        except (BodyError, UnicodeEncodeError):
            return self.raw  # two keys would become one, or the text's encoding lacks a value: the placeholders stay
        return made if self.kind == "whole" else self.framed(made)

    def framed(self, made: bytes) -> bytes:
        """All of the event, with other data."""
        return self._with_data(_LINE_END.split(made))

    def another(self, value: dict[str, Any] | str) -> "Event":
        """An event like this one with another value; a string is the data itself."""
        end = b"\r\n" if b"\r\n" in self.raw else b"\n"
        name = self.name
        if isinstance(value, str):
            lines = [line.encode("utf-8") for line in re.split(r"\r\n|\n|\r", value)]
        else:
            made = dump(value)
            lines = [made if self.hidden is None else self.hidden.show(made)]
            # Where events are named at all, they are named after their type; this one's may be that of a first piece.
            name = value.get("type", name) if name else ""
        head = b"event: " + name.encode("utf-8") + end if name else b""
        return Event(head + b"".join(b"data: " + line + end for line in lines) + end)

    def _made(self, data: bytes) -> bytes:
        if self.form == "text":
            return self.slots[0].text.encode(self.value)
        if self.form == "lines":
            made = iter(splice_lines(self.value, self.slots))
            return _FULL_LINE.sub(lambda _: next(made), data)
        return splice(data, self.value, self.slots)[0]

    def _with_data(self, data: list[bytes]) -> bytes:
        """Data of JSON has as many lines as before, or one if it was written anew; text may have more, or fewer."""
        old = _lines(self.raw)
        last = max(index for index, (line, _) in enumerate(old) if _DATA_FIELD.match(line))
        lines = iter(data)
        pieces: list[bytes] = [_BOM] if self.raw.startswith(_BOM) else []
        for index, (line, end) in enumerate(old):
            match = _DATA_FIELD.match(line)
            if match is None:
                pieces += line, end
                continue
            for new in lines if index == last else itertools.islice(lines, 1):
                pieces += match.group() if b":" in match.group() or not new else b"data: ", new, end
        return b"".join(pieces)


def json_lines(data: bytes) -> list[tuple[bytes, Any]] | None:
    """(line, its value) of every line of JSON lines that is not blank, None if they are none: two at least, each an object."""
    found: list[tuple[bytes, Any]] = []
    for match in _FULL_LINE.finditer(data):
        try:
            value = orjson.loads(match.group())
        except orjson.JSONDecodeError:
            return None
        if type(value) is not dict:
            return None
        found.append((match.group(), value))
    return found if len(found) > 1 else None


def _lines(raw: bytes) -> list[tuple[bytes, bytes]]:
    """(line, its end) of all lines, without a byte order mark before the first."""
    found: list[tuple[bytes, bytes]] = _LINE.findall(raw.removeprefix(_BOM))
    if found and found[-1] == (b"", b""):
        found.pop()
    return found


class SseParser:
    """Cuts a stream into events: `b"".join(event.raw for event in …)` is always what was fed.

    An event ends behind its blank line. Where that ends with a lone CR the event waits for the next byte, which may be
    the LF that belongs to it. No byte is looked at twice, however the stream is cut. A flood of blank lines belongs to the
    event before it, as far as it has come. `feed` and `finish` raise SseError
    for an event of more than `max_event` bytes, after the events before it were given.
    """

    def __init__(self, max_event: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event
        self._buffer = bytearray()
        self._seen = 0  # so far into the buffer no event ends
        self._returns = False  # a CR was seen: line ends need more than a search for two LF
        self._too_large = False
        self._events = False  # there was one

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this chunk completes, in order."""
        self._check()
        self._returns = self._returns or b"\r" in chunk
        buffer = self._buffer
        buffer += chunk
        events: list[Event] = []
        start = 0
        while not self._too_large and (end := self._next_end(start)) is not None:
            self._take(start, end, events)
            start = self._seen = end
        if not self._too_large:
            del buffer[:start]
            # The last three bytes may be the first part of a blank line.
            self._seen = max(self._seen - start, len(buffer) - 3, 0)
            self._too_large = len(buffer) > self._max
        if not events:
            self._check()
        return events

    def finish(self) -> list[Event]:
        """What is left when the stream ends without a blank line, as an event of its own: a whole one if all that came is JSON,
        which some servers send under the type of a stream.
        """
        self._check()
        rest, self._buffer = bytes(self._buffer), bytearray()
        whole = not self._events and _JSON.match(rest) is not None
        return [Event(rest, "whole" if whole else "sse")] if rest else []

    def _take(self, start: int, end: int, events: list[Event]) -> None:
        if end - start > self._max:
            self._too_large = True
        else:
            self._events = True
            events.append(Event(bytes(self._buffer[start:end])))

    def _next_end(self, start: int) -> int | None:
        buffer = self._buffer
        at = max(self._seen, start)
        if not self._returns:
            found = buffer.find(b"\n\n", at)
            return self._behind_flood(found + 2) if found >= 0 else None
        match = _BLANK.search(buffer, at)
        if match is None or (match.end() == len(buffer) and buffer[-1] == 0x0D):
            return None
        return self._behind_flood(match.end())

    def _behind_flood(self, end: int) -> int:
        buffer = self._buffer
        if not buffer.startswith((b"\n", b"\r"), end) or (flood := _FLOOD.match(buffer, end)) is None:
            return end
        return flood.end() - (flood.end() == len(buffer) and buffer[-1] == 0x0D)

    def _check(self) -> None:
        if self._too_large:
            self._buffer.clear()
            raise SseError(f"an event of the stream is larger than {self._max} bytes")
