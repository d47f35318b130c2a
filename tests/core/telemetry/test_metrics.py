import functools
import math
import operator
import random
import timeit
from decimal import Decimal
from typing import get_args

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from tests.core.ledger.calls import bill, call, mixed
from tokenman_core import __version__
from tokenman_core.errors import ErrorKind
from tokenman_core.exchange import Redacted
from tokenman_core.record import Tried
from tokenman_core.telemetry.exposition import exposition
from tokenman_core.telemetry.metrics import CALL_BOUNDS, Metrics
from tokenman_core.telemetry.series import Gauge
from tokenman_core.usage import Bill, Usage

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def metrics():
    return Metrics()


def scraped(metrics, accept=""):
    """(name, labels) -> value, as a scraper reads it."""
    content, kind = exposition(metrics.snapshot(), accept)
    read = openmetrics_parser if "openmetrics" in kind else parser
    families = list(read.text_string_to_metric_families(content.decode()))
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(metrics, name, **labels):
    return scraped(metrics).get((name, tuple(sorted(labels.items()))))


CALL = {"provider": "anthropic", "model": "claude-sonnet-4-5", "stream": "true"}
PLACE = {"provider": "anthropic", "model": "claude-sonnet-4-5"}


def test_a_call_is_counted_by_provider_model_dialect_status_and_stream(metrics):
    metrics.ended(call())
    metrics.ended(call(status=529, error="upstream"))
    named = {**CALL, "dialect": "anthropic"}
    assert value(metrics, "tokenman_requests_total", **named, status="200") == 1
    assert value(metrics, "tokenman_requests_total", **named, status="529") == 1
    assert value(metrics, "tokenman_errors_total", type="upstream") == 1


def test_a_provider_cannot_make_series_by_its_statuses(metrics):
    known = (0, 200, 206, 307, 400, 404, 418, 429, 499, 500, 503, 520, 529)
    for status in (*known, *range(100, 1200), 99_999, -1):
        metrics.ended(call(status=status))
    found = {dict(labels)["status"] for name, labels in scraped(metrics) if name == "tokenman_requests_total"}
    assert {str(status) for status in known} <= found
    assert {"1xx", "2xx", "3xx", "4xx", "5xx", "other"} <= found
    assert len(found) < 90


def test_every_kind_of_error_is_there_from_the_start_and_at_zero(metrics):
    for kind in get_args(ErrorKind):
        assert value(metrics, "tokenman_errors_total", type=kind) == 0


def test_what_is_turned_away_or_not_recorded_counts_as_an_error_once(metrics):
    metrics.turned_away("forbidden")
    metrics.not_recorded("req_1")
    errors = {key: n for key, n in scraped(metrics).items() if key[0] == "tokenman_errors_total" and n}
    assert errors == {
        ("tokenman_errors_total", (("type", "forbidden"),)): 1,
        ("tokenman_errors_total", (("type", "persistence"),)): 1,
    }


def test_a_client_that_leaves_is_no_error(metrics):
    metrics.ended(call(outcome="aborted", status=0))
    assert value(metrics, "tokenman_client_aborts_total") == 1
    assert not [key for key, n in scraped(metrics).items() if key[0] == "tokenman_errors_total" and n]


def test_tokens_are_counted_by_kind(metrics):
    usage = Usage(input=100, output=20, cache_read=30, cache_write_5m=4, cache_write_1h=5, reasoning=7)
    metrics.ended(call(bill=Bill(usage, Decimal(1), "list")))
    found = {
        kind: value(metrics, "tokenman_tokens_total", kind=kind, **PLACE)
        for kind in ("input", "output", "cache_read", "cache_write", "reasoning")
    }
    assert found == {"input": 100, "output": 20, "cache_read": 30, "cache_write": 9, "reasoning": 7}


def test_what_has_no_price_is_counted_as_such_and_adds_no_cost(metrics):
    metrics.ended(call(bill=bill(None)))
    assert value(metrics, "tokenman_unpriced_total", **PLACE) == 1
    assert value(metrics, "tokenman_cost_usd_total", **PLACE) is None


