"""Tells, while there is no cache, which calls one would have answered: those that repeat an answered one in time."""

from collections import OrderedDict

MOST_CALLS = 10_000  # some 1.5 MB


class Repeats:
    """Hashes of calls that were answered, and when a cache would have begun to have their answers.

    `ttl`: so many seconds it would have them. `most`: calls that are remembered; the one that was wanted longest ago is forgotten
    first, as a cache forgets it.
    """

    def __init__(self, ttl: float, most: int = MOST_CALLS) -> None:
        self._ttl, self._most = ttl, most
        self._calls: OrderedDict[int, float] = OrderedDict()

    def seen(self, key: int, now: float) -> bool:
        """Whether a cache would have had the answer. `now` in seconds that only grow. If not, it has it from now on.

        An answer that is given again is no younger for it: its time is that of the call that was paid for.
        """
        kept = self._calls.get(key)
        if kept is not None and now - kept < self._ttl:
            self._calls.move_to_end(key)
            return True
        self._calls[key] = now
        self._calls.move_to_end(key)
        while len(self._calls) > self._most:
            self._calls.popitem(last=False)
        return False

    def configure(self, ttl: float, most: int = MOST_CALLS) -> None:
        """At a reload: what is remembered is judged by the new settings."""
        self._ttl, self._most = ttl, most
        while len(self._calls) > most:
            self._calls.popitem(last=False)

    def __len__(self) -> int:
        return len(self._calls)
