"""Texts made to cost time: of every rule, condition and kind its own almost-matches, cut short, run together and over and over.

Each is judged at one length and at four times that: the time may grow as the text does, and not as its square.
"""

import re
import time

import pytest

from tokenman_core.kinds import KINDS, Kind
from tokenman_core.redaction.detectors.custom import Patterns
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import CONDITIONS, RULES, Condition, Hits, Re2Gate, make_gate
from tokenman_core.redaction.detectors.options import Custom
from tokenman_core.redaction.detectors.personal.everything import Personal
from tokenman_core.redaction.detectors.rules import Rule

DETECTOR = Detector(make_gate())
FALLBACK = Detector(Re2Gate())
HEADS = FALLBACK.gate._heads  # type: ignore[attr-defined]
MEGABYTE = 1024 * 1024
SMALL = 2_000
LARGE = 4 * SMALL
_MS_PER_KB = 40.0  # on a machine that others use too: what is dense in almost-matches takes a tenth or a quarter of it
_CLASS = re.compile(r"\[(\^?)((?:\\.|[^\]])+)\]")


def almost(head: str) -> list[str]:
    """What an expression begins with, and pieces of it over and over: each reads on and comes to nothing."""
    plain = re.sub(r"\(\?i\)|\(\?i:|\(\?:|[()^$]", "", head)
    first = plain.split("|")[0]
    literal = _CLASS.sub(lambda match: _one(match), re.sub(r"\{[^}]*\}|[*+?]", "", first)).replace("\\", "")
    return [literal or "a", literal[:-1] + " " if len(literal) > 1 else "a ", literal + literal[-1:] * 8 + "!"]


def _one(match: re.Match[str]) -> str:
    """A character of a class."""
    listed = match[2].replace("\\", "")
    return "~" if match[1] else listed[0]


def seconds(detector: Detector, piece: str, size: int) -> float:
    text = (piece * (size // len(piece) + 1))[:size]
    taken = []
    for _ in range(2):  # others use this machine too
        before = time.process_time()
        detector.find(text)
        taken.append(time.process_time() - before)
        if taken[-1] < 0.02:
            break
    return min(taken)


def hold(detector: Detector, pieces: list[str]) -> None:
    for piece in pieces:
        large = seconds(detector, piece, LARGE)
        if large > 0.05:
            small = seconds(detector, piece, SMALL)
            assert large < 4 * small * 2.5 + 0.05, (piece[:60], small, large)
        assert large < _MS_PER_KB / 1000 * LARGE / 1024, (piece[:60], large)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_what_almost_is_a_secret_costs_time_in_proportion(rule: Rule) -> None:
    hold(DETECTOR, almost(rule.head))


def megabyte(pieces: list[str]) -> str:
    share = MEGABYTE // len(pieces)
    return "".join((piece * (share // len(piece) + 1))[:share] for piece in pieces)


def test_a_megabyte_that_almost_is_a_secret_takes_each_rule_seconds_at_most() -> None:
    for index, rule in enumerate(RULES):
        text = megabyte(almost(rule.head))
        data = text.encode()
        before = time.process_time()
        places = [(index, match.start()) for match in HEADS[index].finditer(data)]
        list(FALLBACK._secrets(text, data, Hits(frozenset(), places)))
        assert time.process_time() - before < 20, rule.id  # 3 is the most, on a machine that others use too


def test_a_megabyte_that_almost_is_somebodys_takes_each_check_seconds_at_most() -> None:
    personal = Personal()
    for condition in CONDITIONS:
        text = megabyte(almost(condition.head))
        before = time.process_time()
        list(personal.find(text, frozenset({condition.id})))
        assert time.process_time() - before < 20, condition.id


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.id)
def test_what_almost_is_somebodys_costs_time_in_proportion(condition: Condition) -> None:
    hold(DETECTOR, almost(condition.head))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_of_value_again_and_again_costs_time_in_proportion(kind: Kind) -> None:
    """The value itself, cut short, run together, and its words without it."""
    words = " ".join(kind.words[:3]) or kind.name.lower()
    example = kind.example
    hold(DETECTOR, [f"{example} ", example[:-1] + " ", example, f"{words} {example[:-1]}x ", f"{words} "])


CHARACTERS = [
    "a", "A", "0", "1", "9", ".", "-", " ", "\n", "@", ":", "/", "\\", "=", "_", "+", "%", "&", "#", '"', "'", "(", "[", "{", "<",
    "é", "值", "\u200b", "\uff11", "\ud800", "\x00",
]  # fmt: skip
NESTED = [
    "1-", "1.", "1 ", "a.", "a@", "@a", "a@b.", "1.1.", ":a", "a:", "::", "0x", "\\n", "\\\\", "\\u00", "%4", "%41",
    "&#", "&#64;", "&amp;", "a=", "=a", '":"', '\\":\\"', "a-b_", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----",
    "eyJ.", "://", "a://b:", "a:b@", "sk-", "key=", "password ", "password=", "password is ", "Bearer ",
    "[EMAIL_ADDRESS_0123456789ab]", "(555) ", "+1 ", "1/1/", "2026-01-01 ", "AB12 ", "ab:cd:", "12:34:", "0000-",
    "A1", "a1b2", "<a ", "{{", "${", 'token: "', "值1",
]  # fmt: skip


@pytest.mark.parametrize("detector", [DETECTOR, FALLBACK], ids=["fastest gate", "fallback"])
@pytest.mark.parametrize("pieces", [CHARACTERS, NESTED], ids=["characters", "separators"])
def test_one_piece_over_and_over_costs_time_in_proportion(detector: Detector, pieces: list[str]) -> None:
    hold(detector, pieces)


@pytest.mark.parametrize(
    "piece", ["a@b.", "1-", "password=x ", "415-555-2671 ", "-----BEGIN RSA PRIVATE KEY-----", '\\"a\\":']
)
def test_much_hostile_text_takes_no_longer_a_kilobyte_than_some(piece: str) -> None:
    small, large = max(seconds(DETECTOR, piece, 40_000), 0.01), seconds(DETECTOR, piece, 240_000)
    assert large < 6 * small * 3, (small, large)  # six times the text; three times for noise


def test_a_users_own_pattern_cannot_cost_more_than_time_in_proportion() -> None:
    patterns = Patterns([Custom("X", r"(a+)+$"), Custom("Y", r"(\w*\s?)*!"), Custom("Z", "(a|aa)+b")])

    def took(size: int) -> float:
        text = "a" * size
        before = time.process_time()
        list(patterns.find(text, text.encode()))
        return time.process_time() - before

    assert took(200_000) < 2


def test_almost_makes_texts_of_every_expression() -> None:
    made = {piece for rule in RULES for piece in almost(rule.head)}
    assert len(made) > len(RULES)
    assert all(made)
    assert almost(r"(?i)sk-[a-z]{4}|x") == ["sk-a", "sk- ", "sk-aaaaaaaaa!"]
