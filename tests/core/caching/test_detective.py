import copy
import gc
import random
import re
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.core.caching.talk import (
    HOURLY,
    KEY,
    MARK,
    RULES,
    SAID,
    TOOLS,
    Talk,
    answered,
    chat,
    claude,
    exchange,
    gemini,
    price,
    responses,
    tool,
)
from tokenman_core.caching import breaks
from tokenman_core.caching.breaks import CAUSES
from tokenman_core.caching.detective import Bounds, Detective, Look
from tokenman_core.clock import ManualClock
from tokenman_core.record import cause_of
from tokenman_core.usage import Usage
from tokenman_core.verdicts import Candidate

DATED = RULES + "\nNow: {}\nEnd."


def looked(detective: Detective, value: Any, sent: float = 1.0) -> Look | None:
    """Of a call that wrote 9,000 tokens into its provider's cache."""
    return detective.look(answered(exchange(value), Candidate("anthropic", ""), Usage(10_000, 1, 0, 9_000), sent))


def edited(value: dict[str, Any], path: tuple[Any, ...], new: Any) -> dict[str, Any]:
    made = copy.deepcopy(value)
    inner = made
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = new
    return made


def test_a_conversation_that_goes_on_breaks_nothing():
    talk = Talk()
    assert talk.turn(claude(1), 0, 9_000) == ""
    assert talk.turn(claude(3), 9_000, 400) == ""
    assert talk.turn(claude(5), 9_400, 400) == ""
    made = talk.call(claude(5), Usage(20_000, 1, 9_750))
    assert (made.cache_break, made.cache_lost, made.cache_lost_usd) == ("", 0, 0)


TIMES = [
    ("2026-11-29T00:35:30Z", "2026-11-29T00:36:02Z"),
    ("Sun Nov 29 2026, 11:59 pm", "Mon Nov 30 2026, 12:01 am"),
    ("call 41", "call 42"),
    ("8f14e45f-ceea-467f-a0e6-3c2b1d5e7a90", "0cc175b9-c0f1-46b6-a831-c399e2697726"),
    ("trace 9f86d081884c7d65", "trace 60303ae22b998861"),
]

BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "reordered": (claude(3, tools=[TOOLS[1], TOOLS[0], TOOLS[2]]), "tools reordered"),
    "added": (claude(3, tools=[TOOLS[0], tool("more"), *TOOLS[1:]]), "tool added at tools[1]"),
    "appended": (claude(3, tools=[*TOOLS, tool("more")]), "tool added at tools[3]"),
    "removed": (claude(3, tools=TOOLS[:2]), "tool removed"),
    "none left": (claude(3, tools=[]), "tool removed"),
    "exchanged": (claude(3, tools=[*TOOLS[:2], tool("other")]), "tools added and removed"),
    "described": (claude(3, tools=[TOOLS[0], tool("write", "another"), TOOLS[2]]), "tool changed at tools[1]"),
    "system": (claude(3, system=RULES.replace("brief", "long")), "system prompt changed at system[1]"),
    "system block": (edited(claude(3), ("system", 0, "text"), "You are another."), "system prompt changed at system[0]"),
    "no system": (claude(3, system=None) | {"system": []}, "system prompt changed at system[0]"),
    "message": (
        edited(claude(3), ("messages", 0, "content", 0, "text"), "Please look at the lexer."),
        "an earlier message changed at messages[0].content[0].text",
    ),
    "speed": (claude(3, speed="fast"), "parameters changed: speed"),
    "thinking": (claude(3, thinking={"type": "enabled", "budget_tokens": 2000}), "parameters changed: thinking"),
    "speed before the system text": (claude(3, speed="fast", system="Other."), "parameters changed: speed"),
    "system text before thinking": (claude(3, thinking={}, system="Other."), "system prompt changed at system[1]"),
    "choice": (claude(3, tool_choice={"type": "any"}), "parameters changed: tool_choice"),
    "format": (claude(3, output_config={"format": {"type": "json_schema"}}), "parameters changed: output_config"),
    "no marks": (claude(3, mark=None), "cache marks moved or missing"),
    "model": (claude(3, model="claude-opus-4-5"), "model changed"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_the_first_change_is_the_cause(name):
    value, cause = BROKEN[name]
    talk = Talk()
    talk.turn(claude(2), 0, 9_000)
    assert talk.turn(value, 0, 0) == cause
    assert cause_of(cause) in CAUSES


@pytest.mark.parametrize(("before", "after"), TIMES)
def test_a_clock_in_the_system_text_is_told(before, after):
    talk = Talk()
    talk.turn(claude(1, system=DATED.format(before)), 0, 9_000)
    told = talk.turn(claude(3, system=DATED.format(after)), 200, 9_000)
    assert told == "a time or date in the system prompt changed at system[1]"


def test_a_clock_is_told_though_the_session_is_another_one_each_time():
    """A session that no program marks is told by the beginning of its system text, which is what has changed."""
    talk = Talk()
    talk.turn(claude(1, system=DATED.format("10:01")), 0, 9_000, session="0a")
    told = talk.turn(claude(3, system=DATED.format("10:02")), 0, 9_000, session="0b")
    assert told == "a time or date in the system prompt changed at system[1]"


def test_a_clock_is_told_of_single_questions_that_share_nothing_else():
    talk = Talk()
    for number, session in enumerate("abc"):
        value = claude(1, system=DATED.format(f"10:0{number}"))
        value["messages"] = [{"role": "user", "content": f"Question about {session * 5}"}]
        told = talk.turn(value, 0, 9_000, session=session)
        assert (told == "a time or date in the system prompt changed at system[1]") is (number > 0)


def test_other_conversations_of_a_session_are_none_of_this_one():
    """Agents have helpers, titles are made, under the same name and at the same time."""
    talk = Talk()
    talk.turn(claude(1), 0, 9_000)
    helper = claude(1, system="Find files.", tools=[])
    helper["messages"] = [{"role": "user", "content": "Find all parsers."}]
    assert talk.turn(helper, 0, 0) == ""
    assert talk.turn(claude(3), 9_000, 300) == ""
    helper["messages"] += [{"role": "assistant", "content": "Found."}, {"role": "user", "content": "More."}]
    assert talk.turn(helper, 0, 500) == ""
    assert talk.turn(claude(5), 0, 9_000) == "not told by the request"


def test_who_asks_anew_from_an_earlier_turn_has_lost_nothing():
    talk = Talk()
    talk.turn(claude(5), 0, 9_000)
    again = claude(3)
    again["messages"][2]["content"][0]["text"] = "Something else altogether, from here on?"
    left = sum(len(text) for _, text in SAID[:2]) / sum(len(text) for _, text in SAID[:5])
    assert left < 0.6
    assert talk.turn(again, 8_500, 100) == ""
    assert talk.turn(claude(3), 8_500, 100) == ""


def test_history_that_is_cut_or_compacted():
    long = claude(6)
    cut, compacted = claude(6), claude(6)
    cut["messages"] = [*cut["messages"][2:], {"role": "user", "content": "Now test it."}]
    summary = {"role": "user", "content": "Summary: the parser has a table."}
    compacted["messages"] = [summary, *compacted["messages"][3:]]
    for value in (cut, compacted):
        talk = Talk()
        talk.turn(long, 0, 9_000)
        assert talk.turn(value, 2_000, 6_000) == "history cut or compacted"


def test_a_message_that_is_put_in_earlier():
    talk = Talk()
    talk.turn(claude(5), 0, 9_000)
    value = claude(5)
    value["messages"].insert(2, {"role": "user", "content": "By the way."})
    assert talk.turn(value, 2_000, 6_000) == "an earlier message was added at messages[2]"


def test_marks_that_move():
    talk = Talk()
    talk.turn(claude(1), 0, 9_000)
    value = claude(5)
    del value["messages"][4]["content"][0]["cache_control"]  # the system text alone is marked
    assert talk.turn(value, 5_000, 0) == "cache marks moved or missing"
    far = claude(1)
    far["messages"][0]["content"] += [{"type": "text", "text": f"part {i}"} for i in range(30)]
    talk = Talk()
    talk.turn(claude(1), 0, 9_000)
    far["messages"] = [claude(1)["messages"][0], {"role": "user", "content": far["messages"][0]["content"][1:]}]
    del far["messages"][0]["content"][0]["cache_control"]
    far["messages"][1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
    assert talk.turn(far, 0, 9_000) == "cache marks moved or missing"  # more than 20 blocks behind


def test_what_moves_but_is_read_all_the_same_is_no_break():
    """Texts become blocks and marks wander with the last turn; a provider reads the same."""
    talk = Talk()
    first = claude(1)
    first["messages"][0]["content"] = SAID[0][1]
    talk.turn(first, 0, 9_000)
    assert talk.turn(claude(3), 0, 9_000) == "not told by the request"
    made = talk.turn(claude(5, cache_control={"type": "ephemeral"}, mark=None), 9_000)
    assert made == ""


@pytest.mark.parametrize(
    ("mark", "after", "told"),
    [
        ({"type": "ephemeral"}, 290.0, "not told by the request"),
        ({"type": "ephemeral"}, 310.0, "idle for longer than the cache lives"),
        (HOURLY, 3500.0, "not told by the request"),
        (HOURLY, 3700.0, "idle for longer than the cache lives"),
    ],
    ids=["short", "short over", "long", "long over"],
)
def test_a_cache_lives_as_long_as_its_marks_say(mark, after, told):
    talk = Talk()
    talk.turn(claude(1, mark=mark), 0, 9_000)
    assert talk.turn(claude(3, mark=mark), 0, 9_000, after=after - 1) == told


def test_what_was_idle_for_too_long_is_idle_whatever_else_has_changed():
    talk = Talk()
    talk.turn(claude(1), 0, 9_000)
    assert talk.turn(claude(3, tools=[]), 0, 9_000, after=400) == "idle for longer than the cache lives"
    talk = Talk()
    talk.turn(claude(1), 0, 9_000)
    assert talk.turn(claude(3, system="Other."), 2_000, 9_000, after=400) == "system prompt changed at system[1]"


def test_what_was_not_kept_anyway_is_no_cause():
    """The mark stood behind the system text: what changed behind it was never in the cache."""
    first, second = claude(2), edited(claude(3), ("messages", 0, "content", 0, "text"), "Please look at the lexer.")
    for value in (first, second):
        del value["messages"][-1]["content"][-1]["cache_control"]
    talk = Talk()
    talk.turn(first, 0, 9_000)
    assert talk.turn(second, 0, 0) == "not told by the request"


def test_of_two_messages_that_changed_the_first_is_told():
    value = edited(claude(6), ("messages", 0, "content", 0, "text"), "Please look at the lexer.")
    value["messages"][1]["content"][0]["text"] = "It has no table."
    talk = Talk()
    talk.turn(claude(5), 0, 9_000)
    assert talk.turn(value, 0, 9_000) == "an earlier message changed at messages[0].content[0].text"


def test_images_that_come_or_go_are_a_parameter():
    talk = Talk()
    talk.turn(claude(3), 0, 9_000)
    value = claude(5)
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    value["messages"][4]["content"].insert(0, image)
    assert talk.turn(value, 5_000, 4_000) == "parameters changed: images"
    value = claude(5)
    value["messages"][4]["content"][0]["text"] = 'Say {"type":"image"} twice'
    talk = Talk()
    talk.turn(claude(3), 0, 9_000)
    assert talk.turn(value, 5_000, 4_000) == "not told by the request"


def test_another_provider_has_another_cache():
    talk = Talk()
    talk.turn(claude(1), 0, 9_000)
    assert talk.turn(claude(3), 0, 9_000, provider="bedrock") == "provider changed"
    assert talk.turn(claude(5), 9_000, 300) == ""
    assert talk.turn(claude(6), 0, 9_000, model="claude-opus-4-5") == "model changed"


def test_what_tokenman_itself_did_is_told():
    talk = Talk()
    masked = {"parser": "[PERSON_0123456789ab]"}
    talk.turn(claude(1), 0, 9_000)
    assert talk.turn(claude(3), 4_000, 5_000, masks=masked) == "TokenMan masked differently at messages[0]"
    other = {"parser": "[PERSON_ffffffffffff]"}
    assert talk.turn(claude(5), 4_000, 5_000, masks=other) == "TokenMan masked differently at messages[0]"
    changed = edited(claude(5), ("messages", 0, "content", 0, "text"), "Please look at the parser again.")
    told = talk.turn(changed, 4_000, 5_000, masks=other)
    assert told == "an earlier message changed at messages[0].content[0].text"


def test_what_tokenman_did_in_a_system_text_and_in_a_bare_text():
    talk = Talk()
    value = claude(1, system=RULES) | {"system": RULES}
    value["messages"][0]["content"] = SAID[0][1]
    talk.turn(value, 0, 9_000)
    assert talk.turn(value, 4_000, 5_000, masks={"agent": "[X]"}) == "TokenMan masked differently at system"
    assert talk.turn(value, 4_000, 5_000, masks={"agent": "[X]", "parser": "[Y]"}) == (
        "TokenMan masked differently at messages[0]"
    )


@pytest.mark.parametrize(
    ("wire", "make", "field", "told"),
    [
        ("openai", chat, {"system": "Other."}, "system prompt changed at messages[0]"),
        ("openai", chat, {"tools": []}, "tool removed"),
        ("openai", chat, {"response_format": {"type": "json_object"}}, "parameters changed: response_format"),
        ("openai", chat, {"reasoning_effort": "high"}, "parameters changed: reasoning_effort"),
        ("responses", responses, {"system": "Other."}, "system prompt changed at instructions"),
        ("responses", responses, {"prompt_cache_key": "k2"}, "parameters changed: prompt_cache_key"),
        ("gemini", gemini, {"system": "Other."}, "system prompt changed at systemInstruction.parts[0]"),
        ("gemini", gemini, {}, "not told by the request"),
    ],
    ids=lambda it: getattr(it, "__name__", str(it)),
)
def test_the_other_dialects(wire, make, field, told):
    talk = Talk(wire)
    talk.turn(make(1), 5_000)
    assert talk.turn(make(3), 5_100) == ""
    assert talk.turn(make(5, **field), 0) == told


@pytest.mark.parametrize(
    ("wire", "make", "path", "told"),
    [
        ("openai", chat, ("messages", 1, "content"), "messages[1].content[0].text"),
        ("responses", responses, ("input", 0, "content", 0, "text"), "input[0].content[0].text"),
        ("gemini", gemini, ("contents", 0, "parts", 0, "text"), "contents[0].parts[0].text"),
    ],
    ids=["chat", "responses", "gemini"],
)
def test_the_place_has_the_names_of_the_dialect(wire, make, path, told):
    talk = Talk(wire)
    talk.turn(make(3), 5_000)
    assert talk.turn(edited(make(5), path, "Another."), 0) == f"an earlier message changed at {told}"


def test_a_developers_message_behind_instructions_is_a_message():
    talk = Talk("responses")
    values = []
    for count, text in ((3, "Answer in verse, please, and at length."), (5, "Answer in prose, please, and in short.")):
        values.append(responses(count))
        values[-1]["input"].insert(0, {"role": "developer", "content": text})
    talk.turn(values[0], 5_000)
    assert talk.turn(values[1], 0) == "an earlier message changed at input[0].content[0].text"


def test_code_assist_wraps_what_gemini_is_sent():
    talk = Talk("gemini")
    path = "/v1internal:generateContent"
    talk.turn({"model": "gemini-2.5-pro", "request": gemini(3)}, 5_000, path=path)
    masks = {"parser": "[X]"}
    told = talk.turn({"model": "gemini-2.5-pro", "request": gemini(5)}, 0, path=path, masks=masks)
    assert told == "TokenMan masked differently at contents[0]"


def test_retention_that_openai_was_asked_for():
    for more, after, told in (
        ({}, 400, "idle for longer than the cache lives"),
        ({"prompt_cache_retention": "24h"}, 400, "not told by the request"),
    ):
        talk = Talk("openai")
        talk.turn(chat(1, **more), 5_000)
        assert talk.turn(chat(3, **more), 0, after=after) == told


def test_a_first_call_that_read_nothing_has_nothing_to_lose():
    talk = Talk("openai")
    talk.turn(chat(1), 0)
    assert talk.turn(chat(3, tools=[]), 0) == ""
    talk = Talk()
    talk.turn(claude(1, mark=None), 0, 0)
    assert talk.turn(claude(3, tools=[], mark=None), 0, 0) == ""


def test_a_break_is_told_once():
    talk = Talk()
    talk.turn(claude(1), 0, 9_000)
    assert talk.turn(claude(3, tools=[]), 0, 8_000) == "tool removed"
    assert talk.turn(claude(5, tools=[]), 8_000, 200) == ""


@pytest.mark.parametrize(("read", "told"), [(8_100, ""), (8_099, "x"), (9_000, ""), (9_500, "")], ids=str)
def test_little_that_is_missing_is_no_break(read, told):
    talk = Talk()
    talk.turn(claude(1), 0, 9_000)
    assert bool(talk.turn(claude(3), read)) == bool(told)


def test_little_in_tokens_is_no_break_either():
    talk = Talk()
    talk.turn(claude(1), 0, 255)
    assert talk.turn(claude(3), 0) == ""
    talk.turn(claude(5), 0, 256)
    assert talk.turn(claude(6), 0) != ""


def test_what_it_cost():
    talk = Talk()
    talk.turn(claude(1), 0, 9_000)
    made = talk.call(claude(3, tools=[]), Usage(10_000, 5, 1_000, 2_000, 1_000))
    assert made.cache_lost == 8_000
    # Of the 8,000: 2,000 written for five minutes, 1,000 for an hour, 5,000 plain; all of them for 0.30 instead.
    assert made.cache_lost_usd == Decimal(2_000 * 345 + 1_000 * 570 + 5_000 * 270) / 10**8
    for cost in (None, lambda usage: None):
        talk = Talk()
        talk.turn(claude(1), 0, 9_000)
        made = talk.call(claude(3, tools=[]), Usage(10_000, 5), cost=cost)
        assert (made.cache_lost, made.cache_lost_usd) == (9_000, 0)


def test_what_no_longer_was_sent_is_not_lost():
    talk = Talk()
    talk.turn(claude(6), 0, 9_000)
    value = claude(6)
    value["messages"] = value["messages"][4:]
    assert talk.call(value, Usage(3_000, 5, 1_000)).cache_lost == 2_000


def test_a_call_without_usage_is_as_if_it_had_not_been():
    talk = Talk()
    talk.turn(claude(1), 0, 9_000)
    assert talk.call(claude(3, tools=[]), None).cache_break == ""
    assert talk.call(claude(3, tools=[]), Usage()).cache_break == ""
    assert talk.turn(claude(3), 9_000) == ""


def test_calls_that_run_at_once_are_not_held_against_each_other():
    talk = Talk()
    made = []
    for sent in (100.0, 100.4, 100.6):  # the first one's answer began at 100.5
        it = answered(exchange(claude(1)), Candidate("anthropic", ""), Usage(10_000, 1, 0, 9_000), sent)
        look = talk.detective.look(it)
        assert look is not None
        talk.detective.ended(look)
        made.append(it.cache_break)
    assert made == ["", "", "not told by the request"]


@pytest.mark.parametrize(
    ("changes", "value"),
    [({"credential": "bob"}, claude(3)), ({"session": "s2", "credential": "bob"}, claude(3))],
    ids=["same session", "other session"],
)
def test_callers_are_not_compared_with_each_other(changes, value):
    talk = Talk()
    talk.turn(claude(1), 0, 9_000)
    assert talk.turn(value, 0, 9_000, **changes) == ""


def test_what_is_no_conversation_is_let_alone():
    detective = Detective(ManualClock(), KEY)
    usage, place = Usage(10_000, 1, 0, 9_000), Candidate("anthropic", "")
    free = answered(exchange(claude(1), path="/v1/messages/count_tokens"), place, usage, 1.0)
    assert detective.look(free) is None
    for wire, path, value in (
        ("openai", "/v1/images/generations", {"prompt": "a cat"}),
        ("openai", "/v1/chat/completions", [1]),
        ("openai", "/v1/chat/completions", {"messages": 3, "tools": "x", "system": {"a": 1}}),
        ("gemini", "", {"request": {"contents": [None, 3, "x", {"parts": [1]}]}}),
        ("anthropic", "", {"messages": [{"content": [{"cache_control": 3}, 1, None]}], "system": [1, {"text": 4}]}),
        ("anthropic", "", {"messages": [{"role": "user", "content": 2**70}], "tools": [None, {"name": 3}]}),
    ):
        for _ in range(2):
            look = detective.look(answered(exchange(value, wire, path=path), place, usage, 1.0))
            assert look is not None
            detective.ended(look)


def test_short_words_that_every_conversation_has_make_none_the_same():
    talk = Talk()
    for number in range(3):
        value = claude(1, system=f"Agent {'abc'[number]}. {RULES}")
        value["messages"] = [
            {"role": "user", "content": f"Task {'xyz'[number] * 9}"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t2", "name": "read", "input": {}}]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t2", "is_error": False, "content": "ok"}],
            },
            {"role": "user", "content": "go on"},
        ]
        assert talk.turn(value, 0, 9_000) == ""
        value["messages"] += [{"role": "assistant", "content": "Done."}, {"role": "user", "content": "go on"}]
        assert talk.turn(value, 9_000, 10) == ""


