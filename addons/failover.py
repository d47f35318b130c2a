"""Gives a rest to providers that fail, and passes over those that told a caller to wait long."""

from collections import OrderedDict

from tokenman_core.clock import Clock
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.failover.breakers import Breakers, Outcome
from tokenman_core.failover.retry import retry_after
from tokenman_core.providers import Providers
from tokenman_core.verdicts import AttemptVerdict, Candidate, Skip

MOST_PASSED_OVER = 10_000  # callers can make them grow; the oldest are forgotten
LONGEST_S = 3600.0  # then it is asked again, whatever it said: a limit may be lifted, and a number may be nonsense
MOST_OF_A_NAME = 200  # characters of a model's name, which a caller may make as long as a request


class PassedOver:
    """Who told whom to wait, and until when. It outlives a change of the configuration."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def left(self, key: tuple[str, str, str]) -> float:
        """Seconds."""
        until = self._until.get(key)
        return 0.0 if until is None else until - self._clock.monotonic()

    def add(self, key: tuple[str, str, str], seconds: float) -> None:
        self._until[key] = self._clock.monotonic() + min(seconds, LONGEST_S)
        self._until.move_to_end(key)
        while len(self._until) > MOST_PASSED_OVER:
            self._until.popitem(last=False)


class Failover:
    """The stage, by one configuration. The breakers are told of the providers' doings, and asked before each."""

    name = "failover"
    fails = "open"  # it spares time and providers; what it should have spared is tried and fails, or works

    def __init__(
        self, breakers: Breakers, long: float, providers: Providers, clock: Clock, passed_over: PassedOver | None = None
    ) -> None:
        """`long`: seconds of a Retry-After beyond which a provider is passed over for the key and model it was said to."""
        self.breakers, self._long, self._providers, self._clock = breakers, long, providers, clock
        self._passed_over = PassedOver(clock) if passed_over is None else passed_over

    def may(self, candidate: Candidate, exchange: Exchange) -> bool:
        """Whether a call would be let through to a candidate of its plan now."""
        waits = candidate != exchange.plan[-1] and self._left(exchange, candidate) > 0
        return not (waits or self.breakers.turns_away(candidate.provider, candidate.model))

    async def llm_attempt(self, exchange: Exchange, attempt: Attempt) -> AttemptVerdict | None:
        candidate = attempt.candidate
        if candidate != exchange.plan[-1] and (left := self._left(exchange, candidate)) > 0:
            return Skip("it told this caller to wait", "upstream", left)
        if not (exchange.operation.generates or self.breakers.idle(candidate.provider)):
            # Whether a list or a file can be had says little of the models behind it, neither good nor bad; and it is no probe.
            return None
        wait = await self.breakers.ask(attempt, candidate.provider, candidate.model)
        return None if wait is None else Skip("its breaker is open", "breaker", wait)

    async def llm_attempt_done(self, exchange: Exchange, attempt: Attempt) -> None:
        self.breakers.told(attempt, _outcome(exchange, attempt))
        failure = attempt.failure
        if failure is None or failure.status != 429:
            return
        asked = retry_after(failure.headers, self._clock.now())
        if asked is not None and asked > self._long:
            self._passed_over.add(self._key(exchange, attempt.candidate), asked)

    def _left(self, exchange: Exchange, candidate: Candidate) -> float:
        return self._passed_over.left(self._key(exchange, candidate))

    def _key(self, exchange: Exchange, candidate: Candidate) -> tuple[str, str, str]:
        """Another user's limit, or another model's, is not this one's. A configured key is the same for all; another one that
        takes its place has limits of its own."""
        provider, model = candidate.provider, candidate.model
        key = self._providers.by_name[provider].key
        own = key is None and provider == exchange.named
        who = exchange.caller.credential if own else "" if key is None else f"key {hash(key)}"
        return who, provider, model[:MOST_OF_A_NAME]


def _outcome(exchange: Exchange, attempt: Attempt) -> Outcome:
    """What it says of the provider. What the caller did wrong, and a limit of his own, say nothing against it."""
    failure = attempt.failure
    if failure is not None and failure.kind != "status":
        return "neutral" if failure.kind in ("cap", "refused", "full", "stale") else "failure"
    if failure is not None and failure.status is not None and failure.status >= 500:
        return "failure_of_model" if failure.of_model else "failure"
    # An answer that ended before its end, and not because a stage of ours had it end.
    if attempt.answered and exchange.outcome == "broken" and exchange.broken != "stage":
        return "failure"
    if attempt.answered:
        return "success"
    return "neutral" if failure is None else "reply"
