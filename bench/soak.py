"""Minutes of random faults at fifty calls side by side, and what the proxy holds then: `python -m bench.soak --minutes 3`.

The providers and the clients are those of the tests (tests/e2e/resilience/storm.py), in this process; the proxy is one of its own.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.e2e.resilience.storm import AT_ONCE, Held, House, Storm
from tests.e2e.resilience.upstreams import Upstreams

WARM_S = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # of connections that broke, as they are to
    storm = Storm(options.seed)
    with tempfile.TemporaryDirectory() as folder, Upstreams() as them:
        house = House(Path(folder), them, storm)
        house.blow(WARM_S)
        first = house.held()
        told("warm", storm, first)
        before = last = first
        end = time.monotonic() + options.minutes * 60
        while (left := end - time.monotonic()) > 0:
            house.blow(min(30.0, left))
            last = house.held()
            told("held", storm, last)
        rows = house.rows()
        wrong = [*last.beyond(before), *storm.wrong]
        if len(rows) != len(set(rows)) or len(rows) > storm.calls:
            wrong.append(f"{len(rows)} rows of {storm.calls} calls")
        house.proxy.stop()
    print(f"seed {options.seed}: {storm.calls} calls, {AT_ONCE} side by side, {len(rows)} rows, {seen(storm.seen)}")
    print(
        f"memory {first.memory} MiB when warm, {last.memory} MiB at the end; wrong: {'; '.join(wrong[:10]) or 'nothing'}"
    )
    return 1 if wrong else 0


def told(name: str, storm: Storm, held: Held) -> None:
    tasks = sum(held.tasks.values())
    line = f"{held.descriptors} descriptors, {held.memory} MiB, {tasks} tasks, no active call"
    print(f"{name}: {storm.calls} calls so far, {line}", flush=True)


def seen(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


if __name__ == "__main__":
    sys.exit(main())
