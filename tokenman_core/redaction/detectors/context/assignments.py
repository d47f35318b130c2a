"""Assignments, in the syntax of programs, of shells and of configuration: a telling name, then its value."""

import re
from collections.abc import Iterator
from typing import Final

from tokenman_core.redaction.detectors.context import names, phrases, verdicts
from tokenman_core.redaction.detectors.likely import is_code, is_strong, stands_for
from tokenman_core.redaction.detectors.rules.rule import Rule
from tokenman_core.redaction.entities import Finding

_ASCII: Final = tuple(dict.fromkeys(word for word in names.PASSWORDS if word.isascii()))
_SHORT_PASS: Final = (
    r"(?<![A-Za-z])pass(?![A-Za-z])|(?-i:(?<=[a-z0-9])Pass)(?![A-Za-z])|(?:(?<=db)|(?<=user)|(?<=my)|(?<=smtp)"
    r"|(?<=mail)|(?<=ftp)|(?<=sql)|(?<=root)|(?<=admin)|(?<=wifi))pass(?![A-Za-z])"
    r"|(?<![A-Za-z])psk(?![A-Za-z])|(?<![A-Za-z])pw(?![A-Za-z-])|(?-i:(?<=[a-z0-9])Pw)(?![A-Za-z])|passw(?!or[dt])"
)
PASS: Final = "|".join((*(re.escape(word) for word in names.PASSWORDS), _SHORT_PASS))
_GATE_PASS: Final = "|".join((*(names.loose(word) for word in names.PASSWORDS), "pass", "pw", "psk"))

# Between a name and its value: an operator, or the form that pairs of name and value have (`name: X` / `value: Y`).
_PAIR: Final = (
    r"\\{0,7}[\"']?[ \t]{0,4}[,;]?\s{0,40}\\{0,7}[\"']?(?:value|Value|VALUE|default)\\{0,7}[\"']?[ \t]{0,8}[:=]"
    r"|[\"']?[ \t]{0,4}\{[^{}]{0,160}?\bdefault[ \t]{0,8}="
    r"|:\s{0,40}\{\s{0,40}\\{0,7}[\"']?(?:value|Value|default|stringValue|S)\\{0,7}[\"']?[ \t]{0,8}:"
)
# The type of what is assigned: behind a colon, or in the words of Go, Visual Basic, SQL, C, Lua and C# without one.
_WORD_OF_TYPE: Final = r"(?:as[ \t]{1,3})?(?:n?varchar2?|string|text|str|char)(?:\([0-9A-Za-z]{1,5}\))?"
_TYPE: Final = (
    r"(?:(?:[ \t]{0,3}[:?]{1,2}[ \t]{0,3}[A-Za-z&*\[][A-Za-z0-9_.<>\[\]|? &*]{0,30}?"
    rf"|[ \t]{{1,3}}(?i:{_WORD_OF_TYPE})|[ \t]?\[[0-9]{{0,4}}\]|[ \t]<const>|[ \t]\{{ ?get;[^{{}}\r\n]{{0,40}}\}})"
    r"(?=[ \t]{0,3}:?=[^=>]))?"
)
_GATE_TYPE: Final = rf"[ \t]{{1,3}}{_WORD_OF_TYPE}[ \t]{{0,3}}=|\[[0-9]{{0,4}}\][ \t]{{0,3}}="
_VALUE: Final = (
    r"(?:(?:[brfuRBFUL@$]{1,2}(?=[\"'`]))?(?P<quote>\"\"\"|'''"
    r"|\\{0,7}[\"'`])(?P<quoted>(?:(?!(?P=quote))(?:\\[^\r\n]|[^\r\n\\])){1,512}?)(?P=quote)"
    r"|(?<=[^=-]>)(?P<element>[^<>\r\n]{4,128})(?=</)"
    r"|(?P<bare>[^\s\"'`,;&|()<>{}\[\]\\“”\u2e80-\u9fff\uac00-\ud7af\uff00-\uffef]{4,512}+))"
)
_NAME_END: Final = r"(?P<close>\\{0,7}[\"'`\])]{0,3})"

# Of shells, of makefiles (`::=`, `:::=`), of programs; `==` and the like compare, `+=` and `.=` put something behind.
_OPERATORS: Final = r":{1,3}=|=>|[=!]==?|(?:\?\??|\|\||&&|[+.~])=|<-|[:=>,(]|[ \t]\|(?=[ \t])"
_COMPARING: Final = frozenset({"==", "===", "!=", "!==", "+=", ".="})
"""What stands beside those is often a word that is no secret."""
_STORING: Final = frozenset({"=", ":", "?=", "::=", ":::="})
"""Behind those a value of files of variables needs no quotes."""

