"""Runs policy cases: each as a call that goes through the real chain and then nowhere; says what was not as expected."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tokenman_core.body.read import read_body
from tokenman_core.clock import request_id
from tokenman_core.config.cases import Asked, Case, Expected
from tokenman_core.errors import BodyError
from tokenman_core.exchange import Attempt, Exchange, Sent
from tokenman_core.model_names import disagreement
from tokenman_core.providers import Providers
from tokenman_core.recognition import Local, by_base_url
from tokenman_core.routes import Routes
from tokenman_core.stages import Link, Stages
from tokenman_core.verdicts import Candidate, Headers, Refuse, Skip

_PATHS = {"anthropic": "/v1/messages", "openai": "/v1/chat/completions"}
_RESPONSES = "/v1/responses"
_GEMINI = "/v1beta/models/{}:generateContent"


@dataclass(frozen=True)
class Outcome:
    """What became of a call: the kinds of value that were masked, the refusal, and where it would have gone ("" if nowhere).

    `bypass`: why no cache may answer it, "" if one may.
    """

    masked: frozenset[str]
    refusal: Refuse | None
    provider: str
    bypass: str = ""


Bypass = Callable[[Exchange], str]


def no_cache(exchange: Exchange) -> str:
    return "there is no cache"


async def run(case: Case, stages: Stages, providers: Providers, routes: Routes, bypass: Bypass = no_cache) -> list[str]:
    """What differs from what the case expects, one line each; nothing if it holds."""
    return differences(case.expect, await outcome(case.request, stages, providers, routes, bypass))


async def outcome(
    asked: Asked, stages: Stages, providers: Providers, routes: Routes, bypass: Bypass = no_cache
) -> Outcome:
    """Takes a call through the chain up to where its bytes would be made. `bypass`: why no cache may answer a call."""
    exchange = _exchange(asked, providers)
    try:
        refusal = await _judge(exchange, stages, routes)
    finally:
        await stages.done(exchange)
    provider = exchange.attempts[-1].candidate.provider if exchange.attempts and refusal is None else ""
    masked = frozenset(entity for entity, count in exchange.masked.items() if count)
    return Outcome(masked, refusal, provider, bypass(exchange) if refusal is None else "it is refused")


def differences(expected: Expected, found: Outcome) -> list[str]:
    """One line for each expectation that does not hold."""
    refusal = found.refusal
    was = f"refused with {refusal.status} {refusal.kind} ({refusal.message})" if refusal else "not refused"
    lines = []
    if expected.masked is not None and (wanted := frozenset(expected.masked)) != found.masked:
        lines.append(f"masked: expected {_names(wanted)}, found {_names(found.masked)}{'; ' + was if refusal else ''}")
    if expected.refused is not None and (refusal is None or refusal.status != expected.refused):
        lines.append(f"refused: expected {expected.refused}, was {was}")
    if expected.provider is not None and found.provider != expected.provider:
        lines.append(
            f"provider: expected {expected.provider}, " + (f"was {was}" if refusal else f"was {found.provider}")
        )
    if expected.cache is not None and (expected.cache == "bypass") != bool(found.bypass):
        why = f"bypass: {found.bypass}" if found.bypass else "that it may be answered from the cache"
        lines.append(f"cache: expected {expected.cache}, found {why}")
    return lines


async def _judge(exchange: Exchange, stages: Stages, routes: Routes) -> Refuse | None:
    if refusal := stages.head(exchange):
        return refusal
    sent = exchange.sent
    try:
        body = read_body(exchange.raw, "application/json", exchange.dialect, exchange.operation)
    except BodyError as error:
        return Refuse(400, error.kind, str(error))
    exchange.body = body
    exchange.seal()
    exchange.model = exchange.dialect.model(exchange.operation, sent.plain, body.value)
    if wrong := disagreement(exchange):
        return Refuse(400, "parse", wrong)
    exchange.plan = routes.plan(exchange)
    verdict = await stages.request(exchange)
    if verdict is not None:
        return verdict if isinstance(verdict, Refuse) else None
    for candidate in exchange.plan:
        attempt, entered = Attempt(len(exchange.attempts) + 1, candidate), list[Link]()
        exchange.attempts.append(attempt)
        decided = await stages.attempt(exchange, attempt, entered)
        await stages.attempt_done(exchange, attempt, entered)
        if not isinstance(decided, Skip):
            return decided
    return Refuse(503, "upstream", "No configured provider may serve this call.")


def _exchange(asked: Asked, providers: Providers) -> Exchange:
    body = asked.body if asked.body is not None else _said(asked)
    path = _PATHS.get(asked.dialect, _GEMINI.format(asked.model or "any"))
    if asked.dialect == "openai" and "input" in body:
        path = _RESPONSES
    headers: Headers = ((b"content-type", b"application/json"),)
    if asked.dialect == "anthropic":
        headers = (*headers, (b"anthropic-version", b"2023-06-01"))
    call = by_base_url(providers, "POST", path, [name for name, _ in headers])
    assert not isinstance(call, Local), "the paths above are those of known providers"
    provider = call.provider
    return Exchange(
        request_id(), Sent("POST", call.path, call.query, headers, ""), provider.dialect,
        provider.dialect.operation("POST", call.path), (Candidate(provider.name, ""),), project=asked.project,
        raw=json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"),
    )  # fmt: skip


def _said(asked: Asked) -> Mapping[str, Any]:
    """A request in which a user says the text."""
    if asked.dialect == "gemini":
        return {"contents": [{"role": "user", "parts": [{"text": asked.text}]}]}
    messages = [{"role": "user", "content": asked.text}]
    return {"model": asked.model or "any", "max_tokens": 1024, "messages": messages}


def _names(entities: frozenset[str]) -> str:
    return ", ".join(sorted(entities)) or "nothing"
