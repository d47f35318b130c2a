"""A user's own script joins the chain behind redaction; whatever it does wrong, nothing planted gets past."""

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import PLANTED, WAYS, Proxy, Way, claude, placeholders, user

MAIL = PLANTED["e-mail"]
SCRIPT = f'''
"""Does what the text asks for."""

import asyncio

from tokenman_core.verdicts import Refuse


def wishes(exchange):
    return " ".join(slot.text for slot in exchange.body.slots)


async def llm_request(exchange):
    wished = wishes(exchange)
    if "please tell" in wished:
        exchange.body.slots[-1].text += " (in clear)" if "{MAIL}" in wished else " (masked)"
    if "please note" in wished:
        exchange.body.slots[-1].text += " {MAIL}"
    if "please raise" in wished:
        raise RuntimeError("the value was {MAIL}")
    if "please refuse" in wished:
        return Refuse(400, "injection", "not today")
    if "please nonsense" in wished:
        return 42


def llm_event(exchange, event):
    if "please break" in wishes(exchange):
        raise RuntimeError("the value was {MAIL}")


def request(flow):
    content = flow.request.content or b""
    if b"please hook" in content:
        raise RuntimeError("a hook of mitmproxy's own")
    if b"please rewrite" in content:
        flow.request.content = content.replace(b"rewrite", b"rewrite {MAIL}")
    if b"please redirect" in content:
        flow.request.host, flow.request.port, flow.request.scheme = "127.0.0.1", PORT, "http"
    if b"please stream" in content:
        flow.request.stream = True


def requestheaders(flow):
    if "stream-it" in flow.request.headers:
        flow.request.stream = True
'''


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[FakeProvider]:
    """Where a script would send calls behind the proxy's back."""
    fake = FakeProvider().start_in_thread()
    yield fake
    fake.stop()


@pytest.fixture(scope="module")
def scripted(
    shared_provider: FakeProvider, elsewhere: FakeProvider, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("scripted")
    script = folder / "mine.py"
    script.write_text(SCRIPT.replace("PORT", str(elsewhere.port)))
    running = Proxy.start(folder, shared_provider.url, tool="mitmdump", scripts=(script,))
    yield running
    # Its own mistakes may stand in the log, what it said in them may not.
    running.stop(tracebacks=True)


def ask(proxy: Proxy, way: Way, wish: str, **more: Any) -> Any:
    messages = user(f"I am {MAIL}, please {wish}")
    return claude(proxy, way, **more).messages.create(model="m", max_tokens=9, messages=messages)


@pytest.mark.parametrize("way", WAYS)
def test_a_script_sees_what_the_provider_sees(scripted: Proxy, provider: FakeProvider, way: Way) -> None:
    assert ask(scripted, way, "tell").content[0].text == f"You said: I am {MAIL}, please tell (masked)"


@pytest.mark.parametrize("way", WAYS)
def test_what_a_script_adds_is_masked_again(scripted: Proxy, provider: FakeProvider, way: Way) -> None:
    assert ask(scripted, way, "note").content[0].text == f"You said: I am {MAIL}, please note {MAIL}"
    assert len(set(placeholders(provider.received[0]))) == 1


@pytest.mark.parametrize("way", WAYS)
def test_a_script_may_refuse(scripted: Proxy, provider: FakeProvider, way: Way) -> None:
    with pytest.raises(anthropic.BadRequestError, match="not today"):
        ask(scripted, way, "refuse")
    assert not provider.received


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wish", ["raise", "nonsense"])
def test_a_script_that_fails_ends_the_call_and_nothing_is_sent(
    scripted: Proxy, provider: FakeProvider, way: Way, wish: str
) -> None:
    with pytest.raises(anthropic.InternalServerError) as caught:
        ask(scripted, way, wish)
    assert caught.value.response.headers["x-tokenman-error"] == "stage"
    assert not re.search(r"RuntimeError|the value|mine\.py", caught.value.response.text)
    assert not provider.received


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("wish", ["hook", "rewrite", "redirect", "stream"])
def test_a_hook_of_mitmproxys_own_does_not_set_a_call_free(
    scripted: Proxy, provider: FakeProvider, elsewhere: FakeProvider, way: Way, wish: str
) -> None:
    """It may be carried out, masked, or be refused; the fixture looks for the value at the provider."""
    headers = {"stream-it": "1"} if wish == "stream" else {}
    request = claude(scripted, way, default_headers=headers).messages.with_raw_response
    with contextlib.suppress(anthropic.APIStatusError):
        answer = request.create(model="m", max_tokens=9, messages=user(f"I am {MAIL}, please {wish}"))
        assert MAIL in answer.text()
    assert not elsewhere.received


@pytest.mark.parametrize("way", WAYS)
def test_a_script_that_breaks_a_stream_ends_it_with_an_error(scripted: Proxy, provider: FakeProvider, way: Way) -> None:
    messages = claude(scripted, way).messages
    with (
        pytest.raises(anthropic.APIError),
        messages.stream(model="m", max_tokens=9, messages=user(f"I am {MAIL}, please break")) as stream,
    ):
        stream.until_done()
    assert ask(scripted, way, "tell").content


def test_a_script_that_breaks_when_it_is_saved_lets_nothing_through(provider: FakeProvider, tmp_path: Path) -> None:
    """mitmproxy unloads it before it finds that the new one cannot be imported; what it guarded would go unguarded."""
    script = tmp_path / "mine.py"
    script.write_text("async def llm_request(exchange):\n    pass\n")
    running = Proxy.start(tmp_path, provider.url, tool="mitmdump", scripts=(script,))
    try:
        assert ask(running, "base_url", "go on").content
        provider.clear()
        script.write_text("import no_such_module\n")
        os.utime(script, (later := time.time() + 5, later))  # a newer one, however coarse the file system's clock
        until(lambda: "error in script" in running.log)
        with pytest.raises(anthropic.InternalServerError):
            ask(running, "base_url", "go on")
        assert not provider.received
    finally:
        running.stop(tracebacks=True)


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
