"""What is kept of a call, for each way in which it can end."""

from decimal import Decimal

import pytest

from tokenman_core.capture import Capture
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Attempt, Exchange, Outcome, Redacted, Sent, Times
from tokenman_core.record import Tried, cause_of, record_of
from tokenman_core.usage import Bill, Usage
from tokenman_core.verdicts import Candidate, Failure, Refuse


def exchange(outcome: Outcome = "answered", status: int = 200) -> Exchange:
    wire = DIALECTS["anthropic"]
    made = Exchange(
        "req_1", Sent("POST", "/v1/messages", "", (), ""), wire, wire.operation("POST", "/v1/messages"),
        (Candidate("anthropic", "claude-x"),), Times(1_000.0, 50.0),
    )  # fmt: skip
    made.model, made.project, made.session = "claude-x", "raw@project.example", "s"
    made.outcome, made.status = outcome, status
    return made


@pytest.mark.parametrize(
    ("outcome", "status", "error"),
    [
        ("answered", 200, None), ("answered", 404, None), ("answered", 429, None), ("answered", 503, "upstream"),
        ("broken", 200, "upstream"), ("aborted", 0, None), ("crashed", 500, "internal"),
    ],
)  # fmt: skip
def test_the_error_is_what_went_wrong_here_or_at_the_provider(outcome: Outcome, status: int, error: str | None) -> None:
    assert record_of(exchange(outcome, status), 51.0).error == error


@pytest.mark.parametrize(
    ("outcome", "status", "turned_down"),
    [("answered", 401, True), ("answered", 429, True), ("answered", 200, False), ("answered", 503, False), ("refused", 400, False)],
)  # fmt: skip
def test_what_the_provider_turned_down_is_told_from_what_was_refused_here(
    outcome: Outcome, status: int, turned_down: bool
) -> None:
    assert record_of(exchange(outcome, status), 51.0).turned_down is turned_down


def test_a_record_says_whether_a_model_was_asked() -> None:
    other = exchange()
    other.operation = other.dialect.operation("GET", "/v1/models")
    assert [record_of(call, 51.0).generates for call in (exchange(), other)] == [True, False]


def test_a_refusal_is_recorded_by_its_kind_and_text() -> None:
    call = exchange("refused", 413)
    call.refusal = Refuse(413, "body_cap", "too large")
    record = record_of(call, 51.0)
    assert (record.error, record.detail, record.status) == ("body_cap", "too large", 413)


def test_a_break_keeps_its_own_kind() -> None:
    call = exchange("broken")
    call.broken = "timeout"
    assert record_of(call, 51.0).error == "timeout"


def test_labels_that_nobody_judged_are_left_out() -> None:
    record = record_of(exchange(), 51.0)
    assert (record.project, record.session, record.model) == ("", "", "")
    call = exchange()
    call.labels = {"project": "[EMAIL_ADDRESS_0123456789ab]", "session": "s", "model": "claude-x"}
    record = record_of(call, 51.0)
    assert (record.project, record.session, record.model) == ("[EMAIL_ADDRESS_0123456789ab]", "s", "claude-x")


def test_the_model_of_a_route_is_the_configurations_own() -> None:
    call = exchange()
    call.attempts.append(Attempt(1, Candidate("openai", "gpt-5-mini"), sent=True))
    record = record_of(call, 51.0)
    assert (record.provider, record.model, record.attempts) == ("openai", "gpt-5-mini", 1)


def test_what_the_caches_did_and_what_stayed_is_recorded_as_the_call_has_it() -> None:
    call = exchange()
    call.repeats, call.cache_break = "deterministic", "tool changed at tools[1]"
    call.cache_lost, call.cache_lost_usd = 9000, Decimal("0.02")
    call.unrestored = 2
    record = record_of(call, 51.0)
    assert record.unrestored == 2
    assert (record.repeats, record.cache_break) == ("deterministic", "tool changed at tools[1]")
    assert (record.cache_lost, record.cache_lost_usd) == (9000, Decimal("0.02"))
    assert [cause_of(words) for words in (record.cache_break, "model changed", "")] == [
        "tool changed",
        "model changed",
        "",
    ]


