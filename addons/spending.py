"""What the settings say of a budget, as the rule that is kept of it."""

from tokenman_core.budget import rules
from tokenman_core.config import spending
from tokenman_core.scopes import Reach


def budget_rule(it: spending.Budget) -> rules.Rule:
    """Its name, reach, limit and what happens beyond it."""
    return rules.Rule(
        it.name, rules.units(it.limit_usd), it.window, Reach(it.scope, it.match.patterns), it.on_exceed,
        it.downgrade_to or "", it.alerts, it.on_store_error == "refuse", it.unbounded == "allow",
    )  # fmt: skip
