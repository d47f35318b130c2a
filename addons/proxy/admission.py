"""Who may come in, before anything is known of a call: heads, names, web pages, and the answers to those who may not."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from mitmproxy import http

from addons.proxy.door import Refusal, RequestHead, Way
from addons.proxy.internals import validate_headers
from tokenman_core import headers as h
from tokenman_core.clock import request_id
from tokenman_core.config.values import Address
from tokenman_core.dialects.base import Dialect
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.errors import ErrorKind
from tokenman_core.instance import PROOF_PATH, Prover
from tokenman_core.recognition import Local, split
from tokenman_core.record import Observer
from tokenman_core.telemetry import about
from tokenman_core.verdicts import Head, Headers

log = logging.getLogger("tokenman.call")

TUNNEL_PORTS_NEVER = frozenset({25, 465, 587})  # mail: the one protocol that open tunnels are abused for


@dataclass(frozen=True)
class Limits:
    """Bytes and seconds; 0 is no limit."""

    request_body: int
    head_size: int
    head_count: int
    header_timeout: float
    body_timeout: float
    keepalive_timeout: float


@dataclass(frozen=True)
class Front:
    """Who may talk to the listener by base URL."""

    listeners: Callable[[], Collection[tuple[str, int]]]
    host_names: frozenset[str]
    origins: frozenset[str]


class Admission:
    """What the door asks (`addons.proxy.door.Door`) that needs no exchange."""

    def __init__(self, front: Front, limits: Limits, observers: Sequence[Observer], prover: Prover | None) -> None:
        self._observers, self._prover = observers, prover
        self.admit_by(front, limits)

    def admit_by(self, front: Front, limits: Limits) -> None:
        """From now on."""
        self._front, self._limits = front, limits
        self.head_cap, self.header_count = limits.head_size, limits.head_count
        self.header_timeout, self.body_timeout = limits.header_timeout, limits.body_timeout
        self.keepalive_timeout = limits.keepalive_timeout

    def is_listener(self, host: str, port: int) -> bool:
        host = host.rstrip(".").lower().strip("[]")
        return any(port == p and (host == a or host in self._front.host_names) for a, p in self._front.listeners())

    def may_tunnel(self, host: str, port: int) -> bool:
        return bool(host) and 0 < port < 65536 and port not in TUNNEL_PORTS_NEVER and not self.is_listener(host, port)

    def blocked(self, why: str) -> Refusal:
        return self._turn_away(403, "forbidden", f"Refused: {why}.")

    def head_too_large(self) -> Refusal:
        message = f"The request's headers are over limits.request_headers ({self.head_cap} bytes, {self.header_count} of them)."
        return self._turn_away(431, "headers_cap", message)

    def examine(self, request: http.Request) -> None:
        fields = request.headers.fields
        size = len(request.data.path) + sum(len(k) + len(v) + 4 for k, v in fields)
        if len(fields) > self.header_count or size > self.head_cap:
            raise self.head_too_large()
        try:
            validate_headers(request)
        except ValueError:
            raise self.malformed("The request's headers are ambiguous: they could be read as two requests.") from None
        if any(not h.is_value(value) for _, value in fields):
            raise self.malformed("A header of the request holds a character that no header may hold.")
        if any(coding.lower() != b"chunked" for coding in h.every(fields, b"transfer-encoding")):
            raise self.malformed("The request is in a transfer coding other than chunked.")
        self.one_host(fields, needed=request.http_version == "HTTP/1.1" and request.method != "CONNECT")

    def malformed(self, message: str, status: int = 400) -> Refusal:
        return self._turn_away(status, "parse", message).last

    def one_host(self, fields: Headers, *, needed: bool) -> None:
        """RFC 9112 §3.2. Raises Refusal."""
        hosts = len(h.every(fields, b"host"))
        if hosts > 1 or (needed and not hosts):
            raise self.malformed("The request has not exactly one Host header.")

    def _prove(self, request: RequestHead, target: str, way: Way) -> None:
        """Answers who asks whether this is the TokenMan that it knows. Raises Refusal, which is the answer."""
        path, query = split(target)
        if path != PROOF_PATH or request.method != "GET" or self._prover is None:
            return
        self._admit(request, DIALECTS["openai"])
        raise self._plain_text(Local(*self._prover.answer(query, Address(*way.listener))))

    def _admit(self, request: RequestHead, speaks: Dialect) -> Headers:
        """May this origin-form call be here at all? CORS headers for the answer. Raises Refusal."""
        fields = request.fields
        if not h.host_allowed(fields, self._front.host_names):
            raise self._turn_away(403, "forbidden", "This name is not in access.public_names.", speaks)
        origin = h.first(fields, b"origin")
        if h.cross_site(fields, self._front.origins):
            message = "Web pages may not call this address unless access.allowed_origins lists them."
            raise self._turn_away(403, "forbidden", message, speaks)
        if origin is None:
            return ()
        cors = (
            (b"access-control-allow-origin", origin),
            (b"vary", b"Origin"),
            (b"access-control-expose-headers", b"*"),
        )
        if request.method == "OPTIONS":
            asked = h.first(fields, b"access-control-request-headers") or b"*"
            allow = ((b"access-control-allow-methods", b"GET, POST, DELETE"), (b"access-control-allow-headers", asked))
            raise Refusal(Head(204, (*cors, *allow)), b"")
        return cors

    def _turn_away(self, status: int, kind: ErrorKind, message: str, speaks: Dialect | None = None) -> Refusal:
        """A refusal before there is an exchange; of no known dialect, in the form that most programs read."""
        speaks = speaks or DIALECTS["openai"]
        name = request_id()
        body = speaks.error(status, kind, message, name)
        for observer in self._observers:
            observer.turned_away(kind)
        with about.call(name):
            log.info("refused %d %s", status, kind)
        headers = (
            (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), (b"x-tokenman-error", kind.encode()),
            (b"x-tokenman-request-id", name.encode()), (b"x-should-retry", b"false"),
        )  # fmt: skip
        return Refusal(Head(status, headers), body)

    def _plain_text(self, local: Local) -> Refusal:
        body, name = local.text.encode(), request_id()
        headers: Headers = (
            (b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body)),
            (b"x-tokenman-request-id", name.encode()),
        )  # fmt: skip
        if local.status >= 400:
            for observer in self._observers:
                observer.turned_away("not_found")
            with about.call(name):
                log.info("refused %d not_found", local.status)
            headers = (*headers, (b"x-tokenman-error", b"not_found"), (b"x-should-retry", b"false"))
        return Refusal(Head(local.status, headers), body)
