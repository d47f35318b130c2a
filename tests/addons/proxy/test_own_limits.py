"""What clients were given with their keys becomes rules, and follows each change of the clients."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from addons.proxy.own_limits import OwnLimits
from tokenman_core.budget.rules import Rule, units
from tokenman_core.clients import Client, Clients
from tokenman_core.clock import ManualClock
from tokenman_core.ratelimit.rules import Rate
from tokenman_core.scopes import Reach

WEB = Client("web", "0" * 64, 1.0)
TEAM = Rule("team", 500, "month", Reach("project", {"project": "x"}), "warn")


def test_the_rules_are_those_of_the_clients_that_there_are(tmp_path: Path) -> None:
    clock = ManualClock()
    clients = Clients(tmp_path / "data", b"k", clock)
    limits = OwnLimits(clients, [TEAM])
    assert (limits.budgets(), limits.rates()) == ({}, {})
    for name, terms in {
        "none": {}, "own": {"budget": "2.50/day"}, "member": {"budget": "team"}, "gone": {"budget": "gone"},
        "bad": {"budget": "0/day", "rate": "fast"}, "slow": {"rate": "60/min"},
    }.items():  # fmt: skip
        clients.add(replace(WEB, name=name, **terms))  # type: ignore[arg-type]
    (own,) = limits.budgets()["own"]
    assert (own.name, own.limit, own.span, own.blocks) == ("client:own", units(Decimal("2.5")), "day", True)
    assert dict(own.reach.match) == {"client": "own"}
    (member,) = limits.budgets()["member"]
    assert (member.name, member.limit, member.on_exceed, member.reach.scope) == ("team", 500, "warn", "project")
    assert dict(member.reach.match) == {"client": "member"}
    assert set(limits.budgets()) == {"own", "member"}
    assert {name: [rule.requests for rule in rules] for name, rules in limits.rates().items()} == {
        "slow": [Rate(60, 60.0)], "bad": [Rate(1, 60.0)],
    }  # fmt: skip
    clients.revoke("own")
    clock.advance(2)
    assert set(limits.budgets()) == {"member"}


def test_they_are_made_once_for_each_state_of_the_clients(tmp_path: Path) -> None:
    clients = Clients(tmp_path / "data", b"k", ManualClock())
    limits = OwnLimits(clients, [])
    clients.add(WEB)
    assert limits.now() is limits.now()
