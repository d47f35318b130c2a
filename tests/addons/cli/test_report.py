import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from addons.cli import main, report
from tests.core.ledger.calls import DAY, bill, call
from tokenman_core.budget.rules import units
from tokenman_core.clients import Client, Clients
from tokenman_core.clock import ManualClock
from tokenman_core.exchange import Redacted
from tokenman_core.ledger import row_of
from tokenman_core.ledger.store import Store
from tokenman_core.state import Booking, Hold, Sqlite
from tokenman_core.usage import Bill, Usage

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TOKENMAN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(report, "SystemClock", lambda: ManualClock(NOW.timestamp()))
    for name in ("TOKENMAN_CONFIG", "XDG_CONFIG_HOME", "COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def told(*arguments):
    return CliRunner().invoke(main.app, ["report", *arguments], catch_exceptions=False)


def record(home, *calls):
    store = Store(home / "data" / "ledger.db")
    store.add([row_of(one) for one in calls])
    store.close()


def some():
    masked = (Redacted("EMAIL_ADDRESS", "redact", "redaction.mode", 3), Redacted("URL", "log", "redaction.mode", 9))
    return [
        call(1, time=NOW, bill=Bill(Usage(1_000_000, 2000, 900_000), Decimal("1.5"), "list"), redactions=masked),
        call(2, time=NOW - 2 * DAY, bill=bill("0.25"), saved=Decimal("0.125"), project="search"),
        call(3, time=NOW - 2 * DAY, model="gpt-5-mini", provider="openai", error="upstream", bill=bill("0.00001")),
        call(4, time=NOW - 20 * DAY, model="gpt-5", provider="openai", bill=bill("7")),
    ]  # fmt: skip


def cells(text):
    return [re.split(r"\s{2,}", line) for line in text.splitlines() if line]


def test_the_groups_are_told_with_a_total_line(home):
    record(home, *some())
    found = told()
    assert found.exit_code == 0
    assert re.fullmatch(r"Calls since \d{4}-\d\d-\d\d \d\d:\d\d UTC, by model", found.stdout.splitlines()[0])
    *table, masked, dry = cells(found.stdout)[1:]
    assert (masked, dry) == (["masked: 3 EMAIL_ADDRESS"], ["would have masked: 9 URL"])
    assert table == [
        ["model", "calls", "cost $", "saved $", "input", "cached", "cached%", "output", "masked", "errors"],
        ["claude-sonnet-4-5", "2", "1.7500", "0.1250", "1,001,000", "900,000", "90%", "2,200", "3", "0"],
        ["gpt-5-mini", "1", "<0.0001", "0.0000", "1,000", "0", "0%", "200", "0", "1"],
        ["total", "3", "1.7500", "0.1250", "1,002,000", "900,000", "90%", "2,400", "3", "1"],
    ]


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("model", ["gpt-5", "claude-sonnet-4-5", "gpt-5-mini"]),
        ("provider", ["openai", "anthropic"]),
        ("project", ["shop", "search"]),
        ("client", ["ada"]),
        ("session", ["s-1"]),
        ("day", [f"{NOW - age * DAY:%Y-%m-%d}" for age in (0, 2, 20)]),
    ],
)
def test_it_groups_by_what_was_asked_for(home, by, groups):
    record(home, *some())
    found = json.loads(told("--by", by, "--since", "30d", "--json").stdout)
    assert [item[by] for item in found["items"]] == groups
    assert found["total"]["cost_usd"] == "8.75001"
    assert found["total"]["calls"] == 4


def test_the_forms_for_programs_have_every_digit(home):
    record(home, *some())
    assert json.loads(told("--json").stdout)["total"]["cost_usd"] == "1.75001"
    rows = list(csv.DictReader(io.StringIO(told("--csv").stdout)))
    assert [(row["model"], row["cost_usd"], row["saved_usd"]) for row in rows] == [
        ("claude-sonnet-4-5", "1.75", "0.125"),
        ("gpt-5-mini", "0.00001", "0"),
    ]
    item = json.loads(told("--json").stdout)["items"][0]
    assert {name: str(value) for name, value in item.items()} == rows[0]


