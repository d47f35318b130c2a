"""Usages that no call can have: what is booked is bounded, what was said stays, and what can be true is left alone."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.core.test_metering import PROVIDERS, answered, call, settled, whole
from tokenman_core.ahead.believed import believed
from tokenman_core.config.models import Pricing
from tokenman_core.exchange import Exchange
from tokenman_core.ledger import row_of
from tokenman_core.metering import Meter
from tokenman_core.price_lists import Lists
from tokenman_core.pricing import Prices
from tokenman_core.record import record_of
from tokenman_core.usage import MOST_TOKENS, Usage

ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "anthropic": ("claude-opus-5", {"max_tokens": 200}),
    "openai": ("gpt-4.1", {"max_tokens": 200}),
    "gemini": ("gemini-2.5-pro", {"generationConfig": {"maxOutputTokens": 200}}),
    "mine": ("house-model", {"max_tokens": 200}),  # which no table knows
}
HUGE: dict[str, list[dict[str, Any]]] = {
    "anthropic": [
        {"input_tokens": ..., "output_tokens": 1},
        {"input_tokens": 1, "output_tokens": ...},
        {"input_tokens": 1, "cache_read_input_tokens": ..., "output_tokens": 1},
        {"input_tokens": 1, "cache_creation_input_tokens": ..., "output_tokens": 1},
        {"input_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": ...}, "output_tokens": 1},
        {"input_tokens": 1, "output_tokens": 1, "output_tokens_details": {"thinking_tokens": ...}},
        {"input_tokens": 1, "output_tokens": 1, "server_tool_use": {"web_search_requests": ...}},
        {"input_tokens": 1, "output_tokens": 1, "iterations": [
            {"type": "advisor_message", "model": f"claude-opus-{n % 5}", "input_tokens": ..., "output_tokens": ...}
            for n in range(9)
        ]},
    ],
    "openai": [
        {"prompt_tokens": ..., "completion_tokens": 1},
        {"prompt_tokens": 1, "completion_tokens": ...},
        {"prompt_tokens": 1, "completion_tokens": 1, "completion_tokens_details": {"reasoning_tokens": ...}},
        {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": ..., "audio_tokens": ...}},
        {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cache_write_tokens": ...}},
        {"type": "duration", "seconds": ..., "prompt_tokens": 1, "completion_tokens": 1},
    ],
    "gemini": [
        {"promptTokenCount": ..., "candidatesTokenCount": 1},
        {"promptTokenCount": 1, "candidatesTokenCount": ...},
        {"promptTokenCount": 1, "candidatesTokenCount": 1, "thoughtsTokenCount": ...},
        {"promptTokenCount": 1, "candidatesTokenCount": 1, "toolUsePromptTokenCount": ...},
        {"promptTokenCount": 1, "candidatesTokenCount": 1, "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": ...}]},
        {"promptTokenCount": 1, "candidatesTokenCount": 1, "cachedContentTokenCount": ...},
    ],
}  # fmt: skip
HUGE["mine"] = HUGE["openai"]


@pytest.fixture
def meter() -> Iterator[Meter]:
    made = Meter(Prices(Pricing(), Lists()), PROVIDERS)
    yield made
    made.close()


def filled(said: Any, value: Any) -> Any:
    if said is ...:
        return value
    if type(said) is dict:
        return {name: filled(each, value) for name, each in said.items()}
    return [filled(each, value) for each in said] if type(said) is list else said


def asked(provider: str, **more: Any) -> Exchange:
    model, body = ASKED[provider]
    messages = {} if provider == "gemini" else {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    return call(provider, model, body={"contents": [{"parts": [{"text": "hi"}]}], **messages, **body, **more})


def said_by(provider: str, model: str, usage: Any) -> tuple[Any, list[Any]]:
    """The same usage in a whole answer, and split over the events of a stream."""
    if provider == "anthropic":
        block = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}
        last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
        start = {"type": "message_start", "message": {"model": model, "usage": usage}}
        return (
            {"type": "message", "model": model, "content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn",
             "usage": usage},
            [start, block, last, last, {"type": "message_stop"}],
        )  # fmt: skip
    if provider == "gemini":
        one = {"candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": "x"}]}}], "usageMetadata": usage}
        return one, [{**one, "candidates": []}, one, one]
    done = {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}], "model": model}
    answer = {"model": model, "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": usage}
    return answer, [{**done, "usage": usage}, {"choices": [], "model": model, "usage": usage}, "[DONE]"]


@pytest.mark.parametrize("provider", ["anthropic", "openai", "gemini", "mine"])
async def test_no_usage_makes_a_call_dearer_than_it_can_be_and_the_row_keeps_it(
    meter: Meter, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    for form in HUGE[provider]:
        for value in (10**30, 1e30, 10**9, 1e308):
            answer, events = said_by(provider, ASKED[provider][0], filled(form, value))
            for exchange in (whole(asked(provider), answer), answered(asked(provider), *events)):
                caplog.clear()
                attempt = await settled(meter, exchange)
                bill = attempt.bill
                assert bill is not None, form
                # Two letters and 200 tokens; advice is another model's, each of which has no bound but its own ceilings.
                advised = 5 * Decimal(30) if "iterations" in form else Decimal(0)
                assert bill.cost is None or bill.cost < Decimal("0.8") + advised, (form, bill)
                assert bill.usage.input + bill.usage.output < 10**7
                if bill.cost is not None:
                    assert exchange.overrun, form
                    assert f"{provider} says that a call read" in caplog.text
                    assert bill.said is not None
                    exchange.attempts[0].bill = bill
                    row = row_of(record_of(exchange, 1.0))
                    figures = [row.usage.input, row.usage.output, row.usage.cache_read, row.usage.cache_write_5m]
                    figures += [row.usage.reasoning, *row.usage.parts.values()]
                    assert max(figures) >= 10**6  # the most that is ever kept of such a count
                    assert row.cost == bill.cost
                    assert row.overrun


async def test_a_stream_that_broke_off_after_an_absurd_count_is_bounded_too(meter: Meter) -> None:
    start = {"model": "claude-sonnet-4-5", "usage": {"input_tokens": 1e30, "output_tokens": 1}}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}
    exchange = answered(asked("anthropic"), {"type": "message_start", "message": start}, text)
    bill = (await settled(meter, exchange)).bill
    assert bill is not None
    assert bill.estimated
    assert bill.cost is not None
    assert bill.cost < Decimal("0.1")
    assert bill.raw.input == MOST_TOKENS


def test_a_little_more_said_books_no_less() -> None:
    exchange, booked = asked("openai"), list[tuple[int, int]]()
    for more in (0, 1, 100_000):
        used = believed(exchange, ["gpt-4.1"], Usage(input=1_047_576 + more, output=32_768 + more))
        booked.append((used.input, used.output))
    assert booked[0] == booked[1] == booked[2]
    assert min(booked[0]) >= 32_768


def test_what_can_be_true_is_believed() -> None:
    fits = [
        (asked("anthropic"), Usage(1_000_000, 128_000, cache_read=900_000)),  # far more than it asked for, and yet possible
        (asked("openai", n=4), Usage(50, 4 * 32_768, reasoning=100)),
        (asked("openai", max_tokens=60_000), Usage(50, 60_000)),  # the table knows less of the model than its user
        (asked("mine", messages=[{"role": "user", "content": "word " * 300_000}]), Usage(1_400_000, 10)),
        (asked("anthropic", tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]),
         Usage(3_500_000, 10, parts={"web_searches": 4})),
        (asked("openai", tools=[{"type": "code_interpreter"}]), Usage(20_000_000, 10)),
        (asked("gemini"), Usage(1_000_000, 65_000, parts={"web_searches": 12, "input_audio_tokens": 900_000})),
    ]  # fmt: skip
    for exchange, usage in fits:
        assert believed(exchange, [exchange.model], usage) is usage, usage


def test_what_cannot_be_seen_in_the_request_may_fill_the_context() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    many = replace(Usage(), input=MOST_TOKENS)
    by_url = asked("anthropic", messages=[{"role": "user", "content": [image]}])
    assert believed(by_url, ["claude-opus-5"], many).input == 1_000_000
    assert believed(asked("anthropic"), ["claude-opus-5"], many).input < 3_000
