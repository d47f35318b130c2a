"""Values in every corner of every dialect, under every disguise: nothing of them may be left in the bytes that go out."""

import base64
import html
import json
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from tests.core.redaction.conftest import InProcess
from tokenman_core.body.read import read_body
from tokenman_core.config.models import Redaction as Settings
from tokenman_core.dialects.anthropic import Anthropic
from tokenman_core.dialects.base import Dialect
from tokenman_core.dialects.gemini import Gemini
from tokenman_core.dialects.openai import OpenAI
from tokenman_core.redaction import Redactor
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Re2Gate

MAIL, CARD, IBAN = "jane.doe@corp-mail.com", "4539148803436467", "DE89 3704 0044 0532 0130 00"
KEY = "ghp_ixhuWC7hQ2mZ9kTb4LsXv8NcRy6PdJ3f5Ga1"
ALL = f"mail {MAIL} key {KEY} card {CARD} iban {IBAN}"
TEXTS = {"all": (ALL, (MAIL, CARD, IBAN, KEY)), "mail": (MAIL, (MAIL,)), "card": (CARD, (CARD,)), "key": (KEY, (KEY,))}
DIALECTS: dict[str, Dialect] = {"a": Anthropic(), "o": OpenAI(), "r": OpenAI(), "g": Gemini(), "x": OpenAI()}
REDACTOR = Redactor(Settings(), b"k" * 32, InProcess(Detector(Re2Gate())))
_DEEPEST = 4


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def esc(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


def readings(text: str, depth: int = _DEEPEST) -> Iterator[str]:
    """A text as whoever wants to may read it: percent-decoded, without references and escapes, out of base64 and hexadecimal."""
    yield text
    if not depth:
        return
    for other in (
        urllib.parse.unquote(text),
        html.unescape(text),
        text.replace("\u200b", ""),
        re.sub(r"\\+u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text),
    ):
        if other != text:
            yield from readings(other, depth - 1)
    for match in re.finditer(r"[A-Za-z0-9+/_-]{16,}={0,2}", text):
        coded = match[0].rstrip("=").translate(str.maketrans("-_", "+/"))
        try:
            yield from readings(base64.b64decode(coded + "=" * (-len(coded) % 4)).decode(), depth - 1)
        except ValueError:
            pass
        try:
            yield bytes.fromhex(match[0]).decode()
        except ValueError:
            pass


def shows(body: bytes, value: str) -> bool:
    bare = value.replace(" ", "")
    return any(bare in each.replace(" ", "") for each in readings(body.decode()))


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def messages(**members: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]} | members


def chat(**members: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "x"}]} | members


def responses(**members: Any) -> dict[str, Any]:
    return {"model": "m", "input": "x"} | members


