"""The admin application: what its paths answer, and the guards before them."""

from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from tokenman_core import __version__
from tokenman_core.admin import pages
from tokenman_core.admin.answers import HANDLERS, Wrong, query
from tokenman_core.admin.api import Api
from tokenman_core.admin.aside import aside
from tokenman_core.admin.guards import Bounds, HostCheck, Sealed, SiteCheck, TokenCheck
from tokenman_core.admin.parts import Parts
from tokenman_core.config.models import Settings


def make(settings: Settings, parts: Parts, routes: Iterable[BaseRoute] = ()) -> ASGIApp:
    """The application. `routes` are added; those under `/api` are held to the token like all that stand there.

    Answers only a `Host` that is a loopback name, the listen address or in `access.public_names`.
    """
    admin = settings.admin
    app: ASGIApp = Starlette(routes=[*_routes(parts), *routes], exception_handlers=HANDLERS)
    metrics_open = admin.metrics == "open" or (admin.metrics == "auto" and admin.listen.loopback)
    app = TokenCheck(app, parts.keys, metrics_open=metrics_open)
    app = SiteCheck(Bounds(app), admin.allowed_origins)
    return Sealed(HostCheck(app, {admin.listen.host, *settings.access.public_names}))


def _routes(parts: Parts) -> list[BaseRoute]:
    async def ready(request: Request) -> Response:
        wanted = query(request, "for").get("for", "")
        if wanted not in ("", "balancer"):
            raise Wrong("for", "is nobody that is known; good value: balancer")
        verdict = await parts.readiness.judge(outside=not wanted)
        return JSONResponse(verdict.as_json(), 200 if verdict.ready else 503)

    async def metrics(request: Request) -> Response:
        from tokenman_core.telemetry.exposition import exposition  # prometheus_client takes its time to load

        series = parts.metrics.snapshot()
        content, kind = await aside(exposition, series, request.headers.get("accept", ""))
        return Response(content, headers={"content-type": kind})

    return [
        Route("/", pages.index, methods=["GET"]),
        Route("/static/{name}", pages.static, methods=["GET"]),
        Route("/health", _health, methods=["GET"]),
        Route("/health/ready", ready, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
        *Api(parts).routes(),
    ]


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok", "version": __version__})
