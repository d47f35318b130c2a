"""Keeps the gate's compiled database in a file of the data folder, so that only the first start of a version compiles it.

Whoever could put another database in its place could switch off detection, and Hyperscan trusts what it loads. So the file
bears a MAC under a key of the installation, over what it was compiled from too: one that was damaged, made from other patterns
or by another version, copied from another installation, or written by somebody who cannot read the installation's secret is
taken for none, and written anew. One that others own or could read or write is not even looked into.
"""

import hashlib
import hmac
import os
import stat
from pathlib import Path
from typing import Final

from tokenman_core.config.models import Settings
from tokenman_core.redaction.detectors.gate import fingerprint
from tokenman_core.secret import derive, installation_secret, write_private

FILE: Final = "gate.db"  # in data_dir
_MAC = hashlib.sha256
_LARGEST = 64 * 1024 * 1024


class GateFile:
    """`key`: of this installation, for nothing else."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path, self._key = path, key

    def read(self) -> bytes | None:
        """The database that `write` was given, if that was made as it would be made now; else None."""
        made_from = fingerprint()
        if made_from is None:
            return None
        try:
            with open(os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                status = os.fstat(file.fileno())
                if (
                    not stat.S_ISREG(status.st_mode)
                    or status.st_uid != os.geteuid()
                    or stat.S_IMODE(status.st_mode) & 0o077
                    or status.st_size > _LARGEST
                ):
                    return None
                content = file.read()
        except OSError:
            return None
        size = _MAC().digest_size
        database = content[size:]
        return database if hmac.compare_digest(content[:size], self._mac(made_from, database)) else None

    def write(self, database: bytes) -> None:
        """Put it in place, whole or not at all. Raises OSError."""
        write_private(self._path, self._mac(fingerprint() or b"", database) + database)

    def _mac(self, made_from: bytes, database: bytes) -> bytes:
        mac = hmac.new(self._key, made_from, _MAC)
        mac.update(database)
        return mac.digest()


def gate_file(settings: Settings) -> GateFile:
    """The one of an installation. Makes its secret where there is none yet. Raises ConfigError."""
    return GateFile(settings.data_dir / FILE, derive(installation_secret(settings), "gate"))
