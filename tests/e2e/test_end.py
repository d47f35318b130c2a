"""The end of a running proxy: what runs may finish, what comes new is refused in its own form."""

import json
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e import harness
from tests.e2e.harness import Proxy, claude, user
from tokenman_core.ledger import LedgerReader


def test_a_running_stream_ends_whole_and_a_new_call_is_refused(provider: FakeProvider, tmp_path: Path) -> None:
    running = Proxy.start(tmp_path, provider.url)
    client = claude(running)
    with (
        client.messages.stream(
            model="m", max_tokens=9, messages=user("[[slow 150ms]] one two three four five")
        ) as stream,
        httpx.Client() as kept,
    ):
        assert kept.get(running.url).status_code == 200
        text = next(stream.text_stream)
        running.process.send_signal(signal.SIGTERM)
        refused = until_refused(kept, running)
        text += "".join(stream.text_stream)
        assert stream.get_final_message().stop_reason == "end_turn"
    assert "one two three four five" in text
    assert (refused.status_code, refused.headers["x-tokenman-error"]) == (503, "shutdown")
    assert refused.headers["retry-after"] == "1"
    running.stop()


def until_refused(client: httpx.Client, running: Proxy) -> httpx.Response:
    """The first answer that is no provider's: the signal is under way for a moment."""
    for _ in range(50):
        try:
            answer = client.post(
                running.url + "/v1/messages", json={"model": "m", "messages": []}, headers={"x-api-key": "sk"}
            )
        except httpx.RemoteProtocolError:  # a kept connection was closed as the call set out
            continue
        if "x-tokenman-error" in answer.headers:
            return answer
    raise AssertionError("calls are still carried out")


def test_a_second_signal_ends_it_at_once(provider: FakeProvider, tmp_path: Path) -> None:
    running = Proxy.start(tmp_path, provider.url)
    request = {"model": "m", "max_tokens": 9, "stream": True, "messages": user("[[stall]] on and on")}
    with httpx.stream(
        "POST", running.url + "/v1/messages", json=request, headers={"x-api-key": "sk"}, timeout=20
    ) as answer:
        next(answer.iter_raw())
        running.process.send_signal(signal.SIGTERM)
        with httpx.Client() as other:
            until_refused(other, running)  # the first signal has come: only now the second is one
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 0


SHORT = "import addons.proxy.master as it; it.GRACE_S = 0.2; from addons.cli.main import app; app()"


def test_streams_that_never_end_are_cut_after_the_grace_and_booked_also_where_nobody_reads(
    provider: FakeProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        harness, "command", lambda tool, file: [sys.executable, "-c", SHORT, tool, "--config", str(file)]
    )
    running = Proxy.start(tmp_path, provider.url)
    request = {"model": "m", "max_tokens": 9, "stream": True}
    stalled = request | {"messages": user("[[stall]] on and on")}
    large = json.dumps(request | {"messages": user("[[big 8000000]]")}).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {harness.ANTHROPIC_KEY}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(large)}\r\n\r\n"
    with socket.socket() as unread:
        unread.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        unread.settimeout(30)
        unread.connect(("127.0.0.1", running.port))
        unread.sendall(head.encode() + large)
        assert b" 200 " in unread.recv(64)  # and nothing more
        with httpx.stream(
            "POST", running.url + "/v1/messages", json=stalled, headers={"x-api-key": harness.ANTHROPIC_KEY}, timeout=30
        ) as answer:
            next(answer.iter_raw())
            running.stop()  # within 15 seconds
    assert "after the ledger was closed" not in running.log
    rows = LedgerReader(running.data / "ledger.db").page(limit=10).rows
    assert [(row.status, row.usage.output > 0) for row in rows] == [(200, True)] * 2
