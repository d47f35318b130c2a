"""Values that a person took out of redaction: on disk and in memory only their keyed hashes, read anew when the file changes."""

import hashlib
import hmac
import logging
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tokenman_core.clock import Clock
from tokenman_core.lines import LineFile, TooMany, lines_in
from tokenman_core.redaction.spellings import forms

log = logging.getLogger("tokenman.redaction")

FILE = "allowed"  # in data_dir
_MOST = 5_000  # lines; a value has one for each way to write it, six at most; patterns have no such bound
_LARGEST = _MOST * 128  # bytes
_LINE = re.compile(rb"([0-9a-f]{64})(?: |$)")
_MARKS = ".,:;!?"  # of the sentence that a value stands in, where a detector took them along


@dataclass(frozen=True)
class Permitted:
    """The values as they are now. `version` is another one for every other set of them."""

    key: bytes = field(repr=False)
    digests: frozenset[bytes] = frozenset()
    version: bytes = b""

    def permits(self, value: str, entity: str = "") -> bool:
        """Whether a value passes, for it was let through as whatever it may be, or as this kind."""
        if not self.digests:
            return False
        bare = value.strip()
        ways = [each for each in {value, bare, bare.rstrip(_MARKS)} if each]
        return any(digest(self.key, each, kind) in self.digests for kind in {"", entity} for each in ways)


NOTHING = Permitted(b"")


def digest(key: bytes, value: str, entity: str = "") -> bytes:
    """HMAC-SHA256 in hex; of a value that passes as one kind alone, another one."""
    said = f"{entity}\0{value}" if entity else value
    return hmac.digest(key, said.encode("utf-8", "surrogatepass"), "sha256").hex().encode()


def lines_of(path: Path) -> list[tuple[str, str, int]]:
    """(day, kind or "" for any, how many hashes) of what a file lets pass. Raises OSError, TooMany."""
    found: Counter[tuple[str, str]] = Counter()
    for line in lines_in(path, _LARGEST):
        if _LINE.match(line):
            _, day, entity, *_ = [*line.decode("ascii", "replace").split(" "), "", "", ""]
            found[day, entity] += 1
    return [(day, entity, count) for (day, entity), count in sorted(found.items())]


class Allowed:
    """The file of such values, one line a hash, the day it came, and the kind that it passes as if not any.

    `key` is derived from the installation's secret. A file that cannot be read allows nothing: more is masked then, never less.
    """

    def __init__(self, folder: Path, key: bytes, clock: Clock | None = None) -> None:
        self.path = folder / FILE
        self._file = LineFile(self.path, _LARGEST, clock)
        self._key = key
        self._known = Permitted(key)

    def now(self) -> Permitted:
        """What is allowed, read anew when the file has changed."""
        if self._file.changed():
            self._known = self._read()
        return self._known

    def _read(self) -> Permitted:
        try:
            lines = self._file.read()
        except (OSError, TooMany) as error:
            why = error.strerror if isinstance(error, OSError) else "it is too large"
            log.error("%s cannot be read (%s): nothing is taken out of redaction", self.path, why)
            lines = []
        digests = frozenset(match[1] for line in lines if (match := _LINE.match(line)))
        version = hashlib.blake2b(b"".join(sorted(digests)), digest_size=16).digest() if digests else b""
        return Permitted(self._key, digests, version)

    def add(self, value: str, day: str, entity: str = "") -> bool:
        """Whether it is new. `day` as 2026-11-24; `entity`: the one kind that it passes as.

        Raises OSError, TooMany, ConfigError.
        """
        with self._file.locked():
            lines = self._file.read()
            known = {line[:64] for line in lines}
            new = [each for each in self._digests(value, entity) if each not in known]
            if len(lines) + len(new) > _MOST:
                raise TooMany
            if new:
                tail = f" {day} {entity}".rstrip().encode()
                self._file.write([*lines, *(each + tail for each in new)])
            return bool(new)

    def remove(self, value: str, entity: str = "") -> bool:
        """Whether it was there. Raises OSError, TooMany, ConfigError."""
        with self._file.locked():
            lines = self._file.read()
            gone = set(self._digests(value, entity))
            kept = [line for line in lines if line[:64] not in gone]
            if len(kept) < len(lines):
                self._file.write(kept)
            return len(kept) < len(lines)

    def _digests(self, value: str, entity: str) -> list[bytes]:
        """Of every way to write the value that known values are looked for in."""
        return list(dict.fromkeys(digest(self._key, form, entity) for form in forms(value.strip())))
