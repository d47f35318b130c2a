"""What is remembered of a request is the same, however much of it was known before."""

import random
from typing import Any

import pytest

from tests.core.caching.talk import KEY, MARK, Talk, claude, exchange, tool
from tokenman_core.caching.prints import MOST_PARTS, Prints, prints


def said(dice: random.Random, number: int) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = [
        {"type": "text", "text": f"{number} " + " ".join(str(dice.randrange(10**6)) for _ in range(9))}
        for _ in range(dice.randrange(1, 4))
    ]
    if number % 7 == 5:
        blocks.insert(0, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}})
    if number % 5 == 3:
        return {"role": "user", "content": str(blocks[0]["text"]) if "text" in blocks[0] else "and so on"}
    return {"role": ("user", "assistant")[number % 2], "content": blocks}


def marked(message: dict[str, Any], mark: Any = MARK) -> dict[str, Any]:
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return message | {"content": [*blocks[:-1], blocks[-1] | {"cache_control": mark}]}


class Turns:
    """A conversation that grows by two messages a turn, the last one marked, and the one before it where that is wanted."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.value = claude(1, tools=[tool(name) for name in ("read", "write", "grep")])
        self.messages = [said(self.dice, 0)]

    def next(self) -> dict[str, Any]:
        self.messages += [said(self.dice, len(self.messages) + more) for more in range(2)]
        marks = {len(self.messages) - 1, *([len(self.messages) - 3] if self.dice.random() < 0.5 else [])}
        made = [marked(each) if at in marks else each for at, each in enumerate(self.messages)]
        return self.value | {"messages": made}


def printed(value: Any, earlier: list[Prints], read: list[Prints], masked: str = "") -> Prints:
    body = exchange(value).body
    assert body is not None
    for slot in body.slots:
        slot.text = slot.text.replace(masked, "[X]") if masked else slot.text
    slots = body.slots if body.changed else ()
    found = prints(KEY, "anthropic", "anthropic", "m", body.value, slots, earlier, read)
    assert found is not None
    return found


def plain(it: Prints) -> Any:
    """All but how it is known again, which depends on how it was read."""
    return it._replace(heads={}), {section: head.length for section, head in it.heads.items()}


@pytest.mark.parametrize("masked", ["", "7"], ids=["as it came", "masked"])
@pytest.mark.parametrize("word", [False, True], ids=["looked at", "read by the provider"])
def test_what_was_known_before_changes_nothing(masked: str, word: bool) -> None:
    one, other = Turns(1), Turns(2)
    before: list[Prints] = []
    for _ in range(40):  # so often that runs are made one
        value = one.next()
        alone = printed(value, [], [], masked)
        found = printed(value, before, before if word else [], masked)
        assert plain(found) == plain(alone)
        assert sum(count for count, _ in found.heads["messages"].runs) == found.heads["messages"].length
        before = [printed(other.next(), [], []), found]


def test_runs_are_made_one_before_there_are_many() -> None:
    turns, before, most = Turns(3), list[Prints](), 0
    for _ in range(60):
        before = [printed(turns.next(), before, before)]
        most = max(most, len(before[0].heads["messages"].runs))
    assert 8 < most <= 16


def test_what_has_changed_in_the_known_part_is_seen_where_nobody_says_that_it_was_read() -> None:
    turns = Turns(4)
    for _ in range(5):
        value = turns.next()
    before = printed(value, [], [])
    for at in (0, 3, len(turns.messages) - 2):
        kept = turns.messages[at]
        turns.messages[at] = {"role": "user", "content": "Another."}
        changed = turns.next()
        del turns.messages[-2:]
        turns.messages[at] = kept
        found, alone = printed(changed, [before], []), printed(changed, [], [])
        assert plain(found) == plain(alone)
        assert found.parts["messages"][at] != before.parts["messages"][at]


def test_the_word_of_a_provider_is_taken_for_what_it_kept_and_no_more() -> None:
    """The system text alone was marked: of the messages nothing was kept."""
    values = []
    for text in ("Please look at the parser.", "Please look at the lexer."):
        value = claude(4)
        del value["messages"][-1]["content"][-1]["cache_control"]
        value["messages"][0]["content"][0]["text"] = text
        values.append(value)
    before = printed(values[0], [], [])
    assert plain(printed(values[1], [before], [before])) == plain(printed(values[1], [], []))


def test_nothing_that_was_kept_is_nothing_that_was_read() -> None:
    talk = Talk()
    changed = claude(6)
    changed["messages"][0]["content"][0]["text"] = "Please look at the lexer."
    talk.turn(claude(3), 0, 9_000)
    assert talk.turn(claude(4), 0, 0) == "not told by the request"
    talk.turn(changed, 0, 9_000)
    more = changed | {"messages": [*changed["messages"], {"role": "user", "content": "Go on."}]}
    assert talk.turn(more, 0, 9_000) == "not told by the request"


def test_very_many_parts_are_known_as_far_as_they_are_looked_at() -> None:
    value = claude(1) | {"messages": [{"role": "user", "content": f"x{n}"} for n in range(MOST_PARTS + 50)]}
    before = printed(value, [], [])
    assert before.heads["messages"].length == MOST_PARTS
    assert plain(printed(value, [before], [])) == plain(before)
