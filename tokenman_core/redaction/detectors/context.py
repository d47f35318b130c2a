"""Secrets that only their surroundings give away: assignments, headers, URLs' user info, command lines, "the password is …"."""

import re
from collections.abc import Iterator

from tokenman_core.redaction.detectors.likely import (
    COMMON,
    TAILS,
    entropy,
    is_code,
    is_placeholder,
    is_random,
    is_strong,
)
from tokenman_core.redaction.detectors.rules import Rule
from tokenman_core.redaction.entities import Finding

_PASS = r"pass(?:word|wd|phrase|code|wort|(?![A-Za-z]))|pwd|pw(?![A-Za-z])|contrase[nñ]a|mot de passe|kennwort|senha"
_TOKEN = (
    r"secret|token|api[_-]?key|access[_-]?key|private[_-]?key|account[_-]?key|auth[_-]?key|encryption[_-]?key"
    r"|signing[_-]?key|shared[_-]?key|master[_-]?key|client[_-]?key|credentials?"
)
_WORDS = ("pass", "pwd", "pw", "contrase", "mot de passe", "kennwort", "senha", "secret", "token")
_KEYS = ("key", "credential")
_GATE_PASS = (
    r"pass|pwd|pw|contrase.{1,2}a|mot de passe|kennwort|senha"  # _PASS for gates, which look at bytes and not around
)
_GATE_NAMES = _GATE_PASS + "|" + _TOKEN

# Behind the telling word more of the name may stand (`password_prod`, `TOKEN_2`), unless it says that the value is something else.
_OTHER = (
    r"(?![_-]?(?:s?[_-]?(?:count|limit|budget|type|name|names|id|ids|url|uri|path|file|field|column|policy|length|len|size|hash(?:er)?|"
    r"expir\w*|ttl|at|age|usage|used|index|regex|pattern|provider|manager|service|store|prompt|label|hint|reset|endpoint|"
    r"izer\w*|ize\w*|isation|ization)\b|s\b))"
)

