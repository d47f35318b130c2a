"""What a refusal looks like in each provider's own form, so that its official clients understand it."""

import json
from typing import Any

from tokenman_core.errors import ErrorKind

# The status that a kind of error has where none is given: in a stream, whose status was sent long ago.
STATUSES: dict[ErrorKind, int] = {
    "parse": 400,
    "auth": 401,
    "forbidden": 403,
    "not_found": 404,
    "body_cap": 413,
    "response_cap": 502,
    "headers_cap": 431,
    "coding": 415,
    "budget": 429,
    "pricing": 400,
    "rate_limit": 429,
    "redaction": 400,
    "injection": 400,
    "stage": 500,
    "upstream": 502,
    "timeout": 504,
    "breaker": 503,
    "shutdown": 503,
    "persistence": 503,
    "websocket": 426,
    "internal": 500,
}

# Kinds that are recorded with a call, so that `tokenman why` can explain them.
_EXPLAINED: frozenset[ErrorKind] = frozenset(
    {
        "budget", "pricing", "rate_limit", "redaction", "injection", "stage", "upstream", "timeout", "breaker",
        "response_cap", "persistence", "internal",
    }
)  # fmt: skip

# https://docs.anthropic.com/en/api/errors
_ANTHROPIC: dict[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# https://platform.openai.com/docs/guides/error-codes
_OPENAI: dict[int, str] = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
# https://cloud.google.com/apis/design/errors
_GEMINI: dict[int, str] = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def anthropic_error(status: int, kind: ErrorKind, message: str, request_id: str) -> dict[str, Any]:
    """An error as the Messages API says it: a type told by the status, the message, the request's id."""
    message = message if kind not in _EXPLAINED else _with_id(message, kind, request_id)
    said = _ANTHROPIC.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": said, "message": message}, "request_id": request_id}


def openai_error(status: int, kind: ErrorKind, message: str, request_id: str) -> dict[str, Any]:
    """An error as OpenAI says it: a type told by the status, the message with the request's id, and the kind as its code."""
    said = _OPENAI.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": _with_id(message, kind, request_id), "type": said, "param": None, "code": kind}}


def gemini_error(status: int, kind: ErrorKind, message: str, request_id: str) -> dict[str, Any]:
    """An error as Google's APIs say it: the status, as a number and in words, and the message with the request's id."""
    said = _GEMINI.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    return {"error": {"code": status, "message": _with_id(message, kind, request_id), "status": said}}


def _with_id(message: str, kind: ErrorKind, request_id: str) -> str:
    """In the text, which is all that most programs show of an error."""
    return f"{message} ({'tokenman why' if kind in _EXPLAINED else 'request'} {request_id})"


def dump(value: Any) -> bytes:
    """JSON in UTF-8 without needless spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
