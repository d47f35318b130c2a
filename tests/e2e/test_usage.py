"""What is booked for a call is what it used, by the packages of the providers, streamed or not, told or not, to its end or not."""

import gzip
import hashlib
import http.client
import json
import re
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psutil
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import ANTHROPIC_KEY, OPENAI_KEY, Proxy, claude, gpt, user
from tests.e2e.raw import Recorder
from tokenman_core.ledger import LedgerReader, Row

ASKS = b',"stream_options":{"include_usage":true}}'
TEXT = "Why is the sky blue, and why is it red in the evening? " * 4
CAP = 1 << 20


def row_of(proxy: Proxy, name: str, seconds: float = 20.0) -> Row:
    """The call's row, once the ledger's writer has put it there."""
    reader = LedgerReader(proxy.data / "ledger.db")
    deadline = time.monotonic() + seconds
    while (row := reader.row(name)) is None:
        assert time.monotonic() < deadline, f"no row for {name}:\n{proxy.log}"
        time.sleep(0.05)
    return row


class Answer:
    """One call over plain HTTP, read to its end."""

    def __init__(self, port: int, path: str, body: bytes, **headers: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        fields = {"content-type": "application/json", "authorization": f"Bearer {OPENAI_KEY}"}
        self.connection.request("POST", path, body, fields | {key.replace("_", "-"): it for key, it in headers.items()})
        self.response = self.connection.getresponse()
        self.id = self.response.getheader("x-tokenman-request-id") or ""

    def read(self) -> bytes:
        body = self.response.read()
        self.connection.close()
        return body


def chat_body(text: str = TEXT, **more: Any) -> bytes:
    return json.dumps({"model": "gpt-4.1", "stream": True, "messages": user(text), **more}).encode()


def plainly(stream: bytes) -> bytes:
    """Without the number of the answer, which the fake gives anew to each."""
    return re.sub(rb"fake\d+", b"fakeN", stream)


# -- by the packages --


def test_claude_streamed_and_plain_record_the_same_usage_and_cost(proxy: Proxy, provider: FakeProvider) -> None:
    question: Any = {"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": user(TEXT)}
    plain = claude(proxy).messages.with_raw_response.create(**question)
    streamed = claude(proxy).messages.with_raw_response.create(stream=True, **question)
    events = list(streamed.parse())
    said = plain.parse().usage
    rows = [row_of(proxy, answer.headers["x-tokenman-request-id"]) for answer in (plain, streamed)]
    for row in rows:
        assert (row.usage.input, row.usage.output) == (said.input_tokens, said.output_tokens)
        assert (row.basis, row.estimated, row.notional) == ("list", False, False)
        assert row.cost == (3 * said.input_tokens + 15 * said.output_tokens) * Decimal("1e-6")
    assert [row.stream for row in rows] == [False, True]
    assert events[-1].type == "message_stop"


def test_chat_streamed_and_plain_record_the_same_usage_and_cost(proxy: Proxy, provider: FakeProvider) -> None:
    question: Any = {"model": "gpt-4.1", "messages": user(TEXT)}
    completions = gpt(proxy).chat.completions.with_raw_response
    plain, streamed = completions.create(**question), completions.create(stream=True, **question)
    chunks = list(streamed.parse())
    assert all(chunk.choices and "usage" not in chunk.model_fields_set for chunk in chunks)
    said = plain.parse().usage
    assert said
    for answer in (plain, streamed):
        row = row_of(proxy, answer.headers["x-tokenman-request-id"])
        assert (row.usage.input, row.usage.output) == (said.prompt_tokens, said.completion_tokens)
        assert (row.basis, row.estimated) == ("list", False)
        assert row.cost == (2 * said.prompt_tokens + 8 * said.completion_tokens) * Decimal("1e-6")


def test_responses_streamed_and_plain_record_the_same_usage(proxy: Proxy, provider: FakeProvider) -> None:
    responses = gpt(proxy).responses.with_raw_response
    question: Any = {"model": "gpt-4.1", "input": TEXT}
    plain, streamed = responses.create(**question), responses.create(stream=True, **question)
    assert list(streamed.parse())[-1].type == "response.completed"
    said = plain.parse().usage
    assert said
    for answer in (plain, streamed):
        row = row_of(proxy, answer.headers["x-tokenman-request-id"])
        assert (row.usage.input, row.usage.output) == (said.input_tokens, said.output_tokens)
        assert not row.estimated
    assert provider.received[-1].json == {"model": "gpt-4.1", "input": TEXT, "stream": True}


def test_embeddings_are_booked(proxy: Proxy, provider: FakeProvider) -> None:
    answer = gpt(proxy).embeddings.with_raw_response.create(model="text-embedding-3-small", input=TEXT)
    row = row_of(proxy, answer.headers["x-tokenman-request-id"])
    said = answer.parse().usage
    assert (row.usage.input, row.usage.output) == (said.prompt_tokens, 0)
    assert row.cost == said.prompt_tokens * Decimal("0.02e-6")


# -- the cost in the head --


def test_whole_answers_say_what_they_cost_and_no_others_do(proxy: Proxy, provider: FakeProvider) -> None:
    body = json.dumps({"model": "gpt-4.1", "messages": user(TEXT)}).encode()
    answer = Answer(proxy.port, "/v1/chat/completions", body)
    answer.read()
    cost = answer.response.getheader("x-tokenman-cost-usd") or ""
    assert re.fullmatch(r"0\.\d*[1-9]", cost)
    assert Decimal(cost) == row_of(proxy, answer.id).cost
    for other in (
        chat_body(),
        body.replace(b"Why", b"[[status 503]] Why"),
        body.replace(b"Why", b"[[status 400]] Why"),
    ):
        answer = Answer(proxy.port, "/v1/chat/completions", other)
        answer.read()
        assert answer.response.getheader("x-tokenman-cost-usd") is None


def test_an_unlisted_model_is_booked_at_the_dearest_price_and_marked(proxy: Proxy, provider: FakeProvider) -> None:
    answer = claude(proxy).messages.with_raw_response.create(model="claude-of-2030", max_tokens=9, messages=user(TEXT))
    row = row_of(proxy, answer.headers["x-tokenman-request-id"])
    assert row.basis == "ceiling"
    assert row.cost
    assert row.cost >= row.usage.output * Decimal("75e-6")


def test_a_subscription_is_booked_as_notional(proxy: Proxy, provider: FakeProvider) -> None:
    client = claude(
        proxy, api_key=None, auth_token="sk-ant-oat01-login", default_headers={"anthropic-beta": "oauth-2025-04-20"}
    )
    answer = client.messages.with_raw_response.create(model="claude-opus-4-5", max_tokens=9, messages=user(TEXT))
    row = row_of(proxy, answer.headers["x-tokenman-request-id"])
    assert (row.basis, row.notional) == ("list", True)
    assert row.cost


# -- streams of chat --


@pytest.mark.parametrize("coding", ["", "[[gzip]]", "[[zstd]]"])
@pytest.mark.parametrize("text", [TEXT, "x " * 100_000 + "[[say short]]"])
def test_a_chat_stream_comes_as_if_nobody_had_asked_for_its_usage(
    proxy: Proxy, provider: FakeProvider, text: str, coding: str
) -> None:
    body = chat_body(text + coding)
    unasked = plainly(Answer(provider.port, "/v1/chat/completions", chat_body(text)).read())
    answer = Answer(proxy.port, "/v1/chat/completions", body)
    assert plainly(answer.read()) == unasked
    assert answer.response.getheader("content-encoding") is None
    assert provider.received[-1].body == body[:-1] + ASKS
    row = row_of(proxy, answer.id)
    assert (row.estimated, row.basis) == (False, "list")
    assert row.usage.input >= len(text) // 4


def test_a_compressed_request_is_asked_too(proxy: Proxy, provider: FakeProvider) -> None:
    body = chat_body()
    answer = Answer(proxy.port, "/v1/chat/completions", gzip.compress(body), content_encoding="gzip")
    assert b"[DONE]" in answer.read()
    assert provider.received[-1].body == body[:-1] + ASKS
    assert provider.received[-1].header("content-encoding") is None
    assert not row_of(proxy, answer.id).estimated


def test_a_program_that_asks_itself_is_left_alone(proxy: Proxy, provider: FakeProvider) -> None:
    body = chat_body(stream_options={"include_usage": True})
    direct = plainly(Answer(provider.port, "/v1/chat/completions", body).read())
    answer = Answer(proxy.port, "/v1/chat/completions", body)
    assert plainly(answer.read()) == direct
    assert b'"usage":null' in direct
    assert provider.received[-1].body == body
    assert not row_of(proxy, answer.id).estimated


# -- what nobody says --


@pytest.fixture(scope="module")
def small(shared_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy that keeps little of a stream, and does not ask one of its providers."""
    folder = tmp_path_factory.mktemp("small")
    big = Recorder(claude_stream())
    with big:
        running = Proxy.start(
            folder,
            shared_provider.url,
            limits={"stream_capture": CAP},
            providers={
                "anthropic": {"base_url": shared_provider.url},
                "openai": {"base_url": shared_provider.url},
                "silent": {"base_url": shared_provider.url, "dialect": "openai", "stream_usage": False},
                "big": {"base_url": f"http://127.0.0.1:{big.port}", "dialect": "anthropic"},
            },
            pricing={"overrides": {"my-*": {"input_mtok": 1, "output_mtok": "2.5"}}},
        )
        yield running
        running.stop()


SIZE = 80 << 20


def claude_stream() -> bytes:
    """A whole answer over HTTP/1.1, of about `SIZE` bytes."""

    def event(value: Any) -> bytes:
        return f"event: {value['type']}\ndata: {json.dumps(value)}\n\n".encode()

    usage = {"input_tokens": 1000, "output_tokens": 1}
    start = {"type": "message_start", "message": {"model": "claude-sonnet-4-5", "usage": usage}}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "some words " * 700}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 500}}
    middle = event(text)
    body = event(start) + middle * (SIZE // len(middle)) + event(end) + event({"type": "message_stop"})
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(body)
    return head + body


def silent(proxy: Proxy) -> Answer:
    """A stream that tells no usage."""
    answer = Answer(proxy.port, "/p/silent/v1/chat/completions", chat_body())
    assert b"[DONE]" in answer.read()
    return answer


def test_a_stream_that_tells_no_usage_is_estimated_and_marked(small: Proxy, provider: FakeProvider) -> None:
    answer = silent(small)
    assert provider.received[-1].body == chat_body()
    row = row_of(small, answer.id)
    assert (row.estimated, row.basis, row.outcome) == (True, "list", "answered")
    assert row.usage.input == pytest.approx(len(TEXT) / 4, rel=0.2)
    assert row.usage.output == pytest.approx(len("You said: " + TEXT) / 4, rel=0.2)
    assert row.cost == (2 * row.usage.input + 8 * row.usage.output) * Decimal("1e-6")


@pytest.mark.parametrize(("model", "basis"), [("my-model", "override"), ("somebodys-llama", "unknown")])
def test_a_model_of_the_users_has_the_users_price_or_none(
    small: Proxy, provider: FakeProvider, model: str, basis: str
) -> None:
    body = json.dumps({"model": model, "messages": user(TEXT)}).encode()
    answer = Answer(small.port, "/p/silent/v1/chat/completions", body)
    answer.read()
    row = row_of(small, answer.id)
    assert row.basis == basis
    said = answer.response.getheader("x-tokenman-cost-usd")
    if basis == "unknown":
        assert row.cost is None
        assert said is None
    else:
        assert row.cost == row.usage.input * Decimal("1e-6") + row.usage.output * Decimal("2.5e-6")
        assert said is not None


@pytest.mark.parametrize("fault", ["stall", "truncate", "cut"])
def test_a_stream_that_does_not_come_to_its_end_is_booked_for_what_came(
    small: Proxy, provider: FakeProvider, fault: str
) -> None:
    text = f"[[say {TEXT}]] [[{fault}]]"
    body = {"model": "claude-sonnet-4-5", "max_tokens": 999, "stream": True, "messages": user(text)}
    answer = Answer(
        small.port, "/v1/messages", json.dumps(body).encode(), authorization="", x_api_key=ANTHROPIC_KEY,
        anthropic_version="2023-06-01",
    )  # fmt: skip
    if fault == "stall":
        came = b""
        while came.count(b"text_delta") < 10:  # of about forty, and twenty come
            came += answer.response.read1(4096)
        answer.response.close()
        answer.connection.close()
    else:
        assert b"event: error" in answer.read()
    row = row_of(small, answer.id)
    assert row.outcome == ("aborted" if fault == "stall" else "broken")
    assert (row.estimated, row.basis, row.status) == (True, "list", 200)
    assert row.usage.input > len(TEXT) // 4  # as the provider said at the stream's beginning
    assert len(TEXT) / 4 * 0.1 < row.usage.output < len(TEXT) / 4 * 0.8
    assert row.cost == (3 * row.usage.input + 15 * row.usage.output) * Decimal("1e-6")


def test_a_long_stream_is_delivered_whole_in_bounded_memory_and_its_usage_recorded(
    small: Proxy, provider: FakeProvider
) -> None:
    row_of(small, silent(small).id)  # all that is loaded once has been loaded
    process = psutil.Process(small.process.pid)
    before = most = process.memory_info().rss
    answer = Answer(
        small.port, "/p/big/v1/messages", b'{"model":"claude-sonnet-4-5","max_tokens":9,"stream":true,"messages":[]}',
        x_api_key=ANTHROPIC_KEY,
    )  # fmt: skip
    digest, size = hashlib.sha256(), 0
    while piece := answer.response.read(1 << 20):
        digest.update(piece)
        size += len(piece)
        most = max(most, process.memory_info().rss)
    assert digest.digest() == hashlib.sha256(claude_stream().partition(b"\r\n\r\n")[2]).digest()
    assert size > SIZE - CAP
    assert most - before < CAP + (50 << 20)
    row = row_of(small, answer.id)
    assert (row.usage.input, row.usage.output, row.estimated) == (1000, 500, False)
