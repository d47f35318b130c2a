"""Masks personal data and secrets on the way to the provider, and puts them back on the way to the program."""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from typing import assert_never

from tokenman_core.body.insert import Insertion
from tokenman_core.config.models import Redaction as Settings
from tokenman_core.dialects.base import AnswerReader
from tokenman_core.dialects.note import Append, where
from tokenman_core.exchange import Exchange, Redacted, Spot
from tokenman_core.outbound import OFF_LOOP
from tokenman_core.redaction import (
    CALLER,
    Allowed,
    Held,
    Labels,
    Mapping,
    Memo,
    Redactor,
    Restorer,
    TextRefused,
    WorkerUnavailable,
)
from tokenman_core.redaction.held import MOST_PAIRS, STORED, Turn, given, linked, turn
from tokenman_core.redaction.masking import Finder
from tokenman_core.redaction.places import MOST
from tokenman_core.redaction.policy import Policy, options_of
from tokenman_core.redaction.prefill import goes_on
from tokenman_core.redaction.restore import TAIL
from tokenman_core.redaction.taint import Name, Tainted, calls_with_values, tainted
from tokenman_core.slots import Path
from tokenman_core.sse import Event
from tokenman_core.verdicts import Refuse, Verdict

log = logging.getLogger("tokenman.redaction")

NOTE = (
    "Names in square brackets that end in 12 hexadecimal digits, such as [KIND_…], stand for values that are withheld from you:"
    " write them exactly as they are wherever you mean the value; never change, shorten, translate or make one up."
)
"""What `redaction.note: on` tells the model, in one line."""

_LONG_CALLS = 8 * 1024  # characters of calls that are read on a thread
_AT_ONCE = 500  # values that are taken up between two pauses

_BUSY = Refuse(503, "redaction", "The detection of personal data is not ready or too busy. Try again.", retry_after=1)
_CANNOT = (
    "The detection of personal data fails on a text of this call, so nothing was sent. In TokenMan's log, the line with this"
    " request id names the place: please report that line. To go on, take back or reword your last message."
)
_POISON = Refuse(400, "redaction", _CANNOT)


@dataclass
class State:
    """Of one call, in `exchange.notes["redaction"]`. `logged`: values found and, as the settings say, left in the clear.

    `policy`: of its project. `spots`: where what has been masked stood, also before the call was masked again. `noted`: the
    line to the model stands in the request. `turn`: what the call has to do with what the provider holds. `gave`: what its
    answer is held under is known.
    """

    mapping: Mapping
    policy: Policy
    turn: Turn = field(default_factory=Turn)
    gave: bool = False
    logged: Counter[str] = field(default_factory=Counter)
    spots: tuple[Spot, ...] = ()
    noted: bool = False
    held_under: tuple[str, ...] = ()  # the ids under which it is remembered what its answer has
    names: list[Name] = field(default_factory=list)  # what variables and files hold by the calls that it goes on with
    tainted: Tainted | None = None  # and by its own
    prose: str = ""  # what its answer goes on with
    reader: AnswerReader | None = None
    restorer: Restorer | None = None

    def of(self, exchange: Exchange) -> Restorer:
        """The restorer of the answer that is read now; another answer has another one."""
        if self.restorer is None or self.reader is not exchange.reader:
            egress = self.policy.restore_egress
            strange = bool(self.turn.named)
            self.restorer = Restorer(self.mapping, egress, strange=strange, tainted=self.tainted, prose=self.prose)
            self.reader = exchange.reader
        return self.restorer


