"""Tells a web address of the operator's what happened: signed, in the background, again and again until it is taken.

The form is that of Standard Webhooks (https://www.standardwebhooks.com): `webhook-id` is the same for each try of one message, so
that it is done once, and `webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`.
"""

import asyncio
import base64
import hmac
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson

from tokenman_core.background import IDLE_S
from tokenman_core.clock import Clock
from tokenman_core.net import Deadlines, Request, Upstream, UpstreamError

log = logging.getLogger("tokenman.webhook")

SECRET_FILE = "webhook-secret"  # in data_dir, where no other is configured
TRIES = 8
_FIRST_S, LAST_S = 1.0, 300.0  # before the second try, and at most between two
_MOST = 1_000  # messages that wait; the oldest are lost then, and that is said
_DEADLINES = Deadlines(connect=10, first_byte=20, idle=10, total=30)
_MOST_ANSWER = 64 * 1024  # bytes of an answer, of which nothing is wanted


@dataclass(frozen=True)
class Address:
    """Where messages go, and what they are signed with. The path may itself be a secret, so it is never logged."""

    scheme: str
    host: str
    port: int
    path: str = field(repr=False)
    key: bytes = field(repr=False)

    @classmethod
    def of(cls, url: str, key: bytes) -> "Address":
        """Raises ValueError for what is no http or https address."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ValueError("is no address; a good value: https://hooks.example.com/tokenman")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80), path, key)

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host.lower(), self.port


def signature(key: bytes, name: str, moment: int, body: bytes) -> bytes:
    """What `webhook-signature` says."""
    signed = f"{name}.{moment}.".encode() + body
    return b"v1," + base64.b64encode(hmac.digest(key, signed, "sha256"))


def shown(key: bytes) -> str:
    """The key as receivers' libraries take it."""
    return "whsec_" + base64.b64encode(key).decode()


def key_of(secret: str) -> bytes:
    """From how it is shown, or from any other text."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except ValueError:
            pass
    return secret.encode()


class Webhook:
    """`tell` from anywhere on the loop; `run` is the task that sends. Without an address nothing is kept."""

    def __init__(
        self,
        upstream: Upstream,
        clock: Clock,
        make_id: Callable[[], str],
        chance: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._upstream, self._clock, self._make_id, self._chance, self._sleep = upstream, clock, make_id, chance, sleep
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._there = asyncio.Event()
        self.address: Address | None = None

    def tell(self, kind: str, what: Mapping[str, Any]) -> None:
        """A message of a kind (`budget.alert`). It must hold nothing that may not leave."""
        if self.address is None:
            return
        body = orjson.dumps({"type": kind, "timestamp": _iso(self._clock.now()), "data": dict(what)})
        if len(self._waiting) >= _MOST:
            self._waiting.popleft()
            log.error("too many messages wait for the webhook: the oldest is lost")
        self._waiting.append((self._make_id(), body))
        self._there.set()

    async def run(self, alive: Callable[[], None] = lambda: None) -> None:
        """Never ends by itself. `alive` is called every five minutes at least."""
        while True:
            alive()
            while self._waiting:
                await self._deliver(*self._waiting.popleft(), alive)
            self._there.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    await self._there.wait()

    async def _deliver(self, name: str, body: bytes, alive: Callable[[], None]) -> None:
        for number in range(TRIES):
            if number:
                longest = min(LAST_S, _FIRST_S * 4 ** (number - 1))
                await self._sleep(longest * (0.5 + self._chance() / 2))
            address = self.address
            if address is None:
                return
            alive()
            said = await self._post(address, name, body)
            if said == "taken":
                return
            log.warning("the webhook at %s did not take a message (%s)", address.host, said)
            if said == "refused":
                break
        log.error("a message for the webhook is given up")

    async def _post(self, address: Address, name: str, body: bytes) -> str:
        """ "taken", "refused" for good, or why it may be tried again."""
        moment = int(self._clock.now())
        headers = (
            (b"content-type", b"application/json"),
            (b"user-agent", b"tokenman"),
            (b"webhook-id", name.encode()),
            (b"webhook-timestamp", b"%d" % moment),
            (b"webhook-signature", signature(address.key, name, moment, body)),
        )
        request = Request(b"POST", address.scheme, address.host, address.port, address.path.encode(), headers, body)
        try:
            async with self._upstream.call(request, _DEADLINES, _MOST_ANSWER) as answer:
                status = answer.status
                async for _ in answer:
                    pass
        except UpstreamError as error:
            return error.kind
        if 200 <= status < 300:
            return "taken"
        return "refused" if 400 <= status < 500 and status not in (408, 425, 429) else f"status {status}"


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
