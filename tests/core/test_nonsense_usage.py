"""Whatever a provider says of a usage: what is booked is money, bounded, and adds up to the last digit wherever it is kept."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.ledger.calls import call
from tokenman_core.budget.rules import dollars, units
from tokenman_core.config.models import Pricing
from tokenman_core.dialects.base import Operation
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.ledger import LedgerReader, row_of
from tokenman_core.ledger.store import Store
from tokenman_core.price_lists import Lists
from tokenman_core.pricing import Prices
from tokenman_core.providers import Provider
from tokenman_core.sse import Event
from tokenman_core.usage import MOST_TOKENS, Bill, Usage

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
NONSENSE = [
    -5, -(10**30), 10**18, 10**30, 1e18, -1e18, 1e308, 1.5, -0.0, True, None, "7", "NaN", "-1", "", [], [1], {}, {"a": 1},
]  # fmt: skip
FORMS: dict[str, tuple[str, str, str, list[str]]] = {
    "anthropic": (
        "messages", "claude-sonnet-4-5", "usage",
        [
            "input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation",
            "server_tool_use",
        ],
    ),
    "openai": (
        "chat", "gpt-5", "usage",
        ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"],
    ),
    "gemini": (
        "generate", "gemini-2.5-pro", "usageMetadata",
        ["promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "cachedContentTokenCount", "promptTokensDetails"],
    ),
}  # fmt: skip
INNER = [
    "ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens", "web_search_requests", "cached_tokens", "cache_write_tokens",
    "audio_tokens", "image_tokens", "reasoning_tokens",
]  # fmt: skip
PRICES = Prices(Pricing(), Lists())


def booked(dialect: str, said: Any) -> Bill:
    operation, model, name, _ = FORMS[dialect]
    reader = DIALECTS[dialect].reader(Operation(operation, generates=True))
    reader.read(Event(json.dumps({name: said}).encode(), "whole"))
    provider = Provider(dialect, DIALECTS[dialect], "https", "127.0.0.1", 443)
    return PRICES.bill(reader.usage or Usage(), provider, [model], AT)


def holds(bill: Bill) -> None:
    usage = bill.usage
    for count in (
        usage.input,
        usage.output,
        usage.cache_read,
        usage.cache_write,
        usage.reasoning,
        *usage.parts.values(),
    ):
        assert type(count) is int
        assert 0 <= count <= 6 * MOST_TOKENS
    assert bill.cost is not None
    assert bill.cost.is_finite()
    assert 0 <= bill.cost < 2**63 / 10**12  # what a counter of SQLite holds
    assert dollars(units(bill.cost)) == bill.cost
    assert abs(bill.cache_saved) < 10**7


@pytest.mark.parametrize("dialect", sorted(FORMS))
@pytest.mark.parametrize("value", NONSENSE, ids=repr)
def test_nonsense_in_any_field_breaks_no_money(dialect, value, tmp_path):
    fields = FORMS[dialect][3]
    bills = [booked(dialect, {field: value}) for field in fields] + [booked(dialect, dict.fromkeys(fields, value))]
    bills += [booked(dialect, value), booked(dialect, dict.fromkeys(fields, dict.fromkeys(INNER, value)))]
    for bill in bills:
        holds(bill)
    store = Store(tmp_path / "l.db")
    store.add([row_of(call(number, bill=bill)) for number, bill in enumerate(bills)])
    store.close()
    rows = LedgerReader(tmp_path / "l.db").page(limit=100).rows
    for by in ("model", "session"):
        total = LedgerReader(tmp_path / "l.db").totals(by).total  # type: ignore[arg-type]
        assert total.cost == sum((row.cost or Decimal(0) for row in rows), Decimal(0))
        assert total.cache_saved == sum((row.cache_saved for row in rows), Decimal(0))
    assert sum((bill.cost or Decimal(0) for bill in bills), Decimal(0)) == total.cost


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(dialect=st.sampled_from(sorted(FORMS)), data=st.data())
def test_nor_does_any_other(dialect: str, data: st.DataObject) -> None:
    fields = FORMS[dialect][3]
    holds(booked(dialect, data.draw(st.dictionaries(st.sampled_from(fields), _VALUES))))
