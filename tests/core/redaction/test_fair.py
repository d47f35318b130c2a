"""The queue in which callers take turns."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenman_core.redaction.fair import FairQueue, Full


async def drained(queue: FairQueue[str]) -> list[str]:
    return [await queue.get() for _ in range(len(queue))]


async def test_callers_take_turns_and_each_ones_items_keep_their_order() -> None:
    queue: FairQueue[str] = FairQueue(10)
    for item in ("a1", "a2", "a3", "b1", "c1", "b2"):
        assert queue.put(item[0], item) is None
    assert await drained(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_who_comes_again_stands_behind_those_that_wait() -> None:
    queue: FairQueue[str] = FairQueue(10)
    queue.put("a", "a1")
    queue.put("a", "a2")
    queue.put("b", "b1")
    assert await queue.get() == "a1"
    queue.put("c", "c1")
    assert await drained(queue) == ["b1", "a2", "c1"]


async def test_a_flood_gives_way_to_others_and_refuses_itself() -> None:
    queue: FairQueue[str] = FairQueue(3)
    for number in range(3):
        queue.put("a", f"a{number}")
    with pytest.raises(Full):
        queue.put("a", "a3")
    assert queue.put("b", "b0") == "a2"
    with pytest.raises(Full):  # a has two and b one: b would only change places with a
        queue.put("b", "b1")
    with pytest.raises(Full):
        queue.put("a", "a3")
    assert queue.put("c", "c0") == "a1"
    assert await drained(queue) == ["a0", "b0", "c0"]


async def test_one_that_waits_gets_what_comes() -> None:
    queue: FairQueue[str] = FairQueue(1)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put("a", "a1")
    assert await waiting == "a1"
    assert len(queue) == 0


async def test_two_that_wait_get_one_each_and_one_that_is_cancelled_takes_nothing() -> None:
    queue: FairQueue[str] = FairQueue(5)
    first, second, third = (asyncio.create_task(queue.get()) for _ in range(3))
    await asyncio.sleep(0)
    first.cancel()
    queue.put("a", "a1")
    queue.put("a", "a2")
    assert {await second, await third} == {"a1", "a2"}


async def test_what_is_taken_back_does_not_come() -> None:
    queue: FairQueue[str] = FairQueue(5)
    queue.put("a", "a1")
    queue.put("a", "a2")
    queue.put("b", "b1")
    queue.remove("a", "a1")
    queue.remove("b", "b1")
    queue.remove("b", "b1")
    queue.remove("nobody", "x")
    assert len(queue) == 1
    assert await drained(queue) == ["a2"]


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=60), st.integers(1, 8))
async def test_it_never_holds_more_than_its_limit_and_loses_nothing_unsaid(
    steps: list[tuple[str, bool]], limit: int
) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(limit)
    inside: Counter[tuple[str, int]] = Counter()
    for number, (caller, takes) in enumerate(steps):
        if takes and len(queue):
            inside[await queue.get()] -= 1
            continue
        try:
            gone = queue.put(caller, (caller, number))
        except Full:
            assert len(queue) == limit
            continue
        inside[caller, number] += 1
        if gone is not None:
            inside[gone] -= 1
            assert gone[0] != caller
        assert len(queue) == sum(inside.values()) <= limit
    left = [await queue.get() for _ in range(len(queue))]
    assert Counter(left) == +inside
