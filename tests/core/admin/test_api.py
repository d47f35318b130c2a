import functools
import random
import threading
from datetime import UTC, timedelta
from decimal import Decimal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.core.admin.conftest import TOKEN
from tests.core.ledger.calls import NOON, bill, call, mixed, name
from tokenman_core import __version__
from tokenman_core.admin import api
from tokenman_core.admin.readiness import Reach
from tokenman_core.budget import windows
from tokenman_core.budget.books import State
from tokenman_core.budget.rules import Rule, units
from tokenman_core.exchange import Redacted, Spot
from tokenman_core.ledger.reader import LedgerReader
from tokenman_core.ledger.row import details, plain, row_of
from tokenman_core.record import Tried
from tokenman_core.scopes import Reach as Scope
from tokenman_core.state import Count, Unavailable
from tokenman_core.usage import Bill, Usage

MASKED = (
    Redacted("EMAIL_ADDRESS", "redact", "redaction.mode", 2),
    Redacted("PHONE_NUMBER", "log", "redaction.mode", 1),
)


# -- sums --


async def test_the_summary_is_what_the_report_says(admin):
    admin.end(call(1, redactions=MASKED), call(2, model="gpt-5-mini", provider="openai", bill=bill("0.5")))
    answer = (await admin.get("/api/summary")).json()
    report = LedgerReader(admin.path).totals("model").as_json()
    assert {name: answer[name] for name in report} == report
    assert answer["total"]["cost_usd"] == "0.5123"
    assert [item["model"] for item in answer["items"]] == ["gpt-5-mini", "claude-sonnet-4-5"]
    assert answer["redactions"] == [
        {"entity": "EMAIL_ADDRESS", "action": "redact", "count": 2},
        {"entity": "PHONE_NUMBER", "action": "log", "count": 1},
    ]


async def test_the_summary_tells_of_caches_what_the_report_tells(admin):
    broken = {"cache_break": "tool changed at tools[3]", "cache_lost": 9_000, "cache_lost_usd": Decimal("0.0243")}
    admin.end(
        call(1, bill=bill("0.5", cache_read=250), **broken),
        call(2, repeats="deterministic"),
        call(3, cache="hit", bill=None),
        call(4, NOON - timedelta(days=3), **broken),
    )
    answer = (await admin.get("/api/summary?by=session")).json()
    assert answer["prompt_cache_breaks"] == [
        {"cause": "tool changed", "count": 1, "lost_tokens": 9_000, "lost_usd": "0.0243"}
    ]
    for sums in (answer["total"], answer["items"][0]):
        assert (sums["prompt_cache_read_ratio"], sums["cache_hit_ratio"]) == (0.125, 0.3333)
        assert (sums["repeated_calls"], sums["repeated_usd"]) == (1, "0.0123")
        assert (sums["repeated_deterministic_calls"], sums["repeated_deterministic_usd"]) == (1, "0.0123")
    older = (await admin.get("/api/summary?since=7d")).json()
    assert older["prompt_cache_breaks"][0]["count"] == 2


async def test_one_call_tells_how_many_placeholders_of_its_answer_stayed(admin):
    admin.end(call(1, unrestored=3), call(2))
    assert [(await admin.get(f"/api/requests/{name(n)}")).json()["unrestored"] for n in (1, 2)] == [3, 0]


async def test_one_call_tells_why_its_providers_cache_broke(admin):
    broken = {"cache_break": "tool changed at tools[3]", "cache_lost": 9_000, "cache_lost_usd": Decimal("0.0243")}
    admin.end(call(1, repeats="all", **broken), call(2))
    told = (await admin.get(f"/api/requests/{name(1)}")).json()
    assert (told["prompt_cache_break"], told["repeats"]) == ("tool changed at tools[3]", "all")
    assert (told["prompt_cache_lost_tokens"], told["prompt_cache_lost_usd"]) == (9_000, "0.0243")
    told = (await admin.get(f"/api/requests/{name(2)}")).json()
    assert (told["prompt_cache_break"], told["prompt_cache_lost_tokens"], told["repeats"]) == (None, 0, None)


