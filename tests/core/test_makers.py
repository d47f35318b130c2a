"""Who made what is remembered under its caller, by keyed hash, and found again after a restart."""

import asyncio
from pathlib import Path

import pytest

from tokenman_core import bound_store
from tokenman_core.bound_store import KEPT_S, BoundStore
from tokenman_core.clock import ManualClock
from tokenman_core.makers import MARK, Maker, Makers
from tokenman_core.state import Sqlite, State
from tokenman_core.verdicts import Candidate

A, B = Candidate("a", "m"), Candidate("b", "other")
PLAN = (Candidate("a", "x"), A, B)


def test_only_who_was_given_it_finds_its_maker() -> None:
    makers = Makers(b"key")
    makers.answered("who", "", ["resp_1", "resp_2"], A)
    makers.answered("who", "", ["resp_3"], B)
    assert makers.among(made := makers.maker("who", ["nothing", "resp_2", "resp_3"]) or Maker("", b""), PLAN) is A
    assert made.provider == "a"
    assert makers.maker("somebody", ["resp_2"]) is None
    assert makers.among(Maker("gone", made.model), PLAN) is None
    assert makers.among(made, (Candidate("a", "x"), B)) is None


def test_who_answered_a_session_last_is_known() -> None:
    makers = Makers(b"key")
    makers.answered("who", "s", [], A)
    makers.answered("who", "s", [], B)
    makers.answered("who", "", [], A)
    assert makers.among(makers.server("who", "s") or Maker("", b""), PLAN) is B
    assert makers.server("somebody", "s") is None
    assert makers.server("who", "") is None


def test_another_installations_hashes_are_others() -> None:
    found: list[bytes] = []
    for key in (b"one", b"other"):
        makers = Makers(key)
        makers.keep = lambda made: found.extend(made)
        makers.answered("who", "", ["resp_1"], A)
    assert found[0] != found[1]
    assert {len(each) for each in found} == {MARK}


# -- on disk --


async def opened(path: Path, key: bytes = b"key", clock: ManualClock | None = None) -> tuple[State, Makers, BoundStore]:
    clock = clock or ManualClock()
    state, makers = State(lambda: Sqlite(path), "the state", clock), Makers(key)
    await state.start()
    store = BoundStore(state, makers, clock)
    await store.start()
    return state, makers, store


async def closed(state: State, store: BoundStore) -> None:
    await store.aclose()
    await state.aclose()


async def test_it_is_known_after_a_start_and_by_other_processes(tmp_path: Path) -> None:
    state, makers, store = await opened(tmp_path / "state.db")
    other_state, others, other_store = await opened(tmp_path / "state.db")
    makers.answered("who", "", ["resp_1"], A)
    await store.step()
    await other_store.step()
    assert others.maker("who", ["resp_1"]) == makers.maker("who", ["resp_1"])
    makers.answered("who", "", ["resp_2"], B)
    await closed(state, store)
    await closed(other_state, other_store)
    state, makers, store = await opened(tmp_path / "state.db")
    assert makers.among(makers.maker("who", ["resp_1"]) or Maker("", b""), PLAN) is A
    assert makers.among(makers.maker("who", ["resp_2"]) or Maker("", b""), PLAN) is B
    await closed(state, store)


def written_in(folder: Path, value: bytes) -> bool:
    return any(value in each.read_bytes() for each in folder.iterdir())


async def test_neither_ids_nor_callers_nor_models_are_written(tmp_path: Path) -> None:
    state, makers, store = await opened(tmp_path / "state.db")
    makers.answered("a-credential", "a-session", ["resp_planted"], Candidate("a", "jane.doe@corp-mail.com"))
    await store.step()
    assert not [one for one in (b"credential", b"session", b"planted", b"jane.doe") if written_in(tmp_path, one)]
    await closed(state, store)


async def test_it_is_forgotten_after_a_month(tmp_path: Path) -> None:
    state, makers, store = await opened(tmp_path / "state.db")
    makers.answered("who", "", ["resp_1"], A)
    await closed(state, store)
    later = ManualClock()
    later.advance(KEPT_S)
    state, makers, store = await opened(tmp_path / "state.db", clock=later)
    assert makers.maker("who", ["resp_1"]) is None
    await closed(state, store)


async def test_what_waits_for_a_store_that_is_down_is_bounded_and_written_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bound_store, "_MOST_WAITING", 5)
    path = tmp_path / "state.db"
    path.write_bytes(b"no database" * 500)
    clock = ManualClock()
    state, makers, store = await opened(path, clock=clock)
    for number in range(20):
        makers.answered("who", "", [f"resp_{number}"], A)
        await store.step()
    assert len(store._waiting) == 5
    assert makers.maker("who", ["resp_19"]) is not None
    path.unlink()
    clock.advance(100.0)
    async with asyncio.timeout(20):
        while store._waiting:  # the state's thread opens it
            await store.step()
            await asyncio.sleep(0.01)
    await closed(state, store)
