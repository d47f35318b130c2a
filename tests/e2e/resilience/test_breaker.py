"""A provider that fails too often is given a rest: its calls end at once or go elsewhere, and probes find out if it is back."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.e2e import raw
from tests.e2e.harness import Proxy
from tests.e2e.resilience import table
from tests.e2e.resilience.house import HEADERS, PATIENCE_S, body, check_refusal, metric, post, start, until
from tests.e2e.resilience.table import GOOD, Mode, status
from tests.e2e.resilience.upstreams import AtConnect, Script, Upstream, Upstreams, Wire

FAILURES, PROBES, RESET_S = 5, 2, 3.0
LONG_S = 60.0
FAULTS: dict[str, tuple[Script | AtConnect, Mode]] = {
    "500": (status(500), "whole"),
    "503": (status(503), "whole"),
    "529": (status(529), "whole"),
    "dropped": (AtConnect("drop"), "whole"),
    "reset": (table.before_the_head("reset"), "whole"),
    "half": (table.in_the_body("cut", 50), "whole"),
    "stall": (table.before_the_head("stall"), "whole"),
    "garbage": (table.garbage(b"no http\r\n\r\n"), "whole"),
    "overloaded": (table.events(table.event("error", error={"type": "overloaded_error", "message": "no"})), "stream"),
    "late": (table.in_the_stream("cut", *table.SAID), "stream"),
    "truncated": (table.events(*table.SAID), "stream"),
}
HARMLESS: dict[str, Script] = {
    **{str(code): status(code) for code in (400, 401, 403, 404, 413, 422, 429)},
    "large": table.large(),
}


class Gate:
    """Providers that hold their answers back until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    async def __call__(self, wire: Wire) -> None:
        await asyncio.to_thread(self.opened.wait)
        await table.good_whole(wire)


BACK = Gate()


@pytest.fixture(scope="module")
def upstreams() -> dict[str, Upstream]:
    bad = [status(503)] * FAILURES
    made = {f"fault-{name}": Upstream([script]) for name, (script, _) in FAULTS.items()}
    made |= {f"harmless-{name}": Upstream([script]) for name, script in HARMLESS.items()}
    return made | {
        "row": Upstream([*bad[1:], table.good_whole, *bad[1:], table.good_whole]),
        "first": Upstream(bad),
        "second": Upstream([table.good_whole, table.good_stream]),
        "left": Upstream([table.before_the_head("stall")]),
        "left-late": Upstream([table.in_the_stream("stall", *table.SAID)]),
        "by-hand": Upstream([table.good_whole]),
    }


