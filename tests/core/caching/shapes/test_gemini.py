"""Google's Gemini API in its other shapes: part by part, and nothing that is not known."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.caching.shapes import sdk
from tests.core.caching.shapes.made import COUNTS, OBJECTS, SOME, VALUES, extras, objects
from tests.core.caching.shapes.said import Said
from tests.core.caching.shapes.telling import ARRAY, STREAM, exact, reading, stream_of, streamed, told, whole
from tests.core.dialects.streams import running
from tokenman_core.caching.shapes import Wanted

TEXT = st.text(min_size=1, max_size=80) | st.just("many words for [EMAIL_ADDRESS_0123456789ab] " * 9)
PARTS = st.one_of(
    objects({"text": TEXT}, {"thought": st.booleans(), "thoughtSignature": SOME}),
    objects({"text": "", "thoughtSignature": SOME}),
    objects({"functionCall": objects({"name": SOME, "args": OBJECTS}, {"id": SOME})}, {"thoughtSignature": SOME}),
    objects({"inlineData": objects({"mimeType": "image/png", "data": "iVBORw0KGgo="})}),
    objects({"executableCode": objects({"language": "PYTHON", "code": TEXT})}),
    objects({"codeExecutionResult": objects({"outcome": "OUTCOME_OK", "output": TEXT})}),
)


def apart(parts: list[Any]) -> list[Any]:
    """Two texts of one kind do not stand one behind the other: nobody could tell them apart in a stream."""
    kept: list[Any] = []
    for part in parts:
        kinds = [{**one, "text": ""} for one in (*kept[-1:], part) if set(one) <= {"text", "thought"}]
        if len(kinds) < 2 or kinds[0] != kinds[1]:
            kept.append(part)
    return kept


CONTENTS = objects(
    {"parts": st.lists(PARTS, min_size=1, max_size=4).map(apart) | st.just([{"text": ""}])}, {"role": "model"}
)
CANDIDATES = objects(
    {"content": CONTENTS, "finishReason": st.sampled_from(["STOP", "MAX_TOKENS"])},
    extras("groundingMetadata", "citationMetadata", "safetyRatings", "avgLogprobs"),
) | objects({"finishReason": st.sampled_from(["SAFETY", "RECITATION"])}, {"content": st.just({"role": "model"})})
USAGES = objects(
    {"promptTokenCount": COUNTS, "totalTokenCount": COUNTS},
    {"candidatesTokenCount": COUNTS, "thoughtsTokenCount": COUNTS, "cachedContentTokenCount": COUNTS,
     "candidatesTokensDetails": st.just([{"modality": "TEXT", "tokenCount": 3}]), "trafficType": "ON_DEMAND"},
)  # fmt: skip
ANSWERS = objects(
    {"candidates": st.lists(CANDIDATES, min_size=1, max_size=3), "usageMetadata": USAGES},
    {"modelVersion": SOME, "responseId": SOME, "createTime": "2026-01-01T00:00:00Z", **extras("invented"),
     "promptFeedback": st.just({"safetyRatings": []})},
).map(
    lambda value: {**value, "candidates": [{**one, "index": at} for at, one in enumerate(value["candidates"])]}
)  # fmt: skip
WRAPPED = ANSWERS | objects({"response": ANSWERS}, {"traceId": SOME})


@given(WRAPPED, st.sampled_from([STREAM, ARRAY]))
def test_any_answer_survives_the_way_there_and_back(answer: dict[str, Any], wanted: Wanted) -> None:
    chunks = streamed("gemini", "generate", answer, wanted)
    assert chunks is not None
    assert exact(told(whole("gemini", "generate", chunks.body, events=not wanted.array))) == exact(answer)


@given(WRAPPED)
def test_the_reader_finds_the_texts_of_the_candidates(answer: dict[str, Any]) -> None:
    stream = streamed("gemini", "generate", answer)
    assert stream
    reader, events = reading("gemini", "generate", stream.body, True)
    plain, _ = reading("gemini", "generate", json.dumps(answer).encode(), False)
    assert (reader.finished, reader.failed, reader.usage, reader.model) == (True, None, plain.usage, plain.model)
    texts = running(events)
    for at, candidate in enumerate(answer.get("response", answer)["candidates"]):
        parts = candidate.get("content", {}).get("parts", [])
        for thought, channel in ((False, "text"), (True, "thought")):
            said = "".join(part.get("text", "") for part in parts if part.get("thought", False) is thought)
            assert texts.get(f"{at}.{channel}", "") == said


@given(WRAPPED)
def test_events_and_an_array_have_the_same_chunks(answer: dict[str, Any]) -> None:
    events, array = streamed("gemini", "generate", answer), streamed("gemini", "generate", answer, ARRAY)
    assert events
    assert array
    assert [json.loads(line[6:]) for line in events.body.split(b"\r\n\r\n")[:-1]] == json.loads(array.body)
    assert events.body.endswith(b"\r\n\r\n")


USAGE = {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 9, "thoughtsTokenCount": 2}
CALL = {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"}
THOUGHT = {"text": "Hm.", "thought": True}
ANSWER: dict[str, Any] = {
    "candidates": [
        {
            "content": {"parts": [THOUGHT, {"text": "One two three four five six seven."}, CALL], "role": "model"},
            "finishReason": "STOP",
            "index": 0,
            "groundingMetadata": {"webSearchQueries": ["q"]},
        }
    ],
    "usageMetadata": USAGE,
    "modelVersion": "gemini-x",
    "responseId": "r1",
}  # fmt: skip


def test_the_chunks_are_those_of_the_provider() -> None:
    """As observed at https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent."""
    stream = streamed("gemini", "generate", ANSWER)
    assert stream
    early = {"promptTokenCount": 3, "candidatesTokenCount": 0, "totalTokenCount": 3, "thoughtsTokenCount": 2}

    def chunk(part: Any, usage: Any = early, **members: Any) -> Any:
        candidate = {"content": {"parts": [part], "role": "model"}, "index": 0, **members}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-x", "responseId": "r1"}

    assert [json.loads(line[6:]) for line in stream.body.split(b"\r\n\r\n")[:-1]] == [
        chunk({"text": "Hm.", "thought": True}),
        chunk({"text": "One two three four five "}),
        chunk({"text": "six seven."}),
        chunk(CALL, USAGE, finishReason="STOP", groundingMetadata={"webSearchQueries": ["q"]}),
    ]


def test_googles_package_reads_the_same_out_of_it() -> None:
    chunks = sdk.generated_stream(Said.shown(streamed("gemini", "generate", ANSWER)))
    plain = sdk.generated(Said(json.dumps(ANSWER).encode(), sdk.JSON))
    parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    whole_parts = plain["candidates"][0]["content"]["parts"]
    assert "".join(part["text"] for part in parts[1:-1]) == whole_parts[1]["text"]
    assert (parts[0], parts[-1]) == (whole_parts[0], whole_parts[-1])
    assert chunks[-1]["usage_metadata"] == plain["usage_metadata"]
    last, only = chunks[-1]["candidates"][0], plain["candidates"][0]
    assert (last["finish_reason"], last["grounding_metadata"]) == (only["finish_reason"], only["grounding_metadata"])


def test_a_question_that_was_blocked_has_no_candidate_in_any_shape() -> None:
    blocked = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 3},
        "modelVersion": "m",
    }
    for wanted in (STREAM, ARRAY):
        made = streamed("gemini", "generate", blocked, wanted)
        assert made
        assert told(whole("gemini", "generate", made.body, events=not wanted.array)) == blocked


def chunk(*parts: Any, usage: Any = USAGE, **members: Any) -> Any:
    return {
        "candidates": [{"content": {"parts": list(parts), "role": "model"}, "index": 0, **members}],
        "usageMetadata": usage,
    }


SIGNED = {"text": "", "thoughtSignature": "c2ln"}
CHUNKS = [
    chunk({"text": "Hm", "thought": True}),
    chunk({"text": ".", "thought": True}, {"text": "One"}),
    chunk({"text": " two"}),
    chunk(SIGNED, CALL),
    chunk({"text": ""}, finishReason="STOP"),
]


def test_texts_of_one_kind_are_put_together_and_signed_ones_stay_apart() -> None:
    made = told(whole("gemini", "generate", stream_of(*CHUNKS, named=False)))
    parts = made["candidates"][0]["content"]["parts"]
    assert parts == [{"text": "Hm.", "thought": True}, {"text": "One two"}, SIGNED, CALL]


def change(at: int, **members: Any) -> list[Any]:
    return [*CHUNKS[:at], {**CHUNKS[at], **members}, *CHUNKS[at + 1 :]]


def candidate(at: int, **members: Any) -> list[Any]:
    return change(at, candidates=[{**CHUNKS[at]["candidates"][0], **members}])


def part(at: int, *parts: Any) -> list[Any]:
    return candidate(at, content={"parts": list(parts), "role": "model"})


STRANGE_STREAMS: dict[str, list[Any]] = {
    "an error": [*CHUNKS, {"error": {"code": 503, "message": "x", "status": "UNAVAILABLE"}}],
    "a chunk that is none": [*CHUNKS, 3],
    "another model": [*change(0, modelVersion="a")[:1], *change(1, modelVersion="b")[1:]],
    "ratings that change": [*candidate(0, safetyRatings=[1])[:1], *candidate(1, safetyRatings=[2])[1:]],
    "a part that nobody has heard of": part(2, {"dance": "x"}),
    "a text with something beside it": part(2, {"text": "x", "dance": "y"}),
    "a part that is none": part(2, "x"),
    "parts that are none": candidate(2, content={"parts": "x"}),
    "content that is none": candidate(2, content=["x"]),
    "content with more in it": candidate(2, content={"parts": [], "dance": 1}),
    "a call in pieces": part(2, {"functionCall": {"name": "f", "willContinue": True}}),
    "a call that is none": part(2, {"functionCall": "f"}),
    "arguments in pieces": part(2, {"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "x"}]}}),
    "a candidate that is missing": candidate(2, index=2),
    "a candidate that is none": change(2, candidates=["x"]),
    "a candidate with a number in another form": candidate(2, index="0"),
    "candidates that are none": change(2, candidates=None),
    "a candidate that does not end": CHUNKS[:-1],
    "two reasons to end": [*candidate(3, finishReason="MAX_TOKENS")],
    "no usage": [{key: item for key, item in one.items() if key != "usageMetadata"} for one in CHUNKS],
    "usage that says less than before": change(4, usageMetadata={"promptTokenCount": 3}),
    "usage that is none": change(4, usageMetadata=3),
    "one that is wrapped": change(2, response={}),
    "a prompt's feedback that is none": change(2, promptFeedback=3),
    "nothing": [],
}  # fmt: skip


@pytest.mark.parametrize("chunks", STRANGE_STREAMS.values(), ids=STRANGE_STREAMS)
def test_chunks_that_are_not_known_for_certain_are_not_told_whole(chunks: list[Any]) -> None:
    assert whole("gemini", "generate", stream_of(*chunks, named=False)) is None
    assert whole("gemini", "generate", json.dumps(chunks).encode(), events=False) is None


@pytest.mark.parametrize(
    "body",
    [
        stream_of(*CHUNKS, named=False)[:-2],
        b"data: [1]\n\n",
        b"data: x\n\n",
        b"",
    ],
)
def test_bytes_that_are_no_whole_stream_are_told_in_no_other_shape(body: bytes) -> None:
    assert whole("gemini", "generate", body) is None


def with_parts(*parts: Any) -> Any:
    return {**ANSWER, "candidates": [{**ANSWER["candidates"][0], "content": {"parts": list(parts), "role": "model"}}]}


ONE = ANSWER["candidates"][0]
NO_NUMBER = {key: item for key, item in ONE.items() if key != "index"}
STRANGE_ANSWERS: dict[str, Any] = {
    "an error": {"error": {"code": 400, "message": "x"}},
    "an error beside it": {**ANSWER, "error": {"code": 400}},
    "an error around it": {"response": ANSWER, "error": {"code": 400}},
    "something else": {"predictions": []},
    "an operation": {"response": {"@type": "x"}, "name": "operations/1", "done": True},
    "no candidates": {**ANSWER, "candidates": []},
    "candidates that are none": {**ANSWER, "candidates": None},
    "a candidate that is none": {**ANSWER, "candidates": ["x"]},
    "a candidate that did not end": {**ANSWER, "candidates": [{**ONE, "finishReason": None}]},
    "candidates in another order": {**ANSWER, "candidates": [{**ONE, "index": 1}, ONE]},
    "a second candidate without a number": {**ANSWER, "candidates": [ONE, NO_NUMBER]},
    "content that is none": {**ANSWER, "candidates": [{**ONE, "content": "x"}]},
    "content with more in it": {**ANSWER, "candidates": [{**ONE, "content": {**ONE["content"], "dance": 1}}]},
    "a part that nobody has heard of": with_parts({"dance": 1}),
    "a part that is none": with_parts("x"),
    "two texts that would be one": with_parts({"text": "a"}, {"text": "b"}),
    "an empty text that would be none": with_parts({"text": ""}, CALL),
    "usage that is none": {**ANSWER, "usageMetadata": 3},
    "a text": "x",
}  # fmt: skip


@pytest.mark.parametrize("answer", STRANGE_ANSWERS.values(), ids=STRANGE_ANSWERS)
def test_an_answer_that_is_not_known_for_certain_is_not_told_in_chunks(answer: Any) -> None:
    assert streamed("gemini", "generate", answer) is None
    assert streamed("gemini", "generate", answer, ARRAY) is None


@given(VALUES)
def test_whatever_comes_is_told_or_not_told_and_nothing_is_raised(value: Any) -> None:
    streamed("gemini", "generate", {"candidates": value})
    streamed("gemini", "generate", {"candidates": [{"finishReason": "STOP", "content": value}]})
    whole(
        "gemini",
        "generate",
        json.dumps([{"candidates": [{"content": value}], "usageMetadata": value}]).encode(),
        events=False,
    )
