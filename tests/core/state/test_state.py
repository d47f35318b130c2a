"""The way to the store: a thread's own, bounded, and mended by itself."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tokenman_core.clock import SystemClock
from tokenman_core.state import Sqlite, State, Unavailable
from tokenman_core.state import state as module


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.01)


def state_of(path: Path, opens: Callable[[], Any] | None = None) -> State:
    return State(opens or (lambda: Sqlite(path)), "the state", SystemClock())


async def works(state: State) -> bool:
    try:
        await state.ask(lambda store: store.put("k", "a", b"x", until=9e9, over=None, now=0.0))
    except Unavailable:
        return False
    return True


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not await holds():  # noqa: ASYNC110  # what is waited for is on another thread
            await asyncio.sleep(0.01)


async def test_it_is_asked_on_a_thread_of_its_own(tmp_path: Path) -> None:
    state = state_of(tmp_path / "state.db")
    await state.start()
    assert await state.ask(lambda store: threading.current_thread().name) == "state"
    assert state.trouble is None
    await state.aclose()


async def test_before_the_start_and_after_the_end_it_cannot_be_asked(tmp_path: Path) -> None:
    state = state_of(tmp_path / "state.db")
    assert not await works(state)
    await state.start()
    assert await works(state)
    await state.aclose()
    await state.aclose()
    assert not await works(state)


async def test_what_was_asked_before_the_end_is_answered(tmp_path: Path) -> None:
    state = state_of(tmp_path / "state.db")
    await state.start()
    asked = [asyncio.create_task(works(state)) for _ in range(50)]
    await asyncio.sleep(0)
    await state.aclose()
    assert all(await asyncio.gather(*asked))


async def test_a_damaged_file_is_told_and_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"no database" * 500)
    state = state_of(path)
    await state.start()
    assert not await works(state)
    assert state.trouble is not None
    assert "cannot be used" in state.trouble
    for _ in range(5):
        await works(state)
        await asyncio.sleep(0.02)
    assert len([one for one in caplog.records if "cannot be used" in one.getMessage()]) == 1
    path.unlink()
    await until(lambda: works(state))
    assert state.trouble is None
    await state.aclose()


async def test_a_locked_file_is_given_up_in_time_and_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.db"
    state = state_of(path)
    await state.start()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("begin immediate")
    async with asyncio.timeout(15):
        assert not await works(state)
    holder.execute("rollback")
    holder.close()
    await until(lambda: works(state))
    await state.aclose()


async def test_a_file_that_was_put_in_its_place_is_used_from_then_on(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    state = state_of(path)
    await state.start()
    assert await works(state)
    path.unlink()
    assert await works(state)
    assert path.exists()
    await state.aclose()


async def test_who_asks_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.05)
    state, held = state_of(tmp_path / "state.db"), threading.Event()
    await state.start()
    with pytest.raises(Unavailable):
        await state.ask(lambda store: held.wait(10))
    held.set()
    await until(lambda: works(state))
    await state.aclose()


async def test_what_waits_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 3)
    state, held = state_of(tmp_path / "state.db"), threading.Event()
    await state.start()
    asked = [asyncio.create_task(state.ask(lambda store: held.wait(10)))]
    await asyncio.sleep(0.05)
    asked += [asyncio.create_task(state.ask(lambda store: True)) for _ in range(10)]
    await asyncio.sleep(0.05)
    held.set()
    said = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in said].count(Unavailable) == 7
    await state.aclose()


class Turned:
    def __init__(self) -> None:
        self.moment = 0.0

    def monotonic(self) -> float:
        return self.moment

    def now(self) -> float:
        return 1e9 + self.moment


def where(store: object) -> str:
    return threading.current_thread().name


async def test_a_brief_question_is_asked_where_it_comes_up(tmp_path: Path) -> None:
    state = state_of(tmp_path / "state.db")
    with pytest.raises(Unavailable):
        await state.ask(where, brief=True)
    await state.start()
    assert await state.ask(where, brief=True) == threading.current_thread().name
    await state.aclose()
    with pytest.raises(Unavailable):
        await state.ask(where, brief=True)


async def test_a_brief_question_overtakes_none_that_waits(tmp_path: Path) -> None:
    state, held = state_of(tmp_path / "state.db"), threading.Event()
    await state.start()
    order = list[str]()

    def waits(store: object) -> None:
        held.wait(20)
        order.append("first")

    first = asyncio.create_task(state.ask(waits))
    await asyncio.sleep(0)
    second = asyncio.create_task(state.ask(lambda store: order.append(where(store)), brief=True))
    await asyncio.sleep(0)
    assert order == []
    held.set()
    await asyncio.gather(first, second)
    assert order == ["first", "state"]

    async def alone() -> bool:
        return await state.ask(where, brief=True) != "state"

    await until(alone)
    await state.aclose()


async def test_while_somebody_else_writes_a_brief_question_waits_on_the_thread(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    state, asked = state_of(path), list[str]()
    await state.start()
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("begin immediate")

    def put(store: Any) -> int:
        asked.append(where(store))
        if asked[-1] == "state":
            holder.execute("rollback")
        return int(store.put("k", "a", b"x", until=9e9, over=None, now=0.0).version)

    assert await state.ask(put, brief=True) == 1
    assert asked == [threading.current_thread().name, "state"]
    holder.close()
    await state.aclose()


async def test_a_store_that_was_slow_is_asked_on_the_thread_for_a_while(tmp_path: Path) -> None:
    clock = Turned()
    state = State(lambda: Sqlite(tmp_path / "state.db"), "the state", clock)
    await state.start()

    def slow(store: object) -> None:
        clock.moment += 0.5

    await state.ask(slow, brief=True)
    assert await state.ask(where, brief=True) == "state"
    clock.moment += 2.0
    assert await state.ask(where, brief=True) != "state"
    await state.aclose()


async def test_what_fails_in_a_brief_question_is_told_and_mended_by_the_thread(tmp_path: Path) -> None:
    state, asked = state_of(tmp_path / "state.db"), list[str]()
    await state.start()

    def fails(store: object) -> None:
        asked.append(where(store))
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(Unavailable):
        await state.ask(fails, brief=True)
    assert asked[1:] == ["state"]
    assert state.trouble is not None
    await until(lambda: works(state))
    assert state.trouble is None
    await state.aclose()


async def test_a_brief_question_finds_the_file_that_was_put_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    state = state_of(path)
    await state.start()
    path.unlink()
    await state.ask(lambda store: store.put("k", "a", b"x", until=9e9, over=None, now=0.0), brief=True)
    assert path.exists()
    await state.aclose()


async def test_it_is_tidied_up_in_between_though_nobody_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TIDY_EVERY", 50)
    path, clock = tmp_path / "state.db", Turned()
    state = State(lambda: Sqlite(path), "the state", clock)
    await state.start()
    for number in range(60):
        await state.ask(lambda store, number=number: store.counts.release(f"{number}", now=0.0), brief=True)  # type: ignore[misc]

    async def fewer_than(most: int) -> bool:
        return rows(path, "ended") < most

    await until(lambda: fewer_than(50))
    clock.moment += 61.0
    await state.ask(where, brief=True)
    await until(lambda: fewer_than(1))
    await state.aclose()


def rows(path: Path, table: str) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute(f"select count(*) from {table}").fetchone()[0])
    finally:
        connection.close()
