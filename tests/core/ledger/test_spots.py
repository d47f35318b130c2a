"""Where what was found in a call stood, as the ledger keeps it: beside the row, for the latest calls, and never a value."""

import random
from datetime import timedelta

import pytest

from tests.core.ledger.calls import DAY, NOON, call, mixed, name
from tokenman_core.database import migrate
from tokenman_core.exchange import Redacted, Spot
from tokenman_core.ledger import LedgerReader, row_of, schema
from tokenman_core.ledger import store as store_module
from tokenman_core.ledger.row import MOST_SPOTS
from tokenman_core.ledger.store import Store, micro

SPOT = Spot("messages[3].content[0].text", "EMAIL_ADDRESS", "redact", "0123456789abcdef", 2)
OTHER = Spot("system:x", "OWN_KIND", "block", "fedcba9876543210", 1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "l.db"


@pytest.fixture
def store(path):
    made = Store(path)
    yield made
    made.close()


def kept(path) -> list[int]:
    import sqlite3

    return [row[0] for row in sqlite3.connect(path).execute("select call from spots order by 1")]


def test_places_are_read_with_the_call_that_is_asked_for_and_not_with_a_page(path, store):
    store.add([row_of(call(1, spots=(SPOT, OTHER))), row_of(call(2))])
    reader = LedgerReader(path)
    found = reader.row(name(1))
    assert found is not None
    assert found.spots == (SPOT, OTHER)
    assert reader.begin_with(name(1)) == (found,)
    assert [row.spots for row in reader.page().rows] == [(), ()]
    assert kept(path) == [1]


def test_of_many_places_the_last_are_kept(path, store):
    spots = tuple(Spot(f"messages[{n}]", "JWT", "hash", f"{n:016x}") for n in range(100))
    store.add([row_of(call(1, spots=spots))])
    found = LedgerReader(path).row(name(1))
    assert found is not None
    assert found.spots == spots[-MOST_SPOTS:]


def test_a_call_that_is_told_twice_keeps_its_places(path, store):
    store.add([row_of(call(1, spots=(SPOT,)))])
    store.add([row_of(call(1, spots=(OTHER,)))])
    found = LedgerReader(path).row(name(1))
    assert found is not None
    assert found.spots == (SPOT,)


def test_places_go_with_their_call(path, store):
    store.add([row_of(call(1, NOON, spots=(SPOT,))), row_of(call(2, NOON + DAY, spots=(OTHER,)))])
    while store.purge(micro(NOON + timedelta(hours=1))):
        pass
    assert kept(path) == [2]
    assert LedgerReader(path).row(name(2)).spots == (OTHER,)  # type: ignore[union-attr]


def test_places_are_kept_of_the_latest_calls_alone(path, store, monkeypatch):
    monkeypatch.setattr(store_module, "SPOTS_OF", 3)
    store.add([row_of(call(number, spots=(SPOT,))) for number in range(1, 9)])
    while store.purge(0):
        pass
    assert kept(path) == [6, 7, 8]
    assert LedgerReader(path).page().rows[-1].id == name(1)


def test_a_file_of_an_older_version_is_read_without_places(path):
    import sqlite3

    old = sqlite3.connect(path, isolation_level=None)
    migrate(old, schema.STEPS[:3])
    old.execute("insert into calls (id, time) values (?, 0)", (bytes.fromhex(name(1)[4:]),))
    reader = LedgerReader(path)
    assert reader.row(name(1)).spots == ()  # type: ignore[union-attr]
    assert reader.redactions().projects == ()


def test_sums_by_project_agree_with_those_of_all(path, store):
    dice = random.Random(5)
    records = [mixed(n, dice, NOON + timedelta(seconds=dice.randrange(4 * 86400))) for n in range(200)]
    store.add([row_of(record) for record in records])
    for since, until in ((None, None), (NOON + timedelta(hours=7), NOON + 2 * DAY + timedelta(hours=3))):
        found = LedgerReader(path).redactions(since, until)
        for groups in (found.days, found.projects):
            assert sum(number for *_, number in groups) == sum(number for *_, number in found.counts) > 0


def test_a_day_has_room_for_so_many_projects_and_loses_no_value(path, store, monkeypatch):
    monkeypatch.setattr(store_module, "MOST_A_DAY", 5)
    masked = (Redacted("JWT", "redact", "redaction.secrets", 1),)
    store.add([row_of(call(n, project=f"p{n}", redactions=masked)) for n in range(20)])
    projects = LedgerReader(path).redactions(NOON - 2 * DAY, NOON + 2 * DAY).projects
    assert {project: number for project, _, _, number in projects}["other"] == 15