def test_a_reminder_that_all_conversations_of_a_program_hold_makes_them_none_the_same():
    """As Claude Code puts one into the first message of its agents, too. Also where what was known of the helper is forgotten."""
    reminder = {"type": "text", "text": "<system-reminder>Follow the house rules of this folder.</system-reminder>"}
    talk = Talk()
    value, helper = claude(5), claude(1, system="Find files.")
    value["messages"][0]["content"].insert(0, reminder)
    talk.turn(value, 0, 9_000)
    helper["messages"][0]["content"] = [reminder, {"type": "text", "text": "Find all of the grammars, quickly."}]
    for number in range(3):
        asked = [f"Look into folder {'abcdefgh'[number]} of the house.", f"Look behind door {'xyzuvw'[number]} of it."]
        helper["messages"] += [
            {"role": who, "content": text} for who, text in zip(("assistant", "user"), asked, strict=True)
        ]
    assert talk.turn(helper, 0, 9_000) == ""


def test_another_session_of_the_caller_that_begins_alike_is_none_of_this_one():
    talk = Talk()
    talk.turn(claude(5), 0, 9_000)
    assert talk.turn(claude(6, system="Quite another agent."), 0, 9_000, session="s2") == ""
    assert talk.turn(claude(6), 0, 9_000, session="s3") == ""
    dated = claude(3, system=DATED.format("10:01")), claude(5, system=DATED.format("10:02"))
    assert talk.turn(dated[0], 0, 9_000, session="s4") == ""
    told = talk.turn(dated[1], 0, 9_000, session="s5")
    assert told == "a time or date in the system prompt changed at system[1]"


