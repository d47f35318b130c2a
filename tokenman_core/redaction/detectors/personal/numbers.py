"""Chains of digits: payment cards and US social security numbers by their check, and of the rest those that are phones."""

import re
from collections.abc import Iterator

from tokenman_core.redaction.detectors import words
from tokenman_core.redaction.detectors.personal.checks import luhn
from tokenman_core.redaction.detectors.personal.phones import AMERICAN, leading, score
from tokenman_core.redaction.detectors.personal.text import (
    Recognizer,
    begins_in_a_word,
    ends_in_a_word,
    says,
)
from tokenman_core.redaction.detectors.presidio import UsSsnRecognizer
from tokenman_core.redaction.detectors.words import Spotted
from tokenman_core.redaction.entities import Finding

# Its first character stands first, for then those that begin nothing cost least: a digit, a `+` behind anything but digits, or a
# bracket. An underscore before it is part of a name, unless that begins there, as where Markdown stresses a number.
_CHAIN = re.compile(
    r"[0-9+(](?:(?<![0-9A-Za-z_].)|(?<=_.)(?<![0-9A-Za-z_]_.)|(?<=[A-Za-z]\+))(?:(?<=[0-9])|(?:(?<=\+)|(?<=\()\+?)[0-9])"
    r"(?:[ .()\-/]{0,3}[0-9]){6,}+"
)
_NOT_DIGIT = re.compile(r"[^0-9]+")
_GROUP = re.compile(r"[0-9]+")
_NEXT_GROUP = re.compile(r"(?<= )\(?[0-9]")
_SEPARATOR = re.compile(r"[ .-]")
_CARDS = tuple(
    re.compile(r"(?<![0-9])(?<![0-9]\.)" + shape + r"(?!\.?[0-9])")
    for shape in (
        r"[1-9][0-9]{11,18}",
        r"[2-6][0-9]{3}([ .-])[0-9]{4}\1[0-9]{4}\1[0-9]{4}\1[0-9]{1,3}",
        r"[2-6][0-9]{3}([ .-])[0-9]{4}\1[0-9]{4}\1[0-9]{1,4}",
        r"3[0-9]{3}([ .-])[0-9]{6}\1[0-9]{4,5}",
        r"[1-9](?:[ -]?[0-9]){11,18}",
    )
)
_IN_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?:[ -][0-9A-Z]{4}){0,7}[ -]\Z")
_LONGEST_IBAN = 40
_GROUPED = _CARDS[1:4]  # as cards are written, and hardly anything else
# Where a chain is several values: columns that blanks set apart, and a date beside a number.
_APART = re.compile(r" {2,}|(?<![0-9])(?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9](?![0-9])")
_LEAST_PHONE = 7
_LEAST_CARD, _LEAST_CHECKED = 12, 9  # digits of a card, and of what has a check at all
_SSN = re.compile(r"(?<![0-9])[0-9]{3}([-. ]?)[0-9]{2}\1[0-9]{4}(?![0-9-])")
# ISO/IEC 7812 prefixes of the card networks, with the lengths that they use.
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})$|5[1-5]\d{14}$|2[2-7]\d{14}$|3[47]\d{13}$|3(?:0[0-5]|[689]\d)\d{11,13}$|35\d{14}$|6(?:011|5\d\d|4[4-9]\d)\d{12}$|62\d{14,17}$"
)
# What a network's cards may look like beside a word that says so, the older and the national ones included: Maestro with 12 to 19
# digits, Visa with 13, JCB with 15 (2131, 1800), UATP with 15, Troy, RuPay, Uzcard.
_ANNOUNCED = re.compile(
    r"5[06-8]\d{10,12}$|6\d{11,13}$|4\d{12}$|3\d{13}$|1\d{13,15}$|2131\d{11}$|2[2-7]\d{14}$|[3-9]\d{14,15}$|[3-6]\d{16,18}$"
)
_EXAMPLES = ("123-45-6789", "078-05-1120")  # presidio knows that they are nobody's; who types them means them as one


