"""`tokenman tail` follows the calls of the real proxy, over a restart too."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import ANTHROPIC_KEY, PLANTED, ROOT, Proxy, claude, user

MAIL = PLANTED["e-mail"]


@pytest.fixture
def running(shared_provider: FakeProvider, tmp_path: Path) -> Iterator[Proxy]:
    proxy = Proxy.start(tmp_path, shared_provider.url)
    yield proxy
    if proxy.process.poll() is None:
        proxy.stop()


@pytest.fixture
def tail(running: Proxy, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """It follows already."""
    words = [sys.executable, "-m", "addons.cli.main", "tail", "--config", str(tmp_path / "tokenman.yaml")]
    with subprocess.Popen(
        [*words, "--filter", "model=m"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={"HOME": str(running.home), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "COLUMNS": "200"},
    ) as process:  # fmt: skip
        assert process.stderr
        assert "following" in process.stderr.readline()
        yield process
        process.kill()


def call(proxy: Proxy, text: str = "hello") -> str:
    messages: Any = claude(proxy).messages
    return str(
        messages.with_raw_response.create(model="m", max_tokens=9, messages=user(text)).headers["x-tokenman-request-id"]
    )


def next_line(process: subprocess.Popen[str], proxy: Proxy) -> str:
    assert process.stdout
    name = call(proxy, f"I am {MAIL}")
    line = process.stdout.readline()
    assert name in line
    return line


def test_each_call_is_a_line_and_ctrl_c_is_a_good_end(running: Proxy, tail: subprocess.Popen[str]) -> None:
    line = next_line(tail, running)
    assert "200  anthropic/m  " in line
    assert "  1 masked  " in line
    body = {"model": "m", "messages": user("no max_tokens")}
    other = {"model": "other", "max_tokens": 9, "messages": user("hello")}
    for content in (other, body):
        httpx.post(f"{running.url}/v1/messages", content=json.dumps(content), headers={"x-api-key": ANTHROPIC_KEY})
    assert tail.stdout
    refused = tail.stdout.readline()
    assert "400  anthropic/m  " in refused, "the other model was filtered out"
    tail.send_signal(signal.SIGINT)
    out, errors = tail.communicate(timeout=20)
    assert (tail.returncode, out) == (0, "")
    assert "Traceback" not in errors
    assert MAIL not in line + refused + errors


def test_it_follows_the_next_start_too(running: Proxy, tail: subprocess.Popen[str], tmp_path: Path) -> None:
    next_line(tail, running)
    running.stop()
    assert tail.stderr
    assert "waiting for the next start" in tail.stderr.readline()
    again = subprocess.Popen(
        [sys.executable, "-m", "addons.cli.main", "up", "--config", str(tmp_path / "tokenman.yaml")],
        env={"HOME": str(running.home), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        running.process = again
        running._await_health()
        assert "following" in tail.stderr.readline()
        next_line(tail, running)
    finally:
        again.terminate()
        again.wait(20)


def test_where_nothing_runs_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(f"data_dir: {tmp_path}/data\n")
    ended = subprocess.run(
        [sys.executable, "-m", "addons.cli.main", "tail", "--config", str(tmp_path / "t.yaml")],
        capture_output=True, text=True, timeout=30, env={"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "start it with: tokenman up" in ended.stderr
