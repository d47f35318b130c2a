import json
import stat

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
from typer.testing import CliRunner

from addons.cli import main, settings


@pytest.fixture
def command(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EDITOR", raising=False)
    for name in ("TOKENMAN_CONFIG", "XDG_CONFIG_HOME", "TOKENMAN_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return lambda *words, **more: CliRunner().invoke(main.app, list(words), catch_exceptions=False, **more)


# --- init


def test_init_writes_a_private_file_that_is_fine_and_says_what_next(command, tmp_path):
    found = command("config", "init")
    path = tmp_path / ".config/tokenman/tokenman.yaml"
    assert found.exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert f"Written: {path}" in found.stdout
    for next_ in (f"vi {path}", "tokenman config check  #", "tokenman up  #", "tokenman config schema > "):
        assert next_ in found.stdout
    checked = command("config", "check")
    assert (checked.exit_code, checked.stdout.splitlines()[0]) == (0, f"{path}: fine")


def test_init_replaces_a_file_only_by_force(command, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("listen: 127.0.0.1:1\n")
    found = command("config", "init", str(path))
    assert (found.exit_code, path.read_text()) == (1, "listen: 127.0.0.1:1\n")
    assert "is there already and was left as it is; --force replaces it" in found.stderr
    assert command("config", "init", str(path), "--force").exit_code == 0
    assert path.read_text().startswith("# yaml-language-server")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".mine")]


def test_init_leaves_the_folder_of_a_named_file_as_it_is(command, tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o755)
    found = command("config", "init", str(folder / "t.yaml"))
    assert found.exit_code == 0
    assert f"tokenman up --config {folder}/t.yaml" in found.stdout
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_init_prints_with_a_dash_and_writes_nothing(command, tmp_path):
    found = command("config", "init", "-")
    assert found.exit_code == 0
    assert found.stdout.startswith("# yaml-language-server: $schema=")
    assert not list(tmp_path.iterdir())


def test_init_says_what_it_cannot_write(command, tmp_path):
    (tmp_path / "file").write_text("")
    found = command("config", "init", str(tmp_path / "file" / "t.yaml"))
    assert found.exit_code == 2
    assert "cannot be written" in found.stderr
    assert command("config", "init", str(tmp_path), "--force").exit_code == 2


def test_init_writes_where_the_environment_says(command, tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENMAN_CONFIG", str(tmp_path / "x" / "c.yaml"))
    found = command("config", "init")
    assert (tmp_path / "x" / "c.yaml").is_file()
    assert "tokenman up  #" in found.stdout


# --- schema


def test_schema_prints_json_that_judges_the_example(command):
    found = command("config", "schema")
    assert found.exit_code == 0
    judge = Draft202012Validator(json.loads(found.stdout))
    assert judge.is_valid(YAML(typ="safe").load(command("config", "init", "-").stdout))
    assert not judge.is_valid({"limts": {}})


# --- show and check


def test_show_says_values_as_they_are_written_with_their_origins_and_no_secret(command, tmp_path, monkeypatch):
    path = tmp_path / "t.yaml"
    path.write_text(
        "limits:\n  request_body: 1048576\nproviders:\n  openai:\n    key: env:MINE\n"
        "redaction:\n  entities: {CREDIT_CARD: block}\n"
    )
    monkeypatch.setenv("MINE", "sk-planted-0123456789")
    monkeypatch.setenv("TOKENMAN_RETRY__ATTEMPTS", "1")
    found = command("config", "show", "--config", str(path))
    lines = found.stdout.splitlines()
    assert f"limits.request_body: 1MiB  # {path}:2" in lines
    assert f'providers.openai.key: "(hidden)"  # {path}:5' in lines
    assert f"redaction.entities.CREDIT_CARD: block  # {path}:7" in lines
    assert "retry.attempts: 1  # environment TOKENMAN_RETRY__ATTEMPTS" in lines
    assert "limits.client_header_timeout: 10s  # default" in lines
    assert "sk-planted" not in found.output


def test_check_says_what_is_wrong_and_ends_with_2(command, tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("listen: 127.0.0.1:1\nlimts: {}\n")
    found = command("config", "check", "--config", str(path))
    assert found.exit_code == 2
    assert found.stderr == f"tokenman: {path}:2: limts: there is no such setting; did you mean limits?\n"


def test_check_names_base_urls_that_are_not_the_providers_own(command, tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("providers: {openai: {base_url: 'http://127.0.0.1:1'}}\n")
    found = command("config", "check", "--config", str(path))
    assert "note: calls to openai go to http://127.0.0.1:1, which is not the provider's own address" in found.stdout


def test_check_without_a_file_says_how_to_have_one(command):
    found = command("config", "check")
    assert found.stdout.splitlines()[0] == "no file, the defaults: fine"
    assert "tokenman config init" in found.stdout


# --- test

CASES = """
redaction: {entities: {CREDIT_CARD: block}}
tests:
  - name: addresses are masked
    request: {dialect: anthropic, model: claude-sonnet-4-5, text: write to ada@example.org}
    expect: {masked: [EMAIL_ADDRESS], provider: anthropic}
  - name: cards are blocked
    request: {dialect: openai, text: "my card is 4539 1488 0343 6467"}
    expect: {refused: 400}
"""
WRONG = """
  - name: nothing is masked
    request: {dialect: openai, body: {model: gpt-5, input: write to ada@example.org}}
    expect: {masked: [], provider: gemini}
"""


def test_policy_cases_are_judged_by_the_real_chain_and_leave_nothing_behind(command, tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text(CASES)
    found = command("config", "test", "--config", str(path))
    assert found.stdout == "ok      addresses are masked\nok      cards are blocked\n2 cases, all hold\n"
    assert found.exit_code == 0
    assert list(tmp_path.iterdir()) == [path]


def test_one_case_is_told_as_one(command, tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text(CASES[: CASES.index("  - name: cards")])
    assert command("config", "test", "--config", str(path)).stdout.endswith("1 case, which holds\n")


def test_a_case_that_does_not_hold_is_told_and_ends_with_1(command, tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text(CASES + WRONG)
    found = command("config", "test", "--config", str(path))
    assert found.exit_code == 1
    assert "FAILED  nothing is masked" in found.stdout
    assert "masked: expected nothing, found EMAIL_ADDRESS; provider: expected gemini, was openai" in found.stdout
    assert "3 cases, 1 failed" in found.stdout


def test_malformed_cases_end_with_2_and_none_at_all_is_told(command, tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("tests: [{name: a, request: {dialect: openai, text: x}, expect: {cache: perhaps}}]")
    found = command("config", "test", "--config", str(path))
    assert found.exit_code == 2
    assert "tests[0].expect.cache: must be one of hit, miss or bypass" in found.stderr
    assert "no cases under tests:" in command("config", "test").stdout


def test_what_is_complained_of_says_nothing_to_the_terminal(capsys):
    settings.complain(ValueError("a key \x1b[31mred\x9b0m\u202e\nand a second line"))
    assert capsys.readouterr().err == "tokenman: a key [31mred0m\ntokenman: and a second line\n"
