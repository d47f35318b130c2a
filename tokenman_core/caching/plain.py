"""What a provider says, as it comes or as it came, without its coding: never more of it at once than is looked at."""

import asyncio
from collections.abc import AsyncGenerator, Iterator

from tokenman_core import headers as h
from tokenman_core.caching.flights import Flight
from tokenman_core.net import UpstreamError
from tokenman_core.net.coding import CodingError, Decoder
from tokenman_core.outward import steps
from tokenman_core.verdicts import Head, Part, Refuse

_MOST_PIECES = 2000  # of which it is kept when they came


async def plain(head: Head, parts: AsyncGenerator[Part | Refuse]) -> AsyncGenerator[bytes]:
    """The rest of a provider's stream without its coding, its trailers left out. Raises UpstreamError for what cannot be read."""
    try:
        decoder = _decoder(head)
        async for part in parts:
            if not isinstance(part, bytes):
                continue
            for number, piece in enumerate(steps(part, decoder)):
                if number:
                    await asyncio.sleep(0)
                yield piece
        if decoder is not None:
            decoder.finish()
    except CodingError as e:
        raise UpstreamError("protocol", "it is in a coding that cannot be read") from e


def is_stream(head: Head) -> bool:
    """Whether what follows is an event stream."""
    return (h.first(head.headers, b"content-type") or b"").lower().startswith(b"text/event-stream")


def came(flight: Flight, cap: int) -> tuple[Head, bytes, tuple[tuple[float, int], ...]]:
    """What a flight has brought: head, body without its coding, and when (seconds after the head) how much of it came.

    Raises UpstreamError as `plain` does.
    """
    first, begun = flight.parts[0], flight.moments[0]
    if not isinstance(first, Head):
        raise UpstreamError("protocol", "there is no answer")
    body, pieces = bytearray(), list[tuple[float, int]]()
    try:
        decoder = _decoder(first)
        for part, moment in zip(flight.parts, flight.moments, strict=True):
            before = len(body)
            for piece in steps(part, decoder) if isinstance(part, bytes) else ():
                body += piece
                if cap and len(body) > cap:  # before the next one is made: a few bytes may expand to gigabytes
                    raise UpstreamError("cap", "it is larger than what is kept")
            if len(body) > before and len(pieces) < _MOST_PIECES:
                pieces.append((round(moment - begun, 4), len(body) - before))
        if decoder is not None:
            decoder.finish()
    except CodingError as e:
        raise UpstreamError("protocol", "it is in a coding that cannot be read") from e
    return first, bytes(body), tuple(pieces) if is_stream(first) else ()


def unpacked(flight: Flight) -> Iterator[bytes]:
    """The body that came, in pieces of some KB, whatever a few bytes expand to. Raises CodingError."""
    decoder = _decoder(flight.parts[0])
    for part in flight.parts:
        if isinstance(part, bytes):
            yield from steps(part, decoder)
    if decoder is not None and flight.error is None:
        decoder.finish()


def _decoder(first: Part | Refuse) -> Decoder | None:
    said = h.first(first.headers, b"content-encoding") if isinstance(first, Head) else None
    coding = (said or b"identity").strip().lower().decode("latin-1")
    return Decoder(coding, 0) if coding != "identity" else None
