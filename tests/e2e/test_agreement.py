"""A hundred calls of all kinds: rows, page, summary, metrics, report and status line tell the same, to the last digit."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from addons.demo.provider import FakeProvider
from tests.e2e.harness import ROOT, Proxy, claude, gpt, said, user

MODEL, GPT = "claude-sonnet-4-6", "gpt-4.1"
CALLS = 100
MONEY = ("cost_usd", "notional_usd", "saved_usd")


@pytest.fixture
def own(shared_provider: FakeProvider, provider: FakeProvider, tmp_path: Path) -> Iterator[Proxy]:
    """Calls that fail are tried again soon, and a breaker that they would open stays out of it."""
    proxy = Proxy.start(
        tmp_path,
        shared_provider.url,
        pricing={"overrides": {"mine-*": {"input_mtok": 0.0375, "output_mtok": 0}}},
        retry={"base_delay": "10ms"},
        breaker={"failures": 1000, "min_calls": 0},
    )
    yield proxy
    proxy.stop()


def plain(proxy: Proxy) -> None:
    claude(proxy).messages.create(model=MODEL, max_tokens=99, messages=user(said("e-mail")))


def streamed(proxy: Proxy) -> None:
    with claude(proxy, "proxy").messages.stream(model=MODEL, max_tokens=99, messages=user(said("phone"))) as stream:
        stream.until_done()


def chat(proxy: Proxy) -> None:
    gpt(proxy).chat.completions.create(model=GPT, messages=user(said("card")))


def chat_streamed(proxy: Proxy) -> None:
    for _ in gpt(proxy, "proxy").chat.completions.create(model=GPT, messages=user("hello"), stream=True):
        pass


def responses(proxy: Proxy) -> None:
    gpt(proxy).responses.create(model=GPT, input="hello [[thinking]]")


def unlisted(proxy: Proxy) -> None:
    gpt(proxy).chat.completions.create(model="nobody-has-heard-of-it", messages=user("hello"))


def own_price(proxy: Proxy) -> None:
    gpt(proxy).chat.completions.create(
        model="mine-1", messages=user("hello"), extra_headers={"x-tokenman-project": "p"}
    )


def failing(proxy: Proxy) -> None:
    with pytest.raises(anthropic.APIStatusError):
        claude(proxy).messages.create(model=MODEL, max_tokens=9, messages=user("[[status 503]]"))


def limited(proxy: Proxy) -> None:
    with pytest.raises(openai.RateLimitError):
        gpt(proxy).chat.completions.create(model=GPT, messages=user("[[status 429]]"))


def truncated(proxy: Proxy) -> None:
    with pytest.raises(openai.APIError):
        for _ in gpt(proxy).chat.completions.create(model=GPT, messages=user("[[truncate]] [[big 400]]"), stream=True):
            pass


def left(proxy: Proxy) -> None:
    stream = claude(proxy).messages.create(
        model=MODEL, max_tokens=9, messages=user("[[stall]] [[big 400]]"), stream=True
    )
    for event in stream:
        if event.type == "content_block_delta":
            break
    stream.close()


def malformed(proxy: Proxy) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    connection.request("POST", "/v1/messages", b'{"model": ', {"content-type": "application/json"})
    assert connection.getresponse().status == 400
    connection.close()


def counted(proxy: Proxy) -> None:
    claude(proxy).messages.count_tokens(model=MODEL, messages=user("hello"))


KINDS: tuple[Callable[[Proxy], None], ...] = (
    plain, streamed, chat, chat_streamed, responses, unlisted, own_price, failing, limited, truncated, left, malformed,
    counted,
)  # fmt: skip


def ask(proxy: Proxy, path: str) -> Any:
    token = (proxy.data / "admin-token").read_text().strip()
    connection = http.client.HTTPConnection("127.0.0.1", proxy.admin_port, timeout=20)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, body
    return json.loads(body) if path.startswith("/api") else body.decode()


def rows(proxy: Proxy) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    before = ""
    while True:
        page = ask(proxy, f"/api/requests?limit=30{before}")
        found += page["items"]
        if page["next"] is None:
            return found
        before = f"&before={page['next']}"


def all_rows(proxy: Proxy) -> list[dict[str, Any]]:
    """The last of them is written a moment after its call."""
    deadline = time.monotonic() + 30
    while len(found := rows(proxy)) < CALLS:
        assert time.monotonic() < deadline, f"{len(found)} rows:\n{proxy.log}"
        time.sleep(0.1)
    return found


def summed(found: list[dict[str, Any]]) -> dict[str, Any]:
    """What a summary must say of these rows."""
    numbers = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    return {
        "calls": len(found),
        "errors": sum(row["error"] is not None for row in found),
        "aborted": sum(row["outcome"] == "aborted" for row in found),
        "masked": sum(row["redactions"] for row in found),
        **{name: sum(row[name] for row in found) for name in numbers},
        **{name: sum((Decimal(row[name] or 0) for row in found), Decimal(0)) for name in ("cost_usd", "saved_usd")},
    }


def same(told: dict[str, Any], expected: dict[str, Any]) -> None:
    assert {name: Decimal(told[name]) if name in MONEY else told[name] for name in expected} == expected


def scraped(proxy: Proxy) -> tuple[dict[str, Decimal], Counter[str]]:
    """Sums of the series by their names, exact, and the tokens by kind."""
    text = ask(proxy, "/metrics")
    assert list(text_string_to_metric_families(text))
    sums: dict[str, Decimal] = {}
    kinds: Counter[str] = Counter()
    for line in text.splitlines():
        if found := re.fullmatch(r"(\w+?)(?:\{(.*)\})? (\S+)", line):
            sums[found[1]] = sums.get(found[1], Decimal(0)) + Decimal(found[3])
            if found[1] == "tokenman_tokens_total":
                kinds[re.search(r'kind="(\w+)"', found[2])[1]] += int(Decimal(found[3]))  # type: ignore[index]
    return sums, kinds


def reported(proxy: Proxy, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "addons.cli.main", "report", "--config", str(proxy.home.parent / "tokenman.yaml")]
    environment = os.environ | {"HOME": str(proxy.home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--json", *arguments], env=environment, cwd=proxy.home, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_hundred_mixed_calls_are_told_alike_everywhere(own: Proxy) -> None:
    for number in range(CALLS):
        KINDS[number % len(KINDS)](own)
    found = all_rows(own)
    assert len(found) == CALLS
    assert len({row["id"] for row in found}) == CALLS
    expected = summed(found)
    made = Counter(KINDS[number % len(KINDS)] for number in range(CALLS))
    assert expected["cost_usd"] > 0
    assert expected["masked"] == made[plain] + made[streamed] + made[chat]
    assert expected["errors"] == made[failing] + made[truncated] + made[malformed]
    assert expected["aborted"] == made[left]

    summary = ask(own, "/api/summary?since=24h")
    same(summary["total"], expected)
    for by in ("model", "project", "client", "provider", "day", "session"):
        report = reported(own, "--by", by)
        same(report["total"], expected)
        groups = report["items"]
        assert sum(group["calls"] for group in groups) == CALLS
        assert sum(Decimal(group["cost_usd"]) for group in groups) == expected["cost_usd"]

    sums, kinds = scraped(own)
    assert sums["tokenman_requests_total"] == CALLS
    assert sums["tokenman_errors_total"] == expected["errors"]
    assert sums["tokenman_client_aborts_total"] == expected["aborted"]
    assert sums["tokenman_redactions_total"] == expected["masked"]
    assert sums["tokenman_cost_usd_total"] == expected["cost_usd"]
    assert sums["tokenman_request_duration_seconds_count"] == CALLS
    assert {name: kinds[name] for name in ("input", "output", "cache_read", "cache_write")} == {
        name: expected[f"{name}_tokens"] for name in ("input", "output", "cache_read", "cache_write")
    }
    assert sums["tokenman_active_requests"] == 0


def test_what_each_kind_of_call_came_to_is_marked(own: Proxy) -> None:
    for kind in KINDS:
        kind(own)
    deadline = time.monotonic() + 30
    while len(found := rows(own)) < len(KINDS):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    row = dict(zip((kind.__name__ for kind in KINDS), sorted(found, key=lambda row: row["time"]), strict=True))
    for name in ("plain", "streamed", "chat", "chat_streamed", "responses"):
        assert (row[name]["status"], row[name]["error"]) == (200, None), name
        assert row[name]["output_tokens"] > 0, name
        assert Decimal(row[name]["cost_usd"]) > 0, name
    assert row["own_price"]["project"] == "p"
    assert Decimal(row["own_price"]["cost_usd"]) == row["own_price"]["input_tokens"] * Decimal("0.0375") / 10**6
    assert row["unlisted"]["cost_basis"] == "ceiling"
    assert (row["failing"]["status"], row["failing"]["error"]) == (503, "upstream")
    assert (row["limited"]["status"], row["limited"]["error"]) == (429, None)
    assert (row["truncated"]["outcome"], row["truncated"]["error"]) == ("broken", "upstream")
    assert row["truncated"]["output_tokens"] > 0
    assert (row["left"]["outcome"], row["left"]["error"]) == ("aborted", None)
    assert row["left"]["output_tokens"] > 0
    assert (row["malformed"]["status"], row["malformed"]["error"]) == (400, "parse")
    assert row["malformed"]["attempts"] == 0
    assert row["counted"]["output_tokens"] == 0
