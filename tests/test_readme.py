"""What README.md and docs/ say, held to the software: every command, setting, path, metric, link, example and line of the demo."""

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from typer.testing import CliRunner

from addons.cli import main
from addons.cli.programs.table import PROGRAMS
from addons.demo.provider import FakeProvider
from tests.e2e.harness import PLANTED, Proxy, claude, said, user
from tokenman_core import kinds
from tokenman_core.admin import openapi
from tokenman_core.config import known
from tokenman_core.config.described import SETTINGS
from tokenman_core.config.load import load
from tokenman_core.ledger.reader import By
from tokenman_core.telemetry.metrics import Metrics

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
README = (ROOT / "README.md").read_text()
ADMIN = (ROOT / "docs" / "admin.md").read_text()
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def each_page() -> Any:
    return pytest.mark.parametrize("page", PAGES, ids=name)


def fenced(page: Path, language: str) -> list[str]:
    return [content for kind, content in _FENCE.findall(page.read_text()) if kind == language]


def indented(page: Path) -> Iterator[tuple[str, str]]:
    """The lines of indented blocks, each with the remark at its end. A line that goes on behind a backslash is one line."""
    for line in re.sub(r" *\\\n +", " ", _FENCE.sub("", page.read_text())).splitlines():
        if line.startswith("    "):
            command, _, remark = line[4:].partition(" # ")
            yield command.rstrip(), remark


def shell_lines(page: Path) -> list[str]:
    return [command for command, _ in indented(page)]


def spans(page: Path) -> list[str]:
    """What stands between back quotes in running text."""
    return re.findall(r"`([^`\n]+)`", _FENCE.sub("", page.read_text()))


# -- links, settings, commands --


@each_page()
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", _FENCE.sub("", page.read_text())):
        if not target.startswith("https://"):
            file, _, anchor = target.partition("#")
            there = page.parent / file if file else page
            assert there.exists(), target
            headings = re.findall(r"^#+ (.+)$", there.read_text(), re.MULTILINE)
            assert not anchor or anchor in [re.sub(r"[^\w -]", "", it.lower()).replace(" ", "-") for it in headings]


def settings_named(page: Path) -> Iterator[str]:
    groups = {setting.partition(".")[0] for setting in SETTINGS}
    for span in spans(page):
        for word in re.findall(r"(?<![\w./-])[a-z_]+(?:\.[a-z_A-Z*]+)+(?![\w/])", span):
            if word.partition(".")[0] in groups and not word.endswith((".json", ".yaml", ".db", ".pem", ".md", ".py")):
                yield re.sub(r"providers\.\w+", "providers.*", word).replace("providers.**", "providers.*")


@each_page()
def test_every_setting_that_is_named_exists(page: Path) -> None:
    for setting in settings_named(page):
        parent = setting.rpartition(".")[0]
        assert setting in SETTINGS or parent == "redaction.entities", setting


@each_page()
def test_every_block_of_yaml_is_a_valid_configuration(page: Path, tmp_path: Path) -> None:
    for number, content in enumerate(fenced(page, "yaml")):
        file = tmp_path / f"{number}.yaml"
        file.write_text(content)
        load(file, {"HOME": str(tmp_path)} | dict.fromkeys(re.findall(r"\benv:([A-Z_]+)", content), "sk-team"))


COMMANDS: Any = typer.main.get_command(main.app)


def found(words: list[str]) -> tuple[Any, list[str]]:
    """The command that these words call, and what is left of them. Fails if there is none."""
    command, rest = COMMANDS, list(words)
    while (inner := getattr(command, "commands", None)) and rest and not rest[0].startswith("-"):
        assert rest[0] in inner, f"tokenman {' '.join(words)}"
        command, rest = inner[rest[0]], rest[1:]
    return command, rest


def calls(page: Path) -> Iterator[list[str]]:
    """The words behind `tokenman` of each mention. A span that begins with a colon is a comment in a stream."""
    lines = [" ".join([line, *re.findall(r"--[a-z-]+", remark)]) for line, remark in indented(page)]
    for text in [*lines, *(span for span in spans(page) if not span.startswith(":"))]:
        for call in re.findall(r"(?:^|[\s(\"])tokenman ([a-z][^|;)`\"]*)", text):
            call = re.sub(r"^(\w+(?: \w+)?)\|.*", r"\1", call).replace("…", "")
            yield shlex.split(call.split(">")[0])


@each_page()
def test_every_command_that_is_named_exists_with_its_options(page: Path) -> None:
    for words in calls(page):
        command, rest = found(words)
        options = {option for parameter in command.params for option in parameter.opts}
        given = rest[: rest.index("--")] if "--" in rest else rest
        for option in given:
            assert not option.startswith("--") or option in options, (words, option)


