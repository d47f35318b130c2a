"""The fake's Anthropic Messages API: messages, count_tokens and models, by API key or Claude's OAuth login.

Shapes and events as documented at https://docs.anthropic.com/en/api/messages-streaming and observed there.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from addons.demo.provider import shape
from addons.demo.provider.script import Script, read
from addons.demo.provider.wire import Pairs, Received, Reply, json_reply

OAUTH_BETA = "oauth-2025-04-20"
MODELS = ("claude-opus-4-5-20251101", "claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001", "fake-echo")
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


def error(status: int, message: str, headers: Pairs | None = None) -> Reply:
    kind = _KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    request_id = "req_011fake"
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
    return json_reply(status, body, [("request-id", request_id), *(headers or [])])


def refused(received: Received) -> Reply | None:
    """None where the credentials are good: any key that looks like a real one, or an OAuth token with its beta header.

    The key may come as a bearer token too, as Anthropic's own package sends it. One with the word `wrong` in it is wrong.
    """
    key, bearer = received.header("x-api-key"), received.header("authorization")
    if key is not None:
        good = key.startswith("sk-ant-") and "wrong" not in key
        return None if good else error(401, "invalid x-api-key")
    if bearer is None:
        return error(401, "x-api-key header is required")
    token = bearer.removeprefix("Bearer ")
    if not token.startswith("sk-ant-") or "wrong" in token:
        return error(401, "Invalid bearer token")
    if token.startswith("sk-ant-oat") and OAUTH_BETA not in (received.header("anthropic-beta") or ""):
        return error(401, "OAuth authentication is currently not supported.")
    return None


def script_of(value: Any) -> Script:
    text, results, images = _last_turn(value)
    return read(str(value.get("model", "")), text, results, images)


def messages(value: Any, script: Script, number: int) -> Reply:
    """`value` is the parsed request. The id of the message tells which request of the fake's it answers."""
    for name in ("model", "messages", "max_tokens"):
        if name not in value:
            return error(400, f"{name}: Field required")
    blocks = list(_blocks(script, number))
    usage = _usage(value, blocks)
    stop = "tool_use" if script.tools else "end_turn"
    message = {
        "id": f"msg_01fake{number:018d}",
        "type": "message",
        "role": "assistant",
        "model": value["model"],
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }
    headers = [("request-id", f"req_011fake{number}"), ("anthropic-organization-id", "00000000-fake")]
    if not value.get("stream"):
        return shape.whole(script, message, headers)
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    return shape.stream(script, list(_events(message)), shape.event(overloaded, "error"), headers)


def count_tokens(value: Any) -> Reply:
    if "messages" not in value:
        return error(400, "messages: Field required")
    return json_reply(200, {"input_tokens": shape.tokens(json.dumps(value, ensure_ascii=False))})


def models() -> Reply:
    data = [_model(name) for name in MODELS]
    return json_reply(200, {"data": data, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]})


def model(name: str) -> Reply:
    return json_reply(200, _model(name)) if name in MODELS else error(404, f"model: {name}")


def _model(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "2025-11-01T00:00:00Z"}


def _last_turn(value: Any) -> tuple[str, str, int]:
    """The text of the last user message, the text of the tool results in it, and how many images it has."""
    users = [message for message in value.get("messages", []) if message.get("role") == "user"]
    content = users[-1].get("content", "") if users else ""
    if isinstance(content, str):
        return content, "", 0
    texts = [block["text"] for block in content if block.get("type") == "text"]
    results, images = [], sum(block.get("type") == "image" for block in content)
    for block in content:
        if block.get("type") == "tool_result":
            inner = block.get("content") or ""
            inner = [{"type": "text", "text": inner}] if isinstance(inner, str) else inner
            results += [part["text"] for part in inner if part.get("type") == "text"]
            images += sum(part.get("type") == "image" for part in inner)
    return "\n".join(texts), "\n".join(results), images


def _blocks(script: Script, number: int) -> Iterator[dict[str, Any]]:
    if script.thinking is not None:
        # Signed over the text, so that a test sees whether either of them was touched.
        signature = base64.b64encode(hashlib.sha256(script.thinking.encode()).digest() * 4).decode()
        yield {"type": "thinking", "thinking": script.thinking, "signature": signature}
    if script.text is not None:
        yield {"type": "text", "text": script.text}
    for index, tool in enumerate(script.tools):
        identity = f"toolu_01fake{number:012d}{index:04d}"
        yield {"type": "tool_use", "id": identity, "name": tool.name, "input": tool.arguments}


def _usage(value: Any, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    said = "".join(block.get("text") or block.get("thinking") or json.dumps(block.get("input")) for block in blocks)
    return {
        "input_tokens": shape.tokens(json.dumps(value.get("messages"), ensure_ascii=False)),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": shape.tokens(said),
        "service_tier": "standard",
    }


def _events(message: dict[str, Any]) -> Iterator[bytes]:
    start = message | {"content": [], "stop_reason": None, "usage": message["usage"] | {"output_tokens": 1}}
    yield shape.event({"type": "message_start", "message": start}, "message_start")
    for index, block in enumerate(message["content"]):
        empty, deltas = _block_events(block)
        begin = {"type": "content_block_start", "index": index, "content_block": empty}
        yield shape.event(begin, "content_block_start")
        if index == 0:
            yield shape.event({"type": "ping"}, "ping")
        for delta in deltas:
            data = {"type": "content_block_delta", "index": index, "delta": delta}
            yield shape.event(data, "content_block_delta")
        yield shape.event({"type": "content_block_stop", "index": index}, "content_block_stop")
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    usage = {key: value for key, value in message["usage"].items() if key.endswith("tokens")}
    yield shape.event({"type": "message_delta", "delta": delta, "usage": usage}, "message_delta")
    yield shape.event({"type": "message_stop"}, "message_stop")


def _block_events(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    match block["type"]:
        case "thinking":
            thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in shape.pieces(block["thinking"])]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signed]
        case "text":
            deltas = [{"type": "text_delta", "text": piece} for piece in shape.pieces(block["text"])]
            return {"type": "text", "text": ""}, deltas
        case _:
            source = json.dumps(block["input"], ensure_ascii=False)
            parts = ["", *shape.pieces(source)]
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]
