"""Which endpoint of the fake answers a request, and what holds for all of them: logins, bad JSON, scripted errors."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from addons.demo.provider import chat_api, code_assist, gemini_api, messages_api, responses_api
from addons.demo.provider.script import Failure, Script
from addons.demo.provider.wire import Received, Reply, json_reply

_REMEMBERED = 10_000  # bodies whose scripted errors are counted


@dataclass(frozen=True)
class Endpoint:
    """What one endpoint is made of. Without a script it answers the same whatever the text says."""

    refused: Callable[[Received], Reply | None]
    error: Callable[[int, str], Reply]
    answer: Callable[[Any, Script, int], Reply]
    script_of: Callable[[Any], Script] = lambda _: Script()


def _codex_error(status: int, message: str) -> Reply:
    return json_reply(status, {"detail": message})


_RESPONSES = Endpoint(
    chat_api.refused, chat_api.error, responses_api.responses, responses_api.script_of
)  # fmt: skip
POSTS: dict[str, Endpoint] = {
    "/v1/messages": Endpoint(messages_api.refused, messages_api.error, messages_api.messages, messages_api.script_of),
    "/v1/messages/count_tokens": Endpoint(
        messages_api.refused, messages_api.error, lambda value, _, __: messages_api.count_tokens(value)
    ),
    "/v1/chat/completions": Endpoint(chat_api.refused, chat_api.error, chat_api.chat, chat_api.script_of),
    "/v1/embeddings": Endpoint(chat_api.refused, chat_api.error, lambda value, _, __: chat_api.embeddings(value)),
    "/v1/responses": _RESPONSES,
    "/backend-api/codex/responses": Endpoint(
        responses_api.refused, _codex_error, responses_api.responses, responses_api.script_of
    ),
}


class Routes:
    """Answers requests. Remembers how often a body has met a scripted error, and the responses that it is to hold."""

    def __init__(self) -> None:
        self._stored = responses_api.Stored()
        self._failed: Counter[bytes] = Counter()

    async def __call__(self, received: Received) -> Reply:
        if endpoint := _posted(received) if received.method == "POST" else None:
            return self._post(endpoint, received)
        if received.method == "GET" and (reply := _models(received)):
            return reply
        if received.method == "GET" and received.path.startswith("/v1/responses/"):
            return chat_api.refused(received) or self._stored.get(received.path) or _echo(received)
        if received.method == "GET" and received.path == f"{responses_api.CODEX}/models":
            return responses_api.refused(received) or responses_api.codex_models()
        if received.method == "GET" and received.path == responses_api.ACCOUNT:
            return responses_api.refused(received) or responses_api.codex_account(received)
        return code_assist.google_account(received) or _echo(received)

    def _post(self, endpoint: Endpoint, received: Received) -> Reply:
        if refusal := endpoint.refused(received):
            return refusal
        try:
            value = received.json
        except ValueError:
            return endpoint.error(400, "The request body is not valid JSON.")
        if not isinstance(value, dict):
            return endpoint.error(400, "The request body is not a JSON object.")
        holds = endpoint is _RESPONSES
        if holds:
            value = self._stored.whole(value)
        script = endpoint.script_of(value)
        if script.redirect:
            return Reply(307, (("location", script.redirect),))
        if script.failure and self._fails(script.failure, received.body):
            reply = endpoint.error(script.failure.status, "This error was asked for.")
            return Reply(reply.status, (*reply.headers, *script.failure.headers, *script.headers), reply.steps)
        if holds and "input" in value and "model" in value:
            self._stored.keep(value, responses_api.made(value, script, received.number))
        return endpoint.answer(value, script, received.number)

    def _fails(self, failure: Failure, body: bytes) -> bool:
        if not failure.times:
            return True
        key = hashlib.blake2b(body, digest_size=16).digest()
        self._failed[key] += 1
        if len(self._failed) > _REMEMBERED:
            self._failed.clear()
        return 0 < self._failed[key] <= failure.times


def _posted(received: Received) -> Endpoint | None:
    """Google's paths hold the method and the model; all others are whole."""
    if call := gemini_api.call_of(received):
        script_of = partial(gemini_api.script_of, model=call.model)
        return Endpoint(gemini_api.refused, gemini_api.error, partial(gemini_api.answer, call), script_of)
    if call := code_assist.call_of(received):
        return Endpoint(code_assist.refused, gemini_api.error, partial(code_assist.answer, call), code_assist.script_of)
    return POSTS.get(received.path)


def _models(received: Received) -> Reply | None:
    if not received.path.startswith("/v1/models") or gemini_api.key_of(received):
        return gemini_api.models(received)
    name = received.path.removeprefix("/v1/models").strip("/")
    if received.header("anthropic-version") or received.header("x-api-key"):
        return messages_api.refused(received) or (messages_api.model(name) if name else messages_api.models())
    return chat_api.refused(received) or (chat_api.model(name) if name else chat_api.models())


def _echo(received: Received) -> Reply:
    """An endpoint that nobody has heard of: says what it received, in JSON."""
    try:
        said = received.decoded.decode()
    except ValueError:
        return json_reply(400, {"error": "The request body cannot be read."})
    try:
        said = json.loads(said)
    except ValueError:
        pass  # then the text is said
    return json_reply(200, {"method": received.method, "path": received.path, "received": said})
