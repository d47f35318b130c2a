"""Calls that ended with their process: what is noted of them beforehand, and the record that is made of that afterwards."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tokenman_core.ahead.quote import Bound, written_out
from tokenman_core.budget.books import Lost
from tokenman_core.budget.rules import dollars
from tokenman_core.exchange import Attempt, Exchange
from tokenman_core.record import Record, model_of
from tokenman_core.usage import Bill, Usage

_SAME = ("provider", "model", "dialect", "operation", "project", "client", "session", "login", "stream")


def note(exchange: Exchange, attempt: Attempt, bound: Bound) -> str:
    """What a record would say of the call, in the words that it may show."""
    return written_out(
        {
            "provider": attempt.candidate.provider,
            "model": model_of(exchange, attempt.candidate),
            "dialect": exchange.dialect.name,
            "operation": exchange.operation.name,
            "project": exchange.labels.get("project", ""),
            "client": exchange.caller.client,
            "session": exchange.labels.get("session", ""),
            "login": exchange.caller.login,
            "stream": exchange.stream,
            "begun": exchange.times.begun,
            "input": bound.input,
            "basis": bound.basis,
        }
    )


def record(lost: Lost) -> Record:
    """An estimate of what it read is booked, and nothing of what it wrote, since nobody knows that."""
    said: dict[str, Any] = json.loads(lost.about)
    id, _, number = lost.lease.partition(":")
    more = f"up to {dollars(lost.open):.6f} USD more may be billed" if lost.open else "that is all that was held for it"
    return Record(
        id=id, time=datetime.fromtimestamp(said["begun"], UTC), run="", outcome="crashed",
        status=0, error="internal", detail=f"TokenMan ended while it ran: what it read is booked, {more}.",
        attempts=int(number), cache="", bill=Bill(Usage(input=said["input"]), dollars(lost.booked), said["basis"], estimated=True),
        saved=Decimal(0), redactions=(), duration=0.0, ttft=None, overhead=0.0, stages={},
        **{name: said[name] for name in _SAME},
    )  # fmt: skip
