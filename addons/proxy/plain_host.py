"""For whom a request is that a tunnel carries without TLS: the name in its head, where the tunnel's address says none."""

import re

MOST = 64 << 10  # bytes of a head

_BEGIN = re.compile(rb"[A-Z]{1,20}(?: |\Z)")
_LINE = re.compile(rb"[A-Z]{1,20} [^ \r\n]+ HTTP/1\.[01]\r?\n")
_HOST = re.compile(rb"\nhost:[ \t]*([^\r\n]*)\r?\n", re.IGNORECASE)
_END = re.compile(rb"\n\r?\n")


def host_said(data: bytes) -> str | None:
    """The name in the first `Host`; "" if there is none, or if this is no HTTP/1; None while that cannot be told."""
    begin = _BEGIN.match(data)
    if not begin:
        return ""
    if b"\n" in data and not _LINE.match(data):
        return ""
    end = _END.search(data)
    if found := _HOST.search(data, 0, end.end() if end else len(data)):
        return host_of(found[1].decode("latin-1"))
    return "" if end or len(data) > MOST else None


def host_of(value: str) -> str:
    """The name in the value of a `Host` header, without its port."""
    name, colon, port = value.strip().rpartition(":")
    return name if colon and port.isdigit() else value.strip()
