from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from tests.core.ledger.calls import NOON, bill, call
from tokenman_core.exchange import Redacted
from tokenman_core.ledger import as_json, details, row_of
from tokenman_core.ledger.row import MOST_TRIED, dollars, iso, model_name, pico, plain, short
from tokenman_core.record import Tried
from tokenman_core.usage import Bill, Usage

FIELDS = [
    "id", "time", "provider", "model", "dialect", "project", "client", "session", "status", "error",
    "stream", "attempts", "cache", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
    "cost_usd", "saved_usd", "redactions", "duration_ms", "ttft_ms", "overhead_ms",
]  # fmt: skip


def test_a_row_has_the_fields_of_the_interface_and_no_other():
    usage = Usage(1000, 200, 300, 40, 50, 60)
    found = call(
        bill=Bill(usage, Decimal("0.0123"), "list"),
        saved=Decimal("0.5"),
        cache="miss",
        redactions=(
            Redacted("EMAIL_ADDRESS", "redact", "redaction.mode", 2),
            Redacted("URL", "log", "redaction.mode", 3),
        ),
    )
    assert list(as_json(row_of(found))) == FIELDS
    assert as_json(row_of(found)) == {
        "id": "req_000000000000000000000001",
        "time": "2026-11-24T12:00:00.000Z",
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "dialect": "anthropic",
        "project": "shop",
        "client": "ada",
        "session": "s-1",
        "status": 200,
        "error": None,
        "stream": True,
        "attempts": 1,
        "cache": "miss",
        "input_tokens": 1000,
        "output_tokens": 200,
        "cache_read_tokens": 300,
        "cache_write_tokens": 90,
        "cost_usd": "0.0123",
        "saved_usd": "0.5",
        "redactions": 2,
        "duration_ms": 1500.0,
        "ttft_ms": 250.0,
        "overhead_ms": 1.2,
    }


def test_the_whole_of_a_call_tells_what_was_masked_by_which_setting_and_how_the_cost_is_known():
    found = call(
        bill=Bill(Usage(10, 20, 3, 4, 5, 6, {"web_searches": 2}), Decimal(1), "ceiling", estimated=True, notional=True),
        redactions=(Redacted("API_KEY", "hash", "redaction.secrets", 2),),
        outcome="broken",
        detail="why",
        login="oauth",
        tried=(Tried("openai", "connect", "gpt-5"), Tried("anthropic", "ok", "m", 0.5120001)),
        truncated=True,
        repeats="all",
        cache_break="tool changed at tools[2]",
        cache_lost=9000,
        cache_lost_usd=Decimal("0.0243"),
        unrestored=3,
    )
    told = details(row_of(found))
    assert list(told)[: len(FIELDS)] == FIELDS
    assert {name: told[name] for name in told if name not in FIELDS} == {
        "operation": "messages",
        "login": "oauth",
        "outcome": "broken",
        "detail": "why",
        "cache_write_5m_tokens": 4,
        "cache_write_1h_tokens": 5,
        "reasoning_tokens": 6,
        "usage_parts": {"web_searches": 2},
        "cost_basis": "ceiling",
        "cost_estimated": True,
        "cost_notional": True,
        "stream_truncated": True,
        "cost_overrun": False,
        "prompt_cache_saved_usd": "0",
        "prompt_cache_break": "tool changed at tools[2]",
        "prompt_cache_lost_tokens": 9000,
        "prompt_cache_lost_usd": "0.0243",
        "repeats": "all",
        "unrestored": 3,
        "other_model": False,
        "redacted": [{"entity": "API_KEY", "action": "hash", "setting": "redaction.secrets", "count": 2}],
        "tried": [
            {"provider": "openai", "model": "gpt-5", "outcome": "connect", "wait_ms": 0},
            {"provider": "anthropic", "model": "m", "outcome": "ok", "wait_ms": 512.0},
        ],
    }


def test_a_call_without_a_bill_cost_nothing_and_one_without_a_price_is_not_said_to_be_free():
    assert as_json(row_of(call(bill=None)))["cost_usd"] == "0"
    assert as_json(row_of(call(bill=bill(None))))["cost_usd"] is None


