"""A pseudo-terminal with one program in its foreground, as a person's window has it."""

import errno
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_ROWS, _COLUMNS = 50, 200
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, modes (ECMA-48)
    r"|\x1b[\]P_^X].*?(?:\x07|\x1b\\)"  # OSC, DCS, APC, PM, SOS with their texts
    r"|\x1b[ -/]*[0-~]",
    re.DOTALL,
)
# The first terminal that the leader of a session opens becomes its controlling one.
_LEAD = "import os, sys; os.setsid(); os.close(os.open(sys.argv[1], os.O_RDWR)); os.execvp(sys.argv[2], sys.argv[2:])"


@dataclass(frozen=True)
class Shown:
    """How a program ended, and what it wrote to its terminal, without the escapes."""

    code: int
    text: str

    @property
    def lines(self) -> list[str]:
        return [line.strip() for line in re.split(r"[\r\n]+", self.text) if line.strip()]


def show(command: Sequence[str], environment: Mapping[str, str], folder: Path, seconds: float) -> Shown:
    """Runs it to its end; AssertionError with what it showed where that takes longer than `seconds`."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-c", _LEAD, os.ttyname(theirs), *command],
            cwd=folder,
            env=dict(environment),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
    finally:
        os.close(theirs)
    said = bytearray()
    deadline = time.monotonic() + seconds
    try:
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([ours], [], [], left)[0]:
                continue
            try:
                piece = os.read(ours, 65536)
            except OSError as error:
                if error.errno != errno.EIO:  # Linux says so when the last process has closed its side
                    raise
                piece = b""
            if not piece:
                return Shown(process.wait(max(1.0, deadline - time.monotonic())), _plain(said))
            said += piece
    finally:
        os.close(ours)  # hangs up on whatever is left
        if process.poll() is None:
            process.kill()
            process.wait()
    raise AssertionError(f"{command} did not end within {seconds} s; it showed:\n{_plain(said)}")


def _plain(said: bytes | bytearray) -> str:
    return _ESCAPES.sub("", said.decode(errors="replace"))
