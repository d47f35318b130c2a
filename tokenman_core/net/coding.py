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
ZSTD_SENTINEL_TEXT = b"tokenman: end of frames"


class CodingError(Exception):
    """A body that cannot be decoded.

    `kind`: "unknown" for a coding that nobody knows and for several at once, "corrupt" for one that lies, breaks off or has
    bytes behind its end, "cap" for a result over the bound.
    """

    def __init__(self, kind: CodingErrorKind) -> None:
        super().__init__(kind)
        self.kind: CodingErrorKind = kind


class _Machine(Protocol):
    def expand(self, data: bytes) -> Iterator[bytes]:
        """What these bytes make, in pieces of about `STEP`."""

    def finish(self) -> bool:
        """Whether all that was taken in is complete."""


class _Zlib:
    """gzip: members one behind the other (RFC 1952 §2.2). deflate: zlib's wrapper (RFC 1950), or bare as some send it."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._inner: Any = None
        self._head = b""

    def expand(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inner is None:
                data = self._head + data
                if len(data) < 2 and not self._gzip:
                    self._head = data
                    return
                self._inner, self._head = zlib.decompressobj(self._format(data)), b""
            elif self._inner.eof:
                if not self._gzip:
                    raise zlib.error("bytes behind the end")
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
    """Frames one behind the other (RFC 8878 §3)."""

    def __init__(self) -> None:
        self._out: list[bytes] = []
        self._size = 0
        self.room = 0  # bytes that may still be made; the binding bounds a piece, not what one input makes
        decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW)
        self._inner = decompressor.stream_writer(self, write_size=STEP, closefd=False)  # type: ignore[arg-type]

    def write(self, piece: bytes) -> int:
        self._size += len(piece)
        if self._size > self.room:
            raise CodingError("cap")
        self._out.append(bytes(piece))
        return len(piece)

    def expand(self, data: bytes) -> Iterator[bytes]:
        self._size = 0
        self._inner.write(data)
        out, self._out = self._out, []
        yield from out

    def finish(self) -> bool:
        # The binding does not say whether a frame has ended. If it has, one more frame comes out just as it was.
        self._size, self.room, self._out = 0, STEP, []
        self._inner.write(zstandard.compress(ZSTD_SENTINEL_TEXT))
        return b"".join(self._out) == ZSTD_SENTINEL_TEXT


class _Identity:
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
    """One body. `max_bytes` bounds all that it gives, 0 is no bound; beyond it no more than `STEP` is expanded."""

    def __init__(self, encoding: str, max_bytes: int) -> None:
        """`encoding`: the value of Content-Encoding. Raises CodingError for a coding that is unknown, or is several."""
        make = MACHINES.get(encoding.strip().lower())
        if make is None:
            raise CodingError("unknown")
        self._machine, self._max = make(), max_bytes
        self._given = 0
        self._fed = False

    def feed(self, data: bytes) -> bytes:
        """What these bytes make, at once if the sender flushed. Raises CodingError."""
        out: list[bytes] = []
        try:
            for at in range(0, len(data), BITE):
                self._fed = True
                if isinstance(self._machine, _Zstd):
                    self._machine.room = self._max - self._given if self._max else 1 << 62
                for piece in self._machine.expand(data[at : at + BITE]):
                    self._given += len(piece)
                    if self._max and self._given > self._max:
                        raise CodingError("cap")
                    if piece:
                        out.append(piece)
        except _ERRORS as e:
            raise CodingError("corrupt") from e
        return out[0] if len(out) == 1 else b"".join(out)

    def finish(self) -> bytes:
        """The end. An empty body is one in any coding. Raises CodingError where the body broke off."""
        try:
            whole = not self._fed or self._machine.finish()
        except (*_ERRORS, CodingError) as e:
            raise CodingError("corrupt") from e
        if not whole:
            raise CodingError("corrupt")
        return b""


def decode(encoding: str, data: bytes, max_bytes: int) -> bytes:
    """A whole body. Raises CodingError."""
    decoder = Decoder(encoding, max_bytes)
    return decoder.feed(data) + decoder.finish()
