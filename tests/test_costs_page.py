"""docs/costs.md says what the code does: its figures, limits and examples are held to it."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from addons.cli import report
from addons.cli.against import KNOWN, alike
from tests.core.test_forecast import days
from tests.core.test_forecast import state as budget
from tokenman_core import forecast
from tokenman_core.caching import breaks, detective, prints
from tokenman_core.config.load import load
from tokenman_core.config.models import Pricing
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.guard import trail, watch
from tokenman_core.ledger.sums import Sums
from tokenman_core.price_lists import Lists
from tokenman_core.pricing import Prices
from tokenman_core.providers import Provider
from tokenman_core.usage import MOST_TOKENS, Usage, openai_usage

TEXT = (Path(__file__).parent.parent / "docs" / "costs.md").read_text()
WORDS = " ".join(TEXT.split())
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
SAVED = re.findall(r"^\| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| (\S+) USD \|$", TEXT, re.MULTILINE)


def test_there_is_something_to_hold_it_to() -> None:
    assert len(SAVED) == 3
    assert len(BLOCKS) == 3


@pytest.mark.parametrize("row", SAVED, ids=lambda row: row[3])
def test_the_examples_of_what_a_prompt_cache_saved_are_what_is_booked(row: tuple[str, str, str, str]) -> None:
    tokens, read, written = (int(cell.replace(",", "")) for cell in row[:3])
    provider = Provider("anthropic", DIALECTS["anthropic"], "https", "127.0.0.1", 443)
    usage = Usage(tokens, cache_read=read, cache_write_5m=written)
    bill = Prices(Pricing(), Lists()).bill(usage, provider, ["claude-sonnet-4-5"], datetime(2026, 6, 1, tzinfo=UTC))
    assert bill.cache_saved == Decimal(row[3])
    assert "(3 USD for a million tokens of input, 0.30 read from the cache, 3.75 written to it)" in WORDS


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split(":")[0].strip())
def test_every_example_is_a_good_configuration(block: str, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(block)
    load(tmp_path / "t.yaml", {"HOME": str(tmp_path)})


def test_the_guards_example_asks_for_what_its_lines_say(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(next(block for block in BLOCKS if "guard:" in block))
    guard = load(tmp_path / "t.yaml", {"HOME": str(tmp_path)}).settings.guard
    assert (guard.repeats, guard.errors, guard.usd_per_minute, guard.then) == (10, 5, Decimal(2), "block")
    default = load(None, {"HOME": str(tmp_path)}).settings.guard
    assert (default.repeats, default.errors, default.usd_per_minute) == (0, 0, 0)


def test_the_guards_bounds_are_those_of_the_page() -> None:
    assert "up to eight steps" in WORDS
    assert trail._PERIOD == 8
    assert f"for an hour, of {watch.MOST_SESSIONS:,} sessions at most" in WORDS
    assert watch.FORGET_S == 3600
    for kind in ("repeats", "errors", "usd_per_minute"):
        assert f"guard.{kind}" in WORDS


def test_the_forecasts_limits_are_those_of_the_page() -> None:
    assert f"before {forecast._EARLY:.0%} of the window" in WORDS
    assert "the last seven days of the same weekday" in WORDS
    assert forecast.WEEKS == 7
    assert "once the ledger has three such days" in WORDS
    now = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
    methods = [forecast.of_budget(budget("3"), now, days(weeks, {2: "8"})) for weeks in (2, 3)]
    assert [it and it.method for it in methods] == ["linear", "weekdays"]


def test_the_exports_that_are_known_are_those_of_the_page() -> None:
    for known in KNOWN[:2]:
        assert f"`{known.date}`" in WORDS
        assert f"`{known.model}`" in WORDS
        assert f"`{known.amount}`" in WORDS
    one, other = re.findall(r"`([^`]+)` is `([^`]+)`\.", WORDS)[0]
    assert alike(one) == alike(other)


def test_the_fields_that_it_names_are_told() -> None:
    assert {"prompt_cache_saved_usd", "saved_usd", "cost_usd"} <= Sums().as_json().keys()
    named = set(re.findall(r"`((?:repeated|prompt_cache|cache)_[a-z_]*(?:usd|calls|ratio))`", TEXT))
    assert len(named) == 7
    assert named <= Sums().as_json().keys()


def test_the_causes_of_breaks_are_those_of_the_page() -> None:
    rows = re.findall(
        r"^\| ([^|`]+) \| [^|]+ \|$", TEXT.partition("## Providers' own")[2].partition("\n## ")[0], re.MULTILINE
    )
    named = {cause.strip() for row in rows for cause in row.split(",")} - {"cause"}
    assert named == {"parameters changed: NAME" if cause.startswith(breaks.FIELD) else cause for cause in breaks.CAUSES}


def test_the_detectives_bounds_are_those_of_the_page() -> None:
    bounds = detective.Bounds()
    assert "16 MiB, a day, the last six conversations of each session" in WORDS
    assert (bounds.size, bounds.seconds, detective._LANES) == (16 * 1024**2, 86_400, 6)
    assert f"must be {detective._LEAST} tokens at least, and a tenth of what was there" in WORDS
    assert detective._SLACK == 0.1
    assert f"more than {breaks._LOOKBACK} blocks behind it" in WORDS
    assert "5 minutes; an hour where the mark's `ttl` said so; a day with `prompt_cache_retention: 24h`" in WORDS
    assert (prints.FIVE_MINUTES, prints.HOUR, prints.DAY) == (300, 3600, 86_400)
    fields = {"thinking", "tool_choice", "speed"}
    assert fields <= prints.FIELDS["anthropic"].keys()


def test_the_line_of_what_a_cache_would_have_saved_is_the_reports(tmp_path: Path) -> None:
    settings = load(None, {"HOME": str(tmp_path)}).settings
    sums = Sums(repeated=3, repeated_cost=Decimal(2), exact=2, exact_cost=Decimal("0.5"))
    (line,) = report._spared(sums, settings)
    assert line in TEXT


def test_counts_that_are_none_are_nothing_and_others_are_bounded() -> None:
    assert "one beyond a billion is a billion" in WORDS
    said = openai_usage({"prompt_tokens": -5, "completion_tokens": 10**18})
    assert said == Usage(0, 10**9)
    assert MOST_TOKENS == 10**9