def test_questions_made_by_one_template_are_no_conversation():
    """Each with another number and a document of numbers, one after the other."""
    talk = Talk()
    for number in range(4):
        value = claude(1)
        value["messages"] = [{"role": "user", "content": f"Sum up sheet {number}: {[i * number for i in range(400)]}"}]
        assert talk.turn(value, 3_000 if number else 0, 6_000, session=f"s{number}") == ""


def test_a_message_that_is_written_anew_each_time_is_told():
    """What a program puts into its last message and takes out again is never read: only what stands before it."""
    talk = Talk()
    value = claude(3)
    value["messages"][2]["content"][0]["text"] = "Which are final? Now it is noon, the tree is clean."
    talk.turn(value, 0, 9_000)
    told = talk.turn(claude(5), 4_000, 5_000)
    assert told == "an earlier message changed at messages[2].content[0].text"


# -- what it remembers --


def everything(root: Any) -> Iterator[Any]:
    """All objects that can be reached from one, but for classes, modules and functions."""
    seen, waiting = set[int](), [root]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type) or callable(one) or type(one).__name__ == "module":
            continue
        seen.add(id(one))
        yield one
        waiting += gc.get_referents(one)


def test_nothing_of_a_call_can_be_found_in_its_memory_or_its_words():
    talk = Talk()
    planted = "Zebedee-4711"
    value = claude(3, system=f"{RULES}\n{planted}", model=f"m-{planted}", thinking={"type": planted})
    value["messages"][1]["content"][0] = {"type": "tool_use", "id": "t1", "name": planted, "input": {planted: planted}}
    value["messages"][0][planted] = planted
    value["tools"][0][planted] = planted
    talk.turn(value, 0, 9_000, session=planted, credential=planted, provider=planted)
    told = talk.turn(
        edited(value, ("messages", 1, "content", 0, "input", planted), "x"),
        0,
        9_000,
        session=planted,
        credential=planted,
    )
    assert told == "provider changed"
    assert planted not in told
    told = talk.turn(edited(value, ("messages", 0, planted), "x"), 0, 9_000, session=planted, credential=planted)
    assert told == "an earlier message changed at messages[0].*"
    value["tools"][0].pop(planted)
    texts = [one for one in everything(talk.detective) if isinstance(one, str | bytes)]
    assert len(texts) > 10
    assert sum(isinstance(one, int) for one in everything(talk.detective)) > 100, "the hashes"
    assert not [one for one in texts if planted in (one if isinstance(one, str) else one.decode("latin-1"))]
    words = set(re.findall("[a-z]{4,}", RULES + " ".join(text for _, text in SAID).lower())) - {"parser"}
    free = [one for one in texts if isinstance(one, str) and one.lower() in words]
    assert not free


