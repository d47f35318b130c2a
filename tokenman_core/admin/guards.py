"""What stands before the API: names that are not served, other sites' pages, tokens, and bounds on what a stranger sends."""

import ipaddress
from collections.abc import Collection, Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tokenman_core.admin.answers import error
from tokenman_core.admin.keys import Keys

LOOPBACK = frozenset({"localhost", "ip6-localhost"})
MOST_QUERY = 4096  # bytes
MOST_BODY = 64 * 1024
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOGIN = "/api/login"

# A page of ours needs its own files and this API, and nothing else: no other origin, no inline script.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Sealed:
    """Puts the headers of safety on every answer, and lets no error out that has been told already."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), *_ALWAYS]
                if not any(name.lower() == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-cache" if path.startswith("/static/") else b"no-store"))
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, sealed)
        except Exception:  # it was answered with 500 and told in the log; the server would tell it again, with its text
            return


class HostCheck:
    """Refuses names that another site's owner made to point here (DNS rebinding). Ports do not matter, paths neither."""

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names) | LOOPBACK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosts = _every(scope, b"host")
        known = len(hosts) == 1 and self._known(host_name(hosts[0]))
        refusal = error(403, "forbidden", "this Host is not served here; see access.public_names")
        await (self._app if known else refusal)(scope, receive, send)

    def _known(self, name: str) -> bool:
        if name in self._names:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


class SiteCheck:
    """Other sites' pages may not change anything, and read only what `admin.allowed_origins` lets them (the Fetch standard)."""

    def __init__(self, app: ASGIApp, allowed: Collection[str]) -> None:
        self._app, self._allowed = app, frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origins, method = _every(scope, b"origin"), scope["method"]
        own = len(origins) == 1 and _is_own(origins[0], _every(scope, b"host")[0])
        listed = len(origins) == 1 and bool({"*", origins[0]} & self._allowed)
        if method == "OPTIONS" and _every(scope, b"access-control-request-method"):
            if own or listed:
                await _preflight(origins[0], _every(scope, b"access-control-request-headers"), send)
            else:
                await _foreign(scope, receive, send)
            return
        foreign = bool(origins) and not own
        if not origins and _every(scope, b"sec-fetch-site")[:1] in (["cross-site"], ["same-site"]):
            foreign = True
        may = listed and scope["path"] != _LOGIN  # a code is for our own page
        if foreign and not may and method not in _SAFE:
            await _foreign(scope, receive, send)
            return
        await self._app(scope, receive, _with_cors(send, origins[0]) if listed and not own else send)


class TokenCheck:
    """Holds the API, and `/metrics` where the settings say so, to a bearer token (RFC 6750)."""

    def __init__(self, app: ASGIApp, keys: Keys, *, metrics_open: bool) -> None:
        self._app, self._keys, self._metrics_open = app, keys, metrics_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._is_closed(scope["path"], scope["method"]):
            await self._app(scope, receive, send)
            return
        given = _every(scope, b"authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or not token.strip():
            message = (
                "this needs the admin token: send it as `Authorization: Bearer TOKEN`; it is in the file admin-token of the "
                "data folder, unless admin.token names another"
            )
            await error(401, "auth", message, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
        elif not self._keys.admits(token.strip()):
            message = "this is not the admin token, and no session that is still open; see the file admin-token of the data folder"
            await error(403, "auth", message)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_closed(self, path: str, method: str) -> bool:
        if path == "/metrics":
            return not self._metrics_open
        return path.startswith("/api") and (path, method) != (_LOGIN, "POST")


class Bounds:
    """A query or a body that is larger than any call of this API needs is refused before it is kept."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if len(scope["query_string"]) > MOST_QUERY:
            await error(414, "parse", f"the query is longer than {MOST_QUERY} bytes")(scope, receive, send)
            return
        declared = _every(scope, b"content-length")
        too_large = error(413, "body_cap", f"the body is larger than {MOST_BODY} bytes", {"Connection": "close"})
        if declared and (not declared[0].isdigit() or int(declared[0]) > MOST_BODY):
            await too_large(scope, receive, send)
            return
        taken, begun, over = 0, False, False

        async def counted() -> Message:
            nonlocal taken, over
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MOST_BODY:
                over = True
                return {"type": "http.disconnect"}
            return message

        async def watched(message: Message) -> None:
            nonlocal begun
            if not over or begun:
                begun = True
                await send(message)

        await self._app(scope, counted, watched)
        if over and not begun:
            await too_large(scope, receive, send)


def host_name(host: str) -> str:
    """The name in a `Host` header (RFC 9110, 7.2), in lower case, without its port; "" for what is not one."""
    name, port = host, ""
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            return ""
        port = port.removeprefix(":")
    elif ":" in host:
        name, _, port = host.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return ""
    return name.lower().removesuffix(".")


def _every(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _is_own(origin: str, host: str) -> bool:
    """Whether a page of this very server sent it; a proxy in front may have put TLS before it."""
    scheme, mark, place = origin.partition("://")
    return bool(mark) and scheme in ("http", "https") and place.lower() == host.lower()


def _with_cors(send: Send, origin: str) -> Send:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            cors = ((b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin"))
            message = {**message, "headers": [*message.get("headers", ()), *cors]}
        await send(message)

    return told


async def _preflight(origin: str, asked: list[str], send: Send) -> None:
    headers = [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-methods", b"GET, POST, DELETE, PATCH"),
        (b"access-control-allow-headers", (asked[0] if asked else "authorization").encode("latin-1")),
        (b"access-control-max-age", b"600"),
        (b"vary", b"Origin"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _foreign(scope: Scope, receive: Receive, send: Send) -> None:
    message = "a page of another site may not do this; see admin.allowed_origins"
    await error(403, "forbidden", message)(scope, receive, send)
