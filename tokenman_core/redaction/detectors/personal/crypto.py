"""Wallets' addresses: by the check that they carry (base58check, bech32, EIP-55, Monero's); without one beside a word only."""

import hashlib
import re
from collections.abc import Iterator
from typing import Any, Final

from tokenman_core.redaction.detectors.personal.keccak import keccak256
from tokenman_core.redaction.detectors.presidio import CryptoRecognizer
from tokenman_core.redaction.detectors.words import Spotted
from tokenman_core.redaction.entities import Finding

_BORDER, _END = r"(?<![A-Za-z0-9+_-])", r"(?![A-Za-z0-9+/_-])"
_BASE58: Final = "[1-9A-HJ-NP-Za-km-z]"
_CHECKED = re.compile(rf"{_BORDER}(?:[13LMDTXA]{_BASE58}{{25,34}}|r{_BASE58}{{24,34}}){_END}")
_BECH32 = re.compile(
    rf"{_BORDER}(?:(?:bc|tb|ltc|addr|stake|cosmos|osmo)1[02-9ac-hj-np-z]{{11,110}}|(?:BC|LTC)1[02-9AC-HJ-NP-Z]{{11,87}}){_END}"
)
_ETHEREUM = re.compile(r"(?<![A-Za-z0-9_])0x[0-9a-fA-F]{40}(?![A-Za-z0-9_])")
_MONERO = re.compile(rf"{_BORDER}[48][1-9AB]{_BASE58}{{93}}(?:{_BASE58}{{11}})?{_END}")

_BITCOIN_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_RIPPLE_ALPHABET: Final = "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
_NO_ONES: Final = 4  # kinds of hexadecimal digits that an address of someone has at least
_GROUP, _GROUP_BYTES = 11, 8  # Monero writes so many bytes as so many letters; the last of an address are 7 for 5


def base58check(value: str, alphabet: str) -> bool:
    """Whether the last 4 of 25 bytes are the check of the others."""
    number = 0
    for char in value:
        place = alphabet.find(char)
        if place < 0:
            return False
        number = number * 58 + place
    try:
        data = number.to_bytes(25, "big")
    except OverflowError:
        return False
    return hashlib.sha256(hashlib.sha256(data[:21]).digest()).digest()[:4] == data[21:]


def _monero(value: str) -> bytes:
    """The bytes that an address of Monero writes, the last 4 of which are its check; none if it is no such address."""
    made = b""
    for at in range(0, len(value), _GROUP):
        group = value[at : at + _GROUP]
        number = 0
        for char in group:
            number = number * 58 + _BITCOIN_ALPHABET.index(char)
        size = _GROUP_BYTES if len(group) == _GROUP else 5
        if number >> 8 * size:
            return b""
        made += number.to_bytes(size, "big")
    return made


def _bears(hexadecimal: str, digest: bytes) -> bool:
    """Whether its capital letters are those where the hash of it in small ones has high digits (EIP-55)."""
    return all(
        char.isdigit() or char.isupper() == (digit in "89abcdef")
        for char, digit in zip(hexadecimal, digest.hex(), strict=False)
    )


class Crypto:
    def __init__(self) -> None:
        recognizer: Any = CryptoRecognizer()
        self._bech32 = recognizer.validate_bech32_address

    def find(self, plain: str, spotted: Spotted) -> Iterator[Finding]:
        for match in _CHECKED.finditer(plain):
            alphabet = _RIPPLE_ALPHABET if match[0][0] == "r" else _BITCOIN_ALPHABET
            if base58check(match[0], alphabet):
                yield Finding(*match.span(), "CRYPTO")
        for match in _BECH32.finditer(plain):
            value = match[0].lower()
            if self._bech32(value)[0]:
                yield Finding(*match.span(), "CRYPTO")
        yield from _ethereum(plain, spotted)
        written = [(match, data) for match in _MONERO.finditer(plain) if (data := _monero(match[0]))]
        for (match, data), digest in zip(written, keccak256([data[:-4] for _, data in written]), strict=True):
            if data[-4:] == digest[:4]:
                yield Finding(*match.span(), "CRYPTO")


def _ethereum(plain: str, spotted: Spotted) -> Iterator[Finding]:
    """Capital letters among small ones are a check, and what fails it is no address; without them a word has to say so."""
    mixed = []
    for match in _ETHEREUM.finditer(plain):
        value = match[0][2:]
        if len(set(value.lower())) < _NO_ONES:
            continue
        if value != value.lower():
            mixed.append(match)
        elif spotted.near("CRYPTO", *match.span()):
            yield Finding(*match.span(), "CRYPTO", 0.9)
    digests = keccak256([match[0][2:].lower().encode() for match in mixed])
    for match, digest in zip(mixed, digests, strict=True):
        value = match[0][2:]
        if _bears(value, digest):
            yield Finding(*match.span(), "CRYPTO")
        elif value == value.upper() and spotted.near("CRYPTO", *match.span()):
            yield Finding(*match.span(), "CRYPTO", 0.9)
