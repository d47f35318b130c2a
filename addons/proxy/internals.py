"""Every mitmproxy internal that TokenMan uses, named in one place, for the one version that it was tried with.

Public API (hooks, options, `http`, `ctx`, `connection`) is imported where it is used. Before moving the pin in pyproject.toml
run the whole of tests/e2e/test_door.py.
"""

import asyncio
import gc
import logging
import types
from collections.abc import Callable, Generator
from typing import Any

import h11
import orjson
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer
from mitmproxy import addonmanager, version
from mitmproxy.addons import script, tlsconfig
from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.master import Master
from mitmproxy.net.http import status_codes
from mitmproxy.net.http.http1 import expected_http_body_size, read_request_head
from mitmproxy.net.http.validate import validate_headers
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import commands, events, layer, layers, mode_servers, mode_specs
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import DropStream, HttpLayer, HTTPMode, HttpStream, SendHttp, _http1, _http2
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
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
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook, HttpRequestHook, HttpResponseHook
from mitmproxy.proxy.layers.http._http1 import Http1Connection, Http1Server, make_body_reader
from mitmproxy.proxy.layers.http._http2 import Http2Server
from mitmproxy.proxy.layers.tls import parse_client_hello
from mitmproxy.proxy.server import ConnectionHandler

from tokenman_core.clock import request_id
from tokenman_core.telemetry import about

log = logging.getLogger("tokenman.door")

TRIED = "12.2.3"

__all__ = [
    "ChunkedReader",
    "ConnectionHandler",
    "ConnectionState",
    "Context",
    "DropStream",
    "ErrorCode",
    "HTTPMode",
    "Http1Connection",
    "Http1Server",
    "Http2Server",
    "HttpErrorHook",
    "HttpEvent",
    "HttpLayer",
    "HttpRequestHook",
    "HttpResponseHook",
    "HttpStream",
    "ReceiveBuffer",
    "ReceiveHttp",
    "RequestData",
    "RequestEndOfMessage",
    "RequestHeaders",
    "RequestProtocolError",
    "RequestTrailers",
    "ResponseData",
    "ResponseEndOfMessage",
    "ResponseHeaders",
    "ResponseProtocolError",
    "ResponseTrailers",
    "SendHttp",
    "addonmanager",
    "check_version",
    "commands",
    "events",
    "expected_http_body_size",
    "hold_listeners",
    "layer",
    "layers",
    "listen",
    "listen_directly",
    "make_body_reader",
    "mend",
    "parse_client_hello",
    "read_request_head",
    "script",
    "starts_like_tls_record",
    "status_codes",
    "tlsconfig",
    "validate_headers",
]  # fmt: skip


class WrongVersion(Exception):
    """Another mitmproxy than the one that was tried. Nothing is served by it."""


def check_version() -> None:
    if version.VERSION != TRIED:
        raise WrongVersion(
            f"TokenMan needs mitmproxy {TRIED} and found {version.VERSION}: "
            f'its door is made for that version alone. Install it with: pip install "mitmproxy=={TRIED}"'
        )


def mend() -> None:
    """Five faults of the stock layers, for governed and other connections alike. Doing it twice changes nothing."""
    # Its error answers are HTML and name it. Ours have an id that the log knows too.
    _http1.make_error_response = _error_answer
    setattr(_http2, "format_error", lambda status_code, message: _error_body(status_code, request_id()))  # noqa: B010
    setattr(_http2, "version", types.SimpleNamespace(MITMPROXY="tokenman"))  # noqa: B010 (a module, to mypy)
    # Trailers raise in its body reader: the message hangs or is cut.
    Http1Connection.read_body = _read_body  # type: ignore[method-assign]
    # Told to close a connection twice it cancels its own clean-up: the socket stays open, counted by nobody.
    ConnectionHandler.close_connection = _close_once  # type: ignore[method-assign]
    # Told to close a connection while more of it is read, it can end without having done so.
    ConnectionHandler.handle_connection = _handle_to_the_end  # type: ignore[method-assign]


def hold_listeners(master: Master) -> None:
    """Takes back listeners that are there already, or on their way. A `-s` script is loaded when mitmproxy has begun to listen,
    with the options as they were before it. `listen` begins anew. To be called before it changes an option."""
    for task in asyncio.all_tasks():
        if task.get_name() == "setup_servers":
            task.cancel()
    server = master.addons.get("proxyserver")
    options = master.options
    ports = {mode_specs.ProxyMode.parse(mode).listen_port(options.listen_port) for mode in options.mode}
    # One that has bound its socket, and is cancelled before it could say so, is known to nobody but the event loop.
    for each in gc.get_objects():
        if isinstance(each, asyncio.Server) and ports & {one.getsockname()[1] for one in each.sockets}:
            each.close()
    server.servers._instances.clear()


