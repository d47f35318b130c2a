"""The description of the API (OpenAPI 3.1), kept by hand beside the routes; a test holds the two together."""

from typing import Any

from tokenman_core import __version__
from tokenman_core.failover.breaker import STATES

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_NUMBER: Schema = {"type": "number", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_MONEY: Schema = {"type": "string", "pattern": r"^-?\d+(\.\d+)?$", "description": "USD, exact"}


def _maybe(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_SUMS = {
    "calls": _COUNT, "errors": _COUNT, "aborted": _COUNT, "cache_hits": _COUNT, "masked": _COUNT, "input_tokens": _COUNT,
    "output_tokens": _COUNT, "cache_read_tokens": _COUNT, "cache_write_tokens": _COUNT, "reasoning_tokens": _COUNT,
    "cost_usd": _MONEY, "notional_usd": _MONEY, "saved_usd": _MONEY, "unpriced_calls": _COUNT, "estimated_calls": _COUNT,
    "refused_calls": _COUNT, "ceiling_calls": _COUNT, "prompt_cache_saved_usd": _MONEY,
    "prompt_cache_read_ratio": _maybe({**_NUMBER, "maximum": 1, "description": "Of the input, from providers' own caches"}),
    "cache_hit_ratio": _maybe({**_NUMBER, "maximum": 1, "description": "Of the calls, answered by the cache of answers"}),
    "repeated_calls": {**_COUNT, "description": "While there was no cache of answers: what one would have answered"},
    "repeated_usd": _MONEY, "repeated_deterministic_calls": _COUNT, "repeated_deterministic_usd": _MONEY,
}  # fmt: skip
_LIVE = _object(
    version=_TEXT, started=_TIME, uptime_s=_NUMBER, active=_COUNT, calls=_COUNT, errors=_COUNT, aborted=_COUNT,
    masked=_COUNT, input_tokens=_COUNT, output_tokens=_COUNT, cost_usd=_MONEY, saved_usd=_MONEY, unpriced_calls=_COUNT,
    refused_calls=_COUNT, turned_away=_COUNT, errors_by_type={"type": "object", "additionalProperties": _COUNT},
)  # fmt: skip
_BREAK = _object(cause=_TEXT, count=_COUNT, lost_tokens=_COUNT, lost_usd=_MONEY)
_MASKED = _object(entity=_TEXT, action=_TEXT, count=_COUNT)
_ROW = _object(
    id=_TEXT, time=_TIME, provider=_TEXT, model=_TEXT, dialect=_TEXT, project=_TEXT, client=_TEXT, session=_TEXT,
    status=_maybe(_COUNT), error=_maybe(_TEXT), stream=_FLAG, attempts=_COUNT, cache=_maybe(_TEXT), input_tokens=_COUNT,
    output_tokens=_COUNT, cache_read_tokens=_COUNT, cache_write_tokens=_COUNT, cost_usd=_maybe(_MONEY), saved_usd=_MONEY,
    redactions=_COUNT, duration_ms=_NUMBER, ttft_ms=_maybe(_NUMBER), overhead_ms=_NUMBER, operation=_TEXT, login=_TEXT,
    outcome=_TEXT, detail=_maybe(_TEXT), cache_write_5m_tokens=_COUNT, cache_write_1h_tokens=_COUNT,
    usage_parts={"type": "object", "additionalProperties": _COUNT},
    reasoning_tokens=_COUNT, cost_basis=_maybe(_TEXT), cost_estimated=_FLAG, cost_notional=_FLAG,
    stream_truncated=_FLAG, cost_overrun=_FLAG, prompt_cache_saved_usd=_MONEY,
    prompt_cache_break=_maybe({**_TEXT, "description": "Why the provider's own cache did not have what it had before"}),
    prompt_cache_lost_tokens=_COUNT, prompt_cache_lost_usd=_MONEY,
    repeats=_maybe({**_TEXT, "description": "While there is no cache: one of this mode would have had the answer"}),
    unrestored={**_COUNT, "description": "Placeholders of the answer that stayed"},
    other_model={**_FLAG, "description": "The answer came from a model that the virtual key may not use"},
    redacted=_list(_object(entity=_TEXT, action=_TEXT, setting=_TEXT, count=_COUNT)),
    tried=_list(_object(provider=_TEXT, model=_TEXT, outcome=_TEXT, wait_ms=_NUMBER)),
)  # fmt: skip
_CHECK = _object(status={"type": "string", "enum": ["ok", "failed", "unknown"]}, message=_TEXT)
_READY = _object(
    status={"type": "string", "enum": ["ready", "unready"]},
    checks={"type": "object", "additionalProperties": _CHECK},
    tasks={
        "type": "object",
        "additionalProperties": _object(
            status={"type": "string", "enum": ["ok", "failed"]}, age_s=_NUMBER, every_s=_NUMBER, message=_TEXT
        ),
    },
)
_PROVIDER = _object(
    name=_TEXT, host=_TEXT, dialect=_TEXT, key=_TEXT, state={"type": "string", "enum": ["up", "down", "unknown"]},
    breaker={"type": "string", "enum": list(STATES)},
    attempts=_COUNT, failures=_COUNT, last_attempt=_maybe(_TIME), last_error=_maybe(_TEXT), last_error_at=_maybe(_TIME),
    pace={"type": "string", "enum": ["off", "on"]},
    rate_limits=_list(_object(model=_TEXT, kind=_TEXT, limit=_COUNT, remaining=_COUNT, reset_s=_NUMBER)),
)  # fmt: skip
_READ = {
    "calls": _COUNT, "input_tokens": _COUNT, "cache_read_tokens": _COUNT, "cache_write_tokens": _COUNT,
    "read_ratio": _maybe(_NUMBER), "saved_usd": _MONEY,
}  # fmt: skip
_MODE: Schema = {"type": "string", "enum": ["off", "deterministic", "all"]}
_ERROR = _object(error=_object(type=_TEXT, message=_TEXT))
_SETTING = _object(value={}, origin=_TEXT)
_RELOAD = _object(
    result=_TEXT, time=_TIME, changed=_list(_TEXT), restart=_list(_TEXT),
    errors=_list(_TEXT),
)  # fmt: skip

_CLIENT = {
    "name": _TEXT, "project": _maybe(_TEXT), "models": _list(_TEXT), "providers": _list(_TEXT), "budget": _maybe(_TEXT),
    "rate": _maybe(_TEXT), "created": _TIME, "expires": _maybe(_TIME), "expired": _FLAG,
}  # fmt: skip
_TERMS = {
    "name": _TEXT, "project": _TEXT, "models": _list(_TEXT), "providers": _list(_TEXT),
    "budget": {**_TEXT, "description": "The name of a configured budget, or USD/WINDOW", "examples": ["10/day"]},
    "rate": {**_TEXT, "examples": ["60/min"]}, "expires": {"type": ["string", "number"], "examples": ["30d"]},
}  # fmt: skip
_SCHEMAS: dict[str, Schema] = {
    "Error": _ERROR,
    "Row": _ROW,
    "Call": _object(
        **_ROW["properties"],
        spots=_list(_object(place=_TEXT, entity=_TEXT, action=_TEXT, hash=_TEXT, times=_COUNT)),
    ),
    "Sums": _object(**_SUMS),
    "Summary": _object(
        since=_maybe(_TIME), until=_maybe(_TIME), begins=_maybe(_TIME), by=_TEXT, total=_ref("Sums"),
        items=_list({**_object(**_SUMS), "additionalProperties": _TEXT}), redactions=_list(_MASKED),
        prompt_cache_breaks=_list(_BREAK), active=_COUNT, live=_LIVE,
    ),
    "Redaction": _object(
        since=_maybe(_TIME), until=_maybe(_TIME), mode=_TEXT, secrets=_TEXT, restore=_FLAG, restore_egress=_TEXT,
        unreadable=_TEXT, entities=_list(_object(entity=_TEXT, action=_TEXT, setting=_TEXT)), items=_list(_MASKED),
        by_day=_list(_object(day=_TEXT, entity=_TEXT, action=_TEXT, count=_COUNT)),
        by_project=_list(_object(project=_TEXT, entity=_TEXT, action=_TEXT, count=_COUNT)),
    ),
    "Readiness": _READY,
    "Provider": _PROVIDER,
    "Client": _object(**_CLIENT),
    "NewClient": _object(**_CLIENT, key=_TEXT),
    "ClientTerms": {"type": "object", "properties": _TERMS, "required": ["name"]},
    "Cache": _object(
        mode=_MODE, routes=_list(_object(match={"type": "object", "additionalProperties": _TEXT}, mode=_MODE)),
        scope={"type": "string", "enum": ["caller", "shared"]}, ttl_s=_NUMBER, limit_entries=_COUNT, limit_bytes=_COUNT,
        tools=_TEXT, tool_calls=_TEXT, pace=_TEXT,
        hits=_COUNT, misses=_COUNT, bypassed=_COUNT, coalesced=_COUNT, hit_ratio=_maybe(_NUMBER), saved_usd=_MONEY,
        under_way=_COUNT, entries=_COUNT, bytes=_COUNT, memory_entries=_COUNT, memory_bytes=_COUNT, waiting=_COUNT,
        encrypted=_FLAG, evicted=_COUNT, damaged=_COUNT, unwritten=_COUNT, trouble=_maybe(_TEXT), purge_age_s=_maybe(_NUMBER),
        since=_maybe(_TIME), until=_maybe(_TIME),
        would_have_saved=_object(calls=_COUNT, usd=_MONEY, deterministic_calls=_COUNT, deterministic_usd=_MONEY),
        prompt_caches=_object(
            **_READ, by_model=_list(_object(model=_TEXT, **_READ)), by_session=_list(_object(session=_TEXT, **_READ)),
            breaks=_list(_object(cause=_TEXT, count=_COUNT, lost_tokens=_COUNT, lost_usd=_MONEY)),
        ),
    ),
    "Budget": _object(
        name=_TEXT, scope=_TEXT, counted_by=_maybe(_TEXT), match={"type": "object"}, window=_TEXT, begins=_maybe(_TIME),
        ends=_maybe(_TIME), on_exceed=_TEXT, limit_usd=_MONEY, spent_usd=_MONEY, crashed_usd=_MONEY, held_usd=_MONEY,
        left_usd=_MONEY, spent_ratio={"type": "number"}, forecast_usd=_maybe(_MONEY),
        forecast_by=_maybe({"type": "string", "enum": ["linear", "weekdays"]}), full_at=_maybe(_TIME),
    ),
}  # fmt: skip


def _asked(name: str, text: str, example: str) -> Schema:
    return {"name": name, "in": "query", "description": text, "schema": _TEXT, "example": example}


_SINCE = _asked("since", "From then on: today, 24h, 7d, a date, an ISO 8601 time, all. Default: 24h", "7d")
_UNTIL = _asked("until", "Up to then, written like `since`", "2026-11-24T12:00:00Z")
_JSON, _PROMETHEUS, _EVENTS = "application/json", "text/plain", "text/event-stream"


def _get(
    summary: str, schema: Schema, *parameters: Schema, kind: str = _JSON, free: bool = False, other: int = 0
) -> Schema:
    return _operation(summary, schema, kind, free=free, other=other) | {"parameters": list(parameters)}


def _operation(summary: str, schema: Schema, kind: str = _JSON, *, free: bool = False, other: int = 0) -> Schema:
    answers = {"200": {"description": summary, "content": {kind: {"schema": schema}}}}
    for status in (*(() if free else (401, 403)), *((other,) if other else ())):
        answers[str(status)] = {"description": _STATUS[status], "content": {_JSON: {"schema": _ref("Error")}}}
    if other == 503 and schema == _ref("Readiness"):
        answers["503"] = {"description": _STATUS[503], "content": {_JSON: {"schema": schema}}}
    return {"summary": summary, "responses": answers, **({"security": []} if free else {})}


def _posted(summary: str, schema: Schema, given: Schema | None, *, free: bool = False, other: int = 0) -> Schema:
    body = {"requestBody": {"required": True, "content": {_JSON: {"schema": given}}}} if given else {}
    return _operation(summary, schema, free=free, other=403 if free else other) | body


_STATUS = {
    400: "A parameter will not do; the message names it and a good value",
    401: "No token",
    403: "Not the right token, or another site's page",
    404: "There is nothing of this name",
    503: "Not now",
}

PATHS: dict[str, dict[str, Schema]] = {
    "/": {"get": _get("The dashboard", _TEXT, kind="text/html", free=True)},
    "/static/{name}": {
        "get": _get(
            "A file of the dashboard", _TEXT, {"name": "name", "in": "path", "required": True, "schema": _TEXT},
            kind="text/javascript", free=True, other=404,
        )
    },
    "/health": {"get": _get("That it is alive", _object(status=_TEXT, version=_TEXT), free=True)},
    "/health/ready": {
        "get": _get(
            "Whether it can do its work, an entry a check", _ref("Readiness"),
            _asked("for", "`balancer` leaves out the providers", "balancer"), free=True, other=503,
        )
    },
    "/metrics": {"get": _get("For Prometheus; open or not as admin.metrics says", _TEXT, kind=_PROMETHEUS)},
    "/api/summary": {
        "get": _get(
            "Sums of calls, as `tokenman report` has them, and what is now", _ref("Summary"), _SINCE, _UNTIL,
            _asked("by", "model, project, client, provider, day, hour, session. Default: model", "model"), other=503,
        )
    },
    "/api/requests": {
        "get": _get(
            "Calls, the newest first", _object(items=_list(_ref("Row")), next=_maybe(_TEXT)),
            {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}},
            _asked("before", "What an earlier answer has as `next`", "1764000000000000-12"),
            _asked("model", "A name, or a pattern with * and ?", "claude-*"), _asked("project", "A name", "web"),
            _asked("client", "A name", "claude"), _asked("provider", "A name", "anthropic"),
            _asked("status", "A status, a class of them, or error", "4xx"),
            _asked("session", "A name", "5b7c0f0e7f3c4b8f"),
            _asked("q", "The beginning of an id, or a part of a model, project or client", "req_12"), other=503,
        )
    },
    "/api/requests/{id}": {
        "get": _get(
            "One call, with what was masked in it, where, and by which setting", _ref("Call"),
            {"name": "id", "in": "path", "required": True, "schema": _TEXT}, other=404,
        )
    },
    "/api/events": {
        "get": _get(
            "Calls as they end: events `call`, whose data is a row and whose id is its id, and `lost`", _TEXT,
            _asked("after", "The id of the last row that was read; the header Last-Event-ID wins", "req_0123"),
            {"name": "Last-Event-ID", "in": "header", "schema": _TEXT}, kind=_EVENTS, other=503,
        )
    },
    "/api/redaction": {
        "get": _get("What is masked and by which setting, and how often it was", _ref("Redaction"), _SINCE, _UNTIL, other=503)
    },
    "/api/budgets": {
        "get": _get(
            "The budgets, each counter of each, as they stand in their windows of now", _object(items=_list(_ref("Budget"))),
            other=503,
        )
    },
    "/api/providers": {"get": _get("The providers, and how they do", _object(items=_list(_ref("Provider"))))},
    "/api/providers/{name}/breaker": {
        "post": _posted(
            "Opens a provider's breaker until it is closed by hand, or closes it", _ref("Provider"),
            _object(state={"type": "string", "enum": ["open", "closed"]}), other=404,
        )
        | {"parameters": [{"name": "name", "in": "path", "required": True, "schema": _TEXT}]}
    },
    "/api/clients": {
        "get": _get("The clients that have a virtual key, without it", _object(items=_list(_ref("Client"))), other=503),
        "post": _posted(
            "Makes a client. Its key is in this answer and nowhere else", _ref("NewClient"), _ref("ClientTerms"), other=400
        ),
    },
    "/api/clients/{name}": {
        "delete": _operation("Has a client's key refused from now on", _object(name=_TEXT, revoked=_FLAG), other=404)
        | {"parameters": [{"name": "name", "in": "path", "required": True, "schema": _TEXT}]}
    },
    "/api/cache": {
        "get": _get(
            "The answers that may be given again, what that has saved since the start, and how the providers' own caches do",
            _ref("Cache"), _SINCE, _UNTIL, other=503,
        ),
        "delete": _operation(
            "Removes what the cache holds: all of it, or what a model gave, or what a project asked", _object(removed=_COUNT),
            other=503,
        )
        | {
            "parameters": [
                _asked("model", "A whole name. Left out: of all", "claude-sonnet-4-5"),
                _asked("project", "A whole name. Left out: of all", "web"),
            ]
        },
    },
    "/api/config": {
        "get": _get(
            "The settings in force, secrets hidden, each with its origin",
            _object(
                file=_maybe(_TEXT), reload=_maybe(_RELOAD), settings={"type": "object", "additionalProperties": _SETTING}
            ),
        )
    },
    "/api/version": {"get": _get("The version", _object(version=_TEXT, started=_TIME, uptime_s=_NUMBER))},
    "/api/login": {
        "post": _posted(
            "A session's token for a one-time code", _object(token=_TEXT, expires_s=_COUNT), _object(code=_TEXT), free=True
        )
    },
    "/api/codes": {"post": _posted("A new one-time code, for a link to the dashboard", _object(code=_TEXT), None)},
    "/api/openapi.json": {"get": _get("This document", {"type": "object"})},
}  # fmt: skip


def document() -> Schema:
    return {
        "openapi": "3.1.0",
        "info": {"title": "TokenMan's admin API", "version": __version__},
        "security": [{"token": []}],
        "paths": PATHS,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _SCHEMAS,
        },
    }
