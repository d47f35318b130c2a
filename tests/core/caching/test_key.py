"""What makes two calls the same to the cache: nothing but the order of keys and what is listed as without effect."""

import copy
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.caching.questions import CALLS, CHAT, GENERATE, MESSAGES, RESPONSES, asking, provider
from tokenman_core.caching import key
from tokenman_core.exchange import Caller, Exchange
from tokenman_core.providers import Provider
from tokenman_core.verdicts import Candidate

ROOT = b"r" * 32
Path = tuple[str | int, ...]

# At the top of a body: what may be another without the key being another.
FREE = {
    "messages": {"stream", "metadata"},
    "complete": {"stream", "metadata"},
    "chat": {"stream", "stream_options", "user", "safety_identifier", "prompt_cache_key"},
    "completions": {"stream", "stream_options", "user"},
    "responses": {"stream", "stream_options"},
    "embeddings": {"user"},
    "generate": set[str](),
    "code assist": {"user_prompt_id"},
    "embed": set[str](),
}


def key_of(exchange: Exchange, at: Provider | None = None, *, shared: bool = False, root: bytes = ROOT) -> bytes | None:
    at = at or provider(exchange.dialect.name)
    return key.key_of(exchange, Candidate(at.name, exchange.model), at, shared=shared, root=root)


def known(exchange: Exchange, at: Provider | None = None, *, shared: bool = False) -> bytes:
    made = key_of(exchange, at, shared=shared)
    assert made is not None
    assert len(made) == 32
    return made


# -- the body --


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    for step, one in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(one, (*path, step))


def at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def put(value: Any, path: Path, new: Any) -> Any:
    made = copy.deepcopy(value)
    at(made, path[:-1])[path[-1]] = new
    return made


def others(value: Any) -> Iterator[Any]:
    """Values that are nearly this one, and are not."""
    if isinstance(value, bool):
        yield from (not value, int(value), str(value).lower())
    elif isinstance(value, int):
        yield from (value + 1, -value - 1, str(value), value + 2**64, [value])
        if float(value) == value:
            yield float(value)
    elif isinstance(value, float):
        yield from (value + 1.5, str(value), value * 2 + 1e-9)
        if value.is_integer():
            yield int(value)
    elif isinstance(value, str):
        yield from (value + " ", " " + value, value.upper() + "É", {"text": value}, [value], value + "\0")
    elif value is None:
        yield from (False, 0, "", "null", [], {})
    elif isinstance(value, list):
        yield from (
            [*value, None],
            value + value[-1:],
            value[1:] if value else [[]],
            [value],
            dict(enumerate_keys(value)),
        )
        if len(value) > 1 and value[0] != value[1]:
            yield [value[1], value[0], *value[2:]]
    else:
        yield {**value, "another": None}
        yield from ({name: one for name, one in value.items() if name != gone} for gone in value)
        yield from ({(f"{name}_" if name == old else name): one for name, one in value.items()} for old in value)
        yield list(value.items())
    if value is not None:
        yield None


def enumerate_keys(value: list[Any]) -> Iterator[tuple[str, Any]]:
    for index, one in enumerate(value):
        yield str(index), one


def changed(kind: str) -> Iterator[tuple[Path, Any]]:
    """Every body that differs from the usual one in one place, and is to have another key."""
    body = CALLS[kind][2]
    for path in places(body):
        if path and path[0] not in FREE[kind]:
            for other in others(at(body, path)):
                yield path, put(body, path, other)
    for name in body:
        if name not in FREE[kind]:
            yield (name,), {other: one for other, one in body.items() if other != name}
    yield (), {**body, "new": 1}
    yield (), {**body, "Stream": True}


