import re
import sqlite3
import threading
from decimal import Decimal

import pytest

from tests.core.ledger.calls import call, name
from tokenman_core.database import migrate, version
from tokenman_core.ledger import LedgerReader, row_of, schema
from tokenman_core.ledger.store import Store
from tokenman_core.record import Tried
from tokenman_core.usage import Bill, Usage

NEXT = (
    *schema.STEPS,
    (
        "alter table calls add column region integer not null default 0",
        "alter table days add column region_calls integer not null default 0",
        "create table regions (name text primary key)",
    ),
)
"""What a newer version could bring."""


def open_file(path):
    return sqlite3.connect(path, isolation_level=None)


def test_a_new_file_has_the_newest_version(tmp_path):
    Store(tmp_path / "l.db").close()
    assert version(open_file(tmp_path / "l.db")) == len(schema.STEPS)


def test_a_file_is_migrated_under_an_older_writer_which_goes_on_writing(tmp_path):
    path = tmp_path / "l.db"
    old = Store(path)
    old.add([row_of(call(1))])
    new = open_file(path)
    migrate(new, NEXT)
    old.add([row_of(call(2))])
    new.execute("update calls set region = 7 where id = ?", (bytes.fromhex(name(2)[4:]),))
    old.add([row_of(call(3))])
    assert new.execute("select region from calls order by seq").fetchall() == [(0,), (7,), (0,)]
    assert new.execute("select calls, region_calls from days").fetchall() == [(3, 0)]
    assert version(new) == len(NEXT)
    assert new.execute("pragma integrity_check").fetchone() == ("ok",)
    old.close()


def test_an_older_version_writes_and_reads_a_newer_file_and_leaves_it_newer(tmp_path):
    path = tmp_path / "l.db"
    Store(path).close()
    migrate(open_file(path), NEXT)
    store = Store(path)
    store.add([row_of(call(1))])
    store.close()
    assert version(open_file(path)) == len(NEXT)
    assert LedgerReader(path).row(name(1)) == row_of(call(1))
    assert LedgerReader(path).totals("model").total.calls == 1


def test_sums_of_a_file_that_no_newer_version_has_opened_are_read_all_the_same(tmp_path):
    path = tmp_path / "l.db"
    migrate(open_file(path), schema.STEPS[:1])
    open_file(path).execute(
        "insert into days (day, provider, model, project, client, calls) values (20000, 'p', 'm', '', '', 3)"
    )
    total = LedgerReader(path).totals("model").total
    assert (total.calls, total.refused, total.ceiling) == (3, 0, 0)


@pytest.mark.parametrize("by", ["model", "session"])
def test_calls_of_such_a_file_are_summed_without_what_they_do_not_say(tmp_path, by):
    path = tmp_path / "l.db"
    migrate(open_file(path), schema.STEPS[:4])
    open_file(path).execute("insert into calls (id, time, cost) values (x'00', 1, 5000000000000)")
    reader = LedgerReader(path)
    assert (reader.totals(by).total.cost, reader.totals("hour").total.cache_saved) == (0 if by == "model" else 5, 0)
    assert reader.page().rows[0].cache_saved == 0


def test_of_many_that_migrate_at_once_one_does_and_none_fails(tmp_path):
    path = tmp_path / "l.db"
    Store(path).close()
    failures = []

    def one():
        try:
            connection = sqlite3.connect(path, timeout=30, isolation_level=None)
            together.wait()
            migrate(connection, NEXT)
        except sqlite3.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(8)]
    together = threading.Barrier(len(threads))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert version(open_file(path)) == len(NEXT)


def test_a_step_that_fails_is_taken_back_whole(tmp_path):
    path = tmp_path / "l.db"
    Store(path).close()
    connection = open_file(path)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, (*NEXT[:-1], (*NEXT[-1], "create table calls (again)")))
    assert version(connection) == len(schema.STEPS)
    assert "region" not in {row[1] for row in connection.execute("pragma table_info(calls)")}


