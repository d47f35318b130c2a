"""What may be said of a client is held to the configuration, and when a key is needed."""

from decimal import Decimal
from typing import Any

import pytest

from tokenman_core.clients import Unfit, keys_needed, spend_of, terms
from tokenman_core.config.models import Settings

KEYED = {"providers": {"openai": {"key": "sk-x"}}}


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({}, False), (KEYED, True), ({"listen": "0.0.0.0:7677"}, True), ({"listen": "[::1]:7677"}, False),
        ({"access": {"clients": "required"}}, True), ({**KEYED, "access": {"clients": "optional"}}, False),
        ({"listen": "0.0.0.0:7677", "access": {"clients": "optional"}}, False),
    ],
)  # fmt: skip
def test_a_key_is_needed_once_others_could_use_a_providers(settings: dict[str, Any], needed: bool) -> None:
    assert keys_needed(Settings(**settings)) is needed


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10/day", (Decimal(10), "day")), ("2.50/hour", (Decimal("2.50"), "hour")), (" 0.1 / total ", (Decimal("0.1"), "total")),
        ("daily", None), ("10/year", None), ("10", None), ("-1/day", None), ("", None), ("1e3/day", None),
    ],
)  # fmt: skip
def test_a_budget_of_ones_own_is_an_amount_in_a_window(text: str, found: Any) -> None:
    assert spend_of(text) == found


@pytest.mark.parametrize("text", ["0/day", "1.2.3/day", "99999999999/day", "./day"])
def test_an_amount_that_is_none_is_told(text: str) -> None:
    with pytest.raises(Unfit, match=r"^budget: is no amount of USD; good values: 10/day"):
        spend_of(text)


def test_a_client_is_kept_as_it_was_said() -> None:
    settings = Settings.model_validate({"budgets": [{"name": "team", "limit_usd": 5}]})
    made = terms(
        settings,
        "web",
        1000.0,
        project="p",
        models=["a-*"],
        providers=["open*"],
        budget="team",
        rate="60/minute",
        expires="30d",
    )
    assert (made.name, made.project, made.models, made.providers) == ("web", "p", ("a-*",), ("open*",))
    assert (made.budget, made.rate, made.expires) == ("team", "60/min", 1000.0 + 30 * 86400)
    bare = terms(settings, "b", 1000.0)
    assert (bare.models, bare.budget, bare.rate, bare.expires) == ((), "", "", None)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"providers": ["nope"]}, "providers: 'nope' is none that is configured; there are anthropic"),
        ({"budget": "team"}, "budget: is neither an amount like 10/day nor a budget of the configuration"),
        ({"rate": "fast"}, "rate: is no rate; good values: 60/min"),
        ({"rate": "0/min"}, "rate: is no rate"),
        ({"expires": "soon"}, "expires: is not a duration; good values: 30d"),
        ({"expires": 0}, "expires: must be later than now"),
        ({"expires": "0d"}, "expires: must be later than now"),
        ({"expires": -1}, "expires: is not a duration"),
        ({"expires": True}, "expires: is not a duration"),
        ({"project": "a\x1bb"}, "project: at most 200 characters"),
        ({"models": [""]}, "models: names or patterns"),
    ],
)
def test_what_will_not_do_is_told_with_what_would(said: dict[str, Any], told: str) -> None:
    with pytest.raises(Unfit) as caught:
        terms(Settings(), "web", 1000.0, **said)
    assert str(caught.value).startswith(told)
