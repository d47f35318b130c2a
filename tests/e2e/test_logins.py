"""A program's own login, whatever it is, arrives at its provider as it was and works."""

import json
from typing import Any

import anthropic
import httpx
import openai
import pytest
import zstandard

from addons.demo.provider import FakeProvider
from tests.e2e.harness import PLANTED, WAYS, Proxy, Way, claude, gpt, placeholders, said, user

MAIL = PLANTED["e-mail"]
OAUTH = "sk-ant-oat01-a-login-of-claude-code"
CODEX = {
    "authorization": "Bearer eyJhbGciOi.a-login-of-codex.sig",
    "chatgpt-account-id": "acc-0123",
    "openai-beta": "responses=experimental",
    "originator": "codex_cli_rs",
    "session_id": "0199-session",
    "content-type": "application/json",
    "accept": "text/event-stream",
}


def open_client(proxy: Proxy, way: Way, host: str) -> httpx.Client:
    if way == "base_url":
        return httpx.Client(base_url=proxy.url, trust_env=False)
    return httpx.Client(base_url=f"https://{host}", proxy=proxy.url, verify=proxy.trust(), trust_env=False)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stream", [False, True])
def test_claudes_oauth_login_passes(proxy: Proxy, provider: FakeProvider, way: Way, stream: bool) -> None:
    headers = {
        "authorization": f"Bearer {OAUTH}",
        "anthropic-beta": "claude-code-20250219,oauth-2025-04-20",
        "anthropic-version": "2023-06-01",
        "x-app": "cli",
    }
    body: Any = {"model": "m", "max_tokens": 9, "messages": user(f"I am {MAIL}"), "stream": stream,
                 "metadata": {"user_id": "user_0123_account__session_4567"}}  # fmt: skip
    with open_client(proxy, way, "api.anthropic.com") as client:
        answer = client.post("/v1/messages?beta=true", json=body, headers=headers)
    assert answer.status_code == 200
    sent = provider.received[0]
    assert {name: sent.header(name) for name in headers} == headers
    assert sent.header("x-api-key") is None
    assert sent.json["metadata"] == body["metadata"]
    assert len(placeholders(sent)) == 1
    if not stream:
        assert answer.json()["content"][0]["text"] == f"You said: I am {MAIL}"


def test_claudes_own_package_with_a_login(proxy: Proxy, provider: FakeProvider) -> None:
    client = claude(proxy, api_key=None, auth_token=OAUTH, default_headers={"anthropic-beta": "oauth-2025-04-20"})
    assert client.messages.create(model="m", max_tokens=9, messages=user(said("e-mail"))).content
    assert provider.received[0].header("authorization") == f"Bearer {OAUTH}"


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_login_is_told_by_the_provider_itself(proxy: Proxy, provider: FakeProvider, way: Way) -> None:
    with pytest.raises(anthropic.AuthenticationError, match=r"[iI]nvalid"):
        claude(proxy, way, api_key="sk-ant-wrong").messages.create(model="m", max_tokens=9, messages=user("x"))
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key"):
        gpt(proxy, way, api_key="wrong").chat.completions.create(model="m", messages=user("x"))
    with open_client(proxy, way, "api.anthropic.com") as client:
        headers = {"anthropic-version": "2023-06-01"}
        answer = client.post("/v1/messages", json={"model": "m", "max_tokens": 1, "messages": []}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")
    assert answer.headers["request-id"] == "req_011fake"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("packed", [False, True])
def test_codex_passes_with_its_own_login(proxy: Proxy, provider: FakeProvider, way: Way, packed: bool) -> None:
    tool = '[[tool shell {"command": ["sh", "-c", "echo $VALUE > a.txt"]}]]'
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"I am {MAIL} {tool}"}]}
    sealed = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAABo" + "x" * 200}
    value = {"model": "gpt-5.1-codex", "instructions": "You are Codex.", "input": [sealed, message], "stream": True,
             "store": False, "tools": [{"type": "custom", "name": "apply_patch"}], "prompt_cache_key": "k"}  # fmt: skip
    content = json.dumps(value).encode()
    headers = CODEX | ({"content-encoding": "zstd"} if packed else {})
    with open_client(proxy, way, "chatgpt.com") as client:
        answer = client.post(
            "/backend-api/codex/responses", content=zstandard.compress(content) if packed else content, headers=headers
        )
    assert answer.status_code == 200, answer.text
    sent = provider.received[0]
    assert {name: sent.header(name) for name in CODEX} == CODEX
    assert sent.json["input"][0] == sealed
    assert sent.json["tools"] == value["tools"]
    assert len(set(placeholders(sent))) == 1
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    call = next(one["item"] for one in events if one["type"] == "response.output_item.done")
    assert json.loads(call["arguments"]) == {"command": ["sh", "-c", f"echo {MAIL} > a.txt"]}
    deltas = [one["delta"] for one in events if one["type"] == "response.function_call_arguments.delta"]
    assert json.loads("".join(deltas)) == {"command": ["sh", "-c", f"echo {MAIL} > a.txt"]}


def test_codex_sees_its_providers_own_401(proxy: Proxy, provider: FakeProvider) -> None:
    body = {"model": "m", "input": "x", "stream": True}
    headers = CODEX | {"authorization": "Bearer wrong"}
    answer = httpx.post(proxy.url + "/backend-api/codex/responses", json=body, headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Could not validate credentials"})
