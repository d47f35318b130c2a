"""How long a client may take: for its TLS and its request's head, for a body, between two requests.

The timers stand beside mitmproxy's connection handler and not in a layer: before the first byte, and during a TLS handshake,
there is no HTTP layer yet.
"""

import asyncio
from weakref import WeakKeyDictionary

from mitmproxy import ctx
from mitmproxy.connection import Client

from addons.proxy.internals import ConnectionHandler

_timers: WeakKeyDictionary[Client, asyncio.TimerHandle] = WeakKeyDictionary()


def handler_of(client: Client) -> ConnectionHandler | None:
    found: ConnectionHandler | None = ctx.master.addons.get("proxyserver").connections.get(client.id)
    return found


def drop(client: Client) -> None:
    """Closes the client's connection at once: `close` would wait for a reader that never reads."""
    disarm(client)  # a timer that has run would keep the client, and so itself, for ever
    handler = handler_of(client)
    transport = handler.transports.get(client) if handler else None
    if transport is not None and isinstance(transport.writer, asyncio.StreamWriter):
        transport.writer.transport.abort()


def arm(client: Client, seconds: float) -> None:
    """The client has that long to do its next step; 0 is for ever."""
    disarm(client)
    if seconds:
        _timers[client] = asyncio.get_running_loop().call_later(seconds, drop, client)


def disarm(client: Client) -> None:
    if timer := _timers.pop(client, None):
        timer.cancel()


def armed(client: Client) -> bool:
    return client in _timers