class Redaction:
    """The stage. What stages behind it change is masked again through `llm_recheck`."""

    name = "redaction"
    fails = "closed"
    off_loop = True  # its llm_event keeps to the call, but for the values that are held, which have a lock
    deadline_s = 180.0  # the detection has deadlines of its own, by the size of the text

    def __init__(
        self,
        settings: Settings,
        key: bytes,
        detection: Finder,
        memo: Memo | None = None,
        allowed: Allowed | None = None,
        held: Held | None = None,
    ) -> None:
        """`held`: where it is remembered what stands behind the placeholders that providers hold; None: nowhere."""
        self._held = held
        self._redactor = Redactor(settings, key, detection, memo, allowed, options_of(settings))
        self._labels = Labels(self._redactor)

    def wants_events(self, exchange: Exchange) -> bool:
        state: State | None = exchange.notes.get(self.name)
        return state is not None and state.policy.restore and (state.mapping.restorable or state.turn.follows)

    async def llm_request(self, exchange: Exchange) -> Verdict | None:
        CALLER.set(exchange.caller.credential or exchange.caller.client or exchange.caller.run)
        policy = self._redactor.policies.of(exchange.project)
        state = exchange.notes[self.name] = State(self._redactor.mapping(), policy)
        if policy.restore:
            await self._inherit(exchange, state)
        if exchange.body is not None and exchange.body.unreadable:
            if policy.unreadable == "block":
                kinds = ", ".join(sorted(exchange.body.unreadable))
                return Refuse(
                    400,
                    "redaction",
                    f"The call holds what cannot be read ({kinds}), and redaction.unreadable is block.",
                )
            _say(exchange, b"x-tokenman-unreadable", sum(exchange.body.unreadable.values()))
        return await self._mask(exchange)

    async def llm_recheck(self, exchange: Exchange) -> Verdict | None:
        return await self._mask(exchange)

    def llm_event(self, exchange: Exchange, event: Event) -> Event | list[Event] | None:
        state: State = exchange.notes[self.name]
        restorer = state.of(exchange)
        if not state.gave:
            self._hold(exchange, state, event)
        made = self._restore(exchange, restorer, event)
        if state.held_under and (event.closes or event.kind != "sse"):
            self._hold_names(exchange, state)
        return made

    def _restore(self, exchange: Exchange, restorer: Restorer, event: Event) -> Event | list[Event] | None:
        if event.kind == "whole":
            if event.form == "lines":  # each is an answer of its own
                for _, slots in groupby(event.slots, lambda slot: slot.path[0]):
                    restorer.whole(list(slots), alone=True)
            else:
                restorer.whole(event.slots)
            exchange.unrestored = restorer.unrestored
            _say(exchange, b"x-tokenman-unrestored", restorer.unrestored)
            return None
        restorer.whole([slot for slot in event.slots if not slot.channel])
        last = {slot.channel: slot for slot in event.slots if slot.channel}
        for slot in event.slots:
            if slot.channel:
                slot.text = restorer.feed(slot)
        first: list[Event] = []
        for channel in restorer.open if event.kind == "end" else event.closes:
            rest = restorer.close(channel)
            if not rest:
                continue
            if channel in last:
                last[channel].text += rest
            elif exchange.reader is not None and (piece := exchange.reader.piece(channel, rest)) is not None:
                first.append(piece)
        exchange.unrestored = restorer.unrestored  # of a stream, its head has gone before that is known
        return [*first, event] if first else None

    async def llm_done(self, exchange: Exchange) -> None:
        state: State | None = exchange.notes.pop(self.name, None)
        if state is not None:
            if state.logged:  # what was masked, the line of the call tells
                log.info("masked %s; left in the clear %s", _counts(exchange.masked), _counts(state.logged))
            state.mapping.forget()

    async def _inherit(self, exchange: Exchange, state: State) -> None:
        """What a call goes on with that the provider holds has values that this caller sent before."""
        value = exchange.body.value if exchange.body is not None else None
        raw = exchange.raw if self._held is not None and self._held.has_stored else b""
        state.turn = turn(exchange.sent.method, exchange.sent.path, value, raw)
        if self._held is None or not state.turn.named or (caller := _caller(exchange)) is None:
            return
        # A body is searched for every value: of what is only asked for there may be more of them.
        known = self._held.of(caller, state.turn.named, MOST_PAIRS if exchange.raw else STORED.pairs)
        wanted = [each for each in known if state.policy.action(each.entity) != "hash"]
        for low in range(0, len(wanted), _AT_ONCE):
            if low:
                await asyncio.sleep(0)
            state.mapping.inherit(wanted[low : low + _AT_ONCE])
        exchange.reads_files = bool(wanted)
        if wanted and state.policy.restore_egress != "always":
            state.names = self._held.names_of(caller, state.turn.named)
            state.tainted = await asyncio.to_thread(tainted, (), state.names) if state.names else None
        if len(wanted) > _AT_ONCE:
            await asyncio.to_thread(lambda: state.mapping.forms)

    def _hold(self, exchange: Exchange, state: State, event: Event) -> None:
        """Remember the values of a call that the provider holds from now on, before the program hears under which id."""
        caller, turn = _caller(exchange), state.turn
        if self._held is None or not caller or not (turn.gives or turn.grows or turn.lists):
            state.gave = True
            return
        id = given(event.value) if turn.gives else ""
        if turn.gives and not id:
            return
        state.gave = True
        pairs = state.mapping.pairs(STORED.pairs if turn.stored else MOST_PAIRS)
        state.held_under = tuple({id, *turn.grows} - {""})
        for each in state.held_under:
            self._held.keep(caller, each, pairs, stored=turn.stored)
        self._hold_names(exchange, state)
        for source, results in linked(event.value):
            known = self._held.of(caller, [source], STORED.pairs)
            for each in results:
                self._held.keep(caller, each, known, stored=True)

    def _hold_names(self, exchange: Exchange, state: State) -> None:
        """Remember in which variables and files the calls of an answer put values, before the program makes the next call."""
        caller, known = _caller(exchange), state.of(exchange).tainted
        if self._held is not None and caller and known and state.policy.restore_egress != "always":
            for each in state.held_under:
                self._held.keep_names(caller, each, known.names(), stored=state.turn.stored)

    async def _mask(self, exchange: Exchange) -> Verdict | None:
        if exchange.body is None:
            return None
        state: State = exchange.notes[self.name]
        policy = state.policy
        labels, exchange.labels = exchange.labels, {}  # of a call that is refused here, none are shown
        try:
            masked = await self._redactor.mask(exchange.body.slots, state.mapping, policy)
            if not masked.blocked:  # what the body holds is no less a value in a label
                known = labels and not masked.masked
                exchange.labels = labels if known else await self._label(exchange, state, masked.known)
        except WorkerUnavailable:
            return _BUSY
        except TextRefused:
            return _POISON
        if masked.blocked:
            setting = policy.setting(masked.blocked)
            exchange.redactions = (Redacted(masked.blocked, "block", setting, 1),)
            exchange.spots = masked.spots[-1:]
            place = f" at {masked.place}" if masked.place else ""
            message = f"The call holds a value of type {masked.blocked}{place}, and {setting} is block."
            return Refuse(400, "redaction", message)
        exchange.masked.update(masked.masked + state.mapping.met())
        exchange.redactions = _redactions(policy, exchange.masked, masked.logged)
        state.logged = masked.logged  # of the request as it is now: masked again, it holds the same values
        state.spots = (*(each for each in state.spots if each.action != "log"), *masked.spots)[-MOST:]
        exchange.spots = state.spots
        _say(exchange, b"x-tokenman-redacted", sum(exchange.masked.values()))
        _say(exchange, b"x-tokenman-logged", sum(state.logged.values()))
        if policy.restore and policy.restore_egress != "always" and state.mapping.restorable:
            state.prose = goes_on(exchange.body.slots, TAIL)
            calls = calls_with_values(exchange.body.slots, every=bool(state.names))
            long = sum(len(slot.text) for slot in calls) > _LONG_CALLS
            before = state.names
            state.tainted = await asyncio.to_thread(tainted, calls, before) if long else tainted(calls, before)
        if masked.paths and policy.note and not state.noted:
            if len(exchange.raw) > OFF_LOOP:  # all of it is read and written
                state.noted = await asyncio.to_thread(_note, exchange, masked.paths)
            else:
                state.noted = _note(exchange, masked.paths)
        return None

    async def _label(self, exchange: Exchange, state: State, known: bytes) -> dict[str, str]:
        """What the record calls a call by is text like any other: a project may be named after somebody's address."""
        said = {"project": exchange.project, "session": exchange.session, "model": exchange.model}
        return await self._labels.judged(said, state.mapping, state.policy, known)


