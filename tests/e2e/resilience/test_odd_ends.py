"""Answers without a body, with trailers, with hints before them; clients that wait to be told, leave in any phase or half leave."""

import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from hyperframe.frame import HeadersFrame

from tests.core.net.fakes import Authority
from tests.e2e import raw
from tests.e2e.harness import ANTHROPIC_KEY, Proxy
from tests.e2e.raw import H2Client
from tests.e2e.resilience import table
from tests.e2e.resilience.house import HEADERS, body, metric, post, start, until
from tests.e2e.resilience.table import GOOD, JSON, SSE
from tests.e2e.resilience.upstreams import Script, Upstream, Upstreams, Version, Wire
from tokenman_core.ledger import LedgerReader

CLOSE_S = 2.0  # a client that leaves closes the upstream within a second; the other is for two slow cores


def bodiless(status: int, length: str) -> Script:
    """With the length that a body would have, and a good answer after it on the same connection."""

    async def script(wire: Wire) -> None:
        if wire.seen.path.endswith("/good"):
            await table.good_whole(wire)
        elif hasattr(wire, "_conn"):
            told = [("content-length", length)] if length else []
            wire._conn.send_headers(wire._stream, [(":status", str(status)), *told], end_stream=True)  # type: ignore[attr-defined]
            wire._flush()  # type: ignore[attr-defined]
        else:
            told1 = f"Content-Length: {length}\r\n" if length else ""
            await wire.raw(f"HTTP/1.1 {status} X\r\n{told1}\r\n".encode())
            wire.goes_on = True  # type: ignore[attr-defined]

    return script


async def with_trailers(wire: Wire) -> None:
    stream = wire.seen.body.startswith(b'{"stream"')
    await wire.head(200, SSE if stream else JSON)
    for piece in table.STREAM if stream else [table.WHOLE]:
        await wire.data(piece)
    if hasattr(wire, "_conn"):
        block = wire._conn.encoder.encode([("x-checksum", "abc")])
        await wire.raw(HeadersFrame(wire._stream, block, flags=["END_HEADERS", "END_STREAM"]).serialize())  # type: ignore[attr-defined]
    else:
        await wire.raw(b"0\r\nX-Checksum: abc\r\n\r\n")
        wire.goes_on = True  # type: ignore[attr-defined]


async def with_hints(wire: Wire) -> None:
    if hasattr(wire, "_conn"):
        wire._conn.send_headers(wire._stream, [(":status", "103"), ("link", "</a>")])  # type: ignore[attr-defined]
    else:
        await wire.raw(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n"
        )
    await table.good_whole(wire)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


VERSIONS: list[Version] = ["1.1", "2"]
SCRIPTS: dict[str, Script] = {
    "empty-204": bodiless(204, ""),
    "empty-304": bodiless(304, "700"),
    "empty-head": bodiless(200, "700"),
    "trailers": with_trailers,
    "hints": with_hints,
    "silent": table.before_the_head("stall"),
    "in-head": table.within_the_head("stall"),
    "in-body": table.in_the_body("stall", 100),
    "in-stream": table.in_the_stream("stall", *table.SAID),
    "in-pings": table.in_the_stream("stall", table.PING),
    "waits": table.status(503, ("Retry-After", "20")),
}


@pytest.fixture(scope="module")
def upstreams(authority: Authority) -> dict[str, Upstream]:
    secure = authority.server("h2")
    return {
        f"{name}-{version[0]}": Upstream([script], version, secure if version == "2" else None)
        for name, script in SCRIPTS.items()
        for version in VERSIONS
    }


@pytest.fixture(scope="module")
def proxy(
    authority: Authority, upstreams: dict[str, Upstream], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    hosts = {name: {"hosts": [f"{name}.example"]} for name in upstreams}
    with Upstreams() as them:
        running = start(
            tmp_path_factory.mktemp("ends"), them, upstreams, hosts, environment={"SSL_CERT_FILE": str(authority.pem)},
            breaker={"failures": 100_000, "min_calls": 0},
        )  # fmt: skip
        yield running
        running.stop()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "method", "length"), [("204", "GET", None), ("304", "GET", "700"), ("head", "HEAD", "700")]
)
def test_an_answer_without_a_body_ends_where_it_ends_and_the_next_follows_on_its_connection(
    proxy: Proxy, upstreams: dict[str, Upstream], version: Version, name: str, method: str, length: str | None
) -> None:
    upstream = upstreams[f"empty-{name}-{version[0]}"]
    url = f"{proxy.url}/p/empty-{name}-{version[0]}/v1/models"
    with httpx.Client(headers=HEADERS, trust_env=False, timeout=20) as client:
        for _ in range(2):
            empty = client.request(method, url)
            assert (empty.status_code, empty.content) == (200 if name == "head" else int(name), b"")
            assert empty.headers.get("content-length") == length
            good = client.get(f"{url}/good")
            assert (good.status_code, good.content) == (200, GOOD["whole"])
    assert {one.connection for one in upstream.requests} == {1}
    with H2Client(proxy, f"empty-{name}-{version[0]}.example") as asking:
        stream = asking.get("/v1/models", HEADERS, method=method)
        asking.until(lambda: stream in asking.ended)
        assert asking.heads[stream][":status"] == ("200" if name == "head" else name)
        assert (asking.ended[stream], asking.bodies[stream]) == ("end", b"")


