import itertools
import random
import sqlite3
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.core.ledger.calls import DAY, NOON, bill, call, mixed, name
from tokenman_core.database import migrate
from tokenman_core.exchange import Redacted
from tokenman_core.ledger import Filter, LedgerError, LedgerReader, Sums, row_of, schema
from tokenman_core.ledger import reader as module
from tokenman_core.ledger.row import pico
from tokenman_core.ledger.span import EVER, split
from tokenman_core.ledger.store import DAY_US, Store, micro, sums_of
from tokenman_core.usage import Bill, Usage

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


def write(path, records):
    store = Store(path)
    store.add([row_of(record) for record in records])
    store.close()
    return LedgerReader(path)


def numbers(page):
    return [int(row.id[4:], 16) for row in page.rows]


# -- pages --


def test_rows_come_back_as_they_were(path):
    dice = random.Random(7)
    records = [mixed(number, dice) for number in range(200)]
    reader = write(path, records)
    assert {row.id: row for row in reader.page(limit=1000).rows} == {
        record.id: rounded(row_of(record)) for record in records
    }


def rounded(row):
    """Durations are kept to the microsecond."""
    first = None if row.ttft is None else round(row.ttft * 1e6) / 1e6
    return replace(row, duration=round(row.duration * 1e6) / 1e6, ttft=first, overhead=round(row.overhead * 1e6) / 1e6)


def test_a_page_has_the_newest_first_whenever_they_were_written(path):
    times = [3, 1, 4, 1, 5, 9, 2, 6]
    reader = write(path, [call(i, time=NOON + timedelta(seconds=each)) for i, each in enumerate(times)])
    assert numbers(reader.page()) == [5, 7, 4, 2, 0, 6, 3, 1]


