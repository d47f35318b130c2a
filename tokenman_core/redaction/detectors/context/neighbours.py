"""Secrets without a shape of their own that stand near what has one: a key's id, or the vendor's name."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from tokenman_core.redaction.detectors.context import verdicts
from tokenman_core.redaction.detectors.likely import is_drawn
from tokenman_core.redaction.detectors.rules.rule import Rule
from tokenman_core.redaction.entities import Finding

_REACH: Final = 240  # characters between a key's id and its secret


class _Pair(NamedTuple):
    """An id that is public, and the form of the secret that belongs to it."""

    id: re.Pattern[str]
    secret: re.Pattern[str]


_PAIRS: Final = (
    _Pair(
        re.compile(r"(?:AKIA|ASIA|ABIA)[A-Z0-9]{16}"),
        re.compile(r"(?<![A-Za-z0-9/+=_-])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=_-])"),
    ),
    _Pair(re.compile(r"AC[0-9a-f]{32}"), re.compile(r"(?<![A-Za-z0-9_-])[0-9a-f]{32}(?![A-Za-z0-9_-])")),
    _Pair(re.compile(r"SK[0-9a-f]{32}"), re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9]{32}(?![A-Za-z0-9_-])")),
    _Pair(re.compile(r"LTAI[A-Za-z0-9]{12,20}"), re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9]{30}(?![A-Za-z0-9_-])")),
    _Pair(re.compile(r"AKID[A-Za-z0-9]{32}"), re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9]{32}(?![A-Za-z0-9_-])")),
    _Pair(
        re.compile(r"rzp_(?:live|test)_[A-Za-z0-9]{14}"),
        re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9]{24}(?![A-Za-z0-9_-])"),
    ),
    _Pair(
        re.compile(r"[0-9]{8,20}-[0-9a-z]{32}\.apps\.googleusercontent\.com"),
        re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{24}(?![A-Za-z0-9_-])"),
    ),
)
BESIDE_ID: Final = Rule(
    "beside-id",
    "API_KEY",
    ("akia", "asia", "abia", "ac", "sk", "ltai", "akid", "rzp_", ".apps.googleusercontent.com"),
    r"(?:(?:AKIA|ASIA|ABIA)[A-Z0-9]{16}|(?:AC|SK)[0-9a-f]{32}|LTAI[A-Za-z0-9]{12}|AKID[A-Za-z0-9]{32}"
    r"|rzp_(?:live|test)_[A-Za-z0-9]{14}"
    r"|[0-9]{8,20}-[0-9a-z]{32}\.apps\.googleusercontent\.com)",
    re.compile("|".join(pair.id.pattern for pair in _PAIRS)),
    lambda rule, match: _judge(rule, match),
    source="AWS, Twilio, Alibaba Cloud, Tencent Cloud, Razorpay, Google: an id and its secret",
)


def _judge(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    text, (start, end) = match.string, match.span()
    for pair in _PAIRS:
        if pair.id.fullmatch(match[0]) is None:
            continue
        for low, high in ((end, end + _REACH), (max(0, start - _REACH), start)):
            for secret in pair.secret.finditer(text, low, min(high, len(text))):
                value = secret[0]
                if is_drawn(value, 3.0) and any(map(str.isdigit, value)) and not (value.islower() and len(value) == 40):
                    yield Finding(*secret.span(), rule.entity, verdicts.LIKELY)
                    return


VENDORS: Final[dict[str, str]] = {
    "algolia": r"[0-9a-f]{32}", "amplitude": r"[0-9a-f]{32}", "assemblyai": r"[0-9a-f]{32}",
    "azure": r"[0-9a-f]{32}|[A-Za-z0-9+/]{86}==|[a-z2-7]{52}",
    "binance": r"[A-Za-z0-9]{64}", "bitfinex": r"[A-Za-z0-9]{43}", "bitly": r"[0-9a-f]{40}",
    "brightdata": r"[0-9a-f-]{36}", "bugsnag": r"[0-9a-f]{32}",
    "cloudflare": r"[A-Za-z0-9_-]{40}|[0-9a-f]{37}", "cloudinary": r"[A-Za-z0-9_-]{27}", "codecov": r"[0-9a-f-]{36}",
        "cohere": r"[A-Za-z0-9]{40}",
    "coinbase": r"[A-Za-z0-9_-]{64}", "datadog": r"[0-9a-f]{32}|[0-9a-f]{40}", "deepgram": r"[0-9a-f]{40}",
    "deepinfra": r"[A-Za-z0-9]{32}",
    "discord": r"[A-Za-z0-9_-]{32}|[0-9a-f]{64}", "docusign": r"[0-9a-f-]{36}", "dropbox": r"[a-z0-9]{15}", "drone":
        r"[A-Za-z0-9]{32}", "etherscan": r"[A-Z0-9]{34}",
    "facebook": r"[0-9a-f]{32}", "fastly": r"[A-Za-z0-9_-]{32}", "finnhub": r"[a-z0-9]{20}",
    "freshdesk": r"[A-Za-z0-9]{20}", "giphy": r"[A-Za-z0-9]{32}",
    "hetzner": r"[A-Za-z0-9]{64}", "heroku": r"[0-9a-f-]{36}", "hubspot": r"[0-9a-f-]{36}",
    "ibm": r"[A-Za-z0-9_-]{44}", "infura": r"[0-9a-f]{32}",
    "ipinfo": r"[0-9a-f]{14}", "jenkins": r"11[0-9a-f]{32}", "jumpcloud": r"[0-9a-f]{40}",
    "kraken": r"[A-Za-z0-9/+=]{56,88}", "kucoin": r"[0-9a-f-]{36}|[0-9a-f]{24}",
    "linkedin": r"[A-Za-z0-9]{16}", "linode": r"[0-9a-f]{64}", "logzio": r"[A-Za-z]{32}", "mailjet": r"[0-9a-f]{32}",
        "mattermost": r"[a-z0-9]{26}",
    "messagebird": r"[A-Za-z0-9]{25}", "mistral": r"[A-Za-z0-9]{32}", "mixpanel": r"[0-9a-f]{32}",
    "netlify": r"[A-Za-z0-9_-]{40,46}", "nexmo": r"[A-Za-z0-9]{16}",
    "okta": r"00[A-Za-z0-9_-]{40}", "openweather": r"[0-9a-f]{32}", "opsgenie": r"[0-9a-f-]{36}",
    "pagerduty": r"[A-Za-z0-9_+-]{20}", "pipedrive": r"[0-9a-f]{40}",
    "plaid": r"[0-9a-f]{30}|[0-9a-f]{24}", "postmark": r"[0-9a-f-]{36}", "pusher": r"[0-9a-f]{20}",
    "rollbar": r"[0-9a-f]{32}", "scaleway": r"[0-9a-f-]{36}",
    "segment": r"[A-Za-z0-9]{32}", "sentry": r"[0-9a-f]{64}", "serpapi": r"[0-9a-f]{64}", "shodan": r"[A-Za-z0-9]{32}",
        "snyk": r"[0-9a-f-]{36}",
    "sparkpost": r"[0-9a-f]{40}", "spotify": r"[0-9a-f]{32}", "sumologic": r"[A-Za-z0-9]{64}",
    "tencent": r"[A-Za-z0-9]{32}", "tomtom": r"[A-Za-z0-9]{32}",
    "travis": r"[A-Za-z0-9_-]{22}", "trello": r"[0-9a-f]{32}|[0-9a-f]{64}", "twilio": r"[0-9a-f]{32}",
    "twitch": r"[a-z0-9]{30}", "twitter": r"[A-Za-z0-9]{25}|[A-Za-z0-9]{45}|[A-Za-z0-9]{50}",
    "unsplash": r"[A-Za-z0-9_-]{43}", "virustotal": r"[0-9a-f]{64}", "vonage": r"[A-Za-z0-9]{16}",
    "vultr": r"[A-Z0-9]{36}", "wandb": r"[0-9a-f]{40}",
    "weights & biases": r"[0-9a-f]{40}", "yandex": r"[A-Za-z0-9_-]{39,42}", "zendesk": r"[A-Za-z0-9]{40}",
    "zoom": r"[A-Za-z0-9]{32}", "azure devops": r"[a-z2-7]{52}",
    "stability": r"sk-[A-Za-z0-9]{48}", "elevenlabs": r"[0-9a-f]{32}", "exa": r"[0-9a-f-]{36}",
    "voyage": r"[A-Za-z0-9_-]{46}", "ai21": r"[A-Za-z0-9]{32}",
}  # fmt: skip
"""Vendors whose keys have no prefix, and the form of the key: from their documentation and the rules of gitleaks."""

_AS_IN_EXAMPLE: Final = "(?:[^a-z]|ai|api|key|tok|sec)"  # `exa` is the beginning of too many words
_NAMES: Final = "|".join(re.escape(name) for name in VENDORS if name != "exa")
_TELLING: Final = re.compile(r"(?i)key|token|secret|api|auth|cred|pass|bearer|ключ|密|キー|키|clave|schlüssel|clé")
OF_VENDOR: Final = Rule(
    "of-vendor",
    "API_KEY",
    tuple(VENDORS),
    rf"(?:{_NAMES}|exa{_AS_IN_EXAMPLE})[^\r\n]{{0,48}}?[ \t:=\"'`(>,][A-Za-z0-9_+/-]{{14}}",
    re.compile(
        rf"(?i:(?P<vendor>{_NAMES}|exa(?={_AS_IN_EXAMPLE})))(?P<between>[^\r\n]{{0,48}}?[\s:=\"'`(>,])(?P<body>[A-Za-z0-9_+/-]{{14,88}}={{0,2}})(?![A-Za-z0-9_+/=-])"
    ),
    lambda rule, match: _judge_vendor(rule, match),
    caseless=True,
    source="a vendor's name and a value of its form",
)


def _judge_vendor(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    value = match["body"]
    form = VENDORS[match["vendor"].lower()]
    if re.fullmatch(form, value) and _TELLING.search(match["between"]) and is_drawn(value, 2.8):
        yield Finding(*match.span("body"), rule.entity, verdicts.LIKELY)


NEIGHBOURS: Final = (BESIDE_ID, OF_VENDOR)
