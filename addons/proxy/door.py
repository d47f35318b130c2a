"""What the HTTP layer asks of the exchange add-on, and how a request ends that is refused at its head."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from mitmproxy import http

from addons.proxy.internals import status_codes
from tokenman_core.verdicts import Head, Headers


class Refusal(Exception):
    """A request that ends at its head. `head` and `body` are the answer.

    `malformed`: of a request that could be read in two ways nobody knows where it ends, so the connection ends with the answer.
    """

    def __init__(self, head: Head, body: bytes, *, malformed: bool = False) -> None:
        super().__init__(head.status)
        self.head, self.body, self.malformed = head, body, malformed

    @property
    def last(self) -> "Refusal":
        """The same to a request that is malformed."""
        head = Head(self.head.status, (*self.head.headers, (b"connection", b"close")))
        return Refusal(head, self.body, malformed=True)

    @property
    def http1(self) -> bytes:
        """All of the answer, as HTTP/1.1."""
        fields = b"".join(b"%s: %s\r\n" % field for field in self.head.headers)
        reason = status_codes.RESPONSES.get(self.head.status, "").encode()
        return b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (self.head.status, reason, fields, self.body)


@dataclass(frozen=True)
class Way:
    """How a request came in: at which address of ours, under the mark of which `tokenman run` ("" for none), with which virtual
    key of its proxy's ("" for none), and from which address.

    The mark is the user name of the proxy URL that the run's child was given; base URLs bear it in their path.
    """

    listener: tuple[str, int]
    mark: str = ""
    key: str = field(default="", repr=False)
    peer: str = ""


class RequestHead(NamedTuple):
    """The head of a request, as it came. `target`: path and query, also of one in absolute form."""

    method: str
    target: str
    fields: Headers

    @classmethod
    def of(cls, request: http.Request) -> "RequestHead":
        return cls(request.method, request.data.path.decode("latin-1"), request.headers.fields)


@dataclass
class Destination:
    """Where a tunnel or a plain request leads, which no provider's name is. `place`: that of the provider whose address it is."""

    host: str
    port: int
    place: tuple[str, int] | None = None


class Call(Protocol):
    """A governed call between its head and its end."""

    body: bytes | None

    def record(self, request: http.Request) -> http.Request:
        """What other add-ons see of the request."""


class Door[C: Call](Protocol):
    """What the layer asks of the exchange add-on. None of these may run a hook or wait."""

    def governs(self, host: str | None, port: int | None) -> bool: ...

    def names_at(self, port: int) -> Collection[str]:
        """The names of providers that are reached there without TLS."""

    def may_tunnel(self, host: str, port: int) -> bool:
        """False: our own listener, or a port that no tunnel may have."""

    def is_listener(self, host: str, port: int) -> bool: ...

    def examine(self, request: http.Request) -> None:
        """Holds any head, a tunnel's and a plain request's too, to its limits and to one reading. Raises Refusal."""

    def open(self, request: RequestHead, place: tuple[str, int] | None, way: Way) -> C:
        """The call that this head begins; `place` is None for a call by base URL. Raises Refusal."""

    def bypassed(self, host: str, mark: str) -> Refusal | None:
        """Something leads past us to `host`, which is no provider's. A refusal where a run's child calls an LLM that way."""

    def inner(self, host: str, mark: str) -> None:
        """A tunnel was not opened, since the host is of this machine or of a private network."""

    def head_too_large(self) -> Refusal: ...

    def malformed(self, message: str, status: int = 400) -> Refusal:
        """It is no request of HTTP/1, or could be read as two."""

    def garbled(self, call: C) -> Refusal:
        """Its body is not framed as it says."""

    def over(self, call: C) -> None:
        """The client left before its request was whole."""

    def body_cap(self, call: C) -> int:
        """Bytes of a request body; 0 is no cap."""

    def too_large(self, call: C) -> Refusal: ...

    def too_slow(self, call: C) -> Refusal:
        """Its body did not come in time."""

    def broken(self, call: C) -> Refusal:
        """The hook ended without an answer."""

    def blocked(self, why: str) -> Refusal: ...

    head_cap: int
    header_count: int
    header_timeout: float
    body_timeout: float
    keepalive_timeout: float
