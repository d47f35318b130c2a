import subprocess
import sys
import threading
import types
from typing import Any

import pytest

from addons.cli import stand_in
from addons.cli.instance_client import InstanceError, Stranger
from tests.e2e.harness import free_ports
from tokenman_core.config.values import Address


class Client:
    """In the place of one to a proxy that has died: proving it raises each of `found` in turn, then the last one for ever."""

    def __init__(self, port: int, *found: Exception | None) -> None:
        self.running = types.SimpleNamespace(proxy=Address("127.0.0.1", port))
        self.found, self.told = list(found), []

    def post(self, path: str, value: Any) -> None:
        self.told.append((path, value))
        raise InstanceError("gone", passing=True)

    def prove_proxy(self) -> None:
        if error := self.found.pop(0) if len(self.found) > 1 else self.found[0]:
            raise error


def watched(client: Client, *script: str) -> tuple[int, list[str]]:
    """The exit code of a program whose proxy has died, and what was said."""
    held = types.SimpleNamespace(ended=threading.Event())
    held.ended.set()
    said: list[str] = []
    watch = stand_in.Watch(held, client, "mark", "bot", said.append)  # type: ignore[arg-type]
    with subprocess.Popen([sys.executable, "-c", "\n".join(script)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        watch.start(process.pid)
        try:
            code = process.wait(30)
        finally:
            process.kill()
            watch.close()
    return code, said


SLEEPS = ("import time; print('ready', flush=True); time.sleep(99)",)
STUBBORN = ("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)", *SLEEPS)


@pytest.fixture
def taken():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_one_that_does_not_want_to_end_is_killed(taken, monkeypatch):
    monkeypatch.setattr(stand_in, "KILL_S", 0.2)
    client = Client(taken, Stranger("no"))
    code, said = watched(client, *STUBBORN)
    assert code == -9
    assert said == [
        "the proxy has ended under bot: its calls are refused from now on; end it and run it anew",
        f"127.0.0.1:{taken} is another program's now: bot is ended, before its calls go there",
    ]
    assert [path for path, _ in client.told] == ["/api/runs/mark"]


def test_a_port_that_nobody_answers_at_and_that_cannot_be_had_ends_it_too(taken, monkeypatch):
    monkeypatch.setattr(stand_in, "GIVE_UP_S", 0.1)
    code, said = watched(Client(taken, InstanceError("nothing answers")), *SLEEPS)
    assert code == -15
    assert "cannot be had" in said[1]


def test_a_proxy_that_takes_its_time_to_end_is_waited_for(taken, monkeypatch):
    monkeypatch.setattr(stand_in, "GIVE_UP_S", 0.1)
    client = Client(taken, *[None] * 20, InstanceError("closing"), Stranger("no"))
    code, said = watched(client, *SLEEPS)
    assert (code, len(client.found)) == (-15, 1)
    assert "is another program's" in said[1]


def test_nothing_is_said_or_done_after_the_programs_end():
    held = types.SimpleNamespace(ended=threading.Event())
    said: list[str] = []
    watch = stand_in.Watch(held, Client(free_ports(1)[0], None), "mark", "bot", said.append)  # type: ignore[arg-type]
    watch.start(2**30)  # nobody's
    watch.close()
    held.ended.set()
    assert watch._thread is not None
    watch._thread.join(10)
    assert not watch._thread.is_alive()
    assert not said
