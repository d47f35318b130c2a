"""The fake's OpenAI Responses API, enough for Codex: at `/v1` by API key, at `/backend-api/codex` by ChatGPT login.

Items and events as documented at https://platform.openai.com/docs/api-reference/responses-streaming.
"""

import base64
import json
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from addons.demo.provider import shape
from addons.demo.provider.chat_api import CREATED, error
from addons.demo.provider.script import Script, read
from addons.demo.provider.wire import Received, Reply, json_reply

_REMEMBERED = 1000  # responses
CODEX = "/backend-api/codex"
ACCOUNT = "/backend-api/wham/accounts/check"


def refused(received: Received) -> Reply | None:
    """A ChatGPT login is a bearer token and the account it belongs to; a wrong one has the word `wrong` in it."""
    bearer = received.header("authorization") or ""
    if not bearer.startswith("Bearer ") or "wrong" in bearer or not received.header("chatgpt-account-id"):
        return json_reply(401, {"detail": "Could not validate credentials"})
    return None


def script_of(value: Any) -> Script:
    given = value.get("input", "")
    text, results, images = _last_turn(given)
    return read(str(value.get("model", "")), text, results, images, json.dumps(given))


def responses(value: Any, script: Script, number: int) -> Reply:
    """`value` is the parsed request."""
    for name in ("model", "input"):
        if name not in value:
            return error(400, f"Missing required parameter: '{name}'.", "missing_required_parameter")
    response = made(value, script, number)
    headers = [("x-request-id", f"req_fake{number}"), ("openai-version", "2020-10-01")]
    if value.get("background") and not value.get("stream"):
        return shape.whole(script, response | {"status": "queued", "output": [], "usage": None}, headers)
    if not value.get("stream"):
        return shape.whole(script, response, headers)
    failure = {"code": "server_error", "message": "The server had an error"}
    failed = response | {"status": "failed", "output": [], "usage": None, "error": failure}
    broken = shape.event({"type": "response.failed", "sequence_number": 0, "response": failed}, "response.failed")
    return shape.stream(script, list(_numbered(_events(response))), broken, headers)


def made(value: Any, script: Script, number: int) -> dict[str, Any]:
    """The response, once it is complete."""
    items = list(_items(script, number))
    return {
        "id": f"resp_fake{number}",
        "object": "response",
        "created_at": CREATED,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": value["model"],
        "output": items,
        "parallel_tool_calls": True,
        "previous_response_id": value.get("previous_response_id"),
        "store": value.get("store", True),
        "usage": _usage(value, items, script),
    }


