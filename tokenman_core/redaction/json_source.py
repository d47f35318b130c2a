"""Follows the source text of a JSON document in the making, to know how deep in strings the next character stands."""

import json
import re

_OUTSIDE = re.compile(r"[\s{}\[\]:,0-9.eE+truefalsn-]*")
_PLAIN = re.compile(r'[^"\\]*')
_SKIP = re.compile(r'(?:[^"\\]|\\.)*', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[^u])", re.DOTALL)
_DEEPEST = 3


class JsonSource:
    """Feed it the source piece by piece. A string may hold a JSON document itself, and so on, three deep."""

    def __init__(self, level: int = 0) -> None:
        self._level = level
        self._string = False
        self._rest = ""  # an escape of which more must come
        self._inner: JsonSource | None = None
        self._begun = False
        self.json = True  # nothing that no JSON document has was seen so far

    @property
    def depth(self) -> int:
        """In how many strings, one in another, the next character stands: a value put there is escaped so often."""
        if not self._string:
            return 0
        inner = self._inner
        return 1 + (inner.depth if inner is not None and inner.json and inner._begun else 0)

    def feed(self, source: str) -> None:
        at = 0
        source = self._rest + source
        self._rest = ""
        while at < len(source) and self.json:
            if not self._string:
                quote = source.find('"', at)
                end = quote if quote >= 0 else len(source)
                if self._level and not self._between(source[at:end]):
                    return
                at = end
                if quote >= 0:
                    at += 1
                    self._string = True
                    self._inner = JsonSource(self._level + 1) if self._level + 1 < _DEEPEST else None
            else:
                at = self._in_string(source, at)

    def _between(self, text: str) -> bool:
        """Whether text outside of strings can be part of a document that is an object or a list."""
        if not self._begun and (stripped := text.lstrip()):
            self._begun = True
            self.json = stripped[0] in "{["
        elif not self._begun and not text:
            self.json = False  # begins with a string: prose in quotes
        if self.json and _OUTSIDE.fullmatch(text) is None:
            self.json = False
        return self.json

    def _in_string(self, source: str, at: int) -> int:
        inner = self._inner
        if inner is None or not inner.json:
            match = _SKIP.match(source, at)
            end = match.end() if match else at
        else:
            match = _PLAIN.match(source, at)
            end = match.end() if match else at
            if end > at:
                inner.feed(source[at:end])
        if end >= len(source):
            return end
        if source[end] == '"':
            self._string = False
            return end + 1
        escape = _ESCAPE.match(source, end)
        if escape is None:
            self._rest = source[end:]
            return len(source)
        if inner is not None and inner.json:
            inner.feed(_decoded(escape[0]))
        return escape.end()


def _decoded(escape: str) -> str:
    try:
        return str(json.loads(f'"{escape}"'))
    except ValueError:
        return " "


def escaped(value: str, depth: int) -> str:
    """A value as it is written inside `depth` JSON strings, one in another."""
    for _ in range(depth):
        value = json.dumps(value, ensure_ascii=False)[1:-1]
    return value


def unescaped(source: str, depth: int) -> str:
    """JSON source as a reader of its strings sees it; for looking only, so a cut escape does no harm."""
    for _ in range(depth):
        if "\\" not in source:
            break
        source = _ESCAPE.sub(lambda match: _decoded(match[0]), source)
    return source
