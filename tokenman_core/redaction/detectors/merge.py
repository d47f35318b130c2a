"""Of findings that overlap one stands, for all that they cover: a value is masked whole or not at all."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping

from tokenman_core.redaction.entities import PLACEHOLDER, SECRETS, Finding, Findings

_CHECKED = ("CREDIT_CARD", "IBAN_CODE", "US_SSN", "EMAIL_ADDRESS")
RANK: Mapping[str, int] = {
    **dict.fromkeys(SECRETS, 1),
    **dict.fromkeys(_CHECKED, 2),
    "CONNECTION_STRING": 0,
    "PRIVATE_KEY": 0,
}
"""How certain a kind is, 0 the most: whole documents, secrets, what check digits prove; all others are guessed (GUESSED)."""
GUESSED = 3


def _order(finding: Finding) -> tuple[int, int, int, str]:
    return finding.start - finding.end, RANK.get(finding.entity, GUESSED), finding.start, finding.entity


def merge(findings: Iterable[Finding]) -> Findings:
    """Longest wins, then the kind that is certain; the winner is widened over all that overlaps it. In order of place."""
    merged: list[Finding] = []
    for finding in sorted(set(findings)):
        if merged and finding.start < merged[-1].end:
            last = merged[-1]
            winner = min(last, finding, key=_order)
            merged[-1] = Finding(last.start, max(last.end, finding.end), winner.entity, winner.score)
        else:
            merged.append(finding)
    return tuple(merged)


class Taken:
    """The placeholders that already stand in a text."""

    def __init__(self, text: str) -> None:
        spans = [match.span() for match in PLACEHOLDER.finditer(text)] if "[" in text else []
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]

    def __bool__(self) -> bool:
        return bool(self._starts)

    def inside(self, start: int, end: int) -> list[tuple[int, int]]:
        """Those that overlap a span, in order of place."""
        low, high = bisect_right(self._ends, start), bisect_left(self._starts, end)
        return list(zip(self._starts[low:high], self._ends[low:high], strict=True))


def settle(text: str, findings: Iterable[Finding]) -> Findings:
    """What of the findings that a policy is concerned with is to be acted on: none overlaps another or a placeholder.

    A policy chooses first: a finding that it leaves alone must not swallow one that it masks.
    """
    return spare_placeholders(text, merge(findings))


def spare_placeholders(text: str, findings: Findings, shortest: int = 4) -> Findings:
    """The findings without the placeholders that already stand in the text, so that masking twice is masking once.

    What is left of a finding beside a placeholder stays one if it has at least `shortest` characters.
    """
    return spare(taken, findings, shortest) if findings and (taken := Taken(text)) else findings


def spare(taken: Taken, findings: Iterable[Finding], shortest: int = 4) -> Findings:
    """The same, where it is known what has been taken."""
    kept: list[Finding] = []
    for start, end, entity, score in findings:
        for low, high in taken.inside(start, end):
            if low - start >= shortest:
                kept.append(Finding(start, low, entity, score))
            start = high
        if end - start >= shortest:
            kept.append(Finding(start, end, entity, score))
    return tuple(kept)