def test_times_are_measured_from_the_complete_request() -> None:
    call = exchange()
    call.times.sent, call.times.first = 50.25, 50.75
    call.stage_seconds = {("redaction", "request"): 0.2, ("redaction", "event"): 0.03, ("mine", "response"): 0.02}
    record = record_of(call, 52.0)
    assert record.duration == 2.0
    assert record.ttft == 0.75
    assert record.overhead == pytest.approx(0.25 + 0.05)


def test_a_stream_of_which_not_all_was_kept_is_told_as_truncated() -> None:
    call = exchange()
    assert not record_of(call, 51.0).truncated
    call.captured = Capture(10, stream=True)
    call.captured.add(b"x" * 10)
    assert not record_of(call, 51.0).truncated
    call.captured.add(b"y")
    assert record_of(call, 51.0).truncated


def test_a_call_that_was_never_sent_was_all_overhead() -> None:
    record = record_of(exchange("refused", 400), 50.5)
    assert (record.overhead, record.ttft) == (0.5, None)


def test_bills_of_all_attempts_are_one_sum_marked_as_its_least_certain_part() -> None:
    call = exchange()
    for number, bill in enumerate(
        (
            Bill(Usage(10, 5), Decimal("0.10"), "list", notional=True),
            None,
            Bill(Usage(1, 2, cache_read=1), Decimal("0.02"), "ceiling", estimated=True),
        )
    ):
        call.attempts.append(Attempt(number + 1, Candidate("anthropic", "claude-x"), bill=bill))
    record = record_of(call, 51.0)
    assert record.bill == Bill(Usage(11, 7, cache_read=1), Decimal("0.12"), "ceiling", estimated=True, notional=True)
    assert record.usage.input == 11
    call.attempts.append(Attempt(4, Candidate("anthropic", "x"), bill=Bill(Usage(), None, "unknown")))
    unknown = record_of(call, 51.0).bill
    assert unknown is not None
    assert unknown.cost is None
    assert unknown.basis == "unknown"


def test_what_is_only_logged_is_not_masked() -> None:
    call = exchange()
    call.redactions = (Redacted("EMAIL_ADDRESS", "redact", "redaction.mode", 2), Redacted("IP_ADDRESS", "log", "x", 5))
    assert record_of(call, 51.0).masked == 2


@pytest.mark.parametrize(
    ("attempt", "outcome"),
    [
        (Attempt(1, Candidate("a", "m"), status=200, sent=True), "ok"),
        (Attempt(1, Candidate("a", "m"), status=404, sent=True), "client_error"),
        (Attempt(1, Candidate("a", "m"), failure=Failure("status", "status 429", 429), status=429), "rate_limited"),
        (Attempt(1, Candidate("a", "m"), failure=Failure("status", "status 503", 503), status=503), "server_error"),
        (Attempt(1, Candidate("a", "m"), failure=Failure("status", "in a stream", 529), status=200), "server_error"),
        (Attempt(1, Candidate("a", "m"), failure=Failure("status", "in a stream", 400), status=200), "client_error"),
        (Attempt(1, Candidate("a", "m"), failure=Failure("truncated", "cut"), status=200), "truncated"),
        (Attempt(1, Candidate("a", "m"), failure=Failure("connect", "no"), sent=True), "connect"),
        (Attempt(1, Candidate("a", "m"), sent=True), "unanswered"),
        (Attempt(1, Candidate("a", "m")), "not_sent"),
    ],
)
def test_each_attempt_is_told_by_how_it_went(attempt: Attempt, outcome: str) -> None:
    call = exchange()
    call.attempts.append(attempt)
    assert [tried.outcome for tried in record_of(call, 51.0).tried] == [outcome]


def test_an_answer_that_ended_early_is_told_of_the_last_attempt_alone() -> None:
    call = exchange("broken")
    call.labels["model"] = "claude-x"
    call.attempts += [
        Attempt(1, Candidate("anthropic", "claude-x"), status=200, sent=True),
        Attempt(2, Candidate("openai", "gpt-5-mini"), status=200, sent=True, answered=True, waited=0.5),
    ]
    assert record_of(call, 51.0).tried == (
        Tried("anthropic", "ok", "claude-x"),
        Tried("openai", "broken", "gpt-5-mini", 0.5),
    )
    call.broken = "stage"
    assert record_of(call, 51.0).tried[-1].outcome == "ok"
