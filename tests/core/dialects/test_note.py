"""Where a line to the model stands: the same in all later turns, and behind what was sent before it was wanted."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from tokenman_core.body.insert import Insertion, insert
from tokenman_core.dialects.note import Append, Where, where
from tokenman_core.slots import Path

LINE = "the line"
PART = {"type": "text", "text": LINE}
DEVELOPER = {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": LINE}]}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


TEXT = [{"type": "text", "text": "x"}]
RESULT = [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]
FIRST: tuple[str | int, ...] = ("messages", 0, "content")
THIRD: tuple[str | int, ...] = ("messages", 2, "content")


@pytest.mark.parametrize(
    ("dialect", "operation", "value", "paths", "expected"),
    [
        # Anthropic: behind the system prompt
        ("anthropic", "messages", {"system": "s", "messages": [user("x")]}, [FIRST], Append(("system",))),
        ("anthropic", "messages", {"system": TEXT, "messages": [user("x")]}, [FIRST], Insertion(("system",), 1, PART)),
        ("anthropic", "messages", {"messages": [user("x")]}, [FIRST], Insertion((), "system", LINE)),
        ("anthropic", "count_tokens", {"messages": [user("x")]}, [FIRST], Insertion((), "system", LINE)),
        ("anthropic", "messages", {"system": "", "messages": [user("x")]}, [FIRST], None),
        (
            "anthropic",
            "messages",
            {"system": "s", "messages": [user("x"), said("y"), user("z")]},
            [("system",), THIRD],
            Append(("system",)),
        ),
        (
            "anthropic",
            "messages",
            {"tools": [], "messages": [user("x"), said("y"), user("z")]},
            [("tools", 0, "description"), THIRD],
            Insertion((), "system", LINE),
        ),
        # what comes up later: with it
        (
            "anthropic",
            "messages",
            {"system": "s", "messages": [user("x"), said("y"), user("z")]},
            [THIRD],
            Append(THIRD),
        ),
        (
            "anthropic",
            "messages",
            {"messages": [user("x"), said("y"), user(RESULT)]},
            [(*THIRD, 0, "content")],
            Insertion(THIRD, 1, PART),
        ),
        (
            "anthropic",
            "messages",
            {"system": "s", "messages": [user("x"), said("y"), user("z")]},
            [("messages", 1, "content")],
            Append(("system",)),
        ),
        ("anthropic", "batches", {"requests": []}, [("requests", 0)], None),
        # Chat Completions
        (
            "openai",
            "chat",
            {"messages": [{"role": "system", "content": "s"}, user("x")]},
            [("messages", 1, "content")],
            Append(FIRST),
        ),
        (
            "openai",
            "chat",
            {"messages": [{"role": "developer", "content": TEXT}, user("x")]},
            [FIRST],
            Insertion(FIRST, 1, PART),
        ),
        (
            "openai",
            "chat",
            {"messages": [user("x")]},
            [FIRST],
            Insertion(("messages",), 0, {"role": "system", "content": LINE}),
        ),
        ("openai", "chat", {"messages": [user("x"), said("y"), user(TEXT)]}, [THIRD], Insertion(THIRD, 1, PART)),
        (
            "openai",
            "chat",
            {"messages": [user("x"), said("y"), {"role": "tool", "content": "z"}]},
            [THIRD],
            Insertion(("messages",), 0, {"role": "system", "content": LINE}),
        ),
        ("openai", "embeddings", {"input": "x"}, [("input",)], None),
        # Responses
        ("openai", "responses", {"input": "x", "instructions": "s"}, [("input",)], Append(("instructions",))),
        ("openai", "responses", {"input": "x"}, [("input",)], Insertion((), "instructions", LINE)),
        (
            "openai",
            "responses",
            {"input": [user("x")], "instructions": "s"},
            [("input", 0, "content")],
            Insertion(("input",), 0, DEVELOPER),
        ),
        (
            "openai",
            "responses",
            {"input": [{"role": "developer", "content": "s"}, user("x")]},
            [("input", 1, "content")],
            Insertion(("input",), 1, DEVELOPER),
        ),
        (
            "openai",
            "responses",
            {
                "input": [
                    user("x"),
                    {"type": "function_call"},
                    {"type": "function_call"},
                    {"type": "function_call_output", "output": "z"},
                    {"type": "function_call_output", "output": "z"},
                    user("q"),
                ]
            },
            [("input", 3, "output")],
            Insertion(("input",), 5, DEVELOPER),
        ),
        (
            "openai",
            "responses",
            {"input": [user("x"), said("y"), user("z")]},
            [("input", 2, "content")],
            Insertion(("input",), 3, DEVELOPER),
        ),
        # Gemini
        (
            "gemini",
            "generate",
            {"contents": [{"role": "user", "parts": [{"text": "x"}]}]},
            [("contents", 0, "parts", 0, "text")],
            Insertion((), "systemInstruction", {"parts": [{"text": LINE}]}),
        ),
        (
            "gemini",
            "generate",
            {"contents": [], "system_instruction": {"parts": [{"text": "s"}]}},
            [("system_instruction", "parts", 0)],
            Insertion(("system_instruction", "parts"), 1, {"text": LINE}),
        ),
        ("gemini", "generate", {"contents": [], "cachedContent": "c"}, [("contents", 0)], None),
        (
            "gemini",
            "generate",
            {
                "contents": [
                    {"role": "user", "parts": [{"text": "x"}]},
                    {"role": "model", "parts": []},
                    {"role": "user", "parts": [{"text": "z"}]},
                ]
            },
            [("contents", 2, "parts", 0, "text")],
            Insertion(("contents", 2, "parts"), 1, {"text": LINE}),
        ),
        (
            "gemini",
            "generate",
            {"contents": [{"role": "user"}, {"role": "model"}, {"role": "user", "parts": [{"functionResponse": {}}]}]},
            [("contents", 2, "parts", 0)],
            Insertion((), "systemInstruction", {"parts": [{"text": LINE}]}),
        ),
        # nothing where nothing is known
        ("generic", "other", {"prompt": "x"}, [("prompt",)], None),
        ("anthropic", "messages", [], [()], None),
        ("anthropic", "messages", {"messages": "x"}, [("messages",)], None),
    ],
)
def test_the_place(dialect: str, operation: str, value: Any, paths: list[Path], expected: Where | None) -> None:
    assert where(dialect, operation, value, paths, LINE) == expected


def governed(dialect: str, operation: str, value: dict[str, Any], paths: list[Path]) -> bytes:
    data = json.dumps(value, separators=(",", ":")).encode()
    place = where(dialect, operation, value, paths, LINE)
    if isinstance(place, Insertion):
        return insert(data, value, place)[0]
    assert isinstance(place, Append)
    copy = json.loads(data)
    here = copy
    for step in place.path[:-1]:
        here = here[step]
    here[place.path[-1]] += LINE
    return json.dumps(copy, separators=(",", ":")).encode()


def anthropic(turns: int) -> dict[str, Any]:
    messages = [user(f"q{n}") if n % 2 == 0 else said(f"a{n}") for n in range(2 * turns - 1)]
    return {"system": "s", "messages": messages}


def chat(turns: int) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "s"}, *anthropic(turns)["messages"]]}


def responses(turns: int) -> dict[str, Any]:
    items: list[dict[str, Any]] = [user("q")]
    for number in range(turns - 1):
        items += [
            {"type": "reasoning"},
            {"type": "function_call"},
            {"type": "function_call_output", "output": f"{number}"},
        ]
    return {"instructions": "s", "input": items}


def gemini(turns: int) -> dict[str, Any]:
    return {
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [{"role": "model" if n % 2 else "user", "parts": [{"text": f"{n}"}]} for n in range(2 * turns - 1)],
    }


@pytest.mark.parametrize(
    ("dialect", "operation", "make", "name"),
    [
        ("anthropic", "messages", anthropic, "messages"),
        ("openai", "chat", chat, "messages"),
        ("openai", "responses", responses, "input"),
        ("gemini", "generate", gemini, "contents"),
    ],
)
@pytest.mark.parametrize("since", [1, 3])
def test_every_turn_is_a_prefix_of_the_next_also_where_the_line_comes_late(
    dialect: str, operation: str, make: Callable[[int], dict[str, Any]], name: str, since: int
) -> None:
    sent = []
    for turn in range(1, 6):
        value = make(turn)
        if turn < since:
            sent.append(json.dumps(value, separators=(",", ":")).encode())
        else:
            first = len(make(since)[name]) - 1
            sent.append(governed(dialect, operation, value, [(name, first, "content")]))
    for one, other in itertools.pairwise(sent):
        assert other.startswith(one.removesuffix(b"]}")), (one, other)
    assert sent[-1].count(LINE.encode()) == 1