async def listen(master: Master) -> bool:
    """Whether all listeners are up. Does nothing for those that are up already."""
    server = master.addons.get("proxyserver")
    await server.setup_servers()
    return bool(server.listen_addrs())


def listen_directly(
    master: Master, connection: Callable[[Callable[[asyncio.Transport, bytes], None]], asyncio.Protocol]
) -> None:
    """Connections of the regular listener begin with a protocol that `connection` makes. To be called before it listens.

    What that gets is called with the transport and the bytes that have come, to have mitmproxy carry on from there.
    """
    setattr(master.addons.get("proxyserver"), "direct", connection)  # noqa: B010 (no attribute of its own)
    mode_servers.AsyncioServerInstance.listen = _listen  # type: ignore[method-assign]


_stock_listen = mode_servers.AsyncioServerInstance.listen


async def _listen(self: Any, host: str, port: int) -> Any:
    connection = getattr(self.manager, "direct", None)
    if connection is None or not port or not isinstance(self.mode, mode_specs.RegularMode):
        return await _stock_listen(self, host, port)  # which comes back here with a port, if it was given none
    loop = asyncio.get_running_loop()

    def hand_over(transport: asyncio.Transport, data: bytes) -> None:
        """As `asyncio.start_server` begins one."""
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, self.handle_stream, loop=loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if data:
            protocol.data_received(data)

    return [await loop.create_server(lambda: connection(hand_over), host, port)]


_close = ConnectionHandler.close_connection


def _close_once(self: ConnectionHandler, connection: Connection, half_close: bool = False) -> None:
    if connection.state is not ConnectionState.CLOSED:
        _close(self, connection, half_close)


_handle = ConnectionHandler.handle_connection


async def _handle_to_the_end(self: ConnectionHandler, connection: Connection) -> None:
    writer = self.transports[connection].writer
    try:
        await _handle(self, connection)
    finally:
        if writer is not None and connection in self.transports:  # cancelled while it waited for its turn to read on
            connection.state = ConnectionState.CLOSED
            writer.close()
            try:
                await self.server_event(events.ConnectionClosed(connection))
            finally:
                self.transports.pop(connection, None)


def _error_body(status: int, name: str) -> bytes:
    message = f"{status} {status_codes.RESPONSES.get(status, '')}".strip()
    return orjson.dumps(
        {
            "error": {"message": message, "type": "invalid_request_error" if status < 500 else "api_error"},
            "request_id": name,
        }
    )


def _error_answer(status_code: int, message: str = "") -> bytes:
    name = request_id()
    body = _error_body(status_code, name)
    with about.call(name):
        log.info("answered %d: %s", status_code, status_codes.RESPONSES.get(status_code, ""))
    kind = "parse" if status_code < 500 else "upstream"
    head = (
        f"HTTP/1.1 {status_code} {status_codes.RESPONSES.get(status_code, '')}\r\n"
        "content-type: application/json\r\nconnection: close\r\n"
        f"x-tokenman-error: {kind}\r\nx-tokenman-request-id: {name}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _read_body(self: Any, event: events.Event) -> Generator[commands.Command, Any]:
    """As the stock method, but trailers are dropped (RFC 9110 §6.5.1 allows it) where that one raises."""
    while True:
        try:
            received = isinstance(event, events.DataReceived)
            part = self.body_reader(self.buf) if received else self.body_reader.read_eof()
        except h11.ProtocolError as e:
            yield commands.CloseConnection(self.conn)
            code = self.ReceiveProtocolError.code
            yield ReceiveHttp(self.ReceiveProtocolError(self.stream_id, f"HTTP/1 protocol error: {e}", code=code))
            return
        match part:
            case None:
                return
            case h11.Data():
                if data := bytes(part.data):
                    yield ReceiveHttp(self.ReceiveData(self.stream_id, data))
            case h11.EndOfMessage():
                if self.request.data.method.upper() != b"CONNECT":
                    yield ReceiveHttp(self.ReceiveEndOfMessage(self.stream_id))
                is_request = isinstance(self, Http1Server)
                yield from self.mark_done(request=is_request, response=not is_request)
                return
