"""Personal data: presidio's recognisers on small windows around the candidates, and the vetoes that plain patterns lack.

presidio's engine is not used (it tokenises everything, and its default one downloads a model), nor is its phone recogniser.
Importing presidio takes seconds: make a `Personal` in a worker, never in the proxy.
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

import tldextract
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    EmailRecognizer,
    IbanRecognizer,
    IpRecognizer,
    UsSsnRecognizer,
)

from tokenman_core.redaction.detectors import words
from tokenman_core.redaction.detectors.phones import is_phone
from tokenman_core.redaction.entities import Finding

_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
# A local part as people have it: RFC 5322 allows more (`=`, `/`, `&`), but there it is a key or a path that stands before it.
_LOCAL = re.compile(
    r"[A-Za-z0-9À-ɏ_](?:(?:[A-Za-z0-9À-ɏ!#%*+_~^.-]|(?:(?<=[^A-Za-z0-9'][A-Za-z])|(?<=^[A-Za-z]))'(?=[A-Za-z])){0,62}[A-Za-z0-9À-ɏ_+-])?$"
)
_DOMAIN = re.compile(
    r"[A-Za-z0-9À-ɏ](?:[A-Za-z0-9À-ɏ-]{0,62}[A-Za-z0-9À-ɏ])?(?:\.[A-Za-z0-9À-ɏ](?:[A-Za-z0-9À-ɏ-]{0,62}[A-Za-z0-9À-ɏ])?){1,8}"
)
_USER_INFO = re.compile(r"[a-z0-9]://[^\s/@]*:[^\s/@]*$", re.IGNORECASE)
_FILE_ENDINGS = (
    "png",
    "jpg",
    "jpeg",
    "gif",
    "svg",
    "webp",
    "js",
    "ts",
    "css",
    "json",
    "html",
    "yml",
    "yaml",
    "service",
)
_CHAIN = re.compile(r"(?<![0-9A-Za-z_])(?:\+|\(\+?)?[0-9](?:[ .()\-/]{0,3}[0-9]){6,40}(?![0-9])")
_IPV4 = re.compile(r"(?<![0-9A-Za-z_.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9]|\.[0-9]|[A-Za-z_])")
_IPV6 = re.compile(
    r"(?<![0-9A-Za-z_:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})?(?![0-9A-Za-z_:])"
)
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?(?![A-Za-z0-9])"
)
_CARD = re.compile(r"(?<![0-9])(?<![0-9]\.)(?:[1-9](?:[ -]?[0-9]){11,18}|[3-6][0-9]{3}(?:\.[0-9]{4}){3})(?!\.?[0-9])")
_SSN = re.compile(r"(?<![0-9-])[0-9]{3}([-. ]?)[0-9]{2}\1[0-9]{4}(?![0-9-])")
_PUBLIC_RESOLVERS = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9"})
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})$|5[1-5]\d{14}$|2[2-7]\d{14}$|3[47]\d{13}$|3(?:0[0-5]|[689]\d)\d{11,13}$|35\d{14}$|6(?:011|5\d\d|4[4-9]\d)\d{12}$|62\d{14,17}$"
)
_PORT = re.compile(r":[0-9]{2,5}(?![0-9])|/(?:[89]|[12][0-9]|3[0-2])(?![0-9.])")  # or the length of a network's prefix
_EXAMPLES = ("123-45-6789", "078-05-1120")  # presidio knows that they are nobody's; who types them means them as one
_AMONG_NUMBERS = re.compile(r"[0-9]\.[0-9]+[ ,]$")
_WINDOW = 2  # characters on both sides of a candidate, so that a recogniser's own borders hold


class _OfflineEmail(EmailRecognizer):
    """presidio's e-mail recogniser with the public-suffix list that the package brings: nothing is fetched."""

    _extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

    def validate_result(self, pattern_text: str) -> bool:
        return self._extract(pattern_text.rpartition("@")[2]).top_domain_under_public_suffix != ""


def luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812-1."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + place % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


