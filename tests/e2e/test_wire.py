"""Requests that could be read as two, clients that stall, leave or read slowly, and the limits that hold for all of them."""

import json
import os
import re
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hpack
import pytest
from hyperframe.frame import HeadersFrame

from addons.demo.provider import FakeProvider
from tests.e2e import raw
from tests.e2e.harness import ANTHROPIC_KEY, PLANTED, Proxy, user
from tests.e2e.raw import H2Client, Recorder

MAIL = PLANTED["e-mail"]
CONNECTIONS = 260
OK_LINE = b"HTTP/1.1 200"
HEADERS = {"x-api-key": ANTHROPIC_KEY, "content-type": "application/json", "anthropic-version": "2023-06-01"}


def body(text: str = f"I am {MAIL}", **more: object) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 9, "messages": user(text)} | more).encode()


BODY = body()
SMUGGLED = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY


class Flood:
    """A provider whose streams never end. `sent` bytes were taken off it; `open` connections are served."""

    def __init__(self) -> None:
        self.sent = self.open = 0
        flood = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                got = b""
                while not raw.whole(got):
                    got += self.request.recv(65536)
                flood.open += 1
                piece = {
                    "id": "c",
                    "object": "chat.completion.chunk",
                    "choices": [{"index": 0, "delta": {"content": "word " * 3000}}],
                }
                event = b"data: " + json.dumps(piece).encode() + b"\n\n"
                try:
                    self.request.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
                    while flood.sent < 200 << 20:
                        self.request.sendall(event)
                        flood.sent += len(event)
                except OSError:
                    pass
                finally:
                    flood.open -= 1

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)


