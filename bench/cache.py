"""CPU time of a hit alone, beside a whole call through bare mitmdump: the key, the look into memory, the answer told again.

uv run python -m bench.cache
"""

import asyncio
import gc
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from addons.caching import Caching, Lasting
from bench.__main__ import HERE, Load, body, drive, free_port, mitmdump, prose, repeated, wait_for
from bench.upstream import ANSWER, DELTA, EVENTS, START, STOP
from tokenman_core.body.read import read_body
from tokenman_core.caching.detective import Detective
from tokenman_core.caching.entry import Entry
from tokenman_core.caching.flights import Flights, StoreLeases
from tokenman_core.caching.kept import Kept
from tokenman_core.caching.key import key_of
from tokenman_core.caching.repeats import Repeats
from tokenman_core.caching.rules import Rules
from tokenman_core.clock import SystemClock
from tokenman_core.config.models import Pricing, Settings
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Caller, Exchange, Sent
from tokenman_core.pricing import Prices
from tokenman_core.providers import of_settings
from tokenman_core.state import Unavailable
from tokenman_core.usage import Usage
from tokenman_core.verdicts import Answer, Candidate

ROUNDS, CALLS = 7, 300
PLACE = Candidate("anthropic", "m")
STREAM = START + b"".join(DELTA % number for number in range(EVENTS)) + STOP


def call(size: int, stream: bool) -> Exchange:
    raw = body([{"role": "user", "content": prose(random.Random(size), size)}], stream).replace(
        b"{", b'{"temperature":0,', 1
    )
    dialect = DIALECTS["anthropic"]
    operation = dialect.operation("POST", "/v1/messages")
    made = Exchange(
        "req_1", Sent("POST", "/v1/messages", "", ((b"content-type", b"application/json"),), ""), dialect, operation,
        (PLACE,), named="anthropic", model="m", caller=Caller("ada"), raw=raw, stream=stream,
    )  # fmt: skip
    made.body = read_body(raw, "application/json", dialect, operation)
    return made


async def unavailable(question: Callable[[Any], Any]) -> Any:
    raise Unavailable


async def hits(folder: Path) -> dict[str, list[float]]:
    clock, root = SystemClock(), bytes(32)
    leases = StoreLeases(unavailable, clock)
    settings = Settings(data_dir=folder)  # type: ignore[call-arg]
    kept, providers = Kept(settings, root, clock), of_settings(settings)
    lasting = Lasting(kept, Flights(clock, leases), leases, Repeats(300.0), Detective(clock, root))
    stage = Caching(Rules("deterministic"), lasting, providers, Prices(Pricing()), root, clock)
    found: dict[str, list[float]] = {}
    for name, size, stream, answer in (
        ("2 KB", 2_000, False, ANSWER), ("40 KB", 40_000, False, ANSWER), ("2 KB, a stream of 200 events", 2_000, True, STREAM),
    ):  # fmt: skip
        first = call(size, stream)
        key = key_of(first, PLACE, providers.by_name["anthropic"], shared=False, root=root)
        assert key is not None
        kind = b"text/event-stream" if stream else b"application/json"
        entry = Entry(
            200, ((b"content-type", kind),), stream, answer, (), 0.1, "anthropic", "m", "", clock.now(), Usage(), None
        )
        kept.answers.keep(key, entry)
        took = found[name] = []
        for _ in range(ROUNDS + 1):
            calls = [call(size, stream) for _ in range(CALLS)]
            gc.collect()
            begun = time.process_time()
            for each in calls:
                verdict = await stage.llm_request(each)
                assert isinstance(verdict, Answer)
                assert [part async for part in verdict.parts]
                await stage.llm_done(each)
            took.append((time.process_time() - begun) / CALLS * 1000)
        del took[0]
    return found


def bare(folder: Path) -> list[float]:
    upstream = free_port()
    provider = subprocess.Popen([sys.executable, str(HERE / "upstream.py"), str(upstream)])
    wait_for(upstream)
    other = mitmdump(folder, upstream)
    try:
        wait_for(other.port)
        load, took = Load("2 KB", repeated(2_000), CALLS), list[float]()
        for _ in range(ROUNDS + 1):
            before = other.cpu()
            asyncio.run(drive(other.port, upstream, load, CALLS))
            took.append((other.cpu() - before) / CALLS * 1000)
        return took[1:]
    finally:
        for process in (other.process, provider):
            process.terminate()
            process.wait(10)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole = bare(Path(folder))
        print(f"{'ms of CPU, median (least to most)':<42}")
        print(f"{'a call through bare mitmdump':<42}{_figures(whole)}")
        for name, took in asyncio.run(hits(Path(folder))).items():
            share = statistics.median(took) / statistics.median(whole)
            print(f"{'a hit of ' + name:<42}{_figures(took)}   {share:.2f}x")


def _figures(found: list[float]) -> str:
    return f"{statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f})"


if __name__ == "__main__":
    main()
