import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tokenman_core import tokens
from tokenman_core.ahead import ceilings
from tokenman_core.ahead.quote import Bound, Quotes, Sizes, _extra
from tokenman_core.ahead.texts import Counter
from tokenman_core.body.read import read_body
from tokenman_core.config.models import Pricing
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Exchange, Sent, Times
from tokenman_core.pricing import Prices, Rates
from tokenman_core.providers import Provider, Providers
from tokenman_core.verdicts import Candidate

NOW = 1_795_000_000.0
USD_MTOK = 10**6  # a USD for a million tokens, in 1e-12 USD a token
SEARCH = 10**10  # of the web, at Anthropic and OpenAI
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
    assert (found.reading, found.writing) == (found.input * 3 * USD_MTOK, 15 * USD_MTOK)


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
    assert found.reading == found.input * Decimal(dearer) * USD_MTOK


async def test_a_long_context_and_a_faster_service_are_held_at_their_prices():
    long = await bound("anthropic", "claude-sonnet-4-5", said(TEXT * 400, max_tokens=1))
    assert long.input > 200_000
    assert long.reading == long.input * 6 * USD_MTOK
    assert (await bound("openai", "gpt-6-sol", said(service_tier="priority"))).reading > (
        (await bound("openai", "gpt-6-sol", said(service_tier="auto"))).reading * 1.9
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


@pytest.mark.parametrize(("name", "mime"), [("inlineData", "mimeType"), ("inline_data", "mime_type")])
async def test_an_image_of_geminis_is_measured_in_both_spellings(name, mime):
    parts = [{"text": TEXT}, {name: {mime: "image/png", "data": "iVBORw0KGgo="}}]
    seen = await bound("gemini", "gemini-2.5-pro", {"contents": [{"parts": parts}]})
    plain = await bound("gemini", "gemini-2.5-pro", {"contents": [{"parts": parts[:1]}]})
    assert seen.input >= plain.input + 2_240


async def test_what_the_provider_holds_has_the_size_that_is_known_or_the_models_whole_context():
    sizes = Sizes()
    value = {"input": "go on", "previous_response_id": "resp_1"}
    unknown = await bound("openai", "gpt-4o", value, "/v1/responses", sizes)
    assert unknown.input >= ceilings.of("gpt-4o").context
    sizes.learn("resp_1", 500)
    known = await bound("openai", "gpt-4o", value, "/v1/responses", sizes)
    assert 500 < known.input < 1_000
    assert known.counted == unknown.counted == 0  # what its provider says of it tells nothing of how texts are counted


async def test_searches_are_bounded_by_their_count_and_without_one_the_call_has_no_bound():
    tool = {"type": "web_search_20250305", "name": "web_search"}
    endless = await bound("anthropic", "claude-sonnet-4-5", said(max_tokens=1, tools=[tool]))
    assert "max_uses" in endless.unbounded
    bounded = await bound("anthropic", "claude-sonnet-4-5", said(max_tokens=1, tools=[{**tool, "max_uses": 3}]))
    assert (bounded.unbounded, bounded.reading) == ("", bounded.input * 3 * USD_MTOK + 3 * SEARCH)
    assert bounded.input > 36_000 + 3 * 600
    limited = await bound("openai", "gpt-5", said(tools=[{"type": "web_search"}], max_tool_calls=2), "/v1/responses")
    assert (limited.unbounded, limited.reading) == ("", limited.input * Decimal("1.25") * USD_MTOK + 2 * SEARCH)
    grounded = await bound("gemini", "gemini-2.5-pro", {"contents": [], "tools": [{"googleSearch": {}}]})
    assert grounded.unbounded == ""
    assert grounded.reading > grounded.input * Decimal("1.25") * USD_MTOK + 20 * SEARCH


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


async def test_who_is_asked_for_advice_and_who_answers_instead_is_held_at_the_dearest_price():
    plain = await bound("anthropic", "claude-haiku-4-5", said(max_tokens=1000))
    asks = {"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-5", "max_uses": 2}
    advised = await bound("anthropic", "claude-haiku-4-5", said(max_tokens=1000, tools=[asks]))
    assert advised.writing == 5 * plain.writing
    assert advised.reading > 5 * 3 * plain.reading
    instead = await bound(
        "anthropic", "claude-haiku-4-5", said(max_tokens=1000, fallbacks=[{"model": "claude-opus-4-5"}])
    )
    assert instead.reading == 5 * plain.reading


@pytest.mark.parametrize(
    "more",
    [{"context_management": {"edits": [{"type": "compact_20260112"}]}}, {"compaction": {"type": "summarize"}}],
    ids=range(2),
)
async def test_a_call_that_may_be_summed_up_first_reads_all_twice(more):
    plain = await bound("anthropic", "claude-haiku-4-5", said(max_tokens=1000))
    assert (await bound("anthropic", "claude-haiku-4-5", said(max_tokens=1000, **more))).input == 2 * plain.input
    kept = {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}, None, {"type": 5}]}}
    assert (await bound("anthropic", "claude-haiku-4-5", said(max_tokens=1000, **kept))).input == plain.input


