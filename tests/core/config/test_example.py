import re

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from tests.core.config.test_load import EVERY_SETTING
from tests.core.config.test_mistakes import MISTAKES
from tokenman_core.config import available, example, known, schema, written
from tokenman_core.config.described import EXAMPLES, SETTINGS, named
from tokenman_core.config.load import load
from tokenman_core.config.models import Settings
from tokenman_core.config.values import parse_duration, parse_size, read_duration
from tokenman_core.errors import ConfigError


def uncommented(text: str) -> str:
    return re.sub(r"^( *)#(?=\S)", r"\1", text, flags=re.MULTILINE)


def read(text: str) -> object:
    return YAML(typ="safe").load(text)


def settings(tmp_path, text: str):
    path = tmp_path / "t.yaml"
    path.write_text(text)
    return load(path, {"HOME": str(tmp_path)}).settings


def complaints(document: object) -> list[str]:
    return [error.message for error in Draft202012Validator(schema.make()).iter_errors(document)]


# --- what is said of each setting


def test_every_setting_is_described_once_in_the_order_of_the_models():
    assert [setting for setting, _, _ in named()] == list(SETTINGS)
    assert set(EXAMPLES) <= set(SETTINGS)


def test_a_description_is_one_short_line():
    assert not [setting for setting, said in SETTINGS.items() if "\n" in said or not 5 < len(said) < 90]


@pytest.mark.parametrize("seconds", [0, 0.25, 1, 1.5, 30, 60, 90, 120, 600, 3600, 5400, 86400, 90 * 86400])
def test_durations_are_written_as_they_are_read(seconds):
    assert parse_duration(written.say_duration(seconds)) == seconds


@pytest.mark.parametrize("size", [0, 1, 1000, 1024, 65536, 32 * 1024**2, 1024**3, 1025])
def test_sizes_are_written_as_they_are_read(size):
    assert parse_size(written.say_size(size)) == size


