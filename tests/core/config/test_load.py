from pathlib import Path

import pytest

from tokenman_core.config.load import Loaded, find, load
from tokenman_core.config.models import Settings
from tokenman_core.errors import ConfigError

EVERY_SETTING = Path(__file__).parent / "every_setting.yaml"


@pytest.fixture
def environ(tmp_path):
    return {"HOME": str(tmp_path / "home")}


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "tokenman.yaml"
        path.write_text(text)
        return path

    return write


def flat(value, prefix=""):
    if isinstance(value, dict) and value:
        return {key: one for name, inner in value.items() for key, one in flat(inner, f"{prefix}.{name}").items()}
    return {prefix: value}


# --- the documented example


def test_the_documented_example_validates_and_says_the_defaults(environ):
    documented = load(EVERY_SETTING, environ).settings
    assert documented == load(None, environ).settings


def test_the_documented_example_names_every_setting(environ):
    from ruamel.yaml import YAML

    documented = YAML(typ="safe").load(EVERY_SETTING.read_text())
    later = {".limits.request_headers.size", ".limits.request_headers.count", ".timezone", ".tests"}  # INTERFACE, 7
    later |= {".cache.tools", ".cache.tool_calls", ".cache.pace"}
    later |= {".redaction.deny", ".redaction.projects", ".pricing.discounts", ".alerts.secret"}
    known = {key for key in flat(Settings().model_dump(mode="json")) if not key.startswith(".providers.")} - later
    assert known == {key for key in flat(documented) if not key.startswith(".providers.")}


# --- where it is looked for


def test_the_working_directory_is_never_looked_at(environ, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tokenman.yaml").write_text("redaction: {mode: off}")
    for more in ({}, {"XDG_CONFIG_HOME": ""}, {"XDG_CONFIG_HOME": "."}):
        (tmp_path / "tokenman").mkdir(exist_ok=True)
        (tmp_path / "tokenman" / "tokenman.yaml").write_text("redaction: {mode: off}")
        found = load(None, environ | more)
        assert (found.file, found.settings.redaction.mode) == (None, "redact")


def test_option_wins_over_variable_wins_over_the_users_folder(environ, tmp_path):
    def put(path, port):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"listen: 127.0.0.1:{port}")
        return path

    home = put(tmp_path / "home/.config/tokenman/tokenman.yaml", 1001)
    xdg = put(tmp_path / "xdg/tokenman/tokenman.yaml", 1002)
    named = put(tmp_path / "named.yaml", 1003)
    option = put(tmp_path / "option.yaml", 1004)
    assert load(None, environ).file == home
    environ["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")
    assert load(None, environ).file == xdg
    environ["TOKENMAN_CONFIG"] = str(named)
    assert load(None, environ).file == named
    assert load(option, environ).settings.listen.port == 1004
    assert find(Path("~/x.yaml"), environ) == tmp_path / "home/x.yaml"


