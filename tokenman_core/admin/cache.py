"""The answer cache over the API: how it stands and what it has saved, and removing what it holds."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tokenman_core.admin.answers import Wrong, error, query
from tokenman_core.admin.aside import aside
from tokenman_core.admin.parts import Parts
from tokenman_core.admin.window import span
from tokenman_core.caching.answers import NotForgotten
from tokenman_core.ledger.reader import LedgerReader
from tokenman_core.ledger.row import iso, plain
from tokenman_core.ledger.sums import Sums, Totals

_RESULTS = {"hits": "hit", "misses": "miss", "bypassed": "bypass", "coalesced": "coalesced"}
"""What is counted of calls, and how `x-tokenman-cache` has it."""

MOST_GROUPS = 20
"""Models, and sessions, whose prompt caches are told one by one: those that had the most input to read from one."""

_PATTERN = frozenset("*?")


def routes(parts: Parts) -> list[BaseRoute]:
    async def shown(request: Request) -> Response:
        since, until = span(query(request, "since", "until"), parts.clock.now())
        recorded = await aside(_recorded, parts.ledger, since, until)
        return JSONResponse(_rules(parts) | _counts(parts) | _held(parts) | recorded)

    async def forget(request: Request) -> Response:
        model, project = _named(request, "model"), _named(request, "project")
        try:
            removed = await parts.cache.forget(model, project)
        except NotForgotten as e:
            return error(503, "persistence", f"nobody is given it any more, but {e}", {"Retry-After": "5"})
        return JSONResponse({"removed": removed})

    return [
        Route("/api/cache", shown, methods=["GET"]),
        Route("/api/cache", forget, methods=["DELETE"]),
    ]


def _named(request: Request, name: str) -> str | None:
    """One of the two that what is to be removed may be named by; None: it is not named. Raises Wrong.

    What is given and empty must not come to mean all, nor a pattern to mean nothing.
    """
    given = query(request, "model", "project").get(name)
    if given is None and name in request.query_params:
        raise Wrong(name, f"is empty; name one, or leave {name} out to remove the answers of all")
    if given is not None and not _PATTERN.isdisjoint(given):
        raise Wrong(name, "is a whole name here, no pattern; good value: claude-sonnet-4-5")
    return given


def _rules(parts: Parts) -> dict[str, Any]:
    cache = parts.loaded.settings.cache
    return {
        "mode": cache.mode,
        "routes": [
            {"match": route.match.model_dump(mode="json"), "mode": route.cache}
            for route in parts.loaded.settings.routes
            if route.cache is not None
        ],
        "scope": cache.scope,
        "ttl_s": cache.ttl,
        "limit_entries": cache.entries,
        "limit_bytes": cache.size,
        "tools": cache.tools,
        "tool_calls": cache.tool_calls,
        "pace": cache.pace,
    }


def _counts(parts: Parts) -> dict[str, Any]:
    """Of all calls since the start."""
    metrics = parts.metrics
    counts = {name: int(metrics.cache.values.get((result,), 0)) for name, result in _RESULTS.items()}
    answered = counts["hits"] + counts["coalesced"]
    might = answered + counts["misses"]
    return {
        **counts,
        "hit_ratio": round(answered / might, 6) if might else None,
        "saved_usd": plain(Decimal(metrics.saved.values.get(("cache",), 0))),
        "under_way": parts.cache.under_way,
    }


def _held(parts: Parts) -> dict[str, Any]:
    it = parts.cache.figures()
    age = parts.cache.purge_age_seconds
    return {
        "entries": it.entries,
        "bytes": it.bytes,
        "memory_entries": it.memory_entries,
        "memory_bytes": it.memory_bytes,
        "waiting": it.waiting,
        "encrypted": it.encrypted,
        "evicted": it.evicted,
        "damaged": it.damaged,
        "unwritten": it.unwritten,
        "trouble": it.trouble,
        "purge_age_s": None if age is None else round(age, 1),
    }


def _recorded(ledger: LedgerReader, since: datetime | None, until: datetime | None) -> dict[str, Any]:
    """What the ledger tells of a window: calls that a cache would have answered, and how the providers' own caches did."""
    models, sessions = ledger.totals("model", since, until), ledger.totals("session", since, until)
    total = models.total
    return {
        "since": iso(since) if since else None,
        "until": iso(until) if until else None,
        "would_have_saved": {
            "calls": total.repeated,
            "usd": plain(total.repeated_cost),
            "deterministic_calls": total.exact,
            "deterministic_usd": plain(total.exact_cost),
        },
        "prompt_caches": {
            **_prompt_cache(total),
            "by_model": _each(models),
            "by_session": _each(sessions),
            "breaks": [each.as_json() for each in ledger.breaks(since, until)],
        },
    }


def _each(totals: Totals) -> list[dict[str, Any]]:
    groups = sorted(totals.groups, key=lambda group: -group[1].input)[:MOST_GROUPS]
    return [{totals.by: name, **_prompt_cache(sums)} for name, sums in groups if sums.input]


def _prompt_cache(sums: Sums) -> dict[str, Any]:
    return {
        "calls": sums.calls,
        "input_tokens": sums.input,
        "cache_read_tokens": sums.cache_read,
        "cache_write_tokens": sums.cache_write_5m + sums.cache_write_1h,
        "read_ratio": sums.read_ratio,
        "saved_usd": plain(sums.cache_saved),
    }
