"""Breakers of several real processes on one file: what one opens rests for all, and probes are as many as there may be."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.failover.member import Try
from tokenman_core.clock import ManualClock
from tokenman_core.failover.breaker import Rules
from tokenman_core.failover.breakers import Breakers
from tokenman_core.failover.sharing import DAY_S, LEASE_S, Sharing
from tokenman_core.state import Sqlite, State

ROOT = Path(__file__).parents[3]
PATIENCE_S = 20.0
LONG = 3600.0


class Process:
    def __init__(self, path: Path, reset: float, probes: int) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "tests.core.failover.member", str(path), str(reset), str(probes)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._read() == "ready"

    def __call__(self, command: str) -> Any:
        assert self.child.stdin is not None
        self.child.stdin.write(command + "\n")
        self.child.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self.child.stdout is not None
        return json.loads(self.child.stdout.readline())

    def end(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.close()
        assert self.child.wait(PATIENCE_S) == 0

    def fails(self, times: int = 2) -> None:
        for _ in range(times):
            assert self("ask") is None
            self("told failure")


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    made: list[Process] = []

    def start(reset: float = LONG, probes: int = 1) -> Process:
        made.append(Process(tmp_path / "state.db", reset, probes))
        return made[-1]

    yield start
    for process in made:
        process.child.kill()
        process.child.wait()
        for pipe in (process.child.stdin, process.child.stdout):
            if pipe is not None:
                pipe.close()


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_(process: Process, state: str) -> Callable[[], bool]:
    return lambda: bool(process("states")["p"] == state)


def test_what_one_process_opens_rests_for_the_others_and_for_one_that_is_started_later(processes: Any) -> None:
    one, other = processes(), processes()
    one.fails()
    until(is_(other, "open"))
    assert 0 < other("ask") <= LONG
    later = processes()
    assert later("states") == {"p": "open", "q": "closed"}


def test_what_is_opened_and_closed_by_hand_is_so_for_all(processes: Any) -> None:
    one, other = processes(0.0), processes(0.0)
    one("hold")
    until(is_(other, "open"))
    assert isinstance(other("ask"), float)  # a hand's rest knows no reset
    other("release")
    until(is_(one, "closed"))
    assert one("ask") is None


def test_of_all_processes_together_only_so_many_probe(processes: Any) -> None:
    them = [processes(0.5, 2) for _ in range(4)]
    them[0].fails()
    for each in them:
        until(is_(each, "open"))
    until(lambda: them[1]("ask") is None)  # the reset is over
    given = [each("ask") for each in them for _ in range(3)]
    assert given.count(None) == 1  # and one was given before
    prober = next(each for each in them[1:] + them[:1] if each("states")["p"] == "half_open")
    assert prober is them[1]
    prober("told success")
    for each in them:
        until(is_(each, "closed"))
        assert each("ask") is None


def test_a_probe_that_fails_opens_it_anew_for_all(processes: Any) -> None:
    one, other = processes(0.5), processes(0.5)
    one.fails()
    until(is_(other, "open"))
    until(lambda: other("ask") is None)
    other("told failure")
    assert other("states")["p"] == "open"
    until(lambda: one("ask") is None)  # after another reset
    one("told success")
    until(is_(other, "closed"))


def test_a_probe_that_found_nothing_out_makes_room_for_another(processes: Any) -> None:
    one, other = processes(0.2), processes(0.2)
    one.fails()
    until(is_(other, "open"))
    until(lambda: one("ask") is None)
    assert other("ask") is not None
    one("told neutral")
    until(lambda: other("ask") is None)


def test_a_process_that_is_killed_frees_its_probe_when_its_lease_ends(processes: Any, tmp_path: Path) -> None:
    one, other = processes(0.2), processes(0.2)
    one.fails()
    until(is_(other, "open"))
    until(lambda: one("ask") is None)
    one.child.kill()
    one.child.wait()
    assert other("ask") is not None
    # Time itself is not waited for: what the lease says is turned back.
    store = Sqlite(tmp_path / "state.db")
    store._connection.execute("update leases set until = until - ?", (LEASE_S,))
    store.close()
    until(lambda: other("ask") is None)


def test_a_process_that_ends_gives_its_probe_back(processes: Any, tmp_path: Path) -> None:
    one, other = processes(0.2), processes(0.2)
    one.fails()
    until(is_(other, "open"))
    until(lambda: one("ask") is None)
    one.end()
    store = Sqlite(tmp_path / "state.db")
    assert store._one("select count(*) from leases") == 0
    store.close()


def test_a_model_that_is_overloaded_rests_for_all_and_the_others_do_not(processes: Any) -> None:
    one, other = processes(), processes()
    for _ in range(2):
        assert one("ask big") is None
        one("told failure_of_model")
    until(is_(other, "open"))
    assert other("ask big") is not None
    assert other("ask small") is None


def test_after_a_start_it_is_as_it_was(processes: Any) -> None:
    one = processes()
    one.fails()
    one.end()
    assert processes()("states")["p"] == "open"


# -- with a clock that is turned by hand --


def world(path: Path, reset: float = 60.0) -> tuple[ManualClock, State, Breakers, Sharing]:
    clock = ManualClock()
    state = State(lambda: Sqlite(path), "the state", clock)
    breakers = Breakers(Rules(1, 0.5, 0, 60.0, reset, 1), {"p": True}, clock)
    return clock, state, breakers, Sharing(state, breakers, clock)


async def fail(breakers: Breakers) -> None:
    made = Try()
    assert await breakers.ask(made, "p", "m") is None
    breakers.told(made, "failure")


@pytest.mark.parametrize(("later", "left"), [(20.0, 40.0), (-5000.0, 60.0)], ids=["later", "a clock turned back"])
async def test_a_rest_goes_on_where_it_was(tmp_path: Path, later: float, left: float) -> None:
    _, state, breakers, sharing = world(tmp_path / "state.db")
    await state.start()
    await sharing.start()
    await fail(breakers)
    await sharing.aclose()
    await state.aclose()
    clock, state, breakers, sharing = world(tmp_path / "state.db")
    clock.advance(later)
    await state.start()
    await sharing.start()
    assert await breakers.ask(Try(), "p", "m") == pytest.approx(left)
    await sharing.aclose()
    await state.aclose()


async def test_once_the_reset_has_passed_a_probe_is_due_after_a_start(tmp_path: Path) -> None:
    _, state, breakers, sharing = world(tmp_path / "state.db")
    await state.start()
    await sharing.start()
    await fail(breakers)
    await sharing.aclose()
    await state.aclose()
    clock, state, breakers, sharing = world(tmp_path / "state.db")
    clock.advance(61.0)
    await state.start()
    await sharing.start()
    assert await breakers.ask(Try(), "p", "m") is None
    assert breakers.states["p"] == "half_open"
    await sharing.aclose()
    await state.aclose()


async def test_without_a_store_each_goes_on_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"no database" * 500)
    clock, state, breakers, sharing = world(path)
    await state.start()
    await sharing.start()
    await fail(breakers)
    assert await breakers.ask(Try(), "p", "m") == 60.0
    clock.advance(60.0)
    probe = Try()
    assert await breakers.ask(probe, "p", "m") is None
    assert await breakers.ask(Try(), "p", "m") == 0.0
    breakers.told(probe, "success")
    assert breakers.states["p"] == "closed"
    await sharing.aclose()
    await state.aclose()


async def test_what_another_version_wrote_is_taken_for_closed(tmp_path: Path) -> None:
    store = Sqlite(tmp_path / "state.db")
    for name, value in (("p", b"\xff"), ("p/0011223344556677", b"[]"), ("nobody", b"{}")):
        store.put("breaker", name, value, until=2_000_000.0, over=0, now=0.0)
    store.close()
    _, state, breakers, sharing = world(tmp_path / "state.db")
    await state.start()
    await sharing.start()
    assert breakers.states == {"p": "closed"}
    await sharing.aclose()
    await state.aclose()


async def test_a_probe_that_runs_long_keeps_its_lease(tmp_path: Path) -> None:
    clock, state, breakers, sharing = world(tmp_path / "state.db")
    await state.start()
    await sharing.start()
    await fail(breakers)
    await sharing.step()
    clock.advance(60.0)
    assert await breakers.ask(Try(), "p", "m") is None
    _, state2, others, sharing2 = world(tmp_path / "state.db")
    others._clock = sharing2._clock = others._entries["p"][""].breaker._clock = clock
    await state2.start()
    await sharing2.start()
    for _ in range(5):
        clock.advance(LEASE_S / 2)
        await sharing.step()
        assert await others.ask(Try(), "p", "m") == 0.0
    clock.advance(LEASE_S)
    assert await others.ask(Try(), "p", "m") is None
    for each in (sharing, sharing2, state, state2):
        await each.aclose()


def written_in(folder: Path, value: bytes) -> bool:
    return any(value in each.read_bytes() for each in folder.iterdir())


async def test_names_of_models_are_not_written(tmp_path: Path) -> None:
    _, state, breakers, sharing = world(tmp_path / "state.db")
    await state.start()
    await sharing.start()
    made = Try()
    assert await breakers.ask(made, "p", "jane.doe@corp-mail.com") is None
    breakers.told(made, "failure_of_model")
    await sharing.aclose()
    await state.aclose()
    assert breakers.states == {"p": "open"}
    assert not written_in(tmp_path, b"jane.doe")


def test_a_rest_by_hand_outlives_a_day() -> None:
    assert DAY_S == 86_400.0
