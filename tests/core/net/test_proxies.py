"""Parent proxies: what the environment says, and calls that go through one."""

import asyncio
import base64
import logging

import pytest

from tests.core.net.conftest import QUICK, Open, body_of, request_to
from tests.core.net.fakes import Authority, Fake, Link, Seen, ok
from tokenman_core.errors import ConfigError
from tokenman_core.net import Guard, Proxies, Request, Upstream, UpstreamError
from tokenman_core.net.proxies import Proxy

HERE = Proxy("p.example", 3128)
BASIC = b"Basic " + base64.b64encode(b"me:s@cret")


@pytest.mark.parametrize(
    ("environ", "https", "http"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": "http://p.example:3128"}, HERE, None),
        ({"https_proxy": "p.example:3128"}, HERE, None),
        ({"https_proxy": "http://p.example:3128", "HTTPS_PROXY": "http://q.example"}, HERE, None),
        ({"HTTP_PROXY": "http://p.example:3128/"}, None, HERE),
        ({"http_proxy": "http://p.example:3128"}, None, HERE),
        ({"HTTP_PROXY": "http://p.example:3128", "REQUEST_METHOD": "GET"}, None, None),
        ({"ALL_PROXY": "http://p.example:3128"}, HERE, HERE),
        ({"ALL_PROXY": "socks5://q.example", "HTTPS_PROXY": "http://p.example:3128", "http_proxy": "q"}, HERE, Proxy("q", 80)),
        ({"HTTPS_PROXY": "  "}, None, None),
        ({"HTTPS_PROXY": "http://p.example"}, Proxy("p.example", 80), None),
        ({"HTTPS_PROXY": "http://[fd00::1]:3128"}, Proxy("fd00::1", 3128), None),
        ({"HTTPS_PROXY": "http://me:s%40cret@p.example:3128"}, Proxy("p.example", 3128, BASIC), None),
    ],
)  # fmt: skip
def test_the_environment_names_the_proxies(environ: dict[str, str], https: Proxy | None, http: Proxy | None) -> None:
    found = Proxies.from_environment(environ)
    assert (found.https, found.http) == (https, http)


@pytest.mark.parametrize(
    "url", ["https://me:hunter2@p.example", "socks5://me:hunter2@p", "http://me:hunter2@p:x", "http://"]
)
def test_a_proxy_that_cannot_be_used_ends_the_start_naming_the_variable_and_no_password(url: str) -> None:
    with pytest.raises(ConfigError, match="HTTPS_PROXY") as caught:
        Proxies.from_environment({"HTTPS_PROXY": url})
    assert "hunter2" not in str(caught.value)


def test_a_password_is_in_no_representation() -> None:
    assert "Basic" not in repr(Proxies.from_environment({"HTTPS_PROXY": "http://me:hunter2@p.example"}))


@pytest.mark.parametrize(
    ("without", "host", "port", "direct"),
    [
        ("", "api.example", 443, False), ("*", "api.example", 443, True), ("api.example", "api.example", 443, True),
        ("API.Example", "api.example", 443, True), ("example", "api.example", 443, True),
        (".example", "api.example", 443, True), (".api.example", "api.example", 443, True),
        ("*.example", "api.example", 443, True), ("pi.example", "api.example", 443, False),
        ("api.example.com", "api.example", 443, False), ("a, b  api.example", "api.example", 443, True),
        ("api.example:443", "api.example", 443, True), ("api.example:80", "api.example", 443, False),
        ("10.0.0.0/8", "10.1.2.3", 443, True), ("10.0.0.0/8", "11.1.2.3", 443, False),
        ("10.0.0.0/8", "api.example", 443, False), ("fd00::/8", "fd00::5", 443, True), ("fd00::5", "fd00::5", 443, True),
        ("[fd00::5]:443", "fd00::5", 443, True), ("[fd00::5]:80", "fd00::5", 443, False), ("1.1.1.1", "1.1.1.1", 1, True),
        ("", "localhost", 80, True), ("", "x.localhost", 80, True), ("", "127.0.0.9", 80, True), ("", "::1", 80, True),
        ("bad/net", "api.example", 443, False), ("api.example.", "api.example.", 443, True),
    ],
)  # fmt: skip
def test_no_proxy_says_what_is_reached_directly(without: str, host: str, port: int, direct: bool) -> None:
    found = Proxies.from_environment({"ALL_PROXY": "http://p.example:3128", "NO_PROXY": without})
    for scheme in ("https", "http"):
        assert found.of(scheme, host, port) == (None if direct else HERE)


def test_our_own_listener_is_left_out_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    found = Proxies(HERE, Proxy("localhost", 7677))
    assert found.without([("localhost", 7677)]) == Proxies(HERE)
    assert "TokenMan itself" in caplog.text


# -- calls through one --


class Named(Open):
    """`api.example` is known to the proxy alone."""

    async def resolve(self, host: str, port: int) -> list[str]:
        assert not host.endswith(".example")
        return await super().resolve(host, port)


