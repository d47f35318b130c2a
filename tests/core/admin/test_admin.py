import asyncio
import contextlib
import errno
import signal
import socket
import time

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from tokenman_core import __version__
from tokenman_core.admin import pages, serve
from tokenman_core.admin.readiness import Ask, Status


@pytest.fixture
def application(admin):
    admin.settings = {"access": {"public_names": ["box.example"]}, "admin": {"listen": "127.0.0.9:7678"}}
    return admin.app()


@pytest.fixture
def client(application):
    return TestClient(application, base_url="http://127.0.0.1:7678")


def test_health_says_ok_and_the_version(client):
    answer = client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "version": __version__})


@pytest.mark.parametrize("path", ["/health/x", "/docs", "/openapi.json", "/static/", "/static/x.js", "/favicon.ico"])
def test_nothing_else_answers(client, path):
    answer = client.get(path)
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found")


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_another_method_is_refused_and_the_right_one_named(client, method):
    answer = client.request(method, "/health")
    assert (answer.status_code, answer.json()["error"]["type"]) == (405, "method")
    assert "GET" in answer.headers["allow"]


# -- readiness --


def test_ready_is_503_once_a_check_fails_and_names_it(admin, client):
    trouble = [None]
    admin.checks = [Ask("ledger", lambda: trouble[0], "calls are recorded")]
    client = TestClient(admin.app(), base_url="http://localhost")
    assert (client.get("/health/ready").status_code, client.get("/health/ready").json()["status"]) == (200, "ready")
    trouble[0] = "the disk is full: make room"
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "unready")
    assert answer.json()["checks"] == {"ledger": {"status": "failed", "message": "the disk is full: make room"}}
    assert client.get("/health").status_code == 200


class Gone:
    name, outside = "provider:anthropic", True

    async def __call__(self):
        return Status("failed", "gone")


def test_a_balancer_is_not_told_of_providers(admin):
    admin.checks = [Gone()]
    client = TestClient(admin.app(), base_url="http://localhost")
    assert client.get("/health/ready").status_code == 503
    assert client.get("/health/ready?for=balancer").json() == {"status": "ready", "checks": {}, "tasks": {}}
    answer = client.get("/health/ready?for=kubernetes")
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "for")


# -- metrics --


def test_metrics_come_in_the_format_that_is_asked_for(client):
    plain, other = client.get("/metrics"), client.get("/metrics", headers={"accept": "application/openmetrics-text"})
    assert plain.headers["content-type"].startswith("text/plain; version=")
    assert other.headers["content-type"].startswith("application/openmetrics-text; version=")
    assert "tokenman_build_info" in plain.text
    assert other.text.endswith("# EOF\n")


# -- the dashboard's files --


@pytest.fixture
def files(tmp_path, monkeypatch):
    folder = tmp_path / "inside" / "static"
    folder.mkdir(parents=True)
    monkeypatch.setattr(pages, "FOLDER", folder)
    return folder


def test_files_are_served_under_their_types(files, client):
    for name, kind in (
        ("index.html", "text/html; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("favicon.svg", "image/svg+xml"),
    ):
        (files / name).write_text(f"this is {name}")
        answer = client.get(f"/static/{name}")
        assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, f"this is {name}", kind)
    assert client.get("/").text == "this is index.html"


