"""CPU time a request, TokenMan beside bare mitmdump in one run: `uv run just bench`. See bench/README.md."""

import argparse
import asyncio
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).parent
WORDS = (HERE / "words.txt").read_text().split()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


# -- what is sent --


def prose(rng: random.Random, size: int) -> str:
    """Text of about `size` bytes with the odd value in it: one every 4 KB, as in an agent's conversation."""
    parts: list[str] = []
    length = 0
    while length < size:
        word = rng.choice(WORDS)
        if rng.random() < 0.0015:
            word = f"{rng.choice(WORDS)}.{rng.randrange(10**6)}@example-mail.com"
        parts.append(word)
        length += len(word) + 1
    return " ".join(parts)


def body(messages: list[dict[str, str]], stream: bool = False) -> bytes:
    start = {"stream": True} if stream else {}
    return json.dumps({**start, "model": "m", "max_tokens": 100, "messages": messages}, separators=(",", ":")).encode()


def one_shots(size: int, fresh: bool) -> Callable[[int], Iterator[bytes]]:
    def make(count: int) -> Iterator[bytes]:
        rng = random.Random(7 if not fresh else time.time_ns())
        same = body([{"role": "user", "content": prose(rng, size)}])
        for _ in range(count):
            yield body([{"role": "user", "content": prose(rng, size)}]) if fresh else same

    return make


def conversation(count: int) -> Iterator[bytes]:
    """Turns of conversations that grow from 19 to 83 KB by 2.2 KB a turn."""
    while count > 0:
        rng = random.Random(time.time_ns())
        messages = [{"role": "user", "content": prose(rng, 19_000)}]
        for _ in range(30):
            yield body(messages)
            count -= 1
            messages.append({"role": "assistant", "content": prose(rng, 700)})
            messages.append({"role": "user", "content": prose(rng, 1500)})


def streams(count: int) -> Iterator[bytes]:
    rng = random.Random(3)
    for _ in range(count):
        yield body([{"role": "user", "content": prose(rng, 2000)}], stream=True)


def repeated(size: int, *, stream: bool = False) -> Callable[[int], Iterator[bytes]]:
    """The same question again and again, which says that its answer is to be the same."""

    def make(count: int) -> Iterator[bytes]:
        question = body([{"role": "user", "content": prose(random.Random(size), size)}], stream)
        for _ in range(count):
            yield question.replace(b"{", b'{"temperature": 0, ', 1)

    return make


@dataclass(frozen=True)
class Load:
    name: str
    make: Callable[[int], Iterator[bytes]]
    count: int  # in one round
    at_once: int = 1


LOADS = (
    Load("2 KB fresh", one_shots(2_000, True), 600),
    Load("2 KB known", one_shots(2_000, False), 600),
    Load("40 KB fresh", one_shots(40_000, True), 150),
    Load("40 KB known", one_shots(40_000, False), 300),
    Load("conversation", conversation, 300),
    Load("stream, 200 events", streams, 40, at_once=4),
    Load("2 KB from the cache", repeated(2_000), 600),
    Load("40 KB from the cache", repeated(40_000), 300),
    Load("stream from the cache", repeated(2_000, stream=True), 80, at_once=4),
)

# -- who carries it --


@dataclass
class Contender:
    name: str
    port: int
    process: subprocess.Popen[bytes]

    def cpu(self) -> float:
        """Seconds of user and system time of the process and all that it started."""
        top = psutil.Process(self.process.pid)
        return sum(t.cpu_times().user + t.cpu_times().system for t in (top, *top.children(recursive=True)))


def mitmdump(folder: Path, upstream: int) -> Contender:
    port = free_port()
    script = folder / "streams.py"  # without it stock mitmproxy holds a stream back until its end, which flatters it
    script.write_text(
        "def responseheaders(flow):\n"
        "    if flow.response.headers.get('content-type', '').startswith('text/event-stream'):\n"
        "        flow.response.stream = True\n"
    )
    beside = Path(sys.executable).parent / "mitmdump"
    found = str(beside) if beside.exists() else shutil.which("mitmdump") or "mitmdump"
    command = [
        found,
        "-q",
        "--listen-host",
        "127.0.0.1",
        "-p",
        str(port),
        "--set",
        f"confdir={folder}",
        "-s",
        str(script),
    ]
    return Contender("mitmdump", port, subprocess.Popen(command))


