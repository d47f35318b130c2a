"""Calls as programs make them, one an API, and exchanges made of them."""

import json
from typing import Any

from tokenman_core.body.read import read_body
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Caller, Exchange, Sent
from tokenman_core.providers import Provider
from tokenman_core.target import Addressed, Target
from tokenman_core.verdicts import Candidate, Headers

IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABijPjAAAAAElFTkSuQmCC"
TOOL = {
    "name": "read_file",
    "description": "Reads a file",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}
FUNCTION = {"name": "read_file", "description": "Reads a file", "parameters": TOOL["input_schema"], "strict": True}

MESSAGES: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 1024,
    "temperature": 0,
    "top_p": 0.9,
    "stream": True,
    "metadata": {"user_id": "user_1_session_2"},
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": "Look at this, [EMAIL_ADDRESS_0123456789ab]."},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2lnbmF0dXJl" * 12},
            {"type": "tool_use", "id": "toolu_01", "name": "read_file", "input": {"path": "a.txt", "lines": [1, 2]}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_01", "content": [{"type": "text", "text": "Grüße"}], "is_error": False},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}},
        ]},
    ],
    "tools": [TOOL],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "disabled"},
    "stop_sequences": ["END", ""],
    "invented_yesterday": {"depth": 2, "nothing": None},
}  # fmt: skip
COMPLETE: dict[str, Any] = {
    "model": "claude-2.1", "prompt": "\n\nHuman: Hi\n\nAssistant:", "max_tokens_to_sample": 100, "temperature": 0,
    "stop_sequences": ["\n\nHuman:"], "metadata": {"user_id": "u"}, "stream": False,
}  # fmt: skip
CHAT: dict[str, Any] = {
    "model": "gpt-5-mini",
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}", "detail": "low"}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a.txt"}'}}
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "text"},
    ],
    "temperature": 0.0,
    "seed": 2**70,
    "logit_bias": {"50256": -100},
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}},
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": "auto",
    "reasoning_effort": "low",
    "stop": None,
    "n": 1,
    "metadata": {"feature": "a"},
    "user": "u-1",
    "safety_identifier": "s-1",
    "prompt_cache_key": "k-1",
    "stream": True,
    "stream_options": {"include_usage": True},
}  # fmt: skip
COMPLETIONS: dict[str, Any] = {
    "model": "gpt-3.5-turbo-instruct", "prompt": ["Say hi", "Say ho"], "max_tokens": 5, "temperature": 0, "best_of": 1,
    "echo": False, "suffix": "!", "user": "u", "stream": False, "logprobs": None,
}  # fmt: skip
RESPONSES: dict[str, Any] = {
    "model": "gpt-5-mini",
    "instructions": "Be brief.",
    "input": [
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "Hi"}, {"type": "input_file", "file_id": "file-abc"}],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "Z0FBQUFB" * 16},
        {"type": "function_call", "call_id": "call_1", "name": "read_file", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "text"},
    ],
    "previous_response_id": "resp_1",
    "temperature": 0,
    "text": {"format": {"type": "text"}, "verbosity": "low"},
    "reasoning": {"effort": "low", "summary": None},
    "tools": [{"type": "function", **FUNCTION}],
    "tool_choice": "auto",
    "include": ["reasoning.encrypted_content"],
    "store": False,
    "metadata": {"feature": "a"},
    "user": "u-1",
    "safety_identifier": "s-1",
    "prompt_cache_key": "k-1",
    "stream": True,
    "stream_options": {"include_obfuscation": False},
}
EMBEDDINGS: dict[str, Any] = {
    "model": "text-embedding-3-small", "input": ["one", "two"], "dimensions": 256, "encoding_format": "float", "user": "u",
}  # fmt: skip
GENERATE: dict[str, Any] = {
    "contents": [
        {"role": "user", "parts": [{"text": "Hi"}, {"inlineData": {"mimeType": "image/png", "data": IMAGE}}]},
        {
            "role": "model",
            "parts": [{"functionCall": {"name": "read", "args": {"n": 1.5}}, "thoughtSignature": "c2ln" * 40}],
        },
        {"role": "user", "parts": [{"functionResponse": {"name": "read", "response": {"output": "x"}}}]},
    ],
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "generationConfig": {"temperature": 0, "seed": 7, "topK": 40, "thinkingConfig": {"thinkingBudget": 0}},
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "tools": [{"functionDeclarations": [FUNCTION]}],
    "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
}
CODE_ASSIST: dict[str, Any] = {
    "model": "gemini-2.5-pro", "project": "p", "user_prompt_id": "s########0",
    "request": {"contents": GENERATE["contents"], "generationConfig": {"temperature": 0}, "session_id": "s"},
}  # fmt: skip
EMBED: dict[str, Any] = {"content": {"parts": [{"text": "Hi"}]}, "taskType": "RETRIEVAL_QUERY"}

CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "messages": ("anthropic", "/v1/messages", MESSAGES),
    "complete": ("anthropic", "/v1/complete", COMPLETE),
    "chat": ("openai", "/v1/chat/completions", CHAT),
    "completions": ("openai", "/v1/completions", COMPLETIONS),
    "responses": ("openai", "/v1/responses", RESPONSES),
    "embeddings": ("openai", "/v1/embeddings", EMBEDDINGS),
    "generate": ("gemini", "/v1beta/models/gemini-2.5-flash:generateContent", GENERATE),
    "code assist": ("gemini", "/v1internal:generateContent", CODE_ASSIST),
    "embed": ("gemini", "/v1beta/models/gemini-embedding-001:embedContent", EMBED),
}
"""By a short name: dialect, path and body."""

KEYS = {"anthropic": b"x-api-key", "openai": b"authorization", "gemini": b"x-goog-api-key"}
CALLER = Caller("4711", login="key")


def asking(
    kind: str,
    body: Any = None,
    *,
    path: str = "",
    query: str = "",
    headers: Headers = (),
    caller: Caller = CALLER,
    method: str = "POST",
    content_type: bytes = b"application/json",
    raw: bytes | None = None,
) -> Exchange:
    """An exchange of one of CALLS, with another body if one is given (`raw`: its very bytes)."""
    name, usual, usual_body = CALLS[kind]
    dialect = DIALECTS[name]
    path = path or usual
    value = usual_body if body is None else body
    data = json.dumps(value, ensure_ascii=False).encode() if raw is None else raw
    operation = dialect.operation(method, path)
    head: Headers = ((b"Content-Type", content_type), (KEYS[name], b"sk-1"), *headers)
    exchange = Exchange("id", Sent(method, path, query, head, ""), dialect, operation, (), caller=caller)
    exchange.raw = data
    exchange.body = read_body(data, content_type, dialect, operation)
    exchange.target = Target(path, query)
    if exchange.target.slots:
        exchange.body = Addressed(exchange.target, exchange.body)
    exchange.model = dialect.model(operation, path, exchange.body.value)
    exchange.stream = dialect.streams(operation, path, exchange.body.value)
    exchange.plan = (Candidate(name, exchange.model),)
    return exchange


def provider(name: str = "anthropic", **more: Any) -> Provider:
    """A provider of the dialect of that name."""
    settings: dict[str, Any] = {"name": name, "scheme": "https", "host": f"api.{name}.example", "port": 443, **more}
    return Provider(dialect=DIALECTS[settings.pop("dialect", name)], **settings)
