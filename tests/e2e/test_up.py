"""`tokenman up` on a terminal, as a person has it: what it says, the line that lives, the log above it, and its end."""

import fcntl
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import PLANTED, ROOT, Proxy, claude, free_ports, user

MAIL = PLANTED["e-mail"]
ERASE = "\r\x1b[2K"


class Terminal:
    """A pseudo-terminal of 100 columns with a process in it; `lines` are those that it shows."""

    def __init__(self, words: list[str], home: Path) -> None:
        self.ours, theirs = pty.openpty()
        os.set_blocking(self.ours, True)
        pty_size(theirs, 100)
        self.process = subprocess.Popen(
            words, stdin=theirs, stdout=theirs, stderr=theirs, cwd=home, start_new_session=True,
            env={"HOME": str(home), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "TERM": "xterm"},
        )  # fmt: skip
        os.close(theirs)
        self.raw = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while data := os.read(self.ours, 65536):
                self.raw += data.decode(errors="replace")
        except OSError:  # how a terminal says that its other side is closed
            pass

    @property
    def lines(self) -> list[str]:
        lines = [""]
        for part in re.split(r"(\n|\r\x1b\[2K)", self.raw.replace("\r\n", "\n")):
            if part == "\n":
                lines.append("")
            elif part == ERASE:
                lines[-1] = ""
            else:
                lines[-1] += part
        return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]

    def until(self, shown: Callable[[list[str]], Any], what: str) -> Any:
        deadline = time.monotonic() + 30
        while not (found := shown(self.lines)):
            assert time.monotonic() < deadline, f"{what} was never shown:\n{self.raw}"
            assert self.process.poll() is None, self.raw
            time.sleep(0.02)
        return found

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        code = self.process.wait(20)
        self._reader.join(10)
        os.close(self.ours)
        return code


def pty_size(terminal: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))


@pytest.fixture
def up(shared_provider: FakeProvider, tmp_path: Path) -> Iterator[tuple[Terminal, Proxy]]:
    port, admin_port = free_ports(2)
    home = tmp_path / "home"
    home.mkdir()
    document = {
        "listen": f"127.0.0.1:{port}", "data_dir": str(tmp_path / "data"), "admin": {"listen": f"127.0.0.1:{admin_port}"},
        "providers": {"anthropic": {"base_url": shared_provider.url}},
    }  # fmt: skip
    configuration = tmp_path / "tokenman.yaml"
    configuration.write_text(json.dumps(document))
    terminal = Terminal([sys.executable, "-m", "addons.cli.main", "up", "--config", str(configuration)], home)
    yield terminal, Proxy(terminal.process, port, admin_port, home, tmp_path / "none")  # type: ignore[arg-type]
    if terminal.process.poll() is None:
        terminal.process.kill()
        terminal.process.wait()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_line_lives_below_the_log_and_leaves_nothing_behind(
    up: tuple[Terminal, Proxy], provider: FakeProvider, end: signal.Signals
) -> None:
    terminal, proxy = up
    started = time.monotonic() - 1
    terminal.until(lambda lines: re.match(r"0 active \| 0 calls \| ", lines[-1]), "the line")
    for _ in range(3):
        claude(proxy).messages.create(model="m", max_tokens=9, messages=user(f"I am {MAIL}"))
    terminal.until(
        lambda lines: re.match(r"0 active \| 3 calls \| 3 masked \| .*\| 0 errors \| up \d", lines[-1]), "calls"
    )
    assert terminal.end(end) == 0
    lines = terminal.lines
    assert lines[-1] == ""
    assert not [line for line in lines if " active | " in line], (
        "no line of the log or the greeting holds a piece of it"
    )
    told = [line for line in lines if "tokenman.call: answered" in line]
    assert len(told) == 3
    assert all(
        re.fullmatch(r"[\d-]+ [\d:.]+ info    tokenman.call: answered .* request=req_\w{24}", line) for line in told
    )
    assert MAIL not in terminal.raw
    assert "Traceback" not in terminal.raw
    painted, written = terminal.raw.count(" active | "), len(lines)
    assert painted <= 4 * (time.monotonic() - started) + written, "four times a second at most, and below each line"


def test_it_says_what_to_do_next_and_opens_the_dashboard_once(up: tuple[Terminal, Proxy]) -> None:
    terminal, proxy = up
    address = terminal.until(
        lambda lines: re.search(r"dashboard +(http://\S+/)#code=(\S+)  ", "\n".join(lines)), "address"
    )
    text = "\n".join(terminal.until(lambda lines: lines if " active | " in lines[-1] else None, "the line"))
    assert "tokenman run -- claude" in text
    assert f"ANTHROPIC_BASE_URL={proxy.url}" in text
    assert "tokenman.yaml" in text
    page, code = address.groups()
    assert httpx.get(page).status_code == 200
    opened = httpx.post(f"{page}api/login", json={"code": code})
    assert opened.status_code == 200
    token = opened.json()["token"]
    assert httpx.get(f"{page}api/version", headers={"authorization": f"Bearer {token}"}).status_code == 200
    assert httpx.post(f"{page}api/login", json={"code": code}).status_code >= 400, "a code opens once"
    assert terminal.end(signal.SIGTERM) == 0


def test_without_a_terminal_there_is_no_line_and_no_colour(proxy: Proxy, provider: FakeProvider) -> None:
    claude(proxy).messages.create(model="m", max_tokens=9, messages=user("hello"))
    assert " active | " not in proxy.log
    assert "\x1b" not in proxy.log


def test_both_ports_taken_are_both_named_and_it_ends_with_3(shared_provider: FakeProvider, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        places = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in (one, two)]
        configuration = tmp_path / "t.yaml"
        configuration.write_text(
            json.dumps({"listen": places[0], "admin": {"listen": places[1]}, "data_dir": str(tmp_path / "data")})
        )
        terminal = Terminal([sys.executable, "-m", "addons.cli.main", "up", "--config", str(configuration)], tmp_path)
        assert terminal.process.wait(20) == 3
    text = "\n".join(terminal.lines)
    assert f"listen: cannot listen on {places[0]}" in text
    assert f"admin.listen: cannot listen on {places[1]}" in text
    assert not (tmp_path / "data").exists()
