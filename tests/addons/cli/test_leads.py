"""Programs whose own settings files lead their calls past TokenMan are told of before they start."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from addons.cli.programs.environment import Place
from addons.cli.programs.leads import warnings
from addons.cli.programs.table import PROGRAMS, Program, Via
from tokenman_core.config.models import Settings
from tokenman_core.config.values import Address

PLACE = Place(Address("127.0.0.1", 7777), "0123456789ab")
TABLE = {program.name: program for program in PROGRAMS}
ELSEWHERE = {"env": {"ANTHROPIC_BASE_URL": "http://user:pass@elsewhere:8080/x?key=1"}}


def told(
    home: Path, program: str = "claude", via: Via | None = None, arguments: tuple[str, ...] = (), **environ: str
) -> list[str]:
    (home / "work").mkdir(exist_ok=True)
    given = {"HOME": str(home)} | environ
    return list(warnings(TABLE[program], via, PLACE, Settings(), given, home / "work", arguments))


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    "name", [".claude/settings.json", "work/.claude/settings.json", "work/.claude/settings.local.json"]
)
def test_a_base_url_in_any_of_claudes_settings_files_is_a_warning_with_the_remedy(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ELSEWHERE)
    (line,) = told(tmp_path)
    assert line.startswith(
        f"warning: {path} sets env.ANTHROPIC_BASE_URL: http://elsewhere:8080/x, so its calls go there"
    )
    assert "set providers.anthropic.base_url: http://elsewhere:8080/x" in line
    assert "pass" not in line


def test_the_folder_of_the_settings_is_the_one_that_its_variable_names(tmp_path: Path) -> None:
    write(tmp_path / ".claude" / "settings.json", ELSEWHERE)
    assert told(tmp_path, CLAUDE_CONFIG_DIR=str(tmp_path / "other")) == []
    write(tmp_path / "other" / "settings.json", ELSEWHERE)
    assert len(told(tmp_path, CLAUDE_CONFIG_DIR=str(tmp_path / "other"))) == 1


def test_another_service_and_another_proxy_are_warnings_too(tmp_path: Path) -> None:
    write(
        tmp_path / ".claude" / "settings.json",
        {"env": {"CLAUDE_CODE_USE_BEDROCK": "1", "HTTPS_PROXY": "http://corp:3128", "CLAUDE_CODE_USE_VERTEX": "0"}},
    )
    lines = told(tmp_path)
    assert ["env.CLAUDE_CODE_USE_BEDROCK" in line for line in lines] == [True, False]
    assert "may go through that proxy" in lines[1]


@pytest.mark.parametrize(
    ("url", "via", "governed"),
    [
        ("http://127.0.0.1:7777", None, True),
        ("https://api.anthropic.com", None, True),
        ("https://api.anthropic.com", "base-url", False),
        ("http://127.0.0.1:9", None, False),
    ],
)
def test_what_comes_here_all_the_same_is_no_warning(tmp_path: Path, url: str, via: Via | None, governed: bool) -> None:
    write(tmp_path / ".claude" / "settings.json", {"env": {"ANTHROPIC_BASE_URL": url}})
    assert bool(told(tmp_path, via=via)) is not governed


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"env": []}', '{"env": {"ANTHROPIC_BASE_URL": {}}}', "[" * 100_000, '{"x": "' + "y" * (2 << 20)],
)
def test_files_that_are_broken_or_too_long_are_left_out(tmp_path: Path, content: str) -> None:
    write(tmp_path / ".claude" / "settings.json", content)
    assert told(tmp_path) == []


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / ".claude").mkdir()
    os.mkfifo(tmp_path / ".claude" / "settings.json")
    assert told(tmp_path) == []


OTHER = """
model_provider = "other"
[model_providers.other]
base_url = "https://llm.example/v1"
"""


@pytest.mark.parametrize(
    ("text", "via", "words", "said"),
    [
        (OTHER, None, (), "model_provider: https://llm.example/v1"),
        (OTHER, None, ("-c", 'model_provider="openai"'), ""),
        (OTHER.replace("https://llm.example/v1", "https://api.openai.com/v1"), None, (), ""),
        ('model_provider = "ollama"', None, (), "model_provider: ollama"),
        ('profile = "p"\n[profiles.p]\nmodel_provider = "ollama"', None, (), "model_provider: ollama"),
        ("", None, ("--config=model_provider=ollama",), "model_provider: ollama"),
        ('openai_base_url = "https://llm.example/v1"', "proxy", (), "openai_base_url: https://llm.example/v1"),
        ('openai_base_url = "https://llm.example/v1"', None, (), ""),
        ("model_provider = ", None, (), ""),
    ],
)
def test_the_provider_that_codex_is_configured_for_is_told(
    tmp_path: Path, text: str, via: Via | None, words: tuple[str, ...], said: str
) -> None:
    path = write(tmp_path / ".codex" / "config.toml", text)
    lines = told(tmp_path, "codex", via, words)
    assert len(lines) == bool(said)
    assert not said or lines[0].startswith(f"warning: {path} sets {said}")


def test_a_program_without_such_files_is_asked_nothing(tmp_path: Path) -> None:
    assert list(warnings(Program("other"), None, PLACE, Settings(), {"HOME": str(tmp_path)}, tmp_path)) == []
