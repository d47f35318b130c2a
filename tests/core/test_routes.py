"""Which providers may answer a call, in which order, and what goes to each of them."""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from tests.core.scripted import BODY, GOOD, JSON, SAID, SSE, World, call, provider
from tokenman_core import makers, routes
from tokenman_core.exchange import Caller, Exchange
from tokenman_core.net import UpstreamError
from tokenman_core.verdicts import Candidate

PROVIDERS = [provider("a"), provider("b", key="sk-b"), provider("c", key="sk-c"), provider("o", "openai")]
DOWN = UpstreamError("connect", "down")


async def planned(made: Exchange, *routes: Any, providers: Any = PROVIDERS) -> list[tuple[str, str]]:
    names = [each.name for each in providers]
    world = World({name: [GOOD] for name in names}, routes=routes, providers=providers)
    await world.carry(made)
    return [(candidate.provider, candidate.model) for candidate in made.plan]


def asking(model: str, **more: Any) -> Exchange:
    return call(json.dumps({"model": model, "messages": [{"role": "user", "content": "x"}]}).encode(), **more)


# -- which route, and in which order --


@pytest.mark.parametrize(
    ("model", "project", "plan"),
    [
        ("claude-opus-4", "", [("b", "claude-opus-4"), ("a", "claude-opus-4")]),
        ("claude-haiku-4", "", [("c", "small"), ("a", "claude-haiku-4")]),
        ("claude-haiku-4", "web", [("b", "claude-haiku-4")]),
        ("other", "", [("a", "other")]),
        ("Claude-opus-4", "", [("a", "Claude-opus-4")]),  # names are compared as they are written
        ("my-claude-opus-4", "", [("a", "my-claude-opus-4")]),  # a pattern is held to all of the name
    ],
)
async def test_the_first_route_that_fits_is_taken_in_its_order(model: str, project: str, plan: Any) -> None:
    routes = [
        {"match": {"project": "web"}, "try": ["b"]},
        {"match": {"model": "claude-opus-*"}, "try": ["b", "a"]},
        {"match": {"model": "claude-?aiku-*"}, "try": [{"provider": "c", "model": "small"}, "a"]},
        {"match": {"model": "claude-*"}, "try": ["c"]},
    ]
    assert await planned(asking(model, project=project), *routes) == plan


async def test_a_route_may_ask_for_the_provider_that_was_called() -> None:
    route = {"match": {"provider": "b"}, "try": ["c"]}
    assert await planned(asking("m"), route) == [("a", "m")]
    assert await planned(asking("m", named="b"), route) == [("c", "m")]


async def test_without_a_route_the_provider_that_was_called_is_asked() -> None:
    assert await planned(asking("m", named="c")) == [("c", "m")]


async def test_a_route_to_another_api_leads_no_call() -> None:
    routes = [{"try": ["o"]}, {"try": ["c"]}]
    assert await planned(asking("m"), *routes) == [("c", "m")]
    assert await planned(asking("m"), {"try": ["o"]}) == [("a", "m")]


@pytest.mark.parametrize(
    "asked",
    [
        {"body": b"", "method": "GET", "path": "/v1/models"},
        {"body": b'{"model":"m"}', "path": "/v1/files"},
        {"body": b'{"messages":[]}', "path": "/v1/messages"},  # names no model
    ],
)
async def test_what_asks_no_model_goes_where_it_was_sent(asked: Any) -> None:
    made = call(**asked)
    assert [name for name, _ in await planned(made, {"try": ["b", "c"]})] == ["a"]


async def test_counting_goes_where_the_call_would_go() -> None:
    made = call(b'{"model":"m","messages":[]}', path="/v1/messages/count_tokens")
    assert await planned(made, {"try": [{"provider": "b", "model": "n"}]}) == [("b", "n")]


