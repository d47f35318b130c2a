"""Which findings are acted on: whole values, by what the policy says of each."""

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenman_core.redaction.choose import _MANY, HOLDERS, PROVEN, Say, choose, chosen
from tokenman_core.redaction.detectors.merge import GUESSED, RANK
from tokenman_core.redaction.entities import Finding, Findings

TEXT = "x" * 60


def rank(entity: str) -> int:
    return {"DENIED": 0, "OWN": PROVEN}.get(entity, RANK.get(entity, GUESSED))


def choice(findings: list[Finding], said: Mapping[str, Say], text: str = TEXT) -> Findings:
    return chosen(text, findings, lambda each: said.get(each.entity, "mask"), rank)


def spans(findings: list[Finding], said: Mapping[str, Say], text: str = TEXT) -> list[tuple[int, int, str]]:
    return [(start, end, entity) for start, end, entity, _ in choice(findings, said, text)]


CARD = Finding(10, 29, "CREDIT_CARD")
PHONE = Finding(15, 29, "PHONE_NUMBER")
ACROSS = Finding(20, 35, "PHONE_NUMBER")
SAME = Finding(10, 29, "PHONE_NUMBER")
MAIL = Finding(12, 25, "EMAIL_ADDRESS")
LONG = Finding(0, 50, "URL")
STRING = Finding(0, 50, "CONNECTION_STRING")
PASSWORD = Finding(5, 40, "PASSWORD")
INNER = Finding(8, 20, "PASSWORD")
KEY = Finding(10, 40, "API_KEY")


