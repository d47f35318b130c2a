"""The way back of one answer: decoded where a stage must see it, event by event through the chain, framed anew."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from tokenman_core import headers as h
from tokenman_core.capture import Capture
from tokenman_core.clock import Clock
from tokenman_core.dialects import stream_usage
from tokenman_core.dialects.shapes import STATUSES
from tokenman_core.errors import ErrorKind, trace
from tokenman_core.exchange import Exchange
from tokenman_core.failover.policy import status_of
from tokenman_core.json_array import ArrayParser, stream_parser
from tokenman_core.limit_headers import beside
from tokenman_core.metering import Meter
from tokenman_core.net import UpstreamError
from tokenman_core.net.coding import CodingError, Decoder, decode
from tokenman_core.outbound import OFF_LOOP, PACKED_OFF_LOOP
from tokenman_core.sse import Event, SseError, SseParser
from tokenman_core.stages import FAILED_ANSWER, Link, StageFailed, Stages
from tokenman_core.usage import money
from tokenman_core.verdicts import Head, Headers, Part, Refuse, Trailers

log = logging.getLogger("tokenman.call")

Pieces = AsyncGenerator[Part | Refuse]  # a Refuse only in place of everything else
STEP = 16 << 10  # bytes of a stream that are read at once: they may be events of a few bytes each
TEXTUAL = (b"json", b"text/", b"event-stream", b"xml", b"x-ndjson", b"javascript")
UNTOLD = (
    b"application/octet-stream",
    b"application/binary",
    b"binary/octet-stream",
)  # so files come, also those of text


@dataclass(frozen=True)
class Caps:
    """Bytes; 0 is no cap."""

    request_body: int
    response_body: int
    stream_capture: int


async def _aside[T](work: Callable[[], T]) -> T:
    """Do it on a thread. Who is cancelled meanwhile leaves once it is done, for what the call holds is taken down behind him."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        task.exception()  # nobody asks for it any more
        raise


_OVER_CAP = Refuse(502, "response_cap", "The provider's answer is larger than limits.response_body allows.")


def upstream_refusal(error: UpstreamError) -> Refuse:
    """What the client is told of an attempt that brought no answer: nothing of the inside."""
    if error.kind == "timeout":
        return Refuse(504, "timeout", "The provider did not answer in time.", retryable=True)
    if error.kind == "cap":
        return _OVER_CAP
    if error.kind == "full":
        message = "As many calls as can run at once are running at this provider; try again in a moment."
        return Refuse(503, "upstream", message, retry_after=1)
    return Refuse(
        502, "upstream", "The provider could not be reached, or broke off before it answered.", retryable=True
    )


def marks(exchange: Exchange) -> Headers:
    """Our own headers on an answer."""
    said = [(b"x-tokenman-request-id", exchange.id.encode())]
    if exchange.attempts:
        tried = exchange.tried
        said.append((b"x-tokenman-provider", (tried or exchange.attempts)[-1].candidate.provider.encode()))
        said.append((b"x-tokenman-attempts", b"%d" % len(tried)))
    return (*said, *exchange.answer_headers)


def steps(part: bytes, decoder: Decoder | None) -> Iterator[bytes]:
    """What a piece says, bit by bit: the loop is to have its turn between them, whatever a few bytes expand to.

    Raises CodingError.
    """
    for plain in decoder.steps(part) if decoder else (part,):
        yield from (plain[at : at + STEP] for at in range(0, len(plain), STEP))


def _promises_an_end(exchange: Exchange) -> bool:
    """Whether it is known how a whole stream of the call ends. What no dialect knows ends as it likes."""
    return exchange.operation.generates and exchange.operation.name != "other"