@pytest.mark.parametrize("by", ["model", "project", "client", "provider", "day", "session"])
async def test_the_summary_is_grouped_as_asked(admin, by):
    admin.end(call(1))
    answer = (await admin.get(f"/api/summary?by={by}")).json()
    assert answer["by"] == by
    assert set(answer["items"][0]) == {by, *answer["total"]}


async def test_the_summary_keeps_to_its_window(admin):
    admin.end(call(1, NOON - timedelta(hours=30)), call(2, NOON - timedelta(hours=2)), call(3, NOON))
    for window, calls in (
        ("", 2),
        ("since=1h", 1),
        ("since=7d", 3),
        ("since=today", 2),
        ("since=all", 3),
        ("since=2026-11-23&until=2026-11-24", 1),
        ("since=2d&until=90m", 2),
    ):
        answer = (await admin.get(f"/api/summary?{window}")).json()
        assert answer["total"]["calls"] == calls, window
    assert (answer["since"], answer["until"]) == ("2026-11-22T12:01:00.000Z", "2026-11-24T10:31:00.000Z")


async def test_the_summary_tells_what_is_now(admin):
    admin.running = 3
    admin.end(call(1), call(2, error="upstream", status=502))
    admin.metrics.turned_away("forbidden")
    admin.tallies.turned_away("forbidden")
    answer = (await admin.get("/api/summary?since=1s")).json()
    assert (answer["total"]["calls"], answer["active"]) == (0, 3)
    live = answer["live"]
    assert (live["active"], live["calls"], live["errors"], live["turned_away"]) == (3, 2, 1, 1)
    assert (live["cost_usd"], live["version"], live["uptime_s"]) == ("0.0246", __version__, 90)
    assert live["started"] == "2026-11-24T11:59:30.000Z"
    assert live["errors_by_type"] == {"forbidden": 1, "upstream": 1}


async def test_ledger_metrics_and_summary_agree_to_the_last_digit(admin):
    dice = random.Random(3)
    records = [mixed(number, dice, NOON) for number in range(100)]
    admin.end(*records)
    total = (await admin.get("/api/summary?by=provider")).json()["total"]
    samples = {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in text_string_to_metric_families((await admin.get("/metrics")).text)
        for one in family.samples
    }

    def metric(name, **labels):
        wanted = set(labels.items())
        return [value for (found, given), value in samples.items() if found == name and wanted <= set(given)]

    rows = (await admin.get("/api/requests?limit=1000")).json()["items"]
    assert len(rows) == total["calls"] == sum(metric("tokenman_requests_total")) == 100
    cost = sum(Decimal(row["cost_usd"] or 0) for row in rows)
    assert (
        plain(cost)
        == total["cost_usd"]
        == plain(sum(Decimal(repr(each)) for each in metric("tokenman_cost_usd_total")))
    )
    assert plain(admin.tallies.total.cost) == total["cost_usd"]
    assert plain(admin.tallies.total.saved) == total["saved_usd"]
    assert sum(Decimal(repr(each)) for each in metric("tokenman_saved_usd_total")) == Decimal(total["saved_usd"])
    for kind in ("input", "output", "cache_read", "cache_write", "reasoning"):
        assert (
            sum(metric("tokenman_tokens_total", kind=kind))
            == total[f"{kind}_tokens"]
            == sum(row[f"{kind}_tokens"] for row in rows)
        )
    assert sum(metric("tokenman_errors_total")) == total["errors"] == sum(row["error"] is not None for row in rows)
    assert sum(metric("tokenman_client_aborts_total")) == total["aborted"]
    assert sum(metric("tokenman_unpriced_total")) == total["unpriced_calls"]
    hits = sum(metric("tokenman_redactions_total")) - sum(metric("tokenman_redactions_total", action="log"))
    assert hits == total["masked"] == sum(row["redactions"] for row in rows)


