"""The stage that waits for providers' own limits, before they have to say no."""

from dataclasses import replace
from typing import Any

import pytest

from addons.pace import Pace
from tests.addons.test_budget import OPUS, exchange_of
from tests.core.ahead.test_quote import PROVIDERS
from tokenman_core.clock import ManualClock
from tokenman_core.exchange import Attempt
from tokenman_core.providers import Providers
from tokenman_core.ratelimit.pace import Paces
from tokenman_core.verdicts import Candidate, Failure, Skip

OTHER = Candidate("openai", "gpt-5")
NOTHING_LEFT = (
    (b"anthropic-ratelimit-requests-limit", b"60"),
    (b"anthropic-ratelimit-requests-remaining", b"0"),
    (b"anthropic-ratelimit-requests-reset", b"60"),
)


class Waiting:
    def __init__(self, pace: bool = True) -> None:
        self.clock, self.slept = ManualClock(), list[float]()
        self.paces = Paces(self.clock)
        providers = Providers([replace(each, pace=pace) for each in PROVIDERS.by_name.values()])
        self.stage = Pace(self.paces, providers, self.clock, self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)

    async def call(self, said: Any = (), status: int = 200, plan: Any = (OPUS,), failure: Failure | None = None) -> Any:
        exchange = exchange_of()
        exchange.plan = plan
        attempt = Attempt(1, plan[0], status=status, said=said, failure=failure)
        verdict = await self.stage.llm_attempt(exchange, attempt)
        await self.stage.llm_attempt_done(exchange, attempt)
        return verdict


async def test_a_call_waits_until_one_more_may_come():
    waiting = Waiting()
    await waiting.call(NOTHING_LEFT)
    assert await waiting.call() is None
    assert waiting.slept == [pytest.approx(1.0)]


async def test_a_refusal_that_says_how_long_is_waited_for_by_the_next_call():
    waiting = Waiting()
    said = ((b"retry-after", b"12"),)
    await waiting.call(said, 429, failure=Failure("status", "", 429, said))
    assert await waiting.call() is None
    assert waiting.slept == [pytest.approx(12.0)]


@pytest.mark.parametrize(("plan", "passed"), [((OPUS, OTHER), True), ((OPUS,), False)])
async def test_what_takes_too_long_is_for_the_next_provider_or_for_this_one_to_refuse(plan, passed):
    waiting = Waiting()
    await waiting.call(((b"retry-after", b"600"),), 429)
    verdict = await waiting.call(plan=plan)
    assert isinstance(verdict, Skip) is passed
    assert waiting.slept == []


async def test_where_it_is_off_nobody_waits_and_all_is_still_shown():
    waiting = Waiting(pace=False)
    await waiting.call(NOTHING_LEFT)
    assert await waiting.call() is None
    assert waiting.slept == []
    assert [limit.kind for _, limit, _, _ in waiting.paces.of("anthropic")] == ["requests"]
