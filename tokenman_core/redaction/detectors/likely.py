"""Whether a string can be a secret: not what stands for one, not a name in a program, not a word of prose."""

import math
import re
from collections import Counter
from typing import Final

# What stands where a secret would, in documentation and in code, and is none.
_NO_VALUE = re.compile(
    r"(?i)^(?:"
    r"[x*.•#_?-]{3,}|<.*>|\$(?:[a-z_]\w*|[{(].*)|%[a-z_]+%|\{.*\}|\[.*\]|\*+.*\*+|.*\.\.\.|…|"
    r"(?:your|insert|enter|add|put|replace|change)(?:[-_ ](?:[a-z]+|\d{1,3}))+[.!]?|(?:my|the|some|an?|use|set)[-_ ][a-z _-]*|"
    # types, constants, the very words that announce a secret
    r"(?:none|null|nil|undefined|true|false|yes|no|str|string|text|bytes|int|integer|number|bool|boolean|any|object|optional|"
    r"required|default|unknown|empty|fail|ok|error|todo|tbd|n/a|password|passwd|pass|pwd|passphrase|secret|token|api[_-]?key|key|username|user|"
    r"example|placeholder|redacted|hidden|masked|pw|changeme|change[_-]me|hash(?:ed)?|encrypted|self|this|input|value|auto|off|on|"
    r"disabled|enabled|amd64|arm64|i386|x86_64|aarch64|bearer|basic|digest|oauth2?|sha256|md5|bcrypt|argon2(?:id)?|scrypt)[.,;:!?]*|"
    # look-ups
    r"(?:os\.|process\.|env[.:(\[]|getenv|secrets?\.|vault:|keyring:|file:|config\.|settings\.|self\.|this\.|args\.|req\.|request\.|"
    r"ctx\.|params\.|options\.|props\.|var\.|local\.|data\.|import[ (]|await |new |function\b|lambda\b|def |return\b|typeof\b).*)$"
)
# What is written in brackets and is no name all the same: small or capital letters, digits and signs together, without a blank.
_IN_BRACKETS = re.compile(
    r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])(?=.*[!@#$%^&*+~?])(?:\{[^\s{}:]{6,}\}|<[^\s<>:]{6,}>)(?<!![ars]\})$"
)
_CODE = re.compile(r"^[A-Za-z_$][\w$]*(?:(?:\.|::|->)[A-Za-z_$][\w$]*)*[!?]?$")
# How words end that follow "the password is", and common words that do.
TAILS: Final = ("ed", "ing", "ly", "able", "ible", "ent", "ory", "ary", "ful", "ous")
COMMON: Final = frozenset(
    {
        "about", "above", "across", "after", "again", "against", "almost", "alone", "along", "already", "also",
        "although", "always", "among", "another", "anything", "because", "been", "before", "behind", "being", "below",
        "better", "between", "blank", "both", "broken", "cached", "case", "chosen", "correct", "could", "different", "down", "each",
        "either", "else", "enough", "even", "every", "exactly", "fine", "first", "forgotten", "found", "from", "given",
        "going", "gone",
        "good", "hard", "have", "here", "hidden", "incorrect", "inside", "invalid", "just", "kept", "known", "later", "less",
        "like", "long", "longer", "made", "more", "most", "much", "must", "never", "next", "none", "not", "nothing",
        "now", "often", "okay", "old", "only", "open", "other", "over", "part", "plain", "plaintext", "possible",
        "private", "public", "quite", "rather", "read", "ready", "really", "right", "safe", "same", "secret",
        "secure", "sent", "short", "shown", "simple", "simply", "since", "some", "something", "still", "stale",
        "strong", "such", "sure", "taken", "than", "that", "their", "them", "then", "there", "these", "they", "this",
        "those", "through", "too", "true", "under", "unique", "unknown", "until", "unsafe", "up", "used", "valid",
        "very", "weak", "well", "what", "when", "where", "which", "while", "with", "within", "without", "written", "wrong",
        "yet", "your", "yours", "case-sensitive", "base64", "utf-8", "optional", "required", "missing", "null",
        "undefined", "text", "string", "bytes", "unicode", "ascii", "binary", "numeric",
    }
)  # fmt: skip


# The pairs of letters that make up nine tenths of words and of names in programs, by their first letter. Of drawn letters they
# are four tenths.
_FOLLOWERS: Final = (
    "aabcdfgiklmnprstuvy baeilorsu cacehiklorstu dadefilorsu eabcdefgilmnopqrstuvwxy faefiloru gaehilnorsu haeiortu "
    "iabcdefgklmnoprstvxz jaeo kaeiost ladeilostuy mabeimopsu nacdefgiklnostuvy oabcdfgiklmnoprstuvw paehiloprstuy qu "
    "rabcdefgiklmnoprstuvy sacefhiklopstuy tacehilmoprstuy uabcdegilmnoprst vaeio waeio xpt yelnps zae"
)
_PAIRS: Final = frozenset(group[0] + second for group in _FOLLOWERS.split(" ") for second in group[1:])
_HUMP: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_STANDS_FOR: Final = re.compile(
    r"your[-_A-Z]|YOUR|x{4}|X{4}|0{8}|\*{4}|\.{3}|…|(?i:example|placeholder|redacted|changeme|change[_-]me|insert[_-]|replace[_-]|"
    r"[_-]here(?![a-z])|dummy[_-])"
)


def entropy(value: str) -> float:
    """Shannon's bits a character of the value's own letters."""
    total = len(value)
    return -sum(count / total * math.log2(count / total) for count in Counter(value).values()) if total else 0.0


def is_placeholder(value: str) -> bool:
    """Whether this stands for a value (`${VAR}`, `<token>`, `your-key`, `xxxx`, a type's name, a look-up) and is none."""
    if _NO_VALUE.match(value) is not None:
        return _IN_BRACKETS.match(value) is None
    return len(set(value)) <= (2 if len(value) > 3 else 1)


def is_strong(value: str) -> bool:
    """Whether a bare word cannot be read as a word of prose or as a name in a program."""
    letters = sum(map(str.isalpha, value))
    digits = sum(map(str.isdigit, value))
    return (digits > 0 and (letters > 0 or digits >= 6)) or (
        letters > 0 and any(char in "!@#$%^&*+~?=" for char in value[:-1])
    )


def is_random(value: str) -> bool:
    """Whether this looks drawn, as keys and tokens are: long, mixed and without the rhythm of words."""
    if len(value) < 8:
        return False
    digits = any(map(str.isdigit, value))
    return (digits and entropy(value) >= 2.8) or (len(value) >= 20 and entropy(value) >= 3.8 and "_" not in value[1:-1])


def is_code(value: str) -> bool:
    """Whether this is a name in a program, a dotted one too."""
    return _CODE.match(value) is not None


def is_worded(value: str) -> bool:
    """Whether the letters of this follow one another as they do in words (`my-service-account-token`), not as if drawn."""
    words = [hump.lower() for hump in _HUMP.findall(value) if len(hump) >= 3]
    pairs = sum(map(len, words)) - len(words)
    if pairs < 6 or (pairs + len(words)) * 4 < 3 * sum(map(str.isalnum, value)):
        return False
    common = sum(word[at : at + 2] in _PAIRS for word in words for at in range(len(word) - 1))
    return common >= 0.85 * pairs


def stands_for(value: str) -> bool:
    """Whether a part of this says that it only stands for a key (`EXAMPLE`, `your-`, `xxxx`, `...`)."""
    return _STANDS_FOR.search(value[:80]) is not None


def is_drawn(body: str, least_entropy: float = 2.5) -> bool:
    """Whether the part of a key behind its prefix can be a real one: mixed, and neither words nor what stands for a key."""
    if entropy(body) < least_entropy or stands_for(body) or is_worded(body):
        return False
    return len(body) < 16 or any(map(str.isdigit, body)) or not (body.islower() or body.isupper())
