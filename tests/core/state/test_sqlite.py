"""The state file: each step whole or not at all, for everybody who has it open, and what nobody renews goes away."""

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenman_core.database import migrate, version
from tokenman_core.state import Entry, Sqlite
from tokenman_core.state import sqlite as module
from tokenman_core.state.schema import STEPS
from tokenman_core.state.store import NOTHING

NOW, LATER = 1_000.0, 2_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "state.db"


@pytest.fixture
def pair(path: Path) -> Iterator[tuple[Sqlite, Sqlite]]:
    """The same file, opened twice as by two processes."""
    one, other = Sqlite(path), Sqlite(path)
    yield one, other
    one.close()
    other.close()


def put(store: Sqlite, value: bytes, over: int | None, *, name: str = "a", until: float = LATER) -> Entry:
    return store.put("k", name, value, until=until, over=over, now=NOW)


def lease(store: Sqlite, name: str, *, most: int = 1, over: int = 0, until: float = LATER, now: float = NOW) -> str:
    return store.lease("k", "a", name, most=most, over=over, until=until, now=now)[0]


def test_only_its_owner_reads_it(path: Path) -> None:
    store = Sqlite(path)
    put(store, b"x", 0)
    files = list(path.parent.iterdir())
    assert {each.name for each in files} == {"state.db", "state.db-wal", "state.db-shm"}
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    store.close()


def test_what_one_puts_the_other_finds(pair: tuple[Sqlite, Sqlite]) -> None:
    one, other = pair
    assert other.changed  # nothing was seen yet
    assert not other.changed
    assert put(one, b"x", 0) == Entry(1, b"x")
    assert other.changed
    assert not one.changed or not one.changed  # its own writes are none of others
    assert other.entries("k", NOW) == {"a": Entry(1, b"x")}
    assert other.entries("other", NOW) == {}


def test_of_two_who_write_over_the_same_version_one_wins(pair: tuple[Sqlite, Sqlite]) -> None:
    one, other = pair
    put(one, b"x", 0)
    assert put(one, b"y", 1) == Entry(2, b"y")
    assert put(other, b"z", 1) == Entry(2, b"y")  # it is told what stands there
    assert one.entries("k", NOW) == {"a": Entry(2, b"y")}


def test_a_hand_writes_over_whatever_is_there(pair: tuple[Sqlite, Sqlite]) -> None:
    one, other = pair
    put(one, b"x", 0)
    put(one, b"y", 1)
    assert put(other, b"z", None) == Entry(3, b"z")


def test_what_has_ended_is_nothing_and_in_nobodys_way(pair: tuple[Sqlite, Sqlite]) -> None:
    one, other = pair
    put(one, b"x", 0, until=NOW)
    assert other.entries("k", NOW) == {}
    assert put(other, b"y", 5) == Entry(6, b"y")  # whoever knew a later version goes on from it


def test_a_value_is_bounded(pair: tuple[Sqlite, Sqlite]) -> None:
    with pytest.raises(ValueError, match="bytes"):
        put(pair[0], b"x" * 5000, 0)
    assert pair[1].entries("k", NOW) == {}


def test_there_are_never_more_leases_than_there_may_be(pair: tuple[Sqlite, Sqlite]) -> None:
    one, other = pair
    assert [lease(one, "1", most=2), lease(other, "2", most=2), lease(one, "3", most=2)] == [
        "leased",
        "leased",
        "taken",
    ]
    other.free("1")
    assert lease(one, "3", most=2) == "leased"
    assert lease(other, "4", most=2) == "taken"


def test_a_lease_that_nobody_renews_ends(pair: tuple[Sqlite, Sqlite]) -> None:
    one, other = pair
    lease(one, "1", until=NOW + 15)
    assert lease(other, "2", now=NOW + 14.9) == "taken"
    one.renew(["1", "unknown"], NOW + 30)
    assert lease(other, "2", now=NOW + 15) == "taken"
    assert lease(other, "2", now=NOW + 30) == "leased"


def test_a_lease_is_of_the_version_that_was_spoken_of_and_ends_with_it(pair: tuple[Sqlite, Sqlite]) -> None:
    one, other = pair
    put(one, b"x", 0)
    assert lease(other, "1") == "moved"
    assert lease(other, "1", over=1) == "leased"
    assert lease(one, "2", over=1) == "taken"
    put(one, b"y", 1)
    assert lease(one, "2", over=1) == "moved"
    assert lease(one, "2", over=2) == "leased"


def test_many_small_values_are_kept_and_told_once(pair: tuple[Sqlite, Sqlite]) -> None:
    one, other = pair
    one.remember("m", {b"1": b"a", b"2": b"b"}, until=LATER, most=100, now=NOW)
    found, mark = other.remembered("m", 0, NOW)
    assert found == {b"1": b"a", b"2": b"b"}
    one.remember("m", {b"2": b"c"}, until=LATER, most=100, now=NOW)
    assert other.remembered("m", mark, NOW) == ({b"2": b"c"}, mark + 1)
    assert other.remembered("m", mark + 1, NOW) == ({}, mark + 1)
    assert other.remembered("m", 0, LATER) == ({}, 0)
    assert other.remembered("else", 0, NOW) == ({}, 0)


def test_the_oldest_of_them_go(pair: tuple[Sqlite, Sqlite], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SPARE", 2)
    for number in range(20):
        pair[0].remember("m", {b"%d" % number: b""}, until=LATER, most=5, now=NOW)
        assert len(pair[1].remembered("m", 0, NOW)[0]) <= 7
    pair[0].remember("m", {b"last": b"", b"least": b""}, until=LATER, most=5, now=NOW)
    assert list(pair[1].remembered("m", 0, NOW)[0])[-3:] == [b"19", b"last", b"least"]


def test_a_file_that_was_taken_away_is_noticed(path: Path) -> None:
    store = Sqlite(path)
    assert not store.replaced
    path.unlink()
    assert store.replaced
    store.close()


@pytest.mark.parametrize(
    "content", [b"no database at all, but long enough to be looked at" * 100, b"SQLite format 3\0" + b"\xff" * 4000]
)
def test_a_damaged_file_is_an_error_of_the_database_and_left_as_it_is(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(sqlite3.Error):
        Sqlite(path)
    assert path.read_bytes() == content


def test_a_step_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    Sqlite(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(sqlite3.Error):
        migrate(connection, [*STEPS, ("create table more (n integer)", "nonsense")])
    assert version(connection) == len(STEPS)
    assert not connection.execute("select 1 from sqlite_master where name = 'more'").fetchall()
    connection.close()


def test_a_newer_file_is_used_as_it_is(path: Path) -> None:
    Sqlite(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, [*STEPS, ("create table more (n integer)",)])
    connection.close()
    store = Sqlite(path)
    assert put(store, b"x", 0) == Entry(1, b"x")
    store.close()


def test_nothing_is_version_0() -> None:
    assert (NOTHING.version, NOTHING.value) == (0, b"")