async def test_without_a_list_whoever_has_the_model_is_asked_by_priority() -> None:
    providers = [
        provider("a", models=("claude-*",), priority=2, hosts=frozenset({"a.well.known"})),
        provider("b", key="k", models=("claude-*",), priority=2),
        provider(
            "c", models=("claude-*", "x"), priority=1, host="localhost"
        ),  # of the user's own, where no key is needed
        provider("d", key="k", models=("gpt-*",)),
        provider("e", models=("claude-*",), priority=1, hosts=frozenset({"e.well.known"})),  # has no key
        provider("o", "openai", key="k"),
    ]
    assert await planned(asking("claude-1"), {}, providers=providers) == [
        ("c", "claude-1"), ("a", "claude-1"), ("b", "claude-1"),
    ]  # fmt: skip
    assert await planned(asking("unheard-of"), {}, providers=providers) == [("a", "unheard-of")]


async def test_a_provider_without_a_key_that_the_call_did_not_name_is_left_out_unless_it_is_near() -> None:
    providers = [provider("a"), provider("b"), provider("c", key="k"), provider("d", host="10.0.0.7")]
    for named in ("a", "b"):
        plan = await planned(asking("m", named=named), {"try": ["b", "a", "d", "c"]}, providers=providers)
        assert plan == [(named, "m"), ("d", "m"), ("c", "m")]
    assert await planned(asking("m", named="c"), {"try": ["b"]}, {"try": ["d"]}, providers=providers) == [("d", "m")]
    assert await planned(asking("m", named="c"), {"try": ["b"]}, providers=providers) == [("c", "m")]


# -- weights --

WEIGHTED = {"try": [{"provider": "b", "weight": 3}, {"provider": "c", "weight": 1}, "a"]}


async def test_calls_are_shared_by_weight_and_the_rest_keeps_its_place() -> None:
    world = World({}, routes=[WEIGHTED], providers=PROVIDERS)
    first: Counter[str] = Counter()
    for number in range(2000):
        made = asking("m", session=f"s{number}")
        await world.conductor._read(made)
        first[made.plan[0].provider] += 1
        assert {one.provider for one in made.plan[:2]} == {"b", "c"}
        assert made.plan[2].provider == "a"
    world.meter.close()
    assert 1400 < first["b"] < 1600  # 1500 by weight; four times the deviation, and the sessions are always the same


async def test_a_session_keeps_its_provider() -> None:
    plans = {tuple(await planned(asking("m", session="one"), WEIGHTED)) for _ in range(5)}
    assert len(plans) == 1


# -- what is bound --

