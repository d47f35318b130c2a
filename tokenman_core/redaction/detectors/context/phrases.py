"""Secrets of plain words: passwords (`correct horse`) and the sentences that they are not, and the phrases that open a wallet."""

import re
from collections.abc import Iterator
from typing import Final

from tokenman_core.redaction.detectors.context import verdicts
from tokenman_core.redaction.detectors.likely import COMMON
from tokenman_core.redaction.detectors.rules.rule import Rule
from tokenman_core.redaction.entities import PLACEHOLDER, Finding

_WORDS: Final = re.compile(r"[a-z]{2,16}(?:[ \t][a-z]{2,16}){1,7}")
_TO_THE_END: Final = re.compile(rf"(?P<words>{_WORDS.pattern})[.]?[ \t]{{0,8}}(?:\Z|\r?\n|\\{{1,7}}[nr]|\\{{0,7}}\")")
_JOINED: Final = re.compile(r"[a-z]{2,16}(?:-[a-z]{2,16}){2,7}|[A-Z][a-z]{2,15}(?: [A-Z][a-z]{2,15}){2,7}")
_LEAST_JOINED: Final = 3  # words that a hyphen joins, or that begin with a capital letter, as names do
_LONG: Final = 4  # letters of the words that count
_LEAST_LONG: Final = 2
_TAILS: Final = ("ed", "ing", "ly", "able", "ible", "tion", "ations", "ity", "ment", "ful", "ous", "ive", "ory", "ary")

# Words of which a sentence, a label or the description of a field has one, and hardly any passphrase: what holds sentences
# together, and what is said of passwords and of fields.
_HOLD_TOGETHER: Final = """
a an the this that these those there here it its is are was were be been being am do does did done has have had will would shall
should can could may might must and or not no nor but if then else than so as at by for from in into of off on onto out over per
to up via with within without while when where which who whom whose what why how only just also too very more most less least
any all each every some none both either same other another such again once ever never always already yet still because since
until unless about above after before behind below between during through under we you they he she him her his their our your my
mine ours theirs yours one two
"""
_OF_FIELDS: Final = """
password passwords passphrase passwd pass passcode pin secret secrets token tokens key keys login user username name value
values string text number field fields character characters char chars letter letters digit digits symbol symbols word words
phrase length minimum maximum min max default optional required missing empty blank null unset set reset change changeme enter
type insert provide choose pick select use using used see ask check confirm repeat forgot forgotten show hide invalid valid
wrong correctly incorrect weak strong short long good bad new old current previous next first last plain clear hash hashed
encoded encrypted encryption decrypted stored saved sent shared masked hidden protected policy rules rule manager store vault
keychain keyring env environment variable config configuration file path prompt input output example sample placeholder dummy
test testing todo unknown random generated admin database server client account email mail please contact me us them case
sensitive base must should cannot expired expires answer result reply response stdin stdout entry
"""
_FIELDS: Final = frozenset(_OF_FIELDS.split())
_SAID: Final = frozenset(_HOLD_TOGETHER.split()) | _FIELDS
_LETTERS: Final = re.compile(r"[a-z]+")


def is_spaced(value: str) -> bool:
    """Whether words with blanks between them and digits or signs in them (`Blue kite 42!`) are a password, and no label of a field.

    Behind a name that announces one, in quotes.
    """
    blanks = value.count(" ")
    return (
        8 <= len(value) <= 64
        and blanks <= (5 if any(map(str.isdigit, value)) else 3)
        and (blanks < 2 or _FIELDS.isdisjoint(_LETTERS.findall(value.lower())))
        and PLACEHOLDER.search(value) is None  # it has been judged, with what stood there
        and verdicts.password(value.replace(" ", ""), quoted=True) >= verdicts.SURE
    )


def is_one(value: str, least: int = _LEAST_LONG) -> bool:
    """Whether these words, behind a name that announces a password, are one: small ones, so many of them long, and no sentence."""
    if _JOINED.fullmatch(value) is not None:
        least = max(least, _LEAST_JOINED)
    elif _WORDS.fullmatch(value) is None:
        return False
    words = re.split(r"[ \t-]", value.lower())
    if not _SAID.isdisjoint(words) or any(word.endswith(_TAILS) for word in words):
        return False
    return sum(len(word) >= _LONG for word in words) >= least


def end_at(text: str, start: int, least: int = _LEAST_LONG) -> int:
    """Where some bare words end that make a password, and their line with them; 0 if there are none."""
    match = _TO_THE_END.match(text, start)
    return match.end("words") if match is not None and is_one(match["words"], least) else 0


_ONE_WORD: Final = re.compile(r"[a-z]{6,24}")
_BEGINS_A_LINE: Final = re.compile(r"(?:\A|[\r\n]|\\n)[ \t>-]{0,12}[A-Za-z0-9_.-]{0,48}\Z")
_ENDS_A_LINE: Final = re.compile(r"[ \t]{0,8}(?:\Z|\r?\n|\\{1,7}[nr])")


def is_word(value: str) -> bool:
    """Whether this is one small word that hardly any sentence or label has."""
    return (
        _ONE_WORD.fullmatch(value) is not None
        and value not in _SAID
        and value not in COMMON
        and not value.endswith(_TAILS)
    )


def is_line(text: str, start: int, end: int, value: str) -> bool:
    """Whether a name with a telling word at `start` and its value, which is one word and ends at `end`, are a line of their own."""
    return (
        is_word(value)
        and _ENDS_A_LINE.match(text, end) is not None
        and _BEGINS_A_LINE.search(text, max(0, start - 64), start) is not None
    )


_WALLET: Final = r"mnemonic|(?:seed|recovery|backup|wallet|secret recovery)[-_ ]?(?:phrase|words?|sentence)"
SEED_PHRASE: Final = Rule(
    "seed-phrase",
    "PRIVATE_KEY",
    ("mnemonic", "phrase", "seed", "recovery", "wallet", "backup"),
    rf"(?:{_WALLET})[^a-z\r\n]{{0,4}}[^\r\n]{{0,40}}[ \t:=\"'`*>({{,]",
    re.compile(
        rf"(?i:{_WALLET})(?:[^\r\n:=]{{0,40}}?(?:[:=]|[ \t]is)|[A-Z_]{{0,24}}=|[^\w\r\n]{{0,8}})[\s\"'`*>({{,\\]{{0,8}}"
        r"(?P<words>[a-z]{3,8}(?:(?:[ \t]{1,3}|,[ ]?|\r?\n)[a-z]{3,8}){11,23})(?![A-Za-z])"
    ),
    lambda rule, match: _judge_seed(rule, match),
    caseless=True,
    source="BIP 39: 12, 15, 18, 21 or 24 words of three to eight letters",
)


_WORD: Final = re.compile(r"[a-z]+")
_COUNTS: Final = (24, 21, 18, 15, 12)
_LITTLE: Final = frozenset(
    {"the", "and", "for", "with", "are", "was", "were", "been", "has", "had", "not", "your", "from", "its", "but"}
)
"""Words that sentences have, and the list of BIP 39 has not."""


def _judge_seed(rule: Rule, match: re.Match[str]) -> Iterator[Finding]:
    start = match.start("words")
    words = list(_WORD.finditer(match["words"]))
    for count in _COUNTS:
        if count > len(words):
            continue
        end = words[count - 1].end()
        last = count == len(words) or "\n" in match["words"][end : words[count].start()]  # what follows may be prose
        if last and all(word[0] not in _LITTLE for word in words[:count]):
            yield Finding(start, start + end, rule.entity, 0.9)
            return
