import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
from typer.main import get_command
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


HEAVY = (
    "mitmproxy", "pydantic", "ruamel", "cryptography", "presidio_analyzer", "uvicorn", "starlette", "rich", "structlog",
    "genai_prices", "tiktoken", "prometheus_client", "sqlite3", "tokenman_core.config",
)  # fmt: skip


@pytest.mark.parametrize("words", [["--help"], ["--version"]])
def test_help_imports_nothing_heavy(words):
    program = (
        "import sys\nfrom addons.cli.main import run\n"
        "try:\n    run()\nexcept SystemExit:\n    pass\n"
        f"print('heavy:', [name for name in {HEAVY} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout.endswith("heavy: []\n")


def every_command():
    """The words of each command."""
    for name, command in get_command(main.app).commands.items():
        inner = getattr(command, "commands", None)
        yield from ((name, each) for each in inner) if inner else ((name,),)


COMMANDS = (
    "dashboard", "up", "demo", "run", "env", "web",
    "tail", "report", "why", "allow", "ca show", "ca trust", "ca untrust", "config init",
    "config check", "config show", "config schema", "config test", "doctor", "addon-path", "scan", "prices show", "prices import",
    "clients add", "clients list", "clients revoke",
)  # fmt: skip


def test_every_command_is_there():
    assert {" ".join(words) for words in every_command()} == set(COMMANDS)


def test_help_fits_a_screen_and_names_every_command_in_a_group(command):
    found = command("--help")
    lines = found.stdout.splitlines()
    assert found.exit_code == 0
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line.endswith("...")], "nothing is cut off"
    for name in {words[0] for words in every_command()}:
        seldom = name in main.SELDOM and any(line.startswith("Also: ") and name in line for line in lines)
        assert len([line for line in lines if line.startswith(f"  {name} ")]) == (not seldom)
    for option in ("--config", "--listen", "--version", "--install-completion", "--show-completion"):
        assert option in found.stdout
    assert "tokenman run -- claude" in found.stdout


@pytest.mark.parametrize("words", list(every_command()), ids=" ".join)
def test_every_commands_help_has_an_example_that_can_be_typed(command, words):
    found = command(*words, "--help")
    assert found.exit_code == 0
    examples = found.stdout.partition("Example")[2].splitlines()[1:]
    assert examples
    assert all(" ".join(words) in example for example in examples)
    assert max(map(len, found.stdout.splitlines())) <= 80


@pytest.mark.parametrize(("typed", "meant"), [("repot", "report"), ("confg", "config"), ("tial", "tail")])
def test_a_mistyped_command_is_asked_about(command, typed, meant):
    found = command(typed)
    assert found.exit_code == 2
    assert f"Did you mean '{meant}'" in found.stderr


@pytest.mark.parametrize("words", [*((name,) for name in main.LATER), ("ca", "rotate")], ids=" ".join)
def test_a_command_that_is_planned_is_said_to_come_later(command, words):
    found = command(*words)
    assert found.exit_code == 2
    assert f"{words[-1]} comes in a later version" in found.stderr
    assert "No such command" not in found.stderr
    assert " ".join(words) not in {" ".join(each) for each in every_command()}


@pytest.mark.parametrize("words", [["-h"], ["help"], ["report", "-h"], ["help", "report"], ["help", "config", "check"]])
def test_help_is_there_by_all_its_names(command, words):
    long = [word for word in words if word not in ("-h", "help")]
    assert command(*words).stdout == command(*long, "--help").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "Missing argument 'CMD'. say which program, for example: tokenman run -- claude"),
        (
            ["report", "--by", "projct"],
            "projct is none of model, project, client, provider, day, session; did you mean project?",
        ),
        (["run", "--via", "prox", "x"], "prox is none of base-url, proxy; did you mean proxy?"),
        (["env", "--shell", "tcsh"], "sh serves bash and zsh; for others: --shell json"),
    ],
)
def test_a_value_that_an_option_cannot_have_is_told_with_those_that_it_can(command, words, said):
    found = command(*words)
    assert found.exit_code == 2
    assert said in " ".join(found.stderr.split())


