"""Judges the next call of a session by what it repeats and by what its calls have cost in the last minute."""

import hashlib
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from tokenman_core.clock import Clock
from tokenman_core.guard.trail import Step, circle, failures

log = logging.getLogger("tokenman.guard")

Kind = Literal["repeats", "errors", "usd_per_minute"]

MOST_SESSIONS = 10_000  # callers make them; the one that was quiet for longest is forgotten
FORGET_S = 3600.0  # so long after its last call
_AGAIN_S = 600.0  # a request that comes again later than that is no loop; and so often a session's trouble is told
_REQUESTS = 16  # of a session, that are known again
_MINUTE_S = 60.0


@dataclass(frozen=True)
class Rules:
    """0: not looked for. `blocks`: beyond the limit calls are refused, else there is a warning alone."""

    repeats: int = 0
    errors: int = 0
    usd_per_minute: Decimal = Decimal(0)
    blocks: bool = True

    @property
    def wanted(self) -> bool:
        return bool(self.repeats or self.errors or self.usd_per_minute)


@dataclass(frozen=True)
class Finding:
    """A limit that is reached, and, if `over`, passed. `words` say of what, and hold nothing of the call. `wait`: in so many
    seconds it would be below again, None where waiting does not help."""

    kind: Kind
    words: str
    found: str
    limit: str
    over: bool
    wait: float | None = None


@dataclass(eq=False)
class _Session:
    seen: float
    requests: OrderedDict[bytes, tuple[int, float]] = field(default_factory=OrderedDict)  # how often, and when last
    spent: deque[tuple[int, Decimal]] = field(default_factory=deque)  # by the second
    warned: bool = False  # that it spends too fast, since it began to
    told: dict[tuple[Kind, bool], float] = field(default_factory=dict)


class Watch:
    """What is remembered of sessions, in this process alone and for an hour. `tell` is told of each trouble, now and then.

    Everything is kept under keyed hashes: nothing of a call can be read from here.
    """

    def __init__(self, key: bytes, clock: Clock, tell: Callable[[Mapping[str, Any]], None]) -> None:
        self.key = key
        self._clock, self._tell = clock, tell
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()

    def session(self, *names: str) -> bytes:
        """The key of a session, by whose it is and what it is called."""
        digest = hashlib.blake2b(digest_size=16, key=self.key[:64])
        for name in names:
            data = name.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(data) + data)
        return digest.digest()

    def judge(self, rules: Rules, session: bytes, request: bytes, trail: Sequence[Step]) -> Finding | None:
        """The worst that is to be said of a call. `request`: a hash of all of it, empty for one that is not to be counted."""
        it = self._of(session)
        found = [
            *self._repeats(rules, it, request, list(trail)),
            *_errors(rules, list(trail)),
            *self._speed(rules, it),
        ]
        return max(found, key=lambda finding: finding.over, default=None)

    def spent(self, session: bytes, usd: Decimal) -> None:
        """A call of the session has cost so much."""
        it, second = self._of(session), int(self._clock.monotonic())
        if it.spent and it.spent[-1][0] == second:
            usd += it.spent.pop()[1]
        it.spent.append((second, usd))

    def tell(self, session: bytes, finding: Finding, refused: bool, about: Mapping[str, Any]) -> None:
        """Once in ten minutes for each kind of trouble of a session."""
        told, now = self._of(session).told, self._clock.monotonic()
        last = told.get((finding.kind, refused))
        if last is not None and now - last < _AGAIN_S:
            return
        told[finding.kind, refused] = now
        log.warning("guard.%s: %s%s", finding.kind, finding.words, "; the call is refused" if refused else "")
        self._tell(
            {"rule": finding.kind, "found": finding.found, "limit": finding.limit, "refused": refused, **about}
        )  # fmt: skip

    # -- how --

    def _of(self, session: bytes) -> _Session:
        now = self._clock.monotonic()
        while self._sessions and now - next(iter(self._sessions.values())).seen > FORGET_S:
            self._sessions.popitem(last=False)
        it = self._sessions.get(session)
        if it is None:
            while len(self._sessions) >= MOST_SESSIONS:
                self._sessions.popitem(last=False)
            it = self._sessions[session] = _Session(now)
        self._sessions.move_to_end(session)
        it.seen = now
        return it

    def _repeats(self, rules: Rules, it: _Session, request: bytes, trail: list[Step]) -> list[Finding]:
        if not rules.repeats:
            return []
        found, limit = list[Finding](), rules.repeats
        round_ = circle(trail)
        if round_.times >= limit:
            what = "the last tool call was made" if round_.period == 1 else f"the last {round_.period} steps were taken"
            words = f"{what} {round_.times} times in a row, with the same answer (guard.repeats: {limit})"
            found.append(Finding("repeats", words, str(round_.times), str(limit), round_.times > limit))
        if request and (times := self._again(it, request)) >= limit:
            words = f"the very same request came {times} times (guard.repeats: {limit})"
            found.append(Finding("repeats", words, str(times), str(limit), times > limit))
        return found

    def _again(self, it: _Session, request: bytes) -> int:
        now = self._clock.monotonic()
        times, last = it.requests.pop(request, (0, now))
        times = times + 1 if now - last <= _AGAIN_S else 1
        it.requests[request] = times, now
        while len(it.requests) > _REQUESTS:
            it.requests.popitem(last=False)
        return times

    def _speed(self, rules: Rules, it: _Session) -> list[Finding]:
        limit, now = rules.usd_per_minute, self._clock.monotonic()
        while it.spent and it.spent[0][0] <= now - _MINUTE_S:
            it.spent.popleft()
        total = sum((usd for _, usd in it.spent), Decimal(0))
        if not limit or total <= limit:
            it.warned = False
            return []
        over, it.warned = it.warned, True
        words = f"the session has spent {total:.4f} USD within a minute (guard.usd_per_minute: {limit:f})"
        return [Finding("usd_per_minute", words, f"{total:f}", f"{limit:f}", over, _until(it, total - limit, now))]


def _until(it: _Session, excess: Decimal, now: float) -> float:
    for second, usd in it.spent:
        excess -= usd
        if excess <= 0:
            return max(1.0, second + _MINUTE_S - now)
    return _MINUTE_S


def _errors(rules: Rules, trail: list[Step]) -> list[Finding]:
    if not rules.errors or (times := failures(trail)) < rules.errors:
        return []
    words = f"a tool failed {times} times in a row with the same error (guard.errors: {rules.errors})"
    return [Finding("errors", words, str(times), str(rules.errors), times > rules.errors)]
