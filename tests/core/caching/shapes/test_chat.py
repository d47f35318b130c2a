"""Chat Completions in their other shape: choice by choice, and nothing that is not known."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.caching.shapes import sdk
from tests.core.caching.shapes.made import COUNTS, OBJECTS, SOME, TEXTS, VALUES, extras, objects
from tests.core.caching.shapes.said import Said
from tests.core.caching.shapes.telling import STREAM, WITH_USAGE, exact, reading, stream_of, streamed, told, whole
from tests.core.dialects.streams import CHAT_EVENTS, CHAT_USAGE, chat_stream, running

FALSY = st.sampled_from([None, False, 0, [], {}])
TOKENS = st.lists(
    objects(
        {"token": TEXTS, "logprob": st.floats(-20, 0), "bytes": st.none() | st.lists(st.integers(0, 255), max_size=2)}
    ),
    max_size=5,
)
CALLS = st.one_of(
    objects(
        {"id": SOME, "type": "function", "function": objects({"name": SOME, "arguments": TEXTS})},
        extras("extra_content"),
    ),
    objects({"id": SOME, "type": "custom", "custom": objects({"name": SOME, "input": TEXTS})}),
)
# As OpenAI writes them: with a refusal, and with a list of what is cited.
MESSAGES = objects(
    {"role": "assistant", "content": st.none() | TEXTS, "refusal": st.none() | TEXTS,
     "annotations": st.just([]) | st.lists(OBJECTS, min_size=1, max_size=2)},
    {"tool_calls": FALSY.filter(lambda value: value in (None, [])) | st.lists(CALLS, min_size=1, max_size=3),
     "function_call": st.none() | objects({"name": SOME, "arguments": TEXTS}), "audio": st.none(), "invented": FALSY},
)  # fmt: skip
# As others do.
OTHERS = objects(
    {"role": st.sampled_from(["assistant", "model"])},
    {"content": st.none() | TEXTS, "reasoning_content": st.none() | TEXTS, "reasoning": st.none() | TEXTS,
     "tool_calls": st.none() | st.lists(CALLS, min_size=1, max_size=3), "annotations": st.none() | st.just([])},
)  # fmt: skip
CHOICES = objects(
    {"message": MESSAGES | OTHERS, "finish_reason": st.sampled_from(["stop", "length", "tool_calls"])},
    {
        "logprobs": st.none() | objects({"content": st.none() | TOKENS}, {"refusal": st.none() | TOKENS}),
        **extras("content_filter_results", "stop_reason"),
    },
)
USAGES = objects({"prompt_tokens": COUNTS, "completion_tokens": COUNTS, "total_tokens": COUNTS})


def with_what_fits(completion: dict[str, Any]) -> dict[str, Any]:
    """Numbers, and probabilities of what is there, in every other choice of words that make up the text."""
    completion["choices"] = [{"index": at, **one} for at, one in enumerate(completion["choices"])]
    for choice in completion["choices"]:
        text = choice["message"].get("content")
        probable = choice.get("logprobs")
        for name in probable or ():
            if choice["message"].get(name) is None and probable[name]:
                probable[name] = None  # there are none of what is not there
        if text and probable and probable.get("content") and choice["index"] % 2 == 0:
            words = [text[at : at + 3] for at in range(0, len(text), 3)]
            probable["content"] = [{"token": word, "logprob": -0.25, "bytes": None} for word in words]
    return completion


COMPLETIONS = objects(
    {"id": SOME, "object": "chat.completion", "created": COUNTS, "model": SOME,
     "choices": st.lists(CHOICES, min_size=1, max_size=3), "usage": USAGES},
    {"system_fingerprint": st.none() | SOME, "service_tier": st.none() | SOME, **extras("citations", "x_invented"),
     "error": st.none()},
).map(with_what_fits)  # fmt: skip


@given(COMPLETIONS, st.booleans())
def test_any_completion_survives_the_way_there_and_back(completion: dict[str, Any], ascii_only: bool) -> None:
    stream = streamed("openai", "chat", json.dumps(completion, ensure_ascii=ascii_only).encode(), WITH_USAGE)
    assert stream is not None
    assert exact(told(whole("openai", "chat", stream.body))) == exact(completion)


@given(COMPLETIONS)
def test_the_reader_finds_the_texts_and_the_arguments_of_the_choices(completion: dict[str, Any]) -> None:
    stream = streamed("openai", "chat", completion, WITH_USAGE)
    assert stream
    reader, events = reading("openai", "chat", stream.body, True)
    plain, _ = reading("openai", "chat", json.dumps(completion).encode(), False)
    assert (reader.finished, reader.failed, reader.usage, reader.model) == (True, None, plain.usage, plain.model)
    texts = running(events)
    for choice in completion["choices"]:
        index, message = choice["index"], choice["message"]
        for name in ("content", "refusal", "reasoning", "reasoning_content"):
            assert texts.get(f"{index}.{name}", "") == (message.get(name) or "")
        for at, call in enumerate(message.get("tool_calls") or []):
            given = call["function"]["arguments"] if "function" in call else call["custom"]["input"]
            assert texts[f"{index}.tool.{at}"] == given


@given(COMPLETIONS)
def test_usage_is_told_where_it_was_asked_for_and_nowhere_else(completion: dict[str, Any]) -> None:
    asked, unasked = streamed("openai", "chat", completion, WITH_USAGE), streamed("openai", "chat", completion, STREAM)
    assert asked
    assert unasked
    chunks = [json.loads(line[6:]) for line in asked.body.split(b"\n\n")[:-2]]
    assert [chunk["usage"] for chunk in chunks] == [None] * (len(chunks) - 1) + [completion["usage"]]
    assert chunks[-1]["choices"] == []
    for line in unasked.body.split(b"\n\n")[:-2]:
        assert "usage" not in json.loads(line[6:])
    assert unasked.body.endswith(b"\n\ndata: [DONE]\n\n")


CITED = {
    "type": "url_citation",
    "url_citation": {"url": "https://a.example", "title": "t", "start_index": 0, "end_index": 2},
}


def _token(word: str) -> Any:
    return {"token": word, "logprob": -0.5, "bytes": None, "top_logprobs": []}


COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-x",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "It is so.",
                "refusal": None,
                "annotations": [CITED],
                "tool_calls": [
                    {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": '{"path":"x"}'}},
                    {"id": "call_1", "type": "function", "function": {"name": "g", "arguments": ""}},
                ],
            },
            "logprobs": {
                "content": [_token(word) for word in ("It", " is", " so", ".")],
                "refusal": None,
            },
            "finish_reason": "tool_calls",
        },
        {
            "index": 1,
            "message": {"role": "assistant", "content": None, "refusal": "I will not.", "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        },
    ],
    "usage": CHAT_USAGE,
    "service_tier": "default",
    "system_fingerprint": "fp",
}  # fmt: skip


FIRST = COMPLETION["choices"][0]


def test_the_official_package_puts_the_same_completion_together_that_it_reads_plain() -> None:
    plain = sdk.completion(Said(json.dumps(COMPLETION).encode(), sdk.JSON))
    made, _ = sdk.completion_stream(Said.shown(streamed("openai", "chat", COMPLETION, WITH_USAGE)))
    assert _bare(made) == _bare(plain)


def _bare(value: Any) -> Any:
    """Without what the package's own types add, and the place of a call in its list."""
    if isinstance(value, dict):
        own = ("parsed", "parsed_arguments", "index")
        return {key: _bare(item) for key, item in value.items() if item not in (None, []) and key not in own}
    return [_bare(item) for item in value] if isinstance(value, list) else value


