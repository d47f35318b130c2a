"""Gives answers again that are kept for such a call, and has identical calls at the same time share one."""

import asyncio
import logging
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Literal

from tokenman_core import headers as h
from tokenman_core.caching.calls import Following, Leading, afterwards, live
from tokenman_core.caching.detective import Detective
from tokenman_core.caching.eligible import bypassed, tools_at_hand
from tokenman_core.caching.entry import Entry, kept_headers
from tokenman_core.caching.flights import Flight, Flights, StoreLeases
from tokenman_core.caching.keepable import unkept
from tokenman_core.caching.kept import Kept
from tokenman_core.caching.key import key_of
from tokenman_core.caching.plain import came, is_stream
from tokenman_core.caching.repeats import Repeats
from tokenman_core.caching.replay import in_shape, replayed
from tokenman_core.caching.rules import MOST, Mode, Rules
from tokenman_core.caching.shapes import Wanted, wanted_of
from tokenman_core.clock import Clock
from tokenman_core.config.models import Settings
from tokenman_core.errors import trace
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.exchange import Repeats as Repeated
from tokenman_core.metering import by_the_month
from tokenman_core.net import UpstreamError
from tokenman_core.outbound import OFF_LOOP, PACKED_OFF_LOOP
from tokenman_core.outward import Pieces
from tokenman_core.pricing import Prices
from tokenman_core.providers import Providers
from tokenman_core.record import model_of
from tokenman_core.stages import texts
from tokenman_core.usage import Usage
from tokenman_core.verdicts import Answer, Candidate, Parts, Verdict

log = logging.getLogger("tokenman.cache")

_HEADER = b"x-tokenman-cache"
SMALL = 16 << 10  # bytes of an answer that is judged, or told in another shape, on the event loop
_SIDE = 16 << 10  # bytes at either end by which larger calls are told apart, where only a sum depends on it
_SETTLED_S = 5.0  # whoever followed a call waits no longer for what it cost


@dataclass(frozen=True)
class Lasting:
    """What outlives a change of the configuration."""

    kept: Kept
    flights: Flights
    leases: StoreLeases
    repeats: Repeats
    detective: Detective


@dataclass
class Note:
    """Of a call that may be cached, in `exchange.notes["caching"]`. `edition` and `texts`: of the request that the key was made of.
    `round`: of what is kept.
    """

    key: bytes
    candidate: Candidate
    wanted: Wanted
    edition: int
    texts: list[str]
    round: int
    flight: Flight | None = None
    leads: bool = False


