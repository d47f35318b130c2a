"""Content codings (RFC 9110 §8.4.1), decoded as the bytes come and within a bound."""

import zlib
from collections.abc import Callable
from typing import Any, Literal, Protocol

import brotli
import zstandard

CodingErrorKind = Literal["unknown", "corrupt", "cap"]

STEP = 64 << 10  # bytes that a decoder may make at once, so that a bomb is stopped before it has grown

BITE = 256  # bytes that zstd is given at once, see `_Zstd`


class CodingError(Exception):
    """A body that cannot be decoded: a coding that nobody knows (or two), one that lies, or a result over the bound."""

    def __init__(self, kind: CodingErrorKind) -> None:
        super().__init__(kind)
        self.kind: CodingErrorKind = kind


class _Machine(Protocol):
    """Takes bytes and gives pieces of at most about `STEP`, perhaps empty ones; None when it needs more."""

    ended: bool

    def put(self, data: bytes) -> None: ...

    def take(self) -> bytes | None: ...


class _Zlib:
    """gzip (several members, RFC 1952 §2.2) and deflate (zlib's wrapper by RFC 9110, bare as many send it)."""

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._inner: Any = None if wbits == zlib.MAX_WBITS else zlib.decompressobj(wbits)
        self._held = b""
        self.ended = False

    def put(self, data: bytes) -> None:
        self._held += data

    def take(self) -> bytes | None:
        if self._inner is None:
            if len(self._held) < 2:
                return None
            # RFC 1950 §2.2: the first two bytes, as one number, are a multiple of 31; a bare stream's hardly ever are.
            wrapped = self._held[0] & 0x0F == 8 and int.from_bytes(self._held[:2]) % 31 == 0
            self._inner = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
        if self.ended and self._held:
            if self._wbits != 16 + zlib.MAX_WBITS:
                raise zlib.error("bytes behind the end")
            self._inner, self.ended = zlib.decompressobj(self._wbits), False
        if not self._held:
            return None
        piece: bytes = self._inner.decompress(self._held, STEP)
        self._held = self._inner.unconsumed_tail
        if self._inner.eof:
            self.ended = True
            self._held = self._inner.unused_data
        return piece


class _Brotli:
    def __init__(self) -> None:
        self._inner = brotli.Decompressor()
        self._fed = b""
        self.ended = False

    def put(self, data: bytes) -> None:
        if self._inner.is_finished() and data:
            raise brotli.error("bytes behind the end")
        self._fed = data

    def take(self) -> bytes | None:
        fed, self._fed = self._fed, b""
        piece: bytes = self._inner.process(fed, output_buffer_limit=STEP)
        self.ended = self._inner.is_finished()
        # It can hold output back though it says that it takes more input.
        return piece if piece or fed else None


class _Zstd:
    """Frames one behind the other (RFC 8878 §3). The window is bounded as RFC 8878 §3.1.1.1.2 advises."""

    def __init__(self) -> None:
        self._inner = self._make()
        self._held, self._at = b"", 0
        self.ended = False

    @staticmethod
    def _make() -> Any:
        return zstandard.ZstdDecompressor(max_window_size=8 << 20).decompressobj()

    def put(self, data: bytes) -> None:
        self._held, self._at = self._held[self._at :] + data, 0

    def take(self) -> bytes | None:
        # The binding has no bound for its output. A block makes at most 128 KiB (RFC 8878 §3.1.1.2.4) of at least 4 bytes, so
        # a small bite makes a few MiB at the worst.
        if self._at >= len(self._held):
            return None
        if self.ended:
            self._inner, self.ended = self._make(), False
        bite = self._held[self._at : self._at + BITE]
        self._at += len(bite)
        piece: bytes = self._inner.decompress(bite)
        if self._inner.eof:
            self.ended = True
            self._at -= len(self._inner.unused_data)
        return piece


class _Identity:
    def __init__(self) -> None:
        self._held, self.ended = b"", True

    def put(self, data: bytes) -> None:
        self._held += data

    def take(self) -> bytes | None:
        piece, self._held = self._held, b""
        return piece or None


MACHINES: dict[str, Callable[[], _Machine]] = {
    "identity": _Identity,
    "": _Identity,
    "gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "x-gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS),
    "br": _Brotli,
    "zstd": _Zstd,
}
_ERRORS = (zlib.error, brotli.error, zstandard.ZstdError, EOFError, MemoryError)


class Decoder:
    """One body. `max_bytes` bounds all that it gives; 0 is no bound."""

    def __init__(self, encoding: str, max_bytes: int) -> None:
        """Raises CodingError for a coding that is unknown, or is several."""
        make = MACHINES.get(encoding.strip().lower())
        if make is None:
            raise CodingError("unknown")
        self._machine, self._max = make(), max_bytes
        self._given = 0
        self._fed = False

    def feed(self, data: bytes) -> bytes:
        """What these bytes make, and all that was held back. Raises CodingError."""
        if not data:
            return b""
        self._fed = True
        out: list[bytes] = []
        try:
            self._machine.put(data)
            while (piece := self._machine.take()) is not None:
                self._given += len(piece)
                if self._max and self._given > self._max:
                    raise CodingError("cap")
                out.append(piece)
        except _ERRORS as e:
            raise CodingError("corrupt") from e
        return b"".join(out)

    def finish(self) -> bytes:
        """Raises CodingError where the body broke off."""
        if self._fed and not self._machine.ended:
            raise CodingError("corrupt")
        return b""


def decode(encoding: str, data: bytes, max_bytes: int) -> bytes:
    """A whole body. Raises CodingError."""
    decoder = Decoder(encoding, max_bytes)
    return decoder.feed(data) + decoder.finish()
