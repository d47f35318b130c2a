import errno
import logging
import os
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from tests.core.ledger.calls import DAY, NOON, call, name
from tokenman_core import database
from tokenman_core.clock import ManualClock
from tokenman_core.ledger import Filter, LedgerReader, row_of, writer
from tokenman_core.ledger.store import Store
from tokenman_core.ledger.writer import Writer


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "ledger.db"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Locks here are held until the test lets go: nobody needs to wait to see that."""
    monkeypatch.setattr(database, "BUSY_S", 0)


class Machine:
    """A writer that is stepped by hand, on a clock that is turned by hand."""

    def __init__(self, path, retention=0.0, change=lambda store: None):
        self.path, self.change = path, change
        self.clock = ManualClock(NOON.timestamp())
        self.told, self.done = [], []
        self.writer = Writer(path, retention, self.clock, self.told.append, self.open, self.done.append)

    def open(self, path):
        store = Store(path)
        self.change(store)
        return store

    def call(self, number, **changes):
        self.writer.put(call(number, **changes))

    def settle(self, most=100):
        """Steps until there is nothing to do right away, a purge that was begun included; seconds until there is."""
        for _ in range(most):
            if (pause := self.writer.step()) not in (0, writer.PURGE_PAUSE_S):
                return pause
        raise AssertionError("it never rests")

    def recover(self):
        """Steps while time goes by, until there is no trouble."""
        for _ in range(20):
            self.clock.advance(self.settle())
            if self.writer.trouble is None:
                return
        raise AssertionError(self.writer.trouble)

    @property
    def written(self):
        return sorted(int(row.id[4:], 16) for row in LedgerReader(self.path).page(limit=1000).rows)


def locked(path):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    return other


def test_a_call_is_written_and_read_back_as_it_was(path):
    machine = Machine(path)
    machine.call(1)
    machine.settle()
    assert machine.written == [1]
    assert machine.told == []


def test_only_the_owner_can_read_what_is_kept(path):
    path.parent.mkdir(0o755)
    path.touch(0o644)
    machine = Machine(path)
    machine.call(1)
    machine.settle()
    modes = {each.name: oct(each.stat().st_mode & 0o777) for each in path.parent.iterdir()}
    assert modes == dict.fromkeys(("ledger.db", "ledger.db-wal", "ledger.db-shm"), "0o600")
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_each_row_is_told_of_once_it_is_in_the_file_and_not_before(path):
    machine = Machine(path)
    machine.call(1)
    machine.settle()
    assert machine.done == [name(1)]
    other = locked(path)
    machine.call(2)
    machine.call(3)
    machine.settle()
    assert machine.done == [name(1)]
    other.execute("rollback")
    machine.recover()
    assert machine.done == [name(number) for number in (1, 2, 3)]
    other.close()


def test_a_call_that_comes_twice_is_kept_and_counted_once(path):
    machine = Machine(path)
    for _ in range(3):
        machine.call(1)
        machine.settle()
    assert machine.written == [1]
    assert LedgerReader(path).totals("model").total.calls == 1


# -- what the machine does to it --


def test_rows_wait_behind_a_lock_and_are_written_when_it_is_gone(path):
    machine = Machine(path)
    machine.settle()
    other = locked(path)
    machine.call(1)
    machine.settle()
    assert "locked" in machine.writer.trouble
    machine.call(2)
    machine.settle()
    assert machine.told == [name(1), name(2)]
    other.execute("rollback")
    machine.recover()
    assert machine.written == [1, 2]
    assert (machine.writer.trouble, machine.writer.dropped, machine.told) == (None, 0, [name(1), name(2)])


def test_each_trouble_tells_of_its_own_rows(path):
    machine = Machine(path)
    machine.settle()
    for number in range(3):
        other = locked(path)
        machine.call(number)
        machine.settle()
        other.execute("rollback")
        machine.recover()
        assert machine.told == [name(each) for each in range(number + 1)]
    assert machine.written == [0, 1, 2]


def test_a_lock_is_noticed_before_a_call_comes(path):
    machine = Machine(path)
    machine.settle()
    other = locked(path)
    machine.clock.advance(writer.PROBE_S)
    machine.settle()
    assert "locked" in machine.writer.trouble
    other.execute("rollback")
    machine.recover()
    assert machine.told == []


def test_it_is_retried_less_and_less_often_but_every_five_seconds_at_least(path):
    machine = Machine(path)
    machine.settle()
    other = locked(path)
    machine.call(1)
    pauses = []
    for _ in range(8):
        pauses.append(round(machine.settle(), 3))
        machine.clock.advance(pauses[-1])
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.4, 5.0)
    other.execute("rollback")


def test_a_full_disk_is_survived(path):
    machine = Machine(path, change=lambda store: store._connection.execute("pragma max_page_count = 12"))
    for number in range(200):
        machine.call(number, detail=f"{number} " + "x" * 190)
    machine.settle()
    assert "disk is full" in machine.writer.trouble
    machine.change = lambda store: None
    machine.recover()
    assert machine.written == list(range(200))
    assert LedgerReader(path).totals("model").total.calls == 200


def test_a_read_only_file_is_survived(path):
    machine = Machine(path, change=lambda store: store._connection.execute("pragma query_only = on"))
    machine.call(1)
    machine.settle()
    assert "may not be written" in machine.writer.trouble
    machine.change = lambda store: None
    machine.recover()
    assert machine.written == [1]


def test_a_folder_that_cannot_be_had_is_survived(path):
    path.parent.write_text("a file where the folder should be")
    machine = Machine(path)
    machine.call(1)
    machine.settle()
    assert "data_dir" in machine.writer.trouble
    assert str(path.parent) not in machine.writer.trouble
    path.parent.unlink()
    machine.recover()
    assert machine.written == [1]


def test_a_file_that_was_removed_while_in_use_is_begun_anew(path):
    machine = Machine(path)
    machine.call(1)
    machine.settle()
    for each in path.parent.iterdir():
        each.unlink()
    path.parent.rmdir()
    machine.call(2)
    machine.settle()
    assert machine.written == [2]
    assert machine.told == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "full"), "disk is full"),
        (OSError(errno.EDQUOT, "quota"), "disk is full"),
        (PermissionError(errno.EACCES, "no"), "may not be written"),
        (OSError(errno.EROFS, "ro"), "may not be written"),
        (OSError(errno.EIO, "io"), "see to the disk"),
        (OSError(errno.ENOTDIR, "no folder"), "data_dir is a folder"),
        (sqlite3.OperationalError("strange"), "cannot be used"),
    ],
)
def test_every_trouble_has_words_and_an_end(path, error, words):
    def fail(store):
        raise error

    machine = Machine(path, change=fail)
    machine.call(1)
    machine.settle()
    assert words in machine.writer.trouble
    machine.change = lambda store: None
    machine.recover()
    assert machine.written == [1]


@pytest.mark.parametrize(
    "content", [b"this is no database at all, it only stands where one should be" * 100, b"SQLite"]
)
def test_a_file_that_is_no_ledger_is_moved_aside_and_kept(path, content, caplog):
    path.parent.mkdir(0o700)
    path.write_bytes(content)
    machine = Machine(path)
    machine.call(1)
    machine.recover()
    assert machine.written == [1]
    aside = list(path.parent.glob("ledger.db.damaged-*"))
    assert [each.read_bytes() for each in aside] == [content]
    assert aside[0].name == "ledger.db.damaged-20261124T120000.000000Z"
    assert aside[0].name in caplog.text


def test_a_ledger_that_was_damaged_while_in_use_is_moved_aside(path):
    machine = Machine(path)
    for number in range(300):
        machine.call(number)
    machine.settle()
    machine.writer.close()
    damaged = bytearray(path.read_bytes())
    damaged[4096 : 4096 * 9] = os.urandom(4096 * 8)
    path.write_bytes(damaged)
    second = Machine(path)
    second.call(1000)
    second.recover()
    assert second.written == [1000]
    assert len(list(path.parent.glob("ledger.db.damaged-*Z"))) == 1


def test_damaged_files_do_not_fill_the_disk(path):
    path.parent.mkdir(0o700)
    for second in range(7):
        path.write_bytes(b"no database" * 1000)
        machine = Machine(path)
        machine.clock.advance(second)
        machine.call(1)
        machine.settle()
        machine.clock.advance(1)
        machine.settle()
        machine.writer.close()
    assert len(list(path.parent.glob("ledger.db.damaged-*"))) == 5
    assert "damaged" in machine.writer.trouble


def test_a_row_that_cannot_be_written_keeps_no_other_from_it(path, caplog):
    machine = Machine(path)
    machine.call(1)
    machine.call(2, id="no id")
    machine.call(3)
    machine.settle()
    assert machine.written == [1, 3]
    assert LedgerReader(path).row(name(1)) == row_of(call(1))  # its names too, which were given in vain at first
    assert (machine.writer.trouble, machine.writer.dropped, machine.told) == (None, 1, ["no id"])
    assert "no id" in caplog.text


def test_more_rows_than_may_wait_are_lost_counted_and_told_of_once(path, monkeypatch):
    monkeypatch.setattr(writer, "MOST_WAITING", 3)
    machine = Machine(path)
    machine.settle()
    other = locked(path)
    for number in range(5):
        machine.call(number)
    machine.settle()
    assert machine.writer.waiting == 3
    assert sorted(machine.told) == [name(number) for number in range(5)]
    other.execute("rollback")
    machine.recover()
    assert machine.written == [0, 1, 2]
    assert machine.writer.dropped == 2


def test_rows_that_come_too_fast_are_told_of_in_the_log(path, monkeypatch, caplog):
    monkeypatch.setattr(writer, "MOST_WAITING", 1)
    machine = Machine(path)
    machine.call(1)
    machine.call(2)
    machine.settle()
    assert machine.written == [1]
    assert machine.told == [name(2)]
    assert "faster than they can be written" in caplog.text
    assert name(2) in caplog.text


def test_the_log_names_the_calls_and_is_not_flooded(path, caplog):
    machine = Machine(path)
    machine.settle()
    other = locked(path)
    for number in range(400):
        machine.call(number)
        machine.settle()
        machine.clock.advance(0.02)
    lines = [record.getMessage() for record in caplog.records]
    assert 2 <= len(lines) <= 3
    assert name(0) in lines[0]
    assert "locked" in lines[0]
    caplog.clear()
    other.execute("rollback")
    machine.recover()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "written again" in caplog.text
    assert name(399) in caplog.text  # whose turn to be named had not come


def test_rows_that_wait_at_the_end_are_said_to_be_lost(path, caplog):
    machine = Machine(path)
    machine.settle()
    other = locked(path)
    machine.call(1)
    machine.settle()
    caplog.clear()
    machine.writer.close()
    machine.call(2)
    assert machine.writer.dropped == 2
    assert machine.told == [name(1), name(2)]
    assert name(1) in caplog.text
    assert name(2) in caplog.text
    other.execute("rollback")


# -- retention --


def test_rows_are_purged_when_the_retention_is_over_and_their_sums_stay(path):
    machine = Machine(path, retention=86400 * 7)
    machine.settle()
    for age in range(10):
        machine.call(age, time=NOON - age * DAY, session=f"s-{age}")
    machine.settle()
    assert machine.written == list(range(10))
    machine.clock.advance(writer.PURGE_S)
    machine.settle()
    assert machine.written == list(range(7))
    assert LedgerReader(path).totals("day").total.calls == 10
    assert len(LedgerReader(path).totals("session").groups) == 7


def test_a_short_retention_is_kept_soon(path):
    machine = Machine(path, retention=20)
    machine.settle()
    machine.call(1)
    machine.settle()
    for seconds, left in ((5, [1]), (5, [1]), (5, [1]), (6, [])):
        machine.clock.advance(seconds)
        machine.settle()
        assert machine.written == left


def test_without_a_retention_all_rows_are_kept(path):
    machine = Machine(path)
    machine.call(1, time=NOON - 3000 * DAY)
    machine.settle()
    machine.clock.advance(writer.PURGE_S)
    machine.settle()
    assert machine.written == [1]
    assert machine.writer.purge_age == 0


def test_a_purge_is_done_in_small_steps_between_which_rows_are_written(path):
    machine = Machine(path, retention=86400)
    machine.settle()
    for number in range(1200):
        machine.call(number, time=NOON - 3 * DAY)
    machine.settle()
    machine.clock.advance(writer.PURGE_S)
    assert machine.writer.step() == writer.PURGE_PAUSE_S
    assert LedgerReader(path).totals("session").total.calls == 700
    machine.call(5000)
    machine.settle()
    assert machine.written == [5000]


def test_a_failing_tick_is_told_of_and_the_next_one_runs(path, monkeypatch, caplog):
    machine = Machine(path, retention=86400)
    machine.settle()
    machine.call(1, time=NOON - 3 * DAY)
    machine.settle()
    machine.clock.advance(writer.PURGE_S)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "purge", lambda store, before: 1 / 0)
        machine.settle()
        machine.call(2)
        machine.settle()
    assert machine.told == ["ledger_purge"]
    assert "purge of the ledger failed" in caplog.text
    assert machine.written == [1, 2]
    assert machine.writer.purge_age == writer.PURGE_S
    machine.clock.advance(60)
    machine.settle()
    assert machine.written == [2]
    assert machine.writer.purge_age == 0


def test_while_the_file_cannot_be_written_the_purge_ages(path):
    machine = Machine(path, retention=86400)
    machine.settle()
    other = locked(path)
    machine.clock.advance(writer.PURGE_S)
    machine.settle()
    machine.clock.advance(100)
    machine.settle()
    assert machine.writer.purge_age == writer.PURGE_S + 100
    other.execute("rollback")


def test_a_client_with_a_new_name_a_call_makes_nothing_grow_beyond_the_retention(path):
    machine = Machine(path, retention=86400)
    sizes = []
    for day in range(6):
        machine.clock.seconds = (NOON + day * DAY).timestamp()
        for number in range(day * 1000, day * 1000 + 1000):
            machine.call(
                number,
                time=NOON + day * DAY + timedelta(milliseconds=number),
                model=f"m{number}",
                project=f"p{number}",
                client=f"c{number}",
                session=f"s{number}",
                detail=f"d{number}",
            )
        machine.settle()
        machine.clock.advance(writer.PURGE_S)
        machine.settle()
        connection = sqlite3.connect(path)
        names = connection.execute("select count(*) from names").fetchone()[0]
        days = connection.execute("select max(n) from (select count(*) as n from days group by day)").fetchone()[0]
        connection.close()
        sizes.append(names)
        assert days <= 501
    assert sizes[-1] <= sizes[2] <= 2 * 5000 + 20


def test_names_of_kept_rows_are_kept(path):
    machine = Machine(path, retention=86400 * 2)
    machine.call(1, time=NOON, session="old")
    machine.call(2, time=NOON + DAY, session="old")
    machine.call(3, time=NOON, session="gone")
    machine.settle()
    machine.clock.seconds = (NOON + 3 * DAY).timestamp() - 60
    machine.settle()
    assert [row.session for row in LedgerReader(path).page().rows] == ["old"]
    machine.call(4, time=datetime.fromtimestamp(machine.clock.now(), UTC), session="gone")
    machine.settle()
    assert [row.session for row in LedgerReader(path).page(Filter(session="gone")).rows] == ["gone"]
    with sqlite3.connect(path) as connection:
        assert connection.execute("select count(*) from names where text in ('old', 'gone')").fetchone() == (2,)


def test_the_file_shrinks_after_much_was_purged(path):
    machine = Machine(path, retention=86400)
    machine.settle()
    for number in range(3000):
        machine.call(number, time=NOON - 5 * DAY, session=f"s{number}")
    machine.settle()
    machine.writer._store._connection.execute("pragma wal_checkpoint(truncate)")
    before = path.stat().st_size
    machine.clock.advance(writer.PURGE_S)
    machine.settle()
    machine.writer.close()
    assert path.stat().st_size < before / 1.5
