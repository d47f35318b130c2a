from typing import Any

import pytest

from tokenman_core.ahead import ceilings
from tokenman_core.ahead.output import MOST_WRITTEN, Stated, lowered, stated
from tokenman_core.dialects.registry import DIALECTS

PATHS = {
    "messages": ("anthropic", "/v1/messages"),
    "chat": ("openai", "/v1/chat/completions"),
    "completions": ("openai", "/v1/completions"),
    "responses": ("openai", "/v1/responses"),
    "embeddings": ("openai", "/v1/embeddings"),
    "images": ("openai", "/v1/images/generations"),
    "generate": ("gemini", "/v1beta/models/gemini-2.5-pro:generateContent"),
    "batches": ("anthropic", "/v1/messages/batches"),
}


def operation(name: str) -> Any:
    dialect, path = PATHS[name]
    return DIALECTS[dialect].operation("POST", path)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("messages", {"max_tokens": 1024}, Stated(1024)),
        (
            "messages",
            {"max_tokens": 5000, "thinking": {"type": "enabled", "budget_tokens": 4000}},
            Stated(5000, 1, 1024),
        ),
        ("chat", {}, Stated(None)),
        ("chat", {"max_tokens": 10, "n": 3}, Stated(10, 3)),
        ("chat", {"max_tokens": 10, "max_completion_tokens": 20}, Stated(20)),
        ("chat", {"max_tokens": None, "n": 10**9}, Stated(None, 2**20)),
        ("chat", {"max_tokens": 10, "n": 500}, Stated(10, 500)),
        ("completions", {"prompt": "x", "best_of": 4, "n": 2}, Stated(16, 4)),
        ("completions", {"best_of": 4, "n": 2}, Stated(None, 4)),
        ("completions", {"prompt": "x", "messages": []}, Stated(None)),
        ("completions", {"messages": [], "max_completion_tokens": 20}, Stated(20)),
        ("responses", {"max_output_tokens": 7}, Stated(7)),
        ("generate", {"generationConfig": {"maxOutputTokens": 9, "candidateCount": 2}}, Stated(9, 2)),
        ("generate", {"request": {"contents": [], "generationConfig": {"maxOutputTokens": 9}}}, Stated(9)),
        ("embeddings", {"input": "x"}, Stated(0)),
        ("images", {"prompt": "x"}, None),
        ("batches", {"requests": []}, None),
        ("chat", "nonsense", None),
        ("chat", {"max_tokens": "twelve"}, Stated(None)),
        ("chat", {"max_tokens": -5, "max_completion_tokens": -7.0}, Stated(None)),
        ("chat", {"max_tokens": "12", "n": 3.0}, Stated(12, 3)),
        ("chat", {"max_tokens": 0, "n": 0}, Stated(None)),
        ("chat", {"max_tokens": 10**18}, Stated(MOST_WRITTEN)),
        ("messages", {"max_tokens": 0}, Stated(0)),
        ("completions", {"prompt": ["a", "b", "c"], "max_tokens": 5, "best_of": 2}, Stated(5, 6)),
        ("completions", {"prompt": [1, 2, 3], "max_tokens": 5}, Stated(5)),
        ("completions", {"prompt": [[1], [2]], "max_tokens": 5}, Stated(5, 2)),
        ("generate", {"generation_config": {"max_output_tokens": "9", "candidate_count": "4"}}, Stated(9, 4)),
        ("generate", {"generationConfig": {"maxOutputTokens": 0}}, Stated(None)),
    ],
)
def test_what_a_call_says_of_its_output(name, value, expected):
    assert stated(operation(name), value) == expected


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("messages", {"max_tokens": 9000, "x": 1}, {"max_tokens": 300, "x": 1}),
        ("chat", {"max_tokens": 9000}, {"max_tokens": 300}),
        ("chat", {"max_tokens": 1, "max_completion_tokens": 2}, {"max_tokens": 300, "max_completion_tokens": 300}),
        ("chat", {"model": "m"}, {"model": "m", "max_tokens": 300}),
        ("completions", {"prompt": "x"}, {"prompt": "x", "max_tokens": 300}),
        ("completions", {"messages": []}, {"messages": [], "max_tokens": 300}),
        ("responses", {}, {"max_output_tokens": 300}),
        (
            "generate", {"generation_config": {"max_output_tokens": "9000"}, "generationConfig": {"maxOutputTokens": 8}},
            {"generation_config": {"max_output_tokens": 300}, "generationConfig": {"maxOutputTokens": 300}},
        ),
        ("generate", {"generation_config": {"topK": 1}}, {"generation_config": {"topK": 1, "maxOutputTokens": 300}}),
        ("generate", {"generationConfig": {"topP": 1}}, {"generationConfig": {"topP": 1, "maxOutputTokens": 300}}),
        ("generate", {"contents": []}, {"contents": [], "generationConfig": {"maxOutputTokens": 300}}),
        (
            "generate", {"project": "p", "request": {"contents": []}},
            {"project": "p", "request": {"contents": [], "generationConfig": {"maxOutputTokens": 300}}},
        ),
    ],
)  # fmt: skip
def test_the_limit_is_lowered_where_the_call_states_it_and_nothing_else_changes(name, value, expected):
    before = repr(value)
    assert lowered(operation(name), value, 300) == expected
    assert repr(value) == before


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-5", "max_completion_tokens"), ("openai/o4-mini", "max_completion_tokens"), ("gpt-4.1", "max_completion_tokens"),
        ("gpt-oss-120b", "max_tokens"), ("mistral-large", "max_tokens"), ("qwen3", "max_tokens"),
    ],
)  # fmt: skip
def test_a_limit_has_the_name_that_the_models_provider_knows(model, name):
    assert lowered(operation("chat"), {}, 300, model) == {name: 300}


def test_what_a_model_may_think_stays_below_what_it_may_write():
    value = {"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 8000}}
    assert lowered(operation("messages"), value, 4000)["thinking"]["budget_tokens"] == 2000
    assert lowered(operation("messages"), value, 8500)["thinking"]["budget_tokens"] == 8000


@pytest.mark.parametrize(
    ("model", "output"),
    [
        ("claude-3-haiku-20240307", 4_096), ("claude-sonnet-4-5-20250929", 128_000), ("claude-opus-4-1", 32_000),
        ("anthropic/claude-opus-5", 128_000), ("gpt-4o-mini", 16_384), ("gpt-5.6-sol", 128_000), ("o3-mini", 100_000),
        ("gemini-2.0-flash", 8_192), ("GEMINI-3-pro", 65_536), ("house-model", ceilings.UNKNOWN.output),
    ],
)  # fmt: skip
def test_a_model_that_states_no_limit_has_its_own(model, output):
    assert ceilings.of(model).output == output