def test_the_readme_names_every_command() -> None:
    named = {words[0] for words in calls(ROOT / "README.md")}
    assert named == set(COMMANDS.commands)


@pytest.mark.parametrize("words", sorted({tuple(words[:2]) for page in PAGES for words in calls(page)}), ids=" ".join)
def test_each_has_a_help(words: tuple[str, ...]) -> None:
    _, rest = found(list(words))
    asked = CliRunner().invoke(main.app, [*words[: len(words) - len(rest)], "--help"])
    assert asked.exit_code == 0
    assert "Usage:" in asked.output


# -- lines of shell --

RUN = {
    "tokenman report": "Nothing has been recorded yet",
    "tokenman report --by project --since 30d": "Nothing has been recorded yet",
    "tokenman report --csv > spend.csv": "Nothing has been recorded yet",
    "tokenman config init -": "redaction:",
    "tokenman config check": "fine",
    "tokenman config show": "redaction.mode: redact",
    "tokenman config test": "",
    "tokenman config schema": '"properties"',
    "tokenman allow --list": "Nothing was taken out of redaction",
    'eval "$(tokenman env)"': "",
    "tokenman prices show claude-sonnet-4-5": "for a million tokens of input",
    "tokenman clients list": "There are no clients yet",
    "tokenman clients add web --models 'claude-*' --budget 5/day": "tkm_",
    "tokenman clients add web --project site --models 'claude-*' --budget 5/day": "tkm_",
}
"""What can be run as it stands in an empty home folder, and what it prints, wherever."""

NOT_RUN = {
    "pip install uv && uv run tokenman demo": "the demo's text below; that it installs is CI's first step",
    "pip install uv && uv run just test": "this is it",
    "uv tool install .": "it would download all libraries once more",
    "tokenman run -- claude": "tests/e2e/programs/test_programs.py",
    "tokenman run -- codex": "tests/e2e/programs/test_programs.py",
    "tokenman run -- python bot.py": "tests/e2e/test_run.py",
    "tokenman up": "the running proxy below",
    "tokenman why last": "below, behind a call",
    "tokenman prices import data.json": "tests/addons/cli/test_prices.py",
    "tokenman scan src notes.txt": "tests/addons/cli/test_scan.py",
    "tokenman scan --sarif . > scan.sarif": "tests/addons/cli/test_scan.py",
    "git diff --cached | tokenman scan -": "tests/addons/cli/test_scan.py",
    "uv tool install 'tokenman[ner]'": "it would download all libraries once more",
    "tokenman report --against cost.csv": "tests/addons/cli/test_against.py",
    "tokenman report --against cost.csv --columns date=when,model=what,amount=usd": "tests/addons/cli/test_against.py",
    "tokenman allow": "tests/addons/cli/test_allow.py",
    "tokenman allow --entity EMAIL_ADDRESS < value.txt": "tests/addons/cli/test_allow.py",
    "tokenman allow --remove": "tests/addons/cli/test_allow.py",
    "tokenman clients revoke web": "tests/e2e/test_clients.py",
    "ANTHROPIC_BASE_URL=http://127.0.0.1:7677 ANTHROPIC_API_KEY=tkm_… python bot.py": "tests/e2e/test_clients.py",
    "OPENAI_BASE_URL=http://127.0.0.1:7677/v1 OPENAI_API_KEY=tkm_… python bot.py": "tests/e2e/test_clients.py",
    "mitmdump -s addons/tokenman.py --set tokenman_config=tokenman.yaml": "tests/e2e/test_tools_of_mitmproxy.py",
    'mitmdump -s "$(tokenman addon-path)"': "tests/e2e/test_tools_of_mitmproxy.py",
}
"""What is not run here, and where it is."""


