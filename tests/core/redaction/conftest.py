"""Detectors for the tests of redaction: made once, in process, one for each gate."""

from collections.abc import Sequence

import pytest

from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import gates
from tokenman_core.redaction.entities import Findings, Text


class InProcess:
    """A finder without a worker, for tests of what is done with findings."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.asked: list[Text] = []

    async def find(self, texts: Sequence[Text]) -> list[Findings]:
        self.asked += texts
        return [self.detector.find(text, key) for text, key in texts]


@pytest.fixture(scope="session")
def detectors() -> list[Detector]:
    """One for each gate that this platform has."""
    return [Detector(gate) for gate in gates()]


@pytest.fixture
def finder(detectors: list[Detector]) -> InProcess:
    return InProcess(detectors[0])