def test_pages_follow_each_other_though_rows_come_in_between(path):
    reader = write(path, [call(number, time=NOON + timedelta(seconds=number // 3)) for number in range(50)])
    seen, before = [], None
    while True:
        page = reader.page(limit=7, before=before)
        seen += numbers(page)
        before = page.next
        if before is None:
            break
        write(path, [call(100 + len(seen), time=NOON + DAY)])
    assert seen == list(reversed(range(50)))


def test_a_page_is_never_longer_than_a_thousand_rows(path):
    reader = write(path, [call(number) for number in range(1100)])
    assert len(reader.page(limit=10**9).rows) == 1000
    assert len(reader.page(limit=-1).rows) == 1


CALLS = [
    {"model": "claude-sonnet-4-5", "project": "shop", "client": "ada", "session": "s1", "status": 200},
    {"model": "claude-haiku-4-5", "project": "search", "client": "bob", "session": "s2", "status": 429, "error": "budget"},
    {"model": "gpt-5-mini", "provider": "openai", "project": "", "client": "", "session": "s1", "status": 502, "error": "upstream"},
    {"model": "gpt-5", "provider": "openai", "project": "shop", "client": "ada", "session": "s3", "status": 404},
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [0, 1, 2, 3]),
        ({"model": "claude-*"}, [0, 1]),
        ({"model": "gpt-5"}, [3]),
        ({"model": "gpt-?-mini"}, [2]),
        ({"model": "*-*-4-*"}, [0, 1]),
        ({"model": "claude"}, []),
        ({"model": "[cg]*"}, []),
        ({"provider": "openai"}, [2, 3]),
        ({"project": "shop"}, [0, 3]),
        ({"project": "sho"}, []),
        ({"client": "bob"}, [1]),
        ({"session": "s1"}, [0, 2]),
        ({"status": "429"}, [1]),
        ({"status": "4xx"}, [1, 3]),
        ({"status": "error"}, [1, 2, 3]),
        ({"q": "HAIKU"}, [1]),
        ({"q": "sea"}, [1]),
        ({"q": "req_000000000000000000000002"}, [2]),
        ({"q": "00000000000000000000000"}, [0, 1, 2, 3]),
        ({"q": "%"}, []),
        ({"session": "s1", "provider": "openai"}, [2]),
        ({"project": "' or 1=1 --"}, []),
        ({"q": "x') or 1=1 or (model = 'x"}, []),
        ({"model": "*' or '1'='1"}, []),
        ({"session": "s1'; drop table calls; --"}, []),
    ],
)
def test_a_filter_finds_what_it_says(path, wanted, found):
    reader = write(path, [call(number, **changes) for number, changes in enumerate(CALLS)])
    assert sorted(numbers(reader.page(Filter(**wanted)))) == found
    assert len(numbers(reader.page())) == 4


@pytest.mark.parametrize(
    ("wanted", "before", "says"),
    [
        ({"status": "600"}, None, "status: .* good values: 200, 429, 5xx"),
        ({"status": "4x"}, None, "status"),
        ({"model": "*a*a*a*a*a*a*b"}, None, "model: .* good value"),
        ({"session": "x" * 101}, None, "session: is longer than 100"),
        ({}, "1 or 1=1", "before"),
        ({}, "", "before"),
        ({}, "9" * 19 + "-1", "before"),
    ],
)
def test_a_filter_that_means_nothing_is_refused_by_name(path, wanted, before, says):
    reader = write(path, [call()])
    with pytest.raises(ValueError, match=says):
        reader.page(Filter(**wanted), before=before)


def test_a_call_is_found_by_its_id(path):
    reader = write(path, [call(0xAB), call(0xAC), call(0xFF << 80)])
    assert reader.row(name(0xAB)) == row_of(call(0xAB))
    assert reader.row(name(0xAD)) is None
    assert reader.row(name(0xAB)[:-1]) is None
    assert [row.id for row in reader.begin_with("req_0000000000000000000000a")] == [name(0xAB), name(0xAC)]
    assert [row.id for row in reader.begin_with("00ff")] == [name(0xFF << 80)]
    assert [reader.begin_with(text) for text in ("", "req_", "zz", "'", "0" * 25)] == [(), (), (), (), ()]
    assert len(reader.begin_with("0", most=2)) == 2


# -- where there is nothing, or nothing good --


def test_a_ledger_that_is_not_there_yet_is_an_empty_one_and_is_not_made(path):
    reader = LedgerReader(path)
    assert reader.page().rows == ()
    assert reader.row(name(1)) is None
    assert reader.totals("model").groups == ()
    assert reader.redactions().counts == ()
    assert not path.exists()
    path.touch()
    assert reader.page().rows == ()


def test_a_file_that_is_no_ledger_is_said_to_be_damaged(path):
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(LedgerError, match=r"damaged: move ledger\.db away"):
        LedgerReader(path).page()


def test_reading_changes_nothing_and_waits_for_no_writer(path):
    reader = write(path, [call()])
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("begin immediate")
    writer.execute("delete from calls")
    assert numbers(reader.page()) == [1]
    writer.execute("rollback")
    with pytest.raises(LedgerError, match="may not be written"), reader._open() as connection:
        connection.execute("delete from calls")


def test_what_is_read_at_once_is_of_one_state(path):
    reader = write(path, [call(1)])
    with reader._open() as connection:
        rows = connection.execute("select count(*) from calls").fetchone()[0]
        write(path, [call(2)])
        assert connection.execute("select sum(calls) from days").fetchone()[0] == rows
    assert reader.totals("model").total.calls == 2


# -- sums --


def by_hand(records, by):
    groups = defaultdict(Sums)
    for record in records:
        row = row_of(record)
        key = {
            "day": f"{row.time:%Y-%m-%d}",
            "hour": f"{row.time:%Y-%m-%dT%H:00:00Z}",
        }.get(by) or getattr(row, by, "")
        groups[key] += Sums.of_file(sums_of(row))
    return dict(groups)


@pytest.mark.parametrize("by", ["model", "project", "client", "provider", "day", "hour", "session"])
def test_sums_agree_with_the_rows_to_the_last_digit_in_any_window(path, by):
    dice = random.Random(by)
    records = [mixed(n, dice, NOON + timedelta(seconds=dice.randrange(4 * 86400))) for n in range(300)]
    reader = write(path, records)
    moments = [None, NOON, MIDNIGHT + DAY, MIDNIGHT + 3 * DAY, MIDNIGHT + 2 * DAY + timedelta(microseconds=1)]
    moments += [NOON + timedelta(seconds=dice.randrange(4 * 86400)) for _ in range(8)]
    for _ in range(25):
        since, until = dice.choice(moments), dice.choice(moments)
        inside = [r for r in records if (since is None or since <= r.time) and (until is None or r.time < until)]
        found = reader.totals(by, since, until)
        assert dict(found.groups) == by_hand(inside, by)
        assert found.total == Sums.together(by_hand(inside, "model").values())
        assert found.begins is None


def test_redactions_agree_with_the_rows_in_any_window(path):
    dice = random.Random(3)
    records = [mixed(n, dice, NOON + timedelta(seconds=dice.randrange(4 * 86400))) for n in range(500)]
    reader = write(path, records)
    for since, until in [(None, None), (NOON + DAY, None), (NOON + DAY, NOON + 2 * DAY), (None, MIDNIGHT + 2 * DAY)]:
        counts = defaultdict(int)
        for r in records:
            if (since is None or since <= r.time) and (until is None or r.time < until):
                for each in r.redactions:
                    counts[each.entity, each.action] += each.count
        found = reader.redactions(since, until)
        assert {(entity, action): count for entity, action, count in found.counts} == counts
        assert found.as_json()["masked"] == sum(count for (_, action), count in counts.items() if action != "log")


def test_what_was_purged_is_told_by_whole_days(path):
    store = Store(path)
    store.add(
        [
            row_of(call(n, time=MIDNIGHT + n * DAY / 4, redactions=(Redacted("URL", "redact", "x", 1),)))
            for n in range(16)
        ]
    )
    while store.purge(micro(MIDNIGHT + 2 * DAY + DAY / 3)):
        pass
    store.close()
    reader = LedgerReader(path)
    assert len(reader.page().rows) == 6
    assert [sums.calls for _, sums in reader.totals("day").groups] == [4, 4, 4, 4]
    for start, calls, begins in [
        (MIDNIGHT, 16, None),
        (MIDNIGHT + DAY / 2, 16, MIDNIGHT),
        (MIDNIGHT + 2 * DAY + DAY / 4, 8, MIDNIGHT + 2 * DAY),
        (MIDNIGHT + 2 * DAY + DAY / 2, 6, None),
        (MIDNIGHT + 3 * DAY + DAY / 2, 2, None),
    ]:
        found = reader.totals("model", start)
        assert (found.total.calls, found.begins) == (calls, begins)
        assert reader.redactions(start).counts == (("URL", "redact", calls),)
    assert reader.totals("model", MIDNIGHT, MIDNIGHT + DAY + DAY / 2).total.calls == 8
    sessions = reader.totals("session", MIDNIGHT)
    assert (sessions.total.calls, sessions.begins) == (6, MIDNIGHT + 2 * DAY + DAY / 3)


@pytest.mark.parametrize("seed", range(5))
def test_a_window_is_cut_into_parts_that_cover_it_once(seed):
    dice = random.Random(seed)
    for _ in range(2000):
        since, until = sorted(dice.randrange(5 * DAY_US) for _ in range(2))
        if dice.random() < 0.3:
            since -= since % DAY_US
        if dice.random() < 0.3:
            until -= until % DAY_US
        if since > until:
            continue
        until = dice.choice([until, EVER])
        horizon = dice.choice([0, dice.randrange(5 * DAY_US)])
        span = split(since, until, horizon)
        parts = sorted([*span.edges, *([(span.first * DAY_US, span.last * DAY_US)] if span.first < span.last else [])])
        for (_, end), (start, _) in itertools.pairwise(parts):
            assert end == start
        for start, end in span.edges:
            assert start >= min(horizon, end)
        if since < until:
            assert parts[0][0] <= since
            assert parts[-1][1] >= until
        if not horizon:
            assert (parts[0][0], parts[-1][1], span.begins) == (since, until, None)


def test_money_of_absurd_calls_is_still_summed(path):
    absurd = Bill(Usage(2**52), Decimal(9_000_000), "list")
    reader = write(path, [call(number, bill=absurd) for number in range(50)])
    assert reader.totals("session").total.cost == 450_000_000
    assert reader.totals("day").total.cost == 9_000_000  # a day's own sum ends where its 64 bits end


def test_groups_are_the_dearest_first_and_what_is_too_much_is_summed_under_other(path, monkeypatch):
    monkeypatch.setattr(module, "MOST_GROUPS", 3)
    costs = {"a": "0.1", "b": "0.4", "c": "0.2", "d": "0.3", "e": None}
    reader = write(path, [call(i, model=model, bill=bill(cost)) for i, (model, cost) in enumerate(costs.items())])
    found = reader.totals("model")
    assert [(name, sums.cost, sums.calls) for name, sums in found.groups] == [
        ("b", Decimal("0.4"), 1), ("d", Decimal("0.3"), 1), ("other", Decimal("0.3"), 3),
    ]  # fmt: skip
    assert found.total.calls == 5


def test_a_day_has_room_for_so_many_combinations_and_loses_no_call(path):
    reader = write(path, [call(number, model=f"m{number}", provider="openai") for number in range(600)])
    found = reader.totals("model", MIDNIGHT)
    assert len(found.groups) == 501
    assert dict(found.groups)["other"].calls == 100
    assert found.total.calls == 600
    assert [name for name, _ in reader.totals("provider").groups] == ["openai"]


def test_days_come_latest_first(path):
    reader = write(path, [call(number, time=NOON + number * DAY) for number in range(3)])
    assert [day for day, _ in reader.totals("day").groups] == ["2026-11-26", "2026-11-25", "2026-11-24"]
    assert reader.totals("hour").groups[0][0] == "2026-11-26T12:00:00Z"


def test_sums_are_told_as_json_with_exact_money(path):
    reader = write(
        path, [call(1, bill=bill("0.000000000001")), call(2, bill=bill("0.3"), error="stage", outcome="crashed")]
    )
    assert reader.totals("model").as_json() == {
        "by": "model",
        "items": [
            {
                "model": "claude-sonnet-4-5", "calls": 2, "errors": 1, "aborted": 0, "cache_hits": 0, "masked": 0,
                "input_tokens": 2000, "output_tokens": 400, "cache_read_tokens": 0, "cache_write_tokens": 0,
                "reasoning_tokens": 0, "cost_usd": "0.300000000001", "notional_usd": "0", "saved_usd": "0",
                "unpriced_calls": 0, "estimated_calls": 0, "refused_calls": 0, "ceiling_calls": 0,
                "prompt_cache_saved_usd": "0", "prompt_cache_read_ratio": 0.0, "cache_hit_ratio": 0.0,
                "repeated_calls": 0, "repeated_usd": "0", "repeated_deterministic_calls": 0,
                "repeated_deterministic_usd": "0",
            }
        ],
        "total": {
            "calls": 2, "errors": 1, "aborted": 0, "cache_hits": 0, "masked": 0,
            "input_tokens": 2000, "output_tokens": 400, "cache_read_tokens": 0, "cache_write_tokens": 0,
            "reasoning_tokens": 0, "cost_usd": "0.300000000001", "notional_usd": "0", "saved_usd": "0",
            "unpriced_calls": 0, "estimated_calls": 0, "refused_calls": 0, "ceiling_calls": 0,
                "prompt_cache_saved_usd": "0", "prompt_cache_read_ratio": 0.0, "cache_hit_ratio": 0.0,
                "repeated_calls": 0, "repeated_usd": "0", "repeated_deterministic_calls": 0,
                "repeated_deterministic_usd": "0",
        },
    }  # fmt: skip


def test_breaks_agree_with_the_rows_in_any_window_and_are_told_by_cause(path):
    dice = random.Random(5)
    records = [mixed(n, dice, NOON + timedelta(seconds=dice.randrange(4 * 86400))) for n in range(500)]
    reader = write(path, records)
    for since, until in [(None, None), (NOON + DAY, None), (NOON + DAY, NOON + 2 * DAY), (None, MIDNIGHT + 2 * DAY)]:
        found = defaultdict(lambda: [0, 0, Decimal(0)])
        for r in records:
            if r.cache_break and (since is None or since <= r.time) and (until is None or r.time < until):
                sums = found[r.cache_break.removesuffix(" at tools[4]").removesuffix(" at tools[5]")]
                sums[0] += 1
                sums[1] += r.cache_lost
                sums[2] += r.cache_lost_usd
        told = reader.breaks(since, until)
        assert {it.cause: [it.count, it.tokens, it.usd] for it in told} == found
        assert [it.usd for it in told] == sorted((it.usd for it in told), reverse=True)
    assert sorted(found) == ["model changed", "tool changed", "tools reordered"]
    assert reader.breaks()[0].as_json().keys() == {"cause", "count", "lost_tokens", "lost_usd"}


def test_a_break_outlives_its_call_in_the_sums_of_its_day(path):
    broken = {"cache_break": "tools reordered", "cache_lost": 5000, "cache_lost_usd": Decimal("0.0135")}
    store = Store(path)
    store.add([row_of(call(1, **broken)), row_of(call(2))])
    while store.purge(micro(NOON + DAY)):
        pass
    store.close()
    reader = LedgerReader(path)
    assert reader.page().rows == ()
    assert [it.as_json() for it in reader.breaks()] == [
        {"cause": "tools reordered", "count": 1, "lost_tokens": 5000, "lost_usd": "0.0135"}
    ]


def test_causes_that_nobody_knows_cannot_make_a_day_grow(path):
    reader = write(path, [call(n, cache_break=f"cause {n}", cache_lost=1) for n in range(150)])
    told = {it.cause: it.count for it in reader.breaks()}
    assert len(told) == 101
    assert told["other"] == 50


def test_a_cause_is_one_row_of_a_day_wherever_it_stood(path):
    write(path, [call(n, cache_break=f"tool changed at tools[{n}]", cache_lost=1) for n in range(150)])
    kept = sqlite3.connect(path).execute("select cause, count, tokens from cache_break_days").fetchall()
    assert kept == [("tool changed", 150, 150)]


def test_there_are_no_breaks_where_there_is_no_ledger_or_an_older_one(path):
    assert LedgerReader(path).breaks() == ()
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, schema.STEPS[:6])
    assert LedgerReader(path).breaks() == ()


def test_what_a_cache_would_have_saved_is_summed_apart(path):
    calls = [
        call(1, bill=bill("0.25")), call(2, bill=bill("0.5"), repeats="deterministic"), call(3, bill=bill("1"), repeats="all"),
        call(4, bill=bill(None), repeats="all"), call(5, bill=None, repeats="deterministic"),
    ]  # fmt: skip
    reader = write(path, calls)
    for since in (None, NOON):
        total = reader.totals("model", since).total
        assert (total.repeated, total.repeated_cost, total.exact, total.exact_cost) == (
            4,
            Decimal("1.5"),
            2,
            Decimal("0.5"),
        )


def test_shares_of_the_caches_are_told_where_there_is_anything_to_share(path):
    reader = write(path, [call(n, cache="hit" if n else "", bill=bill(input=3000, cache_read=1000)) for n in range(3)])
    (_, sums), *_ = reader.totals("session").groups
    assert (sums.read_ratio, sums.hit_ratio) == (0.3333, 0.6667)
    assert (Sums().read_ratio, Sums().hit_ratio) == (None, None)


@pytest.mark.parametrize("by", ["model", "session"])
def test_what_caches_saved_is_summed_beyond_what_a_counter_holds(path, by):
    """Of days and of calls alike, also below 0."""
    for sign in ("", "-"):
        saved = Decimal(f"{sign}8000000")
        booked = [Bill(Usage(1, 1), Decimal(1), "list", cache_saved=saved) for _ in range(2)]
        path.unlink(missing_ok=True)
        reader = write(path, [call(number, bill=one, model=f"m{number}") for number, one in enumerate(booked)])
        assert reader.totals(by).total.cache_saved == 2 * saved
        assert reader.totals("day").total.cache_saved == 2 * saved


# -- what budgets count --


@pytest.mark.parametrize("purged", [None, timedelta(days=2), timedelta(hours=30)])
def test_what_calls_cost_is_told_by_all_that_budgets_count_by(path, purged):
    dice = random.Random(11)
    records = [mixed(number, dice, NOON - timedelta(hours=number)) for number in range(150)]
    reader = write(path, records)
    rows = reader.page(limit=1000).rows
    if purged:
        store = Store(path)
        while store.purge(micro(NOON - purged)):
            pass
        store.close()
    for since in (NOON - timedelta(hours=5, minutes=30), NOON - timedelta(days=4), datetime(2020, 1, 1, tzinfo=UTC)):
        found = defaultdict(lambda: [0, 0])
        for it in reader.spent(since):
            sums = found[it.provider, it.client, it.project, it.model]
            sums[0] += it.cost
            sums[1] += it.notional
        begins = since
        if purged and since < NOON - purged:  # whole days are known of what was purged
            begins = since.replace(hour=0, minute=0)
        wanted = defaultdict(lambda: [0, 0])
        for row in rows:
            if row.time >= begins and row.cost:
                sums = wanted[row.provider, row.client, row.project, row.model]
                sums[0] += pico(row.cost)
                sums[1] += pico(row.cost) if row.notional else 0
        assert {key: sums for key, sums in found.items() if sums[0]} == dict(wanted)


def test_a_session_is_told_with_what_its_calls_cost(path):
    reader = write(
        path, [call(1, bill=bill("0.5")), call(2, bill=bill("0.25"), session="s-2"), call(3, bill=bill(None))]
    )
    assert [(it.session, it.cost) for it in reader.spent(NOON)] == [("s-1", 5 * 10**11), ("s-2", 25 * 10**10)]
    assert LedgerReader(path.with_name("none")).spent(NOON) == []
