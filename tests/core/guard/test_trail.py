import json
from typing import Any

import pytest

from tokenman_core.guard.trail import Circle, circle, failures, needed, steps

KEY = b"a key"
Turn = tuple[str, Any, str]  # tool, arguments, answer


def anthropic(*turns: Turn, after: str = "", failed: bool = False) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "mend it"}]
    for number, (tool, given, answer) in enumerate(turns):
        call = {"type": "tool_use", "id": f"t{number}", "name": tool, "input": given}
        result = {"type": "tool_result", "tool_use_id": f"t{number}", "content": [{"type": "text", "text": answer}]}
        messages += [
            {"role": "assistant", "content": [{"type": "text", "text": f"thought {number}"}, call]},
            {"role": "user", "content": [result | ({"is_error": True} if failed else {})]},
        ]
    return {"messages": messages + ([{"role": "user", "content": after}] if after else [])}


def chat(*turns: Turn, after: str = "", failed: bool = False) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": "you"}, {"role": "user", "content": "mend it"}]
    for number, (tool, given, answer) in enumerate(turns):
        function = {"name": tool, "arguments": json.dumps(given, indent=number % 3)}
        calls = [{"id": f"t{number}", "type": "function", "function": function}]
        answer = f"Error: {answer}" if failed else answer
        messages += [
            {"role": "assistant", "content": f"thought {number}", "tool_calls": calls},
            {"role": "tool", "tool_call_id": f"t{number}", "content": answer},
        ]
    return {"messages": messages + ([{"role": "user", "content": after}] if after else [])}


def responses(*turns: Turn, after: str = "", failed: bool = False) -> dict[str, Any]:
    items: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "input_text", "text": "mend it"}]}]
    for number, (tool, given, answer) in enumerate(turns):
        answer = f"Traceback (most recent call last): {answer}" if failed else answer
        items += [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": f"thought {number}"}]},
            {"type": "function_call", "call_id": f"t{number}", "id": f"fc_{number}", "name": tool, "arguments": json.dumps(given)},
            {"type": "function_call_output", "call_id": f"t{number}", "output": answer},
        ]  # fmt: skip
    said = {"role": "user", "content": [{"type": "input_text", "text": after}]}
    return {"input": items + ([said] if after else [])}


