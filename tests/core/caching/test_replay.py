"""Answers that are given again: their head, their bytes, and the time that they take."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from tokenman_core.caching.entry import Entry
from tokenman_core.caching.replay import AT_ONCE, replayed
from tokenman_core.caching.shapes import Shown
from tokenman_core.usage import Usage
from tokenman_core.verdicts import Head

EVENT = b'data: {"n":%d}\n\n'
EVENTS = [EVENT % number for number in range(10, 20)]
STREAM = b"".join(EVENTS)
HEADERS = ((b"X-Request-Id", b"r1"), (b"Content-Type", b"text/kept"))


def entry(*pieces: tuple[float, int], stream: bool = True, seconds: float = 2.0) -> Entry:
    return Entry(200, HEADERS, stream, STREAM, pieces, seconds, "a", "m", "", 0.0, Usage(), Decimal(1))


class Given:
    """What came, and when: `slept` seconds after the head."""

    def __init__(self) -> None:
        self.slept = 0.0
        self.parts: list[Any] = []
        self.moments: list[float] = []

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept += seconds

    async def of(self, kept: Entry, shown: Shown, pace: Any) -> "Given":
        async for part in replayed(kept, shown, pace, self.sleep):
            self.parts.append(part)
            self.moments.append(round(self.slept, 6))
        return self

    @property
    def body(self) -> bytes:
        return b"".join(part for part in self.parts[1:])


def as_stream(body: bytes = STREAM) -> Shown:
    return Shown(b"text/event-stream", body, True, True)


async def test_the_head_has_the_type_of_the_shape_that_is_given_and_one_alone():
    given = await Given().of(entry(), as_stream(), "at_once")
    assert given.parts[0] == Head(200, ((b"X-Request-Id", b"r1"), (b"content-type", b"text/event-stream")))


async def test_at_once_nobody_waits_and_long_streams_come_in_pieces():
    body = EVENTS[0] * (AT_ONCE // len(EVENTS[0]) * 3)
    given = await Given().of(entry((1.0, 5)), as_stream(body), "at_once")
    assert given.body == body
    assert given.slept == 0
    assert max(len(part) for part in given.parts[1:]) == AT_ONCE


async def test_as_it_came_each_event_comes_when_that_much_of_the_original_had_come():
    size = len(EVENTS[0])
    given = await Given().of(entry((0.5, 3 * size), (1.5, 7 * size)), as_stream(), "original")
    assert given.parts[1:] == EVENTS
    assert given.moments[1:] == [0.5] * 3 + [1.5] * 7


async def test_an_event_that_came_in_two_pieces_comes_with_the_second():
    size = len(EVENTS[0])
    given = await Given().of(entry((0.5, size + 3), (1.0, 9 * size - 3)), as_stream(), "original")
    assert given.moments[1:] == [0.5] + [1.0] * 9


@pytest.mark.parametrize("factor", [2, 0.5], ids=["more bytes", "fewer bytes"])
async def test_in_another_shape_it_takes_as_long(factor: float):
    size = int(len(STREAM) // factor)
    given = await Given().of(entry((0.5, size // 2), (2.0, size - size // 2)), as_stream(), "original")
    assert given.body == STREAM
    assert given.slept == 2.0
    assert given.moments[1] == 0.5
    assert all(before <= after for before, after in pairwise(given.moments))


async def test_what_was_kept_whole_and_is_asked_for_as_a_stream_comes_after_the_time_that_it_took():
    given = await Given().of(entry(stream=False), as_stream(), "original")
    assert given.moments[1:] == [2.0] * 10


@pytest.mark.parametrize(("pace", "seconds"), [("original", 2.0), ("at_once", 0.0)])
async def test_a_whole_answer_takes_its_time_only_where_that_is_wanted(pace: Any, seconds: float):
    given = await Given().of(entry(stream=False), Shown(b"application/json", b"{}", False, True), pace)
    assert given.body == b"{}"
    assert given.slept == seconds


async def test_an_answer_that_took_no_time_takes_none():
    given = await Given().of(entry((0.0, len(STREAM)), seconds=0.0), as_stream(), "original")
    assert (given.slept, given.body) == (0, STREAM)