def test_a_named_file_that_is_not_there_ends_the_start(environ, tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: there is no such file; to make one: tokenman config init /"):
        load(tmp_path / "nowhere.yaml", environ)
    with pytest.raises(ConfigError, match="nowhere"):
        load(None, environ | {"TOKENMAN_CONFIG": str(tmp_path / "nowhere.yaml")})


# --- what is wrong, and where

WRONG = [
    # the file, the line, the setting, what is told
    ("limits:\n  request_body: abc", 2, "limits.request_body", "good values: 65536"),
    ("limits:\n  request_body: -5", 2, "limits.request_body", "is not a size"),
    ("limits:\n\n  client_body_timeout: abc", 3, "limits.client_body_timeout", 'good values: 30, 1.5, "500ms"'),
    ("limits: {client_body_timeout: -5}", 1, "limits.client_body_timeout", "is not a duration"),
    ("limits: {request_bodi: 5}", 1, "limits.request_bodi", "did you mean request_body?"),
    ("redacton: {mode: off}", 1, "redacton", "did you mean redaction?"),
    ("zzz: 1", 1, "zzz", "known here: listen, data_dir"),
    ("redaction:\n  mode: redcat", 2, "redaction.mode", "one of redact, block, hash, log or off; did you mean redact?"),
    ("redaction: {restore: perhaps}", 1, "redaction.restore", "must be true or false"),
    ("redaction:\n  entities:\n    email: redact", 3, "redaction.entities.email", "is not an entity"),
    ("redaction: {entities: {EMAIL_ADRESS: off}}", 1, "redaction.entities.EMAIL_ADRESS", "did you mean EMAIL_ADDRESS?"),
    ("redaction: {entities: {EMAIL_ADDRESS: mask}}", 1, "redaction.entities.EMAIL_ADDRESS", "must be one of redact"),
    ("redaction: {allow: x}", 1, "redaction.allow", "must be a list"),
    ("retry: {attempts: 0}", 1, "retry.attempts", "must be at least 1; a good value: 3"),
    ("retry: {attempts: '3'}", 1, "retry.attempts", "must be a whole number; a good value: 3"),
    ("retry:\n  statuses:\n    - 503\n    - 200", 4, "retry.statuses[1]", "at least 400"),
    (
        "retry: {statuses: [408, 409, 425, 500, 401]}",
        1,
        "retry.statuses[4]",
        "no status that passes by itself; good values: 408",
    ),
    ("breaker: {ratio: 2}", 1, "breaker.ratio", "must be at most 1"),
    ("breaker: {ratio: .nan}", 1, "breaker.ratio", "must be"),
    ("listen: 7677", 1, "listen", "good values: 127.0.0.1:7677"),
    ("listen: 127.0.0.1:7678", 1, "listen", "must not be the same as admin.listen"),
    ("data_dir: data", 1, "data_dir", "must be an absolute path"),
    ("limits: 5", 1, "limits", "must hold settings of its own"),
    ("providers:\n  mine:\n    dialect: openai", 2, "providers.mine.base_url", "is missing; a good value: https://"),
    ("providers: {mine: {base_url: 'https://x.example'}}", 1, "providers.mine.dialect", "a good value: openai"),
    ("providers:\n  openai:\n    base_url: ftp://x", 3, "providers.openai.base_url", "is not a base URL"),
    ("providers: {openai: {timeouts: {conect: 1s}}}", 1, "providers.openai.timeouts.conect", "did you mean connect?"),
    ("providers: {Mine: {}}", 1, "providers.Mine", "is not a name for a provider"),
    ("providers: {openai: {dialect: chat}}", 1, "providers.openai.dialect", "one of anthropic, openai or gemini"),
    ("intercept: {hosts: ['*.example.com']}", 1, "intercept.hosts[0]", "is not a host name"),
    ("intercept: {private: [10.0.0.0/99]}", 1, "intercept.private[0]", "10.0.0.0/8"),
    ("timezone: Mars/Olympus", 1, "timezone", "Europe/Berlin"),
    ("secret: env:NOT_SET", 1, "secret", "environment variable NOT_SET, which is not set"),
    ("secret: file:relative", 1, "secret", "absolute path"),
    ("secret: keyring:mine", 1, "secret", "not available in this version"),
    ("secret: vault:mine", 1, "secret", "not available in this version"),
    ("secret: 5", 1, "secret", "must be a reference"),
    ("admin:\n  token: env:OTHER", 2, "admin.token", "OTHER, which is not set"),
    ("limits: {request_headers: {count: 0}}", 1, "limits.request_headers.count", "at least 1"),
]


@pytest.mark.parametrize(("text", "line", "setting", "told"), WRONG, ids=[row[0] for row in WRONG])
def test_what_is_wrong_is_told_with_its_line_its_name_and_a_good_value(write, environ, text, line, setting, told):
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    message = str(caught.value)
    assert message.splitlines()[0].startswith(f"{path}:{line}: {setting}")
    assert told in message


def test_all_that_is_wrong_is_told_at_once(write, environ):
    with pytest.raises(ConfigError) as caught:
        load(write("limits: {request_body: x}\nzzz: 1\nretry: {attempts: 0}"), environ)
    assert len(str(caught.value).splitlines()) == 3


NOT_A_CONFIGURATION = [
    ("listen: 127.0.0.1:1\nlisten: 127.0.0.1:2", ":2: listen is given twice"),
    ("limits:\n  connections: 1\n  connections: 2", ":3: connections is given twice"),
    ("a: [", ": is not valid YAML"),
    ("- a\n- b", ":1: must hold settings"),
    ("just text", ":1: must hold settings"),
    ("a: 1\n---\nb: 2", "is not valid YAML"),
    ("a: *nothing", "is not valid YAML"),
    ("a: &a [1, 2]\nb: &b [*a, *a]\nc: &c [*b, *b]\n" + "\n".join(
        f"k{n}: &k{n} [*{'c' if n == 0 else f'k{n - 1}'}, *{'c' if n == 0 else f'k{n - 1}'}]" for n in range(20)
    ), "more than a configuration can mean"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), NOT_A_CONFIGURATION, ids=[row[0][:20] for row in NOT_A_CONFIGURATION])
def test_what_is_no_configuration_is_told_as_such(write, environ, text, told):
    with pytest.raises(ConfigError) as caught:
        load(write(text), environ)
    assert told in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: " + b"x" * (1 << 20)], ids=["not utf-8", "too large"])
def test_a_file_that_no_one_wrote_by_hand_is_refused(tmp_path, environ, content):
    (tmp_path / "f.yaml").write_bytes(content)
    with pytest.raises(ConfigError):
        load(tmp_path / "f.yaml", environ)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "limits:\nproviders:\nredaction:\n  # mode: off\n"])
