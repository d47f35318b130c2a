"""Carries one governed call from its complete request to its end: chain, attempt, answer back through the chain.

Knows neither mitmproxy nor sockets: a request comes in as an `Exchange`, the answer goes out as parts (a head, pieces of the
body, perhaps trailers). Whoever iterates over them decides the pace; leaving early drops the call.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit

from tokenman_core import headers as h
from tokenman_core.body.read import read_body
from tokenman_core.clock import Clock
from tokenman_core.errors import BodyError, ErrorKind, trace
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.net import Request, Upstream, UpstreamError
from tokenman_core.net.coding import CodingError, Decoder, decode
from tokenman_core.providers import Provider, Providers
from tokenman_core.sse import Event, SseError, SseParser
from tokenman_core.stages import FAILED, Link, StageFailed, Stages
from tokenman_core.target import Addressed, Target
from tokenman_core.verdicts import Answer, Failure, Head, Headers, Part, Parts, Refuse, Skip, Trailers

log = logging.getLogger("tokenman.call")

OFF_LOOP = (
    128 << 10
)  # bodies above this are parsed in a thread, so that the loop is not held for more than a millisecond
MAX_REDIRECTS = 3
Pieces = AsyncGenerator[Part | Refuse]  # a Refuse only in place of everything else
TEXTUAL = (b"json", b"text/", b"event-stream", b"xml", b"x-ndjson", b"javascript")


@dataclass(frozen=True)
class Caps:
    """Bytes; 0 is no cap."""

    request_body: int
    response_body: int


class Conductor:
    def __init__(
        self, stages: Callable[[], Stages | None], providers: Providers, upstream: Upstream, caps: Caps, clock: Clock
    ) -> None:
        """`stages` gives the chain as it is now, or None when one of its parts could not be loaded: then all is refused."""
        self._stages, self.providers, self._upstream, self._caps, self._clock = stages, providers, upstream, caps, clock

    async def answer(self, exchange: Exchange) -> Parts:
        stages = self._stages()
        if stages is None:
            for part in self.refusal(exchange, FAILED):
                yield part
            return
        tries: _Tries | None = None
        match verdict := await self._judge(exchange, stages):
            case Refuse():
                for part in self.refusal(exchange, verdict):
                    yield part
                return
            case Answer():
                source: Pieces = _given(verdict.parts)
            case None:
                tries = _Tries(self._attempt, exchange, stages, self._clock)
                source = tries.parts()
        exchange.outcome = "answered"
        try:
            async with aclosing(source), aclosing(_Outward(exchange, stages, self._caps).parts(source)) as parts:
                async for piece in parts:
                    if isinstance(piece, Refuse):
                        for part in self.refusal(exchange, piece):
                            yield part
                        return
                    yield piece
        finally:
            if tries is not None:  # only now all of the answer has been read, so its usage is known
                await tries.settle()
        await stages.response(exchange)

    def refusal(self, exchange: Exchange, refuse: Refuse) -> tuple[Head, bytes]:
        """A refusal as an answer in the form of the exchange's dialect."""
        exchange.refusal = refuse
        exchange.outcome = "refused"
        body = exchange.dialect.error(refuse.status, refuse.kind, refuse.message, exchange.id)
        headers: list[tuple[bytes, bytes]] = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-tokenman-error", refuse.kind.encode()),
        ]
        if refuse.retry_after is not None:
            headers.append((b"retry-after", b"%d" % max(1, round(refuse.retry_after))))
        elif not refuse.retryable:
            headers.append((b"x-should-retry", b"false"))
        return Head(refuse.status, (*headers, *refuse.headers, *self.marks(exchange))), body

    @staticmethod
    def marks(exchange: Exchange) -> Headers:
        marks = [(b"x-tokenman-request-id", exchange.id.encode())]
        if exchange.attempts:
            marks.append((b"x-tokenman-provider", exchange.attempts[-1].candidate.provider.encode()))
            marks.append((b"x-tokenman-attempts", b"%d" % len(exchange.attempts)))
        return (*marks, *exchange.answer_headers)

    # -- the request --

    async def _judge(self, exchange: Exchange, stages: Stages) -> Refuse | Answer | None:
        try:
            await self._read(exchange)
        except BodyError as e:
            return Refuse({"parse": 400, "coding": 415, "body_cap": 413}[e.kind], e.kind, str(e))
        return await stages.request(exchange)

    async def _read(self, exchange: Exchange) -> None:
        """The body as slots. Raises BodyError: what cannot be read cannot be judged."""
        sent = exchange.sent
        raw = exchange.raw
        types = h.every(sent.headers, b"content-type")
        if len(types) > 1:
            raise BodyError("parse", "The request has more than one content-type header.")
        content_type = types[0].decode("latin-1") if types else ""
        coding = b",".join(h.every(sent.headers, b"content-encoding")).strip().lower() or b"identity"
        plain = raw
        if coding != b"identity" and raw:
            try:
                if len(raw) > OFF_LOOP // 8:
                    plain = await asyncio.to_thread(decode, coding.decode("latin-1"), raw, self._caps.request_body)
                else:
                    plain = decode(coding.decode("latin-1"), raw, self._caps.request_body)
            except CodingError as e:
                raise _coding_error(e) from e
        if len(plain) > OFF_LOOP:
            body = await asyncio.to_thread(read_body, plain, content_type, exchange.dialect, exchange.operation)
        else:
            body = read_body(plain, content_type, exchange.dialect, exchange.operation)
        exchange.body = body
        exchange.target = Target(sent.path, sent.query)
        if exchange.target.slots:
            exchange.body = Addressed(exchange.target, body)
        exchange.seal()
        exchange.model = exchange.dialect.model(exchange.operation, sent.path, body.value)
        exchange.plan = tuple(
            replace(candidate, model=candidate.model or exchange.model) for candidate in exchange.plan
        )
        exchange.stream = exchange.dialect.streams(exchange.operation, sent.path, body.value)

    def _request(self, exchange: Exchange, provider: Provider, target: str | None = None) -> Request:
        """The bytes of one attempt, made anew from the governed call each time."""
        sent = exchange.sent
        if exchange.body is None or not exchange.intact:
            raise StageFailed("a stage changed more of the request than its texts")
        dropped: set[bytes] = set()
        if exchange.body.changed:
            body = exchange.body.render()
            dropped.add(b"content-encoding")
            dropped.update((b"content-md5", b"digest", b"content-digest"))  # they speak of bytes that are no more
        else:
            body = exchange.raw
        headers = h.to_provider(sent.headers, sent.header(b"connection"), dropped)
        if provider.key is not None:
            headers = _with_key(headers, provider)
        if target is None:
            path, query = exchange.target.render() if exchange.target else (sent.path, sent.query)
            target = provider.target(path) + (f"?{query}" if query else "")
        headers = ((b"Host", provider.authority.encode()), *headers)
        return Request(
            sent.method.encode(), provider.scheme, provider.host, provider.port, target.encode("latin-1"), headers, body
        )

    # -- attempts --

    async def _attempt(self, exchange: Exchange, attempt: Attempt) -> Pieces:
        provider = self.providers.by_name[attempt.candidate.provider]
        try:
            request = self._request(exchange, provider)
        except BodyError as e:  # two keys of an object that masking would make one
            yield Refuse(400, "parse", str(e))
            return
        except StageFailed as e:
            log.error("%s; request %s", e, exchange.id)
            yield FAILED
            return
        started = again = False
        redirects = 0
        while True:
            try:
                async with self._upstream.call(request, provider.deadlines) as answer:
                    attempt.status = answer.status
                    location = answer.header(b"location")
                    if 300 <= answer.status < 400 and answer.status != 304 and location is not None:
                        if (
                            target := _inside(request, location.decode("latin-1"), answer.status)
                        ) and redirects < MAX_REDIRECTS:
                            redirects += 1
                            request = self._request(exchange, provider, target)
                            continue
                        yield Refuse(502, "upstream", "The provider answered with a redirect that leaves it.")
                        return
                    started = True
                    yield Head(answer.status, answer.headers)
                    async for chunk in answer:
                        yield chunk
                    if answer.trailers:
                        yield Trailers(answer.trailers)
                    return
            except UpstreamError as e:
                attempt.failure = Failure(e.kind, str(e), attempt.status)
                if started:
                    raise
                if e.reused and e.kind == "reset" and not again:
                    again = True  # says nothing of the provider: a kept connection went stale
                    continue
                log.warning("provider %s: %s; request %s", provider.name, e.kind, exchange.id)
                yield _upstream_refusal(e)
                return