def test_the_window_is_as_long_as_it_was_asked_for(home):
    record(home, *(call(n, time=NOW - timedelta(minutes=minutes)) for n, minutes in enumerate((5, 50, 600, 6000))))
    for since, calls in (("30m", 1), ("1h", 2), ("24h", 3), ("7d", 4), (f"{NOW - 9 * DAY:%Y-%m-%d}", 4)):
        assert json.loads(told("--since", since, "--json").stdout)["total"]["calls"] == calls


@pytest.mark.parametrize("since", ["soon", "", "7 days", "-1d", "2026-13-01", "yesterday", "9" * 400 + "d", "\x1b[31m"])
def test_a_span_that_is_none_ends_with_2_and_a_good_value(home, since):
    found = told("--since", since)
    assert found.exit_code == 2
    assert found.stderr.endswith("good values: 30m, 24h, 7d, 2026-11-01\n")
    assert "\x1b" not in found.stderr


def test_a_moment_is_read_in_utc():
    now = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
    assert report.moment("90m", now) == datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
    assert report.moment("2026-11-01", now) == datetime(2026, 11, 1, tzinfo=UTC)
    assert report.moment("2026-11-01T10:00+02:00", now) == datetime(2026, 11, 1, 8, tzinfo=UTC)


def test_where_nothing_was_recorded_it_says_what_to_do_next(home):
    found = told()
    assert found.exit_code == 0
    assert "tokenman run -- claude" in found.stdout
    assert "demo" not in found.stdout
    assert not (home / "data" / "ledger.db").exists()


def test_where_nothing_falls_into_the_window_it_says_how_to_look_further_back(home):
    record(home, call(1, time=NOW - 20 * DAY))
    found = told("--since", "24h")
    assert found.exit_code == 0
    assert "--since 90d" in found.stdout
    assert "demo" not in found.stdout


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_programs_get_their_form_though_there_is_nothing(home, form):
    found = told(form)
    assert found.exit_code == 0
    assert "Nothing has been recorded" in found.stderr
    if form == "--json":
        assert json.loads(found.stdout)["items"] == []
    else:
        assert found.stdout.startswith("model,calls,")
        assert len(found.stdout.splitlines()) == 1


def test_what_is_estimated_unpriced_or_notional_is_marked_and_explained(home):
    usage = Usage(10, 10)
    record(
        home,
        call(1, time=NOW, model="a", bill=Bill(usage, Decimal(1), "list", estimated=True)),
        call(2, time=NOW, model="b", bill=Bill(usage, Decimal(2), "list", notional=True)),
        call(3, time=NOW, model="c", bill=Bill(usage, None, "unknown")),
        call(4, time=NOW, model="d", bill=Bill(usage, Decimal("0.5"), "list")),
        call(5, time=NOW, model="e", bill=Bill(usage, Decimal("0.25"), "ceiling")),
    )
    found = told()
    costs = {row[0]: row[2] for row in cells(found.stdout) if len(row) > 5}
    assert costs == {
        "model": "cost $", "a": "~1.0000", "b": "2.0000*", "c": "0.0000+", "d": "0.5000", "e": "≤0.2500", "total": "~≤3.7500+*",
    }  # fmt: skip
    notes = found.stdout.splitlines()[-4:]
    assert notes[0].startswith("~ The tokens of 1 call were counted here")
    assert notes[1].startswith("≤ The price of 1 call is a guess")
    assert notes[2].startswith("+ The price of 1 call is not known")
    assert notes[3].startswith("* $2.00 is the list price of what subscriptions paid for")
    items = {item["model"]: item["ceiling_calls"] for item in json.loads(told("--json").stdout)["items"]}
    assert items == {"a": 0, "b": 0, "c": 0, "d": 0, "e": 1}


