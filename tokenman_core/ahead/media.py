"""How many tokens images, documents and recordings in a request take at most, by what their providers publish.

Only the head of a file is looked at. What cannot be measured (an address, an id) is taken for the largest that there is.
"""

import base64
import binascii
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

_HEAD = 256 * 1024  # characters of base64 in which an image says its size
_PAGE = re.compile(rb"/Type\s*/Page(?![a-zA-Z])")
_DATA_URL = re.compile(r"data:([^;,]*)[^,]*;base64,", re.IGNORECASE)
_DEEPEST = 12  # levels of a body in which media stand


@dataclass(frozen=True)
class Rule:
    """Of one API. `image`: by width and height in pixels; `unknown`: an image of any size; `page`: one of a document."""

    image: Callable[[int, int], int]
    unknown: int
    page: int
    second: int  # of a recording


# https://platform.claude.com/docs/en/build-with-claude/vision: an image is scaled to 1,568 pixels a side at most, newer models take
# 2,576; a token is 750 pixels. …/pdf-support: a page is 1,500 to 3,000 tokens of text, and an image.
def _anthropic(width: int, height: int) -> int:
    scale = min(1.0, 2576 / max(width, height))
    return min(4_784, ceil(width * scale * height * scale / 750)) + 1


# https://platform.openai.com/docs/guides/images-vision: tiles of 512 pixels after scaling to 2,048, the short side to 768: 85, and
# 170 for a tile; for the small models 2,833 and 5,667; or patches of 32 pixels, 1,536 at most, times 2.46 for the smallest.
def _openai(width: int, height: int) -> int:
    scale = min(1.0, 2048 / max(width, height))
    scale *= min(1.0, 768 / (min(width, height) * scale))
    tiles = ceil(width * scale / 512) * ceil(height * scale / 512)
    patches = min(1_536, ceil(width / 32) * ceil(height / 32))
    return max(85 + 170 * tiles, ceil(patches * 2.46))


# https://ai.google.dev/gemini-api/docs/tokens: 258 for a tile of 768 pixels, and for a page of a document; 32 for a second of
# sound, 263 of video. Gemini 3 takes 2,240 at most for an image (…/media-resolution).
def _gemini(width: int, height: int) -> int:
    return min(max(258, 258 * ceil(width / 768) * ceil(height / 768)), 2_240)


RULES: Final[Mapping[str, Rule]] = {
    "anthropic": Rule(_anthropic, 4_785, 3_000 + 4_785, 0),
    "openai": Rule(_openai, 3_779, 3_000 + 3_779, 50),
    "gemini": Rule(_gemini, 2_240, 560, 295),
}
SMALL_OPENAI: Final = 48_169
"""An image for gpt-4o-mini, which counts each as so many more tokens (2,833 and 5,667 for each of eight tiles)."""

_MOST_PAGES = 600  # more no provider takes in one request


NAMES: Final = frozenset({"inlineData", "inline_data"})
KINDS: Final = frozenset({"image", "document", "image_url", "input_image", "file", "input_file", "input_audio"})
"""Where none of these names and types stands, there are no media that are known here."""

NAMES_ELSEWHERE: Final = frozenset(
    {"previous_response_id", "cachedContent", "conversation", "prompt", "file_id", "fileUri", "file_uri"}
)
"""Where none of these names stands, nothing is named that the provider has."""


def tokens(value: Any, dialect: str, model: str = "") -> int:
    """Of all media in a request's JSON."""
    rule = RULES.get(dialect, RULES["openai"])
    small = dialect == "openai" and "4o-mini" in model
    return sum(_cost(each, rule, small) for each in _found(value, 0))


def held_elsewhere(value: Any) -> list[str]:
    """The ids of what a request names and its provider has: files, earlier responses, conversations, stored prompts, caches."""
    found: list[str] = []
    if type(value) is not dict:
        return found
    for name in ("previous_response_id", "cachedContent", "conversation"):
        each = value.get(name)
        each = each.get("id") if type(each) is dict else each
        if type(each) is str and each:
            found.append(each)
    prompt = value.get("prompt")
    if type(prompt) is dict and type(prompt.get("id")) is str:
        found.append(prompt["id"])
    found += _files(value, 0)
    return list(dict.fromkeys(found))


