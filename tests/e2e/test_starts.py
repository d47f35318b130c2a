"""Starts under mitmproxy's own tools: options that are refused or forced, and scripts that come back broken."""

import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e import raw
from tests.e2e.harness import ANTHROPIC_KEY, PLANTED, ROOT, Proxy, Tool, command, free_ports
from tests.e2e.test_stages import call, refused, text

MAIL = PLANTED["e-mail"]

BAD_STARTS: dict[str, tuple[list[str], str]] = {
    "mistyped": (["--set", "tokenman_confg=x"], "tokenman_confg"),
    "configured-twice": (["--set", "tokenman_config=/nowhere/tokenman.yaml", "-p", "PORT"], "tokenman_config"),
    "listen-host": (["--listen-host", "0.0.0.0"], "--listen-host 0.0.0.0"),
    "listen-anywhere": (["--mode", "regular@0.0.0.0:PORT"], "0.0.0.0"),
    "upstream": (["--mode", "upstream:http://127.0.0.1:9"], "HTTPS_PROXY"),
    "client-replay": (["--client-replay", "FLOWS"], "client_replay"),
    "server-replay": (["--server-replay", "FLOWS"], "server_replay"),
    "sticky": (["--stickycookie", ".*"], "stickycookie"),
    "insecure": (["--ssl-insecure"], "ssl_insecure"),
    "key-for-providers": (["--set", "client_certs=FLOWS"], "client_certs"),
    "proxyauth": (["--proxyauth", "a:b"], "proxyauth"),
}