@pytest.mark.parametrize(
    ("findings", "said", "expected"),
    [
        # what is left alone keeps what is less certain in it
        ([CARD, PHONE], {"CREDIT_CARD": "off"}, []),
        ([CARD, PHONE], {"CREDIT_CARD": "allow"}, []),
        ([CARD, PHONE], {"CREDIT_CARD": "log"}, [(10, 29, "CREDIT_CARD")]),
        ([CARD, PHONE], {"CREDIT_CARD": "doubt"}, []),
        ([CARD, SAME], {"CREDIT_CARD": "off"}, []),
        ([CARD, ACROSS], {"CREDIT_CARD": "off"}, []),
        ([CARD, ACROSS], {"CREDIT_CARD": "doubt"}, [(20, 35, "PHONE_NUMBER")]),
        ([KEY, PHONE], {"API_KEY": "off"}, []),
        # and nothing else
        ([CARD, PHONE], {"PHONE_NUMBER": "off"}, [(10, 29, "CREDIT_CARD")]),
        ([LONG, KEY], {"URL": "off"}, [(10, 40, "API_KEY")]),
        ([LONG, KEY], {"URL": "allow"}, [(10, 40, "API_KEY")]),
        ([LONG, PHONE], {"URL": "off"}, [(15, 29, "PHONE_NUMBER")]),
        ([STRING, INNER], {"CONNECTION_STRING": "off"}, [(8, 20, "PASSWORD")]),
        ([PASSWORD, MAIL], {"PASSWORD": "off"}, [(12, 25, "EMAIL_ADDRESS")]),
        ([PASSWORD, KEY], {"PASSWORD": "off"}, [(10, 40, "API_KEY")]),
        ([PASSWORD, MAIL], {"PASSWORD": "doubt"}, [(12, 25, "EMAIL_ADDRESS")]),
        ([PASSWORD, MAIL], {"PASSWORD": "allow"}, []),
        ([KEY, MAIL], {"API_KEY": "doubt"}, [(12, 25, "EMAIL_ADDRESS")]),
        ([CARD, Finding(0, 50, "PERSON")], {"CREDIT_CARD": "off"}, [(0, 50, "PERSON")]),
        ([Finding(0, 9, "IP_ADDRESS"), Finding(0, 9, "PHONE_NUMBER")], {"IP_ADDRESS": "off"}, [(0, 9, "PHONE_NUMBER")]),
        # the same kind, read shorter
        ([SAME, PHONE], {"PHONE_NUMBER": "off"}, []),
        # a kind of the user's own
        ([Finding(10, 29, "OWN"), PHONE], {"OWN": "off"}, []),
        ([Finding(10, 29, "OWN"), MAIL], {"OWN": "off"}, [(12, 25, "EMAIL_ADDRESS")]),
        ([Finding(12, 16, "DENIED"), CARD], {"CREDIT_CARD": "off"}, [(12, 16, "DENIED")]),
        # of what is masked one stands for all
        ([CARD, PHONE], {}, [(10, 29, "CREDIT_CARD")]),
        ([CARD, ACROSS], {}, [(10, 35, "CREDIT_CARD")]),
        ([CARD, SAME], {}, [(10, 29, "CREDIT_CARD")]),
        ([STRING, INNER, MAIL], {}, [(0, 50, "CONNECTION_STRING")]),
        ([CARD, Finding(40, 44, "JWT")], {}, [(10, 29, "CREDIT_CARD"), (40, 44, "JWT")]),
        # what is logged stands for nothing that is masked
        ([LONG, PHONE], {"URL": "log"}, [(15, 29, "PHONE_NUMBER")]),
        ([LONG, CARD, PHONE], {"URL": "log", "CREDIT_CARD": "log"}, [(0, 50, "URL")]),
        ([LONG, Finding(52, 55, "JWT")], {"URL": "log"}, [(0, 50, "URL"), (52, 55, "JWT")]),
        # what blocks is what would be masked, and is no part of another value
        ([CARD, PHONE], {"PHONE_NUMBER": "block"}, [(10, 29, "CREDIT_CARD")]),
        ([CARD, PHONE], {"CREDIT_CARD": "block"}, [(10, 29, "CREDIT_CARD")]),
        ([STRING, INNER], {"PASSWORD": "block"}, [(0, 50, "PASSWORD")]),
        ([CARD, PHONE], {"CREDIT_CARD": "off", "PHONE_NUMBER": "block"}, []),
        ([CARD, PHONE], {"CREDIT_CARD": "log", "PHONE_NUMBER": "block"}, [(10, 29, "CREDIT_CARD")]),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_acted_on(
    findings: list[Finding], said: Mapping[str, Say], expected: list[tuple[int, int, str]]
) -> None:
    assert spans(findings, said) == expected
    assert spans(findings[::-1], said) == expected


def test_placeholders_are_spared_and_what_is_beside_them_is_not() -> None:
    text = "secret[EMAIL_ADDRESS_0123456789ab]rest"
    assert spans([Finding(0, len(text), "PASSWORD")], {}, text) == [(0, 6, "PASSWORD"), (34, 38, "PASSWORD")]
    assert spans([Finding(6, 34, "PASSWORD")], {"PASSWORD": "block"}, text) == []


KINDS = (
    "CREDIT_CARD",
    "PHONE_NUMBER",
    "EMAIL_ADDRESS",
    "URL",
    "API_KEY",
    "PASSWORD",
    "CONNECTION_STRING",
    "OWN",
    "DENIED",
)
SAID: tuple[Say, ...] = ("mask", "block", "log", "off", "allow", "doubt")
FINDINGS = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 20), st.sampled_from(KINDS), st.sampled_from((0.3, 0.8, 1.0))).map(
        lambda it: Finding(it[0], min(60, it[0] + it[1]), it[2], it[3])
    ),
    max_size=12,
)
POLICIES = st.fixed_dictionaries({kind: st.sampled_from(SAID) for kind in KINDS if kind != "DENIED"}).map(
    lambda it: {**it, "DENIED": "mask"}
)


def covers(findings: Findings, start: int, end: int) -> bool:
    return any(each.start <= start and end <= each.end for each in findings)


@given(FINDINGS, POLICIES)
def test_what_is_acted_on_is_disjoint_in_order_and_made_of_findings(
    findings: list[Finding], said: dict[str, Say]
) -> None:
    found = choice(findings, said)
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))
    acting = [each for each in findings if said[each.entity] in ("mask", "block", "log")]
    for each in found:
        assert said[each.entity] in ("mask", "block", "log")
        assert {each.start, each.end} <= {place for it in acting for place in (it.start, it.end)}


