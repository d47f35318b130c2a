"""Whatever the demo's provider says, in either shape: it can be told in the other, and nobody can tell that it was."""

import json
from typing import Any

import pytest

from tests.core.caching.shapes import sdk
from tests.core.caching.shapes.provider import ANTHROPIC, APIS, CHAT, CUSTOM, GEMINI, MAIL, RESPONSES, SCENARIOS, Api
from tests.core.caching.shapes.said import Said
from tests.core.caching.shapes.telling import ARRAY, PLAIN, exact, reading, told
from tests.core.dialects.streams import running
from tokenman_core.caching.shapes import Shown, Wanted, shown

every_api = pytest.mark.parametrize("api", APIS.values(), ids=APIS)
every_scenario = pytest.mark.parametrize("text", SCENARIOS.values(), ids=SCENARIOS)


def show(api: Api, said: Said, wanted: Wanted) -> Shown | None:
    stream = said.content_type.startswith(b"text/event-stream")
    return shown(api.dialect, api.operation, stream, said.body, said.content_type, wanted)


@every_api
@every_scenario
def test_a_stream_told_whole_is_the_plain_answer(api: Api, text: str) -> None:
    made = show(api, api.said(text, "events"), PLAIN)
    assert made is not None
    assert (made.stream, made.same, made.content_type) == (False, False, b"application/json")
    assert exact(told(made)) == exact(json.loads(api.said(text, "plain").body))


@every_api
@every_scenario
def test_a_plain_answer_told_as_a_stream_and_told_whole_again_is_itself(api: Api, text: str) -> None:
    plain = api.said(text, "plain")
    stream = show(api, plain, api.wanted)
    assert stream is not None
    assert (stream.stream, stream.same) == (True, False)
    assert stream.content_type.startswith(b"text/event-stream")
    assert exact(told(show(api, Said.shown(stream), PLAIN))) == exact(json.loads(plain.body))


@every_api
@every_scenario
@pytest.mark.parametrize("form", ["plain", "events"])
def test_what_is_asked_for_in_the_shape_that_was_kept_is_given_byte_for_byte(api: Api, text: str, form: str) -> None:
    said = api.said(text, form)
    made = show(api, said, PLAIN if form == "plain" else api.wanted)
    assert made == Shown(said.content_type, said.body, form == "events", True)


READERS: dict[str, tuple[Api, sdk.Reader, sdk.Reader]] = {
    "anthropic": (ANTHROPIC, sdk.message, sdk.message_stream),
    "anthropic beta": (ANTHROPIC, sdk.beta_message, sdk.beta_message_stream),
    "chat": (CHAT, sdk.completion, sdk.completion_stream),
    "responses": (RESPONSES, sdk.response, sdk.response_stream),
    "responses custom": (CUSTOM, sdk.response, sdk.response_stream),
}


@pytest.mark.parametrize(("api", "plain", "stream"), READERS.values(), ids=READERS)
@every_scenario
def test_the_official_packages_cannot_tell_it_from_the_original(
    api: Api, plain: sdk.Reader, stream: sdk.Reader, text: str
) -> None:
    own_plain, own_stream = api.said(text, "plain"), api.said(text, "events")
    assert plain(Said.shown(show(api, own_stream, PLAIN))) == plain(own_plain)
    assert stream(Said.shown(show(api, own_plain, api.wanted))) == stream(own_stream)


@every_scenario
def test_every_event_of_a_response_says_what_the_originals_say(text: str) -> None:
    """Item by item: all but the deltas are the same, and so are their numbers' order and their fields."""
    own = sdk.response_events(RESPONSES.said(text, "events"))
    made = sdk.response_events(Said.shown(show(RESPONSES, RESPONSES.said(text, "plain"), RESPONSES.wanted)))
    assert [one["sequence_number"] for one in made] == list(range(len(made)))
    assert _but_deltas(made) == _but_deltas(own)
    assert _fields(made) == _fields(own)


def _but_deltas(events: list[Any]) -> list[Any]:
    return [{**one, "sequence_number": 0} for one in events if not one["type"].endswith(".delta")]


def _fields(events: list[Any]) -> dict[str, set[str]]:
    return {one["type"]: set(one) for one in events}


