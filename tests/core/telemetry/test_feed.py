import asyncio

import pytest

from tests.core.ledger.calls import call, name
from tokenman_core.ledger.row import details, row_of
from tokenman_core.telemetry.feed import Feed, Told, TooMany


async def read(reader, count):
    async with asyncio.timeout(5):
        return [await anext(reader) for _ in range(count)]


def ids(told):
    return [each.id or each.data for each in told]


async def test_a_reader_gets_what_ends_from_now_on_as_the_api_has_it():
    feed = Feed()
    feed.ended(call(1))
    reader = feed.subscribe()
    feed.ended(call(2))
    feed.ended(call(3))
    told = await read(reader, 2)
    assert told[0] == Told("call", name(2), details(row_of(call(2))))
    assert ids(told) == [name(2), name(3)]


async def test_a_reader_that_waits_is_woken():
    feed = Feed()
    waiting = asyncio.ensure_future(read(feed.subscribe(), 1))
    await asyncio.sleep(0)
    feed.ended(call(7))
    assert ids(await waiting) == [name(7)]


async def test_who_comes_back_gets_what_was_missed():
    feed = Feed()
    for number in range(1, 6):
        feed.ended(call(number))
    reader = feed.subscribe(name(3))
    feed.ended(call(6))
    assert ids(await read(reader, 3)) == [name(4), name(5), name(6)]


async def test_who_has_been_away_for_too_long_is_told_that_rows_are_lost():
    feed = Feed(kept=2)
    for number in range(1, 6):
        feed.ended(call(number))
    assert ids(await read(feed.subscribe(name(1)), 3)) == [{"lost": None}, name(4), name(5)]


async def test_who_reads_slowly_loses_the_oldest_rows_and_is_told_how_many():
    feed = Feed(room=3)
    slow, quick = feed.subscribe(), feed.subscribe()
    for number in range(1, 8):
        feed.ended(call(number))
        assert ids(await read(quick, 1)) == [name(number)]
    assert ids(await read(slow, 4)) == [{"lost": 4}, name(5), name(6), name(7)]


async def test_places_are_bounded_and_given_back():
    feed = Feed(places=2)
    first, _ = feed.subscribe(), feed.subscribe()
    with pytest.raises(TooMany):
        feed.subscribe()
    first.close()
    feed.subscribe()
    assert feed.readers == 2


async def test_at_the_end_every_reader_ends_at_once_with_or_without_rows():
    feed = Feed()
    idle, behind = feed.subscribe(), feed.subscribe()
    waiting = asyncio.ensure_future(anext(idle, "over"))
    await asyncio.sleep(0)
    for number in range(5):
        behind.put(call(number))
    feed.close()
    async with asyncio.timeout(5):
        assert await waiting == "over"
        assert [told async for told in behind] == []
        assert [told async for told in feed.subscribe()] == []
    assert feed.readers == 0
