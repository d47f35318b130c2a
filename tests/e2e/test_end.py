"""The end of a running proxy: what runs may finish, what comes new is refused in its own form."""

import signal
from pathlib import Path

import httpx

from addons.demo.provider import FakeProvider
from tests.e2e.harness import Proxy, claude, user


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
