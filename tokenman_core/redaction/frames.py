"""The frames between the proxy and its detection worker: a length, a JSON head, and the texts as they are."""

import struct
from collections.abc import Sequence

import orjson

from tokenman_core.redaction.entities import Finding, Findings, Text

LENGTH = struct.Struct("!I")
MAX_FRAME = 256 * 1024 * 1024
READY = LENGTH.pack(5) + b"ready"
"""What a worker says when it has everything loaded."""


def pack_texts(texts: Sequence[Text]) -> list[bytes]:
    """A job as pieces to write: the lengths and keys of its texts, then their UTF-8 (lone surrogates kept)."""
    encoded = [text.encode("utf-8", "surrogatepass") for text, _ in texts]
    keys = [key.encode("utf-8", "surrogatepass") for _, key in texts]
    head = orjson.dumps([(len(data), len(key)) for data, key in zip(encoded, keys, strict=True)])
    body = [piece for pair in zip(encoded, keys, strict=True) for piece in pair]
    size = LENGTH.size + len(head) + sum(map(len, body))
    return [LENGTH.pack(size) + LENGTH.pack(len(head)) + head, *body]


def unpack_texts(frame: bytes) -> list[Text]:
    """The texts of a frame, without its length."""
    (size,) = LENGTH.unpack_from(frame)
    at = LENGTH.size + size
    texts: list[Text] = []
    for length, key_length in orjson.loads(frame[LENGTH.size : at]):
        text = frame[at : at + length].decode("utf-8", "surrogatepass")
        key = frame[at + length : at + length + key_length].decode("utf-8", "surrogatepass")
        texts.append(Text(text, key))
        at += length + key_length
    return texts


def pack_findings(found: Sequence[Findings]) -> bytes:
    """An answer, with its length: places and kinds, never a value."""
    body = orjson.dumps([[tuple(finding) for finding in findings] for findings in found])
    return LENGTH.pack(len(body)) + body


def unpack_findings(frame: bytes) -> list[Findings]:
    """The findings of a frame, without its length."""
    return [tuple(Finding(*finding) for finding in findings) for findings in orjson.loads(frame)]
