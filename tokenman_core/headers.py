"""Which headers pass, in both directions, and which belong to one connection or to TokenMan alone."""

import base64
import re
from collections.abc import Collection
from urllib.parse import unquote, urlsplit

from tokenman_core.verdicts import Headers

# RFC 9110 §7.6.1 and RFC 9113 §8.2.2: these speak about one connection. `proxy-…` speaks to us (RFC 9110 §11.7).
HOP_BY_HOP = frozenset({
    b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te", b"trailer",
    b"proxy-authorization", b"proxy-authenticate",
})  # fmt: skip
FRAMING = frozenset({b"host", b"content-length", b"expect"})
OURS = b"x-tokenman-"
# They speak of the provider's own host and would bind the client to it, past us.
NEVER_BACK = frozenset({b"alt-svc", b"strict-transport-security"})
CREDENTIALS = frozenset(
    {
        b"authorization",
        b"x-api-key",
        b"x-goog-api-key",
        b"api-key",
        b"cookie",
        b"set-cookie",
        b"proxy-authorization",
        b"x-tokenman-key",
    }
)
VIRTUAL_KEY = b"tkm_"
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
SECRET_QUERY = frozenset({"key", "api_key", "api-key", "apikey", "access_token", "token"})

# All that a provider gets of a call which named another one: what says how to read it. Lists of what is secret have no end.
_HARMLESS = frozenset({
    b"content-type", b"content-encoding", b"content-md5", b"digest", b"content-digest", b"accept", b"accept-encoding",
    b"accept-language", b"user-agent", b"anthropic-version", b"anthropic-beta", b"openai-beta", b"x-goog-api-client",
    b"idempotency-key",
})  # fmt: skip
_HARMLESS_OF = b"x-stainless-"  # the SDKs of Anthropic and OpenAI: language, platform, count of retries
_HARMLESS_QUERY = frozenset(
    {"alt", "$alt", "beta", "api-version", "prettyprint", "stream", "include", "include[]", "starting_after"}
)


def first(headers: Headers, name: bytes) -> bytes | None:
    """The first value; `name` in lower case."""
    return next((value for key, value in headers if key.lower() == name), None)


def every(headers: Headers, name: bytes) -> list[bytes]:
    """All values, in order; `name` in lower case."""
    return [value for key, value in headers if key.lower() == name]


def is_name(name: bytes) -> bool:
    """RFC 9110 §5.1: a token."""
    return _TOKEN.fullmatch(name) is not None


def is_value(value: bytes) -> bool:
    """RFC 9110 §5.5: these end a line for some readers and not for others."""
    return b"\r" not in value and b"\n" not in value and b"\0" not in value


def _listed(connection: bytes | None) -> frozenset[bytes]:
    """What `Connection` names is hop-by-hop too (RFC 9110 §7.6.1)."""
    return frozenset(name.strip().lower() for name in connection.split(b",")) if connection else frozenset()


def to_provider(headers: Headers, connection: bytes | None = None, dropped: Collection[bytes] = ()) -> Headers:
    """The client's headers in their order and case, less what is ours and what is one connection's own.

    `connection` is the value of its `Connection` header, where there is one.
    """
    gone = HOP_BY_HOP | FRAMING | _listed(connection) | frozenset(dropped)
    return tuple((k, v) for k, v in headers if (low := k.lower()) not in gone and not low.startswith(OURS))


def to_client(headers: Headers, length: int | None, dropped: Collection[bytes] = ()) -> Headers:
    """The provider's headers in their order and case. `length` is the body's that goes out; None: not known beforehand."""
    gone = HOP_BY_HOP | NEVER_BACK | _listed(first(headers, b"connection")) | frozenset(dropped)
    same = length is not None and every(headers, b"content-length") == [b"%d" % length]
    if not same:
        gone |= {b"content-length"}
    kept = tuple((k, v) for k, v in headers if (low := k.lower()) not in gone and not low.startswith(OURS))
    return kept if same or length is None else (*kept, (b"content-length", b"%d" % length))


