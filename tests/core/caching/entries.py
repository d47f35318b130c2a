"""Answers to keep, for the tests of the store."""

import random
from dataclasses import replace
from decimal import Decimal

from tokenman_core.caching.entry import Entry
from tokenman_core.usage import Usage

NOW = 1_000_000.0
KEY = bytes(range(32))
PLANTED = b"a planted sentence that must stand nowhere "
STREAMED = Entry(
    200,
    (
        (b"Content-Type", b"text/event-stream; charset=utf-8"),
        (b"x-request-id", b"req_\xff\x80"),
        (b"x-request-id", b""),
    ),
    True,
    b'data: {"content":"Dear <PERSON_1>"}\n\n' * 30,
    ((0.0, 36), (0.25, 1), (1 / 3, 1043)),
    1.5,
    "openai",
    "gpt-4.1",
    "jane.doe@example.com",
    NOW,
    Usage(10, 20, 3, 4, 5, 6, {"web_searches": 2}),
    Decimal("0.000123400"),
)


def entry(body: bytes = b"{}", **changes) -> Entry:
    return replace(STREAMED, body=body, **changes)


def key_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


def noise(number: int, size: int) -> bytes:
    """Bytes that cannot be compressed, the same for the same number."""
    return random.Random(number).randbytes(size)
