"""Tasks in the background: each is listed with its age, and one that died or hangs is named and makes the whole unready."""

import asyncio
from pathlib import Path

import pytest

from tests.core.ledger.calls import call
from tokenman_core import background, bound_store
from tokenman_core.admin.readiness import Ask, Readiness
from tokenman_core.bound_store import BoundStore
from tokenman_core.clock import ManualClock, SystemClock
from tokenman_core.config.models import Settings
from tokenman_core.ledger import open_ledger
from tokenman_core.makers import Makers
from tokenman_core.state import open_state


@pytest.fixture(autouse=True)
def none_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "_tasks", {})


async def readiness() -> tuple[bool, dict[str, dict[str, object]], str]:
    checks = [Ask("tasks", background.trouble, "all run")]
    verdict = await Readiness(checks, background.standings).judge(outside=False)
    return verdict.ready, verdict.as_json()["tasks"], verdict.checks["tasks"].message


async def test_a_task_is_listed_with_its_age_until_it_is_over() -> None:
    clock = ManualClock()
    one = background.began("one", 10, monotonic=clock.monotonic)
    purge = background.began("purge", 60, lambda: 7.04)
    background.began("not needed", 60, lambda: None)
    clock.advance(3)
    ready, tasks, _ = await readiness()
    assert ready
    assert tasks == {
        "one": {"status": "ok", "message": "runs", "age_s": 3.0, "every_s": 10},
        "purge": {"status": "ok", "message": "runs", "age_s": 7.0, "every_s": 60},
    }
    one.ran()
    assert background.standings()["one"].age == 0
    anew = background.began("one", 10, monotonic=clock.monotonic)
    one.over()  # another one has its name meanwhile
    assert "one" in background.standings()
    anew.over()
    purge.over()
    assert not background.standings()


async def test_one_that_misses_its_turns_makes_unready_and_is_named() -> None:
    clock = ManualClock()
    slow = background.began("slow", 100, monotonic=clock.monotonic)
    background.began("fine", 1000, monotonic=clock.monotonic)
    clock.advance(330)
    assert (await readiness())[0]
    clock.advance(1)
    ready, tasks, message = await readiness()
    assert not ready
    assert message.startswith("slow has not come round for 331 s, and should every 100 s; the log")
    assert (tasks["slow"]["status"], tasks["fine"]["status"]) == ("failed", "ok")
    slow.ran()
    assert (await readiness())[0]


async def test_one_that_ends_by_itself_has_died_and_one_that_is_cancelled_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def raises() -> None:
        raise KeyError("sk-ant-hunter2")

    async def returns() -> None: ...

    async def waits() -> None:
        await asyncio.Event().wait()

    tasks = [background.began(work.__name__, 5).of(asyncio.create_task(work())) for work in (raises, returns, waits)]
    await asyncio.wait(tasks[:2])
    await asyncio.sleep(0)
    ready, listed, message = await readiness()
    assert not ready
    assert "raises has ended (KeyError); returns has ended (it returned)" in message
    assert listed["waits"]["status"] == "ok"
    assert "hunter2" not in caplog.text
    assert "the background task raises has ended" in caplog.text
    tasks[2].cancel()
    await asyncio.wait(tasks[2:])
    await asyncio.sleep(0)
    assert set(background.standings()) == {"raises", "returns"}


async def test_what_runs_reports_and_is_over_when_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "IDLE_S", 0.01)
    monkeypatch.setattr(bound_store, "EVERY_S", 0.01)
    settings = Settings(data_dir=tmp_path)
    ledger, state = open_ledger(settings, lambda name: None), open_state(settings, SystemClock())
    await ledger.start()
    await state.start()
    makers = BoundStore(state, Makers(b"k" * 32), SystemClock())
    await makers.start()
    assert set(background.standings()) == {"ledger_writer", "ledger_purge", "state_store", "makers"}
    came = {name: it._at for name, it in background._tasks.items() if it._told is None}
    ledger.ended(call(1))
    async with asyncio.timeout(30):
        while any(background._tasks[name]._at == at for name, at in came.items()):  # noqa: ASYNC110 threads tell nobody
            await asyncio.sleep(0.01)
    await makers.aclose()
    await state.aclose()
    await ledger.aclose()
    assert not background.standings()
