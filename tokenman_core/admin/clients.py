"""Clients and their virtual keys over the API: listed without their keys, made, revoked."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tokenman_core.admin.answers import Wrong, body, error, not_found, query
from tokenman_core.admin.aside import aside
from tokenman_core.clients import Clients, Exists, TooMany, Unfit, terms
from tokenman_core.clock import Clock
from tokenman_core.config.models import Settings

_GOOD = '{"name": "web", "budget": "5/day"}'
_TEXTS = ("project", "budget", "rate")
_LISTS = ("models", "providers")


def routes(clients: Clients, settings: Settings, clock: Clock) -> list[BaseRoute]:
    async def listed(request: Request) -> Response:
        query(request)
        known = await aside(clients.now)
        if known.trouble:
            return error(503, "persistence", "the file of clients cannot be read now; the log says why")
        return JSONResponse({"items": [each.as_json(clock.now()) for each in known.clients]})

    async def make(request: Request) -> Response:
        query(request)
        name, said = _terms(await body(request, _GOOD))
        try:
            client = terms(settings, name, clock.now(), **said)
            key = await aside(clients.add, client)
        except Unfit as e:
            raise Wrong(e.what, str(e).partition(": ")[2]) from None
        except Exists:
            raise Wrong("name", "is another client's; revoke that one first, or choose another name") from None
        except TooMany:
            return error(503, "persistence", "there are too many clients; revoke those that are not used")
        except OSError:
            return error(503, "persistence", "the file of clients cannot be written now")
        return JSONResponse({**client.as_json(clock.now()), "key": key}, headers={"cache-control": "no-store"})

    async def revoke(request: Request) -> Response:
        query(request)
        name = request.path_params["name"]
        try:
            gone = await aside(clients.revoke, name)
        except (OSError, TooMany):
            return error(503, "persistence", "the file of clients cannot be written now, so the key is still good")
        return JSONResponse({"name": name, "revoked": True}) if gone else not_found("there is no such client")

    return [
        Route("/api/clients", listed, methods=["GET"]),
        Route("/api/clients", make, methods=["POST"]),
        Route("/api/clients/{name}", revoke, methods=["DELETE"]),
    ]


def _terms(given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name, and the rest as `terms` takes it; null is as good as nothing. Raises Wrong."""
    known = ("name", *_TEXTS, *_LISTS, "expires")
    if unknown := sorted(given.keys() - set(known)):
        raise Wrong(unknown[0][:40], f"is not known here; there are {', '.join(known)}")
    said = {name: value for name, value in given.items() if value is not None}
    for name in ("name", *_TEXTS):
        if type(said.get(name, "")) is not str:
            raise Wrong(name, f"must be a text; good value: {_GOOD}")
    for name in _LISTS:
        if not _is_texts(said.get(name, ())):
            raise Wrong(name, 'must be a list of texts; good value: ["claude-*"]')
    return said.pop("name", ""), said


def _is_texts(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and all(type(each) is str for each in value)
