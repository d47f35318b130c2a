"""A tunnel through a parent proxy (RFC 9110 §9.3.6)."""

import asyncio
import socket

import h11

from tokenman_core.net.framing import address
from tokenman_core.net.proxies import Proxy
from tokenman_core.net.wire import MAX_HEAD, UpstreamError


async def ask(sock: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """Makes a socket to the proxy one to `host:port`. Raises UpstreamError("connect") if the proxy will not; closes it then."""
    try:
        await _ask(sock, proxy, address(host, port))
    except BaseException:  # a cancelled dial, too, must leave no socket
        sock.close()
        raise


async def _ask(sock: socket.socket, proxy: Proxy, target: bytes) -> None:
    loop = asyncio.get_running_loop()
    talk = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    request = h11.Request(method=b"CONNECT", target=target, headers=[(b"Host", target), *proxy.headers])
    await loop.sock_sendall(sock, talk.send(request) or b"")
    talk.send(h11.EndOfMessage())
    while True:
        try:
            event = talk.next_event()
        except h11.RemoteProtocolError as e:
            raise UpstreamError("connect", "the parent proxy does not speak HTTP") from e
        if event is h11.NEED_DATA:
            talk.receive_data(await loop.sock_recv(sock, 4096))
        elif isinstance(event, h11.Response):
            if not 200 <= event.status_code < 300:
                raise UpstreamError("connect", f"the parent proxy answered {event.status_code}")
            if talk.trailing_data[0]:
                # Whoever is behind it speaks TLS and waits for us.
                raise UpstreamError("connect", "the parent proxy said more than it was asked")
            return
        elif not isinstance(event, h11.InformationalResponse):
            raise UpstreamError("connect", "the parent proxy closed the connection")