async def test_what_costs_by_the_day_or_the_job_has_no_bound_and_no_token_tells_its_price():
    kept = await bound("openai", "", {"name": "docs"}, "/v1/vector_stores")
    trained = await bound("openai", "gpt-4.1-mini", {"training_file": "file_1"}, "/v1/fine_tuning/jobs")
    filmed = await bound(
        "gemini", "veo-3.0", {"instances": [{"prompt": "x"}]}, "/v1beta/models/veo-3.0:predictLongRunning"
    )
    assert (kept.priced, kept.basis) == (False, "unknown")
    assert all("other measures than tokens" in it.unbounded for it in (kept, trained, filmed))
    asked = {"requests": [{"model": "models/gemini-embedding-001", "content": {"parts": [{"text": TEXT}]}}]}
    found = await bound(
        "gemini", "gemini-embedding-001", asked, "/v1beta/models/gemini-embedding-001:batchEmbedContents"
    )
    assert (found.unbounded, found.output) == ("", 0)


async def test_embeddings_write_nothing_and_an_unknown_model_has_no_price():
    assert (await bound("openai", "text-embedding-3-small", {"input": [TEXT]}, "/v1/embeddings")).output == 0
    found = await bound("openai", "house-model", said(), unknown_model="allow")
    assert (found.priced, found.reading, found.writing, found.basis) == (False, 0, 0, "unknown")


async def test_what_is_asked_cheaper_is_held_as_usual_for_a_provider_may_not_have_it_just_then():
    usual, flexible = [await bound("openai", "gpt-5", said(service_tier=tier)) for tier in ("default", "flex")]
    assert (flexible.reading, flexible.writing) == (usual.reading, usual.writing)


@pytest.mark.parametrize(
    ("path", "value", "least"),
    [
        ("/v1/embeddings", {"input": [[7] * 500, [8] * 500]}, 1_000),
        ("/v1/embeddings", {"input": [7] * 800}, 800),
        ("/v1/completions", {"prompt": [7] * 800, "max_tokens": 1}, 800),
    ],
)
async def test_texts_that_come_as_tokens_are_counted(path, value, least):
    assert least <= (await bound("openai", "gpt-4o", value, path)).input < least * 1.3


@pytest.mark.parametrize(
    ("name", "model", "value"),
    [
        (
            "anthropic", "claude-opus-5",
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "input": {"rows": list(range(1000))}}]}]},
        ),
        (
            "gemini", "gemini-2.5-pro",
            {"contents": [{"parts": [{"functionResponse": {"response": {"rows": [[n, True, None] for n in range(1000)]}}}]}]},
        ),
    ],
)  # fmt: skip
async def test_numbers_that_tools_were_given_are_read_too(name, model, value):
    assert (await bound(name, model, value)).input > tokens.estimate([json.dumps(value)])


async def test_sound_and_images_are_held_at_their_prices_both_ways():
    spoken = await bound("openai", "gpt-audio", said(modalities=["text", "audio"]))
    assert spoken.writing >= (await bound("openai", "gpt-audio", said())).writing * 4
    drawn = await bound("gemini", "gemini-2.5-flash-image", {"contents": []})
    text = {"contents": [], "generationConfig": {"responseModalities": ["TEXT"]}}
    assert drawn.writing > (await bound("gemini", "gemini-2.5-flash-image", text)).writing * 4
    sound = {"type": "input_audio", "input_audio": {"data": "//uQ" * 25_000, "format": "mp3"}}
    heard = await bound("openai", "gpt-audio", {"messages": [{"role": "user", "content": [sound]}]})
    assert heard.reading > (heard.input - 100) * 30 * USD_MTOK


