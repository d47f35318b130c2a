"""How the providers do, as far as the calls that went there tell."""

from dataclasses import dataclass

from tokenman_core.clock import Clock
from tokenman_core.errors import ErrorKind
from tokenman_core.record import Record

FAILURES = frozenset({"server_error", "connect", "timeout", "reset", "protocol", "truncated", "broken"})
"""Outcomes of an attempt that are the provider's own. A 429 or a 400 shows that it is there."""

SILENT = frozenset({"unanswered", "not_sent", "refused", "cap", "full", "stale"})
"""Outcomes that say nothing of the provider."""


@dataclass(frozen=True)
class Seen:
    """Of one provider. `failed` is how its last attempt failed, "" if it did not. Moments in seconds since the epoch, 0: never."""

    failed: str = ""
    at: float = 0.0
    attempts: int = 0
    failures: int = 0
    last_failure: str = ""
    last_failure_at: float = 0.0


class Health:
    """An `Observer`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, Seen] = {}

    def of(self, provider: str) -> Seen:
        return self._seen.get(provider, Seen())

    def ended(self, record: Record) -> None:
        now = self._clock.now()
        for tried in record.tried:
            if tried.outcome in SILENT:
                continue
            seen = self.of(tried.provider)
            failed = tried.outcome if tried.outcome in FAILURES else ""
            self._seen[tried.provider] = Seen(
                failed, now, seen.attempts + 1, seen.failures + bool(failed),
                failed or seen.last_failure, now if failed else seen.last_failure_at,
            )  # fmt: skip

    def turned_away(self, kind: ErrorKind) -> None:
        """No provider was asked."""
