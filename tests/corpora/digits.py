"""Check digits as their standards define them, written for the corpora alone: the detectors have their own."""

import hashlib
from collections.abc import Sequence
from random import Random

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def draw(rng: Random, count: int, alphabet: str = "0123456789") -> str:
    return "".join(rng.choice(alphabet) for _ in range(count))


def weighted(digits: str, weights: Sequence[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def luhn(body: str) -> str:
    """ISO/IEC 7812-1, annex B: the digit that goes behind."""
    total = 0
    for place, digit in enumerate(reversed(body)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled // 10 + doubled % 10
    return str(-total % 10)


def iso7064_11_10(body: str) -> str:
    """ISO/IEC 7064, MOD 11,10: German tax ids, Croatian OIBs."""
    rest = 10
    for digit in body:
        rest = ((rest + int(digit)) % 10 or 10) * 2 % 11
    return str((11 - rest) % 10)


def mod97_iban(country: str, bban: str) -> str:
    """ISO 13616 / ISO 7064 MOD 97-10: the two digits behind the country's letters."""
    number = "".join(str(int(char, 36)) for char in bban + country + "00")
    return f"{98 - int(number) % 97:02d}"


_SHIFT = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _dihedral(a: int, b: int) -> int:
    """The product in the dihedral group of order 10."""
    if a < 5:
        return (a + b) % 5 if b < 5 else 5 + (a + b - 5) % 5
    return 5 + (a - 5 - b) % 5 if b < 5 else (a - b) % 5


def verhoeff(body: str) -> str:
    """J. Verhoeff, Error Detecting Decimal Codes (1969): Aadhaar numbers."""
    for check in "0123456789":
        rest = 0
        for place, digit in enumerate(reversed(body + check)):
            value = int(digit)
            for _ in range(place % 8):
                value = _SHIFT[value]
            rest = _dihedral(rest, value)
        if rest == 0:
            return check
    raise AssertionError


def base58check(payload: bytes) -> str:
    data = payload + hashlib.sha256(hashlib.sha256(payload).digest()).digest()[:4]
    number, out = int.from_bytes(data, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        out = BASE58[rest] + out
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + out


def bech32(prefix: str, version: int, program: bytes) -> str:
    """BIP 173 (version 0) and BIP 350 (others)."""
    bits, size, values = 0, 0, [version]
    for byte in program:
        bits, size = bits << 8 | byte, size + 8
        while size >= 5:
            size -= 5
            values.append(bits >> size & 31)
    if size:
        values.append(bits << (5 - size) & 31)
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    check = 1
    for value in [*expanded, *values, 0, 0, 0, 0, 0, 0]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for place, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> place & 1 else 0
    check ^= 1 if version == 0 else 0x2BC830A3
    return prefix + "1" + "".join(BECH32[v] for v in [*values, *(check >> 5 * (5 - i) & 31 for i in range(6))])


_ROUNDS = 24
_MASK = (1 << 64) - 1


def keccak256(data: bytes) -> bytes:
    """Keccak with the padding of its first submission, as Ethereum uses it."""
    lanes = [[0] * 5 for _ in range(5)]
    rate = 136
    padded = bytearray(data + b"\x01" + b"\0" * ((-(len(data) + 1)) % rate))
    padded[-1] |= 0x80
    for at in range(0, len(padded), rate):
        for i in range(rate // 8):
            lanes[i % 5][i // 5] ^= int.from_bytes(padded[at + 8 * i : at + 8 * i + 8], "little")
        register = 1
        for _ in range(_ROUNDS):
            c = [lanes[x][0] ^ lanes[x][1] ^ lanes[x][2] ^ lanes[x][3] ^ lanes[x][4] for x in range(5)]
            d = [c[(x + 4) % 5] ^ _left(c[(x + 1) % 5], 1) for x in range(5)]
            lanes = [[lanes[x][y] ^ d[x] for y in range(5)] for x in range(5)]
            x, y, current = 1, 0, lanes[1][0]
            for t in range(24):
                x, y = y, (2 * x + 3 * y) % 5
                current, lanes[x][y] = lanes[x][y], _left(current, (t + 1) * (t + 2) // 2)
            for y in range(5):
                row = [lanes[x][y] for x in range(5)]
                for x in range(5):
                    lanes[x][y] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5])
            for j in range(7):
                register = (register << 1 ^ (register >> 7) * 0x71) % 256
                if register & 2:
                    lanes[0][0] ^= 1 << ((1 << j) - 1)
    return b"".join(lanes[i % 5][i // 5].to_bytes(8, "little") for i in range(4))


def _left(value: int, count: int) -> int:
    count %= 64
    return (value << count | value >> (64 - count)) & _MASK if count else value


def eip55(address: str) -> str:
    """The capitals that check an Ethereum address (40 hex digits in lower case)."""
    digest = keccak256(address.encode()).hex()
    return "".join(char.upper() if int(digest[i], 16) >= 8 else char for i, char in enumerate(address))
