"""Which spellings of a path are refused, and what the others are taken for."""

import importlib
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import types

from tokenman_core.dialects.base import Operation
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.paths import plain, trouble, usual

REFUSED = {
    r"/v1/files/x\..\..\chat\completions": "backslash",
    "/v1/files/x%5c..%5Cchat": "backslash",
    "/v1/files/x%2f..%2f..%2fchat%2fcompletions": "slash",
    "/v1/chat%2Fcompletions": "slash",
    "/v1/%63hat/completions": "letter",
    "/v1beta/%6dodels/gemini-3-pro:generateContent": "letter",
    "/v1/files/%2e%2E/chat/completions": "letter",
    "/v1/files/.%2e/chat/completions": "letter",
    "/v1/%7Euser": "letter",
    "/v1/files/%252e%252e/chat": "percent sign",
    "/v1/files/%252f": "percent sign",
    "/v1/files/100%25": "percent sign",
    "/v1/files/x%": "two hexadecimal",
    "/v1/files/%u002e%u002e/x": "two hexadecimal",
    "/v1/files/x%2": "two hexadecimal",
    "/v1/files/../chat/completions": "segment of dots",
    "/v1/files/./x": "segment of dots",
    "/v1/chat/completions/files/..": "segment of dots",
    "/../x": "segment of dots",
    "/v1/files/.../x": "segment of dots",
    "/v1/files/..%20/x": "segment of dots",
    "/v1/files/..;/chat/completions": "semicolon",
    "/v1/files/..%3B/chat/completions": "semicolon",
    "/v1/chat/completions;/files/x": "semicolon",
    "/v1/chat/completions#/files/x": "# or an encoded ?",
    "/v1/chat/completions%23/files/x": "# or an encoded ?",
    "/v1/chat/completions%3f/files/x": "# or an encoded ?",
    "/v1/chat/completions%00/files/x": "control",
    "/v1/chat/completions%0d%0a/files/x": "control",
    "/v1/chat/completions\t/files/x": "control",
    "/v1/chat/completions /files/x": "control",
    "/v1/files/\u00c0\u00ae": "control",
    "/v1/files/%c0%ae%c0%ae/x": "UTF-8",
    "/v1/files/%ff": "UTF-8",
}

READ = {
    "/v1/chat//completions": "/v1/chat/completions",
    "//v1///chat/completions//": "/v1/chat/completions",
    "/v1/messages/": "/v1/messages",
    "/": "/",
    "//": "/",
    "/v1beta/models/gemini-2.5-pro%3AgenerateContent": "/v1beta/models/gemini-2.5-pro:generateContent",
    "/v1/files/a%20b%40c": "/v1/files/a b@c",
    "/v1/responses/resp_%C3%A9/cancel": "/v1/responses/resp_é/cancel",
    "/v1/files/.hidden": "/v1/files/.hidden",
    "/v1/files/..x/.y": "/v1/files/..x/.y",
}

USUAL = (
    "/v1/messages",
    "/v1/chat/completions",
    "/v1/models/ft:gpt-4o-2024-08-06:org::abc",
    "/v1beta/models/openai/gpt-4o:generateContent",
    "/v1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-flash:streamGenerateContent",
    "/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4@20250514:rawPredict",
    "/openai/deployments/my-gpt.4o_1~x/chat/completions",
    "/openai/v1/(a)!$&'*+,=:@x",
    "/p/gw/v1/messages",
)


@pytest.mark.parametrize("path", REFUSED)
def test_what_servers_read_in_different_ways_is_named_and_so_is_the_remedy(path: str) -> None:
    assert not usual(path)
    said = trouble("POST", path)
    assert REFUSED[path] in said, said
    assert ": " in said
    if REFUSED[path] != "slash":
        assert trouble("GET", path) == said
    assert trouble("POST", "/p/gw" + path) == said


def test_a_model_with_a_slash_in_its_name_can_be_looked_at_as_the_sdks_do() -> None:
    path = "/v1/models/openai%2Fgpt-4o"
    assert trouble("GET", path) == trouble("DELETE", path) == ""
    assert plain(path) == "/v1/models/openai/gpt-4o"
    assert "slash" in trouble("POST", path)
    for escapes in ("/p/gw/%2f..%2fteam-b", "/v1/files/x%2f..%2fy", "/v1/files/x%2F.."):
        assert "dots" in trouble("GET", escapes)


def test_all_else_is_read_decoded_and_without_empty_segments() -> None:
    assert {path: plain(path) for path in READ} == READ
    assert {path: trouble("POST", path) for path in READ if trouble("POST", path)} == {}
    assert not any(usual(path) for path in READ)
    for path in USUAL:
        assert usual(path)
        assert plain(path) == path
        assert trouble("POST", path) == ""


def test_no_path_takes_long() -> None:
    for path in (
        "/" * 60_000,
        "/." * 30_000,
        "%" * 60_000,
        "/v1/" + "%2" * 30_000,
        "/ " * 30_000,
        "/" + "." * 60_000 + "x",
    ):
        for read in (plain, usual):
            read(path)
        trouble("POST", path)


