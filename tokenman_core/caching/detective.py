"""Tells why a provider's prompt cache, which had the beginning of a conversation, did not have it this time.

Of each session the last requests are remembered as keyed hashes (`prints`), in this process alone. When a call reads clearly less
from the provider's cache than stood there after the call before it, what has changed between the two says why (`breaks`). Where
a program's session cannot be told, since a clock in the system text makes it another one each time, the caller's last calls are
looked at.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tokenman_core.caching import breaks
from tokenman_core.caching.prints import DAY, Prints, prints
from tokenman_core.clock import Clock
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.usage import Usage

Cost = Callable[[Usage], Decimal | None]
"""What a call like this one costs in USD with another usage; None: there is no price."""

_LANES = 6  # conversations of a session, or of a caller, that are known apart: agents have helpers under the same name
_LEAST = 256  # tokens that are missed: no provider keeps fewer than 1,024, and OpenAI counts in steps of 128
_SLACK = 0.1  # of what was kept may be missing without a cause
_ROUGH = 0.5  # the same where it is only known by its share of the bytes
_SMALL = 128 * 1024  # bytes of a body that is read on the event loop
_READ = 512 * 1024  # the same of one whose beginning its provider read again, so that it is not looked at
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
    """A request that was answered. `kept`: tokens that stood in the provider's cache from the moment `begun` on."""

    prints: Prints
    whose: int  # its session's key, or its caller's where it has none
    sent: float
    begun: float
    kept: int


@dataclass(eq=False)
class Look:
    """An attempt's request, as it was sent, and what its provider said of it. Holds the call's own body, so it must not outlive
    the call.

    `sent`, `begun`: when it set out, and when its answer began. `large`: have `read` called on a thread first, else
    `Detective.ended` does that, and takes more than 0.2 ms.
    """

    exchange: Exchange = field(repr=False)
    attempt: Attempt
    usage: Usage
    sent: float
    begun: float
    key: bytes = field(repr=False)
    keys: tuple[int, ...]
    earlier: tuple[_Call, ...]
    _prints: Prints | None = None
    _done: bool = False

    @property
    def whose(self) -> int:
        """The key of its session, or of its caller where it has none."""
        return self.keys[0]

    @property
    def large(self) -> bool:
        most = (_READ if self._read else _SMALL) if self.earlier else _FRESH
        return len(self.exchange.raw) > most

    @property
    def _read(self) -> list[Prints]:
        """Of earlier requests those of which all that was to be kept was read, to the token: so far this one says the same."""
        read = self.usage.cache_read
        return [call.prints for call in self.earlier if call.kept == read and call.prints.marks] if read else []

    def read(self) -> Prints | None:
        """The prints of the request. Once; on any thread."""
        body = self.exchange.body
        if not self._done and body is not None:
            earlier = [call.prints for call in self.earlier]
            it = self.attempt.candidate
            slots = body.slots if body.changed else ()
            self._prints = prints(
                self.key, self.exchange.dialect.name, it.provider, it.model or self.exchange.model, body.value, slots,
                earlier, self._read,
            )  # fmt: skip
        self._done = True
        return self._prints


class Detective:
    """`key`: of these hashes alone. Used from the event loop; nothing that it remembers can be read back."""

    def __init__(self, clock: Clock, key: bytes, bounds: Bounds = Bounds()) -> None:
        self._clock, self._key, self._bounds = clock, key, bounds
        self._calls: OrderedDict[int, tuple[float, tuple[_Call, ...]]] = OrderedDict()  # when, and the latest first
        self._size = 0

    def look(self, exchange: Exchange) -> Look | None:
        """Once the call is over and its usage is known, as its provider said it. Takes some microseconds.

        None: there is nothing to compare, or to remember. Most providers' caches have nothing of a call that nobody asked to keep,
        and then its request need not be read.
        """
        times, attempts = exchange.times, exchange.tried
        usage = attempts[-1].usage if attempts else None
        if attempts and (bill := attempts[-1].bill) is not None and bill.said is not None:
            return None  # what it says it used it cannot have used
        if usage is None or not usage.input or times.sent is None or exchange.body is None or exchange.operation.free:
            return None
        keys = self._keys(exchange)
        if not (usage.cache_read or usage.cache_write or any(key in self._calls for key in keys)):
            return None
        attempt = attempts[-1]
        sent = times.sent + sum(each.seconds + each.waited for each in exchange.attempts) - attempt.seconds
        begun = self._clock.monotonic() if times.first is None else times.first
        # What is kept is there for others once its answer begins
        # (https://platform.claude.com/docs/en/build-with-claude/prompt-caching#cache-storage-and-sharing).
        held = [call for key in keys for call in self._calls.get(key, _NONE)[1] if call.begun < sent]
        earlier = tuple(dict.fromkeys(held))
        if not (earlier or usage.cache_read or usage.cache_write):
            return None
        return Look(exchange, attempt, usage, sent, begun, self._key, keys, earlier)

    def ended(self, look: Look, cost: Cost | None = None) -> None:
        """Sets `cache_break`, `cache_lost` and `cache_lost_usd` of the exchange where something was lost; remembers the request.

        Never waits; takes 0.1 ms for a conversation of 80 KB that goes on, once `Look.read` is done next to nothing.
        """
        new, usage = look.read(), look.usage
        if new is None:
            return
        before = _before(look, new)
        if before is not None and (missed := before.missed(usage)):
            exchange, gap = look.exchange, look.sent - before.call.sent
            nothing, kept = usage.cache_read * 10 < before.expected, usage.cache_write > 0
            exchange.cache_break = breaks.explain(before.call.prints, new, gap, nothing=nothing, kept=kept)
            exchange.cache_lost, exchange.cache_lost_usd = missed, _lost(usage, missed, cost)
        call = _Call(new, look.whose, look.sent, look.begun, usage.cache_read + usage.cache_write)
        self._remember(look.keys, call, before.call if before and before.goes_on else None)

    @property
    def size(self) -> int:
        """Bytes that are remembered, as estimated."""
        return self._size

    # -- inside --

    def _keys(self, exchange: Exchange) -> tuple[int, ...]:
        """Of the session, and of the caller: Python's own hashes, whose key is of this process alone."""
        caller = exchange.caller
        whose = (self._key, caller.credential, caller.client)
        theirs = hash(("caller", *whose, exchange.project))
        return (hash(("session", *whose, exchange.session)), theirs) if exchange.session else (theirs,)

    def _remember(self, keys: Sequence[int], call: _Call, instead_of: _Call | None) -> None:
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
        mine = [call for call in calls if call.whose == look.whose]
        # What begins with the same message is nearest, and quickly told.
        related = [call for call in mine if breaks.begins_alike(call.prints, new)] or [
            call for call in calls if _related(call, look, new)
        ]
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
