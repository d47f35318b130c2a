"""The detective beside a cache that behaves as documented: it speaks where something was lost, says why, and nowhere else."""

import copy
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.caching.prompt_cache import PromptCache
from tests.core.caching.talk import Talk, tool
from tokenman_core.caching.breaks import CAUSES
from tokenman_core.record import cause_of
from tokenman_core.usage import Usage, anthropic_usage

WORDS = (
    "parser",
    "table",
    "state",
    "token",
    "line",
    "rule",
    "test",
    "file",
    "name",
    "tree",
    "node",
    "edge",
    "path",
    "type",
)


NAMES = (
    "messages", "input", "contents", "tools", "functions", "system", "instructions", "systemInstruction", "parts", "content",
    "role", "text", "type", "cache_control", "ttl", "request", "thinking", "function", "name",
)  # fmt: skip
WIRES = ("anthropic", "openai", "responses", "gemini")


class Agent:
    """A program that talks on and on, as agents do; `value` is its next request."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.tools = [tool(name, self.text(60)) for name in ("read", "write", "grep", "run")]
        self.system = "\n".join([f"You are agent {dice.randrange(10**6)}.", *(self.text(30) for _ in range(30))])
        self.messages: list[dict[str, Any]] = []
        self.more: dict[str, Any] = {"model": "claude-sonnet-4-5"}
        self.marked = True
        self.say("user", 200)

    def text(self, count: int) -> str:
        return " ".join(self.dice.choice(WORDS) for _ in range(count))

    def say(self, role: str, count: int) -> None:
        blocks = [{"type": "text", "text": self.text(count)} for _ in range(self.dice.randrange(1, 4))]
        if len(self.messages) % 4 == 2:
            blocks = [{"type": "tool_result", "tool_use_id": f"t{len(self.messages)}", "content": self.text(count)}]
        self.messages.append({"role": role, "content": blocks})

    def go_on(self) -> None:
        self.say("assistant", self.dice.randrange(20, 200))
        self.say("user", self.dice.randrange(20, 200))

    def value(self) -> dict[str, Any]:
        made = {**self.more, "tools": self.tools, "system": [{"type": "text", "text": self.system}]}
        made["messages"] = copy.deepcopy(self.messages)
        if self.marked:
            made["system"][0]["cache_control"] = {"type": "ephemeral"}
            made["messages"][-1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
        return made


def reorder(it: Agent) -> None:
    it.tools = it.tools[1:] + it.tools[:1]


def add(it: Agent) -> None:
    it.tools = [*it.tools, tool(f"new{it.dice.randrange(10**6)}")]


def remove(it: Agent) -> None:
    it.tools = it.tools[1:] or [tool("last")]


def describe(it: Agent) -> None:
    it.tools = [tool("read", it.text(60)), *it.tools[1:]]


def clock(it: Agent) -> None:
    _, _, rest = it.system.partition("\n")
    it.system = f"You are agent {it.dice.randrange(10**6)}.\n{rest}"


def rule(it: Agent) -> None:
    it.system += "\n" + it.text(5)


def edit(it: Agent) -> None:
    it.messages = copy.deepcopy(it.messages)
    it.messages[0]["content"][0]["text"] = it.text(50)


def cut(it: Agent) -> None:
    it.messages = it.messages[2:]


def think(it: Agent) -> None:
    it.more = it.more | {"thinking": {"type": "enabled", "budget_tokens": it.dice.randrange(1024, 10**6)}}


def speed(it: Agent) -> None:
    it.more = it.more | {"speed": f"s{it.dice.randrange(10**6)}"}


def unmark(it: Agent) -> None:
    it.marked = False


def another(it: Agent) -> None:
    it.more = it.more | {"model": f"claude-{it.dice.randrange(10**6)}"}


CHANGES: dict[Callable[[Agent], None], set[str]] = {
    reorder: {"tools reordered"},
    add: {"tool added"},
    remove: {"tool removed", "tools added and removed"},
    describe: {"tool changed", "tools added and removed"},
    clock: {"a time or date in the system prompt changed"},
    rule: {"system prompt changed"},
    edit: {"an earlier message changed"},
    cut: {"history cut or compacted"},
    think: {"parameters changed: thinking"},
    speed: {"parameters changed: speed"},
    unmark: {"cache marks moved or missing"},
    another: {"model changed"},
}


def asked(talk: Talk, cache: PromptCache, value: dict[str, Any], after: float, **changes: Any) -> str:
    now = talk.clock.now() + after
    return talk.call(value, anthropic_usage(cache.usage(value, now)), after, **changes).cache_break


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_each_change_is_told_by_its_name_wherever_in_a_conversation_it_comes(change):
    for seed in range(12):
        dice = random.Random(seed)
        talk, cache, agent = Talk(), PromptCache(), Agent(dice)
        for _ in range(dice.randrange(4, 9)):
            assert asked(talk, cache, agent.value(), 30) == ""
            agent.go_on()
        agent.go_on()
        change(agent)
        assert cause_of(asked(talk, cache, agent.value(), 30)) in CHANGES[change]
        for _ in range(3):
            agent.marked = True
            agent.go_on()
            asked(talk, cache, agent.value(), 30)
        agent.go_on()
        assert asked(talk, cache, agent.value(), 30) == ""


def test_who_waits_too_long_is_told_that():
    talk, cache, agent = Talk(), PromptCache(), Agent(random.Random(1))
    for after, told in ((1, ""), (250, ""), (290, ""), (310, "idle for longer than the cache lives"), (20, "")):
        assert asked(talk, cache, agent.value(), after) == told
        agent.go_on()


@pytest.mark.parametrize("seed", range(6))
def test_many_agents_under_one_session_break_nothing_of_each_other(seed):
    """Up to as many as are kept apart; each goes on at its own pace, and now and then begins anew or asks anew."""
    dice = random.Random(seed)
    talk, cache = Talk(), PromptCache()
    agents = [Agent(dice) for _ in range(4)]
    said = Counter[str]()
    for _ in range(150):
        at = dice.randrange(len(agents))
        agent = agents[at]
        said[asked(talk, cache, agent.value(), dice.random() * 20)] += 1
        dare = dice.random()
        if dare < 0.05:
            agents[at] = Agent(dice)
        elif dare < 0.15 and len(agent.messages) > 4:
            agent.messages = agent.messages[: dice.randrange(1, len(agent.messages) // 2) * 2 - 1]
            agent.messages[-1] = {"role": "user", "content": [{"type": "text", "text": agent.text(80)}]}
        else:
            agent.go_on()
    assert set(said) == {""}


def test_what_is_lost_is_what_the_cache_would_have_given():
    talk, cache, agent = Talk(), PromptCache(), Agent(random.Random(3))
    asked(talk, cache, agent.value(), 30)
    agent.go_on()
    whole = copy.deepcopy(cache).usage(agent.value(), talk.clock.now() + 30)["cache_read_input_tokens"]
    rule(agent)
    value = agent.value()
    usage = cache.usage(value, talk.clock.now() + 30)
    made = talk.call(value, anthropic_usage(usage), 30)
    assert made.cache_lost == whole - usage["cache_read_input_tokens"] > 1000


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*NAMES, "x"]), inner, max_size=5),
    max_leaves=25,
)


@given(
    st.lists(st.dictionaries(st.sampled_from(NAMES), ODD, max_size=6), min_size=2, max_size=4), st.sampled_from(WIRES)
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_request_is_too_odd_for_it(values, wire):
    talk = Talk(wire)
    for value in values:
        made = talk.call(value | {"messages": value.get("messages")}, Usage(20_000, 1, 0, 9_000))
        assert not made.cache_break or cause_of(made.cache_break) in CAUSES
