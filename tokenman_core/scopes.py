"""Whom a limit is about: what budgets and rate limits share of scopes and matching."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

Scope = Literal["global", "client", "project", "provider", "model", "session"]
"""`global` counts all calls together, the others for each client, project, … on its own."""

NAMES = ("client", "project", "provider", "model", "session")
LONGEST = 200  # characters of a name that a caller may choose


@dataclass(frozen=True)
class Subject:
    """Whose call it is, and where it goes; "" where nobody says. `provider` and `model` are those of the attempt.

    `shown`: what a scope's calls are counted by, in the words that a record may show, where those are others.
    """

    client: str = ""
    project: str = ""
    provider: str = ""
    model: str = ""
    session: str = ""
    shown: "Callable[[Scope], str] | None" = None


@dataclass(frozen=True)
class Reach:
    """Which calls a limit is about, and what they are counted by. Patterns have `*` and `?`; all of `match` must fit."""

    scope: Scope = "global"
    match: Mapping[str, str] = field(default_factory=dict, hash=False)  # by a name of NAMES

    def takes_in(self, subject: Subject) -> bool:
        return not self.match or all(
            fnmatchcase(getattr(subject, name), pattern) for name, pattern in self.match.items()
        )

    def counted_by(self, subject: Subject) -> str:
        """The name of the counter for this call among those of one limit: text that any store takes."""
        if self.scope == "global":
            return ""
        name: str = getattr(subject, self.scope) if subject.shown is None else subject.shown(self.scope)
        data = name.encode("utf-8", "replace")
        if len(name) <= LONGEST:
            return data.decode()
        return f"{data.decode()[:LONGEST]}~{hashlib.blake2b(data, digest_size=8).hexdigest()}"