def test_a_client_that_left_has_no_status_and_no_error():
    told = as_json(row_of(call(status=0, outcome="aborted", ttft=None)))
    assert (told["status"], told["error"], told["ttft_ms"]) == (None, None, None)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"), ("0.000", "0"), ("12", "12"), ("100", "100"), ("1E+2", "100"), ("0.000000000001", "0.000000000001"),
        ("0.10", "0.1"), ("1234567.890", "1234567.89"),
    ],
)  # fmt: skip
def test_money_is_written_without_exponent_and_without_zeros_at_its_end(amount, text):
    assert plain(Decimal(amount)) == text
    assert plain(dollars(pico(Decimal(amount)))) == text


def test_money_keeps_its_twelve_digits_and_its_bound():
    assert dollars(pico(Decimal("0.1234567890125"))) == Decimal("0.123456789012")
    assert pico(Decimal(10) ** 30) == 9 * 10**18


def test_times_are_told_in_utc():
    assert iso(datetime(2026, 11, 24, 1, 30, tzinfo=timezone(timedelta(hours=2)))) == "2026-11-23T23:30:00.000Z"


def test_long_texts_are_cut_and_stay_apart():
    long = "user_" + "0" * 150
    one, other = short(long + "a", 64), short(long + "b", 64)
    assert len(one) == len(other) == 64
    assert one != other
    assert short("x" * 64, 64) == "x" * 64
    row = row_of(call(model="m" * 500, project="p" * 500, client="c" * 500, session="s" * 500, detail="d" * 500))
    assert [len(text) for text in (row.model, row.project, row.client, row.session, row.detail)] == [
        80,
        64,
        64,
        64,
        200,
    ]


def test_texts_lose_what_speaks_to_a_terminal_and_what_no_file_can_hold():
    row = row_of(call(project="a\x1b[31m\r\n\x9b\u202eb", session="\ud800s", detail="x\x00\u2028y"))
    assert (row.project, row.session, row.detail) == ("a[31mb", "s", "xy")
    assert row_of(call(cache_break="a\x1b[0m\n" + "b" * 300)).cache_break == "a[0m" + "b" * 196


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        ("claude-sonnet-4-5-20250929", True), ("models/gemini-2.5-pro", True), ("ft:gpt-4o:acme::a1b2", True), ("", True),
        ("claude-opus-4@20250514", True), ("qwen/qwen3-coder:free", True),
        ("jane.doe@example.com", False), ("4111 1111 1111 1111", False), ("sk\nant", False),
        ("sk-ant-api03-0123456789abcdef", False), ("gsk_0123456789abcdef", False), ("AKIAIOSFODNN7EXAMPLE", False),
        ("модель", False),
    ],
)  # fmt: skip
def test_what_is_no_name_of_a_model_is_not_kept(model, kept):
    assert model_name(model) == (model if kept else "-")


def test_what_a_provider_reports_is_bounded():
    row = row_of(call(bill=Bill(Usage(2**70, -5), Decimal(10) ** 40, "list")))
    assert (row.usage.input, row.usage.output, row.cost) == (2**40, 0, Decimal(9_000_000))


def test_times_survive_to_the_microsecond():
    assert row_of(call(time=NOON + timedelta(microseconds=1))).time == NOON + timedelta(microseconds=1)


def test_a_key_in_a_field_that_is_for_none_is_not_kept():
    key = "sk-ant-api03-" + "0123456789abcdef" * 10
    row = row_of(call(model=key, project=key, client="x " + key[:40], session=f"Bearer {key}"))
    assert not [text for text in (row.model, row.project, row.client, row.session) if "0123456789" in text]
    assert row.client == "x sk-ant-***"


def test_attempts_are_kept_where_there_is_more_to_say_than_that_it_went_well():
    assert row_of(call(tried=(Tried("anthropic", "ok", "m"),))).tried == ()
    assert row_of(call(tried=(Tried("anthropic", "timeout", "m"),))).tried == (Tried("anthropic", "timeout", "m"),)
    many = tuple(Tried("anthropic", "server_error", "jane@example.com", 0.1) for _ in range(50))
    kept = row_of(call(tried=many)).tried
    assert len(kept) == MOST_TRIED
    assert {each.model for each in kept} == {"-"}
