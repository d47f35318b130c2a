"""Where a tunnel or a request may lead: providers are governed however spelled, others are blind, nothing is inside."""

import base64
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from addons.demo.provider import FakeProvider
from addons.demo.provider.tls import Authority
from tests.e2e import raw
from tests.e2e.harness import ANTHROPIC_KEY, OPENAI_KEY, PLANTED, Proxy, free_ports, user
from tests.e2e.raw import Recorder

MAIL = PLANTED["e-mail"]
BODY = json.dumps({"model": "m", "max_tokens": 9, "messages": user(f"I am {MAIL}")}).encode()
ALLOWED = "https://app.example"


@pytest.fixture(scope="module")
def front(shared_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Of all that is inside, `localhost` alone may be reached through it."""
    running = Proxy.start(
        tmp_path_factory.mktemp("front"), shared_provider.url, intercept={"private": ["localhost"]},
        access={"allowed_origins": [ALLOWED]}, limits={"client_header_timeout": "1s"},
    )  # fmt: skip
    yield running
    running.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def far(authority: Authority) -> Iterator[Recorder]:
    """A server with a certificate of its own that is no provider."""
    with Recorder(tls=authority.server(protocols=("http/1.1",))) as recorder:
        yield recorder


@pytest.fixture
def near() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder


def post(target: str = "/v1/messages", host: str = "api.anthropic.com", body: bytes = BODY, *more: str) -> bytes:
    lines = [f"POST {target} HTTP/1.1", f"Host: {host}", f"x-api-key: {ANTHROPIC_KEY}", "Connection: close",
             f"Content-Length: {len(body)}", *more]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + body


def served(answer: bytes, provider: FakeProvider) -> None:
    assert raw.head(answer)[0] == 200, answer
    assert f"You said: I am {MAIL}".encode() in answer
    assert len(provider.received) == 1
    assert MAIL.encode() not in provider.received[0].body


def refused(answer: bytes, status: int = 403) -> None:
    code, fields = raw.head(answer)
    assert code == status, answer
    assert fields["x-tokenman-error"]
    assert fields["x-tokenman-request-id"]
    clean(answer)


def clean(answer: bytes) -> None:
    """Nothing of the inside, whatever else it says."""
    for word in (b"mitmproxy", b"traceback", b"exception", b".py", b"errno", b"localhost:", b"127.0.0.1"):
        assert word not in answer.lower(), answer


# -- other hosts --


def test_another_host_is_a_blind_tunnel(front: Proxy, far: Recorder, authority: Authority) -> None:
    """Its own certificate arrives, and its bytes as they were sent."""
    trusts_far = ssl.create_default_context(cafile=str(authority.certificate))
    request = post(host="localhost")
    with (
        raw.tunnel(front, f"localhost:{far.port}") as connection,
        trusts_far.wrap_socket(connection, server_hostname="localhost") as inner,
    ):
        inner.sendall(request)
        assert raw.answer(inner) == raw.OK
    assert far.requests == [request]


def test_a_tunnel_without_tls_is_blind_too(front: Proxy, near: Recorder) -> None:
    with raw.tunnel(front, f"localhost:{near.port}") as connection:
        connection.sendall(post(host="api.anthropic.com"))  # `Host` decides nothing
        assert raw.answer(connection) == raw.OK
    assert near.requests == [post(host="api.anthropic.com")]


def test_the_host_of_a_plain_request_of_a_run_is_judged_as_its_address_is(front: Proxy, near: Recorder) -> None:
    token = (front.data / "admin-token").read_text().strip()
    lease = http.client.HTTPConnection("127.0.0.1", front.admin_port, timeout=20)
    lease.request(
        "POST",
        "/api/runs",
        b'{"program": "bot"}',
        {"authorization": f"Bearer {token}", "content-type": "application/json"},
    )
    told = lease.getresponse()
    mark = json.loads(told.readline())["run"]
    user_ = "Proxy-Authorization: Basic " + base64.b64encode(f"{mark}:run".encode()).decode()
    address = f"localhost:{near.port}"

    def tunnelled(host: str, answer: Callable[[socket.socket], bytes]) -> bytes:
        with raw.dial(front) as connection:
            connection.sendall(f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n{user_}\r\n\r\n".encode())
            assert raw.head(connection.recv(65536))[0] == 200
            connection.sendall(post(host=host))
            return answer(connection)

    refused(raw.send(front, post(f"http://{address}/v1", "api.groq.com", BODY, user_)))
    assert tunnelled("api.groq.com:80", raw.until_closed) == b""
    assert not near.requests
    assert raw.head(raw.send(front, post(f"http://{address}/v1", "a.example", BODY, user_)))[0] == 200
    assert tunnelled("a.example", raw.answer) == raw.OK
    assert len(near.requests) == 2
    told.close()
    lease.close()


def test_a_server_may_speak_first(front: Proxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        with raw.tunnel(front, f"localhost:{server.getsockname()[1]}") as connection:
            there, _ = server.accept()
            with there:
                there.sendall(b"SSH-2.0-there\r\n")
                assert connection.recv(100) == b"SSH-2.0-there\r\n"
                connection.sendall(b"SSH-2.0-here\r\n")
                there.settimeout(5)
                assert there.recv(100) == b"SSH-2.0-here\r\n"


# -- providers, however they are reached --


@pytest.mark.parametrize("port", [443, 80, 8443])
@pytest.mark.parametrize("host", ["api.anthropic.com", "API.Anthropic.COM", "api.anthropic.com."])
@pytest.mark.parametrize("form", ["http", "https", "tls", "plain-in-tunnel"])
def test_a_provider_is_governed_however_it_is_spelled(
    front: Proxy, provider: FakeProvider, host: str, port: int, form: str
) -> None:
    if form in ("http", "https"):
        answer = raw.send(front, post(f"{form}://{host}:{port}/v1/messages", host))
    elif form == "tls":
        with raw.opened(front, f"{host}:{port}") as connection:
            connection.sendall(post(host=host))
            answer = raw.until_closed(connection)
    else:
        with raw.tunnel(front, f"{host}:{port}") as connection:
            connection.sendall(post(host=host))
            answer = raw.until_closed(connection)
    served(answer, provider)


def test_a_tunnel_to_somewhere_is_governed_by_the_name_that_tls_asks_for(
    front: Proxy, provider: FakeProvider, far: Recorder
) -> None:
    with raw.opened(front, f"localhost:{far.port}", "api.anthropic.com") as connection:
        connection.sendall(post())
        served(raw.until_closed(connection), provider)
    assert not far.seen


def test_tls_to_the_listener_itself_is_opened_for_a_provider_alone(front: Proxy, provider: FakeProvider) -> None:
    with (
        raw.dial(front) as connection,
        front.trust().wrap_socket(connection, server_hostname="api.anthropic.com") as inner,
    ):
        inner.sendall(post())
        served(raw.until_closed(inner), provider)
    for name in ("localhost", "collector.example"):
        with raw.dial(front) as connection, pytest.raises(ssl.SSLError):
            front.trust().wrap_socket(connection, server_hostname=name)


def hello(name: str) -> bytes:
    """The first flight of a TLS client that asks for this name."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def in_records(flight: bytes, size: int) -> bytes:
    """The same handshake message, cut into many TLS records (RFC 8446 §5.1 allows it)."""
    message = flight[5:]
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(flight[:3] + len(part).to_bytes(2, "big") + part for part in parts)


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 60])
@pytest.mark.parametrize("records", [0, 16])
@pytest.mark.parametrize("place", ["api.anthropic.com:443", "elsewhere"])
def test_a_hello_in_pieces_is_no_way_around(
    front: Proxy, provider: FakeProvider, near: Recorder, place: str, cut: int, records: int
) -> None:
    """The first `cut` bytes come alone; the far end sees none of it, and the answer is of our own TLS."""
    flight = hello("api.anthropic.com")
    if records:
        flight = in_records(flight, records)
    with raw.tunnel(front, f"localhost:{near.port}" if place == "elsewhere" else place) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(flight[:cut])
        time.sleep(0.05)
        connection.sendall(flight[cut:])
        answer = connection.recv(65536)
    assert answer[:2] == b"\x16\x03", answer[:100]
    assert not near.seen


