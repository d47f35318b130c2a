"""Only what proves itself is told anything: honest instances, wrong ones, relays, and what comes between."""

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from addons.cli.instance_client import Client, InstanceError, Stranger, connect
from tokenman_core import instance
from tokenman_core.config.models import Settings
from tokenman_core.config.values import Address
from tokenman_core.instance import PROOF_PATH, Instance, Prover, Running

TOKEN = "the-admin-token"


class Server:
    """An admin port as far as a client sees it. `key` None: it proves nothing, but answers all the same."""

    def __init__(self, key: bytes | None) -> None:
        self.seen: list[tuple[str, str | None]] = []  # path, token
        self.closes_after_proof = ""  # "silently", or "said" in a header
        house = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def say(self, status: int, text: str) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                if house.closes_after_proof == "said":
                    self.send_header("connection", "close")
                self.end_headers()
                self.wfile.write(text.encode())

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                house.seen.append((parts.path, self.headers.get("authorization")))
                if parts.path == PROOF_PATH:
                    proofs = Prover(key) if key else Prover(b"a guess")
                    self.say(*proofs.answer(parts.query, Address(*self.request.getsockname()[:2])))
                    self.close_connection = bool(house.closes_after_proof)
                elif parts.path == "/api/events":
                    self.say(200, ': hello\n\ndata: {"a": 1}\n\nevent: x\ndata: {"a": 2}\n\n')
                elif parts.path == "/api/wrong":
                    self.say(403, json.dumps({"error": {"type": "auth", "message": "the token is wrong"}}))
                elif parts.path == "/api/broken":
                    self.say(200, "no json")
                else:
                    self.say(200, json.dumps({"path": self.path}))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                house.seen.append((self.path, self.headers.get("authorization")))
                self.say(200, json.dumps({"got": json.loads(body)}) + "\n\n")

            def do_DELETE(self) -> None:
                house.seen.append((self.path, self.headers.get("authorization")))
                self.say(204, "")

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = Address(*self._server.server_address[:2])  # type: ignore[arg-type]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Relay:
    """Listens elsewhere and passes all on to somebody, bytes for bytes."""

    def __init__(self, there: Address) -> None:
        self._there = there
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address(*self._listener.getsockname())
        self.passed = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection((self._there.host, self._there.port))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self.passed += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def stop(self) -> None:
        self._listener.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "admin-token").write_text(TOKEN + "\n")
    return Settings.model_validate({"data_dir": str(tmp_path)})


@pytest.fixture
def honest(settings: Settings) -> Iterator[Server]:
    server = Server(instance.proof_key(settings))
    yield server
    server.stop()


@pytest.fixture
def stranger() -> Iterator[Server]:
    server = Server(None)
    yield server
    server.stop()


@pytest.fixture
def held(settings: Settings) -> Instance:
    return Instance.take(settings.data_dir)


def connected(settings: Settings, held: Instance, admin: Address, proxy: Address | None = None) -> Client | None:
    held.publish(proxy or admin, admin)
    return connect(settings)


def test_where_nothing_runs_there_is_no_client_and_nothing_is_made(tmp_path: Path) -> None:
    assert connect(Settings.model_validate({"data_dir": str(tmp_path / "none")})) is None
    assert not (tmp_path / "none").exists()


def test_an_instance_that_proves_itself_is_asked_with_the_token(
    settings: Settings, held: Instance, honest: Server
) -> None:
    client = connected(settings, held, honest.address)
    assert client is not None
    assert client.get("/api/x?since=7d") == {"path": "/api/x?since=7d"}
    assert client.post("/api/y", {"a": [1]}) == {"got": {"a": [1]}}
    assert client.delete("/api/z") is None
    assert list(client.lines("/api/events")) == [{"a": 1}, {"a": 2}]
    lease = client.hold("/api/runs", {"program": "x"})
    assert lease.first == {"got": {"program": "x"}}
    lease.close()
    asked = [one for one in honest.seen if one[0] != PROOF_PATH]
    assert [token for _, token in asked] == [f"Bearer {TOKEN}"] * 5
    assert {token for path, token in honest.seen if path == PROOF_PATH} == {None}
    assert honest.seen[0][0] == honest.seen[1][0] == PROOF_PATH  # each connection anew


def test_a_stranger_is_told_nothing(settings: Settings, held: Instance, stranger: Server) -> None:
    assert connected(settings, held, stranger.address) is None
    client = Client(Running(1, stranger.address, stranger.address, "1", "up"), instance.proof_key(settings), TOKEN)
    with pytest.raises(Stranger, match="is not the tokenman of this data folder"):
        client.get("/api/x")
    assert {path for path, _ in stranger.seen} == {PROOF_PATH}
    assert all(token is None for _, token in stranger.seen)


def test_a_stranger_that_relays_to_the_real_one_is_told_nothing(
    settings: Settings, held: Instance, honest: Server
) -> None:
    relay = Relay(honest.address)
    try:
        assert connected(settings, held, relay.address) is None
        client = Client(Running(1, relay.address, relay.address, "1", "up"), instance.proof_key(settings), TOKEN)
        with pytest.raises(Stranger):
            client.post("/api/runs", {"program": "x"})
    finally:
        relay.stop()
    assert PROOF_PATH.encode() in relay.passed  # it did relay
    assert TOKEN.encode() not in relay.passed


def test_the_proxys_port_has_to_prove_itself_too(
    settings: Settings, held: Instance, honest: Server, stranger: Server
) -> None:
    client = connected(settings, held, honest.address, stranger.address)
    assert client is not None
    with pytest.raises(Stranger):
        client.prove_proxy()
    client = connected(settings, held, honest.address, honest.address)
    assert client is not None
    client.prove_proxy()


@pytest.mark.parametrize("how", ["silently", "said"])
def test_a_connection_that_ends_after_its_proof_is_not_opened_again(
    settings: Settings, held: Instance, honest: Server, how: str
) -> None:
    """A stranger could have taken the port in between."""
    client = connected(settings, held, honest.address)
    assert client is not None
    honest.closes_after_proof = how
    with pytest.raises(InstanceError):
        client.get("/api/x")
    assert {path for path, _ in honest.seen} == {PROOF_PATH}


def test_a_port_that_is_silent_or_gone_is_nobody(settings: Settings, held: Instance) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = Address(*server.getsockname())
    assert connected(settings, held, gone) is None


def test_refusals_say_why_and_what_to_do(settings: Settings, held: Instance, honest: Server) -> None:
    client = connected(settings, held, honest.address)
    assert client is not None
    with pytest.raises(InstanceError) as found:
        client.get("/api/wrong?x=1")
    said = str(found.value)
    assert "refused /api/wrong: the token is wrong" in said
    assert "TOKENMAN_ADMIN_TOKEN" in said
    assert TOKEN not in said
    assert not found.value.passing
    with pytest.raises(InstanceError, match="did not answer"):
        client.get("/api/broken")


def test_a_missing_token_is_named(settings: Settings, held: Instance, honest: Server) -> None:
    (settings.data_dir / "admin-token").unlink()
    with pytest.raises(InstanceError, match=r"admin-token cannot be read"):
        connected(settings, held, honest.address)


def test_a_token_of_the_configuration_is_used(tmp_path: Path, honest: Server, held: Instance) -> None:
    given: dict[str, Any] = {"data_dir": str(tmp_path), "admin": {"token": "from-the-configuration"}}
    client = connected(Settings.model_validate(given), held, honest.address)
    assert client is not None
    client.get("/api/x")
    assert honest.seen[-1][1] == "Bearer from-the-configuration"
