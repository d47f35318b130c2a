"""Held against the providers' own client libraries: every string that they know is offered, or is named here with its reason."""

import functools
import importlib
import inspect
import json
import pkgutil
import re
from types import ModuleType
from typing import Any

import anthropic.types
import anthropic.types.beta
import openai.types
import openai.types.audio
import openai.types.beta
import openai.types.chat
import openai.types.responses
import pydantic
import pytest
from google.genai import types as google_types
from typing_extensions import is_typeddict

from tests.core.dialects.sdk import Planted, Sdk
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.dialects.walk import find_slots
from tokenman_core.sse import Event

MARK = "ma rk@x.test"
PLACEHOLDER = "[EMAIL_ADDRESS_0123456789ab]"

# Of requests, by the path of a string (a pattern, `k` is any key), with the reason why it goes out as it came.
_TOOL = r"(.*\.)?(tools|functions|function_declarations|functionDeclarations|tool)\."
LEFT_ALONE = {
    _TOOL + r"((custom|function|definition)\.)*name": "the name by which the program knows its tool again",
    r"(.*\.)?tool_choice\.([a-z]+\.)*name": "the same name",
    r"(.*\.)?mcp_servers\.name": "the name by which the program knows its server again",
    r"(.*\.)?mcp_servers\.(url|authorization_token)": "what the provider needs to reach the server; no model reads it",
    _TOOL + r"(authorization|headers\.k|server_url)": "what the provider needs to reach the server; no model reads it",
    _TOOL + r"(custom\.)?format\.(grammar\.)?definition": "the grammar of what a tool takes",
    r"(.*\.)?(parameters|response|response_?[sS]chema|schema|input_schema)\.(.*\.)?"
    r"(pattern|required|property_?[oO]rdering)": "names of members, and what a value must match",
    r"(.*\.)?messages\.content\.thinking": "covered by a signature",
}  # fmt: skip
_LEFT_ALONE = re.compile("|".join(f"(?:{each})" for each in LEFT_ALONE))
_APART = frozenset(
    {"tools", "mcp_servers", "functions", "functionDeclarations", "function_declarations", "tool_choice"}
)


def _modules(package: ModuleType) -> list[ModuleType]:
    found = pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    names = [each.name for each in found if each.name.endswith("_params")]
    return [importlib.import_module(each) for each in names if "_list_" not in each and "_retrieve_" not in each]


def request_types(package: ModuleType) -> list[Any]:
    """All types of bodies of requests."""
    return [
        kind
        for module in _modules(package)
        for kind in vars(module).values()
        if is_typeddict(kind) and kind.__module__ == module.__name__
    ]


def models(package: ModuleType) -> list[Any]:
    return [each for each in vars(package).values() if inspect.isclass(each) and issubclass(each, pydantic.BaseModel)]


@functools.cache
def requests(provider: str) -> list[Planted]:
    if provider.startswith("google"):
        sdk = Sdk(MARK, aliases=provider == "google", apart=_APART)
        return [leaf for kind in models(google_types) for leaf in sdk.strings(kind)]
    sdk = Sdk(MARK, apart=_APART)
    package = anthropic.types if provider == "anthropic" else openai.types
    return [leaf for kind in request_types(package) for leaf in sdk.strings(kind)]


PROVIDERS = {"anthropic": 2000, "openai": 2000, "google": 5000, "google, in snake case": 5000}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_string_that_a_client_library_can_send_is_offered_or_left_alone_for_a_reason(provider: str) -> None:
    leaves = requests(provider)
    assert len(leaves) > PROVIDERS[provider]
    hidden = {leaf.name for leaf in leaves if not any(MARK in slot.text for slot in find_slots(leaf.body))}
    assert hidden
    assert sorted(name for name in hidden if not _LEFT_ALONE.fullmatch(name)) == []


def test_every_reason_to_leave_a_string_alone_is_needed() -> None:
    hidden = [
        leaf.name
        for provider in PROVIDERS
        for leaf in requests(provider)
        if not any(MARK in slot.text for slot in find_slots(leaf.body))
    ]
    assert [each for each in LEFT_ALONE if not any(re.fullmatch(each, name) for name in hidden)] == []


# Of answers, likewise: a model writes in none of these, or writes there once more what is restored elsewhere.
NOT_RESTORED = {
    **LEFT_ALONE,
    r"(.*\.)?logprobs\.(.*\.)?tokens?": "tokens are pieces of a text that is restored as a whole",
    r"obfuscation": "noise that hides how long a piece is",
    r"id|item_id|model|system_fingerprint|choices\.delta\.tool_calls\.id": "the provider's own ids and words in a stream",
    r"choices\.delta\.(function_call|tool_calls\.function)\.name": "the name of a tool, which was never masked",
    r"(.*\.)?tool_choice\.(function\.)?name": "the same",
}
_NOT_RESTORED = re.compile("|".join(f"(?:{each})" for each in NOT_RESTORED))
_ANSWERS = (
    ("anthropic", "/v1/messages", "whole", anthropic.types.Message),
    ("anthropic", "/v1/messages", "whole", anthropic.types.beta.BetaMessage),
    ("anthropic", "/v1/messages", "sse", anthropic.types.RawMessageStreamEvent),
    ("anthropic", "/v1/messages", "sse", anthropic.types.beta.BetaRawMessageStreamEvent),
    ("openai", "/v1/chat/completions", "whole", openai.types.chat.ChatCompletion),
    ("openai", "/v1/chat/completions", "sse", openai.types.chat.ChatCompletionChunk),
    ("openai", "/v1/completions", "whole", openai.types.Completion),
    ("openai", "/v1/completions", "sse", openai.types.Completion),
    ("openai", "/v1/responses", "whole", openai.types.responses.Response),
    ("openai", "/v1/responses", "sse", openai.types.responses.ResponseStreamEvent),
    ("openai", "/v1/audio/transcriptions", "whole", openai.types.audio.TranscriptionVerbose),
    ("openai", "/v1/images/generations", "whole", openai.types.ImagesResponse),
    ("openai", "/v1/threads/x/runs", "sse", openai.types.beta.AssistantStreamEvent),
    ("gemini", "/v1beta/models/m:generateContent", "whole", google_types.GenerateContentResponse),
    ("gemini", "/v1beta/models/m:streamGenerateContent", "sse", google_types.GenerateContentResponse),
    ("generic", "/v1/whatever", "whole", openai.types.responses.Response),
    ("generic", "/v1/whatever", "sse", openai.types.responses.ResponseStreamEvent),
)  # fmt: skip


@pytest.mark.parametrize(("dialect", "path", "kind", "root"), _ANSWERS)
def test_every_string_that_an_answer_can_hold_is_offered_or_left_alone_for_a_reason(
    dialect: str, path: str, kind: Any, root: Any
) -> None:
    speaks = DIALECTS[dialect]
    hidden: set[str] = set()
    leaves = Sdk(PLACEHOLDER, apart=_APART).strings(root)
    assert leaves
    for leaf in leaves:
        data = json.dumps(leaf.body).encode()
        event = Event(data if kind == "whole" else b"data: " + data + b"\n\n", kind)
        speaks.reader(speaks.operation("POST", path)).read(event)
        if not any(PLACEHOLDER in slot.text for slot in event.slots):
            hidden.add(leaf.name)
    assert sorted(name for name in hidden if not _NOT_RESTORED.fullmatch(name)) == []
