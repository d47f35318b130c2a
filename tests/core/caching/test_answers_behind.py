"""What stands behind the memory: troubles with the file, rounds, and what is forgotten while it cannot be had."""

import errno
import logging
import shutil
import sqlite3
from contextlib import closing

import pytest

from tests.core.caching.entries import KEY, NOW, PLANTED, entry, key_of, noise
from tokenman_core import database
from tokenman_core.caching import behind as module
from tokenman_core.caching import disk as disk_module
from tokenman_core.caching.behind import AGAIN_S, IDLE_S, ROUND_S, Behind, Bounds, NotForgotten
from tokenman_core.caching.cipher import Cipher
from tokenman_core.caching.memory import Limits, Memory
from tokenman_core.clock import ManualClock


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Locks here are held until the test lets go: nobody needs to wait to see that."""
    monkeypatch.setattr(database, "BUSY_S", 0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "cache.db"


class Machine:
    """One that is stepped by hand, on a clock that is turned by hand."""

    def __init__(self, path, clock=None, limits=Limits(1000, 2**30), ttl=300.0, cipher=None):  # noqa: B008  # it is frozen
        self.path, self.clock = path, clock or ManualClock(NOW)
        self.memory = Memory(limits)
        self.behind = Behind(path, self.memory, Bounds(limits, ttl), self.clock, cipher, KEY)

    def keep(self, number, body=b"{}", **changes):
        self.memory.keep(key_of(number), entry(body, **{"stored": self.clock.now(), **changes}))

    def settle(self):
        for _ in range(1000):
            if self.behind.step() == IDLE_S:
                return
        raise AssertionError("it never rests")

    def cold(self):
        """As after a restart: nothing is in memory."""
        self.memory._hot.clear()
        self.memory._hot_bytes = 0

    def let_go(self):
        """Closes the file, which is opened again with the next question."""
        self.behind._drop()
        self.clock.advance(AGAIN_S)

    def found(self, *numbers):
        """Which of them are there."""
        return [number for number in numbers if self.behind.look(key_of(number)) is not None]

    def on_disk(self):
        with closing(sqlite3.connect(self.path)) as other:
            return sorted(int.from_bytes(key) for (key,) in other.execute("select key from answers"))


@pytest.fixture
def machine(path):
    machine = Machine(path)
    yield machine
    machine.behind.close()


def damage_row(path, number):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("update answers set sealed = substr(sealed, 2) where key = ?", (key_of(number),))


def coded(code):
    error = sqlite3.OperationalError("planted")
    error.sqlite_errorcode = code
    return error


# -- damage --


def test_a_damaged_row_is_a_miss_logged_and_removed(machine, path, caplog):
    for number in (1, 2):
        machine.keep(number, PLANTED)
    machine.settle()
    damage_row(path, 1)
    machine.cold()
    assert machine.found(1, 2) == [2]
    assert machine.on_disk() == [2]
    assert machine.behind.damaged == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "is damaged: it was removed" in caplog.text
    assert "planted" not in caplog.text
    assert machine.behind.trouble is None


def test_a_row_under_another_key_is_a_miss(machine, path):
    machine.keep(1)
    machine.settle()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("update answers set key = ?", (key_of(2),))
    machine.cold()
    assert machine.found(1, 2) == []
    assert machine.behind.damaged == 1


def test_a_damaged_file_is_removed_and_begun_anew_and_memory_stays(machine, path, caplog):
    machine.keep(1)
    machine.settle()
    machine.let_go()
    path.write_bytes(b"This is no database at all. " * 500)
    machine.keep(2)
    machine.settle()
    assert "is damaged: it was removed, and is begun anew" in caplog.text
    assert machine.behind.damaged == 1
    assert machine.behind.trouble is None
    assert machine.found(1, 2) == [1, 2]
    assert machine.on_disk() == [2]
    assert not [each for each in path.parent.iterdir() if each.name not in ("cache.db", "cache.db-wal", "cache.db-shm")]


def test_a_file_that_shows_its_damage_in_use_is_begun_anew(machine, path):
    for number in range(200):
        machine.keep(number, noise(number, 3000))
    machine.settle()
    machine.behind._disk.checkpoint()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(noise(1, size - 4096))
    machine.cold()
    machine.let_go()
    assert machine.found(*range(200)) == []
    assert machine.behind.damaged == 1
    machine.keep(1)
    machine.settle()
    machine.cold()
    assert machine.found(1) == [1]


def test_a_disk_that_damages_each_file_is_not_asked_at_once(machine, monkeypatch):
    opened = []

    def opens(path, seal):
        opened.append(path)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
        error = sqlite3.DatabaseError("planted")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    monkeypatch.setattr(module, "Disk", opens)
    machine.path.parent.mkdir()
    machine.path.write_bytes(b"x")
    machine.keep(1)
    for _ in range(20):
        machine.behind.step()
    assert len(opened) == 2
    for _ in range(10):
        machine.clock.advance(AGAIN_S)
        machine.behind.step()
    assert len(opened) <= 2 + 10 * 2
    assert machine.found(1) == [1]


def test_a_file_that_is_damaged_again_as_soon_as_it_is_used_is_not_begun_anew_at_once(machine, monkeypatch):
    def fails(*_):
        raise coded(sqlite3.SQLITE_CORRUPT)

    monkeypatch.setattr(module.Disk, "write", fails)
    machine.keep(1)
    for _ in range(20):
        machine.behind.step()
    assert machine.behind.damaged == 2
    machine.clock.advance(AGAIN_S)
    for _ in range(20):
        machine.behind.step()
    assert 2 < machine.behind.damaged <= 4
    monkeypatch.undo()
    machine.clock.advance(AGAIN_S)
    machine.settle()
    assert machine.on_disk() == [1]


# -- a file that cannot be had --


def test_without_a_file_there_is_memory_and_it_is_tried_again(machine, path, caplog):
    path.mkdir(parents=True)
    machine.keep(1)
    for _ in range(3):
        machine.settle()
        machine.clock.advance(AGAIN_S)
    assert "cannot be used" in machine.behind.trouble
    assert "answers are cached in memory only" in machine.behind.trouble
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1
    assert machine.found(1) == [1]
    assert machine.behind.counts == (0, 0, 0)
    path.rmdir()
    machine.settle()
    assert machine.behind.trouble is None
    assert machine.on_disk() == [1]
    assert "can be used again" in caplog.text


def test_a_data_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "data").write_text("no folder")
    machine = Machine(tmp_path / "data" / "cache.db")
    machine.keep(1)
    machine.settle()
    assert machine.behind.trouble
    assert machine.found(1) == [1]


def test_a_full_disk_is_told_and_what_waits_is_written_later(machine):
    machine.keep(1)
    machine.settle()
    machine.behind._disk._connection.execute("pragma max_page_count = 30")
    for number in range(2, 10):
        machine.keep(number, noise(number, 50_000))
    machine.settle()
    assert "the disk is full: make room, or lower cache.size" in machine.behind.trouble
    assert machine.memory.waiting > 0
    assert machine.found(*range(1, 10)) == [*range(1, 10)]
    machine.clock.advance(AGAIN_S)
    machine.settle()
    assert machine.behind.trouble is None
    assert machine.on_disk() == [*range(1, 10)]


def test_a_locked_file_is_told_and_is_no_damage(machine, path):
    machine.keep(1)
    machine.settle()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        machine.keep(2)
        machine.settle()
        assert "another process keeps it locked" in machine.behind.trouble
        other.execute("rollback")
    machine.clock.advance(AGAIN_S)
    machine.settle()
    assert (machine.behind.trouble, machine.behind.damaged) == (None, 0)
    assert machine.on_disk() == [1, 2]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (coded(sqlite3.SQLITE_FULL), "full"),
        (coded(sqlite3.SQLITE_READONLY), "writable"),
        (coded(sqlite3.SQLITE_CANTOPEN), "writable"),
        (coded(sqlite3.SQLITE_IOERR | 778), "see to the disk"),
        (coded(sqlite3.SQLITE_BUSY), "locked"),
        (coded(sqlite3.SQLITE_INTERRUPT), "see its folder"),
        (sqlite3.OperationalError("planted"), "see its folder"),
        (OSError(errno.ENOSPC, "planted"), "full"),
        (OSError(errno.EACCES, "planted"), "writable"),
        (OSError("planted"), "see its folder"),
        (disk_module.Later(), "later version"),
        (RuntimeError("planted"), "see its folder"),
    ],
    ids=repr,
)
def test_trouble_is_told_in_words_that_say_what_to_do(machine, monkeypatch, caplog, error, said):
    def fails(*_):
        raise error

    machine.settle()
    monkeypatch.setattr(module.Disk, "write", fails)
    machine.keep(1)
    machine.settle()
    assert said in machine.behind.trouble
    assert "planted" not in machine.behind.trouble + caplog.text
    assert machine.path.exists()
    assert machine.found(1) == [1]


def test_an_answer_that_cannot_be_written_is_in_nobodys_way(machine, caplog):
    machine.keep(1)
    machine.keep(2, model="\ud800")
    machine.keep(3, seconds=float("nan"))
    machine.keep(4)
    machine.settle()
    assert machine.on_disk() == [1, 4]
    assert machine.behind.unwritten == 2
    assert machine.memory.waiting == 0
    assert machine.found(1, 2, 3, 4) == [1, 2, 3, 4]
    assert "cannot be kept on disk" in caplog.text


def test_what_is_too_old_when_its_turn_comes_is_not_written(machine):
    machine.settle()  # the first round
    machine.keep(1, stored=NOW - 400)
    machine.keep(2)
    machine.settle()
    assert machine.on_disk() == [2]


# -- rounds --


def test_a_round_each_minute_removes_what_is_too_old_from_memory_and_disk(machine):
    machine.keep(1)
    machine.settle()
    assert machine.behind.round == NOW
    machine.clock.advance(200)
    machine.keep(2)
    machine.settle()
    machine.clock.advance(ROUND_S - 1)
    machine.settle()
    assert machine.behind.round == NOW + 200
    machine.clock.advance(41)
    machine.settle()
    assert machine.behind.round == NOW + 200 + ROUND_S + 40
    assert machine.on_disk() == [2]
    assert len(machine.memory) == 1


def test_what_is_too_old_is_not_given_before_the_round(machine):
    machine.keep(1)
    machine.settle()
    machine.clock.advance(299.5)
    assert machine.found(1) == [1]
    machine.clock.advance(0.5)
    assert machine.found(1) == []
    machine.cold()
    assert machine.found(1) == []
    assert machine.on_disk() == [1]


def test_an_answer_from_after_now_is_not_given(machine):
    """The clock was set back: it would be given for as much longer."""
    machine.keep(1, stored=NOW + 59)
    machine.keep(2, stored=NOW + 61)
    assert machine.found(1, 2) == [1]


def test_a_shorter_ttl_holds_at_once_and_a_round_begins(machine):
    machine.keep(1, stored=NOW - 50)
    machine.keep(2)
    machine.settle()
    machine.behind.bounds = Bounds(Limits(1000, 2**30), 50.0)
    assert machine.found(1, 2) == [2]
    machine.behind.hurry()
    machine.settle()
    assert machine.on_disk() == [2]


def test_a_round_that_fails_is_tried_again_and_not_counted(machine, monkeypatch):
    machine.settle()

    def fails(*_):
        raise RuntimeError

    monkeypatch.setattr(module.Disk, "expire", fails)
    machine.clock.advance(ROUND_S)
    machine.settle()
    assert machine.behind.round == NOW
    monkeypatch.undo()
    machine.clock.advance(10)
    machine.settle()
    assert machine.behind.round == NOW + ROUND_S + 10


def test_without_a_file_a_round_purges_memory(machine, path):
    path.mkdir(parents=True)
    machine.keep(1)
    machine.settle()
    machine.clock.advance(400)
    machine.settle()
    assert machine.behind.round == NOW + 400
    assert (len(machine.memory), machine.memory.waiting) == (0, 0)


def test_a_large_purge_lets_others_come_in_between(machine, monkeypatch):
    monkeypatch.setattr(disk_module, "_AT_ONCE", 5)
    for number in range(50):
        machine.keep(number)
    machine.settle()
    machine.keep(99, stored=NOW + 50)
    machine.settle()
    machine.clock.advance(320)
    machine.behind.step()
    assert 40 < len(machine.on_disk()) < 50
    assert machine.found(99) == [99]
    machine.settle()
    assert machine.on_disk() == [99]


def test_less_room_evicts_what_was_used_longest_ago(machine):
    for number in range(10):
        machine.keep(number)
    machine.settle()
    assert machine.found(3, 0) == [3, 0]
    machine.memory.limit(Limits(3, 2**30))
    machine.behind.bounds = Bounds(Limits(3, 2**30), 300.0)
    machine.behind.hurry()
    machine.settle()
    assert machine.on_disk() == [0, 3, 9]
    assert machine.behind.counts[2] == 7
    machine.cold()
    assert machine.found(*range(10)) == [0, 3, 9]


def test_what_the_disk_evicts_leaves_memory_too(path):
    machine = Machine(path, limits=Limits(3, 4_000_000))
    machine.keep(0)
    for number in (1, 2):  # too large for memory
        machine.keep(number, noise(number, 600_000))
    machine.settle()
    assert machine.found(1, 2) == [1, 2]
    machine.keep(3)
    machine.settle()
    assert machine.on_disk() == [1, 2, 3]
    assert machine.found(0, 1, 2, 3) == [1, 2, 3]
    machine.behind.close()


def test_the_file_takes_no_more_than_it_may(path):
    machine = Machine(path, limits=Limits(1000, 60_000))
    for number in range(20):
        machine.keep(number, noise(number, 5000))
        machine.settle()
    kept = machine.on_disk()
    assert 5 < len(kept) < 12
    assert machine.found(*range(20)) == kept
    machine.behind.close()


def test_uses_are_written_at_the_end(machine, path):
    for number in range(5):
        machine.keep(number)
    machine.settle()
    machine.found(0)
    machine.behind.close()
    again = Machine(path, limits=Limits(2, 2**30))
    again.settle()
    assert again.on_disk() == [0, 4]
    again.behind.close()


# -- seals --


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, Cipher(KEY)), (Cipher(KEY), None), (Cipher(KEY), Cipher(bytes(32)))],
    ids=["sealed now", "no longer sealed", "another key"],
)
def test_rows_of_another_seal_are_a_miss_and_leave_the_file(path, caplog, before, after):
    machine = Machine(path, cipher=before)
    for number in range(20):
        machine.keep(number)
    machine.settle()
    machine.behind.close()
    again = Machine(path, cipher=after)
    assert again.found(0) == []
    assert 0 not in again.on_disk()
    again.keep(30)
    again.settle()
    assert again.on_disk() == [30]
    assert (again.behind.damaged, again.behind.encrypted) == (0, after is not None)
    assert not caplog.records
    again.behind.close()


# -- what is forgotten --


def standing(path, *numbers):
    """Of which of them the body stands in any of the files: noise is not compressed."""
    found = b"".join(each.read_bytes() for each in path.parent.iterdir())
    return [number for number in numbers if noise(number, 3000)[1000:1040] in found]


@pytest.mark.parametrize("named", [{}, {"model": "a"}, {"project": "x"}, {"model": "a", "project": "x"}], ids=str)
def test_what_is_forgotten_is_nowhere(machine, path, named):
    for number, (model, project) in enumerate([("a", "x"), ("a", "x"), ("b", "y")]):
        machine.keep(number, noise(number, 3000), model=model, project=project)
    machine.settle()
    machine.keep(3, noise(3, 3000), model="a", project="x")
    assert standing(path, 0, 1, 2, 3) == [0, 1, 2]
    assert machine.behind.forget(named.get("model"), named.get("project")) == (3 if named else 4)
    assert standing(path, 0, 1, 2, 3) == ([2] if named else [])
    machine.settle()
    assert machine.found(0, 1, 2, 3) == ([2] if named else [])
    assert machine.behind.forget(named.get("model"), named.get("project")) == 0


def test_the_whole_cache_is_forgotten_with_its_files(machine, path):
    for number in range(5):
        machine.keep(number, noise(number, 100_000))
    machine.settle()
    assert machine.behind.forget(None, None) == 5
    assert list(path.parent.iterdir()) == []
    machine.keep(9)
    machine.settle()
    assert machine.on_disk() == [9]
    assert machine.found(9) == [9]


def test_what_cannot_be_forgotten_in_the_file_takes_the_file_with_it(machine, monkeypatch):
    machine.keep(1, model="a")
    machine.keep(2, model="b")
    machine.settle()

    def fails(*_):
        raise coded(sqlite3.SQLITE_FULL)

    monkeypatch.setattr(module.Disk, "forget", fails)
    machine.behind.forget("a", None)
    monkeypatch.undo()
    machine.settle()
    assert machine.on_disk() == []
    assert machine.found(1, 2) == [2]


def unusable(machine, path, tmp_path):
    """The file cannot be opened, nor can it be removed: a folder stands there."""
    machine.let_go()
    for each in list(path.parent.iterdir()):
        each.rename(tmp_path / each.name)
    path.mkdir()
    machine.clock.advance(AGAIN_S)
    machine.settle()
    assert machine.behind.trouble


def usable(machine, path, tmp_path):
    path.rmdir()
    shutil.move(tmp_path / path.name, path)
    machine.clock.advance(AGAIN_S)


@pytest.mark.parametrize("named", [{}, {"model": "a"}], ids=["all", "a model"])
def test_what_could_not_be_forgotten_is_told_and_never_given_again(machine, path, tmp_path, named):
    machine.keep(1, model="a")
    machine.keep(2, model="b")
    machine.settle()
    unusable(machine, path, tmp_path)
    with pytest.raises(NotForgotten, match="still holds"):
        machine.behind.forget(named.get("model"), None)
    assert machine.found(1, 2) == ([2] if named else [])
    machine.cold()
    usable(machine, path, tmp_path)
    assert machine.found(1) == []
    assert machine.on_disk() == ([2] if named else [])


def test_so_much_could_not_be_forgotten_that_all_is(machine, path, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MOST_DUE", 3)
    machine.keep(1, model="a")
    machine.settle()
    unusable(machine, path, tmp_path)
    for number in range(5):
        with pytest.raises(NotForgotten):
            machine.behind.forget(str(number), None)
    machine.cold()
    usable(machine, path, tmp_path)
    assert machine.found(1) == []
    assert machine.on_disk() == []


def test_a_log_that_is_read_just_now_is_emptied_soon(machine, path):
    machine.keep(1, model="a")
    machine.settle()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin")
        other.execute("select count(*) from answers").fetchone()
        machine.behind.forget("a", None)
        machine.settle()
    machine.clock.advance(IDLE_S)
    machine.settle()
    assert path.with_name("cache.db-wal").stat().st_size == 0


def test_what_was_forgotten_while_there_is_no_thread_is_gone_from_the_file(machine, path):
    assert machine.behind.forget_alone(None, None) == 0
    assert not path.parent.exists()
    machine.keep(1, model="a")
    machine.keep(2, model="b")
    machine.settle()
    machine.behind.close()
    alone = Machine(path)
    assert alone.behind.forget_alone("a", None) == 1
    assert machine.on_disk() == [2]
    assert alone.behind.forget_alone(None, None) == 1
    assert list(path.parent.iterdir()) == []


# -- other processes --


@pytest.fixture
def other(path, machine):
    other = Machine(path, machine.clock)
    yield other
    other.behind.close()


@pytest.mark.parametrize("named", [(None, None), ("a", None), (None, "x"), ("a", "x")], ids=str)
def test_what_another_process_forgot_is_forgotten_here_within_a_second(machine, other, named):
    for number in range(3):
        machine.keep(number, model="a", project="x")
    machine.settle()
    other.keep(3, model="a", project="x")
    assert other.found(0, 1) == [0, 1]
    machine.behind.forget(*named)
    other.behind.step()
    assert other.found(0, 1, 2, 3) == []
    assert machine.on_disk() == []


def test_what_another_process_forgot_while_the_file_could_not_be_had_here_is_forgotten_too(machine, other):
    machine.keep(1, model="a")
    machine.settle()
    assert other.found(1) == [1]
    other.behind._fail(RuntimeError(), None)
    machine.behind.forget("a", None)
    other.settle()
    other.clock.advance(AGAIN_S)
    other.settle()
    assert other.behind.trouble is None
    assert other.found(1) == []


def test_a_file_that_was_removed_while_it_could_not_be_had_here_is_forgotten_too(machine, other):
    machine.keep(1, model="a")
    machine.settle()
    assert other.found(1) == [1]
    other.behind._fail(RuntimeError(), None)
    machine.behind.forget(None, None)
    machine.keep(2)
    machine.settle()
    other.clock.advance(AGAIN_S)
    other.settle()
    assert other.found(1, 2) == [2]


def test_a_file_removed_by_hand_is_forgotten(machine, path, caplog):
    machine.keep(1)
    machine.settle()
    path.unlink()
    machine.settle()
    assert machine.found(1) == []
    assert "removed or replaced" in caplog.text
    machine.keep(2)
    machine.settle()
    assert machine.on_disk() == [2]


def test_a_later_answer_of_another_process_takes_the_place_of_one_that_is_too_old(machine, other):
    machine.keep(1, b"old")
    machine.settle()
    other.clock.advance(299)
    assert other.found(1) == [1]
    machine.keep(1, b"new")
    machine.settle()
    assert other.behind.look(key_of(1)).body == b"old"
    other.clock.advance(1)
    assert other.behind.look(key_of(1)).body == b"new"
    assert other.memory.get(key_of(1)).body == b"new"


def test_limits_hold_for_what_all_processes_write(machine, other):
    for each in (machine, other):
        each.memory.limit(Limits(10, 2**30))
        each.behind.bounds = Bounds(Limits(10, 2**30), 300.0)
    for number in range(100):
        (machine, other)[number % 2].keep(number)
        (machine, other)[number % 2].behind.step()
    machine.settle()
    assert len(machine.on_disk()) <= 11


def test_no_record_of_the_log_holds_what_was_kept(machine, path, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    machine.keep(1, PLANTED, model="planted", project="planted")
    machine.settle()
    damage_row(path, 1)
    machine.cold()
    machine.found(1)
    machine.keep(2, PLANTED, model="planted", seconds=float("nan"))
    machine.settle()
    path.unlink()
    machine.settle()
    assert caplog.records
    assert "planted" not in caplog.text
