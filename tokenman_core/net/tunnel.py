"""A tunnel through a parent proxy (RFC 9110 §9.3.6)."""

import asyncio
import socket
from collections.abc import Sequence

import h11

from tokenman_core.net.proxies import Proxy
from tokenman_core.net.wire import MAX_HEAD, UpstreamError


async def open_tunnel(addresses: Sequence[str], proxy: Proxy, host: str, port: int) -> socket.socket:
    """A socket whose other end is `host:port`. Raises UpstreamError (kind "connect") if the proxy will not, OSError."""
    loop = asyncio.get_running_loop()
    error: OSError | None = None
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, (address, proxy.port))
            await _ask(loop, sock, proxy, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        except OSError as e:
            sock.close()
            error = e
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise error or OSError("no address")


async def _ask(loop: asyncio.AbstractEventLoop, sock: socket.socket, proxy: Proxy, authority: str) -> None:
    headers = [("Host", authority)]
    if proxy.authorization:
        headers.append(("Proxy-Authorization", proxy.authorization))
    talk = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
    await loop.sock_sendall(sock, talk.send(h11.Request(method="CONNECT", target=authority, headers=headers)) or b"")
    talk.send(h11.EndOfMessage())
    while True:
        try:
            event = talk.next_event()
        except h11.RemoteProtocolError as e:
            raise UpstreamError("connect", "the parent proxy does not speak HTTP") from e
        if event is h11.NEED_DATA:
            # No byte of the tunnel itself can be among these: whoever is behind it speaks only after we have.
            talk.receive_data(await loop.sock_recv(sock, 4096))
        elif isinstance(event, h11.InformationalResponse):
            continue
        elif isinstance(event, h11.Response):
            if 200 <= event.status_code < 300:
                return
            raise UpstreamError("connect", f"the parent proxy answered {event.status_code}")
        else:
            raise UpstreamError("connect", "the parent proxy closed the connection")