def environment(home: Path) -> dict[str, str]:
    binaries = str(Path(sys.executable).parent)
    return {"HOME": str(home), "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}


def all_shell_lines() -> set[str]:
    return {line for page in PAGES if page.name != "programs.md" for line in shell_lines(page)}


@pytest.mark.parametrize("line", sorted(RUN))
def test_lines_of_shell_do_what_is_said(line: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", line], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert RUN[line] in done.stdout + done.stderr


def test_no_line_of_shell_is_left_unrun() -> None:
    lines = {line for line in all_shell_lines() if not line.startswith(("export ", "curl "))}
    assert lines == set(RUN) | set(NOT_RUN)
    for reason in NOT_RUN.values():
        assert not reason.startswith("tests/") or (ROOT / reason).exists(), reason


def test_exported_lines_are_what_env_prints(tmp_path: Path) -> None:
    done = subprocess.run(
        ["tokenman", "env"], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=60
    )
    printed = done.stdout.replace("'", "").replace(";", "").splitlines()
    assert (exported := [line for line in all_shell_lines() if line.startswith("export ")])
    assert not [line for line in exported if line not in printed]


def test_the_two_commands_are_there() -> None:
    lines = README.splitlines()
    assert "    pip install uv && uv run tokenman demo" in lines
    assert "    pip install uv && uv run just test" in lines


# -- what is printed --


def stable(line: str) -> str:
    """Without what differs from run to run."""
    line = re.sub(r"_[0-9a-f]{12}\]", "_#]", line)
    line = re.sub(r"req_[0-9a-f]{24}", "req_#", line)
    line = re.sub(r"\d\d:\d\d:\d\d", "#", line)
    line = re.sub(r"\d+m\d+s|\d+(\.\d+)? ?m?s\b|\d+ pieces", "#", line)
    line = re.sub(r"<?\$[\d.]+", "$#", line)
    return re.sub(r" +", " ", line).strip()


def test_the_demo_prints_what_the_readme_shows(tmp_path: Path) -> None:
    shown = next(block for block in fenced(ROOT / "README.md", "text") if "your program sent" in block)
    done = subprocess.run(
        ["tokenman", "demo", "--once"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = iter([stable(line) for line in done.stdout.splitlines()])
    for line in shown.splitlines():
        if line != "…":
            assert stable(line) in printed, (
                f"not printed, or not in this order: {line}"
            )  # takes from `printed` up to it


# -- the admin port --


def test_the_paths_of_the_api_are_those_that_there_are() -> None:
    said_of = set(re.findall(r"^\| `([A-Z]+ /\S*)` \|", ADMIN, re.MULTILINE))
    there = {f"{method.upper()} {path}" for path, methods in openapi.PATHS.items() for method in methods}
    assert said_of == {each for each in there if each not in ("GET /", "GET /static/{name}")}


def test_the_fields_of_a_row_are_those_that_there_are() -> None:
    paragraph = next(part for part in ADMIN.split("\n\n") if part.startswith("A row has"))
    fields = set(re.findall(r"`(\w+)`", paragraph))
    schema = openapi.document()["components"]["schemas"]["Row"]
    assert fields == set(schema["properties"])


def test_the_groups_of_a_summary_are_those_that_there_are() -> None:
    line = next(line for line in ADMIN.splitlines() if line.startswith("| `GET /api/summary`"))
    assert set(re.findall(r"`(?:\S*by=)?([a-z]+)`", line)) == set(get_args(By))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, str]]:
    """A proxy that one call went through, and the id of the call."""
    fake = FakeProvider().start_in_thread()
    proxy = Proxy.start(tmp_path_factory.mktemp("readme"), fake.url)
    answer = claude(proxy).messages.with_raw_response.create(
        model="claude-haiku-4-5", max_tokens=64, messages=user(said("e-mail"))
    )
    yield proxy, answer.headers["x-tokenman-request-id"]
    proxy.stop()
    fake.stop()


def answer_to(proxy: Proxy, line: str) -> str:
    line = line.replace("127.0.0.1:7678", f"127.0.0.1:{proxy.admin_port}")
    line = line.replace("~/.local/share/tokenman", str(proxy.data))
    return subprocess.run(["sh", "-c", f"{line} --silent --fail"], capture_output=True, text=True, timeout=30).stdout


def test_the_lines_with_curl_are_answered(running: tuple[Proxy, str]) -> None:
    proxy, _ = running
    lines = [line for line in all_shell_lines() if line.startswith("curl ")]
    summary, breaker, clients = (
        next(line for line in lines if path in line) for path in ("/api/summary", "/breaker", "/api/clients")
    )
    cache = [line for line in lines if "/api/cache" in line]
    assert len(lines) == 3 + len(cache) == 5
    assert [answer_to(proxy, line) for line in cache] == ['{"removed":0}'] * 2
    assert '"key":"tkm_' in answer_to(proxy, clients)
    assert '"calls":1' in answer_to(proxy, summary)
    assert '"breaker":"open"' in answer_to(proxy, breaker)
    assert '"breaker":"closed"' in answer_to(proxy, breaker.replace('"open"', '"closed"'))


def test_why_last_tells_of_the_call_with_its_mask_setting_and_cost(running: tuple[Proxy, str], tmp_path: Path) -> None:
    proxy, call = running
    done = subprocess.run(
        ["tokenman", "why", "last", "--config", str(proxy.home.parent / "tokenman.yaml")],
        env=environment(tmp_path), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for told in (call, "EMAIL_ADDRESS", "redaction.mode", "$"):
        assert told in done.stdout


def test_the_metrics_are_those_that_there_are(running: tuple[Proxy, str]) -> None:
    proxy, _ = running
    with urllib.request.urlopen(f"http://127.0.0.1:{proxy.admin_port}/metrics", timeout=30) as answer:
        exposed = set(re.findall(r"^# TYPE (tokenman_\w+)", answer.read().decode(), re.MULTILINE))
    named = set(re.findall(r"`(tokenman_\w+)`", ADMIN.partition("## Metrics")[2]))
    assert named == {name for name in exposed if not name.endswith("_created")}
    for series in Metrics().snapshot():
        row = next(line for line in ADMIN.splitlines() if re.search(rf"`{series.name}(_total)?`", line))
        assert [label for label in row.split("|")[2].strip().split(", ") if label] == list(series.labels), series.name


def test_what_is_kept_on_the_machine_is_what_is_said(running: tuple[Proxy, str]) -> None:
    proxy, _ = running
    names = {path.name for path in proxy.data.iterdir() if not path.name.startswith(("ledger.db", "state.db"))}
    made_when_asked = {"instance.json", "tokenman.lock", "tokenman.pid", "clients"}
    assert names - made_when_asked == {"secret", "ca", "admin-token", "underway", "gate.db"}
    assert not [path for path in proxy.home.rglob("*") if path.is_file()]
    assert (proxy.data.stat().st_mode & 0o777) == 0o700


# -- what is masked, what not --


def test_every_kind_that_is_masked_is_named_and_no_other() -> None:
    table = README.partition("## What is masked")[2].partition("\n\nIt is")[0]
    named = set(re.findall(r"`([A-Z_]+)`", table))
    assert named <= known.ENTITIES
    assert known.ENTITIES - named <= {kind.name for kind in kinds.NATIONAL}


EXAMPLES = {kind.name: kind.example for kind in kinds.KINDS if kind.family == "pii"} | {
    "EMAIL_ADDRESS": said("e-mail"),
    "PHONE_NUMBER": said("phone"),
    "CREDIT_CARD": said("card"),
    "US_SSN": said("ssn"),
    "IBAN_CODE": said("iban"),
    "IP_ADDRESS": said("ip"),
    "API_KEY": said("github"),
    "PASSWORD": said("password"),
    "PRIVATE_KEY": "-----BEGIN PRIVATE KEY-----\n"
    + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 6
    + "-----END PRIVATE KEY-----",
    "JWT": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "CONNECTION_STRING": "postgresql://app:s3cr3t-p4ss@db.internal.corp:5432/orders",
}


def test_each_kind_is_masked(tmp_path: Path) -> None:
    """By the policy cases of which docs/configuration.md tells."""
    assert set(EXAMPLES) == known.ENTITIES - set(kinds.names("names"))
    cases = [
        {
            "name": entity,
            "request": {"dialect": "anthropic", "model": "claude-haiku-4-5", "text": text},
            "expect": {"masked": [entity]},
        }
        for entity, text in EXAMPLES.items()
    ]
    file = tmp_path / "tokenman.yaml"
    file.write_text(json.dumps({"tests": cases}))
    done = subprocess.run(
        ["tokenman", "config", "test", "--config", str(file)],
        env=environment(tmp_path), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [value for value in PLANTED.values() if value in done.stdout]


def test_the_policy_cases_of_the_docs_hold(tmp_path: Path) -> None:
    block = next(block for block in fenced(ROOT / "docs" / "configuration.md", "yaml") if "tests:" in block)
    file = tmp_path / "tokenman.yaml"
    file.write_text(block)
    done = subprocess.run(
        ["tokenman", "config", "test", "--config", str(file)],
        env=environment(tmp_path), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


LATER = {
    "compaction": "compaction: {whitespace: on}",
    "injection detection": "injection: {mode: block}",
    "listening beyond this machine": "listen: 0.0.0.0:7677",
}


def test_what_is_said_to_come_later_ends_the_start_now(tmp_path: Path) -> None:
    text = " ".join(README.split())
    assert f"do everything yet: {', '.join(list(LATER)[:-1])} and {list(LATER)[-1]} come in later versions" in text
    for content in LATER.values():
        file = tmp_path / "tokenman.yaml"
        file.write_text(content)
        asked = CliRunner().invoke(main.app, ["config", "check", "--config", str(file)])
        assert asked.exit_code == 2, content
        assert "not available in this version" in asked.output, content


def test_the_page_on_programs_has_each_program_of_the_table() -> None:
    page = (ROOT / "docs" / "programs.md").read_text()
    assert not [program.name for program in PROGRAMS if program.name not in page]