def test_small_amounts_add_up_to_their_total_to_the_eye(home):
    costs = {"a": "0.00045", "b": "0.00045", "c": "0.00005", "d": "0.0000001"}
    record(home, *(call(n, time=NOW, model=name, bill=bill(cost)) for n, (name, cost) in enumerate(costs.items())))
    found = {row[0]: row[2] for row in cells(told().stdout) if len(row) > 5}
    assert found == {
        "model": "cost $", "a": "0.000450", "b": "0.000450", "c": "0.000050", "d": "<0.000001", "total": "0.000950",
    }  # fmt: skip


def test_what_providers_refused_is_counted_apart_from_errors_and_explained(home):
    record(
        home,
        *(call(n, time=NOW, model="a", status=401, bill=None) for n in range(6)),
        call(7, time=NOW, model="b", status=502, error="upstream"),
    )
    found = told()
    rows = {row[0]: row[-2:] for row in cells(found.stdout) if len(row) > 5}
    assert rows == {"model": ["errors", "refused"], "a": ["0", "6"], "b": ["1", "0"], "total": ["1", "6"]}
    assert "Their provider refused 6 calls (status 4xx)" in found.stdout
    assert "tokenman why last" in found.stdout
    assert json.loads(told("--json").stdout)["total"]["refused_calls"] == 6


def test_what_is_certain_has_no_footnote(home):
    record(home, call(1, time=NOW))
    assert cells(told().stdout)[-1][0] == "total"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\x00=1", "＝1"])
def test_a_spreadsheet_calculates_nothing(text):
    assert report.cell(text).startswith("'")
    assert not set(report.cell(text)) & {"\t", "\r", "\x00"}


def test_names_of_callers_reach_a_spreadsheet_as_text_and_a_terminal_without_controls(home):
    store = Store(home / "data" / "ledger.db")
    store.add([row_of(call(1, time=NOW, project="=cmd|' /C calc'!A0"))])
    # as another program could have written it
    store._connection.execute("update days set project = '=x' || char(27) || '[31m,\"' || char(10) || 'y'")
    store.close()
    row = list(csv.reader(io.StringIO(told("--by", "project", "--csv", "--since", f"{NOW:%Y-%m-%d}").stdout)))[1]
    assert row[0] == "'=x[31m,\"y"
    text = told("--by", "project", "--since", f"{NOW:%Y-%m-%d}").stdout
    assert "\x1b" not in text
    assert '=x[31m,"y' in text


def test_calls_without_a_name_are_told_as_such(home):
    record(home, call(1, time=NOW, project=""))
    assert cells(told("--by", "project").stdout)[2][0] == "(none)"
    assert json.loads(told("--by", "project", "--json").stdout)["items"][0]["project"] == ""


def test_a_long_list_is_cut_and_says_how_to_have_all_of_it(home):
    record(home, *(call(number, time=NOW, session=f"s{number}") for number in range(60)))
    found = told("--by", "session").stdout
    assert "10 more lines: tokenman report --by session --csv has them all." in found
    assert len(told("--by", "session", "--csv").stdout.splitlines()) == 61


def test_purged_calls_are_told_by_whole_days_which_is_said(home):
    record(home, *(call(number, time=NOW - number * DAY) for number in range(6)))
    store = Store(home / "data" / "ledger.db")
    while store.purge(int((NOW - 2.5 * DAY).timestamp() * 1e6)):
        pass
    store.close()
    found = told("--since", "4d")
    assert "kept as whole days" in found.stdout
    assert f"Calls since {NOW - 4 * DAY:%Y-%m-%d} 00:00 UTC" in found.stdout
    assert "not told any more" in told("--since", "4d", "--by", "session").stdout


def test_a_damaged_ledger_ends_with_1_and_the_remedy(home):
    (home / "data").mkdir()
    (home / "data" / "ledger.db").write_bytes(b"nonsense" * 1000)
    found = told()
    assert found.exit_code == 1
    assert "move ledger.db away" in found.stderr


def test_a_bad_configuration_ends_with_2(home):
    (home / "f.yaml").write_text("lisen: x\n")
    assert told("--config", str(home / "f.yaml")).exit_code == 2


