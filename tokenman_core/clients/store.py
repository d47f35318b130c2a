"""The clients of an installation: a file in the data folder, which all its processes look at, and none keeps for itself.

A file and no database: who may call must be known when the shared state cannot be asked.
"""

import contextlib
import fcntl
import hmac
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from tokenman_core.clients.keys import new_key
from tokenman_core.clients.record import Client, line_of, read
from tokenman_core.clock import Clock, SystemClock
from tokenman_core.secret import own_folder, write_private

log = logging.getLogger("tokenman.access")

FILE = "clients"  # in data_dir
LOOK_S = 0.5  # seconds between two looks at the file, so that a revocation holds within 2 s
MOST = 5_000
_LARGEST = 8 << 20  # bytes


class Exists(Exception):
    """There is a client of that name."""


class TooMany(Exception):
    """There is no room for another one."""


@dataclass(frozen=True)
class Known:
    """The clients as they are now. `version` is another one for every other state of the file; `trouble`: it cannot be read."""

    clients: tuple[Client, ...] = ()
    by_digest: Mapping[str, Client] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    version: int = 0
    trouble: bool = False

    def of(self, digest: str) -> Client | None:
        """Whose key has this hash. Found by the hash, which tells nothing of any key, and compared in constant time."""
        found = self.by_digest.get(digest)
        return found if found is not None and hmac.compare_digest(found.digest, digest) else None


class Clients:
    """`key` is derived from the installation's secret: without it, the file says nothing of any key."""

    def __init__(self, folder: Path, key: bytes, clock: Clock | None = None) -> None:
        self.path = folder / FILE
        self._key = key
        self._clock = clock or SystemClock()
        self._known = Known()
        self._mark: object = None
        self._next = float("-inf")

    def digest(self, key: str) -> str:
        """HMAC-SHA256 in hex. What is looked up, and all that is kept."""
        return hmac.digest(self._key, key.encode("utf-8", "surrogatepass"), "sha256").hex()

    def now(self) -> Known:
        """Looks at the file's date at most twice a second, and reads it when that has changed. Never raises."""
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
            self._known = replace(self._read(), version=self._known.version + 1)
        return self._known

    def add(self, client: Client) -> str:
        """The new key, which nobody is told again. The digest of `client` is put in here.

        Raises Exists, TooMany, OSError, ConfigError.
        """
        key = new_key()
        with self._locked():
            lines = self._lines()
            if any(client.name == each.name for each in _readable(lines)):
                raise Exists
            if len(lines) >= MOST:
                raise TooMany
            self._write([*lines, line_of(replace(client, digest=self.digest(key)))])
        return key

    def revoke(self, name: str) -> bool:
        """Whether there was such a client. Raises OSError, ConfigError, TooMany."""
        with self._locked():
            lines = self._lines()
            kept = [line for line in lines if name not in [each.name for each in _readable([line])]]
            if len(kept) < len(lines):
                self._write(kept)
            return len(kept) < len(lines)

    # -- the file --

    def _read(self) -> Known:
        try:
            lines = self._lines()
        except (OSError, TooMany) as error:
            why = error.strerror if isinstance(error, OSError) else "it is too large"
            log.error("%s cannot be read (%s): no virtual key is accepted", self.path, why)
            return Known(trouble=True)
        found = list(_readable(lines, self.path))
        return Known(tuple(found), MappingProxyType({each.digest: each for each in found}))

    def _lines(self) -> list[bytes]:
        """Raises OSError, TooMany."""
        try:
            with self.path.open("rb") as file:
                raw = file.read(_LARGEST + 1)
        except FileNotFoundError:
            return []
        if len(raw) > _LARGEST:
            raise TooMany
        return [line for line in raw.splitlines() if line.strip()]

    def _write(self, lines: list[bytes]) -> None:
        write_private(self.path, b"".join(line + b"\n" for line in lines))
        self._next = float("-inf")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, by a lock on the folder: the file itself is replaced by each."""
        handle = os.open(own_folder(self.path.parent), os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _readable(lines: list[bytes], path: Path | None = None) -> Iterator[Client]:
    """A line that cannot be read is nobody's: its key is refused, and all others hold. With a path it is told."""
    for number, line in enumerate(lines, 1):
        try:
            yield read(line)
        except (ValueError, RecursionError):
            if path is not None:
                log.error("%s:%d cannot be read, so that key is refused", path, number)
