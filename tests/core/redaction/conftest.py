"""Detectors for the tests of redaction: made once, in process, one for each gate."""

import time
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


def least_seconds(detector: Detector, text: str, tries: int) -> float:
    """Of processor time that a text takes, the least of some tries: others use this machine too, once in a while the interpreter
    looks for garbage, and RE2 makes its automata as it goes."""
    taken = []
    for _ in range(tries):
        before = time.process_time()
        detector.find(text)
        taken.append(time.process_time() - before)
        if taken[-1] < 0.02:
            break
    return min(taken)


@pytest.fixture(scope="session")
def detectors() -> list[Detector]:
    """One for each gate that this platform has."""
    return [Detector(gate) for gate in gates()]


@pytest.fixture
def finder(detectors: list[Detector]) -> InProcess:
    return InProcess(detectors[0])
