"""Which findings of a text are acted on: a policy has a say about each, and one value is masked whole or not at all."""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, assert_never

from tokenman_core.redaction.detectors.merge import Taken, spare
from tokenman_core.redaction.entities import Finding, Findings

Say = Literal["mask", "block", "log", "off", "allow", "doubt"]
"""What becomes of a finding: masked or hashed, the call refused, only counted, its kind left alone, its value let through, not
believed (below its threshold).
"""

Rank = Callable[[str], int]
"""How certain a kind is, 0 the most; PROVEN: by its check digits, or by a pattern of the user's own."""

PROVEN = 2
_GUESSED = "PASSWORD"  # told by what stands around it: what is in it may as well be a value of another kind

# In these other values stand, each its own: leaving one of them alone says nothing about what is in it.
HOLDERS = frozenset(
    {"URL", "CONNECTION_STRING", "PERSON", "LOCATION", "ORGANIZATION", "NRP", "DATE_TIME", "STREET_ADDRESS"}
)
_ACTED = frozenset({"mask", "block", "log"})
_STEP = 32  # groups between two pauses
_MANY = 16  # findings that hang together: beyond that each is held against the longest of a kind alone


def choose(
    text: str, findings: Iterable[Finding], say: Callable[[Finding], Say], rank: Rank
) -> Iterator[Finding | None]:
    """What is to be acted on, disjoint and in order of place; None now and then, where one may pause.

    - Of findings that overlap one stands for all that they cover: the longest, then the most certain. One that is only
      logged never stands for one that is masked.
    - What is part of another value, of a kind that is more certain or the same, is no value of its own, also where that one
      is left alone: a phone number inside a card is never masked alone. URLs, connection strings and the like hold other
      values; and a kind that is left alone leaves room for another reading of the same characters, unless it is proven.
    - A call is blocked by what would be masked: by a finding that is no part of another value.
    - Placeholders that stand in the text already are spared.
    """
    taken = Taken(text)
    for number, group in enumerate(_groups(sorted(findings))):
        if number % _STEP == 0:
            yield None
        if len(group) == 1:  # most are: this is cheap
            if say(group[0]) in _ACTED:
                yield from spare(taken, group) if taken else group
            continue
        said: dict[Finding, Say] = {}
        for at, each in enumerate(group):
            if at % _STEP == _STEP - 1:
                yield None
            said[each] = say(each)
        others, ranks = _others(group, said), {entity: rank(entity) for entity in {each.entity for each in group}}
        own: list[Finding] = []
        for at, each in enumerate(group):
            if at % _STEP == _STEP - 1:
                yield None
            if not any(_part(each, other, said[other], ranks) for other in others):
                own.append(each)
        settled = _merged([each for each in own if said[each] in ("mask", "block")], said, rank)
        logged = [each for each in own if said[each] == "log"]
        if logged:
            logged = [each for each in logged if not any(_overlap(each, other) for other in settled)]
            settled = sorted([*settled, *_merged(logged, said, rank)])
        yield from spare(taken, settled) if taken else settled


def chosen(text: str, findings: Iterable[Finding], say: Callable[[Finding], Say], rank: Rank) -> Findings:
    """The same at once, for a text that is not long."""
    return tuple(finding for finding in choose(text, findings, say, rank) if finding is not None)


def _groups(findings: list[Finding]) -> Iterator[list[Finding]]:
    """Findings that hang together by overlapping, each once; they come sorted."""
    group: list[Finding] = []
    end = -1
    for finding in findings:
        if finding[0] >= end:
            if group:
                yield group
            group = [finding]
            end = finding[1]
        elif finding != group[-1]:
            group.append(finding)
            if finding[1] > end:
                end = finding[1]
    if group:
        yield group


def _others(group: list[Finding], said: dict[Finding, Say]) -> list[Finding]:
    """Those that another one may be a part of."""
    others = [each for each in group if each.entity not in HOLDERS]
    if len(others) <= _MANY:
        return others
    longest: dict[tuple[str, Say], Finding] = {}
    for each in others:
        kind = (each.entity, said[each])
        if kind not in longest or _length(each) > _length(longest[kind]):
            longest[kind] = each
    return list(longest.values())


def _part(finding: Finding, other: Finding, say: Say, ranks: dict[str, int]) -> bool:
    """Whether a finding is only a piece of the other, or a misreading of it."""
    if finding == other or not _overlap(finding, other):
        return False
    mine, its = ranks[finding.entity], ranks[other.entity]
    inside = other.start <= finding.start and finding.end <= other.end
    longer = _length(other) > _length(finding)
    if inside and finding.entity == other.entity:
        return longer and say != "doubt"
    if its >= mine or (finding.start <= other.start and other.end <= finding.end and not inside):
        return False
    match say:
        case "mask" | "block":
            return inside
        case "allow":
            return True
        case "off" | "log":
            return its == PROVEN or (longer and other.entity != _GUESSED)
        case "doubt":
            return inside and its == PROVEN
        case _:
            assert_never(say)


def _length(finding: Finding) -> int:
    return finding.end - finding.start


def _overlap(one: Finding, other: Finding) -> bool:
    return one.start < other.end and other.start < one.end


def _merged(findings: list[Finding], said: dict[Finding, Say], rank: Rank) -> list[Finding]:
    """One for each run of findings that overlap: it has the winner's kind, or that of one that blocks."""
    merged: list[Finding] = []
    for group in _groups(findings):
        winner = min(group, key=lambda it: (said[it] != "block", -_length(it), rank(it.entity), it.start, it.entity))
        merged.append(Finding(group[0].start, max(each.end for each in group), winner.entity, winner.score))
    return merged
