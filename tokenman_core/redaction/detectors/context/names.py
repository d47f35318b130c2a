"""The words that announce a secret, in the languages that people and programs use, and the names that only look so."""

import re
from typing import Final

PASSWORDS: Final = (
    "password", "passwd", "passphrase", "pass phrase", "passcode", "pwd", "passwort", "kennwort", "passwörter",
    "contraseña",
    "contrasena", "contrasenya", "mot de passe", "mdp", "motdepasse", "senha", "palavra-passe", "wachtwoord",
    "lösenord", "losenord",
    "adgangskode", "passord", "salasana", "hasło", "haslo", "heslo", "jelszó", "jelszo", "şifre", "sifre", "parola",
        "parolă",
    "mật khẩu", "mat khau", "kata sandi", "lozinka", "geslo", "slaptažodis", "parool",
)  # fmt: skip
"""What a password is called in languages of Latin letters."""

ABROAD: Final = (
    "密码", "密碼", "口令", "密钥", "密鑰", "令牌", "パスワード", "暗証番号",
    "パスフレーズ", "トークン", "シークレット", "비밀번호", "패스워드", "암호", "비번",
    "пароль", "Пароль", "ПАРОЛЬ", "пароля", "токен", "Токен", "парола", "Парола", "лозинка", "κωδικός",
    "Κωδικός", "κωδικος",
    "סיסמה", "סיסמא", "كلمة المرور", "كلمة السر", "پسورد", "رمز عبور", "पासवर्ड", "รหัสผ่าน", "পাসওয়ার্ড",
    "கடவுச்சொல்",
)  # fmt: skip
"""The same in other scripts, each with the cases that are written."""

KEYS: Final = (
    r"secret|token|api[-_. ]?key|access[-_.]?key|private[-_.]?key|account[-_.]?key|auth[-_.]?key"
    r"|encryption[-_.]?key|enc[-_.]?key"
    r"|signing[-_.]?key|shared[-_.]?key|master[-_.]?key|client[-_.]?key|app(?:lication)?[-_.]?key"
    r"|subscription[-_.]?key|license[-_.]?key"
    r"|service[-_.]?key|secure[-_.]?key|webhook[-_.]?key|consumer[-_.]?key|server[-_.]?key|deploy[-_.]?key"
    r"|storage[-_.]?key|admin[-_.]?key"
    r"|hmac[-_.]?key|jwt[-_.]?key|ssh[-_.]?key|crypt(?:o)?[-_.]?key|access[-_.]?code|credentials?|creds"
    r"|connection[-_.]?string|shared[-_.]?access"
    r"|x-api-key|bearer|jwt|otp|passkey|sharedaccesskey|accountkey|seed[-_ ]?phrase|mnemonic|cookie[-_]?secret"
    r"|client[-_]?secret|api[- ]schl.{1,2}ssel|api[- ]?sleutel|api[- ]?nyckel|klucz api|chiave api"
)
"""What a key is called, as a pattern: in names of variables, of fields and of headers."""

WEAK: Final = (
    r"key|auth|sig|sign|signature|sid|session(?:[-_.]?id)?|sess(?:id)?|phpsessid|jsessionid|connect\.sid"
    r"|csrf(?:token)?|xsrf|salt"
    r"|_auth|authorization|cookie|cred|code|hash_key|apikey|appid|pat|dsn|nonce|ticket|assertion|refresh|seed"
    r"|license|licence|x-amz-credential"
)
"""Names of which only a value that cannot be anything else makes a secret."""

_HARMLESS_BEFORE: Final = re.compile(
    r"(?i)(?:^|[-_.])(?:public[-_.]?key|public|pub|publishable|primary|foreign|partition|sort|range|cache|caching|idempotency"
    r"|object|row|index|unique|next|page|paging"
    r"|continuation|sync|pad|padding|eos|bos|unk|mask|sep|cls|special|vocab|max|min|num|n|prompt|completion"
    r"|input|output|total|cached|reasoning|dict"
    r"|translation|i18n|locale|message|label|query|lookup|map|group|order|hash|store|storage|data|state|props?"
    r"|field|column|json|yaml|react|list|item"
    r"|artifact|integrity|checksum|bucket|s3|blob|doc|document|node|tree|parent|child|cursor|start|end|last"
    r"|first|image|file|host|known|fingerprint"
    r"|device|lock|event|trace|span|request|resource|entity|rsa_public|verify|verification|tik)[-_.]?$"
)
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NAME_BEFORE: Final = re.compile(r"[A-Za-z0-9_.$-]{0,48}$")