def ungoverned(headers: Headers) -> Headers:
    """Of a call that is no LLM call: only what is meant for us is taken out."""
    return tuple(
        (k, v)
        for k, v in headers
        if (low := k.lower()) not in (b"proxy-authorization", b"proxy-connection")
        and not low.startswith(OURS)
        and not _carries_virtual_key(v)
    )


def without_virtual_keys(target: str) -> str:
    """A request target without the parameters of its query that are one."""
    path, mark, query = target.partition("?")
    kept = [pair for pair in query.split("&") if not unquote(pair.partition("=")[2]).startswith("tkm_")]
    return path + mark + "&".join(kept) if kept else path


def _carries_virtual_key(value: bytes) -> bool:
    return VIRTUAL_KEY in value or any(part.startswith("tkm_") for part in login_of(value))


def without_secrets(headers: Headers) -> Headers:
    """For records and other add-ons: names stay, credentials do not."""
    return tuple((k, b"[hidden]" if k.lower() in CREDENTIALS else v) for k, v in headers)


def query_without_secrets(query: str) -> str:
    if not query:
        return query
    pairs = (pair.partition("=") for pair in query.split("&"))
    return "&".join(
        f"{name}=[hidden]" if eq and name.lower() in SECRET_QUERY else name + eq + value for name, eq, value in pairs
    )


def query_without_keys(query: str) -> str:
    """A query without what `SECRET_QUERY` names, all else as it was."""
    return "&".join(pair for pair in query.split("&") if unquote(pair.partition("=")[0]).lower() not in SECRET_QUERY)


def to_another(headers: Headers) -> Headers:
    """What of a call's headers a provider gets that the call did not name."""
    return tuple((k, v) for k, v in headers if (low := k.lower()) in _HARMLESS or low.startswith(_HARMLESS_OF))


def query_to_another(query: str) -> str:
    """What of a call's query a provider gets that the call did not name."""
    return "&".join(pair for pair in query.split("&") if unquote(pair.partition("=")[0]).lower() in _HARMLESS_QUERY)


def login_of(value: bytes) -> tuple[str, str]:
    """User and password of a Basic credential (RFC 7617), as the latter what a Bearer one holds; "" for what cannot be read."""
    scheme, _, said = value.strip().partition(b" ")
    if scheme.lower() == b"bearer":
        return "", said.strip().decode("latin-1")
    if scheme.lower() != b"basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(said.strip(), validate=True).partition(b":")
    except ValueError:
        return "", ""
    return _ascii(user), _ascii(password)


def _ascii(data: bytes) -> str:
    return data.decode("ascii") if data.isascii() else ""


def proxy_login(headers: Headers) -> tuple[str, str]:
    """With what a program calls its proxy: user and password, as `login_of` has them."""
    return login_of(first(headers, b"proxy-authorization") or b"")


def cross_site(headers: Headers, allowed: Collection[str]) -> bool:
    """Whether a web page of another site sent this (the Fetch standard makes browsers say so)."""
    origin = first(headers, b"origin")
    if origin is not None:
        text = origin.decode("latin-1")
        return text not in allowed and "*" not in allowed
    site = first(headers, b"sec-fetch-site")
    return site is not None and site.lower() in (b"cross-site", b"same-site")


def host_allowed(headers: Headers, names: Collection[str]) -> bool:
    """Whether `Host` is one that this listener answers to: stops DNS rebinding (a page's own name that points here)."""
    hosts = every(headers, b"host")
    if len(hosts) != 1:
        return False
    try:
        parts = urlsplit("//" + hosts[0].decode("ascii"))
        name = parts.hostname
        _ = parts.port
    except (ValueError, UnicodeDecodeError):
        return False
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return False
    return (name or "").rstrip(".").lower() in names
