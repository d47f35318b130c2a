"""What base64 and hexadecimal in a text hold, whole or broken over lines, at whatever character they begin."""

import binascii
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator

_PIECE = 8 * 1024  # characters between two pauses
_LONGEST_RUN = 12 * 1024  # characters of a run that are decoded at once; the next ones overlap with it
_OVERLAP = 1024
_SEPARATOR = b"\n\0\n"
_NEXT = r"[ \t]*(?:\\?\r?\n|\\+r\\+n|\\+n)[ \t>]*"
_RUN = re.compile(rf"[A-Za-z0-9+/_-]{{10,}}+(?:{_NEXT}[A-Za-z0-9+/_-]{{4,}}+)*+")
_WORDS = re.compile(r"[A-Za-z0-9+/_-]+")
_BREAK = re.compile(_NEXT)
_NAME = re.compile(r"(?:[A-Z]?[a-z]{2,}+|[A-Z]{2,}+|[0-9]++|[_/+-]++|[A-Z]?[a-z](?![A-Za-z0-9]))++")
_HEX = re.compile(r"[0-9a-f]{16,}+|[0-9A-F]{16,}+")
_SHORTEST, _LONG = 10, 20  # characters of a run, and of a longer one
_MOST_READ = 256 * 1024  # bytes of a text's base64 that are judged
_LEAST_WIDE = 5  # characters of a text in UTF-16
_UNPRINTABLE = bytes({*range(32), 127} - {9, 10, 13})
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_MARKED = bytes(ord("a") if _WORDS.fullmatch(chr(byte)) else ord(" ") for byte in range(256))