class Numbers:
    def __init__(self) -> None:
        self._ssn = Recognizer(UsSsnRecognizer())

    def find(self, text: str, plain: str, spotted: Spotted) -> Iterator[Finding]:
        """What is no card and no SSN of a chain may be a phone."""
        for chain in _CHAIN.finditer(plain):
            at, end = chain.span()
            for finding in self._checked(plain, spotted, at, end):
                yield from _phones(text, plain, spotted, at, finding.start)
                yield finding
                at = finding.end
            yield from _phones(text, plain, spotted, at, end)

    def _checked(self, plain: str, spotted: Spotted, at: int, end: int) -> Iterator[Finding]:
        """The cards and SSNs of a chain. Each begins where a group of digits does."""
        digits, found = len(_NOT_DIGIT.sub("", plain[at:end])), at
        while (group := _GROUP.search(plain, at, end)) is not None and digits >= _LEAST_CHECKED:
            start = group.start()
            beside = start == found + 1  # a sign stands between it and the one before
            finding = self._card_at(plain, spotted, start, end, beside) if digits >= _LEAST_CARD else None
            finding = finding or self._ssn_at(plain, spotted, start, end, beside)
            last, at = at, group.end()
            if finding is not None:
                yield finding
                at = found = finding.end
            digits -= len(_NOT_DIGIT.sub("", plain[last:at]))

    def _card_at(self, plain: str, spotted: Spotted, start: int, end: int, beside: bool) -> Finding | None:
        for shape in _CARDS:
            match = shape.match(plain, start, end)
            if match is None or ends_in_a_word(plain, match.end()) or (not beside and begins_in_a_word(plain, start)):
                continue
            digits = _SEPARATOR.sub("", match[0])
            if not luhn(digits) or len(set(digits)) < 2 or (match[0][4] == plain[start - 1 : start] == "."):
                continue
            if _IN_IBAN.search(plain, max(0, start - _LONGEST_IBAN), start) is not None:
                continue  # some of an account's groups, the check digits of which are wrong
            if leading(plain, start - 1, match.end()) == match.end() and not spotted.near("CREDIT_CARD", *match.span()):
                continue  # a telephone number with a `+`, one in ten of which passes
            grouped = shape in _GROUPED
            issued = _ISSUERS.match(digits) is not None and (grouped or not words.nobodys(spotted.text, start, "["))
            if issued and not spotted.told:
                return Finding(*match.span(), "CREDIT_CARD")
            if (issued or _ANNOUNCED.match(digits)) and spotted.near("CREDIT_CARD", *match.span()):
                return Finding(*match.span(), "CREDIT_CARD")
        return None

    def _ssn_at(self, plain: str, spotted: Spotted, start: int, end: int, beside: bool) -> Finding | None:
        match = _SSN.match(plain, start, end)
        if match is None or ends_in_a_word(plain, match.end()) or (not beside and begins_in_a_word(plain, start)):
            return None
        if match[0][:3] in ("000", "666") or match[0][0] == "9":
            return None  # never given out (Social Security Administration)
        finding = Finding(*match.span(), "US_SSN")
        if spotted.near("US_SSN", *match.span()):
            return finding
        if match[1] != "-" or words.nobodys(spotted.text, start, "["):
            return None
        if match[0] in _EXAMPLES or says(self._ssn, plain, *match.span(), 0.5):
            return finding._replace(score=0.85)
        return None


def _phones(text: str, plain: str, spotted: Spotted, start: int, end: int) -> Iterator[Finding]:
    """The phones of a chain, or of what is left of one, without what only stands beside them."""
    if end - start < _LEAST_PHONE:
        return
    at = start
    for apart in _APART.finditer(plain, start, end):
        yield from _phone(text, plain, spotted, at, apart.start())
        at = apart.end()
    yield from _phone(text, plain, spotted, at, end)


def _phone(text: str, plain: str, spotted: Spotted, start: int, end: int) -> Iterator[Finding]:
    """The phone that a piece of a chain is; else those in it that can be told by their form."""
    piece = plain[start:end].rstrip(" .()-/")
    end = start + len(piece)
    start += len(piece) - len(piece.lstrip(" .)-/"))
    if piece.startswith("(") and ")" not in piece:  # it opens more than an area code
        start += 1
    international = plain.startswith("+", start)
    if not international and begins_in_a_word(plain, start):  # its first digits belong to a word, but others follow
        group = _GROUP.search(plain, start, end)
        rest = _NEXT_GROUP.search(plain, group.end(), end) if group else None
        if rest is None:
            return
        start = rest.start()
    if end - start < _LEAST_PHONE:
        return
    if last := leading(plain, start, end):
        yield Finding(start, last, "PHONE_NUMBER")
        start = last
    elif ends_in_a_word(plain, end):
        return
    elif international and plain[start - 1 : start].isalpha():
        return  # a sum (`i+1234567890`)
    elif sure := score(text, start, end, spotted):
        yield Finding(start, end, "PHONE_NUMBER", sure)
        return
    for match in AMERICAN.finditer(plain, start, end):
        if sure := score(text, *match.span(), spotted):
            yield Finding(*match.span(), "PHONE_NUMBER", sure)
