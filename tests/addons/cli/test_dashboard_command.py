import stat
import types

import pytest

from addons.cli import dashboard
from addons.cli.instance_client import InstanceError
from tokenman_core.config.values import Address


class Client:
    running = types.SimpleNamespace(admin=Address("127.0.0.1", 7))

    def post(self, path, value):
        assert (path, value) == ("/api/codes", {})
        return {"code": "a-code"}


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setattr(dashboard, "connect", lambda settings: Client())
    (tmp_path / "t.yaml").write_text(f"data_dir: {tmp_path / 'data'}\n")
    return tmp_path


def test_it_prints_a_link_and_opens_nothing(home, monkeypatch, capsys):
    monkeypatch.setattr(dashboard.webbrowser, "open", lambda url: pytest.fail("opened"))
    assert dashboard.run(home / "t.yaml", False) == 0
    assert capsys.readouterr().out == "http://127.0.0.1:7/#code=a-code\n"


def test_a_browser_is_led_there_by_a_file_of_ones_own_and_no_other_user_sees_the_code(home, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(dashboard.webbrowser, "open", lambda url: not asked.append(url))
    assert dashboard.run(home / "t.yaml", True) == 0
    page = home / "data" / "dashboard.html"
    assert asked == [page.as_uri()]
    assert "url=http://127.0.0.1:7/#code=a-code" in page.read_text()
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


def test_without_a_browser_the_link_is_there_all_the_same(home, monkeypatch, capsys):
    monkeypatch.setattr(dashboard.webbrowser, "open", lambda url: False)
    assert dashboard.run(home / "t.yaml", True) == 1
    told = capsys.readouterr()
    assert told.out == "http://127.0.0.1:7/#code=a-code\n"
    assert "no browser could be opened" in told.err


def test_where_nothing_runs_it_says_what_to_start(home, monkeypatch, capsys):
    monkeypatch.setattr(dashboard, "connect", lambda settings: None)
    assert dashboard.run(home / "t.yaml", False) == 1
    assert capsys.readouterr().err == "tokenman: nothing runs that has a dashboard; start it with: tokenman up\n"


def test_what_the_running_one_refuses_is_told(home, monkeypatch, capsys):
    def refused(settings):
        raise InstanceError("no token")

    monkeypatch.setattr(dashboard, "connect", refused)
    assert dashboard.run(home / "t.yaml", False) == 1
    assert capsys.readouterr() == ("", "tokenman: no token\n")
