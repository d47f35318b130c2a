"""The unmodified programs from npm, behind `tokenman run` at a terminal: a call of a tool, there and back."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from addons.demo.provider.script import PLACEHOLDER
from tests.e2e.harness import PLANTED, ROOT, said
from tests.e2e.programs.conftest import Place
from tests.e2e.programs.install import PACKAGES
from tests.e2e.programs.logins import PROGRAMS, Program
from tests.e2e.programs.terminal import Shown
from tokenman_core.ledger import Row

# The first of them waits until npm has installed the programs.
pytestmark = pytest.mark.timeout(420)

SENTENCES = ". ".join(said(name) for name in PLANTED)
VALUES = " ".join(PLANTED.values())
LAST = re.compile(
    r"tokenman: ([\d,]+) calls?(?: \(([\d,]+) more that asked no model\))?, ([\d,]+) values? masked, ([\d,]+) tokens?, "
    r"≤?\$[\d.,]+.*, saved \$[\d.,]+(?:, [\d,]+ refused by the provider \([\d, ]+\))?(?:, \d+ errors?)?(?:; see: .*)?"
)


def write_a_file(place: Place, program: Program, *options: str) -> None:
    """The program writes the values that the provider got to a file, and they are real; the run says what it came to."""
    path = place.work / "out.txt"
    began = datetime.now(UTC)
    program.home(place.home)
    shown = place.run(program.command(f"{SENTENCES}. {program.writes(str(path))}"), program.environment, *options)
    assert shown.code == 0, shown.text
    written = path.read_text()
    assert written.endswith(VALUES), written  # before them may stand what the program itself says in the same turn
    assert not PLACEHOLDER.search(written)

    asked = place.received(lambda one: re.fullmatch(program.asks, one.target) is not None)
    assert len(asked) >= 2, [one.target for one in place.provider.received]
    name, value = program.sent
    assert {one.header(name) for one in asked} == {value}
    assert max(len(set(PLACEHOLDER.findall(one.decoded.decode()))) for one in asked) >= len(PLANTED)

    calls, masked, tokens = numbers(shown)
    rows = place.rows(began, calls)
    of_models = [row for row in rows if row.provider == program.provider and row.usage.output]
    assert len(of_models) == len(asked)
    assert all(row.cost and not row.estimated and row.notional == program.by_login for row in of_models)
    # Telemetry may still arrive when the program has ended, and is no part of its sums then.
    assert len(of_models) <= calls <= len(rows)
    assert 2 * len(PLANTED) <= sums(of_models)[0] <= masked <= sums(rows)[0]
    assert 0 < sums(of_models)[1] <= tokens <= sums(rows)[1]
    assert not [value for value in PLANTED.values() for file in place.data.rglob("*")
                if file.is_file() and value.encode() in file.read_bytes()]  # fmt: skip


def numbers(shown: Shown) -> list[int]:
    """What the last line says: calls of all kinds, values masked, tokens."""
    last = LAST.fullmatch(shown.lines[-1])
    assert last, shown.text
    models, others, masked, tokens = (int((number or "0").replace(",", "")) for number in last.groups())
    return [models + others, masked, tokens]


def sums(rows: list[Row]) -> tuple[int, int]:
    return sum(row.masked for row in rows), sum(row.usage.input + row.usage.output for row in rows)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_writes_the_real_values_of_which_the_provider_saw_none(place: Place, name: str) -> None:
    write_a_file(place, PROGRAMS[name])


NOWHERE = "http://127.0.0.1:9"
"""A proxy that nobody runs (port 9 is for discarding, RFC 863): what does not take the base URL arrives nowhere."""

ALONE = [
    ("claude by login", "base-url"),
    ("claude by key", "proxy"),
    ("codex by key", "base-url"),
    ("codex by login", "base-url"),
    ("codex by login", "proxy"),
    ("gemini by key", "base-url"),
    ("gemini by token", "base-url"),
]


@pytest.mark.parametrize(("name", "via"), ALONE)
def test_one_way_alone_is_enough_and_a_proxy_that_runs_is_used(shared_place: Place, name: str, via: str) -> None:
    program = PROGRAMS[name]
    alone = {"HTTPS_PROXY": NOWHERE} if via == "base-url" else {}
    write_a_file(shared_place, replace(program, environment={**program.environment, **alone}), "--via", via)


@pytest.mark.parametrize("name", ["claude by key", "codex by key", "gemini by key"])
def test_what_the_model_says_of_values_is_real_at_the_terminal(shared_place: Place, name: str) -> None:
    program = PROGRAMS[name]
    program.home(shared_place.home)
    prompt = f"{SENTENCES} [[say So you are <<$VALUE>>.]]"
    shown = shared_place.run(program.command(prompt), program.environment)
    assert shown.code == 0, shown.text
    assert f"So you are <<{VALUES.split()[-1]}>>." in shown.text
    assert not PLACEHOLDER.search(shown.text)
    assert shared_place.received(lambda one: "<<" in one.decoded.decode(errors="replace"))


def test_a_programs_failure_is_its_own_exit_code(shared_place: Place) -> None:
    program = PROGRAMS["claude by key"]
    shown = shared_place.run(program.command("[[status 400]]"), program.environment)
    assert shown.code == 1
    assert "This error was asked for." in shown.text
    assert numbers(shown)[0] >= 1


def test_the_page_on_programs_speaks_of_the_versions_that_run_here() -> None:
    page = (ROOT / "docs" / "programs.md").read_text()
    versions = json.loads(PACKAGES.read_text())["dependencies"]
    assert [name for name, version in versions.items() if f"with {version}" not in page] == []
