"""`tokenman demo`: a few calls through a real TokenMan to a built-in fake provider, and what became of them."""

import atexit
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from rich.console import Console

from addons.cli.instance_client import Client, InstanceError, connect
from addons.demo import show
from addons.demo.calls import Result, send
from addons.demo.provider import FakeProvider, Received
from addons.demo.provider.script import without_directives
from addons.demo.scenes import PLANTED, SCENES, Scene
from tokenman_core.config.load import load

CONFIGURATION = "tokenman.yaml"  # in the demo's folder
_LOOKS, _LOOK_S = 50, 0.1  # for the record of a call
_READY_S = 60.0  # a start takes about two seconds; the first one, beside others on a small machine, many more
_END_S = 5.0
_ROOT = Path(__file__).resolve().parents[2]


class NotStarted(Exception):
    """The demo's own proxy did not come up; the message is what it said last."""


def run(once: bool = False) -> int:
    """Shows the tour. On a terminal it then goes on running until Ctrl-C, unless `once`.

    The exit code: 0 fine, 1 if anything planted reached the provider or did not come back, or a call failed.
    """
    screen = show.console()
    stays = screen.is_terminal and not once
    provider = FakeProvider().start_in_thread()
    try:
        with (
            _sigterm_cleans_up(),
            tempfile.TemporaryDirectory(prefix="tokenman-demo-") as folder,
            running(Path(folder), provider.url) as (process, port),
        ):
            played = play(screen, port, provider)
            client = connect(load(Path(folder) / CONFIGURATION, _environment()).settings)
            if client is None:
                raise NotStarted("it does not answer on its admin port")
            played.faults += receipt(screen, client, played.ids)
            dashboard = f"http://{client.running.admin}/#code={client.post('/api/codes', {})['code']}" if stays else ""
            show.invitation(screen, port if stays else None, dashboard, Path(folder) / CONFIGURATION)
            if stays:
                with contextlib.suppress(KeyboardInterrupt):
                    process.wait()
        return 1 if played.faults else 0
    except NotStarted as error:
        print(f"tokenman: the demo's proxy did not start: {error}", file=sys.stderr)
        return 1
    except InstanceError as error:
        print(f"tokenman: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1  # before the tour was over
    finally:
        provider.stop()


@dataclass
class Played:
    """What went wrong, which should be nothing, and the request ids of the calls."""

    faults: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)


def play(screen: Console, port: int, provider: FakeProvider) -> Played:
    """Plays all scenes through the proxy at `port`."""
    played = Played()
    _warm_up(port)
    before = len(provider.received)
    for one in SCENES:
        try:
            result = _asked(port, one)
            asked = len(provider.received)
            again = _asked(port, one) if one.again else None
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            played.faults.append(f"{one.title}: the call failed ({error})")
            continue
        show.scene(screen, one, _arrived(provider), result, again)
        played.faults += _missed(one, result)
        played.ids.append(result.id)
        if again is not None:
            played.faults += _different(one, result, again, len(provider.received) - asked)
            played.ids.append(again.id)
    played.faults += [f"{value} reached the provider" for value in leaked(provider.received)]
    show.verdict(screen, played.faults, len(provider.received) - before)
    return played


def _asked(port: int, one: Scene) -> Result:
    """What is asked twice states that it wants the same answer each time."""
    more = {"temperature": 0} if one.again else {}
    return send(port, one.api, f"{one.text}\n{one.script}".strip(), one.stream, **more)


def receipt(
    screen: Console, client: Client, ids: Sequence[str], pause: Callable[[float], None] = time.sleep
) -> list[str]:
    """Shows what the records of the calls say; what is wrong with them. Records are written when their calls are over."""
    faults, rows = [], []
    for name in ids:
        for attempt in range(_LOOKS):
            try:
                rows.append(client.get(f"/api/requests/{name}"))
                break
            except InstanceError as error:
                if attempt == _LOOKS - 1:
                    faults.append(f"the record of {name} cannot be had: {error}")
                else:
                    pause(_LOOK_S)
    show.receipt(screen, rows)
    return faults


def _warm_up(port: int) -> None:
    """The first text waits for the detector to have been loaded, which is the start's time and not a call's."""
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError, KeyError):  # the scenes tell what is wrong
        send(port, "anthropic", "My address is warm.up@corp-mail.com, my card 4111 1111 1111 1111.", stream=False)


def leaked(received: Iterable[Received]) -> list[str]:
    """The planted values that stand in what arrived: in a body, as it came or decoded, or in a head."""
    seen = [part for one in received for part in (one.body, one.decoded, repr((one.target, one.headers)).encode())]
    return [value for value in PLANTED if any(value.encode() in part for part in seen)]


def _arrived(provider: FakeProvider) -> str:
    if not provider.received:
        return ""
    return without_directives(str(provider.received[-1].json["messages"][-1]["content"]))


def _missed(one: Scene, result: Result) -> list[str]:
    if result.status != 200:
        return [f"{one.title}: the answer has status {result.status}"]
    said = "\n".join([result.text, *(str(value) for _, call in result.tools for value in call.values())])
    lost = [f"{one.title}: {value} did not come back" for value in one.back if value not in said]
    return lost + [f"{one.title}: {value} was handed to a foreign host" for value in one.kept if value in said]


def _different(one: Scene, result: Result, again: Result, calls: int) -> list[str]:
    """What is wrong with an answer that should have come from the cache; `calls`: so often the provider was asked for it."""
    if (again.status, again.text, again.tools) != (result.status, result.text, result.tools):
        return [f"{one.title}: the second answer is another one"]
    return [f"{one.title}: the provider was asked twice"] if calls or again.cache != "hit" else []


@contextlib.contextmanager
def running(
    folder: Path, provider_url: str, patience: float = _READY_S, ends: float = _END_S
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A TokenMan as `tokenman up` starts it, with its files in `folder`; the process, and the port it listens at.

    It has `patience` seconds to be ready and `ends` to end. Raises NotStarted.
    """
    port, admin = _free_ports()
    document = {
        "listen": f"127.0.0.1:{port}",
        "data_dir": str(folder / "data"),
        "admin": {"listen": f"127.0.0.1:{admin}"},
        "providers": {
            "anthropic": {"base_url": provider_url},
            "openai": {"base_url": provider_url},
            "codex": {"base_url": f"{provider_url}/backend-api/codex"},
        },
        # Not sealed: its key would stay in the user's keyring when the folder is gone.
        "cache": {"mode": "deterministic", "encrypt": "off"},
    }
    configuration = folder / CONFIGURATION
    configuration.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "addons.cli.main", "up", "--config", str(configuration)],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )

    def end() -> None:
        process.kill()
        process.wait()

    atexit.register(end)  # where this runs on a thread that the end of our process does not wait for
    try:
        _await(process, admin, log, patience)
        yield process, port
    finally:
        process.terminate()
        try:
            process.wait(ends)
        except subprocess.TimeoutExpired:
            end()
        atexit.unregister(end)


def _environment() -> dict[str, str]:
    """The user's, without what would lead the demo's calls elsewhere: settings of TokenMan's and parent proxies."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("TOKENMAN_") and not k.lower().endswith("_proxy")}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), kept.get("PYTHONPATH"))))}


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def _await(process: subprocess.Popen[bytes], admin: int, log: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=1)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        finally:
            connection.close()
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise NotStarted(lines[-1] if lines else f"it was not ready within {patience:.0f} s")


@contextlib.contextmanager
def _sigterm_cleans_up() -> Iterator[None]:
    """Without this a SIGTERM would leave the child and the folder behind."""

    def leave(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
