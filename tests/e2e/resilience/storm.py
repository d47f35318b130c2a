"""Random faults at many calls side by side: providers that fail in every way, clients that leave, and what is left of it all.

The proxy is told by a `sitecustomize` module to write down its event loop's tasks when it gets SIGUSR1.
"""

import asyncio
import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.core.net.fakes import Authority
from tests.e2e.harness import ROOT, Proxy
from tests.e2e.resilience import table
from tests.e2e.resilience.house import HEADERS, body, metric, start, until
from tests.e2e.resilience.table import GOOD, Mode, status
from tests.e2e.resilience.upstreams import Script, Upstream, Upstreams, Wire

AT_ONCE = 50
BROKE_OFF = ("told in the stream",)
"""How a call ended behind which its connection is closed."""

TASKS = """
import asyncio, collections, json, os, pathlib, signal

def tell(*_):
    names = collections.Counter(task.get_coro().__qualname__ for task in asyncio.all_tasks())
    place = pathlib.Path(os.environ["TASKS_FILE"])
    place.with_suffix(".new").write_text(json.dumps(names))
    place.with_suffix(".new").rename(place)

if "TASKS_FILE" in os.environ:
    signal.signal(signal.SIGUSR1, tell)
"""
SHORT_S = 0.4  # deadlines of the providers: many of them stall
FAULTY = 0.35  # of the answers
LEAVES = 0.1  # of the clients
PROVIDERS = ("h1", "h1-spare", "h2", "h2-spare")

EITHER: Sequence[Script] = (
    *(status(code) for code in (400, 429, 500, 503, 529)),
    status(503, ("Retry-After", "0")),
    *(table.before_the_head(how) for how in ("reset", "drop", "cut", "stall")),  # type: ignore[arg-type]
    *(table.within_the_head(how) for how in ("drop", "cut", "stall")),  # type: ignore[arg-type]
)
FAULTS: dict[Mode, Sequence[Script]] = {
    "whole": (
        *EITHER,
        *(table.in_the_body(how, 200) for how in ("reset", "drop", "cut", "stall")),  # type: ignore[arg-type]
        table.large(),
        table.large(packed=True),
        table.lying(len(table.WHOLE) + 5),
    ),
    "stream": (
        *EITHER,
        *(table.in_the_stream(how, *table.SAID) for how in ("reset", "drop", "cut", "stall")),  # type: ignore[arg-type]
        *(table.in_the_stream(how, table.PING) for how in ("reset", "drop", "stall")),  # type: ignore[arg-type]
        table.events(table.event("error", error={"type": "overloaded_error", "message": "no"})),
        table.events(*table.SAID),
        table.events(),
    ),
}


@dataclass
class Storm:
    """What the clients saw: how many calls ended how, and those that were wrong."""

    seed: int
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    calls: int = 0
    ids: list[str] = field(default_factory=list)  # of the calls that were answered to their end

    def script(self, number: int) -> Script:
        """Of a provider, by chance. Whether a whole answer or a stream is asked for it sees itself."""
        chance = random.Random(self.seed + number)

        async def play(wire: Wire) -> None:
            mode: Mode = "stream" if wire.seen.body.startswith(b'{"stream"') else "whole"
            faulty = chance.random() < FAULTY
            await (chance.choice(FAULTS[mode]) if faulty else table.ANSWER[mode])(wire)

        return play

    async def run(self, proxy: Proxy, seconds: float) -> None:
        end = time.monotonic() + seconds
        await asyncio.gather(*(self._one(proxy, number, end) for number in range(AT_ONCE)))

    async def _one(self, proxy: Proxy, number: int, end: float) -> None:
        """One program: its calls come one after the other, on one connection as long as that is kept."""
        limits = httpx.Limits(max_keepalive_connections=1)  # httpx may lose one whose call was cancelled
        async with httpx.AsyncClient(base_url=proxy.url, timeout=60, limits=limits, trust_env=False) as client:
            await self._calls(client, number, end)

    async def _calls(self, client: httpx.AsyncClient, number: int, end: float) -> None:
        chance = random.Random(self.seed * 1000 + number)
        last = ""
        while time.monotonic() < end:
            mode: Mode = chance.choice(("whole", "stream"))
            path = f"/p/{chance.choice(('h1', 'h2'))}/v1/messages"
            content = body(mode, f"hello {number} jane.doe@corp-mail.com")
            self.calls += 1
            task = asyncio.ensure_future(self._call(client, path, content, mode, last))
            if chance.random() < LEAVES:
                await asyncio.wait({task}, timeout=chance.random() * 0.2)
                task.cancel()
            try:
                last = await task
            except asyncio.CancelledError:
                last = "left"
            self.seen[last] += 1
            await asyncio.sleep(chance.random() * 0.05)

    async def _call(self, client: httpx.AsyncClient, path: str, content: bytes, mode: Mode, last: str) -> str:
        try:
            answer, data = await self._ask(client, path, content, last)
        except httpx.TransportError as e:
            self.wrong.append(f"{type(e).__name__}: {e}")
            return "cut"
        self.ids.append(answer.headers["x-tokenman-request-id"])
        kind = answer.headers.get("x-tokenman-error", "")
        if answer.status_code == 200 and data == GOOD[mode]:
            return "good"
        if answer.status_code == 200 and mode == "stream" and b"event: error" in data:
            return "told in the stream"
        if answer.status_code >= 400 and (kind or b"said by the provider" in data):
            return f"{answer.status_code} {kind}".strip()
        self.wrong.append(f"{answer.status_code} {data[-200:]!r}")
        return "wrong"

    async def _ask(
        self, client: httpx.AsyncClient, path: str, content: bytes, last: str
    ) -> tuple[httpx.Response, bytes]:
        """As clients do, once more where a kept connection was closed just as the request went out: it is not kept for long
        behind a stream that broke off, and behind anything else it is kept. Raises TransportError."""
        for again in (True, False):
            begun = False
            try:
                async with client.stream("POST", path, content=content, headers=HEADERS) as answer:
                    begun = True
                    return answer, await answer.aread()
            except httpx.TransportError:
                if begun or not again or last not in BROKE_OFF:
                    raise
                self.seen["went stale"] += 1
        raise AssertionError("unreachable")


