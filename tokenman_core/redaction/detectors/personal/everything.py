"""All kinds of personal data that need no model, as one function from a text to its findings.

presidio's engine is not used (it tokenises everything, and its default one downloads a model), nor is its phone recogniser.
Importing presidio takes seconds: make a `Personal` in a worker, never in the proxy.
"""

import re
from collections.abc import Iterator
from typing import Final

from tokenman_core.redaction.detectors import tables, view
from tokenman_core.redaction.detectors.personal.addresses import PRIVATE, Addresses
from tokenman_core.redaction.detectors.personal.banking import Ibans
from tokenman_core.redaction.detectors.personal.births import Births
from tokenman_core.redaction.detectors.personal.crypto import Crypto
from tokenman_core.redaction.detectors.personal.emails import Emails
from tokenman_core.redaction.detectors.personal.ids import Ids
from tokenman_core.redaction.detectors.personal.numbers import Numbers
from tokenman_core.redaction.detectors.personal.text import plain as without_letters
from tokenman_core.redaction.detectors.words import Spotted, key_topics
from tokenman_core.redaction.entities import Finding

_NEED_NONE: Final = frozenset({"EMAIL_ADDRESS", "IP_ADDRESS", "MAC_ADDRESS", "IBAN_CODE", "CRYPTO", "URL"})
_ENDS_A_CELL: Final = re.compile(
    r"[\w .()/#-]{0,40}?[\\\"'`* \t]{0,8}(?:[,;|\t\]<)]|\r?\n|\\[\\nrt])|[\w .()/#-]{0,40}?[ \t]{2}"
)
_LONGEST_CELL: Final = 64


class Personal:
    """Finds personal data in a text that the gate says may hold some."""

    def __init__(self) -> None:
        self._emails = Emails()
        self._numbers = Numbers()
        self._ibans = Ibans()
        self._addresses = Addresses()
        self._crypto = Crypto()
        self._births = Births()
        self._ids = Ids()

    def find(self, text: str, conditions: frozenset[str], key: str = "") -> Iterator[Finding]:
        """Findings in no order; they may overlap. `conditions`: those of the gate that hold for the text."""
        if "email" in conditions:
            yield from self._emails.find(text)
        yield from self._found(text, conditions, Spotted(text, key))
        shown = view.whole_numbers(text) if "digits" in conditions else None
        if shown is not None:
            spotted = Spotted(shown.text, key, told=True)
            for start, end, entity, score in self._found(shown.text, conditions, spotted):
                yield Finding(*shown.original(start, end), entity, score)

    def _found(self, text: str, conditions: frozenset[str], spotted: Spotted) -> Iterator[Finding]:
        plain = without_letters(text)
        if "digits" in conditions:
            yield from self._numbers.find(text, plain, spotted)
        if "iban" in conditions:
            yield from self._ibans.find(plain)
        if "ipv4" in conditions:
            yield from self._addresses.ipv4(plain, spotted)
        if "ipv6" in conditions:
            yield from self._addresses.ipv6(plain)
        if "mac" in conditions:
            yield from self._addresses.mac(plain, spotted)
        if "crypto" in conditions or "bech32" in conditions:
            yield from self._crypto.find(plain, spotted)
        if "birth-words" in conditions or "DATE_OF_BIRTH" in spotted.key_topics:
            yield from self._births.find(spotted)
        yield from self._ids.find(plain, conditions, spotted)
        if spotted.asked:  # else nothing in it is told by words
            yield from self._in_columns(text, spotted, "ipv4" in conditions and PRIVATE in text)

    def _in_columns(self, text: str, spotted: Spotted, addresses: bool) -> Iterator[Finding]:
        """What the headings of tables tell of the cells below them. `addresses`: whether it has some that a word must tell."""
        told = {
            start
            for topic, places in spotted.hits.items()
            if topic not in _NEED_NONE or (addresses and topic == "IP_ADDRESS")
            for start, end in places
        }
        places = sorted(start for start in told if _ENDS_A_CELL.match(text, start) is not None)
        for low, high, heading, _ in tables.cells(text, places, _tells):
            if high - low <= _LONGEST_CELL:
                cell = text[low:high]
                plain, spot = without_letters(cell), Spotted(cell, heading, told=spotted.told)
                for finder in (
                    self._numbers.find(cell, plain, spot),
                    self._addresses.ipv4(plain, spot),
                    self._births.find(spot),
                    self._ids.find(plain, frozenset(), spot),
                ):
                    for start, end, entity, score in finder:
                        yield Finding(low + start, low + end, entity, score)


def _tells(heading: str) -> bool:
    return bool(key_topics(heading) - _NEED_NONE | key_topics(heading) & {"IP_ADDRESS"})
