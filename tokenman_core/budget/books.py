"""The books of all budgets: what a call may still spend, what is held for it until it has ended, and what it cost."""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import tzinfo
from decimal import Decimal
from typing import NamedTuple

from tokenman_core.budget.rules import Rule, dollars
from tokenman_core.budget.windows import FOREVER, Span, Window, window
from tokenman_core.clock import Clock
from tokenman_core.scopes import Subject
from tokenman_core.state import AskStore, Booking, Count, Counts, Hold, Unavailable

log = logging.getLogger("tokenman.budget")

LEASE_S = 120.0
"""After so long a reservation is free again whose process has died. While it lives, it renews what it holds."""

RENEW_S = 30.0
LEAST_OUTPUT = 256
"""Tokens; a call that could write no more is refused instead of being cut short (INTERFACE, "Budget windows")."""

_TURNS = 5  # others take of what is left between two looks
_SOON_S = 2.0  # when a call may come again for which money is held by others: most calls end within seconds
_UNSETTLED = 10_000  # bookings that wait for a store that cannot be asked
_JUMP_S = 10.0  # no clock that is kept right is set by so much at once
_SHOWN = 200  # counters of one budget
_KEPT_S = 40 * 86_400.0  # so long after its end a window's sum can still be shown


class Quote(NamedTuple):
    """In units: what a call costs at most before it writes anything, and each token that it writes. `output`: how many at most."""

    least: int
    per_token: int
    output: int

    def total(self, output: int) -> int:
        return self.least + output * self.per_token


class Granted(NamedTuple):
    """`output`: the tokens that the call may write; less than was asked for if the budget holds no more."""

    output: int
    capped: bool = False


@dataclass(frozen=True)
class Short:
    """The budget cannot hold the call. `spent`: it is used up until `retry_after` (seconds); else others hold what is left."""

    rule: Rule
    spent: bool
    retry_after: float
    until: float = FOREVER  # when the next window begins


@dataclass(frozen=True)
class Uncounted:
    """The count cannot be kept now, and the rule has calls refused then."""

    rule: Rule


@dataclass(frozen=True)
class Alert:
    """`share` of a budget's limit is spent in this window; or `overrun`: a call cost so many units more than its bound."""

    rule: Rule
    window: Window
    counted_by: str
    spent: int
    share: Decimal = Decimal(0)
    overrun: int = 0


@dataclass(frozen=True)
class State:
    """A budget as it stands, of one counter of it."""

    rule: Rule
    window: Window
    counted_by: str
    count: Count


@dataclass(frozen=True)
class Lost:
    """A call whose process ended before it: `booked` units, the price of all that it may have read, are counted as spent;
    `open` more were held, and nobody knows how many of them its provider bills. `lease` and `about` as they were given.
    """

    lease: str
    booked: int
    open: int
    since: float
    about: str


Past = Callable[[float], Awaitable[Iterable[tuple[Subject, int]]]]
"""What calls that began since a moment have cost, in units. Raises Unavailable."""


class _Line(NamedTuple):
    """One rule's counter for one call."""

    rule: Rule
    window: Window
    counted_by: str
    counter: str

    @classmethod
    def of(cls, rule: Rule, window: Window, counted_by: str) -> "_Line":
        return cls(rule, window, counted_by, f"budget/{rule.name}/{window.name}/{counted_by}")

    @property
    def until(self) -> float:
        return self.window.ends + _KEPT_S


class _Open(NamedTuple):
    lines: Sequence[_Line]
    amount: int


class Lasting:
    """What outlives a change of the rules: reservations of calls that run, and bookings that wait for the store."""

    def __init__(self) -> None:
        self.open: dict[str, _Open] = {}
        self.seen: dict[str, tuple[str, int]] = {}  # by budget: its window, and the most that was spent of one counter
        self.unsettled: OrderedDict[str, tuple[Sequence[_Line], int, int]] = OrderedDict()
        self.clock: float | None = None  # by how much the clock of the day is ahead of the one that only runs
        self.seeding = asyncio.Lock()