MADE = [
    {"previous_response_id": "resp_1"}, {"messages": [{"content": [{"signature": "EqQB"}]}]},
    {"messages": [{"content": [{"type": "redacted_thinking", "data": "x"}]}]}, {"container": "container_1"},
    {"container": {"id": "container_1", "skills": []}}, {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]},
    {"input": [{"type": "reasoning", "encrypted_content": "gAAA"}]}, {"input": [{"type": "item_reference", "id": "rs_1"}]},
    {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, {"input": [{"type": "image_generation_call", "id": "ig_1"}]},
    {"input": [{"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}]},
    {"messages": [{"content": [{"citations": [{"encrypted_index": "E"}]}]}]},
    {"contents": [{"parts": [{"thoughtSignature": "C"}]}]},
    {"tools": [{"type": "code_interpreter", "container": "cntr_1"}]},
    {"contents": [{"parts": [{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "C"}]}]},
]  # fmt: skip
STORED = [
    {"conversation": "conv_1"}, {"conversation": {"id": "conv_1"}}, {"prompt": {"id": "pmpt_1", "variables": {}}},
    {"messages": [{"content": [{"type": "document", "source": {"type": "file", "file_id": "file_1"}}]}]},
    {"input": [{"content": [{"type": "input_file", "file_id": "file_1"}]}]}, {"cachedContent": "cachedContents/1"},
    {"contents": [{"parts": [{"fileData": {"fileUri": "https://g.example/v1beta/files/1"}}]}]},
    {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, {"tool_resources": {"x": {"file_ids": ["f"]}}},
    {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-1"]}}]},
]  # fmt: skip
CONFIDED = [
    {"mcp_servers": [{"type": "url", "url": "https://x.example", "name": "x", "authorization_token": "secret"}]},
    {"mcp_servers": [{"type": "url", "url": "https://x.example/secret", "name": "x"}]},
    {"tools": [{"type": "mcp", "server_url": "https://x.example", "authorization": "secret"}]},
    {"tools": [{"type": "mcp", "server_url": "https://x.example", "headers": {"X-Key": "secret"}}]},
    {"tools": [{"type": "mcp", "server_url": "https://x.example/secret"}]},
    {"api_key": "secret"}, {"extra_headers": {"x": "secret"}},
    {"tools": [{"mcpServers": [{"name": "x", "streamableHttpTransport": {"url": "https://x.example"}}]}]},
]  # fmt: skip
SCHEMA = {"type": "object", "properties": {"file_id": {"type": "string"}}, "file_id": "x", "authorization": "x"}
FREE = [
    {}, {"previous_response_id": None}, {"conversation": None}, {"container": {"type": "auto"}}, {"file_ids": []},
    {"messages": [{"content": 'say "signature": "x" and {"file_id": "1"}'}]}, {"prompt": "a text"}, {"mcp_servers": []},
    {"tools": [{"name": "f", "input_schema": SCHEMA}]}, {"tools": [{"type": "function", "function": {"parameters": SCHEMA}}]},
    {"tools": [{"type": "function", "name": "f", "parameters": SCHEMA}]}, {"metadata": {"file_id": "x"}},
    {"tools": [{"functionDeclarations": [{"name": "f", "parameters": SCHEMA}]}]}, {"text": {"format": {"schema": SCHEMA}}},
    {"messages": [{"content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"file_id": "x", "signature": "y"}}]}]},
    {"contents": [{"parts": [{"functionCall": {"name": "f", "args": {"file_id": "x"}}}]}]},
    {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}, {"audio": {"voice": "v", "format": "wav"}},
]  # fmt: skip


@pytest.mark.parametrize("route", [["b", "c"], ["b", "a"], ["a", "b"]], ids=str)
@pytest.mark.parametrize("more", MADE + STORED + CONFIDED, ids=json.dumps)
async def test_a_body_that_is_bound_goes_to_the_provider_that_was_called_and_nowhere_else(
    more: Any, route: Any
) -> None:
    body = json.dumps({"model": "m", **more}).encode()
    assert await planned(call(body), {"try": route}) == [("a", "m")]


@pytest.mark.parametrize("more", FREE, ids=json.dumps)
async def test_what_only_looks_so_is_bound_to_nobody(more: Any) -> None:
    body = json.dumps({"model": "m", **more}).encode()
    assert await planned(call(body), {"try": ["b", "c"]}) == [("b", "m"), ("c", "m")]


@pytest.mark.parametrize("body", [
    b'{"model":"m","messages":[{"content":[{"source":{"file\\u005fid":"file_1"}}]}]}', b'{"model":"m","\\u0063onversation":"c"}',
    b'{"model":"m","messages":[%s{"content":[{"file_id":"f"}]}]}' % (b'{"content":"filler"},' * 10_000),
], ids=["escaped", "escaped at the top", "large"])  # fmt: skip
async def test_how_a_body_is_written_does_not_matter(body: bytes) -> None:
    assert await planned(call(body), {"try": ["b", "c"]}) == [("a", "m")]


async def test_the_provider_that_was_called_gets_its_own_name_of_the_model() -> None:
    route = {"try": ["b", {"provider": "a", "model": "other"}]}
    assert await planned(call(b'{"model":"m","conversation":"c"}'), route) == [("a", "other")]


async def test_where_a_route_leads_to_one_provider_its_own_answers_go_back_there_and_nothing_else_that_is_bound() -> (
    None
):
    for more, plan in (*((each, "b") for each in MADE), *((each, "a") for each in STORED + CONFIDED)):
        assert await planned(call(json.dumps({"model": "m", **more}).encode()), {"try": ["b"]}) == [(plan, "m")]


def turn(signed: bool, session: str = "s", who: str = "who") -> Exchange:
    body = b'{"model":"m","messages":[{"content":[{"signature":"E"}]}]}' if signed else BODY
    return call(body, session=session, caller=Caller(who))


async def test_what_is_bound_goes_to_whoever_answered_the_turn_before() -> None:
    world = World({"a": [GOOD], "b": [DOWN, GOOD], "c": [GOOD]}, routes=[{"try": ["b", "c"]}], providers=PROVIDERS)
    for made, host in (
        (turn(False), "c"),  # b is down
        (turn(True), "c"),  # what c signed, b would refuse
        (turn(True), "c"),
        (turn(True, "other session"), "a"),
        (turn(True, who="somebody else"), "a"),
        (turn(False), "b"),  # b is back, and nothing binds this one
        (turn(True), "b"),
    ):
        _ = [part async for part in world.conductor.answer(made)]
        assert world.upstream.hosts[-1] == f"{host}.example"
    world.meter.close()


def responses(more: dict[str, Any], path: str = "/v1/responses", who: str = "who", **asked: Any) -> Exchange:
    body = json.dumps({"model": "m", "input": str(more), **more}).encode() if asked.get("method") != "GET" else b""
    return call(body, dialect="openai", named="o", path=path, caller=Caller(who), **asked)


GIVES = {"id": "resp_made", "output": [
    {"type": "reasoning", "id": "rs_made", "encrypted_content": "gAAA/made=="},
    {"type": "message", "id": "msg_made", "content": [{"annotations": [{"container_id": "cntr_made", "file_id": "cfile_made"}]}]},
]}  # fmt: skip
ANSWERS = {
    "whole": (200, JSON, [json.dumps(GIVES).encode()]),
    "escaped": (200, JSON, [json.dumps(GIVES).replace("=", "\\u003d").encode()]),
    "streamed": (200, SSE, [b'event: response.completed\ndata: {"response":%s}\n\n' % json.dumps(GIVES).encode()]),
}  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS)
async def test_what_an_answer_gave_goes_back_to_its_maker_for_the_same_caller(answer: str) -> None:
    providers = [provider("o", "openai"), provider("p", "openai", key="k"), provider("q", "openai", key="k")]
    answers = {"o": [GOOD], "p": [ANSWERS[answer], GOOD], "q": [GOOD]}
    route = {"try": [{"provider": "p", "model": "n"}, "q"]}
    world = World(answers, routes=[route], providers=providers)
    for made, host in (
        (responses({"stream": answer == "streamed"}), "p"),
        (responses({"previous_response_id": "resp_made"}), "p"),
        (responses({"previous_response_id": "resp_made"}, who="somebody else"), "o"),
        (responses({"previous_response_id": "resp_other"}), "o"),
        (responses({"input": [{"type": "reasoning", "encrypted_content": "gAAA/made=="}]}), "p"),
        (responses({"input": [{"type": "item_reference", "id": "rs_made"}]}), "p"),
        (responses({"input": [{"content": [{"type": "input_file", "file_id": "cfile_made"}]}]}), "p"),
        (responses({"previous_response_id": "resp_made", "tools": [{"type": "mcp", "server_url": "https://x"}]}), "o"),
        (responses({}, "/v1/responses/resp_made", method="GET"), "p"),
        (responses({}, "/v1/responses/resp_made/cancel"), "p"),
        (responses({}, "/v1/containers/cntr_made/files/cfile_made/content", method="GET"), "p"),
        (responses({}, "/v1/responses/resp_made", who="somebody else", method="GET"), "o"),
        (responses({}, "/v1/files/file_other", method="DELETE"), "o"),
    ):
        _ = [part async for part in world.conductor.answer(made)]
        assert world.upstream.hosts[-1] == f"{host}.example", made.raw or made.sent.path
        assert len(made.attempts) == 1
        if made.raw and host == "p" and made.operation.generates:
            assert json.loads(world.upstream.requests[-1].body)["model"] == "n"
    world.meter.close()


async def test_what_stands_at_the_end_of_a_long_answer_is_remembered_too() -> None:
    thought = b'{"type":"thinking","thinking":"%s","signature":"EqQB-signed-late"}' % (b"hmm " * 50_000)
    said = b'{"id":"msg_long","content":[%s]}' % thought
    world = World({"b": [(200, JSON, [said])]}, routes=[{"try": ["b"]}], providers=PROVIDERS)
    made = call()
    await world.carry(made)
    async with asyncio.timeout(20):
        while world.routes._makers.maker("who", ["EqQB-signed-late"]) is None:  # noqa: ASYNC110  # a thread reads it
            await asyncio.sleep(0.01)
    assert world.routes._makers.maker("who", ["msg_long"]) is not None


async def test_an_id_that_a_stream_repeats_takes_no_others_place() -> None:
    said = b"".join(b'data: {"id":"chatcmpl-1","x":{"id":"call_%d"}}\n\n' % number for number in range(450))
    found = routes._given(said * 2)
    assert len(found) == 451
    assert len(routes._given(b"".join(b'"id":"call_%06d" ' % number for number in range(2000)))) == 500


async def test_what_is_remembered_of_answers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(makers, "MOST_MADE", 3)
    said = b'{"content":[%s]}' % b",".join(b'{"id":"toolu_%d"}' % number for number in range(9))
    world = World({"b": [(200, JSON, [said])]}, routes=[{"try": ["b"]}], providers=PROVIDERS)
    await world.carry(call())
    assert len(world.routes._makers._made) == 3


async def test_what_is_remembered_of_sessions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(makers, "MOST_SERVED", 3)
    world = World({"b": [DOWN, GOOD], "c": [GOOD]}, routes=[{"try": ["b", "c"]}], providers=PROVIDERS)
    for number in range(9):
        _ = [part async for part in world.conductor.answer(turn(False, f"s{number}"))]
    assert len(world.routes._makers._served) == 3
    world.meter.close()


# -- what goes to each --


async def test_a_model_is_renamed_by_a_splice_and_every_other_byte_stays() -> None:
    body = b'{ "messages":[{"role":"user","content":"the model m \\u00e9"}],\n "model" : "Claude-M" , "x":1.50 }'
    world = World({"b": [GOOD]}, routes=[{"try": [{"provider": "b", "model": "Vendor/Claude-M@1"}]}])
    await world.carry(call(body))
    assert world.upstream.requests[0].body == body.replace(b'"Claude-M"', b'"Vendor/Claude-M@1"')


async def test_each_provider_is_asked_for_its_own_name_of_the_model() -> None:
    route = {"try": ["a", {"provider": "b", "model": "B-Model"}, {"provider": "c", "model": "m"}]}
    world = World({"a": [DOWN], "b": [DOWN], "c": [GOOD]}, routes=[route], providers=PROVIDERS)
    made = call()
    await world.carry(made)
    assert [request.body for request in world.upstream.requests] == [BODY, BODY.replace(b'"m"', b'"B-Model"'), BODY]
    assert made.attempts[-1].candidate == Candidate("c", "m")


async def test_every_body_of_a_provider_is_the_same() -> None:
    world = World({"b": [(503, JSON, [b"{}"])]}, routes=[{"try": [{"provider": "b", "model": "n"}]}])
    await world.carry(call())
    assert len(world.upstream.requests) == 3
    assert {request.body for request in world.upstream.requests} == {BODY.replace(b'"m"', b'"n"')}


@pytest.mark.parametrize("first", [GOOD, DOWN])
async def test_an_answer_of_a_route_is_the_answer(first: Any) -> None:
    world = World({"b": [first], "c": [GOOD]}, routes=[{"try": ["b", "c"]}], providers=PROVIDERS)
    head, body = await world.carry(call())
    assert (head.status, body) == (200, SAID)
