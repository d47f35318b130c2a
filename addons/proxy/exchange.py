"""Recognises LLM calls among what the door lets in, and has each of them carried through the chain.

The last add-on of the master. Its `request` hook is the whole life of a governed call; what an abort has to undo is undone by
`finally` and `async with`.
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import Collection, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Protocol

from mitmproxy import ctx, http

from addons.proxy.admission import Admission
from addons.proxy.door import Refusal, RequestHead, Way
from addons.proxy.http1_answer import End, Piece
from addons.proxy.internals import HttpErrorHook, HttpResponseHook
from addons.proxy.layer import forget, hide_secrets, outlet_of
from addons.proxy.policies import Policies
from tokenman_core import headers as h
from tokenman_core.admin.runs import Runs
from tokenman_core.clients import Given, given
from tokenman_core.clock import Clock, request_id
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.errors import ErrorKind, trace
from tokenman_core.exchange import Caller, Exchange, Sent, Times
from tokenman_core.instance import Prover
from tokenman_core.net import UpstreamError
from tokenman_core.paths import trouble
from tokenman_core.providers import Provider, normal_host
from tokenman_core.recognition import Local, by_base_url, split, unmarked
from tokenman_core.record import Observer, record_of
from tokenman_core.stages import FAILED
from tokenman_core.telemetry import about
from tokenman_core.verdicts import Candidate, Head, Headers, Parts, Refuse
from tokenman_core.waiting import may_wait, patiently

log = logging.getLogger("tokenman.call")

WHOLE = 1 << 20  # an answer of known length up to this leaves in one piece
KEPT_FLOWS = 500  # of mitmweb and mitmproxy: their view keeps every flow for ever otherwise
_MODEL = re.compile(r"[\w.:/-]{1,80}")  # as models are named; anything else may be a value, or a second line of the log


class Call:
    """A governed call between its head and its end, under the policies that it began with."""

    def __init__(self, exchange: Exchange, provider: Provider, policies: Policies, extra: Headers = ()) -> None:
        self.exchange, self.policies, self.extra = exchange, policies, extra
        self.body: bytes | None = None
        self._provider = provider

    def record(self, request: http.Request) -> http.Request:
        """What other add-ons see: no credentials, and no body before it has been judged. Where nobody looks it costs nothing."""
        if not observed():
            return request
        record, provider = request.copy(), self._provider
        record.data.scheme, record.data.host, record.data.port = provider.scheme.encode(), provider.host, provider.port
        record.data.authority = b""
        hide_secrets(record)
        record.data.content = None
        return record


class Channel(Protocol):
    """The client's side of one call: where its answer goes."""

    def begin(self) -> None:
        """From here on, a client that leaves cancels the calling task. Raises CancelledError if it left already."""

    async def send(self, *pieces: Piece) -> None:
        """Returns when the client has taken enough for more to be worth making."""


