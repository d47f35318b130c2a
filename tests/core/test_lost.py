"""Calls that ended with their process: their record says what was noted of them, and no more than is known."""

from decimal import Decimal

from tests.addons.test_budget import OPUS, exchange_of
from tests.core.ahead.test_quote import NOW, bound, said
from tokenman_core import lost
from tokenman_core.budget.books import Lost
from tokenman_core.exchange import Attempt
from tokenman_core.ledger import row_of


async def test_the_record_of_a_lost_call_is_made_of_its_note():
    exchange = exchange_of()
    exchange.labels = {"project": "[EMAIL_ADDRESS_0123456789ab]", "model": "claude-opus-5", "session": "s\ud8001"}
    exchange.project, exchange.stream = "jane@corp.example", True
    limits = await bound("anthropic", "claude-opus-5", said(max_tokens=1000))
    note = lost.note(exchange, Attempt(2, OPUS), limits)
    assert "jane" not in note
    assert note.isascii()
    found = lost.record(Lost("req_0123456789abcdef01234567:2", 5 * 10**9, 25 * 10**9, NOW, note))
    row = row_of(found)
    assert (row.id, row.attempts, row.time.timestamp()) == ("req_0123456789abcdef01234567", 2, NOW)
    assert (row.provider, row.model, row.client, row.project, row.session) == (
        "anthropic", "claude-opus-5", "ada", "[EMAIL_ADDRESS_0123456789ab]", "s1",
    )  # fmt: skip
    assert (row.cost, row.basis, row.estimated, row.stream) == (Decimal("0.005"), "list", True, True)
    assert (row.usage.input, row.usage.output) == (limits.input, 0)
    assert (row.outcome, row.error, row.status) == ("crashed", "internal", 0)
    assert "up to 0.025000 USD more may be billed" in row.detail
    all_held = lost.record(Lost("req_0123456789abcdef01234567:1", 5, 0, NOW, note))
    assert "more may be billed" not in all_held.detail
