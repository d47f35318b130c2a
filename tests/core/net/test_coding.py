"""Content codings: whatever was packed comes back, and what lies or swells is stopped."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenman_core.net.coding import CodingError, Decoder, decode, unpack


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def unsized(data: bytes) -> bytes:
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


PACK: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-Gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "bare deflate": ("deflate", bare),
    "br": (" br ", lambda data: bytes(brotli.compress(data, quality=5))),
    "zstd": ("zstd", zstandard.compress),
    "zstd without size": ("zstd", unsized),
    "identity": ("identity", bytes),
    "none": ("", bytes),
}
PACKED = {name: pack for name, pack in PACK.items() if name not in ("identity", "none")}


def kind_of(encoding: str, data: bytes, max_bytes: int = 0) -> str:
    with pytest.raises(CodingError) as caught:
        decode(encoding, data, max_bytes)
    return caught.value.kind


@pytest.mark.parametrize("name", PACK)
@given(data=st.binary(max_size=3000), repeat=st.integers(1, 60), cuts=st.lists(st.integers(1, 5000), max_size=6))
@settings(max_examples=40, deadline=None)
def test_whatever_was_packed_comes_back_in_any_pieces(name: str, data: bytes, repeat: int, cuts: list[int]) -> None:
    encoding, pack = PACK[name]
    whole = data * repeat
    packed = pack(whole)
    decoder, out, at = Decoder(encoding, len(whole)), b"", 0
    for cut in [*cuts, len(packed)]:
        out += decoder.feed(packed[at : at + cut])
        at += cut
    out += decoder.feed(packed[at:])
    assert out + decoder.finish() == whole


@pytest.mark.parametrize("name", PACK)
def test_one_byte_at_a_time_gives_the_same(name: str) -> None:
    encoding, pack = PACK[name]
    whole = b"The same words again, the same words again. " * 50
    decoder = Decoder(encoding, 0)
    assert b"".join(decoder.feed(bytes([byte])) for byte in pack(whole)) + decoder.finish() == whole


@pytest.mark.parametrize("name", PACKED)
def test_large_bodies_come_back(name: str) -> None:
    encoding, pack = PACK[name]
    whole = bytes(range(256)) * 5000 + b"\0" * 3_000_000
    assert decode(encoding, pack(whole), len(whole)) == whole


@pytest.mark.parametrize("name", PACKED)
def test_every_truncation_is_found(name: str) -> None:
    encoding, pack = PACK[name]
    packed = pack(b"some text that is packed, some text that is packed")
    for end in range(1, len(packed)):
        assert kind_of(encoding, packed[:end]) == "corrupt"


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("behind", [b"x", b"garbage behind the end", b"\0" * 8])
def test_bytes_behind_the_end_are_found(name: str, behind: bytes) -> None:
    encoding, pack = PACK[name]
    packed = pack(b"some text")
    assert kind_of(encoding, packed + behind) == "corrupt"
    decoder = Decoder(encoding, 0)
    decoder.feed(packed)
    with pytest.raises(CodingError):
        assert not decoder.feed(behind) + decoder.finish()


@pytest.mark.parametrize("name", PACKED)
@given(data=st.binary(min_size=1, max_size=200))
@settings(max_examples=60, deadline=None)
def test_wild_bytes_end_in_a_coding_error_or_in_a_bounded_body(name: str, data: bytes) -> None:
    encoding, pack = PACK[name]
    for body in (data, pack(b"text")[: len(data) % 12] + data):
        with suppress(CodingError):
            assert len(decode(encoding, body, 1000)) <= 1000


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_a_body_in_clear_that_claims_a_coding_is_corrupt(encoding: str) -> None:
    assert kind_of(encoding, b'{"model": "m", "messages": []}') == "corrupt"


@pytest.mark.parametrize(
    "encoding", ["gzip, gzip", "br, gzip", "gzip,identity", "compress", "snappy", "aes128gcm", "gzip;q=1"]
)
def test_what_nobody_knows_and_what_is_stacked_is_unknown(encoding: str) -> None:
    assert kind_of(encoding, b"x") == "unknown"


@pytest.mark.parametrize("name", PACK)
def test_an_empty_body_is_empty_in_any_coding(name: str) -> None:
    encoding, pack = PACK[name]
    assert decode(encoding, b"", 10) == b"" == decode(encoding, pack(b""), 10)


@pytest.mark.parametrize("name", ["gzip", "zstd", "zstd without size"])
def test_several_members_are_one_body(name: str) -> None:
    encoding, pack = PACK[name]
    assert decode(encoding, pack(b"one ") + pack(b"") + pack(b"two"), 7) == b"one two"
    assert kind_of(encoding, pack(b"one ") + pack(b"two")[:-1]) == "corrupt"


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_members_beyond_number_are_refused(name: str) -> None:
    encoding, pack = PACK[name]
    assert decode(encoding, pack(b"") * 4096, 10) == b""
    assert kind_of(encoding, pack(b"") * 4097, 10) == "corrupt"


def test_zstd_frames_may_stand_between_skippable_ones_and_end_with_a_checksum() -> None:
    skipped = b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"
    checked = zstandard.ZstdCompressor(write_checksum=True).compress(b"text" * 100)
    body = skipped + checked + skipped + skipped + checked
    assert decode("zstd", body, 800) == b"text" * 200
    decoder = Decoder("zstd", 800)
    assert b"".join(decoder.feed(bytes([byte])) for byte in body) + decoder.finish() == b"text" * 200
    assert kind_of("zstd", skipped + checked[:-1] + b"\0") == "corrupt"
    assert kind_of("zstd", skipped[:-1]) == "corrupt"


def gzipped(data: bytes, flags: int, more: bytes) -> bytes:
    """A gzip member with fields in its head (RFC 1952 §2.3.1)."""
    packed = gzip.compress(data)
    return packed[:3] + bytes([flags]) + packed[4:10] + more + packed[10:]


SKIPPED = b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"
ASIDE = [
    ("gzip", gzipped(b"text", 8, b"jane.doe\0")),
    ("gzip", gzipped(b"text", 16, b"jane.doe\0")),
    ("x-gzip", gzipped(b"text", 4, b"\x04\0jane")),
    ("gzip", gzip.compress(b"te") + gzipped(b"xt", 8, b"jane.doe\0")),
    ("gzip", gzip.compress(b"te") + gzip.compress(b"xt")),
    ("zstd", SKIPPED + zstandard.compress(b"text")),
    ("zstd", zstandard.compress(b"text") + SKIPPED),
    ("br", brotli.compress(b"text")),
]


def test_what_a_packed_body_holds_beside_its_bytes_is_told() -> None:
    for encoding, packed in ASIDE:
        assert unpack(encoding, packed, 100) == (b"text", True)
        decoder = Decoder(encoding, 100)
        assert b"".join(decoder.feed(bytes([byte])) for byte in packed) + decoder.finish() == b"text"
        assert decoder.aside
    for name in PACK.keys() - {"br"}:
        encoding, pack = PACK[name]
        assert unpack(encoding, pack(b"text"), 100) == (b"text", False)


@pytest.mark.parametrize("name", PACK)
def test_the_bound_is_exact(name: str) -> None:
    encoding, pack = PACK[name]
    assert decode(encoding, pack(b"x" * 100_000), 100_000) == b"x" * 100_000
    assert kind_of(encoding, pack(b"x" * 100_000), 99_999) == "cap"


@pytest.mark.parametrize("name", PACKED)
def test_a_bomb_is_stopped_before_it_has_grown(name: str) -> None:
    encoding, pack = PACK[name]
    bomb, bound = pack(b"\0" * (64 << 20)), 1 << 20
    decode(encoding, pack(b"warm"), 0)
    tracemalloc.start()
    try:
        assert kind_of(encoding, bomb, bound) == "cap"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < bound + (512 << 10), f"{peak >> 10} KiB"


def test_a_zstd_frame_that_wants_a_huge_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    assert kind_of("zstd", packer.compress(b"x") + packer.flush()) == "corrupt"


def zlib_stream(wbits: int) -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    packer = zlib.compressobj(wbits=wbits)
    return lambda data: packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH), packer.flush


def br_stream() -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    packer = brotli.Compressor()
    return lambda data: packer.process(data) + packer.flush(), packer.finish


def zstd_stream() -> tuple[Callable[[bytes], bytes], Callable[[], bytes]]:
    packer = zstandard.ZstdCompressor().compressobj()
    return lambda data: packer.compress(data) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK), packer.flush


@pytest.mark.parametrize(
    ("encoding", "stream"),
    [
        ("gzip", lambda: zlib_stream(31)), ("deflate", lambda: zlib_stream(15)), ("deflate", lambda: zlib_stream(-15)),
        ("br", br_stream), ("zstd", zstd_stream),
    ],
)  # fmt: skip
def test_what_was_flushed_comes_at_once(
    encoding: str, stream: Callable[[], tuple[Callable[[bytes], bytes], Callable[[], bytes]]]
) -> None:
    pack, end = stream()
    decoder = Decoder(encoding, 0)
    for event in (b"event: a\ndata: 1\n\n", b"event: b\ndata: %s\n\n" % (b"x" * 200_000), b"event: c\n\n"):
        assert decoder.feed(pack(event)) == event
    assert decoder.feed(end()) + decoder.finish() == b""
