"""What a flight has brought, without its coding: whole, in pieces with their moments, or not at all."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
import zstandard

from tokenman_core.caching.flights import Flight
from tokenman_core.caching.plain import came, is_stream, plain, unpacked
from tokenman_core.clock import ManualClock
from tokenman_core.net import UpstreamError
from tokenman_core.net.coding import CodingError
from tokenman_core.verdicts import Head, Refuse, Trailers

TEXT = b"".join(b"data: %d\n\n" % (number * number) for number in range(500))
PACKED = gzip.compress(TEXT)


def head(coding: bytes = b"", kind: bytes = b"text/event-stream; charset=utf-8") -> Head:
    return Head(200, ((b"Content-Type", kind), *(((b"Content-Encoding", coding),) if coding else ())))


def flight(*parts: Any) -> Flight:
    clock = ManualClock()
    made = Flight(b"k" * 32, None, 1 << 20, clock)
    for part in parts:
        made._add(part)
        clock.advance(0.5)
    return made


async def pieces(*parts: Any) -> Any:
    for part in parts:
        yield part


@pytest.mark.parametrize("coding", [b"", b"gzip", b" GZIP "])
def test_what_came_is_told_with_the_moment_of_each_piece(coding: bytes):
    data = PACKED if coding else TEXT
    found, body, when = came(flight(head(coding), data[:300], data[300:], Trailers(())), 1 << 20)
    assert is_stream(found)
    assert body == TEXT
    assert sum(size for _, size in when) == len(TEXT)
    assert [moment for moment, _ in when][-1] == 1.0


def test_of_a_whole_body_no_moments_are_kept():
    assert came(flight(head(kind=b"application/json"), b"{}"), 0)[1:] == (b"{}", ())


def test_more_than_the_cap_is_not_opened_to_its_end():
    with pytest.raises(UpstreamError) as raised:
        came(flight(head(b"gzip"), gzip.compress(b" " * 10_000_000)), 1 << 20)
    assert raised.value.kind == "cap"


UNREADABLE: dict[str, tuple[Any, ...]] = {
    "no answer": (Refuse(502, "upstream", "no"),),
    "no gzip": (head(b"gzip"), b"no gzip"),
    "no known coding": (head(b"odd"), b"x"),
    "not all of it": (head(b"gzip"), PACKED[:-8]),
}


@pytest.mark.parametrize("parts", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_told(parts: Any):
    with pytest.raises(UpstreamError):
        came(flight(*parts), 0)


async def test_a_stream_is_unpacked_as_it_comes():
    found = [piece async for piece in plain(head(b"gzip"), pieces(PACKED[:-8], PACKED[-8:], Trailers(())))]
    assert b"".join(found) == TEXT
    with pytest.raises(UpstreamError):
        [piece async for piece in plain(head(b"gzip"), pieces(PACKED[:-8]))]


def test_of_what_broke_off_that_can_be_read_which_came():
    it = flight(head(b"gzip"), PACKED[:-8])
    with pytest.raises(CodingError):
        list(unpacked(it))
    it.error = UpstreamError("reset", "cut")
    assert b"".join(unpacked(it)) == TEXT


BOMBS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"br": lambda data: bytes(brotli.compress(data, quality=5)),
    b"zstd": zstandard.compress,
}


async def test_one_piece_that_expands_to_a_hundred_times_its_cap_is_never_there_as_a_whole():
    cap = 1 << 20
    for coding, pack in BOMBS.items():
        bomb = pack(b" " * (100 * cap))
        tracemalloc.start()
        try:
            with pytest.raises(UpstreamError) as raised:
                came(flight(head(coding), bomb), cap)
            assert raised.value.kind == "cap"
            # Whoever follows a stream gets it bit by bit; so does who reads what it used.
            assert sum([len(piece) async for piece in plain(head(coding), pieces(bomb))]) == 100 * cap
            assert max(map(len, unpacked(flight(head(coding), bomb)))) <= cap
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 3 * cap, f"{coding!r}: {peak >> 10} KiB"