ASSIGNMENT: Final = Rule(
    "assignment",
    "PASSWORD",
    (*dict.fromkeys(names.ascii_part(word) for word in names.PASSWORDS), "pass", "pw", "psk", "secret", "token", "key",
     "credential", "creds", "access", "bearer", "jwt", "otp", "connection", "mnemonic", "seed", "schl", "sleutel", "nyckel",
     "klucz", "chiave"),
    rf"(?:{_GATE_PASS}|{names.KEYS})[A-Za-z0-9_.-]{{0,24}}[\\\"'`\]) \t]{{0,10}}(?:[:=>,({{<?|]|[!&+~.]="
    rf"|{_GATE_TYPE}|\s{{0,40}}[\\\"']{{0,8}}(?:value|default))",
    re.compile(
        rf"(?i:(?P<pass>{PASS})"
        rf"|(?:{names.KEYS})){names.OTHER}(?P<rest>[A-Za-z0-9_.-]{{0,24}}?){_NAME_END}{_TYPE}[ \t]{{0,12}}"
        rf"(?:(?P<pair>{_PAIR})|(?P<op>{_OPERATORS}))[ \t]{{0,12}}{_VALUE}"
    ),
    lambda rule, match: _judge(rule, match),
    caseless=True,
    source="a telling name and a value, in any language",
)  # fmt: skip
_LIST: Final = r"s?\\{0,7}[\"'`]?[ \t]{0,4}[:=][ \t]{0,4}(?:[\[(]|\{\s{0,40}\\{0,7}\"[0-9]{1,6}\\{0,7}\"[ \t]{0,4}:)"
_ITEM: Final = re.compile(
    r"(?P<quote>\\{0,7}[\"'])(?P<item>(?:(?!(?P=quote))(?:\\[^\r\n]|[^\r\n\\])){4,512}?)(?P=quote)"
)
LISTED: Final = Rule(
    "listed",
    "PASSWORD",
    ASSIGNMENT.keywords,
    rf"(?:{_GATE_PASS}|{names.KEYS}){_LIST}",
    re.compile(rf"(?i:(?P<pass>{PASS})|(?:{names.KEYS})){_LIST}(?P<items>[^\])]{{4,4096}})"),
    lambda rule, match: _judge_listed(rule, match),
    caseless=True,
    source="a telling name and a list of values",
)
WEAK: Final = Rule(
    "weak-assignment",
    "API_KEY",
    ("key", "auth", "sig", "sid", "sess", "csrf", "xsrf", "salt", "cookie", "cred", "code", "appid", "pat",
    "dsn", "nonce", "ticket",
     "assertion", "refresh", "seed", "licen"),
    rf"(?:{names.WEAK})[\\\"'`\])]{{0,6}}[ \t]{{0,4}}(?::=|=>|[:=]|[,;]?\s{{0,40}}[\\\"']{{0,8}}(?:value"
    rf"|default)[\\\"']{{0,8}}[ \t]{{0,8}}[:=])[ \t]{{0,4}}[\\\"'`]{{0,6}}[A-Za-z0-9_/+%.-]{{16}}",
    re.compile(rf"(?i:{names.WEAK}){_NAME_END}[ \t]{{0,4}}(?:(?P<pair>{_PAIR})|(?P<op>:=|=>|=="
    rf"|[:=]))[ \t]{{0,4}}{_VALUE}"),
    lambda rule, match: _judge_weak(rule, match),
    caseless=True,
    source="a name that may mean a secret, and a value that cannot be anything else",
)  # fmt: skip

_CALLS: Final = (
    r"(?:client|api|sdk|auth|authenticate|connect|login|session|bot|openai|anthropic|stripe|slack|twilio|sendgrid|github|gitlab)"
    r"(?:(?:::|\.)(?:new|create|init|connect|login|with_token|build))?\([ \t]{0,4}[\"'`]"
)
CALLED: Final = Rule(
    "called-with",
    "API_KEY",
    ("client", "api", "sdk", "auth", "connect", "login", "session", "bot", "openai", "anthropic", "stripe", "slack",
     "twilio", "sendgrid", "github", "gitlab"),
    rf"{_CALLS}[A-Za-z0-9_/+=.-]{{20}}",
    re.compile(rf"(?i:{_CALLS})(?P<bare>[A-Za-z0-9_/+=.-]{{20,256}}+)[\"'`]"),
    lambda rule, match: _judge_called(rule, match),
    caseless=True,
    source="what a client is made with, as its first argument",
)  # fmt: skip

