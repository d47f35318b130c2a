import pytest

from tokenman_core.scopes import LONGEST, NAMES, Reach, Subject

CALL = Subject("ada", "billing/app", "anthropic", "claude-opus-5", "s1")


@pytest.mark.parametrize(
    ("match", "takes"),
    [
        ({}, True),
        ({"project": "billing/*"}, True),
        ({"project": "billing"}, False),
        ({"model": "claude-*", "provider": "anthropic"}, True),
        ({"model": "claude-*", "provider": "openai"}, False),
        ({"client": "?da", "session": "s?"}, True),
    ],
)
def test_all_of_a_match_must_fit(match, takes):
    assert Reach("global", match).takes_in(CALL) is takes


def test_calls_are_counted_by_the_scope():
    assert Reach("global").counted_by(CALL) == ""
    assert [Reach(name).counted_by(CALL) for name in NAMES] == [
        "ada",
        "billing/app",
        "anthropic",
        "claude-opus-5",
        "s1",
    ]


def test_a_name_that_is_too_long_is_cut_and_stays_another_one():
    long, other = (Reach("session").counted_by(Subject(session="x" * 10_000 + end)) for end in "ab")
    assert len(long) == len(other) < LONGEST + 20
    assert long != other
    assert Reach("session").counted_by(Subject(session="x" * LONGEST)) == "x" * LONGEST


def test_half_a_character_in_a_name_is_none_that_a_store_could_not_keep():
    Reach("model").counted_by(Subject(model="m\ud800")).encode()
    Reach("model").counted_by(Subject(model="\ud800" * 1000)).encode()


def test_a_call_is_told_by_what_it_says_and_counted_by_what_may_be_shown():
    subject = Subject(project="jane@corp.example", shown={"project": "[EMAIL_ADDRESS_0123456789ab]"}.__getitem__)
    assert Reach("project", {"project": "*@corp.example"}).takes_in(subject)
    assert Reach("project").counted_by(subject) == "[EMAIL_ADDRESS_0123456789ab]"
