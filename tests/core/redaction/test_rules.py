"""The tables of secrets: every rule finds what its vendor publishes, in any surroundings, and nothing that only begins so."""

import re

import pytest

from tests.core.redaction.conftest import least_seconds
from tests.core.redaction.keys import FORMS, KEYS, drawn
from tokenman_core.redaction.detectors import gate
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Re2Gate, gates
from tokenman_core.redaction.detectors.likely import is_drawn, is_worded
from tokenman_core.redaction.detectors.rules import SHAPES, Rule
from tokenman_core.redaction.entities import SECRETS, Finding

BIG = {
    "anthropic", "openai-project", "openai", "google", "google-oauth-secret", "google-access", "aws-access-key", "aws-session",
    "azure-client-secret", "azure-key", "azure-sas", "github", "github-fine", "gitlab", "slack", "slack-webhook", "stripe",
    "stripe-webhook", "twilio", "sendgrid", "npm", "pypi", "hugging-face", "databricks", "digitalocean", "shopify", "square",
    "atlassian", "cloudflare", "vercel", "supabase", "groq", "openrouter", "xai", "perplexity", "replicate", "private-key", "jwt",
}  # fmt: skip

SURROUNDINGS = [
    ("", ""),
    ("key: ", " end"),
    ('"', '"'),
    ("值", "值"),
    ("鍵は", "です。"),
    ("(", ")"),
    ("a ", ". Next"),
    ("k=", "&x=1"),
    ('{\\"k\\": \\"', '\\"}'),
    ("`", "`"),
    ("|", "|"),
    (">", "<"),
    ("[", "](x)"),
    ("K='", "';"),
    ("line\n", "\nline"),
    ("é", "é"),
    ("%", ""),
    ("100%", " of it"),
]


def bare(rule: Rule, value: str) -> str:
    """The part of a form's value that the rule masks: from where its pattern begins, without a line's end."""
    return value.removeprefix("api.telegram.org/").removesuffix("\\n").rstrip("\n")


@pytest.fixture(params=range(len(gates())), ids=[type(each).__name__ for each in gates()])
def detector(request: pytest.FixtureRequest, detectors: list[Detector]) -> Detector:
    return detectors[request.param]


def secrets(detector: Detector, text: str) -> list[Finding]:
    return [finding for finding in detector.find(text) if finding.entity in SECRETS]


def covers(detector: Detector, text: str, value: str) -> bool:
    start = text.index(value)
    return any(finding.start <= start and finding.end >= start + len(value) for finding in secrets(detector, text))


def masked(rule: Rule, value: str) -> str:
    """What of a value must be masked: a JWK's exponent without its name, all of anything else."""
    return value[6:-1] if rule.id == "jwk" else bare(rule, value)


def test_the_table_is_large_whole_and_sourced() -> None:
    ids = [rule.id for rule in SHAPES]
    assert len(ids) == len(set(ids)) >= 250
    assert set(FORMS) == set(ids)
    assert all(rule.source and rule.keywords and 0 < rule.score <= 1 for rule in SHAPES)
    assert all(rule.head and not re.search(r"\(\?[=!<]", rule.head) for rule in SHAPES), "gates know no look-around"


@pytest.mark.parametrize("rule", SHAPES, ids=[rule.id for rule in SHAPES])
def test_every_form_of_a_key_is_found_in_any_surroundings(detector: Detector, rule: Rule) -> None:
    for form in FORMS[rule.id]:
        for before, after in SURROUNDINGS:
            text = before + drawn(form, 0) + after
            assert covers(detector, text, masked(rule, drawn(form, 0))), (form, before, after)


@pytest.mark.parametrize("rule", [rule for rule in SHAPES if rule.id in BIG], ids=lambda rule: rule.id)
def test_the_big_vendors_keys_are_found_whatever_is_drawn(detectors: list[Detector], rule: Rule) -> None:
    values = [drawn(form, seed) for form in FORMS[rule.id] for seed in range(200)]
    missed = [value for value in values if not covers(detectors[0], f"it is {value} now", masked(rule, value))]
    assert len(missed) <= 0.005 * len(values), missed[:3]


def test_hardly_any_drawn_key_is_taken_for_words(detectors: list[Detector]) -> None:
    by_id = {rule.id: rule for rule in SHAPES}
    values = [(by_id[id], drawn(form, seed)) for id, forms in FORMS.items() for form in forms for seed in range(8)]
    missed = [value for rule, value in values if not covers(detectors[0], f"it is {value} now", masked(rule, value))]
    assert len(missed) <= 0.005 * len(values), missed[:5]


WORDS_BEFORE = (
    "slack-webhook",
    "discord-webhook",
    "teams-webhook",
    "robot-webhook",
    "workflow-webhook",
    "telegram-address",
)
OF_OTHERS = {"sk-mixed", "generic-prefixed", "private-key", "jwk", "putty-key"}


