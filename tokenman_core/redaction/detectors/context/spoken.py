"""What people say: "the password is …", in many languages; and a value that stands right behind the word."""

import re
from collections.abc import Iterator
from typing import Final

from tokenman_core.redaction.detectors.context import names, phrases, verdicts
from tokenman_core.redaction.detectors.likely import COMMON, TAILS, is_placeholder, is_random, is_strong
from tokenman_core.redaction.detectors.rules.rule import Rule
from tokenman_core.redaction.entities import Finding

_VERB: Final = (
    r"is|was|are|(?:should|will|shall|must) be|ist|lautet|war|est|était|es|era|è|é|e'|eh|är|er|on|je|jest|to"
    r"|adalah|là|ialah|yra|:|=|->|=>|→|—|–|-"
)
_KEYS: Final = (
    r"(?:api|access|secret|auth|signing|encryption|master|private|licen[cs]e|webhook|client|app|service"
    r"|subscription|deploy|account|session|bearer)"
    r"[- _]?(?:key|token|secret)(?: base)?|secret|token|cl[eé] (?:d')?api|api[- ]schlüssel|credentials?"
    r"|(?:the|my|our|your|his|her|this|new) key"
)
_GATE_KEYS: Final = (
    r"(?:api|access|secret|auth|signing|encryption|master|private|licen[cs]e|webhook|client|app|service"
    r"|subscription|deploy|account|session|bearer)"
    r"[- _]?(?:key|token|secret)|secret|token|login|clave|chave|cl[\x80-\xff]{2} |api[- ]schl|credential"
    r"|(?:the|my|our|your|his|her|this|new) key"
)
_SAID: Final = "|".join(re.escape(word) for word in names.PASSWORDS if word != "pwd")
_GATE_SAID: Final = "|".join(names.loose(word) for word in names.PASSWORDS if word != "pwd")
_GATE_VERB: Final = (
    r"(?:is|was|are|be|ist|lautet|war|est|es|era|er|on|je|jest|to|adalah|ialah|yra|eh|e'|\xc3[\x80-\xbf]|l\xc3\xa0"
    r"|\xc3\xa9tait|\xc3\xa4r)[ \t:]"
    r"|(?:->|=>|\xe2\x86\x92|\xe2\x80[\x93\x94]|-)[ \t]"
)
_VALUE: Final = (
    r"(?:(?P<quote>\*\*|\\{0,3}[\"'`])(?P<quoted>(?:(?!(?P=quote))[^\r\n]){3,128})(?P=quote)"
    r"|[“«„「『‘‚‹](?P<typeset>[^\r\n”»“」』’‘›]{3,128})[”»“」』’‘›]"
    r"|(?:<(?:b|code|em|i|kbd|mark|span|strong|tt)>)?(?P<bare>[^\s\"'`<>{}\[\],;“”«»‘’]{2,128}))"
)

SPOKEN: Final = Rule(
    "spoken",
    "PASSWORD",
    (*dict.fromkeys(names.ascii_part(word) for word in names.PASSWORDS), "key", "secret", "token", "login", "clave",
     "chave", "cl", "api", "credential"),
    rf"(?:{_GATE_SAID}|{_GATE_KEYS})[^\r\n\"=]{{0,48}}?(?:[ \t'](?:{_GATE_VERB}|s[ \t])|:[ \t])",
    re.compile(
        rf"(?i:(?P<pass>{_SAID})|(?P<doubtful>clave|chave|login)|(?:{_KEYS}))(?:et|en|em|n|m|niz"
        rf"|si)?(?![A-Za-z0-9_])(?P<gap>[^\r\n\"=]{{0,48}}?)(?i:[ \t](?P<verb>{_VERB})|(?P<short>'s|:(?=[ \t])))"
        rf"(?i:[ \t](?:now|(?:re)?set to|changed to|ab jetzt|jetzt|ahora|maintenant|ora|agora)(?=[ \t:])"
        rf"|)[ \t:]{{1,3}}{_VALUE}"
    ),
    lambda rule, match: _judge(rule, match),
    caseless=True,
    source="prose",
)  # fmt: skip

ABROAD: Final = Rule(
    "spoken-abroad",
    "PASSWORD",
    names.ABROAD,
    rf"(?:{'|'.join(names.ABROAD)})",
    re.compile(
        rf"(?P<pass>{'|'.join(names.ABROAD)})[^\r\n!-~]{{0,32}}[ \t:=\-]{{0,4}}"
        r"(?:[A-Za-z0-9.-]{1,24}[ \t：:]{1,2}[^\r\n!-~]{0,8})?"
        r"(?P<quote>[\"'`“「『«]?)(?P<bare>[!-~]{4,128})"
    ),
    lambda rule, match: _judge_abroad(rule, match),
    source="prose in other scripts",
)

