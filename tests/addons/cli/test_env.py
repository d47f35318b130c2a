"""What `tokenman env` prints, taken by the shells that are here."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from addons.cli import env
from tests.addons.cli.test_up import free

ODD = "a'b\"c\\d $HOME `id` $(id) !x * \u00e9"
NOTES = ["first note\nwith two lines", "it's the second"]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [
        name for name in os.environ if name.startswith(("TOKENMAN_", "SSL_", "NODE_")) or "PROXY" in name.upper()
    ]:
        monkeypatch.delenv(name)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SHELL"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "t.yaml"
    document = {
        "listen": f"127.0.0.1:{free()}",
        "admin": {"listen": f"127.0.0.1:{free()}"},
        "data_dir": str(tmp_path / "it's data"),
    }
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("shell", ["sh", "bash", "dash"])
@pytest.mark.parametrize("quoted", [True, False])
def test_any_value_passes_through_a_shell_as_it_is(shell: str, quoted: bool) -> None:
    """Unquoted, the shell joins the lines; values with spaces are then cut by it alone."""
    value = ODD if quoted else ODD.replace(" ", "").replace("*", "")
    text = env.write({"ONE": value, "TWO": "2"}, NOTES, "sh")
    assert shutil.which(shell)
    script = 'eval "$TEXT"; printf "%s\\n%s" "$ONE" "$TWO"' if quoted else 'eval $TEXT; printf "%s\\n%s" "$ONE" "$TWO"'
    done = subprocess.run(
        [shell, "-c", script], env={"TEXT": text, "PATH": os.environ["PATH"]}, capture_output=True, check=True
    )
    assert done.stdout.decode() == f"{value}\n2"
    assert done.stderr == b""


def test_fish_and_powershell_are_quoted_by_their_own_rules() -> None:
    # https://fishshell.com/docs/current/language.html#quotes: within single quotes only \' and \\ mean something.
    assert env.write({"A": "it's \\ $x"}, ["n"], "fish") == "set -gx A 'it\\'s \\\\ $x';\n# n"
    # about_Quoting_Rules: a single quote is doubled, all else is verbatim.
    assert env.write({"A": "it's \\ $x"}, ["n"], "powershell") == "$env:A = 'it''s \\ $x';\n# n"


def test_json_is_the_variables_and_nothing_else() -> None:
    assert json.loads(env.write({"A": ODD}, NOTES, "json")) == {"A": ODD}


def test_the_configured_listener_is_printed_and_that_nothing_listens_there(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listen = json.loads(config.read_text())["listen"]
    assert env.run(config, None, None) == 0
    printed = capsys.readouterr().out
    assert f"export ANTHROPIC_BASE_URL='http://{listen}';" in printed
    assert "/r/" not in printed
    assert f"# nothing listens at {listen} yet: start it with `tokenman up`" in printed.splitlines()[-1]
    done = subprocess.run(["sh", "-c", 'eval "$T"; cat "$SSL_CERT_FILE"'], env={"T": printed, "PATH": os.environ["PATH"]},
                          capture_output=True, check=True)  # fmt: skip
    assert b"BEGIN CERTIFICATE" in done.stdout


@pytest.mark.parametrize(
    ("via", "there", "not_there"),
    [("base-url", "OPENAI_BASE_URL", "HTTPS_PROXY"), ("proxy", "HTTPS_PROXY", "OPENAI_BASE_URL")],
)
def test_one_way_alone_can_be_asked_for(
    config: Path, capsys: pytest.CaptureFixture[str], via: env.Via, there: str, not_there: str
) -> None:
    assert env.run(config, via, "json") == 0
    taken = capsys.readouterr()
    found = json.loads(taken.out)
    assert there in found
    assert not_there not in found
    assert "nothing listens" in taken.err


@pytest.mark.parametrize(
    ("shell", "first"),
    [("/usr/bin/fish", "set -gx "), ("/bin/zsh", "export "), ("", "export "), ("/usr/bin/pwsh", "$env:")],
)
def test_the_users_own_shell_is_the_default(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shell: str, first: str
) -> None:
    monkeypatch.setenv("SHELL", shell)
    assert env.run(config, None, None) == 0
    assert capsys.readouterr().out.startswith(first)


def test_a_bad_configuration_ends_with_2(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("lisen: 1")
    assert env.run(config, None, None) == 2
    taken = capsys.readouterr()
    assert "lisen" in taken.err
    assert taken.out == ""


@pytest.mark.parametrize(("clients", "told"), [("auto", False), ("required", True)])
def test_what_to_do_about_virtual_keys_is_said_where_they_are_needed(
    config: Path, capsys: pytest.CaptureFixture[str], clients: str, told: bool
) -> None:
    config.write_text(json.dumps(json.loads(config.read_text()) | {"access": {"clients": clients}}))
    assert env.run(config, None, "sh") == 0
    assert ("tokenman clients add NAME" in capsys.readouterr().out) is told
