"""What a rule for a kind of secret is, and the two ways to write one down: by its prefixes, or by its whole shape."""

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from tokenman_core.redaction.detectors.likely import is_drawn
from tokenman_core.redaction.entities import Finding

ALNUM: Final = "A-Za-z0-9"
LOWER: Final = "a-z0-9"
UPPER: Final = "A-Z0-9"
HEX: Final = "0-9a-f"
ANYHEX: Final = "0-9A-Fa-f"
WORD: Final = "-A-Za-z0-9_"
DOTTED: Final = "-A-Za-z0-9_."
BASE64: Final = "A-Za-z0-9+/"
UUID: Final = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

START: Final = r"(?<![A-Za-z0-9_])"
"""Where a value begins: not within a word. ASCII only, for `\\b` takes Chinese letters for a part of the word."""

_HEAD: Final = 8  # characters of a value's body that a gate asks for


class Rule(NamedTuple):
    """One row of the tables of secrets.

    `keywords`: literals in lower case of which one stands in every match of `head` (for gates that search words first).
    `head`: a condition for gates, which begins where `pattern` does; no look-around, so that Hyperscan and RE2 can both
    run it over UTF-8 bytes. `judge`: the findings of a match of `pattern`, none if it is no secret after all.
    `min_entropy`: bits a character of the value's body. `source`: who documents the shape.
    """

    id: str
    entity: str
    keywords: tuple[str, ...]
    head: str
    pattern: re.Pattern[str]
    judge: "Callable[[Rule, re.Match[str]], Iterable[Finding]]"
    caseless: bool = False
    min_entropy: float = 0.0
    score: float = 1.0
    source: str = ""


_OF_A_DIGEST: Final = re.compile(r"sha(?:1|224|256|384|512)[-=:][A-Za-z0-9+/_-]{0,100}\Z")
_LONGEST_DIGEST: Final = 112


def whole(rule: Rule, match: re.Match[str]) -> Iterable[Finding]:
    """The whole match, if its body (the group of that name, or all of it) looks drawn, and it is no part of a checksum."""
    body = match["body"] if "body" in rule.pattern.groupindex else match[0]
    start = match.start()
    if is_drawn(body, rule.min_entropy) and not _OF_A_DIGEST.search(
        match.string, max(0, start - _LONGEST_DIGEST), start
    ):
        yield Finding(match.start(), match.start() + len(match[0].rstrip(".")), rule.entity, rule.score)


def key(
    id: str, prefixes: str, letters: str, least: int, most: int | None = None, *,
    source: str, entropy: float = 2.5, score: float = 1.0, entity: str = "API_KEY",
) -> Rule:  # fmt: skip
    """A key that is one of some literal prefixes (blanks between them), then `least` to `most` of a class of letters.

    It ends where no further letter of the class follows, whatever that is: a quote, a CJK letter, a bracket. Without
    `most` it may be as long as it likes, for vendors make their keys longer from time to time.
    """
    literals = prefixes.split()
    any_prefix = "|".join(map(re.escape, literals))
    repeats = f"{{{least},{'' if most is None else most}}}+"
    return Rule(
        id,
        entity,
        tuple(literal.lower() for literal in literals),
        f"(?:{any_prefix})[{letters}]{{{min(least, _HEAD)}}}",
        re.compile(f"{START}(?:{any_prefix})(?P<body>[{letters}]{repeats})(?![{letters}])"),
        whole,
        min_entropy=entropy,
        score=score,
        source=source,
    )


def shape(
    id: str, keywords: str, head: str, pattern: str, *,
    source: str, entropy: float = 2.5, score: float = 1.0, entity: str = "API_KEY",
    judge: Callable[[Rule, re.Match[str]], Iterable[Finding]] = whole,
) -> Rule:  # fmt: skip
    """A value that takes more to tell than a prefix. `keywords`: blanks between them."""
    return Rule(
        id,
        entity,
        tuple(keywords.split()),
        head,
        re.compile(pattern),
        judge,
        min_entropy=entropy,
        score=score,
        source=source,
    )
