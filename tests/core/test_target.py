"""Values in the path and in the query of a request."""

import pytest

from tokenman_core.target import Target


@pytest.mark.parametrize(
    ("path", "query", "texts"),
    [
        ("/v1/messages", "", []),
        ("/v1/messages", "beta=true", []),
        ("/v1/messages", "u=jane.doe@corp.example", ["jane.doe@corp.example"]),
        ("/v1/files", "purpose=jane.doe%40corp.example&after=x", ["jane.doe@corp.example"]),
        ("/v1/models/ghp_x7Kp2mQ9vT4", "", ["ghp_x7Kp2mQ9vT4"]),
        ("/v1beta/models", "key=AIzaSy0123456789", []),
        ("/v1beta/models", "alt=sse&KEY=AIzaSy0123456789", []),
        ("/v1/x", "536-22-8765", ["536-22-8765"]),
    ],
)
def test_pieces_that_may_hold_a_value_are_slots_and_the_providers_key_is_none(
    path: str, query: str, texts: list[str]
) -> None:
    assert [slot.text for slot in Target(path, query).slots] == texts


@pytest.mark.parametrize(
    ("path", "query"),
    [("/v1/messages", ""), ("/v1/a%2Fb/c", "x=%7E1&y=a+b12345&&z"), ("/", "q=1?2=345678"), ("/v1//x", "=")],
)
def test_an_untouched_target_stays_as_it_is(path: str, query: str) -> None:
    assert Target(path, query).render() == (path, query)


def test_a_changed_piece_is_encoded_and_nothing_else() -> None:
    target = Target("/v1/u/jane@corp.example", "a=%7E12345&m=jane%40corp.example")
    for slot in target.slots:
        slot.text = slot.text.replace("jane@corp.example", "[MAIL_1]")
    assert target.render() == ("/v1/u/%5BMAIL_1%5D", "a=%7E12345&m=%5BMAIL_1%5D")
