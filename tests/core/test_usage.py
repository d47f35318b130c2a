"""What a provider's `usage` means, and what bills make together."""

from decimal import Decimal
from typing import Any

import pytest

from tokenman_core.usage import MOST_TOKENS, Bill, Usage, anthropic_usage, gemini_usage, openai_usage

NONSENSE: list[Any] = [None, -5, 1.5, float("nan"), float("inf"), -2.0, "12", True, {}, []]


@pytest.mark.parametrize("count", NONSENSE)
def test_a_count_that_is_none_is_nothing(count: Any) -> None:
    assert anthropic_usage({"input_tokens": count, "cache_creation": count}) == Usage()
    assert openai_usage({"prompt_tokens": count, "prompt_tokens_details": count}) == Usage()
    assert gemini_usage({"promptTokenCount": count}) == Usage()


def test_a_whole_number_counts_however_it_is_written() -> None:
    assert openai_usage({"prompt_tokens": 120.0, "completion_tokens": 7.0}) == Usage(input=120, output=7)
    assert anthropic_usage({"input_tokens": 120.0, "output_tokens": 1e30}) == Usage(input=120, output=MOST_TOKENS)
    assert gemini_usage({"promptTokenCount": 120.0}) == Usage(input=120)


def test_a_count_beyond_reason_is_bounded() -> None:
    assert openai_usage({"prompt_tokens": 10**30}).input == MOST_TOKENS


def test_words_of_other_servers_for_what_was_cached() -> None:
    for said in (
        {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}},
        {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}},
        {"prompt_tokens": 9, "prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 5},
        {"prompt_tokens": 9, "cached_tokens": 4},
    ):
        assert openai_usage(said) == Usage(input=9, cache_read=4)


def test_thoughts_count_once_whether_the_total_has_them_or_not() -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 40}}
    inside = {"prompt_tokens": 10, "completion_tokens": 50, "total_tokens": 60, **details}
    beside = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 60, **details}
    assert openai_usage(inside) == openai_usage(beside) == Usage(input=10, output=50, reasoning=40)


LISTED = Bill(Usage(input=1, output=2), Decimal("0.5"), "list")


def test_bills_add_up_and_the_sum_is_as_uncertain_as_its_worst_part() -> None:
    assert Bill.together([]) is None
    assert Bill.together([LISTED]) is LISTED
    guessed = Bill(Usage(input=3, cache_write_1h=1), Decimal("0.25"), "ceiling", estimated=True)
    assert Bill.together([LISTED, guessed]) == Bill(
        Usage(input=4, output=2, cache_write_1h=1), Decimal("0.75"), "ceiling", estimated=True
    )
    unpriced = Bill(Usage(output=1), None, "unknown", notional=True)
    assert Bill.together([LISTED, unpriced]) == Bill(Usage(1, 3), None, "unknown", notional=True)
