"""Which files a scan reads, and how: every text in the folders it is given, but for what tools keep there for themselves."""

import fnmatch
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tokenman_core.body.encoded import codec_of, readable
from tokenman_core.body.media import media_of

TOOLS_OWN: Final = frozenset({
    ".git", ".hg", ".svn", ".jj", "node_modules", ".venv", "venv", "__pycache__", ".tox", ".nox", ".mypy_cache",
    ".ruff_cache", ".pytest_cache", ".gradle", ".terraform", ".next", ".cache",
})  # fmt: skip
"""Folders that are not gone into unless they are named themselves, or all are asked for."""

LARGEST: Final = 256 * 1024 * 1024  # bytes; a file is read whole


@dataclass(frozen=True)
class Skipped:
    """A file that was not judged. `trouble`: it should have been."""

    path: str
    reason: str
    trouble: bool = False


@dataclass(frozen=True)
class Read:
    path: str
    text: str


def found(paths: Sequence[Path], exclude: Sequence[str], everything: bool) -> Iterator[Path]:
    """The files, each once, in the order of the paths given and of names within them. Links are not followed within folders."""
    seen: set[Path] = set()
    for path in paths:
        for each in _below(path, exclude, everything) if path.is_dir() else [path]:
            if each not in seen:
                seen.add(each)
                yield each


def _below(folder: Path, exclude: Sequence[str], everything: bool) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if (everything or name not in TOOLS_OWN) and not _excluded(Path(where, name), folder, exclude)
        )
        for name in sorted(names):
            path = Path(where, name)
            if not (path.is_symlink() or _excluded(path, folder, exclude)) and path.is_file():
                yield path


def _excluded(path: Path, folder: Path, patterns: Sequence[str]) -> bool:
    """By its name, or by its path below the folder that was given."""
    below = path.relative_to(folder).as_posix()
    return any(fnmatch.fnmatchcase(path.name, each) or fnmatch.fnmatchcase(below, each) for each in patterns)


def read(path: Path) -> Read | Skipped:
    """The text of a file, in whatever encoding."""
    name = str(path)
    try:
        if path.stat().st_size > LARGEST:
            return Skipped(name, f"larger than {LARGEST // 1024**2} MiB", trouble=True)
        data = path.read_bytes()
    except OSError as error:
        return Skipped(name, (error.strerror or "cannot be read").lower(), trouble=True)
    return decoded(name, data)


def decoded(name: str, data: bytes) -> Read | Skipped:
    if media_of(data):
        return Skipped(name, media_of(data))
    if (text := readable(data)) is not None:
        return Read(name, text.removeprefix("\ufeff"))
    if (codec := codec_of(data)) is not None:
        return Read(name, data.decode(codec).removeprefix("\ufeff"))
    return Skipped(name, "binary")
