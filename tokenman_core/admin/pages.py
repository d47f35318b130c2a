"""The dashboard's own files: a flat folder of them, each served under a type that a browser will not guess about."""

import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from tokenman_core import __version__
from tokenman_core.admin.answers import not_found
from tokenman_core.admin.aside import aside

FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml", ".png": "image/png", ".ico": "image/x-icon", ".woff2": "font/woff2",
}  # fmt: skip
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}\.[a-z0-9]{1,5}")


async def index(request: Request) -> Response:
    found = await aside(_read, "index.html")
    if found is None:
        return PlainTextResponse(f"TokenMan {__version__}: the API is at /api, its description at /api/openapi.json\n")
    return found


async def static(request: Request) -> Response:
    return await aside(_read, request.path_params["name"]) or not_found()


def _read(name: str) -> Response | None:
    """None: there is no such file. Names hold no way out of the folder."""
    if not _NAME.fullmatch(name):
        return None
    kind = _TYPES.get(Path(name).suffix)
    try:
        content = (FOLDER / name).read_bytes() if kind else None
    except OSError:
        return None
    return None if content is None else Response(content, headers={"content-type": kind or ""})
