"""Values that a person took out of redaction: on disk and in memory only their keyed hashes, read anew when the file changes."""

import contextlib
import fcntl
import hashlib
import hmac
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tokenman_core.clock import Clock, SystemClock
from tokenman_core.redaction.known import forms
from tokenman_core.secret import private_folder, write_private

log = logging.getLogger("tokenman.redaction")

FILE = "allowed"  # in data_dir
LOOK_S = 0.5  # seconds between two looks at the file, so a change holds within 2 s
_MOST = 5_000  # lines; a value has one for each way to write it, six at most
_LARGEST = _MOST * 128  # bytes
_LINE = re.compile(rb"([0-9a-f]{64})(?: |$)")
_MARKS = ".,:;!?"  # of the sentence that a value stands in, where a detector took them along


class TooMany(Exception):
    """There is no room for another value; patterns under `redaction.allow` have no such bound."""


@dataclass(frozen=True)
class Permitted:
    """The values as they are now. `version` is another one for every other set of them."""

    key: bytes = field(repr=False)
    digests: frozenset[bytes] = frozenset()
    version: bytes = b""

    def __contains__(self, value: str) -> bool:
        if not self.digests:
            return False
        bare = value.strip()
        return any(digest(self.key, each) in self.digests for each in {value, bare, bare.rstrip(_MARKS)} if each)


NOTHING = Permitted(b"")


def digest(key: bytes, value: str) -> bytes:
    """HMAC-SHA256 in hex."""
    return hmac.new(key, value.encode("utf-8", "surrogatepass"), "sha256").hexdigest().encode()


class Allowed:
    """The file of such values, one line a hash and the day it came. `key` is derived from the installation's secret.

    A file that cannot be read allows nothing: more is masked then, never less.
    """

    def __init__(self, folder: Path, key: bytes, clock: Clock | None = None) -> None:
        self.path = folder / FILE
        self._key = key
        self._clock = clock or SystemClock()
        self._known = Permitted(key)
        self._mark: object = None
        self._next = float("-inf")

    def now(self) -> Permitted:
        """What is allowed; looks at the file's date at most twice a second, and reads it when that has changed."""
        moment = self._clock.monotonic()
        if moment < self._next:
            return self._known
        self._next = moment + LOOK_S
        try:
            status = os.stat(self.path)
            mark: object = (status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError as error:
            mark = error.errno
        if mark != self._mark:
            self._mark = mark
            self._known = self._read()
        return self._known

    def _read(self) -> Permitted:
        try:
            lines = self._lines()
        except FileNotFoundError:
            lines = []
        except (OSError, TooMany) as error:
            why = error.strerror if isinstance(error, OSError) else "it is too large"
            log.error("%s cannot be read (%s): nothing is taken out of redaction", self.path, why)
            lines = []
        digests = frozenset(match[1] for line in lines if (match := _LINE.match(line)))
        version = hashlib.blake2b(b"".join(sorted(digests)), digest_size=16).digest() if digests else b""
        return Permitted(self._key, digests, version)

    def _lines(self) -> list[bytes]:
        with self.path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
        if len(raw) > _LARGEST:
            raise TooMany
        return raw.splitlines()

    def add(self, value: str, day: str) -> bool:
        """Whether it is new. `day` as 2026-11-24. Raises OSError, TooMany, ConfigError."""
        with self._locked():
            lines = self._existing()
            known = {line[:64] for line in lines}
            new = [each for each in self._digests(value) if each not in known]
            if len(lines) + len(new) > _MOST:
                raise TooMany
            if new:
                self._write([*lines, *(each + b" " + day.encode() for each in new)])
            return bool(new)

    def remove(self, value: str) -> bool:
        """Whether it was there. Raises OSError, TooMany, ConfigError."""
        with self._locked():
            lines = self._existing()
            gone = set(self._digests(value))
            kept = [line for line in lines if line[:64] not in gone]
            if len(kept) < len(lines):
                self._write(kept)
            return len(kept) < len(lines)

    def _digests(self, value: str) -> list[bytes]:
        """Of every way to write the value that known values are looked for in."""
        return list(dict.fromkeys(digest(self._key, form) for form in forms(value.strip())))

    def _existing(self) -> list[bytes]:
        return self._lines() if self.path.exists() else []

    def _write(self, lines: list[bytes]) -> None:
        write_private(self.path, b"".join(line + b"\n" for line in lines))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, by a lock on the folder: the file itself is replaced by each."""
        handle = os.open(private_folder(self.path.parent), os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