@pytest.mark.parametrize(
    "garbage", [b"SSH-2.0-x\r\n\r\n", b"\x00\x01\x02\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01\x00\x00",
                b"{}\r\n\r\n"],
    ids=["ssh", "zeros", "no-hello", "empty-record", "json"],
)  # fmt: skip
def test_what_is_neither_http_nor_tls_goes_nowhere(front: Proxy, provider: FakeProvider, garbage: bytes) -> None:
    with raw.tunnel(front) as connection:
        connection.sendall(garbage)
        answer = raw.until_closed(connection)
    clean(answer)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"\x15"))
    assert not provider.received


def test_a_tunnel_inside_a_tunnel_is_refused(front: Proxy, provider: FakeProvider, near: Recorder) -> None:
    with raw.opened(front) as connection:
        connection.sendall(f"CONNECT localhost:{near.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        refused(raw.answer(connection))
    with raw.opened(front) as connection:  # nor does another host in absolute form lead elsewhere
        connection.sendall(post(f"http://localhost:{near.port}/v1/messages"))
        served(raw.until_closed(connection), provider)
    assert not near.connections


# -- no relay, no loop --

INSIDE = [
    "127.0.0.1", "127.1", "127.0.0.1.", "0x7f000001", "2130706433", "017700000001", "0", "0.0.0.0", "LOCALHOST",
    "localhost", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]",
]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
@pytest.mark.parametrize("target", ["listener", "admin", "near"])
def test_no_spelling_leads_inside(front: Proxy, provider: FakeProvider, near: Recorder, host: str, target: str) -> None:
    """Not to ourselves though `localhost` is permitted, and not to a neighbour by another name."""
    port = {"listener": front.port, "admin": front.admin_port, "near": near.port}[target]
    permitted = target == "near" and host.lower() == "localhost"
    with raw.dial(front) as connection:
        answer = raw.connect(connection, f"{host}:{port}")
        if permitted:
            assert raw.head(answer)[0] == 200
        else:
            assert raw.head(answer)[0] in (400, 403)
            clean(answer.replace(b"127.0.0.1", b""))
    lines = f"GET http://{host}:{port}/health HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    status = raw.head(raw.send(front, lines.encode()))[0]
    if permitted:
        assert status == 200
    elif target != "near":  # of ours, in absolute form: as by base URL, where there is no such path
        assert status in (400, 403, 404, 502)
    else:
        assert status in (400, 403, 502)
    assert len(near.requests) == (1 if permitted else 0)
    assert not provider.received


