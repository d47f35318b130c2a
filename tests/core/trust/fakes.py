"""A machine made of a folder: its commands are remembered, and some of them are acted out on its files."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tokenman_core.trust import Done, Machine


class Commands:
    """Runs `install` and `rm` really; everything else as `answers` says, which are functions by a command's first word."""

    def __init__(self, **answers) -> None:
        self.ran: list[tuple[str, ...]] = []
        self.answers = answers

    def __call__(self, command: Sequence[str]) -> Done:
        self.ran.append(tuple(command))
        name = command[0].replace("-", "_")
        if name in self.answers:
            return self.answers[name](command)
        if name in ("install", "rm"):
            done = subprocess.run(command, capture_output=True, text=True)
            return Done(done.returncode, done.stdout, done.stderr)
        return Done(127, error=f"{command[0]}: not found")


def machine(root: Path, commands: Commands, *, system="linux", privileged=True, tools=()) -> Machine:
    home = root / "home"
    home.mkdir(exist_ok=True)
    return Machine(system, root, home, privileged, commands, lambda name: f"/usr/bin/{name}" if name in tools else None)


def rebuilding(root: Path, folder: str, bundle: str):
    """What a system's refresh command does: all anchors into one file."""
    target = root / bundle.lstrip("/")

    def rebuild(command: Sequence[str]) -> Done:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(each.read_text() for each in sorted((root / folder.lstrip("/")).iterdir())))
        return Done(0)

    return rebuild


class Nssdb:
    """`certutil` of NSS over one database: names to PEM."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}

    def __call__(self, command: Sequence[str]) -> Done:
        name = command[command.index("-n") + 1]
        if "-A" in command:
            self.held[name] = Path(command[command.index("-i") + 1]).read_text()
        elif name not in self.held:
            return Done(255, error="certutil: Could not find cert: tokenman")
        elif "-D" in command:
            del self.held[name]
        return Done(0, self.held.get(name, ""))


def debian(root: Path) -> Machine:
    """A Debian of its own below `root`, with the real update-ca-certificates of this machine."""
    local, etc, hooks = (root / name for name in ("usr/local/share/ca-certificates", "etc/ssl/certs", "hooks"))
    for folder in (local, etc, hooks):
        folder.mkdir(parents=True, exist_ok=True)

    def update(command: Sequence[str]) -> Done:
        program = shutil.which(command[0]) or f"/usr/sbin/{command[0]}"
        places = ("--localcertsdir", str(local), "--etccertsdir", str(etc), "--hooksdir", str(hooks))
        done = subprocess.run([program, *command[1:], *places], capture_output=True, text=True)
        return Done(done.returncode, done.stdout, done.stderr)

    return machine(root, Commands(update_ca_certificates=update), tools=("update-ca-certificates",))
