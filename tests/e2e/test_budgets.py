"""Budgets through the real proxy: never overrun by a crowd, never lost by a crash, told to clients in the way that they obey."""

import http.client
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from decimal import Decimal
from typing import Any, ClassVar

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors
from google.genai import types

from tests.e2e.harness import ANTHROPIC_KEY, OPENAI_KEY, Proxy, claude, gpt, user
from tokenman_core.budget.rules import dollars
from tokenman_core.ledger import LedgerReader
from tokenman_core.state import Count, Sqlite
from tokenman_core.webhook import key_of, signature

MODEL = "claude-sonnet-4-5"  # 3 and 15 USD for a million tokens
DAY = {"name": "daily", "window": "day"}


def counts(proxy: Proxy) -> dict[str, Count]:
    store = Sqlite(proxy.data / "state.db")
    try:
        names = [
            name for (name,) in store._connection.execute("select counter from counts union select counter from holds")
        ]
        return dict(store.counts.counts(names, now=time.time()))
    finally:
        store.close()


def settled(proxy: Proxy, seconds: float = 20.0) -> dict[str, Count]:
    """The counters once nothing is held any more."""
    deadline = time.monotonic() + seconds
    while any(count.held for count in counts(proxy).values()):
        assert time.monotonic() < deadline, counts(proxy)
        time.sleep(0.05)
    return counts(proxy)


def booked(proxy: Proxy, calls: int, seconds: float = 20.0) -> Decimal:
    """What the ledger has, once it has so many calls."""
    deadline = time.monotonic() + seconds
    reader = LedgerReader(proxy.data / "ledger.db")
    while len(rows := reader.page(limit=500).rows) < calls:
        assert time.monotonic() < deadline, len(rows)
        time.sleep(0.05)
    return sum((row.cost or Decimal(0) for row in rows), Decimal(0))


def errors(proxy: Proxy, kind: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.admin_port, timeout=10)
    connection.request("GET", "/metrics")
    for line in connection.getresponse().read().decode().splitlines():
        if line.startswith("tokenman_errors_total") and f'type="{kind}"' in line:
            return int(float(line.rpartition(" ")[2]))
    return 0


def test_a_spent_budget_is_told_once_and_no_sdk_comes_again(running, fake):
    proxy = running(budgets=[{**DAY, "limit_usd": "0.0001"}])
    with pytest.raises(anthropic.RateLimitError) as refused:
        claude(proxy, max_retries=3).messages.create(model=MODEL, max_tokens=500, messages=user("hi"))
    response = refused.value.response
    assert response.headers["x-tokenman-error"] == "budget"
    assert response.headers["x-should-retry"] == "false"
    assert 0 < int(response.headers["retry-after"]) <= 86_400
    body = response.json()
    assert body["type"] == "error"
    assert "Budget daily (0.0001 USD a day)" in body["error"]["message"]
    with pytest.raises(openai.RateLimitError):
        gpt(proxy, max_retries=3).chat.completions.create(model="gpt-4.1", max_tokens=500, messages=user("hi"))
    assert errors(proxy, "budget") == 2
    assert not fake.received


def google(proxy: Proxy, **options: Any) -> genai.Client:
    return genai.Client(
        api_key="AIza-the-callers-own-key",
        http_options=types.HttpOptions(base_url=proxy.url, timeout=60_000, **options),
    )


def test_googles_package_is_told_of_a_spent_budget_once_and_comes_again_after_a_rate_limit(running, fake, tmp_path):
    providers = {"gemini": {"base_url": fake.url}}
    poor = running(budgets=[{**DAY, "limit_usd": "0.0000001"}], providers=providers)
    asking = google(poor)  # held, for it closes its connections when it is forgotten
    for refused in (
        lambda: asking.models.generate_content(model="gemini-2.5-flash", contents="hi"),
        lambda: asking.models.embed_content(model="gemini-embedding-001", contents=["why is the sky blue", "and red"]),
    ):
        before = errors(poor, "budget")
        with pytest.raises(genai_errors.ClientError) as told:
            refused()
        assert (told.value.code, told.value.status) == (429, "RESOURCE_EXHAUSTED")
        assert errors(poor, "budget") == before + 1
    assert not fake.received
    folder = tmp_path / "limited"
    folder.mkdir()
    limited = running(folder, rate_limits=[{"name": "one", "requests": "1/8s"}], providers=providers)
    patient = google(limited, retry_options=types.HttpRetryOptions(attempts=6))
    for _ in range(2):
        assert patient.models.generate_content(model="gemini-2.5-flash", contents="hi").text == "You said: hi"
    assert errors(limited, "rate_limit") > 0