@pytest.mark.parametrize("kind", CALLS)
def test_another_value_anywhere_is_another_key_and_all_keys_differ(kind: str) -> None:
    seen: dict[bytes, tuple[Path, Any]] = {known(asking(kind)): ((), CALLS[kind][2])}
    count = 0
    for path, body in changed(kind):
        made = known(asking(kind, body))
        other = seen.setdefault(made, (path, body))
        assert json.dumps(other[1], sort_keys=True) == json.dumps(body, sort_keys=True), (path, other[0])
        count += 1
    usual = json.dumps(CALLS[kind][2], sort_keys=True)
    assert sum(json.dumps(body, sort_keys=True) == usual for _, body in seen.values()) == 1
    assert count > 30


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        ("messages", "stream", [True, False, None]),
        ("messages", "metadata", [{"user_id": "another"}, {"user_id": None}, {}, None]),
        ("complete", "stream", [True]),
        ("complete", "metadata", [{"user_id": "x"}]),
        ("chat", "stream", [True, False, None]),
        ("chat", "stream_options", [{"include_usage": False}, {"include_usage": True, "include_obfuscation": False}, {}, None]),
        ("chat", "user", ["another", None]),
        ("chat", "safety_identifier", ["another", None]),
        ("chat", "prompt_cache_key", ["another", None]),
        ("completions", "stream", [True]),
        ("completions", "stream_options", [{"include_usage": True}]),
        ("completions", "user", ["another"]),
        ("responses", "stream", [True, False]),
        ("responses", "stream_options", [{"include_obfuscation": True}, None]),
        ("embeddings", "user", ["another", None]),
        ("code assist", "user_prompt_id", ["another"]),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_not_in_the_key(kind: str, name: str, values: list[Any]) -> None:
    body = CALLS[kind][2]
    without = {other: one for other, one in body.items() if other != name}
    keys = {known(asking(kind, without)), *(known(asking(kind, {**body, name: value})) for value in values)}
    assert keys == {known(asking(kind))}
    assert name in FREE[kind]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("messages", "stream", "true"),
        ("messages", "metadata", {"user_id": "u", "mode": "strict"}),
        ("messages", "metadata", ["user_id"]),
        ("messages", "user", "u"),  # no field of Anthropic's
        ("chat", "stream", 1),
        ("chat", "stream_options", {"include_usage": True, "continuous_usage_stats": True}),
        ("chat", "user", {"id": 1}),
        ("chat", "metadata", {"feature": "b"}),  # told back, and gateways act by it
        ("responses", "metadata", {"feature": "b"}),  # all of these are told back
        ("responses", "user", "another"),
        ("responses", "safety_identifier", "another"),
        ("responses", "prompt_cache_key", "another"),
        ("embeddings", "stream", True),
        ("generate", "stream", True),
        ("generate", "labels", {"team": "a"}),
    ],
)
def test_what_only_looks_like_it_is_in_the_key(kind: str, name: str, value: Any) -> None:
    assert known(asking(kind, {**CALLS[kind][2], name: value})) != known(asking(kind))


def test_what_has_no_effect_at_the_top_has_one_further_down() -> None:
    deeper = put(MESSAGES, ("messages", 0), {**MESSAGES["messages"][0], "stream": True})
    other = put(deeper, ("messages", 0, "stream"), False)
    assert len({known(asking("messages", it)) for it in (MESSAGES, deeper, other)}) == 3


