"""Counts media that a text carries in itself: data URLs and pictures in base64, which stand there for whoever reads the text."""

import re
from collections import Counter
from typing import Any, Final

import re2

from tokenman_core.body.encoded import begins_as_text
from tokenman_core.dialects import words

_SHORTEST: Final = 32  # characters of a text that can carry any
_LEAST: Final = 64  # characters of base64 that no data URL announces
_LEAST_IN_URL: Final = 16
_MOST: Final = 64  # places that are looked at: well under 1 ms
_HEAD: Final = 512  # characters that are looked at of what was found

# How further media begin in base64: archives (and documents, which are some), what is packed, databases, films, EBML, TIFF.
# Strings that are these as a whole are read all the same, as what else they may be.
_MORE: Final = {
    "UEsDB": "document", "GkXfo": "video", "SUkqA": "image", "TU0AK": "image", "H4sI": "file", "QlpoO": "file",
    "/Td6WFo": "file", "KLUv/": "file", "N3q8ry": "file", "U1FMaXRlIGZvcm1hdC": "file", "0M8R4KGxGuE": "document",
}  # fmt: skip
_MARKS: Final = words.MEDIA_MAGIC | _MORE
_FILM = "AAAA[A-Za-z0-9+/]GZ0eXB"


def _written(mark: str) -> str:
    """As JSON in a string may write it: with a backslash before each slash."""
    return re.escape(mark).replace("/", r"\\*/")


_MARK = "|".join((*map(_written, _MARKS), _FILM))
# Blanks may stand before the type, around its options and behind them (https://fetch.spec.whatwg.org/#data-url-processor).
_URL = r"(?i:data:[ \t]{0,8}([^,;\s\"'<>()]{0,100})[ \t]{0,8}((?:;[ \t]{0,8}[^,;\s\"'<>()]{0,100}[ \t]{0,8})*),)"
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/_=-]|\\+[/rn]|[\r\n]+[ \t>]*)*")
_BEYOND_ASCII = re.compile(r"%[89A-Fa-f][0-9A-Fa-f]")


def _expression() -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes as they are: what is looked for is ASCII
    return re2.compile(rf"{_URL}|(?:^|[^A-Za-z0-9+/_-])({_MARK})[A-Za-z0-9+/\\_-]{{24}}".encode(), options)


_CARRIED: Final = _expression()


def carried_by_all(texts: list[str]) -> Counter[str]:
    """What media texts carry, by type. One search through all of them costs a third of one through each; most carry none."""
    found: Counter[str] = Counter()
    joined = '"'.join(texts)  # nothing that is looked for holds a quote
    if len(joined) >= _SHORTEST and _CARRIED.search(joined.encode("utf-8", "surrogatepass")) is not None:
        for text in texts:
            found.update(carried(text))
    return found


def carried(text: str) -> Counter[str]:
    """What media a text carries, by type ("image", "audio", …). What is text in truth is none: it is read where it stands."""
    found: Counter[str] = Counter()
    if len(text) < _SHORTEST:
        return found
    data = text.encode("utf-8", "surrogatepass")
    url = -1  # the end of the last one: what it announces is counted once
    for examined, match in enumerate(_CARRIED.finditer(data)):
        said, options, mark = match[1], match[2], match[3]
        if examined == _MOST:  # of a text that has so many, more are taken for media than are some
            found["file"] += 1
            break
        behind = match.end() if mark is None else match.end(3)
        head = data[behind : behind + _HEAD].decode("latin-1")
        if mark is None:
            url = match.end()
            if _is_media(said.decode("latin-1"), "".join(options.decode("latin-1").lower().split()), head):
                found[words.media_of(said.decode("latin-1").replace("\\", "").lower())] += 1
        elif match.start() != url:
            plain = mark.decode("ascii").replace("\\", "")
            coded = _coded(plain + head)
            if len(coded) >= _LEAST and not begins_as_text(coded):
                found[next((word for magic, word in _MARKS.items() if plain.startswith(magic)), "video")] += 1
    return found


def _is_media(said: str, options: str, head: str) -> bool:
    """Whether a data URL that begins so holds no text."""
    if options.endswith(";base64"):
        coded = _coded(head)
        return len(coded) >= _LEAST_IN_URL and not begins_as_text(coded)
    return not words.is_text_type(said.lower()) and _BEYOND_ASCII.search(head[:64]) is not None


def _coded(text: str) -> str:
    match = _BASE64.match(text)
    return re.sub(r"\\+[rn]|[\\\s>]", "", match[0]) if match is not None else ""
