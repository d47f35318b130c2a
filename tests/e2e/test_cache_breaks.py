"""Why a provider's prompt cache broke, and what a cache of answers would have saved: from real calls to all who tell of them."""

import json
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.core.caching.prompt_cache import PromptCache
from tests.core.caching.talk import claude as request_of
from tests.core.caching.talk import tool
from tests.e2e.harness import ANTHROPIC_KEY, PLANTED, Proxy, claude, forms
from tests.e2e.resilience.house import metric, until
from tests.e2e.test_ledger import command
from tests.e2e.test_usage import row_of

RULES = "\n".join(f"Rule {number}: handle the thing of that number with care." for number in range(400))


class Provider:
    """Speaks the Messages API just well enough, with a prompt cache that behaves as documented."""

    def __init__(self) -> None:
        cache = PromptCache()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                value = json.loads(self.rfile.read(int(self.headers["content-length"])))
                usage = cache.usage(value, time.time())
                message = {
                    "id": "msg_1", "type": "message", "role": "assistant", "model": value["model"],
                    "content": [{"type": "text", "text": "Yes."}], "stop_reason": "end_turn", "stop_sequence": None,
                }  # fmt: skip
                body = json.dumps(message | {"usage": usage}).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    provider = Provider()
    running = Proxy.start(tmp_path_factory.mktemp("breaks"), provider.url)
    yield running
    running.stop()
    provider.stop()


def ask(proxy: Proxy, value: dict[str, Any], session: str) -> str:
    """One call by the official package, to its end here; its id."""
    made = claude(proxy).messages.with_raw_response.create(**value, extra_headers={"x-tokenman-session": session})
    return row_of(proxy, str(made.headers["x-tokenman-request-id"])).id


def api(proxy: Proxy, path: str) -> Any:
    token = (proxy.data / "admin-token").read_text().strip()
    url = f"http://127.0.0.1:{proxy.admin_port}/api/{path}"
    return httpx.get(url, headers={"authorization": f"Bearer {token}"}, trust_env=False).json()


def test_a_break_is_told_by_all_that_tell_of_calls(proxy: Proxy) -> None:
    first = ask(proxy, request_of(1, system=RULES), "s1")
    again = ask(proxy, request_of(3, system=RULES), "s1")
    tools = [tool("read"), tool("write", "another text"), tool("grep")]
    broken = ask(proxy, request_of(5, system=RULES, tools=tools), "s1")
    assert [row_of(proxy, name).cache_break for name in (first, again)] == ["", ""]
    row = row_of(proxy, broken)
    assert row.cache_break == "tool changed at tools[1]"
    assert row.cache_lost > 1024
    assert row.cache_lost == row_of(proxy, again).usage.cache_read + row_of(proxy, again).usage.cache_write_5m
    # All of it was written again at 3.75 USD for a million tokens, instead of read at 0.30.
    assert row.cache_lost_usd == row.cache_lost * Decimal("3.45") / 10**6
    told = api(proxy, f"requests/{broken}")
    assert (told["prompt_cache_break"], told["prompt_cache_lost_tokens"]) == (row.cache_break, row.cache_lost)
    (summed,) = [it for it in api(proxy, "summary")["prompt_cache_breaks"] if it["cause"] == "tool changed"]
    assert (summed["count"], summed["lost_tokens"]) == (1, row.cache_lost)
    assert summed in json.loads(command(proxy, "report", "--json"))["prompt_cache_breaks"]
    assert "tool changed at tools[1]" in command(proxy, "why", broken)
    assert metric(proxy, "tokenman_prompt_cache_breaks_total")['cause="tool changed"'] == 1
    text = command(proxy, "report", "--by", "session")
    assert "prompt cache breaks" in text
    assert "cached%" in text


def test_a_clock_in_the_system_text_is_found_though_no_program_marks_the_session(proxy: Proxy) -> None:
    rows = []
    for minute, count in (("10:01:02", 1), ("10:01:09", 3)):
        value = request_of(count)
        value["system"] = f"It is {minute} now.\n{RULES}"
        made = claude(proxy).messages.with_raw_response.create(**value)
        rows.append(row_of(proxy, str(made.headers["x-tokenman-request-id"])))
    assert rows[0].session != rows[1].session
    assert rows[1].cache_break == "a time or date in the system prompt changed at system"


def test_placeholders_keep_a_cache_and_nothing_of_a_value_is_kept(proxy: Proxy) -> None:
    """What is masked is the same in each turn; and were it not, that would be said."""
    texts = f"{RULES}\nWrite to {PLANTED['e-mail']}."
    names = [ask(proxy, request_of(count, system=texts), "s3") for count in (1, 3, 5)]
    rows = [row_of(proxy, name) for name in names]
    assert [row.cache_break for row in rows] == ["", "", ""]
    assert [row.masked > 0 for row in rows] == [True, True, True]
    changed = ask(proxy, request_of(6, system=texts.replace("Rule 7:", "Rule seven:")), "s3")
    assert row_of(proxy, changed).cache_break == "system prompt changed at system[1]"
    ledger = b"".join(path.read_bytes() for path in proxy.data.glob("ledger.db*"))
    assert not any(form in ledger for form in forms(PLANTED["e-mail"]))


def test_a_call_that_comes_again_is_counted_while_there_is_no_cache(proxy: Proxy) -> None:
    def call(**more: Any) -> str:
        value = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": [{"role": "user", "content": "Is it so?"}]}
        headers = {"x-api-key": ANTHROPIC_KEY, "anthropic-version": "2023-06-01"}
        answer = httpx.post(f"{proxy.url}/v1/messages", json=value | more, headers=headers, trust_env=False, timeout=30)
        return str(answer.headers["x-tokenman-request-id"])

    names = [call(), call(), call(temperature=0), call(temperature=0), call(temperature=0)]
    assert [row_of(proxy, name).repeats for name in names] == ["", "all", "", "deterministic", "deterministic"]
    until(lambda: api(proxy, "summary")["total"]["repeated_calls"] == 3)
    assert "a cache would have saved $" in command(proxy, "report")
    assert "(3 calls); deterministic $" in command(proxy, "report")
    assert "cache: {mode: deterministic} it would have cost nothing" in command(proxy, "why", names[3])
