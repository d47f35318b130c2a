"""Private keys: PEM and its relatives, line ends real or written out, cut off or in base64; PuTTY, age, WireGuard, seeds."""

import re
from collections.abc import Iterator
from typing import Final

from tokenman_core.redaction.detectors.rules.rule import UPPER, Rule, key, shape, whole
from tokenman_core.redaction.entities import Finding

_LONGEST: Final = 32 * 1024
_END: Final = re.compile(r"-{4,5} ?END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}")
# What a key's lines hold, their ends as they are or as JSON, YAML and programs write them: indented, quoted, quoted by > or +.
_LINES: Final = re.compile(
    r"(?:[A-Za-z0-9+/=]|[ \t]{0,16}\r?\n[ \t>|*#/]{0,16}|\\{1,4}[nr]|\\\r?\n|[\"'] ?[+.\\]? ?\r?\n? {0,40}[\"']"
    r"|(?:Proc-Type|DEK-Info|Comment|Version|Hash|Subject|X-[A-Za-z-]{1,24}): ?[^\r\n\\]{0,120})*+"
)


def private_key_end(text: str, head_end: int) -> int | None:
    """Where the private key ends whose first line ends at `head_end`; None if no key follows it.

    A key that is cut off goes as far as its base64 does.
    """
    limit = head_end + _LONGEST
    body = _LINES.match(text, head_end, limit)
    reached = body.end() if body is not None else head_end
    letters = sum(map(str.isalnum, text[head_end : min(reached, head_end + 96)]))
    if (end := _END.search(text, reached, min(reached + 64, limit))) is not None:
        return end.end() if end.start() - head_end >= 8 and letters >= 8 else None
    if reached - head_end < 16 or letters < 16:
        return _far_end(text, head_end, limit)
    return head_end + len(text[head_end:reached].rstrip(" \t\r\n\"'>|*#/"))


def _far_end(text: str, head_end: int, limit: int) -> int | None:
    """The end line of a key whose lines are written in a way of their own (numbered, in a diff), if nothing else is between."""
    limit = min(limit, head_end + 8192)
    if (following := text.find("BEGIN", head_end, limit)) >= 0:
        limit = following
    if text.find("END", head_end, limit) < 0 or (end := _END.search(text, head_end, limit)) is None:
        return None
    between = text[head_end : end.start()]
    runs = sum(len(run) for run in re.findall(r"[A-Za-z0-9+/=]{20,}", between))
    return end.end() if runs >= 32 and runs * 2 >= len(between) else None


def _pem(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    if (end := private_key_end(match.string, match.end())) is not None:
        yield Finding(match.start(), end, rule.entity, rule.score)


def _body(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    """Only the body, where the rest of the match tells what it is."""
    for _ in whole(rule, match):
        yield Finding(*match.span("body"), rule.entity, rule.score)


PRIVATE_KEYS: tuple[Rule, ...] = (
    shape(
        "private-key", "private", r"-----? ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY",
        r"-{4,5} ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}",  # how far it goes: private_key_end
        entity="PRIVATE_KEY", source="RFC 7468, RFC 4716, RFC 4880", judge=_pem,
    ),
    shape(
        "private-key-base64", "ls0tls1crudjti",
        r"LS0tLS1CRUdJTi(?:BSU0EgUFJJVkFURSBLRVk|BQUklWQVRFIEtFWS0|BFQyBQUklWQVRFIEtFWS|BPUEVOU1NIIFBSSVZBVEUgS0VZ|BFTkNSWVBURUQg"
        r"|BEU0EgUFJJVkFURSBLRVk|BQR1AgUFJJVkFURSBLRVkg)",
        r"LS0tLS1CRUdJTi(?P<body>[A-Za-z0-9+/]{40,65536}+={0,2})",
        entity="PRIVATE_KEY", source="PEM in base64, as Kubernetes and CI variables keep it",
    ),
    shape(
        "putty-key", "private-lines:", r"Private-Lines: [0-9]", r"Private-Lines: [0-9]{1,3}(?:\r?\n|\\n)"
        r"(?P<body>(?:[A-Za-z0-9+/=]{1,76}(?:\r?\n|\\n|\Z)){1,400}+)",
        entity="PRIVATE_KEY", source="PuTTY: PPK files",
    ),
    key("age", "AGE-SECRET-KEY-1 AGE-SECRET-KEY-PQ-1", UPPER, 50, entity="PRIVATE_KEY", source="age; gitleaks age-secret-key"),
    shape(
        "openssh-raw", "b3blbnnzac1rzxktdjea", r"b3BlbnNzaC1rZXktdjEA",
        r"(?<![A-Za-z0-9+/])(?P<body>b3BlbnNzaC1rZXktdjEA(?:[A-Za-z0-9+/=]|\r?\n|\\n){60,32768}+)",
        entity="PRIVATE_KEY", source="OpenSSH: a private key without its lines",
    ),
    shape(
        "jwk", '"d"', r'"d"[ \t\r\n]{0,4}:[ \t\r\n]{0,4}"[A-Za-z0-9_-]{20}',
        r'"d"[ \t\r\n]{0,4}:[ \t\r\n]{0,4}"(?P<body>[A-Za-z0-9_-]{42,700})"',
        entity="PRIVATE_KEY", source="RFC 7518: the private exponent of a JSON web key", judge=_body,
    ),
)  # fmt: skip
