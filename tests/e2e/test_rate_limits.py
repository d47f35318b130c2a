"""Rate limits through the real proxy: counted exactly, told in each API's words, waited for in order, kept over a change."""

import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest

from tests.e2e.harness import ANTHROPIC_KEY, Proxy, claude, gpt, user

MODEL = "claude-sonnet-4-5"


def ask(proxy: Proxy, text: str = "hi", **headers: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    body = json.dumps({"model": MODEL, "max_tokens": 50, "messages": user(text)})
    fields = {"content-type": "application/json", "x-api-key": ANTHROPIC_KEY}
    connection.request(
        "POST", "/v1/messages", body, fields | {name.replace("_", "-"): it for name, it in headers.items()}
    )
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}


def together(count: int, call: Callable[[], Any]) -> list[Any]:
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(call())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_exactly_as_many_calls_pass_as_the_limit_says_and_the_others_are_told_when(running, fake):
    proxy = running(rate_limits=[{"name": "few", "requests": "5/h"}])
    answers = together(20, lambda: ask(proxy))
    assert Counter(status for status, _ in answers) == {200: 5, 429: 15}
    assert len(fake.received) == 5
    refused = next(headers for status, headers in answers if status == 429)
    assert refused["x-tokenman-error"] == "rate_limit"
    assert 0 < int(refused["retry-after"]) <= 721
    assert "x-should-retry" not in refused
    assert refused["anthropic-ratelimit-requests-limit"] == "5"
    assert refused["anthropic-ratelimit-requests-remaining"] == "0"
    connection = http.client.HTTPConnection("127.0.0.1", proxy.admin_port, timeout=10)
    connection.request("GET", "/metrics")
    assert 'tokenman_rate_limited_total{limit="few"} 15' in connection.getresponse().read().decode()
    assert {int(headers["anthropic-ratelimit-requests-remaining"]) for status, headers in answers if status == 200} == {
        0, 1, 2, 3, 4,
    }  # fmt: skip


def test_the_sdks_take_it_for_what_may_be_tried_again(running, fake):
    proxy = running(rate_limits=[{"name": "one", "requests": "1/2s"}])
    client = claude(proxy, max_retries=4)
    for _ in range(3):
        client.messages.create(model=MODEL, max_tokens=10, messages=user("hi"))
    assert len(fake.received) == 3
    slow = gpt(proxy, max_retries=0)
    headers = None
    for _ in range(3):
        try:
            slow.chat.completions.create(model="gpt-4.1", messages=user("hi"))
        except openai.RateLimitError as refused:
            headers = refused.response.headers
    assert headers is not None
    assert headers["x-ratelimit-limit-requests"] == "1"


def test_each_project_has_its_own(running, fake):
    proxy = running(rate_limits=[{"name": "per project", "scope": "project", "requests": "2/h"}])
    statuses = [ask(proxy, x_tokenman_project=name)[0] for name in ("a", "a", "a", "b", "b", "b")]
    assert statuses == [200, 200, 429, 200, 200, 429]


def test_no_more_calls_run_at_once_and_those_that_wait_get_their_turn(running, fake):
    proxy = running(rate_limits=[{"name": "two", "concurrent": 2, "wait": "60s"}])
    started = time.monotonic()
    answers = together(6, lambda: ask(proxy, "[[slow 30ms]]"))
    assert {status for status, _ in answers} == {200}
    assert time.monotonic() - started < 60
    refusing = [ask(proxy)[0] for _ in range(3)]
    assert refusing == [200] * 3


def test_a_stream_counts_as_running_until_its_end_or_until_its_client_leaves(running, fake):
    proxy = running(rate_limits=[{"name": "one", "concurrent": 1}])
    with claude(proxy).messages.stream(
        model=MODEL, max_tokens=50, messages=user("[[slow 200ms]] " + "word " * 50)
    ) as stream:
        next(iter(stream))
        with pytest.raises(anthropic.RateLimitError) as refused:
            claude(proxy).messages.create(model=MODEL, max_tokens=10, messages=user("hi"))
        assert "1 calls run at once" in refused.value.message
    deadline = time.monotonic() + 20
    while ask(proxy)[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_tokens_are_limited_by_what_was_used(running, fake):
    proxy = running(rate_limits=[{"name": "tokens", "tokens": "3000/h"}])
    first = ask(proxy, "word " * 400)
    assert first[0] == 200
    assert first[1]["anthropic-ratelimit-tokens-limit"] == "3000"
    statuses = [ask(proxy, "word " * 400)[0] for _ in range(6)]
    assert statuses[0] == 200
    assert statuses[-1] == 429
    assert statuses == sorted(statuses)


def test_a_changed_limit_holds_at_once_and_refills_nothing(running, fake):
    proxy = running(rate_limits=[{"name": "few", "requests": "3/h"}])
    assert [ask(proxy)[0] for _ in range(4)] == [200, 200, 200, 429]
    file = proxy.home.parent / "tokenman.yaml"
    document = json.loads(file.read_text())

    def change(requests: str) -> None:
        document["rate_limits"] = [{"name": "few", "requests": requests}]
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps(document))
        draft.replace(file)

    change("4/h")
    deadline = time.monotonic() + 20
    while int(ask(proxy)[1]["anthropic-ratelimit-requests-limit"]) != 4:
        assert time.monotonic() < deadline, proxy.log
        time.sleep(0.1)
    assert ask(proxy)[0] == 429


def test_a_killed_proxy_gives_its_places_back_at_the_next_start(running, fake, tmp_path):
    limits = [{"name": "one", "concurrent": 1}]
    first = running(rate_limits=limits)
    connection = http.client.HTTPConnection("127.0.0.1", first.port, timeout=60)
    body = json.dumps({"model": MODEL, "max_tokens": 50, "messages": user("[[stall first]]")})
    connection.request("POST", "/v1/messages", body, {"content-type": "application/json", "x-api-key": ANTHROPIC_KEY})
    deadline = time.monotonic() + 30
    while ask(first)[0] != 429:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    connection.close()
    folder = tmp_path / "second"
    folder.mkdir()
    first.data.rename(folder / "data")
    second = running(folder, rate_limits=limits)
    deadline = time.monotonic() + 30  # the lease of the dead one would hold for 120 s
    while ask(second)[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
