"""The last line of the terminal while TokenMan runs: what runs now, and what it came to. The log goes on above it."""

import os
import threading
import time
from contextlib import suppress
from typing import TextIO

from addons.cli import figures
from tokenman_core.telemetry.tally import Tallies

TICK_S = 0.25  # it is painted at most so often
_ERASE = "\r\x1b[2K"
_NARROWEST = 20  # columns; below, or where nobody can tell, it is written for so many


def line(tallies: Tallies, seconds: float, width: int) -> str:
    """At most `width` columns, all characters one column wide: what matters least goes first."""
    total = tallies.total
    parts = [  # (rank, text): the higher the rank, the sooner it goes
        (0, f"{tallies.active} active"),
        (1, f"{total.calls} call{'' if total.calls == 1 else 's'}"),
        (3, f"{total.masked} masked"),
        (5, f"{figures.count(total.input + total.output)} tokens"),
        (
            2,
            ("≤" if total.ceiling else "")
            + figures.money(total.cost)
            + (f" + {total.unpriced} unpriced" if total.unpriced else ""),
        ),
        (4, f"{total.errors} error{'' if total.errors == 1 else 's'}"),
        *([(4, f"{refused} refused by the provider")] if (refused := sum(total.refused.values())) else []),
        (6, f"up {figures.span(seconds)}"),
    ]
    while parts and len(shown := " | ".join(text for _, text in parts)) > width:
        parts.remove(max(parts))
    return shown if parts else ""


def fits(terminal: TextIO) -> bool:
    """Whether there is a terminal that can erase a line."""
    return terminal.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class StatusLine:
    """A terminal whose last line stays. What is written to it in whole lines appears above.

    Painted on a thread of its own: a terminal that is held with Ctrl-S makes nobody wait for it but the log.
    """

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._lock = threading.RLock()
        self._text = ""
        self._painted = False
        self._open = False  # what was written last did not end its line
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, tallies: Tallies) -> None:
        begun = time.monotonic()

        def tick() -> None:
            while not self._over.wait(TICK_S):
                self.show(line(tallies, time.monotonic() - begun, self.width()))

        self._thread = threading.Thread(target=tick, name="status line", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Erases it. What is written afterwards goes straight to the terminal. Twice is as good as once."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(1)
        self.show("")

    def width(self) -> int:
        """One column less than there are: a full line would wrap."""
        with suppress(OSError, ValueError, AttributeError):
            return max(os.get_terminal_size(self._terminal.fileno()).columns - 1, 0) or _NARROWEST
        return _NARROWEST

    def show(self, text: str) -> None:
        with self._lock, suppress(OSError, ValueError):  # a terminal that was closed takes nothing with it
            if text != self._text:
                self._text = text
                self._terminal.write(self._erased() + self._paint())
                self._terminal.flush()

    def _erased(self) -> str:
        was, self._painted = self._painted, False
        return _ERASE if was else ""

    def _paint(self) -> str:
        if not self._text or self._open:
            return ""
        self._painted = True
        return self._text

    # -- as a stream, for the log --

    def write(self, text: str) -> int:
        with self._lock:
            erased, self._open = self._erased(), not text.endswith("\n")
            self._terminal.write(erased + text + self._paint())
        return len(text)

    def flush(self) -> None:
        self._terminal.flush()

    def isatty(self) -> bool:
        return self._terminal.isatty()
