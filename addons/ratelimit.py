"""Refuses calls that come too fast or are too many at once, or has them wait for their turn."""

import logging
from dataclasses import dataclass

from tokenman_core.ahead.quote import Quotes
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.limit_headers import Room, tightest
from tokenman_core.ratelimit.limiter import Allowed, Limited, Limiter, Standing
from tokenman_core.scopes import Subject
from tokenman_core.verdicts import AttemptVerdict, Candidate, Refuse, Verdict

log = logging.getLogger("tokenman.ratelimit")

EXPECTED = 1024
"""Tokens that an answer is taken to have until it is known, or fewer where the call says so."""


@dataclass
class State:
    """Of one call. `entered`: as whose it was counted, under `leases`. `charged`: so many tokens on the limits of `subject`, until
    it is known how many were used.
    """

    entered: list[Subject]
    leases: list[str]
    subject: Subject | None = None
    charged: int = 0
    used: int = 0


class RateLimit:
    """The stage. A call is counted once by each limit, also by those of whom it goes on to when somebody has failed; tokens at each
    of these, corrected when it is over there.
    """

    name = "ratelimit"
    fails = "open"  # it spares providers and other callers; what it should have held back is no leak
    deadline_s = 600.0  # a call may be let wait

    def __init__(self, limiter: Limiter, quotes: Quotes) -> None:
        self._limiter, self._quotes = limiter, quotes

    @property
    def wanted(self) -> bool:
        return bool(self._limiter.rules)

    async def llm_request(self, exchange: Exchange) -> Verdict | None:
        if exchange.operation.free or not exchange.plan:
            return None
        subject = _subject(exchange, exchange.plan[0])
        exchange.notes[self.name] = State([subject], [exchange.id])
        return self._judged(exchange, await self._limiter.enter(exchange.id, subject))

    async def llm_attempt(self, exchange: Exchange, attempt: Attempt) -> AttemptVerdict | None:
        state: State | None = exchange.notes.get(self.name)
        if state is None:
            return None
        subject = _subject(exchange, attempt.candidate)
        if subject not in state.entered:
            lease = f"{exchange.id}/{attempt.number}"  # budgets hold an attempt under another name, in the same store
            state.leases.append(lease)
            if refusal := self._judged(exchange, await self._limiter.enter(lease, subject, state.entered)):
                return refusal
            state.entered.append(subject)
        if subject == state.subject or not exchange.operation.generates:
            return None
        await self._correct(state)
        if not self._limiter.counts_tokens(subject):
            return None
        bound = await self._quotes.bound(exchange, attempt.candidate)
        tokens = bound.input + min(bound.output, EXPECTED)
        if refusal := self._judged(exchange, await self._limiter.charge(subject, tokens)):
            return refusal
        state.subject, state.charged = subject, tokens
        return None

    async def llm_attempt_done(self, exchange: Exchange, attempt: Attempt) -> None:
        state: State | None = exchange.notes.get(self.name)
        if state is not None and attempt.bill is not None:
            state.used += attempt.bill.usage.input + attempt.bill.usage.output

    async def llm_done(self, exchange: Exchange) -> None:
        state: State | None = exchange.notes.pop(self.name, None)
        if state is None:
            return
        for lease in state.leases:
            await self._limiter.leave(lease)
        await self._correct(state)

    async def _correct(self, state: State) -> None:
        if state.subject is not None:
            await self._limiter.correct(state.subject, state.charged, state.used)
        state.subject, state.charged, state.used = None, 0, 0

    def _judged(self, exchange: Exchange, answer: Allowed | Limited) -> Refuse | None:
        exchange.rooms = tightest([*exchange.rooms, *_rooms(answer.standing)])
        if isinstance(answer, Allowed):
            return None
        exchange.limited_by = answer.rule.name
        if answer.kind == "concurrent":
            message = f"Rate limit {answer.rule.name}: {answer.limit} calls run at once. Try again when one has ended."
        else:
            message = (
                f"Rate limit {answer.rule.name}: {answer.limit} {answer.kind} in its time are used up. Try again later."
            )
        return Refuse(429, "rate_limit", message, retry_after=answer.retry_after, retryable=True)


def _subject(exchange: Exchange, candidate: Candidate) -> Subject:
    """As the call says it: what is kept of it are keyed hashes."""
    return Subject(
        exchange.caller.client,
        exchange.project,
        candidate.provider,
        candidate.model or exchange.model,
        exchange.session,
    )


def _rooms(standing: tuple[Standing, ...]) -> list[Room]:
    return [Room(each.kind, each.limit, each.remaining, each.reset) for each in standing if each.kind != "concurrent"]
