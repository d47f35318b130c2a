"""docs/restoration.md says what becomes of each form; here it does."""

import re
from pathlib import Path

import pytest

from tokenman_core.redaction import Mapping, Restorer
from tokenman_core.slots import Slot

TEXT = (Path(__file__).parents[3] / "docs" / "restoration.md").read_text()
ROWS = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|$", TEXT, re.MULTILINE)


def test_the_page_has_its_table() -> None:
    assert len(ROWS) > 20


@pytest.mark.parametrize(("written", "back"), ROWS, ids=[row[0] for row in ROWS])
def test_each_row_of_the_page_is_so(written: str, back: str) -> None:
    mapping = Mapping(b"k")
    placeholder, _ = mapping.placeholder("EMAIL_ADDRESS", "jane@example.com")
    digits = placeholder[-13:-1]
    other = digits[:-1] + ("0" if digits[-1] != "0" else "1")
    row = written.replace("0123456789AB", digits.upper()).replace("0123456789ac", other)
    row = row.replace("0123456789ab", digits).replace("01234 56789ab", f"{digits[:5]} {digits[5:]}")
    slot = Slot((), "assistant", row)
    Restorer(mapping, "same_host").whole([slot])
    assert slot.text == (row if written == back else back)