async def test_https_goes_through_a_tunnel(authority: Authority) -> None:
    async def reply(link: Link, seen: Seen) -> None:
        await link.send(ok())

    provider = Fake(reply, tls=authority.server("http/1.1", name="api.example"))
    asked: list[bytes] = []

    async def greet(link: Link) -> None:
        asked.append(await link.reader.readuntil(b"\r\n\r\n"))
        reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
        await link.send(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(copy(link.reader, writer), copy(reader, link.writer))

    async with provider, Fake(greet=greet) as proxy:
        proxies = Proxies.from_environment({"HTTPS_PROXY": f"http://me:s%40cret@127.0.0.1:{proxy.port}"})
        pool = Upstream(authority.client(), guard=Named(), proxies=proxies)
        request = Request(
            b"POST", "https", "api.example", 8443, b"/v1", ((b"Proxy-Authorization", b"client's"),), b"{}"
        )
        assert await body_of(pool, request) == b"ok" == await body_of(pool, request)
        assert asked == [
            b"CONNECT api.example:8443 HTTP/1.1\r\nHost: api.example:8443\r\nProxy-Authorization: %s\r\n\r\n" % BASIC
        ]
        assert provider.requests[0].header(b"proxy-authorization") is None
        await pool.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 502 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nand more", b"SSH-2.0\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    ],
)  # fmt: skip
async def test_a_tunnel_that_is_not_opened_is_a_connect_failure(authority: Authority, answer: bytes) -> None:
    async def greet(link: Link) -> None:
        await link.reader.readuntil(b"\r\n\r\n")
        await link.send(answer)
        if answer:
            await link.reader.read()

    async with Fake(greet=greet) as proxy:
        pool = Upstream(authority.client(), guard=Named(), proxies=Proxies(https=Proxy("127.0.0.1", proxy.port, BASIC)))
        with pytest.raises(UpstreamError) as caught:
            await asyncio.wait_for(body_of(pool, Request(b"GET", "https", "api.example", 443, b"/")), 2)
        assert caught.value.kind == "connect"
        assert "Basic" not in str(caught.value)
        assert pool.connections == 0
        await pool.aclose()


async def test_plain_http_tells_the_proxy_the_whole_address() -> None:
    async def reply(link: Link, seen: Seen) -> None:
        await link.send(ok())

    async with Fake(reply) as proxy:
        pool = Upstream(guard=Named(), proxies=Proxies(http=Proxy("127.0.0.1", proxy.port, BASIC)))
        for port, where in ((80, b"http://api.example/v1"), (8080, b"http://api.example:8080/v1")):
            assert await body_of(pool, Request(b"POST", "http", "api.example", port, b"/v1", body=b"{}")) == b"ok"
            seen = proxy.requests[-1]
            assert seen.line == b"POST %s HTTP/1.1" % where
            assert seen.header(b"proxy-authorization") == BASIC
            assert seen.header(b"host") == where.split(b"/")[2]
        await pool.aclose()


async def test_behind_a_proxy_an_inner_destination_is_refused(authority: Authority) -> None:
    async with Fake(greet=lambda link: link.reader.read()) as proxy:  # type: ignore[arg-type,return-value]
        proxies = Proxies(https=Proxy("127.0.0.1", proxy.port), http=Proxy("127.0.0.1", proxy.port))
        pool = Upstream(authority.client(), guard=Guard(), proxies=proxies)
        for scheme, host in (("https", "10.0.0.1"), ("http", "169.254.169.254"), ("https", "0x0a000001")):
            with pytest.raises(UpstreamError) as caught:
                await body_of(pool, Request(b"GET", scheme, host, 443, b"/"))
            assert caught.value.kind == "refused"
        assert not proxy.links
        await pool.aclose()


async def test_a_proxy_that_leads_to_ourselves_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    async def reply(link: Link, seen: Seen) -> None:
        await link.send(ok())

    class Ours(Open):
        def __init__(self, port: int) -> None:
            Guard.__init__(self, [("provider.test", None)], lambda: [("127.0.0.1", port)])

        async def resolve(self, host: str, port: int) -> list[str]:
            return ["127.0.0.1"]

    async with Fake(reply) as provider, Fake(reply) as ourselves:
        pool = Upstream(guard=Ours(ourselves.port), proxies=Proxies(http=Proxy("0.0.0.0", ourselves.port)))
        request = Request(b"GET", "http", "provider.test", provider.port, b"/")
        async with pool.call(request, QUICK) as answer:
            assert answer.status == 200
        assert provider.requests
        assert not ourselves.links
        assert "TokenMan itself" in caplog.text
        await pool.aclose()


async def test_a_destination_on_this_machine_is_reached_directly() -> None:
    async def reply(link: Link, seen: Seen) -> None:
        await link.send(ok())

    async with Fake(reply) as provider:
        pool = Upstream(guard=Open(), proxies=Proxies(http=HERE))
        assert await body_of(pool, request_to(provider)) == b"ok"
        assert provider.requests[0].line == b"POST /v1/messages HTTP/1.1"
        await pool.aclose()