# -- calls --


async def test_calls_come_newest_first_page_by_page(admin):
    admin.end(*(call(number, NOON + timedelta(seconds=number)) for number in range(1, 6)))
    first = (await admin.get("/api/requests?limit=2")).json()
    assert [row["id"] for row in first["items"]] == [name(5), name(4)]
    second = (await admin.get(f"/api/requests?limit=3&before={first['next']}")).json()
    assert [row["id"] for row in second["items"]] == [name(3), name(2), name(1)]
    assert second["next"] is None


async def test_a_row_has_every_field_of_the_interface(admin):
    admin.end(call(1, redactions=MASKED))
    (row,) = (await admin.get("/api/requests")).json()["items"]
    fields = (
        "id, time, provider, model, dialect, project, client, session, status, error, stream, attempts, cache, "
        "input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_usd, saved_usd, redactions, duration_ms, "
        "ttft_ms, overhead_ms"
    )
    assert set(fields.split(", ")) <= set(row)
    assert row == details(row_of(call(1, redactions=MASKED)))
    assert (row["cost_usd"], row["redactions"], row["time"]) == ("0.0123", 2, "2026-11-24T12:00:00.000Z")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("model=gpt-*", [2]),
        ("provider=openai", [2]),
        ("project=blog", [3]),
        ("client=bob", [3]),
        ("session=s-9", [3]),
        ("status=400", [2]),
        ("status=4xx", [2]),
        ("status=error", [2]),
        ("q=GPT", [2]),
        ("q=req_000000000000000000000003", [3]),
        ("q=nothing", []),
        ("model=", [3, 2, 1]),
        ("provider=openai&status=200", []),
    ],
)
async def test_calls_are_found_by_their_fields(admin, query, found):
    at = [NOON + timedelta(seconds=number) for number in range(4)]
    admin.end(
        call(1, at[1]),
        call(2, at[2], model="gpt-5-mini", provider="openai", status=400, error="redaction", outcome="refused"),
        call(3, at[3], project="blog", client="bob", session="s-9"),
    )
    rows = (await admin.get(f"/api/requests?{query}")).json()["items"]
    assert [row["id"] for row in rows] == [name(number) for number in found]


async def test_one_call_tells_what_was_masked_and_by_which_setting(admin):
    admin.end(call(7, redactions=MASKED, outcome="refused", status=400, error="redaction", detail="why it was"))
    answer = (await admin.get(f"/api/requests/{name(7)}")).json()
    assert answer["redacted"][0] == {
        "entity": "EMAIL_ADDRESS",
        "action": "redact",
        "setting": "redaction.mode",
        "count": 2,
    }
    assert (answer["outcome"], answer["detail"], answer["attempts"]) == ("refused", "why it was", 1)
    assert answer["spots"] == []


async def test_one_call_tells_where_it_stood_and_a_list_does_not(admin):
    spot = Spot("messages[0].content[1].text", "EMAIL_ADDRESS", "redact", "0123456789abcdef", 2)
    admin.end(call(7, redactions=MASKED, spots=(spot,)))
    answer = (await admin.get(f"/api/requests/{name(7)}")).json()
    assert answer["spots"] == [
        {"place": spot.place, "entity": spot.entity, "action": "redact", "hash": spot.hash, "times": 2}
    ]
    assert "spots" not in (await admin.get("/api/requests")).json()["items"][0]


