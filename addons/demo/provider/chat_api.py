"""The fake's OpenAI API: Chat Completions, models and embeddings.

Shapes and chunks as documented at https://platform.openai.com/docs/api-reference/chat and observed there.
"""

import json
from collections.abc import Iterator
from typing import Any

from addons.demo.provider import shape
from addons.demo.provider.script import Script, read
from addons.demo.provider.wire import Pairs, Received, Reply, json_reply

MODELS = ("gpt-5.1", "gpt-5-mini", "text-embedding-3-small", "fake-echo")
CREATED = 1_764_000_000
FINGERPRINT = "fp_fake000000"
_KINDS = {429: ("requests", "rate_limit_exceeded"), 500: ("server_error", None), 503: ("server_error", None)}


def error(status: int, message: str, code: str | None = None, headers: Pairs | None = None) -> Reply:
    kind, own = _KINDS.get(status, ("invalid_request_error", None))
    body = {"error": {"message": message, "type": kind, "param": None, "code": code or own}}
    return json_reply(status, body, [("x-request-id", "req_fake"), *(headers or [])])


def refused(received: Received) -> Reply | None:
    """None where the credentials are good: any bearer token that has not the word `wrong` in it."""
    bearer = received.header("authorization") or ""
    if not bearer.startswith("Bearer ") or not bearer.removeprefix("Bearer "):
        return error(401, "You didn't provide an API key. You need to provide your API key in an Authorization header.")
    if "wrong" in bearer:
        return error(401, "Incorrect API key provided.", "invalid_api_key")
    return None


def script_of(value: Any) -> Script:
    text, results, images = _last_turn(value.get("messages", []))
    return read(str(value.get("model", "")), text, results, images)


def chat(value: Any, script: Script, number: int) -> Reply:
    """`value` is the parsed request."""
    for name in ("model", "messages"):
        if name not in value:
            return error(400, f"Missing required parameter: '{name}'.", "missing_required_parameter")
    usage = _usage(value, script)
    headers = [("x-request-id", f"req_fake{number}"), ("openai-version", "2020-10-01"), ("openai-processing-ms", "3")]
    common = {"id": f"chatcmpl-fake{number}", "created": CREATED, "model": value["model"], "service_tier": "default"}
    finish = "tool_calls" if script.tools else "stop"
    if value.get("stream"):
        with_usage = bool((value.get("stream_options") or {}).get("include_usage"))
        chunks = _chunks(common, script, number, finish, usage if with_usage else None)
        broken = {"error": {"message": "The server had an error", "type": "server_error", "param": None, "code": None}}
        return shape.stream(script, list(chunks), shape.event(broken), headers)
    message: dict[str, Any] = {"role": "assistant", "content": script.text, "refusal": None, "annotations": []}
    if script.tools:
        message["tool_calls"] = list(_tool_calls(script, number))
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    document = common | {
        "object": "chat.completion",
        "choices": [choice],
        "usage": usage,
        "system_fingerprint": FINGERPRINT,
    }
    return shape.whole(script, document, headers)


def embeddings(value: Any) -> Reply:
    given = value.get("input", "")
    texts = [given] if isinstance(given, str) else list(given)
    data = [
        {"object": "embedding", "index": index, "embedding": [len(str(text)) / 1000, 0.25, -0.5]}
        for index, text in enumerate(texts)
    ]
    count = shape.tokens(json.dumps(given))
    usage = {"prompt_tokens": count, "total_tokens": count}
    return json_reply(200, {"object": "list", "data": data, "model": value.get("model"), "usage": usage})


def models() -> Reply:
    return json_reply(200, {"object": "list", "data": [_model(name) for name in MODELS]})


def model(name: str) -> Reply:
    if name in MODELS:
        return json_reply(200, _model(name))
    return error(404, f"The model '{name}' does not exist", "model_not_found")


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "fake"}


def _last_turn(messages: list[Any]) -> tuple[str, str, int]:
    """Text of the last user message; of the tool messages behind it, if these are the end; and its images."""
    results: list[str] = []
    for message in reversed(messages):
        match message.get("role"):
            case "tool" | "function":
                results.insert(0, _text(message.get("content"))[0])
            case "user":
                text, images = _text(message.get("content"))
                return ("", "\n".join(results), 0) if results else (text, "", images)
    return "", "\n".join(results), 0


def _text(content: Any) -> tuple[str, int]:
    if not isinstance(content, list):
        return content or "", 0
    texts = [part["text"] for part in content if part.get("type") == "text"]
    return "\n".join(texts), sum(part.get("type") == "image_url" for part in content)


def _tool_calls(script: Script, number: int) -> Iterator[dict[str, Any]]:
    for index, tool in enumerate(script.tools):
        arguments = json.dumps(tool.arguments, ensure_ascii=False)
        function = {"name": tool.name, "arguments": arguments}
        yield {"id": f"call_fake{number}_{index}", "type": "function", "function": function}


def _usage(value: Any, script: Script) -> dict[str, Any]:
    read_tokens = shape.tokens(json.dumps(value["messages"], ensure_ascii=False))
    said = (script.text or "") + "".join(json.dumps(tool.arguments) for tool in script.tools)
    thought = shape.tokens(script.thinking or "")
    written = shape.tokens(said) + thought
    return {
        "prompt_tokens": read_tokens,
        "completion_tokens": written,
        "total_tokens": read_tokens + written,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": thought,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _chunks(
    common: dict[str, Any], script: Script, number: int, finish: str, usage: dict[str, Any] | None
) -> Iterator[bytes]:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        data = common | {"object": "chat.completion.chunk", "system_fingerprint": FINGERPRINT, "choices": [choice]}
        return shape.event(data | {"usage": None} if usage else data)

    yield chunk({"role": "assistant", "content": "" if script.text is not None else None, "refusal": None})
    for piece in shape.pieces(script.text or ""):
        yield chunk({"content": piece})
    for index, call in enumerate(_tool_calls(script, number)):
        source = call["function"]["arguments"]
        opened = call | {"index": index, "function": {"name": call["function"]["name"], "arguments": ""}}
        yield chunk({"tool_calls": [opened]})
        for piece in shape.pieces(source):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, finish)
    if usage:
        data = common | {"object": "chat.completion.chunk", "system_fingerprint": FINGERPRINT, "choices": []}
        yield shape.event(data | {"usage": usage})
    yield shape.event("[DONE]")
