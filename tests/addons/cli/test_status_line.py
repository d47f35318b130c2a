import io
import logging
import os
import pty
import re
import threading
from decimal import Decimal

import pytest

from addons.cli import status_line
from addons.cli.status_line import StatusLine, fits, line
from tokenman_core.config.models import Log
from tokenman_core.telemetry import log
from tokenman_core.telemetry.tally import Tallies, Tally


def tallies(active=2, **sums):
    made = Tallies(lambda: active)
    made.total = Tally(**sums)
    return made


def seen(stream: str) -> list[str]:
    """The lines that a terminal shows after all this."""
    lines = [""]
    for part in re.split(r"(\n|\r\x1b\[2K)", stream):
        if part == "\n":
            lines.append("")
        elif part == "\r\x1b[2K":
            lines[-1] = ""
        else:
            lines[-1] += part
    return lines


BUSY = tallies(calls=14, masked=9, input=12000, output=345, cost=Decimal("0.0421"), errors=1)


def test_it_says_what_runs_and_what_it_came_to():
    assert line(BUSY, 192, 100) == "2 active | 14 calls | 9 masked | 12.3k tokens | $0.0421 | 1 error | up 3m12s"
    assert line(tallies(0), 0, 100) == "0 active | 0 calls | 0 masked | 0 tokens | $0.00 | 0 errors | up 0s"


def test_calls_without_a_price_are_not_taken_for_free():
    assert "$0.00 + 3 unpriced" in line(tallies(calls=3, unpriced=3), 0, 100)


def test_what_the_provider_refused_and_a_guessed_price_are_said():
    shown = line(tallies(calls=7, refused={401: 5, 429: 1}, ceiling=1, cost=Decimal("0.5")), 0, 200)
    assert "≤$0.5000 | 0 errors | 6 refused by the provider | " in shown


@pytest.mark.parametrize("width", range(101))
def test_it_is_never_wider_than_the_terminal_and_ends_with_whole_words(width):
    shown = line(BUSY, 192, width)
    assert len(shown) <= width
    assert set(shown.split(" | ")) - {""} <= set(line(BUSY, 192, 1000).split(" | "))
    if width >= 8:
        assert shown.startswith("2 active")


def test_what_is_written_appears_above_it_unharmed():
    terminal = io.StringIO()
    status = StatusLine(terminal)
    status.write("one\n")
    status.show("12 calls")
    status.write("two\n")
    status.write("three\nfour\n")
    assert seen(terminal.getvalue()) == ["one", "two", "three", "four", "12 calls"]
    status.show("13 calls")
    assert seen(terminal.getvalue())[-1] == "13 calls"


def test_it_does_not_stand_behind_half_a_line():
    terminal = io.StringIO()
    status = StatusLine(terminal)
    status.show("12 calls")
    status.write("half ")
    status.show("13 calls")
    assert seen(terminal.getvalue()) == ["half "]
    status.write("whole\n")
    assert seen(terminal.getvalue()) == ["half whole", "13 calls"]


def test_it_is_painted_only_when_it_changes():
    terminal = io.StringIO()
    status = StatusLine(terminal)
    status.show("12 calls")
    painted = terminal.getvalue()
    status.show("12 calls")
    assert terminal.getvalue() == painted


def test_it_leaves_nothing_behind():
    terminal = io.StringIO()
    status = StatusLine(terminal)
    status.show("12 calls")
    status.close()
    status.close()
    assert seen(terminal.getvalue()) == [""]
    status.write("after\n")
    assert seen(terminal.getvalue()) == ["after", ""]


def test_it_is_kept_up_by_a_thread_that_ends_with_it(monkeypatch):
    monkeypatch.setattr(status_line, "TICK_S", 0.001)
    painted = threading.Event()

    class Terminal(io.StringIO):
        def write(self, text):
            if "14 calls" in text:
                painted.set()
            return super().write(text)

    status = StatusLine(Terminal())
    status.start(BUSY)
    assert painted.wait(10)
    status.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "status line"]


def test_a_terminal_that_was_closed_takes_nothing_with_it():
    terminal = io.StringIO()
    status = StatusLine(terminal)
    status.show("12 calls")
    terminal.close()
    status.show("13 calls")
    status.close()


def test_only_a_terminal_that_can_erase_a_line_has_one(monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours, "rb"):
        monkeypatch.setenv("TERM", "xterm")
        assert fits(terminal)
        assert not fits(io.StringIO())
        assert StatusLine(terminal).width() > 0
        for dumb in ("dumb", None):
            monkeypatch.setenv("TERM", dumb) if dumb else monkeypatch.delenv("TERM")
            assert not fits(terminal)


def test_the_log_writes_through_it():
    root, factory = logging.getLogger(), logging.getLogRecordFactory()
    terminal = io.StringIO()
    status = StatusLine(terminal)
    log.setup(Log(), stream=status)
    try:
        status.show("12 calls")
        logging.getLogger("x").warning("a line")
        shown = seen(terminal.getvalue())
        assert shown[0].endswith("warning x: a line")
        assert shown[1:] == ["12 calls"]
    finally:
        for handler in [handler for handler in root.handlers if getattr(handler, "tokenman", False)]:
            root.removeHandler(handler)
        logging.setLogRecordFactory(factory)
        logging.captureWarnings(False)