def shuffled(value: Any, by: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        by.shuffle(names)
        return {name: shuffled(value[name], by) for name in names}
    return [shuffled(one, by) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("kind", CALLS)
@given(seed=st.integers(0, 2**32))
def test_the_order_of_keys_does_not_matter(kind: str, seed: int) -> None:
    body = shuffled(CALLS[kind][2], random.Random(seed))
    written = json.dumps(body, indent=seed % 3 or None, ensure_ascii=bool(seed & 1)).encode()
    assert known(asking(kind, raw=written)) == known(asking(kind))


TEXTS = st.text(max_size=6) | st.sampled_from(["", "null", "true", "1", "1.0", "é", "e\u0301", '"', "\\", "\0", "😀"])
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()
JSON = st.recursive(
    TEXTS | NUMBERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def strict(value: Any) -> Any:
    """The value in words in which only what is the same is equal."""
    if isinstance(value, dict):
        return {name: strict(one) for name, one in value.items()}
    return [strict(one) for one in value] if isinstance(value, list) else (type(value).__name__, repr(value))


@given(one=JSON, other=JSON)
def test_two_values_share_a_canonical_form_only_if_they_are_one(one: Any, other: Any) -> None:
    assert (key.canonical(one) == key.canonical(other)) == (strict(one) == strict(other))
    again = json.loads(json.dumps(one))
    assert key.canonical(again) == key.canonical(one) is not None


@given(kind=st.sampled_from(sorted(CALLS)), data=st.data())
def test_any_single_change_is_another_key(kind: str, data: st.DataObject) -> None:
    body = CALLS[kind][2]
    path = data.draw(st.sampled_from([it for it in places(body) if it and it[0] not in FREE[kind]]))
    value = data.draw(JSON)
    same = strict(value) == strict(at(body, path))
    assert (known(asking(kind, put(body, path, value))) == known(asking(kind))) == same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (2**64, float(2**64)),
        (2**64, 2**64 + 1),
        (10**40, 10**40 + 1),
        (0.0, -0.0),
        (1, True),
        (0, False),
        ("\ud83d\ude00", "😀"),  # two halves, each for itself, and the pair
        ("\ud83d", "\\ud83d"),
        ("\ud83d", "?"),
        ([[], []], [[[]]]),
        ({"a": 1, "b": {}}, {"a": {"b": 1}}),
        (["a", "b"], ["a,b"]),
        ({"a": {"b": 1}}, {"a.b": 1}),
        ({}, []),
        ([None], []),
    ],
)
@pytest.mark.parametrize("beside", [None, 2**70])
def test_what_looks_alike_differs(one: Any, other: Any, beside: Any) -> None:
    made = key.canonical([one, beside]), key.canonical([other, beside])
    assert None not in made
    assert made[0] != made[1]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), b"bytes", {1: "x", "1": "y"}, object()])
@pytest.mark.parametrize("beside", [None, 2**70, "\ud800"])
def test_what_no_json_can_say_has_no_key(bad: Any, beside: Any) -> None:
    assert key.canonical({"a": bad, "b": beside}) is None


def test_a_number_that_is_none_does_not_pass_for_null_where_a_stage_put_it() -> None:
    exchange = asking("messages")
    assert exchange.body is not None
    exchange.body.replace({**MESSAGES, "temperature": float("nan")})
    assert key_of(exchange) is None
    exchange.body.replace({**MESSAGES, "temperature": None})
    assert key_of(exchange) is not None


def test_what_is_nested_too_deep_has_no_key() -> None:
    value: Any = "x"
    for _ in range(200_000):
        value = [value]
    assert key.canonical(value) is None


