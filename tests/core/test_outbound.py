"""The bytes of one attempt: whose key goes where, under which path, in which body."""

import gzip
import json
from typing import Any

import brotli
import pytest
import zstandard

from tests.core.net.test_coding import SKIPPED, gzipped
from tests.core.scripted import GOOD, World, call, provider
from tokenman_core.net import Request
from tokenman_core.outbound import inside

CODEX = provider("codex", "openai", key="sk-codex", base_path="/backend-api/codex", native_path="/backend-api/codex")
ROUTER = provider("router", "openai", key="sk-router", base_path="/api/v1")
OPENAI = provider("openai", "openai", key="sk-openai")
LOCAL = provider("local", "openai", key="sk-local", base_path="/v1")


async def sent_to(name: str, made: Any, *providers: Any, model: str | None = None) -> Request:
    world = World({name: [GOOD]}, routes=[{"try": [{"provider": name, "model": model}]}], providers=providers)
    head, _ = await world.carry(made)
    assert head.status == 200
    return world.upstream.requests[0]


CREDENTIALS = (
    (b"Authorization", b"Bearer sk-mine"), (b"x-api-key", b"sk-mine"), (b"X-Goog-Api-Key", b"sk-mine"), (b"api-key", b"sk-mine"),
    (b"Cookie", b"session=sk-mine"), (b"openai-organization", b"org-mine"), (b"OpenAI-Project", b"proj-mine"),
    (b"chatgpt-account-id", b"acc-mine"), (b"x-goog-user-project", b"p-mine"),
)  # fmt: skip
OTHERS = tuple((name, b"mine") for name in (
    b"anthropic-organization-id", b"anthropic-workspace-id", b"X-Auth-Token", b"cf-aig-authorization", b"cf-access-client-secret",
    b"ocp-apim-subscription-key", b"x-amz-security-token", b"x-goog-iam-authorization-token", b"helicone-auth", b"session_id",
    b"x-portkey-api-key", b"x-litellm-api-key", b"x-key", b"apikey", b"x-subscription-token", b"x-forwarded-for", b"traceparent",
    b"x-of-tomorrow",
))  # fmt: skip
HARMLESS = (
    (b"Accept", b"*/*"), (b"Accept-Language", b"de"), (b"User-Agent", b"sdk/1"), (b"anthropic-version", b"2023-06-01"),
    (b"Anthropic-Beta", b"x"), (b"openai-beta", b"y"), (b"X-Stainless-Lang", b"python"), (b"idempotency-key", b"i"),
)  # fmt: skip
SECRET_QUERY = "beta=true&key=sk-mine&KEY=sk-mine&%6bey=sk-mine&access_token=sk-mine&a=%20b"
OTHER_QUERY = "&auth=mine&accessToken=mine&sig=mine&a%6ct=sse&api-version=1"


@pytest.mark.parametrize(
    ("dialect", "key", "kept"),
    [
        ("anthropic", "sk-b", (b"x-api-key", b"sk-b")), ("gemini", "sk-b", (b"x-goog-api-key", b"sk-b")),
        ("openai", "sk-b", (b"authorization", b"Bearer sk-b")),
    ],
)  # fmt: skip
async def test_nothing_that_tells_who_the_caller_is_goes_to_a_provider_that_he_did_not_call(
    dialect: str, key: str, kept: tuple[bytes, bytes]
) -> None:
    path = {"gemini": "/v1beta/models/m:generateContent", "openai": "/v1/chat/completions"}.get(dialect, "/v1/messages")
    query = SECRET_QUERY + OTHER_QUERY
    made = call(b'{"model":"m"}', *CREDENTIALS, *OTHERS, *HARMLESS, dialect=dialect, path=path, query=query)
    request = await sent_to("b", made, provider("a", dialect), provider("b", dialect, key=key))
    assert request.path == f"{path}?beta=true&a%6ct=sse&api-version=1".encode()
    host, kind, *rest = request.headers
    assert (host, kind) == ((b"Host", b"b.example"), (b"content-type", b"application/json"))
    assert rest == [*HARMLESS, kept]


