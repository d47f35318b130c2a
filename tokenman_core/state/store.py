"""What a store of shared state can be asked. A store counts and keeps; what it means is told where it is used.

Everything has a kind (`breaker`), a name in it and an end: what nobody renews goes away by itself. Each method is one step that
other processes see whole or not at all. Counters with reservations (money, tokens, calls) are asked by `counts`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from tokenman_core.state.counts import Counts
from tokenman_core.state.rates import Rates

Leased = Literal["leased", "taken", "moved"]
"""`taken`: there are as many as there may be; `moved`: the entry is no longer the one that was spoken of."""


@dataclass(frozen=True)
class Entry:
    """A value and its version: 1 for the first, more for each later one, 0 for none."""

    version: int = 0
    value: bytes = b""


NOTHING = Entry()


class Store(Protocol):
    """Of one thread. Moments are seconds since the epoch. Raises whatever its database does."""

    @property
    def counts(self) -> Counts:
        """The counters in the same file, seen and changed by the same processes."""

    @property
    def rates(self) -> Rates:
        """How fast things were taken, in the same file."""

    @property
    def changed(self) -> bool:
        """Whether another process wrote since this was asked last."""

    def entries(self, kind: str, now: float) -> Mapping[str, Entry]:
        """All of a kind, by name."""

    def put(self, kind: str, name: str, value: bytes, *, until: float, over: int | None, now: float) -> Entry:
        """Puts a value in the place of version `over`, of whatever is there if that is None, and ends the leases under the name.

        Returns what stands there then; it has another value if somebody else was first.
        """

    def lease(
        self, kind: str, name: str, lease: str, *, most: int, over: int, until: float, now: float
    ) -> tuple[Leased, Entry]:
        """A lease under the name, if the entry is still version `over` and fewer than `most` run. With the entry as it is."""

    def renew(self, leases: Collection[str], until: float) -> None:
        """Those that are there run until then."""

    def free(self, lease: str) -> None:
        """Ends a lease; nothing if there is none."""

    def remember(self, kind: str, values: Mapping[bytes, bytes], *, until: float, most: int, now: float) -> None:
        """Keeps small values under keys; of a kind no more than `most`, the oldest go."""

    def remembered(self, kind: str, after: int, now: float) -> tuple[Mapping[bytes, bytes], int]:
        """Those that came later than the mark `after` (0: all), the oldest first, and the mark for the next time."""

    def close(self) -> None: ...
