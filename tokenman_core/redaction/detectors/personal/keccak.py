"""Keccak-256 as Ethereum and Monero have it: the check of their addresses. `hashlib` knows only SHA-3, which pads otherwise.

Of many messages at once, each of which fits in a block of 135 bytes: a lane of the state is one integer that holds that lane of
all of them side by side, 64 bits each, so that a hundred cost hardly more than one (0.3 ms).
"""

from collections.abc import Sequence
from typing import Final

_RATE: Final = 136
_LANE: Final = 8  # bytes


def _constants() -> tuple[int, ...]:
    """What each of the 24 rounds adds (FIPS 202, 3.2.5), from its register of eight bits."""
    made, register = [], 1
    for _ in range(24):
        constant = 0
        for bit in range(7):
            if register & 1:
                constant |= 1 << ((1 << bit) - 1)
            register = (register << 1) ^ (0x171 if register & 0x80 else 0)
        made.append(constant)
    return tuple(made)


def _moves() -> tuple[tuple[int, int, int], ...]:
    """Where each lane goes in rho and pi, and by how many bits it is turned: (from, to, bits); lane x, y is number x + 5y."""
    made, x, y, turn = [(0, 0, 0)], 1, 0, 0
    for step in range(24):
        turn = (turn + step + 1) % 64
        made.append((x + 5 * y, y + 5 * ((2 * x + 3 * y) % 5), turn))
        x, y = y, (2 * x + 3 * y) % 5
    return tuple(made)


_CONSTANTS: Final = _constants()
_MOVES: Final = _moves()


def _block(message: bytes) -> bytes:
    if len(message) >= _RATE:
        raise ValueError(len(message))
    block = bytearray(message.ljust(_RATE, b"\0"))
    block[len(message)] ^= 0x01
    block[-1] ^= 0x80
    return bytes(block)


def keccak256(messages: Sequence[bytes]) -> list[bytes]:
    """The digest of each. Raises ValueError where one is longer than a block."""
    if not messages:
        return []
    blocks = [_block(message) for message in messages]
    lanes = [
        int.from_bytes(b"".join(block[at : at + _LANE] for block in blocks), "little") for at in range(0, _RATE, _LANE)
    ] + [0] * 8
    ones = int.from_bytes((b"\1" + bytes(_LANE - 1)) * len(blocks), "little")  # the last bit of each
    full = ((1 << 64) - 1) * ones
    low = {turn: ((1 << turn) - 1) * ones for turn in (1, *(turn for _, _, turn in _MOVES))}  # the last bits of each
    high = {turn: bits ^ full for turn, bits in low.items()}
    moved = [0] * 25
    for constant in _CONSTANTS:
        columns = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
        mixed = [columns[x - 1] ^ (columns[x - 4] << 1 & high[1] | columns[x - 4] >> 63 & low[1]) for x in range(5)]
        for at, to, turn in _MOVES:
            lane = lanes[at] ^ mixed[at % 5]
            moved[to] = lane << turn & high[turn] | lane >> 64 - turn & low[turn]
        for row in range(0, 25, 5):
            a, b, c, d, e = moved[row : row + 5]
            lanes[row : row + 5] = (
                a ^ (b ^ full) & c, b ^ (c ^ full) & d, c ^ (d ^ full) & e, d ^ (e ^ full) & a, e ^ (a ^ full) & b,
            )  # fmt: skip
        lanes[0] ^= constant * ones
    size = _LANE * len(blocks)
    parts = [lane.to_bytes(size, "little") for lane in lanes[:4]]
    return [b"".join(part[at : at + _LANE] for part in parts) for at in range(0, size, _LANE)]
