"""The `tokenman run`s that use this proxy: each holds a connection to the admin port for as long as its program lives."""

import asyncio
import hashlib
import json
import os
import re
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from tokenman_core.admin.answers import departed, error
from tokenman_core.clients.keys import new_key
from tokenman_core.config.hosts import KNOWN
from tokenman_core.config.values import Address
from tokenman_core.errors import ErrorKind
from tokenman_core.instance import PROOF_PATH, Prover
from tokenman_core.record import Record
from tokenman_core.telemetry.tally import Tallies
from tokenman_core.usage import money

MOST_RUNS = 60  # at a time: each has one of the admin port's connections
KEPT = 200  # runs that are over and can still be asked for
MOST_HOSTS = 20  # of one run, by name
KEEP_S = 15.0  # between two signs of life on a lease
SETTLE_S = 3.0  # how long the sums of a run wait for calls that end just now
GRACE_S = 2.0  # without any user, until a proxy that `run` started ends
_FIRST_USER_S = 30.0  # and so long for the first one to come
_HOST = re.compile(r"[a-z0-9.:_-]{1,253}", re.ASCII)
_PROGRAM = re.compile(r"[\w.@+-]{1,60}", re.ASCII)


@dataclass(eq=False)
class Run:
    """One program under `tokenman run`, and what was refused to it, so often each: `bypassed` are LLM hosts that it called past
    every provider, `inner` hosts of private networks. `key`: with which its calls are let in where virtual keys are needed."""

    mark: str
    program: str
    key: str = field(default_factory=new_key, repr=False)
    live: bool = True
    pid: int = 0  # of the program; 0 once it is known to be gone
    open: int = 0  # calls that are not over
    upgrades: int = 0  # to WebSocket, which are refused: how a program learns that there is none is no error of the run
    estimated: bool = False
    notional: bool = False
    bypassed: Counter[str] = field(default_factory=Counter)
    inner: Counter[str] = field(default_factory=Counter)
    idle: asyncio.Event = field(default_factory=asyncio.Event)  # set while no call is open

    def __post_init__(self) -> None:
        self.idle.set()


