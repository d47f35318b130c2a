"""What no policy has a reason to change is not changed, in either direction, by a single byte."""

import gzip
import io
import json
import socket
import zlib
from typing import Any

import brotli
import httpx
import pytest
import zstandard

from addons.demo.provider import FakeProvider
from tests.e2e.harness import ANTHROPIC_KEY, OPENAI_KEY, PLANTED, Proxy, Way, placeholders, said

MAIL = PLANTED["e-mail"]
HEADERS = {"x-api-key": ANTHROPIC_KEY, "content-type": "application/json", "anthropic-version": "2023-06-01"}
ODD = (
    '{ "model":"m",\r\n\t"max_tokens" : 1e1, "unknown": {"z": 1.10, "a": -0.0, "big": 123456789012345678901234567890},'
    ' "messages":[{"role":"user","content":"h\\u00e9llo \\/ \\ud83d\\ude00 é"},{"role" : "user", "content":"hi"}], "stream":%s }\n'
)
WITH_VALUE = ODD.replace('"hi"', f'"I am {MAIL}, é"')
CODINGS: dict[str, Any] = {
    "gzip": gzip.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "deflate": zlib.compress,
    "x-gzip": gzip.compress,
}


@pytest.fixture(params=["base_url", "proxy", "proxy-h2"])
def client(request: pytest.FixtureRequest, proxy: Proxy) -> Any:
    """A plain HTTP client in each of the ways in."""
    if request.param == "base_url":
        return httpx.Client(base_url=proxy.url, trust_env=False)
    h2 = request.param == "proxy-h2"
    trust = proxy.trust(only_h2=h2)
    client = httpx.Client(
        base_url="https://api.anthropic.com", proxy=proxy.url, verify=trust, http1=not h2, http2=h2, trust_env=False
    )

    def check(answer: httpx.Response) -> None:
        assert answer.http_version == ("HTTP/2" if h2 else "HTTP/1.1")

    client.event_hooks = {"response": [check]}
    return client


@pytest.mark.parametrize("stream", ["false", "true"])
def test_an_untouched_call_is_bit_identical_both_ways(
    proxy: Proxy, provider: FakeProvider, client: httpx.Client, stream: str
) -> None:
    body = (ODD % stream).encode()
    through = client.post("/v1/messages", content=body, headers=HEADERS)
    direct = httpx.post(provider.url + "/v1/messages", content=body, headers=HEADERS)
    assert [one.body for one in provider.received] == [body, body]
    numbers = [str(one.number) for one in provider.received]
    same = through.text.replace(f"fake{numbers[0]:0>18}", f"fake{numbers[1]:0>18}")
    assert same == direct.text
    assert through.headers["content-type"] == direct.headers["content-type"]


def test_a_changed_body_is_changed_only_where_the_value_stood(
    proxy: Proxy, provider: FakeProvider, client: httpx.Client
) -> None:
    body = WITH_VALUE % "false"
    assert client.post("/v1/messages", content=body.encode(), headers=HEADERS).status_code == 200
    sent = provider.received[0]
    assert sent.body.decode() == body.replace(MAIL, placeholders(sent)[0])


def test_lone_surrogates_pass_and_values_beside_them_are_masked(
    proxy: Proxy, provider: FakeProvider, client: httpx.Client
) -> None:
    said = r'"[[say ok]] \ud83d %s\udc00"'
    body = ODD.replace('"hi"', said) % (MAIL, "false")
    body = body.replace('"unknown"', rf'"\uD800 {MAIL}": ["\uDFFF"], "unknown"')
    answer = client.post("/v1/messages", content=body.encode(), headers=HEADERS)
    assert answer.status_code == 200, answer.text
    sent = provider.received[0]
    assert sent.body.decode().lower() == body.lower().replace(MAIL, placeholders(sent)[0].lower())


def test_headers_that_nobody_knows_arrive_and_ours_do_not(
    proxy: Proxy, provider: FakeProvider, client: httpx.Client
) -> None:
    own = {
        "Anthropic-Beta": "a-2026-01-01,b-2027-02-02", "X-Unknown": "tomorrow ; é".encode("latin-1"),
        "x-stainless-lang": "python", "User-Agent": "claude-cli/9.9", "accept-encoding": "identity", "x-app": "cli",
    }  # fmt: skip
    ours = {"x-tokenman-project": "p", "x-tokenman-session": "s", "x-tokenman-tags": "a,b"}
    answer = client.post("/v1/messages?beta=true&x=%20a", content=ODD % "false", headers=HEADERS | own | ours)
    assert answer.status_code == 200
    sent = provider.received[0]
    assert sent.target == "/v1/messages?beta=true&x=%20a"
    for name, value in (HEADERS | own).items():
        assert sent.header(name) == (value.decode("latin-1") if isinstance(value, bytes) else value)
    assert not [name for name, _ in sent.headers if "tokenman" in name.lower()]
    assert not {"proxy-authorization", "proxy-connection", "via", "forwarded", "x-forwarded-for"} & {
        name.lower() for name, _ in sent.headers
    }