async def test_what_was_found_is_told_by_day_and_by_project_too(admin):
    admin.end(call(1, redactions=MASKED), call(2, NOON - timedelta(days=3), redactions=MASKED[:1], project="blog"))
    answer = (await admin.get("/api/redaction?since=7d")).json()
    mail = {"entity": "EMAIL_ADDRESS", "action": "redact", "count": 2}
    phone = {"entity": "PHONE_NUMBER", "action": "log", "count": 1}
    assert answer["by_project"] == [
        {"project": "blog", **mail}, {"project": "shop", **mail}, {"project": "shop", **phone},
    ]  # fmt: skip
    assert [(each["day"], each["entity"], each["count"]) for each in answer["by_day"]] == [
        ("2026-11-24", "PHONE_NUMBER", 1), ("2026-11-24", "EMAIL_ADDRESS", 2), ("2026-11-21", "EMAIL_ADDRESS", 2),
    ]  # fmt: skip


@pytest.mark.parametrize("wanted", [name(9), "x", "req_", "..%2f..%2fetc", "%00", "a" * 500])
async def test_a_call_that_is_not_there_is_404(admin, wanted):
    admin.end(call(1))
    answer = await admin.get(f"/api/requests/{wanted}")
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found")


# -- what is masked, providers, settings --


async def test_redaction_tells_what_is_in_force_and_how_often_it_was(admin):
    admin.settings = {"redaction": {"mode": "hash", "restore_egress": "never"}}
    admin.end(call(1, redactions=MASKED), call(2, NOON - timedelta(days=3), redactions=MASKED))
    answer = (await admin.get("/api/redaction?since=24h")).json()
    assert (answer["mode"], answer["restore_egress"], answer["restore"]) == ("hash", "never", True)
    assert answer["entities"] == [{"entity": "EMAIL_ADDRESS", "action": "redact", "setting": "redaction.mode"}]
    assert {"entity": "EMAIL_ADDRESS", "action": "redact", "count": 2} in answer["items"]
    all_of_it = (await admin.get("/api/redaction?since=7d")).json()
    assert {"entity": "EMAIL_ADDRESS", "action": "redact", "count": 4} in all_of_it["items"]


async def test_a_provider_is_up_or_down_by_the_last_that_was_seen_of_it(admin):
    async def nobody():
        raise OSError

    admin.checks = [Reach(name, admin.health, nobody, admin.clock) for name in ("anthropic", "openai", "gemini")]
    admin.end(call(1, tried=(Tried("openai", "timeout"), Tried("anthropic", "ok"))))
    admin.clock.advance(3600)
    states = {item["name"]: item["state"] for item in (await admin.get("/api/providers")).json()["items"]}
    assert (states["anthropic"], states["openai"], states["gemini"]) == ("up", "down", "unknown")
    await admin.get("/health/ready")
    states = {item["name"]: item["state"] for item in (await admin.get("/api/providers")).json()["items"]}
    assert (states["anthropic"], states["openai"], states["gemini"]) == ("down", "down", "down")


async def test_providers_tell_how_they_do_by_the_calls_that_went_there(admin):
    admin.settings = {"providers": {"openai": {"base_url": "http://127.0.0.1:11434/v1", "key": "sk-secret-value"}}}
    admin.end(call(1, tried=(Tried("openai", "timeout"), Tried("anthropic", "ok"))))
    answer = await admin.get("/api/providers")
    found = {item["name"]: item for item in answer.json()["items"]}
    assert "sk-secret" not in answer.text
    assert found["openai"] == {
        "name": "openai", "host": "127.0.0.1", "dialect": "openai", "key": "configured", "state": "unknown",
        "breaker": "closed", "attempts": 1, "failures": 1, "last_attempt": "2026-11-24T12:01:00.000Z", "last_error": "timeout",
        "last_error_at": "2026-11-24T12:01:00.000Z", "pace": "off", "rate_limits": [],
    }  # fmt: skip
    assert (found["anthropic"]["failures"], found["anthropic"]["last_error"]) == (0, None)
    assert found["gemini"]["attempts"] == 0


