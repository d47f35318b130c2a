import asyncio
import errno
import signal
import socket
import time

import httpx
import pytest
from starlette.testclient import TestClient

from tokenman_core import __version__
from tokenman_core.admin import app, serve
from tokenman_core.config.models import Settings


@pytest.fixture
def settings():
    return Settings(access={"public_names": ["box.example"]}, admin={"listen": "127.0.0.9:7678"})


@pytest.fixture
def client(settings):
    return TestClient(app.make(settings), base_url="http://127.0.0.1:7678", raise_server_exceptions=False)


def test_health_says_ok_and_the_version(client):
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "version": __version__})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/metrics"),
        ("GET", "/api/summary"),
        ("POST", "/health"),
        ("PATCH", "/api/config"),
        ("GET", "/health/x"),
        ("GET", "//health"),
        ("OPTIONS", "/health"),
        ("GET", "/docs"),
    ],
)
def test_nothing_else_answers(client, method, path):
    answer = client.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found"


SERVED = [
    "127.0.0.1",
    "127.0.0.1:7678",
    "localhost",
    "LOCALHOST:80",
    "localhost.",
    "[::1]",
    "[::1]:7678",
    "127.0.0.9",
    "box.example:1",
    "BOX.example",
]
REFUSED = [
    "evil.example",
    "evil.example:7678",
    "127.0.0.1.evil.example",
    "x#@127.0.0.1",
    "127.0.0.1#x@y",
    "127.0.0.1/..",
    "127.0.0.1:7678@evil",
    "10.0.0.1",
    "0.0.0.0",
    "",
    ":7678",
    "[::1]x",
    "[::1",
    "localhost:a",
    "[::1]:a",
    "user@localhost",
    "localhost, evil",
    "xbox.example",
    "[fe80::1]",
]


@pytest.mark.parametrize("host", SERVED)
def test_loopback_names_the_listen_address_and_public_names_are_served(client, host):
    assert client.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", REFUSED)
def test_every_other_host_is_refused(client, host):
    for path in ("/health", "/nothing"):
        answer = client.get(path, headers={"host": host})
        assert answer.status_code == 403
        assert answer.json()["error"]["type"] == "forbidden"


async def raw(address, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(text)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def test_a_request_with_no_host_or_with_two_is_refused(settings):
    server = await serve.serve(app.make(settings), "127.0.0.1", 0)
    try:
        assert b"403" in (await raw(server.address, b"GET /health HTTP/1.0\r\n\r\n")).splitlines()[0]
        two = b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
        assert (await raw(server.address, two)).splitlines()[0].split()[1] in (b"400", b"403")
        upgrade = (
            b"GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n"
        )
        assert b"403" in (await raw(server.address, upgrade)).splitlines()[0]
    finally:
        await server.stop()


async def test_an_error_inside_shows_nothing_of_itself(settings, monkeypatch):
    async def crash(request):
        raise RuntimeError("/secret/path sk-ant-0123456789")

    monkeypatch.setattr(app, "_health", crash)
    client = TestClient(app.make(settings), base_url="http://localhost", raise_server_exceptions=False)
    answer = client.get("/health")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text


async def test_it_serves_prints_nothing_leaves_signals_alone_and_stops(settings, capfd):
    handlers = [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)]
    server = await serve.serve(app.make(settings), "127.0.0.1", 0)
    assert [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)] == handlers
    host, port = server.address
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://{host}:{port}/health")
    assert answer.json()["status"] == "ok"
    assert "server" not in answer.headers
    started = time.monotonic()
    await server.stop()
    await server.stop()
    assert time.monotonic() - started < 2
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection(host, port)
    assert "".join(capfd.readouterr()) == ""
    assert [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)] == handlers


async def test_an_idle_connection_does_not_hold_up_the_stop(settings):
    server = await serve.serve(app.make(settings), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"}")
    await asyncio.wait_for(server.stop(), 5)
    writer.close()


async def test_a_port_that_is_taken_is_an_error_that_names_it(settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use") as caught:
            await serve.serve(app.make(settings), "127.0.0.1", port)
        assert caught.value.errno == errno.EADDRINUSE
    await (await serve.serve(app.make(settings), "127.0.0.1", port)).stop()


async def test_it_listens_on_ipv6_loopback(settings):
    server = await serve.serve(app.make(settings), "::1", 0)
    assert b"200" in (await raw(server.address, b"GET /health HTTP/1.0\r\nHost: [::1]\r\n\r\n")).splitlines()[0]
    await server.stop()