def test_the_providers_headers_come_back(proxy: Proxy, provider: FakeProvider, client: httpx.Client) -> None:
    directives = "[[header x-of-tomorrow a b]] [[header anthropic-ratelimit-tokens-remaining 9]] [[header x-tokenman-provider no]]"
    body: Any = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": directives}]}
    answer = client.post("/v1/messages", json=body, headers=HEADERS)
    assert (answer.headers["x-of-tomorrow"], answer.headers["anthropic-ratelimit-tokens-remaining"]) == ("a b", "9")
    assert answer.headers["request-id"].startswith("req_011fake")
    assert answer.headers["x-tokenman-request-id"]
    assert answer.headers["x-tokenman-provider"] == "anthropic"


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("touched", [False, True])
def test_request_bodies_are_read_in_their_coding(
    proxy: Proxy, provider: FakeProvider, coding: str, touched: bool
) -> None:
    text = (WITH_VALUE if touched else ODD) % "false"
    packed = CODINGS[coding](text.encode())
    answer = httpx.post(proxy.url + "/v1/messages", content=packed, headers=HEADERS | {"content-encoding": coding})
    assert answer.status_code == 200
    sent = provider.received[0]
    if touched:
        assert MAIL in answer.json()["content"][0]["text"]
        assert sent.decoded.decode() == text.replace(MAIL, placeholders(sent)[0])
    elif coding == "br":  # it may hold blocks that nobody reads
        assert (sent.body, sent.header("content-encoding")) == (text.encode(), None)
    else:
        assert (sent.body, sent.header("content-encoding")) == (packed, coding)


def test_what_a_body_is_packed_with_does_not_go_out(proxy: Proxy, provider: FakeProvider) -> None:
    text = (ODD % "false").encode()
    named = io.BytesIO()
    with gzip.GzipFile(MAIL, "wb", fileobj=named) as packer:
        packer.write(text)
    skipped = b"\x50\x2a\x4d\x18" + len(MAIL).to_bytes(4, "little") + MAIL.encode()
    for coding, packed in (("gzip", named.getvalue()), ("zstd", skipped + zstandard.compress(text))):
        assert MAIL.encode() in packed
        answer = httpx.post(proxy.url + "/v1/messages", content=packed, headers=HEADERS | {"content-encoding": coding})
        assert answer.status_code == 200
        assert (provider.received[-1].body, provider.received[-1].header("content-encoding")) == (text, None)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate"])
@pytest.mark.parametrize("stream", [False, True])
def test_compressed_answers_are_restored(proxy: Proxy, provider: FakeProvider, coding: str, stream: bool) -> None:
    body = {"model": "m", "max_tokens": 1, "stream": stream,
            "messages": [{"role": "user", "content": f"[[{coding}]] {said('e-mail')} [[say <$VALUE>]]"}]}  # fmt: skip
    answer = httpx.post(proxy.url + "/v1/messages", json=body, headers=HEADERS)
    if stream:
        data = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
        text = "".join(one["delta"].get("text", "") for one in data if one["type"] == "content_block_delta")
    else:
        text = answer.json()["content"][0]["text"]
    assert text == f"<{MAIL}>"


def test_untouched_compressed_answers_come_as_they_were(proxy: Proxy, provider: FakeProvider) -> None:
    body = {"model": "m+gzip", "max_tokens": 1, "messages": [{"role": "user", "content": "hello"}]}
    with httpx.stream("POST", proxy.url + "/v1/messages", json=body, headers=HEADERS) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        packed = b"".join(answer.iter_raw())
    assert json.loads(gzip.decompress(packed))["content"][0]["text"] == "You said: hello"


@pytest.mark.parametrize("coding", ["rot13", "gzip, gzip", "gzip"])
def test_a_body_in_a_coding_that_cannot_be_read_is_refused(proxy: Proxy, provider: FakeProvider, coding: str) -> None:
    body = {"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": said("e-mail")}]}
    headers = HEADERS | {"content-encoding": coding}
    answer = httpx.post(proxy.url + "/v1/messages", content=json.dumps(body), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (415, "error")
    assert answer.headers["x-tokenman-error"] == "coding"
    assert not provider.received


@pytest.mark.parametrize("way", ["base_url", "proxy"])
def test_header_names_keep_their_case_and_order(proxy: Proxy, provider: FakeProvider, way: Way) -> None:
    target = "/v1/messages" if way == "base_url" else "http://api.anthropic.com/v1/messages"
    host = f"127.0.0.1:{proxy.port}" if way == "base_url" else "api.anthropic.com"
    body = (ODD % "false").encode()
    lines = [f"POST {target} HTTP/1.1", f"Host: {host}", "X-Api-Key: " + ANTHROPIC_KEY, "X-Zeta: 1", "x-Alpha: 2",
             "X-Zeta: 3", f"Content-Length: {len(body)}", "Connection: close"]  # fmt: skip
    with socket.create_connection(("127.0.0.1", proxy.port)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    kept = [pair for pair in provider.received[0].headers if pair[0].lower() in ("x-zeta", "x-alpha")]
    assert kept == [("X-Zeta", "1"), ("x-Alpha", "2"), ("X-Zeta", "3")]


def test_a_mixed_call_to_openai_is_untouched(proxy: Proxy, provider: FakeProvider) -> None:
    body = b'{"messages":[{"role":"user","content":"hi"}],"model":"m","new_option":[1,2,{"k":null}],"seed":7}'
    headers = {"authorization": f"Bearer {OPENAI_KEY}", "openai-organization": "org-1", "idempotency-key": "k"}
    assert httpx.post(proxy.url + "/v1/chat/completions", content=body, headers=headers).status_code == 200
    assert provider.received[0].body == body
    assert provider.received[0].header("openai-organization") == "org-1"