@pytest.mark.parametrize("rule", [rule for rule in SHAPES if rule.entity == "API_KEY"], ids=lambda rule: rule.id)
def test_a_key_that_is_cut_short_is_none(detector: Detector, rule: Rule) -> None:
    value = KEYS[rule.id]
    assert not secrets(detector, "see " + value[: min(len(value) // 3, 14)] + " there")


@pytest.mark.parametrize("rule", [rule for rule in SHAPES if rule.entity == "API_KEY"], ids=lambda rule: rule.id)
def test_what_stands_for_a_key_is_none(detector: Detector, rule: Rule) -> None:
    prefix = rule.keywords[0] if rule.keywords[0] in KEYS[rule.id] else KEYS[rule.id][:4]
    for body in ("x" * 40, "your-api-key-goes-here", "<your key>", "...", "EXAMPLEKEYEXAMPLEKEY1", "${API_KEY}"):
        assert not secrets(detector, f"see {prefix}{body} there"), body


@pytest.mark.parametrize(
    "text",
    [
        "arn:aws:iam::123456789012:role/AKIA",
        "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "sk-learn and sk-estimator-doc-link and sk-toggleable__label-arrow",
        "sk_buff_head and pk_field_name_of_the_model",
        "key-value-pairs-in-a-dictionary and re_match_the_whole_expression",
        "hf_transformers_pipeline_configuration_default",
        "npm_config_registry and npm_lifecycle_event",
        "live_reload_of_the_development_server_in_use",
        "test_that_the_function_returns_none",
        "pat_test_function_name_that_is_very_long_indeed",
        "api_version_of_the_server_that_was_called",
        "secret_manager_client_configuration_values",
        "toolu_01A09q90qw90lq917835lq9 msg_01XFDUDYJgAACzvnptvVoYEL",
        "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
        "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT file-abc123DEF456ghi789 call_12345xyzABCdef",
        "fc_67ca09c6bedc8190a7abfec07b1a1332096610f474011cc0",
        "run_abc123DEF456ghi789JKL thread_abc123DEF456ghi789JKL asst_abc123DEF456ghi789JKL batch_67abc asst_4f9d",
        "req_011CQ1x2y3z4A5b6C7d8E9f0 cus_NffrFeUfNV2Hib pi_3MtwBwLkdIwHu7ix28a3tqPa",
        "ch_3MmlLrLkdIwHu7ix0snN0B15 in_1MtHbELkdIwHu7ixl4OzzPMv",
        "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "123e4567-e89b-12d3-a456-426614174000 trace 4bf92f3577b34da6a3ce929d0e0e4736",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQC7vbqajDhA9cCq5t user@host",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGk7n0hXr2cVvSCvYQEo0zUxxC1mJ0N9Vb2Kq3sX9d1P",
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        "-----BEGIN PUBLIC",
        "KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu1SU1LfVLPHCozMxH2Mo\n-----END PUBLIC KEY-----",
        "-----BEGIN",
        "CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ\n-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nYOUR KEY HERE\n-----END RSA PRIVATE KEY-----",
        "eyJhbGciOiJIUzI1NiJ9 is a header",
        "sk-ant-api03-... and ghp_... and AIza...",
        "AC0123456789abcdef0123456789abcdef",
        "EAAA and SKU-12345 and SK-0001, ATBB",
        "pypi-publish-action and gsk_scene_graph_node_type",
        "v1.0-release-candidate-of-the-next-version",
    ],
    ids=lambda text: text[:30],
)
def test_what_only_looks_like_a_key_is_left_alone(detector: Detector, text: str) -> None:
    assert [text[finding.start : finding.end] for finding in secrets(detector, text)] == []


@pytest.mark.parametrize(
    ("value", "drawn_"),
    [
        ("q7Zt0Lm3Xw9Pk2Vb", True),
        ("9f8e7d6c5b4a39281706", True),
        ("my-service-account-token", False),
        ("example0key1with2digits", False),
        ("xxxxxxxxxxxxxxxxxxxx", False),
        ("YOUR_TOKEN_1", False),
        ("abcdefghijklmnopqrst", False),
    ],
)
def test_a_drawn_value_is_told_from_words(value: str, drawn_: bool) -> None:
    assert is_drawn(value) is drawn_


def test_words_are_told_by_their_pairs_of_letters() -> None:
    assert is_worded("environment-variable-name")
    assert not is_worded("qzxvkjwqpzkxvqjzw")
    assert not is_worded("a1b2c3d4e5f6")


_DETECTOR = Detector(Re2Gate())
_HOSTILE = sorted(
    {rule.keywords[0] for rule in SHAPES}
    | {KEYS[rule.id][:24] for rule in SHAPES}
    | {"-" + KEYS[rule.id][:9] for rule in SHAPES}
)


def _seconds(text: str) -> float:
    return least_seconds(_DETECTOR, text, 4)


@pytest.mark.parametrize("part", range(8))
def test_what_begins_a_key_again_and_again_costs_time_in_proportion(part: int) -> None:
    """Every prefix, every beginning of a key: repeated, so that each repetition is a place to look at."""
    for piece in _HOSTILE[part::8]:
        size = 2_500
        small, large = max(_seconds(piece * (size // len(piece))), 0.004), _seconds(piece * (4 * size // len(piece)))
        assert large < 4 * small * 3, (piece, small, large)


@pytest.mark.parametrize(
    "piece", ["-eyJhbGciOi", "-----BEGIN PRIVATE KEY-----\n", "A", "aB3-", "sk-ant-api03-aB3", "://a:b"]
)
def test_much_hostile_text_costs_time_in_proportion(piece: str) -> None:
    text = piece * (240_000 // len(piece))
    part, whole = max(_seconds(text[: len(text) // 8]), 0.01), _seconds(text)
    assert whole < 8 * part * 4, (part, whole)  # eight times the text; four times for noise


def test_both_gates_stop_at_every_rule() -> None:
    everything = "\n".join(KEYS.values()).encode()
    hits = [each.scan(everything) for each in gates()]
    assert all(each.rules == hits[0].rules for each in hits)
    assert {index for index, _ in hits[0].rules} >= set(range(len(SHAPES)))
    assert gate.RULES[: len(SHAPES)] == SHAPES
