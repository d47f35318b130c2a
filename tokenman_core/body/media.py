"""Tells media by their first bytes."""

import re

# The first bytes of media that uploads come in; their types are stated wrongly often enough.
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "document"),
    (b"\x89PNG\r\n\x1a\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF8", "image"),
    (b"RIFF", "image"),
    (b"ID3", "audio"),
    (b"OggS", "audio"),
    (b"fLaC", "audio"),
    (b"PK\x03\x04", "document"),
)
_PDF = re.compile(rb"%PDF-\d\.\d\s")


def media_of(data: bytes) -> str:
    """What the first bytes are the mark of, "" if of nothing. A mark of letters alone may begin a text as well."""
    if data[4:8] == b"ftyp" and 0 in data[:64]:
        return "video"
    word = next((word for magic, word in _MAGIC if data.startswith(magic)), "")
    if data.startswith(b"%PDF-"):
        return word if _PDF.match(data) else ""
    return word if not data[:3].isalnum() or 0 in data[:64] else ""
