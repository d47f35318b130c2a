"""Which calls the cache may answer: a table an API, near misses among the hits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.caching.questions import CALLS, FUNCTION, TOOL, asking
from tokenman_core.caching.eligible import Mode, bypassed
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Exchange

HI = [{"role": "user", "content": "Hi"}]
PLAIN: dict[str, dict[str, Any]] = {
    "messages": {"model": "m", "max_tokens": 9, "messages": HI},
    "complete": {"model": "m", "max_tokens_to_sample": 9, "prompt": "\n\nHuman: Hi\n\nAssistant:"},
    "chat": {"model": "m", "messages": HI},
    "completions": {"model": "m", "prompt": "Hi"},
    "responses": {"model": "m", "input": "Hi"},
    "generate": {"contents": [{"parts": [{"text": "Hi"}]}]},
    "code assist": {"model": "m", "project": "p", "request": {"contents": [{"parts": [{"text": "Hi"}]}]}},
}
NO_SEED = "it states neither a temperature of 0 nor a seed"
TOOLS = "it has tools at hand"
MORE = "it asks for more than an answer"
ELSEWHERE = "it names what stands elsewhere and can change"


def ask(kind: str, **more: Any) -> Exchange:
    """A plain call and some more of it; what belongs to Gemini's configuration or into Code Assist's wrapping stands there."""
    body = dict(PLAIN[kind])
    if kind == "code assist":
        body["request"] = {**body["request"], **more}
    else:
        body |= more
    return asking(kind, body)


def cold(kind: str, value: Any = 0, name: str = "temperature") -> dict[str, Any]:
    return {"generationConfig": {name: value}} if kind in ("generate", "code assist") else {name: value}


def said(exchange: Exchange, mode: Mode = "deterministic", *, tools: bool = False) -> str | None:
    return bypassed(exchange, mode, tools=tools)


# -- what is asked for --


@pytest.mark.parametrize(
    ("dialect", "method", "path", "mode"),
    [
        ("anthropic", "POST", "/v1/messages", None),
        ("anthropic", "POST", "/v1/complete", None),
        ("anthropic", "POST", "/v1/messages/count_tokens", MORE),
        ("anthropic", "POST", "/v1/messages/batches", MORE),
        ("anthropic", "GET", "/v1/messages/batches/b/results", MORE),
        ("anthropic", "POST", "/v1/files", MORE),
        ("anthropic", "GET", "/v1/models", MORE),
        ("anthropic", "POST", "/v1/invented", MORE),
        ("openai", "POST", "/v1/chat/completions", None),
        ("openai", "POST", "/v1/completions", None),
        ("openai", "POST", "/v1/responses", None),
        ("openai", "POST", "/backend-api/codex/responses", None),
        ("openai", "POST", "/v1/embeddings", None),
        ("openai", "POST", "/v1/responses/compact", MORE),
        ("openai", "POST", "/v1/responses/input_tokens", MORE),
        ("openai", "GET", "/v1/responses/resp_1", MORE),
        ("openai", "POST", "/v1/responses/resp_1/cancel", MORE),
        ("openai", "DELETE", "/v1/responses/resp_1", MORE),
        ("openai", "PUT", "/v1/chat/completions", MORE),
        ("openai", "GET", "/v1/chat/completions", MORE),
        ("openai", "POST", "/v1/images/generations", MORE),
        ("openai", "POST", "/v1/audio/speech", MORE),
        ("openai", "POST", "/v1/batches", MORE),
        ("openai", "POST", "/v1/moderations", MORE),
        ("openai", "POST", "/v1/conversations", MORE),
        ("openai", "POST", "/v1/invented", MORE),
        ("gemini", "POST", "/v1beta/models/m:generateContent", None),
        ("gemini", "POST", "/v1beta/models/m:streamGenerateContent", None),
        ("gemini", "POST", "/v1internal:streamGenerateContent", None),
        ("gemini", "POST", "/v1beta/models/m:embedContent", None),
        ("gemini", "POST", "/v1beta/models/m:batchEmbedContents", None),
        ("gemini", "POST", "/v1beta/models/m:asyncBatchEmbedContent", MORE),
        ("gemini", "POST", "/v1beta/models/m:batchGenerateContent", MORE),
        ("gemini", "POST", "/v1beta/models/m:predict", MORE),
        ("gemini", "POST", "/v1beta/models/m:predictLongRunning", MORE),
        ("gemini", "POST", "/v1beta/models/m:countTokens", MORE),
        ("gemini", "POST", "/v1internal:onboardUser", MORE),
        ("gemini", "POST", "/v1beta/cachedContents", MORE),
        ("gemini", "GET", "/v1beta/models", MORE),
        ("gemini", "GET", "/v1beta/models/m:generateContent", MORE),
        ("generic", "POST", "/v1/chat/completions", MORE),
    ],
)
def test_only_what_asks_for_an_answer_and_nothing_else(dialect: str, method: str, path: str, mode: str | None) -> None:
    kind = next(name for name, each in CALLS.items() if each[0] == ("openai" if dialect == "generic" else dialect))
    exchange = asking(kind, {"contents": []}, path=path, method=method)
    if dialect == "generic":
        exchange.dialect = DIALECTS["generic"]
        exchange.operation = exchange.dialect.operation(method, path)
    assert said(exchange, "all", tools=True) == mode


def test_a_body_that_is_no_object_is_bypassed() -> None:
    lines = asking("chat", raw=b'{"a":1}\n{"a":2}\n', content_type=b"application/jsonl")
    for exchange in (asking("chat", raw=b"[]"), lines):
        assert said(exchange, "all") == "its body is no JSON object"
    lines.body = None
    assert said(lines, "all") == "its body is no JSON object"


# -- temperature and seed --


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("value", [0, 0.0, -0.0])
def test_a_temperature_of_zero_is_deterministic(kind: str, value: float) -> None:
    assert said(ask(kind, **cold(kind, value))) is None


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("value", [0.01, 1, None, False, "0", [0], {"temperature": 0}])
def test_every_other_temperature_is_not(kind: str, value: Any) -> None:
    assert said(ask(kind, **cold(kind, value))) == NO_SEED
    assert said(ask(kind, **cold(kind, value)), "all") is None


@pytest.mark.parametrize("kind", PLAIN)
def test_none_stated_is_not_either(kind: str) -> None:
    assert said(ask(kind)) == NO_SEED
    assert said(ask(kind), "all") is None


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("value", [0, 7, 2**70, True, "7", 7.5, None])
def test_a_seed_where_the_api_has_one(kind: str, value: Any) -> None:
    seeded = type(value) is int and kind in ("chat", "completions", "generate", "code assist")
    assert said(ask(kind, **cold(kind, value, "seed"))) == (None if seeded else NO_SEED)


def test_only_where_the_api_looks_for_it() -> None:
    assert said(ask("generate", temperature=0, seed=1)) == NO_SEED
    assert said(ask("chat", generationConfig={"temperature": 0})) == NO_SEED
    assert said(ask("messages", metadata={"temperature": 0})) == NO_SEED
    assert said(ask("generate", generation_config={"temperature": 0})) is None
    assert said(asking("code assist", {**PLAIN["code assist"], "generationConfig": {"temperature": 0}})) == NO_SEED


@pytest.mark.parametrize("kind", ["embeddings", "embed"])
@pytest.mark.parametrize("mode", ["deterministic", "all"])
def test_embeddings_need_none(kind: str, mode: Mode) -> None:
    assert said(asking(kind), mode) is None


# -- tools --

IN_PLAY: list[tuple[str, dict[str, Any]]] = [
    ("messages", {"tools": [TOOL]}),
    ("messages", {"tools": [TOOL], "tool_choice": {"type": "auto"}}),
    ("messages", {"tools": [TOOL], "tool_choice": "none"}),  # not as this API says it
    ("messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    ("messages", {"tools": [{"type": "computer_20250124", "name": "computer"}]}),
    ("messages", {"mcp_servers": [{"type": "url", "name": "s"}]}),
    ("messages", {"mcp_servers": [{"name": "s"}], "tools": [TOOL], "tool_choice": {"type": "none"}}),
    ("messages", {"messages": [{"role": "system", "content": [{"type": "tool_addition", "tool": TOOL}]}]}),
    ("chat", {"tools": [{"type": "function", "function": FUNCTION}]}),
    ("chat", {"tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "auto"}),
    ("chat", {"tools": [{"type": "function", "function": FUNCTION}], "tool_choice": None}),
    ("chat", {"tools": [{"type": "function", "function": FUNCTION}], "function_call": "none"}),
    ("chat", {"functions": [FUNCTION]}),
    ("chat", {"functions": [FUNCTION], "tool_choice": "none"}),
    ("chat", {"web_search_options": {}}),
    ("chat", {"search_parameters": {"mode": "auto"}}),
    ("chat", {"data_sources": [{"type": "azure_search"}]}),
    ("chat", {"plugins": [{"id": "web"}]}),
    ("responses", {"tools": [{"type": "web_search"}]}),
    ("responses", {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}),
    ("responses", {"tools": [{"type": "mcp", "server_label": "s", "connector_id": "connector_gmail"}]}),
    ("responses", {"tools": [{"type": "function", **FUNCTION}], "tool_choice": "required"}),
    ("responses", {"prompt": {"id": "pmpt_1", "version": "3"}}),
    ("responses", {"input": [{"type": "additional_tools", "role": "developer", "tools": [FUNCTION]}]}),
    ("generate", {"tools": [{"functionDeclarations": [FUNCTION]}]}),
    ("generate", {"tools": {"functionDeclarations": [FUNCTION]}}),
    ("generate", {"tools": [{"googleSearch": {}}], "toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}),
    ("generate", {"tools": [{"functionDeclarations": [FUNCTION], "codeExecution": {}}],
                  "toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}),
    ("code assist", {"tools": [{"googleSearch": {}}]}),
]  # fmt: skip
OUT_OF_PLAY: list[tuple[str, dict[str, Any]]] = [
    ("messages", {"tools": [], "mcp_servers": []}),
    ("messages", {"tools": [TOOL], "tool_choice": {"type": "none"}}),
    ("messages", {"tool_choice": {"type": "auto"}}),
    ("chat", {"tools": None, "functions": []}),
    ("chat", {"tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "none"}),
    ("chat", {"functions": [FUNCTION], "function_call": "none"}),
    ("chat", {"web_search_options": None}),
    ("responses", {"tools": [{"type": "web_search"}], "tool_choice": "none"}),
    ("generate", {"tools": [{}], "toolConfig": {}}),
    ("generate", {"tools": [{"functionDeclarations": [FUNCTION]}], "toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}),
    ("generate", {"tools": [{"function_declarations": [FUNCTION]}],
                  "tool_config": {"function_calling_config": {"mode": "none"}}}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "more"), IN_PLAY)
def test_tools_at_hand_are_bypassed_unless_they_are_allowed(kind: str, more: dict[str, Any]) -> None:
    exchange = ask(kind, **more, **cold(kind))
    assert said(exchange) == TOOLS
    assert said(exchange, tools=True) is None
    assert said(exchange, "all") is None


@pytest.mark.parametrize(("kind", "more"), OUT_OF_PLAY)
def test_tools_that_cannot_be_called_do_not_count(kind: str, more: dict[str, Any]) -> None:
    assert said(ask(kind, **more, **cold(kind))) is None


# -- what makes the second call another --

HELD: list[tuple[str, dict[str, Any], str]] = [
    ("messages", {"container": "container_1"}, "it works in a container that the provider keeps"),
    ("messages", {"container": {"skills": [{"type": "anthropic", "skill_id": "pptx"}]}},
     "it works in a container that the provider keeps"),
    ("messages", {"thread": {"type": "create"}}, "it goes on with a conversation that the provider keeps"),
    ("messages", {"diagnostics": {"previous_message_id": None}}, "it asks about the call before it"),
    ("messages", {"diagnostics": {}}, "it asks about the call before it"),
    ("messages", {"fallback_credit_token": "t"}, "it redeems what can be redeemed once"),
    ("messages", {"max_tokens": 0}, "it only fills the provider's own cache"),
    ("messages", {"messages": [{"role": "user", "content": [
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}]}]}, ELSEWHERE),
    ("messages", {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}]}]}]}, ELSEWHERE),
    ("chat", {"store": True}, "the provider is to store it"),
    ("chat", {"modalities": ["text", "audio"], "audio": {"voice": "alloy"}}, "its answer names sound that expires"),
    ("chat", {"deferred": True}, "its answer is to be asked for later"),
    ("chat", {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}]}, ELSEWHERE),
    ("responses", {"background": True}, "its answer is to be asked for later"),
    ("responses", {"background_options": {"continuation_id": "c"}}, "its answer is to be asked for later"),
    ("responses", {"conversation": "conv_1"}, "it goes on with a conversation that the provider keeps"),
    ("responses", {"conversation": {"id": "conv_1"}}, "it goes on with a conversation that the provider keeps"),
    ("responses", {"prompt": {"id": "pmpt_1"}}, "the text of its prompt template can change"),
    ("responses", {"prompt": {"id": "pmpt_1", "version": None}}, "the text of its prompt template can change"),
    ("responses", {"prompt": {"id": "pmpt_1", "version": ""}}, "the text of its prompt template can change"),
    ("responses", {"prompt_cache_options": {"prewarm": True}}, "it only fills the provider's own cache"),
    ("responses", {"prompt_cache_options": {"comparison_response_id": "r"}}, "it asks about the call before it"),
    ("responses", {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "HTTPS://example.com/a"}]}]},
     ELSEWHERE),
    ("responses", {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://example.com/a"}]}]},
     ELSEWHERE),
    ("generate", {"cachedContent": "cachedContents/1"}, "it goes on with what the provider keeps for a time"),
    ("generate", {"cached_content": "cachedContents/1"}, "it goes on with what the provider keeps for a time"),
    ("code assist", {"cachedContent": "cachedContents/1"}, "it goes on with what the provider keeps for a time"),
    ("generate", {"contents": [{"parts": [{"fileData": {"fileUri": "files/mine"}}]}]}, ELSEWHERE),
    ("code assist", {"contents": [{"parts": [{"file_data": {"file_uri": "gs://bucket/a"}}]}]}, ELSEWHERE),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "more", "reason"), HELD)
@pytest.mark.parametrize("mode", ["deterministic", "all"])
def test_what_is_bypassed_in_either_mode(kind: str, more: dict[str, Any], reason: str, mode: Mode) -> None:
    assert said(ask(kind, **more, **cold(kind)), mode, tools=True) == reason


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("messages", {"container": None, "thread": None, "diagnostics": None, "fallback_credit_token": None}),
        ("messages", {"max_tokens": False}),
        ("messages", {"messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},  # what stands there never changes
            {"type": "text", "text": '{"type":"url","url":"https://example.com"} "image_url":"https://example.com"'},
        ]}]}),
        ("messages", {"messages": [{"role": "assistant", "content": [
            {"type": "tool_use", "id": "t", "name": "n", "input": {"type": "url", "url": "https://x", "image_url": "https://x"}},
        ]}]}),
        ("chat", {"store": False, "audio": None, "deferred": None}),
        ("chat", {"n": 3, "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "DATA:image/png;base64,aGk="}},
            {"type": "image_url", "image_url": "data:image/png;base64,aGk="},
        ]}]}),
        ("chat", {"tool_choice": "none", "tools": [
            {"type": "function", "function": {"name": "n", "parameters": {"properties": {"image_url": {"type": "string"}}}}}]}),
        ("completions", {"best_of": 3}),
        ("responses", {"background": False, "conversation": None, "prompt": None, "background_options": {},
                       "prompt_cache_options": {"mode": "implicit"}}),
        ("responses", {"store": True}),
        ("responses", {"previous_response_id": "resp_1", "input": [{"type": "item_reference", "id": "msg_1"}]}),
        ("generate", {"cachedContent": "", "contents": [{"parts": [{"functionCall": {"name": "n", "args": {"fileUri": "x"}}}]}]}),
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_not(kind: str, more: dict[str, Any]) -> None:
    assert said(ask(kind, **more, **cold(kind))) is None


def test_a_template_with_a_version_is_a_question_like_any_other() -> None:
    assert said(ask("responses", prompt={"id": "pmpt_1", "version": "3"}), "all") is None


@pytest.mark.parametrize("wide", [2**70, "\ud800"])
def test_an_address_is_found_whatever_stands_beside_it(wide: Any) -> None:
    exchange = ask("chat", temperature=0)
    assert exchange.body is not None
    there = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com"}}]}]
    body = {**PLAIN["chat"], "temperature": 0, "seed": wide}

    class Held:
        value: dict[str, Any] = body

    exchange.body = Held()  # type: ignore[assignment]
    assert said(exchange) is None
    Held.value = {**body, "messages": there}
    assert said(exchange) == ELSEWHERE


def test_an_address_in_an_escaped_key_is_found() -> None:
    raw = (
        b'{"model":"m","temperature":0,"messages":[{"role":"user","content":[{"type":"im\\u0061ge_url",'
        b'"im\\u0061ge_url" : {"url":"https://example.com"}}]}]}'
    )
    assert said(asking("chat", raw=raw)) == ELSEWHERE


def test_it_changes_nothing_of_the_call() -> None:
    for kind in CALLS:
        exchange = asking(kind)
        assert exchange.body is not None
        assert said(exchange, "all") is None
        assert not exchange.body.changed


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=4) | st.sampled_from(["type", "url", "image_url", "fileUri", "role"]), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
NAMES = st.sampled_from(
    ["temperature", "seed", "tools", "tool_choice", "generationConfig", "toolConfig", "prompt", "container", "mcp_servers", "store",
     "metadata", "request", "contents", "functions", "prompt_cache_options", "stream"]
)  # fmt: skip


@given(
    kind=st.sampled_from(sorted(PLAIN)),
    more=st.dictionaries(NAMES, JSON, max_size=4),
    mode=st.sampled_from(["deterministic", "all"]),
)
def test_no_body_makes_it_fail(kind: str, more: dict[str, Any], mode: Mode) -> None:
    exchange = asking(kind, {**PLAIN[kind], **more})
    reason = said(exchange, mode)
    assert reason is None or reason.startswith(("it ", "its ", "the "))
    assert said(exchange, mode, tools=True) in (None, reason)
