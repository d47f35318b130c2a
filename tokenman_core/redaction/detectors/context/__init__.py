"""Secrets that only their surroundings give away: assignments, headers, addresses, command lines, "the password is …"."""

import re
from typing import Final

from tokenman_core.redaction.detectors.context import names, verdicts
from tokenman_core.redaction.detectors.context.addresses import ADDRESSES
from tokenman_core.redaction.detectors.context.assignments import ASSIGNMENT, CALLED, LISTED, WEAK
from tokenman_core.redaction.detectors.context.commands import COMMAND_LINE
from tokenman_core.redaction.detectors.context.headers import HEADERS
from tokenman_core.redaction.detectors.context.neighbours import NEIGHBOURS
from tokenman_core.redaction.detectors.context.spoken import ABROAD, BACKWARDS, BESIDE, CREDENTIALS, PGPASS, PIN, SPOKEN
from tokenman_core.redaction.detectors.likely import is_placeholder, is_strong
from tokenman_core.redaction.detectors.rules.rule import Rule
from tokenman_core.redaction.entities import Finding

CONTEXT_RULES: Final[tuple[Rule, ...]] = (
    ASSIGNMENT, LISTED, WEAK, CALLED, SPOKEN, ABROAD, BESIDE, BACKWARDS, CREDENTIALS, PIN, PGPASS,
    *HEADERS, *ADDRESSES, COMMAND_LINE, *NEIGHBOURS,
)  # fmt: skip

_TELLING_KEY: Final = re.compile(
    rf"(?i)^(?:.*[-_.])?(?:(?P<pass>pass|pw|{'|'.join(map(re.escape, names.PASSWORDS))})|{names.KEYS}|secret[-_.]?key|sessionid"
    rf"|session_id|cookie)(?P<many>s?)$"
)
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def judge_key(key: str, text: str) -> Finding | None:
    """The secret that a whole text is because of the object key it stands under (`{"password": "…"}`); None if it is none."""
    if not 4 <= len(text) <= 4096 or (match := _telling(key)) is None:
        return None
    value = text.strip()
    start = len(text) - len(text.lstrip())
    if len(value) < 4 or is_placeholder(value):
        return None
    if match["pass"] is not None:
        if " " in value:
            score = verdicts.GUESS if len(value) <= 64 and is_strong(value) else 0.0
        else:
            score = verdicts.password(value, quoted=True, plain=0.0 if match["many"] else verdicts.GUESS)
    else:
        score = verdicts.token(value, quoted=True) if " " not in value else 0.0
        if not score and "secret" in key.lower() and " " not in value and any(map(str.isdigit, value)):
            score = min(
                verdicts.password(value, quoted=True, plain=verdicts.GUESS), verdicts.LIKELY
            )  # one that a person made up
    return (
        Finding(start, start + len(value), "PASSWORD" if match["pass"] is not None else "API_KEY", score)
        if score
        else None
    )


def _telling(key: str) -> re.Match[str] | None:
    name = _CAMEL.sub("_", key) if len(key) <= 128 else ""
    match = _TELLING_KEY.match(name)
    return match if match is not None and not names.is_harmless(name, len(name) - len(name.split("_")[-1])) else None


def tells(key: str) -> bool:
    """Whether a text under this key has to be looked at even if nothing in it trips the gate."""
    return bool(key) and _telling(key) is not None


__all__ = ["CONTEXT_RULES", "judge_key", "tells"]
