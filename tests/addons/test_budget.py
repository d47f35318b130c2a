"""The stage of budgets by itself: whose call it takes one for, and what it changes of an attempt's request."""

import json
from dataclasses import replace
from datetime import UTC
from decimal import Decimal
from typing import Any

import pytest

from addons.budget import HIDDEN, Budget, subject_of
from tests.core.ahead.test_quote import NOW, PROVIDERS, off_loop
from tests.core.budget.test_books import Asked, At
from tokenman_core.ahead.quote import Quotes, Sizes
from tokenman_core.ahead.texts import Counter
from tokenman_core.body.read import read_body
from tokenman_core.budget.books import Books
from tokenman_core.budget.rules import Rule, units
from tokenman_core.config.models import Pricing
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Attempt, Caller, Exchange, Sent, Times
from tokenman_core.ledger import row_of
from tokenman_core.metering import Meter
from tokenman_core.pricing import Prices
from tokenman_core.record import record_of
from tokenman_core.scopes import Reach
from tokenman_core.sse import Event
from tokenman_core.state import Sqlite
from tokenman_core.usage import Bill, Usage
from tokenman_core.verdicts import Candidate, Refuse

OPUS, HAIKU = Candidate("anthropic", "claude-opus-5"), Candidate("anthropic", "claude-haiku-4-5")


def exchange_of(dialect: str = "anthropic", path: str = "/v1/messages", **more: Any) -> Exchange:
    spoken = DIALECTS[dialect]
    operation = spoken.operation("POST", path)
    value = {"model": "claude-opus-5", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1000, **more}
    exchange = Exchange(
        "req_1", Sent("POST", path, "", (), ""), spoken, operation, (OPUS,), Times(NOW, 0.0),
        named=dialect, model=value["model"], caller=Caller(client="ada"),
    )  # fmt: skip
    exchange.body = read_body(json.dumps(value).encode(), "application/json", spoken, operation)
    return exchange


class Stage:
    def __init__(self, path: Any, *rules: Rule, **pricing: Any) -> None:
        self.store, self.clock = Sqlite(path), At(NOW)
        self.books = Books(rules, UTC, self.clock, Asked(self.store), lambda alert: None)
        quotes = Quotes(Prices(Pricing.model_validate(pricing)), PROVIDERS, Counter(), Sizes(), off_loop)
        self.stage = Budget(self.books, quotes, PROVIDERS)

    @property
    def open(self) -> int:
        return len(self.books._lasting.open)

    def held(self) -> int:
        return sum(amount for _, _, amount, *_ in self.store.counts.held(now=NOW))


@pytest.fixture
def stage(tmp_path):
    made: list[Stage] = []

    def make(limit: str, **more: Any) -> Stage:
        made.append(Stage(tmp_path / f"{len(made)}.db", Rule("daily", units(Decimal(limit)), "day", **more)))
        return made[-1]

    yield make
    for each in made:
        each.store.close()


def test_a_call_is_told_by_what_it_says_and_shown_by_its_judged_labels():
    exchange = exchange_of()
    exchange.project, exchange.session = "jane@corp.example", "s1"
    exchange.labels = {"project": "[EMAIL_ADDRESS_0123456789ab]", "model": "claude-opus-5", "session": "s1"}
    subject = subject_of(exchange, OPUS)
    assert Reach("project", {"project": "jane@*", "model": "claude-*"}).takes_in(subject)
    assert Reach("project").counted_by(subject) == "[EMAIL_ADDRESS_0123456789ab]"


def test_a_label_that_may_not_be_shown_takes_no_call_out_of_its_budget():
    exchange = exchange_of()
    exchange.project = exchange.session = exchange.model = "4539 1488 0343 6467"
    subject = subject_of(exchange, Candidate("anthropic", exchange.model))
    for scope in ("project", "session", "model"):
        assert Reach(scope, {scope: "4539*"}).takes_in(subject)
        assert Reach(scope).counted_by(subject) == HIDDEN
    assert Reach("model").counted_by(subject_of(exchange, HAIKU)) == HAIKU.model