@pytest.mark.parametrize("place", ["169.254.169.254:80", "10.0.0.1:80", "192.168.1.1:443", "[fe80::1]:80", "[fd00::1]:80",
                                   "100.64.0.1:80", "[64:ff9b::7f00:1]:80", "255.255.255.255:80", "mail.example:25"])  # fmt: skip
def test_networks_inside_are_not_reached(front: Proxy, place: str) -> None:
    with raw.dial(front) as connection:
        refused(raw.connect(connection, place))
    answer = raw.send(front, f"GET http://{place}/ HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n".encode())
    assert raw.head(answer)[0] in (403, 502)
    clean(answer)


def test_a_dead_host_is_told_without_naming_the_engine(front: Proxy) -> None:
    (dead,) = free_ports(1)
    with raw.dial(front) as connection:
        refused(raw.connect(connection, f"localhost:{dead}"))
    answer = raw.send(front, f"GET http://localhost:{dead}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert raw.head(answer)[0] == 502
    assert raw.head(answer)[1]["x-tokenman-request-id"]
    clean(answer)


# -- web pages --


def test_a_listed_page_may_ask_and_call_and_others_may_not(front: Proxy, provider: FakeProvider) -> None:
    here = f"127.0.0.1:{front.port}"
    for origin, allowed in ((ALLOWED, True), ("https://evil.example", False), (ALLOWED + ".evil.example", False)):
        asking = (
            f"OPTIONS /v1/messages HTTP/1.1\r\nHost: {here}\r\nOrigin: {origin}\r\nConnection: close\r\n"
            "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-api-key\r\n\r\n"
        )
        answers = [
            raw.send(front, asking.encode()),
            raw.send(front, post("/v1/messages", here, BODY, f"Origin: {origin}")),
        ]
        for answer, status in zip(answers, (204, 200), strict=True):
            code, fields = raw.head(answer)
            if allowed:
                assert code == status
                assert fields["access-control-allow-origin"] == ALLOWED
                assert "origin" in fields["vary"].lower()
            else:
                refused(answer)
                assert "access-control-allow-origin" not in fields
    assert len(provider.received) == 1


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "x@127.0.0.1", "127.0.0.1#@x", "10.0.0.1", ""]
)
def test_a_host_that_is_not_ours_is_403(front: Proxy, provider: FakeProvider, host: str) -> None:
    assert raw.head(raw.send(front, post(host=host)))[0] in (400, 403)
    assert not provider.received


def test_a_provider_that_is_not_configured_is_told(front: Proxy, provider: FakeProvider) -> None:
    lines = [
        "GET /p/nobody/v1/models HTTP/1.1",
        "Host: 127.0.0.1",
        f"authorization: Bearer {OPENAI_KEY}",
        "Connection: close",
    ]
    request = "\r\n".join([*lines, "", ""])
    answer = raw.send(front, request.encode())
    assert raw.head(answer)[0] == 404
    clean(answer)


def test_the_file_of_the_authority_is_not_mitmproxys(front: Proxy) -> None:
    assert not [path for path in Path(front.home).rglob("*") if "mitmproxy" in str(path)]
