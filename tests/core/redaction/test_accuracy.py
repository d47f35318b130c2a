"""How well redaction does on the corpora: the floors below which no change may bring it. See tests/corpora/README.md."""

import functools
from random import Random

import pytest

from tests.corpora import code
from tests.corpora.build import PARTS, Part, corpus
from tests.corpora.keys import VENDORS
from tests.corpora.measure import Find, Report, finder, measure
from tests.corpora.people import KINDS
from tests.corpora.places import BARE, LABELLED, NAMED, PASSWORDS
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import make_gate

# group: (recall, precision) at least
FLOORS = {
    "checkable": (0.97, 0.99),
    "national": (0.96, 0.99),
    "context": (0.95, 0.99),
    "secrets": (0.97, 0.98),
    "big vendors": (0.995, 0.99),
    "disguised": (0.95, 0.99),
}
# group: the share touched at most
TOUCHED = {"near misses, pii": 0.01, "near misses, secret": 0.04}
ALARMS = 1.0  # in 100 KB of code, over all of it


@functools.cache
def _find() -> Find:
    return finder(Detector(make_gate()))


@functools.cache
def _report(part: Part) -> Report:
    return measure(corpus(part), _find())


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("group", FLOORS)
def test_what_must_be_found_is_found_and_little_else(part: Part, group: str) -> None:
    count = _report(part).by_group[group]
    recall, precision = FLOORS[group]
    assert count.planted > 100
    assert count.recall >= recall, f"{count.found} of {count.planted}"
    assert count.precision >= precision, f"{count.wrong} wrong"


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("group", TOUCHED)
def test_near_misses_are_left_alone(part: Part, group: str) -> None:
    touched, total = _report(part).touched[group]
    assert total > 400
    assert touched / total <= TOUCHED[group], dict(_report(part).touched_by)


def test_code_is_left_alone() -> None:
    size, found = 0, 0
    for texts in code.sources().values():
        characters, alarms = code.alarms(texts, _find())
        size, found = size + characters, found + sum(alarms.values())
    assert size > 2_000_000
    assert found / size * 102_400 <= ALARMS


def test_the_parts_share_no_template_and_no_value() -> None:
    for places in (LABELLED, BARE, NAMED, PASSWORDS):
        assert {place.text for place in places["tune"]}.isdisjoint(place.text for place in places["report"])
    values = [
        {sample.text[planted.start : planted.end] for sample in corpus(part) for planted in sample.planted}
        for part in PARTS
    ]
    shared = values[0] & values[1]
    assert len(shared) < len(values[0]) / 100  # a short e-mail address or date of birth may come twice by chance


def test_every_form_is_drawn_at_random_and_again_from_the_same_seed() -> None:
    for each in (*KINDS, *VENDORS):
        drawn = {each.draw(Random(seed)) for seed in range(20)}
        assert len(drawn) > 10
        assert drawn == {each.draw(Random(seed)) for seed in range(20)}


def test_a_part_of_a_value_is_not_the_value_and_what_is_around_it_is_wrong() -> None:
    (sample,) = [each for each in corpus("tune") if each.place == "bare-0"][:1]
    (value,) = sample.planted
    half = measure([sample], lambda text: [(value.start, value.end - 1, value.entity)])
    assert half.by_group[sample.group].recall == 0
    assert half.by_group[sample.group].precision == 1
    pieces = measure([sample], lambda text: [(value.start, value.start + 2, "X"), (value.start + 2, value.end, "X")])
    assert pieces.by_group[sample.group].recall == 1
    assert pieces.by_group[sample.group].typed == 0
    wide = measure([sample], lambda text: [(value.start, value.end + 1000, value.entity)])
    assert wide.by_group[sample.group].recall == 1
    assert wide.by_group[sample.group].precision == 0
