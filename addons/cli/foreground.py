"""Runs a program in the foreground as if it had been started alone: its terminal, its signals, its exit code."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType

NOT_FOUND = 127
NOT_EXECUTABLE = 126
BY_SIGNAL = 128

# The terminal sends these to the program too, which is in the same process group: what they mean is for it to say.
_LEFT = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
# These come from somebody who knows our process alone.
_PASSED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)


class NotStarted(Exception):
    """The program cannot be run. `code` is what a shell would say: 127 not found, 126 not executable."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def run(command: Sequence[str], environ: Mapping[str, str], started: Callable[[int], None] = lambda pid: None) -> int:
    """Blocks until the program has ended. Its exit code, or 128 and the number of the signal that ended it.

    `started` is told the program's process. Raises NotStarted.
    """
    child: list[int] = []
    early: list[int] = []

    def leave(number: int, frame: FrameType | None) -> None:
        """A handler, and not SIG_IGN, which the program would inherit."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        if not child:
            early.append(number)
            return
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(child[0], number)

    with _handled({**dict.fromkeys(_LEFT, leave), **dict.fromkeys(_PASSED, pass_on)}):
        process = _start(command, environ)
        child.append(process.pid)
        started(process.pid)
        for number in early:
            pass_on(number, None)
        process.returncode = _wait(process.pid)
    return process.returncode


def _start(command: Sequence[str], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, env=environ)
    except FileNotFoundError:
        raise NotStarted(NOT_FOUND, f"{command[0]}: not found") from None
    except OSError as error:
        raise NotStarted(NOT_EXECUTABLE, f"{command[0]}: cannot be run: {error.strerror}") from None


def _wait(pid: int) -> int:
    while True:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else BY_SIGNAL - code
        _stop()


def _stop() -> None:
    """The program has been stopped, so we stop too, and the shell shows its prompt; `fg` continues both of us.

    Where no shell watches the job the kernel takes no notice of this, which is right: nobody would continue us.
    """
    before = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, before)


@contextlib.contextmanager
def _handled(handlers: Mapping[signal.Signals, "signal._HANDLER"]) -> Iterator[None]:
    """What was ignored when we were started (as by nohup) stays ignored, for the program too."""
    before = {
        number: signal.signal(number, handler)
        for number, handler in handlers.items()
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
