"""CPU time that budgets cost a call: the stage with its store, from the bound of an attempt to its settlement, alone.

The same run times a yardstick (`json.loads` of a fixed conversation of 83 KB) between the loads, so that figures of several
machines, and of one at several times, can be set side by side: each as it is, and as where the yardstick takes 162 µs.

uv run python -m bench.budget
"""

import argparse
import asyncio
import gc
import itertools
import json
import statistics
import tempfile
import time
from datetime import UTC
from decimal import Decimal
from pathlib import Path

from addons.budget import Budget
from tokenman_core.ahead.quote import Quotes, Sizes
from tokenman_core.ahead.texts import Counter
from tokenman_core.body.read import read_body
from tokenman_core.budget.books import Books
from tokenman_core.budget.rules import Rule, units
from tokenman_core.clock import SystemClock
from tokenman_core.config.models import Pricing, Settings
from tokenman_core.dialects.registry import DIALECTS
from tokenman_core.exchange import Attempt, Caller, Exchange, Sent, Times
from tokenman_core.pricing import Prices
from tokenman_core.providers import of_settings
from tokenman_core.scopes import Reach
from tokenman_core.state import Sqlite, State
from tokenman_core.usage import Bill, Usage
from tokenman_core.verdicts import Candidate

MODEL = "claude-sonnet-4-5"
CANDIDATE = Candidate("anthropic", MODEL)
AT_ONCE = 20  # calls that hold something at the same time
SHAPES = {"2 KB": (1, 2_000), "80 KB, 40 messages": (40, 2_000)}
RULES = (
    Rule("daily", units(Decimal(10_000)), "day", alerts=(Decimal("0.8"), Decimal(1))),
    Rule("per client", units(Decimal(10_000)), "month", Reach("client")),
)

YARDSTICK_MS = 0.162
"""CPU time of the yardstick on the machine that the aims were set on."""


def yardstick() -> bytes:
    """An agent's conversation: 30 turns, each a question, and a tool's answer that is source code."""
    line = '    if found.get("name") == "%d":\n        return [each for each in found if each.size > 0]\n'
    turns: list[dict[str, str]] = []
    for turn in range(30):
        turns.append({"role": "user", "content": f"And what does the function in file {turn} do? " * 12})
        turns.append({"role": "tool", "content": "".join(line % (turn * 100 + at) for at in range(22))})
    return json.dumps({"model": MODEL, "messages": turns}).encode()


_MEASURED = yardstick()


def measured() -> float:
    """ms of CPU that the yardstick takes now."""
    began = time.process_time()
    for _ in range(100):
        json.loads(_MEASURED)
    return (time.process_time() - began) * 10


_NUMBERS = itertools.count()


def call(messages: int, length: int) -> Exchange:
    text = "Why is the sky blue, and why is it red in the evening? " * (length // 55)
    said = [{"role": "user", "content": f"{text} {at}"} for at in range(messages)]
    dialect = DIALECTS["anthropic"]
    operation = dialect.operation("POST", "/v1/messages")
    exchange = Exchange(
        f"req_{next(_NUMBERS):024x}", Sent("POST", "/v1/messages", "", (), ""), dialect, operation, (CANDIDATE,),
        Times(time.time(), 0.0), named="anthropic", model=MODEL, caller=Caller(client="ada"),
    )  # fmt: skip
    raw = json.dumps({"model": MODEL, "max_tokens": 1000, "messages": said}).encode()
    exchange.body = read_body(raw, "application/json", dialect, operation)
    exchange.labels = {"model": MODEL}
    return exchange


async def measure(folder: Path, rounds: int, calls: int) -> None:
    clock = SystemClock()
    state = State(lambda: Sqlite(folder / "state.db"), "the bench's state", clock)
    await state.start()
    providers = of_settings(Settings())
    quotes = Quotes(Prices(Pricing()), providers, Counter(), Sizes(), asyncio.to_thread)
    print(f"{'ms of CPU a call, median (least to most)':<44}{'until it is sent':<38}once it is over")
    all_yards = list[float]()
    for shape, (messages, length) in SHAPES.items():
        for rules in (RULES[:1], RULES):
            stage = Budget(Books(rules, UTC, clock, state.ask, lambda alert: None), quotes, providers)
            before, after, yards = list[float](), list[float](), list[float]()
            for _ in range(rounds + 1):
                exchanges = [call(messages, length) for _ in range(calls)]
                attempts = [Attempt(1, CANDIDATE, sent=True) for _ in exchanges]
                sent = done = 0.0
                gc.collect()
                for start in range(0, calls, AT_ONCE):
                    some = list(zip(exchanges, attempts, strict=True))[start : start + AT_ONCE]
                    began = time.process_time()
                    for exchange, attempt in some:
                        await stage.llm_attempt(exchange, attempt)
                    middle = time.process_time()
                    for exchange, attempt in some:
                        attempt.bill = Bill(Usage(600, 300), Decimal("0.0063"), "list")
                        await stage.llm_attempt_done(exchange, attempt)
                    sent, done = sent + middle - began, done + time.process_time() - middle
                yards.append(measured())
                before.append(sent / calls * 1000)
                after.append(done / calls * 1000)
            name = f"{shape}, {len(rules)} budget{'s' * (len(rules) > 1)}"
            pace = YARDSTICK_MS / statistics.median(yards)
            print(
                f"{name:<44}{_figures(before[1:], pace):<38}{_figures(after[1:], pace)}"
            )  # the first loads what is loaded once
            all_yards += yards
    print(f"yardstick: {len(_MEASURED):,} bytes in {_spread(all_yards)} ms; scaled: as where it takes {YARDSTICK_MS}")
    await state.aclose()


def _spread(found: list[float]) -> str:
    return f"{statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f})"


def _figures(found: list[float], pace: float) -> str:
    return f"{_spread(found)}, scaled {statistics.median(found) * pace:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=300)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), given.rounds, given.calls))


if __name__ == "__main__":
    main()
