import json
import logging
import os
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tokenman_core import price_lists
from tokenman_core.config.models import Pricing
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.price_lists import FILE, SHIPPED, Lists, NoLists, read
from tokenman_core.pricing import Prices
from tokenman_core.providers import Provider
from tokenman_core.usage import Usage

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
ANTHROPIC = Provider("anthropic", DIALECTS["anthropic"], "https", "api.anthropic.com", 443)
NEW = [
    {
        "id": "anthropic", "name": "Anthropic", "api_pattern": r"https://api\.anthropic\.com",
        "models": [
            {"id": "claude-next", "match": {"equals": "claude-next"}, "prices": {"input_mtok": 0.1, "output_mtok": 15}},
            {"id": "claude-haiku-4-5", "match": {"starts_with": "claude-haiku-4-5"}, "prices": {"input_mtok": 7}},
        ],
    }
]  # fmt: skip


def cost(lists: Lists, model: str) -> tuple[Decimal | None, str]:
    bill = Prices(Pricing(), lists).bill(Usage(input=3_000_000), ANTHROPIC, [model], AT)
    return bill.cost, bill.basis


@pytest.fixture
def imported(tmp_path):
    (tmp_path / FILE).write_text(json.dumps(NEW))
    return price_lists.at(tmp_path)


def test_a_newer_list_brings_models_and_prices_and_takes_none_away(imported):
    assert cost(SHIPPED, "claude-next")[1] == "ceiling"
    assert cost(imported, "claude-next") == (Decimal("0.3"), "list")  # exact: no float came between
    assert cost(imported, "claude-haiku-4-5") == (Decimal(21), "list")
    assert cost(imported, "claude-sonnet-4-5") == cost(SHIPPED, "claude-sonnet-4-5")
    assert {each.id for each in imported.all} == {each.id for each in SHIPPED.all}


def test_the_lists_are_the_same_until_another_file_is_there(tmp_path):
    assert price_lists.at(tmp_path) is SHIPPED
    path = tmp_path / FILE
    path.write_text(json.dumps(NEW))
    first = price_lists.at(tmp_path)
    assert price_lists.at(tmp_path) is first
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert price_lists.at(tmp_path) is not first


def test_they_are_ready_once_they_are_loaded(imported):
    assert not imported.ready
    Prices(Pricing(), imported).warm()
    assert imported.ready


@pytest.mark.parametrize("content", ["", "{}", "[]", "[1]", '[{"id": "x"}]', "[" * 100_000, '{"a": NaN}'])
def test_a_file_of_something_else_is_told_and_the_shipped_lists_hold(tmp_path, caplog, content):
    with pytest.raises(NoLists):
        read(content.encode())
    (tmp_path / FILE).write_text(content)
    with caplog.at_level(logging.ERROR):
        assert cost(price_lists.at(tmp_path), "claude-sonnet-4-5") == cost(SHIPPED, "claude-sonnet-4-5")
    assert "tokenman prices import FILE" in caplog.text