@pytest.mark.parametrize(
    "name", ["p" * 200, "é" * 90, "a\u202eb\n", "sk-ant-api03-" + "k" * 93 + "AA", "plain"], ids=range(5)
)
def test_a_call_is_counted_under_the_name_that_its_row_has(name):
    exchange = exchange_of()
    exchange.project = exchange.session = name
    exchange.labels = {"project": name, "session": name, "model": "gpt 4 \n" + name}
    exchange.model, exchange.caller = "gpt 4 \n" + name, Caller(client=name)
    exchange.attempts.append(Attempt(1, Candidate("anthropic", exchange.model), sent=True))
    row = row_of(record_of(exchange, 0.0))
    subject = subject_of(exchange, exchange.attempts[0].candidate)
    for scope in ("client", "project", "model", "session", "provider"):
        assert Reach(scope).counted_by(subject) == getattr(row, scope)
    assert Reach(match={"project": name}).takes_in(subject)


async def test_each_attempt_says_its_own_limit_and_no_longer_that_of_the_one_before(stage):
    made = stage("0.02")
    exchange = exchange_of(max_tokens=50_000)
    for number, candidate in enumerate((OPUS, HAIKU, HAIKU), 1):
        attempt = Attempt(number, candidate)
        edition = exchange.body.edition
        if number == 3:
            made.books.rules = (replace(made.books.rules[0], limit=units(Decimal(9))),)
        assert await made.stage.llm_attempt(exchange, attempt) is None
        capped = [int(value) for name, value in exchange.answer_headers if name == b"x-tokenman-capped"]
        assert exchange.body.value["max_tokens"] == (capped[0] if capped else 50_000)
        assert len(capped) == (number < 3)
        await made.stage.llm_attempt_done(exchange, attempt)
        if exchange.body.edition != edition:
            exchange.body.revert(edition)
    assert (made.held(), made.open) == (0, 0)


@pytest.mark.parametrize("limit", ["0.0155", "0.02"])
async def test_a_call_that_thinks_is_refused_rather_than_left_without_room_for_it(stage, limit):
    made = stage(limit)
    attempt = Attempt(1, OPUS)
    exchange = exchange_of(max_tokens=60_000, thinking={"type": "enabled", "budget_tokens": 50_000})
    verdict = await made.stage.llm_attempt(exchange, attempt)
    assert isinstance(verdict, Refuse)
    assert (verdict.status, verdict.kind, made.held(), made.open) == (429, "budget", 0, 0)
    await made.stage.llm_attempt_done(exchange, attempt)


async def test_a_call_with_no_place_for_a_limit_is_refused_and_frees_what_it_held(stage):
    made = stage("0.02", lets_unbounded=True)
    exchange = exchange_of("openai", "/v1/invented", model="gpt-4o")
    attempt = Attempt(1, Candidate("openai", "gpt-4o"))
    verdict = await made.stage.llm_attempt(exchange, attempt)
    assert isinstance(verdict, Refuse)
    assert "cannot be made to write less" in verdict.message
    assert (made.held(), made.open) == (0, 0)


@pytest.mark.parametrize(
    ("model", "more", "told"),
    [
        ("gpt-5", {"background": True}, "unbounded: allow"),
        ("house-model", {}, "budget daily cannot hold what it may cost"),
    ],
    ids=["a price and no bound", "a bound and no price"],
)
async def test_a_call_needs_both_a_price_and_a_bound(tmp_path, model, more, told):
    made = Stage(tmp_path / "state.db", Rule("daily", units(Decimal(5)), "day"), unknown_model="allow")
    exchange = exchange_of("openai", "/v1/responses", model=model, input="hi", **more)
    verdict = await made.stage.llm_attempt(exchange, Attempt(1, Candidate("openai", model)))
    assert isinstance(verdict, Refuse)
    assert (verdict.status, verdict.kind, made.held(), made.open) == (400, "pricing", 0, 0)
    assert told in verdict.message
    made.store.close()


