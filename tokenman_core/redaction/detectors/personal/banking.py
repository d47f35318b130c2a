"""International bank account numbers, by presidio's recogniser: the country's form and the check of ISO 13616."""

import re
from collections.abc import Iterator

from presidio_analyzer.predefined_recognizers import IbanRecognizer

from tokenman_core.redaction.detectors.personal.text import Recognizer, ask
from tokenman_core.redaction.entities import Finding

_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?(?![A-Za-z0-9])"
)


class Ibans:
    def __init__(self) -> None:
        self._recognizer = Recognizer(IbanRecognizer())

    def find(self, plain: str) -> Iterator[Finding]:
        for match in _IBAN.finditer(plain):
            low, upper = match.start(), match[0].upper()
            for start, end in ask(self._recognizer, upper, 0, len(upper), 1.0):
                yield Finding(low + start, low + end, "IBAN_CODE")
