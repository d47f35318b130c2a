"""Puts new members into a JSON text and keeps every byte that stands there."""

from dataclasses import dataclass
from typing import Any

from tokenman_core.body import literals
from tokenman_core.body.splice import means, write


@dataclass(frozen=True)
class Insertion:
    """`value` becomes the member `at` of the list or the object that stands at `into`: before the one that is there, or the last.

    `at`: an index from 0 to the list's length, or a key that the object does not have, which comes last.
    """

    into: tuple[str | int, ...]
    at: int | str
    value: Any


def insert(data: bytes, value: Any, insertion: Insertion) -> tuple[bytes, Any]:
    """The bytes of `data` (whose parsed value is `value`) with the member put in, and the value that they then have.

    Raises LookupError where there is no such place.
    """
    intended = _with(value, insertion.into, insertion)
    made = _spliced(data, _at(value, insertion.into), insertion)
    if made is not None and means(made, intended):
        return made, intended
    return write(intended, data), intended


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _with(value: Any, path: tuple[str | int, ...], insertion: Insertion) -> Any:
    """A copy with the member; what does not change is shared."""
    copy = value.copy()
    if path:
        copy[path[0]] = _with(value[path[0]], path[1:], insertion)
    elif isinstance(copy, list) and isinstance(insertion.at, int) and 0 <= insertion.at <= len(copy):
        copy.insert(insertion.at, insertion.value)
    elif isinstance(copy, dict) and isinstance(insertion.at, str) and insertion.at not in copy:
        copy[insertion.at] = insertion.value
    else:
        raise LookupError("there is no such place")
    return copy


def _spliced(data: bytes, container: Any, insertion: Insertion) -> bytes | None:
    member = write(insertion.value, data)
    space = b" " if b'": ' in data[:4096] else b""
    if isinstance(insertion.at, str):
        member = write(insertion.at, data) + b":" + space + member
    behind = insertion.at if isinstance(insertion.at, str) or insertion.at == len(container) else None
    steps = [*insertion.into]
    if container:
        last: Any = len(container) - 1 if isinstance(container, list) else next(reversed(container))
        steps.append(last if behind is not None else insertion.at)
    wanted: Any = 0
    for step in reversed(steps):
        wanted = {step: wanted}
    try:
        start, end = literals.locate(data, wanted, {})[0]
    except (ValueError, IndexError, KeyError):
        return None
    if not container:
        return data[: start + 1] + member + data[start + 1 :]
    if behind is not None:
        return data[:end] + b"," + space + member + data[end:]
    return data[:start] + member + b"," + space + data[start:]