class Exchanges(Admission):
    """Must stay the last add-on. Also what the door asks (`addons.proxy.layer.Door`)."""

    name = "exchange"
    sealed = True

    def __init__(
        self,
        policies: Policies,
        clock: Clock,
        identity: bytes,
        observers: Sequence[Observer] = (),
        runs: Runs | None = None,
        prover: Prover | None = None,
    ) -> None:
        """`identity` is the key under which callers are told apart without their credentials being kept."""
        self._runs = runs or Runs()
        super().__init__(policies.front, policies.limits, (*observers, self._runs), prover)
        self._policies, self._clock, self._identity = policies, clock, identity
        self.active: dict[Exchange, Policies] = {}
        self._answering: dict[Exchange, asyncio.Task[object]] = {}  # those whose answers are on their way
        self._idle: asyncio.Event | None = None  # set when the last call ends, once somebody waits for that
        self.closing = False

    @property
    def policies(self) -> Policies:
        """Those that calls begin with now."""
        return self._policies

    def use(self, policies: Policies) -> None:
        """Calls that run go on under those that they began with."""
        self._policies = policies
        self.admit_by(policies.front, policies.limits)

    # -- the door asks --

    def governs(self, host: str | None, port: int | None) -> bool:
        return self._policies.providers.governs(host, port)

    def names_at(self, port: int) -> Collection[str]:
        return self._policies.providers.names_at(port)

    def body_cap(self, call: Call) -> int:
        return call.policies.limits.request_body

    def too_large(self, call: Call) -> Refusal:
        most = call.policies.limits.request_body
        message = f"The request body is larger than limits.request_body ({most} bytes) allows."
        return self._refused(call.exchange, Refuse(413, "body_cap", message))

    def too_slow(self, call: Call) -> Refusal:
        message = "The request's body did not come within limits.client_body_timeout."
        return self._refused(call.exchange, Refuse(408, "timeout", message, retryable=True))

    def garbled(self, call: Call) -> Refusal:
        message = "The request's body is not framed as its headers say."
        return self._refused(call.exchange, Refuse(400, "parse", message)).last

    def bypassed(self, host: str, mark: str) -> Refusal | None:
        name = normal_host(host)
        if not self._runs.bypassed(mark, name):
            return None
        message = f"{name} belongs to an LLM, and no provider governs it: add it under `providers:`, or run the program alone."
        return self._turn_away(403, "forbidden", message)

    def inner(self, host: str, mark: str) -> None:
        self._runs.inner(mark, normal_host(host))

    def broken(self, call: Call) -> Refusal:
        return self._refused(call.exchange, FAILED)

    def over(self, call: Call) -> None:
        call.exchange.outcome = "aborted"
        with about.call(call.exchange.id):
            self._end(call.exchange)

    def open(self, request: RequestHead, place: tuple[str, int] | None, way: Way) -> Call:
        fields, target = request.fields, request.target
        extra: Headers = ()
        mark, key, policies = way.mark, way.key, self._policies
        self.one_host(fields, needed=place is None)
        if place is None:
            self._prove(request, target, way)
            in_path, key_in_path, target = unmarked(target)
            mark, key = in_path or mark, key_in_path or key
            found = by_base_url(policies.providers, request.method, target, [k.lower() for k, _ in fields])
            speaks = DIALECTS["openai"] if isinstance(found, Local) else found.provider.dialect
            extra = self._admit(request, speaks)
            if isinstance(found, Local):
                if wrong := trouble(request.method, split(target)[0]):
                    raise self._turn_away(400, "parse", wrong)
                raise self._plain_text(found)
            provider, path, query = found.provider, found.path, found.query
        else:
            provider = policies.providers.of_host(*place) or _unconfigured(*place)
            path, query = split(target)
        came = given(fields, query)
        caller = self._called_by(came, mark, key, way.peer)
        fields, query = came.without_own if caller.key else (came.headers, came.query)
        sent = Sent(request.method, path, query, fields, place[0] if place else "")
        exchange = Exchange(
            request_id(), sent, provider.dialect, provider.dialect.operation(request.method, sent.plain),
            (Candidate(provider.name, ""),), Times(self._clock.now(), self._clock.monotonic()), provider.name,
            caller,
            project=_text(fields, b"x-tokenman-project"), session=_text(fields, b"x-tokenman-session"),
        )  # fmt: skip
        call = Call(exchange, provider, policies, extra)
        with about.call(exchange.id):
            refuse = self._at_head(exchange, provider, policies)
        if refuse:
            raise self._refused(exchange, refuse)
        self.active[exchange] = policies
        return call

    def _called_by(self, came: Given, mark: str, key: str, address: str) -> Caller:
        """`key`: of the way here. One in the request itself is meant for this call, and wins."""
        key = came.key or key
        of_run = self._runs.keyed(key) if key else None
        if key and of_run is None:
            digest = self._policies.clients.digest(key)
            caller = Caller(_keyed(digest.encode(), self._identity), login="key", key=digest, address=address)
        else:
            caller = replace(_caller(came.headers, self._identity), admitted=of_run is not None, address=address)
        run = self._runs.enter(of_run.mark if of_run else mark)
        return caller if run is None else replace(caller, run=run.mark, client=caller.client or run.program)

    def _at_head(self, exchange: Exchange, provider: Provider, policies: Policies) -> Refuse | None:
        headers = exchange.sent.headers
        if self.closing:
            return Refuse(503, "shutdown", "TokenMan is shutting down.", retry_after=1)
        upgrade = h.first(headers, b"upgrade")
        if upgrade is not None and b"websocket" in upgrade.lower():
            message = "WebSocket connections are not governed in this version: use HTTP."
            return Refuse(426, "websocket", message, headers=((b"connection", b"close"),))
        sent = exchange.sent
        if not sent.usual and (wrong := trouble(sent.method, sent.path)):
            return Refuse(400, "parse", wrong)
        if provider.name not in policies.providers.by_name:
            return Refuse(400, "forbidden", f"{provider.host} is listed in intercept.hosts, but no provider serves it.")
        stages = policies.stages()
        if stages is None:
            return Refuse(500, "stage", "A script could not be loaded, so nothing is sent. The log says which.")
        return stages.head(exchange)

    def _refused(self, exchange: Exchange, refuse: Refuse) -> Refusal:
        with about.call(exchange.id):
            head, body = self._policies.conductor.refusal(exchange, refuse)
            exchange.status = head.status
            log.info("refused %d %s", refuse.status, refuse.kind)
            self._end(exchange)
        return Refusal(head, body)

    def _end(self, exchange: Exchange) -> None:
        """The end of a call that never came to its hook: stages that saw its head are told."""
        self._leave(exchange)
        stages = self._policies.stages()  # whose stages are told is noted in the exchange
        if stages and exchange.entered:
            task = asyncio.create_task(stages.done(exchange))
            _running.add(task)
            task.add_done_callback(_running.discard)
        self._observe(exchange, self._clock.monotonic())

    def _observe(self, exchange: Exchange, ended: float) -> None:
        if exchange.recorded:
            return  # its hook failed, and now the door refuses it
        exchange.recorded = True
        record = record_of(exchange, ended)
        for observer in self._observers:
            try:
                observer.ended(record)
            except Exception as e:  # the record is not the call: whatever becomes of the one, the other was answered
                log.error("a call was not recorded: %s", trace(e))

    # -- the call --

    async def request(self, flow: http.HTTPFlow) -> None:
        """mitmproxy's hook. A flow that has no outlet came past our layer: a replay, or a script that turned a call towards a
        provider."""
        outlet = outlet_of(flow)
        if outlet is None:
            if self.governs(flow.request.host, flow.request.port):
                refusal = self.blocked("a call to a provider goes through the exchange")
                flow.response = http.Response.make(refusal.head.status, refusal.body, refusal.head.headers)
            return
        await self.carry(outlet.call, outlet, flow)
        _forget_old_flows()

    async def carry(self, call: Call, channel: Channel, flow: http.HTTPFlow | None = None) -> None:
        """A call whose request is whole, to its end. Without an answer when this returns, it is refused by whoever calls.

        `flow`: its record for other add-ons, None where there are none.
        """
        exchange, policies = call.exchange, call.policies
        about.begin(exchange.id)  # the task is the call's own
        stages, start = policies.stages(), self._clock.monotonic()
        exchange.times.complete = start
        try:
            if (task := asyncio.current_task()) is not None:
                self._answering[exchange] = task
            channel.begin()
            if flow is not None:
                _show(flow)
                await flow.wait_for_resume()  # intercepted in mitmweb; the layer itself would wait only after this hook
                if flow.error is not None:
                    return  # killed there, or by a script: no answer is a refusal
            exchange.raw, call.body = call.body or b"", None
            async with (
                aclosing(policies.conductor.answer(exchange)) as answer,
                aclosing(patiently(answer, exchange) if may_wait(exchange) else answer) as parts,
            ):
                await self._deliver(channel, call, parts, flow)
        except asyncio.CancelledError:
            # Swallowed: this is the end of the task anyway, and mitmproxy's bookkeeping of the hook must go on.
            exchange.outcome = "aborted"
            if flow is not None:
                await ctx.master.addons.handle_lifecycle(HttpErrorHook(flow))
        except Exception as e:  # a call that ends without an answer is refused by whoever carries it
            exchange.outcome, exchange.status = "crashed", exchange.status or 500
            log.error("a call failed: %s", trace(e))
        finally:
            self._answering.pop(exchange, None)
            if flow is not None:
                forget(flow)  # first: nothing that fails below may keep the call
            ended = self._clock.monotonic()
            try:
                await policies.conductor.settle(exchange)
                if stages is not None:
                    await stages.done(exchange)
                self._tell(exchange, ended - start)
                self._observe(exchange, ended)
            finally:
                self._leave(exchange)  # last: whoever waits for calls to end closes what they are booked in

    @staticmethod
    def _tell(exchange: Exchange, seconds: float) -> None:
        """One line a call: what became of it, what was masked, and how long each stage took."""
        if not log.isEnabledFor(logging.INFO):
            return
        made = exchange.tried
        attempt = made[-1] if made else None
        refused = f" {exchange.refusal.status} {exchange.refusal.kind}" if exchange.refusal else ""
        masked = ", ".join(f"{count} {entity}" for entity, count in sorted(exchange.masked.items())) or "nothing"
        stages = ", ".join(
            f"{name} {phase} {took * 1000:.1f}" for (name, phase), took in exchange.stage_seconds.items()
        )
        model = exchange.labels.get("model", "")  # as it was judged: what a program names may hold anything
        stayed = f", {exchange.unrestored} not put back" if exchange.unrestored else ""
        log.info(
            "%s%s %s %s to %s: status %s, %d attempt%s, masked %s%s, %.0f ms (%s)",
            exchange.outcome, refused, exchange.operation.name, model if _MODEL.fullmatch(model) else "-",
            attempt.candidate.provider if attempt else "nobody", exchange.status or "none",
            len(made), "" if len(made) == 1 else "s", masked, stayed, seconds * 1000, stages,
        )  # fmt: skip

    def _leave(self, exchange: Exchange) -> None:
        self.active.pop(exchange, None)
        if self._idle is not None and not self.active:
            self._idle.set()

    async def drained(self, seconds: float) -> None:
        """Returns when no call runs any more, or after that many seconds."""
        self._idle = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if self.active:
                    await self._idle.wait()

    def abandon(self) -> None:
        """Ends the calls that still answer, as if their clients had left: they are booked for what came."""
        for task in self._answering.values():
            task.cancel()

    async def _deliver(self, channel: Channel, call: Call, parts: Parts, flow: http.HTTPFlow | None) -> None:
        exchange = call.exchange
        head = await anext(parts)
        assert isinstance(head, Head)
        exchange.status = head.status
        if call.extra:
            head = Head(head.status, (*head.headers, *call.extra))
        length = h.first(head.headers, b"content-length")
        if length is not None and length.isdigit() and int(length) <= WHOLE:
            pieces: list[bytes] = []
            behind: list[Piece] = []
            end = End()
            try:
                async for part in parts:
                    if isinstance(part, bytes):
                        pieces.append(part)
                    else:
                        behind.append(part)
            except UpstreamError as e:
                self._cut(exchange, e)
                end = End(broken=True)
            await _record(flow, exchange, head)
            await channel.send(head, b"".join(pieces), *behind, end)
            return
        await channel.send(head)
        broken = False
        try:
            async for part in parts:
                if not isinstance(part, Head):
                    await channel.send(part)
        except UpstreamError as e:  # no event stream, so no event can tell
            self._cut(exchange, e)
            broken = True
        await _record(flow, exchange, head)
        # A stream that broke off has told so by its last event; a program that overlooks that sees the connection end.
        await channel.send(End(broken=broken, last=exchange.outcome == "broken"))

    @staticmethod
    def _cut(exchange: Exchange, error: UpstreamError) -> None:
        exchange.outcome, exchange.broken = "broken", CUTS.get(error.kind, "upstream")
        log.warning("an answer broke off (%s)", error.kind)


