"""What is told in another shape is restored like anything that a provider says: on the same channels, wherever it is cut."""

import json
from typing import Any

import pytest

from tests.core.caching.shapes import sdk
from tests.core.caching.shapes.provider import ANTHROPIC, CHAT, RESPONSES, Api
from tests.core.caching.shapes.said import Said
from tests.core.caching.shapes.telling import PLAIN
from tokenman_core.caching.shapes import shown
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.redaction import Mapping, Restorer
from tokenman_core.sse import Event, SseParser

VALUE = 'o"brien\\@example.com'
PATHS = {"messages": "/v1/messages", "chat": "/v1/chat/completions", "responses": "/v1/responses"}
MAPPING = Mapping(b"k")
PLACEHOLDER, _ = MAPPING.placeholder("EMAIL_ADDRESS", VALUE)
# So many of them, one behind the other, that some are cut.
MANY = PLACEHOLDER * 40
QUESTION = f'[[say to {MANY} and {PLACEHOLDER}]] [[tool Write {{"content": "{MANY}"}}]]'


def restored(api: Api, body: bytes, stream: bool) -> bytes:
    """As the stage of the redaction does it."""
    wire = DIALECTS[api.dialect]
    reader, restorer = wire.reader(wire.operation("POST", PATHS[api.operation])), Restorer(MAPPING, "off")
    parser = SseParser()
    events = [*parser.feed(body), *parser.finish()] if stream else [Event(body, "whole")]
    out: list[bytes] = []
    for event in [*events, Event(b"", "end")]:
        reader.read(event)
        for channel in event.closes:
            if rest := restorer.close(channel):
                piece = reader.piece(channel, rest)
                assert piece
                out.append(piece.raw)
        restorer.whole([slot for slot in event.slots if not slot.channel])
        for slot in event.slots:
            if slot.channel:
                slot.text = restorer.feed(slot)
        out.append(event.render())
    return b"".join(out)


def message_of(read: Any) -> Any:
    return [block.get("text") or block.get("input") for block in read["content"]]


def completion_of(read: Any) -> Any:
    message = read["choices"][0]["message"]
    return [message["content"], json.loads(message["tool_calls"][0]["function"]["arguments"])]


def response_of(read: Any) -> Any:
    return [read["output"][0]["content"][0]["text"], json.loads(read["output"][1]["arguments"])]


@pytest.mark.parametrize(
    ("api", "plain", "stream", "of"),
    [
        (ANTHROPIC, sdk.message, sdk.message_stream, message_of),
        (CHAT, sdk.completion, sdk.completion_stream, completion_of),
        (RESPONSES, sdk.response, sdk.response_stream, response_of),
    ],
    ids=["anthropic", "chat", "responses"],
)
def test_values_come_back_in_texts_and_in_arguments(api: Api, plain: sdk.Reader, stream: sdk.Reader, of: Any) -> None:
    expected = [f"to {VALUE * 40} and {VALUE}", {"content": VALUE * 40}]
    own = api.said(QUESTION, "plain")
    made = shown(api.dialect, api.operation, False, own.body, own.content_type, api.wanted)
    assert made
    assert made.body.count(b"\n\n") > 40
    assert of(stream(Said(restored(api, made.body, True), made.content_type))[0]) == expected
    own = api.said(QUESTION, "events")
    made = shown(api.dialect, api.operation, True, own.body, own.content_type, PLAIN)
    assert made
    assert of(plain(Said(restored(api, made.body, False), made.content_type))) == expected
