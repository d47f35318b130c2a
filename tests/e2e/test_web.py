"""`tokenman web`: mitmweb over the same door, to look into calls, of which it shows what left."""

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import PLANTED, Proxy, claude, command, forms, placeholders, user

MAIL = PLANTED["e-mail"]


@pytest.fixture(scope="module")
def web(shared_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    running = Proxy.start(tmp_path_factory.mktemp("web"), shared_provider.url, tool="web")
    yield running
    running.stop()


def page(proxy: Proxy) -> tuple[str, str]:
    """mitmweb's address and its token, as they are printed."""
    found = re.search(
        r"mitmweb shows the calls, as masked as they left, at (http://\S+)\?token=(\w+)$", proxy.log, re.M
    )
    assert found, proxy.log
    return found[1], found[2]


def test_its_address_is_printed_and_is_of_use_only_with_its_token(web: Proxy) -> None:
    address, token = page(web)
    assert httpx.get(address, params={"token": token}).status_code == 200
    assert httpx.get(f"{address}flows").status_code == 403
    assert "No web browser found" not in web.log, "none is opened where nobody looks"


def test_it_shows_calls_as_they_left(web: Proxy, provider: FakeProvider) -> None:
    address, token = page(web)
    answer: Any = claude(web).messages.create(model="m", max_tokens=9, messages=user(f"I am {MAIL}"))
    assert answer.content[0].text == f"You said: I am {MAIL}"
    with httpx.Client(base_url=address, headers={"authorization": f"Bearer {token}"}) as client:
        (flow,) = client.get("flows").json()
        said = client.get(f"flows/{flow['id']}/request/content.data").content
        heard = client.get(f"flows/{flow['id']}/response/content.data").content
    assert placeholders(provider.received[0])[0].encode() in said
    for form in forms(MAIL):
        assert form not in said + heard


def test_a_signal_ends_it_and_what_is_in_the_way_has_its_exit_code(
    tmp_path: Path, shared_provider: FakeProvider
) -> None:
    running = Proxy.start(tmp_path, shared_provider.url, tool="web")
    words = command("web", tmp_path / "tokenman.yaml")
    second = subprocess.run(words, capture_output=True, text=True, timeout=30, env={"HOME": str(tmp_path)}, check=False)
    assert second.returncode == 3
    assert f"another tokenman is running already, process {running.process.pid}" in second.stderr
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(15) == 0
    assert "Traceback" not in running.log
    (tmp_path / "tokenman.yaml").write_text("redaktion: {}")
    wrong = subprocess.run(words, capture_output=True, text=True, timeout=30, env={"HOME": str(tmp_path)}, check=False)
    assert wrong.returncode == 2
    assert "redaktion" in wrong.stderr
