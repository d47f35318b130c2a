"""A user and a password side by side: as two arguments (`auth=("bob", …)`), and as one in base64 (`.dockercfg`, `.npmrc`)."""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from tokenman_core.redaction.detectors.context import phrases, verdicts
from tokenman_core.redaction.detectors.rules.rule import Rule
from tokenman_core.redaction.entities import Finding

_CALLED: Final = r"(?:auth(?:enticate)?|credentials?(?:\.basic)?|login)"
ARGUMENTS: Final = Rule(
    "user-and-password",
    "PASSWORD",
    ("auth", "credential", "login"),
    rf"{_CALLED}[\"'`]?[ \t]{{0,2}}[:=]?[ \t]{{0,2}}[(\[][ \t]{{0,2}}[\"'][^\"'\r\n]{{1,64}}[\"'],[ \t]{{0,4}}[\"'][^\"'\r\n]",
    re.compile(
        rf"(?i:{_CALLED})[\"'`]?[ \t]{{0,2}}[:=]?[ \t]{{0,2}}[(\[][ \t]{{0,2}}(?P<around>[\"'])[^\"'\r\n]{{1,64}}(?P=around),"
        r"[ \t]{0,4}(?P<quote>[\"'])(?P<quoted>(?:(?!(?P=quote))(?:\\[^\r\n]|[^\r\n\\])){3,256})(?P=quote)[ \t]{0,2}[,)\]]"
    ),
    lambda rule, match: _judge_arguments(rule, match),
    caseless=True,
    source="libraries for HTTP: basic and digest authentication",
)
_ENCODED: Final = r"\\{0,7}[\"'`]?[ \t]{0,4}[:=][ \t]{0,4}(?:[>|][+-]?\s{1,16})?\\{0,7}[\"'`]?"
ENCODED: Final = Rule(
    "user-and-password-encoded",
    "API_KEY",
    ("auth", ".dockerc"),
    r"(?:auth|\.docker(?:cfg|configjson))[\\\"'`]{0,8}[ \t]{0,4}[:=][ \t]{0,4}(?:[>|][+-]?\s{1,16})?[\\\"'`]{0,8}[A-Za-z0-9+/]{6}",
    re.compile(
        rf"(?<![A-Za-z0-9])(?:auth|(?P<file>\.docker(?:cfg|configjson))){_ENCODED}"
        r"(?P<bare>[A-Za-z0-9+/]{6,16384}+={0,2})(?![A-Za-z0-9+/=_-])"
    ),
    lambda rule, match: _judge_encoded(rule, match),
    source="the files of Docker and npm, and Kubernetes' secrets of them",
)

_USER_AND_PASSWORD: Final = re.compile(rb"[\x21-\x39\x3b-\x7e]{1,128}:[\x20-\x7e]{1,1024}")


def _judge_arguments(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    value = match["quoted"]
    if " " in value:
        score = verdicts.GUESS if phrases.is_one(value) or phrases.is_spaced(value) else 0.0
    else:
        score = min(verdicts.password(value, quoted=True), verdicts.LIKELY)
    if score:
        yield Finding(*match.span("quoted"), rule.entity, score)


def _judge_encoded(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    value = match["bare"]
    try:
        held = base64.b64decode(value + "=" * (-len(value) % 4))
    except binascii.Error:
        return
    if b'"auth' in held if match["file"] is not None else _USER_AND_PASSWORD.fullmatch(held) is not None:
        yield Finding(*match.span("bare"), rule.entity, verdicts.SURE)


PAIRS: Final = (ARGUMENTS, ENCODED)
