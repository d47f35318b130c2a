"""What was found in texts before: places and kinds under a keyed hash of the text, never the texts or the values."""

import hashlib
import secrets
from collections import OrderedDict

from tokenman_core.redaction.entities import DETECTOR_VERSION, Findings

_ENTRY = 220  # bytes that an entry without findings takes: two digests' worth of key, the tuple, the links
_FINDING = 130  # and each finding


class Memo:
    """The least recently used go when `max_bytes` (an estimate of the memory taken) is reached."""

    def __init__(self, max_bytes: int = 32 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, Findings] = OrderedDict()
        self._bytes = 0
        # Keyed by a secret of this process, so that nobody can prepare two texts of one hash.
        self._hash = hashlib.blake2b(b"%d" % DETECTOR_VERSION, digest_size=16, key=secrets.token_bytes(32))

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """The estimate of the memory taken, in bytes."""
        return self._bytes

    def key(self, text: bytes, key: str, options: bytes = b"") -> bytes:
        """The name of a text under an object key: everything that the detector is given.

        `options`: the digest of what the detectors are made from (16 bytes, or none where it never changes).
        """
        hash = self._hash.copy()
        hash.update(f"{len(options)}:{len(key)}:{key}\0".encode("utf-8", "surrogatepass"))
        hash.update(options)
        hash.update(text)
        return hash.digest()

    def get(self, key: bytes) -> Findings | None:
        findings = self._entries.get(key)
        if findings is not None:
            self._entries.move_to_end(key)
        return findings

    def put(self, key: bytes, findings: Findings) -> None:
        old = self._entries.pop(key, None)
        if old is not None:
            self._bytes -= _ENTRY + _FINDING * len(old)
        self._entries[key] = findings
        self._bytes += _ENTRY + _FINDING * len(findings)
        while self._bytes > self._max_bytes:
            _, dropped = self._entries.popitem(last=False)
            self._bytes -= _ENTRY + _FINDING * len(dropped)