def gemini(*parts: Any, **members: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": list(parts) or [{"text": "x"}]}]} | members


CHAT, RESPONSES, GENERATE = "/v1/chat/completions", "/v1/responses", "/v1beta/models/gemini-2.5-pro:generateContent"


def bodies(t: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A word for the place (its first letter: the dialect), the path, and a body that holds the text there."""
    yield "a stop_sequences", "/v1/messages", messages(stop_sequences=[t])
    yield "a metadata", "/v1/messages", messages(metadata={"user_id": t})
    yield (
        "a metadata json",
        "/v1/messages",
        messages(metadata={"user_id": json.dumps({"device_id": "x", "account": t})}),
    )
    yield (
        "a tool desc",
        "/v1/messages",
        messages(
            tools=[
                {
                    "name": "f",
                    "description": t,
                    "input_schema": {
                        "type": "object",
                        "properties": {
                            "a": {
                                "type": "string",
                                "description": t,
                                "examples": [t],
                                "enum": [t],
                                "const": t,
                                "default": t,
                                "title": t,
                            }
                        },
                        "description": t,
                        "$comment": t,
                    },
                }
            ]
        ),
    )
    yield (
        "a tool examples",
        "/v1/messages",
        messages(tools=[{"name": "f", "input_schema": {"type": "object"}, "input_examples": [{"a": t}, {t: 1}]}]),
    )
    yield (
        "a mcp",
        "/v1/messages",
        messages(
            mcp_servers=[
                {
                    "type": "url",
                    "url": "https://x",
                    "name": "n",
                    "description": t,
                    "tool_configuration": {"allowed_tools": [t]},
                }
            ]
        ),
    )
    yield "a container", "/v1/messages", messages(container={"skills": [{"skill_id": t}]})
    yield "a context mgmt", "/v1/messages", messages(context_management={"edits": [{"type": "x", "keep": t}]})
    yield (
        "a tool_result nested",
        "/v1/messages",
        messages(
            messages=[
                user(
                    {
                        "type": "tool_result",
                        "tool_use_id": "t",
                        "content": [
                            {"type": "text", "text": json.dumps({"a": json.dumps({"b": json.dumps({"c": t})})})}
                        ],
                    }
                )
            ]
        ),
    )
    yield (
        "a search_result",
        "/v1/messages",
        messages(
            messages=[
                user(
                    {
                        "type": "search_result",
                        "source": t,
                        "title": t,
                        "content": [{"type": "text", "text": t}],
                        "citations": {"enabled": True},
                    }
                )
            ]
        ),
    )
    yield (
        "a document ctx",
        "/v1/messages",
        messages(
            messages=[
                user(
                    {
                        "type": "document",
                        "source": {"type": "content", "content": [{"type": "text", "text": t}]},
                        "title": t,
                        "context": t,
                    }
                )
            ]
        ),
    )
    yield (
        "a document b64",
        "/v1/messages",
        messages(
            messages=[
                user({"type": "document", "source": {"type": "base64", "media_type": "text/plain", "data": b64(t)}})
            ]
        ),
    )
    yield (
        "a document b64 app",
        "/v1/messages",
        messages(
            messages=[
                user(
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/octet-stream", "data": b64(t)},
                    }
                )
            ]
        ),
    )
    yield (
        "a image b64 is text",
        "/v1/messages",
        messages(
            messages=[user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": b64(t)}})]
        ),
    )
    yield (
        "a image url",
        "/v1/messages",
        messages(
            messages=[
                user({"type": "image", "source": {"type": "url", "url": "https://x/?a=" + urllib.parse.quote(t)}})
            ]
        ),
    )
    yield (
        "a mcp_tool_result",
        "/v1/messages",
        messages(
            messages=[
                {
                    "role": "assistant",
                    "content": [
                        {
                            "type": "mcp_tool_use",
                            "id": "mcptoolu_1",
                            "name": "f",
                            "server_name": "s",
                            "input": {"q": t, t: 1},
                        },
                        {
                            "type": "mcp_tool_result",
                            "tool_use_id": "mcptoolu_1",
                            "content": [{"type": "text", "text": t}],
                        },
                    ],
                }
            ]
        ),
    )
    yield (
        "a code_exec",
        "/v1/messages",
        messages(
            messages=[
                {
                    "role": "assistant",
                    "content": [
                        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "bash", "input": {"command": t}},
                        {
                            "type": "bash_code_execution_tool_result",
                            "tool_use_id": "srvtoolu_1",
                            "content": {
                                "type": "bash_code_execution_result",
                                "stdout": t,
                                "stderr": t,
                                "return_code": 0,
                                "content": [],
                            },
                        },
                    ],
                }
            ]
        ),
    )
    yield (
        "a web_search_result",
        "/v1/messages",
        messages(
            messages=[
                {
                    "role": "assistant",
                    "content": [
                        {
                            "type": "web_search_tool_result",
                            "tool_use_id": "srvtoolu_1",
                            "content": [
                                {
                                    "type": "web_search_result",
                                    "title": t,
                                    "url": "https://x/" + urllib.parse.quote(t),
                                    "page_age": t,
                                    "encrypted_content": "E" * 200,
                                }
                            ],
                        }
                    ],
                }
            ]
        ),
    )
    yield (
        "a citations",
        "/v1/messages",
        messages(
            messages=[
                {
                    "role": "assistant",
                    "content": [
                        {
                            "type": "text",
                            "text": "x",
                            "citations": [{"type": "char_location", "cited_text": t, "document_title": t}],
                        }
                    ],
                }
            ]
        ),
    )
    yield (
        "a thinking unsigned",
        "/v1/messages",
        messages(messages=[{"role": "assistant", "content": [{"type": "thinking", "thinking": t}]}]),
    )
    yield "a b64 in text", "/v1/messages", messages(messages=[user({"type": "text", "text": "see " + b64(t)})])
    yield (
        "a b64 b64 in text",
        "/v1/messages",
        messages(messages=[user({"type": "text", "text": "see " + b64("it is " + b64(t))})]),
    )
    yield (
        "a b64 3",
        "/v1/messages",
        messages(messages=[user({"type": "text", "text": "see " + b64("it is " + b64("and " + b64(t)))})]),
    )
    yield (
        "a data url in text",
        "/v1/messages",
        messages(messages=[user({"type": "text", "text": "see data:text/plain;base64," + b64(t)})]),
    )
    yield (
        "a percent",
        "/v1/messages",
        messages(messages=[user({"type": "text", "text": "https://x/?q=" + urllib.parse.quote(t)})]),
    )
    yield (
        "a percent2",
        "/v1/messages",
        messages(
            messages=[user({"type": "text", "text": "https://x/?q=" + urllib.parse.quote(urllib.parse.quote(t))})]
        ),
    )
    yield (
        "a percent all",
        "/v1/messages",
        messages(messages=[user({"type": "text", "text": "https://x/?q=" + "".join(f"%{c:02X}" for c in t.encode())})]),
    )
    yield (
        "a html",
        "/v1/messages",
        messages(messages=[user({"type": "text", "text": "".join(f"&#{ord(c)};" for c in t)})]),
    )
    yield "a hex", "/v1/messages", messages(messages=[user({"type": "text", "text": t.encode().hex()})])
    yield "a uescape", "/v1/messages", messages(messages=[user({"type": "text", "text": esc(t)})])
    yield (
        "a uescape in b64",
        "/v1/messages",
        messages(messages=[user({"type": "text", "text": b64(json.dumps({"a": esc(t)}))})]),
    )
    yield "a zero width", "/v1/messages", messages(messages=[user({"type": "text", "text": "\u200b".join(t)})])
    yield "a role other", "/v1/messages", messages(messages=[{"role": t, "content": "x"}])
    yield "a keys", "/v1/messages", messages(**{t: 1})
    yield "a system key", "/v1/messages", messages(system=[{"type": "text", "text": "x", "note": {t: "y"}}])
    yield "a model", "/v1/messages", messages(model=t)
    yield "o developer", CHAT, chat(messages=[{"role": "developer", "content": t}])
    yield "o name", CHAT, chat(messages=[{"role": "user", "name": t, "content": "x"}])
    yield "o prediction", CHAT, chat(prediction={"type": "content", "content": t})
    yield "o prediction list", CHAT, chat(prediction={"type": "content", "content": [{"type": "text", "text": t}]})
    yield (
        "o response_format",
        CHAT,
        chat(
            response_format={
                "type": "json_schema",
                "json_schema": {
                    "name": "n",
                    "description": t,
                    "schema": {
                        "type": "object",
                        "properties": {"a": {"type": "string", "description": t, "examples": [t]}},
                    },
                },
            }
        ),
    )
    yield (
        "o response_format name",
        CHAT,
        chat(response_format={"type": "json_schema", "json_schema": {"name": t, "schema": {"type": "object"}}}),
    )
    yield "o stop", CHAT, chat(stop=[t])
    yield "o stop str", CHAT, chat(stop=t)
    yield "o logit_bias", CHAT, chat(logit_bias={t: -100})
    yield "o user", CHAT, chat(user=t)
    yield "o safety id", CHAT, chat(safety_identifier=t, prompt_cache_key=t)
    yield "o metadata", CHAT, chat(metadata={"a": t, t: "b"})
    yield (
        "o functions",
        CHAT,
        chat(
            functions=[
                {
                    "name": "f",
                    "description": t,
                    "parameters": {"type": "object", "properties": {"a": {"description": t}}},
                }
            ]
        ),
    )
    yield (
        "o function_call",
        CHAT,
        chat(
            messages=[
                {
                    "role": "assistant",
                    "content": None,
                    "function_call": {"name": "f", "arguments": json.dumps({"a": t, t: 1})},
                }
            ]
        ),
    )
    yield (
        "o tool_calls",
        CHAT,
        chat(
            messages=[
                {
                    "role": "assistant",
                    "tool_calls": [
                        {
                            "id": "call_1",
                            "type": "function",
                            "function": {"name": "f", "arguments": json.dumps({"a": json.dumps({"b": t})})},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": json.dumps({"a": t})},
            ]
        ),
    )
    yield (
        "o tool_calls broken",
        CHAT,
        chat(
            messages=[
                {
                    "role": "assistant",
                    "tool_calls": [
                        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": "' + t}}
                    ],
                }
            ]
        ),
    )
    yield "o tool name", CHAT, chat(messages=[{"role": "tool", "tool_call_id": "call_1", "name": t, "content": "x"}])
    yield "o tool id", CHAT, chat(messages=[{"role": "tool", "tool_call_id": t, "content": "x"}])
    yield (
        "o custom tool",
        CHAT,
        chat(
            messages=[
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "call_1", "type": "custom", "custom": {"name": "f", "input": t}}],
                }
            ]
        ),
    )
    yield "o refusal", CHAT, chat(messages=[{"role": "assistant", "refusal": t}])
    yield "o audio", CHAT, chat(messages=[{"role": "assistant", "audio": {"id": t}}])
    yield "o reasoning_content", CHAT, chat(messages=[{"role": "assistant", "content": "x", "reasoning_content": t}])
    yield (
        "o reasoning_details",
        CHAT,
        chat(
            messages=[
                {
                    "role": "assistant",
                    "content": "x",
                    "reasoning_details": [{"type": "reasoning.text", "text": t, "signature": "x"}],
                }
            ]
        ),
    )
    yield (
        "o file data",
        CHAT,
        chat(
            messages=[user({"type": "file", "file": {"filename": t, "file_data": "data:text/plain;base64," + b64(t)}})]
        ),
    )
    yield (
        "o file data pdf lie",
        CHAT,
        chat(
            messages=[
                user(
                    {
                        "type": "file",
                        "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64," + b64(t)},
                    }
                )
            ]
        ),
    )
    yield (
        "o image_url",
        CHAT,
        chat(messages=[user({"type": "image_url", "image_url": {"url": "https://x/?" + urllib.parse.quote(t)}})]),
    )
    yield (
        "o image_url svg",
        CHAT,
        chat(
            messages=[
                user(
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/svg+xml;base64," + b64("<svg>" + t + "</svg>")},
                    }
                )
            ]
        ),
    )
    yield (
        "o data url plain",
        CHAT,
        chat(messages=[user({"type": "image_url", "image_url": {"url": "data:text/plain," + urllib.parse.quote(t)}})]),
    )
    yield (
        "o web search",
        CHAT,
        chat(web_search_options={"user_location": {"type": "approximate", "approximate": {"city": t}}}),
    )
    yield "o completions", "/v1/completions", {"model": "m", "prompt": [t, t], "suffix": t}
    yield "o embeddings", "/v1/embeddings", {"model": "m", "input": [t]}
    yield "o images", "/v1/images/generations", {"prompt": t}
    yield "o moderation", "/v1/moderations", {"input": [{"type": "text", "text": t}]}
    yield "r instructions", RESPONSES, responses(instructions=t)
    yield "r input", RESPONSES, responses(input=t)
    yield (
        "r reasoning",
        RESPONSES,
        responses(
            input=[
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [{"type": "summary_text", "text": t}],
                    "content": [{"type": "reasoning_text", "text": t}],
                }
            ]
        ),
    )
    yield (
        "r reasoning enc text",
        RESPONSES,
        responses(input=[{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": t}]),
    )
    yield (
        "r function_call",
        RESPONSES,
        responses(
            input=[
                {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": json.dumps({"a": t, t: 1})},
                {"type": "function_call_output", "call_id": "call_1", "output": json.dumps({"a": t})},
            ]
        ),
    )
    yield (
        "r function_call out list",
        RESPONSES,
        responses(
            input=[{"type": "function_call_output", "call_id": "call_1", "output": [{"type": "input_text", "text": t}]}]
        ),
    )
    yield (
        "r shell",
        RESPONSES,
        responses(
            input=[
                {
                    "type": "local_shell_call",
                    "call_id": "c",
                    "action": {"type": "exec", "command": ["echo", t], "env": {"A": t, t: "x"}},
                },
                {"type": "local_shell_call_output", "id": "x", "output": t},
            ]
        ),
    )
    yield (
        "r custom",
        RESPONSES,
        responses(
            input=[
                {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": t},
                {"type": "custom_tool_call_output", "call_id": "c", "output": t},
            ]
        ),
    )
    yield (
        "r computer",
        RESPONSES,
        responses(
            input=[
                {"type": "computer_call", "call_id": "c", "action": {"type": "type", "text": t}},
                {
                    "type": "computer_call_output",
                    "call_id": "c",
                    "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,iVBORw0KGgoAAAA="},
                    "acknowledged_safety_checks": [{"id": "x", "message": t}],
                },
            ]
        ),
    )
    yield (
        "r mcp",
        RESPONSES,
        responses(
            input=[
                {
                    "type": "mcp_call",
                    "id": "mcp_1",
                    "name": "f",
                    "server_label": "s",
                    "arguments": json.dumps({"a": t}),
                    "output": t,
                    "error": t,
                },
                {
                    "type": "mcp_list_tools",
                    "server_label": "s",
                    "tools": [
                        {
                            "name": "f",
                            "description": t,
                            "input_schema": {"type": "object", "properties": {"x": {"description": t}}},
                            "annotations": {"title": t},
                        }
                    ],
                },
            ]
        ),
    )
    yield (
        "r mcp approval",
        RESPONSES,
        responses(
            input=[
                {
                    "type": "mcp_approval_request",
                    "id": "mcpr_1",
                    "name": "f",
                    "server_label": "s",
                    "arguments": json.dumps({"a": t}),
                },
                {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True, "reason": t},
            ]
        ),
    )
    yield (
        "r web search",
        RESPONSES,
        responses(
            input=[
                {
                    "type": "web_search_call",
                    "id": "ws_1",
                    "status": "completed",
                    "action": {"type": "search", "query": t, "queries": [t]},
                }
            ]
        ),
    )
    yield (
        "r file search",
        RESPONSES,
        responses(
            input=[
                {
                    "type": "file_search_call",
                    "id": "fs_1",
                    "queries": [t],
                    "results": [{"file_id": "file_1", "filename": t, "text": t, "attributes": {"a": t}}],
                }
            ]
        ),
    )
    yield (
        "r code interp",
        RESPONSES,
        responses(
            input=[
                {
                    "type": "code_interpreter_call",
                    "id": "ci_1",
                    "code": t,
                    "container_id": "cntr_1",
                    "outputs": [{"type": "logs", "logs": t}],
                }
            ]
        ),
    )
    yield "r image gen", RESPONSES, responses(input=[{"type": "image_generation_call", "id": "ig_1", "result": b64(t)}])
    yield (
        "r text format",
        RESPONSES,
        responses(
            text={
                "format": {
                    "type": "json_schema",
                    "name": "n",
                    "description": t,
                    "schema": {"type": "object", "properties": {"a": {"description": t, "enum": [t]}}},
                }
            }
        ),
    )
    yield (
        "r prompt vars",
        RESPONSES,
        responses(prompt={"id": "pmpt_1", "variables": {"a": t, "b": {"type": "input_text", "text": t}}}),
    )
    yield (
        "r tools file filters",
        RESPONSES,
        responses(
            tools=[
                {
                    "type": "file_search",
                    "vector_store_ids": ["vs_1"],
                    "filters": {"type": "eq", "key": "mail", "value": t},
                }
            ]
        ),
    )
    yield (
        "r tools web loc",
        RESPONSES,
        responses(
            tools=[
                {
                    "type": "web_search",
                    "user_location": {"type": "approximate", "city": t},
                    "filters": {"allowed_domains": [t]},
                }
            ]
        ),
    )
    yield (
        "r tools mcp",
        RESPONSES,
        responses(
            tools=[
                {
                    "type": "mcp",
                    "server_label": "s",
                    "server_description": t,
                    "server_url": "https://x",
                    "allowed_tools": [t],
                }
            ]
        ),
    )
    yield (
        "r input_file",
        RESPONSES,
        responses(
            input=[
                {
                    "role": "user",
                    "content": [{"type": "input_file", "filename": t, "file_data": "data:text/csv;base64," + b64(t)}],
                }
            ]
        ),
    )
    yield (
        "r input_file raw",
        RESPONSES,
        responses(input=[{"role": "user", "content": [{"type": "input_file", "filename": "a", "file_data": b64(t)}]}]),
    )
    yield "r item_reference", RESPONSES, responses(input=[{"type": "item_reference", "id": t}])
    yield "r previous id", RESPONSES, responses(previous_response_id=t)
    yield "r conversation", RESPONSES, responses(conversation={"id": t})
    yield "r include", RESPONSES, responses(include=[t])
    yield "g system", GENERATE, gemini(systemInstruction={"parts": [{"text": t}]})
    yield "g inline text", GENERATE, gemini({"inlineData": {"mimeType": "text/plain", "data": b64(t)}})
    yield "g inline snake", GENERATE, gemini({"inline_data": {"mime_type": "text/csv", "data": b64(t)}})
    yield "g inline lie", GENERATE, gemini({"inlineData": {"mimeType": "image/png", "data": b64(t)}})
    yield "g inline nomime", GENERATE, gemini({"inlineData": {"data": b64(t)}})
    yield (
        "g inline displayName",
        GENERATE,
        gemini({"inlineData": {"mimeType": "image/png", "displayName": t, "data": "iVBORw0KGgo" + "A" * 80}}),
    )
    yield (
        "g fileData",
        GENERATE,
        gemini(
            {
                "fileData": {
                    "mimeType": "application/pdf",
                    "fileUri": "https://x/" + urllib.parse.quote(t),
                    "displayName": t,
                }
            }
        ),
    )
    yield (
        "g functionCall",
        GENERATE,
        gemini({"functionCall": {"name": "f", "args": {"a": t, t: 1, "type": t, "id": t}}}),
    )
    yield (
        "g functionResponse",
        GENERATE,
        gemini(
            {
                "functionResponse": {
                    "name": "f",
                    "response": {
                        "output": json.dumps({"a": t}),
                        t: 1,
                        "type": t,
                        "id": t,
                        "format": t,
                        "signature": t,
                        "data": b64(t),
                    },
                }
            }
        ),
    )
    yield (
        "g functionResponse parts",
        GENERATE,
        gemini(
            {
                "functionResponse": {
                    "name": "f",
                    "response": {"a": 1},
                    "parts": [{"inlineData": {"mimeType": "text/plain", "data": b64(t)}}],
                }
            }
        ),
    )
    yield (
        "g executable",
        GENERATE,
        gemini(
            {"executableCode": {"language": "PYTHON", "code": t}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": t}},
        ),
    )
    yield "g thought", GENERATE, gemini({"thought": True, "text": t, "thoughtSignature": "A" * 200})
    yield "g sig text", GENERATE, gemini({"text": "x", "thoughtSignature": t})
    yield (
        "g tools",
        GENERATE,
        gemini(
            tools=[
                {
                    "functionDeclarations": [
                        {
                            "name": "f",
                            "description": t,
                            "parameters": {
                                "type": "OBJECT",
                                "properties": {"a": {"type": "STRING", "description": t, "enum": [t], "example": t}},
                            },
                            "response": {"type": "OBJECT", "description": t},
                        }
                    ]
                }
            ]
        ),
    )
    yield (
        "g respSchema",
        GENERATE,
        gemini(
            generationConfig={
                "responseSchema": {
                    "type": "OBJECT",
                    "properties": {"a": {"type": "STRING", "description": t, "example": t}},
                },
                "stopSequences": [t],
            }
        ),
    )
    yield "g labels", GENERATE, gemini(labels={"a": t, t: "b"})
    yield "g cachedContent", GENERATE, gemini(cachedContent=t)
    yield "g embed", "/v1beta/models/e:embedContent", {"content": {"parts": [{"text": t}]}, "title": t}
    yield (
        "x generic",
        "/v1/new/thing",
        {
            "a": {t: [t]},
            "type": t,
            "id": t,
            "format": t,
            "name": t,
            "data": t,
            "status": t,
            "object": t,
            "method": t,
            "arguments": t,
            "signature": t,
        },
    )
    yield "x model", "/v1/new/thing", {"a": "x", "model": t}


# A bare number in the path of a URL is an id, as it nearly always is.
CASES = [(name, text) for name, _, _ in bodies("") for text in TEXTS if (name, text) != ("g fileData", "card")]


@pytest.mark.parametrize(("place", "text"), CASES)
async def test_nothing_of_a_value_goes_out(place: str, text: str) -> None:
    said, values = TEXTS[text]
    path, body = next((path, body) for name, path, body in bodies(said) if name == place)
    dialect = DIALECTS[place[0]]
    for ascii in (True, False):
        data = json.dumps(body, ensure_ascii=ascii).encode()
        read = read_body(data, "application/json", dialect, dialect.operation("POST", path))
        await REDACTOR.mask(read.slots, REDACTOR.mapping())
        assert not [value for value in values if shows(read.render(), value)]
