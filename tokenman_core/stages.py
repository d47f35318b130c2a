"""Calls the stages of the chain: in order on the way in, in reverse on the way back, each under the fail mode it declares."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, assert_never

from tokenman_core.begun import Begun
from tokenman_core.clock import Clock
from tokenman_core.errors import trace
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.sse import Event
from tokenman_core.verdicts import Answer, AttemptVerdict, Candidate, Refuse, Reroute, Skip, Verdict

log = logging.getLogger("tokenman.stages")

HOOKS = (
    "llm_head", "llm_request", "llm_attempt", "llm_attempt_done", "llm_event", "llm_response", "llm_done",
)  # fmt: skip
DEADLINE_S = 30.0  # a stage that has not judged by then has failed; `deadline_s` on the stage says otherwise
SLOW_S = 0.05  # a stage that held the event loop for so long is named in the log

Fails = Literal["closed", "open"]
RAISED = (Exception, SystemExit)  # a stage may end its call, not the program with everybody else's


class StageFailed(Exception):
    """A stage that fails closed raised, hung or returned nonsense. What it was asked to protect must not go on."""


@dataclass(frozen=True, eq=False)
class Link:
    """One stage in the chain. `guard`: what stages behind it change is shown to it again, through `llm_recheck`. `off_loop`: its
    `llm_event` may run on a thread, where a whole answer is large.
    """

    name: str
    stage: object
    fails: Fails
    deadline_s: float
    guard: bool
    hooks: frozenset[str]
    off_loop: bool = False

    @classmethod
    def of(cls, stage: object, name: str) -> "Link":
        """Raises ValueError for a stage that declares nonsense."""
        fails: Fails = getattr(stage, "fails", "closed")
        if fails not in ("closed", "open"):
            raise ValueError(f"stage {name}: fails must be 'closed' or 'open', not {fails!r}")
        hooks = frozenset(hook for hook in HOOKS if callable(getattr(stage, hook, None)))
        guard = callable(getattr(stage, "llm_recheck", None))
        deadline_s, off_loop = float(getattr(stage, "deadline_s", DEADLINE_S)), bool(getattr(stage, "off_loop", False))
        return cls(name, stage, fails, deadline_s, guard, hooks, off_loop)

    def hook(self, name: str) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(self.stage, name)
        return function


FAILED = Refuse(
    500,
    "stage",
    "A part of TokenMan failed on this call, so nothing was sent. Sending it again will not help. In TokenMan's log, the line with"
    " this request id names the part and the place: please report that line. To go on, take back or reword your last message.",
)

FAILED_ANSWER = Refuse(
    500,
    "stage",
    "A part of TokenMan failed on the answer to this call, so it is held back; the provider has done and billed the call. In"
    " TokenMan's log, the line with this request id names the part and the place: please report that line. To go on, take back or"
    " reword your last message.",
)


class Stages:
    """The chain, in order. Values only: it is made anew when add-ons come or go."""

    def __init__(self, links: Sequence[Link], clock: Clock) -> None:
        self.links = tuple(links)
        self._clock = clock

    # -- the way in --

    def head(self, exchange: Exchange) -> Refuse | None:
        for link in self.links:
            if "llm_head" not in link.hooks:
                continue
            _enter(exchange, link)
            start = self._clock.monotonic()
            try:
                verdict = link.hook("llm_head")(exchange)
                if verdict is not None and not isinstance(verdict, Refuse):
                    raise TypeError(f"llm_head returned {type(verdict).__name__}")
            except RAISED as e:  # whatever a stage raises is judged by its fail mode
                verdict = self._failed(exchange, link, "head", e)
            finally:
                self._took(exchange, link, "head", start)
            if verdict is not None:
                return verdict
        return None

    async def request(self, exchange: Exchange) -> Refuse | Answer | None:
        for link in self.links:
            _enter(exchange, link)
            if "llm_request" not in link.hooks:
                exchange.returning.append(link)
                continue
            before = texts(exchange)
            verdict: Verdict | None
            try:
                verdict = await self._call(exchange, link, "request", link.hook("llm_request")(exchange))
                if verdict is not None and not _is_verdict(verdict):
                    raise TypeError(f"llm_request returned {type(verdict).__name__}")
            except RAISED as e:  # whatever a stage raises is judged by its fail mode
                verdict = self._failed(exchange, link, "request", e)
            if refusal := await self._recheck(exchange, link, before):
                return refusal
            match verdict:
                case None:
                    exchange.returning.append(link)
                case Reroute(plan):
                    exchange.plan = plan
                    exchange.returning.append(link)
                case Refuse() | Answer():
                    return verdict
                case _:
                    assert_never(verdict)
        return None

    async def attempt(self, exchange: Exchange, attempt: Attempt, entered: list[Link]) -> AttemptVerdict | None:
        """`entered` is filled with the stages that `attempt_done` has to be called for."""
        for link in self.links:
            if "llm_attempt_done" in link.hooks and "llm_attempt" not in link.hooks:
                entered.append(link)
            if "llm_attempt" not in link.hooks:
                continue
            entered.append(link)
            before = texts(exchange)
            verdict: AttemptVerdict | None
            try:
                verdict = await self._call(exchange, link, "attempt", link.hook("llm_attempt")(exchange, attempt))
                if verdict is not None and not isinstance(verdict, Refuse | Skip):
                    raise TypeError(f"llm_attempt returned {type(verdict).__name__}")
            except RAISED as e:  # whatever a stage raises is judged by its fail mode
                verdict = self._failed(exchange, link, "attempt", e)
            if refusal := await self._recheck(exchange, link, before):
                return refusal
            if verdict is not None:
                return verdict
        return None

    async def attempt_done(self, exchange: Exchange, attempt: Attempt, entered: Sequence[Link]) -> None:
        for link in reversed(entered):
            if "llm_attempt_done" not in link.hooks:
                continue
            try:
                await self._call(exchange, link, "attempt_done", link.hook("llm_attempt_done")(exchange, attempt))
            except RAISED as e:  # the attempt is over: there is nothing left to refuse
                self._failed(exchange, link, "attempt_done", e)

    # -- the way back --

    def listeners(self, exchange: Exchange) -> list[Link]:
        """The stages that want to see this answer's events, the last of the chain first. Raises StageFailed."""
        found = []
        for link in reversed(exchange.returning):
            if "llm_event" not in link.hooks:
                continue
            wants = getattr(link.stage, "wants_events", True)
            try:
                if wants(exchange) if callable(wants) else wants:
                    found.append(link)
            except RAISED as e:  # whatever a stage raises is judged by its fail mode
                if self._failed(exchange, link, "event", e):
                    raise StageFailed(link.name) from e
        return found

    def event(self, exchange: Exchange, listeners: Sequence[Link], event: Event) -> list[Event]:
        """What becomes of one event. Raises StageFailed."""
        events = [event]
        for link in listeners:
            seen: list[Event] = []
            for one in events:
                seen.extend(self._listen(exchange, link, one))
            events = seen
        return events

    def _listen(self, exchange: Exchange, link: Link, event: Event) -> list[Event]:
        start = self._clock.monotonic()
        try:
            result = link.hook("llm_event")(exchange, event)
        except RAISED as e:  # whatever a stage raises is judged by its fail mode
            if self._failed(exchange, link, "event", e):
                raise StageFailed(link.name) from e
            return [event]
        finally:
            self._took(exchange, link, "event", start)
        if result is None:
            return [event]
        if isinstance(result, Event):
            return [result]
        if isinstance(result, list) and all(isinstance(one, Event) for one in result):
            return result
        error = TypeError(f"llm_event returned {type(result).__name__}")
        if self._failed(exchange, link, "event", error):
            raise StageFailed(link.name) from error
        return [event]

    async def response(self, exchange: Exchange) -> None:
        for link in reversed(exchange.returning):
            if "llm_response" in link.hooks:
                try:
                    await self._call(exchange, link, "response", link.hook("llm_response")(exchange))
                except RAISED as e:  # the client has its answer: there is nothing left to refuse
                    self._failed(exchange, link, "response", e)

    async def done(self, exchange: Exchange) -> None:
        """Exactly once for each stage that was entered. Calling it again does nothing."""
        while exchange.entered:
            link = exchange.entered.pop()
            if "llm_done" in link.hooks:
                try:
                    await self._call(exchange, link, "done", link.hook("llm_done")(exchange))
                except RAISED as e:  # the call is over: there is nothing left to refuse
                    self._failed(exchange, link, "done", e)

    # -- one call of one stage --

    async def _call(self, exchange: Exchange, link: Link, phase: str, step: Awaitable[Any]) -> Any:
        if not hasattr(step, "__await__"):
            raise TypeError(f"llm_{phase} must be `async def`")
        start = self._clock.monotonic()
        turn: asyncio.TimerHandle | None = None
        others: list[int] = []  # filled as soon as anything else had its turn on the loop
        try:
            begun = Begun(step)
            if begun.done:  # most wait for nothing, and no clock need be set for those
                return begun.result
            turn = asyncio.get_running_loop().call_later(SLOW_S, others.append, 1)
            async with asyncio.timeout(link.deadline_s) as limit:
                result = await begun
            if limit.expired():  # it was told, and went on
                raise TimeoutError
            return result
        finally:
            if turn is not None:
                turn.cancel()
            self._took(exchange, link, phase, start, held=not others)

    async def _recheck(self, exchange: Exchange, link: Link, before: list[str]) -> Refuse | None:
        """A stage behind a guard may put a masked value back: the guard judges all slots anew."""
        if exchange.body is None:
            return None
        replaced = exchange.sealed is not None and exchange.body.edition != exchange.sealed.edition
        if not replaced and before == texts(exchange):  # texts that are the same object are not compared
            return None
        for guard in exchange.returning:
            if not guard.guard or guard is link:
                continue
            try:
                verdict = await self._call(exchange, guard, "recheck", guard.hook("llm_recheck")(exchange))
                if verdict is not None and not isinstance(verdict, Refuse):
                    raise TypeError(f"llm_recheck returned {type(verdict).__name__}")
            except RAISED as e:  # whatever a stage raises is judged by its fail mode
                verdict = self._failed(exchange, guard, "recheck", e)
            if verdict is not None:
                return verdict
        exchange.reseal()
        return None

    def _failed(self, exchange: Exchange, link: Link, phase: str, error: BaseException) -> Refuse | None:
        why = f"not done within {link.deadline_s:g} s" if isinstance(error, TimeoutError) else trace(error)
        log.error("stage %s failed in %s, it fails %s: %s", link.name, phase, link.fails, why)
        return None if link.fails == "open" else FAILED

    def _took(self, exchange: Exchange, link: Link, phase: str, start: float, held: bool = True) -> None:
        took = self._clock.monotonic() - start
        seconds = exchange.stage_seconds
        seconds[link.name, phase] = seconds.get((link.name, phase), 0.0) + took
        if held and took > SLOW_S:
            log.warning(
                "stage %s held the event loop for %.0f ms in %s: move slow work to a thread",
                link.name, took * 1000, phase,
            )  # fmt: skip


def _is_verdict(verdict: object) -> bool:
    if isinstance(verdict, Reroute):
        return isinstance(verdict.plan, tuple) and all(isinstance(one, Candidate) for one in verdict.plan)
    return isinstance(verdict, Refuse | Answer)


def _enter(exchange: Exchange, link: Link) -> None:
    if link not in exchange.entered:
        exchange.entered.append(link)


def texts(exchange: Exchange) -> list[str]:
    """What the slots of the request say now."""
    return [slot.text for slot in exchange.body.slots] if exchange.body else []
