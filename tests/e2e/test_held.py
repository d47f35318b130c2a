"""Turns that only the provider holds: values of earlier turns come back in later ones, to their caller and to no other."""

import json
from typing import Any

import httpx
import openai
import pytest

from addons.demo.provider import FakeProvider
from tests.e2e.harness import OPENAI_KEY, PLANTED, Proxy, gpt, leaked, placeholders, said
from tests.e2e.test_reload import change, read_again

MAIL, PASSWORD = PLANTED["e-mail"], PLANTED["password"]
TOOL: Any = {"type": "function", "name": "note", "parameters": {"type": "object"}, "strict": False}


def ask(client: openai.OpenAI, text: str, streamed: bool, **more: Any) -> tuple[str, str, list[Any]]:
    """The id of the response, its text and its calls of tools. What a stream says in pieces is what it says at its end."""
    request: Any = {"model": "m", "input": text} | more
    if not streamed:
        response = client.responses.create(**request)
    else:
        with client.responses.stream(**request) as events:
            pieces: dict[str, str] = {}
            for event in events:
                if event.type in ("response.output_text.delta", "response.function_call_arguments.delta"):
                    pieces[event.type] = pieces.get(event.type, "") + event.delta
            response = events.get_final_response()
        assert pieces.get("response.output_text.delta", "") == response.output_text
        calls = [each.arguments for each in response.output if each.type == "function_call"]
        assert pieces.get("response.function_call_arguments.delta", "") == "".join(calls)
    return (
        response.id,
        response.output_text,
        [json.loads(each.arguments) for each in response.output if each.type == "function_call"],
    )


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_value_of_the_first_turn_comes_back_in_the_third_though_only_the_provider_holds_it(
    proxy: Proxy, provider: FakeProvider, streamed: bool
) -> None:
    client = gpt(proxy)
    first, text, _ = ask(client, f"I am {MAIL}, and the password is {PASSWORD}", streamed)
    assert MAIL in text
    second, text, _ = ask(client, "And now? [[say It was $FIRST.]]", streamed, previous_response_id=first)
    assert text == f"It was {MAIL}."
    third, text, calls = ask(
        client, 'Note it [[say Noted.]] [[tool note {"to": "$FIRST", "deep": ["<$FIRST>"]}]]', streamed,
        previous_response_id=second, tools=[TOOL],
    )  # fmt: skip
    assert (text, calls) == ("Noted.", [{"to": MAIL, "deep": [f"<{MAIL}>"]}])
    # The bare value in a later turn is masked, though nothing there tells what it is.
    _, text, _ = ask(client, f"Use {PASSWORD} once more.", streamed, previous_response_id=third)
    assert text == f"You said: Use {PASSWORD} once more."
    last = provider.received[-1]
    assert PASSWORD.encode() not in last.decoded
    assert placeholders(last) == placeholders(provider.received[0])[1:]


def test_a_response_in_the_background_is_restored_when_it_is_asked_for(proxy: Proxy, provider: FakeProvider) -> None:
    client = gpt(proxy)
    queued = client.responses.create(model="m", input=f"I am {MAIL}", background=True)
    assert (queued.status, queued.output) == ("queued", [])
    for _ in range(2):
        done = client.responses.retrieve(queued.id)
        assert (done.status, done.output_text) == ("completed", f"You said: I am {MAIL}")
    items = client.responses.input_items.list(queued.id)
    assert f"I am {MAIL}" in items.to_json()
    raw = client.responses.with_raw_response.retrieve(queued.id)
    assert "x-tokenman-unrestored" not in raw.headers