@pytest.fixture(scope="module")
def flood() -> Iterator[Flood]:
    made = Flood()
    threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def tight(shared_provider: FakeProvider, flood: Flood, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Short deadlines, few connections; `localhost` stands for the hosts that are no providers."""
    limits = {
        "client_header_timeout": "2s", "client_body_timeout": "1s", "keepalive_timeout": "1s", "connections": CONNECTIONS,
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("tight")
    here = f"http://127.0.0.1:{flood.server.server_address[1]}"
    providers = {
        "anthropic": {"base_url": shared_provider.url},
        "flood": {"base_url": here, "dialect": "openai", "hosts": ["flood.example"]},
    }
    running = Proxy.start(
        folder, shared_provider.url, intercept={"private": ["localhost"]}, limits=limits, providers=providers
    )
    yield running
    running.stop()


@pytest.fixture
def plain() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder


def request(target: str, *lines: str, data: bytes = b"", host: str = "127.0.0.1") -> bytes:
    head = [f"POST {target} HTTP/1.1", f"Host: {host}", *(f"{k}: {v}" for k, v in HEADERS.items()), *lines]
    return "\r\n".join([*head, "", ""]).encode() + data


def chunk(data: bytes, size: bytes | None = None) -> bytes:
    return (size or b"%x" % len(data)) + b"\r\n" + data + b"\r\n"


def is_refusal(answer: bytes) -> bool:
    """Nothing, or an error of ours that says nothing of the inside."""
    assert b"mitmproxy" not in answer.lower()
    if not answer:
        return True
    status, fields = raw.head(answer)
    return 400 <= status < 600 and fields["x-tokenman-request-id"].startswith("req_")


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame of HTTP/2 (RFC 9113 §4.1)."""
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


# -- smuggling --

CHUNKED = "Transfer-Encoding: chunked"
LENGTH = f"Content-Length: {len(BODY)}"
AMBIGUOUS = {
    "length-and-chunked": ([LENGTH, CHUNKED], chunk(BODY) + b"0\r\n\r\n" + SMUGGLED),
    "two-lengths": ([LENGTH, "Content-Length: 3"], BODY + SMUGGLED),
    "two-equal-lengths": ([LENGTH, LENGTH], BODY + SMUGGLED),
    "list-of-lengths": ([f"{LENGTH}, 3"], BODY + SMUGGLED),
    "signed-length": ([f"Content-Length: +{len(BODY)}"], BODY + SMUGGLED),
    "hex-length": (["Content-Length: 0x10"], BODY + SMUGGLED),
    "two-codings": ([CHUNKED, CHUNKED], chunk(BODY) + b"0\r\n\r\n" + SMUGGLED),
    "chunked-twice": (["Transfer-Encoding: chunked, chunked"], chunk(BODY) + b"0\r\n\r\n" + SMUGGLED),
    "chunked-not-last": (["Transfer-Encoding: chunked, identity"], chunk(BODY) + b"0\r\n\r\n" + SMUGGLED),
    "odd-coding": (["Transfer-Encoding: xchunked"], chunk(BODY) + b"0\r\n\r\n" + SMUGGLED),
    "space-before-colon": (["Transfer-Encoding : chunked", LENGTH], BODY + SMUGGLED),
    "folded": (["X-Odd: a", " Transfer-Encoding: chunked", LENGTH, "Content-Length: 0"], BODY + SMUGGLED),
    "folded-coding": (["Transfer-Encoding:", " chunked", LENGTH], chunk(BODY) + b"0\r\n\r\n" + SMUGGLED),
    "bare-cr": (["X-Odd: a\rTransfer-Encoding: chunked", LENGTH], BODY),
    "bare-lf-name": (["X-Odd: a\nContent-Length: 0", LENGTH], BODY + SMUGGLED),
    "nul": (["X-Odd: a\0b", LENGTH], BODY),
    "name-with-space": (["X Odd: a", LENGTH], BODY),
    "no-colon": (["garbage", LENGTH], BODY),
}  # fmt: skip


def only_answer(answer: bytes, status: int = 400) -> bool:
    """One refusal, and the end of the connection behind it."""
    return (
        is_refusal(answer)
        and len(STATUS_LINE.findall(answer)) == 1
        and raw.head(answer)[0] == status
        and raw.head(answer)[1]["connection"] == "close"
    )


STATUS_LINE = re.compile(rb"HTTP/[0-9.]+ [0-9]{3} ")
DONE = chunk(BODY) + b"0\r\n\r\n"
MEGABYTE = b"e" * (1 << 20)
ODD_CHUNKS: dict[str, bytes] = {
    "size-hex": chunk(BODY, b"0x%x" % len(BODY)) + b"0\r\n\r\n",
    "size-sign": chunk(BODY, b"+%x" % len(BODY)) + b"0\r\n\r\n",
    "size-minus": chunk(BODY, b"-1") + b"0\r\n\r\n",
    "size-none": chunk(BODY, b" ") + b"0\r\n\r\n",
    "size-blank-before": chunk(BODY, b" %x" % len(BODY)) + b"0\r\n\r\n",
    "size-huge": chunk(BODY, b"f" * 21) + b"0\r\n\r\n",
    "size-lies": chunk(BODY, b"3") + b"0\r\n\r\n",
    "size-underscore": chunk(BODY, b"1_0") + b"0\r\n\r\n",
    "bare-lf": b"%x\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
    "without-end": b"%x\r\n" % len(BODY) + BODY + b"0\r\n\r\n",
    "later-one": chunk(BODY[:9]) + chunk(BODY[9:], b"x") + b"0\r\n\r\n",
    "extension-of-a-megabyte": chunk(BODY, b"%x;%s" % (len(BODY), MEGABYTE)) + b"0\r\n\r\n",
    "extension-without-end": b"%x;" % len(BODY) + MEGABYTE,
    "extensions-in-all": b"".join(chunk(b"x", b"1;" + b"e" * 4000) for _ in range(100)) + b"0\r\n\r\n",
    "trailers-of-a-megabyte": chunk(BODY) + b"0\r\nx: " + MEGABYTE + b"\r\n\r\n",
    "trailer-without-colon": chunk(BODY) + b"0\r\ngarbage\r\n\r\n",
    "trailer-with-nul": chunk(BODY) + b"0\r\nx: a\0b\r\n\r\n",
}
ODD_LINES = [
    "Transfer-Encoding : chunked", "X-Odd : a", "X Odd: a", " X-Odd: a", ": a", "X-Odd", "X-Odd: a\r\n folded",
    "X-Odd: a\r\n\tfolded", "X-Odd: a\rb", "X-Odd: a\nX-Other: b", "X-Odd: a\0b", "X-\0: a", "X-\x7f: a", "X-(): a",
    "X-\u00e9: a", "Content-Length:", "Content-Length: x", "Content-Length: -1", "Content-Length: 1 2",
    "Content-Length: 0b1", "Content-Length: 1_0", "Content-Length: 1.0", "Transfer-Encoding: gzip",
    "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity", "Transfer-Encoding:",
    "Transfer-Encoding: \x0bchunked", "Transfer-Encoding: chunked;q=1", "Host: api.anthropic.com", "Host:",
]  # fmt: skip
ODD_REQUEST_LINES = {
    "POST /v1/messages HTTP/1.7": 505, "POST /v1/messages HTTP/2.0": 505, "POST /v1/messages HTTP/3.0": 505,
    "POST /v1/messages HTTP/0.9": 505, "PRI * HTTP/2.0": 505, "CONNECT api.anthropic.com:443 HTTP/1.7": 505,
    "POST /v1/messages HTTP/1.10": 400, "POST /v1/messages HTTP/1": 400, "POST /v1/messages http/1.1": 400,
    "POST /v1/messages HTTP/x.y": 400, "POST /v1/messages XTTP/1.1": 400, "POST /v1/messages": 400, "POST": 400,
    "POST /v1/messages ": 400, "POST  /v1/messages HTTP/1.1": 400, "POST\t/v1/messages\tHTTP/1.1": 400,
    " POST /v1/messages HTTP/1.1": 400, "POST /v1/messages HTTP/1.1 ": 400, "POST /v1/messages HTTP/1.1 x": 400,
    "PO\0ST /v1/messages HTTP/1.1": 400, "PO(ST /v1/messages HTTP/1.1": 400, "POST /v1/mess\rages HTTP/1.1": 400,
    "POST /v1/mess\0ages HTTP/1.1": 400, "POST v1/messages HTTP/1.1": 400, "POST http://:0/v1/messages HTTP/1.1": 400,
}  # fmt: skip


def test_a_malformed_request_gets_one_answer_and_the_connection_ends(
    tight: Proxy, provider: FakeProvider, plain: Recorder
) -> None:
    """Whatever it may hide behind itself is no request of its own."""
    targets = ["/v1/messages", "http://api.anthropic.com/v1/messages", f"http://localhost:{plain.port}/v1/messages"]
    cases: dict[str, tuple[bytes, int]] = {}
    for target in targets:
        for name, (lines, data) in AMBIGUOUS.items():
            cases[f"{name} {target}"] = request(target, *lines, data=data), 400
        old = request(target, CHUNKED, data=DONE + SMUGGLED).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        cases[f"old version in chunks {target}"] = old, 400
        for name, data in ODD_CHUNKS.items():
            cases[f"chunk {name} {target}"] = request(target, CHUNKED, data=data + SMUGGLED), 400
        for line in ODD_LINES:
            for framing, data in ((LENGTH, BODY), ("X-A: b", b""), (CHUNKED, DONE)):
                for lines in ([framing, line], [line, framing]):
                    cases[f"{lines!r} {target}"] = request(target, *lines, data=data + SMUGGLED), 400
        bare = request(target, LENGTH, data=b"").replace(b"\r\n", b"\n") + BODY + SMUGGLED
        cases[f"bare line ends {target}"] = bare, 400
        too_large = request(target, f"X-Odd: {'y' * 100_000}", LENGTH, data=BODY + SMUGGLED)
        cases[f"head too large {target}"] = too_large, 431
    without = request(targets[0], LENGTH, data=BODY + SMUGGLED).replace(b"Host: 127.0.0.1\r\n", b"", 1)
    cases["no host"] = without, 400
    for line, status in ODD_REQUEST_LINES.items():
        head = f"{line}\r\nHost: 127.0.0.1\r\n{LENGTH}\r\n\r\n".encode()
        cases[line] = head + BODY + SMUGGLED, status
    wrong = {
        name: answer[:200]
        for name, (data, status) in cases.items()
        if not only_answer(answer := raw.send(tight, data), status)
    }
    assert not wrong
    assert not provider.received
    # What was streamed to a plain host before the fault showed must not be taken for whole, nor hold a second request.
    assert not plain.requests
    assert b"bare" not in plain.seen


@pytest.mark.parametrize(
    "line",
    ["GET", "GET /", "GET / HTTP/1.1 x", "G\x01T / HTTP/1.1", "GET /a b HTTP/1.1", "GET http:// HTTP/1.1",
     "GET http://a b/ HTTP/1.1", "GET ftp://collector.example/ HTTP/1.1", "GET https://collector.example/ HTTP/1.1",
     "GET http://api.anthropic.com@collector.example/ HTTP/1.1", "GET http://x@api.anthropic.com/ HTTP/1.1",
     "GET http://\u0430pi.anthropic.com/ HTTP/1.1", "GET http://\uff41pi.anthropic.com/ HTTP/1.1",
     "CONNECT \uff41pi.anthropic.com:443 HTTP/1.1",
     "GET http://api%2eanthropic.com/ HTTP/1.1", "CONNECT api.anthropic.com HTTP/1.1", "CONNECT api.anthropic.com:0 HTTP/1.1",
     "CONNECT api.anthropic.com:99999 HTTP/1.1", "CONNECT / HTTP/1.1", "CONNECT http://api.anthropic.com/ HTTP/1.1",
     "CONNECT :443 HTTP/1.1",
     "PRI * HTTP/2.0", "OPTIONS * HTTP/1.1", "\x16"],
)  # fmt: skip
def test_a_request_line_that_means_nothing_is_refused_without_naming_the_engine(
    tight: Proxy, provider: FakeProvider, line: str
) -> None:
    answer = raw.send(tight, f"{line}\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    assert is_refusal(answer), answer
    assert not provider.received


def test_pipelined_requests_are_answered_in_order_and_each_is_judged(tight: Proxy, provider: FakeProvider) -> None:
    texts = [f"{number} {MAIL} [[say number {number}]]" for number in range(5)]
    with raw.dial(tight) as connection:
        data = [body(text) for text in texts]
        connection.sendall(b"".join(request("/v1/messages", f"Content-Length: {len(one)}", data=one) for one in data))
        got = b""
        while got.count(b"HTTP/1.1 200") < 5 or b"number 4" not in got:
            got += connection.recv(65536)
    assert [got.index(b'"number %d"' % number) for number in range(5)] == sorted(
        got.index(b'"number %d"' % number) for number in range(5)
    )
    assert len(provider.received) == 5


@pytest.mark.parametrize(
    "trailers", [b"", b"X-Checksum: 1\r\n", b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"]
)
def test_trailers_of_a_request_neither_hang_nor_cut_it(
    tight: Proxy, provider: FakeProvider, plain: Recorder, trailers: bytes
) -> None:
    data = chunk(BODY[:7]) + chunk(BODY[7:], b"%X;ext=1" % len(BODY[7:])) + b"0\r\n" + trailers + b"\r\n"
    with raw.dial(tight) as connection:
        for _ in range(2):  # the connection is good for another one
            connection.sendall(request("/v1/messages", CHUNKED, data=data))
            assert raw.head(raw.answer(connection))[0] == 200
    assert len(provider.received) == 2
    with raw.dial(tight) as connection:
        for _ in range(2):
            connection.sendall(request(f"http://localhost:{plain.port}/", CHUNKED, data=data))
            assert raw.answer(connection) == raw.OK
    assert len(plain.requests) == 2
    assert all(one.endswith(b"\r\n0\r\n\r\n") for one in plain.requests)


def test_an_http2_request_without_length_is_framed(tight: Proxy, provider: FakeProvider) -> None:
    with H2Client(tight) as client:
        streams = [client.post("/v1/messages", BODY, HEADERS, trailers) for trailers in (None, {"x-checksum": "1"})]
        streams.append(client.post("/v1/messages", BODY, HEADERS, length=True))
        client.until(lambda: len(client.ended) == 3)
    assert {client.heads[stream][":status"] for stream in streams} == {"200"}
    assert len(provider.received) == 3
    assert {one.header("content-length") for one in provider.received} == {str(len(provider.received[0].body))}
    assert not provider.strays


@pytest.mark.parametrize("how", ["length", "chunks", "none"])
def test_a_plain_request_arrives_as_one(tight: Proxy, plain: Recorder, how: str) -> None:
    target = f"http://localhost:{plain.port}/x"
    lines, data = {
        "length": ([LENGTH], BODY), "chunks": ([CHUNKED], chunk(BODY) + b"0\r\n\r\n"), "none": (["Content-Length: 0"], b"")
    }[how]  # fmt: skip
    with raw.dial(tight) as connection:
        connection.sendall(request(target, *lines, data=data) * 2)
        assert raw.answers(connection, 2) == [raw.OK, raw.OK]
    assert len(plain.requests) == 2
    assert all(one.endswith(data) for one in plain.requests)


# -- limits and deadlines --


@pytest.mark.parametrize("what", ["size", "count", "one-endless-line", "endless-request-line"])
@pytest.mark.parametrize("to", ["/v1/messages", "http://api.anthropic.com/v1/messages", "plain"])
def test_a_head_over_the_limit_is_431(
    tight: Proxy, provider: FakeProvider, plain: Recorder, what: str, to: str
) -> None:
    target = f"http://localhost:{plain.port}/" if to == "plain" else to
    data = {
        "size": request(target, *(f"X-{n}: {'y' * 1000}" for n in range(70)), LENGTH, data=BODY),
        "count": request(target, *(f"X-{n}: y" for n in range(250)), LENGTH, data=BODY),
        "one-endless-line": request(target)[:-2] + b"X-1: " + b"y" * 100_000,
        "endless-request-line": b"POST " + target.encode() + b"y" * 100_000,
    }[what]
    answer = raw.send(tight, data)
    assert raw.head(answer)[0] == 431
    assert is_refusal(answer)
    assert not provider.received
    assert not plain.requests


def half_tunnel(proxy: Proxy, rest: bytes) -> socket.socket:
    connection = raw.dial(proxy)
    raw.connect(connection, "api.anthropic.com:443")
    connection.sendall(rest)
    return connection


def half(data: bytes) -> Callable[[Proxy], socket.socket]:
    def begin(proxy: Proxy) -> socket.socket:
        connection = raw.dial(proxy)
        connection.sendall(data)
        return connection

    return begin


def after_a_call(proxy: Proxy) -> socket.socket:
    connection = half(request("/v1/messages", LENGTH, data=BODY))(proxy)
    raw.answer(connection)
    return connection


def inside_tls(proxy: Proxy, data: bytes) -> socket.socket:
    connection = proxy.trust().wrap_socket(half_tunnel(proxy, b""), server_hostname="api.anthropic.com")
    connection.sendall(data)
    return connection


STALLS: dict[str, Callable[[Proxy], socket.socket]] = {
    "nothing": half(b""),
    "half-head": half(request("/v1/messages")[:60]),
    "half-body": half(request("/v1/messages", LENGTH, data=BODY[:20])),
    "half-chunk": half(request("/v1/messages", CHUNKED, data=b"ff\r\n{")),
    "half-hello": half(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "kept-alive": after_a_call,
    "half-head-later": lambda proxy: (c := after_a_call(proxy), c.sendall(b"POST /v1"))[0],  # type: ignore[func-returns-value]
    "tunnel": lambda proxy: half_tunnel(proxy, b""),
    "tunnel-one-byte": lambda proxy: half_tunnel(proxy, b"\x16"),
    "tunnel-half-hello": lambda proxy: half_tunnel(proxy, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "tunnel-half-head": lambda proxy: half_tunnel(proxy, b"POST /v1/messages HT"),
    "tls-nothing": lambda proxy: inside_tls(proxy, b""),
    "tls-half-head": lambda proxy: inside_tls(proxy, b"POST /v1/messages HT"),
    "tls-half-body": lambda proxy: inside_tls(proxy, request("/v1/messages", LENGTH, data=BODY[:20])),
}


def test_clients_that_stall_are_cut_at_the_deadline(tight: Proxy, provider: FakeProvider) -> None:
    """All at once, a deadline of one or two seconds each; whoever drips bytes gains nothing."""
    with ExitStack() as stack:
        stalled = {name: stack.enter_context(begin(tight)) for name, begin in STALLS.items()}
        start = time.monotonic()
        late = []
        for name, connection in stalled.items():
            connection.settimeout(max(0.05, start + 4 - time.monotonic()))
            try:
                assert is_refusal(raw.until_closed(connection)), name
            except TimeoutError:
                late.append(name)
    assert not late
    assert time.monotonic() - start > 0.5, "cut before the deadline"


def after_a_stream(proxy: Proxy) -> raw.H2Client:
    client = raw.H2Client(proxy)
    stream = client.post("/v1/messages", BODY, HEADERS)
    client.until(lambda: stream in client.ended)
    return client


HALF_HEAD = HeadersFrame(3, b"\x82").serialize()  # without END_HEADERS
H2_STALLS: dict[str, Callable[[Proxy], Any]] = {
    "no-preface": lambda proxy: raw.h2_socket(proxy),
    "preface": lambda proxy: raw.H2Client(proxy),
    "half-head": lambda proxy: (c := raw.H2Client(proxy), c.send(HALF_HEAD))[0],  # type: ignore[func-returns-value]
    "kept-alive": after_a_stream,
    "half-head-later": lambda proxy: (c := after_a_stream(proxy), c.send(HALF_HEAD))[0],  # type: ignore[func-returns-value]
}


def test_clients_that_stall_over_http2_are_cut_at_the_deadline(tight: Proxy, provider: FakeProvider) -> None:
    with ExitStack() as stack:
        stalled = {name: stack.enter_context(begin(tight)) for name, begin in H2_STALLS.items()}
        end, late = time.monotonic() + 5, []
        for name, connection in stalled.items():
            tls = connection if isinstance(connection, ssl.SSLSocket) else connection.tls
            tls.settimeout(max(0.05, end - time.monotonic()))
            try:
                raw.until_closed(tls)
            except TimeoutError:
                late.append(name)
    assert not late


def test_a_body_that_stalls_over_http2_ends_alone(tight: Proxy, provider: FakeProvider) -> None:
    with raw.H2Client(tight) as client:
        stalled = client.begin("/v1/messages", b"{", HEADERS)
        text = f"[[slow 100ms]] [[say {'word ' * 25}]]"  # longer than the deadline
        slow = client.post("/v1/messages", body(text, stream=True), HEADERS)
        client.until(lambda: {stalled, slow} <= client.ended.keys())
        assert (client.heads[stalled][":status"], client.heads[stalled]["x-tokenman-error"]) == ("408", "timeout")
        assert (client.heads[slow][":status"], client.ended[slow]) == ("200", "end")
        later = client.post("/v1/messages", BODY, HEADERS)
        client.until(lambda: later in client.ended)
        assert client.heads[later][":status"] == "200"
    assert len(provider.received) == 2


def test_a_client_that_drips_its_head_is_cut_too(tight: Proxy, provider: FakeProvider) -> None:
    with raw.dial(tight) as connection:
        start = time.monotonic()
        connection.sendall(b"POST /v1/messages HTTP/1.1\r\n")
        try:
            while time.monotonic() - start < 6:
                connection.sendall(b"x")
                time.sleep(0.1)
        except ConnectionError:
            pass
        assert 1 < time.monotonic() - start < 5


def ordinary(proxy: Proxy) -> float:
    """Seconds that a call takes."""
    start = time.monotonic()
    answer = raw.send(proxy, request("/v1/messages", LENGTH, "Connection: close", data=BODY))
    assert raw.head(answer)[0] == 200, answer
    return time.monotonic() - start


def test_two_hundred_stalled_sockets_do_not_slow_a_call(tight: Proxy, provider: FakeProvider) -> None:
    with ExitStack() as stack:
        for number in range(200):
            stack.enter_context(half([b"", request("/v1/messages")[:60], b"\x16\x03\x01\x02"][number % 3])(tight))
        assert min(ordinary(tight) for _ in range(3)) < 1  # the machine may be busy with other tests


def test_connections_over_the_limit_are_turned_away_and_room_is_given_back(
    shared_provider: FakeProvider, provider: FakeProvider, tmp_path: Path
) -> None:
    """With the usual deadlines: what is closed at once is closed for the limit's sake, not for a deadline's."""
    proxy = Proxy.start(tmp_path, shared_provider.url, limits={"connections": 20})
    with ExitStack() as stack:
        opened = [stack.enter_context(raw.dial(proxy)) for _ in range(30)]
        assert [raw.until_closed(connection) for connection in opened[-10:]] == [b""] * 10
        for connection in opened[:20]:
            connection.setblocking(False)
            with pytest.raises(BlockingIOError):
                connection.recv(1)
    until(lambda: raw.send(proxy, request("/v1/messages", LENGTH, "Connection: close", data=BODY)).startswith(OK_LINE))
    proxy.stop()


# -- clients that leave, and slow ones --


def descriptors(proxy: Proxy) -> int:
    return len(os.listdir(f"/proc/{proxy.process.pid}/fd"))


def memory(proxy: Proxy) -> int:
    """MiB that the process holds."""
    status = Path(f"/proc/{proxy.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def processor_seconds(proxy: Proxy) -> float:
    fields = Path(f"/proc/{proxy.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come about"
        time.sleep(0.02)


def test_a_stream_that_is_reset_ends_alone(tight: Proxy, provider: FakeProvider) -> None:
    """Its upstream is closed at once; its neighbour on the same connection goes on to its end."""
    with H2Client(tight) as client:
        text = f"{MAIL} [[slow 30ms]] [[say {'word ' * 20}$VALUE]]"
        stalled = client.post("/v1/messages", body("[[stall]]", stream=True), HEADERS)
        neighbour = client.post("/v1/messages", body(text, stream=True), HEADERS)
        client.until(lambda: client.bodies[stalled] != b"" and client.bodies[neighbour] != b"")
        assert neighbour not in client.ended
        client.reset(stalled)
        left = time.monotonic()
        assert provider.wait(lambda fake: any(one.client_left for one in fake.received), 5.0)
        assert time.monotonic() - left < 2
        client.until(lambda: neighbour in client.ended)
    assert client.ended[neighbour] == "end"
    assert b"message_stop" in client.bodies[neighbour]
    events = [
        json.loads(line[6:]) for line in client.bodies[neighbour].decode().splitlines() if line.startswith("data: ")
    ]
    said = "".join(one["delta"].get("text", "") for one in events if one["type"] == "content_block_delta")
    assert said.endswith(MAIL)


def test_streams_that_are_begun_and_given_up_without_end_end_the_connection(
    tight: Proxy, provider: FakeProvider
) -> None:
    """And no other one: its neighbours are answered meanwhile."""
    stall, ended, made = body("[[stall first]]", stream=True), 0, 0
    with H2Client(tight) as client:
        client.until(lambda: True)
        try:
            while made < 2000:
                stream = client.post("/v1/messages", stall, HEADERS)
                client.reset(stream)
                made += 1
                if made % 50 == 0:
                    assert ordinary(tight) < 5
        except (ConnectionError, ssl.SSLError):
            ended = made
    assert 200 <= ended < 2000
    # A reset that came in one packet with its request ends the call, too.
    assert provider.wait(lambda fake: all(one.client_left for one in fake.received if b"stall" in one.body))
    assert ordinary(tight) < 5


IDLE_FRAMES = {
    "ping": frame(6, 0, 0, b"12345678"),
    "ping-answer": frame(6, 1, 0, b"12345678"),
    "settings": frame(4, 0, 0, b""),
    "window-sizes": frame(4, 0, 0, b"\x00\x04\x00\x00\x00\x01"),
    "priority": frame(2, 0, 1, b"\x00\x00\x00\x00\x01"),
    "window": frame(8, 0, 0, b"\x00\x00\x00\x01"),
    "unknown": frame(99, 0, 0, b""),
    "empty-data": frame(0, 0, 1, b""),
    "padding": frame(0, 8, 1, b"\x01\x00"),
    "resets": frame(3, 0, 1, b"\x00\x00\x00\x08"),
}


@pytest.mark.parametrize("name", IDLE_FRAMES)
def test_frames_without_end_that_bring_no_call_end_the_connection_and_slow_nobody(
    tight: Proxy, provider: FakeProvider, name: str
) -> None:
    """RFC 9113 §10.5: work for nothing, whether the answers to it are read or not."""
    before, sent = memory(tight), 0
    call = hpack.Encoder().encode(
        [(":method", "POST"), (":scheme", "https"), (":authority", "api.anthropic.com"), (":path", "/v1/messages")]
    )
    used = processor_seconds(tight)
    with raw.h2_socket(tight) as connection:
        connection.sendall(PREFACE + frame(4, 0, 0, b"") + frame(1, 4, 1, call))
        many = IDLE_FRAMES[name] * 500
        try:
            while sent < 64 << 20:
                connection.sendall(many)
                sent += len(many)
        except (ConnectionError, ssl.SSLError):
            pass
    assert sent < 24 << 20, "what the sockets hold, and no more"
    assert memory(tight) - before < 20
    assert processor_seconds(tight) - used < 2
    assert ordinary(tight) < 5


def test_a_frame_that_is_too_long_is_not_waited_for(tight: Proxy, provider: FakeProvider) -> None:
    before = memory(tight)
    with raw.h2_socket(tight) as connection:
        try:
            connection.sendall(PREFACE + frame(4, 0, 0, b"") + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01")
            for _ in range(256):
                connection.sendall(bytes(1 << 16))
        except (ConnectionError, ssl.SSLError):
            pass
        assert raw.until_closed(connection).count(b"mitmproxy") == 0
    assert memory(tight) - before < 10


def test_a_client_that_says_farewell_gets_the_rest_of_its_stream(tight: Proxy, provider: FakeProvider) -> None:
    """RFC 9113 §6.8: Node's `session.close()` says GOAWAY at once, and waits for what runs."""
    with H2Client(tight) as client:
        stream = client.post("/v1/messages", body("[[slow 30ms]]", stream=True), HEADERS)
        client.until(lambda: client.bodies[stream] != b"")
        client.send(frame(7, 0, 0, bytes(8)))
        client.until(lambda: stream in client.ended)
    assert client.ended[stream] == "end"
    assert b"message_stop" in client.bodies[stream]


def test_a_reader_that_asks_for_little_at_a_time_is_served(tight: Proxy, provider: FakeProvider) -> None:
    """Two windows for each event, as many clients send them, are no flood."""
    words = "word " * 1500
    with H2Client(tight) as client:
        for _ in range(2):
            stream = client.post("/v1/messages", body(f"[[say {words}]]", stream=True), HEADERS)
            client.until(lambda stream=stream: stream in client.ended)  # type: ignore[misc]
            assert client.ended[stream] == "end"
            assert b"message_stop" in client.bodies[stream]


def test_headers_that_never_end_end_the_connection_and_take_no_memory(tight: Proxy, provider: FakeProvider) -> None:
    ordinary(tight)
    before, sent = memory(tight), 0
    with raw.h2_socket(tight) as connection:
        # RFC 9113 §6.2, §6.10: HEADERS without END_HEADERS, then CONTINUATION frames that never have it either.
        connection.sendall(PREFACE + frame(4, 0, 0, b"") + frame(1, 0, 1, b""))
        try:
            while sent < 64 << 20:
                connection.sendall(frame(9, 0, 1, bytes([0, 1]) + b"a" + bytes([1]) + b"b") * 500)
                sent += 500 * 14
                connection.sendall(frame(9, 0, 1, b"\x00" * 16000))
                sent += 16000
        except (ConnectionError, ssl.SSLError):
            pass
    assert sent < 16 << 20
    assert memory(tight) - before < 50
    assert ordinary(tight) < 5


@pytest.mark.parametrize("when", ["head", "body", "stream"])
def test_two_hundred_aborts_leave_nothing_open(tight: Proxy, provider: FakeProvider, when: str) -> None:
    ordinary(tight)
    before = descriptors(
        tight
    )  # up to twenty kept connections to the provider among them; of 200 aborts none may add to it
    stall = body("[[stall]]", stream=True)
    for _ in range(8):
        with ExitStack() as stack:
            batch = [stack.enter_context(raw.dial(tight)) for _ in range(25)]
            for connection in batch:
                match when:
                    case "head":
                        connection.sendall(request("/v1/messages")[:50])
                    case "body":
                        connection.sendall(request("/v1/messages", LENGTH, data=BODY[:30]))
                    case "stream":
                        connection.sendall(request("/v1/messages", f"Content-Length: {len(stall)}", data=stall))
            if when == "stream":
                for connection in batch:
                    assert connection.recv(100).startswith(b"HTTP/1.1 200")
    until(lambda: descriptors(tight) <= before + 3)
    if when == "stream":
        assert provider.wait(lambda fake: sum(one.client_left for one in fake.received) == 200)


@pytest.mark.parametrize("way", ["h1", "h2"])
def test_a_slow_reader_does_not_make_memory_grow(tight: Proxy, provider: FakeProvider, flood: Flood, way: str) -> None:
    """Its provider is not read either: what was sent is what lies in the sockets' buffers."""
    ordinary(tight)
    before, flood.sent = memory(tight), 0
    asked = body(f"I am {MAIL}", stream=True)
    path, fields = "/p/flood/v1/chat/completions", f"Content-Length: {len(asked)}"
    with ExitStack() as stack:
        for _ in range(3):
            if way == "h1":
                connection = stack.enter_context(raw.dial(tight))
                connection.sendall(request(path, fields, data=asked))
            else:
                client = stack.enter_context(H2Client(tight, "flood.example"))
                client.post("/v1/chat/completions", asked, HEADERS)
        until(lambda: flood.sent > 500_000)
        sent = -1
        while sent != flood.sent:  # as long as anything moves
            sent = flood.sent
            time.sleep(0.3)
            assert memory(tight) - before < 50
    assert sent < 60 << 20
    until(lambda: flood.open == 0)
