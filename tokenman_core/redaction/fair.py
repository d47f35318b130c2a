"""A bounded queue whose places are shared fairly: callers take turns, and one that floods it crowds out nobody but itself."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable


class Full(Exception):
    """No place is left, and whoever asks has as many as anybody."""


class FairQueue[T]:
    """At most `limit` items wait. Each caller's come in their order; of the callers each gives one at a time, in turns.

    When it is full, a caller with fewer items than another gets a place: `put` then returns the newest item of the one with
    the most, which has to go.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._waiting: OrderedDict[Hashable, deque[T]] = OrderedDict()
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return self._size

    def put(self, caller: Hashable, item: T) -> T | None:
        """Returns the item that had to go, if any. Raises Full."""
        gone: T | None = None
        if self._size >= self._limit:
            most = max(self._waiting, key=lambda each: len(self._waiting[each]))
            if len(self._waiting[most]) <= len(self._waiting.get(caller, ())) + 1:
                raise Full
            gone = self._waiting[most].pop()
            self._size -= 1
        self._waiting.setdefault(caller, deque()).append(item)
        self._size += 1
        self._some.set()
        return gone

    async def get(self) -> T:
        """The next item; waits for one."""
        while not self._size:
            self._some.clear()
            await self._some.wait()
        caller, items = self._waiting.popitem(last=False)
        item = items.popleft()
        if items:
            self._waiting[caller] = items  # behind all others
        self._size -= 1
        return item

    def remove(self, caller: Hashable, item: T) -> None:
        """Take back an item that may still wait."""
        items = self._waiting.get(caller)
        if items is not None and item in items:
            items.remove(item)
            self._size -= 1
            if not items:
                del self._waiting[caller]