@given(FINDINGS, POLICIES)
def test_no_finding_is_masked_in_part_by_one_that_is_less_certain(
    findings: list[Finding], said: dict[str, Say]
) -> None:
    found = [each for each in choice(findings, said) if said[each.entity] != "log"]
    for each in findings:
        if said[each.entity] in ("mask", "block"):
            parts = [it for it in found if it.start < each.end and each.start < it.end]
            whole = covers(tuple(parts), each.start, each.end)
            assert whole or all(rank(it.entity) <= rank(each.entity) for it in parts)


@given(FINDINGS, POLICIES)
def test_what_is_left_in_the_clear_was_left_for_a_value_at_least_as_certain(
    findings: list[Finding], said: dict[str, Say]
) -> None:
    found = tuple(each for each in choice(findings, said) if said[each.entity] != "log")
    for each in findings:
        if said[each.entity] not in ("mask", "block") or covers(found, each.start, each.end):
            continue
        keepers = [it for it in findings if it.entity not in HOLDERS and it.start < each.end and each.start < it.end]
        assert any(rank(it.entity) < rank(each.entity) or it.entity == each.entity for it in keepers if it != each)
        assert each.entity != "DENIED" or covers(found, each.start, each.end)


@given(FINDINGS, POLICIES)
def test_a_certain_value_that_is_left_alone_is_never_masked_in_part_by_a_guess(
    findings: list[Finding], said: dict[str, Say]
) -> None:
    found = choice(findings, said)
    for card in findings:
        if card.entity == "CREDIT_CARD" and said[card.entity] in ("off", "allow"):
            for each in found:
                if each.entity == "PHONE_NUMBER" and said[each.entity] != "log":
                    own = [
                        it
                        for it in findings
                        if it.entity == "PHONE_NUMBER" and it.start <= card.start and card.end <= it.end
                    ]
                    touched = each.start < card.end and card.start < each.end
                    others = [
                        it for it in findings if said[it.entity] in ("mask", "block") and rank(it.entity) <= PROVEN
                    ]
                    assert not touched or own or any(it.start < each.end and each.start < it.end for it in others)


@given(FINDINGS, POLICIES)
def test_what_is_only_logged_changes_nothing_of_what_is_masked(findings: list[Finding], said: dict[str, Say]) -> None:
    left = {kind: "off" if each == "log" else each for kind, each in said.items()}
    found = [each for each in choice(findings, said) if said[each.entity] != "log"]
    assert found == list(choice(findings, left))  # type: ignore[arg-type]


@given(FINDINGS, POLICIES)
def test_a_call_is_blocked_only_by_what_would_be_masked(findings: list[Finding], said: dict[str, Say]) -> None:
    masking = {kind: "mask" if each == "block" else each for kind, each in said.items()}
    found, masked = choice(findings, said), choice(findings, masking)  # type: ignore[arg-type]
    assert [each[:2] for each in found] == [each[:2] for each in masked]


def test_many_findings_in_one_place_take_no_time_to_speak_of() -> None:
    findings = [Finding(at, 20_000 - at, "PHONE_NUMBER") for at in range(5_000)]
    findings += [Finding(at, at + 3, "EMAIL_ADDRESS") for at in range(0, 20_000, 4)]
    assert len(findings) > _MANY
    assert choice(findings, {}, "x" * 20_000)[0][:2] == (0, 20_000)


def test_the_choice_pauses_in_a_crowd_and_between_values() -> None:
    crowd = [Finding(0, 20_000, "PRIVATE_KEY"), *(Finding(at, at + 3, "EMAIL_ADDRESS") for at in range(0, 20_000, 4))]
    for findings in (crowd, crowd[1:]):
        run = longest = 0
        for each in choose("x" * 20_000, findings, lambda _: "mask", rank):
            run = 0 if each is None else run + 1
            longest = max(longest, run)
        pauses = sum(each is None for each in choose("x" * 20_000, findings, lambda _: "mask", rank))
        assert longest <= 32
        assert pauses > 150