@pytest.mark.parametrize(
    ("columns", "heads"),
    [
        (160, ["model", "calls", "cost $", "saved $", "input", "cached", "cached%", "output", "masked", "errors"]),
        (80, ["model", "calls", "cost $", "input", "cached%", "output", "masked", "errors"]),
    ],
)
def test_on_a_terminal_every_line_fits_and_what_has_no_room_is_said(home, columns, heads):
    dear = Bill(Usage(123_456_789, 98_765_432, 1_234_567), Decimal("12345.6789"), "list", True, True)
    record(
        home,
        *(
            call(n, time=datetime.now(UTC), model=f"a-rather-long-name-of-a-model-{n}", bill=dear, saved=Decimal(1000))
            for n in range(3)
        ),
    )
    text = re.sub(r"\x1b\[[0-9;]*m", "", on_terminal(columns, "report"))
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    assert re.split(r"\s{2,}", lines[1]) == heads
    assert max(map(len, lines)) <= columns
    assert lines[5].startswith("total")
    assert ("No room here for cached and saved:" in text) == (columns == 80)
    assert "~37,037.0367*" in lines[5]
    assert ("370,370,367" if columns == 160 else "370.4M") in lines[5]


def on_terminal(columns, *arguments):
    """What the command prints on a terminal of that width."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "addons.cli.main", *arguments],
        env=dict(os.environ) | {"COLUMNS": str(columns), "TERM": "xterm-256color"},
        stdin=slave, stdout=slave, stderr=slave,
    ):  # fmt: skip
        os.close(slave)
        printed = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # how Linux says that the other end was closed
                break
            if not part:
                break
            printed += part
    os.close(master)
    return printed.decode()


def test_what_the_providers_own_caches_saved_is_told_also_where_it_is_less_than_nothing(home):
    saved = Bill(Usage(100, 10, 90), Decimal("0.5"), "list", cache_saved=Decimal("1.25"))
    record(home, call(1, time=NOW, bill=saved))
    assert "The providers' own prompt caches saved $1.25; the cost is without it." in told().stdout
    total = json.loads(told("--json").stdout)["total"]
    assert (total["prompt_cache_saved_usd"], total["cost_usd"]) == ("1.25", "0.5")
    lost = Bill(Usage(100, 10, 0, 90), Decimal("0.5"), "list", cache_saved=Decimal("-2"))
    record(home, call(2, time=NOW, bill=lost))
    assert "The providers' own prompt caches cost $0.7500 more than they saved" in told().stdout


@pytest.mark.parametrize("by", ["model", "session"])
def test_the_providers_caches_and_our_own_are_told_side_by_side(home, by):
    shares = {"a": ("hit", 0), "b": ("", 500), "c": ("coalesced", 1000), "d": ("", 999)}
    record(
        home,
        *(
            call(n, time=NOW, model=name, session=name, cache=cache, bill=bill(cache_read=read, output=0))
            for n, (name, (cache, read)) in enumerate(shares.items())
        ),
        call(9, time=NOW, model="e", session="e", bill=None),
    )
    rows = {row[0]: (row[5], row[-1]) for row in cells(told("--by", by).stdout) if len(row) > 5}
    assert rows == {
        by: ("cached%", "hits%"), "a": ("0%", "100%"), "b": ("50%", "0%"), "c": ("100%", "100%"), "d": ("99%", "0%"),
        "e": ("-", "0%"), "total": ("62%", "40%"),
    }  # fmt: skip
    items = {item[by]: item for item in json.loads(told("--by", by, "--json").stdout)["items"]}
    assert [items[name]["prompt_cache_read_ratio"] for name in "abcde"] == [0.0, 0.5, 1.0, 0.999, None]
    assert [items[name]["cache_hit_ratio"] for name in "abcde"] == [1.0, 0.0, 1.0, 0.0, 0.0]
    rows = {row[by]: row for row in csv.DictReader(io.StringIO(told("--by", by, "--csv").stdout))}
    assert [rows[name]["prompt_cache_read_ratio"] for name in "ade"] == ["0.0", "0.999", ""]


def broken(number, cause, tokens, usd):
    lost = {"cache_break": cause, "cache_lost": tokens, "cache_lost_usd": Decimal(usd)}
    return call(number, time=NOW, **lost)


def test_what_broke_the_providers_caches_is_told_by_cause(home):
    record(
        home,
        broken(1, "tool changed at tools[4]", 9_000, "0.0243"),
        broken(2, "tool changed at tools[5]", 1_000, "0.0027"),
        broken(3, "a time or date in the system prompt changed at system[1]", 40_000, "0.138"),
        broken(4, "model\x1b[31m changed", 500, "0"),
    )
    found = told()
    rows = [line for line in cells(found.stdout) if len(line) == 4]
    assert rows == [
        ["prompt cache breaks", "times", "tokens", "lost $"],
        ["a time or date in the system prompt changed", "1", "40,000", "0.138000"],
        ["tool changed", "2", "10,000", "0.027000"],
        ["model[31m changed", "1", "500", "0.000000"],
    ]
    assert "tokenman why ID says it of one call" in found.stdout
    assert "\x1b" not in found.stdout
    assert json.loads(told("--json").stdout)["prompt_cache_breaks"][1] == {
        "cause": "tool changed", "count": 2, "lost_tokens": 10_000, "lost_usd": "0.027",
    }  # fmt: skip


def test_a_cause_that_another_program_wrote_does_not_speak_to_the_terminal(home):
    store = Store(home / "data" / "ledger.db")
    store.add([row_of(broken(1, "model changed", 500, "0"))])
    store._connection.execute("update cache_break_days set cause = 'x' || char(27) || '[31m' || char(10) || 'y'")
    store.close()
    found = told("--since", f"{NOW:%Y-%m-%d}").stdout
    assert "\x1b" not in found
    assert "x[31my" in found


def test_many_causes_are_cut_and_none_are_no_section(home):
    record(home, call(0, time=NOW))
    assert "breaks" not in told().stdout
    assert json.loads(told("--json").stdout)["prompt_cache_breaks"] == []
    record(home, *(broken(n, f"cause {n}", 1000, "2") for n in range(1, 13)))
    found = told().stdout
    assert "and 2 causes more" in found
    assert ["cause 1", "1", "1,000", "2.0000"] in cells(found)


def test_what_a_cache_would_have_saved_is_one_line_while_there_is_none(home, monkeypatch):
    record(home, call(1, time=NOW, bill=bill("0.25")), call(2, time=NOW, bill=bill("1.5"), repeats="all"))
    line = "a cache would have saved $1.50 (1 call): cache: {mode: all}"
    assert line in told().stdout.splitlines()
    record(home, *(call(n, time=NOW, bill=bill("0.25"), repeats="deterministic") for n in (3, 4)))
    line = "a cache would have saved $2.00 (3 calls); deterministic $0.5000 (2 calls): cache: {mode: deterministic}"
    assert line in told().stdout.splitlines()
    total = json.loads(told("--json").stdout)["total"]
    assert (total["repeated_calls"], total["repeated_usd"]) == (3, "2")
    assert (total["repeated_deterministic_calls"], total["repeated_deterministic_usd"]) == (2, "0.5")
    (home / "t.yaml").write_text("cache: {mode: deterministic}\n")
    monkeypatch.setenv("TOKENMAN_CONFIG", str(home / "t.yaml"))
    assert "would have saved" not in told().stdout


def test_without_repeats_nothing_would_have_been_saved(home):
    record(home, call(1, time=NOW))
    assert "would have saved" not in told().stdout


def booked(home, monkeypatch, *spent, budget=None):
    """Budgets as a proxy has kept them, and a configuration that names them."""
    rule = budget or {"name": "daily", "limit_usd": 10, "window": "day"}
    (home / "t.yaml").write_text(json.dumps({"budgets": [rule]}))
    monkeypatch.setenv("TOKENMAN_CONFIG", str(home / "t.yaml"))
    store = Sqlite(home / "data" / "state.db")
    for name, usd in spent:
        booking = Booking(f"budget/daily/2026-11-24/{name}", units(Decimal(usd)), NOW.timestamp() + 10**6)
        hold = Hold(booking.counter, booking.amount, None, booking.until)
        store.counts.reserve(f"l{name}", [hold], until=NOW.timestamp() + 60, now=NOW.timestamp())
        store.counts.settle(f"l{name}", [booking], now=NOW.timestamp())
    store.close()


def test_budgets_are_told_with_what_their_window_will_have_cost(home, monkeypatch):
    record(home, *some())
    booked(home, monkeypatch, ("", "6"))
    line = "budget daily: $6.00 of $10.00 spent this day; by its end $12.00, as fast as until now, and full at 2026-11-24 20:00 UTC"
    assert line in told().stdout.splitlines()
    (budget,) = json.loads(told("--json").stdout)["budgets"]
    assert budget == {
        "name": "daily", "scope": "global", "counted_by": None, "window": "day", "ends": "2026-11-25T00:00:00.000Z",
        "limit_usd": "10", "spent_usd": "6", "crashed_usd": "0", "held_usd": "0", "forecast_usd": "12", "forecast_by": "linear",
        "full_at": "2026-11-24T20:00:00.000Z",
    }  # fmt: skip


def test_what_was_booked_of_calls_that_a_crash_ended_is_said(home, monkeypatch):
    record(home, call(1, time=NOW, bill=bill("0.25"), outcome="crashed"), call(2, time=NOW, bill=bill("4")))
    booked(home, monkeypatch, ("", "6"))
    told_of = "spent this day ($0.2500 of it by calls that ended with their process; what they wrote is not known); by its end"
    assert told_of in told().stdout
    assert json.loads(told("--json").stdout)["budgets"][0]["crashed_usd"] == "0.25"


def test_a_budget_of_a_clients_own_has_its_line(home, monkeypatch):
    record(home, *some())
    booked(home, monkeypatch, budget={"name": "other", "limit_usd": 10, "window": "day"})
    (home / "t.yaml").write_text("{}")
    store = Sqlite(home / "data" / "state.db")
    booking = Booking("budget/client:web/2026-11-24/", units(Decimal("1.5")), NOW.timestamp() + 10**6)
    store.counts.reserve(
        "l", [Hold(booking.counter, booking.amount, None, booking.until)], until=NOW.timestamp() + 60, now=0
    )
    store.counts.settle("l", [booking], now=NOW.timestamp())
    store.close()
    assert "budget" not in told().stdout
    Clients(home / "data", b"k" * 32).add(Client("web", "0" * 64, 1.0, budget="6/day"))
    assert "budget client:web: $1.50 of $6.00 spent this day" in told().stdout


def test_days_before_tell_more_than_a_line(home, monkeypatch):
    record(home, *(call(n, time=NOW - timedelta(weeks=n), bill=bill("4")) for n in range(1, 6)))
    booked(home, monkeypatch, ("", "6"))
    assert "by its end $8.00, as on the same weekdays before" in told("--since", "90d").stdout


def test_each_counter_of_a_budget_has_its_line_and_no_control_character(home, monkeypatch):
    record(home, *some())
    rule = {"name": "daily", "limit_usd": 10, "window": "day", "scope": "session"}
    booked(home, monkeypatch, ("\x1b[31ma", "1"), ("b", "9"), budget=rule)
    found = [line for line in told().stdout.splitlines() if line.startswith("budget")]
    assert [line.split(":")[0] for line in found] == ["budget daily of session b", "budget daily of session [31ma"]


def test_budgets_that_cannot_be_read_leave_the_rest(home, monkeypatch):
    record(home, *some())
    booked(home, monkeypatch, ("", "6"))
    (home / "data" / "state.db").write_bytes(b"no database, and long enough to be looked at" * 100)
    found = told()
    assert found.exit_code == 0
    assert "claude-sonnet-4-5" in found.stdout
    assert "how the budgets stand cannot be read now" in found.stderr


def test_without_a_state_none_is_made(home, monkeypatch):
    record(home, *some())
    booked(home, monkeypatch)
    (home / "data" / "state.db").unlink()
    assert told().exit_code == 0
    assert not (home / "data" / "state.db").exists()
