"""Tells why a provider's prompt cache, which had the beginning of a conversation, did not have it this time.

Of each session the last requests are remembered as keyed hashes (`prints`), in this process alone. When a call reads clearly less
from the provider's cache than stood there after the call before it, what has changed between the two says why (`breaks`). Where
a program's session cannot be told, since a clock in the system text makes it another one each time, the caller's last calls are
looked at.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tokenman_core.caching import breaks
from tokenman_core.caching.prints import DAY, Prints, prints
from tokenman_core.clock import Clock
from tokenman_core.exchange import Exchange
from tokenman_core.usage import Usage
from tokenman_core.verdicts import Candidate

Cost = Callable[[Usage], Decimal | None]
"""What a call like this one costs in USD with another usage; None: there is no price."""

_LANES = 6  # conversations of a session, or of a caller, that are known apart: agents have helpers under the same name
_LEAST = 256  # tokens that are missed: no provider keeps fewer than 1,024, and OpenAI counts in steps of 128
_SLACK = 0.1  # of what was kept may be missing without a cause
_ROUGH = 0.5  # the same where it is only known by its share of the bytes
_SMALL = 96 * 1024  # bytes of a body that is read on the event loop
_FRESH = 24 * 1024  # the same of one whose session is new: none of its parts is known yet
_NONE: tuple[float, tuple["_Call", ...]] = (0.0, ())


@dataclass(frozen=True)
class Bounds:
    """Of what is remembered: keys (two a session), bytes (as estimated), and seconds since it was last wanted."""

    keys: int = 10_000
    size: int = 16 * 1024 * 1024
    seconds: float = DAY


@dataclass(frozen=True, eq=False)
class _Call:
    """A request that was answered. `kept`: tokens that then stood in the provider's cache."""

    prints: Prints
    whose: bytes  # its session's key, or its caller's where it has none
    sent: float
    kept: int


@dataclass(eq=False)
class Look:
    """An attempt's request, as it was sent. Holds the call's own body, so it must not outlive the call.

    `large`: have `read` called on a thread first, else `Detective.ended` does that, and takes more than 0.2 ms.
    """

    exchange: Exchange = field(repr=False)
    candidate: Candidate
    sent: float
    key: bytes = field(repr=False)
    keys: tuple[bytes, ...]
    earlier: tuple[_Call, ...]
    large: bool
    _prints: Prints | None = None
    _done: bool = False

    @property
    def whose(self) -> bytes:
        """The key of its session, or of its caller where it has none."""
        return self.keys[0]

    def matters(self, usage: Usage | None) -> bool:
        """Whether there is anything to compare or to remember, now that the usage is known: most providers' caches have nothing of
        a call that nobody asked to keep, and then its request need not be read."""
        return bool(usage and usage.input and (self.earlier or usage.cache_read or usage.cache_write))

    def read(self) -> Prints | None:
        """The prints of the request. Once; on any thread."""
        body = self.exchange.body
        if not self._done and body is not None:
            slots = [slot for slot in body.slots if slot.changed] if body.changed else []
            earlier = [call.prints for call in self.earlier]
            it = self.candidate
            model = it.model or self.exchange.model
            self._prints = prints(self.key, self.exchange.dialect.name, it.provider, model, body.value, slots, earlier)
        self._done = True
        return self._prints