async def test_a_breaker_is_opened_and_closed_by_hand(admin):
    async with admin.client() as client:
        for state in ("open", "closed"):
            answer = await client.post("/api/providers/openai/breaker", json={"state": state})
            assert (answer.status_code, answer.json()["breaker"]) == (200, state)
            assert (admin.breakers.states["openai"], admin.breakers.states["anthropic"]) == (state, "closed")
            found = {item["name"]: item["breaker"] for item in (await client.get("/api/providers")).json()["items"]}
            assert found["openai"] == state


@pytest.mark.parametrize(
    ("name", "given", "status", "said"),
    [
        ("nobody", {"state": "open"}, 404, "there are anthropic, openai"),
        ("openai", {"state": "half_open"}, 400, "good values: open, closed"),
        ("openai", {"state": True}, 400, "good values: open, closed"),
        ("openai", {}, 400, "good values: open, closed"),
        ("openai", [], 400, '{"state": "open"}'),
        ("openai", {"state": "open", "for": 5}, 400, "for: is not known"),
    ],
)
async def test_what_will_not_do_moves_no_breaker(admin, name, given, status, said):
    async with admin.client() as client:
        answer = await client.post(f"/api/providers/{name}/breaker", json=given)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert set(admin.breakers.states.values()) == {"closed"}


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("wrong", 403)])
async def test_a_stranger_moves_no_breaker(admin, token, status):
    async with admin.client(token) as client:
        answer = await client.post("/api/providers/openai/breaker", json={"state": "open"})
    assert answer.status_code == status
    assert admin.breakers.states["openai"] == "closed"


async def test_a_provider_whose_breaker_is_open_is_down(admin):
    async def fine():
        return None

    admin.checks = [
        Reach(name, admin.health, fine, admin.clock, functools.partial(admin.breakers.rests, name))
        for name in ("anthropic", "openai")
    ]
    admin.breakers.hold("openai")
    answer = await admin.get("/health/ready")
    assert (answer.status_code, answer.json()["checks"]["provider:openai"]["status"]) == (200, "failed")
    admin.breakers.hold("anthropic")
    assert (await admin.get("/health/ready")).status_code == 503
    assert (await admin.get("/health/ready?for=balancer")).status_code == 200
    found = {item["name"]: item["state"] for item in (await admin.get("/api/providers")).json()["items"]}
    assert found["openai"] == found["anthropic"] == "down"
    admin.breakers.release("openai")
    assert (await admin.get("/health/ready")).status_code == 200


async def test_the_settings_are_told_with_their_origin_and_without_their_secrets(admin):
    admin.settings = {
        "admin": {"token": TOKEN},
        "providers": {"openai": {"key": "sk-secret-value"}},
        "secret": "s" * 32,
    }
    answer = await admin.get("/api/config")
    for secret in (TOKEN, "sk-secret-value", "s" * 32):
        assert secret not in answer.text
    settings = answer.json()["settings"]
    assert settings["admin.metrics"] == {"value": "auto", "origin": "environment TOKENMAN_ADMIN__METRICS"}
    assert settings["limits.request_body"] == {"value": 33554432, "origin": "default"}
    assert settings["providers.anthropic.base_url"]["value"] == "https://api.anthropic.com"
    assert settings["admin.token"]["value"]


async def test_the_version(admin):
    assert (await admin.get("/api/version")).json() == {
        "version": __version__, "started": "2026-11-24T11:59:30.000Z", "uptime_s": 90,
    }  # fmt: skip


# -- what will not do --