@pytest.fixture(scope="module")
def proxy(upstreams: dict[str, Upstream], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Where a rest is long."""
    with Upstreams() as them:
        running = start(
            tmp_path_factory.mktemp("breaker"), them, upstreams,
            {"fault-stall": {"timeouts": {"first_byte": "200ms"}}},
            retry={"attempts": 1}, breaker=rules(LONG_S), limits={"response_body": table.CAP},
            routes=[{"match": {"provider": "first"}, "try": ["first", "second"]}],
        )  # fmt: skip
        yield running
        running.stop()


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[tuple[Proxy, dict[str, Upstream]]]:
    """Where it is short, and what is probed there."""
    bad = [status(503)] * FAILURES
    probed = {"probed": Upstream([*bad, BACK]), "reopened": Upstream([*bad, status(503), table.good_whole])}
    with Upstreams() as them:
        running = start(tmp_path, them, probed, {}, retry={"attempts": 1}, breaker=rules(RESET_S))
        yield running, probed
        running.stop()


def rules(reset: float) -> dict[str, object]:
    return {"failures": FAILURES, "min_calls": 0, "reset": f"{reset}s", "probes": PROBES}


def state(proxy: Proxy, name: str) -> int:
    return metric(proxy, "tokenman_breaker_state")[f'provider="{name}"']


def fail(proxy: Proxy, name: str, mode: Mode = "whole", times: int = FAILURES) -> None:
    for _ in range(times):
        assert post(proxy, name, mode).headers.get("x-tokenman-error") != "breaker"


def turned_away(answer: httpx.Response, reset: float = LONG_S) -> None:
    assert answer.status_code == 503
    check_refusal(answer.status_code, answer.headers, answer.content, "breaker")
    assert 1 <= int(answer.headers["retry-after"]) <= reset


@pytest.mark.parametrize("name", FAULTS)
def test_after_five_failures_in_a_row_the_next_call_ends_at_once_and_reaches_nobody(
    proxy: Proxy, upstreams: dict[str, Upstream], name: str
) -> None:
    _, mode = FAULTS[name]
    provider = f"fault-{name}"
    fail(proxy, provider, mode, FAILURES - 1)
    until(lambda: state(proxy, provider) == 0)
    fail(proxy, provider, mode, 1)
    until(lambda: state(proxy, provider) == 2)
    begun = time.monotonic()
    turned_away(post(proxy, provider, mode))
    assert time.monotonic() - begun < 2
    assert upstreams[provider].hits == FAILURES


@pytest.mark.parametrize("name", HARMLESS)
def test_what_the_caller_did_wrong_or_a_limit_of_his_own_opens_nothing(
    proxy: Proxy, upstreams: dict[str, Upstream], name: str
) -> None:
    fail(proxy, f"harmless-{name}", times=2 * FAILURES)
    assert state(proxy, f"harmless-{name}") == 0
    assert upstreams[f"harmless-{name}"].hits == 2 * FAILURES


def test_failures_count_only_in_a_row(proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
    fail(proxy, "row", times=FAILURES - 1)
    assert post(proxy, "row").status_code == 200
    fail(proxy, "row", times=FAILURES - 1)
    assert post(proxy, "row").status_code == 200
    assert upstreams["row"].hits == 2 * FAILURES


def test_a_second_provider_serves_meanwhile_streams_too(proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
    for number in range(FAILURES):  # nobody feels those that fail before it opens, either
        answer = post(proxy, "first", "stream" if number else "whole")
        assert (answer.status_code, answer.content) == (200, GOOD["stream" if number else "whole"])
        assert answer.headers["x-tokenman-attempts"] == "2"
    until(lambda: state(proxy, "first") == 2)
    assert upstreams["first"].hits == FAILURES
    answer = post(proxy, "first", "stream")
    assert (answer.status_code, answer.content) == (200, GOOD["stream"])
    assert (answer.headers["x-tokenman-provider"], answer.headers["x-tokenman-attempts"]) == ("second", "1")
    assert upstreams["first"].hits == FAILURES


def test_after_the_reset_exactly_the_probes_are_in_flight_and_what_they_find_is_obeyed(
    hasty: tuple[Proxy, dict[str, Upstream]],
) -> None:
    proxy, upstreams = hasty
    for name in ("probed", "reopened"):
        fail(proxy, name)
        until(lambda name=name: state(proxy, name) == 2)  # type: ignore[misc]
    time.sleep(RESET_S + 0.1)
    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(post, proxy, "probed") for _ in range(10)]
        try:
            until(lambda: sum(one.done() for one in asked) == 10 - PROBES)
            assert upstreams["probed"].hits == FAILURES + PROBES
            assert state(proxy, "probed") == 1
            for one in asked:
                if one.done():
                    check_refusal(503, one.result().headers, one.result().content, "breaker")
        finally:
            BACK.opened.set()
        assert sorted(one.result().status_code for one in asked) == [200] * PROBES + [503] * (10 - PROBES)
    until(lambda: state(proxy, "probed") == 0)
    assert [post(proxy, "probed").status_code for _ in range(4)] == [200] * 4

    assert post(proxy, "reopened").headers.get("x-tokenman-error") is None  # the provider's own 503: the probe failed
    until(lambda: state(proxy, "reopened") == 2)
    turned_away(post(proxy, "reopened"), RESET_S)
    assert upstreams["reopened"].hits == FAILURES + 1
    time.sleep(RESET_S + 0.1)
    assert post(proxy, "reopened").status_code == 200
    until(lambda: state(proxy, "reopened") == 0)


@pytest.mark.parametrize("name", ["left", "left-late"])
def test_clients_that_leave_open_nothing(proxy: Proxy, upstreams: dict[str, Upstream], name: str) -> None:
    content = body("stream")
    lines = [f"POST /p/{name}/v1/messages HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(content)}"]
    data = "\r\n".join([*lines, *(f"{key}: {value}" for key, value in HEADERS.items()), "", ""]).encode() + content
    for number in range(2 * FAILURES):
        with raw.dial(proxy) as connection:
            connection.sendall(data)
            until(lambda number=number: upstreams[name].hits == number + 1)  # type: ignore[misc]
            if name == "left-late":
                assert connection.recv(100).startswith(b"HTTP/1.1 200")
        until(lambda number=number: upstreams[name].requests[number].left, 5)  # type: ignore[misc]
    assert state(proxy, name) == 0


def test_a_breaker_is_opened_and_closed_by_hand(proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
    token = (proxy.data / "admin-token").read_text().strip()

    def turn(to: str) -> None:
        answer = httpx.post(
            f"http://127.0.0.1:{proxy.admin_port}/api/providers/by-hand/breaker", json={"state": to},
            headers={"authorization": f"Bearer {token}"}, timeout=PATIENCE_S, trust_env=False,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text

    turn("open")
    check_refusal(503, (answer := post(proxy, "by-hand")).headers, answer.content, "breaker")
    assert upstreams["by-hand"].hits == 0
    assert state(proxy, "by-hand") == 2
    turn("closed")
    assert post(proxy, "by-hand").status_code == 200
    assert state(proxy, "by-hand") == 0
