import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from addons.cli import main

ROOT = Path(__file__).parents[3]
VALUE = "planted.value@example.org"


@pytest.fixture
def command(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("TOKENMAN_CONFIG", "XDG_CONFIG_HOME", "TOKENMAN_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return lambda *words, **more: CliRunner().invoke(main.app, ["allow", *words], catch_exceptions=False, **more)


def written(tmp_path: Path) -> bytes:
    return b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("words", [[], ["-"]])
def test_the_value_comes_from_standard_input_and_is_neither_shown_nor_written(command, tmp_path, words):
    found = command(*words, input=f"  {VALUE}\n")
    assert found.exit_code == 0
    assert f"The value ({len(VALUE)} characters) passes unmasked from now on" in found.stdout
    assert "tokenman allow --remove" in found.stdout
    assert VALUE not in found.output
    assert "history" not in found.output
    assert VALUE.encode() not in written(tmp_path)
    assert (tmp_path / ".local/share/tokenman/allowed").stat().st_mode & 0o777 == 0o600


def test_it_may_be_an_argument_too(command, tmp_path):
    first = command(VALUE)
    assert first.exit_code == 0
    assert "your shell's history may hold it" in first.stderr
    again = command(input=VALUE)
    assert (again.exit_code, "allowed already" in again.stdout) == (0, True)
    gone = command(VALUE, "--remove")
    assert (gone.exit_code, "masked again" in gone.stdout) == (0, True)
    assert (tmp_path / ".local/share/tokenman/allowed").read_bytes() == b""


def test_it_may_pass_as_one_kind_alone_and_what_passes_is_listed_by_day(command, tmp_path):
    assert "passes unmasked as EMAIL_ADDRESS from now on" in command("--entity", "EMAIL_ADDRESS", input=VALUE).stdout
    assert command("--remove", input=VALUE).exit_code == 1
    listed = command("--list").stdout
    assert "EMAIL_ADDRESS" in listed
    assert VALUE not in listed
    assert command("--remove", "--entity", "EMAIL_ADDRESS", input=VALUE).exit_code == 0
    assert "Nothing was taken out" in command("--list").stdout


def test_a_kind_that_nothing_finds_ends_with_2(command):
    found = command("--entity", "EMAIL", input=VALUE)
    assert (found.exit_code, "did you mean EMAIL_ADDRESS?" in found.stderr) == (2, True)


def test_removing_what_was_not_allowed_ends_with_1(command):
    found = command("--remove", input=VALUE)
    assert found.exit_code == 1
    assert "was not allowed" in found.stderr
    assert VALUE not in found.output


@pytest.mark.parametrize("given", ["", " \n", "x" * 70_000])
def test_no_value_or_one_that_is_none_ends_with_2(command, given):
    found = command(input=given)
    assert found.exit_code == 2
    assert "tokenman allow < value.txt" in found.stderr


def test_a_file_that_cannot_be_written_is_told(command, tmp_path):
    (tmp_path / ".local/share/tokenman/allowed").mkdir(parents=True)
    found = command(input=VALUE)
    assert found.exit_code == 1
    assert "cannot be written" in found.stderr


def test_on_a_terminal_it_is_asked_for_and_not_echoed(tmp_path):
    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "from addons.cli.main import run; run()", "allow"],
        stdin=child, stdout=child, stderr=child, start_new_session=True, close_fds=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}, cwd=tmp_path,
    )  # fmt: skip
    os.close(child)
    said = b""
    while b"it is not shown" not in said:
        said += os.read(parent, 1024)
    os.write(parent, VALUE.encode() + b"\n")
    try:
        while more := os.read(parent, 1024):
            said += more
    except OSError:  # the terminal is gone with its last process
        pass
    assert process.wait(30) == 0
    os.close(parent)
    assert b"passes unmasked" in said
    assert VALUE.encode() not in said
