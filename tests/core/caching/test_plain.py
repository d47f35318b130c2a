"""What a flight has brought, without its coding: whole, in pieces with their moments, or not at all."""

import gzip
from typing import Any

import pytest

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
