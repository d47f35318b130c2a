"""What was kept in the shape that is asked for is given as it is; of chunks, with or without what they used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.caching.shapes.provider import CHAT, SCENARIOS
from tests.core.caching.shapes.telling import ARRAY, PLAIN, STREAM, WITH_USAGE, stream_of
from tests.core.dialects.streams import CHAT_USAGE, chat_stream
from tokenman_core.caching import shapes
from tokenman_core.caching.shapes import Shown, Wanted, shown
from tokenman_core.dialects import stream_usage
from tokenman_core.sse import SseParser

EVENTS = b"text/event-stream;charset=UTF-8"  # as no shape of ours writes it


def chat(body: bytes, wanted: Wanted) -> Shown | None:
    return shown("openai", "chat", True, body, EVENTS, wanted)


def as_outward_gives_it(body: bytes) -> bytes:
    parser = SseParser()
    events = [*parser.feed(body), *parser.finish()]
    return b"".join(one.raw for event in events if (one := stream_usage.without(event)) is not None)


@pytest.mark.parametrize("text", SCENARIOS.values(), ids=SCENARIOS)
def test_a_stream_that_was_asked_for_its_usage_by_us_is_shown_as_it_would_have_come(text: str) -> None:
    own = CHAT.said(text, "events").body
    made = chat(own, STREAM)
    assert made == Shown(EVENTS, as_outward_gives_it(own), True, False)
    assert b'"usage"' not in made.body


USAGE_ALONE = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":1}}\n\n'
CHUNKS = [
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hi"}}],"usage":null,"obfuscation":"x"}\n\n',
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hi"}}],"usage":null}\n\n',
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hi"}}],"usage":null}\r\n\r\n',
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"\\"usage\\":null}"}}],"usage":null}\n\n',
    b'data: {"id":"c","choices":[{"a":{"usage":null}}],"usage":null}\n\n',
    b'data: {"usage":null,"choices":[1],"x":{"usage":null}}\n\n',
    b'data: {"id":"c","choices":[{"index":0,"usage":null}]}\n\n',
    b'data: {"id":"c","choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":1}}\n\n',
    b'data: {"citations":["a"],"choices":[],"usage":{"prompt_tokens":1}}\n\n',
    b'data: nonsense,"usage":null}\n\n',
    b'data: {"a":1,\ndata: "b":2,"usage":null}\n\n',
    b'data: {"usage":null,"choices":[1],"usage":null}\n\n',
    b'event: x\ndata: {"choices":[1],"usage":null}\n\n',
    b": comment\n\n",
    b"\n\n\n",
    USAGE_ALONE,
    b"data: [DONE]\n\n",
    b'data: {"choices":[],"usage":',
]


@given(st.lists(st.sampled_from(CHUNKS), max_size=6))
def test_whatever_a_stream_is_made_of_it_is_shown_as_it_would_have_come(chunks: list[bytes]) -> None:
    body = b"".join(chunks)
    made = chat(body, STREAM)
    expected = as_outward_gives_it(body)
    assert made == Shown(EVENTS, expected, True, expected == body)


@pytest.mark.parametrize("operation", ["chat", "completions"])
def test_who_asked_for_the_usage_gets_the_stream_as_it_came(operation: str) -> None:
    body = chat_stream()
    assert shown("openai", operation, True, body, EVENTS, WITH_USAGE) == Shown(EVENTS, body, True, True)


@pytest.mark.parametrize(
    ("body", "tells"),
    [
        (USAGE_ALONE + b"data: [DONE]\n\n", True),
        (stream_of({"choices": [{"index": 0}], "usage": CHAT_USAGE}, named=False, done=True), True),
        (USAGE_ALONE + CHUNKS[4] + b"data: [DONE]\n\n", True),
        (USAGE_ALONE + b'data: {"x":{"usage":{"a":1}}}\n\n', True),
        (b'data: {"choices":[],\ndata: "usage":{"prompt_tokens":1}}\n\n', True),
        (CHUNKS[1] + b"data: [DONE]\n\n", False),
        (b'data: {"choices":[{"usage":{"prompt_tokens":1}}]}\n\ndata: [DONE]\n\n', False),
        (b'data: {"choices":[{"delta":{"content":"\\"usage\\":{}"}}]}\n\ndata: [DONE]\n\n', False),
        (b"data: [DONE]\n\n", False),
    ],
)
def test_who_asked_for_a_usage_that_is_not_known_gets_no_answer_from_here(body: bytes, tells: bool) -> None:
    assert chat(body, WITH_USAGE) == (Shown(EVENTS, body, True, True) if tells else None)


def test_a_stream_in_which_nothing_is_to_be_changed_is_given_as_it_is() -> None:
    body = chat_stream().replace(b'"usage"', b'"use"')
    assert chat(body, STREAM) == Shown(EVENTS, body, True, True)
    assert chat(bytes(bytearray(body)), STREAM) == Shown(EVENTS, body, True, True)


@pytest.mark.parametrize(
    ("dialect", "operation"),
    [("anthropic", "messages"), ("anthropic", "complete"), ("openai", "responses"), ("openai", "embeddings"), ("openai", "audio"),
     ("gemini", "generate"), ("gemini", "embeddings"), ("generic", "other"), ("cohere", "chat")],
)  # fmt: skip
@pytest.mark.parametrize("body", [b"", b"\xff\x00", b'{"usage": null}', b": x\n\n"])
def test_every_other_answer_is_given_as_it_is_whatever_it_is(dialect: str, operation: str, body: bytes) -> None:
    assert shown(dialect, operation, True, body, b"a/b", STREAM) == Shown(b"a/b", body, True, True)
    assert shown(dialect, operation, False, body, b"a/b", PLAIN) == Shown(b"a/b", body, False, True)


@pytest.mark.parametrize(
    ("dialect", "operation"),
    [
        ("anthropic", "complete"),
        ("openai", "embeddings"),
        ("openai", "audio"),
        ("generic", "other"),
        ("cohere", "chat"),
    ],
)
def test_what_no_row_is_about_is_told_in_no_other_shape(dialect: str, operation: str) -> None:
    assert shown(dialect, operation, True, b"data: {}\n\n", EVENTS, PLAIN) is None
    assert shown(dialect, operation, False, b"{}", b"application/json", STREAM) is None


@pytest.mark.parametrize("lead", [b"", b" \r\n\t"])
def test_an_array_is_told_from_a_document_by_how_it_begins(lead: bytes) -> None:
    body = lead + b"[{}]"
    assert shown("gemini", "generate", False, body, b"application/json", ARRAY) == Shown(
        b"application/json", body, False, True
    )
    assert shown("gemini", "generate", False, b"{}", b"application/json", ARRAY) is None


def test_an_answer_that_was_told_in_another_shape_is_remembered_and_large_ones_are_not() -> None:
    before = shapes._remembered.cache_info()
    body = chat_stream() + b": %d\n\n" % id(before)
    made = [chat(body, PLAIN), chat(body[:-1] + b"\n", PLAIN)]
    assert made[0] == made[1]
    after = shapes._remembered.cache_info()
    assert (after.hits - before.hits, after.misses - before.misses) == (1, 1)
    large = b": " + b"x" * shapes._SMALL + b"\n\n" + body
    assert chat(large, PLAIN) == made[0]
    assert shapes._remembered.cache_info() == after
    assert after.maxsize is not None


def test_what_was_kept_is_not_in_the_text_of_what_is_shown() -> None:
    assert "Hi" not in repr(chat(chat_stream(), WITH_USAGE))
