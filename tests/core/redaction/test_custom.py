"""A user's own recognisers: where they match, how sure that is, and what is no recogniser."""

import pytest

from tokenman_core.redaction.detectors.custom import BadPattern, Patterns
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Re2Gate
from tokenman_core.redaction.detectors.options import Custom, Options
from tokenman_core.redaction.entities import Finding

EMPLOYEE = Custom("EMPLOYEE_ID", r"\bE-\d{6}\b", ("employee", "Mitarbeiter", "社員"), 0.6)


def finds(custom: Custom, text: str, key: str = "") -> list[Finding]:
    return list(Patterns((custom,)).find(text, text.encode("utf-8", "surrogatepass"), key))


@pytest.mark.parametrize(
    ("text", "key", "score"),
    [
        ("employee E-123456", "", 0.8),
        ("EMPLOYEES: E-123456", "", 0.8),
        ("E-123456 is an employee", "", 0.8),
        ("社員番号 E-123456", "", 0.8),
        ("E-123456", "employee_id", 0.8),
        ("part E-123456", "", 0.3),
        ("employee" + " so" * 25 + " E-123456", "", 0.3),
        ("E-123456\nemployee", "", 0.3),
        ("unemployee E-123456", "", 0.3),
    ],
)
def test_a_word_of_context_makes_a_find_surer_and_its_lack_less_sure(text: str, key: str, score: float) -> None:
    (found,) = finds(EMPLOYEE, text, key)
    assert text[found.start : found.end] == "E-123456"
    assert found.score == pytest.approx(score)


def test_without_context_the_score_is_the_recognisers() -> None:
    assert finds(Custom("X", "ab"), "abab") == [Finding(0, 2, "X", 0.8), Finding(2, 4, "X", 0.8)]


def test_places_are_characters() -> None:
    text = "é🙂\ud800 x-1 é x-2"
    assert [text[start:end] for start, end, _, _ in finds(Custom("X", r"x-\d"), text)] == ["x-1", "x-2"]


def test_a_pattern_that_cuts_characters_in_two_breaks_nothing() -> None:
    assert Patterns((Custom("X", r"\C"),)).trips("é".encode())
    assert len(finds(Custom("X", r"\C"), "é")) == 2


def test_a_match_of_no_length_is_no_find() -> None:
    assert finds(Custom("X", r"\b"), "b aa") == []


@pytest.mark.parametrize("pattern", ["(", "(?=a)", r"(a)\1", "a*", "(?:)", "x{1001}"])
def test_what_re2_does_not_take_or_what_matches_nothing_is_refused_by_name(pattern: str) -> None:
    with pytest.raises(BadPattern, match="EMPLOYEE_ID"):
        Patterns((Custom("EMPLOYEE_ID", pattern),))


@pytest.mark.parametrize("name", ["", "lower", "1A", "A-B", "A" * 65, "É"])
def test_a_name_must_fit_into_a_placeholder(name: str) -> None:
    with pytest.raises(ValueError, match="EMPLOYEE_ID"):
        Custom(name, "a")


@pytest.mark.parametrize("score", [-0.1, 1.1])
def test_a_score_is_between_0_and_1(score: float) -> None:
    with pytest.raises(ValueError, match="between"):
        Custom("X", "a", score=score)


def test_the_detector_finds_them_beside_its_own_also_behind_escapes() -> None:
    detector = Detector(Re2Gate(), Options((Custom("EMPLOYEE_ID", r"E-\d{6}"),)))
    text = "E-123456, a@example.com, E\\u002d654321"
    found = [(text[start:end], entity) for start, end, entity, _ in detector.find(text)]
    assert found == [
        ("E-123456", "EMPLOYEE_ID"),
        ("a@example.com", "EMAIL_ADDRESS"),
        ("E\\u002d654321", "EMPLOYEE_ID"),
    ]
