"""Through the real proxy, in each dialect and each form of a body: what is hidden well does not arrive, and comes back whole."""

import base64
import json
import urllib.parse
from typing import Any

import httpx
import pytest

from addons.demo.provider import FakeProvider
from tests.core.redaction.test_hostile_places import bodies, shows
from tests.e2e.harness import ANTHROPIC_KEY, OPENAI_KEY, PLANTED, Proxy, placeholders

NAMES = ("e-mail", "github", "card", "iban")
SAID = ", ".join(PLANTED[name] for name in NAMES)
HEADERS = {
    "a": {"x-api-key": ANTHROPIC_KEY, "anthropic-version": "2023-06-01"},
    "g": {"x-goog-api-key": "AIza-the-callers-own-key"},
}
AS_A_MODEL = {"a model", "x model"}  # a name that no provider has: such a call is refused
OTHERS = {"authorization": f"Bearer {OPENAI_KEY}"}


@pytest.fixture(scope="module")
def proxy(shared_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One whose Gemini is the fake provider too."""
    folder = tmp_path_factory.mktemp("hostile")
    served = {"base_url": shared_provider.url}
    providers = {"anthropic": served, "openai": served, "gemini": served}
    running = Proxy.start(
        folder, shared_provider.url, providers=providers, breaker={"failures": 100_000, "min_calls": 0}
    )
    yield running
    running.stop()


def arrived(provider: FakeProvider) -> bytes:
    (received,) = provider.received
    return received.decoded + b"\n" + received.target.encode()


@pytest.mark.parametrize("place", [name for name, _, _ in bodies("")])
def test_nothing_of_a_value_arrives(proxy: Proxy, provider: FakeProvider, place: str) -> None:
    path, body = next((path, body) for name, path, body in bodies(SAID) if name == place)
    answer = httpx.post(proxy.url + path, json=body, headers=HEADERS.get(place[0], OTHERS), timeout=20)
    if place in AS_A_MODEL:
        assert answer.status_code == 400
        assert not provider.received
        assert not [name for name in NAMES if shows(answer.content, PLANTED[name])]
        return
    body_and_target = arrived(provider)
    assert not [name for name in NAMES if shows(body_and_target, PLANTED[name])]


def test_parts_of_a_form_are_read_as_what_they_are(proxy: Proxy, provider: FakeProvider) -> None:
    lines = "\n".join(
        json.dumps({"custom_id": str(n), "body": {"messages": [{"role": "user", "content": SAID}]}}) for n in range(3)
    )
    files = {
        "file": ("batch.jsonl", lines.encode(), "application/jsonl"),
        "notes": ("notes.bin", SAID.encode("utf-16-le"), "application/octet-stream"),
        "lie": ("photo.png", SAID.encode() * 3, "image/png"),
    }
    data = {"purpose": "batch", "prompt": SAID, "metadata": json.dumps({"who": {SAID: [SAID]}})}
    answer = httpx.post(f"{proxy.url}/v1/files", data=data, files=files, headers=OTHERS, timeout=20)
    assert answer.status_code < 500
    seen = arrived(provider)
    readings = [seen, seen.replace(b"\0", b"")]
    assert not [name for name in NAMES for each in readings if PLANTED[name].encode() in each]


def test_lines_of_json_are_bodies_of_their_own(proxy: Proxy, provider: FakeProvider) -> None:
    inner = json.dumps({"a": json.dumps({"b": json.dumps({"c": SAID})})})
    lines = "\r\n".join(json.dumps({"params": {"messages": [{"role": "user", "content": inner}]}}) for _ in range(3))
    httpx.post(
        f"{proxy.url}/v1/of/tomorrow", content=lines.encode(), timeout=20,
        headers=OTHERS | {"content-type": "application/x-ndjson"},
    )  # fmt: skip
    assert not [name for name in NAMES if shows(arrived(provider), PLANTED[name])]


@pytest.mark.parametrize("form", ["query", "path", "twice encoded", "base64"])
def test_an_address_holds_no_value(proxy: Proxy, provider: FakeProvider, form: str) -> None:
    mail, key = PLANTED["e-mail"], PLANTED["github"]
    once = urllib.parse.quote(f"{mail} {key}", safe="")
    where = {
        "query": f"/v1/files?after={once}&{once}=1",
        "path": f"/v1/files/{once}/content",
        "twice encoded": f"/v1/files?after={urllib.parse.quote(once, safe='')}",
        "base64": f"/v1/files?after={base64.urlsafe_b64encode(f'{mail} {key}'.encode()).decode()}",
    }[form]
    httpx.get(proxy.url + where, headers=OTHERS, timeout=20)
    assert not [value for value in (mail, key) if shows(arrived(provider), value)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_value_three_documents_deep_comes_back_as_it_stood(
    proxy: Proxy, provider: FakeProvider, stream: bool
) -> None:
    password = 'p"w\\9x-zebra'
    deep = json.dumps({"a": json.dumps({"b": json.dumps({"password": password})})})
    text = f"{deep}\n[[say got $VALUE]]"
    body = {"model": "m", "max_tokens": 64, "stream": stream, "messages": [{"role": "user", "content": text}]}
    answer = httpx.post(f"{proxy.url}/v1/messages", json=body, headers=HEADERS["a"], timeout=20)
    (received,) = provider.received
    assert len(placeholders(received)) == 1
    assert "zebra" not in received.decoded.decode()
    said = answer.text if stream else answer.json()["content"][0]["text"]
    assert "zebra" in said
    if not stream:
        assert said == f"got {password}"
