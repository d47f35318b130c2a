"""What the settings say about each kind of value, for whom, and by which setting."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenman_core.config.models import Redaction as Settings
from tokenman_core.config.redacting import Listed
from tokenman_core.redaction.detectors.options import Custom, Options
from tokenman_core.redaction.entities import Finding
from tokenman_core.redaction.patterns import Denied, Passing
from tokenman_core.redaction.policy import Policies, Policy, options_of


def policy(project: str = "", **settings: Any) -> Policy:
    return Policies(Settings.model_validate(settings)).of(project)


OWN = {"recognizers": [{"name": "EMPLOYEE_ID", "pattern": "E-[0-9]{6}"}], "deny": ["Aurora"]}


@pytest.mark.parametrize(
    ("settings", "entity", "action", "setting"),
    [
        ({}, "EMAIL_ADDRESS", "redact", "redaction.mode"),
        ({}, "API_KEY", "redact", "redaction.secrets"),
        ({"mode": "hash"}, "API_KEY", "hash", "redaction.secrets"),
        ({"mode": "hash", "secrets": "block"}, "API_KEY", "block", "redaction.secrets"),
        ({"mode": "block", "secrets": "log"}, "API_KEY", "block", "redaction.mode"),
        ({"mode": "off"}, "API_KEY", "off", "redaction.mode"),
        ({"mode": "log"}, "API_KEY", "log", "redaction.mode"),  # a dry run tries the whole policy
        ({"mode": "log"}, "EMAIL_ADDRESS", "log", "redaction.mode"),
        ({"mode": "log", "entities": {"US_SSN": "block"}}, "US_SSN", "block", "redaction.entities.US_SSN"),
        ({"entities": {"JWT": "off"}}, "JWT", "off", "redaction.entities.JWT"),
        ({"entities": {"JWT": {"action": "hash"}}}, "JWT", "hash", "redaction.entities.JWT"),
        ({"entities": {"JWT": {"threshold": 0.9}}}, "JWT", "redact", "redaction.secrets"),
        (OWN, "EMPLOYEE_ID", "redact", "redaction.mode"),
        (OWN, "CUSTOM", "redact", "redaction.mode"),
        (OWN | {"mode": "off"}, "EMPLOYEE_ID", "off", "redaction.mode"),
        (OWN | {"mode": "off"}, "CUSTOM", "redact", "redaction.deny"),
        (OWN | {"mode": "log"}, "CUSTOM", "log", "redaction.mode"),
        (OWN | {"entities": {"CUSTOM": "block"}}, "CUSTOM", "block", "redaction.entities.CUSTOM"),
    ],
    ids=str,
)
def test_an_action_and_the_setting_that_says_so(settings: Any, entity: str, action: str, setting: str) -> None:
    made = policy(**settings)
    assert (made.action(entity), made.setting(entity)) == (action, setting)


PROJECTS = {
    "entities": {"US_SSN": "block", "JWT": {"threshold": 0.5}},
    "allow": ["*@a.example"],
    "projects": {
        "demo-*": {"entities": {"US_SSN": "off"}, "allow": ["*@b.example"], "restore": False, "note": "on"},
        "demo-strict": {"mode": "block"},
        "q?": {"mode": "hash", "secrets": "log", "deny": ["Aurora"], "unreadable": "block", "restore_egress": "never"},
        "[x]": {"mode": "off"},
    },
}


def test_the_first_override_that_matches_is_laid_over_what_is_said_for_all() -> None:
    demo, strict, quiet, other, odd = (
        policy(each, **PROJECTS) for each in ("demo-1", "demo-strict", "q1", "Demo-1", "[x]")
    )
    assert (demo.action("US_SSN"), demo.setting("US_SSN")) == ("off", "redaction.projects.demo-*.entities.US_SSN")
    assert (demo.restore, demo.note, demo.unreadable, demo.restore_egress) == (False, True, "pass", "same_host")
    assert demo.allows("x@b.example")
    assert demo.allows("x@a.example")
    assert strict.action("EMAIL_ADDRESS") == "redact"  # demo-* came first
    assert (quiet.action("EMAIL_ADDRESS"), quiet.setting("EMAIL_ADDRESS")) == ("hash", "redaction.projects.q?.mode")
    assert (quiet.action("API_KEY"), quiet.setting("API_KEY")) == ("log", "redaction.projects.q?.secrets")
    assert (quiet.action("US_SSN"), quiet.setting("US_SSN")) == ("block", "redaction.entities.US_SSN")
    assert quiet.denied.entities == {"CUSTOM"}
    assert (quiet.unreadable, quiet.restore_egress, quiet.threshold("JWT")) == ("block", "never", 0.5)
    assert not other.allows("x@b.example")
    assert not other.denied
    assert (odd.mode, odd.action("US_SSN")) == ("off", "block")


def test_what_is_remembered_under_one_policy_is_not_what_another_says() -> None:
    made = Policies(Settings.model_validate(PROJECTS))
    digests = [made.of(each).digest for each in ("", "demo-1", "q1", "[x]")]
    digests += [
        policy(**OWN).digest,
        policy(entities={"JWT": "hash"}).digest,
        policy(entities={"JWT": {"threshold": 0.1}}).digest,
    ]
    digests += [
        policy(allow=["abc"]).digest,
        policy(deny=["abc"]).digest,
        policy(allow=[{"entity": "JWT", "value": "abc"}]).digest,
    ]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("settings", "finding", "passes", "say"),
    [
        ({}, Finding(0, 1, "JWT"), False, "mask"),
        ({}, Finding(0, 1, "JWT", 0.01), False, "mask"),
        ({}, Finding(0, 1, "JWT"), True, "allow"),
        ({"entities": {"JWT": {"threshold": 0.6}}}, Finding(0, 1, "JWT", 0.59), False, "doubt"),
        ({"entities": {"JWT": {"threshold": 0.6}}}, Finding(0, 1, "JWT", 0.6), False, "mask"),
        ({"mode": "hash"}, Finding(0, 1, "JWT"), False, "mask"),
        ({"mode": "block"}, Finding(0, 1, "JWT"), False, "block"),
        ({"mode": "log"}, Finding(0, 1, "JWT"), False, "log"),
        ({"entities": {"JWT": "off"}}, Finding(0, 1, "JWT"), False, "off"),
        (OWN, Finding(0, 1, "EMPLOYEE_ID", 0.4), False, "doubt"),
        (OWN, Finding(0, 1, "EMPLOYEE_ID", 0.8), False, "mask"),
        (OWN | {"entities": {"EMPLOYEE_ID": {"threshold": 0}}}, Finding(0, 1, "EMPLOYEE_ID", 0.4), False, "mask"),
        (OWN, Finding(0, 1, "CUSTOM"), True, "mask"),  # always
    ],
    ids=str,
)
def test_what_becomes_of_a_finding(settings: Any, finding: Finding, passes: bool, say: str) -> None:
    assert policy(**settings).say(finding, passes) == say


def test_what_is_off_is_off_only_if_nothing_is_masked_at_all() -> None:
    assert policy(mode="off").off
    assert policy(mode="off", entities={"JWT": "off"}).off
    assert not policy(mode="off", entities={"JWT": "log"}).off
    assert not policy(mode="off", deny=["Aurora"]).off
    assert not policy("a", projects={"a": {"mode": "redact"}}, mode="off").off


def test_recognisers_and_names_are_what_the_detectors_are_made_with() -> None:
    recognizer = {"name": "EMPLOYEE_ID", "pattern": "E-[0-9]{6}", "context": ["employee"], "score": 0.6}
    made = options_of(Settings.model_validate({"recognizers": [recognizer]}))
    assert made == Options((Custom("EMPLOYEE_ID", "E-[0-9]{6}", ("employee",), 0.6),), "off")


# --- lists


@pytest.mark.parametrize(
    ("allow", "value", "entity", "passes"),
    [
        ("ada@example.org", "ada@example.org", "EMAIL_ADDRESS", True),
        ("ada@example.org", "ADA@example.org", "EMAIL_ADDRESS", True),
        ("ada@example.org", "xada@example.org", "EMAIL_ADDRESS", False),
        ("*@example.org", "ada@example.org", "EMAIL_ADDRESS", True),
        ("*@example.org", "ada@example.org.evil", "EMAIL_ADDRESS", False),
        ("*@example.org", "ada@examplexorg", "EMAIL_ADDRESS", False),
        ("?da@example.org", "ada@example.org", "EMAIL_ADDRESS", True),
        ("[a]b*", "[a]bc", "PASSWORD", True),
        ("[a]b*", "abc", "PASSWORD", False),
        ("/TEST-[0-9]+/", "TEST-12", "PASSWORD", True),
        ("/TEST-[0-9]+/", "TEST-12x", "PASSWORD", False),
        ("/TEST-[0-9]+|x/", "yx", "PASSWORD", False),
        ("/TEST-[0-9]+/", "test-12", "PASSWORD", False),
        ("/(?i)TEST-[0-9]+/", "test-12", "PASSWORD", True),
        ({"value": "a*c"}, "a*c", "PASSWORD", True),
        ({"value": "a*c"}, "abc", "PASSWORD", False),
        ({"entity": "EMAIL_ADDRESS", "glob": "*@example.org"}, "ada@example.org", "EMAIL_ADDRESS", True),
        ({"entity": "EMAIL_ADDRESS", "glob": "*@example.org"}, "ada@example.org", "PASSWORD", False),
        ("*werk*", "füßwerk\n値", "PASSWORD", True),
        ("?werk", "値werk", "PASSWORD", True),
        ("*werk", "\ud800werk", "PASSWORD", True),
    ],
    ids=str,
)
def test_what_passes(allow: Any, value: str, entity: str, passes: bool) -> None:
    assert policy(allow=[allow]).allows(value, entity) is passes


@pytest.mark.parametrize(
    ("deny", "text", "found"),
    [
        ("Project Aurora", "about project aurora.", ["project aurora"]),
        ("Aurora", "Auroras, preAurora, Aurora-2 Aurora", ["Aurora", "Aurora"]),
        ("acme-*", "acme-foo and acme-bar baz", ["acme-foo", "acme-bar"]),
        ("acme-?", "acme-1 acme-22 acme-!", ["acme-1", "acme-!"]),
        ("?cme", "acme aacme -cme", ["acme", "-cme"]),
        ("/X[0-9]+/", "aX12 b", ["X12"]),
        ({"value": "a*cd"}, "abcd a*cd", ["a*cd"]),
        ("+49 30", "call +49 30 1", ["+49 30"]),
        ("Müller", "値Müller値, Müllers", ["Müller"]),
        ("Aurora", "\ud800 値 Aurora \udfff", ["Aurora"]),
        ("Acme", "Acme Corp", ["Acme"]),
    ],
    ids=str,
)
def test_what_is_always_masked(deny: Any, text: str, found: list[str]) -> None:
    places = policy(deny=[deny]).denied.find(text)
    assert [text[start:end] for start, end, _, _ in places] == found


def test_of_values_that_begin_alike_the_longest_is_found() -> None:
    made = Denied([Listed(value="Acme"), Listed(value="Acme Corp"), Listed(entity="OTHER", value="Acme Inc")])
    text = "Acme Corp, Acme, Acme Inc"
    assert [(text[start:end], entity) for start, end, entity, _ in made.find(text)] == [
        ("Acme Corp", "CUSTOM"), ("Acme", "CUSTOM"), ("Acme", "CUSTOM"), ("Acme Inc", "OTHER"),
    ]  # fmt: skip


def test_thousands_of_values_and_long_texts_take_a_time_linear_in_the_text() -> None:
    made = Denied([Listed(value=f"customer-{number:05}") for number in range(3000)])
    passing = Passing([Listed(glob=f"*{number}*x*y") for number in range(300)])
    took = []
    for size in (100_000, 400_000):
        text = "customer-customer-0 " * (size // 20) + "customer-02999"
        began = time.process_time()
        assert len(list(made.find(text))) == 1
        took.append(time.process_time() - began)
    assert took[1] < 12 * took[0] + 0.2
    assert ("PASSWORD", "0" * 100_000) not in passing


@given(st.text(max_size=30), st.text(min_size=3, max_size=8).filter(lambda it: it.strip() == it), st.text(max_size=30))
def test_a_denied_value_that_stands_alone_is_found_where_it_stands(before: str, value: str, after: str) -> None:
    text = f"{before} {value} {after}"
    found = [(start, end) for start, end, _, _ in Denied([Listed(value=value)]).find(text)]
    assert any(start <= len(before) + 1 and end >= len(before) + 1 + len(value) for start, end in found) or any(
        start < len(before) + 1 < end or start < len(before) + 1 + len(value) < end for start, end in found
    )