class Caching:
    """The stage. It sees what the provider sees and says: placeholders, never the values."""

    name = "caching"
    fails = "open"  # it spares time and money; without it the provider answers

    def __init__(
        self, rules: Rules, lasting: Lasting, providers: Providers, prices: Prices, root: bytes, clock: Clock
    ) -> None:
        """`root`: the key that keys of answers are made with."""
        self._rules, self._kept, self._flights = rules, lasting.kept, lasting.flights
        self._repeats, self._detective = lasting.repeats, lasting.detective
        self._providers, self._prices, self._root, self._clock = providers, prices, root, clock

    async def llm_request(self, exchange: Exchange) -> Verdict | None:
        if not exchange.operation.generates:
            return None
        if (
            mode_of(exchange, self._rules) == "off"
        ):  # what there is to see is looked at in `llm_done`, when nobody waits
            _say(exchange, "bypass")
            return None
        wish = b",".join(h.every(exchange.sent.headers, _HEADER)).lower()
        key = None if await self._bypassed(exchange, wish) else await self._key(exchange, exchange.plan[0])
        if key is None or exchange.body is None:
            _say(exchange, "bypass")
            return None
        note = exchange.notes[self.name] = Note(
            key, exchange.plan[0], wanted_of(exchange), exchange.body.edition, texts(exchange), self._kept.round
        )
        if b"no-cache" not in wish:
            answers = self._kept.answers
            # While the disk was asked, the one that is under way may have been kept and forgotten as a flight.
            entry = answers.hot(key) or await answers.find(key) or self._kept.answers.hot(key)
            if entry is not None and (parts := await self._again(exchange, note, entry)) is not None:
                self._hit(exchange, entry, "hit")
                return Answer(parts)
            if (flight := self._flights.of(key)) is not None and self._may_follow(exchange, flight):
                self._follow(exchange, note, flight)
                return None
        _say(exchange, "miss")
        self._lead(exchange, note, fresh=b"no-cache" in wish)
        return None

    async def _bypassed(self, exchange: Exchange, wish: bytes) -> str | None:
        if b"no-store" in wish:
            return "the call asks for it"
        if _large(exchange):  # all of it is looked through
            return await asyncio.to_thread(why_not, exchange, self._rules)
        return why_not(exchange, self._rules)

    async def _key(self, exchange: Exchange, candidate: Candidate) -> bytes | None:
        provider = self._providers.by_name[candidate.provider]

        def made() -> bytes | None:
            rules = self._rules
            return key_of(
                exchange, candidate, provider, shared=rules.shared, root=self._root, tool_calls=rules.tool_calls
            )

        return await asyncio.to_thread(made) if _large(exchange) else made()

    async def _again(self, exchange: Exchange, note: Note, entry: Entry) -> Parts | None:
        streams = entry.stream or note.wanted.stream  # of those there is more to do than to give the bytes
        if len(entry.body) > SMALL and streams:
            it = await asyncio.to_thread(in_shape, entry, exchange, note.wanted)
        else:
            it = in_shape(entry, exchange, note.wanted)
        return None if it is None else replayed(entry, it, self._rules.pace)

    def _hit(self, exchange: Exchange, entry: Entry, how: str) -> None:
        _say(exchange, how)
        exchange.saved = entry.cost or Decimal(0)
        self._tell_age(exchange, entry)
        _tell_free(exchange, entry.provider)

    def _tell_age(self, exchange: Exchange, entry: Entry) -> None:
        age = max(0, int(self._clock.now() - entry.stored))
        exchange.answer_headers.append((b"age", b"%d" % age))

    # -- calls that are made --

    def _lead(self, exchange: Exchange, note: Note, *, fresh: bool) -> None:
        """`fresh`: what another process has made is no answer."""
        plan = exchange.plan

        def fit() -> bool:
            if not exchange.attempts:  # another process had it made
                return True
            attempt = exchange.attempts[-1]
            flight.provider, flight.asked_usage = attempt.candidate.provider, attempt.asked_usage
            flight.first = attempt.candidate == note.candidate
            return attempt.answered and attempt.candidate in plan and self._as_asked(exchange, note)

        note.leads = True
        flight = note.flight = self._flights.begin(note.key, (note.wanted, plan), self._rules.most, fit)
        exchange.shared = Leading(
            exchange, self._flights, flight,
            None if fresh else lambda: self._kept.answers.find(note.key),
            lambda entry: self._again(exchange, note, entry),
            lambda entry: self._hit(exchange, entry, "coalesced"),
            lambda: self._entry(exchange, flight),
        )  # fmt: skip

    def _may_follow(self, exchange: Exchange, flight: Flight) -> bool:
        """One that has ended is as old as what was kept of it. A stream is given on before it is known that it calls a tool, which
        then two programs would do.
        """
        if flight.entry is not None and self._kept.answers.stale(flight.entry):
            return False
        live = exchange.stream and not flight.ended
        return not live or self._rules.tool_calls or not tools_at_hand(exchange)

    def _follow(self, exchange: Exchange, note: Note, flight: Flight) -> None:
        note.flight = flight
        over = flight.ended
        same = not over and flight.like == (note.wanted, exchange.plan)

        async def again(entry: Entry) -> Parts | None:
            return await self._again(exchange, note, entry) if flight.first else None

        async def parts() -> Pieces:
            began = False
            shown = live(flight, shared=self._rules.shared) if same else afterwards(flight, again)
            async with aclosing(shown) as given:
                async for part in given:
                    if not began:
                        began, exchange.unasked = True, same and flight.asked_usage
                        if over and flight.entry is not None:
                            self._tell_age(exchange, flight.entry)
                        _tell_free(exchange, flight.provider)
                    yield part

        def alone() -> None:
            note.flight = None
            _say(exchange, "miss")

        _say(exchange, "hit" if over else "coalesced")
        exchange.shared = Following(flight, parts, alone)

    def _as_asked(self, exchange: Exchange, note: Note) -> bool:
        """Whether what was sent is what the key was made of: a budget may have had the call write less."""
        return exchange.body is not None and exchange.body.edition == note.edition and texts(exchange) == note.texts

    async def llm_attempt_done(self, exchange: Exchange, attempt: Attempt) -> None:
        note: Note | None = exchange.notes.get(self.name)
        if note is None or not note.leads or note.flight is None or not attempt.answered:
            return
        flight, bill = note.flight, attempt.bill
        if bill is not None and bill.cost is not None and not bill.notional:
            flight.cost = bill.cost
        if flight.entry is None or note.round != self._kept.round:  # what was there is to be forgotten since
            return
        key: bytes | None = note.key
        if attempt.candidate != note.candidate:
            key = await self._key(exchange, attempt.candidate)
        if key is not None:
            self._kept.answers.keep(key, replace(flight.entry, cost=flight.cost or None))

    async def _entry(self, exchange: Exchange, flight: Flight) -> Entry | None:
        """What is worth keeping of an answer that has come; None: nothing."""
        candidate = exchange.tried[-1].candidate

        def made() -> Entry | None:
            try:
                head, body, pieces = came(flight, self._rules.most)
            except UpstreamError:
                return None
            stream = is_stream(head)
            kind = h.first(head.headers, b"content-type") or b""
            why, reader = unkept(
                exchange.dialect, exchange.operation, head.status, kind, body, stream, tool_calls=self._rules.tool_calls
            )
            if why is not None:
                log.debug("an answer is not kept: %s", why)
                return None
            return Entry(
                head.status, kept_headers(head.headers, shared=self._rules.shared), stream, body, pieces,
                flight.moments[-1] - flight.moments[0], candidate.provider, model_of(exchange, candidate),
                exchange.labels.get("project", ""), self._clock.now(), reader.usage or Usage(), None,
            )  # fmt: skip

        try:
            packed = any(name.lower() == b"content-encoding" for name, _ in exchange.tried[-1].said)
            return await asyncio.to_thread(made) if flight.size > (SMALL // 8 if packed else SMALL) else made()
        except Exception as e:  # whatever is wrong with it, whoever asked gets it
            log.error("an answer could not be judged, and is not kept: %s", trace(e))
            return None

    async def llm_done(self, exchange: Exchange) -> None:
        note: Note | None = exchange.notes.pop(self.name, None)
        flight = None if note is None else note.flight
        if note is not None and note.leads and flight is not None:
            self._flights.end(flight)  # first: whatever fails below, nobody is to wait for it, or find it, for ever
        elif flight is not None and exchange.outcome == "answered":
            with suppress(TimeoutError):
                async with asyncio.timeout(_SETTLED_S):
                    await flight.settled.wait()
            exchange.saved = flight.cost
        if not exchange.operation.generates:
            return
        if exchange.outcome == "answered" and exchange.status == 200 and mode_of(exchange, self._rules) == "off":
            await self._repeat(exchange)
        await self._look(exchange)

    async def _repeat(self, exchange: Exchange) -> None:
        """Notes whether a cache, were there one, would have answered the call. Only its bytes are looked at: it costs next to
        nothing."""
        caller, sent, raw = exchange.caller, exchange.sent, exchange.raw
        who = caller.credential or (caller.client, caller.run, caller.address)
        some = (raw,) if len(raw) <= 2 * _SIDE else (len(raw), raw[:_SIDE], raw[-_SIDE:])
        key = hash((who, exchange.plan[0], sent.path, sent.query, *some))
        if not self._repeats.seen(key, self._clock.monotonic()):
            return
        judge = partial(_repeats, exchange, self._rules)
        exchange.repeats = await asyncio.to_thread(judge) if _large(exchange) else judge()

    async def _look(self, exchange: Exchange) -> None:
        """Why the provider's own cache did not have what it used to have."""
        look = self._detective.look(exchange)
        if look is None:
            return
        if look.large:
            await asyncio.to_thread(look.read)
        provider = self._providers.by_name[look.attempt.candidate.provider]
        names = [
            exchange.reader.model or "" if exchange.reader else "",
            look.attempt.candidate.model or exchange.model,
        ]

        def cost(usage: Usage) -> Decimal | None:
            begun = datetime.fromtimestamp(exchange.times.begun, UTC)
            monthly = by_the_month(self._providers, exchange, look.attempt.candidate)
            terms = exchange.reader.terms if exchange.reader else None
            return self._prices.bill(usage, provider, names, begun, terms=terms, subscription=monthly).cost

        self._detective.ended(look, cost)


def _repeats(exchange: Exchange, rules: Rules) -> Repeated:
    modes: tuple[Literal["deterministic", "all"], ...] = ("deterministic", "all")
    return next((mode for mode in modes if bypassed(exchange, mode, tools=rules.tools) is None), "")


def mode_of(exchange: Exchange, rules: Rules) -> Mode:
    """That of its route, else the one of all."""
    return exchange.caching or rules.mode


def why_not(exchange: Exchange, rules: Rules) -> str | None:
    """Why a call may not be answered from the cache; None: it may."""
    mode = mode_of(exchange, rules)
    return "the cache is off" if mode == "off" else bypassed(exchange, mode, tools=rules.tools)


def rules_of(settings: Settings) -> Rules:
    it = settings.cache
    most = settings.limits.stream_capture or MOST
    return Rules(it.mode, it.scope == "shared", it.tools == "on", it.tool_calls == "on", it.pace, most)


def _large(exchange: Exchange) -> bool:
    """Of a packed body the size tells little."""
    return len(exchange.raw) > (PACKED_OFF_LOOP if exchange.sent.header(b"content-encoding") else OFF_LOOP)


def _tell_free(exchange: Exchange, provider: str) -> None:
    """Of an answer that somebody else paid for."""
    exchange.answer_headers.append((b"x-tokenman-provider", provider.encode()))
    if not exchange.stream:
        exchange.answer_headers.append((b"x-tokenman-cost-usd", b"0"))


def _say(exchange: Exchange, how: str) -> None:
    exchange.cache = how
    others = [each for each in exchange.answer_headers if each[0] != _HEADER]
    exchange.answer_headers[:] = [*others, (_HEADER, how.encode())]
