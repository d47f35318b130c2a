"""Content codings (RFC 9110 §8.4.1), decoded as the bytes come and within a bound."""

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

import brotli
import zstandard

CodingErrorKind = Literal["unknown", "corrupt", "cap"]

STEP = 64 << 10  # bytes that are expanded at once, so that a bomb is stopped before it has grown
BITE = (
    4 << 10
)  # bytes that are taken in at once: zlib copies what it leaves, which many small members would make quadratic
ZSTD_WINDOW = 8 << 20  # RFC 9659: what a receiver of the content coding need support
MEMBERS = 4096  # gzip members or zstd frames in one body: many empty ones would cost much time and give nothing


class CodingError(Exception):
    """A body that cannot be decoded.

    `kind`: "unknown" for a coding that nobody knows and for several at once, "corrupt" for one that lies, breaks off or has
    bytes behind its end, "cap" for a result over the bound.
    """

    def __init__(self, kind: CodingErrorKind) -> None:
        super().__init__(kind)
        self.kind: CodingErrorKind = kind


class _Machine(Protocol):
    aside: (
        bool  # whether what was taken in may hold bytes that are no part of what it makes, and that nobody would read
    )

    def expand(self, data: bytes) -> Iterator[bytes]:
        """What these bytes make, in pieces of about `STEP`, or one zstd block."""

    def finish(self) -> bool:
        """Whether all that was taken in is complete."""


