"""CPU time a call, TokenMan beside bare mitmdump in one run: `uv run just bench`. See bench/README.md."""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.carriers import Contender, Form, free_port, running, wait_for
from bench.client import drive
from bench.loads import LOADS, Load

WARM_S = 10.0  # Hyperscan's database is compiled in the first seconds, and all that is looked up once is
SETTLE_S = 0.25  # what a call leaves to be done later, its row in the ledger for one, counts for its round


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--only", action="append", help="loads whose name contains this; may be given more than once")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--form", choices=("base", "proxy"), default="base", help="how TokenMan is spoken to")
    parser.add_argument(
        "--against", type=Path, help="another checkout, with its .venv, that is measured beside this one"
    )
    parser.add_argument("--json", action="store_true", help="the figures for machines")
    options = parser.parse_args()
    loads = [load for load in LOADS if not options.only or any(only in load.name for only in options.only)]
    if not loads:
        parser.error(f"there is no such load; there are: {', '.join(load.name for load in LOADS)}")
    if options.against and not (options.against / ".venv/bin/python").exists():
        parser.error(f"{options.against} has no .venv; run `uv sync` in it")
    setups = list(dict.fromkeys(load.setup for load in loads))
    with provider() as upstream, running(upstream, setups, options.form, options.against) as contenders:
        asyncio.run(warm(contenders, loads, upstream))
        told = print_nothing if options.json else print_row
        if not options.json:
            print(f"{about(options.form, options.rounds)}: median of rounds (least to most)", flush=True)
        rows = []
        for load in loads:
            row = measure([it for it in contenders if it.setup in ("", load.setup)], load, upstream, options.rounds)
            told(row)
            rows.append(row)
    if options.json:
        print(json.dumps({"about": about(options.form, options.rounds), "rows": rows}, indent=1))


def about(form: Form, rounds: int) -> str:
    return f"CPU ms a call, form {form}, {rounds} rounds, {os.cpu_count()} cores, Python {sys.version.split()[0]}"


@contextmanager
def provider() -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen([sys.executable, str(Path(__file__).parent / "upstream.py"), str(port)])
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(10)


async def warm(contenders: Sequence[Contender], loads: Sequence[Load], upstream: int) -> None:
    """All of them at once, each with a few calls of each of its loads in turns."""
    end = time.monotonic() + WARM_S

    async def one(contender: Contender) -> None:
        own = [load for load in loads if contender.setup in ("", load.setup)]
        for turn, load in zip(itertools.count(), itertools.cycle(own), strict=False):
            if time.monotonic() > end and turn >= len(own):
                return
            bodies = load.make(max(1, load.count // 5), f"warm {turn} {time.time_ns()}")
            await drive(contender.port, upstream, contender.form, bodies, load.at_once)

    await asyncio.gather(*map(one, contenders))


def measure(contenders: list[Contender], load: Load, upstream: int, rounds: int) -> dict[str, Any]:
    """Every contender is sent the same in a round; who is first changes from round to round."""
    figures: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        seed = f"{load.name} {number} {time.time_ns()}"
        for contender in contenders if number % 2 else reversed(contenders):
            before = contender.cpu()
            bodies = load.make(load.count, seed)
            taken = asyncio.run(drive(contender.port, upstream, contender.form, bodies, load.at_once))
            if load.first_token:
                figures[contender.name].append(statistics.median(taken) * 1000)
            else:
                time.sleep(SETTLE_S)
                figures[contender.name].append((contender.cpu() - before) / len(taken) * 1000)
    return row_of(load, figures)


def row_of(load: Load, figures: dict[str, list[float]]) -> dict[str, Any]:
    """Beside each contender's figures how it stands to mitmdump, and this checkout to the other, by the median of its rounds."""

    def beside(name: str, other: str) -> float:
        pairs = zip(figures[name], figures[other], strict=True)
        return statistics.median(a - b if load.first_token else a / b for a, b in pairs)

    names = [name for name in figures if name != "mitmdump"]
    row: dict[str, Any] = {"load": load.name, "unit": "ms" if load.first_token else "x", "most": load.most}
    row |= {
        name: [round(statistics.median(ms), 3), round(min(ms), 3), round(max(ms), 3)] for name, ms in figures.items()
    }
    row["over mitmdump"] = {name: round(beside(name, "mitmdump"), 3) for name in names}
    if len(names) == 2:
        row["over against"] = round(beside(*names), 3)
    return row


def print_row(row: dict[str, Any]) -> None:
    cells = [f"{row['load']:27}"]
    sign = "+" if row["unit"] == "ms" else ""
    for name in ("mitmdump", "tokenman", "against"):
        if name in row:
            middle, least, most = row[name]
            cell = f"{name} {middle:7.2f} ({least:.2f} to {most:.2f})"
            over = row["over mitmdump"].get(name)
            cells.append(f"{cell:38}" + (f"{over:{sign}6.2f}{row['unit']}" if over is not None else ""))
    if "over against" in row:
        cells.append(f"to against {row['over against']:{sign}.2f}{row['unit']}")
    if row["most"] is not None:
        cells.append(f"aim {row['most']:{sign}g}{row['unit']}")
    print("  ".join(cells), flush=True)


def print_nothing(row: dict[str, Any]) -> None:
    """With --json all is printed at the end."""


if __name__ == "__main__":
    main()