def test_a_mistyped_command_of_a_group_is_asked_about(command):
    found = command("config", "chekc")
    assert found.exit_code == 2
    assert "Did you mean 'check'" in found.stderr


@pytest.fixture
def done(monkeypatch):
    """What each command's module was asked to do; all end with 7."""
    asked = []

    def module(name):
        if not name.startswith("addons."):
            return importlib.import_module(name)

        class Module:
            def __getattr__(self, function):
                return lambda *given: asked.append((name.rpartition(".")[2], function, *given)) or 7

        return Module()

    monkeypatch.setattr(main, "importlib", types.SimpleNamespace(import_module=module))
    return asked


NO_TERMS = {"project": "", "models": (), "providers": (), "budget": "", "rate": "", "expires": None}
TERMS = NO_TERMS | {"project": "p", "budget": "day", "rate": "60/min", "expires": "30d"}


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ("demo", ("tour", "run", False)),
        ("run -- claude --help", ("run_program", "run", None, None, ["claude", "--help"])),
        ("run claude -p hi --config x", ("run_program", "run", None, None, ["claude", "-p", "hi", "--config", "x"])),
        ("run --via proxy -- a -- b", ("run_program", "run", None, "proxy", ["a", "--", "b"])),
        ("run --config f a --via x", ("run_program", "run", Path("f"), None, ["a", "--via", "x"])),
        ("env", ("env", "run", None, None, None)),
        ("env --shell json --via base-url", ("env", "run", None, "base-url", "json")),
        ("web --listen 127.0.0.1:1", ("web", "run", None, "127.0.0.1:1")),
        ("dashboard", ("dashboard", "run", None, False)),
        ("dashboard --open --config f", ("dashboard", "run", Path("f"), True)),
        ("tail", ("tail", "run", None, [])),
        ("tail --filter model=a error --filter status=200", ("tail", "run", None, ["model=a", "status=200", "error"])),
        ("report", ("report", "run", None, "model", "7d", "table")),
        ("scan a - --sarif --exclude *.md", ("scan", "run", None, ["a", "-"], "sarif", ["*.md"], False)),
        ("report --by day --since 24h --csv", ("report", "run", None, "day", "24h", "csv")),
        ("report --json", ("report", "run", None, "model", "7d", "json")),
        ("why req_1 --config f", ("why", "run", Path("f"), "req_1")),
        ("allow", ("allow", "run", None, None, False, "", False)),
        ("allow - --remove", ("allow", "run", None, "-", True, "", False)),
        ("doctor", ("doctor", "run", None, None)),
        ("doctor --patience 60", ("doctor", "run", None, 60.0)),
        ("ca show", ("ca_command", "show", None)),
        ("prices show gpt-5 --provider openai", ("prices", "show", None, "gpt-5", "openai")),
        ("prices import f --config c", ("prices", "take", Path("c"), Path("f"))),
        (
            "clients add web --models a b --providers c --rate 60/min --budget day --project p --expires 30d",
            ("clients", "add", None, "web", TERMS | {"models": ["a", "b"], "providers": ["c"]}),
        ),
        ("clients add --models a web --models b", ("clients", "add", None, "web", NO_TERMS | {"models": ["a", "b"]})),
        ("clients list --json", ("clients", "show", None, True)),
        ("clients revoke a b --config f", ("clients", "revoke", Path("f"), ["a", "b"])),
        ("ca trust --yes", ("ca_command", "trust", None, True)),
        ("ca untrust", ("ca_command", "untrust", None, False)),
        ("config init", ("settings", "init", None, False)),
        ("config init - --force", ("settings", "init", "-", True)),
        ("config check", ("settings", "check", None)),
        ("config show --config f", ("settings", "show", Path("f"))),
        ("config schema", ("settings", "schema")),
        ("config test", ("settings", "test", None)),
    ],
)
def test_each_command_asks_its_module_and_ends_with_its_code(command, done, words, asked):
    assert command(*words.split()).exit_code == 7
    assert done == [asked]