CUTS: dict[str, ErrorKind] = {"timeout": "timeout", "cap": "response_cap"}
"""What an upstream's failure is called where it is counted; everything else is `upstream`."""

_running: set[asyncio.Task[None]] = set()  # a task that nobody holds may be collected before it ends


def observed() -> bool:
    """Whether any add-on besides ours may look at flows: under mitmproxy's own tools; `tokenman up` has none."""
    return ctx.master.addons.get("scriptloader") is not None


async def _record(flow: http.HTTPFlow | None, exchange: Exchange, head: Head) -> None:
    """For savers and mitmweb: the governed request and what the provider said, both masked."""
    if flow is None or not observed():
        return
    if exchange.attempts and exchange.body is not None:
        flow.request.raw_content = exchange.body.render()
    flow.response = http.Response(
        b"HTTP/1.1", head.status, b"", http.Headers(h.without_secrets(head.headers)), exchange.said, None, 0.0, 0.0
    )
    await ctx.master.addons.handle_lifecycle(HttpResponseHook(flow))


def _show(flow: http.HTTPFlow) -> None:
    """mitmweb and mitmproxy list a flow from its `requestheaders` on, a hook that governed calls do not have."""
    view = ctx.master.addons.get("view")
    if view is not None:
        view.add([flow])


