"""How a request is written: what may stand in it, how long its body is said to be, and which headers are left out."""

import re

from tokenman_core.headers import HOP_BY_HOP, first
from tokenman_core.net.wire import Request, UpstreamError
from tokenman_core.verdicts import Headers

DEFAULT_PORTS = {"http": 80, "https": 443}
# `expect` is left out since the body is sent at once, without waiting for a 100.
_OURS = HOP_BY_HOP | {b"expect", b"http2-settings"}

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
_VALUE = re.compile(rb"[^\x00\r\n]*")  # RFC 9110 §5.5: these three end or hide a line somewhere
_HOST = re.compile(r"[0-9A-Za-z._:%\-]+")
_TARGET = re.compile(rb"(/[^\x00-\x20\x7f#]*|\*)")  # RFC 9112 §3.2: a space or a control would end the request line


def check(request: Request) -> None:
    """Raises UpstreamError("protocol") where a byte would end a line early, and so begin another header or request."""
    if not _TOKEN.fullmatch(request.method) or request.method == b"CONNECT":
        raise UpstreamError("protocol", "the method is not one that can be sent")
    if not _TARGET.fullmatch(request.path):
        raise UpstreamError("protocol", "the path holds bytes that no request line may hold")
    if not _HOST.fullmatch(request.host):
        raise UpstreamError("protocol", "the host is neither a name nor an address")
    if request.scheme not in DEFAULT_PORTS:
        raise UpstreamError("protocol", "the scheme is neither http nor https")
    for name, value in request.headers:
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise UpstreamError("protocol", "a header holds bytes that no header may hold")
    if sum(name.lower() == b"host" for name, _ in request.headers) > 1:
        raise UpstreamError("protocol", "there is more than one Host header")


def authority(request: Request) -> bytes:
    """What the caller's Host header says, else host and port (RFC 9110 §4.2)."""
    if given := first(request.headers, b"host"):
        return given.strip()
    return address(request.host, request.port, DEFAULT_PORTS[request.scheme])


def address(host: str, port: int, default: int = 0) -> bytes:
    """`host:port`, an IPv6 address in brackets, the port left out where it is the default."""
    name = f"[{host}]" if ":" in host else host
    return (name if port == default else f"{name}:{port}").encode("ascii")


def h1_headers(request: Request) -> Headers:
    """All that goes out over HTTP/1.1, `Host` where it stood or in front."""
    headers = _framed(request)
    return headers if first(headers, b"host") is not None else ((b"Host", authority(request)), *headers)


def h2_fields(request: Request) -> Headers:
    """All that goes out over HTTP/2 (RFC 9113 §8.2, §8.3): pseudo-headers first, names in lower case."""
    pseudo = (
        (b":method", request.method), (b":scheme", request.scheme.encode()), (b":authority", authority(request)),
        (b":path", request.path),
    )  # fmt: skip
    return pseudo + tuple((low, v) for name, v in _framed(request) if (low := name.lower()) != b"host")


def _framed(request: Request) -> Headers:
    """The caller's headers with the one true content-length, in the place where one stood (RFC 9110 §8.6)."""
    length = b"%d" % len(request.body) if request.body or request.method not in (b"GET", b"HEAD") else None
    named = b",".join(v for k, v in request.headers if k.lower() == b"connection")
    gone = _OURS | {name.strip().lower() for name in named.split(b",")}
    out: list[tuple[bytes, bytes]] = []
    for name, value in request.headers:
        low = name.lower()
        if low == b"content-length":
            if length is not None:
                out.append((name, length))
                length = None
        elif low == b"host" or low not in gone:
            out.append((name, value.strip(b" \t")))
    if length is not None:
        out.append((b"content-length", length))
    return tuple(out)
