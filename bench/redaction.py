"""What redaction costs by itself: `uv run python -m bench.redaction`. CPU time, of the proxy's process and of the worker's.

Prints milliseconds per KB of fresh code and of a text dense in values, microseconds per KB of known text, the time of the next
turn of an 80 KB conversation, and the longest step on the event loop. Behind each stands what it would be on the machine that the
aims are from, by a yardstick taken right before: there `json.loads` takes 162 us for a body of 83 KB.
"""

import asyncio
import gc
import json
import os
import time
from pathlib import Path

from tokenman_core.config.models import Redaction as Settings
from tokenman_core.redaction import Detection, Mapping, Redactor
from tokenman_core.redaction.detectors.gate import HyperscanGate, compile_database, gates
from tokenman_core.slots import Slot

CODE = Path(os.__file__).parent  # the standard library's source
DENSE = (
    "Write to user{n}@example.com or call +1 415 555 {n:04d}. Card 4111 1111 1111 1111, SSN 219-09-{n:04d}, host 203.0.113.7.\n"
    'password = "kite{n}Wing!" and DATABASE_URL=postgres://app:pw{n}xK@db.example.com/prod. Some words of prose follow it here, '
    "as they do in letters and in logs, so that not every word is a value; and the next line is another one.\n"
)


def code(kilobytes: int, skip: int = 0) -> list[str]:
    """Source files in pieces of about 2 KB, as tool results hold them."""
    text = "".join(path.read_text("utf-8", "replace") for path in sorted(CODE.glob("*.py"))[10:60])
    text = text[skip * 1024 : (skip + kilobytes) * 1024]
    return [text[at : at + 2048] for at in range(0, len(text), 2048)]


_BODY = json.dumps({"messages": [{"role": "user", "content": text} for text in code(83, 100)]})
_REFERENCE_S = 162e-6


def yardstick() -> float:
    """How many times as slow this machine is now as the one that the aims are from."""
    took = []
    for _ in range(100):
        start = time.thread_time()
        json.loads(_BODY)
        took.append(time.thread_time() - start)
    return sorted(took)[25] / _REFERENCE_S


def slots(texts: list[str]) -> list[Slot]:
    return [
        Slot(("messages", place, "content"), ("user", "assistant")[place % 2], text) for place, text in enumerate(texts)
    ]


def worker_cpu(pid: int) -> float:
    """Seconds of user and system time of a process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def fresh(detection: Detection, name: str, texts: list[str]) -> None:
    size = sum(map(len, texts)) / 1024
    redactor = Redactor(Settings(), b"bench" * 8, detection)
    (pid,) = detection.pids
    slow = yardstick()
    ours, workers, wall = time.process_time(), worker_cpu(pid), time.perf_counter()
    await redactor.mask(slots(texts), redactor.mapping())
    ours, workers, wall = time.process_time() - ours, worker_cpu(pid) - workers, time.perf_counter() - wall
    print(
        f"{name:24} {size:6.0f} KB   {(ours + workers) * 1e3 / size:6.3f} ms/KB CPU ({ours * 1e3 / size:.3f} of it in the proxy; "
        f"scaled {(ours + workers) * 1e3 / size / slow:.3f}), {wall * 1e3 / size:.3f} ms/KB of waiting"
    )


async def longest_pause(work: "asyncio.Task[None]") -> float:
    """The longest time, of the loop's own thread, in which it could not run another task."""
    longest, last = 0.0, time.thread_time()
    while not work.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, last = max(longest, now - last), now
    return longest


