"""The kinds of values that redaction knows, what a finding is, and what a placeholder looks like."""

import re
from typing import Final, NamedTuple

from tokenman_core import kinds

PII: Final = kinds.names("pii")
SECRETS: Final = kinds.names("secrets")
NAMES: Final = kinds.names("names")
"""Found only where `redaction.ner` names a model."""
ENTITIES: Final = PII + SECRETS + NAMES

DETECTOR_VERSION: Final = 10
"""Changes whenever the same text may be judged otherwise, so that nothing remembered outlives its judgement."""

PLACEHOLDER: Final = re.compile(r"\[[A-Z][A-Z0-9_]*_[0-9a-f]{12}\]")
"""What stands in a masked text for a value: `[EMAIL_ADDRESS_0123456789ab]`."""


class Finding(NamedTuple):
    """Characters `start` to `end` (exclusive) of a text are a value of kind `entity`; `score`: how sure that is, 0 to 1."""

    start: int
    end: int
    entity: str
    score: float = 1.0


Findings = tuple[Finding, ...]


class Text(NamedTuple):
    """What a detector is given: a text, and the name of the nearest object key it stands under ("" if none)."""

    text: str
    key: str = ""
