"""All detectors as one function from a text to its findings. The same text under the same key is always judged the same."""

from collections.abc import Iterator

from tokenman_core.redaction.detectors import coded, context, seams, view
from tokenman_core.redaction.detectors.custom import Patterns, characters
from tokenman_core.redaction.detectors.gate import RULES, Gate, Hits
from tokenman_core.redaction.detectors.names import Names
from tokenman_core.redaction.detectors.options import PLAIN, Options
from tokenman_core.redaction.detectors.personal.everything import Personal
from tokenman_core.redaction.detectors.words import key_topics
from tokenman_core.redaction.entities import Finding, Findings

_DEEPEST = 3  # documents of JSON, one in a string of another, as restoration goes; and as many layers of base64


def encode(text: str) -> bytes:
    """UTF-8, also of the lone surrogates that JSON may hold."""
    return text.encode("utf-8", "surrogatepass")


class _Places:
    """Byte offsets as character offsets; asked for in rising order it walks the text once."""

    def __init__(self, data: bytes, ascii: bool) -> None:
        self._data, self._ascii = data, ascii
        self._byte = self._char = 0

    def __call__(self, byte: int) -> int:
        if self._ascii:
            return byte
        self._char += characters(self._data[self._byte : byte])
        self._byte = byte
        return self._char


class Detector:
    """Raises BadPattern for a recogniser of the options that is none. `gate` may be exchanged for another one."""

    def __init__(self, gate: Gate, options: Options = PLAIN) -> None:
        self.gate = gate
        self._personal = Personal()
        self._custom = Patterns(options.recognizers)
        self._names = Names(options.ner) if options.ner != "off" else None

    def find(self, text: str, key: str = "") -> Findings:
        """The values in `text`, which stands under the object key `key`; in order of place, each once. They may overlap."""
        data = encode(text)
        found = [*self._read(text, data, key), *self._inside(text, key), *self._coded(text)]
        found.extend(seams.wrapped(text, tuple(found), lambda piece: self._look(piece, encode(piece), key)))
        if self._names is not None:
            found.extend(self._names.find(text))
        if (finding := context.judge_key(key, text)) is not None:
            found.append(finding)
        return tuple({each[:3]: each for each in sorted(set(found))}.values())  # found twice: as the surer one

    def _read(self, text: str, data: bytes, key: str) -> Iterator[Finding]:
        """What stands in a text as it is, and as a reader would see it."""
        yield from self._look(text, data, key)
        if view.needed(text, data):
            seen = view.decode(text)
            for start, end, entity, score in self._look(seen.text, encode(seen.text), key):
                yield Finding(*seen.original(start, end), entity, score)

    def _coded(self, text: str, depth: int = _DEEPEST) -> Iterator[Finding]:
        """What stands in base64 of a text, and in base64 in that."""
        for piece in coded.readable(text):
            inner = self._coded(piece.text, depth - 1) if depth > 1 else ()
            for start, end, entity, score in (*self._read(piece.text, encode(piece.text), ""), *inner):
                if (span := piece.original(start, end)) is not None:
                    yield Finding(*span, entity, score)

    def _inside(self, text: str, key: str, depth: int = _DEEPEST) -> Iterator[Finding]:
        """What stands in documents of JSON that strings of a document hold, one in another."""
        inner = view.unescaped(text) if depth else None
        if inner is not None:
            for start, end, entity, score in (
                *self._look(inner.text, encode(inner.text), key),
                *self._inside(inner.text, key, depth - 1),
            ):
                yield Finding(*inner.original(start, end), entity, score)

    def _look(self, text: str, data: bytes, key: str) -> Iterator[Finding]:
        yield from self._custom.find(text, data, key)
        hits = self.gate.scan(data)
        if hits.rules:
            yield from self._secrets(text, data, hits)
        if hits.conditions or key_topics(key):
            yield from self._personal.find(text, hits.conditions, key)

    def _secrets(self, text: str, data: bytes, hits: Hits) -> Iterator[Finding]:
        place = _Places(data, len(data) == len(text))
        done: dict[int, int] = {}
        headings: list[int] = []
        for index, byte in sorted(hits.rules, key=lambda hit: hit[1]):
            start = place(byte)
            if start < done.get(index, 0):
                continue
            rule = RULES[index]
            match = rule.pattern.match(text, start)
            if match is None:
                continue
            done[index] = match.end()
            if rule is context.COLUMN:
                headings.append(start)
            for finding in rule.judge(rule, match):
                done[index] = max(done[index], finding.end)
                yield finding
        if headings:
            yield from context.in_columns(text, headings)
