"""Asking a chat stream for its usage: one member more on the way out, and nothing more on the way back."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenman_core.dialects import stream_usage
from tokenman_core.sse import Event

ASKS = b'"stream_options":{"include_usage":true}'


def asked(data: bytes) -> bytes | None:
    return stream_usage.ask(data, json.loads(data))


@pytest.mark.parametrize(
    ("sent", "made"),
    [
        (b'{"model":"m","stream":true}', b'{"model":"m","stream":true,' + ASKS + b"}"),
        (b'{\n  "stream": true,\n  "model": "m"\n}\n', b'{\n  "stream": true,\n  "model": "m",' + ASKS + b"\n}\n"),
        (b'{"stream":true,"stream_options":{}}', b'{"stream":true,"stream_options":{"include_usage":true}}'),
        (b'{"stream":true,"stream_options":null,"n":1}', b'{"stream":true,"stream_options":{"include_usage":true},"n":1}'),
        (
            b'{"stream_options": { "include_obfuscation": false } ,"stream":true}',
            b'{"stream_options": { "include_obfuscation": false,"include_usage":true } ,"stream":true}',
        ),
        (
            b'{"stream_options":{"include_usage" : false,"a":1},"stream":true}',
            b'{"stream_options":{"include_usage" : true,"a":1},"stream":true}',
        ),
        (
            b'{"stream":true,"messages":[{"content":"\\"stream_options\\":{} }"}],"big":12345678901234567890123}',
            b'{"stream":true,"messages":[{"content":"\\"stream_options\\":{} }"}],"big":12345678901234567890123,' + ASKS + b"}",
        ),
    ],
)  # fmt: skip
def test_the_question_is_put_in_and_every_other_byte_stays(sent: bytes, made: bytes) -> None:
    assert asked(sent) == made


@pytest.mark.parametrize(
    "sent",
    [
        b'{"stream":true,"stream_options":{"include_usage":true}}',  # the program asks itself
        b'{"stream":false}',
        b'{"model":"m"}',
        b'{"stream":true,"stream_options":{"include_usage":"yes"}}',  # the provider's own error is the answer
        b'{"stream":true,"stream_options":[]}',
        b"[]",
    ],
)
def test_a_request_that_asks_itself_or_must_not_be_asked_stays_as_it_is(sent: bytes) -> None:
    assert asked(sent) is None


def test_bytes_that_do_not_mean_the_value_are_left_alone() -> None:
    assert stream_usage.ask(b'{"stream":true,"model":"m"}', {"stream": True, "model": "another"}) is None
    assert stream_usage.ask(b"{", {"stream": True, "stream_options": {}}) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(
    rest=st.dictionaries(st.text().filter(lambda key: key not in ("stream", "stream_options")), JSON, max_size=4),
    options=st.none() | st.dictionaries(st.text(), st.booleans(), max_size=3) | st.just("absent"),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
    first=st.booleans(),
)
def test_any_request_means_afterwards_what_it_meant_and_asks(
    rest: dict[str, Any], options: Any, indent: int | None, ascii_only: bool, first: bool
) -> None:
    own = {"stream": True} if options == "absent" else {"stream": True, "stream_options": options}
    value = {**own, **rest} if first else {**rest, **own}
    try:
        data = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return
    made = stream_usage.ask(data, value)
    if isinstance(options, dict) and options.get("include_usage") is True:
        assert made is None
        return
    assert made is not None
    assert json.loads(made) == {**value, "stream_options": {**(own.get("stream_options") or {}), "include_usage": True}}


def test_turn_n_stays_a_prefix_of_the_next_turn_up_to_its_messages_end() -> None:
    def turn(count: int) -> bytes:
        messages = [{"role": "user", "content": f"turn {at}"} for at in range(count)]
        return json.dumps({"model": "m", "stream": True, "messages": messages}).encode()

    for count in range(1, 4):
        now, then = asked(turn(count)), asked(turn(count + 1))
        assert now is not None
        assert then is not None
        assert then.startswith(now[: now.index(b"]")])


CHUNK = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"hi"}}],"usage":null,"obfuscation":"x"}\n\n'


@pytest.mark.parametrize(
    ("came", "passed"),
    [
        (CHUNK, CHUNK.replace(b',"usage":null', b"")),
        (b'data: {"usage": null, "choices": [1]}\r\n\r\n', b'data: { "choices": [1]}\r\n\r\n'),
        (b'event: x\ndata: {"choices":[1], "usage" : null}\n\n', b'event: x\ndata: {"choices":[1]}\n\n'),
        (b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n', None),
        (b'data: {"usage":{"prompt_tokens":1}}\n\n', None),
        (b'data: {"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":1},"citations":null}\n\n', None),
        # What else such a chunk tells was not asked for by us.
        (
            'data: {"citations":["é"],"choices":[],"usage":{"prompt_tokens":1,"x":{"a":"é}"}}}\n\n'.encode(),
            'data: {"citations":["é"],"choices":[]}\n\n'.encode(),
        ),
        (
            b'data: {"usage" : {"prompt_tokens":1} , "x_groq":{"usage":{"prompt_tokens":1}}}\r\n\r\n',
            b'data: { "x_groq":{"usage":{"prompt_tokens":1}}}\r\n\r\n',
        ),
        (
            b'data: {"x":{"a":1,"usage":{"prompt_tokens":2}},"usage":{"prompt_tokens":1}}\n\n',
            b'data: {"x":{"a":1,"usage":{"prompt_tokens":2}}}\n\n',
        ),
        (b'data: {"choices":["usage"],"usage":null}\n\n', b'data: {"choices":["usage"]}\n\n'),
        # Another's null, and words that only look like one, stay.
        (
            b'data: {"choices":[{"a":1,"usage":null}],"usage":null}\n\n',
            b'data: {"choices":[{"a":1,"usage":null}]}\n\n',
        ),
        (
            b'data: {"choices":[{"text":",\\"usage\\":null"}],"usage":null}\n\n',
            b'data: {"choices":[{"text":",\\"usage\\":null"}]}\n\n',
        ),
    ],
)
def test_an_event_passes_as_it_would_have_come_unasked(came: bytes, passed: bytes | None) -> None:
    made = stream_usage.without(Event(came))
    assert (None if made is None else made.raw) == passed


@pytest.mark.parametrize(
    "came",
    [
        b"data: [DONE]\n\n",
        b": ping\n\n",
        b'data: {"choices":[{"delta":{"content":"\\"usage\\":null"}}]}\n\n',
        b'data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}\n\n',  # told unasked, beside a choice
        b'data: {"choices":[],"prompt_filter_results":[]}\n\n',  # Azure's first
        b'data: {"choices":[{"usage":{"prompt_tokens":1}}]}\n\n',  # Moonshot's way
        b'data: {"usage":null}\n\n',
        b'data: {"usage":nul\n\n',
        b'data: {"citations":[],\ndata: "usage":{"prompt_tokens":\ndata: 1}}\n\n',  # in pieces, and so left whole
    ],
)
def test_every_other_event_passes_as_it_came(came: bytes) -> None:
    made = stream_usage.without(Event(came))
    assert made is not None
    assert made.raw == came


def test_an_event_full_of_nulls_is_read_in_bounded_time() -> None:
    came = b'data: {"a":[' + b",".join([b'{"b":1,"usage":null}'] * 20_000) + b'],"usage":null}\n\n'
    made = stream_usage.without(Event(came))
    assert made is not None
    assert re.search(rb'"b":1,"usage":null', made.raw)