@pytest.mark.parametrize("mode", ["whole", "stream"])
@pytest.mark.parametrize("version", VERSIONS)
def test_trailers_end_an_answer_and_reach_clients_of_http2(
    proxy: Proxy, upstreams: dict[str, Upstream], version: Version, mode: table.Mode
) -> None:
    name = f"trailers-{version[0]}"
    for _ in range(2):
        plain = post(proxy, name, mode)
        assert (plain.status_code, plain.content) == (200, GOOD[mode])
    with H2Client(proxy, f"{name}.example") as asking:
        stream = asking.post("/v1/messages", body(mode), HEADERS)
        asking.until(lambda: stream in asking.ended)
        assert (asking.ended[stream], asking.bodies[stream]) == ("end", GOOD[mode])
        assert asking.trailers[stream] == {"x-checksum": "abc"}


@pytest.mark.parametrize("version", VERSIONS)
def test_hints_are_no_answer(proxy: Proxy, version: Version) -> None:
    for _ in range(2):
        answer = post(proxy, f"hints-{version[0]}")
        assert (answer.status_code, answer.content) == (200, GOOD["whole"])
        assert answer.headers["x-tokenman-attempts"] == "1"


def test_a_client_that_expects_to_be_told_to_go_on_is_told_once(proxy: Proxy) -> None:
    content = body("whole")
    head = f"POST /p/hints-1/v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: {ANTHROPIC_KEY}\r\nExpect: 100-continue\r\n"
    with raw.dial(proxy) as connection:
        connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode())
        told = connection.recv(65536)
        assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(content)
        answer = raw.answer(connection)
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(GOOD["whole"])
        refused = head.encode() + b"Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"
        connection.sendall(refused)
        assert raw.until_closed(connection).startswith(b"HTTP/1.1 413"), "and not told to send what is too large"


PHASES = ["silent", "in-head", "in-body", "in-stream", "in-pings", "waits"]


@pytest.mark.parametrize("way", ["base-url", "h2"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("phase", PHASES)
def test_a_client_that_leaves_in_any_phase_closes_the_upstream_and_leaves_one_row(
    proxy: Proxy, upstreams: dict[str, Upstream], phase: str, version: Version, way: str
) -> None:
    name = f"{phase}-{version[0]}"
    upstream, content = upstreams[name], body("whole" if phase == "in-body" else "stream")
    reader = LedgerReader(proxy.data / "ledger.db")
    before, rows = len(upstream.requests), len([row for row in reader.page(limit=200).rows if row.provider == name])
    head = f"POST /p/{name}/v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: {ANTHROPIC_KEY}\r\n"
    if way == "h2":
        client = H2Client(proxy, f"{name}.example")
        stream = client.post("/v1/messages", content, HEADERS)
        until(lambda: len(upstream.requests) > before)
        time.sleep(0.1)
        client.reset(stream)
    else:
        connection = raw.dial(proxy)
        connection.sendall(
            f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
        )
        until(lambda: len(upstream.requests) > before)
        time.sleep(0.1)
        connection.close()
    left = time.monotonic()
    if phase != "waits":
        until(lambda: upstream.requests[-1].left)
        assert upstream.requests[-1].left - left < CLOSE_S
    own = until(lambda: [row for row in reader.page(limit=200).rows if row.provider == name][: -rows or None])
    assert len(own) == 1
    assert (own[0].outcome, own[0].error) == ("aborted", "")
    until(lambda: not +metric(proxy, "tokenman_active_requests"))
    assert len(upstream.requests) == before + 1
    if way == "h2":
        client.__exit__()


def test_a_client_that_closes_its_side_alone_has_left(proxy: Proxy, upstreams: dict[str, Upstream]) -> None:
    """That it still reads cannot be told from its leaving, which is to close the upstream at once."""
    content = body("stream")
    head = f"POST /p/silent-1/v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: {ANTHROPIC_KEY}\r\n"
    before = len(upstreams["silent-1"].requests)
    with raw.dial(proxy) as connection:
        connection.sendall(
            f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
        )
        until(lambda: len(upstreams["silent-1"].requests) > before)
        connection.shutdown(socket.SHUT_WR)
        until(lambda: upstreams["silent-1"].requests[-1].left)
        assert raw.until_closed(connection) == b""
