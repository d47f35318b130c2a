from decimal import Decimal

import pytest

from addons.cli import figures


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (None, "$?"), ("0", "$0.00"), ("0.0421", "$0.0421"), ("0.00009", "$0.00009"), ("0.0001", "$0.0001"),
        ("0.00045", "$0.00045"), ("0.0000005", "<$0.000001"), ("0.0000125", "$0.000013"), ("0.00001", "$0.00001"),
        ("0.04215", "$0.0422"), ("0.1", "$0.1000"), ("1", "$1.00"), ("12.345", "$12.35"), ("1234.567", "$1,234.57"),
    ],
)  # fmt: skip
def test_money_is_written_so_that_small_amounts_show_and_unknown_ones_are_not_nothing(amount, written):
    assert figures.money(None if amount is None else Decimal(amount)) == written


@pytest.mark.parametrize(
    ("number", "written"), [(0, "0"), (999, "999"), (1000, "1.0k"), (12345, "12.3k"), (2_000_000, "2.0M")]
)
def test_counts_are_short(number, written):
    assert figures.count(number) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0s"), (59.9, "59s"), (60, "1m00s"), (192, "3m12s"), (7500, "2h05m"), (86400 * 3 + 4 * 3600, "3d04h")],
)
def test_spans_show_their_two_largest_units(seconds, written):
    assert figures.span(seconds) == written


@pytest.mark.parametrize(("ms", "written"), [(3.4, "3ms"), (999, "999ms"), (1400, "1.4s"), (192_000, "3m12s")])
def test_durations_are_short(ms, written):
    assert figures.took(ms) == written
