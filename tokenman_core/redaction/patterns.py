"""Values that the settings name, to let them through or to mask them always: one by one, by wildcards, by expressions of RE2."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Final

import re2

from tokenman_core.config.redacting import OWN, Listed, compiled
from tokenman_core.redaction.entities import Finding

_AT_ONCE: Final = 100
_WILD: Final = {"*": r"\S*", "?": r"\S"}
_NOT_FIRST: Final = bytes(range(0x80, 0xC0))  # the bytes of UTF-8 that begin no character


def _source(listed: Listed) -> str:
    """The expression of one entry; `*` stands for any text, `?` for one character, case aside but for expressions."""
    if listed.regex is not None:
        return f"(?:{listed.regex})"
    if listed.glob is not None:
        parts = ["(?s:.*)" if each == "*" else "(?s:.)" if each == "?" else re2.escape(each) for each in listed.glob]
        return f"(?i:{''.join(parts)})"
    return f"(?i:{re2.escape(listed.value or '')})"


def _data(text: str) -> bytes:
    """UTF-8; halves of characters, which no expression can name, as question marks."""
    return text.encode("utf-8", "replace")


class Passing:
    """Which values pass, as a whole."""

    def __init__(self, listed: Sequence[Listed]) -> None:
        by_entity: dict[str | None, list[str]] = {}
        for each in listed:
            by_entity.setdefault(each.entity, []).append(_source(each))
        self._patterns = {entity: _together(sources) for entity, sources in by_entity.items()}

    def __contains__(self, finding: tuple[str, str]) -> bool:
        """Of an entity and its value."""
        entity, value = finding
        if not self._patterns:
            return False
        data = _data(value)
        patterns = [*self._patterns.get(None, ()), *self._patterns.get(entity, ())]
        return any(each.fullmatch(data) is not None for each in patterns)


class Denied:
    """Where values stand that are always masked."""

    def __init__(self, listed: Sequence[Listed]) -> None:
        by_entity: dict[str, list[str]] = {}
        for each in sorted(
            listed, key=lambda it: -len(it.value or it.glob or "")
        ):  # the longest that is there is found
            by_entity.setdefault(each.entity or OWN, []).append(_denied(each))
        self._patterns = [
            (entity, pattern) for entity, sources in sorted(by_entity.items()) for pattern in _together(sources)
        ]

    def __bool__(self) -> bool:
        return bool(self._patterns)

    @functools.cached_property
    def entities(self) -> frozenset[str]:
        return frozenset(entity for entity, _ in self._patterns)

    def find(self, text: str) -> Iterator[Finding]:
        """Linear in the text: some 5 µs/KB for each kind."""
        data = _data(text)
        plain = len(data) == len(text)
        for entity, pattern in self._patterns:
            byte = end = 0
            for match in pattern.finditer(data):
                low, high = match.span()
                if low == high:
                    continue
                start = low if plain else end + len(data[byte:low].translate(None, _NOT_FIRST))
                end = high if plain else start + len(data[low:high].translate(None, _NOT_FIRST))
                byte = high
                yield Finding(start, end, entity)


def _together(sources: Sequence[str]) -> list[Any]:
    """As few expressions as they fit into: RE2 bounds the size of one."""
    return [compiled("|".join(sources[low : low + _AT_ONCE])) for low in range(0, len(sources), _AT_ONCE)]


def _denied(listed: Listed) -> str:
    """In a text a `*` stays within a word, and a value that begins or ends with a letter is no part of a longer word."""
    if listed.regex is not None:
        return _source(listed)
    said = listed.glob if listed.glob is not None else listed.value or ""
    parts = [re2.escape(each) for each in said]
    if listed.glob is not None:
        parts = [_WILD.get(each, part) for each, part in zip(said, parts, strict=True)]
    for at, end in ((0, r"(?:\b\w|[^\s\w])"), (-1, r"(?:\w\b|[^\s\w])")):
        if listed.glob is not None and said[at] == "?":
            parts[at] = end
        elif said[at].isascii() and (said[at].isalnum() or said[at] == "_"):
            parts[at] = rf"\b{parts[at]}" if at == 0 else rf"{parts[at]}\b"
    return f"(?i:{''.join(parts)})"
