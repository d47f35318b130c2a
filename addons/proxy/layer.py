"""The one door: a governed call is answered by the exchange, and no other way to an upstream is left open to it.

`GovernedStream` decides at the head of a request, before the first hook runs, what it is: a tunnel, a governed call or a
plain proxied request. A governed call never gets an upstream connection of mitmproxy's: its request goes to the `request`
hook, whose last add-on is the exchange, and the answer comes back in pieces. A hook that ends without an answer (it raised,
no exchange is loaded, a script's reload failed) *is* the refusal: there is no stock path to fall back on.
"""

import asyncio
import logging
import re
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, assert_never
from weakref import WeakKeyDictionary

from mitmproxy import flow as mflow
from mitmproxy import http
from mitmproxy.connection import Connection

from addons.proxy import deadlines, marks
from addons.proxy.door import Call, Destination, Door, Refusal, RequestHead, Way
from addons.proxy.http1_answer import AnswerWriter, End, Piece
from addons.proxy.internals import (
    ConnectionHandler,
    Context,
    DropStream,
    ErrorCode,
    Http2Server,
    HttpLayer,
    HTTPMode,
    HttpStream,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
    SendHttp,
    commands,
    events,
    layer,
)
from addons.proxy.outlet import Outlet, Pieces
from addons.proxy.plain_host import host_of
from addons.proxy.servers import Http1Front, Http2Front, RawAnswer
from tokenman_core.clients.keys import PATTERN, PREFIX
from tokenman_core.errors import trace
from tokenman_core.headers import (
    every,
    proxy_login,
    query_without_secrets,
    ungoverned,
    without_secrets,
    without_virtual_keys,
)
from tokenman_core.verdicts import Head, Headers, Trailers

log = logging.getLogger("tokenman.door")

Commands = Generator[commands.Command, Any]

DRAIN_S = (
    5.0  # how long the rest of a request that was refused early is read and thrown away, so that the answer arrives
)


_outlets: WeakKeyDictionary[http.HTTPFlow, Outlet] = WeakKeyDictionary()


_KEY_IN_PATH = re.compile(PATTERN)  # of a run's base URL


@dataclass
class TokenmanDestinationHook(commands.StartHook):
    """Asks whether a name leads to a provider all the same: its addresses are looked up (`addons.proxy.gate`)."""

    data: Destination


@dataclass
class Late(events.Event):
    """The body of a request did not come in time."""

    stream: "GovernedStream"


_telling: set[asyncio.Task[None]] = set()  # a task that nobody holds may be collected before it ends


def outlet_of(flow: http.HTTPFlow) -> Outlet | None:
    """None: not a governed call, or one that came past our layer (a replay)."""
    return _outlets.get(flow)


def forget(flow: http.HTTPFlow) -> None:
    """The call is over. The outlet holds its flow, so that it would keep itself alive in here for ever."""
    _outlets.pop(flow, None)


def hide_secrets(request: http.Request) -> None:
    """Takes the credentials out of a request that is only looked at from here on."""
    request.headers.fields = without_secrets(request.headers.fields)
    path, mark, query = request.path.partition("?")
    request.path = _KEY_IN_PATH.sub("[hidden]", path) + mark + query_without_secrets(query)


def frame(request: http.Request, upstream: Connection) -> None:
    """An HTTP/2 request needs no content-length. Stock mitmproxy passes such a request to an HTTP/1 upstream without any
    framing: the upstream takes the body for the next request, past every policy."""
    if "transfer-encoding" in request.headers:
        request.headers.pop("content-length", None)  # RFC 9112 §6.3: together they are an attempt to smuggle
        return
    if "content-length" in request.headers:
        return
    if request.raw_content:
        request.headers["content-length"] = str(len(request.raw_content))
    elif request.raw_content is None and request.stream and upstream.alpn != b"h2":
        request.headers["transfer-encoding"] = "chunked"


