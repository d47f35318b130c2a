"""What the admin port answers: its health, and nothing else yet."""

import ipaddress
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tokenman_core import __version__
from tokenman_core.config.models import Settings

_LOOPBACK = frozenset({"localhost", "ip6-localhost"})


def make(settings: Settings, routes: Sequence[BaseRoute] = ()) -> ASGIApp:
    """The application. Answers only a `Host` that is a loopback name, the listen address or in `access.public_names`."""
    app = Starlette(
        routes=[Route("/health", _health, methods=["GET"]), *routes],
        exception_handlers={404: _not_found, 405: _not_found, 500: _failed},
    )
    return HostCheck(app, {settings.admin.listen.host, *settings.access.public_names})


async def _health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok", "version": __version__})


async def _not_found(request: Request, error: Exception) -> JSONResponse:
    return _error(404, "not_found", "there is nothing at this path")


async def _failed(request: Request, error: Exception) -> JSONResponse:
    return _error(500, "internal", "this failed inside; the log says more")


def _error(status: int, kind: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"type": kind, "message": message}}, status)


class HostCheck:
    """Refuses names that another site's owner made to point here (DNS rebinding). Ports do not matter, paths neither."""

    def __init__(self, app: ASGIApp, names: set[str]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names) | _LOOPBACK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        known = len(hosts) == 1 and self._known(host_name(hosts[0]))
        refusal = _error(403, "forbidden", "this Host is not served here; see access.public_names")
        await (self._app if known else refusal)(scope, receive, send)

    def _known(self, name: str) -> bool:
        if name in self._names:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


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
