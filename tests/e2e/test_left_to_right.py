"""A value that only its surroundings gave away is masked for good: bare, in a tool's arguments, in a file, turn after turn."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import ANTHROPIC_KEY, OPENAI_KEY, Proxy, placeholders

# By a word for the detector: what a person or a program says, and the value in it that by itself is nothing special.
CONTEXTS = {
    "said in prose": ("The password is Kn0tty+Pine", "Kn0tty+Pine"),
    "said with a colon": ("My password: zx81-Spectrum!", "zx81-Spectrum!"),
    "with a quote in it": ("db_password = 'aB\"3x#q9z'", 'aB"3x#q9z'),
    "with marks that HTML and URLs write otherwise": ('password = "Fi&<sh%5q+Ch1ps"', "Fi&<sh%5q+Ch1ps"),
    "a key in a file of settings": ("STRIPE_SECRET=Zx9Kq3LmTr8VbN2wYp5J", "Zx9Kq3LmTr8VbN2wYp5J"),
    "a date of birth": ("date of birth: 17/03/1984", "17/03/1984"),
    "a connection": (
        "postgres://shop:T1ger-Paw@db.corp-mail.com:5432/shop",
        "postgres://shop:T1ger-Paw@db.corp-mail.com:5432/shop",
    ),
    "assigned in code": ('db_password = "wintermute77"', "wintermute77"),
    "assigned in a file of settings": ("DB_PASSWORD=wintermute78", "wintermute78"),
    "in YAML": ("database:\n  password: neuro-Mancer5", "neuro-Mancer5"),
    "under a JSON name": ('{"user": "x", "password": "c0unt-Zero8"}', "c0unt-Zero8"),
    "a token under a JSON name": ('{"api_key": "q8Zr2mV7xK4tLw9PbN3s"}', "q8Zr2mV7xK4tLw9PbN3s"),
    "in a header": ("Authorization: Bearer 8fKq2LzXw7RtVb5NmYc3", "8fKq2LzXw7RtVb5NmYc3"),
    "in a URL": ("git clone https://bot:m0naLisa-Over@git.corp-mail.com/x.git", "m0naLisa-Over"),
    "on a command line": ("mysql -u root --password=idoru-4711 shop", "idoru-4711"),
    "a phone number": ("call me at 650-253-0117", "650-253-0117"),
    "a social security number": ("my social security number is 536-22-8766", "536-22-8766"),
    "an address of a machine": ("the server's address is 85.214.132.118", "85.214.132.118"),
}

Turn = Callable[[httpx.Client, bytes], tuple[str, list[dict[str, Any]], list[dict[str, Any]]]]


def anthropic(client: httpx.Client, body: bytes) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
    """The text of an answer, what its tools were given, and the messages that a program adds for it."""
    answer = client.post("/v1/messages", content=body, headers={"x-api-key": ANTHROPIC_KEY}).json()
    uses = [block for block in answer["content"] if block["type"] == "tool_use"]
    text = "".join(block["text"] for block in answer["content"] if block["type"] == "text")
    results = [
        {"type": "tool_result", "tool_use_id": use["id"], "content": f"1: {use['input']['content']}"} for use in uses
    ]
    added: list[dict[str, Any]] = [{"role": "assistant", "content": answer["content"]}]
    if results:
        added.append({"role": "user", "content": results})
    return text, [use["input"] for use in uses], added


def anthropic_stream(client: httpx.Client, body: bytes) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
    blocks: list[dict[str, Any]] = []
    sources: dict[int, str] = {}
    body = body.replace(b'"stream": false', b'"stream": true')
    with client.stream("POST", "/v1/messages", content=body, headers={"x-api-key": ANTHROPIC_KEY}) as answer:
        for line in answer.iter_lines():
            event = json.loads(line[6:]) if line.startswith("data: ") else {}
            if event.get("type") == "content_block_start":
                blocks.append(event["content_block"])
            elif event.get("type") == "content_block_delta":
                delta, index = event["delta"], event["index"]
                if delta["type"] == "text_delta":
                    blocks[index]["text"] += delta["text"]
                else:
                    sources[index] = sources.get(index, "") + delta["partial_json"]
    for index, source in sources.items():
        blocks[index]["input"] = json.loads(source)
    uses = [block for block in blocks if block["type"] == "tool_use"]
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    added: list[dict[str, Any]] = [{"role": "assistant", "content": blocks}]
    if uses:
        results = [
            {"type": "tool_result", "tool_use_id": use["id"], "content": f"1: {use['input']['content']}"}
            for use in uses
        ]
        added.append({"role": "user", "content": results})
    return text, [use["input"] for use in uses], added


def chat(client: httpx.Client, body: bytes) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
    headers = {"authorization": f"Bearer {OPENAI_KEY}"}
    message = client.post("/v1/chat/completions", content=body, headers=headers).json()["choices"][0]["message"]
    calls = message.get("tool_calls") or []
    inputs = [json.loads(call["function"]["arguments"]) for call in calls]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": f"1: {given['content']}"}
        for call, given in zip(calls, inputs, strict=True)
    ]
    return message["content"] or "", inputs, [message, *results]


def responses(client: httpx.Client, body: bytes) -> tuple[str, list[dict[str, Any]], list[dict[str, Any]]]:
    headers = {"authorization": f"Bearer {OPENAI_KEY}"}
    output = client.post("/v1/responses", content=body, headers=headers).json()["output"]
    text = "".join(part["text"] for item in output if item["type"] == "message" for part in item["content"])
    calls = [item for item in output if item["type"] == "function_call"]
    inputs = [json.loads(call["arguments"]) for call in calls]
    results = [
        {"type": "function_call_output", "call_id": call["call_id"], "output": f"1: {given['content']}"}
        for call, given in zip(calls, inputs, strict=True)
    ]
    return text, inputs, [*output, *results]


WAYS: dict[str, tuple[Turn, str]] = {
    "anthropic": (anthropic, "messages"),
    "anthropic stream": (anthropic_stream, "messages"),
    "chat": (chat, "messages"),
    "responses": (responses, "input"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("context", CONTEXTS)
def test_a_value_that_its_context_gave_away_stays_masked_in_three_turns(
    proxy: Proxy, provider: FakeProvider, way: str, context: str
) -> None:
    said, value = CONTEXTS[context]
    turn, key = WAYS[way]
    head = {"model": "m", "max_tokens": 64, "stream": False}
    ask = (
        '[[say It is $VALUE.]] [[tool Write {"file_path": "a.txt", "content": "<$VALUE>", "list": [{"of": "$VALUE"}]}]]'
    )
    conversation: list[dict[str, Any]] = [{"role": "user", "content": f"{said}\n{ask}"}]
    bodies: list[bytes] = []

    def body() -> bytes:
        bodies.append(json.dumps(head | {key: conversation}, ensure_ascii=False).encode())
        return bodies[-1]

    with httpx.Client(base_url=proxy.url, headers={"content-type": "application/json"}, timeout=30) as client:
        text, inputs, added = turn(client, body())
        assert text == f"It is {value}."
        assert inputs == [{"file_path": "a.txt", "content": f"<{value}>", "list": [{"of": value}]}]
        conversation += added  # the file as the program read it, with the value bare
        text, _, added = turn(client, body())
        assert text == f"The tool said: 1: <{value}>"
        conversation += [
            *added,
            {"role": "user", "content": f"{value}\n```\nx = {json.dumps(value)}\n```\n[[say <$VALUE>]]"},
        ]
        text, _, _ = turn(client, body())
        assert text in (f"<{value}>", f"<{json.dumps(value)[1:-1]}>")
    seen = [one.decoded for one in provider.received]
    assert len(seen) == 3
    for number, one in enumerate(seen):
        assert value.encode() not in one, number
        assert json.dumps(value)[1:-1].encode() not in one, number
        assert json.dumps(json.dumps(value))[1:-1].strip('\\"').encode() not in one, number
    made = [set(placeholders(one)) for one in provider.received]
    # Written in JSON, a value with quotes in it is another text, and may have a placeholder of its own.
    assert made[0] <= made[1] <= made[2]
    assert len(made[0]) == len(made[1]) == 1
    assert len(made[2]) == 1 or json.dumps(value) != f'"{value}"'
    for before, after in itertools.pairwise(seen):
        assert after.startswith(before.rstrip()[:-2]), "what was sent must stay a prefix of what is sent next"
