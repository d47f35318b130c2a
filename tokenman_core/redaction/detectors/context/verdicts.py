"""Whether the value beside a telling name is a secret, and how sure that is: of passwords, and of keys and tokens."""

import re
from itertools import pairwise
from typing import Final

from tokenman_core.redaction.detectors.likely import (
    COMMON,
    entropy,
    is_code,
    is_drawn,
    is_placeholder,
    is_random,
    is_strong,
    is_worded,
)  # fmt: skip

SURE: Final = 0.95
LIKELY: Final = 0.8
GUESS: Final = 0.6
_LONG_JUMBLE: Final = 20

_PATH: Final = re.compile(r"(?:~?\.{0,2}/|[A-Za-z]:\\|https?:|file:|\$[A-Za-z_][\w:]*-?$|@[A-Z]+$)")
_BASE64: Final = re.compile(r"(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])(?=[^0-9]*[0-9])[A-Za-z0-9+/]{32,}={0,2}$")
_DOTTED_NAME: Final = re.compile(r"[A-Za-z_$][\w$-]*(?:[./:][A-Za-z_$-][\w$-]*)+$")
_TYPE: Final = re.compile(r"(?:\w+(?:\.|::))*[A-Z][A-Za-z0-9]*(?:Key|Token|Secret|Credentials?|Password)$")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")
_LICENCE: Final = re.compile(
    r"(?i)(?:LicenseRef|[AL]?GPL|GFDL|BSD|MIT|ISC|Apache|MPL|CC0?|CDDL|EUPL|EPL|OFL|ZPL|PSF|Zlib|BSL|SSPL|Artistic|Unicode|Ruby)"
    r"(?:-[0-9]{1,4}(?:\.[0-9]{1,2}){0,2}|-[A-Za-z]{2,16}|-[a-z]{1,8}[0-9]{1,4})+$"
)  # of software: the name of one (SPDX)
_DIGEST: Final = re.compile(r"(?:sha\d{1,3}|md5|crc32c?)[-:]|(?:[0-9a-f]{2}:){7}", re.IGNORECASE)
_METHOD: Final = re.compile(
    r"(?i)(?:scram-)?(?:sha|md|aes|rsa|utf|iso|oauth|argon|pbkdf|ed|hs|rs|es|tls)[-_]?\d[\d-]*(?:with[A-Za-z]{2,12})?(?:[-_][a-z0-9]+)*$"
)
# A tag of YAML, the rules of a form, a repetition in a grammar (RFC 5234).
_RULES: Final = re.compile(r"![a-z]+$|(?:[a-z_]+(?::[\w,]+)?\|)+[a-z_]+(?::[\w,]+)?$|\d{0,2}\*\d{0,2}[A-Z]{2,}$")
_CALL: Final = re.compile(r"[A-Za-z_$][\w$]*!?(?:(?:(?:\.|::|->)[\w$]+!?)+\(|\((?:\)|[\"'])).*[)\"',;]$")
_REFERENCE: Final = re.compile(r"@[A-Za-z_]+$")  # a parameter of SQL, a variable of Ruby
# Scripts without blanks: a whole sentence may be one word.
_WITHOUT_BLANKS: Final = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}|\d{1,2}:\d{2}|v?\d+(?:\.\d+){1,3}$")
_HASHED: Final = re.compile(
    r"\$(?:2[abxy]?|1|5|6|argon2\w*|scrypt|pbkdf2\S{0,20})\$|\{(?:SSHA|SHA|CRYPT|MD5)\}|(?:pbkdf2|scrypt|bcrypt"
    r"|sha1|sha256)\S{0,24}[:$]"
)


def password(value: str, *, quoted: bool, plain: float = 0.0) -> float:
    """How sure it is that this is a password (0: it is none). `plain`: what is thought of a mere word here."""
    if (
        len(value) < 4
        or is_placeholder(value)
        or _PATH.match(value)
        or _DATE.match(value)
        or _HASHED.match(value)
        or _RULES.match(value)
        or _METHOD.match(value)
        or _CALL.match(value)
        or (not quoted and _REFERENCE.match(value))
        or (value.isalpha() and _WITHOUT_BLANKS.search(value))
    ):
        return 0.0
    if value[0] in "+." and value[-1] in "+.":
        return 0.0  # what stands between two pieces of a text that a program joins
    if _DOTTED_NAME.match(value) and not any(map(str.isdigit, value.replace("2", ""))):
        return 0.0
    if is_strong(value) or (value[-1] in "!@#$%^&*+~?=" and _is_mixed(value) and not is_worded(value)):
        if is_code(value) and not quoted:
            return LIKELY if is_random(value) and not is_worded(value) else plain
        return SURE if quoted or is_random(value) else LIKELY
    if is_jumbled(value):
        return LIKELY
    if value.lower() in COMMON or not any(map(str.isalpha, value)):
        return GUESS if len(value) >= 6 and value.isdigit() and quoted else 0.0
    return plain


def token(value: str, *, quoted: bool, named: bool = True) -> float:
    """How sure it is that this is a key or a token. `named`: whether the name beside it can mean nothing else."""
    if len(value) < 8 or is_placeholder(value) or _DIGEST.match(value) or _DATE.match(value):
        return 0.0
    if (_PATH.match(value) and not _BASE64.match(value)) or _LICENCE.match(value) or _METHOD.match(value):
        return 0.0
    if value.isdigit() or (not any(map(str.isdigit, value)) and len(value) < 20):
        return 0.0
    if not quoted and _TYPE.match(value):
        return 0.0  # what a program calls a kind of key
    if _UUID.match(value):
        return LIKELY if named and len(set(value)) > 6 else 0.0
    if _DOTTED_NAME.match(value) and not _BASE64.match(value) and (is_worded(value) or not is_drawn(value, 3.2)):
        return 0.0
    if not named:
        mixed = any(map(str.isdigit, value)) and any(map(str.isupper, value)) and any(map(str.islower, value))
        return GUESS if len(value) >= 20 and mixed and is_drawn(value, 3.7) else 0.0
    if not is_drawn(value, 2.6) or (is_code(value) and not quoted and not _drawn_name(value)):
        return 0.0
    return (SURE if entropy(value) >= 3.2 else LIKELY) if len(value) >= 16 else LIKELY


def _drawn_name(value: str) -> bool:
    """Whether what could be the name of a variable is more likely drawn: digits among its letters, not only behind them."""
    inner = value.rstrip("0123456789")
    return (len(inner) >= _LONG_JUMBLE and is_jumbled(inner)) or (
        any(map(str.isdigit, inner)) and is_drawn(value, 2.8) and "." not in value
    )


def is_rule(value: str) -> bool:
    """Whether this says what a value must be (`required|min:12`), and is none."""
    return _RULES.match(value) is not None


def is_jumbled(value: str) -> bool:
    """Whether these are drawn letters: small and capital ones in no order that a name has."""
    turns = sum(one.islower() and other.isupper() for one, other in pairwise(value))
    return len(value) >= 10 and value.isalpha() and value.isascii() and turns >= 3 and not is_worded(value)


def _is_mixed(value: str) -> bool:
    return any(map(str.islower, value)) and any(map(str.isupper, value[1:]))