def test_the_chunks_are_those_of_the_provider() -> None:
    """As documented at https://platform.openai.com/docs/api-reference/chat-streaming."""
    choice = {**COMPLETION["choices"][0], "logprobs": None}
    stream = streamed("openai", "chat", {**COMPLETION, "choices": [choice, COMPLETION["choices"][1]]}, WITH_USAGE)
    assert stream
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x"}
    head |= {"service_tier": "default", "system_fingerprint": "fp"}

    def chunk(index: int, delta: Any, reason: str | None = None) -> Any:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**head, "choices": [choice], "usage": None}

    def call(**members: Any) -> Any:
        return {"tool_calls": [members]}

    lines = stream.body.split(b"\n\n")
    assert lines[-2:] == [b"data: [DONE]", b""]
    assert [json.loads(line.removeprefix(b"data: ")) for line in lines[:-2]] == [
        chunk(0, {"role": "assistant", "content": "", "refusal": None}),
        chunk(1, {"role": "assistant", "content": None, "refusal": None}),
        chunk(0, {"content": "It is so."}),
        chunk(0, call(index=0, id="call_0", type="function", function={"name": "f", "arguments": ""})),
        chunk(0, call(index=0, function={"arguments": '{"path":"x"}'})),
        chunk(0, call(index=1, id="call_1", type="function", function={"name": "g", "arguments": ""})),
        chunk(0, {"annotations": choice["message"]["annotations"]}),
        chunk(0, {}, "tool_calls"),
        chunk(1, {"refusal": "I will not."}),
        chunk(1, {}, "stop"),
        {**head, "choices": [], "usage": CHAT_USAGE},
    ]