@pytest.mark.parametrize("unknown", ["ceiling", "allow"])
async def test_what_costs_by_the_day_is_refused_until_the_budget_lets_it_pass_and_holds_nothing_then(
    stage, tmp_path, unknown
):
    rule = Rule("daily", units(Decimal(5)), "day")
    strict = Stage(tmp_path / "strict.db", rule, unknown_model=unknown)
    lets = Stage(tmp_path / "lets.db", replace(rule, lets_unbounded=True), unknown_model=unknown)
    for made in (strict, lets):
        exchange = exchange_of("openai", "/v1/containers", model="")
        attempt = Attempt(1, Candidate("openai", ""), sent=True)
        verdict = await made.stage.llm_attempt(exchange, attempt)
        if made is strict:
            assert isinstance(verdict, Refuse)
            assert (verdict.status, verdict.kind) == (400, "pricing")
            assert "unbounded: allow" in verdict.message
        else:
            assert verdict is None
        assert (made.held(), made.open) == (0, 0)
        attempt.bill = Bill(Usage(), None, "unknown")
        await made.stage.llm_attempt_done(exchange, attempt)
        made.store.close()


async def test_a_job_for_a_model_of_no_list_is_refused_though_the_budget_lets_what_is_unbounded_pass(stage):
    made = stage("5", lets_unbounded=True)
    made.stage._quotes._prices = Prices(Pricing(unknown_model="allow"))
    exchange = exchange_of("openai", "/v1/images/generations", model="house-model")
    verdict = await made.stage.llm_attempt(exchange, Attempt(1, Candidate("openai", "house-model")))
    assert isinstance(verdict, Refuse)
    assert "No price is known of house-model" in verdict.message


@pytest.mark.parametrize(
    ("sent", "bill", "spent"),
    [
        (True, Bill(Usage(10, 10), Decimal("0.001"), "list"), "0.001"),
        (True, Bill(Usage(10, 10), None, "unknown"), None),
        (True, None, "0"),
        (False, Bill(Usage(10, 10), Decimal("0.001"), "list"), "0"),
    ],
)
async def test_an_attempt_is_settled_once_by_what_it_cost(stage, sent, bill, spent):
    made = stage("5")
    exchange, attempt = exchange_of(), Attempt(1, OPUS, sent=sent)
    assert await made.stage.llm_attempt(exchange, attempt) is None
    held = made.held()
    assert held > 0
    attempt.bill = bill
    for _ in range(2):
        await made.stage.llm_attempt_done(exchange, attempt)
        (state,) = await made.books.standing([subject_of(exchange, OPUS)])
        assert (state.count.held, made.open) == (0, 0)
        assert state.count.spent == (held if spent is None else units(Decimal(spent)))


async def test_a_usage_that_no_call_can_have_closes_no_budget(stage):
    made = stage("1")
    meter = Meter(Prices(Pricing()), PROVIDERS)
    usage = {"input_tokens": 1e30, "output_tokens": 10**30}
    answer = {"type": "message", "content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn", "usage": usage}
    for number in range(3):
        exchange = exchange_of()
        exchange.id = f"req_{number}"
        attempt = Attempt(1, OPUS, sent=True)
        assert await made.stage.llm_attempt(exchange, attempt) is None
        whole_answer(exchange, attempt, answer)
        await meter.settle(exchange, attempt)
        await made.stage.llm_attempt_done(exchange, attempt)
    meter.close()
    (standing,) = await made.books.everything()
    assert 3 * 0.025 < standing.count.spent / 10**12 < 0.2  # its thousand tokens, at 25 USD a million
    assert made.held() == 0


def whole_answer(exchange: Exchange, attempt: Attempt, value: Any) -> None:
    exchange.attempts.append(attempt)
    attempt.status = 200
    exchange.reader = exchange.dialect.reader(exchange.operation)
    exchange.said = json.dumps(value).encode()
    exchange.reader.read(Event(exchange.said, "whole"))


async def test_what_should_cost_nothing_and_does_is_booked_on_its_budgets(stage):
    made = stage("1")
    for path, spent in (("/v1/files", 250_000), ("/v1/messages/count_tokens", 500_000)):
        exchange = exchange_of(path=path)
        exchange.id = path
        attempt = Attempt(1, OPUS, sent=True)
        assert exchange.operation.free
        assert await made.stage.llm_attempt(exchange, attempt) is None
        attempt.bill = Bill(Usage(), Decimal("0.25"), "list")
        await made.stage.llm_attempt_done(exchange, attempt)
        (state,) = await made.books.everything()
        assert (state.count.spent, state.count.held) == (spent * 10**6, 0)
    free = exchange_of(path="/v1/files")
    await made.stage.llm_attempt_done(free, Attempt(1, OPUS, sent=True))
    assert (await made.books.everything())[0].count.spent == 500_000 * 10**6
