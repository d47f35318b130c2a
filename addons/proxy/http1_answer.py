"""Writes the answer of a governed call as HTTP/1.1: head, body in its framing, and what becomes of the connection behind it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, assert_never

from addons.proxy.internals import status_codes
from tokenman_core.verdicts import Head, Headers, Trailers

CHUNKED: Headers = ((b"transfer-encoding", b"chunked"),)
CLOSED: Headers = ((b"connection", b"close"),)

Ending = Literal["none", "keep", "linger", "close", "cut", "shut"]
"""More is to come, or what becomes of the connection behind the answer."""

LINGER_S = 0.5
"""How long a connection is kept on which a stream broke off. Closed at once, it would be closed under the next request of a
program that goes on."""

_REASONS = {status: reason.encode() for status, reason in status_codes.RESPONSES.items()}


@dataclass(frozen=True)
class End:
    """Of the whole answer. `broken` cuts it, so that it cannot be taken for complete. `last`: an HTTP/1 connection is closed
    soon after it; on HTTP/2 a stream ends alone.
    """

    broken: bool = False
    last: bool = False


Piece = Head | bytes | Trailers | End


class AnswerWriter:
    """One answer. The head's bytes go out as they came; only the framing is this connection's own."""

    __slots__ = ("_bodiless", "_chunked", "_closes", "_old", "started")

    def __init__(self, method: str, *, old: bool = False) -> None:
        """`old`: the request was HTTP/1.0, whose clients know no chunks."""
        self._bodiless, self._old = method == "HEAD", old
        self._chunked = self._closes = False
        self.started = False

    def write(self, pieces: Iterable[Piece]) -> tuple[list[bytes], Ending]:
        """What goes out for them, in one write."""
        out: list[bytes] = []
        ending: Ending = "none"
        for piece in pieces:
            match piece:
                case Head():
                    out.append(self._head(piece))
                case bytes():
                    if piece:  # an empty chunk would end the body
                        out += (b"%x\r\n" % len(piece), piece, b"\r\n") if self._chunked else (piece,)
                case Trailers():
                    pass  # RFC 9110 §6.5.1 lets us drop them where the client did not say that it wants them
                case End():
                    if self._chunked and not piece.broken:
                        out.append(b"0\r\n\r\n")
                    ending = "cut" if piece.broken else "close" if self._closes else "linger" if piece.last else "keep"
                case _:
                    assert_never(piece)
        return out, ending

    def _head(self, head: Head) -> bytes:
        self.started = True
        lines = [b"HTTP/1.1 %d %s" % (head.status, _REASONS.get(head.status, b""))]
        sized = self._bodiless or head.status in (204, 304)
        for name, value in head.headers:
            low = name.lower()
            if low == b"content-length":
                sized = True
            elif low == b"connection" and value == b"close":
                self._closes = True
            lines.append(name + b": " + value)
        if not sized:
            self._chunked, self._closes = not self._old, self._closes or self._old
            lines.append(b"connection: close" if self._old else b"transfer-encoding: chunked")
        lines.append(b"\r\n")
        return b"\r\n".join(lines)