@pytest.mark.parametrize(
    "probable", [None, {}, {"content": []}, {"content": [], "refusal": None}, {"content": None, "refusal": []}]
)
@pytest.mark.parametrize("text", [None, "", "said"])
def test_probabilities_of_nothing_are_told_as_they_are(probable: Any, text: str | None) -> None:
    message = {**FIRST["message"], "content": text}
    completion = {**COMPLETION, "choices": [{**FIRST, "message": message, "logprobs": probable}]}
    stream = streamed("openai", "chat", completion, WITH_USAGE)
    assert stream
    assert exact(told(whole("openai", "chat", stream.body))) == exact(completion)


def test_what_nobody_has_heard_of_is_told_once() -> None:
    stream = streamed("openai", "chat", {**COMPLETION, "citations": ["a"], "invented": None})
    assert stream
    chunks = [json.loads(line[6:]) for line in stream.body.split(b"\n\n")[:-2]]
    assert [chunk.get("citations") for chunk in chunks] == [["a"]] + [None] * (len(chunks) - 1)
    assert ["invented" in chunk for chunk in chunks] == [True] + [False] * (len(chunks) - 1)


def test_what_openais_streams_do_not_tell_is_put_in_again() -> None:
    """Its plain messages say that nothing is cited; a stream of it says so by not saying it."""
    made = told(whole("openai", "chat", stream_of(*EVENTS, named=False, done=True)))
    assert made["choices"][0]["message"]["annotations"] == []


EVENTS = CHAT_EVENTS


def test_the_stream_that_the_cases_change_is_told_whole() -> None:
    made = told(whole("openai", "chat", chat_stream()))
    calls = made["choices"][0]["message"]["tool_calls"]
    assert [call["function"] for call in calls] == [
        {"name": "f", "arguments": '{"path":"x"}'},
        {"name": "g", "arguments": "{}"},
    ]
    assert [call["id"] for call in calls] == ["call_0", "call_1"]
    messages = [choice["message"] for choice in made["choices"]]
    assert (messages[0]["content"], messages[0]["reasoning_content"]) == ("Hi [EMAIL]", "hm")
    assert (messages[1]["content"], messages[1]["refusal"]) == ("other", "no")
    assert [choice["finish_reason"] for choice in made["choices"]] == ["tool_calls", "stop"]
    assert made["usage"] == CHAT_USAGE
    assert made["object"] == "chat.completion"
    assert "obfuscation" not in made


def change(at: int, **members: Any) -> list[Any]:
    return [*EVENTS[:at], {**EVENTS[at], **members}, *EVENTS[at + 1 :]]


def choice(at: int, **members: Any) -> list[Any]:
    return change(at, choices=[{**EVENTS[at]["choices"][0], **members}])


def delta(at: int, **members: Any) -> list[Any]:
    return choice(at, delta=members)


def put(at: int, *events: Any) -> list[Any]:
    return [*EVENTS[:at], *events, *EVENTS[at:]]