def _caller(exchange: Exchange) -> tuple[str, str] | None:
    """By whom it is remembered what a provider holds. None: nobody can be told from others."""
    caller = exchange.caller
    named = (("credential", caller.credential), ("client", caller.client), ("run", caller.run))
    return next((each for each in named if each[1]), None)


def _redactions(policy: Policy, masked: Counter[str], logged: Counter[str]) -> tuple[Redacted, ...]:
    """What `why`, the report and the metrics tell of a call."""
    found = [(entity, policy.action(entity), count) for entity, count in sorted(masked.items())]
    found += [(entity, "log", count) for entity, count in sorted(logged.items())]
    return tuple(Redacted(entity, action, policy.setting(entity), count) for entity, action, count in found)


def _note(exchange: Exchange, paths: list[Path]) -> bool:
    """Put the line to the model where the dialect has a place for it; whether there is one."""
    assert exchange.body is not None
    place = where(exchange.dialect.name, exchange.operation.name, exchange.body.value, paths, NOTE)
    match place:
        case Insertion():
            exchange.body.insert(place)
        case Append(path):
            slot = next((each for each in exchange.body.slots if each.path == path), None)
            if slot is None:
                return False
            slot.text = f"{slot.text}\n\n{NOTE}"
        case None:
            return False
        case _:
            assert_never(place)
    return True


def _say(exchange: Exchange, header: bytes, count: int) -> None:
    """Put a count into the answer's head, in place of the last one; none is not said."""
    if count:
        others = [each for each in exchange.answer_headers if each[0] != header]
        exchange.answer_headers[:] = [*others, (header, b"%d" % count)]


def _counts(values: Counter[str]) -> str:
    return ", ".join(f"{count} {entity}" for entity, count in sorted(values.items())) or "nothing"
