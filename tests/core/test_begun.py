"""A coroutine that was begun goes on as if it had been awaited in one."""

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any

import pytest

from tokenman_core.begun import Begun


async def at_once(value: int) -> int:
    return value


async def later(log: list[str], waits: int) -> str:
    log.append("begun")
    try:
        for _ in range(waits):
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        log.append("cancelled")
        raise
    finally:
        log.append("ended")
    return "done"


def test_what_waits_for_nothing_is_done_as_it_is_begun() -> None:
    begun = Begun(at_once(7))
    assert (begun.done, begun.result) == (True, 7)


def test_what_fails_at_once_raises_at_once() -> None:
    async def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Begun(fails())


@pytest.mark.parametrize("waits", [1, 2, 5])
async def test_what_waits_goes_on_when_it_is_awaited(waits: int) -> None:
    log: list[str] = []
    begun = Begun(later(log, waits))
    assert (begun.done, log) == (False, ["begun"])
    assert await begun == "done"
    assert log == ["begun", "ended"]


async def test_what_comes_of_a_future_comes_of_it_and_so_does_its_error() -> None:
    loop = asyncio.get_running_loop()

    async def takes(future: "asyncio.Future[int]") -> int:
        return await future + 1

    good, bad = loop.create_future(), loop.create_future()
    loop.call_soon(good.set_result, 1)
    assert await Begun(takes(good)) == 2
    loop.call_soon(bad.set_exception, KeyError("x"))
    with pytest.raises(KeyError):
        await Begun(takes(bad))


async def test_a_deadline_around_what_was_begun_cancels_it() -> None:
    log: list[str] = []

    async def for_ever() -> None:
        await later(log, 10_000_000)

    begun = Begun(for_ever())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await begun
    assert log == ["begun", "cancelled", "ended"]


async def test_what_swallows_its_cancellation_goes_on_to_its_result() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return "went on"

    async def run() -> str:
        return await Begun(stubborn())

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == "went on"


async def test_what_is_no_coroutine_can_be_begun_too() -> None:
    class Odd(Awaitable[int]):
        def __await__(self) -> Generator[Any, Any, int]:
            yield from asyncio.sleep(0).__await__()
            return 3

    assert await Begun(Odd()) == 3


def test_what_is_left_is_ended_with_whoever_waits_for_it() -> None:
    log: list[str] = []

    async def run() -> None:
        await Begun(later(log, 3))

    waiting = run()
    waiting.send(None)
    waiting.close()
    assert log == ["begun", "ended"]
