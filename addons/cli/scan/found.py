"""What a scan has found, as people, programs and code hosts read it."""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from addons.cli.figures import so_many
from addons.cli.scan.files import Skipped
from tokenman_core import __version__
from tokenman_core.ledger.row import clean
from tokenman_core.redaction.scan import Spot

Form = Literal["text", "json", "sarif"]

DOES = {"redact": "masked", "hash": "hashed", "block": "refused", "log": "logged"}
_LEVELS = {"redact": "warning", "hash": "warning", "block": "error", "log": "note"}


class Lines:
    """Offsets of a text as lines and columns, both from 1; a column counts characters."""

    def __init__(self, text: str) -> None:
        self._starts = [0]
        at = text.find("\n")
        while at >= 0:
            self._starts.append(at + 1)
            at = text.find("\n", at + 1)

    def __call__(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


@dataclass(frozen=True)
class Hit:
    """One value, what redaction does with it, and the setting that decides. The placeholder is the same wherever it stands."""

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    entity: str
    action: str
    setting: str
    placeholder: str

    @classmethod
    def of(cls, path: str, lines: Lines, spot: Spot, action: str, setting: str) -> "Hit":
        return cls(path, *lines(spot.start), *lines(spot.end), spot.entity, action, setting, spot.placeholder)


@dataclass
class Found:
    """Of all files. `read`: how many were judged."""

    hits: list[Hit] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    read: int = 0

    @property
    def troubles(self) -> list[Skipped]:
        return [each for each in self.skipped if each.trouble]


def line(hit: Hit) -> str:
    """`notes.txt:3:14: EMAIL_ADDRESS is masked (redaction.mode) [EMAIL_ADDRESS_0123456789ab]`, as compilers and editors have it."""
    where = f"{clean(hit.path)}:{hit.line}:{hit.column}"
    return f"{where}: {hit.entity} is {DOES[hit.action]} ({hit.setting}) {hit.placeholder}"


def summary(found: Found) -> Iterator[str]:
    if found.hits:
        kinds = Counter(hit.entity for hit in found.hits)
        files = len({hit.path for hit in found.hits})
        told = ", ".join(f"{count:,} {entity}" for entity, count in kinds.most_common())
        yield f"{so_many(len(found.hits), 'value')} in {files:,} of {so_many(found.read, 'file')}: {told}"
        yield "A value that is none of these: tokenman allow takes it out of redaction, redaction.allow takes patterns"
    else:
        yield f"Nothing that redaction knows in {so_many(found.read, 'file')}"
    if kinds := Counter(each.reason for each in found.skipped if not each.trouble):
        yield "not read: " + ", ".join(f"{count:,} {reason}" for reason, count in sorted(kinds.items()))


def as_json(found: Found) -> str:
    return json.dumps(
        {
            "version": __version__,
            "files": found.read,
            "findings": [vars(hit) for hit in found.hits],
            "skipped": [{"path": each.path, "reason": each.reason} for each in found.skipped],
        },
        indent=2,
    )


def as_sarif(found: Found) -> str:
    """SARIF 2.1.0 (OASIS), as code hosts and editors show it."""
    kinds = sorted({hit.entity for hit in found.hits})
    rules = [{"id": kind, "shortDescription": {"text": kind}} for kind in kinds]
    troubles = [
        {"level": "error", "message": {"text": f"{each.path}: {each.reason}"}, "locations": [_location(each.path)]}
        for each in found.troubles
    ]
    return json.dumps(
        {
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [
                {
                    "tool": {"driver": {"name": "TokenMan", "version": __version__, "rules": rules}},
                    "columnKind": "unicodeCodePoints",
                    "results": [_result(hit, kinds) for hit in found.hits],
                    "invocations": [{"executionSuccessful": not troubles, "toolExecutionNotifications": troubles}],
                }
            ],
        },
        indent=2,
    )


def _result(hit: Hit, kinds: list[str]) -> dict[str, Any]:
    region = {
        "startLine": hit.line, "startColumn": hit.column, "endLine": hit.end_line, "endColumn": hit.end_column,
    }  # fmt: skip
    return {
        "ruleId": hit.entity,
        "ruleIndex": kinds.index(hit.entity),
        "level": _LEVELS[hit.action],
        "message": {"text": f"A value of type {hit.entity} stands here; redaction has it {DOES[hit.action]}."},
        "locations": [_location(hit.path, region)],
        "partialFingerprints": {"placeholder/v1": hit.placeholder},
    }


def _location(path: str, region: dict[str, int] | None = None) -> dict[str, Any]:
    from urllib.parse import quote

    place: dict[str, Any] = {"artifactLocation": {"uri": quote(path.replace("\\", "/"))}}
    return {"physicalLocation": place | ({"region": region} if region else {})}