def _files(value: Any, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if type(value) is list:
        for each in value:
            yield from _files(each, depth + 1)
    elif type(value) is dict:
        for name, each in value.items():
            if name in ("file_id", "fileUri", "file_uri") and type(each) is str and each:
                yield each
            elif type(each) in (dict, list) and name not in ("tools", "tool_resources"):
                yield from _files(each, depth + 1)


@dataclass(frozen=True)
class _Media:
    kind: str  # image, document, audio, video
    data: str = ""  # base64, "" where it is elsewhere


def _found(value: Any, depth: int) -> Iterator[_Media]:
    if depth > _DEEPEST:
        return
    if type(value) is list:
        for each in value:
            yield from _found(each, depth + 1)
        return
    if type(value) is not dict:
        return
    kind = value.get("type")
    if kind in ("image", "document") and type(source := value.get("source")) is dict:  # Anthropic
        if source.get("type") in ("base64", "url"):
            yield _Media(kind, source["data"] if type(source.get("data")) is str else "")
            return
    elif kind in ("image_url", "input_image"):  # OpenAI
        url = value.get("image_url")
        url = url.get("url") if type(url) is dict else url
        yield _of_url("image", url)
        return
    elif kind in ("file", "input_file"):
        inner = value.get("file") if type(value.get("file")) is dict else value
        if type(data := inner.get("file_data")) is str:  # type: ignore[union-attr]
            yield _of_url("document", data)
        elif inner.get("file_url"):  # type: ignore[union-attr]
            yield _Media("document")
        return
    elif kind == "input_audio" and type(inner := value.get("input_audio")) is dict:
        yield _Media("audio", inner["data"] if type(inner.get("data")) is str else "")
        return
    for name in ("inlineData", "inline_data"):  # Gemini
        inner = value.get(name)
        if type(inner) is dict:
            mime = str(inner.get("mimeType") or inner.get("mime_type"))
            data = inner.get("data")
            yield _Media(_kind(mime), data if type(data) is str else "")
    for each in value.values():
        if type(each) in (dict, list):
            yield from _found(each, depth + 1)


def _of_url(kind: str, url: Any) -> _Media:
    if type(url) is not str or (match := _DATA_URL.match(url)) is None:
        return _Media(kind, "" if type(url) is not str or "://" in url[:64] else url)
    return _Media(kind, url[match.end() :])


def _kind(mime: str) -> str:
    head = mime.partition("/")[0].lower()
    return head if head in ("image", "audio", "video") else "document"


def _cost(media: _Media, rule: Rule, small: bool) -> int:
    match media.kind:
        case "image":
            if small:
                return SMALL_OPENAI
            size = image_size(_bytes(media.data[:_HEAD]))
            return rule.image(*size) if size else rule.unknown
        case "document":
            data = _bytes(media.data)
            pages = len(_PAGE.findall(data))
            if not pages or b"/ObjStm" in data:  # some pages may stand where only a reader of PDFs finds them
                pages = max(pages, _pages_by_size(media.data))
            return rule.page * min(pages, _MOST_PAGES)
        case _:
            # One kilobyte is a second of speech in the densest coding that is in use (8 kbit/s); unknown: an hour.
            return rule.second * (len(media.data) * 3 // 4 // 1000 + 1 if media.data else 3600)


def _pages_by_size(data: str) -> int:
    """Of a document whose pages cannot be counted: pages of text alone have 2 kB or more, compressed."""
    return max(1, len(data) * 3 // 4 // 2000) if data else 100


def _bytes(data: str) -> bytes:
    whole = data[: len(data) // 4 * 4]
    try:
        return base64.b64decode(whole.translate(_STANDARD), validate=False)
    except (binascii.Error, ValueError):
        return b""


_STANDARD = str.maketrans("-_", "+/")


def image_size(head: bytes) -> tuple[int, int] | None:
    """Width and height as the first bytes of a PNG, JPEG, GIF, WebP or BMP say; None if they do not."""
    try:
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            return _sane(*struct.unpack(">II", head[16:24]))
        if head[:6] in (b"GIF87a", b"GIF89a"):
            return _sane(*struct.unpack("<HH", head[6:10]))
        if head[:2] == b"BM":
            width, height = struct.unpack("<ii", head[18:26])
            return _sane(abs(width), abs(height))
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return _webp(head)
        if head[:2] == b"\xff\xd8":
            return _jpeg(head)
    except (struct.error, IndexError):
        pass
    return None


def _webp(head: bytes) -> tuple[int, int] | None:
    if len(head) < (25 if head[12:16] == b"VP8L" else 30):
        return None
    match head[12:16]:
        case b"VP8 ":
            width, height = struct.unpack("<HH", head[26:30])
            return _sane(width & 0x3FFF, height & 0x3FFF)
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return _sane((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        case b"VP8X":
            return _sane(int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1)
    return None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 < len(head):
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return _sane(width, height)
        else:
            at += 2 + int.from_bytes(head[at + 2 : at + 4], "big")
    return None


def _sane(width: int, height: int) -> tuple[int, int] | None:
    return (width, height) if 0 < width <= 100_000 and 0 < height <= 100_000 else None
