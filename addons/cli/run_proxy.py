"""The proxy that `tokenman run` starts where none runs: in the background, and only for as long as a run uses it."""

import contextlib
import json
import os
import re
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from addons.cli.ports import free_port
from addons.cli.programs.environment import ADDED, REPLACED
from tokenman_core import background
from tokenman_core.clients.keys import PATTERN
from tokenman_core.config.models import Settings
from tokenman_core.config.values import Address
from tokenman_core.errors import ConfigError
from tokenman_core.instance import Taken
from tokenman_core.secret import own_folder

READY_S = 30.0  # a start takes about two seconds; beside others on a small machine longer
LOG = "run.log"
MOST_LOG = 4 << 20  # bytes, and as much again of what was before
LOOK_S = 30.0
_ROOT = Path(__file__).resolve().parents[2]
_OF_A_RUN = re.compile(rf":(?:run|{PATTERN})@127\.")
_PROXY_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")


@dataclass(frozen=True)
class Started:
    """How a start ended: ready where `failed` is "". `taken`: because another one runs, or is about to."""

    failed: str = ""
    code: int = 0
    taken: bool = False


# -- on the side of `tokenman run` --


def start(file: Path | None, settings: Settings, slow: Callable[[], None], after: float = 1.0) -> Started:
    """Starts one and waits until it serves or has failed; calls `slow` if that takes longer than `after` seconds.

    Raises ConfigError if the data folder cannot be used.
    """
    path = own_folder(settings.data_dir) / LOG
    receiver, sender = os.pipe()
    try:
        turn(path, (), MOST_LOG // 4)
        with os.fdopen(_open(path), "wb") as log:
            process = subprocess.Popen(
                # -P: a folder named `addons` where the user happens to stand is none of ours
                [sys.executable, "-P", "-m", "addons.cli.run_proxy", str(file.resolve()) if file else "", str(sender)],
                env=_environment(settings, os.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[sender],
                start_new_session=True,
            )
    except OSError as error:
        os.close(receiver)
        return Started(f"the proxy could not be started: {error.strerror}; its log would be {path}", 3)
    finally:
        os.close(sender)
    try:
        said = _read(receiver, slow, after)
    except BaseException:  # Ctrl-C, too, must leave no proxy behind
        process.terminate()
        raise
    finally:
        os.close(receiver)
    if said is None:
        process.terminate()
        return Started(f"the proxy was not ready within {READY_S:.0f} s; its log is {path}", 3)
    try:
        return Started(**json.loads(said))
    except (ValueError, TypeError):
        return Started(f"the proxy ended before it was ready; its log is {path}", 3)


def _read(receiver: int, slow: Callable[[], None], after: float) -> bytes | None:
    """The one line that the proxy says, or what it said until it ended; None: nothing in time."""
    if not select.select([receiver], [], [], after)[0]:
        slow()
        if not select.select([receiver], [], [], READY_S - after)[0]:
            return None
    return os.read(receiver, 1 << 16)  # one write of less than PIPE_BUF arrives whole


def _environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Ours, without what led this shell's programs to a TokenMan: the proxy itself goes straight out."""
    ours = [str(settings.data_dir / "ca" / name) for name in ("bundle.pem", "tokenman-ca.pem")]
    kept = dict(environ)
    for name in _PROXY_VARIABLES:
        address = kept.get(name, "").rpartition("@")[2].rpartition("/")[2]
        if address == str(settings.listen) or _OF_A_RUN.search(kept.get(name, "")):
            del kept[name]
    for name in (*REPLACED, *ADDED):
        if kept.get(name) in ours:
            del kept[name]
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), kept.get("PYTHONPATH"))))}


# -- in the process of the proxy --


def serve(file: Path | None, sender: int) -> int:
    """Runs until nobody uses it. The exit code is that of `tokenman up`; how the start went is said to `sender`."""
    from addons.cli import up
    from tokenman_core.config.load import load
    from tokenman_core.telemetry import log

    def say(said: Started) -> None:
        with contextlib.suppress(OSError):  # whoever started us has left: then we are not needed for long
            os.write(sender, json.dumps(vars(said)).encode()[:4000])
        os.close(sender)

    try:
        found = load(file, os.environ)
        if moved := _free_instead(found.settings):
            found = load(file, os.environ, overrides=moved)
        log.setup(found.settings.telemetry.log, log.secrets_of(found.settings))
        threading.Thread(target=_keep_small, args=(found.settings.data_dir / LOG,), daemon=True).start()
        return up.serve(found, lambda _: say(Started()), "run")
    except Taken as error:
        say(Started(str(error), up.CANNOT_LISTEN, taken=True))
        return up.CANNOT_LISTEN
    except ConfigError as error:
        say(Started(str(error), up.BAD_CONFIGURATION))
        return up.BAD_CONFIGURATION
    except OSError as error:
        say(Started(str(error), up.CANNOT_LISTEN))
        return up.CANNOT_LISTEN


def _free_instead(settings: Settings) -> dict[str, str]:
    """For each listener whose port somebody has: the same host with a port that is free."""
    wanted = {"listen": settings.listen, "admin.listen": settings.admin.listen}
    return {
        name: str(Address(it.host, free_port(Address(it.host, 0)))) for name, it in wanted.items() if not _is_free(it)
    }


def _is_free(address: Address) -> bool:
    try:
        free_port(address)
    except OSError:
        return False
    return True


def _keep_small(path: Path) -> None:
    stop, alive = threading.Event(), background.began("log", LOOK_S)
    while not stop.wait(LOOK_S):
        alive.ran()
        turn(path, (1, 2))


def turn(path: Path, descriptors: tuple[int, ...], most: int = MOST_LOG) -> None:
    """A log that has grown past `most` bytes becomes the old one; `descriptors`, which write to it, go on in a new one."""
    with contextlib.suppress(OSError):  # full or taken away: nothing that stops traffic
        if path.stat().st_size <= most:
            return
        path.replace(path.with_name(path.name + ".1"))
        fresh = _open(path)
        for descriptor in descriptors:
            os.dup2(fresh, descriptor)
        os.close(fresh)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


if __name__ == "__main__":
    sys.exit(serve(Path(sys.argv[1]) if sys.argv[1] else None, int(sys.argv[2])))
