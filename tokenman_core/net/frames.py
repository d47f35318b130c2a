"""Follows the frames in what one side of an HTTP/2 connection sends (RFC 9113 §4.1), before anybody reads them.

h2 gathers a frame of any length (up to 16 MiB) before it finds it too long, and works off every frame of a read before it tells of
one: 64 KiB of empty frames take it a tenth of a second.
"""

DATA, HEADERS, SETTINGS, CONTINUATION = 0, 1, 4, 9
_END_STREAM, _PADDED = 0x1, 0x8
_HEAD = 9  # bytes: length (3), type, flags, stream (4)


class FrameError(ValueError):
    """These bytes begin no frame that may be sent here."""


class Frames:
    """`longest`: bytes that a frame may carry. `preface`: bytes before the first frame, which is to be SETTINGS (§3.4)."""

    def __init__(self, longest: int, preface: int = 0) -> None:
        self._longest, self._skip = longest, preface
        self._head = b""
        self._begun = False

    def feed(self, data: bytes) -> int:
        """How many frames begin in these bytes that carry neither a head nor a part of a body. Raises FrameError."""
        at, idle = 0, 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            part = data[at : at + _HEAD - len(self._head)]
            at += len(part)
            head = self._head = self._head + part
            if len(head) >= 3 and int.from_bytes(head[:3]) > self._longest:
                raise FrameError("a frame is too long")
            if len(head) < _HEAD:
                break
            length, kind, flags, self._head = int.from_bytes(head[:3]), head[3], head[4], b""
            if not self._begun and kind != SETTINGS:
                raise FrameError("the first frame is not SETTINGS")
            self._begun, self._skip = True, length
            carries = kind == DATA and (length or flags & _END_STREAM) and not flags & _PADDED
            idle += not (carries or kind in (HEADERS, CONTINUATION))
        return idle
