"""What was found in texts before, and done about it, under a keyed code of the text: never the texts or the values."""

import secrets
from collections import OrderedDict
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tokenman_core.config.redacting import Action
from tokenman_core.redaction.entities import DETECTOR_VERSION, Findings

_ENTRY = 220  # bytes that an entry without findings takes: two digests' worth of key, the tuple, the links
_FINDING = 130  # and each finding
_ACT = 480  # and each act, with its placeholder and how it is told
_PREFIXES = 1024  # object keys whose part of the hash is kept


class Act(NamedTuple):
    """What is done about the characters `start` to `end` of a text. `placeholder` is a keyed hash, and "" if none is put there.

    `depth`: see `placeholders.Value`. `first`: the value is the first of its kind in the conversation.
    """

    start: int
    end: int
    entity: str
    action: Action
    placeholder: str = ""
    depth: int = 0
    first: bool = False


class Acts(NamedTuple):
    """All that is done about a text, in order of place; `after` names the values that are known behind it.

    `told`: the last of it in the words of the audit (entity, action, keyed hash, how often), put there when it is first asked for.
    """

    acts: tuple[Act, ...]
    after: bytes
    told: list[tuple[str, Action, str, int]]


class Memo:
    """The least recently used go when `max_bytes` (an estimate of the memory taken) is reached."""

    def __init__(self, max_bytes: int = 32 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, Findings] = OrderedDict()
        self._acts: OrderedDict[bytes, Acts] = OrderedDict()
        self._bytes = 0
        # The code of a text is GMAC's, 20 times as fast as a hash. It is keyed by a secret of this process and never leaves it, so
        # that nobody can prepare two texts of one code (the chance is one in 2**100 for the longest) and one nonce does for all.
        self._code = AESGCM(secrets.token_bytes(32))
        self._nonce = secrets.token_bytes(12)
        self._prefixes: dict[tuple[str, bytes], bytes] = {}

    def __len__(self) -> int:
        return len(self._entries) + len(self._acts)

    @property
    def size(self) -> int:
        """The estimate of the memory taken, in bytes."""
        return self._bytes

    def key(self, text: bytes, key: str, options: bytes = b"") -> bytes:
        """The name of a text under an object key: everything that the detector is given.

        `options`: the digest of what the detectors are made from (16 bytes, or none where it never changes).
        """
        return self.name(self.prefix(key, options), text)

    def prefix(self, key: str, options: bytes) -> bytes:
        """What the names of all texts under an object key have in common."""
        prefix = self._prefixes.get((key, options))
        if prefix is None:
            prefix = f"{DETECTOR_VERSION}:{len(options)}:{len(key)}:{key}\0".encode("utf-8", "surrogatepass") + options
            if len(key) <= 64:
                if len(self._prefixes) >= _PREFIXES:
                    self._prefixes.clear()
                self._prefixes[key, options] = prefix
        return prefix

    def name(self, prefix: bytes, text: bytes) -> bytes:
        """The name of a text: see `key`."""
        return self._code.encrypt(self._nonce, b"", prefix + text)

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
        self._shrink()

    def acts(self, key: bytes) -> Acts | None:
        """What was done about a text. `key`: its name and all else that it depends on."""
        acts = self._acts.get(key)
        if acts is not None:
            self._acts.move_to_end(key)
        return acts

    def put_acts(self, key: bytes, acts: Acts) -> None:
        old = self._acts.pop(key, None)
        if old is not None:
            self._bytes -= _ENTRY + _ACT * len(old.acts)
        self._acts[key] = acts
        self._bytes += _ENTRY + _ACT * len(acts.acts)
        self._shrink()

    def _shrink(self) -> None:
        """A text has one entry of each sort, so those that are more are the older ones."""
        while self._bytes > self._max_bytes:
            if len(self._acts) > len(self._entries):
                _, acts = self._acts.popitem(last=False)
                self._bytes -= _ENTRY + _ACT * len(acts.acts)
            else:
                _, findings = self._entries.popitem(last=False)
                self._bytes -= _ENTRY + _FINDING * len(findings)