class Outward:
    """The way back of one answer: decoded where a stage must see it, event by event through the chain, framed anew."""

    def __init__(self, exchange: Exchange, stages: Stages, caps: Caps, clock: Clock, meter: Meter) -> None:
        self._exchange, self._stages, self._caps, self._clock = exchange, stages, caps, clock
        self._meter = meter
        self._listeners: list[Link] = []
        self._unasked = False  # the stream tells what the program did not ask for

    async def parts(self, source: Pieces) -> Pieces:
        exchange = self._exchange
        head = await anext(source)
        if isinstance(head, Refuse):
            yield head
            return
        assert isinstance(head, Head)
        exchange.reader = exchange.dialect.reader(exchange.operation)
        try:
            self._listeners = self._stages.listeners(exchange)
        except StageFailed:
            yield FAILED_ANSWER
            return
        kind = (h.first(head.headers, b"content-type") or b"").lower()
        bodiless = exchange.sent.method == "HEAD" or head.status in (204, 304)
        if bodiless:
            declared = h.first(head.headers, b"content-length") or b""
            yield self._head(head, int(declared) if declared.isdigit() else None)
            with suppress(UpstreamError):  # there is nothing more of it; but its connection is good for another call
                async for _ in source:
                    pass
        elif (parser := stream_parser(exchange, head)) is not None:
            async for part in self._stream(head, source, parser):
                yield part
        elif any(word in kind for word in TEXTUAL) or not kind or (exchange.reads_files and kind.startswith(UNTOLD)):
            async for part in self._whole(head, source):
                yield part
        else:
            async for part in self._media(head, source):
                yield part

    def _first(self) -> None:
        """The client has, in a moment, the first of what it asked for."""
        if self._exchange.times.first is None:
            self._exchange.times.first = self._clock.monotonic()

    def _head(self, head: Head, length: int | None, dropped: tuple[bytes, ...] = ()) -> Head:
        exchange = self._exchange
        ours: Headers = ()
        if exchange.rooms:
            gone, ours = beside(exchange.dialect.name, head.headers, exchange.rooms, self._clock.now())
            dropped = (*dropped, *gone)
        return Head(head.status, (*h.to_client(head.headers, length, dropped), *ours, *marks(exchange)))

    # -- a whole body --

    async def _whole(self, head: Head, source: Pieces) -> Pieces:
        exchange, cap = self._exchange, self._caps.response_body
        gathered: list[bytes] = []
        trailers = None
        came = exchange.captured = Capture(1, stream=False)  # of half a document nobody can read more than its length
        declared = h.first(head.headers, b"content-length") or b""
        if cap and declared.isdigit() and int(declared) > cap:
            yield _OVER_CAP
            return
        try:
            async for part in source:
                if isinstance(part, bytes):
                    gathered.append(part)
                    came.add(part)
                    if cap and came.seen > cap:
                        yield _OVER_CAP
                        return
                elif isinstance(part, Trailers):
                    trailers = part
        except UpstreamError as e:  # nothing has gone out: the client gets an error it understands, not half a body
            yield upstream_refusal(e)
            return
        data = b"".join(gathered)  # the piece itself where there is but one, as from a provider
        gathered.clear()
        coding = (h.first(head.headers, b"content-encoding") or b"identity").strip().lower()
        plain = data
        try:
            if coding != b"identity" and data:
                unpack = partial(decode, coding.decode("latin-1"), data, cap)
                plain = await _aside(unpack) if len(data) > PACKED_OFF_LOOP else unpack()
        except CodingError as e:
            yield (
                _OVER_CAP
                if e.kind == "cap"
                else Refuse(
                    502, "upstream", "The provider's answer is in a coding that cannot be read.", retryable=True
                )
            )
            return
        assert exchange.reader
        exchange.said, exchange.captured = plain, None
        try:
            aside = len(plain) > OFF_LOOP and all(link.off_loop for link in self._listeners)
            out = await _aside(partial(self._told, plain)) if aside else self._told(plain)
        except StageFailed:
            yield FAILED_ANSWER
            return
        await self._tell_cost()
        self._first()
        if out == plain:
            yield self._head(head, len(data))
            yield data
        else:
            yield self._head(
                head, len(out), (b"content-encoding", b"content-md5", b"digest", b"content-digest", b"etag")
            )
            yield out
        if trailers:
            yield trailers

    def _told(self, plain: bytes) -> bytes:
        """A whole answer as the client gets it. Raises StageFailed."""
        exchange, event = self._exchange, Event(plain, "whole")
        assert exchange.reader
        if not self._listeners:
            exchange.reader.note(event)
            return plain
        exchange.reader.read(event)
        events = self._stages.event(exchange, self._listeners, event)
        events += self._stages.event(exchange, self._listeners, Event(b"", "end"))
        return b"".join(one.render() for one in events)

    async def _tell_cost(self) -> None:
        tried = self._exchange.tried
        cost = await self._meter.quote(self._exchange, tried[-1]) if tried else None
        if cost is not None:
            self._exchange.answer_headers.append((b"x-tokenman-cost-usd", money(cost).encode()))

    # -- an event stream --

    async def _stream(self, head: Head, source: Pieces, parser: SseParser | ArrayParser) -> Pieces:
        exchange = self._exchange
        reader, changing = exchange.reader, bool(self._listeners)
        assert reader
        coding = (h.first(head.headers, b"content-encoding") or b"identity").strip().lower()
        decoder: Decoder | None = None
        if coding != b"identity":
            try:
                decoder = Decoder(coding.decode("latin-1"), 0)
            except CodingError:
                yield Refuse(
                    502, "upstream", "The provider's answer is in a coding that cannot be read.", retryable=True
                )
                return
        self._unasked = exchange.unasked or any(attempt.asked_usage for attempt in exchange.tried[-1:])
        # It passes in its coding, and only a copy is read.
        packed = decoder is not None and not (changing or self._unasked or exchange.begun)
        array = parser if isinstance(parser, ArrayParser) else None
        captured = exchange.captured = Capture(self._caps.stream_capture, stream=True, array=array is not None)
        yield self._head(head, None, () if packed else (b"content-encoding",))
        broken: ErrorKind | None = None
        try:
            async for part in source:
                if isinstance(part, Trailers):
                    yield part
                    continue
                assert isinstance(part, bytes)
                for number, plain in enumerate(steps(part, decoder)):
                    if number:
                        await asyncio.sleep(0)
                    captured.add(plain)
                    # Whole events only: behind a half one no error event could be told from it.
                    out = self._through(parser.feed(plain))
                    if reader.spoke:
                        self._first()
                    if out and not packed:
                        yield out
                if packed:
                    yield part
            rest = parser.feed(decoder.finish()) if decoder else []
            rest += parser.finish()
            for event in rest:
                reader.note(event)
            promised = _promises_an_end(exchange) or reader.promised or array is not None
            if promised and not reader.failed and not (reader.finished and (array is None or array.closed)):
                broken, rest = "upstream", []  # truncated
            out = self._through([*rest, Event(b"", "end")])
            if array is not None and not broken:
                out += array.tail if array.closed else b"]"  # some say what went wrong, and leave it open
            if out and not packed:
                yield out
            if reader.failed is not None and exchange.operation.generates:
                self._failed(reader.failed)
        except (UpstreamError, CodingError, SseError) as e:
            log.warning("stream broke off: %s", trace(e))
            broken = "timeout" if isinstance(e, UpstreamError) and e.kind == "timeout" else "upstream"
        except StageFailed:
            broken = "stage"
        if broken:
            exchange.outcome, exchange.broken = "broken", broken
            if changing and broken != "stage" and (out := self._flushed()):
                yield out
            if packed:  # our event would not be in the coding that the client decodes: the cut must be seen as one
                raise UpstreamError("reset", "the stream broke off")
            said = "The stream broke off before its end."
            if array is None:
                yield exchange.dialect.error_event(broken, said, exchange.id)
            else:
                yield array.last(exchange.dialect.error(STATUSES[broken], broken, said, exchange.id))

    def _through(self, events: list[Event]) -> bytes:
        """What goes out for what came. Each is learnt from in its turn: of two usages, the later one counts."""
        exchange, reader = self._exchange, self._exchange.reader
        assert reader
        out: list[bytes] = []
        for event in events:
            shown = stream_usage.without(event) if self._unasked else event
            if shown is not event or not self._listeners:
                reader.note(event)
            if shown is None:
                continue
            if not self._listeners:
                out.append(shown.raw)
                continue
            if shown.kind != "end":
                reader.read(shown)
            out.extend(one.render() for one in self._stages.event(exchange, self._listeners, shown))
        return b"".join(out)

    def _failed(self, error: str) -> None:
        """The provider's own error event has passed as it came; here it is noted what it stands for. Behind words that are
        not the caller's doing, it is the provider's.
        """
        exchange = self._exchange
        at_the_head = next((attempt.failure for attempt in exchange.tried[-1:]), None)
        status = at_the_head.status if at_the_head is not None and at_the_head.status else status_of(error, 500)
        if status < 500:
            exchange.status = status
        else:
            exchange.outcome, exchange.broken = "broken", "timeout" if status == 504 else "upstream"

    def _flushed(self) -> bytes:
        """Text that was held back goes out before the error: what the provider said must not be lost."""
        try:
            return self._through([Event(b"", "end")])
        except StageFailed:
            return b""

    # -- anything else: audio, images, files --

    async def _media(self, head: Head, source: Pieces) -> Pieces:
        cap, seen = self._caps.response_body, 0
        declared = h.first(head.headers, b"content-length") or b""
        length = int(declared) if declared.isdigit() else None
        if cap and length is not None and length > cap:
            yield _OVER_CAP
            return
        self._first()
        yield self._head(head, length)
        async for part in source:
            if isinstance(part, bytes):
                seen += len(part)
                if cap and seen > cap:
                    raise UpstreamError("cap", "the answer is over limits.response_body")
                if length is not None and seen > length:
                    break
            yield part
        if length is not None and seen != length:  # of a stage's own: a provider's has been held to it already
            raise UpstreamError("reset", "the answer is not as long as it says")
