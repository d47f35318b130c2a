import codecs
import csv
import io
import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from addons.cli import main
from addons.cli.against import Unreadable, alike, read
from tests.core.ledger.calls import DAY, bill, call
from tokenman_core.ledger import row_of
from tokenman_core.ledger.store import Store
from tokenman_core.usage import Bill, Usage

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)

# The heads are those of the consoles' exports; what stands below them is made up.
ANTHROPIC = """\
usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,inference_geo,speed
2026-11-24,Claude Sonnet 4.5,Default,key,message,≤ 200k,input_no_cache,0.50,0.50,token,not_available,
2026-11-24,Claude Sonnet 4.5,Default,key,message,≤ 200k,output,1.00,1.00,token,not_available,
2026-11-24,Claude Haiku 3.5,Default,key,message,≤ 200k,output,0.25,0.25,token,not_available,
2026-11-23,Claude Opus 4.5,Default,key,message,≤ 200k,output,2,2,token,not_available,
"""
OPENAI = """\
start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,line_item,project_id
1795478400,1795564800,2026-11-24T00:00:00+00:00,2026-11-25T00:00:00+00:00,0.125,usd,1,,"gpt-5-2025-08-07, input",proj_a
1795478400,1795564800,2026-11-24T00:00:00+00:00,2026-11-25T00:00:00+00:00,0.375,usd,1,,"gpt-5-2025-08-07, output",proj_a
1795478400,1795564800,2026-11-24T00:00:00+00:00,2026-11-25T00:00:00+00:00,,usd,1,,,proj_a
"""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TOKENMAN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("TOKENMAN_CONFIG", raising=False)
    store = Store(tmp_path / "data" / "ledger.db")
    store.add([
        row_of(call(1, time=NOON, model="claude-sonnet-4-5-20250929", bill=bill("1.25"))),
        row_of(call(2, time=NOON, model="claude-sonnet-4-5", bill=bill("0.125"))),
        row_of(call(3, time=NOON, model="claude-3-5-haiku-latest", bill=bill("0.25"))),
        row_of(call(4, time=NOON, model="claude-haiku-4-5", bill=Bill(Usage(1, 1), Decimal(9), "list", notional=True))),
        row_of(call(5, time=NOON, model="claude-new", bill=bill(None))),
        row_of(call(6, time=NOON, provider="openai", model="gpt-5", bill=bill("0.5"))),
        row_of(call(7, time=NOON - 3 * DAY, bill=bill("7"))),
    ])  # fmt: skip
    store.close()
    return tmp_path


def told(home: Path, text: str, *arguments: str) -> Any:
    file = home / "invoice.csv"
    file.write_text(text, encoding="utf-8")
    return CliRunner().invoke(main.app, ["report", "--against", str(file), *arguments], catch_exceptions=False)


def test_an_export_of_anthropics_is_compared_by_day_and_model(home):
    found = told(home, ANTHROPIC)
    assert found.exit_code == 0
    table = [re.split(r"\s{2,}", line) for line in found.stdout.split("\n\n")[0].splitlines()]
    assert table == [
        ["day", "model", "theirs $", "ours $", "difference $"],
        ["2026-11-23", "Claude Opus 4.5", "2.0000", "-", "2.0000", "not in the ledger"],
        ["2026-11-24", "claude-new", "-", "0.0000", "0.0000", "not on the invoice"],
        ["2026-11-24", "claude-3-5-haiku-latest", "0.2500", "0.2500", "0.0000"],
        ["2026-11-24", "claude-sonnet-4-5-20250929", "1.5000", "1.3750", "0.1250"],
        ["total", "3.7500", "1.6250", "2.1250"],
    ]
    assert "calls of anthropic on the same days" in found.stdout


def test_an_export_of_openais_is_compared_with_openais_calls_alone(home):
    said = json.loads(told(home, OPENAI, "--json").stdout)
    assert said["provider"] == "openai"
    assert said["skipped_lines"] == 1
    (item,) = said["items"]
    assert item == {
        "day": "2026-11-24", "model": "gpt-5", "theirs_usd": "0.5", "ours_usd": "0.5", "difference_usd": "0", "unpriced_calls": 0,
        "note": None,
    }  # fmt: skip
    assert said["total"]["difference_usd"] == "0"


def test_any_file_with_a_date_and_an_amount_is_compared_by_day(home):
    said = json.loads(told(home, "Date;Cost\n2026-11-24;$1,002.125\n", "--json").stdout)
    assert [(it["model"], it["theirs_usd"], it["ours_usd"]) for it in said["items"]] == [(None, "1002.125", "2.125")]
    own = told(home, "when,what,eur\n2026-11-24,gpt-5,1\n", "--columns", "date=when,model=what,amount=eur", "--json")
    assert [it["model"] for it in json.loads(own.stdout)["items"]][-1] == "gpt-5"
    of = told(home, "date,amount\n2026-11-24,1\n", "--provider", "openai", "--json")
    assert json.loads(of.stdout)["total"]["ours_usd"] == "0.5"


@pytest.mark.parametrize(
    ("amounts", "total"),
    [
        (["1,50", "2,5"], "4.0"), (["1.234,56", "0,5"], "1235.06"), (["1,234.56", "0.5"], "1235.06"), (["1,234,567"], "1234567"),
        (["1.234.567"], "1234567"), (["0,125"], "0.125"), (["2.125"], "2.125"), (["1,234", "0.5"], "1234.5"),
        (["1,234", "0,5"], "1.734"), (["$1.50", "-$0.25", "US$ 1", "1 USD", "usd 2"], "5.25"), (["(0.50)", "2"], "1.5"),
        (["5e-05", "1E-5"], "0.00006"), (["1'000.5"], "1000.5"), (["12", "3"], "15"), (["0.0000421875"], "0.0000421875"),
    ],
    ids=str,
)  # fmt: skip
def test_amounts_are_read_as_their_file_writes_them(tmp_path, amounts, total):
    file = tmp_path / "i.csv"
    file.write_text("date;amount\n" + "".join(f"2026-11-24;{amount}\n" for amount in amounts))
    found = read(file)
    assert (sum(found.amounts.values()), found.skipped) == (Decimal(total), 0)


