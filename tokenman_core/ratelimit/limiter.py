"""Decides whether a call may go on now, has to wait for its turn, or is refused because there were too many."""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Literal

from tokenman_core.clock import Clock
from tokenman_core.ratelimit.rules import Rate, Rule
from tokenman_core.scopes import Subject
from tokenman_core.state import Ask, AskStore, Hold, Left, Store, Unavailable

log = logging.getLogger("tokenman.ratelimit")

LEASE_S = 120.0
"""After so long a call no longer counts as running whose process has died."""

MOST_WAITING = 100
"""Calls that wait for one limit's turn; the next is refused."""

_LOOK_S = 0.5  # between two looks whether a call that runs elsewhere has ended
_SOON_S = 1.0  # what a client is told when too many calls run: nobody knows when one ends
_FOREVER = 1e12
_PREFIX = "rate/"  # of counters, among others in the same store

Kind = Literal["requests", "tokens", "concurrent"]


@dataclass(frozen=True)
class Standing:
    """Of a rate, after a call: its limit, what is left of it, and in how many seconds all is there again."""

    rule: Rule
    kind: Kind
    limit: int
    remaining: int
    reset: float


@dataclass(frozen=True)
class Limited:
    """Too many. `retry_after` in seconds."""

    rule: Rule
    kind: Kind
    limit: int
    retry_after: float
    standing: tuple[Standing, ...] = ()


@dataclass(frozen=True)
class Allowed:
    standing: tuple[Standing, ...] = ()


class Lasting:
    """What outlives a change of the rules: calls that run, and the queues of those that wait."""

    def __init__(self) -> None:
        self.running: dict[str, list[str]] = {}  # lease -> its counters
        self.queues: dict[str, asyncio.Lock] = {}
        self.waiting: OrderedDict[str, int] = OrderedDict()
        self.ended = asyncio.Event()  # is set, and set anew, whenever a call ends


