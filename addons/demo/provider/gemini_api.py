"""The fake's Gemini API: generateContent in all its forms, countTokens, embeddings and models, by API key.

Shapes and chunks as documented at https://ai.google.dev/api/generate-content and observed there; errors in the form of
https://cloud.google.com/apis/design/errors.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

from addons.demo.provider import shape
from addons.demo.provider.script import Script, read
from addons.demo.provider.wire import Pairs, Received, Reply, json_reply

MODELS = ("gemini-3.1-pro-preview", "gemini-2.5-pro", "gemini-2.5-flash", "gemini-embedding-001", "fake-echo")
_METHODS = ["generateContent", "countTokens", "embedContent"]
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_CALL = re.compile(r"/v1(?:beta|alpha)?/(?:models|tunedModels)/(.+):(\w+)")
_MODELS_PATH = re.compile(r"/v1(?:beta|alpha)?/models(?:/([^:]+))?")


@dataclass(frozen=True)
class Call:
    """What the path of a request asks for; `sse` tells events from the streamed array that is sent without `alt=sse`."""

    method: str
    model: str
    sse: bool


def call_of(received: Received) -> Call | None:
    match = _CALL.fullmatch(received.path)
    return Call(match[2], unquote(match[1]), wants_events(received)) if match else None


def wants_events(received: Received) -> bool:
    return parse_qs(received.target.partition("?")[2]).get("alt") == ["sse"]


def error(status: int, message: str, details: list[Any] | None = None) -> Reply:
    body: dict[str, Any] = {"code": status, "message": message, "status": _STATUSES.get(status, "UNKNOWN")}
    return json_reply(status, {"error": body | ({"details": details} if details else {})})


def key_of(received: Received) -> str | None:
    """The key of a call, which may come as a header or in the query."""
    in_query = parse_qs(received.target.partition("?")[2]).get("key", [])
    return received.header("x-goog-api-key") or next(iter(in_query), None)


def refused(received: Received) -> Reply | None:
    """None where the credentials are good: any key that has not the word `wrong` in it."""
    key = key_of(received)
    if not key:
        return error(
            403, "Method doesn't allow unregistered callers. Please use API Key or other form of API consumer identity."
        )
    if "wrong" in key:
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
        }
        return error(400, "API key not valid. Please pass a valid API key.", [info])
    return None


def script_of(value: Any, model: str) -> Script:
    """What the last turn asks for; or an instance of the schema, where the request asks for JSON of one."""
    wanted = value.get("generationConfig") or {}
    schema = wanted.get("responseJsonSchema") or wanted.get("responseSchema")
    if schema and wanted.get("responseMimeType") == "application/json":
        return Script(text=json.dumps(_instance(schema)))
    text, results, images = _last_turn(value.get("contents") or [])
    return read(model, text, results, images)


def _instance(schema: dict[str, Any]) -> Any:
    """The least that a schema allows. Google writes the names of types in upper case."""
    match str(schema.get("type", "")).lower():
        case "object":
            return {name: _instance(one) for name, one in schema.get("properties", {}).items()}
        case "array":
            return []
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
    return next(iter(schema.get("enum", [])), "fake")


def answer(call: Call, value: Any, script: Script, number: int) -> Reply:
    """`value` is the parsed request; the model stands in its path."""
    match call.method:
        case "generateContent" | "streamGenerateContent":
            if not value.get("contents"):
                return error(400, "* GenerateContentRequest.contents: contents is not specified")
            if call.method == "generateContent":
                return shape.whole(script, document(value, script, call.model, number), HEADERS)
            return stream(script, list(chunks(value, script, call.model, number)), call.sse)
        case "countTokens":
            return json_reply(200, count(value))
        case "embedContent":
            return json_reply(200, {"embedding": _embedding(value)})
        case "batchEmbedContents":
            return json_reply(200, {"embeddings": [_embedding(one) for one in value.get("requests", [])]})
    return error(404, f"models/{call.model} is not supported for {call.method}.")


def models(received: Received) -> Reply | None:
    """The answer to `GET …/models` and `GET …/models/NAME`; None if it asks for something else."""
    match = _MODELS_PATH.fullmatch(received.path)
    if match is None:
        return None
    if refusal := refused(received):
        return refusal
    if not match[1]:
        return json_reply(200, {"models": [_model(name) for name in MODELS]})
    return json_reply(200, _model(match[1])) if match[1] in MODELS else error(404, f"models/{match[1]} is not found")


HEADERS: Pairs = [("server-timing", "gfet4t7; dur=3"), ("x-content-type-options", "nosniff")]


def _model(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": _METHODS,
    }


def _last_turn(contents: Any) -> tuple[str, str, int]:
    """The text of the last turn that is the user's, the text of the tools' results in it, and how many images it has."""
    turns = [contents] if isinstance(contents, dict) else contents
    users = [turn for turn in turns if turn.get("role", "user") in ("user", "function")]
    parts = users[-1].get("parts", []) if users else []
    parts = [parts] if isinstance(parts, dict) else parts
    texts = [part["text"] for part in parts if "text" in part]
    results = [_result(part["functionResponse"].get("response")) for part in parts if "functionResponse" in part]
    return "\n".join(texts), "\n".join(results), sum("inlineData" in part for part in parts)


def _result(response: Any) -> str:
    said = response.get("output") if isinstance(response, dict) else response
    return said if isinstance(said, str) else json.dumps(response, ensure_ascii=False)


def document(value: Any, script: Script, model: str, number: int) -> dict[str, Any]:
    """A whole answer, in one piece."""
    return _response(list(_parts(script, number)), _usage(value, script), model, number, "STOP")


def chunks(value: Any, script: Script, model: str, number: int) -> Iterator[dict[str, Any]]:
    """The same answer as it is streamed: text in pieces, a call whole, the usage so far in each, the end in the last."""
    usage = _usage(value, script)
    early = usage | {"candidatesTokenCount": 0, "totalTokenCount": usage["promptTokenCount"]}
    pieces: list[dict[str, Any]] = []
    for part in _parts(script, number):
        if "text" in part:
            pieces += [part | {"text": piece} for piece in shape.pieces(part["text"])]
        else:
            pieces.append(part)
    for piece in pieces:
        yield _response([piece], early, model, number, None)
    yield _response([{"text": ""}], usage, model, number, "STOP")


def _response(parts: list[Any], usage: dict[str, Any], model: str, number: int, finish: str | None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": model,
        "responseId": f"fake{number}",
    }


def _parts(script: Script, number: int) -> Iterator[dict[str, Any]]:
    if script.thinking is not None:
        yield {"text": script.thinking, "thought": True}
    if script.text is not None:
        yield {"text": script.text}
    for index, tool in enumerate(script.tools):
        # Signed as the thinking models do it; a client gives the signature back with the call.
        source = json.dumps(tool.arguments, ensure_ascii=False)
        signature = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        called = {"name": tool.name, "args": tool.arguments, "id": f"call_fake{number}_{index}"}
        yield {"functionCall": called, "thoughtSignature": signature}


def _usage(value: Any, script: Script) -> dict[str, Any]:
    read_tokens = count(value)["totalTokens"]
    thought = shape.tokens(script.thinking or "")
    written = shape.tokens((script.text or "") + "".join(json.dumps(tool.arguments) for tool in script.tools))
    usage = {
        "promptTokenCount": read_tokens,
        "candidatesTokenCount": written,
        "totalTokenCount": read_tokens + written + thought,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": read_tokens}],
    }
    return usage | ({"thoughtsTokenCount": thought} if thought else {})


def count(value: Any) -> dict[str, Any]:
    """The answer to countTokens."""
    seen = value.get("generateContentRequest") or value
    tokens = shape.tokens(json.dumps([seen.get("contents"), seen.get("systemInstruction")], ensure_ascii=False))
    return {"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]}


def _embedding(value: Any) -> dict[str, Any]:
    return {"values": [len(json.dumps(value.get("content"))) / 1000, 0.25, -0.5]}


def stream(script: Script, documents: list[Any], sse: bool) -> Reply:
    """A streamed answer: events that end with CRLF as Google's do, or the elements of one JSON array."""
    broken = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    if sse:
        return shape.stream(script, [_event(one) for one in documents], _event(broken), HEADERS)
    elements = [json.dumps(one, ensure_ascii=False, indent=2) for one in documents]
    pieces = [("[" if index == 0 else ",\r\n") + element for index, element in enumerate(elements)]
    encoded = [piece.encode() for piece in (*pieces, "]\n")]
    array = ("content-type", "application/json; charset=UTF-8")
    return shape.stream(script, encoded, f",\r\n[{json.dumps(broken)}]".encode(), HEADERS, array)


def _event(data: Any) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\r\n\r\n"
