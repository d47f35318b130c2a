"""A request in which nothing is found goes out as the very bytes that came, however its JSON is written and whoever it is for."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.body.written import STRINGS, VALUES, documents
from tokenman_core.body.json_body import JsonBody
from tokenman_core.body.read import read_body
from tokenman_core.config.models import Redaction as Settings
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.errors import BodyError
from tokenman_core.redaction import Memo, Redactor, Restorer
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Re2Gate
from tokenman_core.redaction.entities import Findings, Text
from tokenman_core.slots import Slot

from .conftest import InProcess

KEY = b"k" * 32
PATHS = {
    "anthropic": "/v1/messages",
    "openai": "/v1/chat/completions",
    "gemini": "/v1beta/models/g:generateContent",
    "generic": "/anything",
}
MAIL = "jane.doe@example.com"


class Nothing:
    async def find(self, texts: Sequence[Text]) -> list[Findings]:
        return [()] * len(texts)


@st.composite
def requests(draw: st.DrawFn, strings: st.SearchStrategy[str] = STRINGS) -> Any:
    """Bodies of every dialect, and some that are none."""
    text = draw(strings)
    tool = json.dumps(draw(VALUES))
    return draw(
        st.sampled_from(
            [
                draw(VALUES),
                {"model": "m", "system": [{"type": "text", "text": text}], "messages": [
                    {"role": "user", "content": text},
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": draw(VALUES)}]},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": tool}]},
                ], "max_tokens": 2**70},
                {"model": "m", "messages": [
                    {"role": "user", "content": [{"type": "text", "text": text}]},
                    {"role": "assistant", "tool_calls": [
                        {"id": "t", "type": "function", "function": {"name": "f", "arguments": tool}}]},
                    {"role": "tool", "tool_call_id": "t", "content": text},
                ], "seed": -(2**66), "x": draw(VALUES)},
                {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": text}]},
                    {"type": "function_call_output", "call_id": "t", "output": tool}], "metadata": {"k": text}},
                {"contents": [{"role": "user", "parts": [
                    {"text": text}, {"functionResponse": {"name": "f", "response": draw(VALUES)}}]}]},
            ]
        )
    )  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
async def test_what_holds_nothing_goes_out_bit_by_bit(name: str, data: st.DataObject) -> None:
    source = data.draw(documents(data.draw(requests()))).encode()
    dialect = DIALECTS[name]
    try:
        body = read_body(source, "application/json", dialect, dialect.operation("POST", PATHS[name]))
    except BodyError:
        return  # refused, so nothing goes out
    redactor = Redactor(Settings(), KEY, Nothing(), Memo())
    for _ in range(2):  # judged, and remembered
        masked = await redactor.mask(body.slots, redactor.mapping())
        assert not masked.masked
        assert not masked.paths
        assert body.render() is source


@pytest.mark.parametrize("name", PATHS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
async def test_what_is_masked_leaves_all_else_as_it_is_and_comes_back(name: str, data: st.DataObject) -> None:
    strings = st.builds("{}{}{}".format, STRINGS, st.sampled_from(["", f" {MAIL} ", f"<{MAIL}>"]), STRINGS)
    value = data.draw(requests(strings))
    source = data.draw(documents(value)).encode()
    dialect = DIALECTS[name]
    try:
        body = read_body(source, "application/json", dialect, dialect.operation("POST", PATHS[name]))
    except BodyError:
        return
    redactor = Redactor(Settings(), KEY, InProcess(Detector(Re2Gate())))
    mapping = redactor.mapping()
    masked = await redactor.mask(body.slots, mapping)
    made = body.render()
    if not masked.masked:
        assert made is source
        return
    assert isinstance(body, JsonBody)
    answers = [Slot((place,), "assistant", slot.text) for place, slot in enumerate(body.slots)]
    Restorer(mapping, "always").whole(answers)
    assert [slot.text for slot in answers] == [slot.original for slot in body.slots]
    for slot in body.slots:
        slot.text = slot.original
    assert body.render() is source