def test_money_is_exact_to_the_last_digit(metrics):
    dice = random.Random(1)
    costs = [Decimal(dice.randrange(10**9)) / 10**12 for _ in range(3000)]
    for cost in costs:
        metrics.ended(call(bill=bill(str(cost)), saved=cost, cache="hit"))
    content, _ = exposition(metrics.snapshot())
    lines = dict(line.rsplit(" ", 1) for line in content.decode().splitlines() if not line.startswith("#"))
    total = sum(costs)
    assert Decimal(lines['tokenman_cost_usd_total{model="claude-sonnet-4-5",provider="anthropic"}']) == total
    assert Decimal(lines['tokenman_saved_usd_total{by="cache"}']) == total
    added = functools.reduce(operator.add, map(float, costs))  # one after the other, as a counter of floats does it
    assert added != float(total), "these costs would not have shown the difference"


def test_redactions_attempts_and_the_cache_are_counted(metrics):
    found = (Redacted("EMAIL_ADDRESS", "redact", "s", 3), Redacted("EMAIL_ADDRESS", "log", "s", 1))
    tried = (Tried("openai", "connect"), Tried("anthropic", "ok"))
    metrics.ended(call(redactions=found, tried=tried, cache="miss"))
    assert value(metrics, "tokenman_redactions_total", entity="EMAIL_ADDRESS", action="redact") == 3
    assert value(metrics, "tokenman_redactions_total", entity="EMAIL_ADDRESS", action="log") == 1
    assert value(metrics, "tokenman_upstream_attempts_total", provider="openai", outcome="connect") == 1
    assert value(metrics, "tokenman_upstream_attempts_total", provider="anthropic", outcome="ok") == 1
    assert value(metrics, "tokenman_cache_requests_total", result="miss") == 1


def test_placeholders_that_stayed_are_counted_from_zero_on(metrics):
    assert value(metrics, "tokenman_unrestored_total") == 0
    metrics.ended(call(unrestored=2))
    metrics.ended(call(unrestored=3))
    metrics.ended(call())
    assert value(metrics, "tokenman_unrestored_total") == 5


def test_breaks_of_providers_caches_are_counted_by_their_cause(metrics):
    for said in (
        "tool changed at tools[4]",
        "tool changed at tools[5]",
        "parameters changed: thinking",
        "planted \x1b words",
    ):
        metrics.ended(call(cache_break=said, cache_lost=900, cache_lost_usd=Decimal("0.1")))
    metrics.ended(call())
    causes = {
        dict(labels)["cause"]: n for (name, labels), n in scraped(metrics).items() if "cache_breaks_total" in name
    }
    assert causes == {"tool changed": 2, "parameters changed: thinking": 1, "other": 1}
    assert value(metrics, "tokenman_prompt_cache_lost_usd_total", **PLACE) == 0.4


def test_each_stage_and_phase_of_a_call_is_observed_exactly_once(metrics):
    metrics.ended(
        call(stages={("redaction", "request"): 0.003, ("redaction", "event"): 0.0002, ("mine", "request"): 0.2})
    )
    name = "tokenman_stage_duration_seconds_count"
    for stage, phase in (("redaction", "request"), ("redaction", "event"), ("mine", "request")):
        assert value(metrics, name, stage=stage, phase=phase) == 1
    assert value(metrics, "tokenman_stage_duration_seconds_sum", stage="mine", phase="request") == 0.2
    assert value(metrics, "tokenman_stage_duration_seconds_bucket", stage="mine", phase="request", le="0.1") == 0
    assert value(metrics, "tokenman_stage_duration_seconds_bucket", stage="mine", phase="request", le="0.25") == 1


def quantile(metrics, name, q, **labels):
    """The upper bound of the bucket that holds it."""
    found = scraped(metrics)
    total = found[name + "_count", tuple(sorted(labels.items()))]
    for bound in (*CALL_BOUNDS, math.inf):
        le = "+Inf" if bound == math.inf else str(float(bound))
        if found[name + "_bucket", tuple(sorted((labels | {"le": le}).items()))] >= q * total:
            return bound
    raise AssertionError


def test_quantiles_lie_in_the_buckets_of_the_delays_that_were(metrics):
    for number in range(100):
        seconds = 0.04 if number < 90 else 0.4 if number < 96 else 4.0
        metrics.ended(call(duration=seconds, ttft=seconds / 10))
    expected = {
        "tokenman_request_duration_seconds": [0.05, 0.5, 5],
        "tokenman_time_to_first_token_seconds": [0.005, 0.05, 0.5],
    }
    for name, bounds in expected.items():
        assert [quantile(metrics, name, q, **CALL) for q in (0.50, 0.95, 0.99)] == bounds


