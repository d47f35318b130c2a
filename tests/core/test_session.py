"""Which calls are one session."""

import json
from typing import Any

import pytest

from tokenman_core.body.read import read_body
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Caller, Exchange, Sent
from tokenman_core.session import Sessions

SESSIONS = Sessions(b"k" * 32)


def call(
    value: dict[str, Any], *, dialect: str = "anthropic", session: str = "", headers: Any = (), who: str = "a"
) -> str:
    wire = DIALECTS[dialect]
    path = "/v1/messages" if dialect == "anthropic" else "/v1/chat/completions"
    operation = wire.operation("POST", path)
    made = Exchange(
        "req_1", Sent("POST", path, "", headers, ""), wire, operation, (), caller=Caller(who), session=session
    )
    made.body = read_body(json.dumps(value).encode(), "application/json", wire, operation)
    return SESSIONS.of(made)


def talk(*texts: str, **more: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"model": "m", "messages": [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)], **more}


def test_a_session_named_by_header_keeps_its_name() -> None:
    assert call(talk("hello", metadata={"user_id": "u1"}), session="mine") == "mine"


def test_turns_of_one_conversation_are_one_session() -> None:
    first = call(talk("hello", system="be brief"))
    assert first == call(talk("hello", "hi", "and now?", system="be brief"))
    assert len(first) == 16


@pytest.mark.parametrize(
    "other",
    [talk("hullo", system="be brief"), talk("hello", system="be long"), talk("hello")],
    ids=["text", "system", "no-system"],
)
def test_another_beginning_is_another_session(other: dict[str, Any]) -> None:
    assert call(talk("hello", system="be brief")) != call(other)


def test_another_caller_has_another_session() -> None:
    assert call(talk("hello")) != call(talk("hello"), who="b")


def test_the_mark_of_the_program_wins_over_the_beginning() -> None:
    one = call(talk("hello", metadata={"user_id": "user_1_session_2"}))
    assert one == call(talk("something else", metadata={"user_id": "user_1_session_2"}))
    assert one != call(talk("hello", metadata={"user_id": "user_1_session_3"}))
    assert "user_1" not in one
    keyed = call(talk("hello", prompt_cache_key="c1"), dialect="openai")
    assert keyed == call(talk("other", prompt_cache_key="c1"), dialect="openai")
    header = call(talk("hello"), dialect="openai", headers=((b"Session_Id", b"s1"),))
    assert header == call(talk("other"), dialect="openai", headers=((b"session_id", b"s1"),))


def test_marks_of_other_types_are_none() -> None:
    assert call(talk("hello", metadata={"user_id": 5})) == call(talk("hello", metadata=[])) == call(talk("hello"))


def test_another_key_gives_other_names() -> None:
    wire = DIALECTS["anthropic"]
    operation = wire.operation("POST", "/v1/messages")
    made = Exchange("req_1", Sent("POST", "/v1/messages", "", (), ""), wire, operation, ())
    made.body = read_body(json.dumps(talk("hello")).encode(), "application/json", wire, operation)
    assert SESSIONS.of(made) != Sessions(b"x" * 32).of(made)
