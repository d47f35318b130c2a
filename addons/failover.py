"""Gives a rest to providers that fail, and passes over those that told a caller to wait long."""

import logging
from collections import OrderedDict

from tokenman_core.clock import Clock
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.failover.breaker import Breaker, Rules, State, Ticket
from tokenman_core.failover.retry import retry_after
from tokenman_core.providers import Providers
from tokenman_core.verdicts import AttemptVerdict, Candidate, Skip

log = logging.getLogger("tokenman.failover")

MOST_PASSED_OVER = 10_000  # callers can make them grow; the oldest are forgotten
LONGEST_S = 3600.0  # then it is asked again, whatever it said: a limit may be lifted, and a number may be nonsense
MOST_OF_A_NAME = 200  # characters of a model's name, which a caller may make as long as a request


class Failover:
    """The stage. A breaker for each provider; it outlives a change of the configuration."""

    name = "failover"
    fails = "open"  # it spares time and providers; what it should have spared is tried and fails, or works

    def __init__(self, rules: Rules, long: float, providers: Providers, clock: Clock) -> None:
        """`long`: seconds of a Retry-After beyond which a provider is passed over for the key and model it was said to."""
        self._long, self._providers, self._clock = long, providers, clock
        self._breakers = {name: Breaker(rules, clock) for name in providers.by_name}
        self._running: dict[str, dict[Attempt, Ticket]] = {name: {} for name in self._breakers}
        self._until: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    @property
    def states(self) -> dict[str, State]:
        for name in self._breakers:
            self._told_early(name)
        return {name: breaker.state for name, breaker in self._breakers.items()}

    def rests(self, provider: str) -> bool:
        """Whether it gets no call now. Raises KeyError."""
        return self._breakers[provider].rests

    def may(self, candidate: Candidate, exchange: Exchange) -> bool:
        """Whether a call would be let through to a candidate of its plan now."""
        self._told_early(candidate.provider)
        waits = candidate != exchange.plan[-1] and self._left(exchange, candidate) > 0
        return not (waits or self._breakers[candidate.provider].turns_away)

    def hold(self, provider: str) -> None:
        """Gives a provider a rest by hand, until `release`. Raises KeyError."""
        self._breakers[provider].hold()
        log.warning("provider %s is given a rest by hand", provider)

    def release(self, provider: str) -> None:
        """Raises KeyError."""
        self._breakers[provider].release()
        log.warning("provider %s is taken back by hand", provider)

    async def llm_attempt(self, exchange: Exchange, attempt: Attempt) -> AttemptVerdict | None:
        name = attempt.candidate.provider
        if attempt.candidate != exchange.plan[-1] and (left := self._left(exchange, attempt.candidate)) > 0:
            return Skip("it told this caller to wait", "upstream", left)
        breaker = self._breakers[name]
        self._told_early(name)
        if not (exchange.operation.generates or breaker.rests):
            # Whether a list or a file can be had says little of the models behind it, neither good nor bad; and it is no probe.
            return None
        given = breaker.ask()
        if not isinstance(given, Ticket):
            return Skip("its breaker is open", "breaker", given)
        self._running[name][attempt] = given
        return None

    async def llm_attempt_done(self, exchange: Exchange, attempt: Attempt) -> None:
        name = attempt.candidate.provider
        ticket = self._running[name].pop(attempt, None)
        if ticket is None:
            return
        breaker, before = self._breakers[name], self._breakers[name].state
        if _failed(exchange, attempt):
            breaker.failure(ticket)
        elif attempt.answered:
            breaker.success(ticket)
        elif attempt.failure is not None and attempt.failure.kind == "status":
            breaker.reply(ticket)
        else:
            breaker.neutral(ticket)
        if breaker.state != before:
            log.warning("the breaker of provider %s is %s now, it was %s", name, breaker.state, before)
        if attempt.failure is not None and attempt.failure.status == 429:
            wait = retry_after(attempt.failure.headers, self._clock.now())
            if wait is not None and wait > self._long:
                self._pass_over(exchange, attempt, wait)

    def _told_early(self, provider: str) -> None:
        """A probe whose stream runs for an hour has told with its first token that its provider is back."""
        breaker = self._breakers[provider]
        if breaker.state == "half_open":
            for attempt, ticket in self._running[provider].items():
                if attempt.answered:
                    breaker.success(ticket)

    def _left(self, exchange: Exchange, candidate: Candidate) -> float:
        until = self._until.get(self._key(exchange, candidate))
        return 0.0 if until is None else until - self._clock.monotonic()

    def _pass_over(self, exchange: Exchange, attempt: Attempt, seconds: float) -> None:
        self._until[self._key(exchange, attempt.candidate)] = self._clock.monotonic() + min(seconds, LONGEST_S)
        while len(self._until) > MOST_PASSED_OVER:
            self._until.popitem(last=False)

    def _key(self, exchange: Exchange, candidate: Candidate) -> tuple[str, str, str]:
        """Another user's limit, or another model's, is not this one's. A configured key is the same for all."""
        provider, model = candidate.provider, candidate.model
        own = self._providers.by_name[provider].key is None and provider == exchange.named
        return exchange.caller.credential if own else "", provider, model[:MOST_OF_A_NAME]


def _failed(exchange: Exchange, attempt: Attempt) -> bool:
    """Whether it was the provider's fault. What the caller did wrong, and a limit of his own, say nothing of the provider."""
    failure = attempt.failure
    if failure is not None and failure.kind != "status":
        return failure.kind not in ("cap", "refused", "full", "stale")
    if failure is not None:
        return failure.status is not None and failure.status >= 500
    # An answer that ended before its end, and not because a stage of ours had it end.
    return attempt.answered and exchange.outcome == "broken" and exchange.broken != "stage"
