"""One call that several follow: each gets all of it, and what becomes of it when some leave, it breaks, or grows too large."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tokenman_core.caching.entry import Entry
from tokenman_core.caching.flights import AHEAD, ALONE, LEASE_S, STREAM_WAITS_S, Flight, Flights, StoreLeases
from tokenman_core.clock import ManualClock
from tokenman_core.net import UpstreamError
from tokenman_core.outward import Pieces
from tokenman_core.state import Sqlite, State, Unavailable
from tokenman_core.usage import Usage
from tokenman_core.verdicts import Head, Refuse

HEAD = Head(200, ((b"content-type", b"text/event-stream"),))
KEY = b"k" * 32
ENTRY = Entry(200, (), False, b"x", (), 0.1, "a", "m", "", 0.0, Usage(), None)


class Source:
    """A provider that gives what it is told to, and notes whether it was closed early."""

    def __init__(self, *parts: Any) -> None:
        self.parts, self.given, self.closed = parts, 0, False
        self.more = asyncio.Event()

    async def __call__(self) -> Pieces:
        try:
            for part in self.parts:
                if part is WAIT:
                    await self.more.wait()
                elif isinstance(part, Exception):
                    raise part
                else:
                    yield part
                    self.given += 1
        finally:
            self.closed = True


WAIT = object()


def flight(most: int = 1 << 20, fit: Callable[[], bool] = lambda: True) -> Flight:
    return Flight(KEY, "like", most, ManualClock(), fit)


async def all_of(it: Flight) -> list[Any]:
    return [part async for part in it.follow()]


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_late_comers_get_the_part_so_far_and_then_follow():
    source, it = Source(HEAD, b"one", WAIT, b"two"), flight()
    it.start(source)
    early = asyncio.create_task(all_of(it))
    await turns()
    late = asyncio.create_task(all_of(it))
    await turns()
    assert not early.done()
    assert not late.done()
    source.more.set()
    assert await early == await late == [HEAD, b"one", b"two"]
    assert it.whole
    assert await all_of(it) == [HEAD, b"one", b"two"], "also once it is over"
    assert len(it.moments) == 3


async def test_the_others_go_on_when_the_first_leaves():
    source, it = Source(HEAD, b"one", WAIT, b"two"), flight()
    it.start(source)
    first, other = asyncio.create_task(all_of(it)), asyncio.create_task(all_of(it))
    await turns()
    first.cancel()
    await turns()
    assert not source.closed
    source.more.set()
    assert await other == [HEAD, b"one", b"two"]


async def test_it_ends_when_the_last_leaves():
    source, it = Source(HEAD, b"one", WAIT, b"two"), flight()
    it.start(source)
    tasks = [asyncio.create_task(all_of(it)) for _ in range(3)]
    await turns()
    for task in tasks:
        task.cancel()
    await it.over()
    assert source.closed
    assert isinstance(it.error, UpstreamError)
    assert not it.open


@pytest.mark.parametrize(
    "error", [UpstreamError("reset", "cut"), RuntimeError("a fault of ours")], ids=["cut", "fault"]
)
async def test_all_are_told_how_it_broke(error: Exception):
    source, it = Source(HEAD, b"one", WAIT, error), flight()
    it.start(source)
    got: list[list[Any]] = [[], []]

    async def read(into: list[Any]) -> None:
        async for part in it.follow():
            into.append(part)

    tasks = [asyncio.create_task(read(each)) for each in got]
    await turns()
    source.more.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert found == [error, error]
    assert got == [[HEAD, b"one"]] * 2
    assert not it.open


@pytest.mark.parametrize("first", [Head(500), Head(429), Head(201), Refuse(503, "breaker", "no")], ids=str)
async def test_nobody_joins_what_is_no_answer(first: Any):
    it = flight()
    it.start(Source(first, b"x"))
    assert await all_of(it) == [first, b"x"]
    assert not it.open


async def test_nobody_joins_what_answers_something_else():
    it = flight(fit=lambda: False)
    it.start(Source(HEAD, b"x"))
    assert await all_of(it) == [HEAD, b"x"]
    assert it.private
    assert not it.open


async def test_the_provider_is_not_far_ahead_of_whoever_reads_fastest():
    piece = bytes(64 << 10)
    source, it = Source(HEAD, *[piece] * 40), flight(most=64 << 20)
    it.start(source)
    slow, fast = it.follow(), it.follow()
    assert await anext(slow) == await anext(fast) == HEAD
    await turns()
    assert source.given * len(piece) <= AHEAD + 2 * len(piece)
    for _ in range(20):
        await anext(fast)
    await turns()
    assert 20 <= source.given <= 20 + AHEAD // len(piece) + 2, "one that reads nothing holds nobody up"
    await fast.aclose()
    rest = [part async for part in slow]
    assert len(rest) == 40


async def test_what_is_too_large_to_be_kept_is_kept_only_as_far_as_somebody_has_not_read_it():
    piece = bytes(64 << 10)
    source, it = Source(HEAD, *[piece] * 200), flight(most=1 << 20)
    it.start(source)
    slow, fast = it.follow(), it.follow()
    read = asyncio.create_task(_count(fast))
    for _ in range(150):
        await anext(slow)
        await turns(3)
    assert not it.whole
    assert not it.open
    assert sum(len(part) for part in it.parts if isinstance(part, bytes)) <= 2 * AHEAD + (1 << 20)
    assert len(it._sizes) == len(it.moments) + 1 == len(it.parts) + 1
    assert await _count(slow) == 51
    assert await read == 201


async def _count(parts: AsyncIterator[Any]) -> int:
    return len([part async for part in parts])


async def test_calls_find_the_flight_of_such_calls_until_it_is_settled():
    flights = Flights(ManualClock())
    it = flights.begin(KEY, "like", 1000, lambda: True)
    assert flights.of(KEY) is it
    assert flights.of(b"other") is None
    it.start(Source(HEAD, b"x"))
    assert await all_of(it) == [HEAD, b"x"]
    assert flights.of(KEY) is None, "it is not said yet whether it is an answer to others"
    it.entry = ENTRY
    assert flights.of(KEY) is it, "it is being put away"
    flights.end(it)
    assert flights.of(KEY) is None
    assert it.settled.is_set()
    assert len(flights) == 0


async def test_a_failed_flight_is_in_nobodys_way():
    flights = Flights(ManualClock())
    failed = flights.begin(KEY, "like", 1000, lambda: True)
    failed.start(Source(Head(500)))
    await all_of(failed)
    assert flights.of(KEY) is None
    another = flights.begin(KEY, "like", 1000, lambda: True)
    flights.end(failed)
    assert flights.of(KEY) is another


async def test_what_was_never_begun_is_given_up():
    flights = Flights(ManualClock())
    it = flights.begin(KEY, "like", 1000, lambda: True)
    waits = asyncio.create_task(all_of(it))
    await turns()
    flights.end(it)
    with pytest.raises(UpstreamError):
        await waits


# -- processes that share a store --


class Sleeps:
    """Each sleep lets a second of the clock pass, and does what it is told to."""

    def __init__(self, clock: ManualClock, does: Sequence[Callable[[], Any]] = ()) -> None:
        self.clock, self.does, self.slept = clock, list(does), list[float]()

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)
        if self.does and (did := self.does.pop(0)()) is not None:
            await did


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[tuple[ManualClock, list[Flights], list[StoreLeases]]]:
    clock = ManualClock(1_000_000.0)
    states = [State(lambda: Sqlite(tmp_path / "state.db"), "state", ManualClock()) for _ in range(2)]
    leases = []
    for state in states:
        await state.start()
        leases.append(StoreLeases(state.ask, clock))
    yield clock, [Flights(clock, each, Sleeps(clock)) for each in leases], leases
    for state in states:
        async with aclosing(state):
            pass


async def nothing() -> None:
    return None


async def test_one_process_makes_it_and_the_other_finds_it(two):
    _, (here, there), _ = two
    lease, found = await here.first(KEY, nothing)
    assert lease
    assert found is None
    kept: list[str | None] = [None, None, "the answer"]

    async def find() -> str | None:
        return kept.pop(0)

    assert await there.first(KEY, find) == ("", "the answer")


async def test_the_other_makes_it_itself_once_nobody_is_at_it(two):
    clock, (here, there), (leases, others) = two
    lease, _ = await here.first(KEY, nothing)

    async def freed() -> None:
        await leases._free(lease)

    there._sleep = Sleeps(clock, [lambda: None, freed])
    assert await there.first(KEY, nothing) == ("", None)
    assert len(there._sleep.slept) == 2
    await asyncio.gather(*others._tasks)
    assert (await here.first(b"another" * 4, nothing))[0]
    lease, _ = await Flights(clock, leases, Sleeps(clock)).first(KEY, nothing)
    assert lease, "who waited in vain keeps nobody else waiting"


async def test_what_was_made_at_the_last_moment_is_found(two):
    clock, (here, there), (leases, _) = two
    lease, _ = await here.first(KEY, nothing)
    there._sleep = Sleeps(clock, [lambda: leases._free(lease)])
    kept = [None, "the answer"]

    async def find() -> str | None:
        return kept.pop(0)

    assert await there.first(KEY, find) == ("", "the answer")


async def test_a_process_that_died_is_waited_for_no_longer_than_its_lease(two):
    clock, (here, there), _ = two
    await here.first(KEY, nothing)  # and is never heard of again
    begun = clock.now()
    assert await there.first(KEY, nothing) == ("", None)
    assert LEASE_S - 1 <= clock.now() - begun <= LEASE_S + 1


async def test_a_slow_call_of_another_process_is_waited_for_as_long_as_it_is_under_way(two):
    clock, (here, there), (leases, _) = two
    lease, _ = await here.first(KEY, nothing)
    there._sleep = Sleeps(clock, [*[leases.keep] * 1000, lambda: leases._free(lease)])
    begun = clock.now()
    assert await there.first(KEY, nothing) == ("", None)
    assert 450 < clock.now() - begun < 510


async def test_who_wants_a_stream_waits_for_a_lease_that_is_kept_for_some_seconds(two):
    clock, (here, there), (leases, _) = two
    await here.first(KEY, nothing)
    there._sleep = Sleeps(clock, [leases.keep] * 100)
    begun = clock.now()
    assert await there.first(KEY, nothing, STREAM_WAITS_S) == ("", None)
    assert STREAM_WAITS_S <= clock.now() - begun < STREAM_WAITS_S + 1


async def test_other_keys_are_not_waited_for(two):
    _, (here, there), _ = two
    assert (await here.first(KEY, nothing))[0]
    assert (await there.first(b"o" * 32, nothing))[0]


async def test_a_store_that_cannot_be_asked_holds_nobody_up():
    async def ask(question: Any) -> Any:
        raise Unavailable

    clock = ManualClock()
    leases = StoreLeases(ask, clock)
    assert await Flights(clock, leases).first(KEY, nothing) == (ALONE, None)
    await leases.keep()
    leases.free(ALONE)


async def test_a_store_that_could_not_be_asked_is_left_alone_for_some_seconds():
    asked = 0

    async def ask(question: Any) -> Any:
        nonlocal asked
        asked += 1
        raise Unavailable

    clock = ManualClock()
    leases = StoreLeases(ask, clock)
    for _ in range(5):
        assert await leases.take(KEY) == ALONE
    assert asked == 1
    clock.advance(6)
    assert await leases.take(KEY) == ALONE
    assert asked == 2


async def test_a_call_that_may_not_follow_one_of_its_own_process_does_not_wait_for_it(two):
    clock, (here, there), (leases, _) = two
    lease, _ = await here.first(KEY, nothing)
    begun = clock.now()
    assert await here.first(KEY, nothing) == (ALONE, None)
    assert clock.now() == begun
    here._leases.free(ALONE)
    assert leases._running, "the first one has it still"
    assert not await leases_of(there).take(KEY)
    leases.free(lease)
    await turns(200)
    await asyncio.gather(*leases._tasks)
    assert await here.first(KEY, nothing) != (ALONE, None)


def leases_of(flights: Flights) -> StoreLeases:
    assert isinstance(flights._leases, StoreLeases)
    return flights._leases


async def test_who_wants_it_made_in_any_case_waits_for_no_other_process(two):
    clock, (here, there), _ = two
    await here.first(KEY, nothing)
    begun = clock.now()
    assert await there.first(KEY, None) == ("", None)
    assert clock.now() == begun


@pytest.mark.parametrize("when", ["while it asks for a lease", "while it looks what was made meanwhile"])
async def test_who_leaves_before_the_call_is_made_leaves_no_lease_behind(two, when: str):
    clock, (here, there), (leases, others) = two
    if when == "while it asks for a lease":
        task = asyncio.create_task(here.first(KEY, nothing))
        await asyncio.sleep(0)
    else:
        lease, _ = await there.first(KEY, nothing)
        looks, looked = asyncio.Event(), [0]

        async def look() -> None:
            looked[0] += 1
            if looked[0] == 2:  # with a lease
                looks.set()
                await asyncio.Event().wait()

        async def freed() -> None:
            await others._free(lease)

        here._sleep = Sleeps(clock, [freed])
        task = asyncio.create_task(here.first(KEY, look))
        await asyncio.wait({task, asyncio.ensure_future(looks.wait())}, timeout=10, return_when="FIRST_COMPLETED")
    task.cancel()
    await asyncio.wait({task})
    assert not leases._running
    assert not leases._keys
    await asyncio.gather(*leases._tasks)
    others._running.clear()
    others._keys.clear()
    lease, _ = await there.first(KEY, nothing)
    assert lease not in ("", ALONE)


async def test_a_store_that_fails_while_a_lease_is_held_is_asked_again_the_next_time():
    asked: list[Any] = []

    async def ask(question: Any) -> Any:
        asked.append(question)
        if len(asked) > 1:
            raise Unavailable
        return "leased", None

    leases = StoreLeases(ask, ManualClock())
    assert await leases.take(KEY) not in ("", ALONE)
    await leases.keep()
    await leases.keep()
    assert len(asked) == 3


async def test_beyond_so_many_flights_calls_go_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tokenman_core.caching.flights.MOST", 1)
    flights = Flights(ManualClock())
    first, second = (flights.begin(key, None, 1, lambda: True) for key in (KEY, b"o" * 32))
    assert flights.of(KEY) is first
    assert flights.of(b"o" * 32) is None
    flights.end(second)
    assert flights.of(KEY) is first
