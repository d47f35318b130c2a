"""The clients of an installation: a file in the data folder, which all its processes look at, and none keeps for itself.

A file and no database: who may call must be known when the shared state cannot be asked.
"""

import hmac
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from tokenman_core.clients.keys import new_key
from tokenman_core.clients.record import Client, line_of, read
from tokenman_core.clock import Clock
from tokenman_core.lines import LineFile, TooMany
from tokenman_core.secret import own_folder

log = logging.getLogger("tokenman.access")

FILE = "clients"  # in data_dir
MOST = 5_000
_LARGEST = 8 << 20  # bytes


class Exists(Exception):
    """There is a client of that name."""


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
        self._file = LineFile(self.path, _LARGEST, clock, own_folder)
        self._key = key
        self._known = Known()

    def digest(self, key: str) -> str:
        """HMAC-SHA256 in hex. What is looked up, and all that is kept."""
        return hmac.digest(self._key, key.encode("utf-8", "surrogatepass"), "sha256").hex()

    def now(self) -> Known:
        """The file's clients, read anew when it has changed. Never raises."""
        if self._file.changed():
            self._known = replace(self._read(), version=self._known.version + 1)
        return self._known

    def add(self, client: Client) -> str:
        """The new key, which nobody is told again. The digest of `client` is put in here.

        Raises Exists, TooMany, OSError, ConfigError.
        """
        key = new_key()
        with self._file.locked():
            lines = self._file.read()
            if any(client.name == each.name for each in _readable(lines)):
                raise Exists
            if len(lines) >= MOST:
                raise TooMany
            self._file.write([*lines, line_of(replace(client, digest=self.digest(key)))])
        return key

    def revoke(self, name: str) -> bool:
        """Whether there was such a client. Raises OSError, ConfigError, TooMany."""
        with self._file.locked():
            lines = self._file.read()
            kept = [line for line in lines if name not in [each.name for each in _readable([line])]]
            if len(kept) < len(lines):
                self._file.write(kept)
            return len(kept) < len(lines)

    def _read(self) -> Known:
        try:
            lines = self._file.read()
        except (OSError, TooMany) as error:
            why = error.strerror if isinstance(error, OSError) else "it is too large"
            log.error("%s cannot be read (%s): no virtual key is accepted", self.path, why)
            return Known(trouble=True)
        found = list(_readable(lines, self.path))
        return Known(tuple(found), MappingProxyType({each.digest: each for each in found}))


def _readable(lines: list[bytes], path: Path | None = None) -> Iterator[Client]:
    """A line that cannot be read is nobody's: its key is refused, and all others hold. With a path it is told."""
    for number, line in enumerate(lines, 1):
        try:
            yield read(line)
        except (ValueError, RecursionError):
            if path is not None:
                log.error("%s:%d cannot be read, so that key is refused", path, number)