async def test_a_provider_near_by_that_needs_no_key_gets_none() -> None:
    made = call(b'{"model":"m"}', *CREDENTIALS, *OTHERS)
    request = await sent_to("b", made, provider("a"), provider("b", host="10.0.0.7"))
    assert request.headers == ((b"Host", b"10.0.0.7"), (b"content-type", b"application/json"))


async def test_the_callers_own_key_goes_to_the_provider_that_he_called() -> None:
    made = call(b'{"model":"m"}', *CREDENTIALS, *OTHERS, query=SECRET_QUERY + OTHER_QUERY)
    request = await sent_to("a", made, provider("a"))
    assert set(CREDENTIALS + OTHERS) <= set(request.headers)
    assert request.path == f"/v1/messages?{SECRET_QUERY}{OTHER_QUERY}".encode()


async def test_a_configured_key_takes_the_place_of_the_callers_in_the_query_too() -> None:
    made = call(b'{"contents":[]}', (b"x-goog-api-key", b"sk-mine"), dialect="gemini", query="key=sk-mine&alt=sse",
                path="/v1beta/models/m:generateContent")  # fmt: skip
    request = await sent_to("a", made, provider("a", "gemini", key="sk-a"))
    assert request.path == b"/v1beta/models/m:generateContent?alt=sse"
    assert [value for name, value in request.headers if name.lower() == b"x-goog-api-key"] == [b"sk-a"]


@pytest.mark.parametrize(
    ("named", "path", "to", "target"),
    [
        ("codex", "/backend-api/codex/responses", "openai", b"/v1/responses"),
        ("openai", "/v1/responses", "codex", b"/backend-api/codex/responses"),
        ("router", "/api/v1/chat/completions", "openai", b"/v1/chat/completions"),
        ("router", "/api/v1/chat/completions", "local", b"/v1/chat/completions"),
        ("openai", "/v1/chat/completions", "router", b"/api/v1/chat/completions"),
        ("codex", "/backend-api/codex/responses", "router", b"/api/v1/responses"),
        ("codex", "/v1/responses", "openai", b"/v1/responses"),
        ("openai", "/v1/chat/completions", "openai", b"/v1/chat/completions"),
    ],
)
async def test_a_path_is_the_same_place_of_the_api_at_another_provider(
    named: str, path: str, to: str, target: bytes
) -> None:
    made = call(b'{"model":"m","input":"x"}', dialect="openai", named=named, path=path)
    request = await sent_to(to, made, CODEX, ROUTER, OPENAI, LOCAL)
    assert (request.path, request.host) == (target, f"{to}.example")
    assert dict(request.headers)[b"Host"] == request.host.encode()


@pytest.mark.parametrize("verb", ["generateContent", "streamGenerateContent", "countTokens"])
async def test_gemini_names_the_model_in_its_path(verb: str) -> None:
    body = b'{"contents":[{"parts":[{"text":"models/m"}]}]}'
    made = call(body, dialect="gemini", path=f"/v1beta/models/Gemini-M:{verb}", query="alt=models/y")
    request = await sent_to(
        "b", made, provider("a", "gemini"), provider("b", "gemini", key="k"), model="My Model-2.5/x"
    )
    assert request.path == f"/v1beta/models/My%20Model-2.5%2Fx:{verb}?alt=models/y".encode()
    assert request.body == body


async def test_a_model_is_renamed_in_its_path_however_that_is_written() -> None:
    cases = [
        ("/v1beta//models//m%3AgenerateContent", {}, "/v1beta//models//n%2Fo%3AgenerateContent"),
        ("/v1beta/Models/m:generateContent", {}, "/v1beta/Models/n%2Fo:generateContent"),
        ("/v1beta/models/x/m:generateContent", {}, "/v1beta/models/n%2Fo:generateContent"),
        ("/v1beta/models/ft:x::m:generateContent/", {}, "/v1beta/models/n%2Fo:generateContent/"),
    ]
    for path, body, target in cases:
        made = call(json.dumps(body).encode(), dialect="gemini", path=path)
        request = await sent_to("b", made, provider("a", "gemini"), provider("b", "gemini", key="k"), model="n/o")
        assert request.path.decode() == target
    made = call(b'{"model":"acme/large"}', dialect="openai", path="/v1/models/acme/large/predictions")
    request = await sent_to("b", made, provider("a", "openai"), provider("b", "openai", key="k"), model="n/o")
    assert request.path == b"/v1/models/n%2Fo/predictions"