def test_without_a_page_the_way_to_the_api_is_said(files, client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert "/api" in answer.text


@pytest.mark.parametrize(
    "name",
    ["../secret.js", "..%2fsecret.js", "%2e%2e/secret.js", "secret.txt", ".hidden.js", "app.js%00", "a/b.js", "UP.JS"],
)
def test_no_other_file_is_served(files, client, name):
    for path in (files.parent / "secret.js", files / "secret.txt", files / ".hidden.js", files / "UP.JS"):
        path.write_text("secret")
    (files / "a").mkdir()
    (files / "a" / "b.js").write_text("secret")
    answer = client.get(f"/static/{name}")
    assert answer.status_code == 404
    assert "secret" not in answer.text.replace("secret.", "")


# -- hosts --


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


async def test_a_request_with_no_host_or_with_two_is_refused(application):
    server = await serve.serve(application, "127.0.0.1", 0)
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


def test_an_error_inside_shows_nothing_of_itself_and_is_told_in_the_log_under_the_same_id(admin, caplog):
    async def crash(request):
        raise RuntimeError("/secret/path sk-ant-0123456789")

    admin.routes = [Route("/crash", crash)]
    client = TestClient(admin.app(), base_url="http://localhost")
    answer = client.get("/crash")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "internal")
    for trace in ("secret", "RuntimeError", "sk-ant"):
        assert trace not in answer.text
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("tokenman")]
    assert answer.headers["x-tokenman-request-id"] in line
    assert answer.headers["x-tokenman-request-id"] in answer.text
    assert "RuntimeError" in line
    assert "sk-ant" not in line
    assert client.get("/health").status_code == 200


async def test_it_serves_prints_nothing_leaves_signals_alone_and_stops(application, capfd):
    handlers = [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)]
    server = await serve.serve(application, "127.0.0.1", 0)
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


async def test_an_idle_connection_does_not_hold_up_the_stop(application):
    server = await serve.serve(application, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"}")
    await asyncio.wait_for(server.stop(), 5)
    writer.close()


async def test_a_port_that_is_taken_is_an_error_that_names_it(application):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use") as caught:
            await serve.serve(application, "127.0.0.1", port)
        assert caught.value.errno == errno.EADDRINUSE
    await (await serve.serve(application, "127.0.0.1", port)).stop()


async def test_it_listens_on_ipv6_loopback(application):
    server = await serve.serve(application, "::1", 0)
    assert b"200" in (await raw(server.address, b"GET /health HTTP/1.0\r\nHost: [::1]\r\n\r\n")).splitlines()[0]
    await server.stop()


# -- connections that hold its places --


async def asks(port: int, head: str = "GET /health") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{head} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(10):
        said = await reader.readline()
    writer.close()
    return said


async def test_connections_that_ask_nothing_make_room_for_one_that_does(application):
    server = await serve.serve(application, "127.0.0.1", 0)
    port = server.address[1]
    held = []
    try:
        login = b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        for opening in [b"", b"GET /he", login] * 50:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(opening)
            held.append((reader, writer))
        for _ in range(3):
            assert await asks(port) == b"HTTP/1.1 200 OK\r\n"
        async with asyncio.timeout(10):
            for reader, _ in held[:50]:
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
    finally:
        for _, writer in held:
            writer.close()
        await server.stop()


async def test_those_that_are_answered_keep_their_places(admin, monkeypatch):
    monkeypatch.setattr(serve, "_MOST_CONNECTIONS", 3)
    over, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def slow(request):
        begun.release()
        await over.wait()
        return PlainTextResponse("done")

    admin.routes = [Route("/slow", slow)]
    server = await serve.serve(admin.app(), "127.0.0.1", 0)
    try:
        slows = [asyncio.create_task(asks(server.address[1], "GET /slow")) for _ in range(3)]
        for _ in slows:
            await begun.acquire()
        assert (await asks(server.address[1])).startswith(b"HTTP/1.1 503")
        over.set()
        assert await asyncio.gather(*slows) == [b"HTTP/1.1 200 OK\r\n"] * 3
        assert await asks(server.address[1]) == b"HTTP/1.1 200 OK\r\n"
    finally:
        await server.stop()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /he",
        b"POST /api/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he",
    ],
    ids=["nothing", "half a head", "half a body", "half a second head"],
)
async def test_a_request_has_its_time_and_a_byte_now_and_then_wins_none(application, monkeypatch, said):
    monkeypatch.setattr(serve, "WAIT_S", 0.3)
    server = await serve.serve(application, "127.0.0.1", 0)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.address[1])
        writer.write(said)
        read = asyncio.create_task(reader.read())
        async with asyncio.timeout(4):  # less than an idle connection has between two requests
            while not read.done():
                await asyncio.sleep(0.05)
                if said:
                    writer.write(b"x")
        writer.close()
    finally:
        await server.stop()