class Detective:
    """`key`: of these hashes alone. Used from the event loop; nothing that it remembers can be read back."""

    def __init__(self, clock: Clock, key: bytes, bounds: Bounds = Bounds()) -> None:
        self._clock, self._key, self._bounds = clock, key, bounds
        self._calls: OrderedDict[bytes, tuple[float, tuple[_Call, ...]]] = OrderedDict()  # when, and the latest first
        self._size = 0

    def sent(self, exchange: Exchange, candidate: Candidate) -> Look | None:
        """Once for each attempt, when its request is final. Takes some microseconds. None: no call that a cache is about."""
        if not exchange.operation.generates or exchange.operation.free or exchange.body is None:
            return None
        keys = self._keys(exchange)
        earlier = tuple(dict.fromkeys(call for key in keys for call in self._calls.get(key, _NONE)[1]))
        large = len(exchange.raw) > (_SMALL if earlier else _FRESH)
        return Look(exchange, candidate, self._clock.monotonic(), self._key, keys, earlier, large)

    def ended(self, look: Look, usage: Usage | None, cost: Cost | None = None) -> None:
        """Once the usage of that attempt's answer is known, as its provider said it; None: it said none.

        Sets `cache_break`, `cache_lost` and `cache_lost_usd` of the exchange where something was lost, and remembers the request.
        Never waits; takes 0.2 ms for a conversation of 80 KB that goes on, once `Look.read` is done next to nothing.
        """
        new = look.read() if look.matters(usage) else None
        if new is None or usage is None:
            return
        before = _before(look, new)
        if before is not None and (missed := before.missed(usage)):
            exchange, gap = look.exchange, look.sent - before.call.sent
            nothing, kept = usage.cache_read * 10 < before.expected, usage.cache_write > 0
            exchange.cache_break = breaks.explain(before.call.prints, new, gap, nothing=nothing, kept=kept)
            exchange.cache_lost, exchange.cache_lost_usd = missed, _lost(usage, missed, cost)
        call = _Call(new, look.whose, look.sent, usage.cache_read + usage.cache_write)
        self._remember(look.keys, call, before.call if before and before.goes_on else None)

    @property
    def size(self) -> int:
        """Bytes that are remembered, as estimated."""
        return self._size

    # -- inside --

    def _keys(self, exchange: Exchange) -> tuple[bytes, ...]:
        """Of the session, and of the caller."""
        caller = exchange.caller
        whose = (caller.credential, caller.client)
        session = (self._hash("session", *whose, exchange.session),) if exchange.session else ()
        return (*session, self._hash("caller", *whose, exchange.project))

    def _hash(self, *names: str) -> bytes:
        digest = hashlib.blake2b(digest_size=16, key=self._key[:64])
        for name in names:
            data = name.encode("utf-8", "surrogatepass")
            digest.update(b"%d:" % len(data) + data)
        return digest.digest()

    def _remember(self, keys: Sequence[bytes], call: _Call, instead_of: _Call | None) -> None:
        now = self._clock.monotonic()
        for key in keys:
            _, calls = self._calls.pop(key, (now, ()))
            self._size -= sum(each.prints.weight for each in calls)
            calls = (call, *(each for each in calls if each is not instead_of))[:_LANES]
            self._calls[key] = now, calls
            self._size += sum(each.prints.weight for each in calls)
        while self._calls and (
            len(self._calls) > self._bounds.keys
            or self._size > self._bounds.size
            or now - next(iter(self._calls.values()))[0] > self._bounds.seconds
        ):
            _, (_, calls) = self._calls.popitem(last=False)
            self._size -= sum(each.prints.weight for each in calls)


@dataclass(frozen=True)
class _Before:
    """The call that another one goes on with, or should. So many tokens should have been read; a part may be missing."""

    call: _Call
    expected: int
    slack: float = _SLACK
    goes_on: bool = True

    def missed(self, usage: Usage) -> int:
        """Tokens that were paid for and should have been read from the cache; 0: too few to speak of."""
        missed = min(self.expected, usage.input) - usage.cache_read
        return missed if missed >= _LEAST and missed > self.expected * self.slack else 0


def _before(look: Look, new: Prints) -> _Before | None:
    """The earlier call to compare with: one that asked the same model, if there is one. None: nothing is missed."""
    same = [call for call in look.earlier if _asks_the_same(call.prints, new)]
    others = [call for call in look.earlier if not _asks_the_same(call.prints, new)]
    for calls in (same, others):
        related = [call for call in calls if _related(call, look, new)]
        if related:
            call = related[0]
            if len(related) > 1:  # of equals the latest
                call = max(related, key=lambda call: (call.whose == look.whose, breaks.in_common(call.prints, new)))
            if breaks.forks(call.prints, new):
                return None
            return _Before(call, call.kept, _SLACK if calls is same else _ROUGH, goes_on=calls is same)
    for call in same:
        if breaks.same_preamble(call.prints, new):
            return _Before(call, int(call.kept * breaks.before_messages(call.prints)), _ROUGH, goes_on=False)
    return None


def _related(call: _Call, look: Look, new: Prints) -> bool:
    """Of another session only where a clock in the system text may be what makes it another one."""
    mine = call.whose == look.whose
    return (mine or breaks.same_preamble(call.prints, new)) and breaks.same_conversation(call.prints, new)


def _asks_the_same(old: Prints, new: Prints) -> bool:
    return (old.provider, old.model) == (new.provider, new.model)


def _lost(usage: Usage, missed: int, cost: Cost | None) -> Decimal:
    """What it cost more than if so many tokens had been read from the cache; 0 where there is no price."""
    if cost is None:
        return Decimal(0)
    short = min(missed, usage.cache_write_5m)
    long = min(missed - short, usage.cache_write_1h)
    paid = replace(usage, parts={})
    due = replace(
        paid,
        cache_read=usage.cache_read + missed,
        cache_write_5m=usage.cache_write_5m - short,
        cache_write_1h=usage.cache_write_1h - long,
    )
    mine, theirs = cost(paid), cost(due)
    return max(Decimal(0), mine - theirs) if mine is not None and theirs is not None else Decimal(0)