class _Tries:
    """The attempts of one call: one, at the first candidate that no stage skips. The loop around it comes with resilience."""

    def __init__(
        self, make: Callable[[Exchange, Attempt], Pieces], exchange: Exchange, stages: Stages, clock: Clock
    ) -> None:
        self._make, self._exchange, self._stages, self._clock = make, exchange, stages, clock
        self._attempt: Attempt | None = None  # made, and not settled yet
        self._entered: list[Link] = []
        self._start = 0.0

    async def parts(self) -> Pieces:
        exchange = self._exchange
        for candidate in exchange.plan:
            attempt = self._attempt = Attempt(len(exchange.attempts) + 1, candidate)
            exchange.attempts.append(attempt)
            self._entered, self._start = [], self._clock.monotonic()
            match verdict := await self._stages.attempt(exchange, attempt, self._entered):
                case Skip():
                    await self.settle()
                    continue
                case Refuse():
                    yield verdict
                    return
                case None:
                    pass
            async with aclosing(self._make(exchange, attempt)) as parts:
                async for part in parts:
                    yield part
            return
        yield Refuse(503, "upstream", "No configured provider may serve this call.")

    async def settle(self) -> None:
        """Tells the stages how the attempt went, once."""
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return
        attempt.seconds = self._clock.monotonic() - self._start
        if self._exchange.reader is not None:
            attempt.usage = self._exchange.reader.usage
        await self._stages.attempt_done(self._exchange, attempt, self._entered)