class Limiter:
    """Of one configuration. `key` makes the names of counters, which say nothing of whom they count."""

    def __init__(
        self,
        rules: Sequence[Rule],
        key: bytes,
        clock: Clock,
        ask: AskStore,
        lasting: Lasting | None = None,
        own: Callable[[], Mapping[str, Sequence[Rule]]] = dict,
    ) -> None:
        """`own`: the rules that hold for a client besides, by its name, as they are now."""
        self.rules, self._own = tuple(rules), own
        self._key, self._clock, self._ask = key, clock, ask
        self._lasting = lasting if lasting is not None else Lasting()

    async def enter(self, lease: str, subject: Subject, beside: Sequence[Subject] = ()) -> Allowed | Limited:
        """A call begins: it counts as a request, and as running until `leave`. It may wait here.

        `beside`: as what it has entered before, to be left by themselves: what counted it then does not count it again.
        """
        before = {self._name(rule, "requests", one) for one in beside for rule in self._about(one)}
        rules = [
            rule
            for rule in self._about(subject)
            if (rule.requests or rule.concurrent) and self._name(rule, "requests", subject) not in before
        ]
        if not rules:
            return Allowed()
        return await self._turn("requests", rules, subject, lambda: self._begin(lease, rules, subject))

    async def leave(self, lease: str) -> None:
        """The call has ended, however it did."""
        if self._lasting.running.pop(lease, None) is None:
            return
        try:
            await self._ask(lambda store: store.counts.unhold(lease), brief=True)
        except Unavailable:
            log.warning("a call that ended still counts as running, for %d s at most", LEASE_S)
        self._lasting.ended.set()
        self._lasting.ended = asyncio.Event()

    async def charge(self, subject: Subject, tokens: int) -> Allowed | Limited:
        """A call is about to use so many tokens, as far as is known. It may wait here."""
        rules = [rule for rule in self._about(subject) if rule.tokens]
        if not rules or not tokens:
            return Allowed()
        return await self._turn("tokens", rules, subject, lambda: self._spend(rules, subject, tokens))

    async def correct(self, subject: Subject, charged: int, used: int) -> None:
        """It used so many, which is known now."""
        now = self._clock.now()
        rates = [(self._name(rule, "tokens", subject), rule.tokens) for rule in self._about(subject) if rule.tokens]
        if not rates or charged == used:
            return

        def give(store: Store) -> None:
            for name, rate in rates:
                # More than can be saved up was never taken.
                store.rates.give(name, (min(charged, rate.count) - used) * rate.period, now=now)

        try:
            await self._ask(give, brief=True)
        except Unavailable:
            log.warning("a rate limit goes on with an estimate of tokens")

    def counts_tokens(self, subject: Subject) -> bool:
        return any(rule.tokens for rule in self._about(subject))

    async def take_over(self) -> None:
        """Frees the places of calls whose process has died, for whoever uses the store alone. Never raises."""
        now, ours = self._clock.now(), self._lasting.running

        def free(store: Store) -> None:
            for lease, counter, *_ in store.counts.held(now=now):
                if counter.startswith(_PREFIX) and lease not in ours:
                    store.counts.unhold(lease)

        try:
            await self._ask(free)
        except Unavailable:
            log.warning("calls of a process before may still count as running, for %d s at most", LEASE_S)

    async def keep(self) -> None:
        """To be called every quarter of `LEASE_S`: running calls go on counting. Never raises."""
        leases, until = list(self._lasting.running), self._clock.now() + LEASE_S
        if leases:
            try:
                await self._ask(lambda store: store.counts.hold_on(leases, until))
            except Unavailable:
                log.warning("%d running calls could not be counted on", len(leases))

    # -- how --

    def _about(self, subject: Subject) -> list[Rule]:
        own = self._own().get(subject.client, ()) if subject.client else ()
        return [rule for rule in (*self.rules, *own) if rule.reach.takes_in(subject)]

    def _name(self, rule: Rule, kind: Kind, subject: Subject) -> str:
        whose = hashlib.blake2b(
            f"{rule.reach.scope}\0{rule.reach.counted_by(subject)}".encode("utf-8", "surrogatepass"),
            digest_size=12, key=self._key,
        ).hexdigest()  # fmt: skip
        return f"{_PREFIX}{rule.name}/{kind}/{whose}"

    async def _turn(
        self, kind: Kind, rules: Sequence[Rule], subject: Subject, step: Callable[[], Awaitable[Allowed | Limited]]
    ) -> Allowed | Limited:
        """One try, or as many as fit into the time that a call may wait, in the order in which calls came.

        Who waits for tokens runs already: behind those who wait for him to end he would wait for ever, so `kind` has its own queue.
        """
        patient = [rule for rule in rules if rule.wait]
        names = sorted({self._name(rule, kind, subject) for rule in patient})
        lasting = self._lasting
        if not any(name in lasting.queues for name in names):
            answer = await step()
            if isinstance(answer, Allowed) or answer.rule not in patient:
                return answer
        else:  # others came first
            answer = _crowded(patient[0], kind)
        if any(lasting.waiting.get(name, 0) >= MOST_WAITING for name in names):
            return answer
        ends = self._clock.monotonic() + min(rule.wait for rule in patient)
        for name in names:
            lasting.waiting[name] = lasting.waiting.get(name, 0) + 1
            lasting.queues.setdefault(name, asyncio.Lock())
        try:
            return await self._wait(names, step, ends, answer)
        finally:
            for name in names:
                lasting.waiting[name] -= 1
                if not lasting.waiting[name]:
                    del lasting.waiting[name], lasting.queues[name]

    async def _wait(
        self,
        names: Sequence[str],
        step: Callable[[], Awaitable[Allowed | Limited]],
        ends: float,
        answer: Allowed | Limited,
    ) -> Allowed | Limited:
        try:
            async with asyncio.timeout(max(0.0, ends - self._clock.monotonic())), AsyncExitStack() as stack:
                for name in names:
                    await stack.enter_async_context(self._lasting.queues[name])
                while True:
                    answer = await step()
                    if isinstance(answer, Allowed) or not answer.rule.wait:
                        return answer
                    if self._clock.monotonic() + (answer.retry_after if answer.kind != "concurrent" else 0) > ends:
                        return answer
                    await self._pause(answer)
        except TimeoutError:
            return answer

    async def _pause(self, answer: Limited) -> None:
        if answer.kind != "concurrent":
            await asyncio.sleep(answer.retry_after)
            return
        try:
            async with asyncio.timeout(_LOOK_S):
                await self._lasting.ended.wait()
        except TimeoutError:
            pass

    async def _begin(self, lease: str, rules: Sequence[Rule], subject: Subject) -> Allowed | Limited:
        now = self._clock.now()
        rated = [(rule, rule.requests) for rule in rules if rule.requests]
        asks = [self._asked(rule, "requests", rate, subject, 1) for rule, rate in rated]
        bounded = [rule for rule in rules if rule.concurrent]
        holds = [Hold(self._name(rule, "concurrent", subject), 1, rule.concurrent, _FOREVER) for rule in bounded]

        def begin(store: Store) -> tuple[bool, Sequence[Left], Mapping[str, int] | None]:
            running: Mapping[str, int] | None = None
            if holds:
                held, counts = store.counts.reserve(lease, holds, until=now + LEASE_S, now=now)
                if held != "held":
                    return False, (), {name: count.held for name, count in counts.items()}
            allowed, left = store.rates.take(asks, now=now) if asks else (True, ())
            if holds and not allowed:
                store.counts.unhold(lease)
            return allowed, left, running

        if holds:
            self._lasting.running[lease] = [hold.counter for hold in holds]
        try:
            allowed, left, running = await self._ask(begin, brief=True)
        except Unavailable:
            self._lasting.running.pop(lease, None)
            log.error("calls cannot be counted now, so rate limits are not kept")
            return Allowed()
        if allowed:
            return Allowed(_standing(rated, "requests", left))
        self._lasting.running.pop(lease, None)
        if running is not None:
            full = [
                rule
                for rule, hold in zip(bounded, holds, strict=True)
                if running.get(hold.counter, 0) >= (hold.limit or 0)
            ]
            rule = (full or bounded)[0]
            return Limited(rule, "concurrent", rule.concurrent or 0, _SOON_S)
        return _limited(rated, "requests", left)

    async def _spend(self, rules: Sequence[Rule], subject: Subject, tokens: int) -> Allowed | Limited:
        now = self._clock.now()
        rated = [(rule, rule.tokens) for rule in rules if rule.tokens]
        asks = [self._asked(rule, "tokens", rate, subject, tokens) for rule, rate in rated]
        try:
            allowed, left = await self._ask(lambda store: store.rates.take(asks, now=now), brief=True)
        except Unavailable:
            log.error("tokens cannot be counted now, so rate limits are not kept")
            return Allowed()
        return Allowed(_standing(rated, "tokens", left)) if allowed else _limited(rated, "tokens", left)

    def _asked(self, rule: Rule, kind: Kind, rate: Rate, subject: Subject, cost: int) -> Ask:
        return Ask(self._name(rule, kind, subject), cost, rate.period, rate.count)


def _crowded(rule: Rule, kind: Kind) -> Limited:
    """Others wait already."""
    rate = rule.tokens if kind == "tokens" else rule.requests
    if rate is None:
        return Limited(rule, "concurrent", rule.concurrent or 0, _SOON_S)
    return Limited(rule, kind, rate.count, _SOON_S)


def _standing(rated: Sequence[tuple[Rule, Rate]], kind: Kind, left: Sequence[Left]) -> tuple[Standing, ...]:
    return tuple(
        Standing(rule, kind, rate.count, int(it.units), it.full) for (rule, rate), it in zip(rated, left, strict=True)
    )


def _limited(rated: Sequence[tuple[Rule, Rate]], kind: Kind, left: Sequence[Left]) -> Limited:
    """The limit that is to be waited for longest."""
    at = max(range(len(left)), key=lambda number: left[number].wait)
    rule, rate = rated[at]
    return Limited(rule, kind, rate.count, max(0.001, left[at].wait), _standing(rated, kind, left))
