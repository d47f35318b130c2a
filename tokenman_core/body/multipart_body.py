"""`multipart/form-data` (RFC 7578): text parts are slots, parts of JSON are bodies of their own, media are counted."""

import re
from collections import Counter
from collections.abc import Callable
from email.message import Message
from typing import Any

from tokenman_core.body.base import Body
from tokenman_core.body.insert import Insertion
from tokenman_core.errors import BodyError
from tokenman_core.slots import Slot

MAX_PARTS = 1000

_HEADER = re.compile(rb"[A-Za-z]+(?:-[A-Za-z]+)*")
# The parameters of a header's value, as two readers would agree on them.
_PARAMETER = re.compile(rb';[ \t]*([A-Za-z-]+\*?)=(?:"((?:[^"\\\r\n]|\\.)*)"|([^;"\s]*))')
_STRUCTURED = re.compile(rb"[ \t]*[A-Za-z0-9!#$&^_.+/-]*+(?:[ \t]*" + _PARAMETER.pattern + rb")*+[ \t;]*")
_PLAIN = re.compile(rb"[A-Za-z_\[\].-]{0,40}[0-9]{0,2}[\]]?")  # the names of fields, charsets
_BOUNDARY = re.compile(r"[A-Za-z0-9'()+_,./:=? -]{1,70}")

ReadPart = Callable[[bytes, str, bool], Body]
"""Reads one part: its bytes, its media type ("" if it states none), and whether it is a file."""


class _HeadText:
    """A text in the head of a part (a file's name, say), which a model may see: a slot as it stands there."""

    def __init__(self, text: bytes, name: str) -> None:
        try:
            self.slots = [Slot((name,), "other", text.decode("utf-8"))]
        except UnicodeDecodeError:
            raise BodyError("parse", "the head of a part of the multipart body is not valid UTF-8") from None

    @property
    def changed(self) -> bool:
        return self.slots[0].changed

    def render(self) -> bytes:
        # As browsers do (WHATWG HTML, multipart/form-data): what would end the name or the line is percent-encoded.
        text = self.slots[0].text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        return text.encode("utf-8")


class _Head:
    """The head of one part: what it says, and its texts with their places in it (`start` is where it begins)."""

    def __init__(self, head: bytes, start: int) -> None:
        self.headers: dict[str, str] = {}
        self.parameters: dict[str, str] = {}  # of the content disposition
        self.texts: list[tuple[int, int, _HeadText]] = []
        for line in head.split(b"\r\n") if head else ():
            name, colon, value = line.partition(b":")
            key = name.decode("latin-1").lower()
            if not colon or _HEADER.fullmatch(name) is None or key in self.headers:
                raise _unreadable()
            self.headers[key] = value.decode("latin-1")
            self._line(key, value, start + len(name) + 1)
            start += len(line) + 2

    def _line(self, key: str, value: bytes, start: int) -> None:
        if key in ("content-disposition", "content-type"):
            if _STRUCTURED.fullmatch(value) is None:
                raise _unreadable()
            for match in _PARAMETER.finditer(value):
                self._parameter(key, match, start)
        elif (text := value.strip(b" \t")) and not _is_protocols(key, text):
            start += value.index(text)
            self.texts.append((start, start + len(text), _HeadText(text, key)))

    def _parameter(self, key: str, match: re.Match[bytes], start: int) -> None:
        group = 2 if match.group(2) is not None else 3
        name, text = match.group(1).decode("ascii").lower(), match.group(group)
        if key == "content-disposition":
            if name in self.parameters:
                raise _unreadable()
            self.parameters[name] = text.decode("utf-8", "replace")
        if name.startswith("filename") or _PLAIN.fullmatch(text) is None:
            self.texts.append((start + match.start(group), start + match.end(group), _HeadText(text, name)))