def _forget_old_flows() -> None:
    view = ctx.master.addons.get("view")
    if view is not None and len(view) > KEPT_FLOWS:
        view.remove([flow for flow in list(view)[: len(view) - KEPT_FLOWS] if not flow.live])


def _text(headers: Headers, name: bytes) -> str:
    return (h.first(headers, name) or b"").decode("utf-8", "replace")[:200]


_LOGINS = (b"sk-ant-oat", b"ya29.")  # how the tokens of Claude's logins and of Google's begin


_KEYS = (b"x-api-key", b"x-goog-api-key", b"api-key")


def _caller(headers: Headers, key: bytes) -> Caller:
    """A login is one only where no key stands beside it: nobody knows which of them its provider bills."""
    for name in (b"authorization", *_KEYS):
        if value := h.first(headers, name):
            bearer = value.partition(b" ")[2].strip() if name == b"authorization" else b""
            account = h.first(headers, b"chatgpt-account-id") is not None and not bearer.startswith(b"sk-")
            oauth = bool(bearer) and (bearer.startswith(_LOGINS) or account)
            alone = not any(h.first(headers, other) for other in _KEYS)
            return Caller(_keyed(value, key), login="oauth" if oauth and alone else "key")
    return Caller()


def _keyed(value: bytes, key: bytes) -> str:
    return hashlib.blake2b(value, digest_size=16, key=key).hexdigest()


def _unconfigured(host: str, port: int) -> Provider:
    return Provider("", DIALECTS["openai"], "https", host, port)
