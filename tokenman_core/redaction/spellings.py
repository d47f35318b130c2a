"""The ways in which one value may be written: with escapes and without, with other separators, in hexadecimal and in base64."""

import base64
import itertools
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, unquote

from tokenman_core.redaction.detectors.likely import is_placeholder
from tokenman_core.redaction.detectors.view import decode, fold, needed

SHORTEST = 4  # characters; a shorter value says too little to be looked for by itself
ANYWHERE = 8  # from this length on a value is found inside longer words too
MARKS = ".,:;!?"
_UNREAD = "\ufffd"  # stands for any byte: by itself it says nothing
_SAME_IN_JSON = re.compile(r'[^"\\\x00-\x1f\x7f-\U0010ffff]+')
_SAME_IN_URL = re.compile(r"[A-Za-z0-9_.~-]+")
_URL_SAFE = str.maketrans("+/", "-_")
_LONGEST_CODED = 512  # bytes; of longer values no part is looked for in base64
_HEX_LETTER = re.compile(r"%(?:[A-F]|[0-9][A-F])")
_HEX_PAIR = re.compile(r"%[0-9A-F]{2}")
_WRAP = re.compile(r"[ \t]*\r?\n(?:[ \t]*(?:[>|#*;+]{1,3}|//[/!]?|--))*[ \t]*")
_SEPARATORS = re.compile(r"[^A-Za-z0-9]+")
# By kind of value: how many characters stand in its groups, and what stands between them.
_FOURS = (4,) * 9
_GROUPS: dict[str, tuple[tuple[tuple[int, ...], ...], str]] = {
    "CREDIT_CARD": ((_FOURS, (4, 6, 5)), " -."),
    "IBAN_CODE": ((_FOURS,), " -"),
    "US_SSN": (((3, 2, 4),), "- "),
    "PHONE_NUMBER": ((), ""),
}
_COMMON = frozenset(
    {
        "admin", "test", "demo", "root", "user", "guest", "local", "login", "public", "default", "changeme",
        "letmein", "welcome", "hello", "world", "database", "localhost", "1234", "12345", "123456", "1111", "0000",
        "2024", "2025", "2026",
    }
)  # fmt: skip


def looked_for(value: str) -> bool:
    """Whether a value is looked for in later texts.

    Not if it has fewer than 4 characters, if it is a word that stands everywhere (`admin`, `test`), or a number of fewer than 6
    digits: masking those by exact match would tear up text that has nothing to do with the value.
    """
    bare = value.strip()
    return (
        len(bare) >= SHORTEST
        and bare.lower() not in _COMMON
        and not is_placeholder(bare)
        and not (bare.isdigit() and len(bare) < 6)
    )


def forms(value: str, entity: str = "") -> tuple[str, ...]:
    """The value and the other ways to write it, each once; what `view.decode` sees through is not among them."""
    return tuple(dict.fromkeys((*plainly(value, entity), *coded(value))))


def plainly(value: str, entity: str) -> list[str]:
    """As text: with escapes and without, with other separators; each once."""
    same = [value, *_escaped(value)]
    # What says less than the value is only looked for if it still says enough.
    shorter = [*_unescaped(value), *_regrouped(value, entity)]
    if not value.isascii():
        shorter.append(fold(value))
        same.append(value.encode("utf-8", "surrogatepass").decode("latin-1"))  # as bytes are read, decoded or not
    if value[-1] in MARKS:
        shorter.append(value.rstrip(MARKS))  # whether a mark at the end is the value's or the sentence's cannot be told
    return list(dict.fromkeys([*same, *(each for each in shorter if looked_for(each))]))


def coded(value: str) -> list[str]:
    """In hexadecimal and in base64, if it is long enough to be told there."""
    data = value.encode("utf-8", "surrogatepass")
    if not ANYWHERE <= len(data) <= _LONGEST_CODED:
        return []
    digits = data.hex()
    return [digits, *([digits.upper()] if not digits.isdigit() else []), *_in_base64(data)]


def _escaped(value: str) -> Iterator[str]:
    """As JSON writes it, as JSON in JSON does, and as URLs do."""
    if not _SAME_IN_JSON.fullmatch(value):
        once = json.dumps(value, ensure_ascii=False)[1:-1]
        yield from (once, json.dumps(value)[1:-1], json.dumps(once, ensure_ascii=False)[1:-1])
    if not _SAME_IN_URL.fullmatch(value):
        for safe in ("", "/") if "/" in value else ("",):
            yield (quoted := quote(value, safe=safe, errors="surrogatepass"))
            if _HEX_LETTER.search(quoted):
                yield _HEX_PAIR.sub(lambda match: match[0].lower(), quoted)


def _unescaped(value: str) -> Iterator[str]:
    """As it is read where it was written with escapes."""
    if "\\" in value:
        try:
            yield str(json.loads(f'"{value}"', strict=False))
        except ValueError:
            pass
    if "%" in value:
        yield from _unquoted(value)
    if "\n" in value:
        yield _WRAP.sub("", value)
    if needed(value, value.encode("utf-8", "surrogatepass")):
        yield decode(value).text


def _unquoted(value: str) -> Iterator[str]:
    """Percent-decoded. Where that is no UTF-8, readers differ: some show bytes, some a mark for what they cannot read."""
    try:
        yield unquote(value, errors="surrogatepass")
    except UnicodeDecodeError:
        yield unquote(value, "latin-1")
        marked = unquote(value, errors="replace")
        if looked_for(marked.replace(_UNREAD, "")):
            yield marked


def _regrouped(value: str, entity: str) -> Iterator[str]:
    """With other separators, or in other letters, where both mean the same."""
    if entity == "EMAIL_ADDRESS":
        yield from (value.lower(), value.upper())
    elif entity in _GROUPS:
        sizes, separators = _GROUPS[entity]
        bare = _SEPARATORS.sub("", fold(value)).upper()
        plus = "+" if entity == "PHONE_NUMBER" and value.startswith("+") else ""
        yield from (plus + bare, bare)
        for size in sizes:
            ends = [*itertools.accumulate(size)]
            cut = [
                bare[low:high]
                for low, high in itertools.pairwise((0, *(end for end in ends if end < len(bare)), len(bare)))
            ]
            yield from (separator.join(cut) for separator in separators)


def _in_base64(data: bytes) -> Iterator[str]:
    """In base64 that may hold more before it and behind it, by how many bytes of three stand before it; in both alphabets."""
    for offset in range(3):
        coded = base64.b64encode(bytes(offset) + data).rstrip(b"=").decode("ascii")
        core = coded[offset + (offset > 0) : len(coded) - int((offset + len(data)) % 3 != 0)]
        yield core
        if "+" in core or "/" in core:
            yield core.translate(_URL_SAFE)
