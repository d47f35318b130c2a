"""The bytes of one attempt, made anew from the governed call each time: body, headers, target and the provider's key."""

import asyncio
from functools import partial
from urllib.parse import quote, urljoin, urlsplit

from tokenman_core import headers as h
from tokenman_core.body import literals
from tokenman_core.body.base import Body
from tokenman_core.dialects import stream_usage
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.net import Request
from tokenman_core.paths import MODELS, model_in, plain, trouble
from tokenman_core.providers import Provider
from tokenman_core.stages import StageFailed
from tokenman_core.verdicts import Headers

OFF_LOOP = 128 << 10
"""Bytes: bodies above this are worked on in a thread, so that the loop is not held for more than a millisecond."""
PACKED_OFF_LOOP = OFF_LOOP // 8
"""The same of a packed one, whose size tells little."""

KEY_HEADER = {"anthropic": b"x-api-key", "gemini": b"x-goog-api-key"}


async def request_of(
    exchange: Exchange, attempt: Attempt, provider: Provider, named: Provider | None, target: str | None = None
) -> Request:
    """A request that says what the governed call says, at `target` (path and query) if a redirect named one.

    `named` is the provider that the call itself is addressed to.

    Raises StageFailed for a call that is no longer what was judged, BodyError where masking made two keys of an object one.
    """
    sent = exchange.sent
    if exchange.body is None or not exchange.intact:
        raise StageFailed("a stage changed more of the request than its texts")
    dropped: set[bytes] = set()
    asks = _may_ask(exchange, provider)
    model = attempt.candidate.model if attempt.candidate.model != exchange.model else ""
    body = exchange.raw
    if exchange.body.changed or asks or model or exchange.aside:
        render = partial(_rendered, exchange.body, asks, exchange.model, model)
        most = PACKED_OFF_LOOP if sent.header(b"content-encoding") else OFF_LOOP
        made, attempt.asked_usage = await asyncio.to_thread(render) if len(body) > most else render()
        if exchange.body.changed or attempt.asked_usage or model or exchange.aside:
            body = made
            dropped.add(b"content-encoding")
            dropped.update((b"content-md5", b"digest", b"content-digest"))  # they speak of bytes that are no more
    headers = h.to_provider(sent.headers, sent.header(b"connection"), dropped)
    elsewhere = provider is not named
    if elsewhere:
        headers = h.to_another(headers)
    if provider.key is not None:
        headers = _with_key(headers, provider)
    if target is None:
        path, query = exchange.target.render() if exchange.target else (sent.path, sent.query)
        if model:
            path = _renamed(path, exchange.model, model)
        if elsewhere and named is not None:
            path = named.api_path(path)
        if elsewhere:
            query = h.query_to_another(query)
        elif provider.key is not None:
            query = h.query_without_keys(query)
        target = provider.target(path) + (f"?{query}" if query else "")
    headers = ((b"Host", provider.authority.encode()), *headers)
    return Request(
        sent.method.encode(), provider.scheme, provider.host, provider.port, target.encode("latin-1"), headers, body
    )


def _renamed(path: str, named: str, model: str) -> str:
    """The path with a model's name in the place of the one that it names, up to the verb or to what else stands behind it."""
    found = MODELS.search(path)
    if found is None:
        return path
    head, behind = path[: found.end()], path[found.end() :]
    at = max(behind.rfind(":"), behind.lower().rfind("%3a"))
    if model_in(plain(path)) == named:
        return head + quote(model, safe="") + (behind[at:] if at >= 0 and "/" not in behind[at:].rstrip("/") else "")
    if behind.startswith(named + "/"):
        return head + quote(model, safe="") + behind[len(named) :]
    raise StageFailed("the path names another model than the call was judged by")


def _may_ask(exchange: Exchange, provider: Provider) -> bool:
    """Whether the provider is asked what a stream used. What the program asks itself is seen when the body is made."""
    named = exchange.operation.name in stream_usage.OPERATIONS
    return named and exchange.stream and provider.stream_usage and provider.dialect is exchange.dialect


def _rendered(body: Body, asks: bool, named: str, model: str) -> tuple[bytes, bool]:
    """The bytes of a request, and whether its usage is asked for in them. `model` takes the place of the one that is `named`."""
    data, value = body.render(), body.value
    if model and type(value) is dict and value.get("model") == named:
        start, end = literals.locate(data, {"model": 0}, {})[0]
        data = data[:start] + literals.write(model, data[start:end]) + data[end:]
        value = {**value, "model": model}
    made = stream_usage.ask(data, value) if asks else None
    return (data, False) if made is None else (made, True)


def inside(request: Request, location: str, status: int, provider: Provider) -> str | None:
    """The target of a redirect that stays with this provider and may be repeated as it is, else None."""
    base = f"{request.scheme}://{request.host}:{request.port}"
    try:
        there = urlsplit(urljoin(base + request.path.decode("latin-1"), location))
        port = there.port or {"http": 80, "https": 443}.get(there.scheme)
    except ValueError:  # no URL at all: `http://[x`, or a port that is no number
        return None
    if (there.scheme, there.hostname, port) != (request.scheme, request.host, request.port):
        return None
    if status not in (307, 308) and request.method not in (b"GET", b"HEAD"):
        return None
    path = there.path or "/"
    # Where a key of ours goes along, it must stay under `base_url`, also as those behind it read the path.
    if provider.key and provider.base_path and not (provider.holds(path) and not trouble("GET", path)):
        return None
    return path + (f"?{there.query}" if there.query else "")


def _with_key(headers: Headers, provider: Provider) -> Headers:
    """The provider's configured key in place of whatever the caller sent."""
    assert provider.key is not None
    kept = tuple((k, v) for k, v in headers if k.lower() not in h.CREDENTIALS - {b"cookie"})
    name, key = KEY_HEADER.get(provider.dialect.name), provider.key.encode()
    return (*kept, (name, key) if name else (b"authorization", b"Bearer " + key))
