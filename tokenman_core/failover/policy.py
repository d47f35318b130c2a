"""What to do when an attempt has failed: try the same provider again, go on to the next one, or pass on what it said."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tokenman_core import headers as h
from tokenman_core.clock import Clock
from tokenman_core.failover.retry import Budget, backoff, retry_after
from tokenman_core.verdicts import Failure


@dataclass(frozen=True)
class Again:
    """At the same provider, after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Next:
    """At the next candidate, at once."""


@dataclass(frozen=True)
class Last:
    """Nothing more is tried: the last answer is the answer."""


Decision = Again | Next | Last


@dataclass(frozen=True)
class Rules:
    """`attempts` at one provider, `max_wait` seconds between attempts in one call, all together."""

    attempts: int = 3
    base_delay: float = 0.5
    max_delay: float = 30.0
    max_wait: float = 60.0
    statuses: frozenset[int] = frozenset({429, 502, 503, 504, 529})


@dataclass(frozen=True)
class Safe:
    """Where else it may be tried after a kind of failure. `sent`: the provider may have begun to work on the call."""

    again: bool
    next: bool
    sent: bool = True


SAFE: Mapping[str, Safe] = {
    "connect": Safe(again=True, next=True, sent=False),  # refused, no such host, TLS failed: nothing was sent
    "reset": Safe(again=True, next=True),
    "stale": Safe(
        again=True, next=True
    ),  # a kept connection had been closed; at once, since a fresh one is all it takes
    "truncated": Safe(again=True, next=True),  # a stream that ended before it said anything
    "timeout": Safe(again=False, next=True),  # the deadline was long: the same provider would be as slow
    "protocol": Safe(again=False, next=True),
    "full": Safe(again=False, next=True, sent=False),  # our own bound on connections; it was waited for already
    "refused": Safe(again=False, next=True, sent=False),  # by our own guard: an address that may not be dialled
    "cap": Safe(again=False, next=False),  # the answer is too large; another one would be too
}
"""Kinds of failure without a status. What is not in the table is never tried again."""

STATUSES_OF_ERRORS: Mapping[str, int] = {
    "overloaded_error": 529,
    "overloaded": 529,
    "engine_overloaded": 503,
    "server_is_overloaded": 503,
    "service_unavailable": 503,
    "service_unavailable_error": 503,
    "slow_down": 503,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "api_error": 500,
    "server_error": 500,
    "internal_server_error": 500,
    "timeout_error": 504,
    "UNAVAILABLE": 503,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
}
"""The status that an error event at the head of a stream stands for: the providers' own names of errors
(https://docs.anthropic.com/en/api/errors, https://platform.openai.com/docs/guides/error-codes,
https://ai.google.dev/gemini-api/docs/troubleshooting)."""

_NUMBERS = frozenset(str(number) for number in range(400, 600))


def status_of(error: str, unknown: int) -> int:
    """The status that an error in a stream stands for, which may be named by one; `unknown` for what is no name that we know."""
    return int(error) if error in _NUMBERS else STATUSES_OF_ERRORS.get(error, unknown)


@dataclass
class Course:
    """How one call has gone so far. `tries` at the provider that was tried last; `waited` seconds in all."""

    tries: int = 1
    waited: float = 0.0


class Policy:
    """The judgement, with its clock and its chance from outside. Budgets of retries are kept for each provider."""

    def __init__(
        self, rules: Rules, clock: Clock, random: Callable[[], float], budgets: dict[str, Budget] | None = None
    ) -> None:
        """`budgets`: those of another policy, which this one takes the place of."""
        self.rules = rules
        self._clock, self._random = clock, random
        self._budgets: dict[str, Budget] = {} if budgets is None else budgets

    def budget(self, provider: str) -> Budget:
        """The providers are those of the configuration, so there are few."""
        found = self._budgets.get(provider)
        if found is None:
            found = self._budgets[provider] = Budget(self._clock)
        return found

    def decide(
        self, failure: Failure, provider: str, course: Course, *, more: bool, repeatable: bool, once: bool
    ) -> Decision:
        """`more`: another candidate is left. `repeatable`: the call changes nothing where it is answered, so that it may be
        sent twice. `once`: it is a client's own retry, which is tried once at each provider.
        """
        asked = retry_after(failure.headers, self._clock.now())
        status = failure.status
        if failure.kind == "status" and status is not None:
            again, on = status in self.rules.statuses, status >= 500 or status in self.rules.statuses
            if h.first(failure.headers, b"x-should-retry") == b"false":  # the SDKs of Anthropic and OpenAI obey it too
                again = False
            sent = status >= 500
        else:
            safe = SAFE.get(failure.kind, Safe(again=False, next=False))
            again, on, sent = safe.again, safe.next, safe.sent
        if sent and not repeatable:
            return Last()
        if failure.kind in ("connect", "reset") and more:
            return Next()  # what cannot be reached is not waited for while another one can be asked
        if again and not once and course.tries < self.rules.attempts:
            delay = 0.0 if failure.kind == "stale" else self._delay(course, asked)
            if delay is not None and self.budget(provider).take():
                return Again(delay)
        return Next() if on and more else Last()

    def _delay(self, course: Course, asked: float | None) -> float | None:
        """None: it would take longer than a call may wait."""
        rules = self.rules
        delay = backoff(course.tries - 1, rules.base_delay, rules.max_delay, self._random)
        if asked is not None:
            if asked > rules.max_delay:
                return None
            delay = max(asked, min(delay, rules.base_delay))  # a little later than asked, so that not all come at once
        return delay if course.waited + delay <= rules.max_wait else None
