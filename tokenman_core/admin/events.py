"""`GET /api/events`: calls as they end, as server-sent events (WHATWG HTML, 9.2)."""

import asyncio
import json

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tokenman_core.admin.answers import departed, error, query
from tokenman_core.telemetry.feed import Feed, Subscription, Told, TooMany

KEEP_ALIVE_S = 15.0
_RETRY_MS = 2000


def subscribe(request: Request, feed: Feed) -> Response:
    """`Last-Event-ID`, or `?after=ID` where headers cannot be set, begins behind the row with that id."""
    given = query(request, "after")
    after = request.headers.get("last-event-id", "") or given.get("after", "")
    try:
        return _Events(feed.subscribe(after[:64]))
    except TooMany:
        remedy = "too many listen already; close a dashboard or a `tokenman tail`"
        return error(503, "rate_limit", remedy, {"Retry-After": "10"})


class _Events(Response):
    """Lasts until the other side leaves or the feed is closed, and gives its place back in any case."""

    def __init__(self, reader: Subscription) -> None:
        super().__init__()
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        left = asyncio.ensure_future(departed(receive))
        told: asyncio.Future[Told] = asyncio.ensure_future(anext(self._reader))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            piece = b"retry: %d\n\n" % _RETRY_MS  # at once, so that the other side knows that it is heard
            while True:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.wait((told, left), timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
                if left.done():
                    return
                if not told.done():
                    piece = b": still here\n\n"
                    continue
                if isinstance(told.exception(), StopAsyncIteration):
                    break
                piece = _event(told.result())
                told = asyncio.ensure_future(anext(self._reader))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            left.cancel()
            told.cancel()
            self._reader.close()


def _event(told: Told) -> bytes:
    name = f"id: {told.id}\n" if told.id else ""
    return f"{name}event: {told.name}\ndata: {json.dumps(told.data, separators=(',', ':'))}\n\n".encode()
