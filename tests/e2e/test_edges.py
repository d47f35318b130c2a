"""What the proxy refuses, and how: in the form that the program's own library understands, without a word about its inside."""

import gzip
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import httpx
import openai
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import ANTHROPIC_KEY, BODY_LIMIT, OPENAI_KEY, PLANTED, Proxy, claude, gpt, said, user

HEADERS = {"x-api-key": ANTHROPIC_KEY, "content-type": "application/json", "anthropic-version": "2023-06-01"}
OPENAI_HEADERS = {"authorization": f"Bearer {OPENAI_KEY}", "content-type": "application/json"}
CALLS = {"anthropic": ("/v1/messages", HEADERS), "openai": ("/v1/chat/completions", OPENAI_HEADERS)}
INSIDE = re.compile(r"mitmproxy|Traceback|\.py\b|Error\(|exception|127\.0\.0\.1:\d+", re.IGNORECASE)


def body(text: str = "hi", **more: Any) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 9, "messages": user(text)} | more).encode()


def exactly(size: int) -> bytes:
    return body("x" * (size - len(body(""))))


def in_chunks(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), 50_000):
        yield data[at : at + 50_000]


def refused(answer: httpx.Response, dialect: str, status: int, kind: str) -> None:
    """Holds a refusal to its form: the dialect's shape, the kind, a request id, and nothing of the inside."""
    assert (answer.status_code, answer.headers["x-tokenman-error"]) == (status, kind)
    assert answer.headers["x-tokenman-request-id"].startswith("req_")
    assert answer.headers["content-type"].startswith("application/json")
    document = answer.json()
    assert isinstance(document["error"]["message"], str)
    assert isinstance(document["error"]["type"], str)
    assert (document.get("type") == "error") == (dialect == "anthropic")
    assert not INSIDE.search(answer.text)
    assert not [value for value in PLANTED.values() if value in answer.text]


