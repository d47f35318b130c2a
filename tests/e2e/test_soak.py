"""What a proxy keeps of calls that are over: nothing that grows with them."""

import http.client
import json
import socket
from pathlib import Path

import psutil

from addons.demo.provider import FakeProvider
from tests.e2e.harness import ANTHROPIC_KEY, Proxy, user
from tests.e2e.resilience.house import recorded, until

KNOWN = "a line of a text that is in every call, and is remembered only once\n" * 3000  # 200 KB
CALLS = 300  # a call that was kept would cost some 400 KB, all of them 120 MB


def resident(proxy: Proxy) -> int:
    """MiB."""
    return int(psutil.Process(proxy.process.pid).memory_info().rss >> 20)


def test_memory_does_not_grow_with_calls_answered_or_given_up(provider: FakeProvider, tmp_path: Path) -> None:
    running = Proxy.start(tmp_path, provider.url)
    headers = {"content-type": "application/json", "x-api-key": ANTHROPIC_KEY, "anthropic-version": "2023-06-01"}
    body = json.dumps({"model": "m", "max_tokens": 9, "messages": user(KNOWN + "[[say fine]] jane@corp-mail.com")})
    stalled = json.dumps({"model": "m", "max_tokens": 9, "messages": user(KNOWN + "[[stall first]]")}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)

    def answered(count: int) -> None:
        for _ in range(count):
            connection.request("POST", "/v1/messages", body, headers)
            assert b"fine" in connection.getresponse().read()
            provider.clear()

    def given_up(count: int) -> None:
        fields = headers | {"host": "127.0.0.1", "content-length": str(len(stalled))}
        head = "\r\n".join(
            ["POST /v1/messages HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        )
        for _ in range(count):
            with socket.create_connection(("127.0.0.1", running.port), 10) as client:
                client.sendall(head.encode() + stalled)
                assert provider.wait(lambda fake: bool(fake.received), 10)
            assert provider.wait(lambda fake: fake.received[0].client_left, 10)
            provider.clear()

    answered(30)
    given_up(10)
    until(lambda: recorded(running) == 40)  # what they took is estimated, and for that something is loaded once
    before = resident(running)
    answered(CALLS)
    given_up(60)
    assert resident(running) - before < 30
    connection.close()
    running.stop()
