"""A program that leaves at any point of its answer pays for what came, over HTTP/1 and HTTP/2, in each API; nothing stays held."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import ANTHROPIC_KEY, OPENAI_KEY, Proxy, user
from tests.e2e.raw import H2Client
from tests.e2e.test_budgets import booked, settled
from tokenman_core import tokens
from tokenman_core.budget.rules import dollars
from tokenman_core.ledger import LedgerReader, Row

QUESTION = "Why is the sky blue, and why is it red in the evening? " * 8
ANSWER = "Because air scatters blue light more than red light, and more of it in the evening. " * 6
PACE = "[[slow 1s]]"  # in whose place a test puts its own
SAID = f"{PACE}[[say {ANSWER}]] {QUESTION}"
GOOGLE_KEY = "AIza-the-callers-own-key"


@dataclass(frozen=True)
class Api:
    """`begun`, `wrote`, `told`: what stands in the first event, in one with text, and in one behind all text."""

    host: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    begun: bytes
    wrote: bytes
    told: bytes


APIS = {
    "messages": Api(
        "api.anthropic.com", "/v1/messages",
        {"model": "claude-sonnet-4-5", "max_tokens": 800, "stream": True, "messages": user(SAID)},
        {"x-api-key": ANTHROPIC_KEY, "anthropic-version": "2023-06-01"}, b"message_start", b"text_delta", b"message_delta",
    ),
    "chat": Api(
        "api.openai.com", "/v1/chat/completions", {"model": "gpt-4.1", "stream": True, "messages": user(SAID)},
        {"authorization": f"Bearer {OPENAI_KEY}"}, b"assistant", b'"content":"B', b'"finish_reason":"stop"',
    ),
    "responses": Api(
        "api.openai.com", "/v1/responses", {"model": "gpt-4.1", "stream": True, "input": SAID},
        {"authorization": f"Bearer {OPENAI_KEY}"}, b"response.created", b"output_text.delta", b"response.output_text.done",

    ),
    "gemini": Api(
        "generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        {"contents": [{"role": "user", "parts": [{"text": SAID}]}]}, {"x-goog-api-key": GOOGLE_KEY}, b"candidates", b'"text"',
        b'"STOP"',
    ),
}  # fmt: skip
POINTS = ("before the head", "at the first event", "at the first words", "before its end")


@pytest.fixture(scope="module")
def budgeted(fake: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    proxy = Proxy.start(
        tmp_path_factory.mktemp("aborts"),
        fake.url,
        providers={name: {"base_url": fake.url} for name in ("anthropic", "openai", "gemini")},
        budgets=[{"name": "all", "limit_usd": 50, "window": "total"}],
    )
    yield proxy
    proxy.stop()


@contextmanager
def h1_call(proxy: Proxy, api: Api, body: bytes) -> Iterator[Callable[[bytes], None]]:
    """Gives what reads until something was said; the connection ends with the block."""
    fields = {"host": f"127.0.0.1:{proxy.port}", "content-type": "application/json", "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in (fields | api.headers).items())
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as connection:
        connection.sendall(f"POST {api.path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        seen = bytearray()

        def until(mark: bytes) -> None:
            while mark not in seen:
                data = connection.recv(65536)
                assert data, bytes(seen)
                seen.extend(data)

        yield until


@contextmanager
def h2_call(proxy: Proxy, api: Api, body: bytes) -> Iterator[Callable[[bytes], None]]:
    """The same over HTTP/2 in a tunnel: the stream is reset, its connection goes on."""
    with H2Client(proxy, api.host) as client:
        stream = client.post(api.path, body, {"content-type": "application/json"} | api.headers)
        yield lambda mark: client.until(lambda: mark in client.bodies[stream])
        client.reset(stream)
        again = client.post("/nowhere", b"{}", {"content-type": "application/json"})
        client.until(lambda: again in client.ended)


def rows(proxy: Proxy) -> dict[str, Row]:
    return {row.id: row for row in LedgerReader(proxy.data / "ledger.db").page(limit=500).rows}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("way", [h1_call, h2_call], ids=["h1", "h2"])
@pytest.mark.parametrize("name", APIS)
def test_a_program_that_leaves_pays_for_what_came(
    budgeted: Proxy, fake: FakeProvider, name: str, way: Any, point: str
) -> None:
    api, before, seen = APIS[name], rows(budgeted), len(fake.received)
    pace = {"before the head": "[[stall first]]", "before its end": "[[slow 5ms]]"}.get(point, "[[slow 400ms]]")
    body = json.dumps(api.body).replace(PACE, pace)
    with way(budgeted, api, body.encode()) as until:
        if point == "before the head":
            deadline = time.monotonic() + 30
            while len(fake.received) == seen:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        else:
            until({"at the first event": api.begun, "at the first words": api.wrote}.get(point, api.told))
    deadline = time.monotonic() + 30
    while not (made := [row for id, row in rows(budgeted).items() if id not in before and row.operation != "other"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (row,) = made
    assert row.outcome == "aborted" or (row.outcome, point) == ("answered", "before its end")  # it may have been faster
    assert row.cost is not None
    sent = tokens.estimate([api.body.get("input") or SAID])
    assert 0.6 * sent <= row.usage.input <= 1.5 * sent
    wrote = tokens.estimate([ANSWER])
    if point == "before the head":
        assert (row.estimated, row.usage.output) == (True, 0)
    elif point == "before its end":
        assert 0.8 * wrote <= row.usage.output <= 1.3 * wrote
    else:
        assert row.usage.output < wrote
        if point == "at the first words":
            assert row.usage.output > 0
    assert row.cost >= row.usage.input * Decimal("0.0000003")
    assert sum(dollars(count.spent) for count in settled(budgeted).values()) == booked(budgeted, len(before) + 1)
