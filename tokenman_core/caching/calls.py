"""How a call that may be cached is made: for itself and whoever follows, or by following one that is under way."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from tokenman_core.caching.entry import Entry, kept_headers
from tokenman_core.caching.flights import STREAM_WAITS_S, WAITS_S, Flight, Flights
from tokenman_core.caching.plain import came, is_stream, plain, unpacked
from tokenman_core.capture import Capture
from tokenman_core.exchange import Exchange
from tokenman_core.net import UpstreamError
from tokenman_core.net.coding import CodingError
from tokenman_core.outward import Pieces
from tokenman_core.sse import Event, SseError, SseParser
from tokenman_core.verdicts import Head, Parts

Start = Callable[[], Pieces]
Again = Callable[[Entry], Awaitable[Parts | None]]
"""An answer that is there as the exchange asks for it; None: it cannot be told so."""


class Leading:
    """A `Shared`: the call is made, and others may follow it. `find` looks whether another process had it made meanwhile (None: it
    is to be made in any case), and `coalesced` is told then; `judge` says what is worth keeping of an answer that is complete.
    """

    def __init__(
        self,
        exchange: Exchange,
        flights: Flights,
        flight: Flight,
        find: Callable[[], Awaitable[Entry | None]] | None,
        again: Again,
        coalesced: Callable[[Entry], None],
        judge: Callable[[], Awaitable[Entry | None]],
    ) -> None:
        self._exchange, self._flights, self.flight = exchange, flights, flight
        self._find, self._again, self._coalesced, self._judge = find, again, coalesced, judge
        self._taken = False  # all that came

    async def parts(self, start: Start) -> Pieces:
        self.flight.start(lambda: self._source(start))
        try:
            async with aclosing(self.flight.follow()) as parts:
                async for part in parts:
                    yield part
        except Exception:
            self._taken = True
            raise
        self._taken = True

    async def _source(self, start: Start) -> Pieces:
        flight = self.flight
        most = STREAM_WAITS_S if self._exchange.stream else WAITS_S
        flight.lease, found = await self._flights.first(flight.key, self._find, most)
        if found is not None and (given := await self._again(found)) is not None:
            self._coalesced(found)
            flight.entry, flight.provider, flight.cost = found, found.provider, found.cost or flight.cost
            async with aclosing(given) as parts:
                async for part in parts:
                    yield part
            return
        async with aclosing(start()) as own:
            async for piece in own:
                yield piece
        if flight.open:
            flight.entry = await self._judge()

    @property
    def unheard(self) -> bool:
        return self.flight.started and not self._taken

    async def heard(self) -> None:
        flight, exchange = self.flight, self._exchange
        try:
            await flight.over()
        finally:  # whoever cannot wait for it ends it, or nobody would book it
            flight.cancel()
        head = flight.parts[0] if flight.parts and flight.whole else None
        if not isinstance(head, Head) or not exchange.tried:
            return
        if is_stream(head):
            await self._read()
            return
        if flight.error is not None:
            return  # of half a document nobody can read what was used
        try:
            _, body, _ = came(flight, flight.most)
        except UpstreamError:
            return
        exchange.reader = exchange.dialect.reader(exchange.operation)
        exchange.said, exchange.captured = body, None
        exchange.reader.note(Event(body, "whole"))

    async def _read(self) -> None:
        """All events that came, also of a stream that broke off behind the last piece that was taken."""
        flight, exchange, parser = self.flight, self._exchange, SseParser()
        exchange.reader = reader = exchange.dialect.reader(exchange.operation)
        exchange.captured = captured = Capture(flight.most, stream=True)
        try:
            for piece in unpacked(flight):
                captured.add(piece)
                for event in parser.feed(piece):
                    reader.note(event)
                await asyncio.sleep(0)
            for event in parser.finish():
                reader.note(event)
        except (CodingError, SseError):
            pass  # what it told until then is booked


class Following:
    """A `Shared`: somebody else's call answers this one too; where it does not, one of its own is made, and `alone` is told."""

    unheard = False

    def __init__(self, flight: Flight, parts: Callable[[], Pieces], alone: Callable[[], None]) -> None:
        self.flight, self._parts, self._alone = flight, parts, alone

    async def parts(self, start: Start) -> Pieces:
        begun = False
        try:
            async with aclosing(self._parts()) as parts:
                async for part in parts:
                    begun = True
                    yield part
                return
        except Exception:  # whatever became of the other's call
            if begun:
                raise
        self._alone()
        async with aclosing(start()) as own:
            async for piece in own:
                yield piece

    async def heard(self) -> None:
        """It is somebody else's."""


async def live(flight: Flight, *, shared: bool) -> Pieces:
    """What the other call brings, as it comes. `shared`: it may be another caller's.

    Raises UpstreamError if it answers nobody else.
    """
    async with aclosing(flight.follow()) as raw:
        head = await anext(raw)
        if flight.private or not isinstance(head, Head) or head.status != 200:
            raise UpstreamError("protocol", "it answers nobody else")
        if is_stream(head):
            yield Head(200, kept_headers(head.headers, shared=shared))
            async with aclosing(plain(head, raw)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        async for _ in raw:  # all of it, before anything goes out: until then a call of one's own can be made
            pass
        if flight.entry is None:  # an error, a refusal, half an answer: it is for whom it was said to
            raise UpstreamError("protocol", "it is not given again")
        yield Head(200, flight.entry.headers)
        yield flight.entry.body


async def afterwards(flight: Flight, again: Again) -> Pieces:
    """What is kept of the other call, once it is over: it is asked for in another shape. Raises UpstreamError."""
    async with aclosing(flight.follow()) as raw:
        async for _ in raw:
            if not flight.open:
                raise UpstreamError("protocol", "it will not be kept")
    parts = None if flight.entry is None else await again(flight.entry)
    if parts is None:
        raise UpstreamError("protocol", "it was not kept")
    async with aclosing(parts) as given:
        async for part in given:
            yield part