def start(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs until it ends, with a port of its own; None of these may come to listen."""
    folder.mkdir()
    (port,) = free_ports(1)
    configuration, flows = folder / "tokenman.yaml", folder / "flows"
    flows.touch()
    configuration.write_text(
        f"{{listen: '127.0.0.1:{port}', data_dir: {folder}/data, admin: {{listen: '127.0.0.1:0'}}}}"
    )
    words = tuple(word.replace("FLOWS", str(flows)).replace("PORT", str(port)) for word in words)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [*command("mitmdump", configuration), *words], capture_output=True, text=True, timeout=60, env=environment, check=False
    )  # fmt: skip
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    return ended


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("starts")
    with ThreadPoolExecutor(3) as pool:
        runs = {name: pool.submit(start, folder / name, *words) for name, (words, _) in BAD_STARTS.items()}
        return {name: run.result() for name, run in runs.items()}


def test_a_bundle_that_cannot_be_imported_does_not_leave_a_proxy_without_it(tmp_path: Path) -> None:
    """As after half an installation: the script is there, one of its packages is not."""
    stub = tmp_path / "somewhere" / "addons" / "tokenman.py"
    stub.parent.mkdir(parents=True)
    stub.write_text((ROOT / "addons" / "tokenman.py").read_text())
    stub.with_name("__init__.py").write_text("import no_such_module_at_all\n")
    (port,) = free_ports(1)
    binary = command("mitmdump", tmp_path)[0]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    ended = subprocess.run(
        [binary, "-s", str(stub), "-p", str(port)], capture_output=True, text=True, timeout=30, env=environment,
        cwd=tmp_path, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "tokenman: " in ended.stderr
    assert "listening at" not in ended.stdout


@pytest.mark.parametrize("name", BAD_STARTS)
def test_a_start_that_would_break_a_promise_ends_with_2(
    ended: dict[str, subprocess.CompletedProcess[str]], name: str
) -> None:
    said = ended[name].stdout + ended[name].stderr
    assert ended[name].returncode == 2, said
    assert BAD_STARTS[name][1] in said
    assert "Traceback" not in said
    assert "listening at" not in said


# -- scripts that come back broken --

STAGE = "async def llm_request(exchange):\n    return None\n"


@pytest.fixture(scope="module")
def reloaded(
    shared_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Proxy, Path, Path]]:
    """With copies of the stub and of a stage that the tests may break; `-p` and `--allow-hosts` are given too."""
    folder = tmp_path_factory.mktemp("reloaded")
    stub, stage = folder / "stub.py", folder / "mine.py"
    stub.write_text((ROOT / "addons" / "tokenman.py").read_text())
    stage.write_text(STAGE)
    (port,) = free_ports(1)
    running = Proxy.start(
        folder, shared_provider.url, tool="mitmdump", scripts=[stub, stage],
        arguments=["-p", str(port), "--allow-hosts", "^collector"],
    )  # fmt: skip
    listened, running.port = running.port, port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", listened), timeout=1)
    yield running, stub, stage
    running.stop(tracebacks=True)


def rewrite(path: Path, content: str, proxy: Proxy, sign: str) -> None:
    """Returns when the proxy has seen it: it looks each second."""
    seen = proxy.log.count(sign)
    path.write_text(content)
    later = time.time() + 5
    os.utime(path, (later, later))  # two versions within one second would look the same
    deadline = time.monotonic() + 15
    while proxy.log.count(sign) == seen and time.monotonic() < deadline:
        time.sleep(0.05)
    assert proxy.log.count(sign) > seen, proxy.log
    time.sleep(0.2)


def tunnelled(proxy: Proxy) -> bytes:
    with raw.opened(proxy) as connection:
        content = b'{"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "%s"}]}' % MAIL.encode()
        head = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nx-api-key: {ANTHROPIC_KEY}\r\nConnection: close\r\n"
        connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(content) + content)
        return raw.until_closed(connection)


@pytest.mark.parametrize("which", ["stub", "stage"])
@pytest.mark.parametrize("broken", ["import no_such_module_at_all\n", "def (:\n", "raise RuntimeError('at import')\n"])
def test_a_script_that_comes_back_broken_stops_all_calls_until_it_is_mended(
    reloaded: tuple[Proxy, Path, Path], provider: FakeProvider, which: str, broken: str
) -> None:
    proxy, stub, stage = reloaded
    path = stub if which == "stub" else stage
    good = path.read_text()
    text(call(proxy))
    rewrite(path, broken, proxy, "Loading script")
    provider.clear()
    refused(call(proxy))
    answer = tunnelled(proxy)
    assert raw.head(answer)[0] == 500
    assert MAIL.encode() not in answer
    assert not provider.received
    rewrite(path, good, proxy, "Loading script")
    assert text(call(proxy)).startswith("You said: ")
    assert raw.head(tunnelled(proxy))[0] == 200


def test_a_script_that_is_taken_away_leaves_the_door_shut(
    reloaded: tuple[Proxy, Path, Path], provider: FakeProvider
) -> None:
    proxy, stub, _ = reloaded
    gone = proxy.log.count("Removing script")
    stub.unlink()
    deadline = time.monotonic() + 15
    while proxy.log.count("Removing script") == gone and time.monotonic() < deadline:
        time.sleep(0.05)
    assert text(call(proxy)).startswith("You said: ")
    assert raw.head(tunnelled(proxy))[0] == 200
    assert MAIL.encode() not in b"".join(one.body for one in provider.received)


def test_it_is_ready_after_little_work(tmp_path: Path, shared_provider: FakeProvider) -> None:
    """Two seconds until it serves, on a machine that does nothing else: of processor time, which others do not take from it."""
    fresh = Proxy.start(tmp_path, shared_provider.url)
    main = psutil.Process(fresh.process.pid)
    took = [sum(one.cpu_times()[:2]) for one in (main, *main.children())]
    assert max(took) < 2, took
    fresh.stop()


def test_help_takes_little_work(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "addons.cli.main", "--help"]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True, timeout=30)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3


@pytest.mark.parametrize("tool", ["up", "mitmdump"])
def test_a_cache_whose_key_cannot_be_had_ends_the_start(tool: Tool, tmp_path: Path) -> None:
    port, admin = free_ports(2)
    configuration = tmp_path / "tokenman.yaml"
    configuration.write_text(
        f"{{listen: '127.0.0.1:{port}', data_dir: {tmp_path}/data, admin: {{listen: '127.0.0.1:{admin}'}},"
        " cache: {mode: all, encrypt: on}}"
    )
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
    }  # fmt: skip
    ended = subprocess.run(
        command(tool, configuration), capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert ended.returncode == 2
    assert "cache.encrypt: on needs a place for its key" in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
