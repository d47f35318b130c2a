import os
import socket
from pathlib import Path

import pytest

from addons.cli import web
from tokenman_core.config.load import load
from tokenman_core.instance import Instance


@pytest.fixture
def configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("TOKENMAN_")] + ["XDG_CONFIG_HOME"]:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "t.yaml"
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        path.write_text(
            f"listen: 127.0.0.1:{one.getsockname()[1]}\nadmin: {{listen: '127.0.0.1:{two.getsockname()[1]}'}}\n"
        )
    return path


@pytest.fixture
def started(monkeypatch):
    """What mitmweb was started with, and where the add-ons would then listen."""
    from mitmproxy.tools import main

    calls = []
    monkeypatch.setenv("TOKENMAN_LISTEN", "")
    monkeypatch.delenv("TOKENMAN_LISTEN")
    monkeypatch.setattr(main, "mitmweb", lambda words: calls.append((words, os.environ.get("TOKENMAN_LISTEN"))))
    return calls


def test_mitmweb_gets_the_add_ons_the_configuration_and_a_port_of_its_own(configuration, started):
    assert web.run(configuration, None) == 0
    ((words, listen),) = started
    script = Path(words[words.index("-s") + 1])
    assert script.is_file()
    assert script.name == "tokenman.py"
    assert f"tokenman_config={configuration}" in words
    assert "web_open_browser=false" in words, "there is no terminal here"
    assert listen is None


def test_beside_a_running_one_it_names_the_process_and_the_remedy(configuration, started, tmp_path, capsys):
    settings = load(configuration, os.environ).settings
    running = Instance.take(settings.data_dir)
    try:
        with socket.create_server((settings.listen.host, settings.listen.port)):
            assert web.run(configuration, None) == 3
    finally:
        running.release()
    assert "another tokenman is starting" in capsys.readouterr().err
    assert not started


def test_where_it_listens_can_be_said(configuration, started):
    assert web.run(configuration, "nowhere") == 2
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = f"127.0.0.1:{listener.getsockname()[1]}"
        assert web.run(configuration, taken) == 3
        assert not started
    assert web.run(configuration, taken) == 0
    assert started[0][1] == taken


@pytest.mark.parametrize("browser", [True, False])
def test_a_browser_is_opened_only_on_a_terminal(configuration, browser):
    words = web.arguments(load(configuration, os.environ), 8081, browser)
    assert f"web_open_browser={str(browser).lower()}" in words


def test_its_port_is_another_where_mitmwebs_own_is_taken(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(web, "FIRST_PORT", listener.getsockname()[1])
        assert web.port() not in (0, web.FIRST_PORT)
    assert web.port() == web.FIRST_PORT
