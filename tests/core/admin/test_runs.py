"""Who uses a proxy: leases that end with their connection, the sums of a run, and the end of a proxy that nobody uses."""

import asyncio
import http.client
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tokenman_core.admin import runs as module
from tokenman_core.admin import serve
from tokenman_core.admin.runs import MOST_HOSTS, Runs, known_llm, routes
from tokenman_core.config.values import Address
from tokenman_core.instance import PROOF_PATH, Prover, proof
from tokenman_core.record import Record
from tokenman_core.telemetry.tally import Tallies
from tokenman_core.usage import Bill, Usage

RECORD = Record(
    "req_1", datetime(2026, 11, 24, tzinfo=UTC), "anthropic", "m", "anthropic", "messages", "", "", "", "", "key", "answered",
    200, None, "", False, 1, "", Bill(Usage(10, 5), Decimal("0.25"), "list"), Decimal(0), (), 0.1, 0.1, 0.0, {},
)  # fmt: skip


class House:
    """The routes behind the real server, asked from threads as a client would."""

    def __init__(self, runs: Runs, server: serve.Server) -> None:
        self.runs, self.server = runs, server

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self.server.address, timeout=10)

    def ask(self, method: str, path: str, value: Any = None) -> tuple[int, Any]:
        connection = self.connect()
        connection.request(method, path, None if value is None else json.dumps(value).encode())
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text)

    def lease(self, program: str = "claude") -> tuple[http.client.HTTPConnection, http.client.HTTPResponse, str]:
        connection = self.connect()
        connection.request("POST", "/api/runs", json.dumps({"program": program}))
        answer = connection.getresponse()
        assert answer.status == 200
        return connection, answer, json.loads(answer.readline())["run"]


@pytest.fixture
def tallies() -> Tallies:
    return Tallies()


