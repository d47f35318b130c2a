"""No way to a model leads past a budget: each route, each spelling of it and each method, with a budget that affords nothing."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import ANTHROPIC_KEY, OPENAI_KEY, Proxy, claude, gpt, user
from tests.e2e.raw import H2Client

CHAT: Any = {"model": "gpt-4.1", "messages": user("hi")}
CLAUDE: Any = {"model": "claude-sonnet-4-5", "max_tokens": 10, "messages": user("hi")}
GEMINI: Any = {"contents": [{"parts": [{"text": "hi"}]}]}
EMBED: Any = {"content": {"parts": [{"text": "hi"}]}}

COSTS = {
    "/v1/chat/completions": CHAT,
    "/v1/chat/completions/": CHAT,
    "/v1//chat/completions": CHAT,
    "/v1/chat/completions?x=1": CHAT,
    "/v1/Chat/Completions": CHAT,
    "/v1/chat//completions": CHAT,
    "//v1/chat/completions": CHAT,
    "/v1/chat/completions/files/x": CHAT,
    "/v1/models/acme/large": {**CHAT, "model": "acme/large"},
    "/p/local/v1/chat/completions": CHAT,
    "/p/local/api/chat": CHAT,
    "/v1/completions": {"model": "gpt-3.5-turbo-instruct", "prompt": "hi"},
    "/v1//completions": CHAT,
    "/v1/responses": {"model": "gpt-4.1", "input": "hi"},
    "/v1/responses/compact": {"model": "gpt-4.1", "input": "hi"},
    "/v1/embeddings": {"model": "text-embedding-3-small", "input": "hi"},
    "/v1/images/generations": {"model": "gpt-image-1", "prompt": "x"},
    "/v1/audio/speech": {"model": "tts-1", "input": "x"},
    "/v1/batches": {"input_file_id": "file-1"},
    "/v1/containers": {"name": "x"},
    "/v1/vector_stores": {"name": "x"},
    "/v1/vector_stores/vs_1/files": {"file_id": "file-1"},
    "/v1/fine_tuning/jobs": {"model": "gpt-4.1", "training_file": "file-1"},
    "/v1/videos": {"model": "sora-2", "prompt": "x"},
    "/v1/realtime/client_secrets": {},
    "/v1/invented": {"x": "y"},
    "/v1/messages": CLAUDE,
    "/v1/messages?beta=true": CLAUDE,
    "/v1/messages/": CLAUDE,
    "/p/anthropic/v1//messages": CLAUDE,
    "/p/anthropic/v1/messages/batches/x": CLAUDE,
    "/p/anthropic/v1/messages/v1/files/x": CLAUDE,
    "/p/anthropic/chat/completions": CHAT,
    "/p/anthropic/gateway/v1/invented": CLAUDE,
    "/p/anthropic/v1/messages/batches": {"requests": []},
    "/p/anthropic/v1/complete": {"model": "claude-2.1", "prompt": "x", "max_tokens_to_sample": 5},
    "/p/anthropic/v1/sessions": {"agent": "a"},
    "/v1beta/models/gemini-2.5-pro:generateContent": GEMINI,
    "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse": GEMINI,
    "/v1beta/models/gemini-2.5-pro%3AgenerateContent": GEMINI,
    "/v1beta/models/gemini-2.5-pro:GenerateContent": GEMINI,
    "/v1beta/files/x:generateContent": GEMINI,
    "/v1beta/files/x%3agenerateContent": GEMINI,
    "/v1beta//models/gemini-2.5-pro:generateContent/files": GEMINI,
    "/v1beta/models/gemini-embedding-001:embedContent": EMBED,
    "/v1beta/models/gemini-embedding-001:batchEmbedContents": {"requests": [EMBED]},
    "/v1beta/models/gemini-2.5-pro:batchGenerateContent": {},
    "/v1beta/cachedContents": {"model": "models/gemini-2.5-pro"},
    "/v1beta/interactions": {"model": "gemini-2.5-flash", "input": "hi"},
    "/v1beta/openai/chat/completions": CHAT,
}
"""What is posted where; each costs, or may."""

SPELLINGS = {
    "/v1/chat%2fcompletions": CHAT,
    "/v1/%63hat/completions": CHAT,
    "/%76%31/chat/completions": CHAT,
    "/v1/files/../chat/completions": CHAT,
    "/v1/chat/completions/files/..": CHAT,
    "/v1/files/x%2f..%2f..%2fchat%2fcompletions": CHAT,
    "/v1/files/x%252f..%252f..%252fchat%252fcompletions": CHAT,
    r"/v1/files/x\..\..\chat\completions": CHAT,
    "/v1/files/x%5c..%5c..%5cchat%5ccompletions": CHAT,
    "/v1/files/x/..;/..;/chat/completions": CHAT,
    "/v1/chat/completions#/files/x": CHAT,
    "/v1/chat/completions%3f/files/x": CHAT,
    "/v1/chat/completions%00/files/x": CHAT,
    "/p/anthropic/v1/files/../messages": CLAUDE,
    "/p/anthropic/v1/skills/x%2f..%2f..%2fmessages": CLAUDE,
    "/p/anthropic/v1/messages/batches/x%2f..%2f..": CLAUDE,
    "/v1beta/files/x%2f..%2f..%2fmodels%2fgemini-2.5-pro%3agenerateContent": GEMINI,
    "/v1beta/models/gemini-2.5-pro:generateConten%74": GEMINI,
}
"""Which of them a server behind a gateway takes for a call that costs is for nobody to say."""

FREE = {
    "/v1/messages/count_tokens": CLAUDE,
    "/v1/responses/input_tokens": {"model": "gpt-4.1", "input": "hi"},
    "/v1/moderations": {"input": "hi"},
    "/v1/conversations": {},
    "/v1/batches/b/cancel": {},
    "/p/anthropic/v1/messages/batches/b/cancel": {},
    "/v1beta/models/gemini-2.5-pro:countTokens": GEMINI,
    "/v1beta/batches/b:cancel": {},
}


@pytest.fixture(scope="module")
def poor(fake: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    providers = {name: {"base_url": fake.url} for name in ("anthropic", "openai", "gemini")}
    proxy = Proxy.start(
        tmp_path_factory.mktemp("poor"),
        fake.url,
        providers=providers | {"local": {"base_url": fake.url, "dialect": "openai"}},
        budgets=[{"name": "nothing", "limit_usd": "0.000000000001", "window": "day"}],
    )
    yield proxy
    proxy.stop()


def headers(path: str) -> dict[str, str]:
    if path.startswith("/v1beta"):
        return {"x-goog-api-key": "AIza-the-callers-own-key"}
    if "messages" in path or path.startswith("/p/anthropic"):
        return {"x-api-key": ANTHROPIC_KEY, "anthropic-version": "2023-06-01"}
    return {"authorization": f"Bearer {OPENAI_KEY}"}


def ask(proxy: Proxy, method: str, path: str, body: Any) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    connection.request(method, path, json.dumps(body), {"content-type": "application/json", **headers(path)})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, response.getheader("x-tokenman-error") or ""


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_what_costs_is_refused_and_reaches_nobody(poor: Proxy, fake: FakeProvider, method: str) -> None:
    fake.clear()
    found = {path: ask(poor, method, path, body) for path, body in COSTS.items()}
    assert {path: it for path, it in found.items() if it not in ((429, "budget"), (400, "pricing"))} == {}
    assert not fake.received


def test_a_path_that_servers_read_in_different_ways_is_refused_and_reaches_nobody(
    poor: Proxy, fake: FakeProvider
) -> None:
    fake.clear()
    found = {path: ask(poor, "POST", path, body) for path, body in SPELLINGS.items()}
    assert {path: it for path, it in found.items() if it != (400, "parse")} == {}
    with H2Client(poor, "api.openai.com") as client:
        for path in ("/v1/files/x%2f..%2f..%2fchat%2fcompletions", "/v1/files/../chat/completions"):
            content = {"content-type": "application/json", **headers(path)}
            stream = client.post(path, json.dumps(CHAT).encode(), content)
            client.until(lambda stream=stream: stream in client.ended)  # type: ignore[misc]
            assert client.heads[stream]["x-tokenman-error"] == "parse", path
    assert not fake.received


def test_the_refusal_says_what_is_wrong_and_what_to_write_in_the_form_of_the_api(poor: Proxy) -> None:
    for client, path in ((gpt(poor), "/files/x%2f..%2fchat"), (claude(poor), "/v1/messages/%2e%2e")):
        with pytest.raises((openai.BadRequestError, anthropic.BadRequestError), match=r"holds an encoded .*: write "):
            client.post(path, body={}, cast_to=object)


def test_what_is_free_passes(poor: Proxy, fake: FakeProvider) -> None:
    found = {path: ask(poor, "POST", path, body) for path, body in FREE.items()}
    assert {path: kind for path, (_, kind) in found.items() if kind} == {}


def test_a_tunnel_leads_past_no_budget_either(poor: Proxy, fake: FakeProvider) -> None:
    fake.clear()
    for host, paths in (
        ("api.anthropic.com", ("/v1/messages", "/v1/messages/", "/v1/messages?beta=true")),
        ("api.openai.com", ("/v1/chat/completions", "/v1/responses", "/v1/containers")),
        (
            "generativelanguage.googleapis.com",
            ("/v1beta/models/gemini-2.5-pro:generateContent", "/v1beta/interactions"),
        ),
    ):
        with H2Client(poor, host) as client:
            for path in paths:
                stream = client.post(
                    path, json.dumps(COSTS[path]).encode(), {"content-type": "application/json", **headers(path)}
                )
                client.until(lambda stream=stream: stream in client.ended)  # type: ignore[misc]
                assert client.heads[stream]["x-tokenman-error"] in ("budget", "pricing"), path
    assert not fake.received
