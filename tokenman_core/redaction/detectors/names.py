"""Names of people, places and organisations by a language model of spaCy's, an option: only on lines that read as prose.

Of the model only the parts that name things are loaded. Make a `Names` in a worker: it takes seconds, and 100 MB.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from tokenman_core.ner import model_folder
from tokenman_core.redaction.entities import Finding

_KINDS: Final = {
    "PERSON": "PERSON",
    "PER": "PERSON",
    "GPE": "LOCATION",
    "LOC": "LOCATION",
    "FAC": "LOCATION",
    "ORG": "ORGANIZATION",
}
"""What models call them: those for English as OntoNotes does, those for other languages as WikiNER does."""
_PARTS: Final = ("tok2vec", "transformer", "ner")
_SCORE: Final = 0.7

_LONGEST = 2000  # characters of one piece of prose; a longer line is cut at a blank
_BATCH = 64
_LINE = re.compile(r"[^\n]+")
_CAPITAL = re.compile(r"(?=[^\W\d_])[^a-zß-öø-ÿ]")
_CODE = re.compile(r"[{}=;$\\@#`~^_\[\]]|::|->|\b[a-z]+[A-Z]|\w\.\w|\w\(|\*\*")
_STATEMENT = re.compile(
    r"\s*(?:from \S+ import|import|raise|except|class|def|return|elif|else|public|private|protected|static|void|const|let|var|"
    r"#include|package|using|namespace|extern|typedef|struct|enum|interface|export|yield|assert)\b(?!.*[.!?]$)"
)
# A comment, or a part of code or of its documentation.
_ASIDE = re.compile(r" {4}|\t|\s*(?:#|//|\*|/\*|--|\"\"\"|'''|<!--|%|;)")
_LETTERS = re.compile(r"[^\W_]")
_WORD = re.compile(r"[^\W\d_]{2,}")
_NAME = r"[^\W\d_a-z][^\W\d_]+(?:['’-][^\W\d_]+)*"
_FIELD = re.compile(
    r"(?<![^\W\d_])(?i:(?P<part>(?:first|last|given|family|middle)[_ -]?name|surname|forename|vorname|nachname|apellidos?|"
    r"prénom|cognome)"
    r"|(?:full[_ -]?name|display[_ -]?name|name|nombre|nom|nome|naam|imię|customer|client|patient|employee|contact|author|"
    r"owner|manager|assignee|recipient|sender|card[_ -]?holder|account[_ -]?holder|beneficiary|passenger|guest|student|teacher|"
    r"doctor|reviewer|reporter|user|kunde|cliente|paciente|from|to|cc|von|an|de)(?:[_ -]?name)?)"
    r"[\"']?[ \t]{0,3}[:=][ \t]{0,3}[\"']?"
    rf"(?P<name>{_NAME}(?: (?:(?:de|da|van|von|der|den|bin|al|la|le) )?{_NAME}){{0,3}})(?=[\"',;)\n<&]| <|\s*$)"
)
_ALONE = "My name is "
_HEADS = frozenset(
    {
        "dear", "hi", "hello", "hey", "thanks", "thank", "regards", "best", "kind", "sincerely", "cheers", "yours", "subject",
        "re", "tell", "ask",
    }
)  # fmt: skip
_NOT_A_NAME = re.compile(r"[\d_/\\@#{}<>=|`*~^$%&+()\[\]]|^[^A-ZÀ-ÞĀ-Ž\u0370-\U0010ffff]*$")
_SHOUTED = re.compile(r"[A-Z]{2,}(?:[ -][A-Z]+)*")
_CAMEL = re.compile(r"(?<!\bMc)(?<!\bMac)(?<!\bDe)(?<!\bDi)(?<!\bLa)(?<!\bLe)(?<!\bVan)(?<=[a-z])[A-Z]")
_LICENCES = re.compile(
    r"(?i)\b(?:licen[cs]e|licensor|contributors?|software|api|gnu|warranty|merchantability|copyright)\b"
)


class Names:
    """Raises LookupError if the model is not installed; the settings were checked for it, so that is a surprise."""

    def __init__(self, model: str) -> None:
        import spacy

        folder = model_folder(model)
        if folder is None:
            raise LookupError(model)
        parts = spacy.util.load_config(folder / "config.cfg")["nlp"]["pipeline"]
        self._language: Any = spacy.load(folder, exclude=[part for part in parts if part not in _PARTS])

    def find(self, text: str) -> Iterator[Finding]:
        """The names in the text's prose and in fields that are called so. They may overlap."""
        fields = list(_FIELD.finditer(text))
        asked = [(piece.replace("|", ","), (place, aside)) for place, piece, aside in _prose(text)]
        asked += [
            (f"{_ALONE}{field['name']}.", (field.start("name") - len(_ALONE), True))
            for field in fields
            if " " in field["name"]
        ]
        for doc, (place, aside) in self._language.pipe(asked, as_tuples=True, batch_size=_BATCH):
            for span in doc.ents:
                entity = _KINDS.get(span.label_)
                low, high = _trimmed(span.text)
                if entity is not None and _may_be(entity, span.text[low:high], aside):
                    yield Finding(place + span.start_char + low, place + span.start_char + high, entity, _SCORE)
        for field in fields:
            if field["part"] is not None:
                yield Finding(*field.span("name"), "PERSON", _SCORE)