def test_what_a_call_costs_is_booked_on_its_budget_to_the_last_digit(running, fake):
    proxy = running(
        budgets=[{**DAY, "limit_usd": 5}, {"name": "models", "limit_usd": 5, "scope": "model", "window": "total"}]
    )
    claude(proxy).messages.create(model=MODEL, max_tokens=500, messages=user("why is the sky blue?"))
    with claude(proxy).messages.stream(model=MODEL, max_tokens=500, messages=user("and red in the evening?")) as stream:
        stream.until_done()
    gpt(proxy).chat.completions.create(model="gpt-4.1", max_tokens=500, messages=user("hello"))
    gpt(proxy).embeddings.create(model="text-embedding-3-small", input="hello")
    total = booked(proxy, 4)
    found = settled(proxy)
    assert (
        sum(count.spent for name, count in found.items() if name.startswith("budget/daily/")) * Decimal("1e-12")
        == total
    )
    per_model = {name.rpartition("/")[2]: dollars(count.spent) for name, count in found.items() if "/models/" in name}
    assert set(per_model) == {MODEL, "gpt-4.1", "text-embedding-3-small"}
    assert sum(per_model.values()) == total > 0


def test_what_is_left_lowers_how_much_a_call_may_write(running, fake):
    proxy = running(budgets=[{**DAY, "limit_usd": "0.02"}])
    answer = claude(proxy).messages.with_raw_response.create(model=MODEL, max_tokens=50_000, messages=user("hi"))
    capped = int(answer.headers["x-tokenman-capped"])
    assert 256 <= capped < 0.02 / 15e-6
    (sent,) = fake.received
    assert json.loads(sent.decoded)["max_tokens"] == capped
    chat = gpt(proxy).chat.completions.with_raw_response.create(model="gpt-4.1", messages=user("hi"))
    said = json.loads(fake.received[-1].decoded)
    assert said["max_completion_tokens"] == int(chat.headers["x-tokenman-capped"])


def test_a_budget_of_a_project_is_about_its_calls_alone(running, fake):
    proxy = running(budgets=[{**DAY, "limit_usd": "0.0001", "match": {"project": "web-*"}}])
    client = claude(proxy)
    client.messages.create(model=MODEL, max_tokens=500, messages=user("hi"))
    with pytest.raises(anthropic.RateLimitError):
        client.messages.create(
            model=MODEL, max_tokens=500, messages=user("hi"), extra_headers={"x-tokenman-project": "web-shop"}
        )


def test_a_call_that_is_too_dear_goes_to_the_cheaper_model(running, fake):
    rule = {**DAY, "limit_usd": "0.008", "on_exceed": "downgrade", "downgrade_to": "claude-haiku-4-5"}
    proxy = running(budgets=[rule])
    answer = claude(proxy).messages.with_raw_response.create(model=MODEL, max_tokens=1000, messages=user("hi"))
    assert answer.headers["x-tokenman-downgraded"] == "claude-haiku-4-5"
    assert json.loads(fake.received[-1].decoded)["model"] == "claude-haiku-4-5"
    small = claude(proxy).messages.with_raw_response.create(model=MODEL, max_tokens=100, messages=user("hi"))
    assert "x-tokenman-downgraded" not in small.headers


def test_what_has_no_price_or_no_bound_is_refused_with_the_line_that_mends_it(running, fake):
    proxy = running(budgets=[{**DAY, "limit_usd": 5}], pricing={"unknown_model": "allow"})
    with pytest.raises(openai.BadRequestError) as unknown:
        gpt(proxy).chat.completions.create(model="house-model", messages=user("hi"))
    assert unknown.value.response.headers["x-tokenman-error"] == "pricing"
    assert "pricing: {overrides: {house-model:" in unknown.value.message
    with pytest.raises(openai.BadRequestError) as endless:
        gpt(proxy).responses.create(model="gpt-5", input="hi", background=True)
    assert "unbounded: allow" in endless.value.message
    assert not fake.received


def test_a_failed_attempt_frees_what_it_held_and_a_subscription_counts_for_nothing(running, fake):
    proxy = running(budgets=[{**DAY, "limit_usd": "0.01"}], retry={"attempts": 1})
    with pytest.raises(anthropic.InternalServerError):
        claude(proxy).messages.create(model=MODEL, max_tokens=400, messages=user("[[status 500]]"))
    assert settled(proxy) == {}
    oauth = {"anthropic-beta": "oauth-2025-04-20"}
    login = claude(proxy, api_key=None, auth_token="sk-ant-oat01-a-subscription", default_headers=oauth)
    login.messages.create(model=MODEL, max_tokens=50_000, messages=user("hi"))
    assert settled(proxy) == {}


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/messages", {"x-api-key": ANTHROPIC_KEY, "authorization": "Bearer sk-ant-oat01-no-login-at-all"}),
        ("/p/openai/v1/chat/completions", {"authorization": f"Bearer {OPENAI_KEY}", "chatgpt-account-id": "a"}),
        ("/p/openai/v1/chat/completions", {"authorization": "Bearer eyJ.a.b", "chatgpt-account-id": "a"}),
    ],
    ids=["a login beside a key", "an account at the API", "a token and an account at the API"],
)
def test_no_header_makes_a_subscription_of_a_call_that_its_key_pays_for(running, fake, path, headers):
    proxy = running(budgets=[{**DAY, "limit_usd": "0.0001"}])
    model = MODEL if path == "/v1/messages" else "gpt-4.1"
    body = json.dumps({"model": model, "max_tokens": 500, "messages": user("hi")})
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    connection.request("POST", path, body, {"content-type": "application/json", **headers})
    response = connection.getresponse()
    assert (response.status, response.getheader("x-tokenman-error")) == (429, "budget")
    connection.close()