@pytest.mark.parametrize("steps", [schema.STEPS, NEXT])
def test_steps_only_add(steps):
    adds = re.compile(r"create table |create index |alter table \w+ add column \w+ \w+( not null default \S+)?\Z")
    assert [statement for step in steps for statement in step if not adds.match(statement)] == []


@pytest.mark.parametrize("older", [1, 2])
def test_a_file_of_a_version_without_attempts_is_read_and_then_written_with_them(tmp_path, older):
    path = tmp_path / "l.db"
    old = open_file(path)
    migrate(old, schema.STEPS[:older])
    assert "tried" not in {row[1] for row in old.execute("pragma table_info(calls)")}
    old.execute("insert into calls (id, time) values (?, 0)", (bytes.fromhex(name(1)[4:]),))
    found = LedgerReader(path).row(name(1))
    assert found is not None
    assert found.tried == ()
    store = Store(path)
    tried = (Tried("anthropic", "server_error", "claude-x"), Tried("openai", "ok", "gpt-5-mini", 1.25))
    store.add([row_of(call(2, status=429, tried=tried))])
    store.close()
    assert version(old) == len(schema.STEPS)
    assert LedgerReader(path).totals("day").total.refused == 1
    found = LedgerReader(path).row(name(2))
    assert found is not None
    assert found.tried == tried


def test_a_file_of_a_version_without_breaks_is_read_and_then_written_with_them(tmp_path):
    path = tmp_path / "l.db"
    old = open_file(path)
    migrate(old, schema.STEPS[:6])
    old.execute("insert into calls (id, time, flags) values (?, 0, 1)", (bytes.fromhex(name(1)[4:]),))
    found = LedgerReader(path).row(name(1))
    assert found is not None
    assert (found.cache_break, found.cache_lost, found.cache_lost_usd, found.repeats) == ("", 0, 0, "")
    assert LedgerReader(path).totals("day").total.repeated == 0
    store = Store(path)
    said = {"cache_break": "system prompt changed at system", "cache_lost": 7, "cache_lost_usd": Decimal("0.5")}
    store.add([row_of(call(2, repeats="deterministic", **said))])
    store.close()
    assert LedgerReader(path).row(name(2)) == row_of(call(2, repeats="deterministic", **said))
    assert LedgerReader(path).totals("day").total.exact == 1


def test_a_file_of_a_version_that_did_not_count_what_stayed_is_read_and_then_written_with_it(tmp_path):
    path = tmp_path / "l.db"
    old = open_file(path)
    migrate(old, schema.STEPS[:7])
    old.execute("insert into calls (id, time) values (?, 0)", (bytes.fromhex(name(1)[4:]),))
    found = LedgerReader(path).row(name(1))
    assert found is not None
    assert found.unrestored == 0
    store = Store(path)
    store.add([row_of(call(2, unrestored=5))])
    store.close()
    found = LedgerReader(path).row(name(2))
    assert found is not None
    assert found.unrestored == 5


def test_a_file_of_a_version_without_parts_of_usage_is_read_and_then_written_with_them(tmp_path):
    path = tmp_path / "l.db"
    old = open_file(path)
    migrate(old, schema.STEPS[:4])
    old.execute("insert into calls (id, time) values (?, 0)", (bytes.fromhex(name(1)[4:]),))
    found = LedgerReader(path).row(name(1))
    assert found is not None
    assert found.usage.parts == {}
    store = Store(path)
    parts = {"web_searches": 3, "input_audio_tokens": 500}
    store.add([row_of(call(2, bill=Bill(Usage(1000, 5, parts=parts | {"audio_seconds": -1}), Decimal(1), "list")))])
    store.close()
    found = LedgerReader(path).row(name(2))
    assert found is not None
    assert found.usage.parts == parts
    assert found.usage.input == 1000
