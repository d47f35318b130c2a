"""CPU time of a hit alone, beside a whole call through bare mitmdump: the key, the look into memory, the answer told again. And of
the stage while the cache is off, when it watches for calls that repeat and for broken prompt caches.

uv run python -m bench.cache [--off]
"""

import argparse
import asyncio
import gc
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from addons.caching import Caching, Lasting
from bench.__main__ import provider
from bench.budget import YARDSTICK_MS, measured
from bench.carriers import mitmdump, wait_for
from bench.client import drive
from bench.loads import body, prose, repeated
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
from tokenman_core.exchange import Attempt, Caller, Exchange, Sent
from tokenman_core.pricing import Prices
from tokenman_core.providers import of_settings
from tokenman_core.stages import Link, Stages
from tokenman_core.state import Unavailable
from tokenman_core.usage import Usage
from tokenman_core.verdicts import Answer, Candidate

ROUNDS, CALLS = 7, 300
PLACE = Candidate("anthropic", "m")
STREAM = START + b"".join(DELTA % number for number in range(EVENTS)) + STOP


def call(size: int, stream: bool) -> Exchange:
    raw = body([{"role": "user", "content": prose(random.Random(size), size)}], stream)
    return exchange(raw.replace(b"{", b'{"temperature":0,', 1), stream)


def exchange(raw: bytes, stream: bool = False) -> Exchange:
    dialect = DIALECTS["anthropic"]
    operation = dialect.operation("POST", "/v1/messages")
    made = Exchange(
        "req_1", Sent("POST", "/v1/messages", "", ((b"content-type", b"application/json"),), ""), dialect, operation,
        (PLACE,), named="anthropic", model="m", caller=Caller("ada"), raw=raw, stream=stream,
    )  # fmt: skip
    made.body = read_body(raw, "application/json", dialect, operation)
    return made


async def unavailable(question: Callable[[Any], Any], *, brief: bool = False) -> Any:
    raise Unavailable


def stage_of(folder: Path, rules: Rules) -> tuple[Caching, Kept]:
    clock, root = SystemClock(), bytes(32)
    leases = StoreLeases(unavailable, clock)
    settings = Settings(data_dir=folder)
    kept, providers = Kept(settings, root, clock), of_settings(settings)
    lasting = Lasting(kept, Flights(clock, leases), leases, Repeats(300.0), Detective(clock, root))
    return Caching(rules, lasting, providers, Prices(Pricing()), root, clock), kept


async def hits(folder: Path) -> dict[str, list[float]]:
    clock, root = SystemClock(), bytes(32)
    (stage, kept), providers = stage_of(folder, Rules("deterministic")), of_settings(Settings())
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


# -- while it is off --

TURNS = 20


def texts(*sizes: int) -> list[Any]:
    rng = random.Random(time.time_ns())
    return [
        {"role": ("user", "assistant")[at % 2], "content": [{"type": "text", "text": prose(rng, size)}]}
        for at, size in enumerate(sizes)
    ]


def fresh(count: int) -> Iterator[tuple[bytes, Usage]]:
    for _ in range(count):
        yield body(texts(2_000)), Usage(600, 300)


def talks(count: int, marked: bool) -> Iterator[tuple[bytes, Usage]]:
    """Turns of conversations of 40 messages, 80 KB, that go on by two messages a turn. `marked`: the provider keeps each turn, and
    finds the one before it again.
    """
    for number in range(count):
        turn = number % TURNS
        if not turn:
            said = texts(*[2_000] * 40)
        said += texts(300, 300) if turn else []
        mark: dict[str, Any] = {"cache_control": {"type": "ephemeral"}} if marked else {}
        last: Any = said[-1] | {"content": [said[-1]["content"][0] | mark]}
        read = 20_000 + 150 * (turn - 1) if turn and marked else 0
        kept = (150 if turn else 20_000) if marked else 0
        yield body([*said[:-1], last]), Usage(60_000, 300, read, kept)


OFF: dict[str, Callable[[int], Iterator[tuple[bytes, Usage]]]] = {
    "2 KB": fresh,
    "80 KB, 40 messages": lambda count: talks(count, False),
    "the same, kept by its provider": lambda count: talks(count, True),
}


async def off(folder: Path) -> None:
    """As the chain calls it, right behind the reading of each call: a turn's median, and the median of the rounds."""
    print(f"{'cache off: us of CPU, median (least to most)':<46}{'until it is sent':<40}once it is over")
    yards = list[float]()
    for name, make in OFF.items():
        clock = SystemClock()
        stages = Stages([Link.of(stage_of(folder, Rules("off"))[0], "caching")], clock)
        before, after, mine = list[float](), list[float](), list[float]()
        for _ in range(ROUNDS + 1):
            found: tuple[list[int], list[int]] = ([], [])
            for number, (raw, usage) in enumerate(make(CALLS)):
                each = exchange(raw)
                each.session = f"{len(before)} {number // TURNS}"
                each.seal()
                attempt, entered = Attempt(1, PLACE, usage, sent=True, answered=True), list[Link]()
                begun = time.process_time_ns()
                await stages.request(each)
                await stages.attempt(each, attempt, entered)
                found[0].append(time.process_time_ns() - begun)
                each.attempts, each.outcome, each.status = [attempt], "answered", 200
                each.times.sent = each.times.first = clock.monotonic()
                begun = time.process_time_ns()
                await stages.attempt_done(each, attempt, entered)
                await stages.done(each)
                found[1].append(time.process_time_ns() - begun)
            before.append(statistics.median(found[0]) / 1000)
            after.append(statistics.median(found[1]) / 1000)
            mine.append(measured())
        pace = YARDSTICK_MS / statistics.median(mine)
        print(f"{name:<46}{_scaled(before[1:], pace):<40}{_scaled(after[1:], pace)}")
        yards += mine
    print(f"yardstick: {_figures(yards)} ms; scaled: as where it takes {YARDSTICK_MS}")


def _scaled(found: list[float], pace: float) -> str:
    middle = statistics.median(found)
    return f"{middle:.1f} ({min(found):.1f} to {max(found):.1f}), scaled {middle * pace:.1f}"


# -- beside it --


def bare(folder: Path) -> list[float]:
    took: list[float] = []
    with provider() as upstream:
        other = mitmdump(folder, upstream)
        try:
            wait_for(other.port)
            for _ in range(ROUNDS + 1):
                before = other.cpu()
                bodies = repeated(2_000)(CALLS, "")
                asyncio.run(drive(other.port, upstream, other.form, bodies))
                took.append((other.cpu() - before) / CALLS * 1000)
        finally:
            other.process.terminate()
            other.process.wait(10)
    return took[1:]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cache")
    parser.add_argument("--off", action="store_true", help="only what it costs while it is off")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(off(Path(folder)))
        if options.off:
            return
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