async def _given(parts: Parts) -> Pieces:
    """An answer of a stage's own. Raises TypeError for a head that would be more than its headers."""
    async with aclosing(parts):
        async for part in parts:
            if isinstance(part, Head) and not all(
                h.is_name(name) and h.is_value(value) for name, value in part.headers
            ):
                raise TypeError("a header of the answer holds a character that no header may hold")
            yield part


class _Outward:
    """The way back of one answer: decoded where a stage must see it, event by event through the chain, framed anew."""

    def __init__(self, exchange: Exchange, stages: Stages, caps: Caps) -> None:
        self._exchange, self._stages, self._caps = exchange, stages, caps
        self._listeners: list[Link] = []

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
            yield FAILED
            return
        kind = (h.first(head.headers, b"content-type") or b"").lower()
        bodiless = exchange.sent.method == "HEAD" or head.status in (204, 304)
        if bodiless:
            declared = h.first(head.headers, b"content-length") or b""
            yield self._head(head, int(declared) if declared.isdigit() else None)
        elif kind.startswith(b"text/event-stream"):
            async for part in self._stream(head, source):
                yield part
        elif any(word in kind for word in TEXTUAL) or not kind:
            async for part in self._whole(head, source):
                yield part
        else:
            async for part in self._media(head, source):
                yield part

    def _head(self, head: Head, length: int | None, dropped: tuple[bytes, ...] = ()) -> Head:
        return Head(head.status, (*h.to_client(head.headers, length, dropped), *Conductor.marks(self._exchange)))

    # -- a whole body --

    async def _whole(self, head: Head, source: Pieces) -> Pieces:
        exchange, cap = self._exchange, self._caps.response_body
        raw, trailers = bytearray(), None
        declared = h.first(head.headers, b"content-length") or b""
        if cap and declared.isdigit() and int(declared) > cap:
            yield _OVER_CAP
            return
        try:
            async for part in source:
                if isinstance(part, bytes):
                    raw += part
                    if cap and len(raw) > cap:
                        yield _OVER_CAP
                        return
                elif isinstance(part, Trailers):
                    trailers = part
        except UpstreamError as e:  # nothing has gone out: the client gets an error it understands, not half a body
            yield _upstream_refusal(e)
            return
        data = bytes(raw)
        coding = (h.first(head.headers, b"content-encoding") or b"identity").strip().lower()
        try:
            plain = decode(coding.decode("latin-1"), data, cap) if coding != b"identity" and data else data
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
        exchange.said = plain
        event = Event(plain, "whole")
        try:
            exchange.reader.read(event)
            if self._listeners:
                events = self._stages.event(exchange, self._listeners, event)
                events += self._stages.event(exchange, self._listeners, Event(b"", "end"))
                out = b"".join(one.render() for one in events)
            else:
                out = plain
        except StageFailed:
            yield FAILED
            return
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

    # -- an event stream --

    async def _stream(self, head: Head, source: Pieces) -> Pieces:
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
        packed = decoder is not None and not changing  # it passes in its coding, and only a copy is read
        parser = SseParser()
        yield self._head(head, None, () if packed else (b"content-encoding",))
        broken: ErrorKind | None = None
        try:
            async for part in source:
                if isinstance(part, Trailers):
                    yield part
                    continue
                assert isinstance(part, bytes)
                plain = decoder.feed(part) if decoder else part
                # Whole events only: behind a half one no error event could be told from it.
                out = self._through(parser.feed(plain))
                if out or packed:
                    yield part if packed else out
            rest = parser.feed(decoder.finish()) if decoder else []
            rest += parser.finish()
            for event in rest:
                reader.note(event)
            if exchange.operation.generates and not reader.finished and not reader.failed:
                broken, rest = "upstream", []  # truncated
            out = self._through([*rest, Event(b"", "end")])
            if out and not packed:
                yield out
        except (UpstreamError, CodingError, SseError) as e:
            log.warning("stream broke off: %s; request %s", trace(e), exchange.id)
            broken = "timeout" if isinstance(e, UpstreamError) and e.kind == "timeout" else "upstream"
        except StageFailed:
            broken = "stage"
        if broken:
            exchange.outcome = "broken"
            if changing and broken != "stage" and (out := self._flushed()):
                yield out
            if packed:  # our event would not be in the coding that the client decodes: the cut must be seen as one
                raise UpstreamError("reset", "the stream broke off")
            yield exchange.dialect.error_event(broken, "The stream broke off before its end.", exchange.id)

    def _through(self, events: list[Event]) -> bytes:
        exchange, reader = self._exchange, self._exchange.reader
        assert reader
        if not self._listeners:
            for event in events:
                reader.note(event)
            return b"".join(event.raw for event in events)
        out: list[bytes] = []
        for event in events:
            if event.kind != "end":
                reader.read(event)
            out.extend(one.render() for one in self._stages.event(exchange, self._listeners, event))
        return b"".join(out)

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