async def conversation(detection: Detection) -> None:
    texts = [
        piece[:1300] + (DENSE.format(n=place) if place % 6 == 0 else "") for place, piece in enumerate(code(130, 200))
    ][:60]
    redactor = Redactor(Settings(), b"bench" * 8, detection)
    await redactor.mask(slots(texts), redactor.mapping())
    size = sum(map(len, texts)) / 1024
    took = []
    slow = yardstick()
    for _ in range(50):
        here = slots(texts)
        start = time.process_time()
        await redactor.mask(here, redactor.mapping())
        took.append(time.process_time() - start)
    known = sorted(took)[len(took) // 2]
    print(
        f"known conversation       {size:6.0f} KB   {known * 1e6 / size:6.2f} us/KB (scaled {known * 1e6 / size / slow:.2f}), "
        f"{known * 1e3:.3f} ms the whole (scaled {known * 1e3 / slow:.3f})"
    )
    more = [f"Turn {turn}: please look at this. " + code(3, 600 + 3 * turn)[0][:1200] for turn in range(20)]
    turns, cpu = [], []
    (pid,) = detection.pids
    workers, slow = worker_cpu(pid), yardstick()
    for text in more:
        texts.append(text)
        here = slots(texts)
        start, ours = time.perf_counter(), time.process_time()
        await redactor.mask(here, redactor.mapping())
        turns.append(time.perf_counter() - start)
        cpu.append(time.process_time() - ours)
    workers = (worker_cpu(pid) - workers) / len(turns)
    middle = sorted(cpu)[10]
    print(
        f"its next turn (+1.2 KB)  {size:6.0f} KB   {sorted(turns)[10] * 1e3:6.3f} ms until it is masked; CPU of the proxy "
        f"{middle * 1e3:.3f} ms (scaled {middle * 1e3 / slow:.3f}), of the worker {workers * 1e3:.2f}"
    )
    big = slots(code(1024, 800) + [DENSE.format(n=number) for number in range(200)])

    async def mask_big(mapping: Mapping) -> None:
        await redactor.mask(big, mapping)

    # Once in a while the interpreter looks for garbage, for as long as many objects take; that is nobody's step.
    pauses = []
    for _ in range(3):
        big = slots([slot.original + " " for slot in big])
        slow = yardstick()
        gc.collect()
        gc.disable()
        await asyncio.sleep(0)
        mapping = redactor.mapping()  # lives as long as the call
        pauses.append(await longest_pause(asyncio.create_task(mask_big(mapping))) / slow)
        gc.enable()
    size = sum(len(slot.original) for slot in big) / 1024
    print(
        f"longest step on the loop  {size:.0f} KB fresh: scaled {', '.join(f'{each * 1e3:.2f}' for each in pauses)} ms"
    )


def alone() -> None:
    """Gates and detectors by themselves, in this process: last, for the proxy never loads what they are made of."""
    from tokenman_core.redaction.detectors.detector import Detector

    texts = code(300, 60)
    size = sum(map(len, texts)) / 1024
    dense = "".join(DENSE.format(n=number) for number in range(100))
    for gate in gates():
        detector, name = Detector(gate), type(gate).__name__
        detector.find(dense)  # what it loads and compiles for the first value of a kind, workers have done by then
        slow = yardstick()
        start = time.process_time()
        for text in texts:
            gate.scan(text.encode())
        scanned = time.process_time()
        for text in texts:
            detector.find(text)
        found = time.process_time()
        detector.find(dense)
        ended = time.process_time()
        scan, judge = (scanned - start) * 1e6 / size, (found - scanned) * 1e3 / size
        thick = (ended - found) * 1e3 * 1024 / len(dense)
        print(
            f"{name:24} {scan:6.1f} us/KB to scan code (scaled {scan / slow:.1f}), {judge:.3f} ms/KB to judge it "
            f"(scaled {judge / slow:.3f}), {thick:.3f} ms/KB for a dense text (scaled {thick / slow:.3f})"
        )


async def main() -> None:
    detection = Detection()
    await detection.start()
    start = time.perf_counter()
    await detection.ready()
    print(f"worker ready after {time.perf_counter() - start:.1f} s")
    compiling = compile_database() is not None
    while compiling and not isinstance(detection.gate, HyperscanGate):  # noqa: ASYNC110 what compiling takes belongs to no text
        await asyncio.sleep(0.05)
    await fresh(detection, "warming up", code(60))
    await fresh(detection, "fresh code", code(500, 60))
    await fresh(detection, "dense", [DENSE.format(n=number) for number in range(600)])
    await fresh(detection, "one dense block", ["".join(DENSE.format(n=number) for number in range(200))])
    await conversation(detection)
    await detection.close()
    alone()


if __name__ == "__main__":
    asyncio.run(main())
