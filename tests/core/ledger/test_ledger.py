import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from tests.core.ledger.calls import NOON, call, mixed, name
from tokenman_core import database
from tokenman_core.clock import SystemClock
from tokenman_core.config.models import Settings
from tokenman_core.ledger import Ledger, LedgerReader, Sums, open_ledger, path_of, row_of
from tokenman_core.ledger import ledger as module
from tokenman_core.ledger.store import Store, sums_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "ledger.db"


def count(path):
    return LedgerReader(path).totals("session").total.calls


async def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        await asyncio.sleep(0.01)


def sound(path):
    with sqlite3.connect(path) as connection:
        return connection.execute("pragma integrity_check").fetchone() == ("ok",)


async def test_calls_are_in_the_file_soon_after_they_ended(path):
    ledger = Ledger(path, 0, lambda name: None, SystemClock())
    await ledger.start()
    assert path.exists()
    ledger.ended(call(1))
    await until(lambda: LedgerReader(path).row(name(1)))
    assert ledger.trouble is None
    await ledger.aclose()


async def test_the_ledger_of_an_installation_is_in_its_data_folder_which_is_not_touched_before_the_start(tmp_path):
    settings = Settings.model_validate({"data_dir": str(tmp_path / "data")})
    ledger = open_ledger(settings, lambda name: None)
    assert not settings.data_dir.exists()
    await ledger.start()
    ledger.ended(call(1))
    await ledger.aclose()
    assert path_of(settings) == tmp_path / "data" / "ledger.db"
    assert count(path_of(settings)) == 1


async def test_what_waits_at_the_end_is_written_and_the_file_is_left_alone(path):
    ledger = Ledger(path, 0, lambda name: None, SystemClock())
    await ledger.start()
    for number in range(3000):
        ledger.ended(call(number))
    await ledger.aclose()
    await ledger.aclose()
    assert [each.name for each in path.parent.iterdir()] == ["ledger.db"]
    assert count(path) == 3000
    assert ledger.dropped == 0
    ledger.ended(call(9999))
    assert ledger.dropped == 1


async def test_rows_and_their_sums_agree_after_many_calls(path):
    dice = random.Random(5)
    records = [mixed(n, dice, NOON + timedelta(minutes=n)) for n in range(2000)]
    ledger = Ledger(path, 0, lambda name: None, SystemClock())
    await ledger.start()
    for record in records:
        ledger.ended(record)
        if dice.random() < 0.01:
            await asyncio.sleep(0.01)
    await ledger.aclose()
    wanted = Sums.together(Sums.of_file(sums_of(row_of(record))) for record in records)
    assert LedgerReader(path).totals("session").total == wanted
    assert LedgerReader(path).totals("model").total == wanted
    rows, before = [], None
    while True:
        page = LedgerReader(path).page(limit=1000, before=before)
        rows += page.rows
        if (before := page.next) is None:
            break
    assert Sums.together(Sums.of_file(sums_of(row)) for row in rows) == wanted


async def test_failures_are_told_on_the_loop_and_traffic_goes_on(path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_S", 0)
    told = []
    ledger = Ledger(path, 0, lambda name: told.append((name, threading.current_thread())), SystemClock())
    await ledger.start()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    began = time.monotonic()
    for number in range(100):
        ledger.ended(call(number))
    assert time.monotonic() - began < 5
    await until(lambda: len(told) == 100)
    assert "locked" in ledger.trouble
    other.execute("rollback")
    await until(lambda: ledger.trouble is None and count(path) == 100)
    await ledger.aclose()
    assert sorted(told) == [(name(number), threading.main_thread()) for number in range(100)]
    assert ledger.dropped == 0


async def test_the_start_is_not_held_up_by_a_ledger_that_cannot_be_opened(path):
    path.parent.write_text("a file where the folder should be")
    ledger = Ledger(path, 0, lambda name: None, SystemClock())
    await ledger.start()
    assert "data_dir" in ledger.trouble
    ledger.ended(call(1))
    path.parent.unlink()
    await ledger.aclose()
    assert count(path) == 1


async def test_the_end_does_not_wait_for_ever(path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_S", 0)
    monkeypatch.setattr(module, "_CLOSE_S", 0.2)
    ledger = Ledger(path, 0, lambda name: None, SystemClock())
    await ledger.start()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    ledger.ended(call(1))
    await ledger.aclose()
    assert ledger.dropped == 1
    other.execute("rollback")


async def test_the_purge_tells_when_it_last_did_its_work(path):
    ledger = Ledger(path, 86400, lambda name: None, SystemClock())
    await ledger.start()
    await until(lambda: ledger.purge_age_seconds < 60)
    await ledger.aclose()


def test_two_processes_may_write_to_one_ledger(path):
    """As several workers of one machine do, or the old and the new one while one takes over from the other."""
    program = (
        "import asyncio, random, sys\n"
        "from pathlib import Path\n"
        "from tests.core.ledger.calls import mixed\n"
        "from tokenman_core.clock import SystemClock\n"
        "from tokenman_core.ledger import Ledger\n"
        "async def main(path, seed):\n"
        "    ledger = Ledger(Path(path), 86400 * 10**4, print, SystemClock())\n"
        "    await ledger.start()\n"
        "    dice = random.Random(seed)\n"
        "    for number in range(500):\n"
        "        ledger.ended(mixed(number, dice))\n"
        "        await asyncio.sleep(0)\n"
        "        if number % 50 == 0: await asyncio.sleep(0.05)\n"
        "    await ledger.aclose()\n"
        "    assert not ledger.dropped\n"
        "asyncio.run(main(*sys.argv[1:]))\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, str(path), str(seed)], cwd=ROOT, stdout=subprocess.DEVNULL)
        for seed in range(2)
    ]
    assert [process.wait(60) for process in running] == [0, 0]
    wanted = Sums()
    for seed in range(2):
        dice = random.Random(str(seed))
        wanted += Sums.together(Sums.of_file(sums_of(row_of(mixed(number, dice)))) for number in range(500))
    reader = LedgerReader(path)
    assert reader.totals("day").total == reader.totals("session").total == wanted
    assert sound(path)


def test_a_killed_process_leaves_a_sound_ledger_whose_sums_are_those_of_its_rows(path):
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from tests.core.ledger.calls import call\n"
        "from tokenman_core.clock import SystemClock\n"
        "from tokenman_core.ledger import Ledger\n"
        "async def main(path):\n"
        "    ledger = Ledger(Path(path), 0, print, SystemClock())\n"
        "    await ledger.start()\n"
        "    for number in range(10**9):\n"
        "        ledger.ended(call(number, session=f's{number}'))\n"
        "        await asyncio.sleep(0.0005)\n"
        "asyncio.run(main(sys.argv[1]))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], cwd=ROOT)
    try:
        end = time.monotonic() + 60
        while not path.exists() or count(path) < 300:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert sound(path)
    reader = LedgerReader(path)
    assert reader.totals("day").total == reader.totals("session").total
    assert reader.totals("day").total.calls >= 300
    assert len(reader.page(limit=1000).rows) >= 300


def test_a_row_takes_less_than_three_hundred_bytes_with_all_that_belongs_to_it(path):
    dice = random.Random(11)
    store = Store(path)
    rows = 20_000
    for start in range(0, rows, 200):
        store.add([row_of(mixed(n, dice, NOON + timedelta(seconds=40 * n))) for n in range(start, start + 200)])
    store.close()
    assert count(path) == rows
    assert path.stat().st_size / rows < 300