SPENDER = """
import http.client, json, sys, threading
port, threads, body = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode()
statuses = []
def call():
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", "/v1/messages", body, {"content-type": "application/json", "x-api-key": sys.argv[4]})
    response = connection.getresponse()
    response.read()
    statuses.append([response.status, response.getheader("x-should-retry") or ""])
running = [threading.Thread(target=call) for _ in range(threads)]
[each.start() for each in running]
[each.join() for each in running]
print(json.dumps(statuses))
"""


def test_two_hundred_calls_at_once_from_several_processes_spend_what_the_budget_affords(running, fake):
    # A call holds 0.0075 USD for its output and some 0.0016 for its input: the budget affords ten at a time.
    proxy = running(budgets=[{**DAY, "limit_usd": "0.097"}])
    body = json.dumps(
        {"model": MODEL, "max_tokens": 500, "messages": user("[[slow 400ms]][[say " + "word " * 300 + "]]")}
    )
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", SPENDER, str(proxy.port), "50", body, ANTHROPIC_KEY], stdout=subprocess.PIPE
        )
        for _ in range(4)
    ]
    passed: list[Count] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            passed.extend(counts(proxy).values())

    watcher = threading.Thread(target=watch)
    watcher.start()
    statuses = Counter(status for client in clients for status, _ in json.loads(client.communicate(timeout=180)[0]))
    over.set()
    watcher.join()
    limit = int(Decimal("0.097") * 10**12)
    assert passed
    assert all(count.spent + count.held <= limit for count in passed)
    assert set(statuses) == {200, 429}
    assert sum(statuses.values()) == 200
    assert statuses[200] == len(fake.received) >= 10
    total = booked(proxy, 200)
    (found,) = settled(proxy).values()
    assert dollars(found.spent) == total <= Decimal("0.097")


def test_a_killed_proxy_frees_what_its_streams_held_and_books_what_they_had_read(running, fake, tmp_path):
    first = running(budgets=[{**DAY, "limit_usd": 50}])
    for number in range(5):
        claude(first).messages.create(model=MODEL, max_tokens=100, messages=user(f"number {number}"))
    before = booked(first, 5)
    body = json.dumps(
        {"model": MODEL, "max_tokens": 500, "stream": True, "messages": user("[[slow 200ms]] " + "word " * 200)}
    )
    streams = []
    for _ in range(50):
        connection = http.client.HTTPConnection("127.0.0.1", first.port, timeout=60)
        connection.request(
            "POST", "/v1/messages", body, {"content-type": "application/json", "x-api-key": ANTHROPIC_KEY}
        )
        streams.append(connection)
    for connection in streams:
        assert connection.getresponse().readline()
    (held,) = counts(first).values()
    assert held.held > 0
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    for connection in streams:
        connection.close()
    (after,) = counts(first).values()
    assert dollars(after.spent) == before
    assert after.held == held.held
    second_folder = tmp_path / "second"
    second_folder.mkdir()
    (tmp_path / "data").rename(second_folder / "data")
    second = running(second_folder, budgets=[{**DAY, "limit_usd": 50}])
    claude(second).messages.create(model=MODEL, max_tokens=100, messages=user("again"))
    total = booked(second, 56)
    (found,) = settled(second).values()
    assert dollars(found.spent) == total > before
    lost = [row for row in LedgerReader(second.data / "ledger.db").page(limit=500).rows if row.outcome == "crashed"]
    assert len(lost) == 50
    assert {(row.model, row.estimated, row.error, row.stream) for row in lost} == {(MODEL, True, "internal", True)}
    assert all(
        row.usage.input > 200 and row.usage.output == 0 and "USD more may be billed" in row.detail for row in lost
    )
    assert sum(row.cost for row in lost) < dollars(held.held)
    assert "50 calls ran when their process ended" in second.log