ASSIGNMENT = Rule(
    "assignment",
    "PASSWORD",
    _WORDS + _KEYS,
    rf"(?:{_GATE_NAMES})[A-Za-z0-9_-]{{0,16}}[\"'`\]\\]{{0,4}}[ \t]{{0,4}}(?::=|=>|[:=>])",
    re.compile(
        rf"(?i:(?P<pass>{_PASS})|(?:{_TOKEN})){_OTHER}[A-Za-z0-9_-]{{0,16}}+"
        r"(?P<name>[\"'`\]\\]{0,4})[ \t]{0,4}(?P<op>:=|=>|==|[:=>])[ \t]{0,8}"
        r"(?:(?P<quote>\\{0,3}[\"'`])(?P<quoted>(?:(?!(?P=quote))[^\r\n]){1,512})(?P=quote)"
        r"|(?P<bare>[^\s\"'`,;&|()<>{}\[\]\\]{4,512}))"
    ),
    judge=lambda rule, match: judge(rule, match),
    caseless=True,
)
_SAID = _PASS.replace("|(?![A-Za-z]))", ")").replace("|pw(?![A-Za-z])", "")  # `pass` and `pw` alone are words of prose
_VERB = r"(?:is|was|ist|es|est|are|to)"
SPOKEN = Rule(
    "spoken",
    "PASSWORD",
    (*_WORDS, "api key", "secret", "token"),
    rf"(?:{_GATE_PASS}|api key|secret|token)[^\r\n\"=]{{0,40}}?[ \t]{_VERB}[ \t:]",
    re.compile(
        rf"(?i:(?P<pass>{_SAID})|api key|secret|token)(?![A-Za-z0-9])[^\r\n\"=]{{0,40}}?[ \t](?i:(?P<verb>{_VERB}))"
        r"(?i::|[ \t](?:now|(?:re)?set to|changed to))?[ \t:]{1,3}"
        r"(?:(?P<quote>[\"'`])(?P<quoted>(?:(?!(?P=quote))[^\r\n]){3,128})(?P=quote)|[“«„](?P<typeset>[^\r\n”»“]{3,128})[”»“]"
        r"|(?P<bare>[^\s\"'`<>(){}\[\],;]{4,128}))"
    ),
    judge=lambda rule, match: judge(rule, match),
    caseless=True,
)
BESIDE = Rule(
    "beside",
    "PASSWORD",
    ("password", "passwd", "passphrase", "passcode"),
    r"(?:password|passwd|passphrase|passcode)[ \t]{1,4}[\"'`]?[A-Za-z0-9!@#$%^&*+~?._-]{6}",
    re.compile(
        r"(?i:password|passwd|passphrase|passcode)[ \t]{1,4}[\"'`]?(?P<bare>[^\s\"'`<>(){}\[\],;:=/\\]{6,128})(?![:=(/\\])"
    ),
    judge=lambda rule, match: judge(rule, match),
    caseless=True,
)
AUTHORIZATION = Rule(
    "authorization",
    "API_KEY",
    ("bearer", "basic", "authorization"),
    r"(?:bearer|basic|authorization[\"'\\]{0,3}[ \t]{0,3}[:=][ \t]{0,3}[\"'\\]{0,3}token)[ \t]{1,3}[A-Za-z0-9._~+/=-]{8}",
    re.compile(
        r"(?i:bearer|(?P<basic>basic)|authorization[\"'\\]{0,3}[ \t]{0,3}[:=][ \t]{0,3}[\"'\\]{0,3}token)[ \t]{1,3}"
        r"(?P<bare>[A-Za-z0-9._~+/=-]{8,4096}+)"
    ),
    judge=lambda rule, match: judge(rule, match),
    caseless=True,
)
USER_INFO = Rule(
    "user-info",
    "CONNECTION_STRING",
    ("://",),
    r"[a-z][a-z0-9+.]{1,15}://[^\s/@\"'<>]{0,64}:[^\s@\"'<>]{1,128}@",
    re.compile(
        r"(?P<scheme>[a-z][a-z0-9+.]{1,15})://(?P<user>[^\s/@:\"'<>`]{0,64}):(?P<bare>[^\s@/\"'<>`]{1,128})@(?P<rest>[^\s\"'<>`\\)\],;]{0,512})",
        re.IGNORECASE,
    ),
    judge=lambda rule, match: judge(rule, match),
    caseless=True,
)
COMMAND_LINE = Rule(
    "command-line",
    "PASSWORD",
    ("-u", "--pass", "--token", "--api-key", "--secret", "sshpass"),
    r"(?:-u|--user|--password|--pass|--passwd|--token|--api-key|--secret|sshpass -p)[ =][\"']?[^\s\"']{4}",
    re.compile(
        r"(?:(?P<user>-u|--user)[ =][\"']?[^\s\"':=]{1,64}:"
        r"|(?:--password|--passwd|--pass|--token|--api-key|--secret|sshpass -p)[ =][\"']?)"
        r"(?P<bare>[^\s\"'`;|&()<>\\]{4,256})"
    ),
    judge=lambda rule, match: judge(rule, match),
)
CONTEXT_RULES: tuple[Rule, ...] = (ASSIGNMENT, SPOKEN, BESIDE, AUTHORIZATION, USER_INFO, COMMAND_LINE)

