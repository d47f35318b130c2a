import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tokenman_core import tokens
from tokenman_core.ahead import ceilings
from tokenman_core.ahead.quote import Bound, Quotes, Sizes
from tokenman_core.ahead.texts import Counter
from tokenman_core.body.read import read_body
from tokenman_core.config.models import Pricing
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Exchange, Sent, Times
from tokenman_core.pricing import Prices
from tokenman_core.providers import Provider, Providers
from tokenman_core.verdicts import Candidate

NOW = 1_795_000_000.0
TEXT = "Why is the sky blue, and why is it red in the evening? " * 40
PROVIDERS = Providers([
    Provider("anthropic", DIALECTS["anthropic"], "https", "api.anthropic.com", 443),
    Provider("openai", DIALECTS["openai"], "https", "api.openai.com", 443),
    Provider("gemini", DIALECTS["gemini"], "https", "generativelanguage.googleapis.com", 443),
])  # fmt: skip
PATHS = {
    "anthropic": "/v1/messages",
    "openai": "/v1/chat/completions",
    "gemini": "/v1beta/models/gemini-2.5-pro:generateContent",
}


async def off_loop(function: Callable[[], Any]) -> Any:
    return function()


async def bound(
    name: str, model: str, value: dict[str, Any], path: str = "", sizes: Sizes | None = None, **pricing: Any
) -> Bound:
    dialect, path = DIALECTS[name], path or PATHS[name]
    operation = dialect.operation("POST", path)
    exchange = Exchange("req_1", Sent("POST", path, "", (), ""), dialect, operation, (), Times(NOW, 0.0), model=model)
    exchange.raw = json.dumps({"model": model, **value}).encode()
    exchange.body = read_body(exchange.raw, "application/json", dialect, operation)
    quotes = Quotes(Prices(Pricing.model_validate(pricing)), PROVIDERS, Counter(), sizes or Sizes(), off_loop)
    return await quotes.bound(exchange, Candidate(name, model))


def said(text: str = TEXT, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


async def test_a_call_is_bounded_by_its_text_and_by_what_it_may_write():
    found = await bound("anthropic", "claude-sonnet-4-5", said(max_tokens=1000))
    true = tokens.estimate([TEXT])
    assert true * 1.5 < found.input < true * 2 + 200
    assert (found.output, found.answers, found.limit, found.unbounded, found.basis) == (1000, 1, 1000, "", "list")
    assert found.read_cost == found.input * Decimal(3) / 10**6
    assert found.token_cost == Decimal(15) / 10**6


async def test_a_call_that_states_no_limit_has_its_models_own():
    found = await bound("openai", "gpt-4o", said())
    assert (found.output, found.limit) == (ceilings.of("gpt-4o").output, None)
    found = await bound("openai", "gpt-4o", said(max_tokens=10, n=5))
    assert (found.output, found.answers, found.limit) == (50, 5, 10)


@pytest.mark.parametrize(
    ("asked", "dearer"), [({}, "3"), ({"type": "ephemeral"}, "3.75"), ({"type": "ephemeral", "ttl": "1h"}, "6")]
)
async def test_what_is_written_to_a_cache_is_held_at_its_price(asked, dearer):
    block = {"type": "text", "text": TEXT, **({"cache_control": asked} if asked else {})}
    found = await bound("anthropic", "claude-sonnet-4-5", {"system": [block], "messages": [], "max_tokens": 1})
    assert found.read_cost == found.input * Decimal(dearer) / 10**6


async def test_a_long_context_and_a_faster_service_are_held_at_their_prices():
    long = await bound("anthropic", "claude-sonnet-4-5", said(TEXT * 400, max_tokens=1))
    assert long.input > 200_000
    assert long.read_cost == long.input * Decimal(6) / 10**6
    assert (await bound("openai", "gpt-6-sol", said(service_tier="priority"))).read_cost > (
        (await bound("openai", "gpt-6-sol", said(service_tier="auto"))).read_cost * Decimal("1.9")
    )


async def test_tools_and_images_are_read_too():
    plain = await bound("anthropic", "claude-opus-5", said(max_tokens=1))
    tool = {"name": "x", "description": TEXT, "input_schema": {"type": "object"}}
    assert (await bound("anthropic", "claude-opus-5", said(max_tokens=1, tools=[tool]))).input > plain.input * 1.8
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    parts = [{"type": "text", "text": TEXT}, image]
    seen = await bound(
        "anthropic", "claude-opus-5", {"messages": [{"role": "user", "content": parts}], "max_tokens": 1}
    )
    assert seen.input >= plain.input + 4_785
    assert seen.counted == 0


async def test_what_the_provider_holds_has_the_size_that_is_known_or_the_models_whole_context():
    sizes = Sizes()
    value = {"input": "go on", "previous_response_id": "resp_1"}
    unknown = await bound("openai", "gpt-4o", value, "/v1/responses", sizes)
    assert unknown.input >= ceilings.of("gpt-4o").context
    sizes.learn("resp_1", 500)
    assert 500 < (await bound("openai", "gpt-4o", value, "/v1/responses", sizes)).input < 1_000


async def test_searches_are_bounded_by_their_count_and_without_one_the_call_has_no_bound():
    tool = {"type": "web_search_20250305", "name": "web_search"}
    endless = await bound("anthropic", "claude-sonnet-4-5", said(max_tokens=1, tools=[tool]))
    assert "max_uses" in endless.unbounded
    bounded = await bound("anthropic", "claude-sonnet-4-5", said(max_tokens=1, tools=[{**tool, "max_uses": 3}]))
    assert (bounded.unbounded, bounded.extra) == ("", Decimal("0.03"))
    assert bounded.input > 36_000
    limited = await bound("openai", "gpt-5", said(tools=[{"type": "web_search"}], max_tool_calls=2), "/v1/responses")
    assert (limited.unbounded, limited.extra) == ("", Decimal("0.02"))
    grounded = await bound("gemini", "gemini-2.5-pro", {"contents": [], "tools": [{"googleSearch": {}}]})
    assert grounded.unbounded == ""
    assert grounded.extra > 0


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/v1/images/generations", {"prompt": "a cat"}),
        ("/v1/batches", {"input_file_id": "file_1"}),
        ("/v1/responses", {"input": "x", "background": True}),
        ("/v1/audio/speech", {"input": "x"}),
        ("/v1/invented", {"input": "x"}),
    ],
)
async def test_a_call_that_nothing_bounds_says_why(path, value):
    assert (await bound("openai", "gpt-5", value, path)).unbounded


async def test_embeddings_write_nothing_and_an_unknown_model_has_no_price():
    assert (await bound("openai", "text-embedding-3-small", {"input": [TEXT]}, "/v1/embeddings")).output == 0
    found = await bound("openai", "house-model", said(), unknown_model="allow")
    assert (found.rates, found.basis) == (None, "unknown")