@pytest.mark.parametrize(
    ("path", "field", "good"),
    [
        ("requests?limit=0", "limit", "good value: 100"),
        ("requests?limit=1001", "limit", "from 1 to 1000"),
        ("requests?limit=ten", "limit", "from 1 to 1000"),
        ("requests?limit=99999999999999999999", "limit", "from 1 to 1000"),
        ("requests?limit=²", "limit", "from 1 to 1000"),
        ("requests?before=yesterday", "before", "next"),
        ("requests?before=1-2'%20or%201=1", "before", "next"),
        ("requests?status=bad", "status", "good values: 200"),
        ("requests?limt=5", "limt", "did you mean limit?"),
        ("requests?limit=5&limit=6", "limit", "once"),
        ("requests?model=" + "x" * 200, "model", "longer"),
        ("requests?model=" + "*a" * 20, "model", "stars"),
        ("summary?by=colour", "by", "model, project"),
        ("summary?since=yesterday", "since", "good values: today"),
        ("summary?until=later", "until", "good values: today"),
        ("summary?since=1h&until=2h", "until", "later than since"),
        ("redaction?since=x", "since", "good values"),
        ("version?x=1", "x", "no parameter"),
    ],
)
async def test_a_wrong_parameter_is_named_with_a_good_value(admin, path, field, good):
    admin.end(call(1))
    answer = await admin.get(f"/api/{path}")
    assert answer.status_code == 400
    told = answer.json()["error"]
    assert (told["type"], told["field"]) == ("parse", field)
    assert told["message"].startswith(f"{field}: ")
    assert good in told["message"]


@pytest.mark.parametrize("path", ["summary", "requests", f"requests/{name(1)}", "redaction"])
async def test_a_broken_ledger_is_503_and_shows_nothing_of_itself(admin, path):
    admin.path.write_bytes(b"this is no database, and long enough to be read as one" * 40)
    answer = await admin.get(f"/api/{path}")
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "persistence")
    assert answer.headers["retry-after"] == "5"
    for trace in (str(admin.path), "sqlite", "Error"):
        assert trace not in answer.text


@pytest.mark.parametrize("path", ["summary", "requests", "redaction", "version", "providers", "config"])
async def test_what_does_not_need_the_ledger_or_has_none_yet_answers(admin, path):
    assert (await admin.get(f"/api/{path}")).status_code == 200


# -- sessions --


async def login(admin, **options):
    async with admin.client(token=None) as client:
        return await client.post("/api/login", **options)


async def test_a_code_is_changed_for_a_session_that_the_api_takes(admin):
    answer = await login(admin, json={"code": admin.codes.new()})
    assert answer.status_code == 200
    assert answer.json()["expires_s"] == 12 * 3600
    async with admin.client(answer.json()["token"]) as client:
        assert (await client.get("/api/version")).status_code == 200
        made = (await client.post("/api/codes")).json()["code"]
    assert (await login(admin, json={"code": made})).status_code == 200


async def test_a_page_of_calls_is_written_where_it_holds_up_nobody(admin, monkeypatch):
    admin.end(*[call(number) for number in range(3)])
    threads = []

    def seen(row):
        threads.append(threading.current_thread())
        return details(row)

    monkeypatch.setattr(api, "details", seen)
    assert len((await admin.get("/api/requests")).json()["items"]) == 3
    assert len(threads) == 3
    assert threading.main_thread() not in threads


async def test_a_code_that_was_used_is_403_and_after_many_the_wait_is_told(admin):
    code = admin.codes.new()
    await login(admin, json={"code": code})
    answer = await login(admin, json={"code": code})
    assert (answer.status_code, answer.json()["error"]["type"]) == (403, "auth")
    for _ in range(20):
        answer = await login(admin, json={"code": "guess"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (429, "rate_limit")
    assert 0 < int(answer.headers["retry-after"]) <= 60


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"json": {}}, "code"),
        ({"json": {"code": 5}}, "code"),
        ({"json": {"code": ""}}, "code"),
        ({"json": {"code": "x" * 201}}, "code"),
        ({"json": ["code"]}, "body"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, "body"),
        ({"content": b"[" * 30000, "headers": {"content-type": "application/json"}}, "body"),
        ({"content": b"\xff", "headers": {"content-type": "application/json"}}, "body"),
        ({"data": {"code": "x"}}, "content-type"),
        ({"content": b'{"code": "x"}', "headers": {"content-type": "text/plain"}}, "content-type"),
    ],
)
async def test_a_login_that_is_none_is_400_and_says_what_is_wrong(admin, options, field):
    answer = await login(admin, **options)
    assert (answer.status_code, answer.json()["error"].get("field")) == (400, field)


