import re
from itertools import islice
from types import SimpleNamespace

import pytest

from addons.cli import tail
from addons.cli.instance_client import InstanceError
from tokenman_core.errors import ConfigError

ROW = {
    "id": "req_0123456789abcdef01234567", "time": "2026-11-24T12:31:05.123Z", "provider": "anthropic",
    "model": "claude-sonnet-4-5", "project": "bots", "client": "", "session": "s", "dialect": "anthropic", "status": 200,
    "error": None, "input_tokens": 1234, "output_tokens": 340, "cost_usd": "0.0123", "redactions": 2, "duration_ms": 1400.4,
}  # fmt: skip
REFUSED = ROW | {"status": 429, "error": "budget", "cost_usd": None, "redactions": 0}
LEFT = ROW | {"status": None, "error": None}


def test_a_line_tells_what_one_wants_to_know_of_a_call():
    shown = tail.line(ROW)
    assert re.fullmatch(
        r"\d\d:\d\d:05  200  anthropic/claude-sonnet-4-5  1.2k>340 tokens  \$0.0123  2 masked  1.4s  "
        r"req_0123456789abcdef01234567",
        shown,
    )
    assert "  1.4s  3 attempts  req_" in tail.line(ROW | {"attempts": 3})
    assert "attempt" not in tail.line(ROW | {"attempts": 1})
    assert "429  anthropic" in tail.line(REFUSED)
    assert "$?" in tail.line(REFUSED)
    assert "  budget  req_" in tail.line(REFUSED)
    assert "  -    anthropic" in tail.line(LEFT)
    assert "  left  req_" in tail.line(LEFT)
    assert "  from the cache  " in tail.line(ROW | {"cache": "hit"})
    assert "  shared a call  " in tail.line(ROW | {"cache": "coalesced"})
    assert "cache" not in tail.line(ROW | {"cache": "miss"}) + tail.line(ROW | {"cache": None})


def test_a_line_of_a_call_of_which_little_is_known_is_a_line():
    assert tail.line({}) == "--:--:--  -    -/-  0>0 tokens  $?  0 masked  0ms  left"


def test_colours_tell_good_from_bad():
    assert "\x1b[32m200\x1b[0m" in tail.line(ROW, colours=True)
    assert "\x1b[31m429\x1b[0m" in tail.line(REFUSED, colours=True)
    assert "\x1b[35m2 masked\x1b[0m" in tail.line(ROW, colours=True)
    assert "\x1b" not in tail.line(ROW)


def test_a_models_name_does_not_speak_to_the_terminal():
    shown = tail.line(ROW | {"model": "a\x1b[2J\nforged", "provider": "b\r", "error": "c\x07"})
    assert "\x1b" not in shown
    assert "\n" not in shown
    assert r"a\x1b[2J\nforged" in shown


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ([], True),
        (["model=claude-*"], True),
        (["model=CLAUDE-SONNET-4-5"], True),
        (["model=gpt-*"], False),
        (["model=gpt-*", "model=claude-*"], True),
        (["model=claude-* provider=openai"], False),
        (["model=claude-*,provider=anthropic", "project=bots"], True),
        (["status=200"], True),
        (["status=2xx"], True),
        (["status=4xx"], False),
        (["error"], False),
        (["status=2*"], True),
        (["status=xxx"], True),
        (["client=?*"], False),
    ],
)
def test_filters_hold_together(words, shown):
    assert tail.Filter.of(words)(ROW) is shown


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        (ROW | {"status": 429}, True),
        (ROW | {"status": 502, "error": "upstream"}, True),
        (ROW, False),
        (LEFT, False),
    ],
)
def test_what_the_provider_refused_is_an_error_to_whoever_looks_for_errors(row, shown):
    assert tail.Filter.of(["error"])(row) is shown


@pytest.mark.parametrize("word", ["status=abc", "status=9", "status=0xx", "status=4xxx", "status=x"])
def test_a_status_that_none_can_have_is_said_and_not_waited_for(word):
    with pytest.raises(ConfigError, match="good values: status=429, status=4xx"):
        tail.Filter.of([word])