def _may_be(entity: str, name: str, aside: bool) -> bool:
    """Whether a model's find is none of the names that only programs and licences know. `aside`: it stands beside code."""
    if len(name) < 2 or _NOT_A_NAME.search(name) or _SHOUTED.fullmatch(name):
        return False
    if _CAMEL.search(name) or _LICENCES.search(name):
        return False
    words = name.count(" ") + 1
    if entity == "PERSON":
        return words > 1 or not aside
    return not aside and (words > 1 or entity == "LOCATION")


def _prose(text: str) -> Iterator[tuple[int, str, bool]]:
    """The lines that read as prose, each with its place and whether it stands beside code; neighbours are one piece."""
    start = end = -1
    beside = False
    for line in _LINE.finditer(text):
        aside = _ASIDE.match(line[0]) is not None
        prose = reads_as_prose(line[0])
        if start >= 0 and (not prose or aside != beside or line.start() - end > 2):
            yield from _cut(text, start, end, beside)
            start = -1
        if prose:
            start, beside = (line.start(), aside) if start < 0 else (start, beside)
            end = line.end()
    if start >= 0:
        yield from _cut(text, start, end, beside)


def _cut(text: str, start: int, end: int, aside: bool) -> Iterator[tuple[int, str, bool]]:
    while end - start > _LONGEST:
        blank = text.rfind(" ", start, start + _LONGEST)
        middle = blank if blank > start else start + _LONGEST
        yield start, text[start:middle], aside
        start = middle
    yield start, text[start:end], aside


def reads_as_prose(line: str) -> bool:
    """Whether a line is made of words rather than of code, and has a capital letter that a name could begin with."""
    if _CAPITAL.search(line) is None or _STATEMENT.match(line) is not None or _WORD.search(line) is None:
        return False
    return len(_CODE.findall(line)) <= len(line) // 60 and len(_LETTERS.findall(line)) >= 0.6 * len(line.strip())


def _trimmed(value: str) -> tuple[int, int]:
    """Where in a find the name is: without possessives, articles, greetings, and what follows a line's end."""
    end = value.find("\n") if "\n" in value else len(value)
    low = 4 if value[:4].lower() == "the " else 0
    for tail in ("'s", "’s"):
        if value[:end].endswith(tail):
            end -= len(tail)
    first = value[low:end].split(" ")[0].lower().rstrip(",:")
    if first in _HEADS and " " in value[low:end]:
        low = value.index(" ", low) + 1
    while end > low and value[end - 1] in " ,.;:!?\"')(-":
        end -= 1
    while low < end and value[low] in " ,.;:\"'(-":
        low += 1
    return low, end
