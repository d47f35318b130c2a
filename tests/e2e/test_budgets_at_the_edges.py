"""Budgets where something goes wrong: the store, the client, the names that a call comes with, the provider's own limits."""

import http.client
import json
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.harness import ANTHROPIC_KEY, Proxy, user
from tests.e2e.test_budgets import DAY, MODEL, booked, counts, settled
from tokenman_core.budget.rules import dollars


def ask(
    proxy: Proxy, text: str = "hi", *, more: dict[str, Any] | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    body = json.dumps({"model": MODEL, "max_tokens": 300, "messages": user(text), **(more or {})})
    fields = {"content-type": "application/json", "x-api-key": ANTHROPIC_KEY}
    connection.request(
        "POST", "/v1/messages", body, fields | {name.replace("_", "-"): it for name, it in headers.items()}
    )
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, data


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_store_that_is_damaged_refuses_calls_and_one_that_is_gone_is_made_anew_from_the_ledger(running, fake):
    proxy = running(budgets=[{**DAY, "limit_usd": 5}])
    assert ask(proxy)[0] == 200
    settled(proxy)
    path = proxy.data / "state.db"
    other = path.with_name("damaged")
    other.write_bytes(b"no database, but a text " * 1000)
    other.replace(path)
    for journal in ("state.db-wal", "state.db-shm"):  # from which SQLite would mend it
        (proxy.data / journal).unlink(missing_ok=True)
    seen = len(fake.received)
    status, headers, data = ask(proxy)
    assert (status, headers["x-tokenman-error"], headers["retry-after"]) == (503, "persistence", "5")
    assert json.loads(data)["type"] == "error"
    assert str(proxy.data).encode() not in data
    assert len(fake.received) == seen
    path.unlink()
    until(lambda: ask(proxy)[0] == 200)
    until(lambda: [dollars(count.spent) for count in settled(proxy).values()] == [booked(proxy, 3)])
    assert booked(proxy, 3) > 0


def test_a_budget_stands_where_it_stood_when_the_store_was_lost_while_nothing_ran(running, fake, tmp_path):
    budgets = [
        {**DAY, "limit_usd": 5},
        *(
            {**DAY, "name": f"each {scope}", "limit_usd": 5, "scope": scope, "window": "total"}
            for scope in ("model", "project", "session", "client", "provider")
        ),
    ]
    proxy = running(budgets=budgets)
    for _ in range(3):
        assert ask(proxy, x_tokenman_project="p" * 150, x_tokenman_session="s" * 65)[0] == 200
    total = booked(proxy, 3)
    before = settled(proxy)
    proxy.stop()
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (proxy.data / name).unlink(missing_ok=True)
    second = tmp_path / "second"
    second.mkdir()
    proxy.data.rename(second / "data")
    proxy = running(second, budgets=budgets)
    until(lambda: "made anew from the ledger" in proxy.log)  # to look into the store before that would make it
    assert counts(proxy) == before
    assert {dollars(count.spent) for count in before.values()} == {total}


def test_a_store_that_cannot_be_written_lets_calls_pass_where_the_budget_says_so_and_books_them_after(running, fake):
    proxy = running(budgets=[{**DAY, "limit_usd": 5, "on_store_error": "allow"}])
    assert ask(proxy)[0] == 200
    (before,) = settled(proxy).values()
    lock = sqlite3.connect(proxy.data / "state.db", isolation_level=None)
    lock.execute("begin immediate")
    try:
        assert ask(proxy)[0] == 200
    finally:
        lock.execute("rollback")
        lock.close()
    until(lambda: sum(count.spent for count in counts(proxy).values()) == 2 * before.spent, 60.0)
    assert dollars(2 * before.spent) == booked(proxy, 2)


@pytest.mark.parametrize("mode", ["redact", "off"])
def test_no_name_that_a_call_comes_with_takes_it_out_of_its_budget_or_troubles_the_store(running, fake, mode):
    proxy = running(
        budgets=[
            {**DAY, "name": "p", "limit_usd": "0.000001", "scope": "project", "match": {"project": "5500*"}},
            {**DAY, "name": "m", "limit_usd": 5, "scope": "model", "on_exceed": "warn"},
            {**DAY, "name": "s", "limit_usd": 5, "scope": "session", "on_exceed": "warn"},
        ],
        redaction={"mode": mode, "entities": {"CREDIT_CARD": "block"}}
        if mode != "off"
        else {"mode": "off", "secrets": "off"},
    )
    assert ask(proxy, x_tokenman_project="5500 0000 0000 0004")[1]["x-tokenman-error"] == "budget"
    ask(proxy, more={"model": "claude-sonnet-4-5\ud800"})
    assert ask(proxy, x_tokenman_session="s" * 5_000)[0] == 200
    found = settled(proxy)
    assert not any("cannot be used" in line for line in proxy.log.splitlines())
    if mode == "redact":
        assert not any("5500" in name for name in found)


@pytest.mark.parametrize(
    ("text", "read"),
    [("[[stall first]]", 0), ("[[slow 300ms]] " + "word " * 100, 1), ("[[slow 300ms]] " + "word " * 100, 2000)],
)
def test_a_client_that_leaves_frees_what_its_call_held_and_pays_for_what_came(running, fake, text, read):
    proxy = running(budgets=[{**DAY, "limit_usd": 5}])
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    body = json.dumps({"model": MODEL, "max_tokens": 500, "stream": True, "messages": user(text)})
    connection.request("POST", "/v1/messages", body, {"content-type": "application/json", "x-api-key": ANTHROPIC_KEY})
    until(lambda: any(count.held for count in counts(proxy).values()))
    if read:
        connection.getresponse().read(read)
    connection.close()
    found = settled(proxy)
    assert sum(dollars(count.spent) for count in found.values()) == booked(proxy, 1)


def test_calls_wait_for_the_providers_own_limit_and_it_is_shown(running, fake):
    proxy = running(providers={"anthropic": {"base_url": fake.url, "pace": "on"}})
    told = (
        "[[header anthropic-ratelimit-requests-limit 30]] [[header anthropic-ratelimit-requests-remaining 0]] "
        "[[header anthropic-ratelimit-requests-reset 60]] [[say hello]]"
    )
    status, headers, _ = ask(proxy, told)
    assert (status, headers["anthropic-ratelimit-requests-remaining"]) == (200, "0")
    began = time.monotonic()
    assert ask(proxy)[0] == 200
    assert time.monotonic() - began > 1.5  # one of 30 in 60 s is back after two
    connection = http.client.HTTPConnection("127.0.0.1", proxy.admin_port, timeout=10)
    token = (proxy.data / "admin-token").read_text().strip()
    connection.request("GET", "/api/providers", headers={"authorization": f"Bearer {token}"})
    items = {each["name"]: each for each in json.loads(connection.getresponse().read())["items"]}
    connection.close()
    (limit,) = items["anthropic"]["rate_limits"]
    assert (limit["model"], limit["kind"], limit["limit"], items["anthropic"]["pace"]) == (MODEL, "requests", 30, "on")
    assert items["openai"]["rate_limits"] == []