@pytest.fixture
async def house(tallies: Tallies) -> AsyncIterator[House]:
    runs = Runs(tallies)
    server = await serve.serve(Starlette(routes=routes(runs, Prover(b"key"))), "127.0.0.1", 0)
    yield House(runs, server)
    runs.closing.set()
    await server.stop()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 (what is waited for happens in the server's task and tells nobody)
            await asyncio.sleep(0.01)


async def test_a_lease_lasts_as_long_as_its_connection(house: House) -> None:
    connection, answer, mark = await asyncio.to_thread(house.lease)
    run = house.runs.get(mark)
    assert run is not None
    assert (len(mark), int(mark, 16) >= 0, run.program, run.live) == (12, True, "claude", True)
    answer.close()
    connection.close()  # as the kernel does for a process that was killed
    await until(lambda: not run.live)


async def test_signs_of_life_come_on_a_lease(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_S", 0.01)
    connection, answer, mark = await asyncio.to_thread(house.lease)
    assert await asyncio.to_thread(answer.readline) == b"\n"
    assert await asyncio.to_thread(answer.readline) == b"\n"
    run = house.runs.get(mark)
    assert run is not None
    assert run.live
    connection.close()


async def test_leases_end_when_the_proxy_does_and_none_is_given_any_more(house: House) -> None:
    connection, answer, _ = await asyncio.to_thread(house.lease)
    house.runs.closing.set()
    assert await asyncio.to_thread(answer.read) == b""
    connection.close()
    status, said = await asyncio.to_thread(house.ask, "POST", "/api/runs", {"program": "x"})
    assert (status, said["error"]["type"]) == (503, "shutdown")


async def test_there_is_a_most_of_leases(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RUNS", 1)
    connection, _, mark = await asyncio.to_thread(house.lease)
    assert (await asyncio.to_thread(house.ask, "POST", "/api/runs", {"program": "x"}))[0] == 503
    run = house.runs.get(mark)
    connection.close()
    assert run is not None
    await until(lambda: not run.live)
    (await asyncio.to_thread(house.lease))[0].close()


@pytest.mark.parametrize(
    "value", [{}, [], 7, {"program": 7}, {"program": ""}, {"program": "a b"}, {"program": "x" * 61}]
)
async def test_a_lease_is_for_a_program_with_a_name(house: House, value: Any) -> None:
    status, said = await asyncio.to_thread(house.ask, "POST", "/api/runs", value)
    assert (status, said["error"]["type"]) == (400, "parse")
    assert "program" in said["error"]["message"]


async def test_the_proof_is_over_the_address_that_was_asked(house: House) -> None:
    host, port = house.server.address

    def prove() -> bytes:
        connection = house.connect()
        connection.request("GET", f"{PROOF_PATH}?nonce={'0' * 64}", headers={"host": "127.0.0.1:1"})
        return connection.getresponse().read()

    assert (await asyncio.to_thread(prove)).decode() == proof(b"key", "0" * 64, Address(host, port))


# -- sums --


async def test_the_sums_of_a_run_are_its_own_and_stay_after_its_end(house: House, tallies: Tallies) -> None:
    runs = house.runs
    one, other = runs.begin("a"), runs.begin("b")
    for run, bill in ((one, RECORD.bill), (one, Bill(Usage(1, 1), None, "unknown", True)), (other, RECORD.bill)):
        record = replace(RECORD, run=run.mark, bill=None, status=401, generates=False)
        tallies.ended(record)
        assert runs.enter(run.mark) is run
        record = replace(RECORD, run=run.mark, bill=bill)
        tallies.ended(record)
        runs.ended(record)
    runs.end(one)
    status, said = await asyncio.to_thread(house.ask, "GET", f"/api/runs/{one.mark}?settled")
    assert status == 200
    expected = {"run": one.mark, "program": "a", "live": False, "calls": 4, "model_calls": 2,
                "refused": {"401": 2}, "ceiling": 0, "input_tokens": 11, "output_tokens": 6,
                "cost_usd": "0.25", "unpriced": 1, "estimated": True, "notional": False, "errors": 0}  # fmt: skip
    assert {name: said[name] for name in expected} == expected
    assert (await asyncio.to_thread(house.ask, "GET", "/api/runs/000000000000"))[0] == 404


async def test_a_refused_websocket_is_a_call_and_no_error_of_a_run(house: House, tallies: Tallies) -> None:
    run = house.runs.begin("codex")
    for error in ("websocket", None, "upstream"):
        house.runs.enter(run.mark)
        record = replace(RECORD, run=run.mark, error=error)
        tallies.ended(record)
        house.runs.ended(record)
    sums = await house.runs.sums(run, settled=True)
    assert (sums["calls"], sums["errors"], sums["open"]) == (3, 1, 0)


async def test_settled_sums_wait_for_calls_that_end_just_now(house: House, tallies: Tallies) -> None:
    runs = house.runs
    run = runs.begin("a")
    runs.enter(run.mark)
    asked = asyncio.create_task(runs.sums(run, settled=True))
    await asyncio.sleep(0)  # it has begun to wait
    at_once = await runs.sums(run, settled=False)
    assert (at_once["calls"], at_once["open"]) == (0, 1)
    assert not asked.done()
    record = replace(RECORD, run=run.mark)
    runs.ended(record)
    tallies.ended(record)  # whichever of the two is told first
    assert (await asked)["calls"] == 1


async def test_a_call_that_never_ends_does_not_keep_its_user_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE_S", 0.01)
    runs = Runs()
    run = runs.begin("a")
    runs.enter(run.mark)
    assert (await runs.sums(run, settled=True))["open"] == 1


def test_marks_that_no_run_has_count_for_none() -> None:
    async def play() -> None:
        runs = Runs()
        run = runs.begin("a")
        assert runs.enter("000000000000") is None
        assert runs.enter("") is None
        runs.end(run)
        assert runs.enter(run.mark) is None
        runs.ended(replace(RECORD, run="000000000000"))
        runs.ended(RECORD)
        assert not runs.bypassed(run.mark, "api.mistral.ai")

    asyncio.run(play())


def test_runs_that_are_over_are_kept_up_to_a_bound_and_live_ones_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        monkeypatch.setattr(module, "KEPT", 3)
        runs = Runs()
        stays = runs.begin("stays")
        over = [runs.begin("x") for _ in range(5)]
        for run in over:
            runs.end(run)
            runs.end(run)
        assert runs.get(stays.mark) is stays
        assert [runs.get(run.mark) is not None for run in over] == [False, False, True, True, True]

    asyncio.run(play())


# -- hosts --


@pytest.mark.parametrize(
    "host",
    [
        "api.mistral.ai", "eu.api.openai.com", "my.openai.azure.com", "openrouter.ai",
        "api.individual.githubcopilot.com", "proxy.business.githubcopilot.com", "api.enterprise.githubcopilot.com",
        "me-central2-aiplatform.googleapis.com", "us-new9-aiplatform.googleapis.com", "aiplatform.us.rep.googleapis.com",
        "aiplatform.eu.rep.googleapis.com", "us-central1-aiplatform.mtls.googleapis.com",
        "bedrock-runtime.mx-central-1.amazonaws.com", "bedrock-runtime-fips.us-east-1.amazonaws.com",
        "bedrock-runtime.cn-north-1.amazonaws.com.cn", "vpce-1-a.bedrock-runtime.us-east-1.vpce.amazonaws.com",
        "us-east-1.api.x.ai", "eu-west-1.api.x.ai", "management-api.x.ai", "api.eu.groq.com", "api-us-west-2.fireworks.ai",
        "eu-api.mistral.ai",
    ],
)  # fmt: skip
def test_hosts_of_known_llms_are_told_with_what_is_below_them(host: str) -> None:
    assert known_llm(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "mistral.ai",
        "ai",
        "xapi.mistral.ai",
        "api.mistral.ai.example",
        "github.com",
        "ab.chatgpt.com",
        "githubcopilot.com",
        "x.ai",
        "fox.ai",
        "storage.googleapis.com",
        "s3.us-east-1.amazonaws.com",
        "api-docs.mistral.ai",
    ],
)
def test_other_hosts_are_none(host: str) -> None:
    assert not known_llm(host)


def test_refused_hosts_are_counted_within_bounds_and_only_as_names_are_written() -> None:
    async def play() -> dict[str, Any]:
        runs = Runs()
        run = runs.begin("a")
        for number in range(MOST_HOSTS + 5):
            assert runs.bypassed(run.mark, f"h{number}.api.openai.com")
        assert runs.bypassed(run.mark, "h0.api.openai.com")
        assert runs.bypassed(run.mark, "\x1b[2J.api.openai.com")
        assert not runs.bypassed(run.mark, "github.com")
        runs.inner(run.mark, "git.corp")
        runs.inner(run.mark, "x\ny")
        return await runs.sums(run, settled=False)

    said = asyncio.run(play())
    assert len(said["bypassed"]) == MOST_HOSTS
    assert said["bypassed"]["h0.api.openai.com"] == 2
    assert said["inner"] == {"git.corp": 1}


# -- the end of a proxy that `run` started --


async def test_it_ends_when_the_last_user_has_left_and_not_before() -> None:
    runs, left = Runs(), asyncio.Event()
    runs.when_unused(left.set, lambda: False, grace=0.01)
    one, other = runs.begin("a"), runs.begin("b")
    runs.end(one)
    await asyncio.sleep(0.05)
    assert not left.is_set()
    assert not runs.closing.is_set()
    runs.end(other)
    async with asyncio.timeout(10):
        await left.wait()
    assert runs.closing.is_set()


async def test_a_user_that_comes_within_the_grace_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, left = Runs(), asyncio.Event()
    runs.when_unused(left.set, lambda: False, grace=0.05)
    runs.end(runs.begin("a"))
    runs.begin("b")
    await asyncio.sleep(0.15)
    assert not left.is_set()


async def test_calls_of_a_program_whose_run_was_killed_are_answered_first() -> None:
    runs, left, busy = Runs(), asyncio.Event(), [True]
    runs.when_unused(left.set, lambda: busy[0], grace=0.01)
    runs.end(runs.begin("a"))
    await asyncio.sleep(0.05)
    assert not left.is_set()
    busy[0] = False
    async with asyncio.timeout(10):
        await left.wait()


async def test_it_ends_when_nobody_ever_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_USER_S", 0.01)
    runs, left = Runs(), asyncio.Event()
    runs.when_unused(left.set, lambda: False, grace=0.01)
    async with asyncio.timeout(10):
        await left.wait()


async def test_one_that_a_person_started_never_ends_for_want_of_users() -> None:
    runs = Runs()
    runs.end(runs.begin("a"))
    await asyncio.sleep(0.05)
    assert not runs.closing.is_set()


def waiting() -> "subprocess.Popen[bytes]":
    """A program that lives until its block ends."""
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


async def test_a_program_whose_run_was_killed_keeps_it_and_is_still_refused_what_its_run_was() -> None:
    runs, left = Runs(), asyncio.Event()
    runs.when_unused(left.set, lambda: False, grace=0.01)
    with waiting() as program:
        run = runs.begin("a")
        run.pid = program.pid
        runs.end(run)
        await asyncio.sleep(0.1)
        assert not left.is_set()
        assert runs.bypassed(run.mark, "api.mistral.ai")
    async with asyncio.timeout(10):
        await left.wait()
    assert not runs.bypassed(run.mark, "api.mistral.ai")


async def test_a_number_that_became_another_programs_keeps_nobody() -> None:
    runs = Runs()
    run = runs.begin("a")
    with waiting() as program:
        run.pid = program.pid
    runs.end(run)
    assert run.pid == 0


@pytest.mark.parametrize("body", ["{}", '{"pid": 0}', '{"pid": -1}', '{"pid": "1"}', '{"pid": true}', "x"])
async def test_a_runs_process_is_a_number(body: str) -> None:
    runs = Runs()
    run = runs.begin("a")
    app = Starlette(routes=routes(runs, Prover(b"k")))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:1") as client:
        assert (await client.post(f"/api/runs/{run.mark}", content=body)).status_code == 400
        assert (await client.post("/api/runs/000000000000", content='{"pid": 7}')).status_code == 404
        assert (await client.post(f"/api/runs/{run.mark}", content='{"pid": 7}')).status_code == 200
    assert run.pid == 7


async def test_a_run_gets_a_key_where_calls_need_one_that_ends_with_it(house: House) -> None:
    connection, answer, mark = await asyncio.to_thread(house.lease)
    run = house.runs.get(mark)
    assert run is not None
    assert house.runs.keyed(run.key) is run
    assert house.runs.keyed(run.key[:-1]) is None
    assert run.key not in repr(run)
    answer.close()
    connection.close()
    await until(lambda: not run.live)
    assert house.runs.keyed(run.key) is None
    house.runs.keys_needed = lambda: True

    def lease() -> Any:
        connection = house.connect()
        connection.request("POST", "/api/runs", json.dumps({"program": "claude"}))
        answer = connection.getresponse()
        said = json.loads(answer.readline())
        answer.close()
        connection.close()
        return said

    said = await asyncio.to_thread(lease)
    other = house.runs.get(said["run"])
    assert other is not None
    assert said["key"] == other.key != run.key
