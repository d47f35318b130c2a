"""`tokenman up` as a user has it: a process, its output, its files, its end."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.request

import pytest

from tokenman_core import __version__


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def running(tmp_path):
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("TOKENMAN_", "XDG_"))}
    environ |= {"HOME": str(tmp_path), "TOKENMAN_ADMIN__LISTEN": f"127.0.0.1:{free()}", "PLANTED": "planted-key-0123"}
    environ["TOKENMAN_PROVIDERS__OPENAI__KEY"] = "env:PLANTED"
    with subprocess.Popen(
        [sys.executable, "-c", "from addons.cli.main import run; run()", "up", "--listen", f"127.0.0.1:{free()}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ,
    ) as process:  # fmt: skip
        process.admin = environ["TOKENMAN_ADMIN__LISTEN"]
        yield process
        process.kill()


def until(stream, mark):
    lines = []
    for line in stream:
        lines.append(line)
        if mark in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_it_starts_answers_health_and_ends_with_0(running, tmp_path, name):
    told = until(running.stdout, "Ctrl-C ends it.")
    with urllib.request.urlopen(f"http://{running.admin}/health", timeout=10) as answer:
        assert json.load(answer)["status"] == "ok"
    running.send_signal(getattr(signal, name))
    output, errors = running.communicate(timeout=30)
    assert running.returncode == 0
    assert "Traceback" not in errors
    assert f"started: TokenMan {__version__}, configuration " in errors
    assert "ended, with exit code 0" in errors
    assert errors.splitlines()[-1] == "tokenman: ended; 0 calls, 0 values masked, $0.00"
    for text in (told, output, errors):
        assert "mitmproxy" not in text
        assert "planted" not in text
    files = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*") if path.is_file()}
    data = ".local/share/tokenman"
    private = {
        f"{data}/{name}"
        for name in ("secret", "tokenman.lock", "admin-token", "ledger.db", "state.db", "underway", "ca/authority.pem")
    }
    assert set(files) == private | {f"{data}/ca/{name}" for name in ("tokenman-ca.pem", "bundle.pem")}
    assert {name for name, path in files.items() if stat.S_IMODE(path.stat().st_mode) == 0o600} == private
    assert not any(b"planted" in path.read_bytes() for path in files.values())
