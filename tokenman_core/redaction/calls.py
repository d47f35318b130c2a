"""The calls of tools that a model makes: which texts belong to one call, and what its arguments say."""

import json
from collections.abc import Iterator

from tokenman_core.slots import INNER, Key, Slot

Argument = tuple[str, str]
"""A text among the arguments of a call, behind the name of the member that holds it ("" for such a name itself)."""

_CALL_ROOTS = frozenset({"input", "arguments", "args", "action"})


def call_of(slot: Slot) -> object:
    """What all parts of one tool call's input have in common: the path down to it."""
    for place, step in enumerate(slot.path):
        if step is INNER or step in _CALL_ROOTS:
            return slot.path[: place + 1]
    return slot.path[:-1]


def argument(slot: Slot, text: str) -> Argument:
    """A part of a call's input as an argument of this text."""
    return ("" if slot.path and isinstance(slot.path[-1], Key) else slot.key), text


def arguments(source: str) -> list[Argument] | None:
    """All texts of a call's input, which is a JSON document, in order; None if it is none."""
    try:
        left: list[tuple[str, object]] = [("", json.loads(source, object_pairs_hook=_Members))]
    except (ValueError, RecursionError):
        return None
    found: list[Argument] = []
    while left:
        key, each = left.pop()
        if isinstance(each, str):
            found.append((key, each))
        elif isinstance(each, _Members):
            for name, value in reversed(each):
                left += (name, value), ("", name)
        elif isinstance(each, list):
            left += ((key, item) for item in reversed(each))
    return found


class _Members(list[tuple[str, object]]):
    """The members of a JSON object, also those whose name comes twice."""


def texts(value: object, key: str = "") -> list[Argument]:
    """All strings in a JSON value that are no names of members, in order."""
    if isinstance(value, str):
        return [(key, value)]
    if isinstance(value, dict):
        return [found for name, each in value.items() for found in texts(each, name)]
    return [found for each in value for found in texts(each, key)] if isinstance(value, list) else []


def with_texts(value: object, instead: Iterator[str]) -> object:
    """The value with other strings in place of its own, in order."""
    if isinstance(value, str):
        return next(instead)
    if isinstance(value, dict):
        return {key: with_texts(each, instead) for key, each in value.items()}
    return [with_texts(each, instead) for each in value] if isinstance(value, list) else value
