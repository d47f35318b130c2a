"""Gives a rest to providers that fail, and passes over those that told a caller to wait long."""

import logging
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from tokenman_core.clock import Clock
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.failover.breaker import Breaker, Rules, State, Ticket
from tokenman_core.failover.retry import retry_after
from tokenman_core.verdicts import AttemptVerdict, Skip

log = logging.getLogger("tokenman.failover")

MOST_PASSED_OVER = 10_000  # callers can make them grow; the oldest are forgotten


@dataclass(frozen=True)
class Probe:
    """An attempt that is not over, and the leave that it has."""

    attempt: Attempt
    ticket: Ticket


class Failover:
    """The stage. A breaker for each provider; it outlives a change of the configuration."""

    name = "failover"
    fails = "open"  # it spares time and providers; what it should have spared is tried and fails, or works

    def __init__(self, rules: Rules, long: float, providers: Iterable[str], clock: Clock) -> None:
        """`long`: seconds of a Retry-After beyond which a provider is passed over for the caller and model it was said to."""
        self._long, self._clock = long, clock
        self._breakers = {name: Breaker(rules, clock) for name in providers}
        self._running: dict[str, list[Probe]] = {name: [] for name in self._breakers}
        self._until: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    @property
    def states(self) -> dict[str, State]:
        return {name: breaker.state for name, breaker in self._breakers.items()}

    def rests(self, provider: str) -> bool:
        """Whether it gets no call now. Raises KeyError."""
        return self._breakers[provider].rests

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
        if attempt.candidate != exchange.plan[-1] and (left := self._left(exchange, attempt)) > 0:
            return Skip("it told this caller to wait", "upstream", left)
        breaker = self._breakers[name]
        self._told_by(name)
        given = breaker.ask()
        if not isinstance(given, Ticket):
            return Skip("its breaker is open", "breaker", given)
        self._running[name].append(Probe(attempt, given))
        return None

    async def llm_attempt_done(self, exchange: Exchange, attempt: Attempt) -> None:
        name = attempt.candidate.provider
        running = self._running[name]
        probe = next((probe for probe in running if probe.attempt is attempt), None)
        if probe is None:
            return
        running.remove(probe)
        breaker, before = self._breakers[name], self._breakers[name].state
        if _failed(exchange, attempt):
            breaker.failure(probe.ticket)
        elif attempt.status is not None and attempt.status < 400 and exchange.outcome != "aborted":
            breaker.success(probe.ticket)
        else:
            breaker.neutral(probe.ticket)
        if breaker.state != before:
            log.warning("the breaker of provider %s is %s now, it was %s", name, breaker.state, before)
        if attempt.status == 429 and attempt.failure is not None:
            wait = retry_after(attempt.failure.headers, self._clock.now())
            if wait is not None and wait > self._long:
                self._pass_over(exchange, attempt, wait)

    def _told_by(self, provider: str) -> None:
        """A stream that runs for an hour has told long before its end that its provider is back."""
        for probe in self._running[provider]:
            if probe.attempt.answered:
                self._breakers[provider].success(probe.ticket)

    def _left(self, exchange: Exchange, attempt: Attempt) -> float:
        until = self._until.get(_key(exchange, attempt))
        return 0.0 if until is None else until - self._clock.monotonic()

    def _pass_over(self, exchange: Exchange, attempt: Attempt, seconds: float) -> None:
        self._until[_key(exchange, attempt)] = self._clock.monotonic() + seconds
        while len(self._until) > MOST_PASSED_OVER:
            self._until.popitem(last=False)


def _key(exchange: Exchange, attempt: Attempt) -> tuple[str, str, str]:
    """Another user's limit, or another model's, is not this one's."""
    return exchange.caller.credential, attempt.candidate.provider, attempt.candidate.model


def _failed(exchange: Exchange, attempt: Attempt) -> bool:
    """Whether it was the provider's fault. What the caller did wrong, and a limit of his own, say nothing of the provider."""
    if attempt.failure is not None and attempt.failure.kind not in ("status", "cap", "refused"):
        return True
    status = attempt.failure.status if attempt.failure is not None else attempt.status
    if status is not None and status >= 500:
        return True
    return exchange.outcome == "broken" and exchange.attempts[-1] is attempt
