"""The frames between the proxy and its detection worker: a length, what it is, a JSON head, and the texts as they are."""

import itertools
import struct
from collections.abc import Sequence

import orjson

from tokenman_core.errors import trace
from tokenman_core.redaction.detectors.options import Custom, Options
from tokenman_core.redaction.entities import Finding, Findings, Text

LENGTH = struct.Struct("!I")
MAX_FRAME = 256 * 1024 * 1024
READY = LENGTH.pack(5) + b"ready"
"""What a worker says when it has everything loaded that its options ask for."""
OPTIONS, GATE, TEXTS = b"o", b"g", b"t"
"""The first byte of a frame to a worker, behind its length: what the frame is."""
MORE, LAST = b"+", b"."
"""The first byte of a frame of an answer, behind its length: whether another one follows."""
RAISED = b"!"
"""The same of the only frame of an answer that is none: the detectors raised, and it says where."""
OUTGROWN = 3
"""The exit status of a worker that ends because it has grown too large."""
_PART = 500  # findings in one frame of an answer: so many are taken up in well under 1 ms


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


def pack_gate(database: bytes) -> list[bytes]:
    """A gate's database for a worker, as pieces to write; there is no answer to it."""
    return [LENGTH.pack(len(GATE) + len(database)) + GATE, database]


def pack_findings(found: Sequence[Findings]) -> list[bytes]:
    """An answer as frames, with their lengths: places and kinds, never a value."""
    frames: list[bytes] = []
    part: list[tuple[int, list[tuple[object, ...]]]] = []
    size = 0
    for index, findings in enumerate(found):
        for low in range(0, len(findings), _PART):
            part.append((index, list(map(tuple, findings[low : low + _PART]))))
            size += len(part[-1][1])
            if size >= _PART:
                frames.append(_frame(MORE + orjson.dumps(part)))
                part, size = [], 0
    frames.append(_frame(LAST + orjson.dumps([*part, (len(found), [])])))
    return frames


def pack_raised(error: Exception) -> bytes:
    """In place of an answer: what the detectors raised and where, never a text."""
    return _frame(RAISED + trace(error).encode("utf-8", "replace"))


def _frame(body: bytes) -> bytes:
    return LENGTH.pack(len(body)) + body


class DetectorRaised(Exception):
    """The detectors raised over a text. The message is the type of the error and its place, and holds nothing of the text."""


class Answer:
    """An answer as its frames come in."""

    def __init__(self, texts: int) -> None:
        self.found: list[Findings] = [()] * texts

    def add(self, frame: bytes) -> bool:
        """Take up a frame, without its length. Whether it was the last one. Raises EOFError or ValueError if it is none.

        Raises DetectorRaised if the detectors did not get to an answer.
        """
        if frame[:1] == RAISED:
            raise DetectorRaised(frame[1:].decode("utf-8", "replace"))
        parts = orjson.loads(memoryview(frame)[1:])
        last = frame[:1] == LAST
        if last:
            texts, _ = parts.pop()
            if texts != len(self.found):
                raise EOFError
        elif frame[:1] != MORE:
            raise EOFError
        for index, findings in parts:
            self.found[index] += tuple(itertools.starmap(Finding, findings))
        return last
