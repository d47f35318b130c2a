"""Answers of a few bytes that expand to very many: they take neither the memory nor the loop."""

import asyncio
import tracemalloc
from typing import Any

import brotli
import pytest

from tests.core.scripted import SSE, STREAM, STREAMED, World, call
from tokenman_core.sse import Event, SseParser
from tokenman_core.verdicts import Headers

BR: Headers = (*SSE, (b"content-encoding", b"br"))
SIZE = 12 << 20


class Listens:
    """The stream is unpacked for it."""

    def llm_event(self, exchange: Any, event: Event) -> None:
        pass


async def carried(world: World, made: Any) -> tuple[int, int, int]:
    """How many bytes came out, how often others had their turn meanwhile, and the most memory it took."""
    turns, size, ended = 0, 0, False

    async def others() -> None:
        nonlocal turns
        while not ended:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    tracemalloc.start()
    async for part in world.conductor.answer(made):
        size += len(part) if isinstance(part, bytes) else 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    ended = True
    await beside
    await world.finish(made)
    return size, turns, peak


@pytest.mark.parametrize("filling", [b": %s\n\n" % (b"x" * 5000), b"\n"], ids=["comments", "blank lines"])
async def test_a_stream_that_swells_takes_turns_and_little_memory(filling: bytes) -> None:
    flood = filling * (SIZE // len(filling))
    packer = brotli.Compressor(quality=1)
    packed = [packer.process(STREAM) + packer.flush(), packer.process(flood) + packer.finish()]
    assert len(packed[1]) < 20_000
    world = World({"a": [(200, BR, packed)]}, Listens(), routes=())
    size, turns, peak = await carried(world, call(STREAMED))
    assert size == len(flood) + len(STREAM)
    assert turns > SIZE // (64 << 10)
    assert peak < SIZE // 3


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("cut", [1000, 777, 333])
def test_a_flood_of_blank_lines_is_no_flood_of_events(end: bytes, cut: int) -> None:
    stream = b"data: 1" + end * 60_000 + b"data: 2" + end * 2
    parser, events = SseParser(), list[Event]()
    for start in range(0, len(stream), cut):
        events += parser.feed(stream[start : start + cut])
    events += parser.finish()
    assert b"".join(event.raw for event in events) == stream
    assert [event.data for event in events if event.data] == [b"1", b"2"]
    assert len(events) < 4 * len(stream) // cut