class Personal:
    """Finds the six kinds of personal data in a text that the gate says may hold them."""

    def __init__(self) -> None:
        self._email = _OfflineEmail()
        self._card = CreditCardRecognizer()
        self._ssn = UsSsnRecognizer()
        self._iban = IbanRecognizer()
        self._ip = IpRecognizer()

    def find(self, text: str, conditions: frozenset[str]) -> Iterator[Finding]:
        """Findings in no order; they may overlap. `conditions`: those of the gate that hold for the text."""
        if "email" in conditions:
            yield from self._emails(text)
        plain = text if text.isascii() else _NOT_ASCII.sub(" ", text)
        if "digits" in conditions:
            yield from self._numbers(text, plain)
        if "iban" in conditions:
            yield from self._ibans(plain)
        if "ipv4" in conditions:
            yield from self._ipv4(text, plain)
        if "ipv6" in conditions:
            yield from self._ipv6(text, plain)

    def _ask(self, recognizer: Any, plain: str, start: int, end: int, score: float) -> Iterator[tuple[int, int]]:
        """The spans that a recogniser sees in a window around a candidate, at or over a score."""
        low = max(0, start - _WINDOW)
        for result in recognizer.analyze(plain[low : end + _WINDOW], recognizer.supported_entities, None):
            if result.score >= score:
                yield low + result.start, low + result.end

    def _emails(self, text: str) -> Iterator[Finding]:
        at = text.find("@")
        while at >= 0:
            domain = _DOMAIN.match(text, at + 1)
            local = _LOCAL.search(text[max(0, at - 64) : at]) if domain else None
            if domain is not None and local is not None:
                start, end = at - len(local[0]), domain.end()
                if self._is_email(text, start, at, end):
                    yield Finding(start, end, "EMAIL_ADDRESS")
            at = text.find("@", at + 1)

    def _is_email(self, text: str, start: int, at: int, end: int) -> bool:
        local, domain = text[start:at], text[at + 1 : end]
        if local == "git" and text[end : end + 1] == ":":
            return False
        if _USER_INFO.search(text[max(0, at - 128) : at]):
            return False  # https://name:password@host is judged as a secret
        ending = domain.rpartition(".")[2].lower()
        if any(True for _ in self._ask(self._email, f"{local}@{domain}", 0, len(local) + 1 + len(domain), 1.0)):
            return True
        # The list does not know every domain (internal, reserved, new): its shape is enough if nothing speaks against it.
        return ending.isalpha() and len(ending) >= 2 and ending not in _FILE_ENDINGS and not domain[0].isdigit()

    def _numbers(self, text: str, plain: str) -> Iterator[Finding]:
        for chain in _CHAIN.finditer(plain):
            start, end = chain.span()
            if self._stands_in_a_word(plain, start, end):
                continue
            taken = False
            for finding in self._cards_and_ssns(text, plain, start, end):
                taken = True
                yield finding
            if not taken and is_phone(text, start, end):
                yield Finding(start, end, "PHONE_NUMBER")

    @staticmethod
    def _stands_in_a_word(plain: str, start: int, end: int) -> bool:
        """Part of an id, a path, a decimal, a hexadecimal or a date with time: nobody's number."""
        ahead = plain[end : end + 2]
        if ahead[:1].isalpha() or ahead[:1] == "_" or (ahead[:1] in ("-", "T", ":") and ahead[1:].isalnum()):
            return True
        behind = plain[max(0, start - 2) : start]
        return behind[-1:] in ("#", "$", "%", "^", "&", "~", "\\", "@") or (
            behind[-1:] in ("-", "/", ".", "=", ":") and behind[:1].isalnum() and behind[-1] in ("-", "/", ".")
        )

    def _cards_and_ssns(self, text: str, plain: str, start: int, end: int) -> Iterator[Finding]:
        for match in _CARD.finditer(plain, start, end):
            digits = re.sub(r"[ .-]", "", match[0])
            if not luhn(digits) or len(set(digits)) < 2:
                continue
            explained = words.near(words.CARD, text, *match.span())
            if (_ISSUERS.match(digits) and not words.named(words.NOT_A_NUMBER_OF_SOMEONE, text, match.start())) or (
                explained and any(True for _ in self._ask(self._card, plain, *match.span(), 1.0))
            ):
                yield Finding(*match.span(), "CREDIT_CARD")
                return
        for match in _SSN.finditer(plain, start, end):
            if words.near(words.SSN, text, *match.span()):
                yield Finding(*match.span(), "US_SSN")
                continue
            if match[1] != "-" or words.named(words.NOT_A_NUMBER_OF_SOMEONE, text, match.start()):
                continue
            area = match[0][:3]
            if area in ("000", "666") or area[0] == "9":
                continue  # never given out (Social Security Administration)
            if match[0] in _EXAMPLES or any(True for _ in self._ask(self._ssn, plain, *match.span(), 0.5)):
                yield Finding(*match.span(), "US_SSN")

    def _ibans(self, plain: str) -> Iterator[Finding]:
        for match in _IBAN.finditer(plain):
            low, upper = match.start(), match[0].upper()
            for start, end in self._ask(self._iban, upper, 0, len(upper), 1.0):
                yield Finding(low + start, low + end, "IBAN_CODE")

    def _ipv4(self, text: str, plain: str) -> Iterator[Finding]:
        for match in _IPV4.finditer(plain):
            value = match[0]
            if value in _PUBLIC_RESOLVERS or not any(True for _ in self._ask(self._ip, plain, *match.span(), 0.6)):
                continue
            address = ipaddress.IPv4Address(value)
            octets = address.packed
            if (
                address.is_loopback
                or address.is_unspecified
                or address.is_multicast
                or octets[0] in (0, 255)
                or (octets[3] == 0 and octets[:1] == b"\xff")
            ):
                continue
            behind = plain[max(0, match.start() - 1) : match.start()]
            if behind in ("-", "^", "~", "v", "V") or plain[max(0, match.start() - 2) : match.start()] in (
                "==",
                ">=",
                "<=",
                "~=",
            ):
                continue
            if words.named(words.ADDRESS, text, match.start()) or _PORT.match(plain, match.end()):
                yield Finding(*match.span(), "IP_ADDRESS")
                continue
            # Versions and sections have small parts, object identifiers begin with 0 to 2, lists of numbers have neighbours.
            if max(octets) < 20 or octets[0] < 3 or _AMONG_NUMBERS.search(plain[max(0, match.start() - 12) : match.start()]):
                continue
            if words.near(words.VERSION, text, match.start(), match.start()):
                continue
            yield Finding(*match.span(), "IP_ADDRESS")

    def _ipv6(self, text: str, plain: str) -> Iterator[Finding]:
        for match in _IPV6.finditer(plain):
            value = match[0]
            groups = [group for group in value.split(":") if group]
            if len(groups) < 3 or all(len(group) <= 2 for group in groups) or not any(char.isdigit() for char in value):
                continue
            try:
                address = ipaddress.IPv6Address(value)
            except ValueError:
                continue
            if not (address.is_loopback or address.is_unspecified or address.is_multicast):
                yield Finding(*match.span(), "IP_ADDRESS")
