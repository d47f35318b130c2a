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
