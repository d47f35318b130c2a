import json
from decimal import Decimal
from typing import Any

import pytest

from addons import guard
from addons.guard import Guard
from tests.core.guard.test_trail import anthropic
from tokenman_core.body.read import read_body
from tokenman_core.clock import ManualClock
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Attempt, Caller, Exchange, Sent
from tokenman_core.guard.watch import Rules, Watch
from tokenman_core.usage import Bill, Usage
from tokenman_core.verdicts import Candidate, Refuse


def stage(rules: Rules, **options: Any) -> Guard:
    return Guard(rules, Watch(b"a key", ManualClock(1_795_000_000.0), lambda _: None), **options)


def call(
    value: Any = None, session: str = "s", who: str = "ada", path: str = "/v1/messages", **headers: str
) -> Exchange:
    dialect = DIALECTS["anthropic"]
    sent = Sent(
        "POST", path, "", tuple((name.replace("_", "-").encode(), it.encode()) for name, it in headers.items()), ""
    )
    made = Exchange("req_1", sent, dialect, dialect.operation("POST", path), (Candidate("anthropic", "m"),))
    made.raw = json.dumps(value or {"messages": [{"role": "user", "content": "hi"}]}).encode()
    made.body = read_body(made.raw, "application/json", dialect, made.operation)
    made.session, made.caller = session, Caller(credential=who)
    return made


async def judged(it: Guard, exchange: Exchange) -> tuple[int | None, str]:
    verdict = await it.llm_request(exchange)
    assert verdict is None or isinstance(verdict, Refuse)
    return verdict and verdict.status, dict(exchange.answer_headers).get(b"x-tokenman-guard", b"").decode()


async def spends(it: Guard, usd: str, notional: bool = False) -> None:
    exchange = call({"messages": [{"role": "user", "content": usd + str(notional)}]})
    await it.llm_request(exchange)
    bill = Bill(Usage(1, 1), Decimal(usd), "list", notional=notional)
    await it.llm_attempt_done(exchange, Attempt(1, exchange.plan[0], bill=bill))


async def test_the_same_request_is_refused_beyond_the_limit_for_its_session_and_caller_alone():
    it = stage(Rules(repeats=2))
    assert [await judged(it, call()) for _ in range(3)] == [(None, ""), (None, "repeats 2/2"), (400, "repeats 3/2")]
    assert await judged(it, call(session="another")) == (None, "")
    assert await judged(it, call(who="bob")) == (None, "")
    assert await judged(it, call(path="/v1/messages/count_tokens")) == (None, "")
    assert await judged(it, call(session="")) == (None, "")


async def test_an_sdk_that_tries_again_repeats_nothing():
    it = stage(Rules(repeats=2))
    assert {await judged(it, call(x_stainless_retry_count=count)) for count in "123456"} == {(None, "")}
    assert (await judged(it, call(x_stainless_retry_count="0")))[0] is None


async def test_a_large_conversation_is_read_aside_with_the_same_result(monkeypatch):
    value = anthropic(*[("read", {"path": "x"}, "nothing")] * 4)
    assert await judged(stage(Rules(repeats=3)), call(value)) == (400, "repeats 4/3")
    monkeypatch.setattr(guard, "_LARGE", 10)
    it = stage(Rules(repeats=3))
    assert await judged(it, call(value)) == (400, "repeats 4/3")
    assert [(await judged(it, call()))[0] for _ in range(4)] == [None, None, None, 400]


@pytest.mark.parametrize(
    ("notional", "counts", "held"), [(False, False, True), (True, False, False), (True, True, True)]
)
async def test_what_a_subscription_pays_for_is_spent_only_where_it_counts(notional, counts, held):
    it = stage(Rules(usd_per_minute=Decimal("0.5")), counts_subscriptions=counts)
    await spends(it, "0.75", notional)
    assert await judged(it, call()) == (None, "usd_per_minute 0.7500/0.5" if held else "")
    second = await it.llm_request(call({"messages": []}))
    assert (second is not None) is held
    if isinstance(second, Refuse):
        assert (second.status, second.kind, second.retryable) == (429, "rate_limit", True)
        assert second.retry_after == pytest.approx(60, abs=1)


async def test_a_warning_alone_refuses_nothing():
    it = stage(Rules(repeats=2, blocks=False))
    assert [(await judged(it, call()))[0] for _ in range(5)] == [None] * 5
