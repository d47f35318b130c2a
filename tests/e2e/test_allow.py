"""`tokenman allow` beside a running proxy: no restart, no value on disk, and back again."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import PLANTED, ROOT, Proxy, claude, user

VALUE = "grace.hopper@navy-mail.com"
OTHER = PLANTED["e-mail"]


@pytest.fixture
def own(tmp_path: Path, provider: FakeProvider) -> Iterator[Proxy]:
    running = Proxy.start(tmp_path, provider.url)
    yield running
    running.stop()


def allow(proxy: Proxy, *words: str, value: str = VALUE) -> str:
    """The command as a user runs it, the value on standard input; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "addons.cli.main", "allow", *words, "--config", str(proxy.home.parent / "tokenman.yaml")],
        input=value + "\n", capture_output=True, text=True, timeout=60, cwd=proxy.home,
        env={"PATH": os.environ["PATH"], "HOME": str(proxy.home), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def seen(proxy: Proxy, provider: FakeProvider) -> str:
    """What the provider has of a call that holds the value and another one."""
    claude(proxy).messages.create(
        model="claude-sonnet-4-5", max_tokens=64, messages=user(f"write to {VALUE}, not to {OTHER}")
    )
    return provider.received[-1].decoded.decode()


def soon(proxy: Proxy, provider: FakeProvider, passes: bool) -> str:
    deadline = time.monotonic() + 15  # half a second is what it takes; the machine may be busy
    while (VALUE in (text := seen(proxy, provider))) is not passes and time.monotonic() < deadline:
        time.sleep(0.1)
    return text


def test_a_value_passes_once_it_is_allowed_and_is_masked_again_once_it_is_not(
    own: Proxy, provider: FakeProvider
) -> None:
    assert VALUE not in seen(own, provider)
    said = allow(own)
    assert VALUE in (text := soon(own, provider, passes=True))
    assert OTHER not in text
    said += allow(own, "-", "--remove")
    assert VALUE not in soon(own, provider, passes=False)
    assert VALUE not in said
    assert not own.found_on_disk([VALUE])
