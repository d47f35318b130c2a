"""The guard through the real proxy: an agent in a circle is stopped, with a message its SDK shows; others are left alone."""

import http.client
import http.server
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest

from tests.e2e.harness import Proxy, claude, gpt, user
from tests.e2e.test_budgets import Hook
from tokenman_core.ledger import LedgerReader

MODEL = "claude-sonnet-4-5"
TOOL = "list_files"


def messages_agent(proxy: Proxy, session: str, turns: int, page: Callable[[int], Any]) -> list[Any]:
    """An agent over Anthropic's SDK that is answered with tool calls and sends its history along; what came of each turn."""
    client, found = claude(proxy, max_retries=3), list[Any]()
    said: list[Any] = [{"role": "user", "content": f"look around, {session}"}]
    for turn in range(turns):
        answer = client.messages.with_raw_response.create(
            model=MODEL, max_tokens=100, messages=said, extra_headers={"x-tokenman-session": session}
        )
        found.append(answer.headers.get("x-tokenman-guard"))
        call = {"type": "tool_use", "id": f"toolu_{turn}", "name": TOOL, "input": {"page": page(turn)}}
        said += [
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "no files"}]},
        ]
    return found


def chat_agent(proxy: Proxy, turns: int, page: Callable[[int], Any]) -> list[Any]:
    client, found = gpt(proxy, max_retries=3), list[Any]()
    said: list[Any] = user("look around")
    for turn in range(turns):
        answer = client.chat.completions.with_raw_response.create(model="gpt-4.1", max_tokens=100, messages=said)
        found.append(answer.headers.get("x-tokenman-guard"))
        function = {"name": TOOL, "arguments": json.dumps({"page": page(turn)})}
        said += [
            {"role": "assistant", "tool_calls": [{"id": f"call_{turn}", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": f"call_{turn}", "content": "Error: no files"},
        ]
    return found


def rows(proxy: Proxy, count: int) -> list[Any]:
    deadline = time.monotonic() + 20
    reader = LedgerReader(proxy.data / "ledger.db")
    while len(found := reader.page(limit=500).rows) < count:
        assert time.monotonic() < deadline, len(found)
        time.sleep(0.05)
    return list(found)


def test_an_agent_that_makes_the_same_call_twenty_times_is_stopped_and_one_that_makes_progress_is_not(running, fake):
    proxy = running(guard={"repeats": 5})
    with pytest.raises(anthropic.BadRequestError) as stopped:
        messages_agent(proxy, "stuck", 21, lambda _: 1)
    assert len(fake.received) == 6  # five tool calls are made, the fifth with a warning; and no retry of the refusal
    response = stopped.value.response
    assert response.headers["x-tokenman-error"] == "rate_limit"
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["x-tokenman-guard"] == "repeats 6/5"
    assert "Stopped by TokenMan's guard: the last tool call was made 6 times in a row" in stopped.value.message
    assert messages_agent(proxy, "busy", 21, lambda turn: turn) == [None] * 21
    refused = next(row for row in rows(proxy, 28) if row.status == 400)
    assert (refused.session, refused.error) == ("stuck", "rate_limit")
    assert "guard.repeats: 5" in refused.detail
    connection = http.client.HTTPConnection("127.0.0.1", proxy.admin_port, timeout=10)
    connection.request("GET", "/metrics")
    assert 'tokenman_rate_limited_total{limit="guard.repeats"} 1' in connection.getresponse().read().decode()


def test_the_other_sdk_is_stopped_by_the_error_that_comes_again(running, fake):
    proxy = running(guard={"errors": 3})
    with pytest.raises(openai.BadRequestError) as stopped:
        chat_agent(proxy, 20, lambda turn: turn)
    assert "a tool failed 4 times in a row with the same error (guard.errors: 3)" in stopped.value.message
    assert len(fake.received) == 4


def test_parallel_sessions_do_not_touch_each_other(running, fake):
    proxy = running(guard={"repeats": 4})
    found: dict[int, Any] = {}

    def agent(number: int) -> None:
        try:
            found[number] = messages_agent(proxy, f"s{number}", 12, lambda turn: turn if number % 2 else 1)
        except anthropic.BadRequestError as stopped:
            found[number] = stopped.response.headers["x-tokenman-guard"]

    threads = [threading.Thread(target=agent, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [None] * 12 if number % 2 else "repeats 5/4" for number in range(6)}


def test_a_warning_alone_is_a_header_and_the_same_request_is_a_repetition_too(running, fake):
    proxy = running(guard={"repeats": 3, "then": "warn"})
    client, found = claude(proxy), list[Any]()
    for _ in range(5):
        answer = client.messages.with_raw_response.create(model=MODEL, max_tokens=9, messages=user("hi"))
        found.append(answer.headers.get("x-tokenman-guard"))
    assert found == [None, None, "repeats 3/3", "repeats 4/3", "repeats 5/3"]
    assert proxy.log.count("guard.repeats: the very same request came 3 times") == 1


def test_the_webhook_is_told_of_it_once_with_nothing_of_the_call(running, fake):
    Hook.got.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        proxy = running(guard={"repeats": 2}, alerts={"webhook": f"http://127.0.0.1:{server.server_port}/"})
        with pytest.raises(anthropic.BadRequestError) as stopped:
            messages_agent(proxy, "s", 8, lambda _: 1)
        deadline = time.monotonic() + 30
        while len({headers["webhook-id"] for headers, _ in Hook.got}) < 2:
            assert time.monotonic() < deadline, proxy.log
            time.sleep(0.05)
    finally:
        server.shutdown()
        server.server_close()
    told = {body["data"]["refused"]: body for body in (json.loads(body) for _, body in Hook.got)}
    assert {body["type"] for body in told.values()} == {"guard.alert"}
    assert told[True]["data"] == {
        "rule": "repeats", "found": "3", "limit": "2", "refused": True, "client": None, "session": "s",
        "request_id": stopped.value.response.headers["x-tokenman-request-id"],
    }  # fmt: skip
    assert (told[False]["data"]["found"], told[False]["data"]["refused"]) == ("2", False)


def test_who_spends_too_fast_is_told_when_to_go_on(running, fake):
    proxy = running(guard={"usd_per_minute": 0.001})
    client, answers = claude(proxy, max_retries=0), list[str | None]()
    text = "[[say " + "word " * 60 + "]]"  # some 0.001 USD
    said: dict[str, Any] = {"model": MODEL, "max_tokens": 500, "extra_headers": {"x-tokenman-session": "a"}}
    while len(answers) < 20 and not (answers and answers[-1]):
        answer = client.messages.with_raw_response.create(messages=user(f"{len(answers)} {text}"), **said)
        answers.append(answer.headers.get("x-tokenman-guard"))
        rows(proxy, len(answers))
    with pytest.raises(anthropic.RateLimitError) as held:
        client.messages.create(messages=user("more"), **said)
    assert answers[0] is None
    assert (answers[-1] or "").startswith("usd_per_minute 0.0")
    assert 0 < int(held.value.response.headers["retry-after"]) <= 60
    assert "x-should-retry" not in held.value.response.headers
    client.messages.create(model=MODEL, max_tokens=9, messages=user("hi"), extra_headers={"x-tokenman-session": "b"})


def test_it_is_switched_on_by_a_change_of_the_configuration(running, fake):
    proxy = running()
    assert messages_agent(proxy, "s", 8, lambda _: 1) == [None] * 8
    file = proxy.home.parent / "tokenman.yaml"
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps(json.loads(file.read_text()) | {"guard": {"repeats": 2}}))
    draft.replace(file)
    deadline = time.monotonic() + 20
    while True:
        try:
            messages_agent(proxy, "s", 8, lambda _: 1)
        except anthropic.BadRequestError:
            break
        assert time.monotonic() < deadline, proxy.log
        time.sleep(0.1)
