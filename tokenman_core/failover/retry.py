"""When an attempt is made again, and how long to wait before: jitter, what the provider asks for, a bound on all retries."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from tokenman_core import headers as h
from tokenman_core.clock import Clock
from tokenman_core.verdicts import Headers

_SECONDS = re.compile(rb"\d{1,300}(?:\.\d{1,300})?")  # a wait without end is one too, and a float holds it


def retry_after(headers: Headers, now: float) -> float | None:
    """Seconds that the provider wants us to wait; None: it does not say. `now` in seconds since the epoch.

    `retry-after-ms` is OpenAI's, finer than `Retry-After` (RFC 9110, 10.2.3), which is seconds or a date.
    """
    millis = h.first(headers, b"retry-after-ms")
    if millis is not None and _SECONDS.fullmatch(millis.strip()):
        return float(millis) / 1000
    value = h.first(headers, b"retry-after")
    if value is None:
        return None
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        date = parsedate_to_datetime(value.decode("latin-1"))
        # RFC 9110 §5.6.7: in all forms the time is UTC, also in the one that does not say so.
        moment = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now)
    except (ValueError, OverflowError):
        return None


def backoff(retry: int, base: float, most: float, random: Callable[[], float]) -> float:
    """Seconds before the `retry`-th retry (from 0): anywhere between 0 and min(most, base·2ⁿ), so that callers who failed
    together do not come back together (https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/).

    `random` gives a number from 0 to below 1.
    """
    return random() * min(most, base * 2.0 ** min(retry, 60))


@dataclass
class Budget:
    """A share of the traffic that may be retries, so that an outage is not multiplied. One for each provider.

    Each first attempt pays in `share` of a retry, up to `most`; a retry takes a whole one. `floor` is there at the start, and
    comes back at `floor` a minute, so that little traffic may retry too.
    """

    clock: Clock
    share: float = 0.2
    floor: float = 10.0
    most: float = 100.0

    def __post_init__(self) -> None:
        self._left = self.floor
        self._at = self.clock.monotonic()

    def first(self) -> None:
        """A call is tried for the first time."""
        self._left = min(self.most, self._left + self.share)

    def take(self) -> bool:
        """Whether there may be a retry now; then it is taken."""
        now = self.clock.monotonic()
        if self._left < self.floor:
            self._left = min(self.floor, self._left + (now - self._at) * self.floor / 60)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