_LINE_START: Final = re.compile(
    r"(?:^|[\r\n]|\\n)[ \t]{0,12}(?:[-+>] |export |set |setx |\$env:|ENV |ARG )?[A-Za-z0-9_.-]{0,64}$"
)
_BLANKS: Final = (" ", "\t")
_SIGNS: Final = frozenset("()&|;<>{}[],")
_PASSWORD_SIGNS: Final = frozenset("!@#$%^*+~?&|")
_LONGEST_PHRASE: Final = 64
_LEAST_NAME: Final = 6
_MEMBER: Final = re.compile(r"[A-Za-z_$][\w$]*(?:(?:\.|::|->)[A-Za-z_$][\w$]*)+")
_REST: Final = re.compile(r"[^\s\"'`]{0,256}")


def _span(match: re.Match[str]) -> tuple[int, int, bool]:
    """Where the value stands, and whether it is quoted. A bare one in a file of variables goes as far as its line's word does."""
    if match["quoted"] is not None:
        start, end = match.span("quoted")
        value = match["quoted"]
        return start + len(value) - len(value.lstrip()), end - len(value) + len(value.rstrip()), True
    if match["element"] is not None:
        return *match.span("element"), True
    text, (start, end) = match.string, match.span("bare")
    op = (match["op"] or "").strip()
    if text[end : end + 1] in _SIGNS and (
        (op in _STORING and _stands_alone(match))
        or (op in ("=", ":", "|") and text[match.end("op") : match.end("op") + 1] in _BLANKS)
    ):
        rest = _REST.match(text, end)
        whole = text[start : rest.end()] if rest is not None else ""
        if _is_one_word(whole):
            end = start + len(whole.rstrip(",;"))
    return start, start + len(text[start:end].rstrip(".,:")), False


def _stands_alone(match: re.Match[str]) -> bool:
    """Whether an assignment begins a line, or is one of a shell's (`PGPASSWORD=… psql`): no parameter of an address."""
    text, start = match.string, match.start()
    if _LINE_START.search(text, max(0, start - 80), start) is not None:
        return True
    before = names.before(text, start)
    at = start - len(before) - 1
    return (before + match[0].partition("=")[0]).isupper() and (at < 0 or text[at].isspace())


def _is_one_word(whole: str) -> bool:
    """Whether a value with brackets or signs in it is a password, not a call or a list."""
    is_code = re.match(r"[A-Za-z_$][\w$.]*(?:(?:::|->)[\w$.]+)*(?:->)?[(\[{<]|[\[{(<]", whole) is not None
    return not is_code and any(char in _PASSWORD_SIGNS for char in whole) and whole.count("(") <= 1 and "=" not in whole


