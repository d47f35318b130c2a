"""Calls as they could have been, for the ledger to keep."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tokenman_core.exchange import Redacted
from tokenman_core.record import Record, Tried
from tokenman_core.usage import Basis, Bill, Usage

BREAKS = ["tools reordered", "model changed", "tool changed at tools[4]", "tool changed at tools[5]"]
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def name(number: int) -> str:
    return f"req_{number:024x}"


def bill(cost: str | None = "0.0123", **usage: int) -> Bill:
    tokens = Usage(**({"input": 1000, "output": 200} | usage))
    return Bill(tokens, None if cost is None else Decimal(cost), "unknown" if cost is None else "list")


def call(number: int = 1, time: datetime = NOON, **changes: Any) -> Record:
    made: dict[str, Any] = {
        "id": name(number),
        "time": time,
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "dialect": "anthropic",
        "operation": "messages",
        "project": "shop",
        "client": "ada",
        "session": "s-1",
        "run": "",
        "login": "key",
        "outcome": "answered",
        "status": 200,
        "error": None,
        "detail": "",
        "stream": True,
        "attempts": 1,
        "cache": "",
        "bill": bill(),
        "saved": Decimal(0),
        "redactions": (),
        "duration": 1.5,
        "ttft": 0.25,
        "overhead": 0.0012,
        "stages": {},
    }
    return Record(**(made | changes))


def mixed(number: int, dice: random.Random, time: datetime = NOON) -> Record:
    """One of many, of every kind there is."""
    usage = Usage(
        dice.randrange(100_000),
        dice.randrange(4_000),
        dice.randrange(50_000),
        dice.randrange(5_000),
        dice.randrange(99),
        7,
    )
    cost = dice.choice([None, Decimal(0), Decimal(dice.randrange(10**13)) / 10**12])
    basis: Basis = "unknown" if cost is None else dice.choice(["list", "ceiling"])
    saved = Decimal(dice.randrange(-(10**12), 10**13)) / 10**12
    booked = Bill(usage, cost, basis, dice.random() < 0.2, dice.random() < 0.2, saved)
    outcome = dice.choice(["answered"] * 8 + ["refused", "broken", "aborted", "crashed"])
    errors = {"refused": "redaction", "broken": "upstream", "crashed": "internal"}
    found = [
        Redacted(*each, dice.randrange(1, 9))
        for each in (
            ("EMAIL_ADDRESS", "redact", "redaction.mode"),
            ("PHONE_NUMBER", "log", "redaction.entities.PHONE_NUMBER"),
            ("API_KEY", "hash", "redaction.secrets"),
        )
        if dice.random() < 0.3
    ]
    return call(
        int.from_bytes(dice.randbytes(12)),
        time + timedelta(microseconds=dice.randrange(10**6)),
        provider=dice.choice(["anthropic", "openai", "gemini"]),
        model=dice.choice(["claude-sonnet-4-5", "claude-haiku-4-5-20251001", "gpt-5-mini", "gemini-2.5-pro"]),
        project=dice.choice(["", "shop", "search", "a rather long name of a project"]),
        client=dice.choice(["", "ada", "bob"]),
        session=f"5b7c0f0e-7f3c-4b8f-9d1f-{number // 20:012x}",
        login=dice.choice(["none", "key", "oauth"]),
        outcome=outcome,
        status=dice.choice([200, 200, 200, 401, 503]) if outcome == "answered" else 400,
        error=errors.get(outcome),
        detail="The call holds a value of type US_SSN, and redaction.mode is block." if outcome == "refused" else "",
        stream=dice.random() < 0.7,
        cache=dice.choice(["", "hit", "miss", "bypass"]),
        bill=dice.choice([None, booked]),
        saved=Decimal(dice.randrange(10**9)) / 10**12,
        redactions=tuple(found),
        duration=dice.random() * 60,
        ttft=dice.choice([None, dice.random() * 5]),
        overhead=dice.random() / 100,
        tried=dice.choice([(), (), (Tried("openai", "server_error", "gpt-5-mini"), Tried("anthropic", "ok", "m", 0.75))]),
        truncated=dice.random() < 0.2,
        repeats=dice.choice(["", "", "all", "deterministic"]),
        unrestored=dice.choice([0, 0, 1, 12]),
        **dice.choice([{}, {}, {"cache_break": dice.choice(BREAKS), "cache_lost": dice.randrange(90_000),
        "cache_lost_usd": Decimal(dice.randrange(10**12)) / 10**12}]),
    )  # fmt: skip
