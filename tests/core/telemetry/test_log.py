import asyncio
import io
import json
import logging
import re
import stat
import timeit
from collections import Counter

import pytest

from tokenman_core.config.models import Log, Settings
from tokenman_core.errors import ConfigError
from tokenman_core.telemetry import about, log


@pytest.fixture
def lines():
    root, factory = logging.getLogger(), logging.getLogRecordFactory()
    level = root.level
    about.begin("")
    stream = io.StringIO()
    yield stream
    for handler in [handler for handler in root.handlers if getattr(handler, "tokenman", False)]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    logging.setLogRecordFactory(factory)
    logging.captureWarnings(False)


def test_libraries_write_through_the_same_sink(lines):
    log.setup(Log(), stream=lines)
    for name in ("mitmproxy.proxy.server", "h2", "uvicorn.error", "tokenman.door"):
        logging.getLogger(name).warning("refused %s for %s", "sk-ant-0123456789ab", name)
    written = lines.getvalue()
    assert "sk-ant-0123456789ab" not in written
    assert written.count("sk-ant-***") == 4


@pytest.mark.parametrize("form", ["console", "json"])
def test_an_error_is_told_by_type_and_place_and_never_by_its_message(lines, form):
    log.setup(Log(format=form), stream=lines)
    try:
        try:
            raise KeyError("jane.doe@corp-mail.com")
        except KeyError as error:
            raise ValueError("the body was jane.doe@corp-mail.com") from error
    except ValueError as error:
        logging.getLogger("x").exception("failed")
        logging.getLogger("x").error(f"Addon error: {error}", exc_info=error)
        logging.getLogger("x").error(f"{error} has no trace", exc_info=error.with_traceback(None))
    written = lines.getvalue()
    assert "jane" not in written
    where = r"test_log\.py:\d+ test_an_error_is_told_by_type_and_place_and_never_by_its_message"
    assert re.search(rf"failed: ValueError at {where}, caused by KeyError at {where}", written)
    assert "Addon error: (not shown): ValueError at test_log.py" in written
    assert "(not shown) has no trace: ValueError" in written
    assert len(written.splitlines()) == 3


def test_an_error_that_cannot_say_what_it_is_costs_no_line(lines):
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    log.setup(Log(), stream=lines)
    logging.getLogger("x").error("failed", exc_info=Mute())
    assert "failed: Mute" in lines.getvalue()


@pytest.mark.parametrize("form", ["console", "json"])
def test_extra_fields_are_masked_judged_by_their_names_too(lines, form):
    log.setup(Log(format=form), stream=lines)
    more = {"key": "sk-ant-0123456789ab", "authorization": "opaque", "took": 1.5, "many": ["sk-ant-0123456789ab", "b"]}
    logging.getLogger("x").warning("a", extra=more | {"x-api-key": "opaque", "time_": "t"})
    written = lines.getvalue()
    assert "0123456789ab" not in written
    assert "opaque" not in written
    assert ("took=1.5" if form == "console" else '"took": 1.5') in written


def test_extra_fields_do_not_take_the_place_of_the_lines_own(lines):
    log.setup(Log(format="json"), stream=lines)
    logging.getLogger("x").warning("a", extra={"level": "none", "time": "never", "logger": "y"})
    found = json.loads(lines.getvalue())
    assert (found["level"], found["logger"], found["message"]) == ("warning", "x", "a")
    assert found["time"] != "never"


def test_handlers_that_others_installed_get_no_credential_either(lines):
    log.setup(Log(), ["hunter22"], stream=io.StringIO())
    foreign = logging.StreamHandler(lines)
    logging.getLogger().addHandler(foreign)
    try:
        raise ValueError("hunter22")
    except ValueError:
        logging.getLogger("x").exception("with %s", "sk-ant-0123456789ab")
    finally:
        logging.getLogger().removeHandler(foreign)
    assert "hunter22" not in lines.getvalue()
    assert "with sk-ant-***: ValueError at " in lines.getvalue()


def test_where_the_log_is_anothers_lines_are_masked_name_the_call_and_forge_nothing(lines):
    log.protect(["hunter22"])
    foreign = logging.StreamHandler(lines)
    logging.getLogger().addHandler(foreign)
    try:
        with about.call("req_1"):
            logging.getLogger("x").warning("one %s\n%s", "hunter22", "\x1b[2J")
        logging.getLogger("x").error("two", exc_info=ImportError("No module named 'jane.doe@corp-mail.com'"))
    finally:
        logging.getLogger().removeHandler(foreign)
    assert lines.getvalue().splitlines() == [r"one ***\n\x1b[2J; request req_1", "two: ImportError"]


@pytest.mark.parametrize("form", ["console", "json"])
async def test_every_line_that_a_calls_task_writes_names_the_call(lines, form):
    log.setup(Log(format=form), stream=lines)
    logger = logging.getLogger("x")

    async def deeper():
        logger.warning("in a task of its own")
        await asyncio.to_thread(logger.warning, "in a thread")

    async def call(name):
        about.begin(name)
        logger.warning("first", extra={"request": "another"})
        await asyncio.create_task(deeper())

    await asyncio.gather(call("req_1"), call("req_2"))
    with about.call("req_3"):
        logger.warning("refused")
    logger.warning("outside")
    *calls, outside = lines.getvalue().splitlines()
    told = Counter(re.search(r"req_\d", line)[0] for line in calls)
    assert told == {"req_1": 3, "req_2": 3, "req_3": 1}
    assert "request" not in outside
    assert "another" not in lines.getvalue()