class MultipartBody:
    """Implements `body.base.Body`; `value` is None. Boundary, heads and all bytes of parts that did not change are kept.

    Raises BodyError("parse") for anything that two readers of multipart might cut differently.
    """

    def __init__(self, data: bytes, content_type: str, read_part: ReadPart) -> None:
        self._data = data
        self._spans: list[tuple[int, int, Body | _HeadText]] = []
        self.slots: list[Slot] = []
        self.unreadable: Counter[str] = Counter()
        for head_start, head_end, start, end in _parts(data, _boundary(content_type)):
            self._add(data[head_start:head_end], head_start, start, end, read_part)

    def _add(self, head: bytes, head_start: int, start: int, end: int, read_part: ReadPart) -> None:
        said = _Head(head, head_start)
        headers = said.headers
        if headers.get("content-transfer-encoding", "binary").strip().lower() not in ("binary", "8bit", "7bit"):
            raise BodyError("parse", "a part of the multipart body has a transfer encoding: send it as it is")
        for text in said.texts:
            self._spans.append(text)
            self.slots += text[2].slots
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        is_file = any(name.startswith("filename") for name in said.parameters)
        part = read_part(self._data[start:end], media_type, is_file)
        field = said.parameters.get("name", "")
        for slot in part.slots:
            slot.path = slot.path or (field,)
        self._spans.append((start, end, part))
        self.slots += part.slots
        self.unreadable += part.unreadable

    @property
    def value(self) -> Any:
        """None: parts have no single value."""
        return None

    @property
    def changed(self) -> bool:
        """Whether any part, or a text in its head, changed."""
        return any(part.changed for _, _, part in self._spans)

    edition = 0  # the whole is never replaced

    def replace(self, value: Any) -> None:
        """Raises TypeError: parts have no single value."""
        raise TypeError("a multipart body has no single value that can be replaced")

    def insert(self, insertion: Insertion) -> None:
        """Raises LookupError: here is no one JSON value."""
        raise LookupError("there is no such place")

    def revert(self, edition: int) -> None:
        """There is no earlier edition."""

    def render(self) -> bytes:
        """The bytes that came with only the changed parts and texts of heads replaced."""
        pieces: list[bytes] = []
        copied = 0
        for start, end, part in self._spans:
            if part.changed:
                pieces += self._data[copied:start], part.render()
                copied = end
        if not copied:
            return self._data
        pieces.append(self._data[copied:])
        return b"".join(pieces)


def _boundary(content_type: str) -> bytes:
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_param("boundary")
    if (
        not isinstance(boundary, str)
        or not _BOUNDARY.fullmatch(boundary)
        or content_type.lower().count("boundary=") != 1
    ):
        raise BodyError("parse", "the content type of the multipart body states no single valid boundary")
    return boundary.encode("ascii")


def _parts(data: bytes, boundary: bytes) -> list[tuple[int, int, int, int]]:
    """(start of head, its end, start of content, its end) of every part."""
    delimiter = b"--" + boundary
    if not data.startswith(delimiter):
        raise BodyError("parse", "the multipart body does not begin with its boundary")
    found: list[tuple[int, int, int, int]] = []
    at = len(delimiter)
    while not data.startswith(b"--", at):
        if len(found) >= MAX_PARTS:
            raise BodyError("parse", f"the multipart body has more than {MAX_PARTS} parts")
        if not data.startswith(b"\r\n", at):
            raise BodyError("parse", "a line of the multipart body begins with its boundary and goes on")
        head = at + 2
        # A part without headers has its blank line at once.
        head_end = at if data.startswith(b"\r\n", head) else data.find(b"\r\n\r\n", head)
        end = data.find(b"\r\n" + delimiter, head_end + 2)
        if head_end < 0 or end < 0 or end < head_end + 2:
            raise BodyError("parse", "the multipart body is cut off")
        start = min(head_end + 4, end)
        found.append((head, max(head, head_end), start, end))
        at = end + 2 + len(delimiter)
    if data[at + 2 :].strip(b"\r\n"):
        raise BodyError("parse", "the multipart body goes on behind its end")
    return found


def _is_protocols(key: str, text: bytes) -> bool:
    return key == "content-transfer-encoding" or (key == "content-length" and text.isdigit() and len(text) < 9)


def _unreadable() -> BodyError:
    return BodyError("parse", "the head of a part of the multipart body cannot be read")