def test_an_empty_file_and_empty_headings_mean_the_defaults(write, environ, text):
    assert load(write(text), environ).settings == load(None, environ).settings


PLANTED = "sk-ant-planted-0123456789"


@pytest.mark.parametrize(
    "text",
    [
        f"secret: {PLANTED}\nsecret: {PLANTED}x",
        f"redaction: {{mode: {PLANTED}}}",
        f"listen: {PLANTED}",
        f"limits: {{request_body: {PLANTED}, client_body_timeout: {PLANTED}}}",
        f"retry: {{attempts: {PLANTED}}}",
        f"providers: {{openai: {{key: [{PLANTED}]}}}}",
        f"providers: {{openai: {{base_url: 'https://user:{PLANTED}@x.example'}}}}",
        f"secret: {PLANTED}: x",
        f"limits: {PLANTED}",
        f"timezone: {PLANTED}",
    ],
)
def test_no_error_quotes_a_value(write, environ, text):
    with pytest.raises(ConfigError) as caught:
        load(write(text), environ)
    assert PLANTED not in str(caught.value)
    assert PLANTED not in repr(caught.value.__context__ if not caught.value.__suppress_context__ else "")


# --- off, on and booleans

WORDS = [
    ("off", "off"), ("Off", "off"), ("OFF", "off"), ("false", "off"), ("'off'", "off"), ("no", "off"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "meant"), WORDS)
def test_an_unquoted_off_means_off_wherever_off_is_a_word(write, environ, written, meant):
    text = f"redaction: {{mode: {written}, secrets: {written}, ner: {written}, note: {written}, entities: {{JWT: {written}}}}}"
    text += f"\ninjection: {{mode: {written}}}\ncache: {{mode: {written}}}\ncompaction: {{heartbeat: {written}}}"
    found = load(write(text), environ).settings
    given = (found.redaction.mode, found.redaction.secrets, found.redaction.ner, found.redaction.note)
    assert {*given, found.injection.mode, found.cache.mode, found.redaction.entities["JWT"]} == {meant}


@pytest.mark.parametrize(("written", "meant"), [("true", True), ("on", True), ("false", False), ("off", False)])
def test_restore_is_true_or_false(write, environ, written, meant):
    assert load(write(f"redaction: {{restore: {written}}}"), environ).settings.redaction.restore is meant


# --- providers


def test_an_entry_for_a_known_provider_keeps_what_it_does_not_say(write, environ):
    found = load(
        write("providers:\n  openai:\n    base_url: http://127.0.0.1:8080/v1/\n    hosts: [eu.api.openai.com]"), environ
    )
    openai = found.settings.providers["openai"]
    assert str(openai.base_url) == "http://127.0.0.1:8080/v1"
    assert openai.dialect == "openai"
    assert openai.models[0] == "gpt-*"
    assert openai.hosts == ("eu.api.openai.com", "api.openai.com")
    assert set(found.settings.providers) == {"anthropic", "openai", "codex", "gemini", "gemini-code-assist"}


