"""`tokenman run -- CMD`: a program whose calls to models pass here, and one line about them when it has ended."""

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from addons.cli import foreground, run_proxy, run_sums
from addons.cli.instance_client import Client, Held, InstanceError, connect
from addons.cli.programs import environment, leads
from addons.cli.programs.environment import Place
from addons.cli.programs.find import Found, find
from addons.cli.programs.table import Via
from addons.cli.settings import complain, loaded
from addons.cli.stand_in import Watch
from tokenman_core import ca, instance
from tokenman_core.config.models import Settings
from tokenman_core.errors import ConfigError

FAILED, BAD_CONFIGURATION, CANNOT_LISTEN = 1, 2, 3
_AGAIN_S = 0.1
_START_AGAIN_S = 2.0
_BUSY = (
    "tokenman runs, but does not answer: it is stopped, or others have all of its admin port's connections; "
    "end those, or it: {}"
)


class NoProxy(Exception):
    """There is none to run the program behind. `code` is the exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Session:
    """The proxy that the program will use, the mark of its calls, their virtual key ("" where none is needed), and the hold."""

    client: Client
    held: Held
    mark: str
    key: str
    ours: bool  # started for this run


def run(file: Path | None, via: Via | None, command: Sequence[str]) -> int:
    """Blocks until the program has ended; its exit code, 126 or 127 if it cannot be run, 2 and 3 if TokenMan cannot."""
    loads = loaded(file)
    if loads is None:
        return BAD_CONFIGURATION
    settings = loads.settings
    try:
        _check(command[0])
        found = find(command)
        with _session(file, settings, found.program.name) as session:
            return _run(found, via, command, settings, session)
    except foreground.NotStarted as error:
        _say(str(error))
        return error.code
    except NoProxy as error:
        for line in str(error).splitlines():
            _say(line)
        return error.code
    except ConfigError as error:
        complain(error)
        return BAD_CONFIGURATION
    except KeyboardInterrupt:  # before the program was there, to which the key would have gone
        return foreground.BY_SIGNAL + 2


def _run(found: Found, via: Via | None, command: Sequence[str], settings: Settings, session: Session) -> int:
    arguments = tuple(command[found.at + 1 :])
    authority = ca.ensure(settings.data_dir / "ca", settings.authority_hosts())
    place = Place(session.client.running.proxy, session.mark, session.key)
    try:
        prepared = environment.prepare(found.program, via, place, settings, authority, os.environ, arguments)
    except OSError as error:
        raise NoProxy(FAILED, f"{error.filename}: {error.strerror}") from None
    if session.ours and place.proxy != settings.listen:
        _say(f"{settings.listen} is another program's; this run's proxy is at {place.proxy}")
    if not session.ours and (parent := environment.parent_proxy(os.environ, place, settings)):
        _say(f"the running tokenman goes out as its own environment says, which may not be through {parent}")
    elsewhere = leads.warnings(found.program, via, place, settings, os.environ, Path(), arguments)
    for note in (*prepared.notes, *elsewhere):
        _say(note)
    words = [*command[: found.at + 1], *prepared.words, *arguments]
    watch = Watch(session.held, session.client, session.mark, found.program.name, _say)
    try:
        code = foreground.run(words, environment.child(os.environ, prepared), watch.start)
    finally:
        watch.close()
    _sum_up(found, via, arguments, session)
    return code


def _check(name: str) -> None:
    """Before anything is started. Raises NotStarted."""
    if shutil.which(name) is None:
        there = os.sep in name and os.path.exists(name)
        if there:
            raise foreground.NotStarted(foreground.NOT_EXECUTABLE, f"{name}: is no file that can be executed")
        raise foreground.NotStarted(foreground.NOT_FOUND, f"{name}: not found; is it installed, and in PATH?")


# -- the proxy --


@contextmanager
def _session(file: Path | None, settings: Settings, program: str) -> Iterator[Session]:
    """Raises NoProxy, ConfigError."""
    session = _join(file, settings, program)
    try:
        yield session
    finally:
        session.held.close()


def _join(file: Path | None, settings: Settings, program: str) -> Session:
    """Uses the proxy that runs, else starts one. Of two runs that start one at once, one finds the other's."""
    until = time.monotonic() + run_proxy.READY_S
    ours, why, start_at = False, "", 0.0
    told: list[str] = []
    while True:
        client = None
        try:
            client = connect(settings)
            if client is not None:
                client.prove_proxy()  # nothing is told to the program before
                held = client.hold("/api/runs", {"program": program})
                return Session(client, held, str(held.first["run"]), str(held.first.get("key", "")), ours)
        except InstanceError as error:
            if not error.passing:
                raise NoProxy(CANNOT_LISTEN, str(error)) from None
            why = str(error)
        if client is None and not ours and time.monotonic() >= start_at:
            started = _start(file, settings, told)
            if not started.failed:
                ours = True
                continue
            if not started.taken:
                raise NoProxy(started.code, started.failed)
            there = instance.running(settings.data_dir)
            why = _BUSY.format(there) if there else started.failed
            start_at = time.monotonic() + _START_AGAIN_S
        if time.monotonic() > until:
            raise NoProxy(
                CANNOT_LISTEN, why or f"the proxy does not answer; its log is {settings.data_dir / run_proxy.LOG}"
            )
        time.sleep(_AGAIN_S)  # another one is coming up or going down


def _start(file: Path | None, settings: Settings, told: list[str]) -> run_proxy.Started:
    """`told` has what was said of it before."""
    terminal = sys.stderr is not None and sys.stderr.isatty()

    def slow() -> None:
        if not told:
            told.append("starting…")
            if terminal:
                print("tokenman: starting…", end="", file=sys.stderr, flush=True)
            else:
                _say("starting…")

    try:
        return run_proxy.start(file, settings, slow)
    finally:
        if told and terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


# -- the end --


def _sum_up(found: Found, via: Via | None, arguments: tuple[str, ...], session: Session) -> None:
    try:
        sums = session.client.get(f"/api/runs/{session.mark}?settled")
    except InstanceError as error:
        _say(f"the calls cannot be summed up: {error}")
        return
    _say(run_sums.line(sums))
    for warning in run_sums.warnings(sums, found.program, via, arguments):
        _say(f"warning: {warning}")


def _say(text: str) -> None:
    if sys.stderr is None:  # closed by whoever started us: `print` would take standard output, which is the program's
        return
    try:
        print(f"tokenman: {text}", file=sys.stderr, flush=True)
    except (
        OSError
    ):  # full or gone: no reason to change how the program ends, as Python would, which tries once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
