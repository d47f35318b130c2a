"""Which model a call asks for, and when that cannot be told; whose answer an answer is."""

import json
from typing import Any

import pytest

from tests.core.scripted import GOOD, World, call, provider
from tokenman_core.model_names import deployed, in_query, is_of
from tokenman_core.paths import model_in, plain

FLASH, PRO = "gemini-2.5-flash", "gemini-3-pro"
G = "/v1beta/models/gemini-2.5-flash:generateContent"
CHAT = "/v1/chat/completions"


def batch(model: str) -> Any:
    return {"batch": {"inputConfig": {"requests": {"requests": [{"request": {"model": f"models/{model}"}}]}}}}


AGREED: list[tuple[str, str, str, Any]] = [
    ("gemini", G, "", {}),
    ("gemini", G, "alt=sse", {"model": FLASH}),
    ("gemini", G, "", {"model": f"models/{FLASH}"}),
    ("gemini", "/v1beta//models//gemini-2.5-flash%3AgenerateContent", "", {"model": f"models/{FLASH}"}),
    ("gemini", "/v1beta/models/openai/gpt-4o:generateContent", "", {"model": "openai/gpt-4o"}),
    ("gemini", "/v1beta/models/ft:gpt-4o:org::abc:generateContent", "", {"model": "ft:gpt-4o:org::abc"}),
    ("gemini", "/v1beta/models/e:batchEmbedContents", "", {"requests": [{"model": "models/e"}, {"model": "models/e"}]}),
    ("gemini", f"/v1beta/models/{FLASH}:batchGenerateContent", "", batch(FLASH)),
    ("gemini", "/v1beta/tunedModels/x:generateContent", "", {}),
    ("gemini", "/v1beta/interactions", "", {"model": FLASH}),
    ("gemini", "/v1beta/cachedContents", "", {"model": f"models/{FLASH}"}),
    ("gemini", "/v1internal:generateContent", "", {"model": FLASH, "request": {"contents": []}}),
    (
        "gemini", f"/v1/projects/p/locations/l/publishers/google/models/{FLASH}:generateContent", "",
        {"model": f"projects/p/locations/l/publishers/google/models/{FLASH}"},
    ),
    ("openai", CHAT, "", {"model": "openai/gpt-4o"}),
    ("openai", CHAT, "model=gpt-4o", {"model": "gpt-4o"}),
    ("openai", CHAT, "", {"model": "accounts/fireworks/models/llama-v3"}),
    ("openai", CHAT, "", {"model": "m", "requests": [{"model": "n"}], "batch": {"model": "o"}}),
    ("openai", "/openai/deployments/my-own/chat/completions", "api-version=1", {"model": "gpt-4o"}),
    ("openai", "/v1/models/acme/large/predictions", "", {"model": "acme/large"}),
    ("openai", "/v1/models/llama3:8b/predictions", "", {"model": "llama3:8b"}),
    ("openai", CHAT, "", {"model": "m", "Metadata": {}, "x_Model": "n", "user": "Model"}),
    ("openai", CHAT, "Models=x&mode=y;&model", {"model": "m"}),
    ("openai", CHAT, "", {"model": None}),
    ("generic", "/", "", {"Model": "hunyuan-lite", "Messages": []}),
    ("anthropic", "/bedrock/model/anthropic.claude-4-v1:0/invoke", "", {"messages": []}),
    ("openai", "/bedrock/model/openai.gpt-oss-120b-1:0/converse-stream", "", {"model": "openai.gpt-oss-120b-1:0"}),
    ("anthropic", "/v1/projects/p/publishers/anthropic/models/claude-4@20250514:rawPredict", "", {"messages": []}),
]  # fmt: skip

