"""Carries one governed call from its complete request to its end: chain, attempt, answer back through the chain.

Knows neither mitmproxy nor sockets: a request comes in as an `Exchange`, the answer goes out as parts (a head, pieces of the
body, perhaps trailers). Whoever iterates over them decides the pace; leaving early drops the call.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from functools import partial
from math import ceil

from tokenman_core import headers as h
from tokenman_core import limit_headers
from tokenman_core.body.read import read_body
from tokenman_core.clock import Clock
from tokenman_core.errors import BodyError
from tokenman_core.exchange import Exchange
from tokenman_core.model_names import disagreement
from tokenman_core.net.coding import CodingError, unpack
from tokenman_core.outbound import OFF_LOOP, PACKED_OFF_LOOP
from tokenman_core.outward import Caps, Outward, Pieces, marks
from tokenman_core.providers import Providers
from tokenman_core.routes import Routes
from tokenman_core.session import Sessions
from tokenman_core.stages import FAILED, Stages
from tokenman_core.target import Addressed, Target
from tokenman_core.tries import Means, Tries
from tokenman_core.verdicts import Answer, Candidate, Head, Parts, Refuse

log = logging.getLogger("tokenman.call")


class Conductor:
    def __init__(
        self,
        stages: Callable[[], Stages | None],
        providers: Providers,
        means: Means,
        caps: Caps,
        clock: Clock,
        sessions: Sessions,
        routes: Routes,
    ) -> None:
        """`stages` gives the chain as it is now, or None when one of its parts could not be loaded: then all is refused."""
        self._stages, self.providers, self._means, self._caps, self._clock = stages, providers, means, caps, clock
        self._sessions, self._routes = sessions, routes

    async def answer(self, exchange: Exchange) -> Parts:
        """The parts of the answer. Whoever has passed on the last of them calls `settle`."""
        stages = self._stages()
        if stages is None:
            for part in self.refusal(exchange, FAILED):
                yield part
            return
        tries: Tries | None = None
        match verdict := await self._judge(exchange, stages):
            case Refuse():
                for part in self.refusal(exchange, verdict):
                    yield part
                return
            case Answer():
                source: Pieces = _given(verdict.parts)
            case None:
                tries = Tries(self._means, exchange, stages)
                source = exchange.shared.parts(tries.parts) if exchange.shared else tries.parts()
        exchange.outcome = "answered"
        outward = Outward(exchange, stages, self._caps, self._clock, self._means.meter)
        refused = False
        try:
            async with aclosing(source), aclosing(outward.parts(source)) as parts:
                async for piece in parts:
                    if isinstance(piece, Refuse):
                        for part in self.refusal(exchange, piece):
                            yield part
                        refused = True
                        break
                    yield piece
        except BaseException:  # the client left, or nothing more can come: nobody waits for what is booked
            if tries is not None:
                await self._left(exchange, tries)
            raise
        if tries is not None and exchange.shared is not None and exchange.shared.unheard:
            exchange.owed = partial(self._outlived, exchange, tries)
        elif tries is not None:  # only now all of the answer has been read, so its usage is known
            self._routes.answered(exchange)
            if tries.ready:
                await tries.settle()
            else:
                exchange.owed = tries.settle
        if not refused:
            await stages.response(exchange)

    async def _left(self, exchange: Exchange, tries: Tries) -> None:
        if exchange.shared is not None and exchange.shared.unheard:
            exchange.owed = partial(self._outlived, exchange, tries)
            return
        self._routes.answered(exchange)
        await tries.settle()

    async def _outlived(self, exchange: Exchange, tries: Tries) -> None:
        """Books a call that may go on, for others, when its asker has left."""
        assert exchange.shared is not None
        try:
            await exchange.shared.heard()
        finally:
            self._routes.answered(exchange)
            await tries.settle()

    async def settle(self, exchange: Exchange) -> None:
        """Books what takes longer to tell than a client should wait for the end of its answer. Before the stages' `llm_done`."""
        owed, exchange.owed = exchange.owed, None
        if owed is not None:
            with suppress(asyncio.CancelledError):  # what can be booked has been, and the call is at its end anyway
                await owed()

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
            headers.append((b"retry-after", b"%d" % max(1, ceil(refuse.retry_after))))
        elif not refuse.retryable:
            headers.append((b"x-should-retry", b"false"))
        limits = (
            limit_headers.headers(exchange.dialect.name, exchange.rooms, self._clock.now()) if exchange.rooms else ()
        )
        return Head(refuse.status, (*headers, *refuse.headers, *limits, *marks(exchange))), body

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
                if len(raw) > PACKED_OFF_LOOP:
                    plain, exchange.aside = await asyncio.to_thread(
                        unpack, coding.decode("latin-1"), raw, self._caps.request_body
                    )
                else:
                    plain, exchange.aside = unpack(coding.decode("latin-1"), raw, self._caps.request_body)
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
        exchange.model = exchange.dialect.model(exchange.operation, sent.plain, body.value)
        exchange.stream = exchange.dialect.streams(exchange.operation, sent.plain, body.value)
        exchange.session = self._sessions.of(exchange)
        large = len(plain) > OFF_LOOP  # and all of it is looked through
        exchange.plan = await asyncio.to_thread(self._plan, exchange) if large else self._plan(exchange)

    def _plan(self, exchange: Exchange) -> tuple[Candidate, ...]:
        """Raises BodyError where it cannot be told which model is asked for."""
        if wrong := disagreement(exchange):
            raise BodyError("parse", wrong)
        return self._routes.plan(exchange)


async def _given(parts: Parts) -> Pieces:
    """An answer of a stage's own. Raises TypeError for a head that would be more than its headers."""
    async with aclosing(parts):
        async for part in parts:
            if isinstance(part, Head) and not all(
                h.is_name(name) and h.is_value(value) for name, value in part.headers
            ):
                raise TypeError("a header of the answer holds a character that no header may hold")
            yield part


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