def test_well_known_hosts_stay_the_providers_when_its_base_url_changes(write, environ):
    found = load(write("providers: {anthropic: {base_url: 'https://gateway.example'}}"), environ).settings
    assert found.owner("api.anthropic.com") == found.owner("Gateway.Example.") == "anthropic"
    assert found.owner("other.example") is None
    assert {"api.anthropic.com", "gateway.example"} <= set(found.authority_hosts())


def test_base_urls_that_are_not_the_providers_own_are_named(write, environ):
    assert load(None, environ).settings.foreign_base_urls() == {}
    text = (
        "providers: {openai: {base_url: 'http://127.0.0.1:1'}, mine: {base_url: 'https://m.example', dialect: openai}}"
    )
    assert {k: str(v) for k, v in load(write(text), environ).settings.foreign_base_urls().items()} == {
        "openai": "http://127.0.0.1:1",
        "mine": "https://m.example",
    }


def test_the_authority_need_not_know_hosts_that_are_reached_without_tls(write, environ):
    text = "providers: {mine: {base_url: 'http://inner.example:8000', dialect: openai}}"
    assert "inner.example" not in load(write(text), environ).settings.authority_hosts()


# --- the environment


def test_variables_override_single_settings(write, environ):
    environ |= {
        "TOKENMAN_LIMITS__REQUEST_BODY": "1MiB",
        "TOKENMAN_LIMITS__REQUEST_HEADERS__COUNT": "50",
        "TOKENMAN_REDACTION__ALLOW": '["*@example.com", "a"]',
        "TOKENMAN_REDACTION__ENTITIES__CREDIT_CARD": "block",
        "TOKENMAN_REDACTION__RESTORE": "false",
        "TOKENMAN_REDACTION__MODE": "off",
        "TOKENMAN_PROVIDERS__ANTHROPIC__KEY": "12345678",
        "TOKENMAN_PROVIDERS__MY_OLLAMA__TIMEOUTS__IDLE": "5s",
        "TOKENMAN_RETRY": "{attempts: 1}",
        "TOKENMAN_LISTEN": "127.0.0.1:9000",
        "TOKENMAN_DATA_DIR": "~/elsewhere",
        "TOKENMAN_INTERCEPT__HOSTS": "llm.example",
    }
    del environ["TOKENMAN_INTERCEPT__HOSTS"]
    path = write(
        "limits:\n  request_body: 5\nproviders:\n  my-ollama: {base_url: 'http://127.0.0.1:11434', dialect: openai}"
    )
    found = load(path, environ)
    settings = found.settings
    assert settings.limits.request_body == 1024**2
    assert settings.limits.request_headers.count == 50
    assert [(each.glob, each.value) for each in settings.redaction.allow] == [("*@example.com", None), (None, "a")]
    assert settings.redaction.entities == {"CREDIT_CARD": "block"}
    assert (settings.redaction.restore, settings.redaction.mode) == (False, "off")
    assert settings.providers["anthropic"].key.get_secret_value() == "12345678"
    assert settings.providers["my-ollama"].timeouts.idle == 5
    assert settings.retry.attempts == 1
    assert settings.listen.port == 9000
    assert settings.data_dir == Path(environ["HOME"], "elsewhere")
    assert found.origin("limits.request_body") == "environment TOKENMAN_LIMITS__REQUEST_BODY"
    assert found.origin("limits.connections") == "default"


WRONG_VARIABLES = [
    ("TOKENMAN_LIMITS__REQEST_BODY", "1", "there is no setting limits.reqest_body; did you mean request_body?"),
    ("TOKENMAN_FOO", "1", "there is no setting foo"),
    ("TOKENMAN_", "1", "there is no setting"),
    ("TOKENMAN_LISTEN__PORT", "1", "there is no setting listen.port"),
    ("TOKENMAN_PROVIDERS__NEW__DIALECT", "openai", "providers.new.base_url: is missing"),
    ("TOKENMAN_LIMITS__REQUEST_BODY", "abc", "TOKENMAN_LIMITS__REQUEST_BODY: limits.request_body: is not a size"),
    ("TOKENMAN_REDACTION__ALLOW", "[", "redaction.allow is not a YAML value"),
    ("TOKENMAN_REDACTION__ALLOW", "x", "redaction.allow: must be a list"),
]


