"""Redaction: what is recognised as personal data or a secret leaves as a placeholder and comes back as itself."""

from tokenman_core.redaction.allowed import Allowed
from tokenman_core.redaction.detection import CALLER, Detection, TextRefused, WorkerUnavailable
from tokenman_core.redaction.egress import Egress
from tokenman_core.redaction.entities import DETECTOR_VERSION, ENTITIES, PII, PLACEHOLDER, SECRETS, Finding, Text
from tokenman_core.redaction.held import Held
from tokenman_core.redaction.labels import Labels
from tokenman_core.redaction.mask import Redactor
from tokenman_core.redaction.masking import Masked
from tokenman_core.redaction.memo import Memo
from tokenman_core.redaction.placeholders import Mapping
from tokenman_core.redaction.restore import Restorer

__all__ = [
    "CALLER",
    "DETECTOR_VERSION",
    "ENTITIES",
    "PII",
    "PLACEHOLDER",
    "SECRETS",
    "Allowed",
    "Detection",
    "Egress",
    "Finding",
    "Held",
    "Labels",
    "Mapping",
    "Masked",
    "Memo",
    "Redactor",
    "Restorer",
    "Text",
    "TextRefused",
    "WorkerUnavailable",
]
