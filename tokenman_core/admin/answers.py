"""Answers of the API when something is wrong, and what is read of a request's query and body."""

import difflib
import json
import logging
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive

from tokenman_core.clock import request_id
from tokenman_core.errors import trace
from tokenman_core.ledger.reader import LedgerError

log = logging.getLogger("tokenman.admin")


class Wrong(Exception):
    """A parameter or a field that will not do. The message says what would; it is shown."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


def error(status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": {"type": kind, "message": message}}, status, headers)


async def departed(receive: Receive) -> None:
    """Returns when the other side has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def not_found(what: str = "there is nothing at this path; /api/openapi.json lists what there is") -> JSONResponse:
    return error(404, "not_found", what)


async def on_wrong(request: Request, wrong: Exception) -> Response:
    assert isinstance(wrong, Wrong)
    return JSONResponse({"error": {"type": "parse", "message": str(wrong), "field": wrong.field}}, 400)


async def on_http(request: Request, raised: Exception) -> Response:
    assert isinstance(raised, HTTPException)
    if raised.status_code == 405:
        allow = (raised.headers or {}).get("Allow", "")
        return error(405, "method", f"this path has another method: {allow}", {"Allow": allow})
    return not_found()


async def on_ledger(request: Request, raised: Exception) -> Response:
    return error(503, "persistence", f"the ledger cannot be read now: {raised}", {"Retry-After": "5"})


async def on_leaving(request: Request, raised: Exception) -> Response:
    """Nobody is there to read it, unless the body was too large: then that is said instead."""
    return error(400, "parse", "the body did not come to its end")


async def on_failure(request: Request, raised: Exception) -> Response:
    """Nothing of an error inside is shown; the log has its type and place under the same id."""
    name = request_id()
    log.error("the admin server failed at %s: %s; request %s", request.scope["path"][:100], trace(raised), name)
    return error(
        500, "internal", f"this failed inside; the log says more, under {name}", {"x-tokenman-request-id": name}
    )


HANDLERS: dict[Any, Any] = {
    Wrong: on_wrong,
    HTTPException: on_http,
    LedgerError: on_ledger,
    ClientDisconnect: on_leaving,
    Exception: on_failure,
}


def query(request: Request, *known: str) -> dict[str, str]:
    """The parameters that are given, "" counts as none. Raises Wrong for one that is not known, or that comes twice."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known) or 'none'}"
            raise Wrong(name[:40], f"is no parameter of this path; {hint}")
        if name in found:
            raise Wrong(name, "is given twice; give it once")
        found[name] = value
    return {name: value for name, value in found.items() if value}


async def body(request: Request, good: str) -> dict[str, Any]:
    """A body that is a JSON object. `good` shows one. Raises Wrong."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # a form of another site cannot have it without asking first
        raise Wrong("content-type", "must be application/json")
    try:
        value = json.loads(await request.body())
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Wrong("body", f"must be a JSON object, like {good}")
    return value
