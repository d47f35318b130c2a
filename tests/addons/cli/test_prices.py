import json

import pytest
from typer.testing import CliRunner

from addons.cli import main
from tests.core.test_price_lists import NEW


@pytest.fixture
def command(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("TOKENMAN_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    return lambda *words: CliRunner().invoke(main.app, ["prices", *map(str, words)], catch_exceptions=False)


def test_a_price_is_shown_with_where_it_is_from(command, tmp_path):
    found = command("show", "claude-haiku-4-5")
    assert found.exit_code == 0
    assert found.stdout.splitlines()[0] == "claude-haiku-4-5 at anthropic, by its provider's list, in USD:"
    assert "          1.00  for a million tokens of input" in found.stdout
    assert "         10.00  for 1,000 web searches" in found.stdout
    file = tmp_path / "c.yaml"
    file.write_text("pricing: {discounts: {anthropic: 50%}, overrides: {mine: {input_mtok: 0.25, output_mtok: 2}}}\n")
    assert "0.50  for a million tokens of input" in command("show", "claude-haiku-4-5", "--config", file).stdout
    assert "mine at anthropic, by pricing.overrides" in command("show", "mine", "--config", file).stdout


def test_no_price_is_told_with_the_line_that_gives_one(command):
    found = command("show", "my-own-thing", "--provider", "gemini-code-assist")
    assert found.exit_code in (0, 1)
    unknown = command("show", "whisper-1")
    assert unknown.exit_code == 1
    assert "pricing: {overrides: {whisper-1: {input_mtok: 0.5, output_mtok: 2}}}" in unknown.stderr
    assert command("show", "x", "--provider", "nobody").exit_code == 2


def test_newer_lists_are_taken_in_and_hold(command, tmp_path):
    file = tmp_path / "data.json"
    file.write_text(json.dumps(NEW))
    found = command("import", file)
    assert found.exit_code == 0
    assert "prices of 2 models of 1 provider" in found.stdout
    kept = tmp_path / ".local/share/tokenman/prices.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    shown = command("show", "claude-next")
    assert "by its provider's list" in shown.stdout
    assert "0.10  for a million tokens of input" in shown.stdout
    kept.unlink()
    assert "its provider's dearest" in command("show", "claude-next").stdout


@pytest.mark.parametrize("content", [None, "{}", "no json"])
def test_another_file_is_refused_and_nothing_is_kept(command, tmp_path, content):
    file = tmp_path / "data.json"
    if content is not None:
        file.write_text(content)
    found = command("import", file)
    assert found.exit_code == 2
    assert str(file) in found.stderr
    assert not (tmp_path / ".local/share/tokenman/prices.json").exists()
