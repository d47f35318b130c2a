"""The budgets and rates that clients were given with their keys, as rules beside those of the configuration."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic_core import PydanticCustomError

from tokenman_core.budget import rules
from tokenman_core.clients import Client, Clients, Unfit, spend_of
from tokenman_core.config.spending import parse_rate
from tokenman_core.ratelimit.rules import Rate
from tokenman_core.ratelimit.rules import Rule as RateRule
from tokenman_core.scopes import Reach

log = logging.getLogger("tokenman.access")

PREFIX = "client:"
"""Begins the name of a limit of a client's own; no configured one has a colon in its name."""


@dataclass(frozen=True)
class Limits:
    """By the name of a client."""

    budgets: Mapping[str, Sequence[rules.Rule]]
    rates: Mapping[str, Sequence[RateRule]]


class OwnLimits:
    """Of one configuration, whose budgets are `configured`. Made anew when the clients change."""

    def __init__(self, clients: Clients, configured: Sequence[rules.Rule]) -> None:
        self._clients = clients
        self._configured = {rule.name: rule for rule in configured}
        self._of = -1
        self._limits = Limits({}, {})

    def now(self) -> Limits:
        known = self._clients.now()
        if known.version != self._of:
            self._of = known.version
            self._limits = Limits(
                {each.name: (spend,) for each in known.clients if (spend := self._budget(each))},
                {each.name: (rate,) for each in known.clients if (rate := _rate(each))},
            )
        return self._limits

    def budgets(self) -> Mapping[str, Sequence[rules.Rule]]:
        return self.now().budgets

    def rates(self) -> Mapping[str, Sequence[RateRule]]:
        return self.now().rates

    def _budget(self, client: Client) -> rules.Rule | None:
        """One of the configuration counts this client's calls too, whatever it matches. Where it is gone, `Access` refuses."""
        if configured := self._configured.get(client.budget):
            return replace(configured, reach=Reach(configured.reach.scope, {"client": client.name}))
        try:
            found = spend_of(client.budget)
        except Unfit:
            return None
        if found is None:
            return None
        amount, span = found
        return rules.Rule(PREFIX + client.name, rules.units(amount), span, Reach("global", {"client": client.name}))


def _rate(client: Client) -> RateRule | None:
    if not client.rate:
        return None
    try:
        rate = Rate(*parse_rate(client.rate))
    except PydanticCustomError:
        log.error("the rate of client %s cannot be read: one call a minute is let through", client.name)
        rate = Rate(1, 60.0)
    return RateRule(PREFIX + client.name, Reach("global", {"client": client.name}), rate)