class Runs:
    """Who uses the proxy. An observer of calls, so that a run's sums are asked for when they are whole."""

    def __init__(self, tallies: Tallies | None = None) -> None:
        self._tallies = tallies or Tallies()
        self._runs: OrderedDict[str, Run] = OrderedDict()  # live ones, and the last that are over
        self._by_key: dict[bytes, Run] = {}  # live ones, by the hash of their key
        self._live = 0
        self.keys_needed: Callable[[], bool] = lambda: False
        self.closing = asyncio.Event()  # no new run; those that hold a lease are let go
        self._leave: Callable[[], None] | None = None
        self._busy: Callable[[], bool] = lambda: False
        self._timer: asyncio.TimerHandle | None = None
        self._grace = GRACE_S

    @property
    def full(self) -> bool:
        return self._live >= MOST_RUNS

    def begin(self, program: str) -> Run:
        mark = secrets.token_hex(6)
        run = self._runs[mark] = Run(mark, program)
        self._by_key[_hash(run.key)] = run
        self._live += 1
        self._rest()
        return run

    def end(self, run: Run) -> None:
        if not run.live:
            return
        run.live = False
        self._by_key.pop(_hash(run.key), None)
        run.pid = run.pid if _alive(run.pid) else 0
        self._live -= 1
        self._runs.move_to_end(run.mark)
        over = [one.mark for one in self._runs.values() if not one.live]
        for mark in over[: max(0, len(over) - KEPT)]:
            del self._runs[mark]
        self._rest()

    def get(self, mark: str) -> Run | None:
        return self._runs.get(mark)

    def keyed(self, key: str) -> Run | None:
        """The live run whose key this is. Found by its hash, so that the time it takes tells nothing of any key."""
        return self._by_key.get(_hash(key))

    # -- its calls --

    def enter(self, mark: str) -> Run | None:
        """A call begins under a mark; None: under that of no run that lives, so it counts for none."""
        run = self._runs.get(mark)
        if run is None or not run.live:
            return None
        run.open += 1
        run.idle.clear()
        return run

    def ended(self, record: Record) -> None:
        run = self._runs.get(record.run)
        if not record.run or run is None:
            return
        if record.bill is not None:
            run.estimated = run.estimated or record.bill.estimated
            run.notional = run.notional or record.bill.notional
        run.upgrades += record.error == "websocket"
        run.open = max(0, run.open - 1)
        if not run.open:
            run.idle.set()

    def turned_away(self, kind: ErrorKind) -> None:
        """Of no run."""

    def bypassed(self, mark: str, host: str) -> bool:
        """Whether a run's program calls an LLM that no provider governs; counted if so. `host` in lower case."""
        run = self._runs.get(mark)
        if run is None or not (run.live or run.pid) or not known_llm(host):
            return False
        _count(run.bypassed, host)
        return True

    def inner(self, mark: str, host: str) -> None:
        """A run's program asked for a host that is inside; `host` in lower case."""
        run = self._runs.get(mark)
        if run is not None and run.live:
            _count(run.inner, host)

    async def sums(self, run: Run, *, settled: bool) -> dict[str, Any]:
        """What a run came to. With `settled` its last calls may end first: an answer arrives a moment before its record."""
        if settled:
            try:
                async with asyncio.timeout(SETTLE_S):
                    await run.idle.wait()
            except TimeoutError:
                pass  # then without them: the program is gone, and its user waits
        tally = self._tallies.of_run(run.mark)
        return {
            "run": run.mark, "program": run.program, "live": run.live, "open": run.open, "calls": tally.calls,
            "model_calls": tally.asked, "refused": {str(status): number for status, number in sorted(tally.refused.items())},
            "ceiling": tally.ceiling,
            "errors": tally.errors - run.upgrades, "aborted": tally.aborted, "masked": tally.masked, "input_tokens": tally.input,
            "output_tokens": tally.output, "cost_usd": money(tally.cost), "saved_usd": money(tally.saved),
            "unpriced": tally.unpriced, "estimated": run.estimated, "notional": run.notional,
            "bypassed": dict(run.bypassed), "inner": dict(run.inner),
        }  # fmt: skip

    # -- the end of a proxy that `run` started --

    def when_unused(self, leave: Callable[[], None], busy: Callable[[], bool], grace: float = GRACE_S) -> None:
        """Calls `leave` once no run has used the proxy for `grace` seconds; the first one has longer to come.

        A program whose run was killed still counts: it would call whoever has our port next. `busy`: whether somebody else is
        connected.
        """
        self._leave, self._busy, self._grace = leave, busy, grace
        self._arm(max(grace, _FIRST_USER_S))

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._leave is not None and not self._live:
            self._arm(self._grace)

    def _arm(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._end_of_use)

    def _end_of_use(self) -> None:
        assert self._leave is not None
        for run in self._runs.values():
            run.pid = run.pid if _alive(run.pid) else 0
        if self._busy() or any(run.pid for run in self._runs.values()):
            self._arm(self._grace)
            return
        self.closing.set()  # a run that comes now is told to start a proxy of its own
        self._leave()


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (OSError, OverflowError):  # another user's process is none of ours
        return False
    return pid > 0


def _count(hosts: Counter[str], host: str) -> None:
    """As names are written: what the program sent is shown to its user, and kept."""
    if _HOST.fullmatch(host) and (host in hosts or len(hosts) < MOST_HOSTS):
        hosts[host] += 1


def known_llm(host: str) -> bool:
    """Whether it is one, one below it, or one of its regions: that needs no certificate, so it may be wider than `KNOWN`."""
    return host not in _NO_LLM and _known().fullmatch(host) is not None


@cache
def _known() -> re.Pattern[str]:
    named = "|".join(_regional(*name.split(".", 1)) for name in KNOWN)
    return re.compile(rf"(?:.*\.)?(?:{named}|{'|'.join(_FAMILIES)})", re.DOTALL)