def raw(proxy: Proxy, *lines: str, data: bytes = b"") -> bytes:
    """One request as these lines, and all that comes back until the proxy closes."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("dialect", CALLS)
@pytest.mark.parametrize("framing", [bytes, in_chunks])
def test_a_body_at_the_limit_passes_and_one_byte_more_is_413(
    proxy: Proxy, provider: FakeProvider, dialect: str, framing: Callable[[bytes], Any]
) -> None:
    path, headers = CALLS[dialect]
    fits = httpx.post(proxy.url + path, content=framing(exactly(BODY_LIMIT)), headers=headers)
    assert fits.status_code == 200
    assert len(provider.received[0].body) == BODY_LIMIT
    beyond = httpx.post(proxy.url + path, content=framing(exactly(BODY_LIMIT + 1)), headers=headers)
    refused(beyond, dialect, 413, "body_cap")
    assert len(provider.received) == 1


@pytest.mark.parametrize("dialect", CALLS)
def test_a_body_that_expands_beyond_the_limit_is_413(proxy: Proxy, provider: FakeProvider, dialect: str) -> None:
    path, headers = CALLS[dialect]
    bomb = gzip.compress(exactly(BODY_LIMIT * 8))
    refused(
        httpx.post(proxy.url + path, content=bomb, headers=headers | {"content-encoding": "gzip"}),
        dialect, 413, "body_cap",
    )  # fmt: skip
    assert not provider.received


def test_the_packages_know_our_413_for_what_it_is(proxy: Proxy, provider: FakeProvider) -> None:
    long = user("x" * (BODY_LIMIT + 1))
    with pytest.raises(anthropic.APIStatusError) as refusal:
        claude(proxy, max_retries=2).messages.create(model="m", max_tokens=9, messages=long)
    assert refusal.value.status_code == 413
    with pytest.raises(openai.APIStatusError) as other:
        gpt(proxy, max_retries=2).chat.completions.create(model="m", messages=long)
    assert other.value.status_code == 413
    assert other.value.response.headers["x-should-retry"] == "false"
    assert not provider.received


@pytest.mark.parametrize("dialect", CALLS)
@pytest.mark.parametrize(
    "content",
    [
        b'{"model": "m", "messages": [',
        b"\xef\xbb\xbf" + body(),
        body().decode().encode("utf-16"),
        b'{"model": "m", "messages": [], "messages": [{"role": "user", "content": "' + PLANTED["github"].encode() + b'"}]}',
        b'{"a": "' + PLANTED["card"].encode() + b'\xff"}',
        b'{"a": NaN, "b": ' + b"[" * 100_000,
    ],
    ids=["cut", "bom", "utf16", "duplicate-key", "not-utf8", "deep"],
)  # fmt: skip
def test_json_that_could_be_read_in_two_ways_is_400(
    proxy: Proxy, provider: FakeProvider, dialect: str, content: bytes
) -> None:
    path, headers = CALLS[dialect]
    refused(httpx.post(proxy.url + path, content=content, headers=headers), dialect, 400, "parse")
    assert not provider.received


@pytest.mark.parametrize("host", ["base_url", "proxy"])
def test_a_websocket_is_426_and_the_program_falls_back(proxy: Proxy, provider: FakeProvider, host: str) -> None:
    lines = ["GET /v1/responses HTTP/1.1", f"Host: 127.0.0.1:{proxy.port}", "Connection: Upgrade", "Upgrade: websocket",
             "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
             f"Authorization: Bearer {OPENAI_KEY}"]  # fmt: skip
    if host == "base_url":
        answer = raw(proxy, *lines)
    else:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
            connection.sendall(b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com\r\n\r\n")
            assert b" 200 " in connection.recv(65536)
            with proxy.trust().wrap_socket(connection, server_hostname="api.openai.com") as tunnel:
                lines[1] = "Host: api.openai.com"
                tunnel.sendall("\r\n".join([*lines, "", ""]).encode())
                answer = b"".join(iter(lambda: tunnel.recv(65536), b""))
    head = answer.partition(b"\r\n\r\n")[0].decode().lower()
    assert head.startswith("http/1.1 426")
    assert "connection: close" in head
    assert not provider.received


def test_the_front_page_is_a_line_of_text_and_other_paths_are_404(proxy: Proxy, provider: FakeProvider) -> None:
    front = httpx.get(proxy.url + "/")
    assert (front.status_code, front.headers["content-type"].partition(";")[0]) == (200, "text/plain")
    assert front.text.strip()
    assert "\n" not in front.text.strip()
    assert httpx.head(proxy.url + "/").status_code == 200
    pages = [front, httpx.get(proxy.url + "/favicon.ico"), httpx.post(proxy.url + "/", content=b"x")]
    assert pages[1].status_code == 404
    assert not [page.text for page in pages if INSIDE.search(page.text)]
    assert not provider.received


@pytest.mark.parametrize(
    "lines",
    [
        ["GET http://mitm.it/ HTTP/1.1", "Host: mitm.it", "Connection: close"],
        ["GET /v1/models HTTP/1.1", "Host: evil.example", f"Authorization: Bearer {OPENAI_KEY}", "Connection: close"],
        ["GET http://169.254.169.254/latest/meta-data HTTP/1.1", "Host: 169.254.169.254", "Connection: close"],
        ["NONSENSE", "Host: x"],
        ["POST /v1/messages HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 5", "Content-Length: 6"],
        ["POST /v1/messages HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 5", "Transfer-Encoding: chunked"],
        ["POST /v1/messages HTTP/1.1", "Host: 127.0.0.1", "Transfer-Encoding: chunked, gzip"],
    ],
    ids=["mitm.it", "foreign-host", "metadata", "no-http", "two-lengths", "length-and-chunked",
         "odd-coding"],
)  # fmt: skip
def test_what_is_no_call_is_refused_without_naming_the_engine(
    proxy: Proxy, provider: FakeProvider, lines: list[str]
) -> None:
    answer = raw(proxy, *lines, data=b"0\r\n\r\n" if lines[0].startswith("POST") else b"")
    assert re.match(rb"HTTP/1.1 [45]\d\d", answer), answer[:200]
    assert b"mitmproxy" not in answer.lower()
    assert not provider.received


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "127.1", "2130706433", "[::ffff:127.0.0.1]"]
)
@pytest.mark.parametrize("tunnel", [True, False])
def test_nobody_reaches_this_machines_own_ports_through_it(
    proxy: Proxy, provider: FakeProvider, host: str, tunnel: bool
) -> None:
    """With a listener of somebody else's, and with the proxy's own admin port."""
    request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with FakeProviderNearby() as nearby:
        for port in (nearby.port, proxy.admin_port):
            if tunnel:
                answer = raw(proxy, f"CONNECT {host}:{port} HTTP/1.1", f"Host: {host}:{port}", data=request.encode())
            else:
                answer = raw(
                    proxy, request.replace("/health", f"http://{host}:{port}/health", 1).removesuffix("\r\n\r\n")
                )
            assert b'"ok"' not in answer
        assert nearby.connections == 0


class FakeProviderNearby:
    """A server on loopback that is no provider of the proxy's."""

    def __enter__(self) -> FakeProvider:
        self._fake = FakeProvider().start_in_thread()
        return self._fake

    def __exit__(self, *_: object) -> None:
        self._fake.stop()


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_another_sites_page_cannot_call(proxy: Proxy, provider: FakeProvider, origin: str) -> None:
    answer = httpx.post(proxy.url + "/v1/messages", content=body(), headers=HEADERS | {"origin": origin})
    refused(answer, "anthropic", 403, "forbidden")
    assert "access-control-allow-origin" not in answer.headers
    assert not provider.received


