"""A client that takes nothing: it is waited for, and then dropped, so that it does not hold its provider for ever."""

import asyncio
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from addons.proxy import outlet as module
from addons.proxy.http1_answer import End
from addons.proxy.outlet import MAX_BUFFERED, MAX_QUEUED, PORTION, Outlet, Pieces
from tokenman_core.verdicts import Head

FLOOD = b"x" * (MAX_BUFFERED * 64)


class Line:
    """A client's end, the writer at ours, and the stream in between."""

    def __init__(self, writer: asyncio.StreamWriter, far: socket.socket, alpn: bytes) -> None:
        self.writer, self.far, self.queued, self.sent = writer, far, 0, list[Any]()
        self.client = SimpleNamespace(alpn=alpn)
        self.handler: Any = self
        self.transports = _ById(self.client, writer)

    async def server_event(self, event: Pieces) -> None:
        for piece in event.reply:
            self.sent.append(piece)
            if isinstance(piece, bytes):
                self.writer.write(piece)

    def queued_bytes(self) -> int:
        return self.queued


class _ById:
    def __init__(self, client: Any, writer: asyncio.StreamWriter) -> None:
        self._client, self._transport = client, SimpleNamespace(writer=writer)

    def get(self, client: Any) -> Any:
        return self._transport if client is self._client else None


@pytest.fixture(params=[b"http/1.1", b"h2"])
async def line(request: pytest.FixtureRequest) -> AsyncIterator[Line]:
    near, far = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=near)
    yield Line(writer, far, request.param)
    writer.transport.abort()
    far.close()


@pytest.fixture
def outlet(line: Line, monkeypatch: pytest.MonkeyPatch) -> Outlet:
    monkeypatch.setattr(module, "HttpRequestHook", lambda flow: SimpleNamespace(blocking=False))
    return Outlet(line, SimpleNamespace(), None)  # type: ignore[arg-type]


async def test_what_fits_is_not_waited_for(line: Line, outlet: Outlet) -> None:
    await asyncio.wait_for(outlet.send(b"a"), 1)
    assert line.sent == [b"a"]


async def test_a_large_piece_goes_out_bit_by_bit_in_its_order(line: Line, outlet: Outlet) -> None:
    """Each bit is waited for: what is copied on its way is never the whole."""
    head, body = Head(200), bytes(range(256)) * 4096  # 1 MiB
    reading = asyncio.create_task(asyncio.to_thread(taken, line.far, len(body)))
    await asyncio.wait_for(outlet.send(head, body, End()), 10)
    assert line.sent[0] == head
    assert line.sent[-1] == End()
    assert {len(piece) for piece in line.sent[1:-1]} == {PORTION}
    assert await reading == b"".join(line.sent[1:-1]) == body


def taken(far: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        got += far.recv(65536)
    return got


async def test_a_client_that_reads_again_is_served_again(line: Line, outlet: Outlet) -> None:
    sending = asyncio.create_task(outlet.send(FLOOD))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not sending.done()
    left = len(FLOOD)
    line.far.setblocking(False)
    while left:
        left -= len(await asyncio.get_running_loop().sock_recv(line.far, 1 << 20))
    await asyncio.wait_for(sending, 5)
    assert b"".join(line.sent) == FLOOD


async def test_a_client_that_takes_nothing_is_dropped_and_its_call_ends(
    line: Line, outlet: Outlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLIENT_STALL_S", 0.02)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(outlet.send(FLOOD), 5)
    *given, end = line.sent
    assert FLOOD.startswith(b"".join(given))
    assert end == End(broken=True)
    assert line.writer.transport.is_closing() == (line.client.alpn != b"h2")  # there only the stream ends


async def test_a_window_that_stays_shut_is_waited_for_no_longer(
    line: Line, outlet: Outlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.queued = MAX_QUEUED + 1
    sending = asyncio.create_task(outlet.send(b"a"))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not sending.done()
    line.queued = 0
    outlet.wake()
    await asyncio.wait_for(sending, 1)
    monkeypatch.setattr(module, "CLIENT_STALL_S", 0.02)
    line.queued = MAX_QUEUED + 1
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(outlet.send(b"b"), 5)
    assert line.sent[-1] == End(broken=True)
