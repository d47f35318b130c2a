"""Decides what a connection carries: our HTTP layer, TLS that we open because a provider is behind it, or a blind tunnel.

Stands behind mitmproxy's own `next_layer` and corrects its choice, so that no option or script can open a way around.
"""

import asyncio
import logging

from mitmproxy.connection import Client
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from addons.proxy import deadlines
from addons.proxy.internals import HttpLayer, HTTPMode, layer, layers, parse_client_hello, starts_like_tls_record
from addons.proxy.layer import Door, GovernedHttpLayer
from tokenman_core.net import Guard, UpstreamError
from tokenman_core.providers import is_address

log = logging.getLogger("tokenman.door")

MAX_HELLO = 64 << 10  # a TLS handshake message has 24 bits of length, a sensible hello a few KiB


class Gate:
    name = "gate"

    def __init__(self, door: Door, guard: Guard, connections: int) -> None:
        self._door, self._guard, self._max = door, guard, connections
        self._open = 0

    # -- clients --

    def client_connected(self, client: Client) -> None:
        self._open += 1
        if self._max and self._open > self._max:
            client.error = "too many connections"
            log.warning("a client was turned away: limits.connections (%d) are open", self._max)
            return
        deadlines.arm(client, self._door.header_timeout)

    def client_disconnected(self, client: Client) -> None:
        self._open -= 1
        deadlines.disarm(client)

    # -- what comes next on a connection --

    def next_layer(self, next_layer: layer.NextLayer) -> None:
        context = next_layer.context
        if isinstance(context.layers[0], layers.modes.HttpProxy) and len(context.layers) == 1:
            next_layer.layer = self._front(next_layer)
            return
        if context.client.transport_protocol != "tcp":
            return
        self._settle(next_layer)

    def _front(self, next_layer: layer.NextLayer) -> layer.Layer | None:
        """The listener itself: plain HTTP, or TLS to it where a certificate is configured (not in this version)."""
        if starts_like_tls_record(next_layer.data_client()):
            return layers.ClientTLSLayer(next_layer.context)
        return GovernedHttpLayer(next_layer.context, HTTPMode.regular, self._door)

    def _settle(self, next_layer: layer.NextLayer) -> None:
        """Inside of a tunnel, or of a mode in which clients do not know of us."""
        context, data = next_layer.context, next_layer.data_client()
        address = context.server.address
        opened = any(isinstance(one, layers.ClientTLSLayer) for one in context.layers)
        governed = self._door.governs(context.client.sni, None) or (
            address is not None and self._door.governs(address[0], address[1])
        )
        if opened:
            next_layer.layer = GovernedHttpLayer(context, HTTPMode.transparent, self._door)
            return
        if not starts_like_tls_record(data):
            deadlines.disarm(context.client)
            if governed or isinstance(next_layer.layer, HttpLayer):
                # Plain HTTP to a provider is governed too; anything that is no HTTP ends in a 400.
                next_layer.layer = GovernedHttpLayer(context, HTTPMode.transparent, self._door) if data else None
            elif not data and not next_layer.data_server():
                next_layer.layer = None
            else:
                next_layer.layer = layers.TCPLayer(context, ignore=True)
            return
        try:
            hello = parse_client_hello(data)
        except ValueError:
            hello = None
            if governed or address is None or is_address(address[0]):
                log.warning("a TLS handshake that cannot be read was refused: it may lead to a provider")
                deadlines.drop(context.client)
                next_layer.layer = None
                return
        else:
            if hello is None:
                if len(data) > MAX_HELLO:
                    deadlines.drop(context.client)
                next_layer.layer = None  # not whole yet
                return
        if governed or (hello is not None and self._door.governs(hello.sni, None)):
            next_layer.layer = layers.ClientTLSLayer(context)
            return
        deadlines.disarm(context.client)
        next_layer.layer = layers.TCPLayer(context, ignore=True)

    # -- upstream connections of mitmproxy's own: blind tunnels and plain requests --

    async def server_connect(self, data: ServerConnectionHookData) -> None:
        """The address is looked up and judged here and then pinned, so that no second look-up can give another one."""
        server = data.server
        if server.address is None:
            return
        host, port = server.address[0], server.address[1]
        if self._door.governs(host, port):
            server.error = "a provider is reached through the exchange alone"
            return
        try:
            async with asyncio.timeout(30):
                addresses = await self._guard.resolve(host, port)
        except (UpstreamError, TimeoutError, OSError) as e:
            log.info("not dialled: %s:%d (%s)", host, port, e)
            server.error = "not reachable from here"
            return
        server.address = (str(addresses[0]), port)

    def responseheaders(self, flow: object) -> None:
        """Answers to calls that are not governed pass as they come; nothing of them is kept."""
        response = getattr(flow, "response", None)
        if response is not None:
            response.stream = True
