"""The attempts of one call: at the candidates of its plan, until one answers or the policy says that it is enough."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import assert_never

from tokenman_core.clock import Clock
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.failover.policy import Again, Course, Decision, Last, Next, Policy
from tokenman_core.metering import Meter
from tokenman_core.outward import Pieces
from tokenman_core.peek import Peeked, peek
from tokenman_core.sending import Sender, repeatable
from tokenman_core.stages import Link, Stages, texts
from tokenman_core.verdicts import Candidate, Part, Refuse, Skip

log = logging.getLogger("tokenman.call")

NOBODY = Refuse(503, "upstream", "No configured provider may serve this call.", retry_after=1)


@dataclass(frozen=True)
class Means:
    """What all calls share. `cap`: bytes of a whole answer, 0 for no cap. `sleep` waits between attempts.

    `may`: whether a candidate that is left would be asked, as far as that is known now. `note` is told of each attempt that is
    about to be sent, and with None once it is booked: for the case that the process is killed.
    """

    sender: Sender
    policy: Policy
    meter: Meter
    clock: Clock
    cap: int
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    may: Callable[[Candidate, Exchange], bool] = lambda candidate, exchange: True
    note: Callable[[Exchange, Attempt | None], None] = lambda exchange, attempt: None


class Tries:
    """Of one call. `parts` is its answer; then, or when it is broken off, `settle`.

    A hedged second try has its place in `parts`, beside `_look`: nothing that is looked at has gone to the client, so when the
    first has been silent for so long, the next candidate can be begun and looked at as well, and whichever is seen to fail or
    to be late is closed and settled as a failure is. What there is one of for a call, and would have to be one for each try:
    `_attempt`, `_entered` and `exchange.captured`.
    """

    def __init__(self, means: Means, exchange: Exchange, stages: Stages) -> None:
        self._means, self._exchange, self._stages = means, exchange, stages
        self._attempt: Attempt | None = None  # made, and not settled yet
        self._entered: list[Link] = []

    async def parts(self) -> Pieces:
        """Nothing is given before an attempt has an answer, or nothing more is tried."""
        exchange, policy = self._exchange, self._means.policy
        once = _is_a_retry(exchange)
        said: list[Part | Refuse] = []  # by the last provider that was asked
        refusal = NOBODY
        plan, course, wait = exchange.plan, Course(tries=0), 0.0
        restore = _as_judged(exchange)
        while plan:
            if exchange.attempts:
                restore()
            attempt, provider = self._begin(plan[0], wait), plan[0].provider
            start, wait = self._means.clock.monotonic(), 0.0
            match verdict := await self._stages.attempt(exchange, attempt, self._entered):
                case Skip():
                    refusal = _nobody(verdict)
                    await self.settle()
                    plan, course = plan[1:], Course(0, course.waited)
                    continue
                case Refuse():
                    refusal = verdict
                    await self.settle()
                    break
                case None:
                    course = Course(course.tries + 1, course.waited)
                    if course.tries == 1:
                        policy.budget(provider).first()
            self._means.note(exchange, attempt)
            try:
                async with aclosing(self._means.sender.attempt(exchange, attempt)) as source:
                    seen = await self._look(source, attempt)
                    failure = attempt.failure = seen.failure
                    decision: Decision = Last()
                    if failure is not None:
                        more = any(self._means.may(one, exchange) for one in plan[1:])
                        repeats = repeatable(exchange, failure)
                        decision = policy.decide(failure, provider, course, more=more, repeatable=repeats, once=once)
                    if failure is None or isinstance(decision, Last):
                        attempt.answered = failure is None and attempt.status is not None
                        async with aclosing(seen.parts()) as parts:
                            async for part in parts:
                                yield part
                        return
            finally:
                attempt.seconds = self._means.clock.monotonic() - start
            said = seen.kept
            await self.settle()
            exchange.captured = None  # was this attempt's
            match decision:
                case Again(seconds):
                    log.info("provider %s: %s; again in %.2f s", provider, failure.kind, seconds)
                    await self._means.sleep(seconds)
                    course, wait = Course(course.tries, course.waited + seconds), seconds
                case Next():
                    log.info("provider %s: %s; the next one is tried", provider, failure.kind)
                    plan, course = plan[1:], Course(0, course.waited)
                case _:
                    assert_never(decision)
        for part in said or [refusal]:
            yield part

    def _begin(self, candidate: Candidate, waited: float) -> Attempt:
        attempt = Attempt(len(self._exchange.attempts) + 1, candidate, waited=waited)
        self._exchange.attempts.append(attempt)
        self._attempt, self._entered = attempt, []
        return attempt

    async def _look(self, source: Pieces, attempt: Attempt) -> Peeked:
        means = self._means
        deadlines = means.sender.providers.by_name[attempt.candidate.provider].deadlines
        return await peek(source, self._exchange, attempt, means.cap, deadlines.first_token)

    @property
    def ready(self) -> bool:
        """Whether it is known at once what the attempt used and cost."""
        return self._attempt is None or self._means.meter.ready(self._exchange, self._attempt)

    async def settle(self) -> None:
        """Books the attempt, and tells the stages how it went, once."""
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return
        try:
            await self._means.meter.settle(self._exchange, attempt)
        finally:
            self._means.note(self._exchange, None)
            await self._stages.attempt_done(self._exchange, attempt, self._entered)


def _as_judged(exchange: Exchange) -> Callable[[], None]:
    """What puts the request back as it is now: each attempt begins with the one that was judged, whatever stages changed for
    the attempt before it.
    """
    sealed, governed = exchange.sealed, texts(exchange)

    def restore() -> None:
        if exchange.body is None:
            return
        if sealed is not None and exchange.body.edition != sealed.edition:
            exchange.body.revert(sealed.edition)
            exchange.sealed = sealed
        for slot, text in zip(exchange.body.slots, governed, strict=True):
            slot.text = text

    return restore


def _is_a_retry(exchange: Exchange) -> bool:
    """The SDKs of Anthropic and OpenAI count their own retries; ours on top of them would multiply."""
    count = exchange.sent.header(b"x-stainless-retry-count") or b"0"
    return count.strip().isdigit() and int(count.strip()[:9]) > 0


def _nobody(skip: Skip) -> Refuse:
    if skip.kind == "breaker":
        message = "The provider has failed too often and is given a rest; nobody else may serve this call."
        return Refuse(503, "breaker", message, retry_after=max(1.0, skip.retry_after or 1.0))
    return NOBODY
