"""Calls as a program would make them, with nothing but the standard library."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Api = Literal["anthropic", "openai"]
_MODELS: dict[Api, str] = {
    "anthropic": "claude-sonnet-4-5",
    "openai": "gpt-5-mini",
}  # real ones, so that they have a price
_PATHS: dict[Api, str] = {"anthropic": "/v1/messages", "openai": "/v1/chat/completions"}
_KEYS: dict[Api, dict[str, str]] = {
    "anthropic": {"x-api-key": "sk-ant-demo", "anthropic-version": "2023-06-01"},
    "openai": {"authorization": "Bearer sk-demo"},
}
_PATIENCE_S = 10.0


@dataclass
class Result:
    """What came back: the text, the tool calls as (name, arguments), how many values were masked, and the seconds.

    `id` is the request id, by which the record of the call is found; `cache` what the cache had for it, "" if there is none.
    """

    status: int
    id: str = ""
    text: str = ""
    tools: list[tuple[str, Any]] = field(default_factory=list)
    masked: int = 0
    cache: str = ""
    pieces: int = 0  # of a stream's text
    seconds: float = 0.0


def send(port: int, api: Api, text: str, stream: bool, **more: Any) -> Result:
    """One call through the proxy on this machine; `more` stands in its body. Raises OSError and http.client.HTTPException if
    nobody answers.
    """
    messages = [{"role": "user", "content": text}]
    body = {"model": _MODELS[api], "max_tokens": 1024, "stream": stream, "messages": messages, **more}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
    started = time.perf_counter()
    try:
        headers = {"content-type": "application/json", **_KEYS[api]}
        connection.request("POST", _PATHS[api], json.dumps(body, ensure_ascii=False).encode(), headers)
        answer = connection.getresponse()
        result = Result(answer.status, answer.headers.get("x-tokenman-request-id", ""))
        result.masked = int(answer.headers.get("x-tokenman-redacted", "0"))
        result.cache = answer.headers.get("x-tokenman-cache", "")
        if answer.status != 200:
            result.text = answer.read().decode("utf-8", "replace")
        elif stream:
            _STREAMS[api](result, _data(answer))
        else:
            _WHOLE[api](result, json.load(answer))
        result.seconds = time.perf_counter() - started
        return result
    finally:
        connection.close()


def _data(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    while line := answer.readline():
        if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
            yield json.loads(line[6:])


def _whole_message(result: Result, message: dict[str, Any]) -> None:
    for block in message["content"]:
        if block["type"] == "text":
            result.text += block["text"]
        elif block["type"] == "tool_use":
            result.tools.append((block["name"], block["input"]))


def _whole_completion(result: Result, completion: dict[str, Any]) -> None:
    message = completion["choices"][0]["message"]
    result.text = message.get("content") or ""
    for call in message.get("tool_calls") or []:
        result.tools.append((call["function"]["name"], json.loads(call["function"]["arguments"])))


def _message_stream(result: Result, events: Iterator[dict[str, Any]]) -> None:
    arguments: dict[int, list[str]] = {}
    names: dict[int, str] = {}
    for event in events:
        match event:
            case {"type": "content_block_start", "index": index, "content_block": {"type": "tool_use", "name": name}}:
                names[index], arguments[index] = name, []
            case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}:
                result.text += text
                result.pieces += 1
            case {"type": "content_block_delta", "index": index, "delta": {"partial_json": part}}:
                arguments[index].append(part)
    result.tools = [(names[index], json.loads("".join(parts) or "{}")) for index, parts in arguments.items()]


def _completion_stream(result: Result, events: Iterator[dict[str, Any]]) -> None:
    arguments: dict[int, list[str]] = {}
    names: dict[int, str] = {}
    for event in events:
        for choice in event["choices"]:
            if text := choice["delta"].get("content"):
                result.text += text
                result.pieces += 1
            for call in choice["delta"].get("tool_calls") or []:
                names.setdefault(call["index"], call["function"].get("name", ""))
                arguments.setdefault(call["index"], []).append(call["function"]["arguments"])
    result.tools = [(names[index], json.loads("".join(parts))) for index, parts in arguments.items()]


_WHOLE: dict[Api, Callable[[Result, dict[str, Any]], None]] = {
    "anthropic": _whole_message,
    "openai": _whole_completion,
}
_STREAMS: dict[Api, Callable[[Result, Iterator[dict[str, Any]]], None]] = {
    "anthropic": _message_stream,
    "openai": _completion_stream,
}
