"""How the bytes of a kept answer are closed: sealed with a key, or at least so that a flipped bit is noticed."""

import hashlib
import hmac
import logging
import os
from collections.abc import Callable
from typing import Literal, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tokenman_core.caching.entry import Damaged
from tokenman_core.caching.ring import NoRing, key_in_ring
from tokenman_core.errors import ConfigError
from tokenman_core.secret import derive

log = logging.getLogger("tokenman.cache")

_NONCE = 12  # bytes: NIST SP 800-38D §5.2.1.1; drawn at random it is good for 2^32 answers (§8.3)
_TAG = 16
_MARK = 16


class Seal(Protocol):
    """`about` is what the bytes belong to; opened as something else's, they are damaged. Of one thread."""

    @property
    def mark(self) -> bytes:
        """16 bytes, the same for the same key and way: what another seal closed is told by its mark, not by failing."""

    @property
    def encrypted(self) -> bool: ...

    def close(self, plain: bytes, about: bytes) -> bytes: ...

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """Raises Damaged."""


class Cipher:
    """AES-256-GCM with a fresh nonce for each answer. `key`: 32 bytes."""

    encrypted = True

    def __init__(self, key: bytes, random: Callable[[int], bytes] = os.urandom) -> None:
        self.mark = derive(key, "cache, mark of a cipher")[:_MARK]
        self._gcm, self._random = AESGCM(key), random

    def close(self, plain: bytes, about: bytes) -> bytes:
        nonce = self._random(_NONCE)
        return nonce + self._gcm.encrypt(nonce, plain, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        if len(sealed) < _NONCE + _TAG:
            raise Damaged
        try:
            return self._gcm.decrypt(sealed[:_NONCE], sealed[_NONCE:], about)
        except InvalidTag:
            raise Damaged from None


class Checksum:
    """Keyed BLAKE2b (RFC 7693) behind the bytes, which anybody can read. `key`: 32 bytes."""

    encrypted = False

    def __init__(self, key: bytes) -> None:
        self.mark = derive(key, "cache, mark of a checksum")[:_MARK]
        self._key = key

    def close(self, plain: bytes, about: bytes) -> bytes:
        return plain + self._sum(plain, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        plain, found = sealed[:-_TAG], sealed[-_TAG:]
        if not hmac.compare_digest(found, self._sum(plain, about)):
            raise Damaged
        return plain

    def _sum(self, plain: bytes, about: bytes) -> bytes:
        found = hashlib.blake2b(len(about).to_bytes(4, "big") + about, key=self._key, digest_size=_TAG)
        found.update(plain)
        return found.digest()


def cipher_for(
    encrypt: Literal["auto", "on", "off"],
    root: bytes,
    *,
    configured: bool,
    ring: Callable[[str], bytes] = key_in_ring,
) -> Cipher | None:
    """What answers are sealed with; None: they are not. `root` is the installation's secret, `configured` whether it is the setting
    `secret`: else it lies beside the file, where a key that is derived from it would protect nothing.

    Asks the keyring, so it may take some seconds: not on the event loop. Raises ConfigError for `on` that cannot be had.
    """
    if encrypt == "off":
        return None
    try:
        return Cipher(ring("cache:" + derive(root, "cache, name in the keyring")[:8].hex()))
    except NoRing as error:
        why = str(error)
    if configured:
        return Cipher(derive(root, "cache cipher"))
    if encrypt == "on":
        raise ConfigError(
            f"cache.encrypt: on needs a place for its key, and {why}; unlock or install a keyring, or set secret (env:NAME), "
            "from which the key is then derived; good values without: auto, off"
        )
    log.info("cached answers are not encrypted on disk: %s", why)
    return None
