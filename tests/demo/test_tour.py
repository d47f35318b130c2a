"""The tour shows the main job on real calls, cleans up after itself, and does not call a leak a success."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from rich.console import Console

from addons.cli.instance_client import InstanceError
from addons.demo import tour
from addons.demo.calls import Result
from addons.demo.provider import FakeProvider
from addons.demo.provider.script import PLACEHOLDER
from addons.demo.scenes import PLANTED, SCENES

COMMAND = [sys.executable, "-m", "addons.cli.main", "demo"]


def environment(folder: Path) -> dict[str, str]:
    """With a home of its own, and with settings of the user's that must not lead the demo astray."""
    return os.environ | {
        "HOME": str(folder), "TMPDIR": str(folder), "TOKENMAN_REDACTION__MODE": "off", "HTTP_PROXY": "http://127.0.0.1:1",
        "COLUMNS": "200", "TERM": "xterm",
    }  # fmt: skip


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], float, Path]:
    """A tour without a terminal, the seconds that it took, and the folder where it had its files."""
    folder, started = tmp_path_factory.mktemp("tour"), time.monotonic()
    ended = subprocess.run(COMMAND, capture_output=True, text=True, timeout=60, check=False, env=environment(folder))
    return ended, time.monotonic() - started, folder


def test_the_tour_ends_by_itself_and_shows_masking_and_restoring(
    toured: tuple[subprocess.CompletedProcess[str], float, Path],
) -> None:
    ended, seconds, folder = toured
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert seconds < 30
    assert all(one.title in ended.stdout for one in SCENES)
    assert all(value in ended.stdout for value in PLANTED if " " not in value)
    assert len(set(PLACEHOLDER.findall(ended.stdout))) == len(PLANTED)
    assert "export ANTHROPIC_BASE_URL=http://127.0.0.1:7677" in ended.stdout
    assert "tokenman run -- claude" in ended.stdout
    assert "#code=" not in ended.stdout, "nothing stays that it could open"
    assert not re.search(r"tokenman (report|why|tail)", ended.stdout), "nothing stays that they could read"
    assert f"({len(SCENES)} requests were looked through)" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr
    assert not list(folder.glob("tokenman-demo-*"))


def test_the_tour_ends_with_what_it_came_to_from_the_records_of_its_calls(
    toured: tuple[subprocess.CompletedProcess[str], float, Path],
) -> None:
    shown = toured[0].stdout
    row = r"200  (\w+)/\S+  [\d.k]+>\d+ tokens  <?\$(0\.\d+)(  from the cache)?  (\d) masked  \S+  req_\w{24}$"
    rows = re.findall(row, shown, re.MULTILINE)
    assert [provider for provider, *_ in rows] == [one.api for one in SCENES for _ in range(1 + one.again)], shown
    total = re.search(
        r"6 calls, (\d+) values masked, \$(0\.\d+) at the providers' list prices, \$(0\.\d+) saved by the cache", shown
    )
    assert total
    assert int(total[1]) == sum(int(masked) for *_, masked in rows) == 9
    assert 0 < float(total[2]) <= sum(float(cost) for _, cost, *_ in rows) + 0.0002
    *_, (_, cost, fresh, _), (_, free, cached, _) = rows
    assert (fresh, cached) == ("", "  from the cache")
    assert (float(cost), float(free)) == (float(total[3]), 0)


def test_what_is_asked_twice_is_answered_by_the_cache(
    toured: tuple[subprocess.CompletedProcess[str], float, Path],
) -> None:
    assert re.search(
        r"1 value masked, \d+ ms; asked again: \d+ ms, from the cache, and nothing was sent", toured[0].stdout
    )


