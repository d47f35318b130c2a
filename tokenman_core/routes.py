"""Resolves the route of a call: which providers may answer it, in which order, and under which name each knows the model."""

import asyncio
import fnmatch
import hashlib
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tokenman_core.bound import Bound, bound, given
from tokenman_core.config.routing import Route
from tokenman_core.exchange import Exchange
from tokenman_core.makers import Makers
from tokenman_core.providers import Providers
from tokenman_core.verdicts import Candidate

_MOST_OF_ONE = 500  # of one answer
_READ = 64 << 10  # bytes of an answer that are searched for them at once, so that the loop is not held
_READ_LATER = 1 << 20  # bytes at the end of a longer one: signatures come behind the thinking that they sign
_SHORTEST = 6  # characters; a shorter one names nothing


@dataclass(frozen=True)
class _Rule:
    model: re.Pattern[str]
    project: re.Pattern[str]
    provider: re.Pattern[str]
    places: tuple[tuple[Candidate, int], ...] | None  # with its weight; 0: it keeps its place
    cache: Literal["", "off", "deterministic", "all"] = ""  # the mode of the cache for its calls, "" for the one of all

    def fits(self, exchange: Exchange) -> bool:
        named = exchange.plan[0].provider
        return bool(
            self.model.match(exchange.model) and self.project.match(exchange.project) and self.provider.match(named)
        )


class Routes:
    """Of a configuration. `makers` remembers who made what in an answer, and who answered a session: what is bound to one goes
    there."""

    def __init__(self, routes: Sequence[Route], providers: Providers, makers: Makers | None = None) -> None:
        self._rules = [_rule(route) for route in routes]
        self._providers = providers.by_name
        self._makers = Makers() if makers is None else makers

    def plan(self, exchange: Exchange) -> tuple[Candidate, ...]:
        """The first route that fits and leads to the API that the call speaks, else the provider that the call named.

        What asks no model goes to whoever made what its path names, else to the provider that the call named, and so does a body
        that speaks of what only one provider has or may get.
        """
        named = Candidate(exchange.plan[0].provider, exchange.model)
        if not self._rules:
            return (named,)
        if not exchange.model or not (exchange.operation.generates or exchange.operation.name == "count_tokens"):
            return (self._maker(exchange, exchange.sent.path.split("/"), ()) or named,)
        rule, plan = next(
            ((rule, plan) for rule in self._rules if rule.fits(exchange) and (plan := self._led_by(rule, exchange))),
            (None, (named,)),
        )
        exchange.caching = rule.cache if rule else ""
        if plan == (named,):
            return plan
        holds = bound(exchange.body.value) if exchange.body is not None else None
        return (self._only(exchange, holds, plan),) if holds else plan

    def _only(self, exchange: Exchange, holds: Bound, plan: tuple[Candidate, ...]) -> Candidate:
        """Who has what such a body speaks of. What is laid down beforehand is laid down at the provider that was called."""
        name = exchange.plan[0].provider
        named = next((one for one in plan if one.provider == name), Candidate(name, exchange.model))
        if holds.confided:
            return named
        if holds.stored:
            return self._maker(exchange, reversed(holds.stored), plan) or named
        if maker := self._maker(exchange, reversed(holds.made), plan):
            return maker
        server = self._makers.server(exchange.caller.credential, exchange.session)
        if server is not None and (served := self._makers.among(server, plan)):
            return served
        return plan[0] if len({one.provider for one in plan}) == 1 else named

    def _maker(self, exchange: Exchange, ids: Iterable[str], plan: Sequence[Candidate]) -> Candidate | None:
        """Who made the first of them whose maker is known, under the name of the model that `plan` has there."""
        made = self._makers.maker(exchange.caller.credential, ids)
        if made is None or not self._may_ask(made.provider, exchange):
            return None
        if there := self._makers.among(made, plan):
            return there
        return next((one for one in plan if one.provider == made.provider), Candidate(made.provider, exchange.model))

    def _led_by(self, rule: _Rule, exchange: Exchange) -> tuple[Candidate, ...]:
        session = exchange.session or exchange.id
        places = self._serving(exchange) if rule.places is None else _in_order(rule.places, session)
        return tuple(
            Candidate(place.provider, place.model or exchange.model)
            for place in places
            if self._may_ask(place.provider, exchange)
        )

    def _may_ask(self, name: str, exchange: Exchange) -> bool:
        """The caller's own key is for the provider that he called: another one, without a key, would refuse all his calls."""
        provider = self._providers.get(name)
        if provider is None:  # it made something once, and is configured no more
            return False
        return provider.dialect is exchange.dialect and (provider.open or name == exchange.plan[0].provider)

    def answered(self, exchange: Exchange) -> None:
        """The call is over. Who gave its answer is to get what is bound to him, and the next call of its session that is bound."""
        tried = exchange.tried
        if not self._rules or not tried or not tried[-1].answered or not exchange.operation.generates:
            return
        candidate = tried[-1].candidate
        said, captured = exchange.said or b"", exchange.captured
        first, size = (said[:_READ], len(said)) if captured is None else (captured.first(_READ), captured.kept)
        credential = exchange.caller.credential
        self._makers.answered(credential, exchange.session, _given(first), candidate)
        if size > _READ:
            rest = said[-_READ_LATER:] if captured is None else captured.last(_READ_LATER)
            task = asyncio.ensure_future(self._answered_later(credential, rest, candidate))
            _running.add(task)
            task.add_done_callback(_running.discard)

    async def _answered_later(self, credential: str, said: bytes, candidate: Candidate) -> None:
        self._makers.answered(credential, "", await asyncio.to_thread(_given, said), candidate)

    def _serving(self, exchange: Exchange) -> list[Candidate]:
        """Whoever has the model, by priority, of equals the one that the call named first."""
        named = exchange.plan[0].provider
        serving = [
            it
            for it in self._providers.values()
            if any(fnmatch.fnmatchcase(exchange.model, pattern) for pattern in it.models)
        ]
        return [Candidate(it.name, "") for it in sorted(serving, key=lambda it: (it.priority, it.name != named))]