def test_a_conversation_is_followed_by_its_name(proxy: Proxy, provider: FakeProvider) -> None:
    client = gpt(proxy)
    ask(client, f"I am {MAIL}", False, conversation="conv_of_mine")
    _, text, _ = ask(client, "Who? [[say $FIRST]]", False, conversation="conv_of_mine")
    assert text == MAIL
    _, text, _ = ask(client, "Who? [[say $FIRST]]", True, conversation="conv_of_mine")
    assert text == MAIL


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_another_caller_gets_nothing_for_an_id_that_he_found(
    proxy: Proxy, provider: FakeProvider, streamed: bool
) -> None:
    first, _, _ = ask(gpt(proxy), f"I am {MAIL}", False)
    (placeholder,) = placeholders(provider.received[-1])
    other = gpt(proxy, api_key=OPENAI_KEY + "-of-another")
    _, text, _ = ask(other, "Who? [[say $FIRST]]", streamed, previous_response_id=first)
    assert text == placeholder
    for path in ("", "/input_items"):
        answer = httpx.get(
            f"{proxy.url}/v1/responses/{first}{path}",
            headers={"authorization": f"Bearer {OPENAI_KEY}-of-another"},
            timeout=30,
        )
        assert answer.status_code == 200
        assert placeholder in answer.text
        assert MAIL not in answer.text
        assert answer.headers["x-tokenman-unrestored"] == "1"
    # Nor has he spoilt it for its owner.
    _, text, _ = ask(gpt(proxy), "Who? [[say $FIRST]]", streamed, previous_response_id=first)
    assert text == MAIL


def test_what_the_provider_is_not_to_store_is_not_remembered_and_that_is_said(
    proxy: Proxy, provider: FakeProvider
) -> None:
    client = gpt(proxy)
    first, _, _ = ask(client, f"I am {MAIL}", False, store=False)
    (placeholder,) = placeholders(provider.received[-1])
    raw = client.responses.with_raw_response.create(
        model="m", input=f"[[say It was {placeholder}.]]", previous_response_id=first
    )
    assert raw.parse().output_text == f"It was {placeholder}."
    assert raw.headers["x-tokenman-unrestored"] == "1"


def test_an_inherited_value_is_not_carried_away(proxy: Proxy, provider: FakeProvider) -> None:
    client = gpt(proxy)
    first, _, _ = ask(client, f"I am {MAIL}", False)
    raw = client.responses.with_raw_response.create(
        model="m", input="Show it [[say ![x]($FOREIGN?q=$FIRST)]]", previous_response_id=first
    )
    assert MAIL not in raw.text
    assert raw.headers["x-tokenman-unrestored"] == "1"


def test_a_cached_answer_of_such_a_turn_is_restored_too(running: Any, fake: FakeProvider) -> None:
    proxy = running(cache={"mode": "all"})
    client = gpt(proxy)
    first, _, _ = ask(client, f"I am {MAIL}", False)
    again: dict[str, Any] = {"model": "m", "input": "Who? [[say $FIRST]]", "previous_response_id": first}
    told = []
    for _ in range(2):
        raw = client.responses.with_raw_response.create(**again)
        told.append(raw.headers["x-tokenman-cache"])
        assert raw.parse().output_text == MAIL
    assert told == ["miss", "hit"]
    _, text, _ = ask(client, again["input"], True, previous_response_id=first)
    assert text == MAIL
    # The answer that was given again has an id, too, with which the conversation goes on.
    _, text, _ = ask(client, "So? [[say $FIRST]]", False, previous_response_id=raw.parse().id)
    assert text == MAIL
    assert not leaked(fake)


def test_what_is_held_outlives_a_change_of_the_configuration_and_is_nowhere_on_disk(
    running: Any, fake: FakeProvider
) -> None:
    proxy = running()
    client = gpt(proxy)
    first, _, _ = ask(client, f"I am {MAIL}, {said('password')}", False)
    read_again(proxy, "applied", lambda: change(proxy, redaction={"restore_egress": "never"}))
    _, text, _ = ask(client, "Who? [[say $FIRST]]", False, previous_response_id=first)
    assert text == MAIL
    assert not proxy.found_on_disk([MAIL, PASSWORD])
    assert not leaked(fake)
