import dataclasses
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from addons.cli import main
from addons.cli.scan import files
from addons.cli.scan.files import Read, Skipped
from addons.cli.scan.found import Found, Hit, Lines, as_json, as_sarif, line, summary

ROOT = Path(__file__).parents[3]
MAIL = "planted.value@example.org"
KEY = "ghp_x7Kp2mQ9vT4sL8wZ1nB6cR3yH5jD0fGaVeUq"
HIT = Hit("a b/n.txt", 3, 14, 3, 20, "EMAIL_ADDRESS", "redact", "redaction.mode", "[EMAIL_ADDRESS_0123456789ab]")


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("TOKENMAN_CONFIG", "XDG_CONFIG_HOME", "TOKENMAN_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def command(home):
    return lambda *words, **more: CliRunner().invoke(
        main.app, ["scan", *map(str, words)], catch_exceptions=False, **more
    )


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_folder_is_read_and_every_value_has_its_place(command, home, tmp_path):
    write(tmp_path, "work/notes.txt", f"first\nmail {MAIL} now\n")
    write(tmp_path, "work/deep/keys.env", f"# é\nGITHUB={KEY}\n")
    write(tmp_path, "work/wide.txt", f"{MAIL}\n".encode("utf-16"))
    write(tmp_path, "work/clean.py", "print('hello')\n")
    write(tmp_path, "work/blob", bytes(range(256)) * 8)
    write(tmp_path, "work/node_modules/x.js", MAIL)
    found = command(tmp_path / "work")
    assert found.exit_code == 1
    assert [each.partition(" [")[0] for each in found.stdout.splitlines()] == [
        f"{tmp_path}/work/notes.txt:2:6: EMAIL_ADDRESS is masked (redaction.mode)",
        f"{tmp_path}/work/wide.txt:1:1: EMAIL_ADDRESS is masked (redaction.mode)",
        f"{tmp_path}/work/deep/keys.env:2:8: API_KEY is masked (redaction.secrets)",
    ]
    assert "3 values in 3 of 4 files: 2 EMAIL_ADDRESS, 1 API_KEY" in found.stderr
    assert "not read: 1 binary" in found.stderr
    assert MAIL not in found.output
    assert KEY not in found.output
    assert not home.exists()  # a scan leaves nothing behind


def test_nothing_found_is_said_and_ends_with_0(command, tmp_path):
    found = command(write(tmp_path, "a.txt", "nothing here"))
    assert (found.exit_code, found.stdout) == (0, "")
    assert "Nothing that redaction knows in 1 file" in found.stderr


def test_standard_input_and_json(command):
    found = command("-", "--json", input=f"x\n  {MAIL}\n")
    assert found.exit_code == 1
    said = json.loads(found.stdout)
    assert (said["files"], said["skipped"]) == (1, [])
    (finding,) = said["findings"]
    placeholder = finding.pop("placeholder")
    assert finding == {
        "path": "-", "line": 2, "column": 3, "end_line": 2, "end_column": 3 + len(MAIL),
        "entity": "EMAIL_ADDRESS", "action": "redact", "setting": "redaction.mode",
    }  # fmt: skip
    assert placeholder.startswith("[EMAIL_ADDRESS_")


def test_the_settings_decide_and_what_was_allowed_is_not_told(command, home, tmp_path):
    config = write(
        tmp_path,
        "c.yaml",
        f"data_dir: {home}/data\nredaction: {{entities: {{EMAIL_ADDRESS: log}}, secrets: block, allow: ['*@allowed.org']}}\n",
    )
    text = write(tmp_path, "a.txt", f"{MAIL} me@allowed.org {KEY} mine@example.org")
    assert CliRunner().invoke(main.app, ["allow", "--config", str(config)], input="mine@example.org").exit_code == 0
    found = command(text, "--config", config)
    assert found.exit_code == 1
    assert [each.split()[1:4] for each in found.stdout.splitlines()] == [
        ["EMAIL_ADDRESS", "is", "logged"],
        ["API_KEY", "is", "refused"],
    ]


@pytest.mark.parametrize("words", [["no/such/file"], ["--json", "--sarif", "."], []])
def test_a_wrong_use_ends_with_2(command, words):
    found = command(*words)
    assert found.exit_code == 2


def test_a_file_that_cannot_be_read_is_named_and_ends_with_1(command, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    found = command(tmp_path / "loop")
    assert found.exit_code == 1
    assert f"{tmp_path}/loop: " in found.stderr


def test_a_wrong_configuration_ends_with_2(command, tmp_path):
    config = write(tmp_path, "c.yaml", "redaction: {mode: perhaps}\n")
    assert command(tmp_path, "--config", config).exit_code == 2


@pytest.mark.parametrize(
    ("exclude", "everything", "names"),
    [
        ([], False, ["a.txt", "b/c.txt", "b/d.log"]),
        ([], True, ["a.txt", ".git/x", "b/c.txt", "b/d.log"]),
        (["*.log"], False, ["a.txt", "b/c.txt"]),
        (["b"], False, ["a.txt"]),
        (["b/c.*"], False, ["a.txt", "b/d.log"]),
    ],
)
def test_which_files_are_read(tmp_path, exclude, everything, names):
    for name in ("a.txt", "b/c.txt", "b/d.log", ".git/x"):
        write(tmp_path, name, "x")
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    (tmp_path / "b/up").symlink_to(tmp_path)
    found = [str(each.relative_to(tmp_path)) for each in files.found([tmp_path], exclude, everything)]
    assert sorted(found) == sorted(names)
    assert [*files.found([tmp_path, tmp_path / "a.txt"], exclude, everything)].count(tmp_path / "a.txt") == 1


def test_a_folder_that_is_left_out_is_read_when_it_is_named(tmp_path):
    write(tmp_path, "node_modules/x.js", "x")
    assert [each.name for each in files.found([tmp_path / "node_modules"], [], False)] == ["x.js"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"plain", Read("f", "plain")),
        ("\ufeffmarked".encode(), Read("f", "marked")),
        ("\ufeffwide".encode("utf-16-be"), Read("f", "wide")),
        ("caf\xe9 au lait".encode("cp1252"), Read("f", "café au lait")),
        (b"\x89PNG\r\n\x1a\n....", Skipped("f", "image")),
        (bytes(range(256)) * 4, Skipped("f", "binary")),
    ],
)
def test_a_file_is_text_in_any_encoding_or_no_text(data, expected):
    assert files.decoded("f", data) == expected


