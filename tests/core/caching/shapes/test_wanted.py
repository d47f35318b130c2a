"""In which shape a call wants its answer is told by the call as the program sent it."""

import json
from typing import Any

import pytest

from tokenman_core.body.read import read_body
from tokenman_core.caching.shapes import Wanted, wanted_of
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Exchange, Sent

ASKS = {"stream_options": {"include_usage": True}}


def call(dialect: str, path: str, value: Any, query: str = "") -> Exchange:
    wire = DIALECTS[dialect]
    operation = wire.operation("POST", path)
    raw = json.dumps(value).encode()
    made = Exchange("req_1", Sent("POST", path, query, (), ""), wire, operation, (), raw=raw)
    made.body = read_body(raw, "application/json", wire, operation)
    made.stream = wire.streams(operation, path, value)
    return made


@pytest.mark.parametrize(
    ("dialect", "path", "value", "wanted"),
    [
        ("anthropic", "/v1/messages", {"model": "m"}, Wanted(False)),
        ("anthropic", "/v1/messages", {"stream": True}, Wanted(True)),
        ("anthropic", "/v1/messages", {"stream": True, **ASKS}, Wanted(True)),
        ("openai", "/v1/chat/completions", {"stream": False, **ASKS}, Wanted(False)),
        ("openai", "/v1/chat/completions", {"stream": True}, Wanted(True)),
        ("openai", "/v1/chat/completions", {"stream": True, **ASKS}, Wanted(True, usage=True)),
        ("openai", "/v1/completions", {"stream": True, **ASKS}, Wanted(True, usage=True)),
        ("openai", "/v1/chat/completions", {"stream": True, "stream_options": {"include_usage": False}}, Wanted(True)),
        ("openai", "/v1/chat/completions", {"stream": True, "stream_options": {"include_usage": 1}}, Wanted(True)),
        ("openai", "/v1/chat/completions", {"stream": True, "stream_options": None}, Wanted(True)),
        ("openai", "/v1/chat/completions", {"stream": True, "stream_options": [True]}, Wanted(True)),
        ("openai", "/v1/responses", {"stream": True, **ASKS}, Wanted(True)),
        ("generic", "/v1/anything", {"stream": True, **ASKS}, Wanted(True)),
    ],
)
def test_the_body_tells_whether_a_stream_is_wanted_and_what_it_used(
    dialect: str, path: str, value: Any, wanted: Wanted
) -> None:
    assert wanted_of(call(dialect, path, value)) == wanted


@pytest.mark.parametrize(
    ("path", "query", "wanted"),
    [
        ("/v1beta/models/m:generateContent", "", Wanted(False)),
        ("/v1beta/models/m:generateContent", "alt=json", Wanted(False)),
        ("/v1beta/models/m:streamGenerateContent", "alt=sse", Wanted(True)),
        ("/v1beta/models/m:streamGenerateContent", "key=x&alt=SSE", Wanted(True)),
        ("/v1beta/models/m:streamGenerateContent", "", Wanted(True, array=True)),
        ("/v1beta/models/m:streamGenerateContent", "alt=json&key=sse", Wanted(True, array=True)),
        ("/v1internal:streamGenerateContent", "alt=sse", Wanted(True)),
        ("/v1internal:streamGenerateContent", "", Wanted(True, array=True)),
    ],
)
def test_geminis_address_tells_whether_a_stream_is_wanted_and_how(path: str, query: str, wanted: Wanted) -> None:
    assert wanted_of(call("gemini", path, {"contents": []}, query)) == wanted


def test_a_call_of_which_only_its_head_is_here_asks_for_nothing_more() -> None:
    made = call("openai", "/v1/chat/completions", {"stream": True, **ASKS})
    made.body = None
    assert wanted_of(made) == Wanted(True)


@pytest.mark.parametrize(
    ("wanted", "form"),
    [
        (Wanted(False), "plain"),
        (Wanted(False, usage=True, array=True), "plain"),
        (Wanted(True), "events"),
        (Wanted(True, array=True), "array"),
    ],
)
def test_what_is_wanted_has_one_form(wanted: Wanted, form: str) -> None:
    assert wanted.form == form
