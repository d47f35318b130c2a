"""Calls that are served from the socket itself: which requests those are, how each is read, and how they end."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.net.http import http1

from addons.proxy.direct import Connection, Direct
from addons.proxy.door import Refusal, RequestHead
from addons.proxy.http1_answer import End
from tokenman_core.verdicts import Head

OK = Head(200, ((b"content-length", b"2"),))
LENGTH = b"content-length: 2\r\n"


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 7677), "peername": ("127.0.0.1", 5)})
        self.out, self.closed = b"", ""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def write(self, data: Any) -> None:
        self.out += bytes(data)

    def writelines(self, list_of_data: Any) -> None:
        self.out += b"".join(list_of_data)

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.closed = self.closed or "our half"

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = self.closed or "closed"

    def abort(self) -> None:
        self.closed = self.closed or "aborted"


class Calls:
    """What a connection asks of the exchange add-on. `answer` None: a call ends without one."""

    header_timeout = body_timeout = keepalive_timeout = 5.0
    head_cap, header_count = 1000, 10

    def __init__(self, answer: bytes | None = b"ok", refuse: bool = False) -> None:
        self.answer, self.refuse = answer, refuse
        self.opened: list[tuple[RequestHead, object]] = []
        self.carried: list[bytes] = []
        self.left = 0
        self.wait: asyncio.Event | None = None

    def is_listener(self, host: str, port: int) -> bool:
        return (host, port) == ("localhost", 7677)

    def governs(self, host: str, port: int) -> bool:
        return host == "llm.example"

    def body_cap(self, call: Any) -> int:
        return 100

    def too_large(self, call: Any) -> Refusal:
        return Refusal(Head(413, ((b"content-length", b"3"),)), b"big")

    def broken(self, call: Any) -> Refusal:
        return Refusal(Head(500, ((b"content-length", b"3"),)), b"bad")

    def over(self, call: Any) -> None:
        self.left += 1

    def open(self, head: RequestHead, place: object, way: object) -> Any:
        if self.refuse:
            raise Refusal(Head(403, ((b"content-length", b"2"),)), b"no")
        self.opened.append((head, place))
        return type("Call", (), {"body": None})()

    async def carry(self, call: Any, channel: Any) -> None:
        self.carried.append(call.body)
        try:
            channel.begin()
            if self.wait is not None:
                await self.wait.wait()
            if self.answer is not None:
                await channel.send(OK, self.answer, End())
        except asyncio.CancelledError:
            self.left += 1


class Gate:
    def __init__(self) -> None:
        self.open = 0
        self.full = False

    def enter(self) -> bool:
        self.open += 1
        return not self.full

    def leave(self) -> None:
        self.open -= 1


def connected(calls: Calls, gate: Gate | None = None) -> tuple[Connection, Transport, list[bytes]]:
    handed: list[bytes] = []
    shared = Direct(calls, gate or Gate())  # type: ignore[arg-type]  # no more than is asked of them
    connection, transport = shared.connection(lambda _, data: handed.append(data)), Transport()
    connection.connection_made(transport)
    return connection, transport, handed


def post(target: bytes = b"/v1/messages", fields: bytes = LENGTH, body: bytes = b"{}") -> bytes:
    return b"POST " + target + b" HTTP/1.1\r\nHost: localhost\r\n" + fields + b"\r\n" + body


async def test_a_call_is_carried_and_answered_in_whatever_pieces_it_comes() -> None:
    for size in (1, 7, 1000):
        calls = Calls()
        connection, transport, handed = connected(calls)
        data = post()
        for at in range(0, len(data), size):
            connection.data_received(data[at : at + size])
        assert (calls.carried, handed) == ([b"{}"], [])
        assert transport.out == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        assert not transport.closed
        connection.connection_lost(None)
        assert not calls.left


async def test_requests_that_are_sent_ahead_are_answered_in_their_order() -> None:
    calls = Calls()
    connection, transport, _ = connected(calls)
    connection.data_received(post() + post(body=b"[]") + post(b"http://llm.example/v1/x?a=b"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert calls.carried == [b"{}", b"[]", b"{}"]
    assert transport.out.count(b"200 OK") == 3
    assert [(head.target, place) for head, place in calls.opened][1:] == [
        ("/v1/messages", None),
        ("/v1/x?a=b", ("llm.example", 80)),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00",
        b"CONNECT api.anthropic.com:443 HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        post(b"http://elsewhere.example/"),
        post(b"https://llm.example/"),
        post(b"*"),
        post(fields=b"transfer-encoding: chunked\r\n", body=b"2\r\n{}\r\n0\r\n\r\n"),
        post(fields=LENGTH + LENGTH),
        post(fields=b"content-length: +2\r\n"),
        post(fields=b"content-length: 02\r\n"),
        post(fields=b"content-length : 2\r\n"),
        post(fields=LENGTH + b" folded: x\r\n"),
        post(fields=LENGTH + b"x: a\rb\r\n"),
        post(fields=LENGTH + b"x: a\0b\r\n"),
        post(fields=LENGTH + b"x: a\n"),
        post().replace(b"\r\n", b"\n"),
        post().replace(b"HTTP/1.1", b"HTTP/1.0"),
        post().replace(b"HTTP/1.1", b"HTTP/1.7"),
        post().replace(b"POST ", b"POST  "),
        post(fields=LENGTH + b"x: y\r\n" * 10),
        post(fields=LENGTH + b"x: " + b"y" * 1000 + b"\r\n"),
        b"GET /" + b"a" * 1001,
        b"\r\n" + post(),
    ],
)
async def test_what_is_no_ordinary_request_is_handed_over_whole(data: bytes) -> None:
    calls, gate = Calls(), Gate()
    connection, transport, handed = connected(calls, gate)
    connection.data_received(data)
    assert handed == [data]
    assert (transport.out, transport.closed, calls.opened, gate.open) == (b"", "", [], 0)
    connection.data_received(post())  # what comes late is nobody's
    assert not calls.carried


async def test_what_comes_behind_a_call_is_handed_over_once_that_is_answered() -> None:
    calls = Calls()
    connection, transport, handed = connected(calls)
    connection.data_received(post() + b"CONNECT x:443 HTTP/1.1\r\n\r\n")
    await asyncio.sleep(0)
    assert transport.out.endswith(b"ok")
    assert handed == [b"CONNECT x:443 HTTP/1.1\r\n\r\n"]


_NAMES = st.sampled_from(
    ["Host", "x-a", "Content-Length", "content-length", "Connection", "Transfer-Encoding", "x y", ""]
)
_VALUES = st.sampled_from(
    ["a", "2", "0", "", " 2 ", "\t2", "close", "chunked", "é", "a\rb", "a\nb", "a\x00b", "a\x0bb"]
)
_LINES = st.lists(
    st.tuples(_NAMES, st.sampled_from([":", ": ", " :", ""]), _VALUES, st.sampled_from(["\r\n", "\n"])), max_size=4
)
_FIRST = st.tuples(
    st.sampled_from(["GET", "POST", "get", "G T"]),
    st.sampled_from(
        ["/", "/v1/x?y=%zz", "http://llm.example/a", "http://llm.example", "http://u@llm.example/", "/é", "x"]
    ),
    st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "http/1.1"]),
)


@given(_FIRST, _LINES)
async def test_what_is_served_here_is_read_as_mitmproxy_reads_it(
    first: tuple[str, str, str], lines: list[tuple[str, str, str, str]]
) -> None:
    head = " ".join(first) + "\r\n" + "".join("".join(line) for line in lines) + "\r\n"
    calls = Calls()
    connection, _, _ = connected(calls)
    connection.data_received(head.encode("latin-1") + b"{}")
    connection.connection_lost(None)
    if not calls.opened:
        return
    read = http1.read_request_head(head.encode("latin-1").split(b"\r\n")[:-2])
    served, place = calls.opened[0]
    assert served == RequestHead.of(read)
    assert place == ((read.host, read.port) if read.host else None)
    if calls.carried:
        assert len(calls.carried[0]) == http1.expected_http_body_size(read)


async def test_a_client_that_leaves_ends_its_call() -> None:
    calls = Calls()
    connection, _, _ = connected(calls)
    connection.data_received(post()[:-1])
    connection.connection_lost(None)
    assert calls.left == 1

    calls = Calls()
    calls.wait = asyncio.Event()
    connection, transport, _ = connected(calls)
    connection.data_received(post())
    connection.connection_lost(None)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (calls.left, transport.out) == (1, b"")


async def test_a_call_without_an_answer_is_refused() -> None:
    connection, transport, _ = connected(Calls(answer=None))
    connection.data_received(post())
    assert transport.out.startswith(b"HTTP/1.1 500 ")


async def test_a_refusal_at_the_head_closes_only_behind_a_body() -> None:
    connection, transport, _ = connected(Calls(refuse=True))
    connection.data_received(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert transport.out.startswith(b"HTTP/1.1 403 ")
    assert not transport.closed

    connection, transport, _ = connected(Calls(refuse=True))
    connection.data_received(post()[:-1])
    assert b"connection: close" in transport.out
    assert not transport.closed
    connection.data_received(b"}")
    assert transport.closed == "closed"
    connection.data_received(post())
    assert transport.out.count(b"HTTP/1.1") == 1


async def test_a_body_over_its_cap_is_refused_before_it_comes() -> None:
    calls = Calls()
    connection, transport, _ = connected(calls)
    connection.data_received(post(fields=b"content-length: 101\r\n", body=b""))
    assert transport.out.startswith(b"HTTP/1.1 413 ")
    assert not calls.carried


async def test_a_client_is_told_to_go_on_with_its_body() -> None:
    connection, transport, _ = connected(Calls())
    connection.data_received(post(fields=LENGTH + b"Expect: 100-continue\r\n", body=b""))
    assert transport.out == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.data_received(b"{}")
    assert transport.out.endswith(b"ok")


async def test_who_wants_the_connection_closed_is_told_so() -> None:
    connection, transport, _ = connected(Calls())
    connection.data_received(post(fields=LENGTH + b"Connection: close\r\n"))
    assert b"connection: close" in transport.out
    assert transport.closed == "our half"


@pytest.mark.parametrize("ahead", [False, True])
async def test_what_stands_behind_a_last_answer_is_thrown_away(ahead: bool) -> None:
    for first, refuse in ((post(fields=LENGTH + b"Connection: close\r\n"), False), (post(), True)):
        calls = Calls(refuse=refuse)
        connection, transport, _ = connected(calls)
        connection.data_received(first + post() if ahead else first)
        told, so_far = len(calls.opened), transport.out
        if not ahead:
            connection.data_received(post())
        await asyncio.sleep(0)
        assert told <= 1
        assert (len(calls.opened), transport.out) == (told, so_far)
        assert transport.out.count(b"HTTP/1.1") == 1


async def test_one_connection_too_many_is_closed_and_counts_no_longer() -> None:
    gate = Gate()
    gate.full = True
    connection, transport, _ = connected(Calls(), gate)
    assert transport.closed == "aborted"
    connection.connection_lost(None)
    assert gate.open == 0
