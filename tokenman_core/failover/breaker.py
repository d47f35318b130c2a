"""A breaker: stops calls to what has failed too often, and lets a few probes find out whether it is back.

The machine is a table of what each event does in each state. It knows no provider, no clock of its own and no I/O.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tokenman_core.clock import Clock

State = Literal["closed", "half_open", "open"]
Event = Literal["ask", "success", "failure", "reply", "neutral", "hold", "release"]
STATES: tuple[State, ...] = ("closed", "half_open", "open")
EVENTS: tuple[Event, ...] = ("ask", "success", "failure", "reply", "neutral", "hold", "release")

_SLICES = 12  # of the window: what has happened is counted, not listed, so that it takes the same room for any traffic


@dataclass(frozen=True)
class Rules:
    """Opens after `failures` in a row, or when the share `ratio` of at least `min_calls` within `window` seconds failed
    (`min_calls` 0: not by share). After `reset` seconds `probes` attempts at a time may find out whether it is back.
    """

    failures: int = 5
    ratio: float = 0.5
    min_calls: int = 20
    window: float = 60.0
    reset: float = 60.0
    probes: int = 1


@dataclass(frozen=True)
class Ticket:
    """Leave to make one attempt; its outcome is told with it. Outcomes of attempts from before a change of state count no more."""

    age: int


class Breaker:
    """`ask` before each attempt; then exactly one of `success`, `failure`, `reply` and `neutral` with the ticket that it gave.

    `reply` is an answer that is no success and no fault of the provider's (what the caller did wrong, a limit of his own): it
    shows that the provider is there, no more. `neutral` is an attempt that says nothing of it: its client left, say.
    """

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self.rules = rules
        self._clock = clock
        self.state: State = "closed"
        self.held = False  # opened by hand: only a hand closes it
        self._age = 0
        self._row = 0  # failures one after another
        self._slices: deque[list[float]] = deque(maxlen=_SLICES)  # [begins, calls, failures]
        self._opened = 0.0
        self._probing = 0

    @property
    def age(self) -> int:
        """How often its state has changed."""
        return self._age

    @property
    def opened(self) -> float:
        """When it was opened last, as `Clock.monotonic` has it."""
        return self._opened

    def adopt(self, *, opened: bool, held: bool = False, ago: float = 0.0) -> None:
        """Takes the state that another process has it in: closed, or open since `ago` seconds, perhaps by hand."""
        self.held = held
        if opened:
            self.open()
            self._opened -= ago
        elif self.state != "closed":
            self._change("closed")

    @property
    def rests(self) -> bool:
        """Whether all who ask now are turned away: it is open, and the time for a probe has not come."""
        due = self._opened + self.rules.reset
        return self.state == "open" and (self.held or self._clock.monotonic() < due)

    @property
    def turns_away(self) -> bool:
        """Whether `ask` would give no ticket now."""
        return self.rests or (self.state == "half_open" and self._probing >= self.rules.probes)

    def ask(self) -> Ticket | float:
        """A ticket, or for how many seconds there will be none (0: until a probe is over)."""
        answer = self._do("ask", None)
        assert answer is not None
        return answer

    def success(self, ticket: Ticket) -> None:
        self._do("success", ticket)

    def failure(self, ticket: Ticket) -> None:
        self._do("failure", ticket)

    def reply(self, ticket: Ticket) -> None:
        self._do("reply", ticket)

    def neutral(self, ticket: Ticket) -> None:
        self._do("neutral", ticket)

    def hold(self) -> None:
        """Open by hand, until `release`."""
        self._do("hold", None)

    def release(self) -> None:
        """Close by hand, whatever has happened."""
        self._do("release", None)

    def _do(self, event: Event, ticket: Ticket | None) -> Ticket | float | None:
        if ticket is not None and ticket.age != self._age:
            return None
        return TABLE[self.state, event](self)

    # -- what the table does --

    def _change(self, state: State) -> None:
        self.state = state
        self._age += 1
        self._row = self._probing = 0
        self._slices.clear()

    def _count(self, *, failed: bool) -> None:
        now, length = self._clock.monotonic(), self.rules.window / _SLICES
        if not self._slices or now >= self._slices[-1][0] + length:
            self._slices.append([now, 0, 0])
        self._slices[-1][1] += 1
        self._slices[-1][2] += failed
        while self._slices and self._slices[0][0] <= now - self.rules.window:
            self._slices.popleft()

    def allow(self) -> Ticket:
        return Ticket(self._age)

    def went_well(self) -> None:
        self._row = 0
        self._count(failed=False)

    def went_wrong(self) -> None:
        self._row += 1
        self._count(failed=True)
        rules = self.rules
        calls, failures = sum(one[1] for one in self._slices), sum(one[2] for one in self._slices)
        by_share = 0 < rules.min_calls <= calls and failures >= rules.ratio * calls
        if self._row >= rules.failures or by_share:
            self.open()

    def open(self) -> None:
        self._change("open")
        self._opened = self._clock.monotonic()

    def wait_or_probe(self) -> Ticket | float:
        if self.held:
            return self.rules.reset
        left = self._opened + self.rules.reset - self._clock.monotonic()
        if left > 0:
            return left
        self._change("half_open")
        return self.probe()

    def probe(self) -> Ticket | float:
        if self._probing >= self.rules.probes:
            return 0.0
        self._probing += 1
        return Ticket(self._age)

    def probed_nothing(self) -> None:
        self._probing -= 1

    def close(self) -> None:
        self.held = False
        self._change("closed")

    def open_by_hand(self) -> None:
        self.held = True
        self.open()

    def ignore(self) -> None:
        """Nothing that happens now changes anything."""


Effect = Callable[[Breaker], Ticket | float | None]

TABLE: Mapping[tuple[State, Event], Effect] = {
    ("closed", "ask"): Breaker.allow,
    ("closed", "success"): Breaker.went_well,
    ("closed", "failure"): Breaker.went_wrong,
    ("closed", "reply"): Breaker.ignore,
    ("closed", "neutral"): Breaker.ignore,
    ("closed", "hold"): Breaker.open_by_hand,
    ("closed", "release"): Breaker.ignore,
    ("open", "ask"): Breaker.wait_or_probe,
    ("open", "success"): Breaker.ignore,
    ("open", "failure"): Breaker.ignore,
    ("open", "reply"): Breaker.ignore,
    ("open", "neutral"): Breaker.ignore,
    ("open", "hold"): Breaker.open_by_hand,
    ("open", "release"): Breaker.close,
    ("half_open", "ask"): Breaker.probe,
    ("half_open", "success"): Breaker.close,
    ("half_open", "failure"): Breaker.open,
    ("half_open", "reply"): Breaker.close,
    ("half_open", "neutral"): Breaker.probed_nothing,
    ("half_open", "hold"): Breaker.open_by_hand,
    ("half_open", "release"): Breaker.close,
}
"""What each event does in each state. An outcome whose ticket is from before the last change of state never comes here."""