_DATABASES = re.compile(
    r"(?i)(?:jdbc:)?(?:postgres(?:ql)?|mysql|mariadb|mongodb|redis|rediss|valkey|amqps?|mssql|sqlserver|oracle|cockroachdb|clickhouse|"
    r"cassandra|neo4j|bolt|ldaps?|smtps?|couchdb|nats|mqtts?|kafka|snowflake|db2)(?:\+[a-z0-9_]+)?$"
)
_TELLING_KEY = re.compile(
    r"(?i)^(?:.*[_-])?(?:(?P<pass>pass(?:word|wd|phrase|code|wort)?|pwd|kennwort|senha)|"
    r"(?:client|app|auth|access|api|private|secret|account|signing|encryption|shared|master)[_-]?(?:secret|token|key)|secret|token)$"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_METHOD = re.compile(
    r"(?i)(?:sha|md|utf|base|oauth|pbkdf|argon|ipv|v|http|aes|rsa|tls|ssl)-?\d|.*\d(?:st|nd|rd|th|x|px|ms|s)$|.*-(?:bit|char)"
)


def _judge_assignment(match: re.Match[str]) -> tuple[int, int, str] | None:
    password = match["pass"] is not None
    entity = "PASSWORD" if password else "API_KEY"
    quoted = match["quoted"]
    if quoted is not None:
        value = quoted.strip()
        if is_placeholder(value):
            return None
        # `{"token": "abc"}` is a value; the text of a form or of a message ("password": "Enter it here") has blanks in it
        if password and len(value) >= 4 and " " not in value and not value.lower().endswith(("password", "passwd")):
            return *match.span("quoted"), entity
        if password and 8 <= len(value) <= 64 and is_strong(value.replace(" ", "")):
            return *match.span("quoted"), entity
        return (*match.span("quoted"), entity) if " " not in value and is_random(value) else None
    value = match["bare"].rstrip(".,:")
    start = match.start("bare")
    if is_placeholder(value) or match["op"] == "==":
        return None
    if match["op"] == ">":  # <password>…</password>
        closed = match.string[match.end("bare") : match.end("bare") + 2] == "</"
        return (start, start + len(value), entity) if closed and (is_strong(value) or is_random(value)) else None
    if password and not is_code(value) and is_strong(value):
        return start, start + len(value), entity
    if password and match["op"] in "=:" and is_code(value) and any(map(str.isdigit, value)):
        return start, start + len(value), entity
    if (
        password
        and match["op"] == "="
        and match[0][:1].isupper()
        and match[0].split("=")[0].isupper()
        and "=" + value in match[0]
    ):
        return start, start + len(value), entity  # PASSWORD=swordfish, as files of variables have it
    if not password and is_random(value) and not is_code(value.replace("-", "_")):
        return start, start + len(value), entity
    if (
        not password
        and len(value) >= 12
        and any(map(str.isdigit, value))
        and entropy(value) >= 3.2
        and "." not in value
    ):
        return start, start + len(value), entity
    return None


def _judge_spoken(match: re.Match[str]) -> tuple[int, int, str] | None:
    password = match["pass"] is not None
    entity = "PASSWORD" if password else "API_KEY"
    for group in ("quoted", "typeset"):
        if (value := match[group]) is not None:
            doubtful = match["verb"].lower() == "to" and not is_strong(value)
            return (
                None
                if doubtful or is_placeholder(value) or not (password or is_random(value))
                else (*match.span(group), entity)
            )
    value = match["bare"].rstrip(".,:")
    start = match.start("bare")
    if len(value) < 4 or is_placeholder(value):
        return None
    word = value.lower()
    if match["verb"].lower() == "to" and not is_strong(value):
        return None
    plain = value.isalpha() and (word == value or value.istitle())
    if plain and (word in COMMON or word.endswith(TAILS) or len(word) < 5):
        return None
    if password and (plain or is_strong(value) or not value.isalpha()):
        return start, start + len(value), entity
    return (start, start + len(value), entity) if is_random(value) else None


def _judge_user_info(match: re.Match[str]) -> tuple[int, int, str] | None:
    if is_placeholder(match["bare"]) or (match["bare"].isdigit() and "/" in match["user"]):
        return None
    if _DATABASES.match(match["scheme"]):
        return match.start(), match.start("rest") + len(match["rest"].rstrip(".,:")), "CONNECTION_STRING"
    return *match.span("bare"), "PASSWORD"


def _judge_bare(match: re.Match[str], entity: str) -> tuple[int, int, str] | None:
    value = match["bare"].rstrip(".,:")
    if is_placeholder(value) or not (is_strong(value) or is_random(value)):
        return None
    return match.start("bare"), match.start("bare") + len(value), entity


def _judge(rule: Rule, match: re.Match[str]) -> tuple[int, int, str] | None:
    if rule is ASSIGNMENT:
        return _judge_assignment(match)
    if rule is SPOKEN:
        return _judge_spoken(match)
    if rule is USER_INFO:
        return _judge_user_info(match)
    if rule is BESIDE and _METHOD.match(match["bare"]):
        return None
    return _judge_bare(match, "API_KEY" if rule is AUTHORIZATION else "PASSWORD")


def judge(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    """The value that a contextual rule's match holds, if any."""
    if (judged := _judge(rule, match)) is not None:
        yield Finding(*judged)


def judge_key(key: str, text: str) -> str | None:
    """The kind of secret that a whole text is because of the object key it stands under (`{"password": "…"}`)."""
    if not 4 <= len(text) <= 4096 or (match := _TELLING_KEY.match(_CAMEL.sub("_", key))) is None:
        return None
    value = text.strip()
    if len(value) < 4 or is_placeholder(value):
        return None
    if match["pass"] is not None:
        return "PASSWORD" if " " not in value or (len(value) <= 64 and is_strong(value)) else None
    return "API_KEY" if " " not in value and is_random(value) else None


def tells(key: str) -> bool:
    """Whether a text under this key has to be looked at even if nothing in it trips the gate."""
    return bool(key) and _TELLING_KEY.match(_CAMEL.sub("_", key)) is not None
