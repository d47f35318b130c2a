import io
import os
import socket
import subprocess
import sys
import time
import types
from decimal import Decimal

import pytest

import addons.proxy
from addons.cli import greeting, up
from tokenman_core import __version__
from tokenman_core.ca import ensure
from tokenman_core.config.load import load
from tokenman_core.errors import ConfigError
from tokenman_core.telemetry.tally import Tallies, Tally


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("TOKENMAN_")] + ["XDG_CONFIG_HOME"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(up.log, "setup", lambda *_: None)
    return tmp_path


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def config(home):
    path = home / "t.yaml"
    path.write_text(f"listen: 127.0.0.1:{free()}\nadmin: {{listen: '127.0.0.1:{free()}'}}\n")
    return path


class Detection:
    """In the place of the one that starts processes."""

    runs = False

    def __init__(self, *, kept):
        assert kept is not None

    async def start(self):
        self.runs = True

    async def close(self):
        self.runs = False


@pytest.fixture
def engine(monkeypatch):
    """In the place of the proxy's engine: gets ready and ends with 0, or does what `engine.does` says."""
    fake = types.ModuleType("addons.proxy.master")
    fake.does = lambda loaded: 0

    async def serve(loaded, on_ready, started, detection):
        assert (started, detection.runs) == ("up", True)
        on_ready(types.SimpleNamespace(tallies=Tallies(), codes=types.SimpleNamespace(new=lambda: "a-code")))
        return fake.does(loaded)

    fake.serve = serve
    monkeypatch.setitem(sys.modules, "addons.proxy.master", fake)
    monkeypatch.setattr(addons.proxy, "master", fake, raising=False)
    monkeypatch.setattr(up, "Detection", Detection)
    return fake


def test_it_greets_once_it_is_ready_and_ends_with_the_engines_code(engine, config, capsys):
    engine.does = lambda loaded: 5
    assert up.run(config, None) == 5
    assert f"configuration  {config}" in capsys.readouterr().out


class Screen(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("terminal", [True, False])
def test_the_code_of_the_dashboard_is_told_to_a_terminal_alone(engine, config, monkeypatch, terminal):
    out = Screen() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    assert up.run(config, None) == 0
    assert ("#code=a-code" in out.getvalue()) is terminal
    assert ("admin-token; for a link: tokenman dashboard)" in out.getvalue()) is not terminal


def test_listen_on_the_command_line_wins(engine, config, capsys):
    port = free()
    assert up.run(config, f"127.0.0.1:{port}") == 0
    assert f"ANTHROPIC_BASE_URL=http://127.0.0.1:{port}\n" in capsys.readouterr().out


def _raises(error):
    def does(loaded):
        raise error

    return does


@pytest.mark.parametrize(("error", "code"), [(ConfigError("a: b"), 2), (OSError(98, "a: b"), 3)], ids=["2", "3"])
def test_what_the_engine_cannot_do_has_its_code_and_no_traceback(engine, config, capsys, error, code):
    engine.does = _raises(error)
    assert up.run(config, None) == code
    assert "tokenman: " in (told := capsys.readouterr().err)
    assert "a: b" in told
    assert "Traceback" not in told


def test_ports_that_are_taken_are_both_named_at_once_and_nothing_is_left_behind(home, config):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        first, second = one.getsockname()[1], two.getsockname()[1]
        config.write_text(f"listen: 127.0.0.1:{first}\nadmin: {{listen: '127.0.0.1:{second}'}}")
        before = sorted(home.rglob("*"))
        started = time.monotonic()
        found = subprocess.run(
            [sys.executable, "-c", "from addons.cli.main import run; run()", "--config", str(config)],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert time.monotonic() - started < 10  # half a second; the machine may be busy with other tests
    assert found.returncode == 3
    assert (
        f"tokenman: listen: cannot listen on 127.0.0.1:{first}: Address already in use; is another tokenman running?"
        in found.stderr
    )
    assert f"tokenman: admin.listen: cannot listen on 127.0.0.1:{second}: Address already in use" in found.stderr
    assert "Traceback" not in found.stderr
    assert found.stdout == ""
    assert sorted(home.rglob("*")) == before


def test_an_address_that_is_not_this_machines_is_told(home, config):
    config.write_text("listen: '[::1]:7677'")
    settings = load(config, os.environ).settings
    foreign = settings.model_copy(update={"listen": type(settings.listen)("192.0.2.1", 7677)})
    assert "listen: cannot listen on 192.0.2.1:7677: " in up.busy(foreign)[0]


def test_a_bad_configuration_leaves_nothing_behind(home, config, capsys):
    config.write_text("compaction: {whitespace: on}")
    before = sorted(home.rglob("*"))
    assert up.run(config, None) == 2
    assert "compaction.whitespace: is not available in this version" in capsys.readouterr().err
    assert sorted(home.rglob("*")) == before


def test_an_authority_that_does_not_cover_a_host_ends_the_start_with_2(engine, home, config, capsys):
    assert up.run(config, None) == 0
    with config.open("a") as file:
        file.write("providers: {mine: {base_url: 'https://new.example', dialect: openai}}\n")
    assert up.run(config, None) == 2
    assert "may not vouch for new.example" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tally", "said"),
    [
        (Tally(1, masked=1, cost=Decimal("0.5")), "1 call, 1 value masked, $0.5000"),
        (
            Tally(14, masked=9, cost=Decimal(2), unpriced=3, ceiling=1),
            "14 calls, 9 values masked, ≤$2.00 and 3 without a price",
        ),
    ],
)
def test_its_end_is_told_with_what_it_came_to(tally, said):
    assert up.sums(tally) == said


def greeted(path, home, code=""):
    loaded = load(path, os.environ)
    authority = ensure(home / "ca", loaded.settings.authority_hosts())
    output = io.StringIO()
    greeting.show(loaded, authority, code, output)
    return output.getvalue(), authority, loaded


def test_the_greeting_says_what_to_do_next_where_all_is_and_what_not_to_expect(home, config):
    text, authority, loaded = greeted(config, home)
    proxy = f"http://{loaded.settings.listen}"
    for line in (
        f"TokenMan {__version__}\n",
        "  tokenman run -- claude  or codex, gemini",
        f"  dashboard      http://{loaded.settings.admin.listen}/  (its token is in the file {home}/.local/share/tokenman/admin-t",
        f"  proxy          {proxy}\n",
        f"  configuration  {config}\n",
        f"  CA             {authority.pem_path}  (for hosts of LLM providers only, until ",
        f"  export ANTHROPIC_BASE_URL={proxy}\n",
        f"  export OPENAI_BASE_URL={proxy}/v1\n",
        '  eval "$(tokenman env)"  all variables at once',
        f"  export GOOGLE_GEMINI_BASE_URL={proxy}\n",
        " settings do not all that is meant yet: tokenman config check\n",
        "Ctrl-C ends it.\n",
    ):
        assert line in text
    assert "not the provider's own" not in text
    assert "injection" not in text
    assert "mitmproxy" not in text
    assert "\x1b" not in text


def test_the_greeting_fits_a_screen_and_opens_the_dashboard_once(home, config):
    text, _, loaded = greeted(config, home, "x" * 32)
    assert f"http://{loaded.settings.admin.listen}/#code={'x' * 32}  (opens once, within ten minutes)" in text
    assert len(text.splitlines()) <= 30


def test_without_a_file_the_greeting_says_how_to_get_one(home):
    text, _, _ = greeted(None, home)
    assert "  configuration  no file, the defaults; write one: tokenman config init\n" in text


def test_the_greeting_names_foreign_base_urls_and_warnings_but_no_secret(home, config):
    with config.open("a") as file:
        file.write("providers: {openai: {base_url: 'http://127.0.0.1:1/v1', key: planted-key-0123}}\n")
    text, _, _ = greeted(config, home)
    assert "Base URLs that are not the provider's own\n  openai  http://127.0.0.1:1/v1\n" in text
    assert "providers.openai.key holds the secret itself" in text
    assert "every call needs a virtual key" in text
    assert "planted" not in text
