"""Changes single strings of a JSON text and keeps every other byte: splice, verify, else write anew."""

import json
from collections.abc import Iterable
from typing import Any

import orjson

from tokenman_core.body import encoded, literals, lone
from tokenman_core.errors import BodyError
from tokenman_core.slots import BASE64, INNER, NUMBER, Key, Path, Slot

Edit = tuple[Path, str, str]
"""Where a string (or a number, NUMBER) stands, what it was, and what it shall be (the same object if it stays)."""

_HEAD = 64  # bytes of a literal that are looked for; few strings share so many with another
_MOST_MISSES = 8  # so many strings not found in their likely style, and the exact search is cheaper


def splice(data: bytes, value: Any, slots: Iterable[Slot]) -> tuple[bytes, Any]:
    """The bytes of `data` (whose parsed value is `value`) with the slots' texts put in, and the value they parse to.

    The slots stand in document order; those that did not change help to find the others. Raises BodyError if a renamed
    key would hide another one.
    """
    return _splice(
        data, value, [(slot.path, slot.original, slot.text if slot.changed else slot.original) for slot in slots]
    )


def splice_lines(lines: list[tuple[bytes, Any]], slots: Iterable[Slot]) -> list[bytes]:
    """The same for JSON documents and their values, one behind the other: a slot's path begins with its document's number."""
    edits: dict[Any, list[Edit]] = {}
    for slot in slots:
        edit = (slot.path[1:], slot.original, slot.text if slot.changed else slot.original)
        edits.setdefault(slot.path[0], []).append(edit)
    return [_splice(data, value, edits.get(index, []))[0] for index, (data, value) in enumerate(lines)]


def _splice(data: bytes, value: Any, edits: list[Edit]) -> tuple[bytes, Any]:
    edits = _unnest(value, edits)
    while edits and edits[-1][1] is edits[-1][2]:
        edits.pop()
    if not edits:
        return data, value
    wanted = _tree(edits)
    intended = _edited(value, wanted, edits)
    for attempt in (_by_changed, _by_search, _by_scan):
        made = attempt(data, edits, wanted)
        if made is not None and means(made, intended):
            return made, intended
    return write(intended, data), intended


def write(value: Any, like: bytes) -> bytes:
    """`value` as JSON in the style of `like`: separators, and whether characters beyond ASCII are escaped."""
    separators = (", ", ": ") if b'": ' in like[:4096] else (",", ":")
    escaped = like.isascii() and literals.has_escapes_beyond_ascii(like)
    return json.dumps(value, ensure_ascii=escaped, separators=separators).encode("utf-8")


def _unnest(value: Any, edits: list[Edit]) -> list[Edit]:
    """Edits inside of a string (INNER, BASE64) become one edit of that string."""
    flat: list[Edit] = []
    outer: Path | None = None  # of the string whose inner edits are being gathered
    inner: list[Edit] = []

    def close() -> None:
        nonlocal outer
        if outer is not None:
            old = _at(value, outer[:-1])
            changed = any(edit[1] is not edit[2] for edit in inner)
            flat.append((outer[:-1], old, _reopened(old, inner) if changed else old))
            outer = None
            inner.clear()

    for edit in edits:
        path = edit[0]
        if INNER not in path and BASE64 not in path:
            close()
            flat.append(edit)
            continue
        at = next(index for index, step in enumerate(path) if step is INNER or step is BASE64) + 1
        if path[:at] != outer:
            close()
            outer = path[:at]
        inner.append((path[at - 1 :], edit[1], edit[2]))
    close()
    return flat


def _reopened(old: str, inner: list[Edit]) -> str:
    if inner[0][0][0] is BASE64:
        like = encoded.decode(old, any_text=True)
        return old if like is None else encoded.encode(inner[0][2], like)
    data = old.encode("utf-8")
    made, _ = _splice(data, orjson.loads(data), [(path[1:], was, now) for path, was, now in inner])
    return made.decode("utf-8")


