"""Calls that end with their process leave a note, of which the next process makes their record: what it says, and when it goes."""

import os
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.core.scripted import GOOD, JSON, SSE, START, STREAMED, WORD, World, call
from tests.core.test_metering import NOW, PROVIDERS
from tests.core.test_metering import call as made
from tokenman_core import underway
from tokenman_core.config.models import Pricing
from tokenman_core.exchange import Attempt, Caller, Exchange
from tokenman_core.ledger import row_of
from tokenman_core.metering import Meter
from tokenman_core.net import UpstreamError
from tokenman_core.price_lists import Lists
from tokenman_core.pricing import Prices
from tokenman_core.underway import PLACES, Underway
from tokenman_core.usage import Bill, Usage

SONNET = "claude-sonnet-4-5"


def opened(folder: Path) -> Underway:
    notes = Underway(folder / "underway")
    notes.open()
    return notes


def begun(id: str = "req_0123456789abcdef01234567", *, text: str = "", **more: object) -> Exchange:
    exchange = made("anthropic", SONNET)
    exchange.id, exchange.stream, exchange.caller = id, True, Caller(client="ada", login="key")
    exchange.labels = {"project": "shop", "model": SONNET, "session": "s\ud8001"}
    exchange.attempts.clear()
    if text and exchange.body is not None:
        exchange.body.slots[0].text = text
    for name, value in more.items():
        setattr(exchange, name, value)
    return exchange


def attempt(exchange: Exchange, number: int = 1, bill: Bill | None = None) -> Attempt:
    """One that has set out; with a bill it is over."""
    it = Attempt(number, exchange.plan[0], bill=bill, sent=True)
    exchange.attempts.append(it)
    return it


def bill(cost: str) -> Bill:
    usage = Usage(700, 80, 500, 20, 10, 5, {"web_searches": 2})
    return Bill(usage, Decimal(cost), "list", cache_saved=Decimal("-0.001"))


@pytest.fixture
def meter():
    it = Meter(Prices(Pricing(), Lists()), PROVIDERS)
    yield it
    it.close()


async def test_a_call_that_was_sent_leaves_what_its_record_says_and_its_input_at_its_price(tmp_path, meter):
    notes, exchange = opened(tmp_path), begun(text="word " * 800)
    notes.note(exchange, attempt(exchange))
    (left,) = opened(tmp_path).left.values()  # the first was never closed, as when it is killed
    row = row_of(underway.record(left, await meter.lost(left)))
    assert (row.id, row.time.timestamp(), row.attempts) == (exchange.id, NOW, 1)
    assert (row.provider, row.model, row.dialect, row.operation) == ("anthropic", SONNET, "anthropic", "messages")
    assert (row.project, row.client, row.session, row.login, row.stream) == ("shop", "ada", "s1", "key", True)
    assert (row.outcome, row.error, row.status) == ("crashed", "internal", 0)
    assert row.usage == Usage(input=1000)
    assert (row.cost, row.basis, row.estimated, row.notional) == (Decimal("0.003"), "list", True, False)
    assert "what it had written is not known" in row.detail
    assert (tmp_path / "underway").stat().st_mode & 0o777 == 0o600


async def test_what_was_booked_but_not_recorded_is_recorded_to_the_last_digit(tmp_path, meter):
    notes, exchange = opened(tmp_path), begun()
    it = attempt(exchange)
    notes.note(exchange, it)
    it.bill = bill("0.000000000123")
    notes.note(exchange, None)
    (left,) = opened(tmp_path).left.values()
    assert await meter.lost(left) is None
    assert underway.record(left, None).bill == it.bill
    assert "before this call was recorded" in underway.record(left, None).detail


async def test_an_attempt_that_was_booked_and_one_that_was_not_make_one_record(tmp_path, meter):
    notes, exchange = opened(tmp_path), begun(text="w" * 4000)
    attempt(exchange, 1, bill("0.5"))
    notes.note(exchange, attempt(exchange, 2))
    (left,) = opened(tmp_path).left.values()
    record = underway.record(left, await meter.lost(left))
    assert (record.attempts, record.bill.cost, record.bill.usage.input) == (2, Decimal("0.503"), 1700)
    assert record.bill.estimated


def test_what_a_budget_tells_of_a_call_goes_with_what_its_earlier_attempts_had_cost(tmp_path):
    notes = opened(tmp_path)
    for number, id in enumerate(("req_aa", "req_bb")):
        exchange = begun(id)
        attempt(exchange, 1, bill("0.5"))
        notes.note(exchange, attempt(exchange, 2))
        assert number == len(notes.left)
        notes = opened(tmp_path)
    told = Bill(Usage(input=9), Decimal("0.25"), "list", estimated=True)
    later, same = (underway.record(notes.left[id], told) for id in ("req_aa", "req_bb"))
    second = notes.known(replace(later, bill=told))
    assert second.bill is not None
    assert second.bill.cost == Decimal("0.75")
    first = notes.known(replace(same, bill=told, attempts=1))  # it was booked just when the process ended
    assert first.bill == told
    assert not notes.left
    assert notes.known(second) is second