# -- budgets --


class Standing:
    """Budgets as they stand, or none that can be read."""

    def __init__(self, *states):
        self.states = list(states)

    async def everything(self):
        if not self.states:
            raise Unavailable
        return self.states


def standing(admin, spent, **reach):
    rule = Rule("daily", units(Decimal(10)), "day", Scope(**reach), alerts=())
    span = windows.window("day", admin.clock.now(), UTC)
    return State(rule, span, "shop" if reach else "", Count(units(Decimal(spent)), units(Decimal(1))))


async def test_budgets_tell_what_is_spent_and_what_their_window_will_have_cost(admin):
    admin.end(*(call(week, time=NOON - timedelta(weeks=week), bill=bill("4")) for week in range(1, 6)))
    admin.budgets = Standing(standing(admin, "6"), standing(admin, "6", scope="project"))
    first, second = (await admin.get("/api/budgets")).json()["items"]
    assert (first["spent_usd"], first["held_usd"], first["left_usd"], first["spent_ratio"]) == ("6", "1", "3", 0.6)
    assert first["forecast_by"] == "weekdays"
    assert Decimal(first["forecast_usd"]) == pytest.approx(Decimal(8), abs=Decimal("0.01"))
    assert first["full_at"] is None
    assert (second["counted_by"], second["forecast_by"]) == ("shop", "linear")
    assert Decimal(second["forecast_usd"]) == pytest.approx(Decimal(12), abs=Decimal("0.02"))
    assert second["full_at"].startswith("2026-11-24T20:0")


async def test_what_was_booked_of_calls_that_a_crash_ended_is_marked(admin):
    plan = Bill(Usage(1, 1), Decimal(4), "list", notional=True)
    early, other = NOON - timedelta(days=1), NOON - timedelta(hours=1)
    admin.end(
        call(1, time=other, bill=bill("0.25"), outcome="crashed", project="shop"),
        call(2, time=other, bill=bill("0.5"), outcome="crashed", project="web"),
        call(3, time=other, bill=bill("3"), project="shop"),
        call(4, time=early, bill=bill("2"), outcome="crashed", project="shop"),
        call(5, time=other, bill=plan, outcome="crashed", project="shop"),
    )
    admin.budgets = Standing(standing(admin, "6"), standing(admin, "6", scope="project"))
    first, second = (await admin.get("/api/budgets")).json()["items"]
    assert (first["crashed_usd"], second["crashed_usd"]) == ("0.75", "0.25")
    admin.settings = {"pricing": {"subscriptions": "count"}}
    first, second = (await admin.get("/api/budgets")).json()["items"]
    assert (first["crashed_usd"], second["crashed_usd"]) == ("4.75", "4.25")


async def test_a_subscription_is_no_part_of_the_days_that_budgets_go_by(admin):
    plan = Bill(Usage(1, 1), Decimal(4), "list", notional=True)
    admin.end(*(call(week, time=NOON - timedelta(weeks=week), bill=plan) for week in range(1, 6)))
    admin.budgets = Standing(standing(admin, "6"))
    assert (await admin.get("/api/budgets")).json()["items"][0]["forecast_usd"] == "6"
    admin.settings = {"pricing": {"subscriptions": "count"}}
    assert (await admin.get("/api/budgets")).json()["items"][0]["forecast_usd"].startswith("7.99")


async def test_a_ledger_that_cannot_be_read_leaves_the_line(admin):
    admin.path.write_bytes(b"no database" * 500)
    admin.budgets = Standing(standing(admin, "6"))
    assert (await admin.get("/api/budgets")).json()["items"][0]["forecast_by"] == "linear"
    admin.budgets = Standing()
    assert (await admin.get("/api/budgets")).status_code == 503