def mocked(sdk: Any, seen: list[tuple[str, str]]) -> Any:
    bases = (base.__module__.partition(".")[0] for base in sdk.DefaultHttpxClient.__mro__)
    http = importlib.import_module(next(name for name in bases if name.startswith("httpx")))
    return http.Client(transport=http.MockTransport(lambda request: noted(http, seen, request)))


def noted(http: Any, seen: list[tuple[str, str]], request: Any) -> Any:
    seen.append((request.method, request.url.raw_path.decode().partition("?")[0]))
    return http.Response(404, json={"error": {"message": "no"}})


def test_whatever_the_sdks_send_passes() -> None:
    """Ids and names with characters that they encode, Azure's deployments, Google's models and files."""
    seen: list[tuple[str, str]] = []
    gpt = openai.OpenAI(api_key="k", max_retries=0, http_client=mocked(openai, seen))
    azure = openai.AzureOpenAI(
        api_key="k", api_version="1", azure_endpoint="https://x.openai.azure.com", max_retries=0,
        http_client=mocked(openai, seen),
    )  # fmt: skip
    claude = anthropic.Anthropic(api_key="k", max_retries=0, http_client=mocked(anthropic, seen))
    import httpx

    transport = httpx.MockTransport(lambda request: noted(httpx, seen, request))
    options = types.HttpOptions(client_args={"transport": transport})
    gemini = genai.Client(api_key="k", http_options=options)
    hi: Any = [{"role": "user", "content": "hi"}]
    calls: Any = (
        lambda: gpt.models.retrieve("openai/gpt-4o"),
        lambda: gpt.models.delete("ft:gpt-4o:org::x y~z"),
        lambda: gpt.files.retrieve("file-ab c@d"),
        lambda: gpt.responses.cancel("resp_é"),
        lambda: azure.chat.completions.create(model="dep loy", messages=hi),
        lambda: claude.models.retrieve("a/b:c"),
        lambda: claude.messages.batches.cancel("msgbatch_1"),
        lambda: gemini.models.generate_content(model="models/gemini-2.5-flash", contents="hi"),
        lambda: gemini.models.generate_content(model="tunedModels/my-x", contents="hi"),
        lambda: gemini.models.generate_content(model="openai/gpt-4o", contents="hi"),
        lambda: gemini.models.embed_content(model="gemini-embedding-001", contents=["a", "b"]),
        lambda: gemini.files.get(name="files/a c"),
        lambda: gemini.batches.cancel(name="batches/1"),
    )
    for call in calls:
        with pytest.raises(Exception, match="404"):
            call()
    assert len(seen) == len(calls)
    assert {path: said for method, path in seen if (said := trouble(method, path))} == {}


@pytest.mark.parametrize(
    ("dialect", "path", "operation"),
    [
        ("openai", "/v1/chat//completions", Operation("chat", generates=True)),
        ("openai", "//v1/chat/completions/", Operation("chat", generates=True)),
        ("openai", "/v1/chat/completions/files/x", Operation("other", generates=True)),
        ("openai", "/v1/completions/moderations/x", Operation("other", generates=True)),
        ("openai", "/v1/images/generations/files", Operation("other", generates=True)),
        ("anthropic", "/v1/messages/batches/b", Operation("other", generates=True)),
        ("anthropic", "/v1/messages/batches/b//messages/x", Operation("other", generates=True)),
        ("anthropic", "/v1/messages/v1/files/x", Operation("other", generates=True)),
        ("anthropic", "/chat/completions", Operation("other", generates=True)),
        ("anthropic", "/gateway/v1/unheard", Operation("other", generates=True)),
        ("anthropic", "/api/chat", Operation("other", generates=True)),
        ("gemini", "/v1beta/files/x%3agenerateContent", Operation("generate", generates=True)),
        ("gemini", "/v1beta//models/g:generateContent", Operation("generate", generates=True)),
        ("gemini", "/v1beta/models/g:generateContent/files", Operation("generate", generates=True)),
        ("gemini", "/v1beta/models/g:generateContent/x:countTokens", Operation("generate", generates=True)),
        ("gemini", "/v1beta/models/g:unheard/files/x", Operation("other", generates=True)),
        ("gemini", "/v1beta/models/g:loadCodeAssist", Operation("other", generates=True)),
        ("gemini", "/v1beta/openai/chat/completions/files/x", Operation("other", generates=True)),
        ("gemini", "/upload/v1beta/files", Operation("other", free=True)),
        ("gemini", "/v1beta/files:register", Operation("other", free=True)),
        ("gemini", "/v1beta/openai/files", Operation("other", free=True)),
        ("anthropic", "/v1/messages/batches/b/cancel", Operation("batches", free=True)),
        ("anthropic", "/api/event_logging/batch", Operation("other")),
    ],
)
def test_what_a_call_asks_for_is_told_by_the_path_as_it_is_read(dialect: str, path: str, operation: Operation) -> None:
    assert DIALECTS[dialect].operation("POST", plain(path)) == operation