def tokenman(folder: Path, upstream: int) -> Contender:
    port, admin = free_port(), free_port()
    config = folder / "tokenman.yaml"
    config.write_text(
        f"listen: 127.0.0.1:{port}\nadmin: {{listen: '127.0.0.1:{admin}'}}\ndata_dir: {folder}/data\n"
        f"telemetry: {{log: {{level: error}}}}\ncache: {{mode: deterministic, ttl: 1h, encrypt: 'off'}}\n"
        f"providers: {{anthropic: {{base_url: 'http://127.0.0.1:{upstream}'}}}}\n"
    )
    command = [sys.executable, "-m", "addons.cli.main", "up", "--config", str(config)]
    return Contender("tokenman", port, subprocess.Popen(command, stdout=subprocess.DEVNULL))


@contextmanager
def running(upstream: int) -> Iterator[list[Contender]]:
    with tempfile.TemporaryDirectory() as folder:
        contenders = []
        try:
            for make in (mitmdump, tokenman):
                place = Path(folder) / make.__name__
                place.mkdir()
                contenders.append(make(place, upstream))
            for contender in contenders:
                wait_for(contender.port)
            yield contenders
        finally:
            for contender in contenders:
                contender.process.terminate()
            for contender in contenders:
                contender.process.wait(40)


def wait_for(port: int) -> None:
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nothing listens on port {port}")


# -- the client --


class Client:
    """One kept connection, requests one after the other, in the form that a plain proxy is spoken to."""

    def __init__(self, port: int, upstream: int) -> None:
        self.port, self.upstream = port, upstream

    async def __aenter__(self) -> "Client":
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def call(self, data: bytes) -> float:
        """Seconds to the first byte of the answer's body."""
        host = f"127.0.0.1:{self.upstream}"
        target = f"http://{host}/v1/messages" if self.port != self.upstream else "/v1/messages"
        head = (
            f"POST {target} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nx-api-key: sk-bench\r\n"
            f"anthropic-version: 2023-06-01\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        start = time.perf_counter()
        self.writer.write(head.encode() + data)
        answer = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        if not answer.startswith(b"http/1.1 200"):
            raise SystemExit(f"no 200: {answer!r}")
        if b"chunked" not in answer:
            length = int(answer.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            await self.reader.readexactly(length)
            return time.perf_counter() - start
        first = 0.0
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            first = first or time.perf_counter() - start
            await self.reader.readexactly(size + 2)
            if size == 0:
                return first


async def drive(port: int, upstream: int, load: Load, count: int) -> list[float]:
    bodies = load.make(count)
    taken: list[float] = []

    async def one() -> None:
        async with Client(port, upstream) as client:
            for data in bodies:
                taken.append(await client.call(data))

    await asyncio.gather(*(one() for _ in range(load.at_once)))
    return taken


def median(values: list[float]) -> float:
    return statistics.median(values)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="loads whose name contains this")
    options = parser.parse_args()
    upstream = free_port()
    provider = subprocess.Popen([sys.executable, str(HERE / "upstream.py"), str(upstream)])
    loads = [load for load in LOADS if not options.only or options.only in load.name]
    try:
        wait_for(upstream)
        with running(upstream) as contenders:
            for contender in contenders:
                asyncio.run(drive(contender.port, upstream, LOADS[0], 100))  # warm
            table(contenders, loads, upstream, options.rounds)
            if not options.only:
                first_token(contenders, upstream)
    finally:
        provider.terminate()
        provider.wait(10)


def table(contenders: list[Contender], loads: list[Load], upstream: int, rounds: int) -> None:
    print(
        f"CPU ms per call, median of {rounds} rounds (min to max); {os.cpu_count()} cores, Python {sys.version.split()[0]}"
    )
    for load in loads:
        used: dict[str, list[float]] = {contender.name: [] for contender in contenders}
        for _ in range(rounds):
            for contender in contenders:
                before = contender.cpu()
                done = asyncio.run(drive(contender.port, upstream, load, load.count))
                used[contender.name].append((contender.cpu() - before) / len(done) * 1000)
        ratio = median([b / a for a, b in zip(used["mitmdump"], used["tokenman"], strict=True)])
        cells = [f"{name} {median(ms):6.2f} ({min(ms):.2f} to {max(ms):.2f})" for name, ms in used.items()]
        print(f"{load.name:20} {'   '.join(cells)}   {ratio:.2f}x", flush=True)


def first_token(contenders: list[Contender], upstream: int) -> None:
    load = Load("first token", streams, 60)
    direct = asyncio.run(drive(upstream, upstream, load, load.count))
    print(f"time to first token, ms, median: direct {median(direct) * 1000:.2f}", end="")
    for contender in contenders:
        taken = asyncio.run(drive(contender.port, upstream, load, load.count))
        print(f"   {contender.name} {median(taken) * 1000:.2f}", end="")
    print()


if __name__ == "__main__":
    main()
