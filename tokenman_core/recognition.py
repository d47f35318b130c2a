"""Tells from path and headers alone to which provider a call belongs that names none by its host (INTERFACE: one port)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from tokenman_core.clients.keys import PATTERN
from tokenman_core.paths import plain, usual
from tokenman_core.providers import Provider, Providers


@dataclass(frozen=True)
class Call:
    """A call to `provider`; `path` is what remains without a `/p/NAME` prefix, `query` what stands behind the `?`."""

    provider: Provider
    path: str
    query: str


@dataclass(frozen=True)
class Local:
    """Answered here."""

    status: int
    text: str


HELLO = "TokenMan is here. Point a program at this address, for example ANTHROPIC_BASE_URL=http://HOST:PORT\n"
NOT_FOUND = "No provider's API has this path. Known: /v1/messages, /v1/chat/completions, /v1/responses, /v1/models, /p/PROVIDER/…\n"

GEMINI_METHOD = re.compile(r"^/v1(beta|alpha)?\d*/.+:(generateContent|streamGenerateContent|countTokens|embedContent)$")


RUN = re.compile(rf"^/r/([0-9a-f]{{12}})(?:\.({PATTERN}))?(?=[/?]|$)")


def unmarked(target: str) -> tuple[str, str, str]:
    """The mark and the virtual key of a `tokenman run` that a base URL put before the path, "" for none, and the target without."""
    found = RUN.match(target)
    if found is None:
        return "", "", target
    rest = target[found.end() :]
    return found[1], found[2] or "", rest if rest.startswith("/") else "/" + rest


def split(target: str) -> tuple[str, str]:
    path, _, query = target.partition("?")
    return path, query


def by_base_url(providers: Providers, method: str, target: str, names: Iterable[bytes]) -> Call | Local:
    """`target` is an origin-form request target without a run's mark; `names` the header names in lower case."""
    path, query = split(target)
    if path == "/":
        return Local(200, HELLO) if method in ("GET", "HEAD") else Local(404, NOT_FOUND)
    if path.startswith("/p/"):
        name, slash, rest = path[3:].partition("/")
        provider = providers.by_name.get(name)
        return Call(provider, slash + rest or "/", query) if provider else Local(404, _unknown(providers, name))
    known, asked = frozenset(names), path if usual(path) else plain(path)
    if b"anthropic-version" in known and (asked == "/messages" or asked.startswith("/messages/")):
        path, asked = "/v1" + path, "/v1" + asked  # Vercel's AI SDK takes ANTHROPIC_BASE_URL for one that ends in /v1
    provider = providers.by_name.get(_provider_of(asked, known))
    return Call(provider, path, query) if provider else Local(404, NOT_FOUND)


def _provider_of(path: str, names: frozenset[bytes]) -> str:
    """The rules for a path as `paths.plain` gives it, first match wins. Headers tell where two providers share a path."""
    under_v1 = path.startswith("/v1/")
    rules = (
        (
            "gemini",
            bool(GEMINI_METHOD.match(path)) or path.startswith("/v1beta/") or (under_v1 and b"x-goog-api-key" in names),
        ),
        (
            "anthropic",
            path == "/v1/messages" or path.startswith("/v1/messages/") or (under_v1 and b"anthropic-version" in names),
        ),
        ("gemini-code-assist", path.startswith(("/v1internal:", "/v1internal/"))),
        ("codex", path.startswith("/backend-api/") or (under_v1 and b"chatgpt-account-id" in names)),
        ("openai", under_v1),
    )
    return next((name for name, holds in rules if holds), "")


def _unknown(providers: Providers, name: str) -> str:
    known = ", ".join(sorted(providers.by_name))
    return f"No provider is configured under that name. Known: {known}\n"
