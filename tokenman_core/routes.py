"""Resolves the route of a call: which providers may answer it, in which order, and under which name each knows the model."""

import fnmatch
import hashlib
import random
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from tokenman_core.config.routing import Route
from tokenman_core.exchange import Exchange
from tokenman_core.providers import Providers
from tokenman_core.verdicts import Candidate

# What only the provider that made it can read: its own ids, what it encrypted or signed.
_BOUND = re.compile(
    rb'"(?:previous_response_id|conversation|file_ids?|fileUri|file_uri|container_id|vector_store_ids|assistant_id'
    rb'|encrypted_content|signature|thoughtSignature|thought_signature|cachedContent|cached_content)"\s*+:\s*+(?!null|""|\[\])'
    rb'|"container"\s*+:\s*+"|"redacted_thinking"|"item_reference"'
)

MOST_SERVED = 10_000  # sessions whose provider is remembered; callers can make them grow, the oldest are forgotten


@dataclass(frozen=True)
class _Rule:
    model: re.Pattern[str]
    project: re.Pattern[str]
    provider: re.Pattern[str]
    places: tuple[tuple[Candidate, int], ...] | None  # with its weight; 0: it keeps its place

    def fits(self, exchange: Exchange) -> bool:
        named = exchange.plan[0].provider
        return bool(
            self.model.match(exchange.model) and self.project.match(exchange.project) and self.provider.match(named)
        )


class Routes:
    """Of a configuration. Remembers which provider a session was answered by: what is bound to one goes there."""

    def __init__(self, routes: Sequence[Route], providers: Providers) -> None:
        self._rules = [_rule(route) for route in routes]
        self._providers = providers.by_name
        self._served: OrderedDict[tuple[str, str], Candidate] = OrderedDict()

    def plan(self, exchange: Exchange) -> tuple[Candidate, ...]:
        """The first route that fits and leads to the API that the call speaks, else the provider that the call named, which
        also gets what asks no model.
        """
        named = (Candidate(exchange.plan[0].provider, exchange.model),)
        if not exchange.model or not (exchange.operation.generates or exchange.operation.name == "count_tokens"):
            return named
        plan = next(
            (plan for rule in self._rules if rule.fits(exchange) and (plan := self._led_by(rule, exchange))), named
        )
        if len(plan) < 2 or not _is_bound(exchange):
            return plan
        served = self._served.get(_who(exchange))
        return (served,) if served in plan else plan[:1]

    def _led_by(self, rule: _Rule, exchange: Exchange) -> tuple[Candidate, ...]:
        session = exchange.session or exchange.id
        places = self._serving(exchange) if rule.places is None else _in_order(rule.places, session)
        return tuple(
            Candidate(place.provider, place.model or exchange.model)
            for place in places
            if self._providers[place.provider].dialect is exchange.dialect
        )

    def answered(self, exchange: Exchange) -> None:
        """The call is over. Who gave its answer is to get the next one of its session that is bound to him."""
        tried = exchange.tried
        if tried and tried[-1].answered and len(exchange.plan) > 1 and exchange.session:
            self._served[_who(exchange)] = tried[-1].candidate
            self._served.move_to_end(_who(exchange))
            while len(self._served) > MOST_SERVED:
                self._served.popitem(last=False)

    def _serving(self, exchange: Exchange) -> list[Candidate]:
        """Whoever has the model, by priority, of equals the one that the call named first. What needs a key is left out where
        none is configured: the caller's own is for the provider that he called."""
        named = exchange.plan[0].provider
        serving = [
            it
            for it in self._providers.values()
            if any(fnmatch.fnmatchcase(exchange.model, pattern) for pattern in it.models)
            and (it.name == named or it.key is not None or not it.hosts)
        ]
        return [Candidate(it.name, "") for it in sorted(serving, key=lambda it: (it.priority, it.name != named))]


def _rule(route: Route) -> _Rule:
    patterns = (
        re.compile(fnmatch.translate(text)) for text in (route.match.model, route.match.project, route.match.provider)
    )
    model, project, provider = patterns
    if route.places is None:
        return _Rule(model, project, provider, None)
    places = tuple((Candidate(place.provider, place.model or ""), place.weight) for place in route.places)
    return _Rule(model, project, provider, places)


def _in_order(places: Sequence[tuple[Candidate, int]], session: str) -> list[Candidate]:
    """Those with a weight change places among themselves, by chance, but alike for all calls of a session: the provider that
    has a conversation in its cache is to get the next turn too."""
    weighted = [(candidate, weight) for candidate, weight in places if weight]
    chance = random.Random(hashlib.blake2b(session.encode("utf-8", "surrogatepass")).digest())
    # The largest of u^(1/w) comes first: a weighted order without replacement (Efraimidis and Spirakis, 2006).
    drawn = iter(sorted(weighted, key=lambda it: chance.random() ** (1 / it[1]), reverse=True))
    return [next(drawn)[0] if weight else candidate for candidate, weight in places]


def _who(exchange: Exchange) -> tuple[str, str]:
    return exchange.caller.credential, exchange.session


def _is_bound(exchange: Exchange) -> bool:
    """Whether the body speaks of what only one provider has."""
    return exchange.body is not None and _BOUND.search(exchange.body.render()) is not None