@pytest.mark.parametrize(
    "words", ["report --json --csv", "report --by x", "run", "run --vai x", "env --shell tcsh", "why", "ca", "config"]
)
def test_what_makes_no_sense_asks_nobody_and_ends_with_2(command, done, words):
    assert command(*words.split()).exit_code == 2
    assert done == []


SHAPES = {
    "run_program": ("run", 3), "env": ("run", 3), "report": ("run", 4), "why": ("run", 2), "allow": ("run", 3),
    "doctor": ("run", 2), "ca_command": ("trust", 2), "settings": ("init", 2), "tail": ("run", 2), "web": ("run", 2),
    "dashboard": ("run", 2),
}  # fmt: skip


@pytest.mark.parametrize("module", SHAPES)
def test_the_modules_take_what_they_are_asked(module):
    name, count = SHAPES[module]
    inspect.signature(getattr(importlib.import_module(f"addons.cli.{module}"), name)).bind(*range(count))


@pytest.mark.parametrize(
    ("shell", "line", "offered"),
    [
        ("bash", "tokenman rep", {"report"}),
        ("bash", "tokenman da", {"dashboard"}),
        ("bash", "tokenman config s", {"show", "schema"}),
        ("bash", "tokenman report --by p", {"project", "provider"}),
        ("bash", "tokenman env --shell f", {"fish"}),
        ("bash", "tokenman run --v", {"--via"}),
        ("zsh", "tokenman rep", {"report"}),
        ("zsh", "tokenman report --by p", {"project", "provider"}),
        ("fish", "tokenman rep", {"report"}),
        ("fish", "tokenman env --shell f", {"fish"}),
    ],
)
def test_shells_complete_commands_options_and_their_values(shell, line, offered):
    environ = os.environ | {"_TOKENMAN_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line, "COMP_WORDS": line}
    environ |= {"COMP_CWORD": str(len(line.split()) - 1), "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    found = subprocess.run(
        [sys.executable, "-m", "addons.cli.main"], capture_output=True, text=True, timeout=60, check=False, env=environ
    )
    words = set(re.findall(r"(?:^|\s|\()\"?(--[\w-]+|[\w-]+)\"?(?=$|\s|:|\))", found.stdout, re.MULTILINE))
    assert offered <= words, found.stdout
    assert not {"up", "doctor", "--yes"} & words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_shows_a_script_for_the_shell_that_asks(shell, tmp_path):
    if shutil.which(shell) is None:
        shell = "bash"
    script = f"{sys.executable} -m addons.cli.main --show-completion; true"
    found = subprocess.run([shell, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert f"complete_{shell}" in found.stdout
    assert "tokenman" in found.stdout


def test_nobody_who_reads_on_is_a_quiet_end():
    program = f"{sys.executable} -c 'from addons.cli.main import run; run()' --help | true; exit ${{PIPESTATUS[0]}}"
    found = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode in (0, 1)  # the pipe may still take it all
    assert found.stderr == ""


def test_a_reader_that_left_before_is_a_quiet_end():
    ours, theirs = os.pipe()
    os.close(ours)
    with os.fdopen(theirs, "w") as closed:
        found = subprocess.run(
            [sys.executable, "-m", "addons.cli.main", "--help"],
            stdout=closed,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert (found.returncode, found.stderr) == (1, b"")


def test_ctrl_c_is_a_quiet_end(monkeypatch, command, done):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(main.importlib, "import_module", interrupted)
    found = command("doctor")
    assert found.exit_code == 130
    assert "Traceback" not in found.output


def test_a_mistake_of_ours_is_told_by_type_and_place_and_not_by_what_it_holds(monkeypatch, capsys):
    def broken(*_):
        raise KeyError("jane.doe@corp-mail.com")

    monkeypatch.setattr(main.importlib, "import_module", broken)
    monkeypatch.setattr(sys, "argv", ["tokenman", "doctor"])
    with pytest.raises(SystemExit) as ended:
        main.run()
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert "tokenman: this failed inside, please report it: KeyError at test_main.py:" in told
    assert "jane" not in told
    assert "Traceback" not in told
