"""A program in the foreground: its exit code, its signals, its terminal, its jobs."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from addons.cli import foreground

ROOT = Path(__file__).resolve().parents[3]
RUN = (
    "import sys\n"
    "from addons.cli import foreground\n"
    "import os\n"
    "try: code = foreground.run(sys.argv[1:], os.environ)\n"
    "except foreground.NotStarted as error: print(error, file=sys.stderr); code = error.code\n"
    "print('over', code, flush=True)\n"
    "sys.exit(code)\n"
)
"""A process that runs a program as `tokenman run` does."""

TELLS = (
    "import os, signal, sys\n"
    "def told(number, frame):\n"
    "    print('got', signal.Signals(number).name, flush=True)\n"
    "    sys.exit(9)\n"
    "for name in sys.argv[1:]: signal.signal(getattr(signal, name), told)\n"
    "print('ready', os.getpid(), flush=True)\n"
    "while True: signal.pause()\n"
)
"""A program that says which signal it got, and ends with 9."""


def wrapped(*command: str) -> list[str]:
    return [sys.executable, "-c", RUN, *command]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_its_streams_and_its_exit_code_are_its_own() -> None:
    script = "import sys; sys.stdout.write(sys.stdin.read().upper()); print('err', file=sys.stderr); sys.exit(7)"
    done = subprocess.run(
        wrapped(sys.executable, "-c", script), input="in", capture_output=True, text=True, env=environment(), check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "INover 7\n", "err\n")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGINT"])
def test_a_program_that_a_signal_ended_is_128_and_its_number(name: str) -> None:
    script = f"import os, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); os.kill(os.getpid(), signal.{name})"
    assert foreground.run([sys.executable, "-c", script], os.environ) == 128 + getattr(signal, name)


def test_a_program_that_is_not_there_is_127_and_one_that_cannot_be_run_126(tmp_path: Path) -> None:
    with pytest.raises(foreground.NotStarted, match="not found") as found:
        foreground.run([str(tmp_path / "none")], os.environ)
    assert found.value.code == 127
    (tmp_path / "plain").write_text("no program")
    with pytest.raises(foreground.NotStarted, match="cannot be run") as found:
        foreground.run([str(tmp_path / "plain")], os.environ)
    assert found.value.code == 126


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_signals_that_only_we_were_sent_are_passed_on(name: str) -> None:
    process = subprocess.Popen(
        wrapped(sys.executable, "-c", TELLS, name), stdout=subprocess.PIPE, text=True, env=environment()
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("ready")
    process.send_signal(getattr(signal, name))
    assert process.communicate(timeout=30)[0] == f"got {name}\nover 9\n"
    assert process.returncode == 9


@pytest.mark.parametrize("name", ["SIGINT", "SIGQUIT"])
def test_the_keys_of_the_terminal_are_the_programs_affair(name: str) -> None:
    """Sent to us alone they do nothing; to the group, as a terminal does, they reach it once."""
    process = subprocess.Popen(
        wrapped(sys.executable, "-c", TELLS, name), stdout=subprocess.PIPE, text=True, env=environment(),
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    child = int(process.stdout.readline().split()[1])
    process.send_signal(getattr(signal, name))
    assert not select.select([process.stdout], [], [], 0.2)[0]
    assert process.poll() is None
    os.killpg(os.getpgid(child), getattr(signal, name))
    assert process.communicate(timeout=30)[0] == f"got {name}\nover 9\n"


def test_what_was_ignored_stays_ignored() -> None:
    """As under nohup."""
    script = "import signal; print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    done = subprocess.run(
        ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *wrapped(sys.executable, "-c", script)],
        capture_output=True, text=True, env=environment(), check=True,
    )  # fmt: skip
    assert done.stdout == "True True\nover 0\n"


def test_the_handlers_of_before_are_back_afterwards() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTSTP, signal.SIGCONT)}
    assert foreground.run(["true"], os.environ) == 0
    assert {number: signal.getsignal(number) for number in before} == before


# -- in a terminal --


class Terminal:
    """The master's side of a pseudo-terminal."""

    def __init__(self, master: int) -> None:
        self._master, self.seen = master, b""

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def until(self, text: bytes) -> None:
        deadline = time.monotonic() + 30
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, self.seen
            if select.select([self._master], [], [], left)[0]:
                try:
                    self.seen += os.read(self._master, 4096)
                except OSError:  # Linux: the other side is closed
                    assert text in self.seen, self.seen
                    return
        self.seen = self.seen.partition(text)[2]


