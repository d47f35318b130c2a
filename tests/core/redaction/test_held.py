"""What stands behind the placeholders that a provider holds: for the caller who sent it, for a while, within bounds."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tokenman_core.clock import ManualClock
from tokenman_core.redaction import held
from tokenman_core.redaction.egress import in_url
from tokenman_core.redaction.held import STORED, TALK, Held, Pair, Turn, given, linked, turn
from tokenman_core.redaction.memo import Act
from tokenman_core.redaction.placeholders import Mapping
from tokenman_core.redaction.restore import Restorer
from tokenman_core.slots import Slot

ME, YOU = ("credential", "me"), ("credential", "you")
KEY = b"k" * 32


def pair(number: int = 0, text: str = "alice@example.com") -> Pair:
    return Pair(f"[EMAIL_ADDRESS_{number:012x}]", "EMAIL_ADDRESS", text)


def store(clock: ManualClock | None = None, **bounds: Any) -> Held:
    return Held(KEY, clock or ManualClock(), talk=replace(TALK, **bounds))


def test_values_are_known_to_the_caller_who_sent_them_and_under_their_id_alone() -> None:
    them = store()
    them.keep(ME, "resp_1", [pair(1)])
    assert them.of(ME, ["resp_1"]) == [pair(1)]
    assert them.of(ME, ["resp_2"]) == them.of(ME, []) == []
    for other in (YOU, ("client", "me"), ("credential", ""), ("credentialme", ""), ()):
        assert them.of(other, ["resp_1"]) == []


def test_parts_of_a_caller_and_an_id_cannot_be_moved_over_their_border() -> None:
    them = store()
    them.keep(("credential", "a"), "bc", [pair(1)])
    assert them.of(("credential", "ab"), ["c"]) == them.of(("credential",), ["abc"]) == []


def test_what_is_added_to_an_id_joins_what_is_known_of_it() -> None:
    them = store()
    them.keep(ME, "conv", [pair(1), pair(2)])
    them.keep(ME, "conv", [pair(2), pair(3)])
    them.keep(ME, "resp", [pair(4), pair(1)])
    assert them.of(ME, ["conv"]) == [pair(1), pair(2), pair(3)]
    assert {each.placeholder for each in them.of(ME, ["conv", "resp"])} == {pair(at).placeholder for at in (1, 2, 3, 4)}
    assert len(them.of(ME, ["conv", "resp", "conv"])) == 4


def test_nothing_is_remembered_of_a_call_without_values() -> None:
    them = store()
    them.keep(ME, "resp", [])
    assert (len(them), them.size) == (0, 0)


def test_it_is_forgotten_when_its_time_is_over_and_naming_it_in_a_call_that_it_holds_renews_that() -> None:
    clock = ManualClock()
    them = store(clock, ttl_s=60)
    them.keep(ME, "first", [pair(1)])
    clock.advance(40)
    them.keep(ME, "second", [pair(2)])
    them.keep(ME, "first", [pair(1)])
    clock.advance(40)
    assert them.of(ME, ["first", "second"]) == [pair(1), pair(2)]
    clock.advance(20)
    assert them.of(ME, ["first"]) == []
    assert (len(them), them.size) == (0, 0)


def test_reading_does_not_keep_it_alive() -> None:
    clock = ManualClock()
    them = store(clock, ttl_s=60)
    them.keep(ME, "first", [pair(1)])
    clock.advance(59)
    assert them.of(ME, ["first"])
    clock.advance(1)
    assert not them.of(ME, ["first"])


def test_a_full_store_forgets_the_oldest_id() -> None:
    them = store(most=3)
    for at in range(5):
        them.keep(ME, f"resp_{at}", [pair(at)])
    assert [bool(them.of(ME, [f"resp_{at}"])) for at in range(5)] == [False, False, True, True, True]
    them.keep(ME, "resp_2", [pair(2)])
    them.keep(ME, "resp_5", [pair(5)])
    assert them.of(ME, ["resp_2"])
    assert not them.of(ME, ["resp_3"])
    assert len(them) == 3


def test_the_bytes_are_bounded_whatever_the_values_are() -> None:
    them = store(most_bytes=100_000)
    for at in range(100):
        them.keep(ME, f"resp_{at}", [pair(at, f"{at}" + "x" * 9_000)])
        assert them.size <= 100_000
    assert 8 <= len(them) <= 11
    assert them.of(ME, ["resp_99"])
    assert not them.of(ME, ["resp_0"])


def test_the_bytes_of_wide_characters_are_counted_as_they_are() -> None:
    assert pair(1, "\U0001f600" * 1000).size > 4000


def test_one_call_fills_a_part_of_the_store_and_the_newest_of_its_values_stay() -> None:
    them = store(largest=10_000)
    them.keep(ME, "large", [pair(1, "y" * 20_000), pair(2), pair(3)])
    them.keep(ME, "too large", [pair(1, "y" * 20_000)])
    assert them.of(ME, ["large"]) == [pair(2), pair(3)]
    assert them.of(ME, ["too large"]) == []
    many = [pair(at) for at in range(held.MOST_PAIRS + 10)]
    them = store()
    them.keep(ME, "many", many)
    assert them.of(ME, ["many"]) == many[10:]
    them.keep(ME, "more", [pair(10**6)])
    assert len(them.of(ME, ["many", "more"])) == held.MOST_PAIRS


def test_neither_values_nor_ids_are_shown_or_stand_in_the_keys() -> None:
    them = store()
    them.keep(ME, "resp_1", [pair(1)])
    (entry,) = them._talk.entries.items()
    assert "alice" not in f"{pair(1)!r} {entry!r} {them!r}"
    assert b"resp" not in entry[0]
    assert Held(b"other", ManualClock())._mark(ME, "resp_1") != entry[0]


RESPONSES, CONVERSATIONS = "/v1/responses", "/v1/conversations"


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", RESPONSES, {"input": "x"}, Turn((), (), True)),
        ("POST", RESPONSES, {"input": "x", "store": None}, Turn((), (), True)),
        ("POST", RESPONSES, {"input": "x", "store": False}, Turn()),
        ("POST", "/backend-api/codex/responses", {"store": False, "previous_response_id": "r"}, Turn(("r",))),
        ("POST", RESPONSES, {"previous_response_id": "resp_1"}, Turn(("resp_1",), (), True)),
        ("POST", RESPONSES + "/", {"conversation": "conv_1"}, Turn(("conv_1",), ("conv_1",), True)),
        ("POST", RESPONSES, {"conversation": {"id": "conv_1"}, "store": False}, Turn(("conv_1",), ("conv_1",))),
        ("POST", RESPONSES, {"conversation": {}, "previous_response_id": 7}, Turn((), (), True)),
        ("POST", RESPONSES, {"previous_response_id": "r" * 600}, Turn((), (), True)),
        ("POST", RESPONSES + "/compact", {"previous_response_id": "r"}, Turn(("r",), (), True)),
        ("POST", RESPONSES + "/input_tokens", {"previous_response_id": "r"}, Turn(("r",))),
        ("GET", RESPONSES + "/resp_1", None, Turn(("resp_1",), ("resp_1",))),
        ("GET", RESPONSES + "/resp_1/input_items", None, Turn(("resp_1",), ("resp_1",))),
        ("POST", RESPONSES + "/resp_1/cancel", None, Turn(("resp_1",), ("resp_1",))),
        ("POST", CONVERSATIONS, {"items": []}, Turn((), (), True)),
        ("POST", CONVERSATIONS + "/conv_1/items", {"items": []}, Turn(("conv_1",), ("conv_1",))),
        ("GET", CONVERSATIONS + "/conv_1/items/msg_1", None, Turn(("conv_1",), ("conv_1",))),
        ("POST", "/v1/chat/completions", {"messages": []}, Turn()),
        ("POST", "/v1/chat/completions", {"messages": [], "store": True}, Turn((), (), True)),
        ("GET", "/v1/chat/completions/chatcmpl-1", None, Turn(("chatcmpl-1",), ("chatcmpl-1",))),
        ("POST", "/v1/messages/batches", {"requests": []}, Turn((), (), True, stored=True)),
        ("GET", "/v1/messages/batches/msgbatch_1/results", None, Turn(("msgbatch_1",), ("msgbatch_1",), stored=True)),
        ("GET", "/v1/messages/batches", None, Turn(lists=True)),
        ("POST", "/v1/files", None, Turn((), (), True, stored=True)),
        ("GET", "/v1/files/file-1/content", None, Turn(("file-1",), ("file-1",), stored=True)),
        ("POST", "/v1/uploads", {"purpose": "batch"}, Turn((), (), True, stored=True)),
        ("POST", "/v1/uploads/upload_1/parts", None, Turn(("upload_1",), ("upload_1",), stored=True)),
        ("POST", "/v1/batches", {"input_file_id": "file-1"}, Turn(("file-1",), (), True, stored=True)),
        ("GET", "/v1/batches/batch_1", None, Turn(("batch_1",), ("batch_1",), stored=True)),
        ("GET", "/v1/batches", None, Turn(lists=True)),
        ("POST", "/v1/messages", {"source": {"type": "file", "file_id": "file_1"}}, Turn(("file_1",))),
        ("POST", RESPONSES, {"input": [{"file_id": "file-1"}], "previous_response_id": "r"}, Turn(("r", "file-1"), (), True)),
        ("POST", "/v1beta/models/m:batchGenerateContent", {"batch": {}}, Turn((), (), True, stored=True)),
        ("GET", "/v1beta/batches/b1", None, Turn(("b1",), ("b1",), stored=True)),
        ("GET", "/download/v1beta/files/f1:download", None, Turn(("f1",), ("f1",), stored=True)),
        ("POST", "/upload/v1beta/files", None, Turn((), (), True, stored=True)),
        ("POST", "/v1beta/cachedContents", {"contents": []}, Turn((), (), True, stored=True)),
        ("POST", "/v1beta/models/m:generateContent", {"cachedContent": "cachedContents/c1"}, Turn(("c1",))),
        ("POST", "/v1beta/models/m:generateContent", {"fileData": {"fileUri": "https://g.example/v1beta/files/f1"}}, Turn(("f1",))),
        ("POST", "/v1beta/interactions", {"input": "x", "previous_interaction_id": "i1"}, Turn(("i1",), (), True)),
        ("POST", "/v1beta/interactions", {"input": "x", "store": False}, Turn()),
        ("POST", "/v1/messages", {"messages": []}, Turn()),
        ("POST", RESPONSES, ["resp_1"], Turn((), (), True)),
        ("GET", RESPONSES, None, Turn()),
        ("GET", "/v1/models", None, Turn()),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_call_has_to_do_with_what_the_provider_holds(method: str, path: str, body: Any, expected: Turn) -> None:
    assert turn(method, path, body, json.dumps(body).encode()) == expected
    assert expected.follows is bool(expected.lists or expected.named)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"id": "resp_1", "object": "response"}, "resp_1"),
        ({"type": "response.created", "response": {"id": "resp_1"}}, "resp_1"),
        ({"type": "response.output_item.added", "item": {"id": "msg_1"}}, ""),
        ({"type": "x", "id": "evt_1", "response": {"status": "queued"}}, ""),
        ({"id": "file-1", "object": "file"}, "file-1"),
        ({"name": "batches/b1", "metadata": {}}, "b1"),
        ({"file": {"name": "files/f1", "uri": "https://g.example/v1beta/files/f1"}}, "f1"),
        ({"name": "no name of an id"}, ""),
        ({"id": 7}, ""),
        ({"id": ""}, ""),
        ([{"id": "resp_1"}], ""),
        (None, ""),
    ],
)
def test_the_id_that_an_answer_gives(value: Any, expected: str) -> None:
    assert given(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"id": "batch_1", "output_file_id": None}, []),
        ({"id": "batch_1", "input_file_id": "file-0", "output_file_id": "file-1"}, [("batch_1", ["file-1"])]),
        ({"id": "b", "output_file_id": "file-1", "error_file_id": "file-2"}, [("b", ["file-1", "file-2"])]),
        (
            {"object": "list", "data": [{"id": "b", "output_file_id": "f"}, {"id": "c"}, 7, {"id": "d", "error_file_id": "g"}]},
            [("b", ["f"]), ("d", ["g"])],
        ),
        ({"id": "upload_1", "file": {"id": "file-1"}}, [("upload_1", ["file-1"])]),
        ({"name": "batches/b1", "done": True, "response": {"responsesFile": "files/f1"}}, [("b1", ["f1"])]),
        ({"name": "batches/b1", "metadata": {"output": {"responsesFile": "files/f1"}}}, [("b1", ["f1"])]),
        ({"operations": [{"name": "batches/b1", "response": {"responsesFile": "files/f1"}}]}, [("b1", ["f1"])]),
        ({"output_file_id": "file-1"}, []),
        ([{"id": "b", "output_file_id": "f"}], []),
        (None, []),
    ],
    ids=str,
)  # fmt: skip
def test_what_came_of_a_call_is_told_by_its_answer(value: Any, expected: Any) -> None:
    assert list(linked(value)) == expected


def test_a_body_names_so_many_files_at_most_and_a_long_one_is_read_in_no_time() -> None:
    value = [{"file_id": f"file-{at}"} for at in range(100)]
    expected = tuple(f"file-{at}" for at in range(held._MOST_FILES))
    assert (
        turn("POST", RESPONSES, value).named
        == turn("POST", RESPONSES, None, json.dumps(value).encode()).named
        == expected
    )
    assert turn("POST", RESPONSES, None, b'{"file' * 200_000).named == ()


def test_what_is_laid_down_is_kept_for_longer_than_what_goes_on_turn_by_turn() -> None:
    clock = ManualClock()
    them = Held(KEY, clock)
    them.keep(ME, "talk", [pair(1)])
    assert not them.has_stored
    them.keep(ME, "batch", [pair(2)], stored=True)
    assert them.has_stored
    clock.advance(TALK.ttl_s)
    assert them.of(ME, ["talk", "batch"]) == [pair(2)]
    clock.advance(STORED.ttl_s - TALK.ttl_s)
    assert them.of(ME, ["talk", "batch"]) == []
    assert (len(them), them.size) == (0, 0)


def test_a_batch_has_more_values_and_takes_no_room_from_conversations() -> None:
    them = Held(KEY, ManualClock(), stored=replace(STORED, most=2))
    many = [pair(at) for at in range(held.MOST_PAIRS + 10)]
    them.keep(ME, "talk", [pair(1)])
    for id in ("first", "second", "third"):
        them.keep(ME, id, many, stored=True)
    assert them.of(ME, ["third"], STORED.pairs) == many
    assert them.of(ME, ["third"]) == many[10:]
    assert them.of(ME, ["first"]) == []
    assert them.of(ME, ["talk"]) == [pair(1)]


def test_what_holds_the_values_is_kept_with_them_within_the_same_bounds() -> None:
    clock = ManualClock()
    them = store(clock, ttl_s=60, most_bytes=1_000_000)
    them.keep_names(ME, "resp", [("file", "f", "[A_000000000001]")])
    assert not them.names_of(ME, ["resp"])  # no values, no names
    them.keep(ME, "resp", [pair(1)])
    them.keep_names(ME, "resp", [("file", "f", "[A_000000000001]"), ("variable", "f", "[A_000000000001]")])
    them.keep(ME, "resp", [pair(2)])
    them.keep_names(ME, "resp", [("file", "f", "[A_000000000002]")])
    assert them.names_of(ME, ["resp"]) == [("file", "f", "[A_000000000002]"), ("variable", "f", "[A_000000000001]")]
    assert not them.names_of(YOU, ["resp"])
    for at in range(3):
        them.keep(ME, f"resp_{at}", [pair(1)])
        them.keep_names(ME, f"resp_{at}", [("file", f"f{number}", "x" * 90) for number in range(5000)])
        assert 400_000 < them.size <= 1_000_000
    assert len(them.names_of(ME, ["resp_2"])) == 1024
    assert not them.names_of(ME, ["resp"])
    clock.advance(60)
    assert not them.names_of(ME, ["resp_2"])
    assert (len(them), them.size) == (0, 0)


def inherited(*pairs: Pair) -> Mapping:
    mapping = Mapping(KEY)
    mapping.inherit(pairs)
    return mapping


def test_an_inherited_value_has_the_placeholder_that_it_had_though_another_would_be_made_now() -> None:
    odd = Pair("[PASSWORD_00000000beef]", "PASSWORD", "hunter2xx")  # its own was another value's then
    mapping = inherited(odd)
    assert mapping.placeholder("PASSWORD", "hunter2xx") == (odd.placeholder, False)
    assert mapping.pairs() == [odd]
    assert odd.placeholder in mapping


def test_an_inherited_value_is_taken_up_once_and_as_it_was() -> None:
    """In how many strings it stood, and of which value it is a part, are told with it."""
    deep, half = (
        Pair("[PASSWORD_000000000001]", "PASSWORD", '\\"x\\"', "", 1),
        Pair("[A_000000000002]", "A", "al", "alice", 0),
    )
    mapping = inherited(deep, half, deep)
    mapping.inherit([half])
    assert mapping.pairs() == [deep, half]
    assert mapping.values()[0].standing(0) == ('"x"', 0)
    assert [each.whole for each in mapping.values()] == ["", "alice"]


def test_no_more_is_told_to_later_calls_than_they_take_up() -> None:
    many = [pair(at, f"{at}@example.com") for at in range(held.MOST_PAIRS + 5)]
    assert inherited(*many).pairs() == many[5:]


def test_an_inherited_value_goes_to_no_host_that_this_request_does_not_name_with_it() -> None:
    mapping = inherited(pair(1))
    place = pair(1).placeholder
    assert in_url("see https://shop.example/?q=", place, " ", mapping, "same_host") is False
    assert in_url("write to ", place, " ", mapping, "same_host") is True
    mapping.stood_in(place, "alice@example.com at https://shop.example/")
    assert in_url("see https://shop.example/?q=", place, " ", mapping, "same_host") is True


def test_what_is_met_again_is_told_once() -> None:
    mapping = inherited(pair(1), Pair("[PASSWORD_000000000001]", "PASSWORD", "hunter2xx"))
    assert not mapping.met()
    text = f"to {pair(1).text}"
    mapping.again(text, 0, [Act(3, len(text), "EMAIL_ADDRESS", "redact", pair(1).placeholder)], [""], text)
    assert mapping.met() == {"EMAIL_ADDRESS": 1}
    assert not mapping.met()
    mapping.forget()
    assert not mapping.pairs()


@pytest.mark.parametrize("strange", [True, False])
def test_placeholders_that_nobody_knows_any_more_are_counted_where_an_earlier_call_may_have_made_them(
    strange: bool,
) -> None:
    restorer = Restorer(inherited(pair(1)), "same_host", strange=strange)
    gone = pair(2).placeholder
    slots = [Slot(("a",), "assistant", f"{pair(1).placeholder} and {gone}, {gone}"), Slot(("b",), "tool_input", gone)]
    restorer.whole(slots)
    assert [slot.text for slot in slots] == [f"alice@example.com and {gone}, {gone}", gone]
    assert restorer.unrestored == int(strange)


def test_strange_placeholders_are_counted_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenman_core.redaction.restore._MOST_STAYED", 5)
    restorer = Restorer(Mapping(KEY), "same_host", strange=True)
    restorer.whole([Slot(("a",), "assistant", " ".join(pair(at).placeholder for at in range(9)))])
    assert restorer.unrestored == 5


def test_what_is_kept_again_unchanged_lives_on_and_weighs_no_more() -> None:
    clock = ManualClock()
    them = store(clock, ttl_s=60, most=2)
    them.keep(ME, "resp_1", [pair(1), pair(2)])
    them.keep(ME, "resp_2", [pair(3)])
    size = them.size
    clock.advance(40)
    them.keep(ME, "resp_1", [pair(1), pair(2)])
    assert them.size == size
    clock.advance(40)
    assert them.of(ME, ["resp_1"]) == [pair(1), pair(2)]
    assert them.of(ME, ["resp_2"]) == []
    assert them.of(ME, ["resp_1"], 1) == [pair(2)]
    them.keep(ME, "resp_2", [pair(3)])
    them.keep(ME, "resp_1", [pair(1), pair(2)])
    them.keep(ME, "resp_3", [pair(3)])  # the one that was not used for longest makes room
    assert [len(them.of(ME, [id])) for id in ("resp_1", "resp_2", "resp_3")] == [2, 0, 1]