_OVER_CAP = Refuse(502, "response_cap", "The provider's answer is larger than limits.response_body allows.")


def _coding_error(error: CodingError) -> BodyError:
    match error.kind:
        case "cap":
            return BodyError(
                "body_cap", "The request body is larger than limits.request_body allows once it is decoded."
            )
        case _:
            return BodyError(
                "coding", "The request body cannot be decoded: use one of gzip, deflate, br, zstd, and only once."
            )


def _upstream_refusal(error: UpstreamError) -> Refuse:
    if error.kind == "timeout":
        return Refuse(504, "timeout", "The provider did not answer in time.", retryable=True)
    if error.kind == "cap":
        return _OVER_CAP
    return Refuse(
        502, "upstream", "The provider could not be reached, or broke off before it answered.", retryable=True
    )


def _inside(request: Request, location: str, status: int) -> str | None:
    """The target of a redirect that stays with this provider and may be repeated as it is, else None."""
    base = f"{request.scheme}://{request.host}:{request.port}"
    there = urlsplit(urljoin(base + request.path.decode("latin-1"), location))
    port = there.port or {"http": 80, "https": 443}.get(there.scheme)
    if (there.scheme, there.hostname, port) != (request.scheme, request.host, request.port):
        return None
    if status not in (307, 308) and request.method not in (b"GET", b"HEAD"):
        return None
    return (there.path or "/") + (f"?{there.query}" if there.query else "")


KEY_HEADER = {"anthropic": b"x-api-key", "gemini": b"x-goog-api-key"}


def _with_key(headers: Headers, provider: Provider) -> Headers:
    """The provider's configured key in place of whatever the caller sent."""
    assert provider.key is not None
    gone = h.CREDENTIALS - {b"cookie"}
    kept = tuple((k, v) for k, v in headers if k.lower() not in gone)
    name = KEY_HEADER.get(provider.dialect.name)
    key = provider.key.encode()
    return (*kept, (name, key) if name else (b"authorization", b"Bearer " + key))