def gemini(*turns: Turn, after: str = "", failed: bool = False) -> dict[str, Any]:
    contents: list[dict[str, Any]] = [{"role": "user", "parts": [{"text": "mend it"}]}]
    for tool, given, answer in turns:
        said = {"error": answer} if failed else {"result": answer}
        contents += [
            {"role": "model", "parts": [{"functionCall": {"name": tool, "args": given}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": tool, "response": said}}]},
        ]
    return {"contents": contents + ([{"role": "user", "parts": [{"text": after}]}] if after else [])}


FORMS = pytest.mark.parametrize("form", [anthropic, chat, responses, gemini], ids=lambda it: it.__name__)


def times(value: Any) -> Circle:
    return circle(steps(value, KEY, 400))


def failed(value: Any) -> int:
    return failures(steps(value, KEY, 400))


@FORMS
def test_the_same_call_with_the_same_answer_is_counted(form):
    assert times(form(*[("read", {"path": "a", "line": 1}, "nothing")] * 7)) == Circle(7, 1)


@FORMS
def test_other_arguments_are_other_calls_also_where_only_a_number_differs(form):
    assert times(form(*[("read", {"path": "a", "line": number}, "nothing") for number in range(9)])).times == 1


@FORMS
def test_another_answer_is_progress(form):
    assert times(form(*[("test", {}, f"{'x' * number} passed") for number in range(9)])).times == 1


@FORMS
def test_clocks_and_durations_in_an_answer_tell_nothing(form):
    assert times(form(*[("test", {}, f"failed in {number}.5 s") for number in range(6)])) == Circle(6, 1)


@FORMS
@pytest.mark.parametrize("period", [2, 3, 8])
def test_circles_of_several_steps_are_seen(form, period):
    turns = [("look", {"at": number % period}, "nothing") for number in range(5 * period)]
    assert times(form(*turns)) == Circle(5, period)


@FORMS
def test_what_was_repeated_long_ago_and_then_left_does_not_count(form):
    assert times(form(*[("read", {}, "x")] * 9, ("write", {}, "done"))).times == 1


@FORMS
def test_something_new_of_the_user_ends_a_circle_and_the_same_again_does_not(form):
    turns = [("read", {}, "x")] * 5
    assert times(form(*turns, after="try another way")).times < 2
    value = form(*turns)
    (name,) = value
    said = {"role": "user", "content": "go on", "parts": [{"text": "go on"}]}
    with_said: list[Any] = []
    for item in value[name]:
        with_said.append(item)
        if _answers(item):
            with_said.append(said)
    assert times({name: with_said}) == Circle(5, 2)


def _answers(item: dict[str, Any]) -> bool:
    text = json.dumps(item)
    return '"tool_result"' in text or '"role": "tool"' in text or "_output" in text or "functionResponse" in text


def test_a_user_who_says_the_same_again_and_again_is_no_agent_in_a_circle():
    messages = [{"role": role, "content": "go on"} for _ in range(9) for role in ("user", "assistant")]
    assert times({"messages": messages}).times == 0


@FORMS
def test_the_same_error_of_the_same_tool_is_counted_whatever_its_arguments(form):
    assert failed(form(*[("edit", {"old": str(number)}, "no match") for number in range(6)], failed=True)) == 6
    assert failed(form(*[("edit", {}, f"line {number}: no match") for number in range(6)], failed=True)) == 6
    assert failed(form(*[("edit", {}, f"{'x' * number}: no match") for number in range(6)], failed=True)) == 1
    assert failed(form(*[(f"tool {'x' * number}", {}, "no match") for number in range(6)], failed=True)) == 1
    assert failed(form(*[("edit", {}, "no match")] * 6)) == 0
    assert failed(form(*[("edit", {}, "no match")] * 6, after="leave it", failed=True)) == 0


def test_errors_are_counted_over_other_tools_and_ended_by_a_success():
    bad, good, other = ("edit", {}, "Error: no match"), ("edit", {}, "done"), ("read", {}, "text")
    assert failed(chat(bad, other, bad, other, bad)) == 3
    assert failed(chat(bad, bad, good, bad)) == 1
    assert failed(chat(bad, bad, bad, other)) == 0  # what it does now is no error


def test_of_parallel_calls_each_is_looked_at():
    calls = [
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "a", "name": "edit", "input": {}},
            {"type": "tool_use", "id": "b", "name": "read", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": "no match", "is_error": True},
            {"type": "tool_result", "tool_use_id": "b", "content": "text"},
        ]},
    ]  # fmt: skip
    assert failed({"messages": calls * 4}) == 4
    assert times({"messages": calls * 4}) == Circle(4, 2)


def test_of_calls_without_an_id_of_their_own_each_takes_the_nearest_answer():
    """Some servers number calls in each turn anew, and Gemini's have no id: the answers of another turn are not theirs."""
    both = [("read", {"at": 1}, "one"), ("read", {"at": 2}, "two")]
    value = chat(*both, *both, *both, *both)
    for message in value["messages"]:
        for one in (message, *message.get("tool_calls", ())):
            one |= {key: "call_0" for key in ("id", "tool_call_id") if key in one}
    assert times(value) == Circle(4, 2)
    parts = [{"functionCall": {"name": "read", "args": {"at": at}}} for at in (1, 2)]

    def answers(*texts: str) -> list[dict[str, Any]]:
        return [{"functionResponse": {"name": "read", "response": {"error": text}}} for text in texts]

    contents = [
        {"role": "model", "parts": parts}, {"role": "user", "parts": answers("a", "b")},
        {"role": "model", "parts": parts[::-1]}, {"role": "user", "parts": answers("b", "a")},
    ]  # fmt: skip
    keys = [step.key for step in steps({"contents": contents}, KEY, 9)]
    contents = json.loads(json.dumps(contents))
    for at, content in enumerate(
        contents
    ):  # the same with an id for each: what was given and what was answered name the pair
        for part in content["parts"]:
            inner = next(iter(part.values()))
            given = {"a": 1, "b": 2}.get(inner.get("response", {}).get("error")) or inner["args"]["at"]
            part |= {name: {**inner, "id": f"{at // 2}-{given}"} for name in part}
    assert [step.key for step in steps({"contents": contents}, KEY, 9)] == keys


@pytest.mark.parametrize(
    ("said", "is_error"),
    [
        ("Error: no such thing", True), ("ValueError: x", True), ("<error>x</error>", True), ("Traceback (most recent …", True),
        ("fatal: not a git repository", True), ("Exit code 2\nusage: …", True), ("command failed: x", True),
        ("bash: foo: command not found", True), ("cat: a: No such file or directory", True), ("exit code 0", False),
        ('{"error": {"code": 5}}', True), ('{"error": null}', False), ("[tool error] x", True), ("Tool execution error: x", True),
        ("errors: 0", False), ("There were no errors", False), ("terror", False), ("12 passed", False), ("", False),
        ("The file error.log was read", False),
    ],
)  # fmt: skip
def test_how_errors_begin(said, is_error):
    assert (failed(chat(("bash", {}, said))) > 0) is is_error


@pytest.mark.parametrize(
    "value",
    [
        None, [], "text", {"messages": None}, {"messages": [None, 1, "x", []]}, {"messages": [{"role": "tool"}]},
        {"messages": [{"role": "assistant", "tool_calls": [None, {"function": 1}, {"function": {"name": 1}}]}]},
        {"messages": [{"content": [{"type": 1}, {"type": "tool_use"}, {"type": "tool_result", "content": 5}]}]},
        {"input": "text"}, {"contents": [{"parts": [{"functionCall": None}, {"functionResponse": {}}]}]},
        {"input": [{"type": "function_call", "arguments": "\ud800", "name": "\ud800"}]},
        {"input": [{"type": "function_call", "arguments": {"n": 10**40}}]},
    ],
    ids=lambda value: json.dumps(value)[:50],
)  # fmt: skip
def test_what_is_no_conversation_has_few_steps_and_raises_nothing(value):
    trail = steps(value, KEY, 100)
    circle(trail)
    failures(trail)
    assert len(trail) <= 1


def test_no_more_is_read_than_is_needed():
    turns = [("read", {}, "x")] * 1000
    trail = steps(anthropic(*turns), KEY, needed(5))
    assert len(trail) == needed(5) == 56
    assert circle(trail).times > 5


def test_hashes_are_keyed():
    value = chat(("read", {}, "x"))
    assert {step.key for step in steps(value, b"one", 9)}.isdisjoint(step.key for step in steps(value, b"two", 9))
