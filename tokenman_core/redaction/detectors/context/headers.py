"""Headers pasted into text: `Authorization` of every scheme, and cookies that hold a session."""

import re
from collections.abc import Iterator
from typing import Final

from tokenman_core.redaction.detectors.context import verdicts
from tokenman_core.redaction.detectors.likely import is_drawn, is_placeholder, is_random, is_strong
from tokenman_core.redaction.detectors.rules.rule import Rule
from tokenman_core.redaction.entities import Finding

_SCHEMES: Final = (
    r"bearer|basic|token|apikey|api-key|key|ssws|geniekey|bot|splunk|oauth|negotiate|deepl-auth-key|sso-key|jwt"
    r"|pve[a-z]{3}token=[^=\s]{1,64}|ghost|discogs token="
)
_NAME: Final = r"(?:proxy-|x-)?authori[sz]ation"
_BETWEEN: Final = r"[\"'`\\]{0,6}[ \t]{0,3}(?::|=>|=|,)[ \t]{0,3}[\"'`\\]{0,6}"

AUTHORIZATION: Final = Rule(
    "authorization",
    "API_KEY",
    ("bearer", "basic", "authorization", "authorisation"),
    rf"(?:bearer|basic|authori[sz]ation[\"'`\\]{{0,6}}[ \t]{{0,3}}(?::|=>|="
    rf"|,)[ \t]{{0,3}}[\"'`\\]{{0,6}}(?:(?:{_SCHEMES})[ \t]{{1,3}})?)[ \t\"'`:=]{{0,3}}[A-Za-z0-9._~+/=-]{{8}}",
    re.compile(
        rf"(?i:(?P<named>{_NAME}{_BETWEEN})(?P<scheme>(?:{_SCHEMES})[ \t]{{1,3}}[\"'`]?)?|(?:bearer"
        rf"|(?P<basic>basic))(?:[ \t]{{1,3}}|[ \t]?[:=][ \t]?)[\"'`]?)"
        r"(?P<bare>[A-Za-z0-9._~+/=|:-]{8,8192}+)"
    ),
    lambda rule, match: _judge(rule, match),
    caseless=True,
    source="RFC 9110 §11, RFC 6750, RFC 7617",
)
PARAMETERS: Final = Rule(
    "authorization-parameters",
    "API_KEY",
    ("digest", "hawk", "aws4-hmac", "oauth", "sharedaccesssignature", "credential="),
    r"(?:digest|hawk|aws4-hmac-sha256|oauth|sharedaccesssignature)[ \t]{1,3}[A-Za-z_]{2,24}=",
    re.compile(r"(?i:digest|hawk|aws4-hmac-sha256|oauth|sharedaccesssignature)[ \t]{1,3}(?P<rest>[^\r\n]{8,1024})"),
    lambda rule, match: _judge_parameters(rule, match),
    caseless=True,
    source="RFC 7616, RFC 5849, AWS signature 4, Azure service bus",
)
COOKIES: Final = Rule(
    "cookies",
    "API_KEY",
    ("cookie",),
    r"cookie[\"'`\\]{0,6}[ \t]{0,3}[:=,][ \t]{0,3}[\"'`\\]{0,6}[A-Za-z0-9_.-]{1,64}=",
    re.compile(
        r"(?i:set-)?(?i:cookie)[\"'`\\]{0,6}[ \t]{0,3}[:=,][ \t]{0,3}[\"'`\\]{0,6}(?P<rest>[^\r\n\"'`]{4,4096})"
    ),
    lambda rule, match: _judge_cookies(rule, match),
    caseless=True,
    source="RFC 6265",
)

_JOINED: Final = re.compile(
    r"\+[A-Za-z_]\w*[.(]"
)  # what a program puts behind the scheme (`"Basic "+base64.Encode(…)`)
_SECRET_PARAMETER: Final = re.compile(
    r"(?i)(?P<name>response|signature|sig|mac|oauth_token|oauth_signature|oauth_consumer_key|cnonce"
    r"|hash)=[\"']?(?P<value>[A-Za-z0-9+/=%_-]{16,256})"
)
_PAIR: Final = re.compile(r"(?P<name>[A-Za-z0-9_.$-]{1,64})=(?P<value>[^;,\s\"'\\]{8,4096})")
_SESSION: Final = re.compile(
    r"(?i)sess|sid$|^sid|token|auth|jwt|csrf|xsrf|login|remember|secret|identity|sso|connect\.|\.aspnet|_t$"
    r"|credential|^at$|^rt$"
)
_NO_SESSION: Final = re.compile(
    r"(?i)^(?:_g[ac]|_gid|_fbp|_fbc|expires|path|domain|max-age|samesite|__utm|optanon|lang|locale|theme)"
)


def _judge(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    value = match["bare"].rstrip(".,:")
    if is_placeholder(value) or is_placeholder(value.split(".")[-1]) or _JOINED.match(value):
        return
    named = match["named"] is not None
    if (
        named
        and match["scheme"] is None
        and value.lower() in ("bearer", "basic", "token", "digest", "apikey", "negotiate")
    ):
        return
    if match["basic"] is not None or (match["scheme"] or "").lower().startswith("basic"):
        good = is_random(value) or (
            len(value) >= 12 and len(value) % 4 == 0 and not value.islower() and is_strong(value + "=")
        )
    elif named:
        good = (is_strong(value) or is_random(value)) and len(set(value)) > 4
    else:
        good = len(value) >= 10 and is_drawn(value, 2.8) and verdicts.token(value, quoted=True) > 0
    if good:
        yield Finding(
            match.start("bare"),
            match.start("bare") + len(value),
            rule.entity,
            verdicts.SURE if named else verdicts.LIKELY,
        )


def _judge_parameters(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    start = match.start("rest")
    for pair in _SECRET_PARAMETER.finditer(match["rest"]):
        if not is_placeholder(pair["value"]) and is_random(pair["value"]):
            yield Finding(start + pair.start("value"), start + pair.end("value"), rule.entity, verdicts.LIKELY)


def _judge_cookies(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    start = match.start("rest")
    for pair in _PAIR.finditer(match["rest"]):
        value = pair["value"]
        if _NO_SESSION.match(pair["name"]) or is_placeholder(value) or value.isdigit():
            continue
        named = _SESSION.search(pair["name"]) is not None
        if (named and is_random(value)) or (len(value) >= 24 and is_drawn(value, 3.5)):
            yield Finding(start + pair.start("value"), start + pair.end("value"), rule.entity, verdicts.LIKELY)


HEADERS: Final = (AUTHORIZATION, PARAMETERS, COOKIES)