class Coded:
    """What some runs of a text hold, as bytes that are read as Latin-1, one behind another.

    Part `i` begins at `_seen[i]`; its first byte stands at character `_first[i]` of `_places[i]`, the places of the run's
    characters in the text, `_bits[i]` bits a character for each byte of the part, which may stand for two in UTF-16: half as many.
    """

    def __init__(self) -> None:
        self._data: list[bytes] = []
        self._seen: list[int] = []
        self._parts: list[tuple[list[range], int, int]] = []
        self._size = 0

    @property
    def data(self) -> bytes:
        return _SEPARATOR.join(self._data)

    @property
    def text(self) -> str:
        return self.data.decode("latin-1")

    def add(self, data: bytes, lines: list[range], first: int, bits: int) -> None:
        self._seen.append(self._size)
        self._data.append(data)
        self._parts.append((lines, first, bits))
        self._size += len(data) + len(_SEPARATOR)

    def __len__(self) -> int:
        return self._size

    def original(self, start: int, end: int) -> tuple[int, int] | None:
        """The characters of the text that hold a bit of a span; None of one that no single run holds."""
        part = bisect_right(self._seen, start) - 1
        low = self._seen[part]
        if end > low + len(self._data[part]):
            return None
        lines, first, bits = self._parts[part]
        begin = first + (start - low) * 8 // bits
        last = first - (-(end - low) * 8 // bits) - 1
        return _place(lines, begin), _place(lines, last) + 1


def _place(lines: list[range], number: int) -> int:
    for line in lines:
        if number < len(line):
            return line[number]
        number -= len(line)
    return lines[-1][-1]  # padding that is not there


def _runs(text: str, least: int) -> Iterator[re.Match[str]]:
    """The runs of a text that begin with so many characters without a break, one behind another."""
    # To look for as many equal bytes takes a tenth of the time that an expression takes.
    marks = text.encode("latin-1", "replace").translate(_MARKED)
    run = b"a" * least
    at = marks.find(run)
    while at >= 0:
        match = _RUN.match(text, at)
        assert match is not None  # so many characters are a run
        yield match
        at = marks.find(run, match.end())


def decoded(text: str) -> Iterator[Coded | None]:
    """All runs that may be base64 or hexadecimal, decoded from each of the first characters on; None where one may pause."""
    coded = Coded()
    at = 0
    for match in _runs(text, _SHORTEST):
        if match.start() - at > _PIECE:
            at = match.start()
            yield None
        lines = _worth(text, match, _HEX.search)
        for part in _parts(lines):
            _decode(coded, text, part)
            if len(coded) > _PIECE:
                yield coded
                coded = Coded()
    if len(coded):
        yield coded


def readable(text: str) -> Iterator[Coded]:
    """Of the longer runs of a text those that are base64 or hexadecimal of text, each from its first character on."""
    read = 0
    for match in _runs(text, _LONG):
        if read >= _MOST_READ:
            return
        lines = _worth(text, match, _HEX.fullmatch)
        for part in _parts(lines):
            run = "".join(text[line.start : line.stop] for line in part)
            bits = 4 if _HEX.fullmatch(run) else 6
            data = _from_base64(run.encode("ascii")) if bits == 6 else binascii.unhexlify(run[: len(run) // 2 * 2])
            if not _is_text(data):
                data = _narrow(data)
                bits //= 2
                if not data:
                    break
            read += len(data)
            coded = Coded()
            coded.add(data, part, 0, bits)
            yield coded


def _worth(text: str, match: re.Match[str], is_hex: Callable[[str], object]) -> list[range]:
    """The lines of a run; none of one that only consists of names, and is no hexadecimal either."""
    run = match[0]
    lines = _lines(text, *match.span()) if "\n" in run or "\\" in run else [range(*match.span())]
    named = all(_NAME.fullmatch(text, line.start, line.stop) for line in lines)
    return [] if named and not is_hex(run) else lines


def _is_text(data: bytes) -> bool:
    """Whether bytes are text, but for a character that is cut at either end; what is no text fails within a few bytes."""
    head = data[:64]
    if len(head.translate(None, _UNPRINTABLE)) < len(head) or len(data.translate(None, _UNPRINTABLE)) < len(data):
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(data) - 3 and error.reason == "unexpected end of data"
    return True


def _narrow(data: bytes) -> bytes:
    """A text in UTF-16 with one byte a character, a blank for each that takes more (its mark too); b"" of what is no such text."""
    for letters, others in ((data[::2], data[1::2]), (data[1::2], data[::2])):
        zeros = others.count(0)
        if zeros < _LEAST_WIDE or zeros * 2 < len(others) or letters.count(0) * 16 > len(letters):
            continue
        narrow = bytes(map(_one_byte, letters, others))
        if len(narrow.translate(None, _UNPRINTABLE)) == len(narrow):
            return narrow
    return b""


def _one_byte(letter: int, other: int) -> int:
    return ord(" ") if other else letter


def _from_base64(run: bytes) -> bytes:
    """Of either alphabet, with or without what fills it up."""
    return binascii.a2b_base64(run.translate(_URL_SAFE) + b"A" * (-len(run) % 4))[: len(run) * 6 // 8]


def _lines(text: str, start: int, end: int) -> list[range]:
    lines: list[range] = []
    while start < end:
        gap = _BREAK.search(text, start, end)
        stop = gap.start() if gap is not None else end
        lines.append(range(start, stop))
        start = gap.end() if gap is not None else end
    return lines


def _parts(lines: list[range]) -> Iterator[list[range]]:
    """A run in parts that are short enough, each with the end of the one before it."""
    part: list[range] = []
    size = 0
    for whole in lines:
        for low in range(0, len(whole), _LONGEST_RUN - _OVERLAP):
            line = whole[low : low + _LONGEST_RUN]
            if part and size + len(line) > _LONGEST_RUN:
                yield part
                kept = 0
                tail: list[range] = []
                for each in reversed(part):
                    if kept >= _OVERLAP:
                        break
                    tail.insert(0, each[-(_OVERLAP - kept) :])
                    kept += len(tail[0])
                part, size = (tail, kept) if low == 0 else ([], 0)
            part.append(line)
            size += len(line)
            if low + _LONGEST_RUN >= len(whole):
                break
    if part:
        yield part


def _decode(coded: Coded, text: str, lines: list[range]) -> None:
    run = "".join(text[line.start : line.stop] for line in lines).encode("ascii")
    if len(lines) == 1 and (match := _HEX.search(run.decode("ascii"))) is not None:
        digits = match[0]
        for first in range(2):
            whole = digits[first : first + (len(digits) - first) // 2 * 2]
            coded.add(binascii.unhexlify(whole), lines, match.start() + first, 4)
    for first in range(4):
        coded.add(_from_base64(run[first:]), lines, first, 6)
