"""Decides what a connection carries: our HTTP layer, TLS that we open because a provider is behind it, or a blind tunnel.

Stands behind mitmproxy's own `next_layer` and corrects its choice, so that no option or script can open a way around.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mitmproxy import tls
from mitmproxy.connection import Client
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from addons.proxy import deadlines, marks
from addons.proxy.door import Destination, Door
from addons.proxy.internals import (
    Context,
    HttpLayer,
    HTTPMode,
    layer,
    layers,
    parse_client_hello,
    starts_like_tls_record,
)
from addons.proxy.layer import GovernedHttpLayer
from addons.proxy.plain_host import host_said
from tokenman_core.config.values import is_ip
from tokenman_core.net import Forbidden, Guard, UpstreamError, is_fixed

log = logging.getLogger("tokenman.door")

Place = tuple[str, int]
MAX_HELLO = 64 << 10  # a TLS handshake message has 24 bits of length, a sensible hello a few KiB


class Gate:
    name = "gate"
    sealed = True

    def __init__(self, door: Door[Any], guard: Guard, most: Callable[[], int]) -> None:
        """`most`: how many connections of clients there may be now; 0 is no limit."""
        self._door, self._guard, self._most = door, guard, most
        self.open = 0  # connections of clients
        self._named: dict[Client, Place] = {}  # where one's last connection leads, before the name was looked up
        # Tunnels: that, the address that was dialled, and the name that TLS asked for.
        self._blind: dict[Client, tuple[Place | None, Place | None, str | None]] = {}

    # -- clients --

    def enter(self) -> bool:
        """Counts a connection, until `leave`. False: there are too many, and it is to be closed; it counts until then too."""
        self.open += 1
        most = self._most()
        if most and self.open > most:
            log.warning("a client was turned away: limits.connections (%d) are open", most)
            return False
        return True

    def leave(self) -> None:
        self.open -= 1

    def client_connected(self, client: Client) -> None:
        if not self.enter():
            client.error = "too many connections"
            return
        deadlines.arm(client, self._door.header_timeout)

    def client_disconnected(self, client: Client) -> None:
        self.leave()
        self._named.pop(client, None)
        self._blind.pop(client, None)
        deadlines.disarm(client)

    # -- what comes next on a connection --

    def next_layer(self, next_layer: layer.NextLayer) -> None:
        context = next_layer.context
        if context.client.transport_protocol != "tcp":
            return
        stock_is_http = _take_back(next_layer)
        if _could_become_tls(next_layer.data_client()):
            return  # its first bytes came alone: asked again when there are more
        if len(context.layers) == 1 and isinstance(context.layers[0], layers.modes.HttpProxy):
            next_layer.layer = self._front(next_layer)
        elif any(isinstance(one, layers.ClientTLSLayer) for one in context.layers):
            # TLS is opened for no other reason than that a provider is behind it.
            next_layer.layer = GovernedHttpLayer(context, HTTPMode.transparent, self._door)
        elif starts_like_tls_record(next_layer.data_client()):
            next_layer.layer = self._tls(next_layer)
        else:
            next_layer.layer = self._plain(next_layer, stock_is_http)

    def _front(self, next_layer: layer.NextLayer) -> layer.Layer:
        """The listener itself. TLS to it opens only for a provider's name, as in a tunnel."""
        if starts_like_tls_record(next_layer.data_client()):
            return layers.ClientTLSLayer(next_layer.context)
        return GovernedHttpLayer(next_layer.context, HTTPMode.regular, self._door)

    def _governed(self, next_layer: layer.NextLayer, sni: str | None = None) -> bool:
        context = next_layer.context
        address = context.server.address
        by_address = address is not None and self._door.governs(address[0], address[1])
        return by_address or self._door.governs(context.client.sni, None) or self._door.governs(sni, None)

    def _plain(self, next_layer: layer.NextLayer, stock_is_http: bool) -> layer.Layer | None:
        """No TLS. To a provider only HTTP leads, and it is governed; what is no HTTP ends there in a 400."""
        context = next_layer.context
        if not next_layer.data_client() and not next_layer.data_server():
            return None
        if self._governed(next_layer) or (stock_is_http and not _in_tunnel(context)):
            return GovernedHttpLayer(context, HTTPMode.transparent, self._door)
        mark = marks.of(context.client)
        if mark:
            host = host_said(next_layer.data_client())
            if host is None:
                return None
            if host and self._door.bypassed(host, mark):
                log.warning("a run's tunnel to an LLM that no provider governs was closed: %s", host)
                deadlines.drop(context.client)
                return None
        return self._tunnel(context, None)

    def _tls(self, next_layer: layer.NextLayer) -> layer.Layer | None:
        context, data = next_layer.context, next_layer.data_client()
        try:
            hello = parse_client_hello(data)
        except ValueError:
            address = context.server.address
            if self._governed(next_layer) or address is None or is_ip(address[0]):
                log.warning("a TLS handshake that cannot be read was refused: it may lead to a provider")
                deadlines.drop(context.client)
                return None
            sni = None
        else:
            if hello is None:  # not whole yet
                if len(data) > MAX_HELLO:
                    deadlines.drop(context.client)
                return None
            sni = hello.sni
        if self._governed(next_layer, sni):
            return layers.ClientTLSLayer(context)
        if sni and self._door.bypassed(sni, marks.of(context.client)):  # by its address, which says no name
            log.warning("a run's tunnel to an LLM that no provider governs was closed: %s", sni)
            deadlines.drop(context.client)
            return None
        return self._tunnel(context, sni)

    def _tunnel(self, context: Context, name: str | None) -> layer.Layer:
        """Blind, for as long as nothing governs where it leads."""
        address = context.server.address
        dialled = (address[0], address[1]) if address else None
        self._blind[context.client] = (self._named.get(context.client), dialled, name)
        deadlines.disarm(context.client)
        return layers.TCPLayer(context, ignore=True)

    def close_governed(self) -> None:
        """Another configuration may govern where tunnels lead that were let through before: their programs come again, and are
        judged."""
        for client, (place, dialled, name) in list(self._blind.items()):
            if any(self._door.governs(*at) for at in (place, dialled, (name, None)) if at):
                log.info("a tunnel was closed: it leads to what is governed now")
                deadlines.drop(client)

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """TLS that we open stays opened: scripts that let hosts through unseen ask for the contrary here."""
        data.ignore_connection = data.establish_server_tls_first = False

    # -- upstream connections of mitmproxy's own: blind tunnels and plain requests --

    async def tokenman_destination(self, data: Destination) -> None:
        """A provider's address is the provider, under whatever name. Before anything is dialled or passed on."""
        with suppress(UpstreamError, TimeoutError, OSError):  # what leads nowhere is refused when it is dialled
            async with asyncio.timeout(30):
                data.place = await self._provider_at(data.host, data.port)

    async def _provider_at(self, host: str, port: int) -> Place | None:
        """Only through a name that may be dialled, or one that only means this machine: a name that somebody else has set up to
        lead inside opens nothing, not even what is governed there.
        """
        try:
            found = await self._guard.resolve(host, port)
        except Forbidden:
            if not is_fixed(host):
                raise
            found = await self._guard.resolve_permitted(host, port)
        addresses = ["127.0.0.1" if it == "0.0.0.0" else it for it in found]
        if (address := next((it for it in addresses if self._door.governs(it, port)), None)) is not None:
            return address, port
        for name in self._door.names_at(port):
            with suppress(UpstreamError):  # one that has no address now is nobody's
                if not set(addresses).isdisjoint(await self._guard.resolve_permitted(name, port)):
                    return name, port
        return None

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
            if isinstance(e, Forbidden):
                self._door.inner(host, marks.of(data.client))
            server.error = "not reachable from here"
            return
        if any(self._door.governs(address, port) for address in addresses):  # it was another one a moment ago
            server.error = "a provider is reached through the exchange alone"
            return
        self._named[data.client] = (host, port)
        server.address = (str(addresses[0]), port)

    def responseheaders(self, flow: object) -> None:
        """Answers to calls that are not governed pass as they come; nothing of them is kept."""
        response = getattr(flow, "response", None)
        if response is not None:
            response.stream = True


def _take_back(next_layer: layer.NextLayer) -> bool:
    """Undoes the choice of mitmproxy's own add-on; whether it was HTTP. A layer puts itself on the stack when it is made."""
    chosen, context = next_layer.layer, next_layer.context
    is_http = False
    while chosen is not None:
        is_http = is_http or isinstance(chosen, HttpLayer)
        if chosen in context.layers:
            context.layers.remove(chosen)
        chosen = getattr(chosen, "child_layer", None)
    next_layer.layer = None
    return is_http


def _could_become_tls(data: bytes) -> bool:
    """Too little to tell. mitmproxy takes less than three bytes for anything but TLS, and would let them through."""
    return 0 < len(data) < 3 and b"\x16\x03".startswith(data[:2])


def _in_tunnel(context: Context) -> bool:
    return any(isinstance(one, HttpLayer) for one in context.layers)
