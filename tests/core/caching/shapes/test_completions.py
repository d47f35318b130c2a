"""Completions in their other shape: https://platform.openai.com/docs/api-reference/completions."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.caching.shapes import sdk
from tests.core.caching.shapes.made import COUNTS, SOME, TEXTS, extras, objects
from tests.core.caching.shapes.said import Said
from tests.core.caching.shapes.telling import STREAM, WITH_USAGE, exact, reading, stream_of, streamed, told, whole
from tests.core.dialects.streams import CHAT_USAGE, running


def probable(words: list[str], top: bool) -> dict[str, Any]:
    return {
        "tokens": words,
        "token_logprobs": [None, *[-0.5] * (len(words) - 1)][: len(words)],
        "top_logprobs": [{word: -0.5} for word in words] if top else None,
        "text_offset": list(range(len(words))),
    }


CHOICES = objects(
    {"text": TEXTS, "finish_reason": st.sampled_from(["stop", "length"])},
    {"logprobs": st.none() | st.builds(probable, st.lists(TEXTS, max_size=5), st.booleans()), **extras("stop_reason")},
)
COMPLETIONS = objects(
    {"id": SOME, "object": "text_completion", "created": COUNTS, "model": SOME,
     "choices": st.lists(CHOICES, min_size=1, max_size=3),
     "usage": objects({"prompt_tokens": COUNTS, "completion_tokens": COUNTS, "total_tokens": COUNTS})},
    {"system_fingerprint": st.none() | SOME, **extras("invented")},
).map(lambda value: {**value, "choices": [{"index": at, **one} for at, one in enumerate(value["choices"])]})  # fmt: skip

COMPLETION: dict[str, Any] = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "gpt-x-instruct",
    "choices": [
        {"text": "One two. " * 20, "index": 0, "logprobs": probable(["One", " two", ". "] * 20, True), "finish_reason": "length"},
        {"text": "", "index": 1, "logprobs": None, "finish_reason": "stop"},
    ],
    "usage": CHAT_USAGE,
}  # fmt: skip


@given(COMPLETIONS)
def test_any_completion_survives_the_way_there_and_back(completion: dict[str, Any]) -> None:
    stream = streamed("openai", "completions", completion, WITH_USAGE)
    assert stream is not None
    assert exact(told(whole("openai", "completions", stream.body))) == exact(completion)
    reader, events = reading("openai", "completions", stream.body, True)
    plain, _ = reading("openai", "completions", json.dumps(completion).encode(), False)
    assert (reader.finished, reader.failed, reader.usage) == (True, None, plain.usage)
    texts = running(events)
    assert [texts[f"{one['index']}.text"] for one in completion["choices"]] == [
        one["text"] for one in completion["choices"]
    ]


def test_the_official_package_reads_the_same_text_in_chunks() -> None:
    stream = Said.shown(streamed("openai", "completions", COMPLETION, WITH_USAGE))
    chunks = sdk.text_completion_chunks(stream)
    pieces = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == 0]
    assert len(pieces) > 5
    assert "".join(one["text"] for one in pieces) == COMPLETION["choices"][0]["text"]
    assert [token for one in pieces if one["logprobs"] for token in one["logprobs"]["tokens"]] == [
        "One",
        " two",
        ". ",
    ] * 20
    assert all("".join(one["logprobs"]["tokens"]) == one["text"] for one in pieces if one["logprobs"])
    assert [one["finish_reason"] for one in pieces] == [None] * (len(pieces) - 1) + ["length"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 70
    again = Said.shown(whole("openai", "completions", stream.body))
    assert sdk.text_completion(again) == sdk.text_completion(Said(json.dumps(COMPLETION).encode(), sdk.JSON))


@pytest.mark.parametrize("text", ["", "said"])
def test_probabilities_of_nothing_are_told_as_they_are(text: str) -> None:
    first = {**COMPLETION["choices"][0], "text": text, "logprobs": probable([], True)}
    completion = {**COMPLETION, "choices": [first]}
    stream = streamed("openai", "completions", completion, WITH_USAGE)
    assert stream
    assert exact(told(whole("openai", "completions", stream.body))) == exact(completion)


def chunk(text: Any, reason: Any = None, **members: Any) -> Any:
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": reason}
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice], **members}


END = {**chunk("", "stop"), "usage": CHAT_USAGE}


def test_a_stream_is_told_whole() -> None:
    made = told(whole("openai", "completions", stream_of(chunk("a"), chunk("b"), END, named=False, done=True)))
    assert made["choices"] == [{"text": "ab", "index": 0, "logprobs": None, "finish_reason": "stop"}]


@pytest.mark.parametrize(
    "events",
    [
        [chunk("a"), chunk("b", object="chat.completion.chunk"), END],
        [chunk(None), END],
        [chunk("a"), chunk("b", choices=[{"index": 0, "finish_reason": None}]), END],
        [chunk("a"), END, chunk("b")],
        [chunk("a"), chunk("", "stop")],
        [chunk("a"), chunk("b", error={"message": "x"}), END],
    ],
)
def test_a_stream_that_is_not_known_for_certain_is_not_told_whole(events: list[Any]) -> None:
    assert whole("openai", "completions", stream_of(*events, named=False, done=True)) is None


FIRST = COMPLETION["choices"][0]


@pytest.mark.parametrize(
    "choice",
    [
        {**FIRST, "text": None},
        {**FIRST, "finish_reason": None},
        {**FIRST, "logprobs": {"tokens": ["a"], "token_logprobs": []}},
        {**FIRST, "logprobs": {"token_logprobs": [1]}},
        {**FIRST, "logprobs": {"tokens": [1]}},
        {**FIRST, "logprobs": 3},
        {**FIRST, "index": 1},
    ],
)
def test_a_completion_that_is_not_known_for_certain_is_not_told_as_a_stream(choice: Any) -> None:
    assert streamed("openai", "completions", {**COMPLETION, "choices": [choice]}, STREAM) is None