class Books:
    """Of one configuration. `tell` gets the alerts; `lasting` is shared with the books of other configurations."""

    def __init__(
        self,
        rules: Sequence[Rule],
        where: tzinfo,
        clock: Clock,
        ask: AskStore,
        tell: Callable[[Alert], None],
        lasting: Lasting | None = None,
        own: Callable[[], Mapping[str, Sequence[Rule]]] = dict,
        past: Past | None = None,
        lost: Callable[[Lost], None] = lambda it: None,
    ) -> None:
        """`own`: the rules that hold for a client besides, by its name, as they are now. `past`: what a new store is told of
        what was spent before; None: nothing. `lost` gets the calls that ended with their process.
        """
        self.rules, self._own = tuple(rules), own
        self._where, self._clock, self._ask, self._tell = where, clock, ask, tell
        self._lasting = lasting if lasting is not None else Lasting()
        self._past, self._lost = past, lost
        self._windows: dict[Span, Window] = {}  # of now

    def about(self, subject: Subject) -> tuple[Rule, ...]:
        """The budgets that a call counts for."""
        found = tuple([rule for rule in self.rules if rule.reach.takes_in(subject)])
        own = self._own().get(subject.client, ()) if subject.client else ()
        return (*found, *(rule for rule in own if rule.name not in [each.name for each in found])) if own else found

    async def reserve(
        self, lease: str, subject: Subject, quote: Quote, about: str = "", rules: Sequence[Rule] | None = None
    ) -> Granted | Short | Uncounted:
        """Holds the call's worst case on every budget that is about it, all or none. `about`: a note for `lost`. `rules`: those
        budgets, if they were asked for already.
        """
        if self._clock_was_set():
            await self.keep()
        lines = self._lines(subject, rules)
        output, least = quote.output, min(quote.output, LEAST_OUTPUT)
        try:
            for _ in range(_TURNS):
                # Noted before it is held: whoever leaves meanwhile releases it, and what is released first is not held after.
                amount = quote.total(output)
                self._lasting.open[lease] = _Open(lines, amount)
                answer, counts = await self._hold(lease, lines, amount, quote.least, about)
                if answer == "held":
                    return Granted(output, output < quote.output)
                if answer == "ended":
                    raise RuntimeError("a reservation was asked for after its call had ended")
                blocking = [line for line in lines if line.rule.blocks]
                tightest = min(blocking, key=lambda line: _room(line, counts))
                left = _tokens(quote, _room(tightest, counts))
                if left < least:
                    break
                output = min(output, left)
        except Unavailable:
            refusing = next((line.rule for line in lines if line.rule.refuses_without_store), None)
            if refusing is None:
                return Granted(quote.output)
            del self._lasting.open[lease]
            return Uncounted(refusing)
        del self._lasting.open[lease]
        return self._short(tightest, counts, quote, least)

    async def settle(self, lease: str, spent: int | None) -> int:
        """Ends a reservation by what its call cost; None: nobody knows, so all that was held is booked.

        Returns the units beyond what was held, 0 for most. Does nothing for a lease that has no reservation.
        """
        held = self._lasting.open.pop(lease, None)
        if held is None:
            return 0
        amount = held.amount if spent is None else spent
        await self._book(lease, held.lines, amount, held.amount)
        return max(0, amount - held.amount)

    async def spend(self, lease: str, subject: Subject, spent: int) -> None:
        """Books what nothing was held for: a call cost something that should have cost nothing."""
        lines, now = self._lines(subject), self._clock.now()
        holds = [Hold(line.counter, spent, None, line.until, spent) for line in lines]
        try:
            await self._count(lambda counts: counts.reserve(lease, holds, until=now + LEASE_S, now=now))
        except Unavailable:
            log.error("what a call cost could not be booked on its budgets: nothing was held for it")
            return
        await self._book(lease, lines, spent, 0)

    async def release(self, lease: str) -> None:
        """Ends a reservation of which nothing was spent."""
        if self._lasting.open.pop(lease, None) is None:
            return
        now = self._clock.now()
        try:
            await self._count(lambda counts: counts.release(lease, now=now))
        except Unavailable:
            log.warning("a reservation could not be released; it ends by itself within %d s", LEASE_S)

    async def standing(self, subjects: Iterable[Subject]) -> list[State]:
        """Every budget as it stands now, of each counter that these calls would count for. Raises Unavailable."""
        lines = list(dict.fromkeys(line for subject in subjects for line in self._lines(subject)))
        counts = await self._counts(lines)
        return [State(line.rule, line.window, line.counted_by, counts[line.counter]) for line in lines]

    async def everything(self) -> list[State]:
        """Every counter of every budget in its window of now, at most some hundreds of each budget. Raises Unavailable."""
        now, found = self._clock.now(), list[State]()
        configured = {rule.name for rule in self.rules}
        own = [rule for rules in self._own().values() for rule in rules if rule.name not in configured]
        for rule in (*self.rules, *own):
            span = window(rule.span, now, self._where)
            prefix = _Line.of(rule, span, "").counter
            counts = await self._count(lambda counts, prefix=prefix: counts.under(prefix, most=_SHOWN, now=now))  # type: ignore[misc]
            names = dict(counts) if counts or rule.reach.scope != "global" else {prefix: Count()}
            found += [State(rule, span, name.removeprefix(prefix), count) for name, count in names.items()]
        return found

    def ratios(self) -> Mapping[str, float]:
        """By budget, the share of its limit that is spent: of a scope, where it is largest, as far as this process has seen."""
        now = self._clock.now()
        return {
            rule.name: spent / rule.limit
            for rule in self.rules
            for name, spent in [self._lasting.seen.get(rule.name, ("", 0))]
            if name in ("", window(rule.span, now, self._where).name)
        }

    async def look(self, *, alone: bool = False) -> None:
        """Takes note of what was spent before this process began. `alone`: no other uses the store, so that what is held and is
        not ours has no process any more. Never raises.
        """
        try:
            await self._lapse(FOREVER if alone else self._clock.now())
            for state in await self.everything():
                self._see(state.rule, state.window, state.count.spent)
        except Unavailable:
            log.warning("what is spent of budgets cannot be told yet")

    async def fits(self, subject: Subject, quote: Quote, rules: Sequence[Rule]) -> Rule | None:
        """The first of the rules that could not hold the call as it is now; None: all could. Raises Unavailable."""
        lines = [line for line in self._lines(subject) if line.rule in rules]
        counts = await self._counts(lines)
        return next((line.rule for line in lines if _room(line, counts) < quote.total(quote.output)), None)

    async def keep(self) -> None:
        """To be called every `RENEW_S`: renews what running calls hold, and books what could not be booked, and what calls have
        surely cost that ended with their process. Never raises.
        """
        leases, until = list(self._lasting.open), self._clock.now() + LEASE_S
        if leases:
            try:
                await self._ask(lambda store: store.counts.hold_on(leases, until))
            except Unavailable:
                log.warning("what %d running calls hold of budgets could not be renewed", len(leases))
        with suppress(Unavailable):
            await self._lapse(self._clock.now())
        for lease, (lines, amount, held) in list(self._lasting.unsettled.items()):
            if not await self._book(lease, lines, amount, held):
                break

    # -- how --

    def _clock_was_set(self) -> bool:
        """What is held ends at a time of day: once the clock was set, or the machine slept, it has to be renewed first."""
        now = self._clock.now() - self._clock.monotonic()
        before, self._lasting.clock = self._lasting.clock, now
        return before is not None and abs(now - before) > _JUMP_S

    def _lines(self, subject: Subject, rules: Sequence[Rule] | None = None) -> list[_Line]:
        now = self._clock.now()
        return [
            _Line.of(rule, self._window(rule.span, now), rule.reach.counted_by(subject))
            for rule in (self.about(subject) if rules is None else rules)
        ]

    def _window(self, span: Span, now: float) -> Window:
        """Worked out once for all calls within it."""
        found = self._windows.get(span)
        if found is None or not found.begins <= now < found.ends:
            found = self._windows[span] = window(span, now, self._where)
        return found

    async def _count[T](self, question: Callable[[Counts], T]) -> T:
        """Asks the counters. Those of a new file are told first what was spent before. Raises Unavailable."""
        past = self._past
        while True:
            found = await self._ask(
                lambda store: None if past is not None and store.counts.fresh else (question(store.counts),), brief=True
            )
            if found is not None:
                return found[0]
            assert past is not None
            async with self._lasting.seeding:
                await self._seed(past)

    async def _seed(self, past: Past) -> None:
        if not await self._ask(lambda store: store.counts.fresh):
            return  # another call was faster
        now, amounts, until = self._clock.now(), Counter[str](), dict[str, float]()
        own = [rule for rules in self._own().values() for rule in rules]
        for span in dict.fromkeys(rule.span for rule in (*self.rules, *own)):
            for subject, amount in await past(self._window(span, now).begins):
                for line in self._lines(subject):
                    if line.rule.span == span:
                        amounts[line.counter] += amount
                        until[line.counter] = line.until
        bookings = [Booking(counter, amount, until[counter]) for counter, amount in amounts.items()]
        if await self._ask(lambda store: store.counts.seed(bookings)) and bookings:
            log.warning("the counts of budgets were gone: %d were made anew from the ledger", len(bookings))

    async def _lapse(self, before: float) -> None:
        now, ours = self._clock.now(), frozenset(self._lasting.open)
        gone = await self._count(lambda counts: counts.lapse(before=before, now=now, but=ours))
        for it in gone:
            self._lost(Lost(it.lease, it.booked, it.amount - it.booked, it.since, it.about))
        if not gone:
            return
        booked, more = sum(it.booked for it in gone), sum(it.amount - it.booked for it in gone)
        log.warning(
            "%d calls ran when their process ended: what they read, %s USD, is booked; up to %s USD more may be billed",
            len(gone), f"{dollars(booked):.6f}", f"{dollars(more):.6f}",
        )  # fmt: skip
        for state in await self.everything():
            line = _Line.of(state.rule, state.window, state.counted_by)
            if booked := sum(it.booked for it in gone if line.counter in it.counters):
                self._alert(line, state.count.spent, booked, booked)

    async def _hold(
        self, lease: str, lines: Sequence[_Line], amount: int, sure: int, about: str
    ) -> tuple[str, Mapping[str, Count]]:
        now = self._clock.now()
        holds = [
            Hold(line.counter, amount, line.rule.limit if line.rule.blocks else None, line.until, min(sure, amount))
            for line in lines
        ]
        return await self._count(lambda counts: counts.reserve(lease, holds, until=now + LEASE_S, now=now, about=about))

    async def _book(self, lease: str, lines: Sequence[_Line], amount: int, held: int) -> bool:
        now = self._clock.now()
        bookings = [Booking(line.counter, amount, line.until) for line in lines]
        try:
            counts = await self._count(lambda counts: counts.settle(lease, bookings, now=now))
        except Unavailable:
            if lease not in self._lasting.unsettled:
                log.error("what a call cost could not be booked on its budgets yet; it is tried again")
                self._lasting.unsettled[lease] = lines, amount, held
                if len(self._lasting.unsettled) > _UNSETTLED:
                    self._lasting.unsettled.popitem(last=False)
                    log.error("too much waits to be booked on budgets: the oldest of it is lost")
            return False
        self._lasting.unsettled.pop(lease, None)
        for line in lines if counts else ():
            self._alert(line, counts[line.counter] if counts else 0, amount, held)
        return True

    def _see(self, rule: Rule, span: Window, spent: int) -> None:
        name, most = self._lasting.seen.get(rule.name, ("", 0))
        self._lasting.seen[rule.name] = span.name, max(spent, most if name == span.name else 0)

    def _alert(self, line: _Line, spent: int, amount: int, held: int) -> None:
        """One settlement sees the sum pass a share, whichever process it is in, so each is told once."""
        self._see(line.rule, line.window, spent)
        for share in line.rule.alerts:
            if spent - amount < share * line.rule.limit <= spent:
                self._tell(Alert(line.rule, line.window, line.counted_by, spent, share))
        if amount > held and line.rule.blocks:
            self._tell(Alert(line.rule, line.window, line.counted_by, spent, overrun=amount - held))

    async def _counts(self, lines: Sequence[_Line]) -> Mapping[str, Count]:
        now = self._clock.now()
        return await self._count(lambda counts: counts.counts([line.counter for line in lines], now=now))

    def _short(self, line: _Line, counts: Mapping[str, Count], quote: Quote, least: int) -> Short:
        count = counts[line.counter]
        spent = _tokens(quote, line.rule.limit - count.spent) < least
        wait = max(1.0, line.window.ends - self._clock.now()) if spent else _SOON_S
        return Short(line.rule, spent, wait, line.window.ends)