@every_scenario
def test_the_chunks_of_a_completion_have_the_fields_of_the_originals(text: str) -> None:
    own = sdk.completion_chunks(CHAT.said(text, "events"))
    made = sdk.completion_chunks(Said.shown(show(CHAT, CHAT.said(text, "plain"), CHAT.wanted)))
    assert (made[0], made[-2:]) == (own[0], own[-2:])
    assert {tuple(sorted(one)) for one in made} == {tuple(sorted(one)) for one in own}


@every_scenario
def test_googles_package_reads_the_same_out_of_it(text: str) -> None:
    own_plain, own_stream = GEMINI.said(text, "plain"), GEMINI.said(text, "events")
    assert sdk.generated(Said.shown(show(GEMINI, own_stream, PLAIN))) == sdk.generated(own_plain)
    made = sdk.generated_stream(Said.shown(show(GEMINI, own_plain, GEMINI.wanted)))
    assert _summed(made) == _summed(sdk.generated_stream(own_stream))


def _summed(chunks: list[Any]) -> Any:
    """Thoughts, text, calls in order, and what the last chunk says besides."""
    parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"].get("parts", [])]
    texts = {
        thought: "".join(p.get("text", "") for p in parts if p.get("thought") == thought) for thought in (None, True)
    }
    last = chunks[-1]
    calls = [part for part in parts if "function_call" in part]
    return texts, calls, last["usage_metadata"], last["candidates"][0]["finish_reason"], last["model_version"]


@every_api
@every_scenario
def test_the_dialects_own_reader_reads_the_same_out_of_both_shapes(api: Api, text: str) -> None:
    own_plain, own_stream = api.said(text, "plain"), api.said(text, "events")
    stream, plain = show(api, own_plain, api.wanted), show(api, own_stream, PLAIN)
    assert stream
    assert plain
    readers = [
        reading(api.dialect, api.operation, body, is_stream)[0]
        for body, is_stream in (
            (own_plain.body, False), (own_stream.body, True), (stream.body, True), (plain.body, False)
        )
    ]  # fmt: skip
    assert {(one.finished, one.failed, one.worded, one.model) for one in readers} == {
        (True, None, True, readers[0].model)
    }
    assert all(one.usage == readers[0].usage and one.usage is not None for one in readers)


@every_api
@every_scenario
def test_running_texts_are_on_the_channels_of_the_originals(api: Api, text: str) -> None:
    stream = show(api, api.said(text, "plain"), api.wanted)
    assert stream
    made = running(reading(api.dialect, api.operation, stream.body, True)[1])
    own = running(reading(api.dialect, api.operation, api.said(text, "events").body, True)[1])
    assert _meant(made) == _meant(own)


def _meant(texts: dict[str, str]) -> dict[str, Any]:
    """Arguments by what they mean: a block's input is written anew."""
    return {channel: json.loads(text) if text.startswith("{") else text for channel, text in texts.items() if text}


@pytest.mark.parametrize("api", [GEMINI, APIS["code assist"]], ids=["gemini", "code assist"])
@every_scenario
def test_an_array_of_chunks_is_told_in_every_other_shape(api: Api, text: str) -> None:
    forms = {form: api.said(text, form) for form in ("plain", "events", "array")}
    array = show(api, forms["plain"], ARRAY)
    assert array
    assert (array.stream, array.content_type) == (False, b"application/json; charset=UTF-8")
    assert exact(told(show(api, Said.shown(array), PLAIN))) == exact(json.loads(forms["plain"].body))
    assert exact(told(show(api, forms["array"], PLAIN))) == exact(json.loads(forms["plain"].body))
    assert exact(told(show(api, forms["events"], ARRAY))) == exact(json.loads(forms["array"].body))
    events = show(api, forms["array"], api.wanted)
    assert events
    assert events.body == forms["events"].body
    assert show(api, forms["array"], ARRAY) == Shown(forms["array"].content_type, forms["array"].body, False, True)


@every_api
def test_a_text_comes_in_some_pieces_and_not_in_one_for_each_character(api: Api) -> None:
    stream = show(api, api.said(SCENARIOS["said"], "plain"), api.wanted)
    assert stream
    pieces = [
        slot.text
        for event in reading(api.dialect, api.operation, stream.body, True)[1]
        for slot in event.slots
        if slot.channel and slot.kind == "assistant"
    ]
    assert 5 < len(pieces) < 80
    assert MAIL in "".join(pieces)
