"""The stage of rate limits by itself: on whose limits a call counts as it goes from one provider to the next, and until when."""

from datetime import UTC
from decimal import Decimal
from typing import Any

import pytest

from addons.budget import Budget
from addons.ratelimit import EXPECTED, RateLimit
from tests.addons.test_budget import HAIKU, OPUS, exchange_of
from tests.core.ahead.test_quote import PROVIDERS, off_loop
from tests.core.ratelimit.test_limiter import World
from tokenman_core.ahead.quote import Quotes, Sizes
from tokenman_core.ahead.texts import Counter
from tokenman_core.budget.books import Books
from tokenman_core.budget.rules import Rule as BudgetRule
from tokenman_core.budget.rules import units
from tokenman_core.config.models import Pricing
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.pricing import Prices
from tokenman_core.ratelimit.rules import Rate, Rule
from tokenman_core.scopes import Reach, Subject
from tokenman_core.usage import Bill, Usage
from tokenman_core.verdicts import Candidate, Refuse

ELSEWHERE = Candidate("openai", "gpt-4.1")
HOUR = 3600.0


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "state.db")
    yield made
    made.store.close()


def stage(world: World, *rules: Rule) -> RateLimit:
    quotes = Quotes(Prices(Pricing()), PROVIDERS, Counter(), Sizes(), off_loop)
    return RateLimit(world.limiter(*rules), quotes)


def held(world: World) -> int:
    return len(world.store.counts.held(now=world.clock.now()))


async def left(made: RateLimit, candidate: Candidate) -> dict[str, int]:
    """What is left of tokens by each rule, which is asked for by taking one."""
    answer = await made._limiter.charge(Subject("ada", provider=candidate.provider, model=candidate.model), 1)
    return {it.rule.name: it.remaining + 1 for it in answer.standing}


async def carried(made: RateLimit, exchange: Exchange, *candidates: Candidate) -> list[Any]:
    """A call from its beginning; the verdict on each attempt."""
    assert await made.llm_request(exchange) is None
    verdicts = []
    for number, candidate in enumerate(candidates, 1):
        exchange.attempts.append(Attempt(number, candidate))
        verdicts.append(await made.llm_attempt(exchange, exchange.attempts[-1]))
        await made.llm_attempt_done(exchange, exchange.attempts[-1])
    return verdicts


async def test_a_call_counts_on_the_limits_of_each_that_it_goes_on_to_and_leaves_all_of_them(world):
    each = Rule("each", Reach("provider"), requests=Rate(2, HOUR), concurrent=2)
    made, first, second = stage(world, each), exchange_of(), exchange_of()
    first.id, second.id = "one", "two"
    assert await carried(made, first, OPUS, OPUS, ELSEWHERE) == [None, None, None]
    assert (held(world), [(it.kind, it.remaining) for it in first.rooms]) == (2, [("requests", 1)])
    assert await carried(made, second, OPUS, ELSEWHERE) == [None, None]
    for exchange in (first, second):
        await made.llm_done(exchange)
    assert held(world) == 0
    third = exchange_of()
    third.plan = (HAIKU,)
    refused = await made.llm_request(third)
    assert isinstance(refused, Refuse)
    assert (refused.status, refused.kind, refused.retryable) == (429, "rate_limit", True)
    await made.llm_done(third)


async def test_a_provider_whose_limit_is_used_up_is_not_asked_in_place_of_another(world):
    made = stage(world, Rule("b", Reach("global", {"provider": "openai"}), requests=Rate(1, HOUR)))
    first, second = exchange_of(), exchange_of()
    first.id, second.id = "one", "two"
    assert await carried(made, first, OPUS, ELSEWHERE) == [None, None]
    passed, refused = await carried(made, second, OPUS, ELSEWHERE)
    assert passed is None
    assert isinstance(refused, Refuse)
    assert second.limited_by == "b"


async def test_tokens_are_taken_where_an_attempt_goes_and_given_back_where_it_failed(world):
    each, all_of = Rule("each", Reach("provider"), tokens=Rate(100_000, HOUR)), Rule("all", tokens=Rate(100_000, HOUR))
    made, exchange = stage(world, each, all_of), exchange_of(max_tokens=50_000)
    await made.llm_request(exchange)
    exchange.attempts += [Attempt(1, OPUS), Attempt(2, OPUS), Attempt(3, ELSEWHERE)]
    for attempt in exchange.attempts[:2]:
        assert await made.llm_attempt(exchange, attempt) is None
        await made.llm_attempt_done(exchange, attempt)
    there = await left(made, OPUS)
    assert 100_000 - EXPECTED - 1000 < there["each"] < 100_000 - EXPECTED
    assert await made.llm_attempt(exchange, exchange.attempts[2]) is None
    assert (await left(made, OPUS))["each"] > 99_990  # nothing was used there
    exchange.attempts[2].bill = Bill(Usage(20_000, 7_000), None, "unknown")
    await made.llm_attempt_done(exchange, exchange.attempts[2])
    await made.llm_done(exchange)
    for _ in range(2):
        found = await left(made, ELSEWHERE)
        assert (found["each"], found["all"]) == (pytest.approx(73_000, abs=20), pytest.approx(73_000, abs=20))
        await made.llm_done(exchange)  # once is enough
    assert (await left(made, OPUS))["each"] > 99_980


async def test_places_and_money_of_one_attempt_are_held_side_by_side(world):
    made, exchange = stage(world, Rule("each", Reach("provider"), concurrent=1)), exchange_of()
    rule = BudgetRule("daily", units(Decimal(5)), "day")
    quotes = Quotes(Prices(Pricing()), PROVIDERS, Counter(), Sizes(), off_loop)
    budget = Budget(Books([rule], UTC, world.clock, world.ask, lambda alert: None), quotes, PROVIDERS)
    exchange.attempts.append(Attempt(1, ELSEWHERE))
    assert await made.llm_request(exchange) is None
    assert await made.llm_attempt(exchange, exchange.attempts[0]) is None
    assert await budget.llm_attempt(exchange, exchange.attempts[0]) is None
    assert held(world) == 3
    await budget.llm_attempt_done(exchange, exchange.attempts[0])
    assert held(world) == 2
    await made.llm_done(exchange)
    assert held(world) == 0


async def test_what_is_free_counts_on_no_limit(world):
    made = stage(world, Rule("none", requests=Rate(1, HOUR), concurrent=1))
    for number in range(3):
        exchange = exchange_of(path="/v1/messages/count_tokens")
        exchange.id = f"c{number}"
        assert await carried(made, exchange, OPUS) == [None]
    assert held(world) == 0
