"""What the HTTP layer asks of the exchange add-on, and how a request ends that is refused at its head."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from mitmproxy import http

from tokenman_core.verdicts import Head


class Refusal(Exception):
    """A request that ends at its head. `parts` are the head and the body of the answer."""

    def __init__(self, head: Head, body: bytes) -> None:
        super().__init__(head.status)
        self.head, self.body = head, body


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


@dataclass
class Destination:
    """Where a tunnel or a plain request leads, which no provider's name is. `place`: that of the provider whose address it is."""

    host: str
    port: int
    place: tuple[str, int] | None = None


class Call(Protocol):
    """A governed call between its head and its end."""

    body: bytes | None

    @property
    def record(self) -> http.Request:
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

    def open(self, request: http.Request, place: tuple[str, int] | None, way: Way) -> C:
        """The call that this head begins; `place` is None for a call by base URL. Raises Refusal."""

    def bypassed(self, host: str, mark: str) -> Refusal | None:
        """Something leads past us to `host`, which is no provider's. A refusal where a run's child calls an LLM that way."""

    def inner(self, host: str, mark: str) -> None:
        """A tunnel was not opened, since the host is of this machine or of a private network."""

    def head_too_large(self) -> Refusal: ...

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
