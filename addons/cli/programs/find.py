"""Tells which program a command line runs, through links, launchers and the endings of other systems."""

import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from addons.cli.programs.table import PROGRAMS, Program


@dataclass(frozen=True)
class Found:
    """`at` is where in the command the program's own word stands: what is inserted for it stands behind."""

    program: Program
    at: int


@dataclass(frozen=True)
class Launcher:
    """A command that runs another one: which first words make it do so ((): always), and which options take a value."""

    words: tuple[tuple[str, ...], ...] = ((),)
    valued: frozenset[str] = frozenset()


_NPM = frozenset({"-p", "--package", "-w", "--workspace", "--prefix", "--registry"})
_UV = frozenset(
    {"--from", "--with", "-p", "--python", "--index", "--with-editable", "--with-requirements", "-w", "--env-file"}
)
_NODE = frozenset({"-r", "--require", "--import", "--env-file", "--loader"})
LAUNCHERS = {
    "npx": Launcher(valued=_NPM),
    "npm": Launcher((("exec",), ("x",)), _NPM),
    "pnpm": Launcher((("dlx",), ("exec",)), _NPM),
    "pnpx": Launcher(valued=_NPM),
    "yarn": Launcher((("dlx",), ("exec",)), _NPM),
    "bunx": Launcher(valued=_NPM),
    "bun": Launcher((("x",), ("run",), ())),
    "deno": Launcher((("run",),)),
    "node": Launcher(valued=_NODE),
    "uvx": Launcher(valued=_UV),
    "uv": Launcher((("tool", "run"), ("run",)), _UV),
    "pipx": Launcher((("run",),), frozenset({"--spec", "--python"})),
    "env": Launcher(valued=frozenset({"-u", "--unset", "-C", "--chdir"})),
    "nice": Launcher(valued=frozenset({"-n", "--adjustment"})),
    "nohup": Launcher(),
    "time": Launcher(),
    "stdbuf": Launcher(),
    "setsid": Launcher(),
    "caffeinate": Launcher(valued=frozenset({"-t", "-w"})),
}  # fmt: skip

_ENDINGS = re.compile(r"\.(cmd|exe|bat|ps1|com)$")
_VERSION = re.compile(r"(?<=.)@[^/]*$")  # of a package: codex@latest, @openai/codex@0.50
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_ODD = re.compile(r"[^\w.+-]+", re.ASCII)


def find(command: Sequence[str], which: Callable[[str], str | None] = shutil.which) -> Found:
    """A program that is not in the table has a row with its name alone."""
    at = 0
    while (launcher := LAUNCHERS.get(_name(command[at]))) and (inner := _inner(command, at, launcher)) is not None:
        at = inner
    word = command[at]
    program = (
        _of_name(word) or _of_path(word, which) or Program(_ODD.sub("-", _name(word))[:60].strip("-") or "program")
    )
    return Found(program, at)


def _name(word: str) -> str:
    return _ENDINGS.sub("", word.replace("\\", "/").rpartition("/")[2].lower())


def _inner(command: Sequence[str], at: int, launcher: Launcher) -> int | None:
    """Where the command stands that a launcher runs; None if it runs none."""
    words = next((words for words in launcher.words if tuple(command[at + 1 : at + 1 + len(words)]) == words), None)
    if words is None:
        return None
    at += 1 + len(words)
    while at < len(command):
        word = command[at]
        if word in launcher.valued:
            at += 2
        elif word.startswith("-") or _ASSIGNMENT.match(word):
            at += 1
        else:
            return at
    return None


def _of_name(word: str) -> Program | None:
    package = _VERSION.sub("", word)
    return next((it for it in PROGRAMS if package in it.packages or _VERSION.sub("", _name(word)) in it.names), None)


def _of_path(word: str, which: Callable[[str], str | None]) -> Program | None:
    """By what a link leads to: an alias of the user's, or a script inside of its package."""
    path = which(word) or word
    real = os.path.realpath(path)
    for program in PROGRAMS:
        if _name(real) in program.names or any(f"/{package}/" in real for package in program.packages):
            return program
    return None