KNOWN_STREAMS: dict[str, tuple[list[Any], tuple[Any, ...], Any]] = {
    "padding": (change(3, obfuscation="xyz"), ("id",), "chatcmpl-1"),
    "a member that nobody has heard of": (change(3, citations=["a"]), ("citations",), ["a"]),
    "the same in every chunk": ([{**one, "citations": ["a"]} for one in EVENTS], ("citations",), ["a"]),
    "a member of a choice": (choice(11, stop_reason=7), ("choices", 0, "stop_reason"), 7),
    "a role in every chunk": (delta(4, role="assistant", content="AIL]"), ("choices", 0, "message", "content"), "Hi [EMAIL]"),
    "usage that grows": (change(4, usage={"prompt_tokens": 1}), ("usage",), CHAT_USAGE),
    "usage beside the end": ([*EVENTS[:-2], {**EVENTS[-2], "usage": CHAT_USAGE}], ("usage",), CHAT_USAGE),
    "an id of a call in every piece": (
        delta(9, tool_calls=[{"index": 1, "id": "call_1", "function": {"arguments": "{}"}}]),
        ("choices", 0, "message", "tool_calls", 1, "id"),
        "call_1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("events", "path", "value"), KNOWN_STREAMS.values(), ids=KNOWN_STREAMS)
def test_what_has_a_place_is_carried_over(events: list[Any], path: tuple[Any, ...], value: Any) -> None:
    found = told(whole("openai", "chat", stream_of(*events, named=False, done=True)))
    for step in path:
        found = found[step]
    assert found == value


STRANGE_STREAMS: dict[str, list[Any]] = {
    "an error": put(5, {"error": {"message": "x"}}),
    "an error beside a chunk": change(5, error={"message": "x"}),
    "another object": change(5, object="chat.completion.piece"),
    "another model": change(5, model="gpt-y"),
    "another id": change(5, id="chatcmpl-2"),
    "another fingerprint": change(5, system_fingerprint="fp2"),
    "a member that says two things": [*change(3, citations=["a"])[:5], {**EVENTS[5], "citations": ["b"]}, *EVENTS[6:]],
    "one and true": [*change(3, flag=1)[:5], {**EVENTS[5], "flag": True}, *EVENTS[6:]],
    "a text of another kind": delta(2, content="Hi [EM", dance="x"),
    "a list that nobody has heard of": delta(2, reasoning_details=[{"text": "x"}]),
    "sound": delta(2, audio={"id": "audio_1", "data": "UklG"}),
    "a text that is none": delta(2, content=3),
    "content in parts": delta(2, content=[{"type": "text", "text": "x"}]),
    "a choice without a delta": change(5, choices=[{"index": 0, "finish_reason": None}]),
    "a choice without a number": change(5, choices=[{"delta": {}, "finish_reason": None}]),
    "a choice that is missing": [
        {**one, "choices": [{**each, "index": each["index"] * 2} for each in one["choices"]]} for one in EVENTS
    ],
    "a choice that does not end": [*EVENTS[:12], EVENTS[13]],
    "two reasons to end": put(13, {**EVENTS[12], "choices": [{**EVENTS[12]["choices"][0], "finish_reason": "length"}]}),
    "a text behind the end": put(12, EVENTS[2]),
    "a call without a number": delta(6, tool_calls=[{"function": {"arguments": "x"}}]),
    "a call that skips a number": delta(5, tool_calls=[{"index": 1, "id": "call_1", "function": {"name": "f", "arguments": ""}}]),
    "a call below all": delta(6, tool_calls=[{"index": -1, "function": {"arguments": "x"}}]),
    "a call with another id": delta(6, tool_calls=[{"index": 0, "id": "call_9", "function": {"arguments": "x"}}]),
    "a call with another name": delta(6, tool_calls=[{"index": 0, "function": {"name": "g", "arguments": "x"}}]),
    "a call that is none": delta(6, tool_calls=["x"]),
    "calls that are none": delta(6, tool_calls={"a": 1}),
    "arguments that are no text": delta(6, tool_calls=[{"index": 0, "function": {"arguments": {"a": 1}}}]),
    "a function that is none": delta(6, tool_calls=[{"index": 0, "function": "x"}]),
    "probabilities that are none": choice(2, logprobs=["x"]),
    "probabilities in another form": choice(2, logprobs={"content": "x"}),
    "something cited twice": [*delta(2, annotations=[{"a": 1}])[:4], *delta(4, annotations=[{"a": 2}])[4:]],
    "no usage": [{key: item for key, item in one.items() if key != "usage"} for one in EVENTS],
    "usage that is none": change(13, usage=[1]),
    "choices that are none": change(5, choices=None),
    "no choice": [EVENTS[13]],
    "nothing": [],
}  # fmt: skip


@pytest.mark.parametrize("events", STRANGE_STREAMS.values(), ids=STRANGE_STREAMS)
def test_a_stream_that_is_not_known_for_certain_is_not_told_whole(events: list[Any]) -> None:
    assert whole("openai", "chat", stream_of(*events, named=False, done=True)) is None


@pytest.mark.parametrize(
    "body",
    [
        chat_stream().replace(b"data: [DONE]\n\n", b""),
        chat_stream()[:-1],
        chat_stream() + b"data: {}\n\n",
        chat_stream() + b"data: [DONE]\n\n",
        b"event: x\n" + chat_stream(),
        b"data: [DONE]\n\n",
        json.dumps(COMPLETION).encode(),
        b"data: 1\n\ndata: [DONE]\n\n",
        # Two data that only together are JSON.
        b'data: {"a":[{}\n\ndata: {}]}\n\ndata: [DONE]\n\n',
        b"data:\xff\n\n",
        b"",
    ],
)
def test_bytes_that_are_no_whole_stream_are_not_told_whole(body: bytes) -> None:
    assert whole("openai", "chat", body) is None


def with_message(**members: Any) -> Any:
    return {**COMPLETION, "choices": [{**FIRST, "logprobs": None, "message": {**FIRST["message"], **members}}]}


CALL = FIRST["message"]["tool_calls"][0]
STRANGE_COMPLETIONS: dict[str, Any] = {
    "an error": {"error": {"message": "x"}},
    "an error beside it": {**COMPLETION, "error": {"message": "x"}},
    "another object": {**COMPLETION, "object": "text_completion"},
    "no id": {key: item for key, item in COMPLETION.items() if key != "id"},
    "no choices": {**COMPLETION, "choices": []},
    "choices that are none": {**COMPLETION, "choices": {"a": 1}},
    "a choice that is none": {**COMPLETION, "choices": ["x"]},
    "choices in another order": {**COMPLETION, "choices": COMPLETION["choices"][::-1]},
    "a choice without an end": {**COMPLETION, "choices": [{**FIRST, "finish_reason": None}]},
    "no message": {**COMPLETION, "choices": [{**FIRST, "message": None}]},
    "content in parts": with_message(content=[{"type": "text", "text": "x"}]),
    "sound": with_message(audio={"id": "audio_1", "data": "UklG", "transcript": "x", "expires_at": 1}),
    "a member that nobody has heard of": with_message(dance="x"),
    "a refusal that is none": with_message(refusal={"a": 1}),
    "calls that are none": with_message(tool_calls={"a": 1}),
    "a call that is none": with_message(tool_calls=["x"]),
    "a call of what nobody has heard of": with_message(
        tool_calls=[{"id": "x", "type": "dance", "dance": {"name": "x"}}]
    ),
    "a call with a number": with_message(tool_calls=[{**CALL, "index": 0}]),
    "a call of two things": with_message(tool_calls=[{**CALL, "custom": {"name": "x", "input": ""}}]),
    "arguments that are no text": with_message(tool_calls=[{**CALL, "function": {"name": "f", "arguments": {}}}]),
    "a function call that is none": with_message(function_call="x"),
    "something cited that is no list": with_message(annotations={"a": 1}),
    "probabilities in another form": {**COMPLETION, "choices": [{**FIRST, "logprobs": {"tokens": []}}]},
    "probabilities of a text that is not there": {
        **COMPLETION,
        "choices": [{**FIRST, "message": {**FIRST["message"], "content": None}}],
    },
    "probabilities that are none": {**COMPLETION, "choices": [{**FIRST, "logprobs": {"content": ["x"]}}]},
    "a list": [COMPLETION],
    "a text": "x",
}


@pytest.mark.parametrize("completion", STRANGE_COMPLETIONS.values(), ids=STRANGE_COMPLETIONS)
def test_a_completion_that_is_not_known_for_certain_is_not_told_as_a_stream(completion: Any) -> None:
    assert streamed("openai", "chat", completion, WITH_USAGE) is None


@pytest.mark.parametrize("usage", ["absent", None, 3])
def test_usage_that_is_not_known_is_missed_only_by_who_asked_for_it(usage: Any) -> None:
    completion = {key: item for key, item in COMPLETION.items() if key != "usage"}
    completion |= {} if usage == "absent" else {"usage": usage}
    assert streamed("openai", "chat", completion, WITH_USAGE) is None
    assert streamed("openai", "chat", completion, STREAM) is not None


NONSENSE = st.recursive(
    VALUES, lambda inner: objects({"object": "chat.completion", "id": "x", "choices": st.lists(inner)}), max_leaves=3
)


@given(NONSENSE)
def test_whatever_comes_is_told_or_not_told_and_nothing_is_raised(value: Any) -> None:
    streamed("openai", "chat", json.dumps(value).encode(), WITH_USAGE)