def test_a_second_answer_that_was_paid_for_or_is_another_one_is_a_failure() -> None:
    scene = next(one for one in SCENES if one.again)
    first = Result(200, text="hello", cache="miss")
    assert tour._different(scene, first, replace(first, cache="hit"), 0) == []
    for again, calls in ((replace(first, cache="hit"), 1), (first, 0)):
        assert tour._different(scene, first, again, calls) == [f"{scene.title}: the provider was asked twice"]
    for again in (
        replace(first, text="goodbye", cache="hit"),
        replace(first, status=502),
        replace(first, tools=[("x", 1)]),
    ):
        assert tour._different(scene, first, again, 0) == [f"{scene.title}: the second answer is another one"]


def test_a_record_that_cannot_be_had_is_a_failure() -> None:
    class Forgetful:
        def get(self, path: str) -> Any:
            raise InstanceError("there is no call with this id")

    faults = tour.receipt(Console(quiet=True), Forgetful(), ["req_1"], pause=lambda _: None)  # type: ignore[arg-type]
    assert faults == ["the record of req_1 cannot be had: there is no call with this id"]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_on_a_terminal_it_goes_on_until_it_is_told_to_end(
    tmp_path: Path, end: signal.Signals, request: pytest.FixtureRequest
) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(COMMAND, stdout=theirs, stderr=theirs, stdin=theirs, env=environment(tmp_path))
    os.close(theirs)
    request.addfinalizer(process.kill)
    shown = ""
    while not (port := re.search(r"BASE_URL=http://127\.0\.0\.1:(\d+) ANTHROPIC_API_KEY", shown)):
        shown += os.read(ours, 65536).decode(errors="replace")
    assert port
    address = re.search(r"(http://127\.0\.0\.1:\d+)/#code=([\w-]+)", shown)
    assert address
    opened = httpx.post(f"{address[1]}/api/login", json={"code": address[2]})
    summary = httpx.get(
        f"{address[1]}/api/summary", headers={"authorization": f"Bearer {opened.json()['token']}"}
    ).json()
    assert summary["live"]["calls"] == len(SCENES) + sum(one.again for one in SCENES) + 1
    assert "\x1b[" in shown, "in colour"
    commands = re.findall(r"tokenman (report|why last|tail) --config (\S+)\r", shown)
    assert [name for name, _ in commands] == ["report", "why last", "tail"]
    for name, file in commands[:2]:
        told = subprocess.run(
            [*COMMAND[:-1], *name.split(), "--config", file], capture_output=True, text=True, timeout=60, check=False,
            env={name: value for name, value in environment(tmp_path).items() if not name.startswith("TOKENMAN_")},
        )  # fmt: skip
        assert told.returncode == 0, told.stderr
        assert "gpt-5-mini" in told.stdout or "claude-sonnet-4-5" in told.stdout
    children = psutil.Process(process.pid).children(recursive=True)
    assert process.poll() is None
    process.send_signal(end)
    assert process.wait(15) == 0
    os.close(ours)
    assert not psutil.wait_procs(children, timeout=5)[1]
    assert not list(tmp_path.glob("tokenman-demo-*"))


def test_once_ends_it_on_a_terminal_too(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*COMMAND, "--once"], stdout=theirs, stderr=theirs, env=environment(tmp_path))
    os.close(theirs)
    while True:
        try:
            if not os.read(ours, 65536):
                break
        except OSError:  # how a terminal says that its other side is closed
            break
    os.close(ours)
    assert process.wait(15) == 0


def test_what_reaches_the_provider_in_clear_is_a_failure() -> None:
    """Without a proxy in between everything arrives as it was sent."""
    provider = FakeProvider().start_in_thread()
    try:
        faults = tour.play(Console(quiet=True), provider.port, provider).faults
    finally:
        provider.stop()
    assert {f"{value} reached the provider" for value in PLANTED} <= set(faults)


def test_nobody_at_the_port_is_a_failure() -> None:
    provider = FakeProvider().start_in_thread()
    provider.stop()
    assert len(tour.play(Console(quiet=True), provider.port, provider).faults) == len(SCENES)


def test_a_proxy_that_does_not_start_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tour.sys, "executable", "/bin/false")
    assert tour.run(once=True) == 1
    assert "did not start" in capfd.readouterr().err