OTHER: Final = (
    r"(?![-_.]?(?:s?[-_.]?(?:count|limit|budget|type|name|names|id|ids|ident|identifier|url|uri|path|file"
    r"|filename|field|column|policy|length|len|size|hash(?:er)?"
    r"|expir\w*|ttl|at|age|usage|used|index|regex|pattern|provider|manager|service|store|prompt|label|hint|reset"
    r"|endpoint|error|errors|message|text|title"
    r"|help|desc|description|placeholder|rules?|format|version|arn|ref|selector|validator|validation|strength"
    r"|confirm(?:ation)?|mismatch|required"
    r"|izer\w*|ize\w*|isation|ization|prefix|suffix|source|scheme|algorithm|alg|class|icon|input|button|form"
    r"|link|page|view|kind|per|rate|position|offset)\b"
    r"|s\b(?!\.)))"
)
"""Behind a telling word more of a name may stand (`password_prod`, `TOKEN_2`), unless it says that the value is something else."""


_OTHER_PARTS: Final = re.compile(
    r"(?i)(?:count|limit|budget|type|name|id|url|uri|path|file|filename|field|column|policy|length|len|size|hash"
    r"|hasher|expir\w*|ttl|age|usage|used|index"
    r"|regex|pattern|provider|manager|service|reset|timeout|endpoint|errors?|message|text|title|label|hint"
    r"|prompt|help|description|placeholder|rules?|version"
    r"|arn|selector|validators?|strength|mismatch|required|algorithm|class|icon|input|button|form|page|view|kind"
    r"|rate|enabled|disabled|max|min|days|attempts)$"
)


def is_other(rest: str) -> bool:
    """Whether what follows a telling word in a name makes the value something else (`PASSWORD_RESET_TIMEOUT`)."""
    return any(_OTHER_PARTS.match(part) for part in re.split(r"[-_.]", _CAMEL.sub("_", rest)) if part)


_ESCAPED: Final = ("n", "r", "t")


def before(text: str, start: int) -> str:
    """What of a name in a program stands before a telling word."""
    match = _NAME_BEFORE.search(text, max(0, start - 48), start)
    name = match[0] if match is not None else ""
    if name[:1] in _ESCAPED and text[start - len(name) - 1 : start - len(name)] == "\\":
        return name[1:]  # a line's end as JSON writes it
    return name


def full_name(text: str, start: int, end: int) -> str:
    """The whole name in a program of which a telling word is a part, its humps set apart by _."""
    return _CAMEL.sub("_", before(text, start) + text[start:end])


def is_harmless(text: str, start: int) -> bool:
    """Whether what stands before a telling word makes another thing of it (`public_key`, `next_token`, `sortKey`, an ARN)."""
    name = before(text, start)
    if text[max(0, start - len(name) - 96) : start - len(name)].find("arn:aws") >= 0:
        return True
    if text[start : start + 1].isupper():
        name = _CAMEL.sub("_", name + "X").removesuffix("X")
    return bool(name) and _HARMLESS_BEFORE.search(name) is not None


def loose(word: str) -> str:
    """A word as a pattern for gates, which read bytes: a letter beyond ASCII in either case."""
    return "".join(re.escape(letter) if letter.isascii() else r"[\x80-\xff]{2,3}" for letter in word)


def gate_of(words: tuple[str, ...]) -> str:
    """Any of some words as a pattern for gates."""
    return "|".join(map(loose, words))


def ascii_part(word: str) -> str:
    """The longest run of ASCII letters in a word, in lower case."""
    return max(re.split(r"[^\x00-\x7f]+", word.lower()), key=len)
