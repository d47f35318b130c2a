"""What `tokenman run` says at its end, and the care it takes of the proxy that it starts."""

import json
import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from addons.cli import run_proxy, run_sums
from addons.cli.programs.table import PROGRAMS
from tokenman_core.config.models import Settings

PYTHON = sys.executable
SUMS: dict[str, Any] = {
    "calls": 12, "model_calls": 12, "refused": {}, "ceiling": 0, "bypassed": {}, "inner": {},
    "masked": 34, "input_tokens": 51_000, "output_tokens": 200, "cost_usd": "0.1234", "saved_usd": "0", "errors": 0,
    "unpriced": 0, "estimated": False, "notional": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "12 calls, 34 values masked, 51,200 tokens, $0.1234, saved $0.00"),
        ({"notional": True}, "12 calls, 34 values masked, 51,200 tokens, $0.1234 (notional), saved $0.00"),
        (
            {
                "calls": 1,
                "model_calls": 1,
                "masked": 1,
                "input_tokens": 1,
                "output_tokens": 0,
                "estimated": True,
                "unpriced": 1,
            },
            "1 call, 1 value masked, 1 token, $0.1234 (estimated, without 1 call that has no price), saved $0.00",
        ),
        (
            {"unpriced": 3, "errors": 2, "saved_usd": "1234.5"},
            "12 calls, 34 values masked, 51,200 tokens, $0.1234 (without 3 calls that have no price), saved $1,234.50, 2 errors; "
            "see: tokenman why last",
        ),
        ({"cost_usd": "0.00001"}, "12 calls, 34 values masked, 51,200 tokens, $0.00001, saved $0.00"),
        ({"cost_usd": "12.34567"}, "12 calls, 34 values masked, 51,200 tokens, $12.35, saved $0.00"),
        (
            {"ceiling": 2},
            "12 calls, 34 values masked, 51,200 tokens, ≤$0.1234 (guessed for 2 calls of no listed model), saved $0.00",
        ),
        (
            {"calls": 6, "model_calls": 1},
            "1 call (5 more that asked no model), 34 values masked, 51,200 tokens, $0.1234, saved $0.00",
        ),
        (
            {"refused": {"401": 6, "429": 1}},
            "12 calls, 34 values masked, 51,200 tokens, $0.1234, saved $0.00, 7 refused by the provider (401, 429); "
            "see: tokenman why last",
        ),
    ],
)
def test_a_run_comes_to_one_line(changed: dict[str, Any], said: str) -> None:
    assert run_sums.line(SUMS | changed) == said


@pytest.mark.parametrize(
    ("changed", "words", "said"),
    [
        ({"calls": 5, "model_calls": 0}, (), "claude made no call to a model through TokenMan."),
        ({"calls": 0, "model_calls": 0}, (), "claude made no call through TokenMan."),
        ({"calls": 5, "model_calls": 1}, (), ""),
        ({"calls": 5, "model_calls": 0}, ("mcp", "list"), ""),
    ],
)
def test_a_run_whose_calls_asked_no_model_is_an_alarm(
    changed: dict[str, Any], words: tuple[str, ...], said: str
) -> None:
    (claude,) = (program for program in PROGRAMS if program.name == "claude")
    told = list(run_sums.warnings(SUMS | changed, claude, None, words))
    assert [line.startswith(said) for line in told] == [True] * bool(said)


# -- the proxy in the background --


def settings(tmp_path: Path) -> Settings:
    return Settings.model_validate({"data_dir": str(tmp_path)})


def test_the_proxy_goes_straight_out_though_the_shell_leads_to_one(tmp_path: Path) -> None:
    ca = tmp_path / "ca"
    environ = {
        "HTTPS_PROXY": "http://127.0.0.1:7677", "https_proxy": "http://0123456789ab:run@127.0.0.1:9",
        "ALL_PROXY": f"http://0123456789ab:tkm_{'k' * 43}@127.0.0.1:9", "HTTP_PROXY": "http://corp:3128",
        "SSL_CERT_FILE": str(ca / "bundle.pem"), "NODE_EXTRA_CA_CERTS": str(ca / "tokenman-ca.pem"),
        "REQUESTS_CA_BUNDLE": "/etc/corp.pem", "HOME": "/home/u",
    }  # fmt: skip
    made = run_proxy._environment(settings(tmp_path), environ)
    path = made.pop("PYTHONPATH")
    assert made == {"HTTP_PROXY": "http://corp:3128", "REQUESTS_CA_BUNDLE": "/etc/corp.pem", "HOME": "/home/u"}
    assert (Path(path) / "addons" / "cli" / "run_proxy.py").exists()


def test_the_log_is_private_and_small_and_what_writes_to_it_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    descriptor = run_proxy._open(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    os.write(descriptor, b"x" * 100)
    run_proxy.turn(path, (descriptor,), most=100)
    assert path.stat().st_size == 100
    os.write(descriptor, b"y")
    run_proxy.turn(path, (descriptor,), most=100)
    os.write(descriptor, b"new")
    os.close(descriptor)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (tmp_path / "run.log.1").stat().st_size == 101
    run_proxy.turn(tmp_path / "none", ())


def started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, after: float = 20.0
) -> tuple[run_proxy.Started, list[str]]:
    """What comes of a start if the proxy were this script, which reports to `sender`."""
    fake = tmp_path / "fake"
    fake.write_text(f"#!{PYTHON}\nimport os, sys, time\nsender = int(sys.argv[-1])\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    told: list[str] = []
    return run_proxy.start(None, settings(tmp_path), lambda: told.append("slow"), after), told


@pytest.mark.parametrize("said", [run_proxy.Started(), run_proxy.Started("why", 3, taken=True)])
def test_a_start_is_what_the_proxy_says_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: run_proxy.Started
) -> None:
    script = f"os.write(sender, {json.dumps(vars(said)).encode()!r})"
    assert started(tmp_path, monkeypatch, script) == (said, [])
    assert started(tmp_path, monkeypatch, script, after=0.0) == (said, ["slow"])


def test_a_proxy_that_ends_or_never_comes_is_said_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = started(tmp_path, monkeypatch, "sys.exit('why it ended')")
    assert (found.code, found.taken) == (3, False)
    assert f"its log is {tmp_path}/run.log" in found.failed
    assert (tmp_path / "run.log").read_text() == "why it ended\n"
    monkeypatch.setattr(run_proxy, "READY_S", 0.3)
    found, _ = started(tmp_path, monkeypatch, "time.sleep(60)", after=0.1)
    assert "was not ready within" in found.failed


def test_ports_that_somebody_has_are_replaced_and_others_kept(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
        port, free = taken.getsockname()[1], other.getsockname()[1]
        other.close()
        given = Settings.model_validate({"listen": f"127.0.0.1:{port}", "admin": {"listen": f"127.0.0.1:{free}"}})
        moved = run_proxy._free_instead(given)
    assert set(moved) == {"listen"}
    assert moved["listen"].startswith("127.0.0.1:")
    assert moved["listen"] != f"127.0.0.1:{port}"
