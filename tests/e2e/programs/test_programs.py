"""The unmodified programs from npm, behind `tokenman run` at a terminal: a call of a tool, there and back."""

import re

import pytest

from addons.demo.provider.script import PLACEHOLDER
from tests.e2e.harness import PLANTED, said
from tests.e2e.programs.conftest import Place
from tests.e2e.programs.logins import PROGRAMS, Program
from tests.e2e.programs.terminal import Shown
from tokenman_core.ledger import LedgerReader

# The first of them waits until npm has installed the programs.
pytestmark = pytest.mark.timeout(420)

SENTENCES = ". ".join(said(name) for name in PLANTED)
VALUES = " ".join(PLANTED.values())
LAST = re.compile(
    r"tokenman: ([\d,]+) calls?, ([\d,]+) values? masked, ([\d,]+) tokens?, \$[\d.,]+.*, saved \$[\d.,]+(, \d+ errors?)?"
)


def write_a_file(place: Place, program: Program, *options: str) -> Shown:
    """Has the program write the values that the provider got to `out.txt`; nothing else is in its folder."""
    prompt = f"{SENTENCES}. {program.writes(str(place.work / 'out.txt'))}"
    program.home(place.home)
    return place.run(program.command(prompt), program.environment, *options)


def numbers(shown: Shown) -> list[int]:
    """What the last line says: calls, values masked, tokens."""
    last = LAST.fullmatch(shown.lines[-1])
    assert last, shown.text
    return [int(number.replace(",", "")) for number in last.groups()[:3]]


def check(place: Place, program: Program, shown: Shown) -> None:
    assert shown.code == 0, shown.text
    written = (place.work / "out.txt").read_text()
    assert written.endswith(VALUES), written  # before them may stand what the program itself says in the same turn
    assert not PLACEHOLDER.search(written)

    asked = place.received(lambda one: re.fullmatch(program.asks, one.target) is not None)
    assert len(asked) >= 2, [one.target for one in place.provider.received]
    name, value = program.sent
    assert {one.header(name) for one in asked} == {value}
    assert len(set(PLACEHOLDER.findall(asked[-1].decoded.decode()))) >= len(PLANTED)

    calls, masked, tokens = numbers(shown)
    rows = LedgerReader(place.data / "ledger.db").page(limit=1000).rows
    assert calls == len(rows)
    assert masked == sum(row.masked for row in rows) >= 2 * len(PLANTED)
    of_models = [row for row in rows if row.provider == program.provider and row.usage.output]
    assert len(of_models) == len(asked)
    assert all(row.cost and not row.estimated and row.notional == program.by_login for row in of_models)
    assert tokens == sum(row.usage.input + row.usage.output for row in rows)
    assert not [value for value in PLANTED.values() for path in place.data.rglob("*")
                if path.is_file() and value.encode() in path.read_bytes()]  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_writes_the_real_values_of_which_the_provider_saw_none(place: Place, name: str) -> None:
    program = PROGRAMS[name]
    check(place, program, write_a_file(place, program))
