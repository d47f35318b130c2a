"""What is booked for every way in which an attempt can end."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from tokenman_core import tokens
from tokenman_core.body.read import read_body
from tokenman_core.capture import Capture
from tokenman_core.config.models import Pricing
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Attempt, Caller, Exchange, Login, Sent, Times
from tokenman_core.metering import Meter
from tokenman_core.price_lists import Lists
from tokenman_core.pricing import Prices
from tokenman_core.providers import Provider, Providers
from tokenman_core.sse import Event
from tokenman_core.usage import Usage
from tokenman_core.verdicts import Candidate, Failure

NOW = 1_795_000_000.0
PROVIDERS = Providers(
    [
        Provider("anthropic", DIALECTS["anthropic"], "http", "127.0.0.1", 1),
        Provider("openai", DIALECTS["openai"], "http", "127.0.0.1", 2),
        Provider("codex", DIALECTS["openai"], "http", "127.0.0.1", 3),
        Provider("gemini", DIALECTS["gemini"], "http", "127.0.0.1", 4),
        Provider("gemini-code-assist", DIALECTS["gemini"], "http", "127.0.0.1", 7),
        Provider("keyed", DIALECTS["anthropic"], "http", "127.0.0.1", 5, key="sk-configured"),
        Provider("mine", DIALECTS["openai"], "http", "127.0.0.1", 6),
    ]
)
PATHS = {
    "anthropic": "/v1/messages",
    "openai": "/v1/chat/completions",
    "gemini": "/v1beta/models/gemini-2.5-pro:streamGenerateContent",
}
QUESTION = "Why is the sky blue, and why is it red in the evening? " * 20
ANSWER = "Because air scatters blue light more than red light. " * 20


@pytest.fixture
def meter() -> Any:
    made = Meter(Prices(Pricing(), Lists()), PROVIDERS)
    yield made
    made.close()


def call(provider: str, model: str = "", path: str = "", login: Login = "key", body: Any = None) -> Exchange:
    dialect = PROVIDERS.by_name[provider].dialect
    path = path or PATHS[dialect.name]
    value = body or {"model": model, "messages": [{"role": "user", "content": QUESTION}]}
    made = Exchange(
        "req_1", Sent("POST", path, "", (), ""), dialect, dialect.operation("POST", path),
        (Candidate(provider, model),), Times(NOW, 0.0), provider, Caller(login=login), model=model,
    )  # fmt: skip
    made.raw = json.dumps(value).encode()
    made.body = read_body(made.raw, "application/json", dialect, made.operation)
    made.attempts.append(Attempt(1, made.plan[0], sent=True))
    return made


def answered(exchange: Exchange, *events: Any, cap: int = 1 << 20, status: int = 200) -> Exchange:
    """As a stream that came as far as these events."""
    exchange.attempts[0].status = status
    exchange.reader = exchange.dialect.reader(exchange.operation)
    exchange.captured = Capture(cap, stream=True)
    for value in events:
        data = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        raw = f"data: {data}\n\n".encode()
        exchange.captured.add(raw)
        exchange.reader.note(Event(raw))
    return exchange


def whole(exchange: Exchange, value: Any, status: int = 200) -> Exchange:
    exchange.attempts[0].status = status
    exchange.reader = exchange.dialect.reader(exchange.operation)
    exchange.said = json.dumps(value).encode()
    exchange.reader.read(Event(exchange.said, "whole"))
    return exchange


async def settled(meter: Meter, exchange: Exchange) -> Attempt:
    await meter.settle(exchange, exchange.attempts[0])
    return exchange.attempts[0]


def words(text: str) -> list[str]:
    return [text[at : at + 7] for at in range(0, len(text), 7)]


def claude_stream(text: str = ANSWER, end: bool = True) -> list[Any]:
    start = {"model": "claude-sonnet-4-5-20250929", "usage": {"input_tokens": 1000, "output_tokens": 1}}
    events: list[Any] = [{"type": "message_start", "message": start}]
    events.append({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    for word in words(text):
        delta = {"type": "text_delta", "text": word}
        events.append({"type": "content_block_delta", "index": 0, "delta": delta})
    if end:
        events += [{"type": "message_delta", "delta": {}, "usage": {"output_tokens": 500}}, {"type": "message_stop"}]
    return events


def chat_stream(text: str = ANSWER, end: bool = True) -> list[Any]:
    events: list[Any] = [
        {"model": "gpt-4.1", "choices": [{"index": 0, "delta": {"content": it}}]} for it in words(text)
    ]
    if end:
        events += [{"model": "gpt-4.1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, "[DONE]"]
    return events


# -- what the provider said --


async def test_a_finished_stream_is_booked_as_the_provider_says(meter: Meter) -> None:
    attempt = await settled(meter, answered(call("anthropic", "claude-sonnet-4-5"), *claude_stream()))
    assert attempt.bill is not None
    assert attempt.usage == attempt.bill.usage == Usage(input=1000, output=500)
    assert (attempt.bill.cost, attempt.bill.basis, attempt.bill.estimated) == (Decimal("0.0105"), "list", False)


async def test_a_whole_answer_is_booked_and_quoted(meter: Meter) -> None:
    exchange = whole(
        call("openai", "gpt-4.1"), {"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 10}}
    )
    assert await meter.quote(exchange, exchange.attempts[0]) == Decimal("0.00208")
    attempt = await settled(meter, exchange)
    assert attempt.bill is not None
    assert attempt.bill.cost == Decimal("0.00208")


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
async def test_a_usage_in_whole_floats_is_exact(meter: Meter, provider: str) -> None:
    names = ("input_tokens", "output_tokens") if provider == "anthropic" else ("prompt_tokens", "completion_tokens")
    value = {"type": "message", "usage": dict(zip(names, (1000.0, 500.0), strict=True))}
    attempt = await settled(meter, whole(call(provider, "gpt-4.1"), value))
    assert attempt.bill is not None
    assert (attempt.bill.usage, attempt.bill.estimated) == (Usage(input=1000, output=500), False)


async def test_the_words_that_change_a_price_are_heard(meter: Meter) -> None:
    value = {"model": "gpt-6-sol", "service_tier": "priority", "usage": {"prompt_tokens": 1000, "completion_tokens": 0}}
    attempt = await settled(meter, whole(call("openai", "gpt-6-sol"), value))
    assert attempt.bill is not None
    assert attempt.bill.cost == Decimal("0.004")
    fast = {"type": "message", "usage": {"input_tokens": 1000, "output_tokens": 0, "speed": "fast"}}
    attempt = await settled(meter, whole(call("anthropic", "claude-opus-5"), fast))
    assert attempt.bill is not None
    assert attempt.bill.cost == Decimal("0.01")


@pytest.mark.parametrize(
    ("provider", "login", "notional"),
    [
        ("anthropic", "oauth", True),
        ("anthropic", "key", False),
        ("codex", "key", True),
        ("gemini-code-assist", "oauth", True),
        ("gemini", "oauth", False),
        ("openai", "oauth", False),
        ("keyed", "oauth", False),  # the configured key is what the provider sees and bills
    ],
)
async def test_a_subscription_is_told_by_the_login_that_the_provider_sees(
    meter: Meter, provider: str, login: Login, notional: bool
) -> None:
    said = {"type": "message", "usage": {"input_tokens": 10, "output_tokens": 1}}
    attempt = await settled(
        meter, whole(call(provider, "gpt-4.1" if provider == "codex" else "claude-opus-5", login=login), said)
    )
    assert attempt.bill is not None
    assert attempt.bill.notional is notional


# -- what nobody said --


async def test_an_aborted_claude_stream_is_booked_with_its_input_and_what_came(meter: Meter) -> None:
    half = ANSWER[: len(ANSWER) // 2]
    attempt = await settled(meter, answered(call("anthropic", "claude-sonnet-4-5"), *claude_stream(half, end=False)))
    assert attempt.usage == Usage(input=1000, output=1)
    assert attempt.bill is not None
    assert attempt.bill.usage == Usage(input=1000, output=tokens.estimate([half]))
    assert attempt.bill.estimated
    assert attempt.bill.cost == (3 * 1000 + 15 * attempt.bill.usage.output) * Decimal("1e-6")


@pytest.mark.parametrize("end", [True, False])
async def test_a_chat_stream_without_usage_is_never_booked_as_nothing(meter: Meter, end: bool) -> None:
    attempt = await settled(meter, answered(call("openai", "gpt-4.1"), *chat_stream(end=end)))
    assert attempt.usage is None
    assert attempt.bill is not None
    assert attempt.bill.usage == Usage(input=tokens.estimate([QUESTION]), output=tokens.estimate([ANSWER]))
    assert (attempt.bill.estimated, attempt.bill.basis) == (True, "list")


async def test_definitions_of_tools_count_as_input(meter: Meter) -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": QUESTION}}]
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}], "tools": tools}
    attempt = await settled(meter, answered(call("openai", "gpt-4.1", body=body), *chat_stream()))
    assert attempt.bill is not None
    assert attempt.bill.usage.input > tokens.estimate([QUESTION])


async def test_of_a_stream_over_the_cap_the_rest_is_like_what_is_kept(meter: Meter) -> None:
    exact = await settled(meter, answered(call("openai", "gpt-4.1"), *chat_stream(ANSWER * 10)))
    cut = await settled(meter, answered(call("openai", "gpt-4.1"), *chat_stream(ANSWER * 10), cap=20_000))
    assert exact.bill is not None
    assert cut.bill is not None
    assert cut.bill.usage.output == pytest.approx(exact.bill.usage.output, rel=0.1)


async def test_of_a_responses_stream_only_what_the_model_wrote_counts(meter: Meter) -> None:
    created = {"type": "response.created", "response": {"instructions": QUESTION * 50, "model": "gpt-4.1"}}
    deltas = [{"type": "response.output_text.delta", "output_index": 0, "delta": it} for it in words(ANSWER)]
    done = {"type": "response.output_text.done", "output_index": 0, "text": ANSWER}
    exchange = call("openai", "gpt-4.1", path="/v1/responses", body={"model": "gpt-4.1", "input": QUESTION})
    attempt = await settled(meter, answered(exchange, created, *deltas, done))
    assert attempt.bill is not None
    assert attempt.bill.usage.output == tokens.estimate([ANSWER])
    nothing = await settled(meter, answered(call("openai", "gpt-4.1", "/v1/responses", body={"input": "x"}), created))
    assert nothing.bill is not None
    assert nothing.bill.usage.output < 10


async def test_an_aborted_gemini_stream_is_booked_by_the_larger_of_what_it_said_and_what_came(meter: Meter) -> None:
    def chunk(text: str, count: int) -> Any:
        parts = [{"text": text}]
        usage = {"promptTokenCount": 700, "candidatesTokenCount": count}
        return {"candidates": [{"content": {"parts": parts}}], "usageMetadata": usage, "modelVersion": "gemini-2.5-pro"}

    body = {"contents": [{"parts": [{"text": QUESTION}]}]}
    small = await settled(meter, answered(call("gemini", "gemini-2.5-pro", body=body), chunk(ANSWER, 1)))
    large = await settled(meter, answered(call("gemini", "gemini-2.5-pro", body=body), chunk(ANSWER, 9000)))
    assert small.bill is not None
    assert small.bill.usage == Usage(input=700, output=tokens.estimate([ANSWER]))
    assert large.bill is not None
    assert large.bill.usage == Usage(input=700, output=9000)


async def test_a_whole_answer_without_usage_is_estimated(meter: Meter) -> None:
    value = {"model": "gpt-4.1", "choices": [{"message": {"role": "assistant", "content": ANSWER}}]}
    attempt = await settled(meter, whole(call("openai", "gpt-4.1"), value))
    assert attempt.bill is not None
    assert attempt.bill.usage == Usage(input=tokens.estimate([QUESTION]), output=tokens.estimate([ANSWER]))
    zero = await settled(meter, whole(call("openai", "gpt-4.1"), value | {"usage": {"prompt_tokens": 0}}))
    assert zero.bill is not None
    assert zero.bill.usage == attempt.bill.usage


@pytest.mark.parametrize("nothing", [0, True, None, "12", -3])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_side_that_is_said_to_be_nothing_is_counted_where_there_was_text(
    meter: Meter, nothing: Any, streamed: bool
) -> None:
    def said(**usage: Any) -> Exchange:
        if streamed:
            last = {"choices": [], "usage": usage}
            return answered(call("openai", "gpt-4.1"), *chat_stream()[:-1], last, "[DONE]")
        message = {"role": "assistant", "content": ANSWER}
        return whole(call("openai", "gpt-4.1"), {"choices": [{"message": message}], "usage": usage})

    given = await settled(meter, said(prompt_tokens=nothing, completion_tokens=20))
    assert given.bill is not None
    assert given.bill.usage == Usage(input=tokens.estimate([QUESTION]), output=20)
    assert given.bill.estimated
    wrote = await settled(meter, said(prompt_tokens=1000, completion_tokens=nothing))
    assert wrote.bill is not None
    assert wrote.bill.usage == Usage(input=1000, output=tokens.estimate([ANSWER]))
    assert wrote.bill.estimated


CHAT_REFUSED = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4.1", "service_tier": "default",
    "choices": [{
        "index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "content_filter",
        "content_filter_results": {"hate": {"filtered": True, "severity": "high"}},
    }],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 0, "total_tokens": 1000},
}  # fmt: skip
RESPONSES_REFUSED = {
    "id": "resp_1", "object": "response", "status": "incomplete", "incomplete_details": {"reason": "content_filter"},
    "output": [], "model": "gpt-4.1", "tool_choice": "auto", "truncation": "disabled", "user": "u",
    "usage": {"input_tokens": 1000, "output_tokens": 0},
}  # fmt: skip
CLAUDE_REFUSED = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5", "content": [],
    "stop_reason": "refusal", "usage": {"input_tokens": 1000, "output_tokens": 0, "service_tier": "standard"},
}  # fmt: skip
GEMINI_REFUSED = {
    "candidates": [{
        "finishReason": "SAFETY", "index": 0,
        "safetyRatings": [{"category": "HARM_CATEGORY_HATE", "probability": "HIGH"}],
    }],
    "promptFeedback": {"blockReason": "SAFETY"}, "modelVersion": "gemini-2.5-pro",
    "usageMetadata": {"promptTokenCount": 1000, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1000}]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("provider", "path", "value"),
    [
        ("openai", "", CHAT_REFUSED),
        ("openai", "/v1/responses", RESPONSES_REFUSED),
        ("anthropic", "", CLAUDE_REFUSED),
        ("gemini", "", GEMINI_REFUSED),
    ],
)
async def test_an_answer_without_text_is_free_of_output_as_it_says(
    meter: Meter, provider: str, path: str, value: Any
) -> None:
    attempt = await settled(meter, whole(call(provider, path=path), value))
    assert attempt.bill is not None
    assert (attempt.bill.usage, attempt.bill.estimated) == (Usage(input=1000), False)


async def test_embeddings_are_booked_as_their_input_is_said(meter: Meter) -> None:
    vectors = {"object": "list", "data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    exchange = whole(call("openai", "text-embedding-3-small", "/v1/embeddings", body={"input": "hi"}), vectors)
    assert await meter.quote(exchange, exchange.attempts[0]) is not None
    assert exchange.attempts[0].bill is not None
    assert (exchange.attempts[0].bill.usage, exchange.attempts[0].bill.estimated) == (Usage(input=8), False)


async def test_what_a_tool_is_given_counts_whatever_its_fields_are_called(meter: Meter) -> None:
    block = {"type": "tool_use", "id": "toolu_1", "name": "ask", "input": {"prompt": ANSWER, "user": ANSWER}}
    value = {
        "type": "message",
        "role": "assistant",
        "content": [block],
        "usage": {"input_tokens": 9, "output_tokens": 0},
    }
    attempt = await settled(meter, whole(call("anthropic", "claude-opus-5"), value))
    assert attempt.bill is not None
    assert attempt.bill.usage.output >= 2 * tokens.estimate([ANSWER])


@pytest.mark.parametrize("strange", [2**70, "\ud800", json.loads("[" * 300 + "]" * 300)])
async def test_tools_of_any_form_are_counted(meter: Meter, strange: Any) -> None:
    body = {"model": "gpt-4.1", "messages": [], "tools": [{"function": {"name": QUESTION, "most": strange}}]}
    exchange = answered(call("openai", "gpt-4.1"), *chat_stream())
    exchange.body = type("Body", (), {"slots": [], "value": body})()
    attempt = await settled(meter, exchange)
    assert attempt.bill is not None
    assert attempt.bill.usage.input > tokens.estimate([QUESTION])
    assert (attempt.bill.basis, attempt.bill.estimated) == ("list", True)


async def test_embeddings_write_nothing(meter: Meter) -> None:
    path = "/v1beta/models/gemini-embedding-001:embedContent"
    exchange = call("gemini", "gemini-embedding-001", path, body={"content": {"parts": [{"text": QUESTION}]}})
    attempt = await settled(meter, whole(exchange, {"embedding": {"values": [0.5], "note": ANSWER}}))
    assert attempt.bill is not None
    assert attempt.bill.usage == Usage(input=tokens.estimate([QUESTION]))


async def test_a_client_that_leaves_while_the_provider_works_owes_the_input(meter: Meter) -> None:
    attempt = await settled(meter, call("openai", "gpt-4.1"))
    assert attempt.bill is not None
    assert attempt.bill.usage == Usage(input=tokens.estimate([QUESTION]))


@pytest.mark.parametrize("kind", ["timeout", "reset"])
async def test_a_provider_that_worked_and_said_nothing_is_owed_the_input(meter: Meter, kind: str) -> None:
    made = call("openai", "gpt-4.1")
    made.attempts[0].failure, made.attempts[0].worked = Failure(kind, ""), True
    attempt = await settled(meter, made)
    assert attempt.bill is not None
    assert attempt.bill.usage == Usage(input=tokens.estimate([QUESTION]))


async def test_half_of_a_plain_answer_is_booked_by_its_size(meter: Meter) -> None:
    exchange = call("openai", "gpt-4.1")
    exchange.attempts[0].status = 200
    exchange.reader = exchange.dialect.reader(exchange.operation)
    exchange.captured = Capture(0, stream=False)
    exchange.captured.add(b"x" * 4001)
    attempt = await settled(meter, exchange)
    assert attempt.bill is not None
    assert attempt.bill.usage.output == 1001


async def test_speech_is_booked_by_the_characters_that_were_read_aloud(meter: Meter) -> None:
    exchange = call(
        "openai", "tts-1", "/v1/audio/speech", body={"model": "tts-1", "input": "x" * 2000, "voice": "alloy"}
    )
    exchange.attempts[0].status = 200
    exchange.reader = exchange.dialect.reader(exchange.operation)
    exchange.captured = Capture(0, stream=False)
    exchange.captured.add(b"\xff\xfb" * 5000)
    exchange.reader.finished = True
    bill = (await settled(meter, exchange)).bill
    assert bill is not None
    assert (bill.cost, bill.basis, bill.estimated) == (
        Decimal("0.03"),
        "list",
        False,
    )  # tts-1: $15 a million characters


@pytest.mark.parametrize(
    "path",
    [
        "/v1/images/generations",
        "/v1/batches",
        "/v1/containers",
        "/v1/vector_stores/vs_1/files",
        "/v1/fine_tuning/jobs",
        "/v1/videos",
    ],
)
async def test_what_no_text_tells_has_no_price_rather_than_a_wrong_one(meter: Meter, path: str) -> None:
    exchange = call("openai", "gpt-4o-mini-tts", path, body={"model": "gpt-4o-mini-tts", "input": QUESTION})
    attempt = await settled(meter, whole(exchange, {"data": []}))
    assert attempt.bill is not None
    assert (attempt.bill.cost, attempt.bill.basis, attempt.bill.estimated) == (None, "unknown", True)


@pytest.mark.parametrize("usage", [None, {"input_tokens": 100, "output_tokens": 50}])
async def test_what_was_only_queued_has_no_price_until_its_provider_says_what_it_used(meter: Meter, usage: Any) -> None:
    exchange = call(
        "openai", "gpt-4.1", "/v1/responses", body={"model": "gpt-4.1", "input": QUESTION, "background": True}
    )
    said = {"id": "resp_1", "status": "queued", "model": "gpt-4.1", "output": [], "usage": usage}
    bill = (await settled(meter, whole(exchange, said))).bill
    assert bill is not None
    assert bill.cost == (None if usage is None else Decimal("0.0006"))


def ran(*containers: str, more: Any = ()) -> Any:
    items = [
        {"type": "code_interpreter_call", "id": "ci_1", "code": "1+1", "container_id": name} for name in containers
    ]
    usage = {"input_tokens": 1000, "output_tokens": 100}
    return {"id": "resp_1", "object": "response", "model": "gpt-4.1", "output": [*items, *more], "usage": usage}


async def test_a_session_of_a_machine_is_booked_once_in_its_twenty_minutes(meter: Meter) -> None:
    tokens_alone, session = Decimal("0.0028"), Decimal("0.03")
    for after, containers, sessions in (
        (0, ("cntr_1",), 1), (60, ("cntr_1",), 0), (600, ("cntr_1", "cntr_2", "cntr_2"), 1), (1199, ("cntr_2",), 0),
        (1200, ("cntr_1",), 1), (1201, (), 0),
    ):  # fmt: skip
        exchange = call("openai", "gpt-4.1", "/v1/responses", body={"model": "gpt-4.1", "input": QUESTION})
        exchange.times.begun = NOW + after
        bill = (await settled(meter.by(meter._prices, PROVIDERS), whole(exchange, ran(*containers)))).bill
        assert bill is not None
        assert bill.cost == tokens_alone + sessions * session, after
        assert bill.basis == ("ceiling" if sessions else "list")


async def test_an_image_that_no_usage_tells_of_leaves_no_price(meter: Meter) -> None:
    exchange = call("openai", "gpt-4.1", "/v1/responses", body={"model": "gpt-4.1", "input": QUESTION})
    bill = (await settled(meter, whole(exchange, ran(more=[{"type": "image_generation_call", "result": "aGk="}])))).bill
    assert bill is not None
    assert (bill.cost, bill.basis, bill.usage.input) == (None, "unknown", 1000)


@pytest.mark.parametrize(
    ("model", "searches"),
    [
        ("gpt-4o-mini-search-preview", 1),
        ("openai/gpt-4o-mini-search-preview", 1),
        ("gpt-4.1", 0),
        ("sonar-deep-research", 0),
    ],
)
async def test_a_model_that_searches_for_each_answer_is_booked_with_its_search(
    meter: Meter, model: str, searches: int
) -> None:
    exchange = call("openai", model, body={"model": model, "messages": [], "web_search_options": {}})
    choices = [{"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}]
    said = {"model": model, "choices": choices, "usage": {"prompt_tokens": 1000, "completion_tokens": 100}}
    bill = (await settled(meter, whole(exchange, said))).bill
    assert bill is not None
    assert bill.usage.parts.get("web_searches", 0) == searches
    if model == "gpt-4o-mini-search-preview":
        assert bill.cost == Decimal("0.15e-6") * 1000 + Decimal("0.6e-6") * 100 + Decimal("0.01")


def rounds(*, streamed: bool) -> Any:
    """A call that made a summary, and then asked a dearer model for advice."""
    tokens = {
        "input_tokens": 23_000,
        "output_tokens": 1_000,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
    }
    told = [
        {**tokens, "type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500},
        {**tokens, "type": "message"},
        {**tokens, "type": "advisor_message", "model": "claude-opus-4-5", "input_tokens": 500, "cache_read_input_tokens": 400},
        {**tokens, "type": "advisor_message", "model": "claude-opus-4-5", "input_tokens": 500, "output_tokens": 0},
        "nonsense", {"type": "advisor_message"},
    ]  # fmt: skip
    usage = {**tokens, "iterations": told}
    start = {"model": "claude-sonnet-4-5", "usage": {**tokens, "output_tokens": 1}}
    if not streamed:
        return {"type": "message", **start, "content": [], "stop_reason": "end_turn", "usage": usage}
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    return [{"type": "message_start", "message": start}, delta, {"type": "message_stop"}]


@pytest.mark.parametrize("streamed", [False, True])
async def test_summaries_and_advice_are_booked_beside_the_tokens_of_the_answer(meter: Meter, streamed: bool) -> None:
    exchange = call(
        "anthropic", "claude-sonnet-4-5", body={"model": "claude-sonnet-4-5", "max_tokens": 1_000, "messages": []}
    )
    if streamed:
        answered(exchange, *rounds(streamed=True))
    else:
        whole(exchange, rounds(streamed=False))
    bill = (await settled(meter, exchange)).bill
    assert bill is not None
    own, advice = (
        Decimal(3) * (23_000 + 180_000) + 15 * (1_000 + 3_500),
        Decimal(5) * 1_000 + Decimal("0.5") * 400 + 25 * 1_000,
    )
    assert bill.cost == (own + advice) / 10**6
    assert (bill.usage.input, bill.usage.output, bill.usage.cache_read) == (204_400, 5_500, 400)
    assert not exchange.overrun  # the summary is no part of what the request allows


INTERACTION = {
    "id": "v1_abc", "status": "completed", "object": "interaction", "model": "gemini-2.5-flash",
    "outputs": [{"type": "text", "text": ANSWER}],
    "usage": {
        "total_input_tokens": 1000, "total_output_tokens": 100, "total_thought_tokens": 400, "total_cached_tokens": 0,
        "total_tool_use_tokens": 50, "total_tokens": 1550,
        "input_tokens_by_modality": [{"modality": "text", "tokens": 900}, {"modality": "audio", "tokens": 100}],
    },
}  # fmt: skip


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("end", ["interaction.complete", "interaction.completed"])
async def test_of_an_interaction_thoughts_and_what_tools_brought_are_booked_as_said(
    meter: Meter, streamed: bool, end: str
) -> None:
    body = {"model": "gemini-2.5-flash", "input": QUESTION}
    exchange = call("gemini", "gemini-2.5-flash", "/v1beta/interactions", body=body)
    if streamed:
        began = {"event_type": "interaction.created", "interaction": {"id": "v1_abc", "status": "in_progress"}}
        delta = {"event_type": "step.delta", "index": 0, "delta": {"type": "text", "text": ANSWER}}
        answered(exchange, began, delta, {"event_type": end, "interaction": INTERACTION | {"outputs": []}})
    else:
        whole(exchange, INTERACTION)
    bill = (await settled(meter, exchange)).bill
    assert bill is not None
    assert (bill.usage.input, bill.usage.output, bill.usage.reasoning) == (1050, 500, 400)
    assert bill.usage.parts == {"input_audio_tokens": 100}
    assert not bill.estimated
    # 0.30 and 2.50 USD for a million tokens of input and output, 1.00 of sound (https://ai.google.dev/gemini-api/docs/pricing)
    assert bill.cost == Decimal("0.30e-6") * 950 + Decimal("1.00e-6") * 100 + Decimal("2.50e-6") * 500


async def test_an_answer_that_cannot_be_read_has_no_price(meter: Meter) -> None:
    exchange = call("openai", "gpt-4.1")
    exchange.attempts[0].status = 200
    exchange.reader = exchange.dialect.reader(exchange.operation)
    attempt = await settled(meter, exchange)
    assert attempt.bill is not None
    assert attempt.bill.cost is None


# -- nothing is due --


@pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
async def test_a_refusal_of_the_providers_costs_nothing_unless_it_says_so(meter: Meter, status: int) -> None:
    refused = whole(call("openai", "gpt-4.1"), {"error": {"message": ANSWER}}, status)
    assert (await settled(meter, refused)).bill is None
    said = {"error": {}, "usage": {"prompt_tokens": 1000, "completion_tokens": 0}}
    attempt = await settled(meter, whole(call("openai", "gpt-4.1"), said, status))
    assert attempt.bill is not None
    assert attempt.bill.cost == Decimal("0.002")


async def test_what_was_never_sent_or_failed_before_an_answer_costs_nothing(meter: Meter) -> None:
    unsent = call("openai", "gpt-4.1")
    unsent.attempts[0].sent = False
    failed = call("openai", "gpt-4.1")
    failed.attempts[0].failure = Failure("connect", "refused")
    for exchange in (unsent, failed):
        assert (await settled(meter, exchange)).bill is None


@pytest.mark.parametrize(
    ("provider", "path"),
    [("anthropic", "/v1/messages/count_tokens"), ("openai", "/v1/files"), ("openai", "/v1/moderations")],
)
async def test_free_operations_cost_nothing(meter: Meter, provider: str, path: str) -> None:
    exchange = whole(call(provider, "gpt-4.1", path), {"input_tokens": 5})
    assert meter.ready(exchange, exchange.attempts[0])
    assert (await settled(meter, exchange)).bill is None


@pytest.mark.parametrize(
    ("provider", "path", "model"),
    [
        ("anthropic", "/v1/messages/count_tokens", "claude-opus-5"), ("anthropic", "/v1/skills/x", "claude-opus-5"),
        ("openai", "/v1/files", "gpt-4.1"), ("openai", "/v1/moderations", "gpt-4.1"),
    ],
)  # fmt: skip
async def test_an_answer_that_tells_its_usage_is_booked_whatever_was_asked(
    meter: Meter, provider: str, path: str, model: str
) -> None:
    usage = {"input_tokens": 1000, "output_tokens": 500}
    exchange = whole(call(provider, model, path), {"model": model, "usage": usage})
    made = await settled(meter, exchange)
    assert exchange.overrun
    assert made.bill is not None
    assert made.bill.usage == Usage(input=1000, output=500)
    assert made.bill.cost


async def test_what_only_repeats_the_usage_of_an_answer_is_not_booked_again(meter: Meter) -> None:
    told = {
        "id": "resp_1", "object": "response", "model": "gpt-4.1", "output": [],
        "usage": {"input_tokens": 1000, "output_tokens": 500},
    }  # fmt: skip
    cancel, get = "/v1/responses/resp_1/cancel", call("openai", "gpt-4.1", "/v1/responses/resp_1")
    get.sent, get.operation = Sent("GET", get.sent.path, "", (), ""), get.dialect.operation("GET", get.sent.path)
    assert (await settled(meter, whole(get, told))).bill is None
    assert (await settled(meter, whole(call("openai", "gpt-4.1", cancel), told))).bill is not None
    assert (await settled(meter, whole(call("openai", "gpt-4.1", cancel), told))).bill is None
    for named, body in (("resp_2", {}), ("resp_3", {"background": True})):
        made = call("openai", "gpt-4.1", "/v1/responses", body={"model": "gpt-4.1", "input": QUESTION, **body})
        said = told | {"id": named} | ({"usage": None, "status": "queued"} if body else {})
        assert (await settled(meter, whole(made, said))).bill is not None
        again = whole(call("openai", "gpt-4.1", cancel), told | {"id": named})
        assert (await settled(meter, again)).bill is None


async def test_a_stream_that_fails_at_its_first_event_costs_nothing_and_later_what_came(meter: Meter) -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    at_once = await settled(meter, answered(call("anthropic", "claude-opus-5"), overloaded))
    assert at_once.bill is None
    later = await settled(meter, answered(call("anthropic", "claude-opus-5"), *claude_stream(end=False), overloaded))
    assert later.bill is not None
    assert later.bill.usage == Usage(input=1000, output=tokens.estimate([ANSWER]))


# -- trouble --


async def test_a_known_price_takes_no_time_once_the_lists_are_loaded(meter: Meter) -> None:
    exchange = answered(call("anthropic", "claude-opus-5"), *claude_stream())
    assert not meter.ready(exchange, exchange.attempts[0])
    await settled(meter, exchange)
    assert meter.ready(exchange, exchange.attempts[0])
    unsaid = answered(call("openai", "gpt-4.1"), *chat_stream())
    assert not meter.ready(unsaid, unsaid.attempts[0])


async def test_without_its_ranks_a_call_is_booked_as_unpriced_and_told(
    meter: Meter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def damaged(_: Any) -> int:
        raise ValueError(QUESTION)

    monkeypatch.setattr(tokens, "estimate", damaged)
    attempt = await settled(meter, answered(call("anthropic", "claude-opus-5"), *claude_stream(end=False)))
    assert attempt.bill is not None
    assert (attempt.bill.usage.input, attempt.bill.cost, attempt.bill.basis) == (1000, None, "unknown")
    assert "without its tokens" in caplog.text
    assert QUESTION not in caplog.text


async def test_whoever_is_cancelled_while_counting_still_owes_what_was_said(
    meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    await meter._wake()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def forever(_: Any) -> Any:
        begun.set()
        await go_on.wait()

    monkeypatch.setattr(meter, "_off_loop", forever)
    exchange = answered(call("anthropic", "claude-sonnet-4-5"), *claude_stream(end=False))
    task = asyncio.create_task(settled(meter, exchange))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    bill = exchange.attempts[0].bill
    assert bill is not None
    assert (bill.usage.input, bill.estimated) == (1000, True)
    assert bill.usage.output > tokens.estimate([ANSWER]) // 2
    assert bill.cost is not None


async def test_a_crowd_of_estimates_is_counted_roughly_and_does_not_pile_up(
    meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenman_core.metering._MOST_WAITING", 0)
    attempt = await settled(meter, answered(call("openai", "gpt-4.1"), *chat_stream()))
    assert attempt.bill is not None
    assert attempt.bill.usage.input == tokens.rough([QUESTION])
    assert attempt.bill.usage.output > tokens.estimate([ANSWER]) // 2


async def test_after_its_end_a_meter_still_books(meter: Meter) -> None:
    meter.close()
    told = await settled(meter, answered(call("anthropic", "claude-sonnet-4-5"), *claude_stream()))
    assert told.bill is not None
    assert told.bill.cost == Decimal("0.0105")
    untold = await settled(meter, answered(call("openai", "gpt-4.1"), *chat_stream()))
    assert untold.bill is not None
    assert untold.bill.usage.input == tokens.rough([QUESTION])


async def test_a_meter_in_haste_waits_for_no_tokeniser(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "estimate", lambda texts: pytest.fail("it was loaded"))
    meter.hasten()
    untold = await settled(meter, answered(call("openai", "gpt-4.1"), *chat_stream()))
    assert untold.bill is not None
    assert untold.bill.usage.input == tokens.rough([QUESTION])
    assert untold.bill.cost is not None


async def test_a_started_meter_is_ready_soon(meter: Meter) -> None:
    meter.start()
    assert meter._desk.start is not None
    await meter._desk.start
    exchange = answered(call("anthropic", "claude-opus-5"), *claude_stream())
    assert meter.ready(exchange, exchange.attempts[0])


@pytest.mark.parametrize(
    ("provider", "body", "said", "beyond"),
    [
        ("anthropic", {"model": "m", "max_tokens": 100}, {"input_tokens": 5, "output_tokens": 100}, False),
        ("anthropic", {"model": "m", "max_tokens": 100}, {"input_tokens": 5, "output_tokens": 101}, True),
        ("openai", {"model": "m", "max_completion_tokens": 100}, {"prompt_tokens": 5, "completion_tokens": 10**18}, True),
        ("openai", {"model": "m", "max_tokens": 100, "n": 3}, {"prompt_tokens": 5, "completion_tokens": 300}, False),
        ("openai", {"model": "m"}, {"prompt_tokens": 5, "completion_tokens": 10**5}, False),
        ("gemini", {"generationConfig": {"maxOutputTokens": 9}}, {"promptTokenCount": 5, "candidatesTokenCount": 10}, True),
    ],
)  # fmt: skip
async def test_what_is_said_to_be_written_beyond_the_request_is_booked_and_marked(meter, provider, body, said, beyond):
    exchange = call(provider, body={"messages": [{"role": "user", "content": "hi"}], **body})
    answer = {
        "anthropic": {"type": "message", "stop_reason": "end_turn", "content": [{"type": "text", "text": "x"}], "usage": said},
        "openai": {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": said},
        "gemini": {"candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": "x"}]}}], "usageMetadata": said},
    }[provider]  # fmt: skip
    attempt = await settled(meter, whole(exchange, answer))
    assert attempt.bill is not None
    assert attempt.bill.usage.output >= 10 or provider == "gemini"
    assert exchange.overrun is beyond


async def test_what_was_counted_here_is_no_overrun(meter):
    exchange = call("anthropic", body={"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]})
    assert (await settled(meter, answered(exchange, *claude_stream(end=False)))).bill.estimated
    assert not exchange.overrun
