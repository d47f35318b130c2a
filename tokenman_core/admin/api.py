"""What the API answers: sums, calls, what was masked, providers, settings. Read from the ledger on a thread, never on the loop."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from tokenman_core import __version__, crashed, forecast
from tokenman_core.admin import cache, clients, events, openapi
from tokenman_core.admin.answers import Wrong, body, error, not_found, query
from tokenman_core.admin.aside import aside
from tokenman_core.admin.keys import SESSION_S, TooManyFailures
from tokenman_core.admin.parts import Parts
from tokenman_core.admin.readiness import Reach
from tokenman_core.admin.window import span
from tokenman_core.budget.books import State
from tokenman_core.budget.rules import dollars
from tokenman_core.config.models import Settings
from tokenman_core.ledger.pages import Filter, Page
from tokenman_core.ledger.reader import MOST_ROWS, By, LedgerError
from tokenman_core.ledger.row import details, iso, model_name, plain, spots
from tokenman_core.state import Unavailable

BYS: tuple[By, ...] = get_args(By)
_CRASHED_S = 60.0  # between two looks for calls that ended with their process
_FILTERS = ("model", "project", "client", "provider", "status", "session", "q")


class Api:
    """The routes, over the parts of one running proxy."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings: Settings = parts.loaded.settings
        self._crashes: crashed.Crashed = ()
        self._crashed_until = float("-inf")

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/summary", self.summary, methods=["GET"]),
            Route("/api/requests", self.requests, methods=["GET"]),
            Route("/api/requests/{id}", self.request, methods=["GET"]),
            Route("/api/events", self.events, methods=["GET"]),
            Route("/api/redaction", self.redaction, methods=["GET"]),
            Route("/api/budgets", self.budgets, methods=["GET"]),
            Route("/api/providers", self.providers, methods=["GET"]),
            Route("/api/providers/{name}/breaker", self.breaker, methods=["POST"]),
            Route("/api/config", self.config, methods=["GET"]),
            Route("/api/version", self.version, methods=["GET"]),
            Route("/api/login", self.login, methods=["POST"]),
            Route("/api/codes", self.codes, methods=["POST"]),
            Route("/api/openapi.json", self.openapi, methods=["GET"]),
            *cache.routes(self._parts),
            *(clients.routes(self._parts.clients, self._settings, self._parts.clock) if self._parts.clients else ()),
        ]

    # -- what was recorded --

    async def summary(self, request: Request) -> Response:
        given = query(request, "since", "until", "by")
        since, until = span(given, self._parts.clock.now())
        by = next((one for one in BYS if one == given.get("by", "model")), None)
        if by is None:
            raise Wrong("by", f"is nothing to group by; good values: {', '.join(BYS)}")
        ledger = self._parts.ledger
        totals = await aside(ledger.totals, by, since, until)
        masked = await aside(ledger.redactions, since, until)
        breaks = await aside(ledger.breaks, since, until)
        return JSONResponse(
            {
                "since": iso(since) if since else None,
                "until": iso(until) if until else None,
                "begins": iso(totals.begins) if totals.begins else None,
                **totals.as_json(),
                "redactions": masked.as_json()["items"],
                "prompt_cache_breaks": [each.as_json() for each in breaks],
                "active": self._parts.tallies.active,
                "live": self._live(),
            }
        )

    async def requests(self, request: Request) -> Response:
        given = query(request, "limit", "before", *_FILTERS)
        limit = given.get("limit", "100")
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:6]) <= MOST_ROWS):
            raise Wrong("limit", f"must be a number from 1 to {MOST_ROWS}; good value: 100")
        wanted = Filter(**{name: given[name] for name in _FILTERS if name in given})
        try:
            page = await aside(self._parts.ledger.page, wanted, int(limit), given.get("before"))
        except ValueError as e:
            field, _, message = str(e).partition(": ")
            raise Wrong(field, message) from None
        return Response(await aside(_listed, page), media_type="application/json")

    async def request(self, request: Request) -> Response:
        query(request)
        row = await aside(self._parts.ledger.row, request.path_params["id"])
        if row is None:
            return not_found("there is no call with this id, or it was removed when ledger.retention had passed")
        return JSONResponse(details(row) | {"spots": spots(row)})

    async def redaction(self, request: Request) -> Response:
        given = query(request, "since", "until")
        since, until = span(given, self._parts.clock.now())
        found = await aside(self._parts.ledger.redactions, since, until)
        settings = self._settings.redaction
        actions = self._parts.actions.items()
        return JSONResponse(
            {
                "since": iso(since) if since else None,
                "until": iso(until) if until else None,
                "mode": settings.mode,
                "secrets": settings.secrets,
                "restore": settings.restore,
                "restore_egress": settings.restore_egress,
                "unreadable": settings.unreadable,
                "entities": [{"entity": name, "action": action, "setting": by} for name, (action, by) in actions],
                **{name: found.as_json()[name] for name in ("items", "by_day", "by_project")},
            }
        )

    # -- what is now --

    async def events(self, request: Request) -> Response:
        return events.subscribe(request, self._parts.feed)

    async def version(self, request: Request) -> Response:
        query(request)
        return JSONResponse({"version": __version__, "started": _time(self._parts.started), "uptime_s": self._uptime()})

    async def budgets(self, request: Request) -> Response:
        query(request)
        try:
            states = await self._parts.budgets.everything()
        except Unavailable:
            return error(503, "persistence", "the counts of budgets cannot be read now; the log says why")
        now = self._parts.clock.now()
        days = await aside(self._days, now) if states else None
        lost, counts_all = await aside(self._crashed, states, now), self._settings.pricing.subscriptions == "count"
        return JSONResponse({
            "items": [
                _budget(state, forecast.of_budget(state, now, days), crashed.part(state, lost, counts_subscriptions=counts_all))
                for state in states
            ]
        })  # fmt: skip

    def _crashed(self, states: Sequence[State], now: float) -> crashed.Crashed:
        """Calls that ended with their process: there is hardly ever another one, so they are not looked for at each question."""
        if now >= self._crashed_until:
            with suppress(LedgerError):
                self._crashes = crashed.since(states, self._parts.ledger)
            self._crashed_until = now + _CRASHED_S
        return self._crashes

    def _days(self, now: float) -> Mapping[date, Decimal] | None:
        """What the days before have cost. A ledger that cannot be read keeps nobody from seeing his budgets."""
        try:
            totals = self._parts.ledger.totals("day", forecast.since(now))
        except LedgerError:
            return None
        return forecast.days_of(totals, self._settings.pricing.subscriptions == "count")

    async def providers(self, request: Request) -> Response:
        query(request)
        return JSONResponse({"items": [self._provider(name) for name in self._settings.providers]})

    def _provider(self, name: str) -> dict[str, Any]:
        settings, seen = self._settings.providers[name], self._parts.health.of(name)
        reach = next((one for one in self._parts.readiness.checks if one.name == f"provider:{name}"), None)
        status = reach.last if isinstance(reach, Reach) else None
        state = {"ok": "up", "failed": "down"}.get(status.status if status else "", "unknown")
        return {
            "name": name,
            "host": settings.base_url.host,
            "dialect": settings.dialect,
            "key": "configured" if settings.key is not None else "the caller's own",
            "state": state,
            "breaker": self._parts.breakers.states[name],
            "attempts": seen.attempts,
            "failures": seen.failures,
            "last_attempt": _time(seen.at) if seen.at else None,
            "last_error": seen.last_failure or None,
            "last_error_at": _time(seen.last_failure_at) if seen.last_failure_at else None,
            "pace": settings.pace,
            "rate_limits": [
                {
                    "model": model_name(model),
                    "kind": limit.kind,
                    "limit": limit.limit,
                    "remaining": int(left),
                    "reset_s": round(reset, 3),
                }
                for model, limit, left, reset in self._parts.paces.of(name)
            ],
        }

    async def breaker(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._settings.providers:
            return not_found(f"there is no such provider; there are {', '.join(self._settings.providers)}")
        query(request)
        given = await body(request, '{"state": "open"}')
        if unknown := sorted(given.keys() - {"state"}):
            raise Wrong(unknown[0][:40], 'is not known here; good value: {"state": "open"}')
        match given.get("state"):
            case "open":
                self._parts.breakers.hold(name)
            case "closed":
                self._parts.breakers.release(name)
            case _:
                raise Wrong("state", "must say what the breaker is to be; good values: open, closed")
        return JSONResponse(self._provider(name))

    async def config(self, request: Request) -> Response:
        query(request)
        loaded = self._parts.loaded
        settings = {
            name: {"value": value, "origin": loaded.origin(name)}
            for name, value in _flat("", loaded.settings.model_dump(mode="json"))
        }
        file, reload = str(loaded.file) if loaded.file else None, self._parts.reloads.as_json()
        return JSONResponse({"file": file, "reload": reload, "settings": settings})

    async def openapi(self, request: Request) -> Response:
        return JSONResponse(openapi.document())

    def _live(self) -> dict[str, Any]:
        """Since this instance started: what the ledger does not keep, or does not have yet."""
        total, errors = self._parts.tallies.total, self._parts.metrics.errors.values
        return {
            "version": __version__,
            "started": _time(self._parts.started),
            "uptime_s": self._uptime(),
            "active": self._parts.tallies.active,
            "calls": total.calls,
            "errors": total.errors,
            "refused_calls": sum(total.refused.values()),
            "aborted": total.aborted,
            "masked": total.masked,
            "input_tokens": total.input,
            "output_tokens": total.output,
            "cost_usd": plain(total.cost),
            "saved_usd": plain(total.saved),
            "unpriced_calls": total.unpriced,
            "turned_away": self._parts.tallies.away,
            "errors_by_type": {kind: int(count) for (kind,), count in errors.items() if count},
        }

    def _uptime(self) -> float:
        return round(max(0.0, self._parts.clock.now() - self._parts.started), 1)

    # -- who may ask --

    async def login(self, request: Request) -> Response:
        code = (await body(request, '{"code": "…"}')).get("code")
        if not isinstance(code, str) or not 0 < len(code) <= 200:
            raise Wrong("code", "must be the code that stands behind #code= in the address that was printed")
        try:
            token = self._parts.keys.session(code)
        except TooManyFailures as e:
            wait = max(1, round(e.wait))
            return error(429, "rate_limit", f"too many wrong codes; wait {wait} s", {"Retry-After": str(wait)})
        if token is None:
            message = "this code was used already, or is older than ten minutes; take a new one, or the admin token"
            return error(403, "auth", message)
        return JSONResponse({"token": token, "expires_s": int(SESSION_S)})

    async def codes(self, request: Request) -> Response:
        return JSONResponse({"code": self._parts.codes.new()})


def _listed(page: Page) -> bytes:
    """Long for long pages, so it is done aside."""
    return bytes(JSONResponse({"items": [details(row) for row in page.rows], "next": page.next}).body)


def _budget(state: State, ahead: forecast.Forecast | None, lost: Decimal) -> dict[str, Any]:
    rule, count, endless = state.rule, state.count, state.rule.span == "total"
    return {
        "name": rule.name,
        "scope": rule.reach.scope,
        "counted_by": state.counted_by or None,
        "match": dict(rule.reach.match),
        "window": rule.span,
        "begins": None if endless else _time(state.window.begins),
        "ends": None if endless else _time(state.window.ends),
        "on_exceed": rule.on_exceed,
        "limit_usd": plain(dollars(rule.limit)),
        "spent_usd": plain(dollars(count.spent)),
        "crashed_usd": plain(lost),
        "held_usd": plain(dollars(count.held)),
        "left_usd": plain(dollars(max(0, rule.limit - count.spent - count.held))),
        "spent_ratio": round(count.spent / rule.limit, 6),
        "forecast_usd": plain(ahead.usd) if ahead else None,
        "forecast_by": ahead.method if ahead else None,
        "full_at": _time(ahead.full_at) if ahead and ahead.full_at is not None else None,
    }


def _time(seconds: float) -> str:
    return iso(datetime.fromtimestamp(seconds, UTC))


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else name, inner)
    else:
        yield prefix, value