BESIDE: Final = Rule(
    "beside",
    "PASSWORD",
    (
        " pass",
        "password",
        "passwd",
        "passphrase",
        "passcode",
        "identified",
        "requirepass",
        "masterauth",
        "bindpw",
        "api",
        "token",
        "secret",
        "wachtwoord",
        "passwort",
    ),
    r"(?:[/,;|] pass|password|passwd|passphrase|passcode|passwort|wachtwoord|identified by|requirepass"
    r"|masterauth|bindpw|api[ _-]?key|token|secret)[ \t]{1,4}[\"'`]?[!#$%&*+~?@^._A-Za-z0-9-]{6}",
    re.compile(
        r"(?i:(?P<pass>(?:[/,;|] )pass|(?<!with )password|passwd|passphrase|passcode|passwort|wachtwoord"
        r"|(?P<sql>identified by|(?<=with )password|requirepass|masterauth|bindpw))|api[ _-]?key|token|secret)"
        r"[ \t]{1,4}(?:(?P<quote>[\"'`])(?P<quoted>[^\r\n\"'`]{4,128})(?P=quote)"
        r"|(?P<bare>[^\s\"'`<>(){}\[\],;:=/\\]{6,128})(?![:=(/\\]))"
    ),
    lambda rule, match: _judge_beside(rule, match),
    caseless=True,
    source=".netrc, SQL, configuration of servers, prose",
)

_AS: Final = (
    r"(?:as|is|was|als|ist|comme|est|como|es|come|è|é|som|jako)"
    r" (?:the|my|our|your|their|its|an?|new|das|der|die|den|le|la|el|il|o|mi|mein|mon|ma)"
)
BACKWARDS: Final = Rule(
    "backwards",
    "PASSWORD",
    tuple(
        f" {word} "
        for word in ("as", "is", "was", "als", "ist", "comme", "est", "como", "es", "come", "è", "é", "som", "jako")
    ),
    rf"[^\s\"'`<>()\[\]{{}},;|]{{6,256}}[\"'`]? {_AS} [^\r\n.,;:]{{0,40}}(?:key|token|secret|password|passwort"
    rf"|passwd|passphrase|contrase|senha|mot de passe)",
    re.compile(
        rf"(?P<bare>[^\s\"'`<>()\[\]{{}},;|]{{6,256}})[\"'`]? (?i:{_AS}) [^\r\n.,;:]{{0,40}}?"
        r"(?i:(?P<pass>password|passwort|passwd|passphrase|contrase[nñ]a|senha|mot de passe)|key|token"
        r"|secret)(?![A-Za-z0-9_])"
    ),
    lambda rule, match: _judge_backwards(rule, match),
    caseless=True,
    source="prose: the value first",
)
CREDENTIALS: Final = Rule(
    "credentials",
    "PASSWORD",
    ("login", "log in ", "sign in ", "cred", "user", "account"),
    r"(?:(?:login|credentials?|creds|user(?:name)?|account)[ \t]{0,2}[:=][ \t]{0,2}|(?:log|sign) ?in (?:as|with) )"
    r"[^\s\"'`/|:=,]{1,64}(?:[ \t]{0,2}[/|:][ \t]{0,2})[^\s/|:]{4}|(?:login|credentials|creds) [^\s\"'`/|:=,]{1,64} / [^\s/|:]{4}",
    re.compile(
        r"(?i:(?:(?P<both>login|credentials?|creds)|user(?:name)?|account)[ \t]{0,2}[:=][ \t]{0,2}"
        r"|(?P<said>(?:log|sign) ?in (?:as|with) |(?:login|credentials|creds) (?=[^\s\"'`/|:=,]{1,64} / )))"
        r"[^\s\"'`/|:=,]{1,64}(?P<between>[ \t]{0,2}[/|:][ \t]{0,2})"
        r"(?P<bare>[^\s\"'`<>{}\[\],;]{4,128})"
    ),
    lambda rule, match: _judge_credentials(rule, match),
    caseless=True,
    source="prose: a name and a password, `bob / …`",
)
PIN: Final = Rule(
    "pin",
    "PASSWORD",
    ("pin",),
    r"pin(?:[ -](?:code|number))?[ \t]{0,2}(?:is|:|ist|est|es)[ \t]{1,2}[0-9]{4}",
    re.compile(
        r"(?<![A-Za-z0-9_-])(?i:pin(?:[ -](?:code|number))?)[ \t]{0,2}(?i:is|:|ist|est"
        r"|es)[ \t]{1,2}(?P<bare>[0-9]{4,8})(?![0-9A-Za-z_]|[.,:-][0-9])"
    ),
    lambda rule, match: _judge_pin(rule, match),
    caseless=True,
    source="prose",
)
PGPASS: Final = Rule(
    "pgpass",
    "PASSWORD",
    (":5432:", ":5433:", ":6432:", ":*:"),
    r":(?:5432|5433|6432|\*):[A-Za-z0-9_*.-]{1,64}:[A-Za-z0-9_*.@-]{1,64}:[^\s\"'`]{4}",
    re.compile(r":(?:5432|5433|6432|\*):[A-Za-z0-9_*.-]{1,64}:[A-Za-z0-9_*.@-]{1,64}:(?P<bare>[^\s\"'`:]{4,128})(?!:)"),
    lambda rule, match: _judge_pin(rule, match),
    source="libpq §34.16: .pgpass",
)

