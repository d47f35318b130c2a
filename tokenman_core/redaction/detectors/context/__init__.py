"""Secrets that only their surroundings give away: assignments, headers, addresses, command lines, "the password is …"."""

from typing import Final

from tokenman_core.redaction.detectors.context.addresses import ADDRESSES
from tokenman_core.redaction.detectors.context.assignments import ASSIGNMENT, CALLED, LISTED, WEAK
from tokenman_core.redaction.detectors.context.commands import BASIC_USER, COMMAND_LINE
from tokenman_core.redaction.detectors.context.headers import HEADERS
from tokenman_core.redaction.detectors.context.keys import COLUMN, in_columns, judge_key, tells
from tokenman_core.redaction.detectors.context.neighbours import NEIGHBOURS
from tokenman_core.redaction.detectors.context.pairs import PAIRS
from tokenman_core.redaction.detectors.context.phrases import SEED_PHRASE
from tokenman_core.redaction.detectors.context.spoken import ABROAD, BACKWARDS, BESIDE, CREDENTIALS, PGPASS, PIN, SPOKEN
from tokenman_core.redaction.detectors.rules.rule import Rule

CONTEXT_RULES: Final[tuple[Rule, ...]] = (
    ASSIGNMENT, LISTED, WEAK, CALLED, SPOKEN, ABROAD, BESIDE, BACKWARDS, CREDENTIALS, PIN, PGPASS,
    *HEADERS, *ADDRESSES, *PAIRS, BASIC_USER, COMMAND_LINE, *NEIGHBOURS, COLUMN, SEED_PHRASE,
)  # fmt: skip

__all__ = ["COLUMN", "CONTEXT_RULES", "in_columns", "judge_key", "tells"]
