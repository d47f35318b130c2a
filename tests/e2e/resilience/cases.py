"""One call for each row of the table, all through one proxy: what is set up for it, how it is made, and what it is held to."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.core.net.fakes import Authority
from tests.e2e.harness import ANTHROPIC_KEY, PLANTED, Proxy
from tests.e2e.resilience import house, table
from tests.e2e.resilience.house import INSIDE, PATIENCE_S, body, check_refusal
from tests.e2e.resilience.table import ATTEMPTS, GOOD, SILENT_S, Api, Expected, Fault, Late, Mode, Which
from tests.e2e.resilience.upstreams import Seen, Upstream, Upstreams, Version

AT_ONCE = 24
MAIL = PLANTED["e-mail"]
HEADERS = house.HEADERS | {"x-odd": "a, b"}
RETRY = {"base_delay": "10ms", "max_delay": f"{table.MOST_DELAY_S}s", "max_wait": "10s", "attempts": ATTEMPTS}
NEVER_OPENS = {"failures": 1_000_000, "min_calls": 0}


def deadlines(short: bool) -> dict[str, Any]:
    seconds = f"{SILENT_S}s" if short else "30s"
    return {"timeouts": {"connect": seconds, "first_byte": seconds, "first_token": seconds, "idle": seconds}}


@dataclass
class Case:
    """A call to the first of `upstreams`; the others are what its route goes on to."""

    name: str
    mode: Mode
    fault: Fault | Late
    which: Which
    upstreams: list[Upstream | None]  # None: nobody listens there
    urls: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [f"{self.name}-{letter}" for letter, _ in zip("ab", self.upstreams, strict=False)]

    @property
    def api(self) -> Api | None:
        return self.fault.api if isinstance(self.fault, Fault) else None

    @property
    def good(self) -> bytes:
        return b"".join(self.api.stream) if self.api else GOOD[self.mode]

    @property
    def seen(self) -> list[list[Seen]]:
        return [one.requests if one else [] for one in self.upstreams]


@dataclass
class Got:
    """What the client saw. `cut`: the connection broke before the answer was whole."""

    status: int
    headers: httpx.Headers
    body: bytes
    seconds: float
    cut: bool = False


def rows(version: Version, mode: Mode, authority: Authority) -> Iterator[Case]:
    """The table's cases: each fault at each attempt, at one provider and on a route with two."""
    secure = authority.server("h2" if version == "2" else "http/1.1")
    for fault in table.TABLE[mode]:
        if version not in fault.versions:
            continue
        tls = secure if version == "2" or fault.tls else None
        for providers, which in _kinds(fault):
            made: list[Upstream | None] = [
                None
                if fault.nobody and (number == 0 or which == "all")
                else Upstream(table.scripts(fault, which, number, mode, close=True), version, tls)
                for number in range(providers)
            ]
            yield Case(f"{mode}-{fault.name}-{which}-{providers}", mode, fault, which, made)


def _kinds(fault: Fault) -> Iterator[tuple[int, Which]]:
    if not fault.nobody:  # nobody begins to listen in time
        yield 1, "first"
        yield 1, "second"
    yield 1, "all"
    yield 2, "first"
    yield 2, "all"


def late(version: Version, authority: Authority) -> Iterator[Case]:
    tls = authority.server("h2") if version == "2" else None
    for fault in table.TOO_LATE:
        if version in fault.versions:
            made: list[Upstream | None] = [Upstream([fault.script, table.good_stream], version, tls) for _ in range(2)]
            yield Case(fault.name, "stream", fault, "first", made)


def start(proxy_folder: Any, cases: Sequence[Case], them: Upstreams, authority: Authority, **settings: Any) -> Proxy:
    """A proxy that knows a provider, or a route, for each of the cases: no case can spoil another's connections or retries."""
    them.add(*(one for case in cases for one in case.upstreams if one))
    providers: dict[str, Any] = {}
    for case in cases:
        case.urls = [one.url if one else them.nobody() for one in case.upstreams]
        for name, url in zip(case.names, case.urls, strict=True):
            spoken = {"dialect": case.api.dialect, "stream_usage": False} if case.api else {"dialect": "anthropic"}
            providers[name] = {"base_url": url} | spoken | deadlines(case.fault.deadlines)
    routes = [{"match": {"provider": case.names[0]}, "try": case.names} for case in cases if len(case.names) > 1]
    options: dict[str, Any] = {
        "retry": RETRY, "breaker": NEVER_OPENS, "limits": {"response_body": table.CAP},
        "telemetry": {"log": {"level": "info"}},
    }  # fmt: skip
    proxy = Proxy.start(
        proxy_folder, "http://127.0.0.1:9", environment={"SSL_CERT_FILE": str(authority.pem)},
        **(options | settings | {"providers": providers, "routes": routes}),
    )  # fmt: skip
    them.served.append(proxy.process)
    return proxy


