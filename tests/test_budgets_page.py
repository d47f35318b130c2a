"""docs/budgets.md says what the code does: its examples are run, its tables and figures held to the code."""

import re
import time
from pathlib import Path
from typing import get_args

import pytest

from addons.budget import _short
from tests.addons.test_budget import Stage, exchange_of
from tokenman_core.budget.books import _SOON_S, LEASE_S, LEAST_OUTPUT, RENEW_S, Alert, Short, as_json
from tokenman_core.budget.rules import Rule
from tokenman_core.budget.windows import Span, window, zone
from tokenman_core.config.load import load
from tokenman_core.config.spending import Budget as Setting
from tokenman_core.config.spending import ScopeName
from tokenman_core.exchange import Attempt
from tokenman_core.ratelimit.limiter import MOST_WAITING
from tokenman_core.ratelimit.pace import MOST_WAIT_S
from tokenman_core.verdicts import Candidate, Refuse
from tokenman_core.webhook import SECRET_FILE, TRIES, shown, signature

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "budgets.md").read_text()
PLAIN = " ".join(TEXT.split())
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
README = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def table(first: str) -> list[list[str]]:
    """The rows of the table whose first row begins like this."""
    _, _, rest = TEXT.partition(f"\n{first}")
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("block", [*BLOCKS, *(block for block in README if "budgets" in block)])
def test_every_example_is_a_good_configuration(block, tmp_path):
    path = tmp_path / "tokenman.yaml"
    path.write_text(block)
    found = load(path, {"HOME": str(tmp_path)}).settings
    assert found.budgets or found.rate_limits or found.alerts.webhook or found.providers["anthropic"].pace == "on"


def test_every_setting_of_a_budget_is_told_with_its_values_and_its_default():
    rows = table("| setting |")
    assert [row[0].strip("`") for row in rows] == list(Setting.model_fields)
    said = {row[0].strip("`"): row for row in rows}
    assert said["window"][1].split(", ") == list(get_args(Span))
    assert said["scope"][1].split(", ") == list(get_args(ScopeName))
    fields = Setting.model_fields
    for name in ("window", "scope", "on_exceed", "unbounded", "on_store_error"):
        assert said[name][2] == fields[name].default
    assert window("week", 1_795_000_000.0, zone("UTC")).name == "2026-W47"
    begins = time.gmtime(window("week", 1_795_000_000.0, zone("UTC")).begins)
    assert begins.tm_wday == 0


@pytest.mark.parametrize(
    ("claim", "figure"),
    [
        ("Below {} tokens it is refused instead", LEAST_OUTPUT),
        ("free again after {} seconds", f"{LEASE_S:.0f}"),
        ("renews what it holds every {}", f"{RENEW_S:.0f}"),
        ("sent again, {} times at most", TRIES),
        ("{} calls may wait for one limit", MOST_WAITING),
        ("last 429 said, {} seconds at most", f"{MOST_WAIT_S:.0f}"),
        ("The key is in `{}`", SECRET_FILE),
    ],
)
def test_a_figure_is_the_one_that_holds(claim, figure):
    assert claim.format(figure) in PLAIN


ROWS = {row[0]: row[1:] for row in table("| case |")}


def told(verdict: Refuse) -> list[str]:
    """Status, kind, whether it says when, and whether clients come again: by the rules of the conductor's refusals."""
    headers = dict(verdict.headers)
    final = headers.get(b"x-should-retry") == b"false" or (verdict.retry_after is None and not verdict.retryable)
    return [str(verdict.status), verdict.kind, "false" if final else "", "no" if final else "yes"]


@pytest.mark.parametrize("spent", [True, False])
def test_a_refusal_for_money_says_what_the_table_says(spent):
    row = ROWS["the budget is used up" if spent else "what is left is held by calls that run"]
    verdict = _short(Short(Rule("daily", 10**12, "day"), spent, 3_600.0 if spent else _SOON_S, time.time() + 3_600))
    assert told(verdict) == [row[0], row[1], row[3], row[4]]
    assert verdict.retry_after == (3_600.0 if spent else float(row[2].split()[0]))


@pytest.mark.parametrize(
    ("case", "dialect", "path", "body"),
    [
        ("no price is known of the model", "openai", "/v1/chat/completions", {"model": "house-model"}),
        ("the cost has no bound", "openai", "/v1/responses", {"model": "gpt-5", "background": True}),
        ("the count cannot be kept", "anthropic", "/v1/messages", {}),
    ],
)
async def test_other_refusals_say_what_the_table_says(tmp_path, case, dialect, path, body):
    row, made = ROWS[case], Stage(tmp_path / "s.db", Rule("daily", 10**12, "day"), unknown_model="allow")
    made.books._ask.down = case == "the count cannot be kept"  # type: ignore[attr-defined]
    exchange = exchange_of(dialect, path, **body)
    candidate = Candidate(dialect, exchange.model)
    verdict = await made.stage.llm_attempt(exchange, Attempt(1, candidate))
    assert isinstance(verdict, Refuse)
    assert told(verdict) == [row[0], row[1], row[3], row[4]]
    assert (verdict.retry_after is None) == (not row[2])
    made.store.close()


def test_the_check_of_a_message_takes_the_genuine_one_and_no_other():
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    scope: dict[str, object] = {}
    exec(example, scope)
    check = scope["is_genuine"]
    key, body, now = b"k" * 32, b'{"type":"budget.alert"}', int(time.time())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now)}
    headers["webhook-signature"] = signature(key, "msg_1", now, body).decode()
    assert check(shown(key) + "\n", headers, body)
    assert not check(shown(b"x" * 32), headers, body)
    assert not check(shown(key), headers, body + b" ")
    assert not check(shown(key), headers | {"webhook-id": "msg_2"}, body)
    old = headers | {"webhook-timestamp": str(now - 999)}
    assert not check(shown(key), old | {"webhook-signature": signature(key, "msg_1", now - 999, body).decode()}, body)


def test_an_alert_has_the_members_that_are_told():
    rule = Rule("daily", 10, "day")
    data = as_json(Alert(rule, window("day", 0.0, zone("UTC")), "", 5))
    (said,) = re.findall(r"`data` has (.*?)\. What", PLAIN)
    assert re.findall(r"`(\w+)`", said) == list(data)
