"""Golden vectors: what providers publish as the price of a use, and what is booked for it."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tokenman_core.config.load import load
from tokenman_core.config.models import Pricing
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.errors import ConfigError
from tokenman_core.pricing import Prices
from tokenman_core.providers import Provider
from tokenman_core.usage import Bill, Usage, anthropic_usage, gemini_usage, money, openai_usage

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)


def provider(name: str, dialect: str, host: str = "127.0.0.1") -> Provider:
    return Provider(name, DIALECTS[dialect], "https", host, 443)


ANTHROPIC = provider("anthropic", "anthropic")
OPENAI = provider("openai", "openai")
CODEX = provider("codex", "openai")
GEMINI = provider("gemini", "gemini")
OWN = provider("mine", "openai")


def booked(usage: Usage, at: Provider, *models: str, settings: dict[str, Any] | None = None, **options: Any) -> Bill:
    return Prices(Pricing.model_validate(settings or {})).bill(usage, at, models, options.pop("when", AT), **options)


# The rates behind the figures, USD for a million tokens: claude-sonnet-4-5 3 in, 15 out, 0.30 read, 3.75 and 6 written, twice
# that (out: 22.50) beyond 200,000 of input (https://platform.claude.com/docs/en/about-claude/pricing); claude-opus-4-5 5 and 25;
# gpt-5 1.25 and 10, 0.125 read; gpt-5.6-sol writes at 1.25 times its input (https://platform.openai.com/docs/pricing);
# gemini-2.5-pro 1.25 and 10, 0.125 read, beyond 200,000 2.50 and 15, 0.25 read (https://ai.google.dev/gemini-api/docs/pricing).
GOLDEN = [
    # (case, provider, model, usage as the provider says it, USD)
    ("plain", ANTHROPIC, "claude-sonnet-4-5-20250929", {"input_tokens": 1000, "output_tokens": 500}, "0.0105"),
    ("read", ANTHROPIC, "claude-sonnet-4-5", {"input_tokens": 10, "cache_read_input_tokens": 100_000}, "0.03003"),
    (
        "written for 5 minutes, told by the sum alone",
        ANTHROPIC, "claude-sonnet-4-5", {"input_tokens": 10, "cache_creation_input_tokens": 10_000}, "0.03753",
    ),
    (
        "written for an hour: twice the input",
        ANTHROPIC, "claude-sonnet-4-5",
        {"cache_creation_input_tokens": 10_000, "cache_creation": {"ephemeral_1h_input_tokens": 10_000}}, "0.06",
    ),
    (
        "written for both, and read",
        ANTHROPIC, "claude-opus-4-5-20251101",
        {
            "input_tokens": 2000, "output_tokens": 1000, "cache_read_input_tokens": 40_000, "cache_creation_input_tokens": 3000,
            "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 2000},
        },
        "0.08125",  # 0.01 + 0.025 + 0.02 + 0.00625 + 0.02
    ),
    ("thought is output", ANTHROPIC, "claude-opus-4-5",
        {"input_tokens": 0, "output_tokens": 1000, "output_tokens_details": {"thinking_tokens": 900}}, "0.025"),
    ("200,000 of input are the last at the lower price", ANTHROPIC, "claude-sonnet-4-5",
        {"input_tokens": 100_000, "cache_read_input_tokens": 100_000, "output_tokens": 1000}, "0.345"),
    ("one more, and all of it is at the higher one", ANTHROPIC, "claude-sonnet-4-5",
        {"input_tokens": 100_001, "cache_read_input_tokens": 100_000, "output_tokens": 1000}, "0.682506"),
    ("chat", OPENAI, "gpt-5-2025-08-07", {"prompt_tokens": 1000, "completion_tokens": 500}, "0.00625"),
    ("chat, cached", OPENAI, "gpt-5",
        {"prompt_tokens": 2000, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 1920}}, "0.00034"),
    ("chat, thought", OPENAI, "gpt-5",
        {"prompt_tokens": 0, "completion_tokens": 500, "completion_tokens_details": {"reasoning_tokens": 400}}, "0.005"),
    ("responses", OPENAI, "gpt-5",
        {"input_tokens": 2000, "input_tokens_details": {"cached_tokens": 1000}, "output_tokens": 100}, "0.002375"),
    ("written", OPENAI, "gpt-5.6-sol",
        {"prompt_tokens": 2000, "completion_tokens": 0, "prompt_tokens_details": {"cache_write_tokens": 1000}}, "0.01125"),
    ("embeddings", OPENAI, "text-embedding-3-small", {"prompt_tokens": 1000, "total_tokens": 1000}, "0.00002"),
    ("fine-tuned", OPENAI, "ft:gpt-4o-mini-2024-07-18:us::abc", {"prompt_tokens": 1000, "completion_tokens": 1000}, "0.0015"),
    ("ChatGPT's login has OpenAI's prices", CODEX, "gpt-5", {"input_tokens": 1000, "output_tokens": 0}, "0.00125"),
    ("another's model at a server of the user's", OWN, "deepseek-v3.2",
        {"prompt_tokens": 1_000_000, "completion_tokens": 0, "prompt_cache_hit_tokens": 0}, "0.2288"),
    ("what xAI thinks is not in its completion_tokens", provider("x-ai", "openai"), "grok-3-mini",
        {"prompt_tokens": 0, "completion_tokens": 100, "total_tokens": 1000,
         "completion_tokens_details": {"reasoning_tokens": 900}}, "0.0005"),
    ("thoughts of Gemini's", GEMINI, "gemini-2.5-pro",
        {"promptTokenCount": 1000, "candidatesTokenCount": 100, "thoughtsTokenCount": 900}, "0.01125"),
    ("cached by Gemini", GEMINI, "gemini-2.5-pro",
        {"promptTokenCount": 10_000, "cachedContentTokenCount": 8000, "candidatesTokenCount": 0}, "0.0035"),
    ("a long context of Gemini's", GEMINI, "gemini-2.5-pro",
        {"promptTokenCount": 200_001, "candidatesTokenCount": 1000}, "0.5150025"),
    # $10 for a thousand searches (https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool#usage-and-pricing)
    ("searches of Anthropic's", ANTHROPIC, "claude-sonnet-4-5",
        {"input_tokens": 1000, "output_tokens": 100, "server_tool_use": {"web_search_requests": 2}}, "0.0245"),
    # gpt-audio: text 2.50 and 10, audio 32 and 64
    ("audio heard and spoken", OPENAI, "gpt-audio",
        {"prompt_tokens": 1000, "completion_tokens": 200, "prompt_tokens_details": {"audio_tokens": 900},
         "completion_tokens_details": {"audio_tokens": 150}}, "0.03915"),
    # gpt-4o-transcribe: text 2.50, audio 6, out 10; whisper-1: $0.006 a minute
    ("a transcription by tokens", OPENAI, "gpt-4o-transcribe",
        {"type": "tokens", "input_tokens": 110, "input_token_details": {"audio_tokens": 100, "text_tokens": 10},
         "output_tokens": 20}, "0.000825"),
    ("a transcription by the minute", OPENAI, "whisper-1", {"type": "duration", "seconds": 90}, "0.009"),
    # gpt-image-1.5: text 5, image 8 in and 32 out
    ("an image made and one seen", OPENAI, "gpt-image-1.5",
        {"input_tokens": 300, "input_tokens_details": {"text_tokens": 100, "image_tokens": 200}, "output_tokens": 1000,
         "output_tokens_details": {"image_tokens": 1000}}, "0.0341"),
    # gemini-2.5-flash: text 0.30, audio 1.00, cached 0.03 and 0.10, out 2.50
    ("audio heard by Gemini, some of it from the cache", GEMINI, "gemini-2.5-flash",
        {"promptTokenCount": 1000, "candidatesTokenCount": 100, "cachedContentTokenCount": 400,
         "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 300}, {"modality": "AUDIO", "tokenCount": 700}],
         "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 400}]}, "0.00068"),
    ("an image made by Gemini", GEMINI, "gemini-2.5-flash-image",
        {"promptTokenCount": 100, "candidatesTokenCount": 1290,
         "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}]}, "0.03873"),
]  # fmt: skip

READ = {"anthropic": anthropic_usage, "openai": openai_usage, "gemini": gemini_usage}


@pytest.mark.parametrize(("case", "at", "model", "said", "usd"), GOLDEN, ids=[row[0] for row in GOLDEN])
def test_a_published_price_is_booked_to_the_last_digit(
    case: str, at: Provider, model: str, said: dict[str, Any], usd: str
) -> None:
    bill = booked(READ[at.dialect.name](said), at, model)
    assert (bill.cost, bill.basis, bill.estimated, bill.notional) == (Decimal(usd), "list", False, False)


def test_prices_have_dates() -> None:
    long = Usage(input=300_000)
    assert booked(long, ANTHROPIC, "claude-opus-4-6", when=datetime(2026, 3, 1, tzinfo=UTC)).cost == Decimal("3")
    assert booked(long, ANTHROPIC, "claude-opus-4-6", when=datetime(2026, 3, 14, tzinfo=UTC)).cost == Decimal("1.5")


@pytest.mark.parametrize(
    ("at", "model", "terms", "usd"),
    [
        (OPENAI, "gpt-6-sol", {"service_tier": "default"}, "2"),
        (OPENAI, "gpt-6-sol", {"service_tier": "flex"}, "1"),
        (OPENAI, "gpt-6-sol", {"service_tier": "priority"}, "4"),
        (ANTHROPIC, "claude-opus-5", {"speed": "standard"}, "5"),
        (ANTHROPIC, "claude-opus-5", {"speed": "fast"}, "10"),
        (ANTHROPIC, "claude-opus-5", {"processing": "batch"}, "2.5"),
    ],
)
def test_a_faster_or_slower_service_has_its_own_price(
    at: Provider, model: str, terms: dict[str, str], usd: str
) -> None:
    november = datetime(2026, 11, 1, tzinfo=UTC)
    assert booked(Usage(input=200_000), at, model, terms=terms, when=november).cost == Decimal(usd) / 5


def test_the_model_that_the_provider_says_is_priced_before_the_one_that_was_asked_for() -> None:
    million = Usage(input=1_000_000)
    assert booked(million, OPENAI, "gpt-4.1-nano", "gpt-4.1").cost == Decimal("0.1")
    assert booked(million, OPENAI, "something-inside", "gpt-4.1").cost == Decimal("2")
    assert booked(million, OPENAI, "", "gpt-4.1").cost == Decimal("2")


def test_an_address_tells_whose_prices_hold_before_the_providers_name() -> None:
    million = Usage(input=1_000_000)
    groq = provider("openai", "openai", "api.groq.com")
    assert booked(million, groq, "llama-3.3-70b-versatile").cost == Decimal("0.59")
    assert booked(million, OPENAI, "llama-3.3-70b-versatile").basis == "ceiling"


MINE = {"input_mtok": 0.5, "output_mtok": "2"}


@pytest.mark.parametrize(
    ("overrides", "model", "usd"),
    [
        ({"my-model": MINE}, "my-model", "0.0045"),  # 5000 of input, 1000 of output
        ({"my-*": {"input_mtok": 9, "output_mtok": 9}, "my-model": MINE}, "my-model", "0.0045"),
        ({"my-?odel*": MINE}, "my-model-2", "0.0045"),
        ({"my-model": MINE | {"cache_read_mtok": 0.1}}, "my-model", "0.0041"),  # of which 1000 were read,
        (
            {"my-model": MINE | {"cache_write_mtok": 1}},
            "my-model",
            "0.0055",
        ),  # 1000 written for minutes, 1000 for an hour
        ({"my-model": MINE | {"cache_write_mtok": 1, "cache_write_1h_mtok": "1.5"}}, "my-model", "0.006"),
        ({"gpt-5": {"input_mtok": 0, "output_mtok": 0}}, "gpt-5", "0"),
    ],
)
def test_the_users_own_price_is_before_any_list(overrides: dict[str, Any], model: str, usd: str) -> None:
    usage = Usage(input=5000, output=1000, cache_read=1000, cache_write_5m=1000, cache_write_1h=1000)
    bill = booked(usage, OPENAI, model, settings={"overrides": overrides})
    assert (bill.cost, bill.basis) == (Decimal(usd), "override")


def test_an_override_of_what_was_asked_for_is_before_the_list_of_what_was_said() -> None:
    bill = booked(Usage(output=1000), OPENAI, "gpt-5", "mine", settings={"overrides": {"mine": MINE}})
    assert (bill.cost, bill.basis) == (Decimal("0.002"), "override")


def test_an_unknown_model_of_a_known_family_is_booked_at_the_dearest_price_and_marked() -> None:
    bill = booked(Usage(input=1_000_000, output=1_000_000), ANTHROPIC, "claude-of-next-year")
    assert bill.basis == "ceiling"
    assert bill.cost is not None
    assert bill.cost >= Decimal(15 + 75)  # Opus 4's, the dearest that was ever on the list
    assert booked(Usage(input=1), OPENAI, "").basis == "ceiling"
    assert booked(Usage(input=1), OWN, "deepseek-of-next-year").basis == "ceiling"


@pytest.mark.parametrize(
    ("at", "model", "policy"),
    [
        (OWN, "my-llama", "ceiling"),
        (ANTHROPIC, "claude-of-next-year", "allow"),
        (OPENAI, "whisper-1", "ceiling"),
        (OWN, "x" * 5000, "ceiling"),
    ],
)
def test_what_has_no_price_is_never_booked_as_free(at: Provider, model: str, policy: str) -> None:
    bill = booked(Usage(input=1000), at, model, settings={"unknown_model": policy})
    assert (bill.cost, bill.basis) == (None, "unknown")


def test_what_a_provider_gives_away_is_free() -> None:
    assert booked(Usage(input=1000), GEMINI, "gemma-4-31b-it") == Bill(Usage(input=1000), Decimal(0), "free")


def test_a_subscription_is_booked_at_list_price_as_notional_or_as_free() -> None:
    bill = booked(Usage(output=1000), ANTHROPIC, "claude-opus-4-5", subscription=True)
    assert (bill.cost, bill.basis, bill.notional) == (Decimal("0.025"), "list", True)
    free = booked(
        Usage(output=1000), ANTHROPIC, "claude-opus-4-5", subscription=True, settings={"subscriptions": "free"}
    )
    assert (free.cost, free.basis, free.notional) == (Decimal(0), "free", False)


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input=10, cache_read=20),
        Usage(input=10, cache_write_1h=20),
        Usage(input=10, cache_write_5m=5, cache_read=20),
        Usage(input=10, output=5, reasoning=50),
    ],
)
def test_parts_that_are_larger_than_the_whole_make_no_negative_price(usage: Usage) -> None:
    cost = booked(usage, ANTHROPIC, "claude-sonnet-4-5").cost
    assert cost is not None
    assert Decimal(0) < cost < Decimal("0.001")


def test_money_is_exact_to_a_trillionth_and_fits_where_it_is_kept() -> None:
    assert booked(Usage(input=1), OPENAI, "gpt-4.1-nano").cost == Decimal("0.0000001")
    most = openai_usage({"prompt_tokens": 10**40, "completion_tokens": 10**40})
    cost = booked(most, OPENAI, "o1-pro").cost
    assert cost is not None
    assert cost * 10**12 < 2**63


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0.000105000000", "0.000105"), ("0E-12", "0"), ("12.000000000000", "12"), ("1E+2", "100"), ("100", "100")],
)
def test_money_reads_without_exponent_and_needless_zeros(amount: str, text: str) -> None:
    assert money(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("pricing", "told"),
    [
        ("{overrides: {m: {input_mtok: 1}}}", "pricing.overrides.m.output_mtok: is missing; a good value: 2"),
        (
            "{overrides: {m: {input_mtok: -1, output_mtok: 1}}}",
            "pricing.overrides.m.input_mtok: is not a price; good values: 0",
        ),
        ("{overrides: {m: {input_mtok: cheap, output_mtok: 1}}}", "pricing.overrides.m.input_mtok: is not a price"),
        ("{overrides: {m: {input_mtok: .nan, output_mtok: 1}}}", "pricing.overrides.m.input_mtok: is not a price"),
        ("{overrides: {m: {input_mtok: true, output_mtok: 1}}}", "pricing.overrides.m.input_mtok: is not a price"),
        ("{overrides: {m: {input_tok: 1, output_mtok: 1}}}", "did you mean input_mtok?"),
        ("{overrides: {m: 5}}", "pricing.overrides.m: must hold settings of its own"),
        ("{unknown_model: free}", "pricing.unknown_model: must be one of ceiling, refuse or allow"),
    ],
)
def test_a_wrong_price_ends_the_start_and_names_a_good_one(tmp_path: Path, pricing: str, told: str) -> None:
    path = tmp_path / "tokenman.yaml"
    path.write_text(f"pricing: {pricing}\n")
    with pytest.raises(ConfigError) as caught:
        load(path, {"HOME": str(tmp_path)})
    assert told in str(caught.value)


def test_prices_of_a_file_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "tokenman.yaml"
    path.write_text('pricing: {overrides: {"my-*": {input_mtok: 0.1, output_mtok: "0.3", cache_read_mtok: 0}}}\n')
    override = load(path, {"HOME": str(tmp_path)}).settings.pricing.overrides["my-*"]
    assert (override.input_mtok, override.output_mtok, override.cache_read_mtok, override.cache_write_mtok) == (
        Decimal("0.1"),
        Decimal("0.3"),
        Decimal(0),
        None,
    )


def test_a_discount_is_off_the_list_and_not_off_ones_own_price() -> None:
    usage = Usage(input=1_000_000, output=1_000_000, parts={"web_searches": 1000})
    full = booked(usage, ANTHROPIC, "claude-haiku-4-5")
    less = booked(usage, ANTHROPIC, "claude-haiku-4-5", settings={"discounts": {"anthropic": "15%"}})
    assert (full.cost, less.cost) == (Decimal(16), Decimal("13.6"))
    other = booked(usage, ANTHROPIC, "claude-haiku-4-5", settings={"discounts": {"openai": 0.5}})
    assert other.cost == full.cost
    own = {"overrides": {"claude-haiku-4-5": {"input_mtok": 2, "output_mtok": 3}}, "discounts": {"anthropic": 0.5}}
    assert booked(Usage(input=1_000_000), ANTHROPIC, "claude-haiku-4-5", settings=own).cost == Decimal(2)


@pytest.mark.parametrize("given", [-0.1, 1.5, "abc", True, "120%", "nan"])
def test_a_wrong_discount_is_told(given: Any) -> None:
    with pytest.raises(ValueError, match=r"good values: 0\.15"):
        Pricing.model_validate({"discounts": {"openai": given}})


def test_a_call_that_is_priced_as_such_costs_that_too() -> None:
    # Perplexity's Sonar: $12 for a thousand requests of high search context, beside 1 and 1 for tokens.
    assert booked(Usage(input=1000, output=1000), provider("perplexity", "openai"), "sonar").cost == Decimal("0.014")


def test_a_search_whose_price_is_on_no_list_is_booked_at_its_providers_dearest() -> None:
    bill = booked(Usage(input=1000, parts={"web_searches": 10}), OPENAI, "gpt-3.5-turbo")
    assert bill.basis == "ceiling"
    assert bill.cost is not None
    assert bill.cost >= Decimal("0.1")


def test_ones_own_price_is_for_tokens_and_a_search_costs_what_the_provider_takes() -> None:
    own = {"overrides": {"*": {"input_mtok": 0, "output_mtok": 0}}}
    bill = booked(Usage(input=1000, parts={"web_searches": 100}), ANTHROPIC, "claude-haiku-4-5", settings=own)
    assert (bill.cost, bill.basis) == (Decimal(1), "override")
    assert booked(Usage(input=1000, parts={"web_searches": 100}), OWN, "house-model", settings=own).cost == 0


def test_what_has_no_price_anywhere_makes_the_call_unpriced_rather_than_cheap() -> None:
    bill = booked(Usage(input=1000, parts={"input_characters": 10}), ANTHROPIC, "claude-haiku-4-5")
    assert (bill.cost, bill.basis) == (None, "unknown")


def test_inference_that_must_stay_in_one_country_is_a_tenth_dearer() -> None:
    usage = Usage(input=1_000_000)
    assert booked(usage, ANTHROPIC, "claude-opus-4-6", terms={"inference_geo": "us"}).cost == Decimal("5.5")
    assert booked(usage, ANTHROPIC, "claude-opus-4-6", terms={"inference_geo": "global"}).cost == Decimal(5)


@pytest.mark.parametrize(
    "parts",
    [
        {"input_audio_tokens": 10**9}, {"input_audio_tokens": 60, "input_image_tokens": 60},
        {"cache_audio_read_tokens": 10**9}, {"output_audio_tokens": 10**9},
    ],
    ids=lambda parts: "+".join(parts),
)  # fmt: skip
def test_parts_never_count_for_more_than_their_whole(parts: dict[str, int]) -> None:
    bill = booked(Usage(input=100, output=100, cache_read=10, parts=parts), OPENAI, "gpt-realtime")
    dearest = booked(
        Usage(100, 100, parts={"input_audio_tokens": 100, "output_audio_tokens": 100}), OPENAI, "gpt-realtime"
    )
    assert bill.cost is not None
    assert dearest.cost is not None
    assert 0 < bill.cost <= dearest.cost


def test_usages_add_up_with_their_parts() -> None:
    one, two = Usage(1, 2, parts={"web_searches": 1}), Usage(3, 4, parts={"web_searches": 2, "audio_seconds": 5})
    assert one + two == Usage(4, 6, parts={"web_searches": 3, "audio_seconds": 5})


@pytest.mark.parametrize(
    ("usage", "saved"),
    [
        # claude-sonnet-4-5: 3 in, 0.30 read, 3.75 and 6 written
        (Usage(1_000_000), "0"),
        (Usage(100_000, cache_read=100_000), "0.27"),
        (Usage(100_000, cache_write_5m=100_000), "-0.075"),
        (Usage(100_000, cache_write_1h=100_000), "-0.3"),
        (Usage(150_000, 5_000, 100_000, 20_000, 10_000, 1_000), "0.225"),
        # beyond 200,000 of input all of it is dearer, so a read saves more
        (Usage(300_000, cache_read=300_000), "1.62"),
    ],
)
def test_what_a_providers_cache_saved_is_reads_against_input_less_what_writes_cost_more(
    usage: Usage, saved: str
) -> None:
    assert booked(usage, ANTHROPIC, "claude-sonnet-4-5").cache_saved == Decimal(saved)


def test_what_has_no_price_has_saved_nothing_and_an_override_saves_by_its_own() -> None:
    usage = Usage(1_000_000, cache_read=1_000_000)
    assert booked(usage, OWN, "house-model", settings={"unknown_model": "allow"}).cache_saved == 0
    own = {"house-model": {"input_mtok": 2, "output_mtok": 4, "cache_read_mtok": 0.5}}
    assert booked(usage, OWN, "house-model", settings={"overrides": own}).cache_saved == Decimal("1.5")
    assert booked(
        usage, ANTHROPIC, "claude-sonnet-4-5", settings={"discounts": {"anthropic": 0.5}}
    ).cache_saved == Decimal("2.7")