@pytest.mark.parametrize(("variable", "value", "told"), WRONG_VARIABLES)
def test_a_variable_that_names_no_setting_or_a_wrong_value_ends_the_start(environ, variable, value, told):
    with pytest.raises(ConfigError) as caught:
        load(None, environ | {variable: value})
    assert told in str(caught.value)
    assert f"environment {variable}" in str(caught.value)


def test_what_kubernetes_says_of_a_service_named_tokenman_is_no_setting(environ):
    for name, value in {
        "TOKENMAN_SERVICE_HOST": "10.0.0.1",
        "TOKENMAN_SERVICE_PORT": "7677",
        "TOKENMAN_SERVICE_PORT_ADMIN": "7678",
        "TOKENMAN_PORT": "tcp://10.0.0.1:7677",
        "TOKENMAN_PORT_7677_TCP": "tcp://10.0.0.1:7677",
        "TOKENMAN_PORT_7677_TCP_ADDR": "10.0.0.1",
    }.items():
        environ[name] = value
    assert load(None, environ).settings == load(None, {"HOME": environ["HOME"]}).settings


def test_the_command_line_wins_over_all(write, environ):
    found = load(
        write("listen: 127.0.0.1:1001"), environ | {"TOKENMAN_LISTEN": "127.0.0.1:1002"},
        overrides={"listen": "127.0.0.1:1003"},
    )  # fmt: skip
    assert found.settings.listen.port == 1003
    assert found.origin("listen") == "command line"
    with pytest.raises(ConfigError, match="command line: listen: is not an address"):
        load(None, environ, overrides={"listen": "x"})


# --- secrets


def test_references_lead_to_the_secret(write, environ, tmp_path):
    (tmp_path / "key").write_text("  from-a-file\n")
    text = f"secret: env:MINE\nproviders: {{openai: {{key: 'file:{tmp_path}/key'}}}}"
    found = load(write(text), environ | {"MINE": "from-the-environment"})
    assert found.settings.secret.get_secret_value() == "from-the-environment"
    assert found.settings.providers["openai"].key.get_secret_value() == "from-a-file"
    assert not any("holds the secret itself" in line for line in found.warnings)


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe", b"x" * 70_000, "folder", "pipe"])
def test_a_file_that_holds_no_secret_ends_the_start(write, environ, tmp_path, content):
    import os

    path = tmp_path / "key"
    if content == "folder":
        path.mkdir()
    elif content == "pipe":
        os.mkfifo(path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"secret: refers to "):
        load(write(f"secret: file:{path}"), environ)


def test_a_secret_in_the_file_itself_works_with_a_warning(write, environ):
    path = write(f"providers:\n  openai:\n    key: {PLANTED}")
    found = load(path, environ)
    assert found.settings.providers["openai"].key.get_secret_value() == PLANTED
    assert f"{path}:3: providers.openai.key holds the secret itself; better: env:NAME or file:PATH" in found.warnings
    assert PLANTED not in repr(found) + str(found) + str(found.settings.model_dump()) + found.settings.model_dump_json()


def test_the_admin_token_falls_back_where_its_documented_variable_is_not_set(write, environ):
    path = write("admin: {token: env:TOKENMAN_ADMIN_TOKEN}")
    assert load(path, environ).settings.admin.token is None
    for found in (
        load(path, environ | {"TOKENMAN_ADMIN_TOKEN": "t" * 16}),
        load(None, environ | {"TOKENMAN_ADMIN_TOKEN": "t" * 16}),
    ):
        assert found.settings.admin.token.get_secret_value() == "t" * 16


# --- values


def test_settings_cannot_be_changed():
    settings = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.limits.connections = 5
    with pytest.raises(TypeError):
        settings.redaction.entities["X"] = "off"
    with pytest.raises(TypeError):
        settings.providers["x"] = None


def test_origins_name_the_line(write, environ):
    path = write("limits:\n  connections: 5\nretry:\n  attempts: 1")
    found = load(path, environ)
    assert isinstance(found, Loaded)
    assert found.origin("limits.connections") == f"{path}:2"
    assert found.origin("retry.attempts") == f"{path}:4"
