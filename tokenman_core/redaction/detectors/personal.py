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
from tokenman_core.redaction.detectors.phones import AMERICAN, is_phone
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
_CHAIN = re.compile(r"(?<![0-9A-Za-z_])(?:\+|\(\+?)?[0-9](?:[ .()\-/]{0,3}[0-9]){6,}+")
_IPV4 = re.compile(r"(?<![0-9A-Za-z_.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9]|\.[0-9]|[A-Za-z_])")
_IPV6 = re.compile(
    r"(?<![0-9A-Za-z_:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})?(?![0-9A-Za-z_:])"
)
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?(?![A-Za-z0-9])"
)
_GROUP = re.compile(r"[0-9]+")
_NEXT_GROUP = re.compile(r"(?<= )\(?[0-9]")
_SEPARATOR = re.compile(r"[ .-]")
_CARDS = tuple(
    re.compile(r"(?<![0-9])(?<![0-9]\.)" + shape + r"(?!\.?[0-9])")
    for shape in (
        r"[1-9][0-9]{11,18}",
        r"[2-6][0-9]{3}([ .-])[0-9]{4}\1[0-9]{4}\1[0-9]{1,4}",
        r"3[0-9]{3}([ .-])[0-9]{6}\1[0-9]{4,5}",
        r"[1-9](?:[ -]?[0-9]){11,18}",
    )
)
_LEAST_PHONE = 7
_SSN = re.compile(r"(?<![0-9])[0-9]{3}([-. ]?)[0-9]{2}\1[0-9]{4}(?![0-9-])")
_PUBLIC_RESOLVERS = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9"})
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})$|5[1-5]\d{14}$|2[2-7]\d{14}$|3[47]\d{13}$|3(?:0[0-5]|[689]\d)\d{11,13}$|35\d{14}$|6(?:011|5\d\d|4[4-9]\d)\d{12}$|62\d{14,17}$"
)
_PORT = re.compile(r":[0-9]{2,5}(?![0-9])|/(?:[89]|[12][0-9]|3[0-2])(?![0-9.])")  # or the length of a network's prefix
_EXAMPLES = ("123-45-6789", "078-05-1120")  # presidio knows that they are nobody's; who types them means them as one
_AMONG_NUMBERS = re.compile(r"[^0-9.][0-9]*\.[0-9]+[ ,]$")  # a decimal before it
_GLUE = ("#", "$", "%", "^", "&", "~", "\\", "@")  # before a number they make it something else
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


def _begins_in_a_word(plain: str, start: int) -> bool:
    """Whether a number that begins here is the rest of an id, a path or a decimal."""
    behind = plain[max(0, start - 2) : start]
    return behind[-1:] in _GLUE or (behind[-1:] in ("-", "/", ".") and behind[:1].isalnum())


def _ends_in_a_word(plain: str, end: int) -> bool:
    """Whether a number that ends here goes on as an id, a hexadecimal or a date with time."""
    ahead = plain[end : end + 2]
    return ahead[:1].isalpha() or ahead[:1] == "_" or (ahead[:1] in ("-", "T", ":") and ahead[1:].isalnum())


def _stands_in_a_word(plain: str, start: int, end: int) -> bool:
    """Nobody's number."""
    return _begins_in_a_word(plain, start) or _ends_in_a_word(plain, end)


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
                if text[start - 1 : start] == "\\" and text[start] in "nrt" and at - start > 1:
                    start += 1  # a line's end as JSON writes it
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
        """Numbers stand in chains of digits and separators; what is no card and no SSN of a chain may be a phone."""
        for chain in _CHAIN.finditer(plain):
            at, end = chain.span()
            for finding in self._checked(text, plain, at, end):
                yield from self._phones(text, plain, at, finding.start)
                yield finding
                at = finding.end
            yield from self._phones(text, plain, at, end)

    def _checked(self, text: str, plain: str, at: int, end: int) -> Iterator[Finding]:
        """The cards and SSNs of a chain. Each begins where a group of digits does."""
        while (group := _GROUP.search(plain, at, end)) is not None:
            finding = self._card_at(text, plain, group.start(), end) or self._ssn_at(text, plain, group.start(), end)
            at = group.end()
            if finding is not None:
                yield finding
                at = finding.end

    def _card_at(self, text: str, plain: str, start: int, end: int) -> Finding | None:
        for shape in _CARDS:
            match = shape.match(plain, start, end)
            if match is None or _stands_in_a_word(plain, *match.span()):
                continue
            digits = _SEPARATOR.sub("", match[0])
            if not luhn(digits) or len(set(digits)) < 2:
                continue
            known = _ISSUERS.match(digits) and not words.nobodys(text, start)
            if known or (
                words.near(words.CARD, text, *match.span())
                and any(True for _ in self._ask(self._card, plain, *match.span(), 1.0))
            ):
                return Finding(*match.span(), "CREDIT_CARD")
        return None

    def _ssn_at(self, text: str, plain: str, start: int, end: int) -> Finding | None:
        match = _SSN.match(plain, start, end)
        if match is None or _stands_in_a_word(plain, *match.span()):
            return None
        finding = Finding(*match.span(), "US_SSN")
        if words.near(words.SSN, text, *match.span()):
            return finding
        if match[1] != "-" or words.nobodys(text, start):
            return None
        if match[0][:3] in ("000", "666") or match[0][0] == "9":
            return None  # never given out (Social Security Administration)
        if match[0] in _EXAMPLES or any(True for _ in self._ask(self._ssn, plain, *match.span(), 0.5)):
            return finding
        return None

    def _phones(self, text: str, plain: str, start: int, end: int) -> Iterator[Finding]:
        """The phone that a chain, or what is left of one, is; else those in it that can be told by their form."""
        piece = plain[start:end].rstrip(" .()-/")
        end = start + len(piece)
        start += len(piece) - len(piece.lstrip(" .)-/"))
        if _begins_in_a_word(plain, start):  # its first digits belong to a word, but others follow
            group = _GROUP.search(plain, start, end)
            rest = _NEXT_GROUP.search(plain, group.end(), end) if group else None
            if rest is None:
                return
            start = rest.start()
        if end - start < _LEAST_PHONE or _ends_in_a_word(plain, end):
            return
        if is_phone(text, start, end):
            yield Finding(start, end, "PHONE_NUMBER")
            return
        for match in AMERICAN.finditer(plain, start, end):
            if is_phone(text, *match.span()):
                yield Finding(*match.span(), "PHONE_NUMBER")

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
            if (
                max(octets) < 20
                or octets[0] < 3
                or _AMONG_NUMBERS.search(plain[max(0, match.start() - 16) : match.start()])
            ):
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
