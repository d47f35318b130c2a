from decimal import Decimal

import pytest

from tokenman_core.config.load import load
from tokenman_core.errors import ConfigError


def read(tmp_path, text: str):
    file = tmp_path / "tokenman.yaml"
    file.write_text(text)
    return load(file, {"HOME": str(tmp_path)}).settings


def test_a_budget_as_it_is_written(tmp_path):
    (budget,) = read(
        tmp_path,
        "budgets: [{name: daily, limit_usd: 0.1, window: day, scope: project, match: {model: 'claude-*'}, alerts: [0.5, 1]}]",
    ).budgets
    assert (budget.limit_usd, budget.window, budget.scope, budget.on_exceed) == (
        Decimal("0.1"),
        "day",
        "project",
        "block",
    )
    assert budget.match.patterns == {"model": "claude-*"}
    assert budget.alerts == (Decimal("0.5"), Decimal(1))
    (plain,) = read(tmp_path, "budgets: [{name: all, limit_usd: 10}]").budgets
    assert (plain.window, plain.scope, plain.match.patterns, plain.on_store_error) == ("month", "global", {}, "refuse")


@pytest.mark.parametrize(
    ("budget", "setting"),
    [
        ("{name: a}", "budgets[0].limit_usd"),
        ("{limit_usd: 1}", "budgets[0].name"),
        ("{name: a, limit_usd: 0}", "budgets[0].limit_usd"),
        ("{name: a, limit_usd: -1}", "budgets[0].limit_usd"),
        ("{name: a, limit_usd: much}", "budgets[0].limit_usd"),
        ("{name: a, limit_usd: 1e9}", "budgets[0].limit_usd"),
        ("{name: a, limit_usd: .nan}", "budgets[0].limit_usd"),
        ("{name: 'a/b', limit_usd: 1}", "budgets[0].name"),
        ("{name: a, limit_usd: 1, window: year}", "budgets[0].window"),
        ("{name: a, limit_usd: 1, scope: team}", "budgets[0].scope"),
        ("{name: a, limit_usd: 1, on_exceed: downgrade}", "budgets[0]"),
        ("{name: a, limit_usd: 1, downgrade_to: claude-haiku-4-5}", "budgets[0]"),
        ("{name: a, limit_usd: 1, alerts: [0]}", "budgets[0].alerts[0]"),
        ("{name: a, limit_usd: 1, match: {provider: nobody}}", "budgets[0].match.provider"),
        ("{name: a, limit_usd: 1, match: {team: x}}", "budgets[0].match.team"),
        ("{name: a, limit_usd: 1}, {name: a, limit_usd: 2}", "budgets[1].name"),
    ],
)
def test_a_wrong_budget_ends_the_start_and_names_the_setting(tmp_path, budget, setting):
    with pytest.raises(ConfigError) as told:
        read(tmp_path, f"budgets: [{budget}]")
    assert f"{setting}:" in str(told.value)


@pytest.mark.parametrize(
    ("text", "number", "seconds"),
    [
        ("60/min", 60, 60),
        ("5/10s", 5, 10),
        (" 1000 / hour ", 1000, 3600),
        ("100000/day", 100_000, 86_400),
        ("2/S", 2, 1),
    ],
)
def test_a_rate_is_so_many_in_a_time(tmp_path, text, number, seconds):
    (limit,) = read(tmp_path, f"rate_limits: [{{name: a, requests: '{text}', wait: 10s}}]").rate_limits
    assert limit.requests == (number, seconds)
    assert (limit.wait, limit.scope) == (10.0, "global")


@pytest.mark.parametrize(
    ("limit", "setting"),
    [
        ("{name: a}", "rate_limits[0]"),
        ("{name: a, requests: 60}", "rate_limits[0].requests"),
        ("{name: a, requests: 0/min}", "rate_limits[0].requests"),
        ("{name: a, requests: 1/0s}", "rate_limits[0].requests"),
        ("{name: a, tokens: 5/fortnight}", "rate_limits[0].tokens"),
        ("{name: a, concurrent: 0}", "rate_limits[0].concurrent"),
        ("{name: a, concurrent: 1, scope: team}", "rate_limits[0].scope"),
        ("{name: a, concurrent: 1}, {name: a, concurrent: 2}", "rate_limits[1].name"),
    ],
)
def test_a_wrong_rate_limit_ends_the_start_and_names_the_setting(tmp_path, limit, setting):
    with pytest.raises(ConfigError) as told:
        read(tmp_path, f"rate_limits: [{limit}]")
    assert f"{setting}:" in str(told.value)