async def call(client: httpx.AsyncClient, case: Case) -> Got:
    begun = time.monotonic()
    data, cut, said = b"", False, f"I am {MAIL}"
    content = case.api.body.replace("TEXT", said).encode() if case.api else body(case.mode, said)
    path = case.api.path if case.api else "/v1/messages"
    async with client.stream("POST", f"/p/{case.names[0]}{path}", content=content, headers=HEADERS) as answer:
        try:
            async for piece in answer.aiter_raw():
                data += piece
        except httpx.TransportError:
            cut = True
    return Got(answer.status_code, answer.headers, data, time.monotonic() - begun, cut)


def make_all(proxy: Proxy, cases: Sequence[Case]) -> list[Got | BaseException]:
    """All of them side by side, in one event loop."""

    async def run() -> list[Got | BaseException]:
        room = asyncio.Semaphore(AT_ONCE)
        limits = httpx.Limits(max_connections=AT_ONCE)
        async with httpx.AsyncClient(base_url=proxy.url, timeout=PATIENCE_S, limits=limits, trust_env=False) as client:

            async def one(case: Case) -> Got:
                async with room:
                    return await call(client, case)

            return await asyncio.gather(*(one(case) for case in cases), return_exceptions=True)

    return asyncio.run(run())


# -- what a call is held to; an AssertionError tells what was broken --


def check(case: Case, got: Got) -> None:
    assert isinstance(case.fault, Fault)
    wanted = table.expected(case.fault, case.which, len(case.upstreams))
    check_upstreams(case, wanted)
    assert not case.fault.deadlines or got.seconds < PATIENCE_S / 2, f"took {got.seconds:.1f} s"
    assert got.headers["x-tokenman-request-id"].startswith("req_")
    assert got.headers["x-tokenman-attempts"] == str(wanted.attempts)
    last = max(number for number, hits in enumerate(wanted.hits) if hits)
    assert got.headers["x-tokenman-provider"] == case.names[last]
    assert not got.cut
    if wanted.answered is not None:
        assert got.status == 200, (got.status, got.body)
        assert got.body == case.good, got.body[:200]
        assert got.headers["request-id"] == "req_upstream"
        assert "x-tokenman-error" not in got.headers
        return
    final = case.fault.final
    assert got.status == final.status, (got.status, got.body)
    if not final.kind:
        assert got.body == final.body, got.body
        assert got.headers["request-id"] == "req_upstream"
        assert [got.headers.get(name) for name, _ in final.fields] == [value for _, value in final.fields]
        return
    check_refusal(got.status, got.headers, got.body, final.kind, anthropic=case.api is None)


def check_upstreams(case: Case, wanted: Expected) -> None:
    for number, (upstream, hits) in enumerate(zip(case.upstreams, wanted.hits, strict=True)):
        if upstream is None:
            continue
        assert upstream.hits == hits, f"provider {number} was asked {upstream.hits} times, not {hits}"
        assert not upstream.errors, upstream.errors
        assert not upstream.stray, upstream.stray
    seen = [one for requests in case.seen for one in requests]
    assert len({one.body for one in seen}) <= 1, "the same body, each time"
    assert not [one for one in seen if MAIL.encode() in one.body]
    for requests in case.seen:
        assert len({tuple(pair for pair in one.headers) for one in requests}) <= 1, "the same headers, each time"
        assert len({one.path for one in requests}) <= 1
    for one in case.seen[0]:
        assert (one.header("x-odd"), one.header("x-api-key")) == ("a, b", ANTHROPIC_KEY)
    for one in itertools.chain(*case.seen[1:]):
        assert not one.header("x-api-key"), "the caller's key is for whom he called"
        assert not one.header("x-odd"), "and so is whatever is not known to be harmless"
    assert isinstance(case.fault, Fault)
    for requests in case.seen:
        for earlier, later in itertools.pairwise(requests):
            if case.fault.least and case.which != "second":
                assert later.at - earlier.at >= case.fault.least - 0.05
        for one in requests:
            assert not one.left or one.left - one.at < SILENT_S + 3, "it is closed when it is given up"


def check_late(case: Case, got: Got) -> None:
    """What came before stays as it came, and then an error event says that this is not all."""
    fault = case.fault
    assert isinstance(fault, Late)
    assert got.status == 200
    assert not got.cut
    assert got.headers["x-tokenman-attempts"] == "1"
    had, mark, told = got.body.rpartition(b"event: error\n")
    assert mark, got.body
    assert had == fault.had or (not fault.had and GOOD["stream"].startswith(had) and table.STREAM[0] in had)
    document = httpx.Response(200, content=told.partition(b"data: ")[2]).json()
    assert document["type"] == "error"
    assert document["error"]["message"]
    assert not INSIDE.search(told.decode())
    assert got.seconds < PATIENCE_S / 2
    first, second = case.upstreams
    assert first is not None
    assert second is not None
    assert (first.hits, second.hits) == (1, 0), "what the client has had some of is not begun anew"


def failures(cases: Sequence[Case], outcomes: Sequence[Got | BaseException], judge: Any = check) -> list[str]:
    found = []
    for case, got in zip(cases, outcomes, strict=True):
        try:
            if isinstance(got, BaseException):
                raise AssertionError(f"{type(got).__name__}: {got}") from got
            judge(case, got)
        except (AssertionError, KeyError) as e:
            found.append(f"{case.name}: {str(e).splitlines()[0] if str(e) else type(e).__name__}")
    return found
