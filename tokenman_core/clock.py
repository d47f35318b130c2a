"""The time and the randomness that policies ask for, so that tests can turn the clock themselves."""

import secrets
import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float:
        """Seconds that only ever grow; for durations and deadlines."""

    def now(self) -> float:
        """Seconds since the epoch, UTC; for records and calendar windows."""


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        return time.time()


@dataclass
class ManualClock:
    """For tests: stands still until it is advanced."""

    seconds: float = 1_000_000.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds


def request_id() -> str:
    """The name of one exchange: 24 hex digits, told to the client, the log and the ledger."""
    return "req_" + secrets.token_hex(12)
