"""A call is answered whatever becomes of its record, and the record survives whatever becomes of the proxy."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import PLANTED, ROOT, Proxy, claude, gpt, user
from tokenman_core.ledger import LedgerReader, Row
from tokenman_core.ledger.store import Store

MAIL = PLANTED["e-mail"]


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
    return found


def reader(proxy: Proxy) -> LedgerReader:
    return LedgerReader(proxy.data / "ledger.db")


def row(proxy: Proxy, name: str) -> Row:
    found: Row = until(lambda: reader(proxy).row(name))
    return found


def command(proxy: Proxy, *words: str) -> str:
    """What a command says that works on the same configuration."""
    done = subprocess.run(
        [sys.executable, "-m", "addons.cli.main", *words, "--config", str(proxy.home.parent / "tokenman.yaml")],
        cwd=ROOT, env=os.environ | {"HOME": str(proxy.home)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def ready(proxy: Proxy) -> tuple[int, str]:
    """The status for a balancer, and what is said of the ledger."""
    answer = httpx.get(f"http://127.0.0.1:{proxy.admin_port}/health/ready?for=balancer")
    return answer.status_code, answer.json()["checks"]["ledger"]["message"]


def not_recorded(proxy: Proxy) -> float:
    text = httpx.get(f"http://127.0.0.1:{proxy.admin_port}/metrics").text
    found = re.search(r'^tokenman_errors_total\{type="persistence"\} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def sound(proxy: Proxy) -> bool:
    with sqlite3.connect(proxy.data / "ledger.db") as connection:
        return bool(connection.execute("pragma integrity_check").fetchone() == ("ok",))


def test_each_call_has_its_row_the_refused_one_too(provider: FakeProvider, tmp_path: Path) -> None:
    proxy = Proxy.start(tmp_path, provider.url, redaction={"entities": {"US_SSN": "block"}})
    try:
        answer = claude(proxy).messages.with_raw_response.create(
            model="claude-sonnet-4-6",
            max_tokens=50,
            messages=user(f"I am {MAIL}"),
            extra_headers={"x-tokenman-project": "p"},
        )
        found = row(proxy, answer.headers["x-tokenman-request-id"])
        usage = answer.parse().usage
        assert (found.usage.input, found.usage.output) == (usage.input_tokens, usage.output_tokens)
        assert (found.outcome, found.status, found.masked, found.project) == ("answered", 200, 1, "p")

        with pytest.raises(anthropic.BadRequestError) as refused:
            claude(proxy).messages.create(model="claude-sonnet-4-6", max_tokens=9, messages=user(PLANTED["ssn"]))
        name = refused.value.response.headers["x-tokenman-request-id"]
        found = row(proxy, name)
        assert (found.outcome, found.status, found.error, found.attempts) == ("refused", 400, "redaction", 0)
        why = command(proxy, "why", name)
        assert "1 US_SSN: not allowed to leave (redaction.entities.US_SSN: block)" in why
        assert "tokenman allow" in why

        streamed = gpt(proxy).chat.completions.with_raw_response.create(
            model="gpt-5-mini", stream=True, messages=user("hi")
        )
        assert len(list(streamed.parse())) > 1
        assert row(proxy, streamed.headers["x-tokenman-request-id"]).stream
        told = json.loads(command(proxy, "report", "--json"))
        assert [told["total"][part] for part in ("calls", "errors", "masked")] == [3, 1, 2]
    finally:
        proxy.stop()


def test_a_locked_ledger_holds_up_no_call_and_is_caught_up_with_later(provider: FakeProvider, tmp_path: Path) -> None:
    proxy = Proxy.start(tmp_path, provider.url)
    try:
        claude(proxy).messages.create(model="m", max_tokens=9, messages=user("first"))
        until(lambda: reader(proxy).page().rows)
        other = sqlite3.connect(proxy.data / "ledger.db", isolation_level=None)
        other.execute("begin immediate")
        names = []
        for number in range(3):
            answer = claude(proxy).messages.with_raw_response.create(
                model="m", max_tokens=9, messages=user(f"number {number}")
            )
            names.append(answer.headers["x-tokenman-request-id"])
        until(lambda: not_recorded(proxy) == 3)
        status, message = ready(proxy)
        assert status == 503
        assert "locked" in message
        assert str(proxy.data) not in message
        until(lambda: all(name in proxy.log for name in names))
        other.execute("rollback")
        other.close()
        for name in names:
            assert row(proxy, name).status == 200
        until(lambda: ready(proxy)[0] == 200)
        assert not_recorded(proxy) == 3
    finally:
        proxy.stop()


def test_a_proxy_that_is_killed_leaves_a_sound_ledger(provider: FakeProvider, tmp_path: Path) -> None:
    proxy = Proxy.start(tmp_path, provider.url)
    answer = claude(proxy).messages.with_raw_response.create(model="m", max_tokens=9, messages=user("hello"))
    row(proxy, answer.headers["x-tokenman-request-id"])
    proxy.process.send_signal(signal.SIGKILL)
    proxy.process.wait()
    assert sound(proxy)
    assert len(reader(proxy).page().rows) == 1


def test_an_end_in_the_middle_of_a_purge_loses_no_stream_and_harms_no_file(
    provider: FakeProvider, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir(0o700)
    Store(tmp_path / "data" / "ledger.db").close()
    with sqlite3.connect(tmp_path / "data" / "ledger.db") as connection:
        connection.execute(
            "with recursive n(i) as (values (1) union all select i + 1 from n where i < 100000)"
            " insert into calls (id, time) select randomblob(12), i from n"
        )
    connection.close()
    proxy = Proxy.start(tmp_path, provider.url)
    request = {"model": "m", "max_tokens": 9, "messages": user("[[slow 100ms]] one two three four")}
    with claude(proxy).messages.stream(**request) as stream:
        next(iter(stream))
        proxy.process.send_signal(signal.SIGTERM)
        assert "one two three four" in stream.get_final_text()
    proxy.stop()
    assert sound(proxy)
    assert reader(proxy).page(limit=1).rows[0].status == 200
    assert reader(proxy).totals("day").total.calls == 1
