"""Text that travels as base64 (bare, or in a `data:` URL): read as text, and written back in the form it had."""

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tokenman_core.body.media import media_of

DATA_URL = re.compile(r"data:([^,;]*)((?:;[^,;]*)*?);[ \t]*base64[ \t]*,", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
# Of one alphabet, whole or in lines of the lengths that writers have (MIME: 76, PEM: 64): anything else is text as well.
_ALPHABET = re.compile(
    r"[A-Za-z0-9+/]++={0,2}\s?|[A-Za-z0-9_-]++={0,2}\s?"
    r"|(?:[A-Za-z0-9+/]{76}\r?\n)++[A-Za-z0-9+/]{0,76}={0,2}\s*+"
    r"|(?:[A-Za-z0-9+/]{64}\r?\n)++[A-Za-z0-9+/]{0,64}={0,2}\s*+"
)


@dataclass(frozen=True)
class Encoded:
    """`prefix` is what stands before the base64; `codec` is how the bytes become text; `url_safe` and `padded` are its style."""

    prefix: str
    text: str
    codec: str
    url_safe: bool
    padded: bool


def is_base64(source: str) -> bool:
    """Whether the string is nothing but base64 (in either alphabet; in lines of equal length)."""
    return _ALPHABET.fullmatch(source) is not None


def begins_as_text(source: str) -> bool:
    """Whether the first bytes of base64 are text, and no mark of media: what it is said to be, it is not."""
    head = "".join(source[:_HEAD].split()).translate(_TO_STANDARD).rstrip("=")
    try:
        data = base64.b64decode(head[: len(head) // 4 * 4], validate=True)
    except (binascii.Error, ValueError):
        return False
    if len(data) < _LEAST_TEXT or media_of(data):
        return False
    return len(data.translate(None, _UNPRINTABLE)) == len(data) or _is_wide_text(data)


def _is_wide_text(data: bytes) -> bool:
    """Whether bytes begin as a text in UTF-16 or UTF-32."""
    data = data[: len(data) // 4 * 4]
    codec = codec_of(data)
    if codec is None or not codec.startswith(("utf-16", "utf-32")):
        return False
    text = data.decode(codec)
    return all(char.isprintable() or char in "\ufeff\t\r\n\f\x1b" for char in text)


def decode(source: str, *, any_text: bool) -> Encoded | None:
    """The text in `source`, or None if it is not base64, or its bytes are media or no text (`codec_of`).

    With `any_text` every byte is taken for text at last (ISO 8859-1): for what says itself that it is text.
    """
    match = DATA_URL.match(source)
    prefix = match.group() if match else ""
    bare = _SPACE.sub("", source[len(prefix) :])
    url_safe = "-" in bare or "_" in bare
    padded = bare.endswith("=") or len(bare) % 4 == 0
    standard = bare.translate(_TO_STANDARD) if url_safe else bare
    try:
        data = base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    for codec in _codecs(data, any_text):
        try:
            return Encoded(prefix, data.decode(codec), codec, url_safe, padded)
        except UnicodeDecodeError:
            continue
    return None


def encode(text: str, like: Encoded) -> str:
    """`text` in the form that `like` had; in UTF-8 where the old encoding lacks a character."""
    try:
        data = text.encode(like.codec)
    except UnicodeEncodeError:
        data = text.encode("utf-8")
    coded = (base64.urlsafe_b64encode if like.url_safe else base64.b64encode)(data).decode("ascii")
    return like.prefix + (coded if like.padded else coded.rstrip("="))


def readable(data: bytes) -> str | None:
    """Bytes of no stated type as text: UTF-8 without NUL, else None."""
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def codec_of(data: bytes) -> str | None:
    """The codec under which a file's bytes are text, None if they are none: by its byte order mark, else by its bytes.

    A decoded mark is the text's first character. The codecs keep every byte: decoded and encoded again, the bytes are the same.
    """
    for codec in _likely_codecs(data):
        try:
            data.decode(codec)
        except UnicodeDecodeError:
            continue
        return codec
    return None


def is_read_whole(text: str, codec: str) -> bool:
    """Whether a file that decodes to this is a text, so that all in it is read; else what stands among its bytes may not be.

    Nothing says of bytes that they are of a codec with one byte a character: they are taken for text in a western language only,
    where few characters are beyond ASCII and those are letters or signs of print. Others are read too, as far as that goes.
    """
    if len(text.translate(_NO_CONTROLS)) < len(text):
        return False
    if codec not in _ONE_BYTE or text.isascii():
        return True
    beyond = _BEYOND.findall(text)
    likely = sum(char.isalpha() or char in _OF_PRINT for char in beyond)
    return len(beyond) * 4 <= len(text) + _FEW and likely * 4 >= len(beyond) * 3


def _likely_codecs(data: bytes) -> Iterator[str]:
    for mark, codec in _MARKS:
        if data.startswith(mark):
            yield codec
    if 0 in data and len(data) >= 8:
        # UTF-16 without a mark: of most languages' text nearly every second byte is zero, and hardly any of the others.
        even, odd = data[::2].count(0), data[1::2].count(0)
        if odd * 4 > len(data) and even * 16 < len(data):
            yield "utf-16-le"
        if even * 4 > len(data) and odd * 16 < len(data):
            yield "utf-16-be"
    controls = len(data) - len(data.translate(None, _CONTROLS))
    if controls <= len(data) // 4 + 1:
        yield "utf-8"
    if controls * 16 <= len(data):  # of compressed or random bytes it is every ninth
        yield "cp1252"
        yield "iso8859-1"


_MARKS = (
    (b"\xff\xfe\0\0", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\n\f\r\x1b"))
_NO_CONTROLS = dict.fromkeys({*range(0x20), *range(0x7F, 0xA0)} - set(b"\b\t\n\v\f\r\x1b") - {0x85})
_ONE_BYTE = frozenset({"cp1252", "iso8859-1"})
_FEW = 16  # characters that a text is longer for this: of some short ones more are beyond ASCII
_OF_PRINT = frozenset("“”„‘’‚–—•…€™£§°·«»\u00a0")
_BEYOND = re.compile(r"[^\x00-\x7f]")
_UNPRINTABLE = bytes({*range(0x20), 0x7F, *range(0xF8, 0x100)} - set(b"\t\n\f\r\x1b"))
_HEAD = 256  # characters that are looked at
_LEAST_TEXT = 8  # bytes
_TO_STANDARD = str.maketrans("-_", "+/")


def _codecs(data: bytes, any_text: bool) -> tuple[str, ...]:
    codec = None if media_of(data) and not any_text else codec_of(data)
    if codec is not None:
        return (codec,)
    return ("utf-8", "iso8859-1") if any_text else ()
