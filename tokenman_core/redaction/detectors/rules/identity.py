"""Tokens that prove who one is: signed tokens, sessions, identity providers."""

import re
from collections.abc import Iterator

from tokenman_core.redaction.detectors.rules.rule import (
    ALNUM,
    DOTTED,
    START,
    WORD,
    Rule,
    key,
    shape,
)  # fmt: skip
from tokenman_core.redaction.entities import Finding


def _judge_bitlocker(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    groups = [int(group) for group in match[0].split("-")]
    if all(group % 11 == 0 for group in groups) and len(set(groups)) > 1:
        yield Finding(*match.span(), rule.entity, rule.score)


IDENTITY: tuple[Rule, ...] = (
    shape(
        "jwt",
        "eyj",
        r"eyJ[A-Za-z0-9_-]{8}",
        r"(?<![A-Za-z0-9_-])(?P<body>eyJ[A-Za-z0-9_-]{8,16384}+={0,2}\.(?:eyJ[A-Za-z0-9_-]{6,16384}+={0,2}(?:\.[A-Za-z0-9_-]{0,4096}+)?"
        r"|[A-Za-z0-9_-]{0,1024}+\.[A-Za-z0-9_-]{8,64}+\.[A-Za-z0-9_-]{8,16384}+\.[A-Za-z0-9_-]{16,64}+))",
        entity="JWT",
        source="RFC 7519, signed (RFC 7515) and encrypted (RFC 7516)",
    ),
    shape(
        "jwt-base64",
        "zxlk",
        r"ZXlK[A-Za-z0-9+/]{16}",
        START
        + r"(?P<body>ZXlK(?:aGJHY2lPaU|MGVYQWlPaU|cmFXUWlPaU|amRIa2lPaU|bGJtTWlPaU|aGNI)[A-Za-z0-9+/]{60,}+={0,2})",
        entity="JWT",
        source="RFC 7519 in base64 once more; gitleaks jwt-base64",
    ),
    key(
        "paseto",
        "v1.local. v2.local. v3.local. v4.local. v1.public. v2.public. v3.public. v4.public.",
        DOTTED,
        60,
        entity="JWT",
        source="PASETO",
    ),
    shape(
        "okta",
        "00",
        r"00[A-Za-z0-9_-]{40}",
        r"(?<![A-Za-z0-9_+/.-])00(?P<body>(?=[A-Z0-9_-]{0,30}[a-z])(?=[a-z0-9_-]{0,30}[A-Z])(?=[A-Za-z_-]{0,30}[0-9])[A-Za-z0-9_-]{40})(?![A-Za-z0-9_+/=-]|\.[A-Za-z0-9])",
        entropy=4.3,
        score=0.8,
        source="Okta: API tokens; gitleaks",
    ),
    shape(
        "otpauth",
        "otpauth://",
        r"otpauth://[th]otp/",
        r"otpauth://[th]otp/(?P<body>[^\s\"'<>`]{0,256}?[?&]secret=[A-Za-z2-7]{10,128}[^\s\"'<>`]{0,256})",
        entropy=3.0,
        source="Google Authenticator: key URIs, from which all codes are made",
    ),
    shape(
        "bitlocker",
        "-",
        r"[0-9]{6}-[0-9]{6}-[0-9]{6}-[0-9]{6}-[0-9]{6}-[0-9]{6}-[0-9]{6}-[0-9]{6}",
        r"(?<![0-9-])(?P<body>[0-9]{6}(?:-[0-9]{6}){7})(?![0-9-])",
        judge=lambda rule, match: _judge_bitlocker(rule, match),
        source="Microsoft BitLocker: recovery keys, of which each group can be divided by 11",
    ),
    key("stytch", "secret-live- secret-test-", WORD, 30, source="Stytch: secrets"),
    key("descope", "K2", ALNUM, 50, 110, source="Descope: management keys", entropy=4.5, score=0.8),
    key("workos", "sk_a2V5", ALNUM + "+/=_", 30, source="WorkOS: API keys (`key_` in base64)"),
    key("logto", "pat_", ALNUM, 32, 60, source="Coze, Logto and others: personal access tokens", entropy=3.8),
    key(
        "generic-prefixed",
        "sk_ rk_ secret_key_ apikey_ api_key_ access_token_",
        ALNUM,
        24,
        120,
        source="the form that Stripe made usual",
        entropy=3.8,
        score=0.9,
    ),
    shape(
        "secret-token-uri",
        "secret-token:",
        r"secret-token:[A-Za-z0-9%_.~!$&'()*+,;=:@/-]{8}",
        r"(?<![A-Za-z0-9_])secret-token:(?P<body>[A-Za-z0-9%_.~!$&*+,;=:@/-]{12,}+)",
        source="RFC 8959",
    ),
)
