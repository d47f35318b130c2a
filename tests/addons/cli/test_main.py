import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from addons.cli import main, up
from tokenman_core import __version__


@pytest.fixture
def command(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("TOKENMAN_CONFIG", "XDG_CONFIG_HOME", "TOKENMAN_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return lambda *arguments: CliRunner().invoke(main.app, list(arguments), catch_exceptions=False)


@pytest.fixture
def started(monkeypatch):
    """What `up` was called with; it ends with 7."""
    calls = []
    monkeypatch.setattr(up, "run", lambda file, listen: calls.append((file, listen)) or 7)
    return calls


@pytest.mark.parametrize("words", [[], ["up"]])
def test_tokenman_alone_is_up(command, started, words):
    assert command(*words).exit_code == 7
    assert command(*words, "--config", "f.yaml", "--listen", "127.0.0.1:1").exit_code == 7
    assert started == [(None, None), (Path("f.yaml"), "127.0.0.1:1")]


def test_options_before_a_command_are_not_silently_dropped(command, started):
    found = command("--config", "f.yaml", "up")
    assert found.exit_code == 2
    assert "write it behind the command" in found.stderr
    assert started == []


@pytest.mark.parametrize(
    "words", [["--nonsense"], ["nonsense"], ["up", "--config"], ["up", "extra"], ["demo", "--twice"]]
)
def test_wrong_use_ends_with_2(command, started, words):
    assert command(*words).exit_code == 2
    assert started == []


def test_the_version_is_told(command):
    found = command("--version")
    assert (found.exit_code, found.stdout) == (0, f"tokenman {__version__}\n")


def test_the_path_of_the_script_for_mitmdump_is_printed(command):
    path = Path(command("addon-path").stdout.strip())
    assert path.is_file()
    assert path.name == "tokenman.py"


def test_config_check_says_fine_and_what_is_lacking(command, tmp_path):
    (tmp_path / "t.yaml").write_text("secret: a-secret-in-the-file-itself")
    found = command("config", "check", "--config", str(tmp_path / "t.yaml"))
    assert found.exit_code == 0
    assert f"{tmp_path}/t.yaml: fine" in found.stdout
    assert f"warning: {tmp_path}/t.yaml:1: secret holds the secret itself" in found.stdout
    assert "not in this version: injection: detection comes later" in found.stdout


@pytest.mark.parametrize("words", [["config", "check"], ["config", "show"], ["up"], []])
def test_a_wrong_configuration_ends_with_2_and_the_remedy(command, tmp_path, words):
    (tmp_path / "t.yaml").write_text("limits:\n  request_bodi: 5\nbudgets: [{name: a}]")
    found = command(*words, "--config", str(tmp_path / "t.yaml"))
    assert found.exit_code == 2
    assert (
        f"tokenman: {tmp_path}/t.yaml:2: limits.request_bodi: there is no such setting; did you mean request_body?"
        in found.stderr
    )
    assert found.stdout == ""


def test_config_show_hides_secrets_and_tells_origins(command, tmp_path, monkeypatch):
    monkeypatch.setenv("TOKENMAN_RETRY__ATTEMPTS", "1")
    path = tmp_path / "t.yaml"
    path.write_text("providers:\n  openai:\n    key: planted-key-0123\nsecret: planted-secret-0123\n")
    found = command("config", "show", "--config", str(path))
    assert found.exit_code == 0
    assert "planted" not in found.stdout
    assert f"providers.openai.key: **********  # {path}:3\n" in found.stdout
    assert "retry.attempts: 1  # environment TOKENMAN_RETRY__ATTEMPTS\n" in found.stdout
    assert "redaction.mode: redact  # default\n" in found.stdout


HEAVY = ("mitmproxy", "pydantic", "ruamel", "cryptography", "presidio_analyzer", "uvicorn", "starlette")


def test_the_command_itself_imports_nothing_heavy():
    check = f"import sys; import addons.cli.main; print([name for name in {HEAVY} if name in sys.modules])"
    started = time.monotonic()
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout == "[]\n"
    assert time.monotonic() - started < 5
