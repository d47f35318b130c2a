"""Words that stand near a number and say what it is, or that it is nobody's: looked for within a short distance only."""

import re
from typing import Final

REACH: Final = 60  # characters before a value that may explain it
BEHIND: Final = 24  # and after it


def _any(words: str) -> re.Pattern[str]:
    """A word of the list, with its inflections: it begins where no letter precedes."""
    return re.compile(r"(?<![A-Za-z])(?:" + "|".join(re.escape(word) for word in words.split("|")) + ")", re.IGNORECASE)


PHONE: Final = _any(
    "phone|tel.|tel:|tel |telephone|téléphone|telefon|teléfono|telefono|telefone|mobile|mobil|handy|móvil|cell|call|"
    "fax|whatsapp|signal|sms|"
    "text me|dial|ring|rufnummer|contact|reach me|reach us|numéro|hotline|电话|手机|電話|携帯|전화|тел|телефон"
)
SSN: Final = _any("ssn|social security|social-security|social_security|social sec|tax id|taxpayer|ss#|ss no")
CARD: Final = _any(
    "card|visa|mastercard|amex|american express|credit|debit|"
    "karte|carte|tarjeta|cartão|pan:|pan |payment|cc|discover|maestro"
)
ADDRESS: Final = _any(
    "ip|ipv4|ipv6|host|addr|server|client|from|remote|peer|gateway|dns|connect|ping|ssh|listen|bind|port|inet|login"
)
VERSION: Final = _any(
    "version|release|v.|ver|section|chapter|build|upgrade|§|firmware|driver|revision|rev|package|assembly|clause|figure|table|oid"
)
NOT_A_NUMBER_OF_SOMEONE: Final = _any(
    "version|row|line|size|seed|timestamp|epoch|order|invoice|port|offset|bytes|byte|count|total|id|uuid|sha|commit|hash|build|ticket|issue|pid|"
    "duration|elapsed|time|length|width|height|isbn|sku|serial|tracking|part|model|amount|price|usd|eur|ref|reference|max|min|limit|"
    "user_id|userid|uid|gid|inode|index|revision|article|doi|pmid|arxiv|checksum|mtime|ctime|created|updated|expires|exp|iat|nbf"
)

_PARTS = re.compile(r"_|(?<=[a-z])(?=[A-Z])")
_LAST_WORD = re.compile(r"([A-Za-z_À-ɏ\u0400-\u04ff\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]+)[^A-Za-z\n]{0,6}$")


def before(text: str, start: int) -> str:
    """The text just before a place, on its own line or the one above."""
    return text[max(0, start - REACH) : start]


def near(words: re.Pattern[str], text: str, start: int, end: int) -> bool:
    """Whether one of the words stands shortly before the value, or right behind it on the same line."""
    return (
        words.search(before(text, start)) is not None
        or words.search(text[end : end + BEHIND].split("\n")[0]) is not None
    )


def _last_words(text: str, start: int) -> list[str]:
    """The word just before a place, and the parts of it if it is a name in a program."""
    match = _LAST_WORD.search(text[max(0, start - 32) : start])
    return [*_PARTS.split(match[1]), match[1]] if match is not None else []


def named(words: re.Pattern[str], text: str, start: int) -> bool:
    """Whether the value is called one of these: by the last word before it, which begins so."""
    return any(words.match(word) for word in _last_words(text, start))


def nobodys(text: str, start: int) -> bool:
    """Whether the last word before a number says that it is no one's (a row, a size, a version)."""
    return any(
        NOT_A_NUMBER_OF_SOMEONE.fullmatch(word) or NOT_A_NUMBER_OF_SOMEONE.fullmatch(word.rstrip("s"))
        for word in _last_words(text, start)
    )
