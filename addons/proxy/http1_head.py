"""Reads the head and the body of an HTTP/1 request in the one way in which nobody else could read another request."""

import re
from collections.abc import Sequence

import h11
from mitmproxy import http

from addons.proxy.internals import ChunkedReader, ReceiveBuffer, expected_http_body_size, read_request_head

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # RFC 9110 §5.6.2
_LINE = re.compile(_TOKEN + rb" [!-~\x80-\xff]++ HTTP/([0-9]\.[0-9])")  # RFC 9112 §3
_FIELD = re.compile(_TOKEN + rb":[^\r\n\0]*+")  # RFC 9112 §5: no folded line, no blank before the colon, no bare CR
SPOKEN = (b"1.0", b"1.1")

MOST_WASTE = 16 << 10  # bytes around the chunks of a body that come to nothing: sizes, extensions, trailers
_WORTH = 9  # bytes of them that each byte of data is allowed: chunks of one byte have about five


class BadHead(Exception):
    """`status` of the answer."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message, self.status = message, status


def read_head(lines: Sequence[bytes], size: int) -> tuple[http.Request, int | None]:
    """The request, and the bytes of its body (None: it comes in chunks). Raises BadHead.

    `lines` are without their ends; `size` is what they were with them, the blank one included.
    """
    line = _LINE.fullmatch(lines[0])
    if line is not None and line[1] not in SPOKEN:
        raise BadHead("HTTP/1.1 and HTTP/1.0 are spoken here.", 505)
    # RFC 9112 §2.2 lets us take a lone LF for the end of a line. Who stands before us may not: two would see two requests.
    if line is None or size != sum(map(len, lines)) + 2 * len(lines) + 2:
        raise BadHead("The request's head is not one of HTTP/1.1.")
    if not all(map(_FIELD.fullmatch, lines[1:])):
        raise BadHead("A header of the request is none of HTTP/1.1.")
    try:
        request = read_request_head(list(lines))
        return request, expected_http_body_size(request)
    except ValueError:
        raise BadHead("The request's head can be read in no way, or in more than one.") from None


class Chunks(ChunkedReader):
    """A body in chunks. What stands around them is thrown away, so it is bounded: nobody need send much of it."""

    def __init__(self) -> None:
        super().__init__()
        self._waste = 0

    def __call__(self, buf: ReceiveBuffer) -> h11.Data | h11.EndOfMessage | None:
        """Raises h11.ProtocolError."""
        before = len(buf)
        part = super().__call__(buf)
        data = len(part.data) if isinstance(part, h11.Data) else 0
        self._waste = max(0, self._waste + before - len(buf) - (1 + _WORTH) * data)
        if self._waste + (len(buf) if part is None else 0) > MOST_WASTE:
            raise h11.RemoteProtocolError("too much stands around the chunks")
        return part