def test_names_that_a_program_chose_are_in_no_place():
    planted = "zebedee4711"
    one, two = claude(4), claude(5)
    for value, text in ((one, "this"), (two, "that")):
        value["messages"][1]["content"][0][planted] = text
    talk = Talk()
    talk.turn(one, 0, 9_000)
    assert talk.turn(two, 0, 9_000) == "an earlier message changed at messages[1].content[0].*"
    texts = [one for one in everything(talk.detective) if isinstance(one, str | bytes)]
    assert not [one for one in texts if planted in (one if isinstance(one, str) else one.decode("latin-1"))]


def test_another_key_gives_other_hashes():
    found = []
    for key in (KEY, b"z" * 32):
        look = looked(Detective(ManualClock(), key), claude(1))
        assert look is not None
        prints = look.read()
        assert prints is not None
        found.append({part.whole for parts in prints.parts.values() for part in parts})
    assert found[0].isdisjoint(found[1])


def test_what_it_remembers_is_bounded_in_number_bytes_and_time():
    talk = Talk(bounds=Bounds(keys=10))
    for number in range(40):
        talk.turn(claude(1), 0, 9_000, session=f"s{number}", credential=f"c{number}")
    assert len(talk.detective._calls) == 10
    talk = Talk(bounds=Bounds(size=50_000))
    for number in range(40):
        talk.turn(claude(1), 0, 9_000, session=f"s{number}", credential=f"c{number}")
        assert 0 < talk.detective.size <= 50_000
    assert len(talk.detective._calls) > 1
    talk = Talk(bounds=Bounds(seconds=3600))
    talk.turn(claude(1), 0, 9_000)
    talk.turn(claude(1), 0, 9_000, session="other", credential="bob", after=4000)
    assert len(talk.detective._calls) == 2  # the other one's session and caller
    giant = Talk(bounds=Bounds(size=1000))
    giant.turn(claude(5), 0, 9_000)
    assert (giant.detective.size, len(giant.detective._calls)) == (0, 0)


