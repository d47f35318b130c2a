"""What was found in texts before, and done about it, under a keyed code of the text: never the texts or the values."""

import hashlib
import secrets
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tokenman_core.config.redacting import Action
from tokenman_core.exchange import Spot
from tokenman_core.redaction.entities import DETECTOR_VERSION, Findings
from tokenman_core.slots import Slot

_ENTRY: Final = 220  # bytes that an entry without findings takes: two digests' worth of key, the tuple, the links
_FINDING: Final = 130  # and each finding
_ACT: Final = 480  # and each act, with its placeholder and how it is told
_PREFIXES: Final = 1024  # object keys whose part of the hash is kept
_BLOCK: Final = f"block:{DETECTOR_VERSION}:".encode()
_LONG: Final = 64 * 1024  # characters of a text that are hashed at once
_LONGEST_BLOCK: Final = 128 * 1024  # characters that are hashed at once: well under 1 ms


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

    `told`: the last of it in the words of the audit, put there when it is first asked for, with the place that the text had then.
    """

    acts: tuple[Act, ...]
    after: bytes
    told: list[Spot]


type Block = tuple[tuple[int, Acts], ...]
"""All that is done about some texts in a row: of those about which something is, by their number among them."""


class _Shelf[T]:
    """Entries of one sort, the least recently used first. `weigh`: the bytes that one takes."""

    def __init__(self, weigh: Callable[[T], int]) -> None:
        self._entries: OrderedDict[bytes, T] = OrderedDict()
        self._weigh = weigh
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> T | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def put(self, key: bytes, entry: T) -> None:
        old = self._entries.pop(key, None)
        if old is not None:
            self.bytes -= self._weigh(old)
        self._entries[key] = entry
        self.bytes += self._weigh(entry)

    def drop(self) -> None:
        self.bytes -= self._weigh(self._entries.popitem(last=False)[1])


def _of_findings(findings: Findings) -> int:
    return _ENTRY + _FINDING * len(findings)


def _of_acts(acts: Acts) -> int:
    return _ENTRY + _ACT * len(acts.acts)


def _of_block(block: Block) -> int:
    return _ENTRY + sum(_of_acts(acts) for _, acts in block)


class Memo:
    """The least recently used go when `max_bytes` (an estimate of the memory taken) is reached."""

    def __init__(self, max_bytes: int = 32 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._findings = _Shelf(_of_findings)
        self._acts = _Shelf(_of_acts)
        self._blocks = _Shelf(_of_block)
        # The code of a text is GMAC's, 20 times as fast as a hash. It is keyed by a secret of this process and never leaves it, so
        # that nobody can prepare two texts of one code (the chance is one in 2**100 for the longest) and one nonce does for all.
        self._code = AESGCM(secrets.token_bytes(32))
        self._nonce = secrets.token_bytes(12)
        self._over = secrets.token_bytes(32)
        self._prefixes: dict[tuple[str, bytes], bytes] = {}

    def __len__(self) -> int:
        return len(self._findings) + len(self._acts) + len(self._blocks)

    @property
    def size(self) -> int:
        """The estimate of the memory taken, in bytes."""
        return self._findings.bytes + self._acts.bytes + self._blocks.bytes

    def name(self, text: str, key: str, options: bytes = b"") -> bytes:
        """The name of a text under an object key: of everything that the detector is given.

        `options`: the digest of what the detectors are made from (16 bytes, or none where it never changes).
        """
        prefix = self._prefixes.get((key, options)) or self._prefix(key, options)
        if len(text) > _LONG:
            return self._of_pieces(prefix, text)
        return self._code.encrypt(self._nonce, b"", prefix + text.encode("utf-8", "surrogatepass"))

    def _of_pieces(self, prefix: bytes, text: str) -> bytes:
        """The name of a long text, of which no copy is made as a whole: fresh memory would take more time than all else.

        Over the codes of its pieces goes a hash: GMAC over GMAC under one key is the same for texts that anybody can prepare.
        """
        code, nonce = self._code, self._nonce
        pieces = (text[low : low + _LONG].encode("utf-8", "surrogatepass") for low in range(0, len(text), _LONG))
        codes = b"".join([code.encrypt(nonce, b"", piece) for piece in pieces])
        return hashlib.blake2b(prefix + codes, digest_size=16, key=self._over, person=b"long").digest()

    def _prefix(self, key: str, options: bytes) -> bytes:
        prefix = f"{DETECTOR_VERSION}:{len(options)}:{len(key)}:{key}\0".encode("utf-8", "surrogatepass") + options
        if len(key) <= 64:
            if len(self._prefixes) >= _PREFIXES:
                self._prefixes.clear()
            self._prefixes[key, options] = prefix
        return prefix

    def block_name(self, slots: Sequence[Slot], options: bytes) -> bytes:
        """The name of some texts in a row, each under its key; b"" for what is too long to be named in one go."""
        if sum([len(slot.text) for slot in slots]) > _LONGEST_BLOCK:
            return b""
        parts = [slot.key for slot in slots] + [slot.text for slot in slots]
        encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
        lengths = array("Q", map(len, encoded)).tobytes()  # so that it is plain what ends where
        return self._code.encrypt(self._nonce, b"", b"".join((_BLOCK, options, lengths, *encoded)))

    def get(self, name: bytes) -> Findings | None:
        return self._findings.get(name)

    def put(self, name: bytes, findings: Findings) -> None:
        self._findings.put(name, findings)
        self._shrink()

    def acts(self, name: bytes) -> Acts | None:
        """What was done about a text. `name`: its own, and of all else that it depends on."""
        return self._acts.get(name)

    def put_acts(self, name: bytes, acts: Acts) -> None:
        self._acts.put(name, acts)
        self._shrink()

    def block(self, name: bytes) -> Block | None:
        """What was done about some texts in a row. `name`: their own, and of all else that it depends on."""
        return self._blocks.get(name)

    def put_block(self, name: bytes, block: Block) -> None:
        self._blocks.put(name, block)
        self._shrink()

    def _shrink(self) -> None:
        """A text has one entry of each sort, so those that are more are the older ones."""
        shelves: tuple[_Shelf[Any], ...] = (self._findings, self._acts, self._blocks)
        while self.size > self._max_bytes:
            max(shelves, key=len).drop()