async def test_a_model_that_goes_on_by_itself_reads_all_again_in_each_round():
    fetch = {"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 2}
    twice = await bound("anthropic", "claude-opus-5", said(max_tokens=1, tools=[fetch]))
    plain = await bound("anthropic", "claude-opus-5", said(max_tokens=1, tools=[{"name": "x"}]))
    assert twice.input > plain.input * 3 + 3 * 12_000 - 200  # what the first search brought is read twice
    code = {"type": "code_execution_20250825", "name": "code_execution"}
    assert (await bound("anthropic", "claude-opus-5", said(max_tokens=1, tools=[code]))).unbounded == ""
    endless = await bound("openai", "gpt-5", said(tools=[{"type": "mcp", "server_label": "x"}]), "/v1/responses")
    assert "max_tool_calls" in endless.unbounded
    runs = said(tools=[{"type": "code_interpreter", "container": {"type": "auto"}}], max_tool_calls=1)
    calls = said(tools=[{"type": "mcp", "server_label": "x"}], max_tool_calls=1)
    machine, without = [await bound("openai", "gpt-5", it, "/v1/responses") for it in (runs, calls)]
    tokens_cost = Decimal("1.25") * USD_MTOK
    assert (machine.reading - machine.input * tokens_cost) - (
        without.reading - without.input * tokens_cost
    ) == 3 * SEARCH
    drawing = said(tools=[{"type": "image_generation"}], max_tool_calls=1)
    assert "image_generation" in (await bound("openai", "gpt-5", drawing, "/v1/responses")).unbounded
    many = await bound("anthropic", "claude-opus-5", said(max_tokens=1, tools=[{**fetch, "max_uses": 10**15}]))
    assert many.input <= ceilings.of("claude-opus-5").context * 11


@pytest.mark.parametrize("verb", ["predict", "predictLongRunning", "batchGenerateContent", "asyncBatchEmbedContent"])
async def test_what_gemini_prices_by_other_measures_has_no_bound(verb):
    found = await bound("gemini", "gemini-2.5-pro", {"instances": []}, f"/v1beta/models/gemini-2.5-pro:{verb}")
    assert found.unbounded


async def test_what_nobody_can_count_is_no_more_than_a_model_can_read():
    files = [{"type": "document", "source": {"type": "file", "file_id": f"file_{n}"}} for n in range(50)]
    found = await bound(
        "anthropic", "claude-opus-5", {"messages": [{"role": "user", "content": files}], "max_tokens": 1}
    )
    context = ceilings.of("claude-opus-5").context
    assert context <= found.input < context * 1.1


async def test_a_body_that_is_no_single_json_value_is_bounded_anew_when_its_texts_have_changed():
    dialect = DIALECTS["openai"]
    operation = dialect.operation("POST", "/v1/batches")
    exchange = Exchange(
        "r", Sent("POST", "/v1/batches", "", (), ""), dialect, operation, (), Times(NOW, 0.0), model="gpt-4o"
    )
    lines = b'{"prompt": "one"}\n{"prompt": "two"}\n'
    exchange.body = read_body(lines, "application/jsonl", dialect, operation)
    assert exchange.body.value is None
    quotes = Quotes(Prices(Pricing()), PROVIDERS, Counter(), Sizes(), off_loop)
    first = await quotes.bound(exchange, Candidate("openai", "gpt-4o"))
    assert await quotes.bound(exchange, Candidate("openai", "gpt-4o")) is first
    exchange.body.slots[0].text += TEXT
    assert (await quotes.bound(exchange, Candidate("openai", "gpt-4o"))).input > first.input + 300


async def test_the_forms_of_tools_and_answers_are_read_besides_the_texts_in_them():
    fields = {f"field_{number}": {"type": "integer"} for number in range(200)}
    plain = await bound("anthropic", "claude-opus-5", said(max_tokens=1))
    tool = {"name": "x", "input_schema": {"type": "object", "properties": fields}}
    assert (await bound("anthropic", "claude-opus-5", said(max_tokens=1, tools=[tool]))).input > plain.input + 2_000
    form = {"contents": [], "generationConfig": {"responseSchema": {"type": "OBJECT", "properties": fields}}}
    assert (await bound("gemini", "gemini-2.5-pro", form)).input > 1_000


async def test_searches_and_rounds_are_held_that_no_tool_of_the_call_names():
    plain = await bound("openai", "gpt-4o", said())
    assert (await bound("openai", "gpt-4o", said(web_search_options={}))).input == plain.input + 12_000
    assert (await bound("openai", "gpt-4o-search-preview", said())).input == plain.input + 12_000
    servers = [{"type": "url", "url": "https://mcp.example.com", "name": "x"}]
    plain = await bound("anthropic", "claude-opus-5", said(max_tokens=1))
    assert (await bound("anthropic", "claude-opus-5", said(max_tokens=1, mcp_servers=servers))).input > plain.input * 10


def test_what_is_paid_for_the_call_itself_is_held():
    zero = Decimal(0)
    rates = Rates(zero, zero, zero, zero, zero, zero, {"requests": Decimal("0.005"), "web_searches": Decimal("0.01")})
    assert _extra(rates, 0, 0) == 5 * 10**9
    assert _extra(rates, 2, 0) == 25 * 10**9


async def test_amounts_are_rounded_up_so_that_nothing_is_given_away():
    price = {"input_mtok": "0.0000001", "output_mtok": "0.0000021"}
    found = await bound("openai", "house-model", said(max_tokens=5), overrides={"house-model": price})
    assert (found.reading, found.writing) == (found.input, 3)


async def test_a_bound_is_worked_out_anew_when_a_stage_has_changed_the_request():
    dialect = DIALECTS["anthropic"]
    operation = dialect.operation("POST", "/v1/messages")
    exchange = Exchange(
        "req_1", Sent("POST", "/v1/messages", "", (), ""), dialect, operation, (), Times(NOW, 0.0), model="m"
    )
    exchange.body = read_body(json.dumps(said(max_tokens=100)).encode(), "application/json", dialect, operation)
    quotes = Quotes(Prices(Pricing()), PROVIDERS, Counter(), Sizes(), off_loop)
    candidate = Candidate("anthropic", "claude-opus-5")
    first = await quotes.bound(exchange, candidate)
    assert await quotes.bound(exchange, candidate) is first
    exchange.body.slots[0].text += TEXT
    assert (longer := await quotes.bound(exchange, candidate)).input > first.input * 1.8
    for limit in (200, 300):
        edition = exchange.body.edition
        exchange.body.replace({**exchange.body.value, "max_tokens": limit})
        assert (await quotes.bound(exchange, candidate)).output == limit
        exchange.body.revert(edition)
    assert (await quotes.bound(exchange, candidate)).input == longer.input


@pytest.mark.parametrize("long", ["model", "service_tier"])
async def test_no_price_is_remembered_under_a_name_that_is_too_long_to_have_one(long: str) -> None:
    dialect = DIALECTS["openai"]
    operation = dialect.operation("POST", PATHS["openai"])
    quotes = Quotes(Prices(Pricing()), PROVIDERS, Counter(), Sizes(), off_loop)
    for name in ("x", "x" * 100_000):
        value = {"model": "gpt-4o", **said(max_tokens=1), long: name}
        exchange = Exchange(
            "r",
            Sent("POST", PATHS["openai"], "", (), ""),
            dialect,
            operation,
            (),
            Times(NOW, 0.0),
            model=value["model"],
        )
        exchange.body = read_body(json.dumps(value).encode(), "application/json", dialect, operation)
        await quotes.bound(exchange, Candidate("openai", value["model"]))
        assert len(repr(quotes._prices_of)) < 10_000


async def test_long_texts_and_the_loading_of_the_tokeniser_stay_off_the_event_loop():
    aside = list[int]()

    async def on_a_thread(function: Callable[[], Any]) -> Any:
        aside.append(1)
        return function()

    dialect = DIALECTS["anthropic"]
    operation = dialect.operation("POST", "/v1/messages")
    prices = Prices(Pricing())
    prices.warm()
    quotes = Quotes(prices, PROVIDERS, Counter(), Sizes(), on_a_thread)
    for text, expected in (("first, " * 20, 1), ("short, " * 20, 1), ("long, " * 2_000, 2), ("long, " * 2_000, 2)):
        exchange = Exchange(
            "r", Sent("POST", "/v1/messages", "", (), ""), dialect, operation, (), Times(NOW, 0.0), model="m"
        )
        exchange.body = read_body(json.dumps(said(text, max_tokens=1)).encode(), "application/json", dialect, operation)
        await quotes.bound(exchange, Candidate("anthropic", "claude-opus-5"))
        assert len(aside) == expected


async def test_of_models_that_a_provider_may_fall_back_on_the_dearest_is_held():
    cheap = await bound("openai", "gpt-4o-mini", said())
    dear = await bound("openai", "gpt-5-pro", said())
    both = await bound("openai", "gpt-4o-mini", said(models=["gpt-4o-mini", "gpt-5-pro"]))
    assert (both.writing, both.output) == (dear.writing, dear.output)
    assert dear.reading <= both.reading < dear.reading * 2  # the names are read, too
    assert both.writing > cheap.writing
    unknown = await bound("openai", "gpt-4o-mini", said(models=["a-model-of-nobody"]), overrides={})
    assert unknown.basis == "ceiling"
    assert unknown.writing > cheap.writing