class Stored:
    """The responses that the provider holds, and the conversations that they belong to, for calls that name them."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, tuple[list[Any], dict[str, Any]]] = OrderedDict()  # by id: input and response

    def whole(self, value: Any) -> Any:
        """A request with the turns before it in its input, as the model sees them."""
        before = value.get("previous_response_id") or value.get("conversation")
        known = self._turns.get(before) if isinstance(before, str) else None
        if known is None or "input" not in value:
            return value
        given, response = known
        return value | {"input": [*given, *response["output"], *_as_items(value["input"])]}

    def keep(self, value: Any, response: dict[str, Any]) -> None:
        """`value`: as `whole` made it."""
        turn = (_as_items(value["input"]), response)
        names = [response["id"]] if value.get("store", True) else []
        for name in (*names, value.get("conversation")):
            if isinstance(name, str):
                self._turns[name] = turn
        while len(self._turns) > _REMEMBERED:
            self._turns.popitem(last=False)

    def get(self, path: str) -> Reply | None:
        """What `GET /v1/responses/ID` and `GET /v1/responses/ID/input_items` give."""
        top, _, rest = path.partition("/v1/responses/")
        name, _, items = rest.partition("/")
        if top or not name:
            return None
        known = self._turns.get(name)
        if known is None:
            return error(404, f"Response with id '{name}' not found.")
        if not items:
            return json_reply(200, known[1])
        data = [{"id": f"item_{place}", "type": "message"} | item for place, item in enumerate(known[0])]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]}
        return json_reply(200, {"object": "list", "data": data, "has_more": False} | ends)


def _as_items(given: Any) -> list[Any]:
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def codex_models() -> Reply:
    """None, so that Codex takes those that it knows of itself."""
    return json_reply(200, {"models": []})


def codex_account(received: Received) -> Reply:
    """What Codex asks before its first call with a login: may this account be served here, or only at another host."""
    name = received.header("chatgpt-account-id")
    account = {
        "id": name,
        "name": None,
        "plan_type": "pro",
        "structure": "personal",
        "profile_picture_url": None,
        "workspace_backend_origin": "NO_CONSTRAINT",
        "account_routing_override": "NO_CONSTRAINT",
    }
    return json_reply(200, {"accounts": [account], "account_ordering": [name], "default_account_id": name})


def _last_turn(given: Any) -> tuple[str, str, int]:
    if isinstance(given, str):
        return given, "", 0
    results: list[str] = []
    for item in reversed(given):
        if item.get("type") in ("function_call_output", "custom_tool_call_output"):
            output = item.get("output")
            results.insert(0, output if isinstance(output, str) else json.dumps(output, ensure_ascii=False))
        elif item.get("role") == "user":
            if results:
                break
            content = item.get("content", "")
            if isinstance(content, str):
                return content, "", 0
            texts = [part["text"] for part in content if part.get("type") == "input_text"]
            return "\n".join(texts), "", sum(part.get("type") == "input_image" for part in content)
    return "", "\n".join(results), 0


def _items(script: Script, number: int) -> Iterator[dict[str, Any]]:
    if script.thinking is not None:
        sealed = base64.b64encode(script.thinking.encode()).decode()
        summary = [{"type": "summary_text", "text": script.thinking}]
        yield {"id": f"rs_fake{number}", "type": "reasoning", "summary": summary, "encrypted_content": sealed}
    if script.text is not None:
        part = {"type": "output_text", "text": script.text, "annotations": [], "logprobs": []}
        message = {"id": f"msg_fake{number}", "type": "message", "status": "completed", "role": "assistant"}
        yield message | {"content": [part]}
    for index, tool in enumerate(script.tools):
        space, _, name = tool.name.rpartition(".")
        call = {"status": "completed", "call_id": f"call_fake{number}_{index}", "name": name}
        call |= {"namespace": space} if space else {}
        if isinstance(tool.arguments, str):
            yield {"id": f"ctc_fake{number}_{index}", "type": "custom_tool_call"} | call | {"input": tool.arguments}
        else:
            arguments = json.dumps(tool.arguments, ensure_ascii=False)
            yield {"id": f"fc_fake{number}_{index}", "type": "function_call"} | call | {"arguments": arguments}


def _usage(value: Any, items: list[dict[str, Any]], script: Script) -> dict[str, Any]:
    read_tokens = shape.tokens(json.dumps(value["input"], ensure_ascii=False))
    written = shape.tokens(json.dumps(items, ensure_ascii=False))
    return {
        "input_tokens": read_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": shape.tokens(script.thinking or "")},
        "total_tokens": read_tokens + written,
    }


def _numbered(events: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    for number, data in enumerate(events):
        yield shape.event({"type": data["type"], "sequence_number": number} | data, data["type"])


def _events(response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    open_response = response | {"status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": open_response}
    yield {"type": "response.in_progress", "response": open_response}
    for index, item in enumerate(response["output"]):
        where = {"output_index": index, "item_id": item["id"]}
        match item["type"]:
            case "message":
                inner = _message_events(item["content"][0], where | {"content_index": 0})
                empty = item | {"status": "in_progress", "content": []}
            case "reasoning":
                inner = _summary_events(item["summary"][0]["text"], where | {"summary_index": 0})
                empty = item | {"summary": [], "encrypted_content": None}
            case "custom_tool_call":
                inner = _written_events(item["input"], where, "custom_tool_call_input", "input")
                empty = item | {"status": "in_progress", "input": ""}
            case _:
                inner = _written_events(item["arguments"], where, "function_call_arguments", "arguments")
                empty = item | {"status": "in_progress", "arguments": ""}
        yield {"type": "response.output_item.added", "output_index": index, "item": empty}
        yield from inner
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": "response.completed", "response": response}


def _message_events(part: dict[str, Any], where: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "response.content_part.added", **where, "part": part | {"text": ""}}
    for piece in shape.pieces(part["text"]):
        yield {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **where, "part": part}


def _summary_events(text: str, where: dict[str, Any]) -> Iterator[dict[str, Any]]:
    part = {"type": "summary_text", "text": text}
    yield {"type": "response.reasoning_summary_part.added", **where, "part": part | {"text": ""}}
    for piece in shape.pieces(text):
        yield {"type": "response.reasoning_summary_text.delta", **where, "delta": piece}
    yield {"type": "response.reasoning_summary_text.done", **where, "text": text}
    yield {"type": "response.reasoning_summary_part.done", **where, "part": part}


def _written_events(source: str, where: dict[str, Any], what: str, field: str) -> Iterator[dict[str, Any]]:
    for piece in shape.pieces(source):
        yield {"type": f"response.{what}.delta", **where, "delta": piece}
    yield {"type": f"response.{what}.done", **where, field: source}
