"""The texts of a request in groups, so that a conversation that goes on is known again by a few names instead of many."""

from collections.abc import Iterator, Sequence
from typing import Final

from tokenman_core.slots import Slot

SIZE: Final = 16
"""Texts in a group, but for the last of a part of the request."""


def blocks(slots: Sequence[Slot]) -> Iterator[range]:
    """All places in order, in groups that stay as they are when messages are added.

    A conversation grows at its end. What stands behind it in the body (Claude Code's tools do) begins groups of its own: else each
    new message would move all of it from group to group.
    """
    start = 0
    while start < len(slots):
        stop = min(start + SIZE, len(slots))
        part = _part(slots[start])
        if _part(slots[stop - 1]) != part:  # slots come in the order of the body
            stop = next(place for place in range(start + 1, stop) if _part(slots[place]) != part)
        yield range(start, stop)
        start = stop


def grows(slots: Sequence[Slot], block: range) -> bool:
    """Whether the next call may well have more texts in this group."""
    return len(block) < SIZE and slots[block.start].message >= 0


def _part(slot: Slot) -> tuple[object, bool]:
    return slot.path[0] if slot.path else None, slot.message < 0
