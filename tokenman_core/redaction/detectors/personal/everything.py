"""All kinds of personal data that need no model, as one function from a text to its findings.

presidio's engine is not used (it tokenises everything, and its default one downloads a model), nor is its phone recogniser.
Importing presidio takes seconds: make a `Personal` in a worker, never in the proxy.
"""

from collections.abc import Iterator

from tokenman_core.redaction.detectors.personal.addresses import Addresses
from tokenman_core.redaction.detectors.personal.banking import Ibans
from tokenman_core.redaction.detectors.personal.births import Births
from tokenman_core.redaction.detectors.personal.crypto import Crypto
from tokenman_core.redaction.detectors.personal.emails import Emails
from tokenman_core.redaction.detectors.personal.ids import Ids
from tokenman_core.redaction.detectors.personal.numbers import Numbers
from tokenman_core.redaction.detectors.personal.text import plain as without_letters
from tokenman_core.redaction.detectors.words import Spotted
from tokenman_core.redaction.entities import Finding


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
        spotted = Spotted(text, key)
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
            yield from self._crypto.find(plain)
        if "birth-words" in conditions or "DATE_OF_BIRTH" in spotted.key_topics:
            yield from self._births.find(spotted)
        yield from self._ids.find(plain, conditions, spotted)
