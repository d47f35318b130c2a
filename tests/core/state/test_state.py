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