# What German, Dutch, French, Spanish, Italian, Portuguese and Polish say of a password.
_OF_PASSWORDS_ABROAD: Final = """
falsch richtig ungültig gültig abgelaufen korrekt sicher unsicher schwach stark notwendig erforderlich vergessen geändert gesetzt
geheim gespeichert verschlüsselt onjuist verkeerd ongeldig geldig verlopen correct veilig onveilig zwak sterk vereist vergeten
gewijzigd incorrecte invalide valide expiré expirée erroné erronée vide faible obligatoire requis requise oublié modifié chiffré
incorrecto incorrecta inválido inválida válido válida correcto correcta vacío vacía débil fuerte obligatorio obligatoria caducada
olvidada errato errata sbagliato sbagliata scaduto scaduta corretto corretta valida vuota debole sicura obbligatoria dimenticata
incorreto incorreta errado errada expirou vazia fraca forte obrigatória esquecida
nieprawidłowe błędne niepoprawne poprawne wymagane wygasło puste słabe silne ustawione zapisane zmienione
"""
_COMMON_ABROAD: Final = frozenset(_OF_PASSWORDS_ABROAD.split())
_CALL: Final = re.compile(r"[A-Za-z_$][\w$.]*\(")
_LEAST_SAID: Final = 3  # words of a passphrase without quotes; two are too often the end of a sentence
_METHOD: Final = re.compile(
    r"(?i)(?:sha|md|utf|base|oauth|pbkdf|argon|ipv|v|http|aes|rsa|tls|ssl|hs|rs|es)-?\d[\d._-]*[a-z]{0,3}$|[^a-z]*\d(?:st|nd|rd|th|x|px"
    r"|ms|s)$|.*-(?:bit|char)"
)


def _trimmed(value: str) -> str:
    """Without the end of a sentence or of a bracket."""
    value = value.rstrip(".,:")
    if value.endswith(")") and "(" not in value:
        value = value[:-1].rstrip(".,:")
    return value[:-2] if value.endswith("**") else value


_OF_WHAT: Final = re.compile(r"[ \t][^:;(){}<>\[\],]{2,48}$")


