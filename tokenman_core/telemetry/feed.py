"""Calls as they end, told to whoever listens: the dashboard, `tokenman tail`. Who reads slowly loses rows, and is told so."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

from tokenman_core.errors import ErrorKind
from tokenman_core.ledger.row import details, row_of
from tokenman_core.record import Record


@dataclass(frozen=True)
class Told:
    """`call`: `data` is a row as `GET /api/requests` has it, `id` its id.

    `lost`: rows went by untold, `data` is `{"lost": COUNT}`, null where nobody counted; `id` is "".
    """

    name: Literal["call", "lost"]
    id: str
    data: dict[str, Any]


class TooMany(Exception):
    """All places of the feed are taken."""


class Subscription:
    """An asynchronous iterator of `Told`, which ends when the feed is closed. Close it when done."""

    def __init__(self, feed: "Feed", waiting: deque[Record], room: int, lost: int | None) -> None:
        self._feed, self._waiting, self._room = feed, waiting, room
        self._lost = lost  # None: some, uncounted
        self._wake = asyncio.Event()
        self._ended = False

    def __aiter__(self) -> AsyncIterator[Told]:
        return self

    async def __anext__(self) -> Told:
        while True:
            if self._lost != 0:
                lost, self._lost = self._lost, 0
                return Told("lost", "", {"lost": lost})
            if self._waiting:
                record = self._waiting.popleft()
                return Told("call", record.id, details(row_of(record)))
            if self._ended:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()

    def put(self, record: Record) -> None:
        if len(self._waiting) >= self._room:
            self._waiting.popleft()
            self._lost = None if self._lost is None else self._lost + 1
        self._waiting.append(record)
        self._wake.set()

    def end(self) -> None:
        self._waiting.clear()
        self._lost, self._ended = 0, True
        self._wake.set()

    def close(self) -> None:
        """Gives the place back."""
        self._feed.leave(self)


class Feed:
    """An `Observer`. The last `kept` calls are held for those who come back; each reader may be `room` calls behind."""

    def __init__(self, kept: int = 500, room: int = 500, places: int = 20) -> None:
        self._recent: deque[Record] = deque(maxlen=kept)
        self._room, self._places = room, places
        self._readers: set[Subscription] = set()
        self._closed = False

    @property
    def readers(self) -> int:
        return len(self._readers)

    def subscribe(self, after: str = "") -> Subscription:
        """What ends from now on; with `after`, the id of the last row that was read, what has ended since, too.

        An `after` that is not held any more counts as lost rows. Raises TooMany.
        """
        if len(self._readers) >= self._places:
            raise TooMany
        held: deque[Record] = deque()
        lost: int | None = 0
        if after:
            for record in reversed(self._recent):
                if record.id == after:
                    break
                held.appendleft(record)
            else:
                lost = None
        reader = Subscription(self, held, self._room, lost)
        if self._closed:
            reader.end()
        else:
            self._readers.add(reader)
        return reader

    def leave(self, reader: Subscription) -> None:
        self._readers.discard(reader)

    def ended(self, record: Record) -> None:
        self._recent.append(record)
        for reader in self._readers:
            reader.put(record)

    def turned_away(self, kind: ErrorKind) -> None:
        """What was no call has no row."""

    def close(self) -> None:
        """Ends every subscription at once."""
        self._closed = True
        for reader in self._readers:
            reader.end()
        self._readers.clear()