VALUES = [
    "off", "a: b", "*", "[x]", "#a", "", "null", "true", "~", "x:", "- a",
    "1", "1e5", "0x10", "2026-01-01", "NO", "é", "it's", [1, "a, b"],
    {"a b": [None, True]},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_are_written_so_that_yaml_reads_them_back(value):
    assert read(f"x: {written.yaml(value)}")["x"] == value


# --- the file


def test_the_example_is_the_defaults_as_it_is_and_with_all_its_settings_uncommented(tmp_path):
    defaults = settings(tmp_path, "")
    text = example.text()
    assert settings(tmp_path, text) == defaults
    assert settings(tmp_path, uncommented(text)) == defaults


def test_every_setting_of_the_example_may_be_uncommented_alone():
    lines = example.text().splitlines()
    settings_ = [at for at, line in enumerate(lines) if re.match(r" *#\S", line)]
    assert len(settings_) > 70
    for at in settings_:
        one = uncommented(lines[at])
        document = read("\n".join((*lines[:at], one, *lines[at + 1 :])))
        assert Settings.model_validate(document) == Settings(), one


def test_the_example_holds_every_setting_with_its_line_of_explanation():
    text = example.text()
    for setting, name, _ in named():
        places = [line for line in text.splitlines() if re.match(rf" *#?{name}:", line)]
        assert any(SETTINGS[setting] in line for line in places), setting
    assert text.startswith("# yaml-language-server: $schema=tokenman.schema.json\n")


def test_settings_that_come_later_are_marked_so():
    lines = {match[1]: line for line in example.text().splitlines() if (match := re.match(r" *#?([a-z_]+):", line))}
    for gap in available.GAPS:
        if gap.setting.count(".") == 0:
            assert lines[gap.setting].endswith("(later)")
    assert not lines["data_dir"].endswith("(later)")


def test_the_examples_of_values_are_yaml():
    for lines in EXAMPLES.values():
        assert read("\n".join(lines))


# --- the schema


def test_the_schema_is_one_and_describes_every_setting():
    made = schema.make()
    Draft202012Validator.check_schema(made)
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for setting, name, model in named():
        place = made if model.__name__ == "Settings" else made["$defs"][model.__name__]
        assert place["properties"][name]["description"] == SETTINGS[setting]
        assert place["additionalProperties"] is False


@pytest.mark.parametrize("text", [example.text(), uncommented(example.text()), EVERY_SETTING.read_text(), "limits:\n"])
def test_what_validates_here_validates_in_an_editor(text):
    assert complaints(read(text)) == []


FINE = [
    "limits: {request_body: 5, client_body_timeout: 1.5, keepalive_timeout: 500ms}",
    "limits: {request_body: 32 mb, client_body_timeout: 2h}",
    "redaction: {mode: false, restore: off, ner: off, entities: {CREDIT_CARD: block, PERSON: false}}",
    "providers: {openai: {key: env:K}, anthropic: null, m.x: {base_url: 'http://127.0.0.1:1/v1', dialect: openai}}",
    "redaction: {allow: [a, /b/, {entity: EMAIL_ADDRESS, glob: '*@b.example'}], deny: [{regex: 'E-[0-9]+'}]}",
    "redaction: {entities: {EMPLOYEE_ID: {action: off, threshold: 0.5}}, projects: {a: {mode: off, entities: {US_SSN: off}}}}",
    "listen: '[::1]:7677'",
    "tests: [{name: a, request: {dialect: openai, text: x}, expect: {masked: []}}]",
    "routes: [{try: [openai, {provider: openai, model: gpt-5-mini, weight: 2}]}, {match: {project: a?}}]",
    "pricing: {overrides: {mine: {input_mtok: 0.5, output_mtok: 2}}}",
]


@pytest.mark.parametrize("text", FINE)
def test_what_may_be_written_in_several_ways_may_be_so_in_an_editor(text):
    assert complaints(read(text)) == []


# What only meaning can tell: another setting, the machine's environment, its time zones.
MEANING = {
    "admin.listen", "timezone", "providers.openai.hosts[0]", "tests[0].expect.provider", "tests[1].name", "routes[1].match",
    "routes[0].match.provider", "redaction.entities.EMAIL", "redaction.entities.PHONE", "redaction.recognizers[0].pattern",
    "redaction.recognizers[0].name", "redaction.recognizers[1].name", "redaction.deny[0].entity", "redaction.projects.a",
    "redaction.projects.ab", "redaction.allow[0].entity", "redaction.entities.CUSTOM", "redaction.allow[0].regex",
    "redaction.deny[0]", "redaction.deny[0].regex", "tests[0].expect.masked[0]", "redaction.projects.a.entities.EMAIL",
    "redaction.projects.a b",
}  # fmt: skip
ROUTED = ("names no provider", "is there already", "leads to different APIs", "has no key")


def test_an_editor_marks_the_mistakes():
    seen = 0
    for text, _, setting, told in MISTAKES:
        if setting in MEANING or "which is not set" in told or "No such file" in told or "good value: env:" in told:
            continue
        if "must not be empty" in told and setting in ("secret", "providers.openai.key"):
            continue
        if text == "listen: 127.0.0.1:99999" or "either text or body" in told or "expects nothing" in told:
            continue
        if told.startswith(ROUTED):
            continue
        if "lets every value pass" in told or "must say one of value" in told or "says nothing" in told:
            continue
        assert complaints(read(text)), text
        seen += 1
    assert seen > 30


def test_an_unknown_provider_must_say_where_it_is_in_an_editor_too():
    assert complaints({"providers": {"mine": {"key": "env:K"}}})
    assert complaints({"providers": {"Mine": {"base_url": "http://127.0.0.1", "dialect": "openai"}}})
    assert not complaints({"providers": {name: {"priority": 2} for name in known.PROVIDERS}})


def test_what_an_editor_marks_ends_the_start(tmp_path):
    for text in (
        "limits: {request_body: 5 parsecs}",
        "listen: nowhere",
        "secret: keyring:x",
        "redaction: {restore: 5}",
    ):
        assert complaints(read(text))
        with pytest.raises(ConfigError):
            settings(tmp_path, text)


# --- durations and sizes, wherever they stand


def settings_of(parser) -> list[str]:
    from pydantic import BeforeValidator

    return [
        setting
        for setting, name, model in named()
        for each in model.model_fields[name].metadata
        if isinstance(each, BeforeValidator) and each.func is parser
    ]


def given(setting: str, value: object) -> dict[str, object]:
    document: object = value
    for step in reversed(setting.replace("*", "openai").split(".")):
        document = {step: document}
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("setting", settings_of(read_duration))
def test_every_duration_may_be_written_in_all_ways_and_refuses_the_others(setting):
    for value in (30, "30", "30s", "500ms", 1.5, "1.5", "5m", "1h", "90d"):
        Settings.model_validate(given(setting, value))
    for value in ("abc", -5, "-5", "5 parsecs", True, None, "1e3", [30]):
        with pytest.raises(ValueError, match=re.escape(setting.rpartition(".")[2])):
            Settings.model_validate(given(setting, value))


@pytest.mark.parametrize("setting", settings_of(parse_size))
def test_every_size_may_be_written_in_all_ways_and_refuses_the_others(setting):
    for value in (65536, "65536", "64KiB", "32MiB", "1GB", "1 gb", 0):
        Settings.model_validate(given(setting, value))
    for value in ("abc", -5, "-5", "5 parsecs", True, None, 1.5, [30]):
        with pytest.raises(ValueError, match=re.escape(setting.rpartition(".")[2])):
            Settings.model_validate(given(setting, value))


def test_durations_and_sizes_are_found():
    assert len(settings_of(read_duration)) > 12
    assert len(settings_of(parse_size)) > 3
