"""What the settings add to the detectors: a user's own recognisers, and whether names of people and places are looked for."""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final

NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
"""What a kind of value may be called: it becomes a part of its placeholders."""


@dataclass(frozen=True)
class Custom:
    """A recogniser of a user's own: `pattern` in RE2's syntax (no look-around, no back-references), linear in the text.

    `context`: words of which one, in a neighbourhood of some 60 characters or in the object key, makes a find surer; where
    there are such words and none is near, a find counts half. `score`: of a find without such words, 0 to 1.

    Raises ValueError for a name that no placeholder could bear, and for a score out of range; a pattern is tried by
    `custom.Patterns`.
    """

    name: str
    pattern: str
    context: tuple[str, ...] = ()
    score: float = 0.8

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name for a kind of value; good value: EMPLOYEE_ID")
        if not 0 <= self.score <= 1:
            raise ValueError(f"the score {self.score} is not between 0 and 1; good value: 0.8")


@dataclass(frozen=True)
class Options:
    """Everything that detectors are made from. `ner`: the name of an installed spaCy model, or `off`.

    `digest` names them: a part of the name of everything that is remembered of a text.
    """

    recognizers: tuple[Custom, ...] = ()
    ner: str = "off"
    digest: bytes = field(init=False, repr=False, compare=False, default=b"")

    def __post_init__(self) -> None:
        said = repr((self.recognizers, self.ner)).encode("utf-8", "surrogatepass")
        object.__setattr__(self, "digest", hashlib.blake2b(said, digest_size=16).digest())


PLAIN: Final = Options()
"""The detectors as they come."""