def test_a_killed_proxy_leaves_a_row_of_each_call_without_any_budget_about_it(running, fake, tmp_path):
    first = running()
    body = json.dumps(
        {"model": MODEL, "max_tokens": 500, "stream": True, "messages": user("[[slow 200ms]] " + "word " * 400)}
    )
    streams = [http.client.HTTPConnection("127.0.0.1", first.port, timeout=60) for _ in range(20)]
    for connection in streams:
        connection.request(
            "POST", "/v1/messages", body, {"content-type": "application/json", "x-api-key": ANTHROPIC_KEY}
        )
    for connection in streams:
        assert connection.getresponse().readline()
    ended = [
        claude(first).messages.with_raw_response.create(model=MODEL, max_tokens=9, messages=user(f"number {number}"))
        for number in range(5)
    ]
    os.kill(first.process.pid, signal.SIGKILL)  # the last rows have hardly been written
    first.process.wait()
    for connection in streams:
        connection.close()
    second_folder = tmp_path / "second"
    second_folder.mkdir()
    (tmp_path / "data").rename(second_folder / "data")
    second = running(second_folder)
    booked(second, 25)
    rows = LedgerReader(second.data / "ledger.db").page(limit=500).rows
    lost = [row for row in rows if row.stream]
    assert len(rows) == 25
    assert len(lost) == 20
    assert {(row.outcome, row.error, row.model, row.estimated, row.basis) for row in lost} == {
        ("crashed", "internal", MODEL, True, "list")
    }
    assert all(400 < row.usage.input < 1000 and row.cost == row.usage.input * Decimal("0.000003") for row in lost)
    whole = {row.id: row for row in rows if not row.stream}
    assert set(whole) == {answer.headers["x-tokenman-request-id"] for answer in ended}
    for answer in ended:
        assert whole[answer.headers["x-tokenman-request-id"]].cost == Decimal(answer.headers["x-tokenman-cost-usd"])
    second.stop()
    third_folder = tmp_path / "third"
    third_folder.mkdir()
    (second_folder / "data").rename(third_folder / "data")
    third = running(third_folder)
    claude(third).messages.create(model=MODEL, max_tokens=9, messages=user("again"))
    booked(third, 26)
    assert len(LedgerReader(third.data / "ledger.db").page(limit=500).rows) == 26


class Hook(http.server.BaseHTTPRequestHandler):
    """Takes messages, the second time that one comes."""

    got: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(503 if len(self.got) == 1 else 204)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def test_alerts_are_told_to_the_webhook_signed_and_budgets_are_shown(running, fake):
    Hook.got.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        proxy = running(
            budgets=[{**DAY, "limit_usd": "0.001", "scope": "model", "alerts": [0.1, 0.9], "on_exceed": "warn"}],
            alerts={"webhook": f"http://127.0.0.1:{server.server_port}/a-secret-path"},
        )
        claude(proxy).messages.create(model=MODEL, max_tokens=500, messages=user("[[say " + "word " * 30 + "]]"))
        deadline = time.monotonic() + 30
        while len(Hook.got) < 2:
            assert time.monotonic() < deadline, proxy.log
            time.sleep(0.05)
        (first, body), (again, same) = Hook.got[:2]
        assert body == same
        assert first["webhook-id"] == again["webhook-id"]
        key = (proxy.data / "webhook-secret").read_text().strip()
        signed = signature(key_of(key), again["webhook-id"], int(again["webhook-timestamp"]), body)
        assert again["webhook-signature"] == signed.decode()
        said = json.loads(body)
        assert said["type"] == "budget.alert"
        assert said["data"] | {"spent_usd": "", "window_name": ""} == {
            "budget": "daily", "scope": "model", "counted_by": MODEL, "window": "day", "window_name": "", "share": 0.1,
            "spent_usd": "", "limit_usd": "0.001000000000", "overrun_usd": None, "on_exceed": "warn",
        }  # fmt: skip
        assert "a-secret-path" not in proxy.log
        connection = http.client.HTTPConnection("127.0.0.1", proxy.admin_port, timeout=10)
        token = (proxy.data / "admin-token").read_text().strip()
        connection.request("GET", "/api/budgets", headers={"authorization": f"Bearer {token}"})
        (shown,) = json.loads(connection.getresponse().read())["items"]
        assert (shown["name"], shown["counted_by"], shown["limit_usd"], shown["held_usd"]) == (
            "daily",
            MODEL,
            "0.001",
            "0",
        )
        assert Decimal(shown["spent_usd"]) == booked(proxy, 1)
        connection.request("GET", "/metrics")
        ratio = [
            line for line in connection.getresponse().read().decode().splitlines() if "budget_spent_ratio{" in line
        ]
        assert float(ratio[0].rpartition(" ")[2]) == pytest.approx(shown["spent_ratio"], rel=1e-4)
    finally:
        server.shutdown()
        server.server_close()
