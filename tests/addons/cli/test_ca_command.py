import os
import pty
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from addons.cli import ca_command
from tests.core.trust.fakes import Commands, debian, machine
from tokenman_core import ca
from tokenman_core.clock import ManualClock

ROOT = Path(__file__).parents[3]


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("TOKENMAN_CONFIG", "XDG_CONFIG_HOME", "TOKENMAN_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def authority(home):
    return ca.ensure(home / ".local/share/tokenman/ca", ["gateway.example"])


@pytest.fixture
def system(tmp_path):
    return debian(tmp_path / "debian")


def test_show_says_what_it_is_where_it_is_and_who_trusts_it(authority, system, capsys):
    assert ca_command.show(None, system) == 0
    said = capsys.readouterr().out
    assert authority.fingerprint in said
    assert "395 days left" in said or "396 days left" in said
    assert f"{len(authority.hosts)} hosts of LLM providers" in said
    assert "gateway.example, api.anthropic.com" in said
    for path in (authority.pem_path, authority.bundle_path, authority.folder / "authority.pem"):
        assert str(path) in said
    assert "the system (Debian, Ubuntu, Alpine): no" in said
    assert "tokenman ca trust" in said
    assert "PRIVATE" not in said
    assert ca_command.trust(None, True, system) == 0
    capsys.readouterr()
    ca_command.show(None, system)
    assert "the system (Debian, Ubuntu, Alpine): yes" in capsys.readouterr().out


def test_show_makes_nothing(home, system, capsys):
    assert ca_command.show(None, system) == 1
    assert "tokenman up" in capsys.readouterr().out
    assert not (home / ".local").exists()


def test_show_says_that_it_has_expired_and_that_an_older_one_is_trusted(home, authority, system, capsys):
    ca_command.trust(None, True, system)
    folder = home / ".local/share/tokenman/ca"
    (folder / "authority.pem").unlink()
    past = ManualClock(authority.certificate.not_valid_before_utc.timestamp() - timedelta(days=400).total_seconds())
    ca.ensure(folder, [], past)
    capsys.readouterr()
    assert ca_command.show(None, system) == 0
    said = capsys.readouterr().out
    assert "EXPIRED" in said
    assert "an OLDER one: tokenman ca trust" in said


def test_trust_says_what_it_does_does_it_and_looks_at_the_outcome(authority, system, capsys):
    assert ca_command.trust(None, True, system) == 0
    said = capsys.readouterr().out
    assert f"install -m 644 {authority.pem_path}" in said
    assert "    update-ca-certificates\n" in said
    assert "done: the system (Debian, Ubuntu, Alpine) trusts it now" in said
    assert ca_command.trust(None, True, system) == 0
    assert "already" in capsys.readouterr().out
    assert ca_command.untrust(None, True, system) == 0
    assert "has nothing of it any more" in capsys.readouterr().out
    assert ca_command.untrust(None, True, system) == 0
    assert "nothing to take back" in capsys.readouterr().out


def test_untrust_finds_by_name_what_an_authority_left_whose_files_are_gone(authority, system, capsys):
    assert ca_command.trust(None, True, system) == 0
    shutil.rmtree(authority.folder)
    assert ca_command.untrust(None, True, system) == 0
    assert "has nothing of it any more" in capsys.readouterr().out
    assert not list(system.path("/usr/local/share/ca-certificates").iterdir())
    assert not authority.folder.exists()


def test_trust_makes_the_authority_if_there_is_none_yet(home, system):
    assert ca_command.trust(None, True, system) == 0
    assert (home / ".local/share/tokenman/ca/tokenman-ca.pem").exists()


def test_nothing_is_done_without_a_yes_where_nobody_can_be_asked(authority, system, capsys):
    assert ca_command.trust(None, False, system) == 2
    assert "--yes" in capsys.readouterr().err
    assert system.run.ran == []


def test_root_is_never_taken_silently(authority, tmp_path, capsys):
    root = tmp_path / "debian"
    (root / "usr/local/share/ca-certificates").mkdir(parents=True)
    commands = Commands()
    one = machine(root, commands, privileged=False, tools=("update-ca-certificates", "sudo"))
    assert ca_command.trust(None, True, one) == 1
    said = capsys.readouterr().out
    assert "These need root, so they are yours to run" in said
    assert f"sudo install -m 644 {authority.pem_path} " in said
    assert "&& sudo update-ca-certificates" in said
    assert commands.ran == []


def test_a_command_that_fails_or_changes_nothing_is_told(authority, tmp_path, capsys):
    from tokenman_core.trust import Done

    root = tmp_path / "debian"
    (root / "usr/local/share/ca-certificates").mkdir(parents=True)
    for answer, told in (
        (Done(1, error="no space left"), "ended with 1: no space left"),
        (Done(0), "is not as it should be"),
    ):
        one = machine(
            root, Commands(update_ca_certificates=lambda _, answer=answer: answer), tools=("update-ca-certificates",)
        )
        assert ca_command.trust(None, True, one) == 1
        assert told in capsys.readouterr().err


def test_where_no_store_is_known_the_other_ways_are_told(authority, tmp_path, capsys):
    assert ca_command.trust(None, True, machine(tmp_path, Commands())) == 1
    said = capsys.readouterr().out
    assert str(authority.bundle_path) in said
    assert "tokenman run" in said


def test_a_damaged_authority_ends_with_2(authority, system, capsys):
    (authority.folder / "authority.pem").write_text("nonsense")
    for command in (lambda: ca_command.show(None, system), lambda: ca_command.untrust(None, True, system)):
        assert command() == 2
        assert "does not hold the certificate authority" in capsys.readouterr().err


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 2)])
def test_on_a_terminal_it_is_asked(authority, tmp_path, answer, code):
    parent, child = pty.openpty()
    program = (
        "import sys; from pathlib import Path; from tests.core.trust.fakes import debian; from addons.cli import ca_command; "
        f"sys.exit(ca_command.trust(None, False, debian(Path({str(tmp_path / 'debian')!r}))))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=child, stdout=child, stderr=child, cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )  # fmt: skip
    os.close(child)
    said = b""
    while b"Go on?" not in said:
        said += os.read(parent, 1024)
    os.write(parent, answer.encode() + b"\n")
    assert process.wait(60) == code
    os.close(parent)
    bundle = tmp_path / "debian/etc/ssl/certs/ca-certificates.crt"
    assert bundle.exists() is (code == 0)
