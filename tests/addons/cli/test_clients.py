"""`tokenman clients`: the key alone on standard output, everything else beside it, and no key anywhere on disk."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from addons.cli import main
from addons.cli.spread import spread
from tokenman_core.clients.keys import KEY


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("TOKENMAN_CONFIG", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return lambda *words: CliRunner().invoke(main.app, ["clients", *words], catch_exceptions=False)


def test_a_key_is_printed_alone_and_kept_nowhere(command: Callable[..., Any], tmp_path: Path) -> None:
    made = command("add", "web", "--models", "claude-*", "gpt-5", "--budget", "5/day", "--expires", "30d")
    key = made.stdout.strip()
    assert (made.exit_code, bool(KEY.fullmatch(key))) == (0, True)
    assert key not in made.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
    (listed,) = json.loads(command("list", "--json").stdout)
    assert (listed["name"], listed["models"], listed["budget"]) == ("web", ["claude-*", "gpt-5"], "5/day")
    lines = command("list").stdout.splitlines()
    assert lines[0].split() == ["NAME", "PROJECT", "MODELS", "PROVIDERS", "BUDGET", "RATE", "MADE", "EXPIRES"]
    assert lines[1].startswith("web   -        claude-* gpt-5  any")


def test_a_name_is_given_once_and_can_be_revoked(command: Callable[..., Any]) -> None:
    assert command("list").stdout == "There are no clients yet: tokenman clients add NAME\n"
    assert command("add", "web").exit_code == 0
    again = command("add", "web")
    assert (again.exit_code, again.stdout) == (1, "")
    assert "there is a client web" in again.stderr
    gone = command("revoke", "web", "nobody")
    assert gone.exit_code == 1
    assert "web is revoked" in gone.stdout
    assert "there is no client nobody" in gone.stderr
    assert command("revoke", "web").exit_code == 1
    assert command("add", "web").exit_code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a/b"], "name: letters, digits"),
        (["web", "--rate", "fast"], "rate: is no rate; good values: 60/min"),
        (["web", "--budget", "team"], "budget: is neither an amount like 10/day nor a budget of the configuration"),
        (["web", "--providers", "nope"], "providers: 'nope' is none that is configured"),
        (["web", "--expires", "soon"], "expires: is not a duration; good values: 30d"),
        (["web", "--expires", "0"], "expires: must be later than now"),
    ],
)
def test_terms_that_will_not_do_end_with_2(command: Callable[..., Any], words: list[str], told: str) -> None:
    made = command("add", *words)
    assert (made.exit_code, made.stdout) == (2, "")
    assert told in made.stderr


def test_what_one_might_wonder_about_is_said(command: Callable[..., Any], tmp_path: Path) -> None:
    bare = command("add", "a").stderr
    assert "No provider has a key yet" in bare
    assert "Calls without a key pass too" in bare
    config = tmp_path / "t.yaml"
    config.write_text("providers: {openai: {key: sk-of-the-house}}")
    keyed = command("add", "b", "--config", str(config)).stderr
    assert "No provider has a key" not in keyed
    assert "Calls without" not in keyed


def test_a_file_that_cannot_be_used_is_told(command: Callable[..., Any], tmp_path: Path) -> None:
    assert command("add", "a").exit_code == 0
    (file,) = tmp_path.rglob("clients")
    file.unlink()
    file.mkdir()
    for words in (["add", "b"], ["list"], ["revoke", "a"]):
        done = command(*words)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "clients cannot be" in done.stderr


@pytest.mark.parametrize(
    ("words", "spread_out"),
    [
        ("web --models a b --rate 1/s", "web --models a --models b --rate 1/s"),
        ("web --models a --models b c", "web --models a --models b --models c"),
        ("web --project p --providers x y z", "web --project p --providers x --providers y --providers z"),
        ("--models a web", "--models a web"),
        ("web", "web"),
        ("", ""),
    ],
)
def test_options_take_as_many_words_as_come_behind_a_name(words: str, spread_out: str) -> None:
    assert spread(words.split(), ("--models", "--providers")) == spread_out.split()
