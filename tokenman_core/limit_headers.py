"""How much of a rate limit is left, in the headers that programs read: those of the API that they speak.

OpenAI: `x-ratelimit-remaining-requests` and others (https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers);
Anthropic: `anthropic-ratelimit-requests-remaining` and others (https://platform.claude.com/docs/en/api/rate-limits#response-headers).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from tokenman_core.headers import first
from tokenman_core.verdicts import Headers

Kind = Literal["requests", "tokens"]


@dataclass(frozen=True)
class Room:
    """Of one limit: so many of `limit` are left, and all again in `reset` seconds."""

    kind: Kind
    limit: int
    remaining: int
    reset: float


def tightest(rooms: Iterable[Room]) -> tuple[Room, ...]:
    """Of each kind the one of which the least is left."""
    found: dict[Kind, Room] = {}
    for room in rooms:
        if room.kind not in found or room.remaining < found[room.kind].remaining:
            found[room.kind] = room
    return tuple(found.values())


def headers(dialect: str, rooms: Sequence[Room], now: float) -> Headers:
    """`now` in seconds since the epoch."""
    return tuple(line for room in rooms for line in _of(dialect, room, now))


def beside(dialect: str, said: Headers, rooms: Sequence[Room], now: float) -> tuple[frozenset[bytes], Headers]:
    """Which headers of the provider's are to go, and which come: where ours is the tighter limit, it is told in place of his."""
    ours: list[tuple[bytes, bytes]] = []
    for room in rooms:
        lines = _of(dialect, room, now)
        theirs = first(said, lines[1][0])
        if theirs is None or not theirs.isdigit() or int(theirs[:18]) >= room.remaining:
            ours += lines
    return frozenset(name for name, _ in ours), tuple(ours)


def _of(dialect: str, room: Room, now: float) -> tuple[tuple[bytes, bytes], ...]:
    """Limit, remaining, reset."""
    kind = room.kind.encode()
    limit, left = b"%d" % room.limit, b"%d" % room.remaining
    if dialect == "anthropic":
        name = b"anthropic-ratelimit-" + kind
        moment = datetime.fromtimestamp(now + room.reset, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        return (name + b"-limit", limit), (name + b"-remaining", left), (name + b"-reset", moment.encode())
    name = b"x-ratelimit-"
    return (
        (name + b"limit-" + kind, limit),
        (name + b"remaining-" + kind, left),
        (name + b"reset-" + kind, _span(room.reset)),
    )


def _span(seconds: float) -> bytes:
    """As OpenAI writes it: `12ms`, `3.5s`, `6m0s`."""
    if seconds < 1:
        return b"%dms" % round(seconds * 1000)
    if seconds < 60:
        return f"{seconds:.3f}".rstrip("0").rstrip(".").encode() + b"s"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return (b"%dh" % hours if hours else b"") + b"%dm%ds" % (minutes, rest)
