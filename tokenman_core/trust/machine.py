"""What a trust store needs to know of the machine it is on, and the one way in which commands are run there."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

System = Literal["linux", "darwin", "windows"]
_LONGEST_S = 120.0  # rebuilding a store takes seconds, a password that a keychain asks for longer


@dataclass(frozen=True)
class Done:
    """A command that has ended. `code` is 127 where there is no such command, 124 where it took too long."""

    code: int
    out: str = ""
    error: str = ""


Runner = Callable[[Sequence[str]], Done]


@dataclass(frozen=True)
class Machine:
    """`root` is where its files begin; `privileged`: whether they may be changed from here."""

    system: System
    root: Path
    home: Path
    privileged: bool
    run: Runner
    which: Callable[[str], str | None]

    def path(self, absolute: str) -> Path:
        return self.root / absolute.lstrip("/")


def here() -> Machine:
    """This machine."""
    system: System = "windows" if os.name == "nt" else "darwin" if sys.platform == "darwin" else "linux"
    privileged = os.name != "nt" and os.geteuid() == 0
    return Machine(system, Path("/"), Path.home(), privileged, _run, _which)


def _which(name: str) -> str | None:
    # Of a user who is not root the search path often lacks the folders where these tools are.
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def _run(command: Sequence[str]) -> Done:
    program = _which(command[0])
    if program is None:
        return Done(127, error=f"{command[0]}: not found")
    try:
        done = subprocess.run(
            [program, *command[1:]], capture_output=True, text=True, errors="replace", timeout=_LONGEST_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Done(124, error=f"{command[0]}: not done within {_LONGEST_S:g} s")
    except OSError as error:
        return Done(126, error=f"{command[0]}: {error.strerror}")
    return Done(done.returncode, done.stdout, done.stderr)