async def test_a_packed_body_is_unpacked_where_its_model_is_renamed() -> None:
    plain = b'{ "model": "m", "messages": [] }'
    packed = gzip.compress(plain)
    for model, body, coding in (("n", plain.replace(b'"m"', b'"n"'), None), (None, packed, b"gzip")):
        made = call(packed, (b"Content-Encoding", b"gzip"), (b"content-md5", b"x"))
        request = await sent_to("b", made, provider("a"), provider("b", key="k"), model=model)
        assert request.body == body
        assert dict(request.headers).get(b"Content-Encoding") == coding
        assert (b"content-md5" in dict(request.headers)) is (coding is not None)


async def test_a_large_body_is_renamed_too() -> None:
    filler = b"x" * (200 << 10)
    made = call(b'{"messages":[{"content":"%s"}],"model":"m"}' % filler)
    request = await sent_to("b", made, provider("a"), provider("b", key="k"), model="n")
    assert request.body == b'{"messages":[{"content":"%s"}],"model":"n"}' % filler


async def test_a_name_is_written_as_the_body_writes_its_names() -> None:
    made = call(b'{"model":"\\u00e9\\u00e9","messages":[]}')
    request = await sent_to("b", made, provider("a"), provider("b", key="k"), model="é")
    assert request.body == b'{"model":"\\u00e9","messages":[]}'


async def test_a_chat_stream_is_asked_for_its_usage_under_its_new_model() -> None:
    made = call(b'{"model":"m","stream":true}', dialect="openai", path="/v1/chat/completions", named="router")
    request = await sent_to("openai", made, ROUTER, OPENAI, model="n")
    assert request.body == b'{"model":"n","stream":true,"stream_options":{"include_usage":true}}'


async def test_a_body_that_may_be_packed_with_something_else_goes_out_unpacked() -> None:
    plain = b'{"model":"m","messages":[]}'
    for coding, packed in (
        (b"gzip", gzipped(plain, 8, b"jane.doe@x.test\0")),
        (b"gzip", gzipped(plain, 16, b"jane.doe@x.test\0")),
        (b"zstd", SKIPPED + zstandard.compress(plain)),
        (b"br", brotli.compress(plain)),
    ):
        request = await sent_to("a", call(packed, (b"Content-Encoding", coding), (b"content-md5", b"x")), provider("a"))
        assert request.body == plain
        assert not {b"content-encoding", b"content-md5"} & {name.lower() for name, _ in request.headers}


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/team-a/v2/x?y=1", "/team-a/v2/x?y=1"), ("x", "/team-a/v1/x"), ("../x", "/team-a/x"), ("/team-a", "/team-a"),
        ("/team-b/v1/x", None), ("../../x", None), ("/team-a/%2e%2e/team-b", None), ("/team-a/..%2fteam-b", None),
        (r"/team-a/..\team-b", None), ("https://gw.example/team-a/../team-b", None), ("/team-ab", None), ("/team-a/..;/b", None),
    ],
)  # fmt: skip
def test_a_redirect_takes_the_stored_key_nowhere_but_below_its_base_url(location: str, target: str | None) -> None:
    request = Request(b"POST", "https", "gw.example", 443, b"/team-a/v1/messages", (), b"")
    team = provider("gw", key="sk-of-the-house", base_path="/team-a")
    assert inside(request, location, 307, team) == target
    whole = provider("gw", key="sk-of-the-house")
    assert inside(request, "/team-b/x", 307, whole) == "/team-b/x"
