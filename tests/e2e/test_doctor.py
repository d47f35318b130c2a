"""`tokenman doctor` as a user runs it, beside a running TokenMan and without one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import PLANTED, ROOT, Proxy, claude, said, user


@pytest.fixture
def own(tmp_path: Path, provider: FakeProvider) -> Iterator[Proxy]:
    running = Proxy.start(tmp_path, provider.url)
    yield running
    if running.process.poll() is None:
        running.stop()


def doctor(home: Path, configuration: Path, **environ: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "addons.cli.main", "doctor", "--patience", "60", "--config", str(configuration)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT), **environ},
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr
    assert "could not be checked" not in done.stdout
    return done.returncode, done.stdout


def test_a_running_installation_is_fine_and_both_ways_in_are_proved(own: Proxy, provider: FakeProvider) -> None:
    claude(own).messages.create(model="claude-sonnet-4-5", max_tokens=64, messages=user(said("e-mail")))
    calls = len(provider.received)
    code, text = doctor(own.home, own.home.parent / "tokenman.yaml", ANTHROPIC_BASE_URL=own.url)
    assert code == 0, text
    for line in (
        "held by your running tokenman: process",
        "ready: ",
        "reached: anthropic, openai, codex",
        "ANTHROPIC_BASE_URL leads here",
        "by base URL: a call went through",
        "as an HTTPS proxy, with the CA bundle: a call went through",
        "of the system's roots besides",
        ", 0 warnings, 0 broken",
    ):
        assert line in text
    assert len(provider.received) == calls, "the doctor must not call a configured provider"
    assert not [value for value in PLANTED.values() if value in text]


def test_a_configuration_that_cannot_be_read_is_broken(tmp_path: Path) -> None:
    configuration = tmp_path / "t.yaml"
    configuration.write_text("limits: {request_bodi: 5}\n")
    code, text = doctor(tmp_path, configuration)
    assert code == 2
    assert (
        f"{configuration}:1: limits.request_bodi: there is no such setting; did you mean request_body? -> mend it"
        in text
    )