def test_a_note_goes_when_the_row_is_written_and_not_before(tmp_path):
    notes, exchange = opened(tmp_path), begun()
    it = attempt(exchange)
    notes.note(exchange, it)
    notes.note(exchange, None)
    assert opened(tmp_path).left
    notes.forget(exchange.id)
    notes.forget(exchange.id)
    assert not opened(tmp_path).left


def test_what_is_taken_up_keeps_its_place_until_its_row_is_written_too(tmp_path):
    first, exchange = opened(tmp_path), begun()
    first.note(exchange, attempt(exchange))
    second = opened(tmp_path)
    second.left.clear()
    other = begun("req_other")
    second.note(other, attempt(other))
    assert set(opened(tmp_path).left) == {exchange.id, "req_other"}
    second.forget(exchange.id)
    assert set(opened(tmp_path).left) == {"req_other"}


def test_what_costs_nothing_and_what_was_never_sent_leaves_no_note(tmp_path):
    notes = opened(tmp_path)
    free = begun(operation=begun().dialect.operation("POST", "/v1/messages/count_tokens"))
    notes.note(free, attempt(free))
    notes.note(begun("req_refused"), None)
    assert not opened(tmp_path).left


def test_more_calls_than_there_are_places_go_on_without_a_note(tmp_path):
    notes = opened(tmp_path)
    for number in range(PLACES + 3):
        exchange = begun(f"req_{number}")
        notes.note(exchange, attempt(exchange))
    assert len(opened(tmp_path).left) == PLACES
    notes.forget("req_0")
    notes.note(exchange, exchange.attempts[0])
    assert f"req_{PLACES + 2}" in opened(tmp_path).left


def test_names_of_any_length_and_script_fit(tmp_path):
    notes, exchange = opened(tmp_path), begun(project="x")
    exchange.labels = dict.fromkeys(("project", "session", "model"), "\U0001f600\n" * 5000)
    exchange.caller = Caller(client="\U0001f600" * 500)
    notes.note(exchange, attempt(exchange))
    (left,) = opened(tmp_path).left.values()
    assert left.said["session"] == left.said["project"] == "-"
    assert row_of(underway.record(left, None)).provider == "anthropic"


@pytest.mark.parametrize(
    "note", [b"no JSON", b"{}", b"[1]", b'{"id": "a", "bill": {"usage": [1]}}', b"\xff"], ids=str
)  # fmt: skip
def test_a_note_that_cannot_be_read_is_told_and_its_place_is_free_again(tmp_path, caplog, note):
    notes = opened(tmp_path)
    with (tmp_path / "underway").open("r+b") as file:
        file.write(len(note).to_bytes(2) + note)
    notes = opened(tmp_path)
    assert not notes.left
    assert "cannot be read" in caplog.text
    caplog.clear()
    opened(tmp_path)
    assert not caplog.text


def test_a_file_that_cannot_be_written_stops_no_call_and_is_told_once(tmp_path, caplog):
    notes = Underway(tmp_path / "nowhere" / "underway")
    notes.open()
    exchange = begun()
    notes.note(exchange, attempt(exchange))
    notes.forget(exchange.id)
    assert caplog.text.count("cannot be written") == 1
    link = tmp_path / "underway"
    link.symlink_to(tmp_path / "elsewhere")
    Underway(link).open()
    assert not (tmp_path / "elsewhere").exists()
    full = Underway(tmp_path / "full")
    full.open()
    assert full._file is not None
    os.close(full._file)
    for _ in range(3):
        full.note(exchange, exchange.attempts[0])
    assert caplog.text.count("Bad file descriptor") == 1


async def test_a_provider_that_is_configured_no_more_has_no_price(tmp_path, meter):
    exchange = begun()
    notes = opened(tmp_path)
    notes.note(exchange, attempt(exchange))
    (left,) = opened(tmp_path).left.values()
    left.said["provider"] = "gone"
    found = await meter.lost(left)
    assert found is not None
    assert (found.cost, found.basis) == (None, "unknown")


async def test_a_subscription_stays_one(tmp_path, meter):
    notes, exchange = opened(tmp_path), begun()
    exchange.caller = Caller(login="oauth")
    notes.note(exchange, attempt(exchange))
    (left,) = opened(tmp_path).left.values()
    found = await meter.lost(left)
    assert found is not None
    assert found.notional


async def test_each_attempt_is_noted_before_it_sets_out_and_once_it_is_booked():
    told: list[tuple[int | None, int, list[object]]] = []

    def note(exchange: Exchange, attempt: Attempt | None) -> None:
        number = None if attempt is None else attempt.number
        told.append((number, len(world.upstream.requests), [each.bill is not None for each in exchange.attempts]))

    world = World({"a": [(500, JSON, [b"{}"])], "b": [GOOD]}, note=note)
    await world.carry(call())
    assert told == [(1, 0, [False]), (None, 1, [False]), (2, 1, [False, False]), (None, 2, [False, True])]
    told.clear()
    world = World({"a": [(200, SSE, [START, WORD, UpstreamError("reset", "no")])], "b": [GOOD]}, note=note)
    await world.carry(call(STREAMED))
    assert told == [(1, 0, [False]), (None, 1, [True])]