class _Zlib:
    """gzip: members one behind the other (RFC 1952 §2.2). deflate: zlib's wrapper (RFC 1950), or bare as some send it."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._inner: Any = None
        self._head = b""
        self._members = 1
        self.aside = False

    def expand(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inner is None:
                data = self._head + data
                if len(data) < 2 and not self._gzip:
                    self._head = data
                    return
                self._inner, self._head = zlib.decompressobj(self._format(data)), b""
                # RFC 1952 §2.3.1: the name of a file, a comment, further fields; of a head that is cut they are not known.
                self.aside = self._gzip and (len(data) < 4 or data[3] & _ASIDE != 0)
            elif self._inner.eof:
                if not self._gzip:
                    raise zlib.error("bytes behind the end")
                self._members += 1
                self.aside = True  # each may have some
                if self._members > MEMBERS:
                    raise zlib.error("too many members")
                self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)
            while True:
                piece = self._inner.decompress(data, STEP)
                data = self._inner.unconsumed_tail
                yield piece
                if self._inner.eof or (not data and len(piece) < STEP):
                    break
            data = self._inner.unused_data

    def finish(self) -> bool:
        return self._inner is not None and bool(self._inner.eof)

    def _format(self, data: bytes) -> int:
        if self._gzip:
            return 16 + zlib.MAX_WBITS
        # RFC 1950 §2.2: the first two bytes, as one number, are a multiple of 31; a bare stream's hardly ever are.
        wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0
        return zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS


class _Brotli:
    aside = True  # RFC 7932 §9.2: blocks of metadata, which only who follows all of its bits could tell of

    def __init__(self) -> None:
        self._inner = brotli.Decompressor()

    def expand(self, data: bytes) -> Iterator[bytes]:
        yield self._inner.process(data, output_buffer_limit=STEP)
        while not self._inner.is_finished():
            piece = self._inner.process(b"", output_buffer_limit=STEP)
            if not piece:
                return
            yield piece

    def finish(self) -> bool:
        return bool(self._inner.is_finished())


class _Zstd:
    """Frames one behind the other (RFC 8878 §3).

    The binding does not bound what one input expands to, and does not tell whether a frame has ended when it reads on. So
    the outline of the frames is followed here: a block (at most 128 KiB, §3.1.1.2.4) is expanded at a time.
    """

    def __init__(self) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        self._inner = decompressor.decompressobj(read_across_frames=True)
        self._head = b""  # the beginning of a part whose length is not known yet
        self._left = 0  # bytes of the current part
        self._frames = 0
        self._checksum = False
        self._in_frame = False
        self._after = False  # whether the frame is over with the current part
        self.aside = False

    def expand(self, data: bytes) -> Iterator[bytes]:
        while data:
            if not self._left:
                data, self._head = self._head + data, b""
                if not self._begin(data):
                    self._head = data
                    return
            part, data = data[: self._left], data[self._left :]
            self._left -= len(part)
            yield self._inner.decompress(part)
            if not self._left and self._after:
                self._in_frame = self._after = False

    def finish(self) -> bool:
        return not (self._in_frame or self._left or self._head)

    def _begin(self, data: bytes) -> bool:
        """Reads the length of the part that begins here; False if that takes more bytes."""
        if self._in_frame:
            if len(data) < 3:
                return False
            block = int.from_bytes(data[:3], "little")
            last, kind, size = block & 1, block >> 1 & 3, block >> 3
            self._left = 3 + (1 if kind == _RLE else size)
            if last:
                self._after = True
                self._left += 4 if self._checksum else 0
            return True
        if len(data) < 8:  # no frame is shorter
            return False
        self._frames += 1
        if self._frames > MEMBERS:
            raise zstandard.ZstdError("too many frames")
        if int.from_bytes(data[:4], "little") >> 4 == _SKIPPABLE:
            self._left, self._after = 8 + int.from_bytes(data[4:8], "little"), True
            self.aside = True
            return True
        flags = data[4]
        single = flags >> 5 & 1
        self._left = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]
        self._checksum, self._in_frame = bool(flags >> 2 & 1), True
        return True


_RLE = 1
_SKIPPABLE = 0x184D2A5


_ASIDE = 0b11100


class _Identity:
    aside = False

    def expand(self, data: bytes) -> Iterator[bytes]:
        yield data

    def finish(self) -> bool:
        return True


MACHINES: dict[str, Callable[[], _Machine]] = {
    "": _Identity,
    "identity": _Identity,
    "gzip": lambda: _Zlib(gzip=True),
    "x-gzip": lambda: _Zlib(gzip=True),  # RFC 9110 §8.4.1.3
    "deflate": lambda: _Zlib(gzip=False),
    "br": _Brotli,
    "zstd": _Zstd,
}
_ERRORS = (zlib.error, brotli.error, zstandard.ZstdError, MemoryError)


class Decoder:
    """One body. `max_bytes` bounds all that it gives, 0 is no bound; beyond it no more than one piece is expanded."""

    def __init__(self, encoding: str, max_bytes: int) -> None:
        """`encoding`: the value of Content-Encoding. Raises CodingError for a coding that is unknown, or is several."""
        make = MACHINES.get(encoding.strip().lower())
        if make is None:
            raise CodingError("unknown")
        self._machine, self._max = make(), max_bytes
        self._given = 0
        self._fed = False

    def steps(self, data: bytes) -> Iterator[bytes]:
        """What these bytes make, at once if the sender flushed, in pieces of about `STEP`, or one zstd block: none is made
        before it is asked for. All are to be taken before more is fed. Raises CodingError.
        """
        try:
            for at in range(0, len(data), BITE):
                self._fed = True
                for piece in self._machine.expand(data[at : at + BITE]):
                    self._given += len(piece)
                    if self._max and self._given > self._max:
                        raise CodingError("cap")
                    if piece:
                        yield piece
        except _ERRORS as e:
            raise CodingError("corrupt") from e

    def feed(self, data: bytes) -> bytes:
        """All of what these bytes make, in one piece. Raises CodingError."""
        out = list(self.steps(data))
        return out[0] if len(out) == 1 else b"".join(out)

    @property
    def aside(self) -> bool:
        """Whether the packed bytes hold, or may hold, others than those that it gave: a name, a comment, a frame to be skipped."""
        return self._machine.aside

    def finish(self) -> bytes:
        """The end. An empty body is one in any coding. Raises CodingError where the body broke off."""
        if self._fed and not self._machine.finish():
            raise CodingError("corrupt")
        return b""


def decode(encoding: str, data: bytes, max_bytes: int) -> bytes:
    """A whole body. Raises CodingError."""
    return unpack(encoding, data, max_bytes)[0]


def unpack(encoding: str, data: bytes, max_bytes: int) -> tuple[bytes, bool]:
    """A whole body, and whether its packed form may hold anything else (`Decoder.aside`). Raises CodingError."""
    decoder = Decoder(encoding, max_bytes)
    return decoder.feed(data) + decoder.finish(), decoder.aside