def test_lines_and_columns_begin_with_one_and_count_characters():
    lines = Lines("é\n\nab")
    assert [lines(at) for at in (0, 1, 2, 3, 4, 5)] == [(1, 1), (1, 2), (2, 1), (3, 1), (3, 2), (3, 3)]


def test_a_name_cannot_write_to_the_terminal():
    assert "\x1b" not in line(dataclasses.replace(HIT, path="\x1b[31mred"))


def test_sarif_has_what_code_hosts_ask_for():
    found = Found([HIT], [Skipped("gone.txt", "permission denied", trouble=True), Skipped("x.png", "image")], 2)
    (told,) = json.loads(as_sarif(found))["runs"]
    assert told["tool"]["driver"]["rules"] == [{"id": "EMAIL_ADDRESS", "shortDescription": {"text": "EMAIL_ADDRESS"}}]
    (result,) = told["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%20b/n.txt"
    assert place["region"] == {"startLine": 3, "startColumn": 14, "endLine": 3, "endColumn": 20}
    assert result["partialFingerprints"] == {"placeholder/v1": HIT.placeholder}
    assert result["level"] == "warning"
    assert told["invocations"][0]["executionSuccessful"] is False
    assert len(told["invocations"][0]["toolExecutionNotifications"]) == 1
    assert json.loads(as_json(found))["skipped"] == [
        {"path": "gone.txt", "reason": "permission denied"}, {"path": "x.png", "reason": "image"},
    ]  # fmt: skip


def test_the_summary_counts():
    assert next(summary(Found([HIT, HIT], [], 3))) == "2 values in 1 of 3 files: 2 EMAIL_ADDRESS"


def test_long_work_shows_a_bar_on_a_terminal(tmp_path):
    text = write(tmp_path, "big.txt", f"{MAIL} and some words to read\n" * 40_000)
    reader, writer = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "addons.cli.main", "scan", str(text)],
        cwd=ROOT, env={**os.environ, "HOME": str(tmp_path), "TERM": "xterm"}, stdout=subprocess.DEVNULL, stderr=writer,
    )  # fmt: skip
    os.close(writer)
    said = b""
    while True:
        try:
            piece = os.read(reader, 65536)
        except OSError:
            break
        if not piece:
            break
        said += piece
    os.close(reader)
    assert process.wait(timeout=120) == 1
    assert b"scanning" in said
    assert b"40,000 values in 1 of 1 file" in said


def test_the_pre_commit_hook_runs_the_command_on_texts():
    (hook,) = YAML(typ="safe").load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert (hook["id"], hook["entry"], hook["language"]) == ("tokenman-scan", "tokenman scan", "python")
    assert hook.get("pass_filenames", True)
