"""Which part of a window is told by the sums of whole days, and which by single calls."""

from dataclasses import dataclass

from tokenman_core.ledger.store import DAY_US

EVER = 2**62  # microseconds: after all that will be


@dataclass(frozen=True)
class Span:
    """Days `first` up to, not including, `last` (since the epoch); and ranges of moments, each up to its end.

    `begins` is where it really begins if that is earlier than what was asked for, else None.
    """

    first: int
    last: int
    edges: tuple[tuple[int, int], ...]
    begins: int | None = None


def split(since: int, until: int, horizon: int) -> Span:
    """A window of microseconds. Rows from before `horizon` are gone: what lies there is told by whole days only."""
    first, last = -(-since // DAY_US), until // DAY_US
    begins = None
    if since < min(horizon, first * DAY_US):
        first -= 1
        since = begins = first * DAY_US
    if last * DAY_US < min(horizon, until):
        last += 1
        until = last * DAY_US
    if first >= last:
        return Span(0, 0, ((since, until),), begins)
    edges = ((since, first * DAY_US), (last * DAY_US, until))
    return Span(first, last, tuple(edge for edge in edges if edge[0] < edge[1]), begins)
