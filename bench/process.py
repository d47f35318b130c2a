"""What the process itself costs: the time of a start to its first answered, masked call, and memory after thousands of calls.

`python -m bench.process start` and `python -m bench.process memory`; see bench/README.md.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.carriers import ROOT, Contender, free_port, tokenman
from bench.client import Client, drive
from bench.loads import Load, body, conversation, known, new
from bench.upstream import Provider

VALUE = "jane.doe@example-mail.com"
SETTLED_S = 4.0  # after its first answer a start goes on for a while: what it does then is counted too
MIX = (
    Load("2 KB new", new(2_000), 50),
    Load("conversation", conversation, 30),
    Load("2 KB known", known(2_000), 15),
    Load("stream of 200 events", new(2_000, stream=True), 5),
)


class Listening(Provider):
    """The provider of the other benches, which says what it was sent last."""

    last = b""

    def data_received(self, data: bytes) -> None:
        Listening.last = data
        super().data_received(data)


@contextmanager
def provider() -> Iterator[int]:
    """Runs one on a thread; its port."""
    port, loop = free_port(), asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    server = asyncio.run_coroutine_threadsafe(loop.create_server(Listening, "127.0.0.1", port), loop).result(5)
    yield port
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)


def tree(proxy: Contender) -> list[psutil.Process]:
    top = psutil.Process(proxy.process.pid)
    return [top, *top.children(recursive=True)]


def memory_of(proxy: Contender) -> tuple[float, float]:
    """MiB of all processes: PSS (what several share is counted once) and RSS (in each)."""
    infos = [each.memory_full_info() for each in tree(proxy)]
    return sum(each.pss for each in infos) / 2**20, sum(each.rss for each in infos) / 2**20


def up(folder: Path, upstream: int) -> Contender:
    return tokenman(folder, upstream, "default", "base", "tokenman", ROOT)


def end(proxy: Contender) -> None:
    proxy.process.terminate()
    proxy.process.wait(40)


@dataclass
class Start:
    """Seconds: to the first answer and what it took of a processor until then and until it is settled; MiB of PSS then."""

    answered: float
    cpu_answered: float
    cpu_settled: float
    memory: float


async def first_answer(port: int, upstream: int) -> None:
    while True:
        try:
            async with Client(port, upstream, "base") as client:
                await client.call(body([{"role": "user", "content": f"write to {VALUE}"}]))
                return
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)


def started(folder: Path, upstream: int) -> Start:
    began = time.perf_counter()
    proxy = up(folder, upstream)
    try:
        asyncio.run(first_answer(proxy.port, upstream))
        answered, cpu = time.perf_counter() - began, proxy.cpu()
        if VALUE.encode() in Listening.last or b"[EMAIL_ADDRESS_" not in Listening.last:
            raise SystemExit("the first call was not masked")
        time.sleep(SETTLED_S)
        return Start(answered, cpu, proxy.cpu(), memory_of(proxy)[0])
    finally:
        end(proxy)


def start(rounds: int) -> None:
    """A first start has an empty data folder; a later one has what the first has left in it."""
    kinds: dict[str, list[Start]] = {"first start": [], "later start": []}
    with provider() as upstream:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                for found in kinds.values():
                    found.append(started(Path(folder), upstream))
    print(f"seconds, median of {rounds} (least to most); {os.cpu_count()} cores, Python {sys.version.split()[0]}")
    columns: dict[str, Callable[[Start], float]] = {
        "to the first answer": lambda it: it.answered,
        "CPU until then": lambda it: it.cpu_answered,
        f"CPU after {SETTLED_S:.0f} s": lambda it: it.cpu_settled,
        "PSS then, MiB": lambda it: it.memory,
    }
    for name, found in kinds.items():
        cells = []
        for title, column in columns.items():
            values = [column(each) for each in found]
            cells.append(f"{title} {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
        print(f"{name:12} {'   '.join(cells)}")


def carry(port: int, upstream: int, calls: int) -> None:
    """So many calls of all loads, in turns."""
    while calls > 0:
        for load in MIX:
            asyncio.run(drive(port, upstream, "base", load.make(load.count, str(time.time_ns()))))
            calls -= load.count


def memory(calls: int) -> None:
    with provider() as upstream, tempfile.TemporaryDirectory() as folder:
        started(Path(folder), upstream)  # so that the one that is measured is a later start
        proxy = up(Path(folder), upstream)
        try:
            asyncio.run(first_answer(proxy.port, upstream))
            time.sleep(SETTLED_S)
            told(proxy, "settled", 0)
            for name, so_many in (("warm", 500), ("after", calls), ("growth", calls)):
                begin = memory_of(proxy)
                step = max(1, so_many // 5)
                for done in range(step, so_many + 1, step):
                    carry(proxy.port, upstream, step)
                    told(proxy, name, done)
                print(f"{name}: PSS {memory_of(proxy)[0] - begin[0]:+.1f} MiB over {so_many} calls", flush=True)
        finally:
            end(proxy)


def told(proxy: Contender, name: str, calls: int) -> None:
    pss, rss = memory_of(proxy)
    each = " + ".join(f"{it.memory_full_info().pss / 2**20:.0f}" for it in tree(proxy))
    print(f"{name:8} {calls:6} calls   PSS {pss:6.1f} MiB ({each})   RSS {rss:6.1f} MiB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.process")
    parser.add_argument("what", choices=("start", "memory"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=5000)
    options = parser.parse_args()
    start(options.rounds) if options.what == "start" else memory(options.calls)


if __name__ == "__main__":
    main()
