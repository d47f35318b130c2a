"""A kept answer as a row of the file: header and body, compressed and closed; and back, or damaged."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson
import zstandard

from tokenman_core.caching.cipher import Seal
from tokenman_core.caching.entry import Damaged, Entry
from tokenman_core.secret import derive
from tokenman_core.usage import Usage

FORM = 1
"""Of the bytes of a row; higher in a version that writes them otherwise."""

MOST_BYTES = 32 * 1024**2
"""Of an answer with its header, before it is compressed; a larger one is not kept."""

_LENGTH = 4  # bytes that say how long the header is
_LABEL = 16


@dataclass(frozen=True)
class Row:
    """`model` and `project` are keyed hashes (16 bytes): what they are called may be somebody's name."""

    key: bytes
    model: bytes
    project: bytes
    stored: float
    sealed: bytes = field(repr=False)


class Packing:
    """`key` is derived from the installation's secret. Of one thread."""

    def __init__(self, seal: Seal, key: bytes) -> None:
        self._seal = seal
        self._models, self._projects = derive(key, "labels of models"), derive(key, "labels of projects")

    def model(self, name: str) -> bytes:
        return _label(self._models, name)

    def project(self, name: str) -> bytes:
        return _label(self._projects, name)

    def row(self, key: bytes, entry: Entry) -> Row:
        """Raises ValueError and TypeError for an entry that cannot be kept."""
        model, project = self.model(entry.model), self.project(entry.project)
        sealed = self._seal.close(pack(entry), _about(key, model, project))
        return Row(key, model, project, entry.stored, sealed)

    def entry(self, row: Row) -> Entry:
        """Raises Damaged."""
        return unpack(self._seal.open(row.sealed, _about(row.key, row.model, row.project)))


def _label(key: bytes, name: str) -> bytes:
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), key=key, digest_size=_LABEL).digest()


def _about(key: bytes, model: bytes, project: bytes) -> bytes:
    """So that a row cannot be moved to another question, or be hidden from a purge."""
    return b"tokenman answer\0" + FORM.to_bytes(2, "big") + key + model + project


def pack(entry: Entry) -> bytes:
    """Raises ValueError and TypeError for an entry that cannot be written, or is too large."""
    header = _header(entry)
    if len(header) + len(entry.body) > MOST_BYTES:
        raise ValueError("an answer that is too large")
    return zstandard.ZstdCompressor().compress(len(header).to_bytes(_LENGTH, "big") + header + entry.body)


def unpack(data: bytes) -> Entry:
    """Raises Damaged for all that `pack` would not have written."""
    try:
        if not _LENGTH <= zstandard.get_frame_parameters(data).content_size <= _LENGTH + MOST_BYTES:
            raise Damaged  # before as much is made room for
        plain = zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False)
        end = _LENGTH + int.from_bytes(plain[:_LENGTH], "big")
        header = plain[_LENGTH:end]
        entry = _entry(orjson.loads(header), plain[end:])
        if _header(entry) != header:  # a field too many, a number that is written otherwise: it is not ours
            raise Damaged
    except Damaged:
        raise
    except Exception:  # each of these libraries has its own words for what is odd
        raise Damaged from None
    return entry


def _header(entry: Entry) -> bytes:
    numbers = [entry.seconds, entry.stored, *(at for at, _ in entry.pieces)]
    if not all(map(math.isfinite, numbers)) or (entry.cost is not None and not entry.cost.is_finite()):
        raise ValueError("a number that is none")
    usage = entry.usage
    return orjson.dumps(
        {
            "status": entry.status,
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in entry.headers],
            "stream": entry.stream,
            "pieces": [[float(at), size] for at, size in entry.pieces],
            "seconds": float(entry.seconds),
            "provider": entry.provider,
            "model": entry.model,
            "project": entry.project,
            "stored": float(entry.stored),
            "usage": {name: getattr(usage, name) for name in _COUNTS} | {"parts": dict(usage.parts)},
            "cost": None if entry.cost is None else str(entry.cost),
        }
    )


_COUNTS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "reasoning")


def _entry(header: Mapping[str, Any], body: bytes) -> Entry:
    """Each value is made what it should be; where that changed it, it shows when it is written again."""
    usage = header["usage"]
    counts: dict[str, Any] = {name: int(usage[name]) for name in _COUNTS}
    return Entry(
        int(header["status"]),
        tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in header["headers"]),
        bool(header["stream"]),
        body,
        tuple((float(at), int(size)) for at, size in header["pieces"]),
        float(header["seconds"]),
        str(header["provider"]),
        str(header["model"]),
        str(header["project"]),
        float(header["stored"]),
        Usage(**counts, parts={str(name): int(count) for name, count in usage["parts"].items()}),
        None if header["cost"] is None else Decimal(header["cost"]),
    )
