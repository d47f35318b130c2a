"""Secrets that can be told by their own shape: vendors' documented key formats, tokens, private keys, one table a kind.

A rule's `head` is a necessary condition that the gate looks for, its `pattern` the check, its `judge` the last word.
Sources stand in the rows: the vendors' documentation, and the rules of gitleaks (MIT; its notice stands in NOTICE here).
"""

from typing import Final

from tokenman_core.redaction.detectors.rules.building import BUILDING
from tokenman_core.redaction.detectors.rules.clouds import CLOUDS
from tokenman_core.redaction.detectors.rules.identity import IDENTITY
from tokenman_core.redaction.detectors.rules.models import MODELS
from tokenman_core.redaction.detectors.rules.money import MONEY
from tokenman_core.redaction.detectors.rules.private_keys import PRIVATE_KEYS, private_key_end
from tokenman_core.redaction.detectors.rules.rule import Rule
from tokenman_core.redaction.detectors.rules.talking import TALKING
from tokenman_core.redaction.detectors.rules.watching import WATCHING
from tokenman_core.redaction.detectors.rules.working import WORKING

SHAPES: Final[tuple[Rule, ...]] = (
    MODELS + CLOUDS + BUILDING + TALKING + MONEY + WATCHING + WORKING + IDENTITY + PRIVATE_KEYS
)

__all__ = ["SHAPES", "Rule", "private_key_end"]