def test_its_size_is_that_of_what_it_holds():
    talk = Talk(bounds=Bounds(keys=7))
    dice = random.Random(1)
    for _ in range(200):
        talk.turn(claude(dice.randrange(1, 6)), 0, 9_000, session=f"s{dice.randrange(6)}")
    held = sum(call.prints.weight for _, calls in talk.detective._calls.values() for call in calls)
    assert talk.detective.size == held
    assert max(len(calls) for _, calls in talk.detective._calls.values()) <= 6


def test_a_request_of_very_many_parts_is_read_as_far_as_the_bound():
    talk = Talk()
    value = claude(1)
    value["messages"] = [{"role": "user", "content": "x"}] * 9_000
    talk.turn(value, 0, 9_000)
    ((_, calls), *_) = talk.detective._calls.values()
    assert len(calls[0].prints.parts["messages"]) == 4_000


# -- what it costs --


def test_a_conversation_that_goes_on_is_read_in_little_time():
    """A hundred messages, 80 KB: some 0.1 ms. Held here to ten times that, of the processor's time, beside other work."""
    text = "The quick brown fox jumps over the lazy dog. " * 17
    messages = [{"role": "user", "content": [{"type": "text", "text": f"{i} {text}"}]} for i in range(102)]
    talk, best = Talk(), 1.0
    for count in (98, 99, 100, 101, 102):
        value = claude(1, system="Short.") | {"messages": messages[:count]}
        made = answered(exchange(value), Candidate("anthropic", ""), Usage(30_000, 1, 29_000, 500), float(count))
        begun = time.process_time()
        look = talk.detective.look(made)
        assert look is not None
        talk.detective.ended(look, price)
        took = time.process_time() - begun
        if count > 98:
            best = min(best, took)
            assert not look.large
    assert best < 0.002