@contextmanager
def terminal(*command: str) -> Iterator[tuple[Terminal, int]]:
    """The command as the leader of a session of its own with a terminal; its process id."""
    pid, master = pty.fork()
    if pid == 0:
        os.execve(command[0], command, environment())
    try:
        yield Terminal(master), pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(master)


def test_the_terminal_is_the_programs() -> None:
    script = (
        "import os, sys\n"
        "print('tty', sys.stdin.isatty(), os.tcgetpgrp(0) == os.getpgrp(), os.getpgrp() == os.getpgid(os.getppid()))\n"
        "print('line', input())\n"
    )
    with terminal(*wrapped(sys.executable, "-c", script)) as (screen, _):
        screen.until(b"tty True True True")
        screen.type(b"typed\n")
        screen.until(b"line typed")
        screen.until(b"over 0")


def test_control_c_is_for_the_program() -> None:
    with terminal(*wrapped(sys.executable, "-c", TELLS, "SIGINT")) as (screen, _):
        screen.until(b"ready")
        screen.type(b"\x03")
        screen.until(b"got SIGINT")
        screen.until(b"over 9")


SHELL = (
    "import os, signal, subprocess, sys\n"
    "signal.signal(signal.SIGTTOU, signal.SIG_IGN)\n"
    "job = subprocess.Popen(sys.argv[1:], process_group=0)\n"
    "os.tcsetpgrp(0, job.pid)\n"
    "while True:\n"
    "    _, status = os.waitpid(job.pid, os.WUNTRACED)\n"
    "    os.tcsetpgrp(0, os.getpgrp())\n"
    "    if not os.WIFSTOPPED(status): break\n"
    "    print('stopped', flush=True)\n"
    "    sys.stdin.readline()\n"
    "    os.tcsetpgrp(0, job.pid)\n"
    "    os.killpg(job.pid, signal.SIGCONT)\n"
    "print('job ended with', os.waitstatus_to_exitcode(status), flush=True)\n"
)
"""What a shell does with a job in its foreground; a line that is typed while it is stopped is `fg`."""

LINES = "print('ready', flush=True)\nwhile (line := input()) != 'end': print('line', line, flush=True)\nraise SystemExit(5)\n"

STOPS = (
    "import os, signal\n"
    "print('ready', flush=True)\n"
    "input(); os.kill(os.getpid(), signal.SIGSTOP)\n"
    "print('line', input(), flush=True)\n"
    "raise SystemExit(5)\n"
)
"""A full-screen program that stops itself alone, as those do that read Ctrl-Z as a key."""


@pytest.mark.parametrize(("script", "stop"), [(LINES, b"\x1a"), (STOPS, b"\n")], ids=["ctrl-z", "by-itself"])
def test_a_stopped_program_gives_the_shell_back_and_fg_continues_it(script: str, stop: bytes) -> None:
    with terminal(sys.executable, "-c", SHELL, *wrapped(sys.executable, "-c", script)) as (screen, _):
        screen.until(b"ready")
        screen.type(stop)
        screen.until(b"stopped")
        screen.type(b"fg\n")
        screen.type(b"one\n")
        screen.until(b"line one")
        if script is LINES:
            screen.type(stop)
            screen.until(b"stopped")
            screen.type(b"fg\n")
            screen.type(b"end\n")
        screen.until(b"over 5")
        screen.until(b"job ended with 5")


def test_where_no_shell_watches_a_stopped_program_can_still_be_continued() -> None:
    with terminal(*wrapped(sys.executable, "-c", STOPS)) as (screen, pid):
        screen.until(b"ready")
        screen.type(b"\n")
        child = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        deadline = time.monotonic() + 30
        while f"State:\tT" not in Path(f"/proc/{child}/status").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(pid, signal.SIGCONT)  # to us, who pass it on
        screen.type(b"more\n")
        screen.until(b"line more")
        screen.until(b"over 5")