def _judge(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    name = match.string[match.start() : match.start("gap")]
    bare = match["typeset"] is None
    if bare and match["short"] == ":" and " " not in name and not _OF_WHAT.match(match["gap"]):
        return  # an assignment, which other rules know better, or code
    is_password = match["pass"] is not None
    entity = "PASSWORD" if is_password or match["doubtful"] is not None else "API_KEY"
    verb = (match["verb"] or "is").lower()
    doubtful = match["doubtful"] is not None
    for group in ("quoted", "typeset"):
        if (value := match[group]) is not None:
            if group == "quoted" and value[0] == " ":
                return  # that quote was the end of a text, not the beginning of a value
            if value.lower() in COMMON:
                return  # a word that is printed in bold
            weak = (
                doubtful or (verb in ("to", "on", "-", "er", "es", "je") or verb.endswith(" be"))
            ) and not is_strong(value)
            if (
                not weak
                and not is_placeholder(value)
                and not verdicts.is_rule(value)
                and (is_password or doubtful or verdicts.token(value, quoted=True))
            ):
                yield Finding(*match.span(group), entity, verdicts.LIKELY)
            return
    value = _trimmed(match["bare"])
    if is_password and (whole := _with_signs(match.string, match.start("bare"), len(value))):
        value = whole
    if is_password and value.isalpha() and (end := phrases.end_at(match.string, match.start("bare"), _LEAST_SAID)):
        yield Finding(match.start("bare"), end, entity, verdicts.GUESS)
        return
    score = _said(value, verb, is_password or (doubtful and is_strong(value)))
    if score:
        yield Finding(match.start("bare"), match.start("bare") + len(value), entity, score)


_NO_PASSWORD: Final = re.compile(r"</|/>|://|\]\(|[\"'][,:;)\]}]|[,{\[(:][\"']|[()]|->|=>|\\[nrt]|&quot;")
_AT_ITS_END: Final = ".,:;!?)]}>\"'`”»"


def _with_signs(text: str, start: int, length: int) -> str:
    """A password that goes on behind a sign which mostly ends a value (`Fi&<sh%5q`): the whole word, "" if that is none.

    Only small and capital letters, digits and signs together are believed to be one.
    """
    word = _WORD.match(text, start)
    whole = word[0].rstrip(_AT_ITS_END) if word is not None else ""
    kinds = (str.islower, str.isupper, str.isdigit)
    if len(whole) <= max(length, 7) or not all(any(map(kind, whole)) for kind in kinds) or _NO_PASSWORD.search(whole):
        return ""
    return whole


_WORD: Final = re.compile(r"[^\s“”«»]{8,128}(?!\S)")


def _said(value: str, verb: str, is_password: bool) -> float:
    if len(value) < 4 or is_placeholder(value) or (verb in ("=>", "->", "=") and _CALL.match(value)):
        return 0.0
    if not is_password:
        return min(verdicts.token(value, quoted=False), verdicts.LIKELY)
    if (
        verb in ("to", "on", "er", "es", "je", "-", "–", "—", "=", "e'", "eh", "é") or verb.endswith(" be")
    ) and not is_strong(value):
        return 0.0
    word = value.lower()
    plain = value.isalpha() and (word == value or value.istitle())
    if plain and (word in COMMON or word in _COMMON_ABROAD or word.endswith(TAILS) or len(word) < 5):
        return 0.0
    if plain:
        return verdicts.GUESS
    return verdicts.password(value, quoted=True, plain=0.0 if "-" in value or "/" in value else verdicts.GUESS)


def _judge_abroad(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    value = match["bare"]
    if match["quote"]:
        value = re.split(r"[\"'`]", value)[0]
    value = _trimmed(re.split(r"[\"'`<>,;]", value.rstrip("?"), maxsplit=1)[0] if not match["quote"] else value)
    if len(value) < 4 or is_placeholder(value) or (value.isalpha() and value.lower() in COMMON):
        return
    if is_strong(value) or (value.isalpha() and len(value) >= 6 and match["quote"]) or is_random(value):
        score = verdicts.password(value, quoted=True, plain=verdicts.GUESS)
        if score:
            yield Finding(
                match.start("bare"), match.start("bare") + len(value), rule.entity, min(score, verdicts.LIKELY)
            )


_IN_PROSE_TOO: Final = ("identified by", "password", "Password", "PASSWORD")


def _judge_beside(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    group = "quoted" if match["quoted"] is not None else "bare"
    value = match[group] if group == "quoted" else _trimmed(match[group])
    if _METHOD.match(value):
        return
    if " " in value:
        if match["sql"] is not None and phrases.is_one(value):
            yield Finding(*match.span(group), "PASSWORD", verdicts.GUESS)
        return
    if match["pass"] is None:
        score = verdicts.token(value, quoted=False) if len(value) >= 16 else 0.0
    elif (
        match["sql"] is not None
        or is_strong(value)
        or verdicts.is_jumbled(value)
        or (len(value) >= 12 and is_random(value))
    ):
        chosen = group == "quoted" or (match["sql"] or "requirepass") not in _IN_PROSE_TOO
        score = verdicts.password(value, quoted=chosen, plain=verdicts.GUESS if chosen else 0.0)
    else:
        score = 0.0
    if score:
        entity = "PASSWORD" if match["pass"] is not None else "API_KEY"
        yield Finding(match.start(group), match.start(group) + len(value), entity, min(score, verdicts.LIKELY))


def _judge_credentials(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    value = _trimmed(match["bare"])
    both = match["both"] is not None or match["said"] is not None
    drawn = is_strong(value) and both and (" " in match["between"] or ":" in match["between"])
    if drawn and not value.isdigit() and "//" not in value and (score := verdicts.password(value, quoted=True)):
        yield Finding(match.start("bare"), match.start("bare") + len(value), rule.entity, min(score, verdicts.LIKELY))


def _judge_pin(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    value = match["bare"]
    if not is_placeholder(value) and value.isdigit() == (rule.id == "pin"):
        yield Finding(*match.span("bare"), rule.entity, verdicts.GUESS)


def _judge_backwards(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    value = match["bare"]
    if match["pass"] is None:
        score = verdicts.token(value, quoted=False) if len(value) >= 12 else 0.0
    else:
        score = verdicts.password(value, quoted=True) if is_strong(value) else 0.0
    if score:
        yield Finding(
            *match.span("bare"), "PASSWORD" if match["pass"] is not None else "API_KEY", min(score, verdicts.LIKELY)
        )
