"""How `tokenman run` comes by the proxy that it runs a program behind."""

from collections.abc import Callable
from pathlib import Path

import pytest

from addons.cli import run_program, run_proxy
from tokenman_core.config.models import Settings


@pytest.mark.parametrize("published", [True, False])
def test_one_that_runs_and_does_not_answer_is_told_from_one_that_is_coming_up_and_a_start_is_told_once(
    published: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    starts = []

    def start(file: Path | None, settings: Settings, slow: Callable[[], None]) -> run_proxy.Started:
        starts.append(file)
        slow()
        return run_proxy.Started("another tokenman is coming up", 3, taken=True)

    monkeypatch.setattr(run_proxy, "READY_S", 0.3)
    monkeypatch.setattr(run_program, "_START_AGAIN_S", 0.05)
    monkeypatch.setattr(run_program, "_AGAIN_S", 0.01)
    monkeypatch.setattr(run_proxy, "start", start)
    monkeypatch.setattr(run_program, "connect", lambda settings: None)
    if published:
        (tmp_path / "instance.json").write_text(
            '{"pid": 7, "proxy": "127.0.0.1:1", "admin": "127.0.0.1:2", "version": "1", "started": "up"}'
        )
    with pytest.raises(run_program.NoProxy) as caught:
        run_program._join(None, Settings(data_dir=tmp_path), "bot")
    said = str(caught.value)
    assert said.startswith("tokenman runs, but does not answer: ") is published
    assert ("process 7: proxy at 127.0.0.1:1, admin at 127.0.0.1:2" in said) is published
    assert (said == "another tokenman is coming up") is not published
    assert 1 < len(starts) < 10
    assert capsys.readouterr().err == "tokenman: starting…\n"
