"""How well detectors do on the corpora: recall and precision by kind and by group, and which near misses they touch.

A value counts as found if findings cover all of it, of whatever kind: then it is masked. A finding is right if at least half
of it belongs to planted values. `typed`: the share of the found values that were called by their right kind.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tests.corpora.build import Sample, also
from tokenman_core.config.models import Redaction as Settings
from tokenman_core.redaction.choose import chosen
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.entities import Findings
from tokenman_core.redaction.policy import Policy

Find = Callable[[str], Sequence[tuple[int, int, str]]]
"""From a text to the places and kinds of what would be masked in it."""


def finder(detector: Detector) -> Find:
    """What the default settings act on."""
    policy = Policy(Settings())

    def find(text: str) -> Sequence[tuple[int, int, str]]:
        found: Findings = chosen(text, detector.find(text), lambda each: policy.say(each, False), policy.rank)
        return [(start, end, entity) for start, end, entity, _ in found]

    return find


@dataclass
class Count:
    planted: int = 0
    found: int = 0
    typed: int = 0
    right: int = 0
    wrong: int = 0

    @property
    def recall(self) -> float:
        return self.found / self.planted if self.planted else 1.0

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0


@dataclass
class Report:
    """`by_entity`: precision there is of what was found as that kind. `touched`: (touched, all) near misses by group."""

    by_group: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    by_entity: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    by_form: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    touched: dict[str, tuple[int, int]] = field(default_factory=dict)
    touched_by: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[tuple[str, Sample, Sequence[tuple[int, int, str]]]] = field(default_factory=list)


def measure(samples: Iterable[Sample], find: Find) -> Report:
    report = Report()
    misses: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for sample in samples:
        found = find(sample.text)
        if sample.missed:
            for low, high in sample.missed:
                hit = [each for each in found if each[0] < high and low < each[1]]
                misses[sample.group][0] += bool(hit)
                misses[sample.group][1] += 1
                if hit:
                    report.touched_by[sample.about, hit[0][2]] += 1
                    report.failures.append(("touched", sample, found))
            continue
        _judge(sample, found, report)
    report.touched = {group: (touched, total) for group, (touched, total) in misses.items()}
    return report


def _judge(sample: Sample, found: Sequence[tuple[int, int, str]], report: Report) -> None:
    group = report.by_group[sample.group]
    for value in sample.planted:
        counts = (group, report.by_entity[value.entity], report.by_form[f"{value.entity} {sample.about}".strip()])
        covering = [each for each in found if each[0] < value.end and value.start < each[1]]
        scheme = (
            len("https://") if sample.text.startswith("https://", value.start) else 0
        )  # no part of a secret address
        complete = _covered(value.start + scheme, value.end, covering)
        typed = complete and any(each[2] in also(value.entity) for each in covering)
        for count in counts:
            count.planted += 1
            count.found += complete
            count.typed += typed
        if not complete:
            report.failures.append(("missed", sample, found))
    for low, high, entity in found:
        inside = sum(max(0, min(high, value.end) - max(low, value.start)) for value in sample.planted)
        right = inside * 2 >= high - low
        for count in (group, report.by_entity[entity]):
            count.right += right
            count.wrong += not right
        if not right:
            report.failures.append(("wrong", sample, found))


def _covered(start: int, end: int, found: Sequence[tuple[int, int, str]]) -> bool:
    for low, high, _ in sorted(found):
        if low > start:
            return False
        start = max(start, high)
        if start >= end:
            return True
    return False