@pytest.mark.parametrize("where", ["http://collector.example/", "//collector.example/x", "https://127.0.0.1:9/"])
def test_a_redirect_off_the_provider_is_not_passed_on(proxy: Proxy, provider: FakeProvider, where: str) -> None:
    answer = httpx.post(proxy.url + "/v1/messages", content=body(f"[[redirect {where}]]"), headers=HEADERS)
    refused(answer, "anthropic", 502, "upstream")
    assert "location" not in answer.headers


@pytest.mark.parametrize("fault", ["reset", "cut"])
@pytest.mark.parametrize("dialect", CALLS)
def test_a_provider_that_breaks_off_is_502(proxy: Proxy, provider: FakeProvider, dialect: str, fault: str) -> None:
    path, headers = CALLS[dialect]
    answer = httpx.post(proxy.url + path, content=body(f"[[{fault} first]]"), headers=headers)
    refused(answer, dialect, 502, "upstream")


@pytest.mark.parametrize("way", ["base_url", "h2"])
@pytest.mark.parametrize("where", ["stall", "stall first"])
def test_a_client_that_leaves_closes_the_upstream_at_once(
    proxy: Proxy, provider: FakeProvider, way: str, where: str
) -> None:
    if way == "base_url":
        client = httpx.Client(base_url=proxy.url, trust_env=False)
    else:
        client = httpx.Client(
            base_url="https://api.anthropic.com", proxy=proxy.url, verify=proxy.trust(only_h2=True), http1=False,
            http2=True, trust_env=False,
        )  # fmt: skip
    content = body(f"[[{where}]] {said('e-mail')}", stream=True)
    if where == "stall":
        with client, client.stream("POST", "/v1/messages", content=content, headers=HEADERS) as answer:
            next(answer.iter_raw())
            left = time.monotonic()
    else:
        with client, pytest.raises(httpx.ReadTimeout):
            client.post("/v1/messages", content=content, headers=HEADERS, timeout=httpx.Timeout(5, read=0.3))
        left = time.monotonic()
    assert provider.wait(lambda fake: fake.received[0].client_left, 5.0)
    assert time.monotonic() - left < 2


def test_curl_over_http2_gets_its_stream_as_it_is_made(proxy: Proxy, provider: FakeProvider) -> None:
    mail = PLANTED["e-mail"]
    command = [
        "curl", "-sSN", "--http2", "-x", proxy.url, "--cacert", str(proxy.certificate), "-w", "%{http_version} %{http_code}",
        "https://api.anthropic.com/v1/messages", "-H", f"x-api-key: {ANTHROPIC_KEY}", "--data-binary", "@-",
    ]  # fmt: skip
    text = f"I am {mail} [[slow 30ms]] [[say {'word ' * 5}$VALUE]]"
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    process.stdin.write(body(text, stream=True))
    process.stdin.close()
    first = process.stdout.readline()
    assert not provider.received[0].answered, "the first event must come before the last is made"
    output = (first + process.stdout.read()).decode()
    assert process.wait() == 0
    assert output.endswith("2 200")
    data = [json.loads(line[6:]) for line in output.splitlines() if line.startswith("data: ")]
    assert "".join(one["delta"].get("text", "") for one in data if one["type"] == "content_block_delta").endswith(mail)


def test_ten_calls_at_once_keep_their_values_apart(proxy: Proxy, provider: FakeProvider) -> None:
    def ask(number: int) -> bool:
        mail = f"person{number}@corp-mail.com"
        text = f"{mail} [[slow 5ms]] [[say {'and ' * 10}$VALUE]]"
        with claude(proxy).messages.stream(model="m", max_tokens=9, messages=user(text)) as stream:
            return stream.get_final_text().endswith(mail)

    with ThreadPoolExecutor(10) as pool:
        assert all(pool.map(ask, range(10)))
