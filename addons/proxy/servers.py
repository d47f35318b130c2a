"""The side that faces the client: mitmproxy's HTTP/1 and HTTP/2 servers, with bounds on what a stranger can make grow."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mitmproxy import http

from addons.proxy import deadlines
from addons.proxy.internals import (
    Context,
    Http1Server,
    Http2Server,
    HttpEvent,
    ResponseTrailers,
    commands,
    events,
    status_codes,
)

if TYPE_CHECKING:
    from addons.proxy.door import Door

Commands = Generator[commands.Command, Any]

MAX_PIPELINED = 1 << 20  # bytes that a client may send while its call is answered


Ending = Literal["none", "keep", "close", "cut"]


@dataclass
class RawAnswer(HttpEvent):
    """Bytes of an answer, framed already. `ending`: more is to come, or what becomes of the connection behind it."""

    data: bytes
    ending: Ending


# What the stock server must know of an answer at its end: whether the connection is kept. Not 200, which after a CONNECT
# would make it a tunnel.
_KEPT = http.Response.make(400, b"")
_CLOSED = http.Response.make(400, b"", {"connection": "close"})


class Http1Front(Http1Server):
    def __init__(self, context: Context, door: "Door[Any]") -> None:
        super().__init__(context)
        self._door = door
        self._in_head = False

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        client = self.context.client
        if isinstance(event, events.DataReceived) and self.buf and not self._in_head:
            self._in_head = True
            deadlines.arm(client, self._door.header_timeout)
        yield from super().read_headers(event)
        if self.state != self.read_headers:
            self._in_head = False
        elif len(self.buf) > self._door.head_cap:
            refusal = self._door.head_too_large()
            fields = b"".join(b"%s: %s\r\n" % field for field in refusal.head.headers)
            reason = status_codes.RESPONSES.get(refusal.head.status, "").encode()
            head = b"HTTP/1.1 %d %s\r\n%sconnection: close\r\n\r\n" % (refusal.head.status, reason, fields)
            yield commands.SendData(self.conn, head + refusal.body)
            yield commands.CloseConnection(self.conn)
            self.state = self.done

    def send(self, event: HttpEvent) -> Commands:
        if isinstance(event, RawAnswer):
            yield from self._send_raw(event)
            return
        if isinstance(event, ResponseTrailers):
            return  # stock code raises; RFC 9110 §6.5.1 lets us drop what the client did not ask for
        yield from super().send(event)

    def _send_raw(self, event: RawAnswer) -> Commands:
        if event.data:
            yield commands.SendData(self.conn, event.data)
        if event.ending == "cut":
            yield commands.CloseConnection(self.conn)
        elif event.ending != "none":
            self.response = _CLOSED if event.ending == "close" else _KEPT
            yield from self.mark_done(response=True)

    def wait(self, event: events.Event) -> Commands:
        if len(self.buf) > MAX_PIPELINED:
            deadlines.drop(self.context.client)
            return
        yield from super().wait(event)

    def mark_done(self, *, request: bool = False, response: bool = False) -> Commands:
        if self.request_done + request and self.response_done + response:
            deadlines.arm(self.context.client, self._door.keepalive_timeout)
        yield from super().mark_done(request=request, response=response)


class Http2Front(Http2Server):
    def __init__(self, context: Context, door: "Door[Any]") -> None:
        super().__init__(context)
        self._door = door
