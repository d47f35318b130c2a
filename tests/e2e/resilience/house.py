"""A proxy and the providers that it knows, by name; and what is asked of it in these tests."""

import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.harness import ANTHROPIC_KEY, Proxy
from tests.e2e.resilience.table import Mode
from tests.e2e.resilience.upstreams import Upstream, Upstreams

PATIENCE_S = 40.0  # generous: two slow cores, other tests beside
HEADERS = {"x-api-key": ANTHROPIC_KEY, "content-type": "application/json", "anthropic-version": "2023-06-01"}
INSIDE = re.compile(r"mitmproxy|Traceback|\.py\b|Error\(|exception|127\.0\.0|localhost", re.IGNORECASE)


def body(mode: Mode, text: str = "hello", model: str = "m") -> bytes:
    start = b'{"stream": true, ' if mode == "stream" else b"{"
    return (
        start + f'"model": "{model}", "max_tokens": 9, "messages": [{{"role": "user", "content": "{text}"}}]}}'.encode()
    )


def start(
    folder: Path, them: Upstreams, upstreams: Mapping[str, Upstream], more: Mapping[str, Any], **settings: Any
) -> Proxy:
    """`more`: what is said of a provider besides its address. All speak Anthropic's API where that says nothing else."""
    them.add(*upstreams.values())
    providers = {
        name: {"base_url": upstream.url, "dialect": "anthropic", **more.get(name, {})}
        for name, upstream in upstreams.items()
    }
    proxy = Proxy.start(folder, "http://127.0.0.1:9", providers=providers, access={"clients": "optional"}, **settings)
    them.served.append(proxy.process)
    return proxy


def post(
    proxy: Proxy, provider: str, mode: Mode = "whole", content: bytes | None = None, **fields: str
) -> httpx.Response:
    headers = HEADERS | {name.replace("_", "-"): value for name, value in fields.items()}
    return httpx.post(
        f"{proxy.url}/p/{provider}/v1/messages", content=content or body(mode), headers=headers,
        timeout=PATIENCE_S, trust_env=False,
    )  # fmt: skip


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.02)
    return found


def metric(proxy: Proxy, name: str) -> Counter[str]:
    """The values of a metric by its labels as they are written: `type="timeout"`."""
    text = httpx.get(f"http://127.0.0.1:{proxy.admin_port}/metrics", trust_env=False).text
    return Counter(
        {labels: int(float(value)) for labels, value in re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.MULTILINE)}
    )


def recorded(proxy: Proxy) -> int:
    """Rows in the ledger."""
    with sqlite3.connect(f"file:{proxy.data / 'ledger.db'}?mode=ro", uri=True) as connection:
        return int(connection.execute("select count(*) from calls").fetchone()[0])


def check_refusal(status: int, headers: Any, content: bytes, kind: str, *, anthropic: bool = True) -> None:
    """Our own error, in the form of Anthropic's API or of the others', with nothing of the inside."""
    assert headers["x-tokenman-error"] == kind
    assert headers["x-tokenman-request-id"].startswith("req_")
    assert headers["content-type"].startswith("application/json")
    document = httpx.Response(status, content=content).json()
    assert document["type"] == "error" if anthropic else "type" not in document
    assert document["error"]["type" if anthropic or "type" in document["error"] else "status"]
    assert document["error"]["message"]
    assert not INSIDE.search(content.decode()), content
