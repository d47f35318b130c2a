"""docs/kinds.md has each kind of value as the code knows it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from addons.cli import main
from tokenman_core import ner
from tokenman_core.kinds import KINDS, NAMED, NATIONAL, SECRET, Kind

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "kinds.md").read_text()


def told_by(kind: Kind) -> str:
    if kind in NAMED:
        return "a language model"
    if kind in SECRET:
        return "a word near it" if kind.name == "PASSWORD" else "its form"
    if kind.context == "needed":
        return "a word near it, and check digits" if kind.checked else "a word near it"
    return "check digits" if kind.checked else "its form"


def row(kind: Kind) -> str:
    return f"| `{kind.name}` | {kind.about} | `{kind.example}` | {told_by(kind)} |"


def test_the_page_has_a_row_for_each_kind_and_no_other() -> None:
    assert [line for line in PAGE.splitlines() if line.startswith("| `")] == [row(kind) for kind in KINDS]


def test_the_readme_counts_the_numbers_of_countries() -> None:
    table = (ROOT / "README.md").read_text().partition("## What is masked")[2].partition("\n\nIt is")[0]
    named = [kind for kind in NATIONAL if f"`{kind.name}`" in table]
    assert f"and {len(NATIONAL) - len(named)} more" in table


@pytest.mark.parametrize("setting", [line for line in PAGE.splitlines() if line.startswith("redaction:")])
def test_the_settings_of_the_page_are_good(tmp_path: Path, setting: str) -> None:
    file = tmp_path / "tokenman.yaml"
    file.write_text(setting)
    asked = CliRunner().invoke(main.app, ["config", "check", "--config", str(file)])
    assert asked.exit_code == 0, asked.output
    assert "tokenman[ner]" in PAGE
    assert ner.MODEL in PAGE
