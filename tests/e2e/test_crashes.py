"""What budgets have spent is what the ledger has, to the last digit, however often the process is killed amid its calls."""

import http.client
import json
import os
import random
import signal
import threading
import time
from decimal import Decimal
from typing import Any

from tests.e2e.harness import ANTHROPIC_KEY, OPENAI_KEY, Proxy, user
from tests.e2e.test_budgets import booked, settled
from tokenman_core.budget.rules import dollars
from tokenman_core.ledger import LedgerReader

DIRECTIVES = (
    "",
    "",
    "[[status 529 times=1]]",
    "[[reset]]",
    "[[truncate]]",
    "[[slow 20ms]]",
    "[[slow 60ms]]",
    "[[error-event first]]",
)
CALLERS, KILLS = 6, 3


def question(chance: random.Random) -> tuple[str, dict[str, Any], dict[str, str]]:
    text = f"{chance.choice(DIRECTIVES)}[[say {'word ' * chance.randint(1, 60)}]] question {chance.random()}"
    if chance.random() < 0.5:
        body = {
            "model": "claude-sonnet-4-5",
            "max_tokens": 400,
            "messages": user(text),
            "stream": chance.random() < 0.6,
        }
        return "/v1/messages", body, {"x-api-key": ANTHROPIC_KEY, "anthropic-version": "2023-06-01"}
    body = {"model": "gpt-4.1", "input": text, "max_output_tokens": 300, "stream": chance.random() < 0.6}
    return "/v1/responses", body, {"authorization": f"Bearer {OPENAI_KEY}"}


class Caller(threading.Thread):
    """Asks again and again, now and then leaves in the middle, and takes no notice of what becomes of a proxy."""

    port = 0  # of the proxy that runs now, the same for all

    def __init__(self, number: int, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.chance, self.over, self.answered = random.Random(number), over, 0

    def run(self) -> None:
        while not self.over.is_set():
            path, body, headers = question(self.chance)
            connection = http.client.HTTPConnection("127.0.0.1", Caller.port, timeout=20)
            try:
                connection.request("POST", path, json.dumps(body), {"content-type": "application/json", **headers})
                if self.chance.random() < 0.2:
                    self.over.wait(self.chance.random() * 0.2)
                else:
                    connection.getresponse().read()
                    self.answered += 1
            except (OSError, http.client.HTTPException):
                self.over.wait(0.1)
            finally:
                connection.close()


def test_no_kill_parts_the_budgets_from_the_ledger(running, fake, tmp_path):
    budgets = [
        {"name": "all", "limit_usd": 50, "window": "total"},
        {"name": "each", "limit_usd": 50, "window": "total", "scope": "provider"},
    ]

    def start(folder: Any) -> Proxy:
        made: Proxy = running(
            folder,
            budgets=budgets,
            retry={"attempts": 2, "base_delay": "10ms"},
            breaker={"min_calls": 0, "failures": 10**5},
        )
        Caller.port = made.port
        return made

    over, proxy = threading.Event(), start(tmp_path)
    callers = [Caller(number, over) for number in range(CALLERS)]
    for each in callers:
        each.start()
    for kill in range(KILLS):
        enough, deadline = sum(each.answered for each in callers) + 30, time.monotonic() + 60
        while sum(each.answered for each in callers) < enough:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(proxy.process.pid, signal.SIGKILL)
        proxy.process.wait()
        folder = tmp_path / f"after-{kill}"
        folder.mkdir()
        proxy.data.rename(folder / "data")
        proxy = start(folder)
    over.set()
    for each in callers:
        each.join(60)
    calls = 0
    deadline = time.monotonic() + 60
    while True:  # until all of it is written
        found, total = settled(proxy, 60.0), booked(proxy, calls)
        spent = {name: dollars(count.spent) for name, count in found.items()}
        if sum((it for name, it in spent.items() if name.startswith("budget/all/")), Decimal(0)) == total:
            break
        assert time.monotonic() < deadline, (spent, total)
        time.sleep(0.2)
    assert sum(it for name, it in spent.items() if name.startswith("budget/each/")) == total > 0
    rows = LedgerReader(proxy.data / "ledger.db").page(limit=1000).rows
    assert len({row.id for row in rows}) == len(rows) >= KILLS * 30
    assert any(row.outcome == "crashed" for row in rows)
