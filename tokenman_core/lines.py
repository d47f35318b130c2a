"""A small file of lines in the data folder, which all processes look at, one at a time replaces, and none keeps for itself."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from tokenman_core.clock import Clock, SystemClock
from tokenman_core.secret import private_folder, write_private

LOOK_S = 0.5  # seconds between two looks at the file, so that a change holds within 2 s


class TooMany(Exception):
    """There is no room for another line, or there are more than there can be."""


def lines_in(path: Path, largest: int) -> list[bytes]:
    """The lines that are not blank; none where there is no file. Raises OSError, and TooMany beyond `largest` bytes."""
    try:
        with path.open("rb") as file:
            raw = file.read(largest + 1)
    except FileNotFoundError:
        return []
    if len(raw) > largest:
        raise TooMany
    return [line for line in raw.splitlines() if line.strip()]


class LineFile:
    """`largest` in bytes. `folder` makes the folder what it must be before anything is written to it."""

    def __init__(
        self, path: Path, largest: int, clock: Clock | None = None, folder: Callable[[Path], Path] = private_folder
    ) -> None:
        self.path = path
        self._largest = largest
        self._clock = clock or SystemClock()
        self._folder = folder
        self._mark: object = None
        self._next = float("-inf")

    def changed(self) -> bool:
        """Whether it is another file than at the last look, the first look included; looks twice a second. Never raises."""
        moment = self._clock.monotonic()
        if moment < self._next:
            return False
        self._next = moment + LOOK_S
        before = self._mark
        try:
            status = os.stat(self.path)
            self._mark = (status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError as error:
            self._mark = error.errno
        return self._mark != before

    def read(self) -> list[bytes]:
        """As `lines_in`."""
        return lines_in(self.path, self._largest)

    def write(self, lines: list[bytes]) -> None:
        """Puts other lines in their place, whole or not at all; only within `locked`. Raises OSError, ConfigError."""
        write_private(self.path, b"".join(line + b"\n" for line in lines))
        self._next = float("-inf")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """One writer at a time, by a lock on the folder: the file itself is replaced by each. Raises OSError, ConfigError."""
        handle = os.open(self._folder(self.path.parent), os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