def _at(value: Any, path: Path) -> str:
    for step in path:
        value = value[step]
    return str(value)


def _tree(edits: list[Edit]) -> literals.Wanted | int:
    """The edits that change something as a tree of their paths, each leaf an index into `edits`."""
    tree: literals.Wanted = {}
    for index, (path, old, new) in enumerate(edits):
        if old is new:
            continue
        if not path:
            return index
        branch = tree
        for step in path[:-1]:
            branch = branch.setdefault(step, {})
        branch[path[-1]] = index
    return tree


def _edited(value: Any, wanted: literals.Wanted | int, edits: list[Edit]) -> Any:
    """A copy of `value` with the edits made; what no edit touches is shared."""
    if isinstance(wanted, int):
        return edits[wanted][2]
    if NUMBER in wanted:
        return edits[wanted[NUMBER]][2]
    copy = value.copy()
    names: dict[str, str] = {}
    for step, below in wanted.items():
        if isinstance(step, Key):
            names[step.name] = edits[below][2]
        else:
            copy[step] = _edited(value[step], below, edits)
    if not names:
        return copy
    renamed = {names.get(key, key): item for key, item in copy.items()}
    if len(renamed) != len(copy):
        raise BodyError("parse", "two keys of one object of the body would become the same by masking")
    return renamed


def _by_changed(data: bytes, edits: list[Edit], _wanted: literals.Wanted | int) -> bytes | None:
    """Looks for the changed strings alone: the cheapest, and right unless one of them stands unchanged before its place."""
    return _by_search(data, [edit for edit in edits if edit[1] is not edit[2]], _wanted)


def _by_search(data: bytes, edits: list[Edit], _wanted: literals.Wanted | int) -> bytes | None:
    """Looks for the strings one after the other, in the style they most likely have."""
    pieces: list[bytes] = []
    at = copied = misses = 0
    styles = [literals.raw, literals.ascii_only]
    for path, old, new in edits:
        literal = old.encode("ascii") if path and path[-1] is NUMBER else styles[0](old)
        start = _find(data, literal, at)
        if start < 0:
            misses += 1
            if old.isascii() or misses > _MOST_MISSES:
                return None
            literal = styles[1](old)
            start = _find(data, literal, at)
            if start < 0:
                return None
            styles.reverse()
        at = start + len(literal)
        if old is not new:
            pieces += data[copied:start], literals.write(new, literal)
            copied = at
    pieces.append(data[copied:])
    return b"".join(pieces)


def _find(data: bytes, literal: bytes, at: int) -> int:
    """As `data.find`, which prepares for a long needle longer than it then looks for it."""
    head = literal[:_HEAD]
    for _ in range(_MOST_MISSES):
        start = data.find(head, at)
        if start < 0 or data.startswith(literal, start):
            return start
        at = start + 1
    return data.find(literal, at)  # linear, whatever the text is


def _by_scan(data: bytes, edits: list[Edit], wanted: literals.Wanted | int) -> bytes | None:
    """Follows the paths through the text, so it finds any string however it is written."""
    keys = {path[-1].name: path[-1] for path, _, _ in edits if path and isinstance(path[-1], Key)}
    try:
        spans = literals.locate(data, wanted, keys)
    except (ValueError, IndexError):
        return None
    pieces: list[bytes] = []
    copied = 0
    for index, (start, end) in sorted(spans.items(), key=lambda item: item[1]):
        pieces += data[copied:start], literals.write(edits[index][2], data[start:end])
        copied = end
    pieces.append(data[copied:])
    return b"".join(pieces)


def means(data: bytes, intended: Any) -> bool:
    """Whether JSON says what it was meant to say."""
    try:
        # orjson makes floats of wide integers, which then differ from the exact ones: only then json is asked.
        return bool(lone.load(data)[0] == intended or json.loads(data) == intended)
    except ValueError:
        return False
