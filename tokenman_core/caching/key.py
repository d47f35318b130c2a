"""The key of a call: a keyed hash of all that can change its answer, so that no answer is given to another question or caller.

What is not listed below as without effect is in the key, also what nobody knows yet: the worst that comes of it is that a
provider is asked again. The key is the same in every process and at every time.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import orjson

from tokenman_core import headers as h
from tokenman_core.bound import bound
from tokenman_core.exchange import Exchange
from tokenman_core.providers import Provider
from tokenman_core.verdicts import Candidate, Headers

VERSION = "2"
"""Of what a key is made of: another one, and all that was kept before is found no more."""

_NAME = b"tokenman/answer"


def _switch(value: Any) -> bool:
    return value is None or type(value) is bool


def _tag(value: Any) -> bool:
    return value is None or type(value) is str


def _only(*names: str) -> Callable[[Any], bool]:
    return lambda value: value is None or (type(value) is dict and value.keys() <= set(names))


# Whether it comes in pieces: the answer is replayed in the shape that the call asks for.
_STREAM = {"stream": _switch}
# What a stream tells of its usage, and random characters that hide the length of its pieces from who listens on the wire
# (https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options). Others' options (vLLM) are in the key.
_STREAM_OPTIONS = {**_STREAM, "stream_options": _only("include_usage", "include_obfuscation")}
# Whom the provider holds for the end user when it looks for abuse, and by what it finds the calls of a conversation in its own
# cache again (https://platform.openai.com/docs/api-reference/chat/create: user, safety_identifier, prompt_cache_key).
_TAGS = {"user": _tag, "safety_identifier": _tag, "prompt_cache_key": _tag}

ASIDE: Mapping[tuple[str, str], Mapping[str, Callable[[Any], bool]]] = {
    # `metadata.user_id` is what Anthropic looks for abuse by (https://docs.anthropic.com/en/api/messages#body-metadata).
    ("anthropic", "messages"): {**_STREAM, "metadata": _only("user_id")},
    ("anthropic", "complete"): {**_STREAM, "metadata": _only("user_id")},
    # Not `metadata`: a completion tells it back (`ChatCompletion.metadata` of OpenAI's package), and gateways act by it.
    ("openai", "chat"): {**_STREAM_OPTIONS, **_TAGS},
    ("openai", "completions"): {**_STREAM_OPTIONS, "user": _tag},
    ("openai", "embeddings"): {"user": _tag},
    # No tags: a response tells all of them back (https://platform.openai.com/docs/api-reference/responses/object).
    ("openai", "responses"): _STREAM_OPTIONS,
    # Code Assist's number of what its user typed (`packages/core/src/code_assist/converter.ts` of google-gemini/gemini-cli). That a
    # call of Gemini's streams stands in its path.
    ("gemini", "generate"): {"user_prompt_id": _tag},
}
"""By dialect and operation: the members at the top of a body that cannot change the answer, if their value is of that form."""

HEADERS_ASIDE = (
    h.HOP_BY_HOP
    | h.FRAMING
    | h.CREDENTIALS  # they are part of the caller
    | frozenset({
        # How the bytes of the body were packed, and which packings of the answer the client can open: it is kept unpacked.
        b"content-encoding", b"content-md5", b"digest", b"content-digest", b"accept-encoding", b"content-type", b"accept",
        # What the program is made of.
        b"user-agent", b"x-goog-api-client", b"priority", b"cache-control", b"pragma",
        # Names of one call, one trace or one session (W3C Trace Context, B3, Sentry, Codex, Claude Code).
        b"x-request-id", b"x-client-request-id", b"idempotency-key", b"traceparent", b"tracestate", b"baggage", b"b3",
        b"sentry-trace", b"session_id", b"session-id", b"conversation_id", b"thread-id", b"x-claude-code-session-id",
        b"x-codex-turn-metadata", b"x-codex-turn-state", b"x-codex-window-id",
    })
)  # fmt: skip
"""Headers that cannot change the answer. The values of `content-type` and `accept` are judged apart."""

# Of the clients' packages (language, platform, count of retries), of traces, of browsers, and our own. Not what proxies on the way
# put in: it may be what tells callers apart (`x-forwarded-user`).
_HEADERS_ASIDE_OF = (h.OURS, b"x-stainless-", b"x-b3-", b"x-datadog-", b"sec-fetch-", b"sec-ch-")

# All of these are told by the shape that the call asks for, or are said of every call.
_ACCEPTED = frozenset({b"", b"*/*", b"application/json", b"text/event-stream"})
_SENT_AS = frozenset({b"", b"application/json"})

_STREAM_VERB, _WHOLE_VERB = ":streamGenerateContent", ":generateContent"
_STREAM_QUERY = frozenset({"alt=sse", "$alt=sse"})


def key_of(
    exchange: Exchange, candidate: Candidate, provider: Provider, *, shared: bool, root: bytes, tool_calls: bool = False
) -> bytes | None:
    """32 bytes for the governed request as it is now, were `candidate` (whose provider is `provider`) to answer it.

    None: it cannot be told, so no answer may be kept or given. `root`: the key of the hash, up to 64 bytes. `tool_calls`: what is
    kept under it may call tools; it is found no more once that is not wanted.

    By default an answer is for its caller alone. `shared`: all callers may see each other's answers. Even then they must have the
    same kind of login where it is theirs that the provider sees; and what belongs to the account behind such a login (files,
    responses that the provider stores, what it encrypted) is for that caller alone, since no other account could use it.
    """
    made = _body(exchange, candidate)
    if made is None:
        return None
    path, query = exchange.target.render() if exchange.target else (exchange.sent.path, exchange.sent.query)
    path, pairs = _asked(exchange.dialect.name, path, query)
    headers = _headers(h.to_provider(exchange.sent.headers, exchange.sent.header(b"connection")))
    # Who answers for another one gets fewer headers, and the path by way of the one that was called.
    instead_of = exchange.named if exchange.named != provider.name else ""
    parts = (
        VERSION, provider.name, provider.dialect.name, provider.scheme, provider.host, str(provider.port), provider.base_path,
        provider.native_path, provider.key or "", instead_of, candidate.model, exchange.dialect.name, exchange.operation.name,
        "tool calls" if tool_calls else "", exchange.sent.method, path, str(len(pairs)), *pairs, str(len(headers)), *headers,
        *_caller(exchange, provider, shared), made,
    )  # fmt: skip
    data = [part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass") for part in parts]
    whole = b"".join([b"%d:%b" % (len(each), each) for each in data])  # no two lists of parts have the same
    return hashlib.blake2b(whole, digest_size=32, key=root, person=_NAME).digest()


def _body(exchange: Exchange, candidate: Candidate) -> bytes | None:
    body = exchange.body
    value = body.value if body is not None else None
    if body is None or type(value) is not dict:
        return None  # parts, lines, text: nobody asks a model so
    aside = ASIDE.get((exchange.dialect.name, exchange.operation.name), {})
    kept = {name: one for name, one in value.items() if not (name in aside and aside[name](one))}
    if kept.get("model") == exchange.model:
        kept["model"] = candidate.model or exchange.model
    return canonical(kept, parsed=not body.edition)


def canonical(value: Any, *, parsed: bool = False) -> bytes | None:
    """JSON that two values share only if they are the same but for the order of keys; None for what has none.

    True, 1, 1.0 and "1" differ, integers are exact. `parsed`: the value was read from JSON, so that no number in it is infinite
    or none.
    """
    try:
        made = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        # It writes null for a number that is none.
        if parsed or b"null" not in made or orjson.loads(made) == value:
            return made
    except TypeError:  # an integer beyond 64 bits, a lone surrogate, nested too deep
        pass
    try:
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return None
    # Not escaped: two halves of a pair, each for itself, would look like the pair.
    return text.encode("utf-8", "surrogatepass")


def _asked(dialect: str, path: str, query: str) -> tuple[str, list[str]]:
    """Path and pairs of the query, without credentials and without what says only in which shape the answer comes."""
    pairs = [pair for pair in h.query_without_keys(query).split("&") if pair]
    if dialect == "gemini":
        pairs = [pair for pair in pairs if pair not in _STREAM_QUERY]
        if path.endswith(_STREAM_VERB):
            path = path.removesuffix(_STREAM_VERB) + _WHOLE_VERB
    return path, pairs


def _headers(headers: Headers) -> list[bytes]:
    """Names and values, one behind the other, sorted by name. Of one name they stay in their order."""
    kept: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        low = name.lower()
        if low == b"content-type":
            if (kind := value.partition(b";")[0].strip().lower()) not in _SENT_AS:
                kept.append((low, kind))
        elif low == b"accept":
            if not {one.partition(b";")[0].strip().lower() for one in value.split(b",")} <= _ACCEPTED:
                kept.append((low, value.strip()))
        elif low not in HEADERS_ASIDE and not low.startswith(_HEADERS_ASIDE_OF):
            kept.append((low, value.strip()))
    return [part for pair in sorted(kept, key=lambda pair: pair[0]) for part in pair]


def _caller(exchange: Exchange, provider: Provider, shared: bool) -> list[str | bytes]:
    """For whom the answer is. Beside the credential that was read, all others that came: one of them may be what counts."""
    caller = exchange.caller
    keys = [pair for pair in exchange.sent.query.split("&") if _is_key(pair)]
    if shared and not (provider.key is None and _of_an_account(exchange)):
        login = caller.login if caller.login != "none" or not keys else "key"
        return ["shared", login if provider.key is None else "ours"]
    names = (
        h.CREDENTIALS if not caller.credential and not keys else h.CREDENTIALS - {b"cookie"}
    )  # else it is the wire's
    logins = [part for name, value in exchange.sent.headers if name.lower() in names for part in (name.lower(), value)]
    who = (caller.client, caller.run, caller.address) if not caller.credential else ("", "", "")
    return ["caller", caller.credential, *who, str(len(keys)), *keys, str(len(logins)), *logins]


def _is_key(pair: str) -> bool:
    return unquote(pair.partition("=")[0]).lower() in h.SECRET_QUERY


def _of_an_account(exchange: Exchange) -> bool:
    """Whether it names what only one account has, or its answer will hold such: what the provider stores there, or encrypts, for
    the next call to bring.
    """
    assert exchange.body is not None
    value = exchange.body.value
    stored = exchange.operation.name == "responses" and value.get("store") is not False
    include = value.get("include")
    encrypted = type(include) is list and "reasoning.encrypted_content" in include
    return stored or encrypted or bool(bound(value))