@pytest.mark.parametrize(
    ("amounts", "why"),
    [
        (["1,234"], "1,234 may be a thousand or a part of one"), (["1,5", "1.5"], "some of its amounts have a comma"),
        (["€1.50"], "line 2 is in €"), (["1.50", "EUR 2"], "line 3 is in eur"), (["1e-999999"], "no line has"),
    ],
    ids=str,
)  # fmt: skip
def test_amounts_that_can_be_read_in_two_ways_are_not_guessed(tmp_path, amounts, why):
    file = tmp_path / "i.csv"
    file.write_text("date;amount\n" + "".join(f"2026-11-24;{amount}\n" for amount in amounts))
    with pytest.raises(Unreadable, match=why):
        read(file)


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("first", ["", "sep=;\n", '"sep=;"\r\n'])
def test_what_spreadsheets_put_around_their_cells_is_no_part_of_them(tmp_path, coding, line_end, first):
    text = first + line_end.join(['Date;"Model";Amount', '2026-11-24;"a;b\nc\x1e";1.5', "2026-11-24;x;2", ""])
    file = tmp_path / "i.csv"
    file.write_bytes((codecs.BOM_UTF16_LE if coding == "utf-16-le" else b"") + text.encode(coding))
    assert {name: amount for (_, name), amount in read(file).amounts.items()} == {
        "a;bc": Decimal("1.5"),
        "x": Decimal(2),
    }


def test_the_form_for_spreadsheets_holds_no_formula_and_no_control(home):
    text = told(home, "date,model,amount\n2026-11-24,=HYPERLINK(1)\x1b[31m,1\n2026-11-24,\u202egpt,2\n", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert "'=HYPERLINK(1)[31m" in [row["model"] for row in rows]
    assert "\x1b" not in text
    assert "\u202e" not in text
    table = told(home, "date,model,amount\n2026-11-24,\x1b[31mred,1\n").stdout
    assert "[31mred" in table
    assert "\x1b" not in table


@pytest.mark.parametrize(
    ("text", "arguments", "why"),
    [
        ("", (), "its columns are none"),
        ("a,b\n1,2\n", (), "its columns are a, b; say which they are: --columns date=NAME"),
        ("date,amount\nsoon,5\n", (), "no line has a day and an amount in the columns date and amount"),
        ("date,amount\n2026-11-24,NaN\n", (), "no line has a day and an amount"),
        ("date,amount\n2026-11-24,1e400\n", (), "no line has a day and an amount"),
        ("date,amount,currency\n2026-11-24,5,EUR\n", (), "line 2 is in eur, and the ledger in USD"),
        ("date,amount\n2026-11-24,5\n", ("--columns", "date=day,amount=amount"), "it has no column day"),
        ("date,amount\n2026-11-24,5\n", ("--columns", "date=date"), "a date and an amount are needed"),
        ("date,amount\n2026-11-24,5\n", ("--columns", "colour=date"), "colour is no such column"),
        ('date,amount\n2026-11-24,"' + "5" * 140_000 + '"\n', (), "line 2 is no CSV"),
        ("date,amount\n" + "".join(f"{date.fromordinal(738_000 + n)},1\n" for n in range(401)), (), "more than 400 days"),
    ],
    ids=lambda it: str(it)[:30],
)  # fmt: skip
def test_what_cannot_be_read_ends_with_2_and_what_would_help(home, text, arguments, why):
    found = told(home, text, *arguments)
    assert found.exit_code == 2
    assert why in found.stderr
    assert found.stderr.startswith("tokenman: --against: ")


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path):
    with pytest.raises(Unreadable, match="No such file"):
        read(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"date,amount\n\xff\xfe,1\n")
    with pytest.raises(Unreadable, match="no text in UTF-8 or UTF-16"):
        read(tmp_path / "bytes.csv")


def test_columns_are_said_only_of_a_file(home):
    found = CliRunner().invoke(main.app, ["report", "--columns", "date=a,amount=b"])
    assert found.exit_code == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Claude Sonnet 4.5", "claude-sonnet-4-5-20250929"), ("Claude Haiku 3.5", "claude-3-5-haiku-latest"),
        ("gpt-5-2025-08-07", "gpt-5"), ("models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("anthropic/claude-opus-4.5", "claude-opus-4-5"),
    ],
)  # fmt: skip
def test_names_of_one_model_are_alike(one, other):
    assert alike(one) == alike(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("gpt-5", "gpt-5-mini"), ("claude-sonnet-4-5", "claude-sonnet-4"), ("gpt-4.1", "gpt-4o"),
     ("gemini-2.5-pro", "gemini-2.5-flash")],
)  # fmt: skip
def test_names_of_different_models_are_not(one, other):
    assert alike(one) != alike(other)


@pytest.mark.parametrize(
    "moment", ["2026-11-24", "2026-11-24T23:30:00-00:30", "1795564799", "1795564799000", "2026-11-24 08:00 UTC"]
)
def test_days_are_read_in_utc(tmp_path, moment):
    file = tmp_path / "i.csv"
    file.write_text(f"date,amount\n{moment},1\n")
    (key,) = read(file).amounts
    assert key[0] == (date(2026, 11, 25) if "-00:30" in moment else date(2026, 11, 24))