@dataclass(frozen=True)
class Held:
    """What a proxy holds: open descriptors, MiB of memory, tasks by the name of their coroutine."""

    descriptors: int
    memory: int
    tasks: Counter[str]

    def beyond(self, other: "Held") -> list[str]:
        """What there is more of than there was then."""
        more = [f"{count} x {name}" for name, count in (self.tasks - other.tasks).items()]
        if self.descriptors > other.descriptors + 3:
            more.append(f"{self.descriptors - other.descriptors} descriptors")
        return more


class House:
    """A proxy before two routes with two providers each, which all play by chance."""

    def __init__(self, folder: Path, them: Upstreams, storm: Storm) -> None:
        self.storm, self._them = storm, them
        authority, self._tasks = Authority(folder), folder / "tasks"
        tls = authority.server("h2")
        self.upstreams = {
            name: Upstream(
                [storm.script(number)], "2" if name.startswith("h2") else "1.1", tls if name.startswith("h2") else None
            )
            for number, name in enumerate(PROVIDERS)
        }
        (folder / "site").mkdir()
        (folder / "site" / "sitecustomize.py").write_text(TASKS)
        short = f"{SHORT_S}s"
        timeouts = {"timeouts": {"connect": "5s", "first_byte": short, "first_token": short, "idle": short}}
        self.proxy = start(
            folder, them, self.upstreams, dict.fromkeys(PROVIDERS, timeouts),
            environment={
                "SSL_CERT_FILE": str(authority.pem), "TASKS_FILE": str(self._tasks),
                "PYTHONPATH": f"{folder / 'site'}:{ROOT}",
            },
            retry={"attempts": 2, "base_delay": "5ms", "max_delay": "1s"},
            breaker={"failures": 8, "min_calls": 0, "reset": "1s", "probes": 2}, limits={"response_body": table.CAP},
            routes=[{"match": {"provider": name}, "try": [name, f"{name}-spare"]} for name in ("h1", "h2")],
            telemetry={"log": {"level": "warning"}},
        )  # fmt: skip

    def blow(self, seconds: float) -> None:
        asyncio.run(self.storm.run(self.proxy, seconds))

    def held(self) -> Held:
        """Once every call is over, and the providers have closed their kept connections."""
        until(lambda: not +metric(self.proxy, "tokenman_active_requests"), 30)
        self._them.hang_up()
        until(lambda: not any(upstream.open for upstream in self.upstreams.values()))
        place = Path(f"/proc/{self.proxy.process.pid}")
        self._tasks.unlink(missing_ok=True)
        os.kill(self.proxy.process.pid, signal.SIGUSR1)
        tasks = Counter(json.loads(until(lambda: self._tasks.exists() and self._tasks.read_text())))
        memory = int((place / "status").read_text().partition("VmRSS:")[2].split()[0]) >> 10
        return Held(len(os.listdir(place / "fd")), memory, tasks)

    def rows(self) -> list[str]:
        """The ids of all calls that are recorded, once all that were answered are."""
        wanted = set(self.storm.ids)

        def read() -> list[str]:
            with sqlite3.connect(f"file:{self.proxy.data / 'ledger.db'}?mode=ro", uri=True) as connection:
                return [f"req_{name.hex()}" for (name,) in connection.execute("select id from calls")]

        until(lambda: wanted <= set(read()), 30)
        return read()
