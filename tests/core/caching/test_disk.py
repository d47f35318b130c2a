"""The file of kept answers: what is written is read, what is removed leaves nothing, and other processes hear of it."""

import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from tests.core.caching.entries import KEY, NOW, entry, key_of, noise
from tokenman_core import database
from tokenman_core.caching import disk as disk_module
from tokenman_core.caching import packed
from tokenman_core.caching.cipher import Checksum, Cipher
from tokenman_core.caching.disk import EVERYTHING, Disk, Later, is_damage, mark_of, remove_file
from tokenman_core.caching.packed import FORM, Packing

SEAL = Checksum(KEY)
PACKING = Packing(SEAL, KEY)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Locks here are held until the test lets go: nobody needs to wait to see that."""
    monkeypatch.setattr(database, "BUSY_S", 0)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "cache.db"


@pytest.fixture
def opened(path):
    with closing(Disk(path, SEAL.mark)) as disk:
        yield disk


def row(number, body=b"{}", **changes):
    return PACKING.row(key_of(number), entry(body, **changes))


def all_bytes(path: Path) -> bytes:
    return b"".join(each.read_bytes() for each in sorted(path.parent.iterdir()))


def left(path: Path, rows) -> list[bytes]:
    """Pieces of sealed bytes that still stand in any of the files: in freed pages, in gaps of pages in use, in the log."""
    found = all_bytes(path)
    every = [each.sealed[at : at + 20] for each in rows for at in range(0, 300 - 20, 90)]
    every += [each.sealed[-at : -at + 20] for each in rows for at in range(40, 300, 90)]
    return [piece for piece in every if piece in found]


def sealed_row(number, size=300, **changes):
    """No two of them have anything in common."""
    return Packing(Cipher(KEY), KEY).row(key_of(number), entry(noise(number, size), **changes))


def test_what_is_written_is_read(opened):
    rows = [row(1), row(2, noise(2, 10_000))]
    assert opened.write(rows)
    assert [opened.read(each.key) for each in rows] == rows
    assert opened.read(key_of(3)) is None


def test_it_is_there_when_the_file_is_opened_again(path):
    with closing(Disk(path, SEAL.mark)) as disk:
        disk.write([row(1)])
        first = disk.id
    with closing(Disk(path, SEAL.mark)) as disk:
        assert disk.read(key_of(1)) == row(1)
        assert disk.id == first
        assert (disk.entries, disk.size > len(row(1).sealed)) == (1, True)


def test_a_later_answer_takes_the_place_of_an_earlier_one(opened, path):
    old = sealed_row(1, 3000)
    opened.write([old])
    opened.write([row(1)])
    assert opened.read(key_of(1)) == row(1)
    assert opened.entries == 1
    size = opened.size
    opened.count()
    assert opened.size == size
    opened.checkpoint()
    assert not left(path, [old])


def test_only_the_owner_can_read_any_of_its_files(opened, path):
    opened.write([row(1)])
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert modes == {"cache.db": 0o600, "cache.db-wal": 0o600, "cache.db-shm": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("least", [100, 1000, 2000, 4000, 9000])
def test_what_it_takes_is_counted_honestly(path, least):
    with closing(Disk(path, SEAL.mark)) as disk:
        for at in range(0, 1000, 50):
            disk.write([row(number, noise(number, least + number)) for number in range(at, at + 50)])
        size = disk.size
    assert 0.75 * size < path.stat().st_size < 1.1 * size, path.stat().st_size / size


# -- what goes --


def test_those_used_longest_ago_are_evicted_first(opened):
    opened.write([row(number) for number in range(5)])
    opened.touch([key_of(1), key_of(0)])
    opened.write([row(5)])
    assert set(opened.shrink(3, 10**9)) == {key_of(2), key_of(3), key_of(4)}
    assert opened.keys() == {key_of(0), key_of(1), key_of(5)}
    assert list(opened.shrink(1, 10**9)) == [key_of(1), key_of(0)]
    assert opened.evicted == 5


def test_as_many_are_evicted_as_take_too_much(opened):
    opened.write([row(number, noise(number, 10_000)) for number in range(5)])
    one = opened.size // 5
    assert list(opened.shrink(100, 3 * one + 10)) == [key_of(0), key_of(1)]
    assert opened.shrink(100, 3 * one + 10) == ()
    assert 3 * one - 50 < opened.size <= 3 * one + 10


def test_a_step_of_eviction_removes_no_more_than_others_can_wait_for(opened, monkeypatch):
    monkeypatch.setattr(disk_module, "_AT_ONCE", 3)
    opened.write([row(number) for number in range(10)])
    assert len(opened.shrink(2, 10**9)) == 3
    assert len(opened.shrink(2, 10**9)) == 3
    assert len(opened.shrink(2, 10**9)) == 2
    assert opened.shrink(2, 10**9) == ()


def test_what_is_too_old_or_from_after_now_expires(opened, monkeypatch):
    monkeypatch.setattr(disk_module, "_AT_ONCE", 2)
    opened.write([row(number, stored=NOW + number) for number in range(8)])
    while opened.expire(NOW + 2, NOW + 5):
        pass
    assert opened.keys() == {key_of(3), key_of(4), key_of(5)}
    assert opened.entries == 3


@pytest.mark.parametrize(
    ("model", "project", "left_over"),
    [
        ("a", None, {2, 3}),
        (None, "x", {1, 3}),
        ("a", "x", {1, 2, 3}),
        (None, "", {0, 1, 2}),
        (None, None, set()),
        ("c", None, {0, 1, 2, 3}),
    ],
)
def test_a_model_a_project_or_both_are_forgotten(opened, model, project, left_over):
    named = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "")]
    opened.write([row(number, model=m, project=p) for number, (m, p) in enumerate(named)])
    labels = (model and PACKING.model(model), None if project is None else PACKING.project(project))
    assert opened.forget(labels) == {key_of(n) for n in {0, 1, 2, 3} - left_over}
    assert opened.keys() == {key_of(n) for n in left_over}
    assert opened.entries == len(left_over)


@pytest.mark.parametrize("size", [300, 3000, 40_000])
@pytest.mark.parametrize("way", ["forget", "expire", "shrink", "remove"])
def test_nothing_is_left_of_what_was_removed(opened, path, way, size):
    rows = [
        sealed_row(n, size, model="ab"[n % 3 == 0], stored=NOW + (n % 3 == 0)) for n in range(max(60, 60_000 // size))
    ]
    for at in range(0, len(rows), 7):
        opened.write(rows[at : at + 7])
        opened.touch([each.key for each in rows[: at + 7 : 3]])
    assert len(left(path, rows)) > len(rows) * 5  # so what is found below is found
    gone = [each for number, each in enumerate(rows) if number % 3]
    stays = [each for number, each in enumerate(rows) if number % 3 == 0]
    if way == "forget":
        opened.forget((PACKING.model("a"), None))
    elif way == "expire":
        while opened.expire(NOW, NOW + 10):
            pass
    elif way == "shrink":
        while opened.shrink(len(stays), 10**12):
            pass
    else:
        for each in gone:
            opened.remove(each.key)
    assert opened.checkpoint()
    assert not left(path, gone)
    assert opened.keys() == {each.key for each in stays}
    assert [opened.read(each.key) for each in stays] == stays


def test_a_purge_gives_its_space_back(opened, path):
    opened.write([row(number, noise(number, 40_000), model="ab"[number % 2]) for number in range(100)])
    opened.checkpoint()
    before = path.stat().st_size
    opened.forget((PACKING.model("a"), None))
    opened.checkpoint()
    assert path.stat().st_size < before * 0.55
    opened.forget(EVERYTHING)
    opened.checkpoint()
    assert sum(each.stat().st_size for each in path.parent.iterdir()) < 100_000


def test_rows_that_went_little_by_little_give_their_space_back_too(opened, path):
    opened.write([row(number, noise(number, 40_000)) for number in range(100)])
    opened.checkpoint()
    before = path.stat().st_size
    opened.shrink(50, 10**9)
    while opened.give_back():
        pass
    opened.checkpoint()
    assert path.stat().st_size < before * 0.6


def test_the_log_stays_short_during_a_large_purge(opened, path, monkeypatch):
    monkeypatch.setattr(disk_module, "_AT_ONCE_BYTES", 500_000)
    opened.write([row(number, noise(number, 100_000)) for number in range(200)])
    opened.checkpoint()
    opened.forget(EVERYTHING)
    assert path.with_name("cache.db-wal").stat().st_size < 10_000_000


# -- rows of others --


def test_a_row_of_another_seal_is_not_found_and_goes(opened, path):
    opened.write([row(1), row(2)])
    other = Cipher(KEY)
    with closing(Disk(path, other.mark)) as sealing:
        assert sealing.read(key_of(1)) is None
        assert opened.keys() == {key_of(2)}
        sealing.write([Packing(other, KEY).row(key_of(3), entry())])
        while sealing.purify():
            pass
        assert sealing.keys() == {key_of(3)}
    assert opened.read(key_of(3)) is None


def test_a_row_of_a_later_form_is_not_found_and_stays(opened, monkeypatch):
    monkeypatch.setattr(disk_module, "FORM", FORM + 1)
    opened.write([row(1)])
    monkeypatch.undo()
    assert opened.read(key_of(1)) is None
    assert not opened.purify()
    assert opened.keys() == {key_of(1)}
    opened.write([row(1)])
    assert opened.read(key_of(1)) == row(1)


def test_a_row_of_an_earlier_form_goes(opened, monkeypatch):
    monkeypatch.setattr(disk_module, "FORM", FORM - 1)
    opened.write([row(1), row(2)])
    monkeypatch.undo()
    assert opened.read(key_of(1)) is None
    opened.purify()
    assert opened.keys() == set()


# -- two processes --


def test_what_one_forgets_the_other_hears(opened, path):
    with closing(Disk(path, SEAL.mark)) as other:
        assert other.news() == []
        opened.forget((PACKING.model("a"), None))
        opened.forget((None, PACKING.project("x")))
        assert other.news() == [(PACKING.model("a"), None), (None, PACKING.project("x"))]
        assert other.news() == opened.news() == []


def test_nothing_is_written_over_the_head_of_one_who_forgot(opened, path):
    with closing(Disk(path, SEAL.mark)) as other:
        other.news()
        opened.forget((PACKING.model("a"), None))
        assert not other.write([row(1)])
        assert other.keys() == set()
        assert other.news() == [(PACKING.model("a"), None)]
        assert other.write([row(1)])


def test_two_who_forget_at_once_hear_of_each_other(opened, path):
    with closing(Disk(path, SEAL.mark)) as other:
        opened.forget((PACKING.model("a"), None))
        other.forget((PACKING.model("b"), None))
        assert other.news() == [(PACKING.model("a"), None)]
        assert opened.news() == [(PACKING.model("b"), None)]


def test_who_missed_too_much_forgets_all(opened, path, monkeypatch):
    monkeypatch.setattr(disk_module, "_FORGOTTEN", 3)
    with closing(Disk(path, SEAL.mark)) as other:
        for number in range(5):
            opened.forget((PACKING.model(str(number)), None))
        assert other.news() == [EVERYTHING]
        assert other.news() == []


def test_who_had_the_file_closed_hears_what_came_meanwhile(opened, path):
    with closing(Disk(path, SEAL.mark)) as other:
        heard = other.heard
    opened.forget(EVERYTHING)
    with closing(Disk(path, SEAL.mark)) as other:
        assert other.news() == []
        other.hear_since(heard)
        assert other.news() == [EVERYTHING]


def test_what_another_wrote_is_counted_and_found(opened, path):
    with closing(Disk(path, SEAL.mark)) as other:
        opened.write([row(1), row(2)])
        assert other.read(key_of(1)) == row(1)
        other.news()
        assert (other.entries, other.size) == (opened.entries, opened.size)
        other.shrink(1, 10**9)
        opened.news()
        assert opened.shrink(1, 10**9) == ()
        assert (opened.entries, other.evicted, opened.evicted) == (1, 1, 0)


def test_what_is_locked_says_so_and_is_no_damage(opened, path):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        with pytest.raises(sqlite3.OperationalError) as locked:
            opened.write([row(1)])
        assert not is_damage(locked.value)
        other.execute("rollback")
    assert opened.write([row(1)])


def test_a_log_that_somebody_reads_cannot_be_emptied(opened, path):
    opened.write([row(1)])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin")
        other.execute("select count(*) from answers").fetchone()
        opened.forget(EVERYTHING)
        assert not opened.checkpoint()
    assert opened.checkpoint()


# -- files of others --


def test_a_file_of_a_later_version_is_used_as_it_is(path):
    with closing(Disk(path, SEAL.mark)) as disk:
        disk.write([row(1)])
        disk._connection.execute("alter table answers add column more text not null default 'x'")
        disk._connection.execute("create table other (a)")
        disk._connection.execute("pragma user_version = 7")
    with closing(Disk(path, SEAL.mark)) as disk:
        assert disk.read(key_of(1)) == row(1)
        assert disk.write([row(2)])
        assert disk._connection.execute("pragma user_version").fetchone() == (7,)


def test_a_file_of_a_later_version_that_is_made_otherwise_is_left_alone(path):
    with closing(Disk(path, SEAL.mark)) as disk:
        disk._connection.execute("drop table answers")
        disk._connection.execute("pragma user_version = 7")
    with pytest.raises(Later) as later:
        Disk(path, SEAL.mark)
    assert not is_damage(later.value)
    assert path.exists()


def of_something_else(path):
    with closing(sqlite3.connect(path)) as other:
        other.execute("create table answers (a)")


def without_its_tables(path):
    with closing(sqlite3.connect(path)) as other:
        other.execute("pragma user_version = 1")
        other.execute("create table a (a)")


def with_another_id(path):
    Disk(path, SEAL.mark).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("update file set id = 17")


def without_id(path):
    Disk(path, SEAL.mark).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("delete from file")


def with_odd_sizes(path):
    Disk(path, SEAL.mark).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("insert into answers values (x'00', x'', x'', 1.0, 1, 'big', 1, x'', x'')")


@pytest.mark.parametrize(
    "spoil",
    [
        of_something_else,
        without_its_tables,
        with_another_id,
        without_id,
        with_odd_sizes,
        lambda path: path.write_bytes(b"This is no database at all. " * 100),
        lambda path: path.write_bytes(b"SQLite format 3\0" + noise(1, 8000)),
    ],
    ids=["other tables", "no tables", "odd id", "no id", "odd sizes", "text", "noise"],
)
def test_a_file_that_is_none_of_ours_is_damage(path, spoil):
    path.parent.mkdir()
    spoil(path)
    with pytest.raises(Exception) as told:  # noqa: PT011  # each has its own, and `is_damage` knows them
        Disk(path, SEAL.mark)
    assert is_damage(told.value)


def test_uses_beyond_all_counting_are_damage(opened):
    opened.write([row(1)])
    opened._connection.execute("update answers set used = ?", (2**62,))
    with pytest.raises(Exception) as told:  # noqa: PT011  # as above
        opened.write([row(2)])
    assert is_damage(told.value)


@pytest.mark.parametrize("column", ["model", "project", "sealed", "stored"])
def test_a_column_of_another_type_is_damage(opened, column):
    opened.write([row(1)])
    opened._connection.execute(f"update answers set {column} = 17 where 1")
    opened._connection.execute(f"update answers set {column} = 'text' where '{column}' = 'stored'")
    with pytest.raises(Exception) as told:  # noqa: PT011  # as above
        opened.read(key_of(1))
    assert is_damage(told.value)


def test_an_empty_log_without_its_file_comes_to_nothing(path):
    """As a process leaves it that was killed while it removed the file."""
    disk = Disk(path, SEAL.mark)
    written = sealed_row(1)
    disk.write([written])
    log = path.with_name("cache.db-wal").read_bytes()
    disk.close()
    path.unlink()
    path.with_name("cache.db-wal").write_bytes(log)
    assert left(path, [written])
    with closing(Disk(path, SEAL.mark)) as disk:
        assert disk.keys() == set()
        assert not left(path, [written])


def test_what_a_killed_process_had_forgotten_leaves_the_log_with_the_next_start(opened, path, tmp_path):
    written = sealed_row(1)
    opened.write([written])
    opened.forget(EVERYTHING)
    copy = tmp_path / "as it was left" / "cache.db"
    shutil.copytree(path.parent, copy.parent)
    assert left(copy, [written])
    with closing(Disk(copy, SEAL.mark)) as disk:
        assert disk.keys() == set()
        assert not left(copy, [written])


def test_removing_takes_all_that_lies_beside_it(path):
    disk = Disk(path, SEAL.mark)
    disk.write([row(1)])
    remove_file(path)
    assert list(path.parent.iterdir()) == []
    assert disk.replaced
    disk.close()
    remove_file(path)


def test_another_file_that_took_its_place_is_not_removed(path):
    Disk(path, SEAL.mark).close()
    device, number = mark_of(path)
    remove_file(path, (device, number + 1))
    assert path.exists()
    remove_file(path, (device, number))
    assert not path.exists()
    assert mark_of(path) is None


def test_an_answer_too_large_for_a_row_is_not_read(opened, monkeypatch):
    assert opened._connection.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) > packed.MOST_BYTES
    opened.write([row(1, noise(1, 5000))])
    opened._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 4000)
    with pytest.raises(sqlite3.DataError) as told:
        opened.read(key_of(1))
    assert is_damage(told.value)
