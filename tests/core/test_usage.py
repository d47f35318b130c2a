"""What a provider's `usage` means, and what bills make together."""

import json
from decimal import Decimal
from typing import Any

import pytest

from tokenman_core.dialects.base import Operation
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.sse import Event
from tokenman_core.usage import (
    MOST_TOKENS,
    Bill,
    Usage,
    anthropic_usage,
    gemini_tools,
    gemini_usage,
    interactions_usage,
    openai_containers,
    openai_tools,
    openai_usage,
)

NONSENSE: list[Any] = [None, -5, 1.5, float("nan"), float("inf"), -2.0, "12", True, {}, []]


@pytest.mark.parametrize("count", NONSENSE)
def test_a_count_that_is_none_is_nothing(count: Any) -> None:
    assert anthropic_usage({"input_tokens": count, "cache_creation": count}) == Usage()
    assert openai_usage({"prompt_tokens": count, "prompt_tokens_details": count}) == Usage()
    assert gemini_usage({"promptTokenCount": count}) == Usage()
    nonsense = {"total_input_tokens": count, "grounding_tool_count": count, "input_tokens_by_modality": count}
    assert interactions_usage(nonsense) == Usage()


def test_a_whole_number_counts_however_it_is_written() -> None:
    assert openai_usage({"prompt_tokens": 120.0, "completion_tokens": 7.0}) == Usage(input=120, output=7)
    assert anthropic_usage({"input_tokens": 120.0, "output_tokens": 1e30}) == Usage(input=120, output=MOST_TOKENS)
    assert gemini_usage({"promptTokenCount": 120.0}) == Usage(input=120)


def test_a_count_beyond_reason_is_bounded() -> None:
    assert openai_usage({"prompt_tokens": 10**30}).input == MOST_TOKENS


def test_words_of_other_servers_for_what_was_cached() -> None:
    for said in (
        {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}},
        {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}},
        {"prompt_tokens": 9, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5},
        {"prompt_tokens": 9, "cached_tokens": 4},
    ):
        assert openai_usage(said) == Usage(input=9, cache_read=4)


def test_thoughts_count_once_whether_the_total_has_them_or_not() -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 40}}
    inside = {"prompt_tokens": 10, "completion_tokens": 50, "total_tokens": 60, **details}
    beside = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 60, **details}
    assert openai_usage(inside) == openai_usage(beside) == Usage(input=10, output=50, reasoning=40)


def test_searches_of_an_interaction_are_counted() -> None:
    tools = [{"type": "google_search", "count": 3}, {"type": "google_maps", "count": 2}, "x", {"type": "google_search"}]
    found = interactions_usage({"total_input_tokens": 5, "grounding_tool_count": tools})
    assert found == Usage(input=5, parts={"web_searches": 3})


LISTED = Bill(Usage(input=1, output=2), Decimal("0.5"), "list")


def test_bills_add_up_and_the_sum_is_as_uncertain_as_its_worst_part() -> None:
    assert Bill.together([]) is None
    assert Bill.together([LISTED]) is LISTED
    guessed = Bill(
        Usage(input=3, cache_write_1h=1), Decimal("0.25"), "ceiling", estimated=True, cache_saved=Decimal("0.1")
    )  # fmt: skip
    assert Bill.together([LISTED, guessed]) == Bill(
        Usage(input=4, output=2, cache_write_1h=1), Decimal("0.75"), "ceiling", estimated=True, cache_saved=Decimal("0.1")
    )  # fmt: skip
    unpriced = Bill(Usage(output=1), None, "unknown", notional=True)
    assert Bill.together([LISTED, unpriced]) == Bill(Usage(1, 3), None, "unknown", notional=True)


def test_the_calls_of_openais_own_tools_are_counted_from_the_response() -> None:
    output = [
        {"type": "web_search_call", "action": {"type": "search"}},
        {"type": "web_search_call", "action": {"type": "open_page"}},
        {"type": "web_search_call"},
        {"type": "file_search_call"},
        {"type": "message"},
        "nonsense",
    ]
    assert openai_tools(output) == {"web_searches": 2, "storage_searches": 1}
    assert openai_tools([*output, {"type": "image_generation_call", "result": "…"}])["images"] == 1
    assert openai_tools(None) == {}
    assert openai_tools([{"type": ["web_search_call"]}, {"type": {}}]) == {}


def test_the_machines_of_openais_code_are_told_by_their_ids() -> None:
    output = [
        *(
            {"type": "code_interpreter_call", "container_id": name}
            for name in ("cntr_1", "cntr_2", "cntr_1", 5, None, "x" * 999)
        ),
        {"type": "message", "container_id": "cntr_3"},
        "nonsense",
    ]
    assert openai_containers(output) == {"cntr_1", "cntr_2"}
    assert openai_containers({}) == frozenset()


@pytest.mark.parametrize(("model", "searches"), [("gemini-2.5-flash", 1), ("gemini-3-pro-preview", 3)])
def test_grounding_counts_by_prompt_or_by_query(model: str, searches: int) -> None:
    candidates = [
        {"groundingMetadata": {"webSearchQueries": ["a", "b"]}},
        {"groundingMetadata": {"webSearchQueries": ["c"]}},
    ]
    assert gemini_tools(candidates, model) == {"web_searches": searches}
    assert gemini_tools([{"groundingMetadata": {}}, 3], model) == {}
    assert gemini_tools({"no": "list"}, model) == {}


def test_readers_put_the_calls_of_tools_beside_the_tokens() -> None:
    whole = {
        "model": "gpt-5", "output": [{"type": "web_search_call", "action": {"type": "search"}}],
        "usage": {"input_tokens": 5, "output_tokens": 6},
    }  # fmt: skip
    for event in ({"type": "response.completed", "response": whole}, whole):
        reader = DIALECTS["openai"].reader(Operation("responses", generates=True))
        reader.note(Event(b"data: " + json.dumps(event).encode() + b"\n\n"))
        assert reader.usage == Usage(5, 6, parts={"web_searches": 1})
    reader = DIALECTS["gemini"].reader(Operation("generate", generates=True))
    grounded = {
        "candidates": [{"groundingMetadata": {"webSearchQueries": ["a"]}}],
        "usageMetadata": {"promptTokenCount": 1},
    }
    for chunk in (grounded, {"candidates": [], "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2}}):
        reader.note(Event(b"data: " + json.dumps(chunk).encode() + b"\n\n"))
    assert reader.usage == Usage(1, 2, parts={"web_searches": 1})