def _room(line: _Line, counts: Mapping[str, Count]) -> int:
    count = counts[line.counter]
    return line.rule.limit - count.spent - count.held


def _tokens(quote: Quote, room: int) -> int:
    """How many tokens a call could write for so much; -1 if not even its input could be paid."""
    if room < quote.least:
        return -1
    return (room - quote.least) // quote.per_token if quote.per_token else quote.output


def as_json(alert: Alert) -> dict[str, object]:
    """What a webhook is told."""
    return {
        "budget": alert.rule.name,
        "scope": alert.rule.reach.scope,
        "counted_by": alert.counted_by or None,
        "window": alert.rule.span,
        "window_name": alert.window.name,
        "share": None if alert.overrun else float(alert.share),
        "spent_usd": f"{dollars(alert.spent):f}",
        "limit_usd": f"{dollars(alert.rule.limit):f}",
        "overrun_usd": f"{dollars(alert.overrun):f}" if alert.overrun else None,
        "on_exceed": alert.rule.on_exceed,
    }


def told(alert: Alert) -> str:
    """One line for the log."""
    whose = f" of {alert.rule.reach.scope} {alert.counted_by}" if alert.counted_by else ""
    spent = f"{dollars(alert.spent):.4f} of {dollars(alert.rule.limit):.2f} USD"
    if alert.overrun:
        return f"budget {alert.rule.name}{whose}: a call cost {dollars(alert.overrun):.6f} USD more than its bound; {spent} spent"
    return f"budget {alert.rule.name}{whose}: {alert.share:.0%} spent in {alert.window.name} ({spent})"