class GovernedStream(HttpStream):
    """One request and its answer."""

    def __init__(self, context: Context, stream_id: int, door: Door[Any]) -> None:
        super().__init__(context, stream_id)
        self._door = door
        self._call: Call | None = None
        self._whole = False  # nothing of the request is still to come
        self._started = self._finished = False
        self._writer: AnswerWriter | None = None  # of an HTTP/1 answer
        self._timer: asyncio.TimerHandle | None = None
        self.outlet: Outlet | None = None

    @property
    def client(self) -> Any:
        return self.context.client

    @property
    def handler(self) -> ConnectionHandler | None:
        return deadlines.handler_of(self.context.client)

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, Pieces):
            yield from self._send(*event.reply)
        elif isinstance(event, Late):
            if self._call and not (self._whole or self._finished):
                yield from self._refuse(self._door.too_slow(self._call))
        elif isinstance(event, events.HookCompleted) and self.outlet and event.command is self.outlet.hook:
            assert self._call
            if not self._started:
                yield from self._refuse(self._door.broken(self._call))
            elif not self._finished:
                yield from self._send(End(broken=True))
        else:
            yield from super()._handle_event(event)

    # -- the head of the request --

    def state_wait_for_request_headers(self, event: RequestHeaders) -> Commands:
        request = event.request
        self._whole = event.end_stream
        deadlines.disarm(self.context.client)
        if event.replay_flow:
            self.flow = event.replay_flow
            yield from self._refuse(self._door.blocked("replays are not carried out"))
            return
        try:
            self._door.examine(request)
            place = self._place(request)
            if place is not None and not self._is_governed(place):
                place = yield from self._behind(place)
            if request.method == "CONNECT":
                yield from self._tunnel(event, place)
                return
            if place is not None and not self._is_governed(place):
                yield from super().state_wait_for_request_headers(self._plain(event, place))
                return
            self._call = self._door.open(RequestHead.of(request), place, self._way(request))
        except Refusal as refusal:
            self._new_flow(request)
            yield from self._refuse(refusal)
            return
        # Other add-ons see a record: they can neither read a credential in it nor change the call.
        self._new_flow(self._call.record(request))
        self.server_state = self.state_done
        self.client_state = self.state_consume_request_body
        if event.end_stream:
            return
        declared = request.headers.get("content-length", "")
        cap = self._door.body_cap(self._call)
        if cap and declared.isdigit() and int(declared) > cap:
            yield from self._refuse(self._door.too_large(self._call))
            return
        self._ring(self._door.body_timeout, self._too_slow)
        if request.headers.get("expect", "").lower() == "100-continue":
            proceed = http.Response.make(100)
            proceed.headers.clear()
            yield SendHttp(ResponseHeaders(self.stream_id, proceed), self.context.client)

    def _new_flow(self, request: http.Request) -> None:
        self.flow = http.HTTPFlow(self.context.client, self.context.server)
        self.flow.request = request
        self.flow.live = True

    def _place(self, request: http.Request) -> tuple[str, int] | None:
        """Where the request goes by what cannot be chosen freely; None: to this listener, as to a base URL.

        Never by the `Host` header. Inside a tunnel the CONNECT address counts, or the SNI where the address is none of a provider.
        """
        if self.mode is HTTPMode.transparent:
            address = self.context.server.address
            names = [address[0] if address else None, self.context.client.sni]
            port = address[1] if address else 443
            for name in names:
                if name and self._door.governs(name, port):
                    return name, port
            if address is None:
                raise self._door.blocked("the destination is unknown")
            return address[0], port
        if request.method != "CONNECT" and not request.data.host:
            return None
        host, port = request.data.host, request.data.port
        return None if request.method != "CONNECT" and self._door.is_listener(host, port) else (host, port)

    def _behind(self, place: tuple[str, int]) -> Generator[commands.Command, Any, tuple[str, int]]:
        """The place of the provider that the name stands for, if it does, else the same place."""
        if not self._door.may_tunnel(*place):
            return place
        yield TokenmanDestinationHook(destination := Destination(*place))
        return destination.place or place

    def _way(self, request: http.Request) -> Way:
        client = self.context.client
        in_tunnel = self.mode is HTTPMode.transparent
        if in_tunnel:
            mark, key = marks.of(client), marks.key_of(client)
        else:
            mark, password = proxy_login(request.headers.fields)
            key = next((each for each in (password, mark) if each.startswith(PREFIX)), "")
        return Way((client.sockname[0], client.sockname[1]), mark, key, client.peername[0])

    def _is_governed(self, place: tuple[str, int]) -> bool:
        return self._door.governs(*place)

    # -- not governed: tunnels and plain requests --

    def _tunnel(self, event: RequestHeaders, place: tuple[str, int] | None) -> Commands:
        self._new_flow(event.request)
        self.client_state = self.state_done
        if place is None or self.mode is not HTTPMode.regular or not self._door.may_tunnel(*place):
            yield from self._refuse(self._door.blocked("no tunnel leads there"))
            return
        way = self._way(event.request)
        mark = way.mark
        hide_secrets(event.request)  # nobody behind us is to read with which key it came
        if not self._is_governed(place) and (refusal := self._door.bypassed(place[0], mark)):
            yield from self._refuse(refusal)
            return
        marks.put(self.context.client, mark, way.key)
        self.context.server.address = place
        if not self._is_governed(place) and (error := (yield commands.OpenConnection(self.context.server))):
            log.info("no tunnel to %s:%d: %s", *place, error)
            yield from self._refuse(self._door.blocked("the destination cannot be reached from here"))
            return
        self.child_layer = layer.NextLayer(self.context)
        yield from self.handle_connect_finish()  # type: ignore[no-untyped-call]
        if self._is_governed(place):  # for TLS and a head, as for a connection that is new
            deadlines.arm(self.context.client, self._door.header_timeout)

    def _plain(self, event: RequestHeaders, place: tuple[str, int]) -> RequestHeaders:
        """A request for a host that is no provider: passed on as it comes, less what was meant for us."""
        request = event.request
        if not self._door.may_tunnel(*place) or request.data.scheme not in (b"http", b""):
            raise self._door.blocked("no request is passed on there")
        said = (host_of(value.decode("latin-1")) for value in every(request.headers.fields, b"host"))
        for host in dict.fromkeys((place[0], *said)):  # by its address, which says no name
            if refusal := self._door.bypassed(host, self._way(request).mark):
                raise refusal
        request.headers.fields = ungoverned(request.headers.fields)
        request.path = without_virtual_keys(request.path)
        request.stream = True
        return event

    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        request = self.flow.request
        if self._call is not None or self._door.governs(request.host, request.port):
            log.error("a governed call was about to leave past the exchange: refused")
            yield from self._refuse(self._door.blocked("a call to a provider goes through the exchange"))
            return False
        connected = yield from super().make_server_connection()
        if connected:
            frame(request, self.context.server)
        return connected

    # -- the body of the request --

    def state_consume_request_body(self, event: RequestData | RequestTrailers | RequestEndOfMessage) -> Commands:
        if self._call is None:
            yield from super().state_consume_request_body(event)
        elif isinstance(event, RequestData):
            self.request_body_buf += event.data
            cap = self._door.body_cap(self._call)
            if cap and len(self.request_body_buf) > cap:
                self.request_body_buf.clear()
                yield from self._refuse(self._door.too_large(self._call))
        elif isinstance(event, RequestEndOfMessage):
            self._quiet()
            self._whole = True
            self._call.body = bytes(self.request_body_buf)
            self.request_body_buf.clear()
            self.flow.request.timestamp_end = time.time()
            self.client_state = self.state_done
            self.outlet = _outlets[self.flow] = Outlet(self, self.flow, self._call)
            yield self.outlet.hook

    def check_body_size(self, request: bool) -> layer.CommandGenerator[bool]:
        # Stock code would hold plain requests to `body_size_limit` and name itself in the refusal; they stream through.
        yield from ()
        return False

    def state_wait_for_response_headers(self, event: ResponseHeaders) -> Commands:
        hide_secrets(self.flow.request)  # it has been sent: savers and other add-ons need nobody's credentials
        yield from super().state_wait_for_response_headers(event)

    def state_stream_response_body(self, event: ResponseData | ResponseTrailers | ResponseEndOfMessage) -> Commands:
        if isinstance(event, ResponseEndOfMessage) and self.flow.response:
            self.flow.response.headers.fields = without_secrets(self.flow.response.headers.fields)
        yield from super().state_stream_response_body(event)

    def handle_protocol_error(self, event: RequestProtocolError | ResponseProtocolError) -> Commands:
        if self._call is None:
            hide_secrets(self.flow.request)
            yield from super().handle_protocol_error(event)
            return
        self._quiet()
        if not (self.outlet or self._finished) and event.code is ErrorCode.GENERIC_CLIENT_ERROR:
            yield from self._refuse(self._door.garbled(self._call))
            return
        if not self._finished:
            self._finished = self._started = True
            self.flow.error = mflow.Error(event.message)
            self.flow.live = False
            if self.outlet:
                self.outlet.abort()
            else:
                self._door.over(self._call)
        yield DropStream(self.stream_id)

    # -- deadlines of the client --

    def _ring(self, seconds: float, late: Any) -> None:
        self._quiet()
        if seconds:
            self._timer = asyncio.get_running_loop().call_later(seconds, late)

    def _quiet(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        """On HTTP/2 a stream that brings no body ends alone: its neighbours have done nothing."""
        if self.client.alpn != b"h2" or (handler := self.handler) is None:
            self._drop_client()
            return
        task = asyncio.ensure_future(handler.server_event(Late(self)))
        _telling.add(task)
        task.add_done_callback(_telling.discard)

    def _drop_client(self) -> None:
        deadlines.drop(self.context.client)

    # -- the answer --

    def _send(self, *pieces: Piece) -> Commands:
        if self._finished:
            if self.context.client.alpn == b"h2" and End(broken=True) in pieces:
                yield from self._cut_h2()  # all of it was given, and waits for a window that does not open
            return
        if self.context.client.alpn == b"h2":
            for piece in pieces:
                yield from self._send_h2(piece)
        else:
            yield from self._send_h1(pieces)

    def _send_h1(self, pieces: Sequence[Piece]) -> Commands:
        """All that is there in one write."""
        if self._writer is None:
            request = self.flow.request
            self._writer = AnswerWriter(request.method, old=request.http_version == "HTTP/1.0")
        out, ending = self._writer.write(pieces)
        self._started = self._writer.started
        if ending != "none":
            yield from self._finish()
        yield SendHttp(RawAnswer(self.stream_id, b"".join(out), ending), self.context.client)

    def _send_h2(self, piece: Piece) -> Commands:
        client = self.context.client
        match piece:
            case Head():
                self._started = True
                fields = tuple(field for field in _lower(piece.headers) if field[0] != b"connection")  # RFC 9113 §8.2.2
                if piece.status == 304:  # RFC 9110 §8.6 lets us, and h2 would take its length for that of a body
                    fields = tuple(field for field in fields if field[0] != b"content-length")
                response = http.Response(
                    b"HTTP/2.0", piece.status, b"", http.Headers(fields), None, None, time.time(), None
                )
                yield SendHttp(ResponseHeaders(self.stream_id, response, end_stream=False), client)
            case bytes():
                if piece:
                    yield SendHttp(ResponseData(self.stream_id, piece), client)
            case Trailers():
                yield SendHttp(ResponseTrailers(self.stream_id, http.Headers(_lower(piece.fields))), client)
            case End(broken=False):
                yield from self._finish()
                yield SendHttp(ResponseEndOfMessage(self.stream_id), client)
            case End():
                yield from self._finish()
                yield from self._cut_h2()
            case _:
                assert_never(piece)

    def _cut_h2(self) -> Commands:
        error = ResponseProtocolError(self.stream_id, "broken", ErrorCode.GENERIC_SERVER_ERROR)
        yield SendHttp(error, self.context.client)

    def _finish(self) -> Commands:
        self._finished = True
        self.flow.live = False
        yield DropStream(self.stream_id)

    def _refuse(self, refusal: Refusal) -> Commands:
        """Answers now, whatever is still to come of the request."""
        self._quiet()
        self.client_state = self.state_errored
        if refusal.malformed and self.context.client.alpn != b"h2":
            yield from self._finish()
            yield SendHttp(RawAnswer(self.stream_id, refusal.http1, "shut"), self.context.client)
            return
        head = refusal.head
        if not self._whole and self.context.client.alpn != b"h2":
            head = Head(head.status, (*head.headers, (b"connection", b"close")))
            self._ring(DRAIN_S, self._drop_client)
        yield from self._send(head, refusal.body, End())

    def queued_bytes(self) -> int:
        connection = self.parent.connections.get(self.context.client)
        if not isinstance(connection, Http2Server):
            return 0
        return sum(len(piece.data) for piece in connection.h2_conn.stream_buffers.get(self.stream_id, ()))

    @property
    def parent(self) -> HttpLayer:
        parent = self.context.layers[self.context.layers.index(self) - 1]
        assert isinstance(parent, HttpLayer)
        return parent


def _lower(fields: Headers) -> Headers:
    """RFC 9113 §8.2: to a client of HTTP/2 a name in capitals is an error of the whole connection."""
    return tuple((name.lower(), value) for name, value in fields)


class GovernedHttpLayer(HttpLayer):
    """All requests of one client connection (or of one tunnel inside of it)."""

    def __init__(self, context: Context, mode: HTTPMode, door: Door[Any]) -> None:
        super().__init__(context, mode)
        self._door = door

    def make_stream(self, stream_id: int) -> Commands:
        stream = GovernedStream(self.context.fork(), stream_id, self._door)
        self.streams[stream_id] = stream
        yield from self.event_to_child(stream, events.Start())

    def _handle_event(self, event: events.Event) -> Commands:
        try:
            yield from self._routed(event)
        except Exception as e:  # mitmproxy would log it and leave the client hanging
            log.error("a client was dropped: %s", trace(e))
            deadlines.drop(self.context.client)

    def _routed(self, event: events.Event) -> Commands:
        yield from self._carried(event)
        # The layer around a tunnel knows the same client, and is no HTTP/2.
        if isinstance(self.connections.get(self.context.client), Http2Front):
            self._watch_idle()

    def _carried(self, event: events.Event) -> Commands:
        if isinstance(event, events.Start):
            front = Http2Front if self.context.client.alpn == b"h2" else Http1Front
            self.connections[self.context.client] = front(self.context.fork(), self._door)
        if isinstance(event, Pieces):
            if stream := self.command_sources.get(event.command):
                yield from self.event_to_child(stream, event)
            return
        if isinstance(event, Late):
            here = self.streams.get(event.stream.stream_id) is event.stream
            for one in [event.stream] if here else list(self.streams.values()):
                if here or getattr(one, "child_layer", None) is not None:  # a tunnel, in which it may be
                    yield from self.event_to_child(one, event)
            return
        if isinstance(event, events.CommandCompleted) and event.command not in self.command_sources:
            return  # of a stream that is gone
        yield from super()._handle_event(event)
        if isinstance(event, events.DataReceived) and event.connection is self.context.client:
            for open_stream in self.streams.values():  # a window update may have come
                if isinstance(open_stream, GovernedStream) and open_stream.outlet:
                    open_stream.outlet.wake()

    def _watch_idle(self) -> None:
        """HTTP/1 knows itself when it is between two requests; HTTP/2 is idle while it has no stream."""
        client = self.context.client
        if self.streams:
            deadlines.disarm(client)
        elif not deadlines.armed(client):
            deadlines.arm(client, self._door.keepalive_timeout)
