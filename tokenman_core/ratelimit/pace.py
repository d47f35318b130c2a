"""What providers say of their own rate limits, and how long a call does well to wait so that it meets none of them."""

import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from tokenman_core.clock import Clock

MOST_WAIT_S: Final = 60.0
"""A call waits no longer here: it is then for the provider to say no, or for the next one of the route."""

LONGEST_S: Final = 86_400.0  # a reset later than that is believed to be then
_MOST: Final = 10_000  # limits that are known: callers can make them grow, the oldest are forgotten
_MOST_OF_A_NAME: Final = 200  # characters of a model's name, which a caller may make as long as a request
_KINDS: Final = 8  # limits that one answer may tell of
_DIGITS: Final = re.compile(rb"[0-9]{1,15}")
_SPAN: Final = re.compile(
    r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?"
)
_SECONDS: Final = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)

# OpenAI: x-ratelimit-remaining-requests (https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers), and so those
# who speak its API; Anthropic: anthropic-ratelimit-requests-remaining (https://platform.claude.com/docs/en/api/rate-limits).
_NAMES: Final = (
    re.compile(rb"x-ratelimit-(?P<what>limit|remaining|reset)-(?P<kind>[a-z-]{1,30})"),
    re.compile(rb"anthropic-(?:priority-)?ratelimit-(?P<kind>[a-z-]{1,30}?)-(?P<what>limit|remaining|reset)"),
)

Key = tuple[str, str, str]
"""Whose limit it is: a keyed hash of the credential ("" for a configured key), the provider, the model."""


@dataclass(frozen=True)
class Limit:
    """Of one kind (`requests`, `tokens`, `input-tokens`): so many were left at `seen`, all are back at `full` (monotonic, seconds).

    Both vendors fill up all the time (a token bucket), so that a part is back earlier.
    """

    kind: str
    limit: int
    remaining: float
    seen: float
    full: float

    def left(self, now: float) -> float:
        if now >= self.full or self.full <= self.seen:
            return float(self.limit)
        return self.remaining + (self.limit - self.remaining) * max(0.0, now - self.seen) / (self.full - self.seen)

    def wait(self, cost: int, now: float) -> float:
        """Seconds until there is enough; who asks for more than there ever is waits for all."""
        wanted, left = min(cost, self.limit), self.left(now)
        if left >= wanted or self.limit <= left:
            return 0.0
        return (self.full - now) * (wanted - left) / (self.limit - left)


@dataclass(frozen=True)
class _Known:
    limits: tuple[Limit, ...]
    until: float = -math.inf  # nothing is to be sent before, as a 429 said


class Paces:
    """Of all calls of a process; it outlives a change of the configuration."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[Key, _Known] = OrderedDict()

    def wait(self, key: Key, tokens: int) -> float:
        """Seconds that a call of about so many tokens should wait now, 0 for none."""
        known = self._known.get(_short(key))
        if known is None:
            return 0.0
        now = self._clock.monotonic()
        return max(0.0, known.until - now, *(each.wait(_cost(each.kind, tokens), now) for each in known.limits))

    def sent(self, key: Key, tokens: int) -> None:
        """A call set out: until the provider says how much is left, it is taken off what is known."""
        if known := self._known.get(_short(key)):
            now = self._clock.monotonic()
            limits = tuple(
                replace(each, remaining=max(0.0, each.left(now) - _cost(each.kind, tokens)), seen=min(now, each.full))
                for each in known.limits
            )
            self._known[_short(key)] = replace(known, limits=limits)

    def learn(self, key: Key, headers: Iterable[tuple[bytes, bytes]], asked_to_wait: float | None = None) -> None:
        """From an answer's head. `asked_to_wait`: what the Retry-After of a 429 said, in seconds."""
        now, key = self._clock.monotonic(), _short(key)
        limits = tuple(_limits(headers, now, self._clock.now()))
        before = self._known.get(key, _Known(()))
        until = before.until if asked_to_wait is None else now + min(max(asked_to_wait, 0.0), LONGEST_S)
        if not limits and until <= now:
            return
        self._known[key] = _Known(limits or before.limits, until)
        self._known.move_to_end(key)
        while len(self._known) > _MOST:
            self._known.popitem(last=False)

    def of(self, provider: str, most: int = 20) -> list[tuple[str, Limit, float, float]]:
        """What is known of a provider's limits, the latest first: model, limit, what is left of it, seconds until all is."""
        now, found = self._clock.monotonic(), list[tuple[str, Limit, float, float]]()
        for (_, name, model), known in reversed(self._known.items()):
            if name == provider:
                found += [(model, each, each.left(now), max(0.0, each.full - now)) for each in known.limits]
            if len(found) >= most:
                break
        return found[:most]


def _short(key: Key) -> Key:
    return key[0], key[1], key[2][:_MOST_OF_A_NAME]


def _cost(kind: str, tokens: int) -> int:
    return tokens if "token" in kind and "output" not in kind else 1


def _limits(headers: Iterable[tuple[bytes, bytes]], now: float, today: float) -> Iterator[Limit]:
    said: dict[str, dict[str, bytes]] = {}
    for name, value in headers:
        for pattern in _NAMES if b"ratelimit" in name.lower() else ():
            if (match := pattern.fullmatch(name.lower())) and (len(said) < _KINDS or match["kind"].decode() in said):
                said.setdefault(match["kind"].decode(), {})[match["what"].decode()] = value.strip()
    for kind, words in said.items():
        if one := _limit(kind, words, now, today):
            yield one


def _limit(kind: str, words: Mapping[str, bytes], now: float, today: float) -> Limit | None:
    limit, remaining = words.get("limit", b""), words.get("remaining", b"")
    reset = seconds(words.get("reset", b""), today)
    if not _DIGITS.fullmatch(limit) or not _DIGITS.fullmatch(remaining) or reset is None or not int(limit):
        return None
    return Limit(kind, int(limit), float(min(int(remaining), int(limit))), now, now + min(max(reset, 0.0), LONGEST_S))


def seconds(said: bytes, today: float) -> float | None:
    """From now until a reset: `6m0s`, `12ms`, `59.6` (seconds), or a moment as RFC 3339 or in seconds since the epoch has it."""
    text = said.decode("latin-1")[:64]
    reader: Callable[[str], float]
    for reader in (float, _span, lambda it: datetime.fromisoformat(it).timestamp() - today):
        try:
            found = reader(text)
        except (ValueError, OverflowError):
            continue
        if math.isfinite(found):
            return found - today if reader is float and found > 1e9 else found
    return None


def _span(text: str) -> float:
    match = _SPAN.fullmatch(text)
    if not text or match is None:
        raise ValueError(text)
    return sum(float(part) * each for part, each in zip(match.groups(), _SECONDS, strict=True) if part)