def test_a_guessed_price_is_marked():
    assert "  ≤$0.0123  " in tail.line(ROW | {"cost_basis": "ceiling"})


@pytest.mark.parametrize(
    ("words", "shown"), [(["error"], True), (["error=budget"], True), (["error=parse"], False), (["status=4xx"], True)]
)
def test_filters_find_what_went_wrong(words, shown):
    assert tail.Filter.of(words)(REFUSED) is shown


@pytest.mark.parametrize(
    ("word", "remedy"),
    [("modle=x", "did you mean model=…?"), ("what", "good ones: model="), ("model=", "did you mean model")],
)
def test_a_wrong_filter_is_named_with_the_remedy(word, remedy):
    with pytest.raises(ConfigError, match=re.escape(f"--filter {word}: there is no such filter")) as found:
        tail.Filter.of([word])
    assert remedy in str(found.value)


class Instance:
    """An instance that tells its rows, and then ends as it was told to."""

    def __init__(self, name, rows, end=None):
        self.running, self._rows, self._end = name, rows, end
        self.asked = []

    def lines(self, path):
        self.asked.append(path)
        return self.rows()

    def rows(self):
        yield from self._rows
        self._rows = []
        if self._end:
            raise self._end


@pytest.fixture
def instances(monkeypatch):
    """What `connect` finds, one after the other."""
    found = []

    def connect(settings):
        one = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(one, Exception):
            raise one
        return one

    monkeypatch.setattr(tail, "connect", connect)
    return found


def followed(first, count):
    pauses = iter(range(20))
    return [row["id"] for row in islice(tail.follow(first, SimpleNamespace(), lambda _: next(pauses)), count)]


def test_it_goes_on_with_the_instance_that_comes_next(instances, capsys):
    first = Instance("one", [{"id": "a"}])
    second = Instance("two", [{"id": "b"}, {"id": "c"}], InstanceError("broke off"))
    third = Instance("three", [{"id": "d"}])
    instances += [None, InstanceError("starting"), second, None, None, third]
    assert followed(first, 4) == ["a", "b", "c", "d"]
    assert (second.asked, third.asked) == (["/api/events"], ["/api/events"])
    assert capsys.readouterr().err.count("waiting for the next start") == 2


def test_a_connection_that_only_broke_off_is_taken_up_where_it_was(instances):
    first, again = Instance("one", [{"id": "a"}]), Instance("one", [{"id": "b"}])
    instances += [again]
    assert followed(first, 2) == ["a", "b"]
    assert again.asked == ["/api/events?after=a"]


def test_an_instance_that_refuses_to_tell_is_not_asked_for_ever(instances):
    first = Instance("one", [], InstanceError("too many listen already"))
    instances += [first]
    with pytest.raises(InstanceError, match="too many"):
        followed(first, 1)


@pytest.fixture
def configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "t.yaml"
    path.write_text(f"data_dir: {tmp_path}/data\n")
    return path


def test_where_nothing_runs_it_says_how_to_start_it(configuration, capsys):
    assert tail.run(configuration, []) == 1
    assert "nothing runs that could be followed; start it with: tokenman up" in capsys.readouterr().err


def test_a_wrong_filter_or_configuration_ends_with_2(configuration, capsys):
    assert tail.run(configuration, ["nonsense"]) == 2
    assert "tokenman: --filter nonsense" in capsys.readouterr().err
    configuration.write_text("redaktion: {}")
    assert tail.run(configuration, []) == 2


def test_what_is_filtered_out_or_lost_is_told_as_that_and_ctrl_c_is_a_good_end(configuration, instances, capsys):
    class Interrupted(Instance):
        def rows(self):
            yield from super().rows()
            raise KeyboardInterrupt

    instances += [Interrupted("one", [ROW, REFUSED, {"lost": 3}, {"lost": None}])]
    assert tail.run(configuration, ["error"]) == 0
    told = capsys.readouterr()
    (shown,) = told.out.splitlines()
    assert "budget" in shown
    assert "3 calls went by untold" in told.err
    assert "some calls went by untold" in told.err
