"""What a provider has seen of a conversation stays as it was: its prompt cache goes on hitting, and no value comes late."""

import itertools
import json
from typing import Any

import httpx
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import ANTHROPIC_KEY, OPENAI_KEY, PLANTED, Proxy, claude, gpt, placeholders, said, user

PASSWORD = PLANTED["password"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_value_known_by_its_context_is_masked_when_it_comes_bare_anthropic(
    proxy: Proxy, provider: FakeProvider, stream: bool
) -> None:
    messages = claude(proxy).messages

    def ask(conversation: list[Any]) -> Any:
        request: Any = {"model": "m", "max_tokens": 64, "messages": conversation}
        if not stream:
            return messages.create(**request)
        with messages.stream(**request) as events:
            return events.get_final_message()

    conversation: list[Any] = user(f'{said("password")} [[say It is $VALUE.]] [[tool Write {{"content": "$VALUE"}}]]')
    first = ask(conversation)
    assert first.content[0].text == f"It is {PASSWORD}."
    assert first.content[1].input == {"content": PASSWORD}
    conversation.append({"role": "assistant", "content": [block.to_dict() for block in first.content]})
    written = {"type": "tool_result", "tool_use_id": first.content[1].id, "content": f"wrote {PASSWORD}"}
    conversation += user([written])
    second = ask(conversation)
    assert second.content[0].text == f"The tool said: wrote {PASSWORD}"
    conversation += [{"role": "assistant", "content": second.content[0].text}, *user(PASSWORD)]
    assert ask(conversation).content[0].text == f"You said: {PASSWORD}"
    assert [len(set(placeholders(one))) for one in provider.received] == [1, 1, 1]


def test_a_value_known_by_its_context_is_masked_when_it_comes_bare_openai(proxy: Proxy, provider: FakeProvider) -> None:
    ask = gpt(proxy).chat.completions.create
    conversation: list[Any] = user(f'{said("password")} [[say It is $VALUE.]] [[tool save {{"content": "$VALUE"}}]]')
    first: Any = ask(model="m", messages=conversation).choices[0].message
    assert json.loads(first.tool_calls[0].function.arguments) == {"content": PASSWORD}
    conversation.append(first.to_dict())
    conversation.append({"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": f"wrote {PASSWORD}"})
    second = ask(model="m", messages=conversation).choices[0].message.content
    assert second == f"The tool said: wrote {PASSWORD}"
    conversation += [{"role": "assistant", "content": second}, *user(PASSWORD)]
    assert ask(model="m", messages=conversation).choices[0].message.content == f"You said: {PASSWORD}"


def turn(number: int, names: list[str]) -> list[Any]:
    """One turn of a program at work: it says something, a tool is called, and its result comes with a planted value."""
    name = names[number % len(names)]
    use = {"type": "tool_use", "id": f"toolu_{number}", "name": "Read", "input": {"path": f"/src/f{number}.py"}}
    result = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": f"1: x = {number}\n2: {said(name)}"}
    return [
        {"role": "user", "content": [{"type": "text", "text": f"Turn {number}: é \U0001f600 {said(name)}?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": f"{PLANTED[name]}, I see."}, use]},
        {"role": "user", "content": [result]},
        {"role": "assistant", "content": f"So turn {number} is over."},
    ]


def dialect(name: str, conversation: list[Any]) -> tuple[str, dict[str, str], list[Any]]:
    if name == "anthropic":
        return "/v1/messages", {"x-api-key": ANTHROPIC_KEY}, conversation
    flat = [message | {"content": json.dumps(message["content"], ensure_ascii=False)} for message in conversation]
    return "/v1/chat/completions", {"authorization": f"Bearer {OPENAI_KEY}"}, flat


@pytest.mark.parametrize("name", ["anthropic", "openai"])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_what_was_sent_stays_a_prefix_of_what_is_sent_next(
    proxy: Proxy, provider: FakeProvider, name: str, ascii_only: bool
) -> None:
    conversation: list[Any] = []
    bodies: list[bytes] = []
    head = {"model": "m", "max_tokens": 64, "system": "You are careful."}
    with httpx.Client(base_url=proxy.url) as client:
        for number in range(30):
            conversation += turn(number, list(PLANTED))
            path, headers, messages = dialect(name, conversation)
            body = json.dumps(
                head | {"messages": [*messages, *user("on")]}, ensure_ascii=ascii_only, separators=(", ", ": ")
            )
            bodies.append(body.encode())
            answer = client.post(path, content=body.encode(), headers=headers | {"content-type": "application/json"})
            assert answer.status_code == 200
    seen = [one.body for one in provider.received]
    tail = len(', {"role": "user", "content": "on"}]}')
    for before, after in itertools.pairwise(bodies):
        assert after.startswith(before[:-tail]), "the test itself must send prefixes"
    for before, after in itertools.pairwise(seen):
        assert after.startswith(before[:-tail])
    assert len(placeholders(provider.received[-1])) >= 3 * 30