def test_a_large_or_a_new_conversation_says_that_it_wants_a_thread():
    talk = Talk()
    large = claude(1, system="x" * 40_000)
    look = looked(talk.detective, large)
    assert look is not None
    assert look.large
    look.read()
    talk.detective.ended(look)
    again = looked(talk.detective, large, sent=2.0)
    assert again is not None
    assert not again.large
    huge = looked(talk.detective, claude(1, system="x" * 140_000), sent=2.0)
    assert huge is not None
    assert huge.large


@pytest.mark.parametrize(
    ("mark", "size", "large"), [(MARK, 140_000, False), (MARK, 530_000, True), (None, 140_000, True)]
)
def test_what_its_provider_read_again_is_not_looked_at_and_wants_no_thread(mark, size, large):
    detective = Detective(ManualClock(), KEY)
    value = claude(1, system="x" * size, mark=mark)
    for number, usage in enumerate((Usage(99_000, 1, 0, 9_000), Usage(99_000, 1, 9_000, 50))):
        look = detective.look(answered(exchange(value), Candidate("anthropic", ""), usage, float(number)))
        assert look is not None
        assert look.large is (large if number else True)
        detective.ended(look)


def test_all_causes_are_of_the_table():
    assert all(cause and cause == cause_of(cause) for cause in CAUSES)
    assert breaks.UNTOLD in CAUSES
    assert len(CAUSES) < 40
