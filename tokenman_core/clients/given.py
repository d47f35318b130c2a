"""The virtual key that a request brings, wherever its program puts keys, and what is left of the request without it."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from tokenman_core import headers as h
from tokenman_core.clients.keys import ANY, PREFIX
from tokenman_core.verdicts import Headers

HEADER = b"x-tokenman-key"
_START = PREFIX.encode()
_OWN = h.CREDENTIALS - {b"cookie"}
"""Headers in which programs send the key of a provider."""

_SCHEME = re.compile(rb"bearer[ \t]+", re.IGNORECASE)
CONFLICT = "\0"
"""Stands for the key of a request that brings two different ones: no key is written so, so it is refused as a bad one."""


@dataclass(frozen=True)
class Given:
    """`key`: as it came, "" for none; anything in `x-tokenman-key` counts as one. `headers` and `query`: without it."""

    key: str = field(repr=False)
    headers: Headers = field(repr=False)
    query: str = field(repr=False)

    @property
    def without_own(self) -> tuple[Headers, str]:
        """Headers and query without the caller's own keys either: a virtual key stands in for them."""
        kept = tuple((name, value) for name, value in self.headers if name.lower() not in _OWN)
        return kept, h.query_without_keys(self.query)


def given(headers: Headers, query: str) -> Given:
    """What stands behind `Authorization: Basic` is looked through too. No header that holds a key goes on, whatever its name."""
    found: set[bytes] = set()
    kept: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        low = name.lower()
        keys = _of(low, value)
        found.update(keys)
        if not keys and not ANY.search(value):
            kept.append((name, value))
    pairs: list[str] = []
    for pair in query.split("&"):
        name_of, _, said = pair.partition("=")
        plain = unquote_to_bytes(said)
        secret = unquote_to_bytes(name_of).decode("latin-1").lower() in h.SECRET_QUERY
        if secret and plain.startswith(_START):
            found.add(plain)
        elif not ANY.search(plain):
            pairs.append(pair)
    if not found:
        return Given("", tuple(kept) if len(kept) < len(headers) else headers, "&".join(pairs))
    key = found.pop().decode("latin-1") if len(found) == 1 else CONFLICT
    return Given(key, tuple(kept), "&".join(pairs))


def _of(name: bytes, value: bytes) -> list[bytes]:
    if name == HEADER:
        return [value.strip()]
    if name == b"proxy-authorization" or name not in _OWN:
        return []  # of the way here, not of the call: read by `headers.proxy_login`
    if name == b"authorization":
        user, password = h.login_of(value)
        if keys := [each.encode("latin-1") for each in (user, password) if each.startswith(PREFIX)]:
            return keys
        value = _SCHEME.sub(b"", value.strip(), count=1)
    value = value.strip()
    return [value] if value.startswith(_START) else []
