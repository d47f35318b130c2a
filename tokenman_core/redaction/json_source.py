"""Follows a text in the making, to know how deep in strings of a JSON document the next character stands."""

import json
import re

_OUTSIDE = re.compile(r"[\s{}\[\]:,0-9.eE+truefalsn-]*")
_BEFORE_STRING = frozenset("{[,:")
_PLAIN = re.compile(r'[^"\\]*')
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[^u])", re.DOTALL)
_ESCAPED = frozenset('"\\/bfnrtu')
_BRACKET = re.compile(r"[{}\[\]]")
_BLANKS = re.compile(r"\s*")
_DEEPEST = 4


class JsonSource:
    """Feed it the source piece by piece. A string may hold a JSON document itself, and so on, some deep."""

    def __init__(self, level: int = 0) -> None:
        self._level = level  # 0: it is known to be JSON; else it is taken for that until something shows that it is not
        self._string = False
        self._rest = ""  # an escape of which more must come
        self._inner: TextSource | None = None
        self._last = ""  # the last character that is no blank, outside of strings
        self._open = 0  # objects and lists
        self.json = True  # nothing that no JSON document has was seen so far

    @property
    def depth(self) -> int:
        """In how many strings, one in another, the next character stands: a value put there is escaped so often."""
        if not self._string:
            return 0
        return 1 + (self._inner.depth if self._inner is not None else 0)

    @property
    def closed(self) -> bool:
        """Whether a document has been, and ended."""
        return self._open <= 0 and self._last != "" and not self._string

    def feed(self, source: str) -> None:
        at = 0
        source = self._rest + source
        self._rest = ""
        while at < len(source) and self.json:
            if not self._string:
                quote = source.find('"', at)
                end = quote if quote >= 0 else len(source)
                if self._level and not self._between(source[at:end], quote >= 0):
                    self.json = False
                    return
                at = end
                if quote >= 0:
                    at += 1
                    self._string = True
                    self._inner = TextSource(self._level + 1) if self._level + 1 < _DEEPEST else None
            else:
                at = self._in_string(source, at)

    def _between(self, text: str, string: bool) -> bool:
        """Whether text outside of strings, and a string behind it if so it is, can be part of a document."""
        if _OUTSIDE.fullmatch(text) is None or (self.closed and text.strip()):
            return False
        self._last = text.rstrip()[-1:] or self._last
        for bracket in _BRACKET.finditer(text):
            self._open += 1 if bracket[0] in "{[" else -1
            if self._open <= 0 and text[bracket.end() :].strip():
                return False  # more stands behind its end
        return not string or (self._last in _BEFORE_STRING and self._open > 0)

    def _in_string(self, source: str, at: int) -> int:
        match = _PLAIN.match(source, at)
        end = match.end() if match else at
        if end > at:
            if self._level and "\n" in source[at:end]:
                self.json = False  # prose in quotes
                return end
            if self._inner is not None:
                self._inner.feed(source[at:end])
        if end >= len(source):
            return end
        if source[end] == '"':
            self._string = False
            self._last = '"'
            return end + 1
        escape = _ESCAPE.match(source, end)
        if escape is None:
            self._rest = source[end:]
            return len(source)
        if self._level and escape[0][1] not in _ESCAPED:
            self.json = False
        elif self._inner is not None:
            self._inner.feed(_decoded(escape[0]))
        return escape.end()


class TextSource:
    """Follows any text: wherever a line begins with `{` or `[`, it may be a JSON document until something shows otherwise."""

    def __init__(self, level: int = 1) -> None:
        self._level = level
        self._json: JsonSource | None = None
        self._blank = True  # nothing but blanks in this line so far

    @property
    def depth(self) -> int:
        """In how many strings of a JSON document the next character stands; 0 in other text."""
        return self._json.depth if self._json is not None else 0

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            if self._json is not None:
                end = text.find("\n", at) + 1 or len(text)
                self._json.feed(text[at:end])
                at = end
                ended = text[end - 1] == "\n"
                if not self._json.json or (ended and self._json.closed):
                    self._json = None
                    self._blank = ended
            elif self._blank:
                match = _BLANKS.match(text, at)
                at = match.end() if match else at
                if at < len(text):
                    self._blank = False
                    if text[at] in "{[":
                        self._json = JsonSource(self._level)
            else:
                line = text.find("\n", at)
                if line < 0:
                    return
                at = line + 1
                self._blank = True


def _decoded(escape: str) -> str:
    try:
        return str(json.loads(f'"{escape}"'))
    except ValueError:
        return " "


def read(source: str, depth: int) -> str:
    """What `depth` JSON strings, one in another, hold, of one of which this is the source; the source where it is none."""
    for _ in range(depth):
        try:
            source = str(json.loads(f'"{source}"', strict=False))
        except ValueError:
            break
    return source


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
