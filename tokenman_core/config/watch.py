"""Tells when files have changed, by what the file system says of them: whoever saves them, and in whatever way, is seen.

A save is seen once two looks in a row find the same, so that a file is not read while an editor is still at it. A file
that another one takes the place of again and again is read all the same: each of them was whole. Only the files
themselves are looked at, so an editor's own files beside them mean nothing; links are followed, as secrets that are mounted into
a container are changed by turning a link.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

Mark = tuple[int, ...]
MOST_REPLACED = 3  # looks in a row, each of which found another file; then it is read, for it may go on so for ever


class Watch:
    """`look` from time to time. What was there at the beginning is no change."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._seen = _marks(paths)
        self._last = self._seen
        self._replaced = 0

    @property
    def paths(self) -> frozenset[Path]:
        return frozenset(self._seen)

    def turn_to(self, paths: Iterable[Path]) -> None:
        """Other files from now on. What is known of those that stay stays known."""
        found = _marks(paths)
        self._seen = self._last = {path: self._seen.get(path, mark) for path, mark in found.items()}

    def look(self) -> bool:
        """Whether something is other than when this was last True, and has been so since the last look."""
        now = _marks(self._seen)
        quiet, replaced = now == self._last, _files(now) != _files(self._last)
        self._last, self._replaced = now, self._replaced + 1 if replaced else 0
        if now == self._seen or not (quiet or self._replaced >= MOST_REPLACED):
            return False
        self._seen, self._replaced = now, 0
        return True


def _marks(paths: Iterable[Path]) -> Mapping[Path, Mark]:
    return {path: _mark(path) for path in paths}


def _mark(path: Path) -> Mark:
    """Another one for every change that there can be, also for a file that comes or goes."""
    try:
        status = os.stat(path)
    except OSError as error:
        return (error.errno or 0,)
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)


def _files(marks: Mapping[Path, Mark]) -> list[Mark]:
    return [mark[:2] for mark in marks.values()]