MORE_THAN_ONE: list[tuple[str, str, str, Any]] = [
    ("gemini", G, "", {"model": PRO}),
    ("gemini", G, "", {"model": f"models/{PRO}"}),
    ("gemini", "/v1beta/Models/gemini-2.5-flash:generateContent", "", {"model": PRO}),
    ("gemini", f"/v1beta/models/{FLASH}/models/{PRO}:generateContent", "", {}),
    ("gemini", G, f"model={PRO}", {}),
    ("gemini", "/v1beta/tunedModels/x:generateContent", "", {"model": FLASH}),
    ("gemini", f"/v1beta/models/{FLASH}:batchGenerateContent", "", batch(PRO)),
    ("gemini", "/v1beta/models/e:batchEmbedContents", "", {"requests": [{"model": "models/e"}, {"model": "models/f"}]}),
    ("openai", CHAT, "model=gpt-5", {"model": "gpt-4o-mini"}),
    ("openai", CHAT, "%6dodel=gpt-5", {"model": "gpt-4o-mini"}),
    ("openai", "/v1/models/acme/large/predictions", "", {"model": "acme/small"}),
    ("anthropic", "/v1/projects/p/models/claude-opus-5:rawPredict", "", {"model": "claude-haiku-4-5"}),
    ("openai", CHAT, "Model=gpt-5", {"model": "gpt-4o-mini"}),
    ("openai", CHAT, "model[]=gpt-5", {"model": "gpt-4o-mini"}),
    ("openai", CHAT, "%4dodel%5B0%5D=gpt-5", {"model": "gpt-4o-mini"}),
    ("openai", CHAT, "a=1;model=gpt-5", {"model": "gpt-4o-mini"}),
    ("openai", CHAT, "a=1&+model=gpt-5", {"model": "gpt-4o-mini"}),
    ("anthropic", "/bedrock/model/anthropic.claude-opus-5/invoke", "", {"model": "claude-haiku-4-5"}),
    ("openai", "/bedrock/model/anthropic.claude-opus-5/converse", "", {"model": "gpt-4o-mini"}),
    ("openai", "/model/arn:aws:bedrock:x/anthropic.claude/converse-stream", "", {"model": "gpt-4o-mini"}),
]

OTHER_CASE: list[tuple[str, str, str, Any]] = [
    ("openai", CHAT, "", {"model": "gpt-4o-mini", "Model": "gpt-5-pro"}),
    ("openai", CHAT, "", {"model": "gpt-4o-mini", "max_tokens": 1, "Max_Tokens": 9_000_000}),
    ("openai", CHAT, "", {"model": "gpt-4o-mini", "max_to\u212aens": 9_000_000}),
    ("openai", CHAT, "", {"model": "gpt-4o-mini", "me\u017fsages": []}),
    ("openai", CHAT, "", {"MODEL": "gpt-5-pro"}),
    ("openai", CHAT, "", {"model": "gpt-4o-mini", "N": 100}),
    ("anthropic", "/v1/messages", "", {"model": "claude-haiku-4-5", "Stream": True}),
    ("gemini", G, "", {"Contents": []}),
    ("gemini", G, "", {"generationconfig": {}}),
    ("gemini", G, "", {"Model": PRO}),
    ("generic", "/", "", {"model": "a", "Model": "b"}),
    ("generic", "/", "", {"Model": "a", "MODEL": "b"}),
]
NO_STRINGS: list[tuple[str, str, str, Any]] = [
    ("openai", CHAT, "", {"model": ["gpt-5-pro"]}),
    ("openai", CHAT, "", {"model": {"id": "gpt-5-pro"}}),
    ("gemini", G, "", {"model": 5}),
    ("anthropic", "/v1/messages/count_tokens", "", {"model": False}),
]

NO_NAMES: list[tuple[str, str, str, Any]] = [
    ("openai", CHAT, "", {"model": "gpt-4o-mini/../gpt-5"}),
    ("openai", CHAT, "", {"model": "gpt%2d5"}),
    ("anthropic", "/v1/messages", "", {"model": r"claude-haiku\\claude-opus"}),
    ("gemini", "/v1beta/models/gemini..flash:generateContent", "", {}),
    ("gemini", "/v1beta/interactions", "", {"model": f"{FLASH}/../{PRO}"}),
    *(
        ("openai", CHAT, "", {"model": name})
        for name in ("gpt-4o?x", "gpt-4o#x", " gpt-5", "gpt 5", "gpt-5\n", "gpt\0", "\xa0g")
    ),
]


