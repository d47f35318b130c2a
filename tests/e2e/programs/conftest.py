"""The installed programs, and for each test a home, a folder to work in, and a configuration that leads to the fake provider."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from addons.demo.provider import FakeProvider, Received
from tests.e2e.harness import END_S, ROOT, free_ports
from tests.e2e.programs.install import programs
from tests.e2e.programs.terminal import Shown, show
from tokenman_core.instance import PID_FILE

ELSEWHERE = (
    "api.github.com", "github.com", "ab.chatgpt.com", "play.googleapis.com", "www.googleapis.com", "oauth2.googleapis.com",
    "mcp-proxy.anthropic.com", "downloads.claude.ai", "storage.googleapis.com", "registry.npmjs.org",
)  # fmt: skip
"""Where the programs go besides. Governed here, so that no test talks to the internet and all that they send is seen."""

PROGRAM_S = 90.0  # each takes two to four seconds alone


@dataclass(frozen=True)
class Place:
    """`home` and `work` are the program's; `data` is TokenMan's own folder."""

    home: Path
    work: Path
    data: Path
    configuration: Path
    provider: FakeProvider
    commands: Path

    def run(self, command: Sequence[str], environment: Mapping[str, str], *options: str) -> Shown:
        """`tokenman run OPTIONS -- COMMAND` at a terminal of its own, in an environment that knows nothing of TokenMan."""
        tokenman = [sys.executable, "-m", "addons.cli.main", "run", "--config", str(self.configuration), *options]
        own = {
            "PATH": f"{self.commands}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(ROOT),
        }
        try:
            return show([*tokenman, "--", *command], own | dict(environment), self.work, PROGRAM_S)
        finally:
            self._await_end()

    def _await_end(self) -> None:
        """The proxy that was started for the program ends soon after it, and has then written all that it knows."""
        deadline = time.monotonic() + END_S
        while (self.data / PID_FILE).exists():
            assert time.monotonic() < deadline, f"the proxy did not end within {END_S} s of its last program"
            time.sleep(0.05)

    def received(self, holds: Callable[[Received], bool]) -> list[Received]:
        return [one for one in self.provider.received if holds(one)]


@pytest.fixture(scope="session")
def commands() -> Path:
    return programs()


@pytest.fixture
def place(tmp_path: Path, provider: FakeProvider, commands: Path) -> Place:
    """`provider` looks through all that it received when the test is over: nothing planted may be in it."""
    port, admin_port = free_ports(2)
    url = provider.url
    own = {name: {"base_url": url} for name in ("anthropic", "openai", "gemini", "gemini-code-assist")}
    elsewhere = {"base_url": url, "dialect": "openai", "models": [], "hosts": list(ELSEWHERE)}
    document = {
        "listen": f"127.0.0.1:{port}",
        "data_dir": str(tmp_path / "data"),
        "admin": {"listen": f"127.0.0.1:{admin_port}"},
        "providers": own | {"codex": {"base_url": f"{url}/backend-api/codex"}, "elsewhere": elsewhere},
    }
    configuration = tmp_path / "tokenman.yaml"
    configuration.write_text(json.dumps(document))  # JSON is YAML
    for name in ("home", "work"):
        (tmp_path / name).mkdir(mode=0o700)
    return Place(tmp_path / "home", tmp_path / "work", tmp_path / "data", configuration, provider, commands)
