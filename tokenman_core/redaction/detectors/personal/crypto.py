"""Wallets' addresses: what carries a check (base58check, bech32) by it, what carries none by its unmistakable form."""

import hashlib
import re
from collections.abc import Iterator
from typing import Any, Final

from presidio_analyzer.predefined_recognizers import CryptoRecognizer

from tokenman_core.redaction.entities import Finding

_BORDER, _END = r"(?<![A-Za-z0-9+_-])", r"(?![A-Za-z0-9+/_-])"
_BASE58: Final = "[1-9A-HJ-NP-Za-km-z]"
_CHECKED = re.compile(rf"{_BORDER}(?:[13LMDTXA]{_BASE58}{{25,34}}|r{_BASE58}{{24,34}}){_END}")
_BECH32 = re.compile(
    rf"{_BORDER}(?:(?:bc|tb|ltc|addr|stake|cosmos|osmo)1[02-9ac-hj-np-z]{{11,110}}|(?:BC|LTC)1[02-9AC-HJ-NP-Z]{{11,87}}){_END}"
)
_ETHEREUM = re.compile(r"(?<![A-Za-z0-9_])0x[0-9a-fA-F]{40}(?![A-Za-z0-9_])")
_MONERO = re.compile(rf"{_BORDER}[48][0-9AB]{_BASE58}{{93}}{_END}")

_BITCOIN_ALPHABET: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_RIPPLE_ALPHABET: Final = "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
_NO_ONES: Final = 4  # kinds of hexadecimal digits that an address of someone has at least


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


class Crypto:
    def __init__(self) -> None:
        recognizer: Any = CryptoRecognizer()
        self._bech32 = recognizer.validate_bech32_address

    def find(self, plain: str) -> Iterator[Finding]:
        for match in _CHECKED.finditer(plain):
            alphabet = _RIPPLE_ALPHABET if match[0][0] == "r" else _BITCOIN_ALPHABET
            if base58check(match[0], alphabet):
                yield Finding(*match.span(), "CRYPTO")
        for match in _BECH32.finditer(plain):
            value = match[0].lower()
            if self._bech32(value)[0]:
                yield Finding(*match.span(), "CRYPTO")
        for match in _ETHEREUM.finditer(plain):
            if len(set(match[0][2:].lower())) >= _NO_ONES:
                yield Finding(*match.span(), "CRYPTO", 0.9)
        for match in _MONERO.finditer(plain):
            yield Finding(*match.span(), "CRYPTO", 0.9)