def _regional(first: str, rest: str) -> str:
    """A region stands before the first label or behind it: `eu.api.…`, `api.eu-west-1.…`, `us-east5-aiplatform.…`."""
    if "." not in rest:
        return re.escape(f"{first}.{rest}")
    return rf"(?:{_REGION}-)?{re.escape(first)}(?:[.-]{_REGION})?\.{re.escape(rest)}"


_REGION = r"(?:us|eu|uk|ca|sa|ap|me|af|il|cn|in|jp|kr|sg|au|de|fr|ch|asia|europe|global)(?:-[a-z]+)*-?\d*"
_FAMILIES = (  # each after anything and a dot
    r"[^.]+\.githubcopilot\.com",
    r"[^.]+\.x\.ai",
    r"[a-z0-9-]*aiplatform[a-z0-9-]*(?:\.[a-z0-9-]+)*\.googleapis\.com",  # also aiplatform.us.rep.googleapis.com
    r"bedrock-(?:agent-)?runtime[a-z0-9-]*(?:\.[a-z0-9-]+)+\.(?:amazonaws\.com|amazonaws\.com\.cn|api\.aws)",
)
_NO_LLM = frozenset({"ab.chatgpt.com"})  # below an LLM's name, and yet only the statistics of Codex


def routes(runs: Runs, prover: Prover) -> list[BaseRoute]:
    """For the admin application, which holds those under `/api` to its token."""

    async def prove(request: Request) -> Response:
        host, port = request.scope["server"]
        status, text = prover.answer(request.url.query, Address(host, port))
        return PlainTextResponse(text, status)

    async def begin(request: Request) -> Response:
        try:
            program = (await request.json())["program"]
        except (ValueError, KeyError, TypeError):
            program = None
        if not isinstance(program, str) or not _PROGRAM.fullmatch(program):
            return error(400, "parse", 'the body must be {"program": NAME}, a name of 60 characters or fewer')
        if runs.closing.is_set():
            return error(503, "shutdown", "this tokenman is ending; start another")
        if runs.full:
            return error(503, "forbidden", f"{MOST_RUNS} runs are open, which is the most at a time")
        return _Lease(runs, program)

    async def program(request: Request) -> Response:
        run = runs.get(request.path_params["mark"])
        try:
            pid = (await request.json())["pid"]
        except (ValueError, KeyError, TypeError):
            pid = None
        if type(pid) is not int or pid < 1:
            return error(400, "parse", 'the body must be {"pid": N}, the number of the run\'s process')
        if run is None or not run.live:
            return error(404, "not_found", "there is no such run")
        run.pid = pid
        return JSONResponse({})

    async def sums(request: Request) -> Response:
        run = runs.get(request.path_params["mark"])
        if run is None:
            return error(404, "not_found", "there was no such run, or it was long ago")
        return JSONResponse(await runs.sums(run, settled="settled" in request.query_params))

    return [
        Route(PROOF_PATH, prove, methods=["GET"]),
        Route("/api/runs", begin, methods=["POST"]),
        Route("/api/runs/{mark}", program, methods=["POST"]),
        Route("/api/runs/{mark}", sums, methods=["GET"]),
    ]


class _Lease(Response):
    """One line with the mark, and the key where one is needed, then an empty one now and then. The run ends with the connection,
    whoever ends that."""

    def __init__(self, runs: Runs, program: str) -> None:
        super().__init__()
        self._runs, self._program = runs, program

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        run = self._runs.begin(self._program)
        over = [asyncio.create_task(departed(receive)), asyncio.create_task(self._runs.closing.wait())]
        try:
            headers = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            key = {"key": run.key} if self._runs.keys_needed() else {}
            line = json.dumps({"run": run.mark} | key).encode() + b"\n"
            while True:
                await send({"type": "http.response.body", "body": line, "more_body": True})
                done, _ = await asyncio.wait(over, timeout=KEEP_S, return_when=asyncio.FIRST_COMPLETED)
                if done:
                    break
                line = b"\n"
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            for task in over:
                task.cancel()
            self._runs.end(run)