@pytest.mark.parametrize(
    ("content_type", "raw"),
    [
        (b"application/json", b'["a"]'),
        (b"application/json", b'"a"'),
        (b"application/jsonl", b'{"a":1}\n{"a":2}\n'),
        (b"text/plain", b"hello"),
        (b"multipart/form-data; boundary=x", b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'),
        (b"application/x-www-form-urlencoded", b"a=1"),
    ],
)
def test_what_is_no_single_object_has_no_key(content_type: bytes, raw: bytes) -> None:
    path = "/v1/images/edits" if raw[:1] not in (b"[", b'"') else ""
    assert key_of(asking("chat", raw=raw, content_type=content_type, path=path)) is None


def test_no_body_no_key() -> None:
    exchange = asking("chat")
    exchange.body = None
    assert key_of(exchange) is None


def test_the_key_is_of_the_masked_text() -> None:
    exchange, other = (
        asking("messages", put(MESSAGES, ("messages", 0, "content"), f"I am {name}@example.com")) for name in "ab"
    )
    assert known(exchange) != known(other)
    for each in (exchange, other):
        assert each.body is not None
        slot = next(slot for slot in each.body.slots if "@example.com" in slot.text)
        slot.text = "I am [EMAIL_ADDRESS_0123456789ab]"
    assert known(exchange) == known(other)
    assert known(exchange) == known(asking("messages", put(MESSAGES, ("messages", 0, "content"), slot.text)))


# -- where it goes --


@pytest.mark.parametrize(
    "more",
    [
        {"name": "another", "host": "api.anthropic.example", "dialect": "anthropic"},
        {"scheme": "http"},
        {"host": "api.example"},
        {"port": 8443},
        {"base_path": "/v2"},
        {"native_path": "/v2"},
        {"key": "sk-of-the-operator"},
        {"dialect": "openai"},
    ],
)
def test_another_provider_is_another_key(more: dict[str, Any]) -> None:
    assert known(asking("messages"), provider(**more)) != known(asking("messages"), provider())


def test_no_two_settings_of_a_provider_run_into_each_other() -> None:
    one = provider(host="a", base_path="/b", native_path="/c")
    other = provider(host="a/b", base_path="", native_path="/c")
    assert known(asking("messages"), one) != known(asking("messages"), other)


def test_another_key_of_the_operators_is_another_account() -> None:
    assert known(asking("chat"), provider("openai", key="a")) != known(asking("chat"), provider("openai", key="b"))


def test_the_model_is_the_candidates() -> None:
    at, asked = provider("openai"), asking("chat")
    keys = [
        key.key_of(asked, Candidate("openai", model), at, shared=False, root=ROOT) for model in ("gpt-5-mini", "gpt-5")
    ]
    assert keys[0] == known(asked)
    assert keys[1] != keys[0]
    # Asked for there by its own name, it is the same question.
    assert keys[1] == known(asking("chat", {**CHAT, "model": "gpt-5"}))


@pytest.mark.parametrize("kind", ["generate", "embed"])
def test_the_model_of_geminis_is_in_its_path(kind: str) -> None:
    asked = asking(kind)
    at, other = provider("gemini"), asking(kind, path=CALLS[kind][1].replace("gemini-", "gemma-"))
    assert known(other) != known(asked)
    assert key.key_of(asked, Candidate("gemini", other.model), at, shared=False, root=ROOT) != known(asked)


def test_method_path_and_query_are_in_the_key() -> None:
    asked = [
        asking("messages"),
        asking("messages", path="/v1/x/messages"),
        asking("messages", query="beta=true"),
        asking("messages", query="beta=false"),
        asking("messages", query="beta=true&beta=true"),
        asking("messages", query="alt=sse"),  # it means nothing here
        asking("messages", path="/v1/complete"),
    ]
    assert len({known(each) for each in asked}) == len(asked)
    put_by = asking("messages")
    put_by.sent = replace(put_by.sent, method="PUT")
    assert known(put_by) != known(asked[0])


def test_a_value_in_the_path_is_masked_in_the_key_too() -> None:
    exchange, other = (asking("messages", path=f"/v1/{name}@example.com/messages") for name in "ab")
    for each in (exchange, other):
        assert each.target is not None
        each.target.slots[0].text = "[EMAIL_ADDRESS_0123456789ab]"
    assert known(exchange) == known(other)


STREAMED = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"


@pytest.mark.parametrize(
    ("path", "query"), [(STREAMED, ""), (STREAMED, "alt=sse"), (STREAMED, "$alt=sse"), ("", "alt=sse")]
)
def test_in_which_shape_gemini_answers_is_not_in_the_key(path: str, query: str) -> None:
    assert known(asking("generate", path=path, query=query)) == known(asking("generate"))


@pytest.mark.parametrize(
    "query", ["alt=proto", "alt=json", "ALT=sse2", "fields=candidates", "alt=sse&prettyPrint=false"]
)
def test_what_else_a_query_of_geminis_says_is(query: str) -> None:
    assert known(asking("generate", path=STREAMED, query=query)) != known(asking("generate"))


# -- headers --


@pytest.mark.parametrize(
    "name",
    [
        b"anthropic-beta", b"anthropic-version", b"anthropic-workspace-id", b"anthropic-user-profile-id", b"openai-beta",
        b"openai-organization", b"openai-project", b"chatgpt-account-id", b"x-goog-user-project", b"api-version", b"http-referer",
        b"x-title", b"helicone-property-user", b"x-invented-yesterday", b"accept-language", b"x-forwarded-user",
        b"x-forwarded-email", b"x-forwarded-for",
    ],
)  # fmt: skip
@pytest.mark.parametrize("shared", [False, True])
def test_headers_are_in_the_key_also_those_that_nobody_knows(name: bytes, shared: bool) -> None:
    def of(*headers: tuple[bytes, bytes]) -> bytes:
        return known(asking("messages", headers=headers), shared=shared)

    keys = [
        of(),
        of((name, b"a")),
        of((name, b"b")),
        of((name, b"a"), (name, b"b")),
        of((name, b"b"), (name, b"a")),
        of((name, b"")),
    ]
    assert len(set(keys)) == len(keys)
    assert of((name.title(), b"a")) == of((name, b" a "))


@pytest.mark.parametrize(
    "name",
    [
        b"user-agent", b"accept-encoding", b"x-stainless-retry-count", b"x-request-id", b"traceparent", b"content-length", b"host",
        b"connection", b"x-tokenman-tags", b"idempotency-key", b"x-goog-api-client", b"session_id", b"sec-fetch-site",
        b"content-encoding",
    ],
)  # fmt: skip
def test_headers_that_say_nothing_of_the_question_are_not(name: bytes) -> None:
    assert known(asking("messages", headers=((name.title(), b"x"),))) == known(asking("messages"))


def test_the_order_of_different_headers_does_not_matter() -> None:
    pair = ((b"anthropic-beta", b"a"), (b"anthropic-version", b"2023-06-01"))
    assert known(asking("messages", headers=pair)) == known(asking("messages", headers=pair[::-1]))


def test_headers_do_not_run_into_each_other() -> None:
    one = ((b"anthropic-beta", b"a"), (b"anthropic-version", b"b"))
    other = ((b"anthropic-beta", b"a17:anthropic-version1:b"),)
    assert known(asking("messages", headers=one)) != known(asking("messages", headers=other))


@pytest.mark.parametrize(
    ("accept", "same"),
    [
        (b"application/json", True),
        (b"text/event-stream", True),
        (b"*/*", True),
        (b"application/json, text/event-stream;q=0.5", True),
        (b"application/x-protobuf", False),
        (b"application/json, application/x-protobuf", False),
    ],
)
def test_the_accepted_types_matter_where_they_are_others_than_all_answers_have(accept: bytes, same: bool) -> None:
    assert (known(asking("generate", headers=((b"accept", accept),))) == known(asking("generate"))) is same


def test_the_type_of_the_body_matters_where_it_is_none_of_json() -> None:
    usual = known(asking("chat"))
    assert known(asking("chat", content_type=b"Application/JSON; charset=utf-8")) == usual
    assert known(asking("chat", content_type=b"application/vnd.x+json")) != usual


# -- the caller --

SOME = [
    Caller("a", login="key"),
    Caller("b", login="key"),
    Caller(),
    Caller(address="10.0.0.1"),
    Caller(address="10.0.0.2"),
    Caller(client="app"),
    Caller(client="app", run="r1"),
    Caller(client="app", run="r2"),
    Caller(run="app"),
    Caller(address="app"),
]


def keyless(caller: Caller, headers: tuple[tuple[bytes, bytes], ...] = (), query: str = "") -> Exchange:
    exchange = asking("chat", caller=caller, query=query)
    exchange.sent = replace(exchange.sent, headers=headers)
    return exchange


def test_two_callers_never_share_by_default() -> None:
    at = provider("openai")
    assert len({known(keyless(caller), at) for caller in SOME}) == len(SOME)


def test_the_address_of_a_caller_with_a_credential_does_not_matter() -> None:
    keys = {known(asking("chat", caller=Caller("a", login="key", address=it, run=it, client=it))) for it in ("1", "2")}
    assert len(keys) == 1


@pytest.mark.parametrize("name", [b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key"])
def test_a_second_credential_is_part_of_the_caller(name: bytes) -> None:
    keys = {known(asking("messages", headers=((name, value),))) for value in (b"sk-2", b"sk-3")}
    assert len(keys) == 2


def test_a_cookie_is_the_login_only_where_there_is_no_other() -> None:
    cookies = [((b"cookie", value),) for value in (b"__cf_bm=1", b"__cf_bm=2")]
    assert len({known(asking("chat", headers=each)) for each in cookies}) == 1
    assert len({known(keyless(Caller(), each)) for each in cookies}) == 2


def test_a_key_in_the_query_is_part_of_the_caller_and_nothing_else() -> None:
    assert len({known(keyless(Caller(), query=f"key={each}")) for each in ("a", "b")}) == 2
    assert len({known(keyless(Caller(), query=f"k%65y={each}")) for each in ("a", "b")}) == 2
    ours = provider("openai", key="sk-ours")
    assert len({known(keyless(Caller(), query=f"alt=x&key={each}"), ours, shared=True) for each in ("a", "b")}) == 1


# -- shared --


@pytest.mark.parametrize("at", [provider("openai"), provider("openai", key="sk-ours")])
def test_shared_answers_are_for_all_callers_with_a_login(at: Provider) -> None:
    keys = {known(asking("chat", caller=Caller(each, login="key")), at, shared=True) for each in "abc"}
    assert len(keys) == 1
    assert keys.isdisjoint({known(asking("chat", caller=Caller("a", login="key")), at)})


def test_who_has_no_login_of_that_kind_shares_nothing_where_it_is_the_callers() -> None:
    kinds = [Caller("a", login="key"), Caller("b", login="oauth"), Caller()]
    at = provider("openai")
    assert len({known(keyless(each), at, shared=True) for each in kinds}) == 3
    ours = provider("openai", key="sk-ours")
    assert len({known(keyless(each), ours, shared=True) for each in kinds}) == 1
    assert known(keyless(Caller(), query="key=x"), at, shared=True) == known(keyless(kinds[0]), at, shared=True)


BARE = {name: RESPONSES[name] for name in ("model", "temperature", "instructions")}


@pytest.mark.parametrize(
    ("kind", "body", "one_accounts"),
    [
        ("responses", {**BARE, "input": "Hi", "store": False}, False),
        ("responses", {**BARE, "input": "Hi", "store": False, "include": ["web_search_call.action.sources"]}, False),
        ("responses", {**BARE, "input": "Hi", "store": False, "include": ["reasoning.encrypted_content"]}, True),
        ("responses", {**BARE, "input": "Hi", "store": True}, True),  # the provider stores the answer there
        ("responses", {**BARE, "input": "Hi"}, True),
        ("responses", {**BARE, "input": "Hi", "store": False, "previous_response_id": "resp_1"}, True),
        ("responses", RESPONSES, True),
        (
            "chat",
            {**CHAT, "messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
            True,
        ),
        ("messages", MESSAGES, True),  # what it thought is signed
        ("messages", {**MESSAGES, "messages": MESSAGES["messages"][:1]}, False),
        ("generate", {**GENERATE, "contents": GENERATE["contents"][:1]}, False),
    ],
)
def test_what_belongs_to_an_account_is_never_shared_between_two(kind: str, body: Any, one_accounts: bool) -> None:
    callers = [Caller(each, login="key") for each in "ab"]
    name = CALLS[kind][0]
    keys = {known(asking(kind, body, caller=each), provider(name), shared=True) for each in callers}
    assert len(keys) == (2 if one_accounts else 1)
    ours = {known(asking(kind, body, caller=each), provider(name, key="k"), shared=True) for each in callers}
    assert len(ours) == 1  # one account for all of them


def test_answers_that_may_call_tools_are_kept_apart() -> None:
    place = Candidate("anthropic", "claude-sonnet-4-5")
    asked, at = asking("messages"), provider("anthropic")
    keys = {key.key_of(asked, place, at, shared=False, root=ROOT, tool_calls=calls) for calls in (False, True)}
    assert len(keys) == 2


# -- the hash --


def test_another_root_gives_other_keys() -> None:
    keys = {key_of(asking("messages"), root=root) for root in (ROOT, b"s" * 32)}
    assert len(keys) == 2


_ELSEWHERE = (
    "from tests.core.caching.test_key import key_of\n"
    "from tests.core.caching.questions import CALLS, asking\n"
    "print([key_of(asking(kind)).hex() for kind in CALLS])"
)


def test_it_is_the_same_in_every_process() -> None:
    said = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        made = subprocess.run(
            [sys.executable, "-c", _ELSEWHERE], env=env, capture_output=True, text=True, check=True, timeout=60
        )
        said.add(made.stdout.strip())
    assert said == {str([known(asking(kind)).hex() for kind in CALLS])}


def test_it_changes_nothing_of_the_call() -> None:
    exchange = asking("chat")
    assert exchange.body is not None
    before = copy.deepcopy(exchange.body.value)
    assert known(exchange, shared=True) == known(exchange, shared=True)
    assert exchange.body.value == before
    assert not exchange.body.changed