def test_only_a_terminal_gets_colours(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for name, value, coloured in (("TERM", "xterm", True), ("TERM", "dumb", False), ("NO_COLOR", "1", False)):
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv(name, value)
        stream = Terminal()
        log.setup(Log(), stream=stream)
        logging.getLogger("x").warning("one\x1b[2J")
        assert ("\x1b[33mwarning" in stream.getvalue()) is coloured
        assert r"one\x1b[2J" in stream.getvalue()


def test_a_line_costs_little(lines):
    """About 0.06 ms on the machine of development, most of it the mask's; the bound is for a busy one."""
    log.setup(Log(format="json"), stream=lines)
    about_a_call = (
        "answered messages claude to anthropic: status 200, 1 attempts, masked 1 EMAIL_ADDRESS, 12 ms (a 0.3)"
    )
    best = min(timeit.repeat(lambda: logging.getLogger("x").warning(about_a_call), number=100, repeat=5)) / 100
    assert best < 0.001


def test_json_is_one_object_a_line(lines):
    log.setup(Log(format="json"), stream=lines)
    logging.getLogger("tokenman.x").warning(
        'a "quoted" \n line with key="sk-ant-0123456789ab"', extra={"request": "req_1"}
    )
    (line,) = lines.getvalue().splitlines()
    found = json.loads(line)
    assert found["message"] == 'a "quoted" \n line with key="sk-ant-***"'
    assert (found["level"], found["logger"], found["request"]) == ("warning", "tokenman.x", "req_1")
    assert found["time"].endswith("Z")


def test_a_callers_text_forges_no_line_and_does_not_speak_to_the_terminal(lines):
    log.setup(Log(), stream=lines)
    logging.getLogger("x").warning("model %s", "a\n2026 ERROR forged\r\x1b[2J\x9b")
    (line,) = lines.getvalue().splitlines()
    assert line.endswith(r" warning x: model a\n2026 ERROR forged\r\x1b[2J\x9b")


def test_the_level_holds_whatever_the_roots_level_is(lines):
    log.setup(Log(level="warning"), stream=lines)
    logging.getLogger().setLevel(logging.DEBUG)
    logging.getLogger("x").info("not this")
    logging.getLogger("x").warning("this")
    logging.getLogger("hpack.hpack").debug("never")
    log.setup(Log(level="debug"), stream=lines)
    logging.getLogger("x").debug("and this")
    logging.getLogger("hpack.hpack").debug("never this")
    assert [line.split(": ")[1] for line in lines.getvalue().splitlines()] == ["this", "and this"]


def test_a_configuration_that_was_read_again_brings_another_level_and_hides_old_secrets_and_new_ones(lines):
    log.setup(Log(level="warning"), ["first-planted-value"], stream=lines)
    log.change(Log(level="debug"), ["second-planted-value"])
    logging.getLogger("x").debug("first-planted-value and second-planted-value")
    log.change(Log(level="error"), [])
    logging.getLogger("x").warning("not this")
    logging.getLogger("x").error("second-planted-value")
    written = lines.getvalue()
    assert "planted" not in written
    assert written.count("***") == 3
    assert "not this" not in written


def test_a_wrong_format_string_costs_no_line(lines):
    log.setup(Log(), stream=lines)
    logging.getLogger("x").warning("%d is sk-ant-0123456789ab", "no number")
    assert "%d is sk-ant-***" in lines.getvalue()


def test_the_file_is_private_even_if_it_was_not(lines, tmp_path):
    path = tmp_path / "logs" / "t.log"
    log.setup(Log(file=path), stream=lines)
    logging.getLogger("x").warning("one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    log.setup(Log(file=path), stream=lines)
    logging.getLogger("x").warning("two")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [line.split(": ")[1] for line in path.read_text().splitlines()] == ["one", "two"]


def test_the_file_is_bounded(lines, tmp_path, monkeypatch):
    monkeypatch.setattr(log, "_FILE_BYTES", 1000)
    log.setup(Log(file=tmp_path / "t.log"), stream=lines)
    for number in range(200):
        logging.getLogger("x").warning("line %d", number)
    found = list(tmp_path.iterdir())
    assert len(found) == 4
    assert all(path.stat().st_size <= 1000 and stat.S_IMODE(path.stat().st_mode) == 0o600 for path in found)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"telemetry\.log\.file: .* cannot be written"):
        log.setup(Log(file=tmp_path))


def test_the_secrets_of_a_configuration_are_all_known(monkeypatch):
    settings = Settings(
        secret="one-secret-long",
        admin={"token": "two-token-longer"},
        providers={"openai": {"key": "three-key"}, "anthropic": {"key": "four-key"}},
    )
    assert {"one-secret-long", "two-token-longer", "three-key", "four-key"} <= set(log.secrets_of(settings))
