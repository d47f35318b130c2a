"""Tells what in a request only one provider has or may get: its own ids, what it encrypted or signed, credentials for others."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_CONFIDED = frozenset({
    "mcp_servers", "mcpServers", "authorization", "authorization_token", "apiAuth", "api_key", "apiKey", "access_token", "headers",
    "extra_headers",
})  # fmt: skip
"""Credentials, and where they are. The address of an MCP server often is one."""

_STORED = frozenset({
    "file_id", "file_ids", "input_file_id", "training_file", "validation_file", "fileUri", "file_uri", "vector_store_id",
    "vector_store_ids", "assistant_id", "thread_id", "skill_id", "cachedContent", "cached_content",
})  # fmt: skip
_STORED_ABOVE = frozenset({"conversation", "prompt"})  # at the top of a body: the id, or an object with it
_MADE = frozenset({
    "previous_response_id", "container_id", "approval_request_id", "encrypted_content", "encrypted_index", "signature",
    "thoughtSignature", "thought_signature",
})  # fmt: skip
_MADE_OBJECTS = frozenset({"container", "audio"})  # the id, or an object with it
_LOOKED_UP = frozenset({"item_reference", "reasoning", "image_generation_call"})  # items whose `id` says what is meant

# What the program's own tools take and give, and the shapes of it: names in there are the program's.
_OWN = frozenset({
    "input_schema", "parameters", "parametersJsonSchema", "parameters_json_schema", "schema", "json_schema", "responseSchema",
    "response_schema", "responseJsonSchema", "response_json_schema", "metadata", "functionCall", "functionResponse",
    "function_call", "function_response", "arguments", "args",
})  # fmt: skip

_GIVEN = re.compile(
    rb'"(?:id|file_id|container_id|encrypted_content|encrypted_index|signature|thoughtSignature|thought_signature|data)"'
    rb'\s*+:\s*+"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
)


@dataclass(frozen=True)
class Bound:
    """`confided`: it holds a credential, or the address of a server that is to be asked by the provider.

    `stored`: ids of what other calls laid down there; `made`: what answers gave. Both in the order of the body.
    """

    confided: bool
    stored: tuple[str, ...]
    made: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.confided or bool(self.stored or self.made)


def bound(value: Any) -> Bound:
    """Of a request's parsed body."""
    confided, stored, made = False, list[str](), list[str]()
    left = [value]
    while left:
        it = left.pop()
        if type(it) is list:
            left.extend(reversed(it))
        if type(it) is not dict:
            continue
        kind = it.get("type")
        kind = kind if type(kind) is str else ""
        confided = confided or kind == "mcp"
        if kind == "redacted_thinking":
            made += _ids(it.get("data"))
        if kind in _LOOKED_UP:
            made += _ids(it.get("id"))
        inner = []
        for key, one in it.items():
            if key in _OWN or (key == "input" and kind.endswith("tool_use")):
                continue
            confided = confided or (key in _CONFIDED and bool(one))
            if key in _STORED or (it is value and key in _STORED_ABOVE and (key != "prompt" or type(one) is dict)):
                stored += _ids(one)
            elif key in _MADE or key in _MADE_OBJECTS:
                made += _ids(one)
            if type(one) is dict or type(one) is list:
                inner.append(one)
        left.extend(reversed(inner))
    return Bound(confided, tuple(stored), tuple(made))


def given(answer: bytes) -> Iterator[str]:
    """What an answer (whole, or a stream of events) gives that later calls may name."""
    for found in _GIVEN.finditer(answer):
        text = found[1]
        try:
            one: str = json.loads(b'"%s"' % text) if b"\\" in text else text.decode()
            one.encode()
        except ValueError:  # no JSON, no UTF-8, or a lone surrogate, which is in no name
            continue
        yield one


def _ids(value: Any) -> list[str]:
    if type(value) is dict:
        value = value.get("id")
    each = value if type(value) is list else [value]
    return [one for one in each if type(one) is str and one]