def _judge(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    text, op, is_password = match.string, match["op"], match["pass"] is not None
    if names.is_other(match["rest"]):
        return
    start, end, quoted = _span(match)
    value = text[start:end]
    if names.is_harmless(text, match.start()) and not (is_password and quoted and _is_put_in(match, value)):
        return
    if op in _COMPARING and not (quoted and _is_literal(value, is_password)):
        return
    if op == ">":  # <password>…</password>
        close = text.find("<", end, end + _LONGEST_PHRASE)
        if text[close : close + 2] != "</" or (close > end and not phrases.is_one(text[start:close])):
            return
        end, value = max(end, close), text[start : max(end, close)]
        quoted = True
    elif op in (",", "(") and not quoted:
        return
    if op == ":" and value[:1] == "?":
        return  # `${NAME:?what to say where it is missing}`
    if is_code(value) and _is_its_name(match, value):
        return
    if not quoted and _is_called(text, end, value):
        return
    if op == "," and value.isupper() and is_code(value):
        return  # the next constant of a list of them
    if op == "," and not (match["close"].strip("])") or _is_in_pair(match, value)):
        return
    if is_password:
        if not quoted and op in (":", "=") and value.isalpha() and (last := phrases.end_at(text, start)):
            end, value, quoted = last, text[start:last], True
        score = _password(match, op, value, quoted)
    else:
        score = verdicts.token(value, quoted=quoted) if " " not in value else 0.0
        if not score and _may_be_chosen(match, op, value):
            score = min(_password(match, op, value, quoted), verdicts.LIKELY)
    if score:
        yield Finding(start, end, "PASSWORD" if is_password else "API_KEY", score)


def _is_literal(value: str, is_password: bool) -> bool:
    """Whether what a program compares with, or puts behind, is a secret itself."""
    return is_strong(value) or verdicts.is_jumbled(value) or (is_password and phrases.is_word(value))


def _is_in_pair(match: re.Match[str], value: str) -> bool:
    """Whether a name without quotes has its value behind a comma: a constant (`PASSWORD, "…"`), or an atom in a pair."""
    text, start = match.string, match.start()
    if text[start : match.end("rest")].isupper():
        return True
    before = start - len(names.before(text, start))
    return text[max(0, before - 2) : before].endswith(("{", "{:")) and is_strong(value)


def _is_put_in(match: re.Match[str], value: str) -> bool:
    """Whether a member of something (`data.password = "…"`) gets what is no label."""
    return match.string[match.start() - 1] == "." and " " not in value and is_strong(value)


def _is_called(text: str, end: int, value: str) -> bool:
    """Whether a program calls what is assigned here (`crypto.default.pbkdf2Sync(…)`)."""
    return text.startswith("(", end) and _MEMBER.fullmatch(value) is not None


def _is_its_name(match: re.Match[str], value: str) -> bool:
    """Whether what is assigned to a name is that name, or a part of it (`PASSWORD_ENV = "PASSWORD"`)."""
    name = names.before(match.string, match.start()) + match.string[match.start() : match.start("close")]
    return len(value) >= _LEAST_NAME and value.lower() in name.lower()


def _judge_listed(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    if names.is_harmless(match.string, match.start()):
        return
    judge, entity = (verdicts.token, "API_KEY") if match["pass"] is None else (verdicts.password, "PASSWORD")
    for each in _ITEM.finditer(match.string, *match.span("items")):
        if " " not in each["item"] and (score := judge(each["item"], quoted=True)):
            yield Finding(*each.span("item"), entity, score)


def _may_be_chosen(match: re.Match[str], op: str | None, value: str) -> bool:
    """Whether a secret's value may be one that a person made up (`JWT_SECRET=supersecretkey123`)."""
    return (
        "secret" in match.string[match.start() : match.end("rest")].lower()
        and " " not in value
        and op not in (",", "(")
        and any(map(str.isdigit, value))
        and not stands_for(value)
    )


def _password(match: re.Match[str], op: str | None, value: str, quoted: bool) -> float:
    if phrases.is_one(value):
        return verdicts.GUESS if op not in (",", "(") else 0.0
    if " " in value:
        return verdicts.GUESS if phrases.is_spaced(value) and op not in (",", "(") else 0.0
    name = names.full_name(match.string, match.start(), match.start("rest"))
    plain = 0.0
    op = (op or "").strip()
    if quoted and op not in (",", "(", "|") and not value.istitle():
        plain = verdicts.GUESS
    elif not quoted and op in _STORING - {":"} and name.isupper() and (op != "=" or match[0].find("= ") < 0):
        plain = verdicts.LIKELY  # PASSWORD=swordfish, as files of variables have it
    elif (
        not quoted
        and op in _STORING
        and (any(map(str.isdigit, value)) or phrases.is_line(match.string, match.start(), match.end(), value))
    ):
        plain = verdicts.GUESS
    score = verdicts.password(value, quoted=quoted, plain=plain)
    return min(score, verdicts.GUESS) if op in (",", "(") and not verdicts.token(value, quoted=True) else score


def _judge_weak(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    text = match.string
    if match["op"] == "==" or names.is_harmless(text, match.start()):
        return
    start, end, quoted = _span(match)
    value = text[start:end]
    before = names.before(text, match.start())
    in_address = text[max(0, match.start() - len(before) - 1) : match.start() - len(before)] in ("?", "&")
    named = in_address or (before[-1:] in ("-", "_") and (match["op"] == "=" or before.isupper()))
    if " " in value or (not quoted and _is_called(text, end, value)):
        return
    if score := verdicts.token(value, quoted=quoted, named=named):
        yield Finding(start, end, rule.entity, min(score, verdicts.LIKELY))


def _judge_called(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    public = match["bare"].lower().startswith(("pk_", "pk-", "pub", "sb_pub"))  # keys for everybody to see
    if not public and (score := verdicts.token(match["bare"], quoted=True, named=False)):
        yield Finding(*match.span("bare"), rule.entity, score)
