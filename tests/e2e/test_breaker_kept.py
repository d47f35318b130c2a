"""A breaker outlives what is done to the proxy: a configuration that is read again, and a restart."""

import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.harness import ROOT, Proxy
from tests.e2e.resilience import table
from tests.e2e.resilience.house import metric, post, start, until
from tests.e2e.resilience.table import status
from tests.e2e.resilience.upstreams import Upstream, Upstreams
from tests.e2e.test_reload import change, read_again

FAILURES, PATIENCE_S = 3, 30.0


def states(proxy: Proxy) -> dict[str, int]:
    return {
        name.partition('"')[2].rstrip('"'): value for name, value in metric(proxy, "tokenman_breaker_state").items()
    }


def by_hand(proxy: Proxy, name: str, state: str) -> None:
    token = (proxy.data / "admin-token").read_text().strip()
    url = f"http://127.0.0.1:{proxy.admin_port}/api/providers/{name}/breaker"
    assert httpx.post(url, json={"state": state}, headers={"Authorization": f"Bearer {token}"}).status_code == 200


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[Proxy, dict[str, Upstream]]]:
    providers = {
        "bad": Upstream([status(503)]), "held": Upstream([table.good_whole]), "good": Upstream([table.good_whole]),
        "back": Upstream([*[status(503)] * FAILURES, table.good_whole]),
    }  # fmt: skip
    with Upstreams() as them:
        rules = {"failures": FAILURES, "min_calls": 0, "reset": "60s", "probes": 1}
        running = start(tmp_path, them, providers, {}, retry={"attempts": 1}, breaker=rules)
        yield running, providers
        running.stop()


def begin_again(proxy: Proxy) -> None:
    """The same command on the same files, in its place."""
    passed = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
    with proxy.log_path.open("ab") as log:
        proxy.process = subprocess.Popen(
            proxy.process.args, cwd=proxy.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=passed | {"HOME": str(proxy.home), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    proxy._await_health()


def end(proxy: Proxy, how: signal.Signals) -> None:
    proxy.process.send_signal(how)
    proxy.process.wait(PATIENCE_S)


def kept(proxy: Proxy) -> set[str]:
    """The breakers that the file of shared state has."""
    with sqlite3.connect(f"file:{proxy.data / 'state.db'}?mode=ro", uri=True) as connection:
        return {name for (name,) in connection.execute("select name from entries where kind = 'breaker'")}


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
def test_it_is_what_it_was_after_a_reload_and_after_a_restart(
    house: tuple[Proxy, dict[str, Upstream]], ending: signal.Signals
) -> None:
    proxy, providers = house
    for _ in range(FAILURES):
        assert post(proxy, "bad", "whole").status_code == 503
    by_hand(proxy, "held", "open")
    was = {"bad": 2, "held": 2, "good": 0}
    assert {name: states(proxy)[name] for name in was} == was
    read_again(proxy, "applied", lambda: change(proxy, redaction={"mode": "hash"}))
    assert {name: states(proxy)[name] for name in was} == was
    until(lambda: {"bad", "held"} <= kept(proxy))  # a process that is killed writes no more
    end(proxy, ending)
    begin_again(proxy)
    assert {name: states(proxy)[name] for name in was} == was
    reached = providers["bad"].hits
    answer = post(proxy, "bad", "whole")
    assert (answer.status_code, answer.headers["x-tokenman-error"]) == (503, "breaker")
    assert providers["bad"].hits == reached
    assert post(proxy, "good", "whole").status_code == 200
    by_hand(proxy, "held", "closed")
    assert post(proxy, "held", "whole").status_code == 200


def test_once_the_reset_has_passed_a_probe_brings_it_back_after_a_restart(
    house: tuple[Proxy, dict[str, Upstream]],
) -> None:
    proxy, _ = house
    read_again(
        proxy,
        "applied",
        lambda: change(proxy, breaker={"failures": FAILURES, "min_calls": 0, "reset": "2s", "probes": 1}),
    )
    for _ in range(FAILURES):
        post(proxy, "back", "whole")
    end(proxy, signal.SIGTERM)
    begin_again(proxy)
    until(lambda: post(proxy, "back", "whole").status_code == 200)
    assert states(proxy)["back"] == 0


def test_a_state_file_that_is_damaged_stops_nobody_and_is_told(house: tuple[Proxy, dict[str, Upstream]]) -> None:
    proxy, _ = house
    end(proxy, signal.SIGTERM)
    (proxy.data / "state.db").write_bytes(b"no database" * 500)
    begin_again(proxy)
    for _ in range(FAILURES):
        assert post(proxy, "bad", "whole").headers.get("x-tokenman-error") != "breaker"
    assert post(proxy, "bad", "whole").headers["x-tokenman-error"] == "breaker"
    assert post(proxy, "good", "whole").status_code == 200
    ready = httpx.get(f"http://127.0.0.1:{proxy.admin_port}/health/ready")
    assert ready.status_code == 503
    assert ready.json()["checks"]["state"]["status"] == "failed"
    assert "state.db" in proxy.log
    (proxy.data / "state.db").unlink()
    until(
        lambda: (
            httpx.get(f"http://127.0.0.1:{proxy.admin_port}/health/ready").json()["checks"]["state"]["status"] == "ok"
        )
    )
