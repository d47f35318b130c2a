"""Each kind of value that was planted stays here, whatever way it goes, and comes back whole."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import ANTHROPIC_KEY, PLANTED, Proxy, claude, gpt, placeholders, said, user

HEADERS = {"x-api-key": ANTHROPIC_KEY, "content-type": "application/json"}


@pytest.mark.parametrize("name", PLANTED)
def test_a_value_is_masked_and_comes_back_in_text_and_tools(proxy: Proxy, provider: FakeProvider, name: str) -> None:
    text = f'{said(name)}\n[[say <$VALUE>]] [[tool Write {{"file_path": "a", "content": "=$VALUE="}}]]'
    answer: Any = claude(proxy).messages.create(model="m", max_tokens=64, messages=user(text))
    assert len(placeholders(provider.received[0])) == 1
    assert answer.content[0].text == f"<{PLANTED[name]}>"
    assert answer.content[1].input["content"] == f"={PLANTED[name]}="


@pytest.mark.parametrize("name", PLANTED)
def test_a_value_is_masked_and_comes_back_in_a_stream(proxy: Proxy, provider: FakeProvider, name: str) -> None:
    text = f"{said(name)}. [[pieces 1]] [[say ($LAST)]]"
    chunks = gpt(proxy).chat.completions.create(model="m", messages=user(text), stream=True)
    answer = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert answer == f"({said(name)}.)"


def places(text: str) -> Iterator[Any]:
    """A request with the text in each place where Anthropic's format has room for text."""
    base = {"model": "m", "max_tokens": 9}
    yield base | {"messages": user("x"), "system": text}
    yield base | {"messages": user("x"), "system": [{"type": "text", "text": text}]}
    yield base | {"messages": user([{"type": "text", "text": text}])}
    yield base | {"messages": [*user("x"), {"role": "assistant", "content": text}, *user("y")]}
    use = {"type": "tool_use", "id": "t", "name": "f", "input": {"deep": [{"er": text}]}}
    yield base | {"messages": [*user("x"), {"role": "assistant", "content": [use]}, *user("y")]}
    yield base | {"messages": user([{"type": "tool_result", "tool_use_id": "t", "content": text}])}
    yield base | {"messages": user([{"type": "document", "source": {"type": "text", "data": text}}])}
    yield base | {"messages": user([{"type": "block-of-tomorrow", "its_text": [text]}])}
    yield base | {"messages": user("x"), "field_of_tomorrow": {"a": [text]}}


@pytest.mark.parametrize("place", range(len(list(places("")))))
def test_a_value_is_masked_wherever_a_model_would_read_it(proxy: Proxy, provider: FakeProvider, place: int) -> None:
    body = list(places(f"{said('e-mail')}, {said('github')}"))[place]
    assert httpx.post(f"{proxy.url}/v1/messages", json=body, headers=HEADERS).status_code == 200
    assert len(placeholders(provider.received[0])) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_an_endpoint_that_nobody_has_heard_of_is_masked_and_restored(
    proxy: Proxy, provider: FakeProvider, stream: bool
) -> None:
    value = {"anything": [{"at": {"all": said("e-mail")}}], said("iban"): True, "n": 12345678901234567890}
    headers = HEADERS | {"anthropic-version": "2023-06-01"}
    answer = httpx.post(f"{proxy.url}/v1/of/tomorrow", json=value | {"stream": stream}, headers=headers)
    assert answer.json()["received"] == value | {"stream": stream}
    assert len(placeholders(provider.received[0])) == 2


def test_a_call_that_the_provider_refuses_was_masked_too(proxy: Proxy, provider: FakeProvider) -> None:
    text = json.dumps({"model": "m", "messages": user(said("e-mail"))})  # no max_tokens: the provider refuses
    answer = httpx.post(f"{proxy.url}/v1/messages", content=text, headers=HEADERS)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "max_tokens: Field required"
    assert len(placeholders(provider.received[0])) == 1


def test_nothing_is_kept_on_disk(proxy: Proxy, provider: FakeProvider) -> None:
    for name in PLANTED:
        claude(proxy).messages.create(model="m", max_tokens=64, messages=user(said(name)))
    for bad in (b'{"a": "' + PLANTED["github"].encode(), b'["' + PLANTED["card"].encode() + b'"]'):
        assert httpx.post(f"{proxy.url}/v1/messages", content=bad, headers=HEADERS).status_code == 400
    assert proxy.found_on_disk() == []
    assert all((path.stat().st_mode & 0o077) == 0 for path in proxy.data.rglob("*authority*"))
