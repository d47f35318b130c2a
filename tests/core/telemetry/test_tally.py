from dataclasses import replace
from decimal import Decimal

from tests.core.ledger.calls import bill, call
from tokenman_core.exchange import Redacted
from tokenman_core.telemetry.tally import Tallies, Tally

MASKED = (
    Redacted("EMAIL_ADDRESS", "redact", "redaction.mode", 2),
    Redacted("PHONE_NUMBER", "log", "redaction.entities.PHONE_NUMBER", 5),
)


def test_a_tally_adds_up_what_calls_were():
    tallies = Tallies()
    tallies.ended(call(1, redactions=MASKED, bill=bill("0.1", input=10, output=3)))
    tallies.ended(call(2, bill=bill("0.2", input=1, output=1), saved=Decimal("0.05")))
    tallies.ended(call(3, bill=bill(None, input=5, output=0)))
    tallies.ended(call(4, outcome="aborted", status=0, bill=None))
    tallies.ended(call(5, outcome="refused", error="redaction", status=400, bill=None))
    tallies.ended(call(6, status=401, bill=None, generates=False))
    tallies.ended(call(7, status=401, bill=replace(bill("0.1", input=0, output=0), basis="ceiling")))
    tallies.ended(call(8, status=500, error="upstream", bill=None))
    assert tallies.total == Tally(
        calls=8, errors=2, aborted=1, masked=2, input=16, output=4, cost=Decimal("0.4"), saved=Decimal("0.05"), unpriced=1,
        asked=7, refused={401: 2}, ceiling=1,
    )  # fmt: skip


def test_each_run_has_a_tally_of_its_own():
    tallies = Tallies()
    for run in ("a", "b", "a", ""):
        tallies.ended(call(run=run))
    assert (tallies.of_run("a").calls, tallies.of_run("b").calls, tallies.of_run("c").calls) == (2, 1, 0)
    assert tallies.of_run("").calls == 0
    assert tallies.total.calls == 4


def test_runs_do_not_grow_without_bound_and_one_that_is_in_use_stays():
    tallies = Tallies()
    tallies.ended(call(run="used"))
    for number in range(3000):
        tallies.ended(call(run=f"r{number}"))
        if number % 500 == 0:
            tallies.ended(call(run="used"))
    assert tallies.of_run("used").calls == 7
    assert tallies.of_run("r0").calls == 0
    assert sum(bool(tallies.of_run(f"r{number}").calls) for number in range(3000)) < 1000


def test_what_was_no_call_is_in_no_tally_and_counted_beside():
    tallies = Tallies()
    tallies.turned_away("forbidden")
    assert (tallies.total, tallies.away) == (Tally(), 1)


def test_active_calls_are_asked_for():
    running = [1, 2]
    tallies = Tallies(lambda: len(running))
    assert tallies.active == 2
    running.clear()
    assert tallies.active == 0
