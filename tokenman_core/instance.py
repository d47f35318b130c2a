"""The one TokenMan that runs on a data folder: its lock, where it listens, and the proof that a listener is it."""

import errno
import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from tokenman_core import __version__
from tokenman_core.config.models import Settings
from tokenman_core.config.values import Address
from tokenman_core.errors import ConfigError
from tokenman_core.secret import derive, installation_secret, own_folder, write_private

log = logging.getLogger("tokenman.instance")

PROOF_PATH = "/.tokenman/proof"
PID_FILE = "tokenman.pid"
LOCK_FILE = "tokenman.lock"
PLACE_FILE = "instance.json"
_NONCE = re.compile(r"[0-9a-f]{32,128}")
_MOST = 4096  # bytes of the place file that are read

Started = Literal["up", "run"]
"""By whom: a person, who also ends it, or `tokenman run`, with whose last program it ends."""


@dataclass(frozen=True)
class Running:
    """What an instance says of itself in its data folder. Nothing of it is believed before its listeners proved it."""

    pid: int
    proxy: Address
    admin: Address
    version: str
    started: Started

    def __str__(self) -> str:
        ends = ", started by `tokenman run`, which ends with its last program" if self.started == "run" else ""
        return f"process {self.pid}{ends}: proxy at {self.proxy}, admin at {self.admin}"


class Taken(OSError):
    """Another instance has the data folder. The message says which, and what to do."""

    def __init__(self, folder: Path, running: Running | None) -> None:
        who = f"is running already, {running}" if running else "is starting or ending just now"
        remedy = f"use that one, or end it first (kill {running.pid})" if running else "wait for it"
        super().__init__(
            errno.EADDRINUSE, f"another tokenman {who}; {remedy}, or give this one a data_dir other than {folder}"
        )
        self.running = running

    def __str__(self) -> str:
        return str(self.strerror)


class Instance:
    """The hold of this process on its data folder. It ends with the process: the kernel drops the lock with it, so that no
    stale or recycled PID is in anybody's way, and nobody comes between before its ports are free."""

    def __init__(self, folder: Path, lock: BinaryIO, started: Started) -> None:
        self._folder, self._lock, self._started = folder, lock, started

    @classmethod
    def take(cls, folder: Path, started: Started = "up") -> "Instance":
        """Raises Taken if another process holds the folder, ConfigError if it cannot be used."""
        path = own_folder(folder) / LOCK_FILE
        try:
            lock = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "rb")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Taken(folder, running(folder)) from None
        except OSError as error:
            raise ConfigError(f"data_dir: the file {path} cannot be locked: {error.strerror}") from None
        held = cls(folder, lock, started)
        held.withdraw()  # of one that was killed
        return held

    def publish(self, proxy: Address, admin: Address) -> None:
        """Says where it listens, for the other commands and for whoever wants to signal it."""
        place = {"pid": os.getpid(), "proxy": str(proxy), "admin": str(admin)}
        place |= {"version": __version__, "started": self._started}
        files = ((PLACE_FILE, json.dumps(place)), (PID_FILE, str(os.getpid())))
        for path, text in ((self._folder / name, text) for name, text in files):
            try:
                write_private(path, text.encode())
            except OSError as error:  # traffic does not depend on it
                log.warning(
                    "%s cannot be written (%s): other commands will not find this process", path, error.strerror
                )

    def withdraw(self) -> None:
        """Takes back what `publish` said. Twice is as good as once."""
        for name in (PLACE_FILE, PID_FILE):
            _remove(self._folder / name)

    def release(self) -> None:
        """Lets go at once, for one that has nothing more to do with the folder."""
        self._lock.close()


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("%s cannot be removed (%s): remove it by hand; it does no harm", path, error.strerror)


def running(folder: Path) -> Running | None:
    """What the last instance wrote that came up on this folder, if it is to be read."""
    try:
        with (folder / PLACE_FILE).open("rb") as file:
            said: Any = json.loads(file.read(_MOST))
        started: Started = "run" if said["started"] == "run" else "up"
        return Running(
            int(said["pid"]), _address(said["proxy"]), _address(said["admin"]), str(said["version"]), started
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _address(text: object) -> Address:
    host, _, port = str(text).rpartition(":")
    if not host:
        raise ValueError("no address")
    named = host.strip("[]")
    named.encode("idna")  # a label of more than 63 letters is nowhere; asked for by connecting, it raises UnicodeError
    if not 0 < int(port) < 65536:
        raise ValueError("no port")
    return Address(named, int(port))


# -- the proof --


def proof_key(settings: Settings) -> bytes:
    """Known to whoever can read the installation's secret: this user's processes, or those who share `secret`."""
    return derive(installation_secret(settings), "proof")


def new_nonce() -> str:
    return secrets.token_hex(32)


def proof(key: bytes, nonce: str, listener: Address) -> str:
    """HMAC-SHA256 in hex over the nonce and the listener's own address, so that what a stranger relays proves nothing."""
    return hmac.new(key, f"{nonce} {listener}".encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Prover:
    """Answers `GET /.tokenman/proof?nonce=HEX`."""

    key: bytes

    def answer(self, query: str, listener: Address) -> tuple[int, str]:
        """Status and text. `listener` is the address at which the asking connection was accepted."""
        nonce = query.removeprefix("nonce=")
        if nonce == query or not _NONCE.fullmatch(nonce):
            return 400, "the query must be nonce=HEX, of 32 to 128 digits\n"
        if not listener.loopback:
            return 403, "this is proved on loopback alone\n"
        return 200, proof(self.key, nonce, listener)