_running: set[asyncio.Task[None]] = set()  # a task that nobody holds may be collected before it ends


def _given(said: bytes) -> list[str]:
    """The last of what an answer gives. A stream repeats its own id in each event."""
    found: dict[str, None] = {}
    for one in given(said):
        if len(one) >= _SHORTEST and one not in found:
            found[one] = None
            if len(found) > _MOST_OF_ONE:
                del found[next(iter(found))]
    return list(found)


def _rule(route: Route) -> _Rule:
    patterns = (
        re.compile(fnmatch.translate(text)) for text in (route.match.model, route.match.project, route.match.provider)
    )
    model, project, provider = patterns
    if route.places is None:
        return _Rule(model, project, provider, None, route.cache or "")
    places = tuple((Candidate(place.provider, place.model or ""), place.weight) for place in route.places)
    return _Rule(model, project, provider, places, route.cache or "")


def _in_order(places: Sequence[tuple[Candidate, int]], session: str) -> list[Candidate]:
    """Those with a weight change places among themselves, by chance, but alike for all calls of a session: the provider that
    has a conversation in its cache is to get the next turn too."""
    weighted = [(candidate, weight) for candidate, weight in places if weight]
    chance = random.Random(hashlib.blake2b(session.encode("utf-8", "surrogatepass")).digest())
    # The largest of u^(1/w) comes first: a weighted order without replacement (Efraimidis and Spirakis, 2006).
    drawn = iter(sorted(weighted, key=lambda it: chance.random() ** (1 / it[1]), reverse=True))
    return [next(drawn)[0] if weight else candidate for candidate, weight in places]