def test_a_call_without_an_answer_has_no_first_token(metrics):
    metrics.ended(call(ttft=None))
    assert value(metrics, "tokenman_time_to_first_token_seconds_count", **CALL) is None
    assert value(metrics, "tokenman_request_duration_seconds_count", **CALL) == 1


def test_the_overhead_is_told_from_a_tenth_of_a_millisecond_on(metrics):
    for seconds in (0.00005, 0.0002, 0.0007):
        metrics.ended(call(overhead=seconds))
    found = [
        value(metrics, "tokenman_overhead_seconds_bucket", **CALL, le=le)
        for le in ("0.0001", "0.00025", "0.0005", "0.001")
    ]
    assert found == [1, 2, 2, 3]


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_a_scrape_parses_and_its_buckets_only_grow_up_to_the_count(metrics, accept):
    dice = random.Random(2)
    for number in range(300):
        metrics.ended(mixed(number, dice))
    content, kind = exposition(metrics.snapshot(), accept)
    assert ("openmetrics" in kind) == bool(accept)
    assert content.decode().endswith("# EOF\n") == bool(accept)
    buckets: dict[tuple, list[tuple[float, float]]] = {}
    found = scraped(metrics, accept)
    for (name, labels), number in found.items():
        if name.endswith("_bucket"):
            rest = tuple(each for each in labels if each[0] != "le")
            buckets.setdefault((name, rest), []).append((float(dict(labels)["le"]), number))
    assert len(buckets) > 20
    for (name, rest), pairs in buckets.items():
        pairs.sort()
        assert [n for _, n in pairs] == sorted(n for _, n in pairs)
        assert pairs[-1] == (math.inf, found[name.removesuffix("_bucket") + "_count", rest])


def test_ten_thousand_models_do_not_grow_the_series_beyond_their_bound(metrics):
    for number in range(10_000):
        metrics.ended(call(model=f"model-{number}"))
    found = {
        dict(labels)["model"]: n for (name, labels), n in scraped(metrics).items() if name == "tokenman_requests_total"
    }
    assert len(found) == 201
    assert found["other"] == 9800


@pytest.mark.parametrize(
    "name",
    [
        "jane.doe@corp-mail.com",
        "a model of mine",
        'x"} 1\ntokenman_evil 1',
        "sk-ant-api03-abcdefghijklmnopqrstuvwxyz",
        "x" * 81,
        "modèle",
    ],
)
def test_what_is_no_models_name_becomes_no_label(metrics, name):
    metrics.ended(call(model=name))
    names = {dict(labels)["model"] for series, labels in scraped(metrics) if series == "tokenman_requests_total"}
    assert names == {"other"}


@pytest.mark.parametrize("name", ["claude-3@20250514", "ft:gpt-4o:org::id", "models/gemini-2.5-pro", "qwen2.5:7b", ""])
def test_names_of_models_as_providers_write_them_are_labels(metrics, name):
    metrics.ended(call(model=name))
    assert name in {dict(labels)["model"] for series, labels in scraped(metrics) if series == "tokenman_requests_total"}


def test_what_others_keep_is_read_when_it_is_asked_for(metrics):
    running = [3]
    metrics.watch(lambda: Gauge("tokenman_active_requests", "Now.", (), {(): running[0]}))
    assert value(metrics, "tokenman_active_requests") == 3
    running[0] = 0
    assert value(metrics, "tokenman_active_requests") == 0
    assert value(metrics, "tokenman_build_info", version=__version__) == 1


def test_a_snapshot_does_not_change_with_what_comes_after_it(metrics):
    metrics.ended(call())
    taken = metrics.snapshot()
    before = exposition(taken)
    metrics.ended(call(status=500, error="upstream", stages={("a", "request"): 1.0}))
    assert exposition(taken) == before


def test_a_call_costs_little(metrics):
    record = call(
        stages={(stage, phase): 0.001 for stage in ("a", "b") for phase in ("request", "event", "done")},
        redactions=(Redacted("EMAIL_ADDRESS", "redact", "s", 3),),
        tried=(Tried("anthropic", "ok"),),
    )
    metrics.ended(record)
    best = min(timeit.repeat(lambda: metrics.ended(record), number=200, repeat=20)) / 200
    assert best < 100e-6  # about 10 µs on a quiet machine; this is for a slow one


def test_a_bound_is_in_its_bucket(metrics):
    metrics.ended(call(overhead=0.001))
    found = [value(metrics, "tokenman_overhead_seconds_bucket", **CALL, le=le) for le in ("0.0005", "0.001")]
    assert found == [0, 1]
