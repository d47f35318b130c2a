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
    assert len(Reach("model").counted_by(Subject(model="x" * 10_000))) == LONGEST