async def asked(dialect: str, path: str, query: str, body: Any) -> tuple[int, str, int]:
    world = World({"a": [GOOD]}, providers=(provider("a", dialect),), routes=())
    head, said = await world.carry(call(json.dumps(body).encode(), dialect=dialect, path=path, query=query))
    return head.status, said.decode(), len(world.upstream.requests)


@pytest.mark.parametrize("it", AGREED, ids=range(len(AGREED)))
async def test_one_model_named_in_several_places_or_ways_is_one(it: Any) -> None:
    status, said, sent = await asked(*it)
    assert (status, sent) == (200, 1), said


@pytest.mark.parametrize("it", MORE_THAN_ONE, ids=range(len(MORE_THAN_ONE)))
async def test_who_names_two_models_gets_neither(it: Any) -> None:
    status, said, sent = await asked(*it)
    assert (status, sent) == (400, 0)
    assert "names more than one model" in said


@pytest.mark.parametrize("it", NO_NAMES, ids=range(len(NO_NAMES)))
async def test_what_a_gateway_could_take_for_a_path_is_no_name(it: Any) -> None:
    status, said, sent = await asked(*it)
    assert (status, sent) == (400, 0)
    assert "The name of a model holds" in said


async def test_keys_that_a_server_may_take_for_others_are_refused() -> None:
    for it in OTHER_CASE:
        status, said, sent = await asked(*it)
        assert (status, sent) == (400, 0), it
        assert "a key in another case" in said, it


async def test_a_model_that_is_no_string_is_refused() -> None:
    for it in NO_STRINGS:
        status, said, sent = await asked(*it)
        assert (status, sent) == (400, 0), it
        assert "model is no string" in said, it


def test_where_a_path_and_a_query_name_a_model() -> None:
    assert model_in("/v1beta/models/g-2:streamGenerateContent") == "g-2"
    assert model_in("/v1beta/MODELS/g-2") == "g-2"
    assert model_in(plain("/v1beta/models/g-2%3AcountTokens")) == "g-2"
    assert model_in("/v1/messages") == ""
    assert deployed("/openai/deployments/x/chat/completions") == deployed("/v1/engines/x/completions") == "x"
    assert deployed("/v1/chat/completions") == ""
    assert deployed("/model/anthropic.claude-4-v1:0/invoke-with-response-stream") == "anthropic.claude-4-v1:0"
    assert in_query("beta=true") == in_query("") == []
    assert in_query("a=%20&model=x&model=y") == ["x", "y"]


@pytest.mark.parametrize(
    ("asked", "answered", "of"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4", "gpt-4-0613", True),
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", True),
        ("claude-sonnet-4@20250514", "claude-sonnet-4-20250514", True),
        ("gemini-2.5-flash", "models/gemini-2.5-flash-preview-05-20", True),
        ("gemini-2.5-flash", "gemini-2.5-flash-001", True),
        ("mistral-large-latest", "mistral-large-2411", True),
        ("openai/gpt-4o-mini", "gpt-4o-mini-2024-07-18", True),
        ("Meta/Llama-3", "meta/llama-3", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4", "gpt-4.1", False),
        ("claude-sonnet-4", "claude-sonnet-4-5-20250929", False),
        ("gemini-2.5-flash", "gemini-2.5-flash-lite", False),
        ("gemini-2.5-flash", "gemini-3-pro", False),
        ("gpt-4o", "gpt-4o" + "-2024-08-06" * 20_000, False),
        ("", "gpt-4o", False),
    ],
)
def test_a_version_of_a_model_is_that_model(asked: str, answered: str, of: bool) -> None:
    assert is_of(answered, asked) is of
