import io
import json
import logging
import stat

import pytest

from tokenman_core.config.models import Log, Settings
from tokenman_core.errors import ConfigError
from tokenman_core.telemetry import log
from tokenman_core.telemetry.mask import Mask

KEYS = [
    "sk-ant-api03-abcdefghijklmnop",
    "sk-proj-abcdefghijklmnop",
    "sk-0123456789abcdef",
    "sk_live_abcdefgh12345678",
    "tkm_abcdefgh12345678",
    "ghp_abcdefgh12345678",
    "github_pat_abcdefgh12345678",
    "AIzaSyA0123456789abcdefghijklmno",
    "gsk_abcdefgh12345678",
    "xai-abcdefgh12345678",
    "AKIAABCDEFGHIJKLMNOP",
    "hf_abcdefgh12345678",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "xoxb-1234567890-abc",
]

# the line, and what must not survive in it
LINES = [
    *((f"the key is {key}, you know", key) for key in KEYS),
    *((f'{{"key":"{key}"}}', key) for key in KEYS),
    ("Authorization: Bearer abcdef", "abcdef"),
    ("authorization: bearer x.y.z-1", "x.y.z-1"),
    ("(b'authorization', b'Bearer opaque-value')", "opaque-value"),
    ("[(b'x-api-key', b'opaque')]", "opaque"),
    ("{'x-goog-api-key': 'opaque'}", "opaque"),
    ('{\\"x-api-key\\": \\"opaque\\"}', "opaque"),
    ("X-Api-Key: opaque", "opaque"),
    ("x-tokenman-key=opaque", "opaque"),
    ("Proxy-Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ("cookie: session=opaque", "opaque"),
    ("GET /v1beta/models?key=opaque&alt=sse HTTP/1.1", "opaque"),
    ("https://x.example/?alt=sse&access_token=opaque", "opaque"),
    ("redis://user:opaque@host/0", "opaque"),
    ("connect to postgresql://u:opaque@db failed", "opaque"),
]


@pytest.mark.parametrize(("line", "credential"), LINES)
def test_what_looks_like_a_credential_does_not_survive(line, credential):
    masked = Mask()(line)
    assert credential not in masked
    assert "***" in masked
    assert Mask()(masked) == masked


@pytest.mark.parametrize(
    "line",
    [
        "the request req_0123456789abcdef01234567 took 5 ms",
        "POST /v1/messages?beta=true 200",
        "task-force sk-1",
        "https://api.openai.com/v1/x",
        "the bearer of this",
        "a key: value pair",
        "mode=redact",
        "2026-11-24 09:00:00",
        "[EMAIL_ADDRESS_0123456789ab]",
        "listens at 127.0.0.1:7677",
    ],
)
def test_ordinary_lines_stay_as_they_are(line):
    assert Mask()(line) == line


def test_known_secrets_go_whatever_they_look_like():
    masked = Mask(["hunter22", "hunter22-longer", "abc"])("hunter22-longer and hunter22 and abc")
    assert masked == "*** and *** and abc"


@pytest.fixture
def lines():
    root, factory = logging.getLogger(), logging.getLogRecordFactory()
    level = root.level
    stream = io.StringIO()
    yield stream
    for handler in [handler for handler in root.handlers if getattr(handler, "tokenman", False)]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    logging.setLogRecordFactory(factory)


def test_libraries_write_through_the_same_sink(lines):
    log.setup(Log(), stream=lines)
    for name in ("mitmproxy.proxy.server", "h2", "uvicorn.error", "tokenman.door"):
        logging.getLogger(name).warning("refused %s for %s", "sk-ant-0123456789ab", name)
    written = lines.getvalue()
    assert "sk-ant-0123456789ab" not in written
    assert written.count("sk-ant-***") == 4


def test_exceptions_and_extra_fields_are_masked_too(lines):
    for format_ in ("console", "json"):
        log.setup(Log(format=format_), stream=lines)
        try:
            raise ValueError("cannot use sk-ant-0123456789ab")
        except ValueError:
            logging.getLogger("x").exception("failed", extra={"request": "req_1", "key": "sk-ant-0123456789ab"})
    written = lines.getvalue()
    assert "0123456789ab" not in written
    assert written.count("ValueError: cannot use sk-ant-***") == 2
    assert "request=req_1" in written


def test_handlers_that_others_installed_get_no_credential_either(lines):
    log.setup(Log(), ["hunter22"], stream=io.StringIO())
    foreign = logging.StreamHandler(lines)
    logging.getLogger().addHandler(foreign)
    try:
        raise ValueError("hunter22")
    except ValueError:
        logging.getLogger("x").exception("with %s", "hunter22")
    finally:
        logging.getLogger().removeHandler(foreign)
    assert "hunter22" not in lines.getvalue()
    assert "ValueError: ***" in lines.getvalue()


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
    assert line.endswith(r"model a\n2026 ERROR forged\r\x1b[2J\x9b")


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
        admin={"token": "two-token"},
        providers={"openai": {"key": "three-key"}, "anthropic": {"key": "four-key"}},
    )
    assert {"one-secret-long", "two-token", "three-key", "four-key"} <= set(log.secrets_of(settings))
