"""Calls over scripted providers, by host: what was sent, how long was waited, what the stages were told, what came out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenman_core.clock import ManualClock
from tokenman_core.conductor import Conductor
from tokenman_core.config.models import Pricing
from tokenman_core.config.routing import Route
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Attempt, Caller, Exchange, Sent, Times
from tokenman_core.failover.policy import Policy, Rules
from tokenman_core.metering import Meter
from tokenman_core.net import Deadlines, Request, UpstreamError
from tokenman_core.outward import Caps
from tokenman_core.pricing import Prices
from tokenman_core.providers import Provider, Providers
from tokenman_core.routes import Routes
from tokenman_core.sending import Sender
from tokenman_core.session import Sessions
from tokenman_core.stages import Link, Stages
from tokenman_core.tries import Means
from tokenman_core.verdicts import Candidate, Head, Headers

JSON: Headers = ((b"content-type", b"application/json"),)
SSE: Headers = ((b"content-type", b"text/event-stream"),)
GZIP: Headers = (*SSE, (b"content-encoding", b"gzip"))
BODY = b'{ "model":"m", "messages":[{"role":"user","content":"hello"}] }'
STREAMED = b'{ "model":"m", "stream":true, "messages":[{"role":"user","content":"hello"}] }'
SAID = b'{"type":"message","content":[{"type":"text","text":"Hi"}],"usage":{"input_tokens":3,"output_tokens":5}}'
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":3,"output_tokens":1}}}\n\n'
)
WORD = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}\n\n'
)
END = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{},"usage":{"output_tokens":5}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
STREAM = START + END
GOOD = (200, JSON, [SAID])
GOOD_STREAM = (200, SSE, [STREAM])
STALL = object()
"""A piece that never comes."""


def error_event(kind: str) -> bytes:
    return b'event: error\ndata: {"type":"error","error":{"type":"%s","message":"no"}}\n\n' % kind.encode()


class Upstream:
    """Answers with what each host was given, one after the other, its last one for ever. One call is open at a time."""

    def __init__(self, answers: Mapping[str, Sequence[Any]]) -> None:
        self._answers = {host: list(each) for host, each in answers.items()}
        self.requests: list[Request] = []
        self.open = 0
        self.asked = asyncio.Event()

    def call(self, request: Request, deadlines: Deadlines, **more: Any) -> "Call":
        self.requests.append(request)
        self.asked.set()
        left = self._answers[request.host]
        return Call(self, left.pop(0) if len(left) > 1 else left[0])

    @property
    def hosts(self) -> list[str]:
        return [request.host for request in self.requests]


class Call:
    def __init__(self, upstream: Upstream, answer: Any) -> None:
        self._upstream, self._answer = upstream, answer

    async def __aenter__(self) -> "Answering":
        assert not self._upstream.open, "the call before it was not closed"
        if isinstance(self._answer, UpstreamError):
            raise self._answer
        if self._answer is STALL:
            await asyncio.Event().wait()
        self._upstream.open += 1
        return Answering(*self._answer)

    async def __aexit__(self, *_: object) -> None:
        self._upstream.open -= 1


@dataclass
class Answering:
    status: int
    headers: Headers
    pieces: Sequence[Any]
    trailers: Headers = ()

    def header(self, name: bytes) -> bytes | None:
        return next((v for k, v in self.headers if k.lower() == name), None)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            if piece is STALL:
                await asyncio.Event().wait()
            yield piece


@dataclass
class Notes:
    """A stage that notes what it is told, and decides as it was told."""

    decides: Mapping[int, Any] = field(default_factory=dict)  # number of the attempt -> verdict
    told: list[Any] = field(default_factory=list)
    fails = "closed"

    async def llm_attempt(self, exchange: Exchange, attempt: Attempt) -> Any:
        self.told.append(("attempt", attempt.number))
        return self.decides.get(attempt.number)

    async def llm_attempt_done(self, exchange: Exchange, attempt: Attempt) -> None:
        self.told.append(("done", attempt.number))

    async def llm_done(self, exchange: Exchange) -> None:
        self.told.append("call done")


def provider(name: str, dialect: str = "anthropic", key: str | None = None, **more: Any) -> Provider:
    more.setdefault("deadlines", Deadlines(first_token=0.02))
    return Provider(name, DIALECTS[dialect], "https", more.pop("host", f"{name}.example"), 443, key=key, **more)


class World:
    """`a` and `b` are providers of one dialect; a call names `a`, and may go on to `b`."""

    def __init__(
        self,
        answers: Mapping[str, Sequence[Any]],
        *stages: object,
        rules: Rules | None = None,
        routes: Sequence[Any] = ({"try": ["a", "b"]},),
        providers: Sequence[Provider] = (provider("a"), provider("b", key="sk-b")),
        cap: int = 0,
        clock: ManualClock | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        may: Callable[[Candidate, Exchange], bool] = lambda candidate, exchange: True,
        note: Callable[[Exchange, Attempt | None], None] = lambda exchange, attempt: None,
    ) -> None:
        self.clock, self.waits = clock or ManualClock(), list[float]()
        self.notes = Notes()
        self.stages = Stages([Link.of(stage, type(stage).__name__) for stage in (self.notes, *stages)], self.clock)
        self.providers = Providers(providers)
        self.upstream = Upstream({self.providers.by_name[name].host: each for name, each in answers.items()})
        self.meter = Meter(Prices(Pricing()), self.providers)
        sender = Sender(self.providers, self.upstream, self.clock)  # type: ignore[arg-type]
        self.policy = Policy(rules or Rules(), self.clock, lambda: 0.5)
        means = Means(sender, self.policy, self.meter, self.clock, cap, sleep=sleep or self.sleep, may=may, note=note)
        self.routes = Routes([Route.model_validate(one) for one in routes], self.providers)
        self.conductor = Conductor(
            lambda: self.stages, self.providers, means, Caps(0, cap, 1 << 20), self.clock, Sessions(b"k"), self.routes
        )

    async def sleep(self, seconds: float) -> None:
        assert not self.upstream.open
        self.waits.append(seconds)
        self.clock.advance(seconds)

    async def carry(self, call: Exchange) -> tuple[Head, bytes]:
        parts: list[Any] = [part async for part in self.conductor.answer(call)]
        await self.finish(call)
        return parts[0], b"".join(part for part in parts if isinstance(part, bytes))

    async def finish(self, call: Exchange) -> None:
        await self.conductor.settle(call)
        await self.stages.done(call)
        await self.stages.done(call)
        self.meter.close()
        assert not self.upstream.open


def call(
    body: bytes = BODY, *headers: tuple[bytes, bytes], method: str = "POST", path: str = "/v1/messages", query: str = "",
    named: str = "a", dialect: str = "anthropic", **more: Any,
) -> Exchange:  # fmt: skip
    speaks = DIALECTS[dialect]
    sent = Sent(method, path, query, ((b"content-type", b"application/json"), *headers), "")
    made = Exchange(
        "req_1", sent, speaks, speaks.operation(method, path), (Candidate(named, ""),), Times(0.0, 0.0), named,
        more.pop("caller", Caller("who")), **more,
    )  # fmt: skip
    made.raw = body
    return made


async def pieces(*parts: Any) -> AsyncGenerator[Any]:
    for part in parts:
        if isinstance(part, Exception):
            raise part
        if part is STALL:
            await asyncio.Event().wait()
        yield part
