"""The frames between the proxy and its detection worker: a length, what it is, a JSON head, and the texts as they are."""

import struct
from collections.abc import Sequence

import orjson

from tokenman_core.redaction.detectors.options import Custom, Options
from tokenman_core.redaction.entities import Finding, Findings, Text

LENGTH = struct.Struct("!I")
MAX_FRAME = 256 * 1024 * 1024
READY = LENGTH.pack(5) + b"ready"
"""What a worker says when it has everything loaded that its options ask for."""
OPTIONS, TEXTS = b"o", b"t"
"""The first byte of a frame to a worker, behind its length: what the frame is."""


def pack_options(options: Options) -> bytes:
    """What a worker is to make its detectors from: its first frame, and one whenever that changes."""
    body = OPTIONS + orjson.dumps(
        {
            "ner": options.ner,
            "recognizers": [
                {"name": each.name, "pattern": each.pattern, "context": each.context, "score": each.score}
                for each in options.recognizers
            ],
        }
    )
    return LENGTH.pack(len(body)) + body


def unpack_options(body: bytes) -> Options:
    """The options of a frame, without its length and kind."""
    said = orjson.loads(body)
    return Options(
        tuple(Custom(**{**each, "context": tuple(each["context"])}) for each in said["recognizers"]), said["ner"]
    )


def pack_texts(texts: Sequence[Text]) -> list[bytes]:
    """A job as pieces to write: the lengths and keys of its texts, then their UTF-8 (lone surrogates kept)."""
    encoded = [text.encode("utf-8", "surrogatepass") for text, _ in texts]
    keys = [key.encode("utf-8", "surrogatepass") for _, key in texts]
    head = orjson.dumps([(len(data), len(key)) for data, key in zip(encoded, keys, strict=True)])
    body = [piece for pair in zip(encoded, keys, strict=True) for piece in pair]
    size = len(TEXTS) + LENGTH.size + len(head) + sum(map(len, body))
    return [LENGTH.pack(size) + TEXTS + LENGTH.pack(len(head)) + head, *body]


def unpack_texts(frame: bytes | memoryview) -> list[Text]:
    """The texts of a frame, without its length and kind."""
    (size,) = LENGTH.unpack_from(frame)
    at = LENGTH.size + size
    texts: list[Text] = []
    for length, key_length in orjson.loads(frame[LENGTH.size : at]):
        text = str(frame[at : at + length], "utf-8", "surrogatepass")
        key = str(frame[at + length : at + length + key_length], "utf-8", "surrogatepass")
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
